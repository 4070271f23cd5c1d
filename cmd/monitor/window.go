package main

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/fetch"
)

// windowFlags are the flags of window.
type windowFlags struct {
	certificate, from, to string
	log                   string
	yes                   bool
	requests              int64
	wait                  time.Duration
}

// The outcomes of window.
const (
	windowPlanned    = "planned"    // nothing was read yet
	windowUnfinished = "unfinished" // the rest is for another time
	windowProven     = "proven"
	windowMisbehaved = "misbehaved"
)

// windowAnswer is the JSON of window.
type windowAnswer struct {
	Schema  string `json:"schema"`
	Outcome string `json:"outcome"`
	// Windows are those that hold the period, of all shards of the log.
	Windows  []audit.WindowSummary `json:"windows"`
	Estimate windowEstimate        `json:"estimate"`
	// Misbehaviours are what the list of the log's shards showed: nothing was read then.
	Misbehaviours []string         `json:"misbehaviours,omitempty"`
	Opened        int              `json:"opened"`
	Requests      map[string]int64 `json:"requests"`
}

// windowEstimate is what was left to read before the command began.
type windowEstimate struct {
	Entries  uint64 `json:"entries"`
	Requests int64  `json:"requests"`
	// Hours is how long it takes at so many requests a minute; 0 where the configuration sets no limit.
	Hours     float64 `json:"hours,omitempty"`
	PerMinute float64 `json:"requests_a_minute,omitempty"`
}

func (e windowEstimate) String() string {
	text := fmt.Sprintf("%d entries, about %s", e.Entries, plural(int(e.Requests), "request"))
	switch {
	case e.PerMinute == 0:
	case e.Hours < 0.1:
		text += fmt.Sprintf(": %.0f minutes at %.0f a minute", max(e.Hours*60, 1), e.PerMinute)
	default:
		text += fmt.Sprintf(": %.1f hours at %.0f a minute", e.Hours, e.PerMinute)
	}
	return text
}

func (a *app) windowCommand(g *globals) *cobra.Command {
	flags := windowFlags{}
	c := &cobra.Command{
		Use:   "window (--certificate HASH | --from TIME --to TIME)",
		Short: "Read one range of Rekor v1, and prove it complete",
		Long: `window reads all entries of a Rekor v1 that were made in a period, or while a certificate was valid, and proves that
none is missing: between the inclusion proofs of the first and the last of them. It says first what that takes, and asks
before it begins, unless --yes is said. It can be stopped at any time (Ctrl-C, or --requests) and goes on where it was.

The log signs the time of each entry, but nothing proves that these are in order: so a minute more is read at either end.

Exit codes: 0 proven complete; 2 usage; 3 not finished; 4 the log misbehaved.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.runWindow(c.Context(), g, flags) },
	}
	f := c.Flags()
	f.StringVar(&flags.certificate, "certificate", "", "the time in which this certificate was valid, by the SHA-256 `HASH` of it or of its TBS as the record has it")
	f.StringVar(&flags.from, "from", "", "the period from this `TIME` on: a day or an instant (RFC 3339)")
	f.StringVar(&flags.to, "to", "", "the period up to this `TIME`")
	f.StringVar(&flags.log, "log", "", "read the log of this `ORIGIN`, where there is more than one Rekor v1")
	f.BoolVar(&flags.yes, "yes", false, "begin without asking")
	f.Int64Var(&flags.requests, "requests", 0, "stop after about so many requests to the log; 0 is no limit")
	f.DurationVar(&flags.wait, "wait", 10*time.Minute, "how long to wait for another monitor that works on the same record")
	return c
}

// period reads the flags that say what is asked for; without a certificate only.
func (f *windowFlags) period() (audit.WindowRequest, error) {
	var q audit.WindowRequest
	switch {
	case f.requests < 0:
		return q, usage("--requests %d: write how many, or leave it out", f.requests)
	case f.certificate != "" && (f.from != "" || f.to != ""):
		return q, usage("--certificate says the period: leave --from and --to out")
	case f.certificate != "":
		return q, nil
	case f.from == "" || f.to == "":
		return q, usage("say --certificate, or both --from and --to")
	}
	for _, x := range []struct {
		flag, text string
		into       *time.Time
	}{{"--from", f.from, &q.Since}, {"--to", f.to, &q.Until}} {
		at, err := config.ParseLogStart(x.text)
		if err != nil || at.At.IsZero() {
			return q, usage("%s %q: write a day such as 2026-11-01 or an instant such as 2026-11-01T12:00:00Z", x.flag, x.text)
		}
		*x.into = at.At
	}
	if q.Until.Before(q.Since) {
		return q, usage("--to %s lies before --from %s", f.to, f.from)
	}
	q.Why = "asked for"
	return q, nil
}

// runWindow reads the windows of one period.
func (a *app) runWindow(ctx context.Context, g *globals, flags windowFlags) (err error) {
	q, err := flags.period()
	if err != nil {
		return err
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
	if flags.certificate != "" {
		digest := strings.ToLower(flags.certificate)
		notBefore, notAfter, err := record.Validity(ctx, digest)
		if errors.Is(err, sql.ErrNoRows) {
			return usage("--certificate %q: the record has no such certificate; `monitor entries --json` lists those that it has", flags.certificate)
		} else if err != nil {
			return err
		}
		q = audit.WindowRequest{Since: notBefore, Until: notAfter, Why: "asked for, with certificate " + digest[:min(16, len(digest))]}
	}
	if !q.Due(a.clock.Now()) {
		return &exitError{exitUnknown, fmt.Errorf("the period ends at %s, so that the log may not have all of it yet: ask again some minutes after", when(q.Until))}
	}
	run := &followRun{app: a, cfg: cfg, logger: logger, record: record}
	answer, err := run.window(ctx, q, flags)
	if err != nil {
		return err
	}
	if g.json {
		err = a.printJSON(answer)
	} else {
		a.printWindow(answer)
	}
	if err != nil {
		return err
	}
	return answer.exit()
}

// exit is the command's exit code as an error.
func (w *windowAnswer) exit() error {
	switch w.Outcome {
	case windowProven:
		return nil
	case windowMisbehaved:
		return &exitError{code: exitLog}
	}
	return &exitError{code: exitUnknown}
}

// window reads the windows of a period, if it may.
func (r *followRun) window(ctx context.Context, q audit.WindowRequest, flags windowFlags) (*windowAnswer, error) {
	if err := r.loadRoots(ctx); err != nil {
		return nil, err
	}
	var err error
	if r.watch, err = watchList(r.cfg); err != nil {
		return nil, err
	}
	known, err := r.app.knownLogs(r.cfg, r.set)
	if err != nil {
		return nil, err
	}
	log, err := windowLog(r.cfg, known, flags.log)
	if err != nil {
		return nil, err
	}
	client := r.logClient(known)
	defer r.close()
	w, err := r.windowRun(ctx, log, client)
	if err != nil {
		return nil, err
	}
	answer := &windowAnswer{Schema: "window/1", Outcome: windowPlanned, Windows: []audit.WindowSummary{}}
	defer func() { answer.Requests = client.Requests() }()
	if w.list.Problem != nil {
		return nil, &exitError{exitUnknown, w.list.Problem}
	}
	if len(w.list.Summary.Misbehaviours) > 0 {
		answer.Misbehaviours, answer.Outcome = w.list.Summary.Misbehaviours, windowMisbehaved
		return answer, r.settleWindows(ctx, known, answer)
	}
	planner := w.run.Planner
	held, covered, err := planner.Held(ctx, q)
	if err != nil {
		return nil, err
	}
	var planned []audit.Window
	var replaced []int64
	if !covered {
		if planned, replaced, err = planner.Plan(ctx, q); err != nil {
			return nil, err
		}
	}
	left := append(slices.DeleteFunc(held, func(w audit.Window) bool { return w.Finished() || slices.Contains(replaced, w.ID) }), planned...)
	answer.Estimate = r.estimate(log, left)
	if answer.Estimate.Entries > 0 && !flags.yes && !r.app.agreed("reading it takes "+answer.Estimate.String()) {
		for i := range left {
			answer.Windows = append(answer.Windows, left[i].Summary())
		}
		return answer, nil
	}
	if !covered {
		if err := planner.Keep(ctx, planned, replaced); err != nil {
			return nil, err
		}
	}
	if held, err = planner.Cover(ctx, q); err != nil {
		return nil, err
	}
	spent, err := r.spender(ctx, log, planner.Spent, audit.Rekor1Budget.Asked)
	if err != nil {
		return nil, err
	}
	w.run.Stop = spent.done
	if began := planner.Spent(); flags.requests > 0 {
		w.run.Stop = either(spent.done, func() bool { return planner.Spent()-began >= flags.requests })
	}
	progress := r.app.progress(r.logger)
	progress.Start("reading Rekor v1", int64(answer.Estimate.Entries))
	w.run.Progress = func(n uint64) { progress.Step(int64(n)) }
	read, err := w.run.Read(ctx, held)
	progress.Done()
	if err != nil {
		return nil, err
	}
	answer.take(held, read)
	return answer, r.settleWindows(ctx, known, answer)
}

// take notes where the windows stand after they were read.
func (w *windowAnswer) take(held []audit.Window, read []audit.WindowSummary) {
	w.Outcome = windowProven
	for i := range held {
		s := held[i].Summary()
		for _, r := range read {
			if r.Origin == s.Origin && r.From == s.From && r.To == s.To {
				s = r
			}
		}
		if !held[i].Finished() && w.Outcome == windowProven {
			w.Outcome = windowUnfinished
		}
		if len(s.Misbehaviours) > 0 {
			w.Outcome = windowMisbehaved
		}
		w.Windows = append(w.Windows, s)
	}
}

// settleWindows judges what was found.
func (r *followRun) settleWindows(ctx context.Context, known []knownLog, answer *windowAnswer) error {
	var judged followAnswer
	err := r.settle(ctx, known, &judged)
	answer.Opened = judged.Opened
	return err
}

// windowLog chooses the Rekor v1 to read.
func windowLog(cfg *config.Config, known []knownLog, origin string) (rekor1Log, error) {
	logs := slices.DeleteFunc(rekor1Logs(cfg, known), func(l rekor1Log) bool { return origin != "" && l.origin != origin && !isShard(l.origin, origin) })
	switch {
	case len(logs) == 1:
		return logs[0], nil
	case len(logs) == 0 && origin != "":
		return rekor1Log{}, usage("--log %q: the trusted roots have no such Rekor v1", origin)
	case len(logs) == 0:
		return rekor1Log{}, usage("the trusted roots have no Rekor v1 that is read")
	}
	var names []string
	for _, k := range logs {
		names = append(names, k.origin)
	}
	return rekor1Log{}, usage("say which log with --log: %s", strings.Join(names, ", "))
}

// openWindows is a Rekor v1 of which windows are read.
type openWindows struct {
	list *audit.ShardList
	run  *audit.WindowRun
}

// windowRun opens a log for reading windows of it.
func (r *followRun) windowRun(ctx context.Context, l rekor1Log, client *fetch.Client) (*openWindows, error) {
	list, err := r.shards(ctx, l, client)
	if err != nil {
		return nil, err
	}
	if list.Shards != nil {
		for _, s := range list.Shards.Shards {
			if _, err := r.record.Log(ctx, shardName(l, s.Checkpoint.Origin), r.watch.Hash()); err != nil {
				return nil, err
			}
		}
	}
	host := hostOf(l.url)
	planner := &audit.WindowPlanner{Clock: r.app.clock, Record: r.record, List: list, WatchList: r.watch.Hash(), Spent: func() int64 { return client.Requests()[host] }}
	return &openWindows{list, &audit.WindowRun{Planner: planner, Logger: r.logger, Inspector: &audit.LeafInspector{Watch: r.watch, Roots: r.set}}}, nil
}

// estimate adds up what is left of windows.
func (r *followRun) estimate(l rekor1Log, windows []audit.Window) windowEstimate {
	var e windowEstimate
	for i := range windows {
		e.Entries += windows[i].To - windows[i].Next()
		e.Requests += windows[i].Estimate()
	}
	host := hostOf(l.url)
	e.PerMinute = perMinute(logBudget(host, budgetOf(r.cfg, host)))
	if e.PerMinute > 0 {
		e.Hours = float64(e.Requests) / e.PerMinute / 60
	}
	return e
}

// agreed says what something takes, and asks whether to begin, where there is somebody to ask.
func (a *app) agreed(what string) bool {
	if !a.errTerminal {
		line(a.stderr, "%s; say --yes to begin", what)
		return false
	}
	fmt.Fprintf(a.stderr, "%s. Begin? [y/N] ", safe(what))
	text, _ := bufio.NewReader(a.stdin).ReadString('\n') // whatever else comes is a no
	return strings.EqualFold(strings.TrimSpace(text), "y") || strings.EqualFold(strings.TrimSpace(text), "yes")
}

// printWindow prints the windows of a period for people.
func (a *app) printWindow(w *windowAnswer) {
	for _, s := range w.Windows {
		a.printWindowLine(s)
	}
	for _, m := range w.Misbehaviours {
		line(a.stdout, "MISBEHAVED: %s", m)
	}
	switch w.Outcome {
	case windowProven:
		line(a.stdout, "proven complete: no entry of the period is missing, by the times that the log signed")
	case windowUnfinished:
		line(a.stdout, "not finished: the same command goes on where it stopped")
	case windowPlanned:
		line(a.stdout, "nothing was read")
	}
	if w.Opened > 0 {
		line(a.stdout, "%s opened; `monitor findings` lists them", plural(w.Opened, "finding"))
	}
}

// printWindowLine prints where a window stands.
func (a *app) printWindowLine(s audit.WindowSummary) {
	if s.Origin == "" {
		line(a.stdout, "window from %s to %s (%s): unknown: %s", when(s.Since), when(s.Until), s.Why, s.Trouble)
		return
	}
	stands := fmt.Sprintf("entries %d to %d, proven to %d", s.From, s.To, s.Proven)
	if s.From == s.To {
		stands = "nothing to read"
	}
	line(a.stdout, "window of %s from %s to %s: %s, %s, %s (%s)", s.Origin, when(s.Since), when(s.Until), stands, plural(s.Hits, "hit"), plural(int(s.Requests), "request"), s.Why)
	for _, m := range s.Misbehaviours {
		line(a.stdout, "  MISBEHAVED: %s", m)
	}
	if s.Trouble != "" {
		line(a.stdout, "  unknown: %s", s.Trouble)
	}
	if s.BackwardsSeconds > s.MarginSeconds {
		line(a.stdout, "  the log's times step back by up to %.0f seconds, and the margin is %.0f: entries of the period may lie outside", s.BackwardsSeconds, s.MarginSeconds)
	}
}
