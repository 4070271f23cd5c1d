package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// WindowReader reads windows and proves them complete.
//
//	proof of the first entry ──▶ pages, in parallel ──▶ in order: hash, scan ──▶ kept, a transaction a batch
//	                                                                                │ each 1,000 entries, and at the end
//	   hits count ◀── one transaction ◀── equal? ◀── left side of the proof of the last entry
//	                                        └─no─▶ narrowed down to a page, kept as evidence; back to what is proven
//
// It promises that no hit counts which is not proven, that a window goes on where it stopped, whenever it is killed, and that
// what a proof cannot decide is an error and not a misbehaviour.
type WindowReader struct {
	Clock   clock.Clock
	Logger  *slog.Logger
	Record  WindowRecord
	Log     *rekor.V1Log
	Shard   *rekor.V1Shard
	Source  tlog.Source // the shard, as of the list
	Scan    func(leaf []byte) bool
	Inspect func(index uint64, leaf []byte) (LogHit, bool)
	// Parallel is how many pages are in flight; 0 is 8.
	Parallel int
	// Spent is how many requests were made to the log so far.
	Spent func() int64
	// Stop says that enough was read for now: what was read is proven then, and the rest is left for another time. It is asked
	// after each batch; may be nil.
	Stop func() bool
	// Progress is told how many entries were read; may be nil.
	Progress func(entries uint64)

	spent int64 // as of the last step that was kept
}

// WindowResult is what reading a window gave.
type WindowResult struct {
	Hits         int
	Misbehaviour *tlog.Misbehaviour // already in the record
}

// Read reads a window on to its end, or until it is told to stop, which w says. The error is the record's, the context's or the
// log's: then it is not known what is in the rest.
func (r *WindowReader) Read(ctx context.Context, w *Window) (WindowResult, error) {
	r.spent = r.Spent()
	var result WindowResult
	if w.State == nil {
		m, err := r.open(ctx, w)
		if m != nil || err != nil {
			result.Misbehaviour = m
			return result, err
		}
	}
	for w.Proven() < w.To {
		run := windowRun{base: cloneWindow(w.State)}
		end := min(w.To, w.Proven()-w.Proven()%windowProveEntries+windowProveEntries)
		stopped, err := r.pages(ctx, w, end, &run)
		if err != nil {
			return result, err
		}
		if w.Next() == w.Proven() {
			return result, nil // told to stop before anything was read
		}
		hits, m, err := r.prove(ctx, w, &run)
		result.Hits += hits
		if m != nil || err != nil || stopped {
			result.Misbehaviour = m
			return result, err
		}
	}
	return result, nil
}

// step is what was done since the last one.
func (r *WindowReader) step(w *Window, before uint64) WindowStep {
	now := r.Spent()
	s := WindowStep{ID: w.ID, Before: before, State: w.State, Requests: now - r.spent}
	r.spent, w.Requests = now, w.Requests+s.Requests
	return s
}

// open begins a window with the proof of its first entry.
func (r *WindowReader) open(ctx context.Context, w *Window) (*tlog.Misbehaviour, error) {
	first, m, err := r.entry(ctx, w.From)
	switch {
	case err != nil:
		return nil, err
	case m != nil:
		return m, r.void(ctx, w, w.From, m)
	}
	if w.State, err = rekor.OpenV1Window(first); err != nil {
		return nil, err
	}
	err = r.Record.OpenWindow(ctx, r.step(w, w.From), windowProof(first))
	failpoint.Hit("audit/window-opened")
	return nil, err
}

// entry is the inclusion proof of an entry, in a tree that is shown to be one with the shard's as it was listed.
func (r *WindowReader) entry(ctx context.Context, index uint64) (tlog.Inclusion, *tlog.Misbehaviour, error) {
	var e *rekor.V1Entry
	err := patiently(ctx, r.Clock, func() (err error) {
		e, err = r.Log.Tree(r.Shard.TreeID).EntryAt(ctx, index)
		return err
	})
	if err != nil {
		return tlog.Inclusion{}, nil, err
	}
	m, err := tlog.Relate(ctx, r.Source, r.Shard.Checkpoint, e.Checkpoint)
	return e.Inclusion(), m, err
}

// windowRun is what was read since a window's last proof, or since it was taken up again, if that was later.
type windowRun struct {
	base  *rekor.V1Window
	pages []windowPage
}

// windowPage is a run of leaves on its way.
type windowPage struct {
	first  uint64
	leaves [][]byte
	picked []WindowLeaf
	err    error
}

// pages reads up to an index, in parallel and in order.
func (r *WindowReader) pages(ctx context.Context, w *Window, end uint64, run *windowRun) (stopped bool, err error) {
	parallel := r.Parallel
	if parallel <= 0 {
		parallel = 8
	}
	fetching, cancel := context.WithCancel(ctx)
	order := make(chan chan windowPage, parallel)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	from := w.Next()
	workers.Go(func() {
		defer close(order)
		for to := from; to < end; {
			at := to
			to = min(at-at%windowPageEntries+windowPageEntries, end)
			done := make(chan windowPage, 1)
			select {
			case order <- done:
			case <-fetching.Done():
				return
			}
			workers.Go(func() { done <- r.page(fetching, at, min(at-at%windowPageEntries+windowPageEntries, end)) })
		}
	})
	return r.keep(ctx, w, order, end, run)
}

// keep takes pages in order and keeps what they bring, a transaction a batch. Where it ends early, what came until then is
// kept.
func (r *WindowReader) keep(ctx context.Context, w *Window, order <-chan chan windowPage, end uint64, run *windowRun) (stopped bool, err error) {
	before := w.Next()
	var picked []WindowLeaf
	flush := func() error {
		if w.Next() == before {
			return nil
		}
		// Not even an interruption makes void what is there.
		err := r.Record.AdvanceWindow(context.WithoutCancel(ctx), r.step(w, before), picked)
		failpoint.Hit("audit/window-advanced")
		if r.Progress != nil {
			r.Progress(w.Next() - before)
		}
		before, picked = w.Next(), nil
		return err
	}
	for done := range order {
		p := <-done
		if p.err != nil {
			if kept := flush(); kept != nil {
				return false, kept
			}
			return false, p.err
		}
		if err := w.State.Append(p.leaves...); err != nil {
			return false, err
		}
		run.pages, picked = append(run.pages, p), append(picked, p.picked...)
		if w.Next()-before < windowBatchEntries && w.Next() < end {
			continue
		}
		if err := flush(); err != nil {
			return false, err
		}
		if r.Stop != nil && r.Stop() {
			return w.Next() < w.To, nil
		}
	}
	if w.Next() < end {
		return false, context.Cause(ctx) // nothing else ends the pages early
	}
	return false, nil
}

// page fetches and scans [from, to). The source may give less at a time than it was asked for.
func (r *WindowReader) page(ctx context.Context, from, to uint64) windowPage {
	p := windowPage{first: from}
	for at := from; at < to; {
		got, err := r.Source.Page(ctx, at, to)
		if err == nil && (got.First != at || len(got.Leaves) == 0 || uint64(len(got.Leaves)) > to-at) {
			err = fmt.Errorf("%d entries from %d came", len(got.Leaves), got.First)
		}
		if err != nil {
			p.err = fmt.Errorf("entries %d to %d: %w", at, to-1, err)
			return p
		}
		for i, leaf := range got.Leaves {
			leaf = bytes.Clone(leaf)
			p.leaves = append(p.leaves, leaf)
			if r.Scan(leaf) {
				p.picked = append(p.picked, WindowLeaf{at + uint64(i), leaf})
			}
		}
		at += uint64(len(got.Leaves))
		if got.Release != nil {
			got.Release()
		}
	}
	return p
}

// prove shows that what was read is what the log signed, and keeps the hits. Where it is not, it is void.
func (r *WindowReader) prove(ctx context.Context, w *Window, run *windowRun) (hits int, m *tlog.Misbehaviour, err error) {
	before, at := w.Next(), cloneWindow(w.State)
	last, m, err := r.check(ctx, at)
	switch {
	case m != nil && m.Rewinds():
		m = r.narrow(ctx, m, run)
		fallthrough
	case m != nil:
		return 0, m, r.void(ctx, w, before, m)
	case err != nil:
		return 0, nil, fmt.Errorf("entries %d to %d were read, but are not proven: %w", w.Proven(), before-1, err)
	}
	w.State = at
	leaves, err := r.Record.PickedLeaves(ctx, w.ID)
	if err != nil {
		return 0, nil, err
	}
	var found []tlog.Hit[LogHit]
	for _, l := range leaves {
		if hit, ok := r.Inspect(l.Index, l.Leaf); ok {
			found = append(found, tlog.Hit[LogHit]{Index: l.Index, Hit: hit})
		}
	}
	finished := w.Proven() == w.To
	now := r.Clock.Now()
	if err := r.Record.ProveWindow(ctx, now, r.step(w, before), windowProof(last), found, finished); err != nil {
		return 0, nil, err
	}
	failpoint.Hit("audit/window-proven")
	if finished {
		w.FinishedAt = now
	}
	return len(found), nil, nil
}

// check holds what was read against the inclusion proof of its last entry. Where that entry does not fit its own proof, which
// is no evidence, a consistency proof may still show that the signed tree has other entries; if it shows that it has these,
// they are proven, and there is an error all the same.
func (r *WindowReader) check(ctx context.Context, at *rekor.V1Window) (tlog.Inclusion, *tlog.Misbehaviour, error) {
	last, m, err := r.entry(ctx, at.Next-1)
	if err == nil && m == nil {
		m, err = at.Prove(last)
	}
	var failed *rekor.V1CheckError
	if !errors.As(err, &failed) || failed.Check != rekor.V1CheckInclusion {
		return last, m, err
	}
	root, rangeErr := tlog.RangeRoot(at.Next, at.Range)
	if rangeErr != nil {
		return last, nil, rangeErr
	}
	read := tlog.SignedCheckpoint{Origin: r.Shard.Checkpoint.Origin, Size: at.Next}
	copy(read.Root[:], root)
	m, unknown := tlog.Relate(ctx, r.Source, read, r.Shard.Checkpoint)
	switch {
	case unknown != nil:
		return last, nil, err
	case m == nil:
		at.Proven, at.ProvenRange = at.Next, slices.Clone(at.Range)
		return last, nil, err
	}
	return last, &tlog.Misbehaviour{Kind: tlog.KindEntriesMismatch, New: m.New, Proof: m.Proof, From: at.Proven, To: at.Next, Computed: hex.EncodeToString(root),
		OldRange: hexHashes(at.ProvenRange), NewRange: hexHashes(at.Range), Detail: fmt.Sprintf("entries %d to %d do not hash to the signed root of size %d, %x: with them, the first %d have the root %x",
			at.Proven, at.Next-1, r.Shard.Checkpoint.Size, r.Shard.Checkpoint.Root, at.Next, root)}, nil
}

// void keeps a misbehaviour, and goes back to what is proven.
func (r *WindowReader) void(ctx context.Context, w *Window, before uint64, m *tlog.Misbehaviour) error {
	r.Logger.Error("log misbehaved", "log", w.Origin, "kind", m.Kind, "detail", m.Detail)
	if s := w.State; s != nil {
		s.Next, s.Range = s.Proven, slices.Clone(s.ProvenRange)
	}
	err := r.Record.VoidWindow(ctx, r.Clock.Now(), r.step(w, before), m)
	failpoint.Hit("audit/window-voided")
	return err
}

// narrow looks for the first page that the log's signed tree does not have, in a few proofs, and makes the evidence of that
// page, with its entries. It gives up at a proof that it does not get: then the evidence is of the whole run.
func (r *WindowReader) narrow(ctx context.Context, whole *tlog.Misbehaviour, run *windowRun) *tlog.Misbehaviour {
	if run.base.Next != run.base.Proven || len(run.pages) == 0 {
		return whole // part of it was read before an interruption: of that, the leaves are gone
	}
	// Pages below low are the signed tree's; those below high are not. good is the window at the end of the former.
	low, high, good, found := 0, len(run.pages), cloneWindow(run.base), whole
	for high-low > 1 {
		middle := (low + high) / 2
		at := cloneWindow(good)
		for _, p := range run.pages[low:middle] {
			if at.Append(p.leaves...) != nil {
				return found
			}
		}
		_, m, _ := r.check(ctx, at)
		switch {
		case m != nil && m.Rewinds():
			high, found = middle, m
		case m == nil && at.Proven == at.Next:
			low, good = middle, at
		default:
			return found
		}
	}
	// The evidence of the one page that is left.
	page := run.pages[low]
	at := cloneWindow(good)
	if at.Append(page.leaves...) != nil {
		return found
	}
	_, m, _ := r.check(ctx, at)
	if m == nil || !m.Rewinds() {
		return found
	}
	for _, leaf := range page.leaves {
		hash := tlog.LeafHash(leaf)
		m.LeafHashes = append(m.LeafHashes, hex.EncodeToString(hash[:]))
	}
	m.Leaves = page.leaves
	return m
}

func hexHashes(hashes [][]byte) []string {
	var all []string
	for _, h := range hashes {
		all = append(all, hex.EncodeToString(h))
	}
	return all
}

func cloneWindow(w *rekor.V1Window) *rekor.V1Window {
	c := *w
	c.Range, c.ProvenRange = slices.Clone(w.Range), slices.Clone(w.ProvenRange)
	return &c
}

// Deadline stops a reader at an instant.
func Deadline(c clock.Clock, at time.Time) func() bool {
	return func() bool { return !c.Now().Before(at) }
}
