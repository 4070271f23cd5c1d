package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/notify"
	"github.com/rekoncile/rekoncile/internal/schedule"
)

// The names of the daemon's jobs in the diary.
const (
	jobFollow = "follow"
	jobAudit  = "audit"
)

// deliverEvery is how often the daemon looks for alerts to deliver.
const deliverEvery = "@every 10s"

// daemon is the monitor at work with one configuration: following the logs goes on while the releases are audited, and alerts are
// delivered beside both.
type daemon struct {
	app    *app
	pass   *pass
	record *db.DB
	logger *slog.Logger
	follow *followRun
	last   map[string]time.Time // when each job was last started, by the diary
	// buttons hear what people press on Slack.
	buttons []*notify.SlackButtons

	mu sync.Mutex
	// done are the last ends of jobs since the daemon started.
	done map[string]jobEnd
}

// jobEnd is how a job ended.
type jobEnd struct {
	At      time.Time     `json:"at"`
	Outcome audit.Outcome `json:"outcome"`
	Error   string        `json:"error,omitempty"`
}

func (a *app) newDaemon(ctx context.Context, with daemonConfig, record *db.DB, logger *slog.Logger) (*daemon, error) {
	d := &daemon{app: a, record: record, logger: logger, last: map[string]time.Time{}, done: map[string]jobEnd{},
		pass:   &pass{app: a, cfg: with.cfg, logger: logger, channels: with.channels},
		follow: &followRun{app: a, cfg: with.cfg, logger: logger, record: record, refresh: time.Hour, goesOn: true},
	}
	runs, err := record.LastRuns(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		d.last[r.Job] = r.StartedAt
	}
	d.buttons, err = a.slackButtons(with, d.record, logger)
	return d, err
}

// run works until the context ends. The error is that of the address to listen at.
func (d *daemon) run(ctx context.Context) error {
	defer d.follow.close()
	listening, err := d.listen(ctx)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, b := range d.buttons {
		wg.Go(func() { b.Run(ctx) })
	}
	s := d.pass.cfg.Schedules
	schedule.Run(ctx, d.app.clock, []schedule.Job{
		{Name: jobFollow, Schedule: s.Follow, Last: d.last[jobFollow], Run: d.guarded(jobFollow, d.followOnce)},
		{Name: jobAudit, Schedule: s.Audit, Last: d.last[jobAudit], Run: d.guarded(jobAudit, d.auditOnce)},
		{Name: "deliver", Schedule: schedule.Must(deliverEvery), Run: d.guarded("deliver", d.deliverOnce)},
	})
	return listening()
}

// guarded is a job whose end is remembered, and whose trouble stops nothing else.
func (d *daemon) guarded(name string, job func(context.Context) (audit.Outcome, error)) func(context.Context) {
	return func(ctx context.Context) {
		outcome, err := job(ctx)
		if ctx.Err() != nil {
			return // told to stop, which is no trouble
		}
		end := jobEnd{At: d.app.clock.Now(), Outcome: outcome}
		if err != nil {
			end.Outcome, end.Error = audit.Failed, err.Error()
			d.logger.Error(name+" failed: it is tried again when it is next due", "error", err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.done[name] = end
	}
}

// followOnce reads what is new in the logs.
func (d *daemon) followOnce(ctx context.Context) (audit.Outcome, error) {
	began := d.app.clock.Now()
	id, err := d.record.StartRun(ctx, began, jobFollow, buildVersion().Version, d.pass.cfg.Hash())
	if err != nil {
		return audit.Failed, err
	}
	answer, err := d.follow.once(ctx)
	outcome := audit.Failed
	summary := struct {
		Logs    int    `json:"logs"`
		Entries uint64 `json:"entries"`
		Hits    uint64 `json:"hits"`
		Opened  int    `json:"opened"`
		Error   string `json:"error,omitempty"`
	}{}
	if err == nil {
		outcome, summary.Logs, summary.Opened = answer.Outcome, len(answer.Logs), answer.Opened
		for _, l := range answer.Logs {
			summary.Entries, summary.Hits = summary.Entries+l.To-l.From, summary.Hits+uint64(l.Hits)
			if l.Trouble != "" {
				d.logger.Warn("log not read to its end", "log", l.Origin, "trouble", l.Trouble)
			}
		}
		d.logger.Info("logs followed", "outcome", outcome, "logs", summary.Logs, "entries", summary.Entries, "hits", summary.Hits, "findings_opened", summary.Opened,
			"took", d.app.clock.Now().Sub(began).Round(time.Millisecond))
	} else {
		summary.Error = err.Error()
	}
	return outcome, errors.Join(err, finished(ctx, d.record, id, d.app.clock.Now(), outcome, summary))
}

// auditOnce checks the releases, and calls the heartbeat where all of it was proven, the logs too.
func (d *daemon) auditOnce(ctx context.Context) (audit.Outcome, error) {
	targets, options, err := d.pass.targets()
	if err != nil {
		return audit.Failed, err
	}
	began := d.app.clock.Now()
	answer, err := d.pass.noted(ctx, d.record, jobAudit, targets, options)
	if err != nil {
		return audit.Failed, err
	}
	for _, s := range answer.Projects {
		total := 0
		for _, n := range s.Files {
			total += n
		}
		d.logger.Info("releases audited", "project", s.Index+"/"+s.PyPIProject, "files", total, "releases", s.Releases, "findings_opened", s.Opened, "findings_resolved", s.Resolved,
			"unknown", len(s.Troubles), "took", d.app.clock.Now().Sub(began).Round(time.Millisecond))
		for _, t := range s.Troubles {
			d.logger.Warn("unknown", "project", s.Index+"/"+s.PyPIProject, "what", t)
		}
	}
	outcome := answer.Outcome
	if why := d.unproven(); why != "" {
		d.logger.Info("heartbeat not called", "because", why)
		return outcome, nil
	}
	return outcome, d.pass.beat(ctx, answer)
}

// unproven says why what the daemon did last is not proven; "" where it is. The audit that is ending speaks for itself.
func (d *daemon) unproven() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range []string{jobFollow, "deliver"} {
		switch end, ok := d.done[name]; {
		case !ok:
			return name + " has not ended yet"
		case end.Outcome != audit.Complete:
			return fmt.Sprintf("%s ended as %s", name, end.Outcome)
		}
	}
	return ""
}

// deliverOnce delivers what is due, and reminds people of what is open.
func (d *daemon) deliverOnce(ctx context.Context) (audit.Outcome, error) {
	answer := &passAnswer{Outcome: audit.Complete}
	err := d.pass.deliverOutbox(ctx, d.record, answer)
	for _, x := range answer.Deliveries {
		if x.Delivered > 0 {
			d.logger.Info("alerts delivered", "channel", x.Channel, "messages", x.Delivered)
		}
	}
	return answer.Outcome, err
}
