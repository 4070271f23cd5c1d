package tlog

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/transparency-dev/merkle/compact"

	"github.com/rekoncile/rekoncile/internal/failpoint"
)

// Defaults of a Follower.
const (
	defaultParallel     = 8
	defaultBatchEntries = 16_384
	defaultProveEntries = 1 << 20
)

// page is a run of leaves on its way through the pipeline: fetched, hashed and scanned by one goroutine.
type page[H any] struct {
	from, to uint64
	nodes    *compact.Range // [from, to)
	hits     []Hit[H]
	digests  []uint64
	bytes    int64
	err      error
}

// pages reads from tree's end to an index and appends what it reads to tree and to r, a transaction a batch. Pages are
// fetched in parallel and taken in order; at most twice Parallel of them are in memory.
func (f *Follower[H]) pages(ctx context.Context, tree *compact.Range, to uint64, r *run, out *Outcome) error {
	ctx, cancel := context.WithCancel(ctx)
	parallel := f.Parallel
	if parallel <= 0 {
		parallel = defaultParallel
	}
	type job struct {
		from, to uint64
		done     chan *page[H]
	}
	jobs := make(chan job)
	order := make(chan chan *page[H], parallel)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	for range parallel {
		workers.Go(func() {
			hasher := newPageHasher()
			for j := range jobs {
				j.done <- f.page(ctx, hasher, j.from, j.to)
			}
		})
	}
	from := tree.End()
	workers.Go(func() {
		defer close(order)
		defer close(jobs)
		size := max(f.Source.PageSize(), 1)
		for at := from; at < to; {
			end := min((at/size+1)*size, to)
			done := make(chan *page[H], 1)
			select {
			case order <- done:
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- job{at, end, done}:
			case <-ctx.Done():
				return
			}
			at = end
		}
	})
	return f.commit(ctx, tree, order, to, r, out)
}

// commit takes pages in order and writes them in batches.
func (f *Follower[H]) commit(ctx context.Context, tree *compact.Range, order <-chan chan *page[H], to uint64, r *run, out *Outcome) error {
	batchEntries := f.BatchEntries
	if batchEntries == 0 {
		batchEntries = defaultBatchEntries
	}
	batch := Batch[H]{From: tree.End()}
	for done := range order {
		var p *page[H]
		select {
		case p = <-done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if p.err != nil {
			return p.err
		}
		if err := tree.AppendRange(p.nodes, nil); err != nil {
			return fmt.Errorf("entries %d to %d: %w", p.from, p.to, err)
		}
		r.parts = append(r.parts, part{p.to, p.nodes.Hashes()})
		batch.Hits = append(batch.Hits, p.hits...)
		batch.Digests = append(batch.Digests, p.digests...)
		batch.Bytes += p.bytes
		batch.To = p.to
		if batch.To-batch.From < batchEntries && batch.To < to {
			continue
		}
		batch.Range = slices.Clone(tree.Hashes()) // the tree goes on to change its own
		if err := f.Store.Advance(ctx, f.Clock.Now(), batch); err != nil {
			return err
		}
		failpoint.Hit("tlog/batch-committed")
		out.To, out.Hits, out.Bytes = batch.To, out.Hits+len(batch.Hits), out.Bytes+batch.Bytes
		if f.Progress != nil {
			f.Progress(batch.To - batch.From)
		}
		batch = Batch[H]{From: batch.To}
	}
	if tree.End() != to {
		return context.Cause(ctx) // the producer stopped early: it does so for one reason only
	}
	return nil
}

// page fetches, hashes and scans [from, to). Scan looks at the page's own memory, which it must not keep; Inspect gets a copy.
func (f *Follower[H]) page(ctx context.Context, h *pageHasher, from, to uint64) *page[H] {
	p := &page[H]{from: from, to: to, nodes: rangeFactory.NewEmptyRange(from)}
	p.err = f.fetch(ctx, from, to, func(at uint64, got Page) error {
		p.bytes += got.Bytes
		hashes := got.LeafHashes
		if len(hashes) != len(got.Leaves) {
			hashes = h.leaves(got.Leaves)
		}
		if err := h.appendTo(p.nodes, at, hashes); err != nil {
			return err
		}
		for i, leaf := range got.Leaves {
			if f.Digest != nil {
				p.digests = append(p.digests, f.Digest(leaf))
			}
			if f.Scan(leaf) {
				if hit, ok := f.Inspect(at+uint64(i), bytes.Clone(leaf)); ok {
					p.hits = append(p.hits, Hit[H]{Index: at + uint64(i), Hit: hit})
				}
			}
		}
		return nil
	})
	return p
}

// fetch reads [from, to) from the source, which may give less at a time than it was asked for, but never nothing. take must
// not keep the leaves: they are given back to the source when it returns.
func (f *Follower[H]) fetch(ctx context.Context, from, to uint64, take func(at uint64, got Page) error) error {
	for at := from; at < to; {
		got, err := f.Source.Page(ctx, at, to)
		if err != nil {
			return fmt.Errorf("entries %d to %d: %w", at, to, err)
		}
		n := uint64(len(got.Leaves))
		if got.First != at || n == 0 || n > to-at {
			return fmt.Errorf("entries %d to %d were asked for, %d from %d came", at, to, n, got.First)
		}
		err = take(at, got)
		if got.Release != nil {
			got.Release()
		}
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}
