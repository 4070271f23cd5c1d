package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// PromiseSummary is what holding CT logs to their promises gave in one run.
type PromiseSummary struct {
	// Read counts the certificates whose promises were read for the first time.
	Read int `json:"read"`
	// Found and Missing count what the logs answered; a missing one may be within the merge delay.
	Found   int `json:"found"`
	Missing int `json:"missing"`
	// Pending counts the promises that no log has answered for yet: a run has its limit, and logs fail. NotAsked counts those
	// that the configuration, or the lack of a trusted root that names the log, has nobody ask for.
	Pending  int `json:"pending"`
	NotAsked int `json:"not_asked"`
	// Troubles are what kept something unknown that this version does look up.
	Troubles []string `json:"troubles,omitempty"`
}

// Complete reports whether everything was looked up that may be.
func (s PromiseSummary) Complete() bool { return s.Pending == 0 && len(s.Troubles) == 0 }

// Changed reports whether anything came of the run that findings may follow from.
func (s PromiseSummary) Changed() bool { return s.Read+s.Found+s.Missing+len(s.Troubles) > 0 }

// Promises holds CT logs to what they promised: each certificate that an entry or a bundle shows must be in the logs whose
// promises it carries. Each promise is looked up once; what is not there yet, and what is unknown, again when it is due.
//
//	certificates ──SCTs──▶ promises ──proven hits──▶ found
//	                          └──── by hash or index, against the latest tree head ──▶ found, missing, unknown
type Promises struct {
	Store PromiseStore
	Roots *trust.Set
	Logs  []PromisingLog
	// Delay is the logs' merge delay: a promise is broken when a tree head that is younger by it lacks the leaf.
	Delay  time.Duration
	Clock  clock.Clock
	Logger *slog.Logger
}

// The manners of looking up.
const (
	// promisesARun is how many promises of one log a run looks up at most: each costs a request or three.
	promisesARun = 240
	// promiseBatch is how many certificates are read in one transaction.
	promiseBatch = 500
	// askAgainAfter is how long a leaf that is not there yet is left alone, retryAfter a log that failed or cannot be asked.
	askAgainAfter = time.Hour
	retryAfter    = 15 * time.Minute
	// maxLookupFailures is after how many failures in a row a log is left alone for this run.
	maxLookupFailures = 3
)

// Run makes one run. The error is the record's or the context's; a log's trouble is in the summary.
func (p *Promises) Run(ctx context.Context) (PromiseSummary, error) {
	var s PromiseSummary
	if err := p.read(ctx, &s); err != nil {
		return s, err
	}
	found, err := p.Store.FoundInProven(ctx, p.now())
	if err != nil {
		return s, err
	}
	s.Found = found
	ids, err := p.Store.PromisedBy(ctx, p.now(), p.Delay)
	if err != nil {
		return s, err
	}
	for _, id := range ids {
		if err := p.log(ctx, id, &s); err != nil {
			return s, err
		}
	}
	open, err := p.Store.OpenPromises(ctx)
	s.Pending, s.NotAsked = open[LookupUnknown], open[LookupNotAsked]+open[LookupNoSuchLog]
	return s, err
}

// now is the time as the record keeps it.
func (p *Promises) now() time.Time { return p.Clock.Now().UTC().Truncate(time.Microsecond) }

// read reads the promises of certificates that are new.
func (p *Promises) read(ctx context.Context, s *PromiseSummary) error {
	for {
		certificates, err := p.Store.UnreadPromises(ctx, promiseBatch)
		if err != nil || len(certificates) == 0 {
			return err
		}
		var all []ReadPromises
		for _, c := range certificates {
			all = append(all, readPromises(c, p.Roots.HasCTLog(c.IssuerKeyHash)))
		}
		if err := p.Store.SavePromises(ctx, p.now(), all); err != nil {
			return err
		}
		failpoint.Hit("audit/promises-read")
		s.Read += len(certificates)
	}
}

// log looks up what one log promised.
func (p *Promises) log(ctx context.Context, id string, s *PromiseSummary) error {
	now := p.now()
	due, err := p.Store.DuePromises(ctx, now, p.Delay, id, promisesARun)
	if err != nil {
		return err
	}
	log, known := p.known(id)
	if !known || log.Finder == nil {
		outcome, why := LookupNotAsked, log.Skipped
		if !known {
			outcome, why = LookupNoSuchLog, "no trusted root names the log"
		}
		return p.Store.LookupFailed(ctx, now, p.Delay, id, outcome, why, now.Add(retryAfter))
	}
	head, ok, err := p.Store.TreeHead(ctx, id)
	if err != nil {
		return err
	}
	if !ok {
		return p.failed(ctx, now, id, "nothing of the log has been read yet", s)
	}
	failures := 0
	for _, promise := range due {
		lookup, err := p.lookUp(ctx, log, promise, head)
		switch {
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil:
			if failures++; failures == maxLookupFailures {
				return p.failed(ctx, now, id, err.Error(), s)
			}
			if failures == 1 {
				p.trouble(s, id, err.Error())
			}
			lookup = Lookup{Outcome: LookupUnknown, Problem: err.Error(), DueAt: now.Add(retryAfter)}
		case lookup.Outcome == LookupFound:
			s.Found++
		default:
			s.Missing++
		}
		if err := p.Store.SaveLookup(ctx, p.now(), promise, lookup); err != nil {
			return err
		}
		failpoint.Hit("audit/promise-looked-up")
		if err == nil {
			failures = 0
		}
	}
	return nil
}

// failed leaves a log alone for this run.
func (p *Promises) failed(ctx context.Context, now time.Time, id, problem string, s *PromiseSummary) error {
	p.trouble(s, id, problem)
	return p.Store.LookupFailed(ctx, now, p.Delay, id, LookupUnknown, problem, now.Add(retryAfter))
}

func (p *Promises) trouble(s *PromiseSummary, id, problem string) {
	s.Troubles = append(s.Troubles, oneLine(fmt.Sprintf("certificate transparency log %s: %s", id, problem), 400))
	p.Logger.Warn("log could not be held to its promises", "log_id", id, "error", problem)
}

func (p *Promises) known(id string) (PromisingLog, bool) {
	for _, l := range p.Logs {
		if l.ID == id {
			return l, true
		}
	}
	return PromisingLog{}, false
}

// lookUp looks one promise up. The error says that it stays unknown.
func (p *Promises) lookUp(ctx context.Context, log PromisingLog, promise DuePromise, head tlog.SignedCheckpoint) (Lookup, error) {
	sct, leaf, err := promise.rebuild()
	if err != nil {
		return Lookup{}, err
	}
	if err := sct.Verify(log.Key, leaf); err != nil {
		return Lookup{Outcome: LookupUnpromised, Problem: oneLine(err.Error(), 300)}, nil
	}
	inclusion, err := log.Finder.Find(ctx, sct, leaf, head)
	switch {
	case errors.Is(err, ctlog.ErrNotIncluded):
		return Lookup{Outcome: LookupMissing, Problem: oneLine(err.Error(), 500), Inclusion: tlog.Inclusion{Checkpoint: head}, DueAt: p.now().Add(askAgainAfter)}, nil
	case err != nil:
		return Lookup{}, err
	}
	return Lookup{Outcome: LookupFound, Inclusion: inclusion}, nil
}
