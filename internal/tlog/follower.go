package tlog

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/failpoint"
)

// Follower follows one log: it reads what is new, proves that it saw every leaf, and keeps what Inspect makes of them.
//
// It promises that Proven never passes a leaf that no verified root commits to, that a leaf is inspected exactly once
// between two proofs however often it is interrupted, that a log which contradicts itself is reported with the
// evidence and believed no further, and that memory grows neither with the log nor with the backlog. What a proof cannot
// decide is an error, not a misbehaviour: a bad answer is no evidence.
//
//	checkpoint ─verify─▶ consistent with the stored one? ─yes─▶ ┌ pages, Parallel in flight ───────────────┐
//	     (Source)          proof, root₁ and root₂               │ fetch ▶ hash leaves ▶ scan ▶ inspect hits │
//	                                                            └────────────── in order ──────────────────┘
//	   proven = size ◀─yes─ root equal? ◀─ compact range ◀─ one transaction a batch: cursor (compare-and-swap) + hits
//	                          └─no─▶ narrow it down to a page, rewind to proven, keep checkpoint, proof and leaves as evidence
type Follower[H any] struct {
	Source Source
	Store  Store[H]
	// Scan says whether a leaf is worth a closer look: fast, without false negatives. Inspect takes the look, and
	// says whether the leaf is kept. Both are called from several goroutines.
	Scan    func(leaf []byte) bool
	Inspect func(index uint64, leaf []byte) (H, bool)
	// Digest is a number that is kept of each leaf, with the batch; nil keeps none. It is called like Scan.
	Digest func(leaf []byte) uint64
	// Start says where a log is taken up that is not known yet, given its size. It may ask the log.
	Start func(ctx context.Context, size uint64) (uint64, error)
	// FrozenAt is when the log ended: it is not expected to grow after that. Zero is an open log.
	FrozenAt time.Time
	Clock    clock.Clock
	Logger   *slog.Logger
	// Parallel is how many pages are in flight; 0 is 8. What is in memory is at most twice as many.
	Parallel int
	// BatchEntries is how many leaves one transaction covers at least; 0 is 16,384.
	BatchEntries uint64
	// ProveEntries is how many leaves are read at most before they are proven; 0 is 1,048,576. Each proof costs some
	// requests, and leaves that do not hash to the signed root make void what was read since the last one.
	ProveEntries uint64
	// Stop says that enough was read for now: the rest is left for another run. It is asked before anything is read and after
	// each proof; may be nil.
	Stop func() bool
	// Progress is told how many leaves were read; may be nil.
	Progress func(leaves uint64)
}

// Outcome is what one run did.
type Outcome struct {
	Checkpoint SignedCheckpoint
	Began      bool
	From, To   uint64 // leaves read
	Proven     uint64
	Hits       int
	Bytes      int64
	// Stale says that the log showed an older tree than before, consistent with it: a cache.
	Stale bool
	// Misbehaviours are already in the record.
	Misbehaviours []*Misbehaviour
}

// Follow makes one run: to the log's latest checkpoint, or to until if that comes first (0: no limit).
func (f *Follower[H]) Follow(ctx context.Context, until uint64) (Outcome, error) {
	var out Outcome
	state, err := f.Store.State(ctx)
	if err != nil {
		return out, err
	}
	out.Proven = state.Proven
	cp, err := f.Source.Checkpoint(ctx)
	var bad *BadCheckpointError
	if errors.As(err, &bad) {
		return out, f.misbehaved(ctx, &out, &Misbehaviour{Kind: KindBadCheckpoint, New: Evidence{Raw: bad.Raw}, Detail: bad.Error()})
	}
	if err != nil {
		return out, fmt.Errorf("checkpoint: %w", err)
	}
	if empty := rfc6962.DefaultHasher.EmptyRoot(); cp.Size == 0 && !bytes.Equal(cp.Root[:], empty) {
		return out, f.misbehaved(ctx, &out, &Misbehaviour{Kind: KindEntriesMismatch, New: EvidenceOf(cp), Computed: hex.EncodeToString(empty),
			Detail: fmt.Sprintf("the signed root of the empty tree is %x", cp.Root)})
	}
	if state.Known || len(state.Checkpoint.Raw) > 0 { // trees of a log may be on record before it is taken up
		if cp, err = f.advance(ctx, state, cp, &out); err != nil || len(out.Misbehaviours) > 0 && out.Misbehaviours[0].Kind != KindFrozenGrew {
			return out, err
		}
	}
	if !state.Known {
		if err := f.begin(ctx, cp); err != nil {
			return out, err
		}
		out.Began = true
		if state, err = f.Store.State(ctx); err != nil {
			return out, err
		}
	}
	out.Checkpoint, out.From, out.To, out.Proven = cp, state.Read, state.Read, state.Proven
	target := cp.Size
	if until > 0 && until < target {
		target = until
	}
	return out, f.read(ctx, state, cp, target, &out)
}

// begin takes the log up. The compact range before the start comes from the log; a consistency proof shows that the
// checkpoint commits to it, so that nothing unproven is ever stored.
func (f *Follower[H]) begin(ctx context.Context, cp SignedCheckpoint) error {
	start, err := f.Start(ctx, cp.Size)
	if err != nil {
		return fmt.Errorf("where to take the log up: %w", err)
	}
	if start > cp.Size {
		return fmt.Errorf("the log has %d entries: it cannot be taken up at %d", cp.Size, start)
	}
	var frontier [][]byte
	if start > 0 {
		if frontier, err = f.Source.Frontier(ctx, start, cp.Size); err != nil {
			return fmt.Errorf("what lies before entry %d: %w", start, err)
		}
		root, err := RangeRoot(start, frontier)
		if err != nil {
			return fmt.Errorf("what lies before entry %d: %w", start, err)
		}
		if err := f.commits(ctx, start, root, cp); err != nil {
			return fmt.Errorf("what lies before entry %d: %w", start, err)
		}
	}
	err = f.Store.Begin(ctx, f.Clock.Now(), start, frontier, cp)
	failpoint.Hit("tlog/begun")
	return err
}

// commits checks that a checkpoint's tree has a tree of the given size and root as its prefix.
func (f *Follower[H]) commits(ctx context.Context, size uint64, root []byte, cp SignedCheckpoint) error {
	if size == cp.Size {
		if !bytes.Equal(root, cp.Root[:]) {
			return fmt.Errorf("root %x is not the %x of the checkpoint", root, cp.Root)
		}
		return nil
	}
	hashes, err := f.Source.ConsistencyProof(ctx, size, cp.Size)
	if err != nil {
		return err
	}
	return proof.VerifyConsistency(rfc6962.DefaultHasher, size, cp.Size, hashes, root, cp.Root[:])
}

// read reads leaves from state.Read up to target and proves them, at the latest after each ProveEntries: what is not proven
// is not announced, and a run that turns out false is void to its beginning.
func (f *Follower[H]) read(ctx context.Context, state State, cp SignedCheckpoint, target uint64, out *Outcome) error {
	tree, err := rangeFactory.NewRange(0, state.Read, slices.Clone(state.ReadRange))
	if err != nil {
		return fmt.Errorf("the record's compact range: %w", err)
	}
	if tree.End() > target {
		return nil
	}
	step := f.ProveEntries
	if step == 0 {
		step = defaultProveEntries
	}
	for {
		if f.Stop != nil && tree.End() == out.Proven && f.Stop() {
			return nil
		}
		run := newRun(tree)
		if end := min(target, (tree.End()/step+1)*step); tree.End() < end {
			if err := f.pages(ctx, tree, end, run, out); err != nil {
				return err
			}
		}
		if tree.End() == out.Proven {
			return nil
		}
		if err := f.prove(ctx, state, tree, run, cp, out); err != nil || tree.End() != out.Proven || tree.End() == target {
			return err
		}
		state.Proven, state.ProvenRange = tree.End(), slices.Clone(tree.Hashes())
	}
}

// prove shows that the checkpoint commits to what was read. Where it does not, the run is void.
func (f *Follower[H]) prove(ctx context.Context, state State, tree *compact.Range, run *run, cp SignedCheckpoint, out *Outcome) error {
	verdict, hashes, err := f.holds(ctx, tree, cp)
	switch {
	case err != nil:
		return fmt.Errorf("entries up to %d were read, but are not proven: %w", tree.End(), err)
	case verdict == undecided:
		return fmt.Errorf("entries up to %d were read, but are not proven: the log's proof fits neither them nor its signed root", tree.End())
	case verdict == contradiction:
		m, err := f.mismatch(ctx, state, tree, run, cp, hashes)
		if err != nil {
			return err
		}
		return f.misbehaved(ctx, out, m)
	}
	if err := f.Store.Prove(ctx, f.Clock.Now(), tree.End(), cp); err != nil {
		return err
	}
	failpoint.Hit("tlog/proven")
	out.Proven = tree.End()
	return nil
}
