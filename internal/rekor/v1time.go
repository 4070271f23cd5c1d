package rekor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxTimeRequests bounds a search for a time. Each request makes the range at least six times smaller, so that twenty are
// enough for any tree.
const maxTimeRequests = 32

// V1Moment is where a time lies in a tree.
type V1Moment struct {
	// Index is that of the first entry at or after the time; the tree's size if there is none.
	Index uint64
	// Before and After are the neighbours that show it, proven: the entry before Index, nil if that is 0, and the one at
	// Index, nil if that is the size.
	Before, After *V1Entry
	// Requests is what it took, and Probed how many entries were looked at.
	Requests, Probed int
	// Backwards is the longest step back in time that was seen between two of these entries, in their order in the tree.
	Backwards time.Duration
}

// FindTime finds the first of a tree's first size entries whose integrated time is at or after a moment. It looks at ten
// entries a request: some where the moment should be if the log had grown evenly, and some evenly spread, for it does not.
//
// The times are authentic, and nothing proves that they never run backwards: a log may take entries out of order, by a
// second or two. So an index that was found is no proof that no earlier entry is later, and whoever wants all of a time
// takes a margin; see [V1Tree.Span].
func (t *V1Tree) FindTime(ctx context.Context, when time.Time, size uint64) (V1Moment, error) {
	s := timeSearch{read: t.entriesAt, when: when, high: size}
	for s.low < s.high {
		if s.m.Requests == maxTimeRequests {
			return s.m, t.fail(errors.New("the search takes too long"), "first entry at or after %s", when.UTC().Format(time.RFC3339))
		}
		if err := s.probe(ctx); err != nil {
			return s.m, t.fail(err, "first entry at or after %s", when.UTC().Format(time.RFC3339))
		}
	}
	s.m.Index = s.low
	return s.m, nil
}

// entriesAt reads and proves entries of the tree, all of them or none.
func (t *V1Tree) entriesAt(ctx context.Context, indices []uint64) ([]*V1Entry, error) {
	shards, _, err := t.shard(ctx)
	if err != nil {
		return nil, err
	}
	globals := make([]uint64, len(indices))
	for i, index := range indices {
		if globals[i], err = shards.Global(t.id, index); err != nil {
			return nil, err
		}
	}
	answers, err := t.log.EntriesAt(ctx, globals)
	if err != nil {
		return nil, err
	}
	entries := make([]*V1Entry, len(answers))
	for i, a := range answers {
		if a.Err != nil {
			return nil, a.Err
		}
		entries[i] = a.Entry
	}
	return entries, nil
}

// timeSearch is a search under way: the index that is looked for lies in [low, high]. The entries at low-1 and high, where
// they exist and were looked at, are m.Before and m.After.
type timeSearch struct {
	read      func(ctx context.Context, indices []uint64) ([]*V1Entry, error)
	when      time.Time
	low, high uint64
	m         V1Moment
}

// probe makes one request and narrows the range by it.
func (s *timeSearch) probe(ctx context.Context) error {
	points := s.points()
	entries, err := s.read(ctx, points)
	if err != nil {
		return err
	}
	s.m.Requests++
	s.m.Probed += len(entries)
	inOrder := slices.DeleteFunc(slices.Concat([]*V1Entry{s.m.Before}, entries, []*V1Entry{s.m.After}), func(e *V1Entry) bool { return e == nil })
	for i, e := range inOrder[1:] {
		s.m.Backwards = max(s.m.Backwards, inOrder[i].IntegratedTime.Sub(e.IntegratedTime))
	}
	for i, e := range entries {
		if !e.IntegratedTime.Before(s.when) {
			s.high, s.m.After = points[i], e
			break
		}
		s.low, s.m.Before = points[i]+1, e
	}
	return nil
}

// points are the indices to look at: at most ten, in order, all in [low, high).
func (s *timeSearch) points() []uint64 {
	n := s.high - s.low
	if n <= v1PageSize {
		all := make([]uint64, n)
		for i := range all {
			all[i] = s.low + uint64(i)
		}
		return all
	}
	if s.m.Requests == 0 {
		all := make([]uint64, v1PageSize)
		for i := range all {
			all[i] = s.low + (n-1)/(v1PageSize-1)*uint64(i)
		}
		all[v1PageSize-1] = s.high - 1
		return all
	}
	const parts = 6
	var all []uint64
	for i := range uint64(parts - 1) {
		all = append(all, s.low+n/parts*(i+1))
	}
	if s.m.Before != nil && s.m.After != nil {
		// The range in time is not empty: the entry before it is too early, and the one after it is not.
		whole := s.m.After.IntegratedTime.Sub(s.m.Before.IntegratedTime)
		share := float64(s.when.Sub(s.m.Before.IntegratedTime)) / float64(whole)
		guess := s.low + min(uint64(share*float64(n)), n-1)
		near, wide := max(n/512, 1), max(n/48, 4)
		for _, at := range []uint64{guess, guess - min(near, guess), guess + near, guess - min(wide, guess), guess + wide} {
			all = append(all, min(max(at, s.low), s.high-1))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// V1Span is the run of a tree's entries that were taken in a period.
type V1Span struct {
	// From and To bound the run: From is its first index, To the one behind its last.
	From, To uint64
	// Margin is by how much the run is longer than the period, in time, at either end.
	Margin   time.Duration
	Requests int
	// Backwards is the longest step back in time that was seen. Above Margin, the run may lack entries of the period.
	Backwards time.Duration
}

// Span finds the run of a tree's first size entries that holds those from one moment to another, both included, with a
// margin at either end: see [V1Tree.FindTime] for why it takes one.
func (t *V1Tree) Span(ctx context.Context, from, to time.Time, margin time.Duration, size uint64) (V1Span, error) {
	if to.Before(from) {
		return V1Span{}, fmt.Errorf("a period cannot end at %s and begin at %s", to.UTC().Format(time.RFC3339), from.UTC().Format(time.RFC3339))
	}
	first, err := t.FindTime(ctx, from.Add(-margin), size)
	if err != nil {
		return V1Span{}, err
	}
	// Integrated times are whole seconds: the first entry of the next one is the first behind the period.
	next, err := t.FindTime(ctx, to.Add(margin).Truncate(time.Second).Add(time.Second), size)
	if err != nil {
		return V1Span{}, err
	}
	return V1Span{
		From: first.Index, To: max(next.Index, first.Index), Margin: margin, Requests: first.Requests + next.Requests,
		Backwards: max(first.Backwards, next.Backwards),
	}, nil
}
