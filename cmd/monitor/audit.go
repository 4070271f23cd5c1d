package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/notify"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// passFlags are the flags of the commands that make a pass.
type passFlags struct {
	failOn   string
	wait     time.Duration
	projects []string
	since    string
	deep     bool
}

func (f *passFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.failOn, "fail-on", "high", "exit with 1 if an open finding has this `SEVERITY` or a more urgent one; \"none\" for never")
	c.Flags().DurationVar(&f.wait, "wait", 10*time.Minute, "how long to wait for another monitor that works on the same record")
}

// pass is one pass of the whole job, as far as it goes.
type pass struct {
	app    *app
	cfg    *config.Config
	logger *slog.Logger
	flags  passFlags
	// deliver says whether the outbox is delivered afterwards, over which channels.
	deliver  bool
	channels []notify.Channel
}

// passAnswer is the JSON of audit and once.
type passAnswer struct {
	Schema  string        `json:"schema"`
	Outcome audit.Outcome `json:"outcome"`
	// Logs and NotFollowed are once's: audit reads no log.
	Logs []audit.LogSummary `json:"logs,omitempty"`
	// Rekor1 are the Rekor v1 logs, which once reads by name.
	Rekor1      []audit.Rekor1Summary `json:"rekor_v1,omitempty"`
	NotFollowed []skippedLog          `json:"not_followed,omitempty"`
	// Windows, WindowsWaiting and Unread are as follow has them.
	Windows        []audit.WindowSummary `json:"windows,omitempty"`
	WindowsWaiting int                   `json:"windows_waiting,omitempty"`
	Unread         bool                  `json:"unread,omitempty"`
	// Gossip is as follow has it.
	Gossip []audit.GossipSummary `json:"gossip,omitempty"`
	// Certificates is once's too: whether the CT logs kept what they promised.
	Certificates *audit.PromiseSummary `json:"certificates,omitempty"`
	Projects     []audit.Summary       `json:"projects"`
	Findings     []audit.Finding       `json:"findings"` // open ones of the projects audited
	Deliveries   []notify.Delivery     `json:"deliveries,omitempty"`
	// Heartbeat says whether the heartbeat was called, and why not.
	Heartbeat string           `json:"heartbeat,omitempty"`
	Requests  map[string]int64 `json:"requests"` // by host
}

func (a *app) auditCommand(g *globals) *cobra.Command {
	flags := passFlags{}
	c := &cobra.Command{
		Use:   "audit",
		Short: "Check every file that the projects published on PyPI",
		Long: `audit lists every file of the configured PyPI projects, fetches and verifies its provenance, judges it by the policy,
and prints the open findings. Everything is kept in the record: a second run asks only for what changed. No alert is sent.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.runPass(c.Context(), g, flags, "audit", false) },
	}
	flags.register(c)
	c.Flags().StringSliceVar(&flags.projects, "project", nil, "audit only this project `NAME` of the configuration, or this PyPI project (INDEX/NAME)")
	c.Flags().StringVar(&flags.since, "since", "", "report only files uploaded since this `DATE` (2026-11-01); all are judged and recorded")
	c.Flags().BoolVar(&flags.deep, "deep", false, "download every file and hash it: the index's digest is only its word for what it hands out")
	return c
}

func (a *app) onceCommand(g *globals) *cobra.Command {
	flags := passFlags{}
	c := &cobra.Command{
		Use:   "once",
		Short: "Make one pass: follow the logs, audit, and deliver alerts; for cron and CI",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.runPass(c.Context(), g, flags, "once", true) },
	}
	flags.register(c)
	return c
}

// runPass makes a pass as a command.
func (a *app) runPass(ctx context.Context, g *globals, flags passFlags, job string, deliver bool) error {
	if flags.failOn != "none" {
		if _, err := audit.ParseSeverity(flags.failOn); err != nil {
			return usage("--fail-on: %w, or none", err)
		}
	}
	cfg, err := g.loadConfig()
	if err != nil {
		return err
	}
	logger, err := a.logger(g)
	if err != nil {
		return err
	}
	p := &pass{app: a, cfg: cfg, logger: logger, flags: flags, deliver: deliver}
	if deliver {
		if p.channels, err = a.channels(cfg); err != nil {
			return err
		}
	}
	answer, err := p.run(ctx, job)
	if err != nil {
		return err
	}
	answer.Schema = job + "/1"
	if g.json {
		err = a.printJSON(answer)
	} else {
		err = a.printPass(answer)
	}
	if err != nil {
		return err
	}
	return answer.exit(flags.failOn)
}

// run takes the record's lock and makes the pass.
func (p *pass) run(ctx context.Context, job string) (_ *passAnswer, err error) {
	targets, options, err := p.targets()
	if err != nil {
		return nil, err
	}
	record, done, err := p.app.takeRecord(ctx, p.cfg, p.flags.wait)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	return p.noted(ctx, record, job, targets, options)
}

// noted makes the pass over a record that is taken, and keeps the diary.
func (p *pass) noted(ctx context.Context, record *db.DB, job string, targets []target, options audit.Options) (*passAnswer, error) {
	id, err := record.StartRun(ctx, p.app.clock.Now(), job, buildVersion().Version, p.cfg.Hash())
	if err != nil {
		return nil, err
	}
	answer, err := p.work(ctx, record, targets, options)
	outcome := audit.Failed
	if err == nil {
		outcome = answer.Outcome
	}
	summary, jsonErr := json.Marshal(answer)
	// The diary is kept also for a run that was interrupted.
	return answer, errors.Join(err, jsonErr, record.FinishRun(context.WithoutCancel(ctx), p.app.clock.Now(), id, outcome, summary))
}

// target is one PyPI project to audit.
type target struct {
	project config.Project
	on      config.PyPIProject
	index   config.Index
}

// targets resolves --project and --since.
func (p *pass) targets() ([]target, audit.Options, error) {
	options := audit.Options{Deep: p.flags.deep}
	if p.flags.since != "" {
		day, err := time.Parse(time.DateOnly, p.flags.since)
		if err != nil {
			return nil, options, usage("--since %q: write a date as 2026-11-01", p.flags.since)
		}
		options.Since = day
	}
	var all []target
	matched := map[string]bool{}
	for _, project := range p.cfg.Projects {
		for _, on := range project.PyPI {
			wanted := len(p.flags.projects) == 0
			for _, name := range p.flags.projects {
				if name == project.Name || name == on.String() {
					wanted, matched[name] = true, true
				}
			}
			index, ok := p.cfg.Index(on.Index)
			if wanted && ok {
				all = append(all, target{project, on, index})
			}
		}
	}
	for _, name := range p.flags.projects {
		if !matched[name] {
			return nil, options, usage("--project %q: the configuration has no such project", name)
		}
	}
	return all, options, nil
}

// work audits the targets, and delivers the outbox if that is wanted.
func (p *pass) work(ctx context.Context, record *db.DB, targets []target, options audit.Options) (*passAnswer, error) {
	answer := &passAnswer{Outcome: audit.Complete, Projects: []audit.Summary{}, Findings: []audit.Finding{}}
	run := &followRun{app: p.app, cfg: p.cfg, logger: p.logger, record: record, afterwards: true, refresh: time.Hour}
	defer run.close()
	var followed *followAnswer
	if p.deliver {
		var err error
		if followed, err = p.followLogs(ctx, run, answer); err != nil {
			return answer, err
		}
	}
	client := p.app.client(p.cfg, p.logger)
	defer client.Close()
	gitHub, err := p.app.gitHub(p.cfg, p.logger)
	if err != nil {
		return answer, err
	}
	defer gitHub.close()
	auditor, err := p.auditor(ctx, record, client)
	if err != nil {
		return answer, err
	}
	if gitHub != nil {
		auditor.GitHub, auditor.Runs, auditor.AllRuns = gitHub, gitHub, p.cfg.GitHub.Runs
	}
	for _, t := range targets {
		summary, err := auditor.Project(ctx, t.project, t.on, t.index, options)
		answer.Projects = append(answer.Projects, summary)
		if err != nil {
			return answer, err
		}
		if !summary.Complete() {
			answer.Outcome = audit.Incomplete
		}
	}
	answer.Requests = mergeCounts(mergeCounts(answer.Requests, client.Requests()), gitHub.requests())
	if p.deliver {
		if err := p.readRekor1(ctx, run, answer, followed); err != nil {
			return answer, err
		}
		if err := run.shownSince(ctx, followed); err != nil {
			return answer, err
		}
		answer.follows(followed)
		if err := p.deliverOutbox(ctx, record, answer); err != nil {
			return answer, err
		}
		if err := p.beat(ctx, answer); err != nil {
			return answer, err
		}
	}
	open, err := record.Findings(ctx, db.FindingFilter{Statuses: []audit.Status{audit.Open}})
	if err != nil {
		return answer, err
	}
	answer.Findings = append(answer.Findings, slices.DeleteFunc(open, func(f audit.Finding) bool {
		if f.Index == "" {
			return !p.deliver // about a log or an entry: audit reads none
		}
		return !slices.ContainsFunc(targets, func(t target) bool {
			return f.Project == t.project.Name && f.Index == t.on.Index && f.PyPIProject == t.on.Name
		})
	})...)
	return answer, nil
}

// auditor wires the audit.
func (p *pass) auditor(ctx context.Context, record *db.DB, client pypi.Fetcher) (*audit.Auditor, error) {
	set, err := p.app.roots(ctx, p.cfg, p.app.client(p.cfg, p.logger), p.logger)
	if err != nil {
		return nil, err
	}
	verifier, err := p.app.attestVerifier(set)
	if err != nil {
		return nil, err
	}
	if err := p.app.keepRoots(ctx, record, set); err != nil {
		return nil, err
	}
	return &audit.Auditor{Store: record, PyPI: pypi.NewClient(client), Verifier: audit.NewVerifier(verifier, set.Digest()), Rules: ruleSet(p.cfg),
		Clock: p.app.clock, Logger: p.logger, Progress: p.app.progress(p.logger), Channels: channelNames(p.cfg), RecheckAfter: p.cfg.RecheckAfter}, nil
}

// followLogs follows the logs of the trusted roots.
func (p *pass) followLogs(ctx context.Context, run *followRun, answer *passAnswer) (*followAnswer, error) {
	followed, err := run.once(ctx)
	if err != nil {
		return nil, err
	}
	answer.follows(followed)
	return followed, nil
}

// follows takes over what following the logs gave, and adds the requests that it made since this was last done.
func (p *passAnswer) follows(f *followAnswer) {
	p.Requests, f.Requests = mergeCounts(p.Requests, f.Requests), nil
	p.Logs, p.NotFollowed, p.Certificates = f.Logs, f.Skipped, &f.Certificates
	for _, s := range f.Rekor1 {
		p.Rekor1 = addRekor1(p.Rekor1, s)
	}
	f.Rekor1 = nil
	if f.Outcome != audit.Complete || !f.Certificates.Complete() {
		p.Outcome = audit.Incomplete
	}
}

// readRekor1 reads Rekor v1 by what the audit has found out, and its shards, which are among the logs that are followed.
func (p *pass) readRekor1(ctx context.Context, run *followRun, answer *passAnswer, followed *followAnswer) error {
	read, err := run.rekor1(ctx)
	if err != nil {
		return err
	}
	for _, s := range read.Rekor1 {
		answer.Rekor1 = addRekor1(answer.Rekor1, s)
	}
	answer.Windows, answer.WindowsWaiting, answer.Gossip = read.Windows, read.WindowsWaiting, read.Gossip
	answer.Unread, followed.Logs = read.Unread, append(followed.Logs, read.Logs...)
	answer.Requests = mergeCounts(answer.Requests, read.Requests)
	if read.Outcome != audit.Complete {
		answer.Outcome = audit.Incomplete
	}
	return nil
}

// mergeCounts adds up requests by host.
func mergeCounts(a, b map[string]int64) map[string]int64 {
	sum := map[string]int64{}
	for _, counts := range []map[string]int64{a, b} {
		for host, n := range counts {
			sum[host] += n
		}
	}
	return sum
}

// exit is the command's exit code as an error, nil where everything is in order.
func (p *passAnswer) exit(failOn string) error {
	if err := (&followAnswer{Logs: p.Logs, Rekor1: p.Rekor1, Windows: p.Windows, Gossip: p.Gossip, Outcome: audit.Complete}).exit(); err != nil {
		return err
	}
	if failOn != "none" {
		for _, f := range p.Findings {
			if f.Severity.AtLeast(audit.Severity(failOn)) {
				return &exitError{code: exitFindings}
			}
		}
	}
	if p.Outcome != audit.Complete {
		return &exitError{code: exitUnknown}
	}
	return nil
}

// printPass prints a pass for people: a line a project, the findings, what stayed unknown.
func (a *app) printPass(answer *passAnswer) error {
	a.printFollow(&followAnswer{Logs: answer.Logs, Rekor1: answer.Rekor1, Skipped: answer.NotFollowed,
		Windows: answer.Windows, WindowsWaiting: answer.WindowsWaiting, Unread: answer.Unread, Gossip: answer.Gossip})
	for _, s := range answer.Projects {
		var states []string
		total := 0
		for _, state := range []audit.FileState{audit.FileVerified, audit.FileLegacy, audit.FileUnsigned, audit.FileWrong, audit.FileUnknown, audit.FileGone} {
			if n := s.Files[state]; n > 0 {
				states = append(states, fmt.Sprintf("%d %s", n, state))
				total += n
			}
		}
		line(a.stdout, "%s/%s: %d files in %d releases: %s", s.Index, s.PyPIProject, total, s.Releases, strings.Join(states, ", "))
		for _, t := range s.Troubles {
			line(a.stdout, "  unknown: %s", t)
		}
		for _, rule := range slices.Sorted(maps.Keys(s.Unread)) {
			line(a.stdout, "  not looked at: %s for %d files (GitHub's attestation store, which could tell, is switched off)", rule, s.Unread[rule])
		}
		if g := s.GitHub; g != nil && g.Asked > 0 {
			line(a.stdout, "  GitHub's attestation store was asked for %s", plural(g.Asked, "file"))
		}
		if g := s.GitHub; g != nil && g.Runs > 0 {
			line(a.stdout, "  %s looked up", plural(g.Runs, "workflow run"))
		}
		if s.Waiting > 0 {
			line(a.stdout, "  %d conditions are still within their grace period", s.Waiting)
		}
	}
	if answer.Certificates != nil {
		a.printCertificates(*answer.Certificates)
	}
	if err := a.printFindings(answer.Findings); err != nil {
		return err
	}
	for _, d := range answer.Deliveries {
		line(a.stdout, "%s: %d alerts delivered, %d pending%s%s", d.Channel, d.Delivered, d.Pending, held(d.Held), because(d.Problem))
	}
	if answer.Heartbeat != "" {
		line(a.stdout, "heartbeat: %s", answer.Heartbeat)
	}
	return nil
}

// held says how many alerts wait for a quiet time or a busy hour to end.
func held(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d of them until a quiet time or a busy hour is over)", n)
}

// because adds a reason where there is one.
func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
