package tlog

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"slices"
	"sync"

	"github.com/transparency-dev/merkle/compact"

	"github.com/rekoncile/rekoncile/internal/failpoint"
)

// Defaults of a Follower.
const (
	defaultParallel     = 8
	defaultBatchEntries = 16_384
)

// page is a run of leaves on its way through the pipeline: fetched, hashed and scanned by one goroutine.
type page[H any] struct {
	from, to uint64
	nodes    *compact.Range // [from, to)
	hits     []Hit[H]
	bytes    int64
	first    *firstLeaves
	err      error
}

// firstLeaves are a page's leaves and their hashes, kept for the first pages of a run only.
type firstLeaves struct {
	leaves [][]byte
	hashes [][sha256.Size]byte
}

// evidencePages is how many pages of a run are kept as evidence.
const evidencePages = 64

// pages reads [from, to) and appends it to tree, a transaction a batch. Pages are fetched in parallel and taken in
// order; at most twice Parallel of them are in memory.
func (f *Follower[H]) pages(ctx context.Context, tree *compact.Range, from, to uint64, kept *keeper, out *Outcome) error {
	ctx, cancel := context.WithCancel(ctx)
	parallel := f.Parallel
	if parallel <= 0 {
		parallel = defaultParallel
	}
	type job struct {
		from, to uint64
		number   int
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
				j.done <- f.page(ctx, hasher, j.from, j.to, j.number < evidencePages)
			}
		})
	}
	workers.Go(func() {
		defer close(order)
		defer close(jobs)
		size := max(f.Source.PageSize(), 1)
		for n, at := 0, from; at < to; n++ {
			end := min((at/size+1)*size, to)
			done := make(chan *page[H], 1)
			select {
			case order <- done:
			case <-ctx.Done():
				return
			}
			select {
			case jobs <- job{at, end, n, done}:
			case <-ctx.Done():
				return
			}
			at = end
		}
	})
	return f.commit(ctx, tree, order, to, kept, out)
}

// commit takes pages in order and writes them in batches.
func (f *Follower[H]) commit(ctx context.Context, tree *compact.Range, order <-chan chan *page[H], to uint64, kept *keeper, out *Outcome) error {
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
		if p.first != nil {
			kept.add(p.first.leaves, p.first.hashes)
		}
		batch.Hits = append(batch.Hits, p.hits...)
		batch.Bytes += p.bytes
		batch.To = p.to
		if batch.To-batch.From < batchEntries && batch.To < to {
			continue
		}
		batch.Range = slices.Clone(tree.Hashes()) // the tree goes on to change its own
		if err := f.Store.Advance(ctx, f.now(), batch); err != nil {
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

// page fetches, hashes and scans [from, to). A source may give less than it was asked for, but never nothing.
func (f *Follower[H]) page(ctx context.Context, h *pageHasher, from, to uint64, keep bool) *page[H] {
	p := &page[H]{from: from, to: to, nodes: rangeFactory.NewEmptyRange(from)}
	for at := from; at < to; {
		got, err := f.Source.Page(ctx, at, to)
		if err != nil {
			p.err = fmt.Errorf("entries %d to %d: %w", at, to, err)
			return p
		}
		n := uint64(len(got.Leaves))
		if got.First != at || n == 0 || n > to-at {
			p.err = fmt.Errorf("entries %d to %d were asked for, %d from %d came", at, to, n, got.First)
			return p
		}
		p.bytes += got.Bytes
		hashes := h.leaves(got.Leaves)
		if p.err = h.appendTo(p.nodes, at, hashes); p.err != nil {
			return p
		}
		for i, leaf := range got.Leaves {
			if f.Scan(leaf) {
				if hit, ok := f.Inspect(at+uint64(i), leaf); ok {
					p.hits = append(p.hits, Hit[H]{Index: at + uint64(i), Hit: hit})
				}
			}
		}
		if keep {
			if p.first == nil {
				p.first = &firstLeaves{}
			}
			p.first.leaves = append(p.first.leaves, got.Leaves...)
			p.first.hashes = append(p.first.hashes, hashes...)
		}
		at += n
	}
	return p
}

// pageHasher hashes leaves into the nodes of a compact range. One goroutine uses it at a time.
type pageHasher struct {
	sha    hash.Hash
	hashes [][sha256.Size]byte
	level  [][sha256.Size]byte
}

func newPageHasher() *pageHasher { return &pageHasher{sha: sha256.New()} }

// leaves hashes leaves; the result is valid until the next call.
func (h *pageHasher) leaves(leaves [][]byte) [][sha256.Size]byte {
	if cap(h.hashes) < len(leaves) {
		h.hashes = make([][sha256.Size]byte, len(leaves))
	}
	h.hashes = h.hashes[:len(leaves)]
	for i, leaf := range leaves {
		h.sha.Reset()
		h.sha.Write(leafPrefix)
		h.sha.Write(leaf)
		h.sha.Sum(h.hashes[i][:0])
	}
	return h.hashes
}

var leafPrefix = []byte{0}

// appendTo appends leaf hashes from an index on. Aligned runs of a power of two become one node at once, which is what
// makes a full page cheap: no allocation and no bookkeeping for each leaf.
func (h *pageHasher) appendTo(nodes *compact.Range, at uint64, hashes [][sha256.Size]byte) error {
	for len(hashes) > 0 {
		// The largest subtree that begins at `at` and fits.
		width := uint64(1)
		for width*2 <= uint64(len(hashes)) && at%(width*2) == 0 {
			width *= 2
		}
		root := h.subtree(hashes[:width])
		run, err := rangeFactory.NewRange(at, at+width, [][]byte{root[:]})
		if err != nil {
			return err
		}
		if err := nodes.AppendRange(run, nil); err != nil {
			return err
		}
		at, hashes = at+width, hashes[width:]
	}
	return nil
}

// subtree is the root of a power of two of leaf hashes.
func (h *pageHasher) subtree(hashes [][sha256.Size]byte) [sha256.Size]byte {
	if cap(h.level) < len(hashes) {
		h.level = make([][sha256.Size]byte, len(hashes))
	}
	level := h.level[:len(hashes)]
	copy(level, hashes)
	var node [1 + 2*sha256.Size]byte
	node[0] = 1
	for len(level) > 1 {
		for i := range len(level) / 2 {
			copy(node[1:], level[2*i][:])
			copy(node[1+sha256.Size:], level[2*i+1][:])
			level[i] = sha256.Sum256(node[:])
		}
		level = level[:len(level)/2]
	}
	return level[0]
}
