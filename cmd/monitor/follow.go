package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// followFlags are the flags of follow.
type followFlags struct {
	passFlags
	logs     []string
	from     string
	until    uint64
	once     bool
	reread   bool
	interval time.Duration
	refresh  time.Duration
}

// followAnswer is the JSON of one run of follow.
type followAnswer struct {
	Schema  string             `json:"schema"`
	Outcome audit.Outcome      `json:"outcome"`
	Logs    []audit.LogSummary `json:"logs"`
	// Rekor1 are the Rekor v1 logs, which are read by name.
	Rekor1  []audit.Rekor1Summary `json:"rekor_v1,omitempty"`
	Skipped []skippedLog          `json:"not_followed"`
	// Windows are those of Rekor v1 that this run read in, and WindowsWaiting counts the certificates' that are not finished.
	Windows        []audit.WindowSummary `json:"windows,omitempty"`
	WindowsWaiting int                   `json:"windows_waiting,omitempty"`
	// Unread says that there is more in the shards of a Rekor v1 than the budget or the time of this run was enough for.
	Unread bool `json:"unread,omitempty"`
	// Gossip is what came of the checkpoints that bundles carry of logs that are followed.
	Gossip []audit.GossipSummary `json:"gossip,omitempty"`
	// Certificates is what came of looking up those that entries and bundles show.
	Certificates audit.PromiseSummary `json:"certificates"`
	// Opened counts the findings that this run opened.
	Opened   int              `json:"opened"`
	Requests map[string]int64 `json:"requests"`
}

type skippedLog struct {
	Origin string `json:"origin"`
	Kind   string `json:"kind"`
	Why    string `json:"why"`
}

func (a *app) followCommand(g *globals) *cobra.Command {
	flags := followFlags{}
	c := &cobra.Command{
		Use:   "follow",
		Short: "Follow the transparency logs, and prove that nothing was missed",
		Long: `follow reads what is new in every log of the trusted roots (Rekor v2 and Fulcio's CT logs), proves every entry against
signed checkpoints, and records what concerns a watched name. The public Rekor v1 is too large for that: what attestations name
there is compared, and its search index is asked for what is known otherwise; and where the configuration says so, windows of it
are read, or the shards of a private one followed. It goes on until it is interrupted; with --once it makes one run. A log that
is new to the record is taken up where the configuration says, at its head by default.

Exit codes: 0 in order; 2 usage; 3 a log could not be read to its end; 4 a log misbehaved.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.runFollow(c.Context(), g, flags) },
	}
	c.Flags().StringSliceVar(&flags.logs, "log", nil, "follow only the log of this `ORIGIN`")
	c.Flags().StringVar(&flags.from, "from", "", "take up logs that are new to the record here: head, zero, a day or an `INDEX`")
	c.Flags().Uint64Var(&flags.until, "until", 0, "stop at this `INDEX`; implies --once")
	c.Flags().BoolVar(&flags.once, "once", false, "make one run")
	c.Flags().BoolVar(&flags.reread, "reread", false, "read again what was read with another watch list")
	c.Flags().DurationVar(&flags.interval, "interval", time.Minute, "how long to wait between runs")
	c.Flags().DurationVar(&flags.refresh, "refresh", time.Hour, "how often to ask whether the trusted roots have changed: new logs are taken up then")
	c.Flags().DurationVar(&flags.wait, "wait", 10*time.Minute, "how long to wait for another monitor that works on the same record")
	return c
}

// runFollow makes runs until it is told to stop.
func (a *app) runFollow(ctx context.Context, g *globals, flags followFlags) (err error) {
	if flags.interval < time.Second {
		return usage("--interval %s: wait at least a second between runs", flags.interval)
	}
	var from *config.LogStart
	if flags.from != "" {
		start, err := config.ParseLogStart(flags.from)
		if err != nil {
			return usage("--from %v", err)
		}
		from = &start
	}
	cfg, err := g.loadConfig()
	if err != nil {
		return err
	}
	logger, err := a.logger(g)
	if err != nil {
		return err
	}
	record, done, err := a.takeRecord(ctx, cfg, flags.wait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	goesOn := !flags.once && flags.until == 0
	run := &followRun{app: a, cfg: cfg, logger: logger, record: record, only: flags.logs, from: from, until: flags.until, reread: flags.reread, refresh: flags.refresh, goesOn: goesOn}
	defer run.close()
	for {
		answer, err := run.once(ctx)
		if err != nil && ctx.Err() != nil && goesOn {
			return &exitError{code: exitOK} // it was told to stop, which is how this command ends
		}
		if err != nil {
			return err
		}
		if g.json {
			err = a.printJSON(answer)
		} else {
			a.printFollow(answer)
		}
		if err != nil {
			return err
		}
		if !goesOn {
			return answer.exit()
		}
		if err := clock.Sleep(ctx, a.clock, flags.interval); err != nil {
			return &exitError{code: exitOK}
		}
	}
}

// followRun is what one run over the logs needs.
type followRun struct {
	app    *app
	cfg    *config.Config
	logger *slog.Logger
	record *db.DB
	only   []string
	from   *config.LogStart // replaces the configuration's; nil leaves it
	until  uint64           // stops there; 0 is the log's end
	reread bool             // what was read with another watch list is read again
	// parallel is how many pages of a log are asked for at once; 0 is the follower's choice.
	parallel int
	// goesOn says that another run comes: what reads in bulk does so for a while only.
	goesOn bool
	// afterwards leaves Rekor v1, and the judging, for later: what the releases' attestations name is to be known first.
	afterwards bool

	// refresh is the age at which the trusted roots are loaded again.
	refresh  time.Duration
	set      *trust.Set
	loadedAt time.Time
	watch    *identity.WatchList

	client      *fetch.Client
	clientHosts []string
}

// once makes one run: trusted roots, logs, findings.
func (r *followRun) once(ctx context.Context) (*followAnswer, error) {
	answer := &followAnswer{Schema: "follow/1", Outcome: audit.Complete, Logs: []audit.LogSummary{}, Skipped: []skippedLog{}}
	if err := r.loadRoots(ctx); err != nil {
		return nil, err
	}
	watch, err := watchList(r.cfg)
	if err != nil {
		return nil, err
	}
	known, err := r.app.knownLogs(r.cfg, r.set)
	if err != nil {
		return nil, err
	}
	client := r.logClient(known)
	before := client.Requests()
	wanted, err := r.wanted(known, answer)
	if err != nil {
		return nil, err
	}
	r.watch = watch
	targets, err := r.targets(ctx, wanted, client, watch)
	if err != nil {
		return nil, err
	}
	if err := r.followTargets(ctx, targets, answer); err != nil {
		return nil, err
	}
	if !r.afterwards {
		if err := r.readRekor1s(ctx, known, client, answer); err != nil {
			return nil, err
		}
		if err := r.relateGossip(ctx, known, client, answer); err != nil {
			return nil, err
		}
	}
	if answer.Certificates, err = r.certificates(ctx, known, client); err != nil {
		return nil, err
	}
	if !answer.Certificates.Complete() {
		answer.Outcome = audit.Incomplete
	}
	answer.Requests = since(before, client.Requests())
	if r.afterwards {
		return answer, nil // what Rekor v1 has of a certificate is not known before it was read
	}
	return answer, r.settle(ctx, known, answer)
}

// logClient is the client that logs are asked with, run after run: it knows by then what their hosts bear.
func (r *followRun) logClient(known []knownLog) *fetch.Client {
	hosts := logHosts(known)
	if r.client == nil || !slices.Equal(hosts, r.clientHosts) {
		r.close()
		r.client, r.clientHosts = r.app.client(r.cfg, r.logger, hosts...), hosts
	}
	return r.client
}

// close ends the connections to logs.
func (r *followRun) close() {
	if r.client != nil {
		r.client.Close()
	}
}

// since is what counts of requests have become more by.
func since(before, now map[string]int64) map[string]int64 {
	more := map[string]int64{}
	for host, n := range now {
		if n > before[host] {
			more[host] = n - before[host]
		}
	}
	return more
}

// followTargets makes a run over logs.
func (r *followRun) followTargets(ctx context.Context, targets []audit.LogTarget, answer *followAnswer) error {
	follower := &audit.LogFollower{Clock: r.app.clock, Logger: r.logger, Parallel: r.parallel, Reread: r.reread, Progress: r.progress()}
	followed, err := follower.Follow(ctx, targets)
	answer.Logs = append(answer.Logs, followed...)
	for _, l := range followed {
		if l.Trouble != "" {
			answer.Outcome = audit.Incomplete
		}
	}
	return err
}

// loadRoots loads the trusted roots, unless it did so a while ago.
func (r *followRun) loadRoots(ctx context.Context) error {
	if r.set != nil && r.app.clock.Now().Sub(r.loadedAt) < r.refresh {
		return nil
	}
	client := r.app.client(r.cfg, r.logger)
	defer client.Close()
	set, err := r.app.roots(ctx, r.cfg, client, r.logger)
	if err != nil {
		return err
	}
	r.set, r.loadedAt = set, r.app.clock.Now()
	return r.app.keepRoots(ctx, r.record, set)
}

// wanted leaves out the logs that --log does not name, and notes the ones that are not followed.
func (r *followRun) wanted(known []knownLog, answer *followAnswer) ([]knownLog, error) {
	for _, origin := range r.only {
		if !slices.ContainsFunc(known, func(k knownLog) bool { return k.origin == origin || k.hasShard(origin) }) {
			return nil, usage("--log %q: the trusted roots have no such log", origin)
		}
	}
	var wanted []knownLog
	for _, k := range known {
		if len(r.only) > 0 && !slices.Contains(r.only, k.origin) && !slices.ContainsFunc(r.only, k.hasShard) {
			continue
		}
		if k.skipped != "" {
			answer.Skipped = append(answer.Skipped, skippedLog{k.origin, k.kind, k.skipped})
			continue
		}
		if k.kind == kindRekorV1 {
			if why := k.notFull(r.cfg); why != "" {
				answer.Skipped = append(answer.Skipped, skippedLog{k.origin, k.kind, why})
			}
			continue // read by name, and shard by shard
		}
		wanted = append(wanted, k)
	}
	return wanted, nil
}

// settle judges every log in the record, followed by this run or not, and what was found in them.
func (r *followRun) settle(ctx context.Context, known []knownLog, answer *followAnswer) error {
	policies, standings := map[string]identity.Policy{}, map[string]audit.LogStanding{}
	for _, p := range r.cfg.Projects {
		policies[p.Name] = p.Policy
	}
	watch, err := watchList(r.cfg)
	if err != nil {
		return err
	}
	for _, k := range known {
		standing := k.standing(watch.Hash())
		standing.Windowed = k.kind == kindRekorV1 && r.cfg.Logs.RekorV1 == config.RekorV1Window
		standings[k.origin] = standing
	}
	changes, err := audit.SettleLogs(ctx, r.record, ruleSet(r.cfg), policies, standings, r.app.clock.Now(), channelNames(r.cfg))
	for _, c := range changes {
		if c.Transition == audit.Opened || c.Transition == audit.Reopened {
			answer.Opened++
		}
		r.logger.Info("finding "+string(c.Transition), "id", c.Finding.ID, "rule", c.Finding.Rule, "severity", c.Finding.Severity, "summary", c.Finding.Summary)
	}
	return err
}

// progress logs how far each log was read, at most every ten seconds.
func (r *followRun) progress() func(string, uint64) {
	var mu sync.Mutex
	read, last := map[string]uint64{}, r.app.clock.Now()
	return func(origin string, leaves uint64) {
		const every = 10 * time.Second
		mu.Lock()
		defer mu.Unlock()
		read[origin] += leaves
		if now := r.app.clock.Now(); now.Sub(last) >= every {
			last = now
			r.logger.Info("reading", "log", origin, "entries", read[origin])
		}
	}
}

// exit is the command's exit code as an error.
func (f *followAnswer) exit() error {
	for _, l := range f.Logs {
		if len(l.Misbehaviours) > 0 {
			return &exitError{code: exitLog}
		}
	}
	for _, l := range f.Rekor1 {
		if len(l.Misbehaviours) > 0 {
			return &exitError{code: exitLog}
		}
	}
	for _, s := range f.Gossip {
		if len(s.Misbehaviours) > 0 {
			return &exitError{code: exitLog}
		}
	}
	if windowsMisbehaved(f.Windows) {
		return &exitError{code: exitLog}
	}
	if f.Outcome != audit.Complete {
		return &exitError{code: exitUnknown}
	}
	return nil
}

// rate says how fast a log was read, "" where nothing was.
func rate(l audit.LogSummary) string {
	if l.To <= l.From || l.Seconds <= 0 {
		return ""
	}
	return fmt.Sprintf(", %.0f entries a second", float64(l.To-l.From)/l.Seconds)
}

// printFollow prints a run for people: a line a log.
func (a *app) printFollow(f *followAnswer) {
	for _, l := range f.Logs {
		line(a.stdout, "%s (%s): %d entries, read %d to %d, proven to %d, %s, %d bytes%s", l.Origin, l.Kind, l.Size, l.From, l.To, l.Proven, plural(l.Hits, "hit"), l.Bytes, rate(l))
		for _, m := range l.Misbehaviours {
			line(a.stdout, "  MISBEHAVED: %s", m)
		}
		if l.Unknown > 0 {
			line(a.stdout, "  %d of a kind that this version does not know: those that mention a watched name are recorded", l.Unknown)
		}
		if l.Reread > 0 {
			line(a.stdout, "  %d entries were read again, with today's watch list", l.Reread)
		}
		if l.Stale {
			line(a.stdout, "  it showed an older tree than before, consistent with it")
		}
		if l.Trouble != "" {
			line(a.stdout, "  unknown: %s", l.Trouble)
		}
	}
	for _, l := range f.Rekor1 {
		a.printRekor1(l)
	}
	a.printGossip(f.Gossip)
	for _, w := range f.Windows {
		a.printWindowLine(w)
	}
	if f.WindowsWaiting > 0 {
		line(a.stdout, "%s of Rekor v1 not finished yet", plural(f.WindowsWaiting, "window"))
	}
	if f.Unread {
		line(a.stdout, "shards of Rekor v1 not read to their end yet: the next run goes on, within the day's budget of requests")
	}
	for _, s := range f.Skipped {
		line(a.stdout, "%s (%s): not followed: %s", s.Origin, s.Kind, s.Why)
	}
	a.printCertificates(f.Certificates)
	if f.Opened > 0 {
		line(a.stdout, "%s opened; `monitor findings` lists them", plural(f.Opened, "finding"))
	}
}
