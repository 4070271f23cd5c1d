package audit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// LogStore is the record of one log.
type LogStore interface {
	tlog.Store[LogHit]
	// Failed notes that the log could not be read.
	Failed(ctx context.Context, now time.Time, problem string) error
}

// LogTarget is one log to follow.
type LogTarget struct {
	Origin, Kind, URL string
	Source            tlog.Source
	Store             LogStore
	Scan              func(leaf []byte) bool
	Inspect           func(index uint64, leaf []byte) (LogHit, bool)
	// Start says where the log is taken up, given its size.
	Start func(ctx context.Context, size uint64) (uint64, error)
	// Until stops there; 0 is the log's end.
	Until uint64
	// Frozen says that the trusted root ended the log's validity.
	Frozen bool
}

// LogSummary is what following one log gave.
type LogSummary struct {
	Origin string `json:"origin"`
	Kind   string `json:"kind"`
	// Size is that of the log's latest checkpoint.
	Size   uint64 `json:"size"`
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Proven uint64 `json:"proven"`
	Hits   int    `json:"hits"`
	Bytes  int64  `json:"bytes"`
	Stale  bool   `json:"stale_checkpoint,omitempty"`
	// Misbehaviours are rules about logs.
	Misbehaviours []string `json:"misbehaviours,omitempty"`
	Trouble       string   `json:"trouble,omitempty"`
}

// LogFollower follows logs, each by itself: the failure of one stops no other.
type LogFollower struct {
	Clock    clock.Clock
	Logger   *slog.Logger
	Parallel int
	// Progress is told how many leaves of a log were read; may be nil. It is called from several goroutines.
	Progress func(origin string, leaves uint64)
}

// Follow makes one run over every target at once. The error is the record's or the context's; a log's trouble is in its
// summary.
func (f *LogFollower) Follow(ctx context.Context, targets []LogTarget) ([]LogSummary, error) {
	summaries := make([]LogSummary, len(targets))
	errs := make([]error, len(targets))
	var wg sync.WaitGroup
	for i, t := range targets {
		wg.Go(func() { summaries[i], errs[i] = f.follow(ctx, t) })
	}
	wg.Wait()
	return summaries, errors.Join(errs...)
}

func (f *LogFollower) follow(ctx context.Context, t LogTarget) (LogSummary, error) {
	follower := &tlog.Follower[LogHit]{Source: t.Source, Store: t.Store, Scan: t.Scan, Inspect: t.Inspect, Start: t.Start, Frozen: t.Frozen,
		Clock: f.Clock, Logger: f.Logger.With("log", t.Origin), Parallel: f.Parallel}
	if f.Progress != nil {
		follower.Progress = func(leaves uint64) { f.Progress(t.Origin, leaves) }
	}
	out, err := follower.Follow(ctx, t.Until)
	s := LogSummary{Origin: t.Origin, Kind: t.Kind, Size: out.Checkpoint.Size, From: out.From, To: out.To, Proven: out.Proven,
		Hits: out.Hits, Bytes: out.Bytes, Stale: out.Stale}
	for _, m := range out.Misbehaviours {
		s.Misbehaviours = append(s.Misbehaviours, string(m.Kind))
	}
	switch {
	case err == nil:
		return s, nil
	case ctx.Err() != nil:
		return s, err
	}
	s.Trouble = oneLine(err.Error(), 400)
	f.Logger.Warn("log could not be followed to its end", "log", t.Origin, "error", err)
	return s, t.Store.Failed(ctx, f.Clock.Now(), err.Error())
}

// LogRecord is the record as judging the logs uses it.
type LogRecord interface {
	Logs(ctx context.Context) ([]LogFacts, error)
	// ProvenHits calls fn for each hit that a verified root commits to.
	ProvenHits(ctx context.Context, fn func(HitFacts) error) error
	SettleLogs(ctx context.Context, now time.Time, a Assessment, channels []string) ([]Change, error)
}

// SettleLogs judges every log and every proven hit, and writes what came of it.
func SettleLogs(ctx context.Context, record LogRecord, rules RuleSet, policies map[string]identity.Policy, frozen map[string]bool, now time.Time, channels []string) ([]Change, error) {
	j := &Judge{Rules: rules, Now: now.UTC().Truncate(time.Microsecond)}
	var a Assessment
	logs, err := record.Logs(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range logs {
		l.Frozen = frozen[l.Origin]
		a.merge(j.Log(l))
	}
	seen := map[string]bool{}
	if err := record.ProvenHits(ctx, func(h HitFacts) error {
		judged := j.Hit(h, policies)
		a.Waiting = append(a.Waiting, judged.Waiting...)
		for _, f := range judged.Findings {
			// The same certificate may be met in CT and in several entries: the first tells.
			if key := Key(f.Rule, f.Subject); !seen[key] {
				seen[key] = true
				a.Findings = append(a.Findings, f)
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	changes, err := record.SettleLogs(ctx, j.Now, a, channels)
	failpoint.Hit("audit/logs-settled")
	return changes, err
}
