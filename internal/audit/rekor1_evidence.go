package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// evidenceStore is the record of what bundles say of a log, and of what the log says to it.
type evidenceStore interface {
	// DueEntries lists entries that verified attestations name and that are to be asked for now: those first that were not
	// asked for before.
	DueEntries(ctx context.Context, now time.Time, limit int) ([]DueEntry, error)
	// SaveChecks keeps what asking for entries gave, with the checkpoints that they were proven in.
	SaveChecks(ctx context.Context, now time.Time, checks []EntryCheck, grown []tlog.SignedCheckpoint) error
	// DueGossip lists checkpoints of bundles that are to be related to the tree held.
	DueGossip(ctx context.Context, now time.Time, limit int) ([]Gossip, error)
	// SaveGossip keeps what relating one gave.
	SaveGossip(ctx context.Context, now time.Time, g Gossip) error
}

// DueEntry is an entry as a verified attestation names it.
type DueEntry struct {
	ID     int64 // of its row
	Origin string
	Copy   rekor.V1Copy
	// Absences counts the answers in a row that did not have it, and FailingSince is when it began that it could not be
	// found out.
	Absences     int
	FailingSince time.Time
}

// EntryOutcome says what a log has in the place of an entry that a bundle names.
type EntryOutcome string

// The outcomes.
const (
	EntryUnknown EntryOutcome = ""        // it could not be found out
	EntrySame    EntryOutcome = "same"    // the very entry, proven
	EntryDiffers EntryOutcome = "differs" // another one, or the same otherwise
	EntryMissing EntryOutcome = "missing" // none, though its tree is larger
)

// EntryCheck is what asking a log for an entry gave.
type EntryCheck struct {
	DueEntry
	Outcome EntryOutcome
	// Differences say how the log's entry differs, and Failure why it is not known.
	Differences []rekor.V1Difference
	Failure     string
	// Entry is the log's, proven; nil where there is none.
	Entry *rekor.V1Entry
	// Due is when it is to be asked for again; zero for never.
	Due time.Time
}

const (
	// entryPage is how many entries the API gives at once.
	entryPage = 10
	// absencesToMissing is how many answers must lack an entry before it is missing: a replica may be behind.
	absencesToMissing = 2
	// differsRecheck is how often it is looked whether the log has another mind.
	differsRecheck = 24 * time.Hour
	// What could not be found out is tried again after as long as it has failed, within these bounds.
	minRetry, maxRetry = 5 * time.Minute, 6 * time.Hour
)

// retryAt is when to try again what has failed since an instant.
func retryAt(now, failingSince time.Time) time.Time {
	if failingSince.IsZero() {
		failingSince = now
	}
	return now.Add(min(max(now.Sub(failingSince), minRetry), maxRetry))
}

// evidence asks for the entries that attestations name and compares them with the bundles' copies.
func (p *rekor1Pass) evidence(ctx context.Context) error {
	p.meter.hold()
	for {
		due, err := p.Store.DueEntries(ctx, p.Clock.Now(), entryPage)
		if err != nil || len(due) == 0 {
			return err
		}
		// A server that fails over one entry must not keep the others from being looked at.
		if i := slices.IndexFunc(due, func(e DueEntry) bool { return !e.FailingSince.IsZero() }); i >= 0 {
			due = due[:max(i, 1)]
		}
		checks, asked := p.check(ctx, due)
		if ends(ctx, asked) {
			return asked
		}
		if err := p.Store.SaveChecks(ctx, p.Clock.Now(), checks, p.grown()); err != nil {
			return err
		}
		p.kept()
		failpoint.Hit("audit/entries-checked")
		if asked != nil {
			p.trouble("%v", asked)
			return errGivenUp
		}
	}
}

// check asks for entries. The error says that the log did not answer: the checks say that it is not known then.
func (p *rekor1Pass) check(ctx context.Context, due []DueEntry) ([]EntryCheck, error) {
	var globals []uint64
	for _, d := range due {
		if !slices.Contains(globals, d.Copy.GlobalIndex) {
			globals = append(globals, d.Copy.GlobalIndex)
		}
	}
	answers, asked := p.log.EntriesAt(ctx, globals)
	var checks []EntryCheck
	for _, d := range due {
		c := EntryCheck{DueEntry: d}
		i := slices.IndexFunc(answers, func(a rekor.V1Answer) bool { return a.GlobalIndex == d.Copy.GlobalIndex })
		if i < 0 {
			c.unknown(p.Clock.Now(), fmt.Errorf("it was not answered: %w", asked))
		} else if err := p.compare(ctx, &c, answers[i]); err != nil {
			return nil, err
		}
		checks = append(checks, c)
	}
	return checks, asked
}

// compare makes an outcome of an answer. The error ends the pass.
func (p *rekor1Pass) compare(ctx context.Context, c *EntryCheck, a rekor.V1Answer) error {
	now := p.Clock.Now()
	switch {
	case errors.Is(a.Err, fs.ErrNotExist):
		// What is behind does not lack an entry.
		if c.Copy.GlobalIndex < p.summary.Size {
			c.Absences++
		}
		if c.Absences < absencesToMissing {
			p.trouble("entry %d, which a bundle names: %v", c.Copy.GlobalIndex, a.Err)
			c.unknown(now, a.Err)
			return nil
		}
		p.summary.Missing++
		c.Outcome, c.Due = EntryMissing, now.Add(differsRecheck)
		return nil
	case a.Err != nil:
		p.trouble("%v", a.Err)
		c.unknown(now, a.Err)
		return nil
	}
	c.Absences = 0
	if err := p.meet(ctx, a.Entry.Checkpoint); ends(ctx, err) {
		return err
	} else if err != nil {
		c.unknown(now, err)
		return p.notOfTheTree(ctx, a.Entry.Checkpoint.Origin, err)
	}
	c.Entry = a.Entry
	if c.Differences = p.keys.Compare(a.Entry, c.Copy); len(c.Differences) > 0 {
		p.summary.Differing++
		c.Outcome, c.Due = EntryDiffers, now.Add(differsRecheck)
		return nil
	}
	p.summary.Confirmed++
	c.Outcome = EntrySame
	return nil
}

// unknown says why it could not be found out what the log has.
func (c *EntryCheck) unknown(now time.Time, err error) {
	c.Outcome, c.Failure, c.Due = EntryUnknown, oneLine(err.Error(), 400), retryAt(now, c.FailingSince)
}

// of names a file where there is one.
func of(file string) string {
	if strings.TrimSpace(file) == "" {
		return ""
	}
	return ", of " + oneLine(file, 120) + ","
}
