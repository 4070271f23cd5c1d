package tlog

import (
	"bytes"
	"context"
	"crypto/sha256"
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
//	                          └─no─▶ rewind to proven, keep checkpoint and leaves as evidence
type Follower[H any] struct {
	Source Source
	Store  Store[H]
	// Scan says whether a leaf is worth a closer look: fast, without false negatives. Inspect takes the look, and
	// says whether the leaf is kept. Both are called from several goroutines.
	Scan    func(leaf []byte) bool
	Inspect func(index uint64, leaf []byte) (H, bool)
	// Start says where a log is taken up that is not known yet, given its size.
	Start func(size uint64) uint64
	// Frozen says that the log is not expected to grow.
	Frozen bool
	Clock  clock.Clock
	Logger *slog.Logger
	// Parallel is how many pages are in flight; 0 is 8. What is in memory is at most twice as many.
	Parallel int
	// BatchEntries is how many leaves one transaction covers at least; 0 is 16,384.
	BatchEntries uint64
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
	if !state.Known {
		if err := f.begin(ctx, cp); err != nil {
			return out, err
		}
		out.Began = true
		if state, err = f.Store.State(ctx); err != nil {
			return out, err
		}
	} else if cp, err = f.advance(ctx, state, cp, &out); err != nil || len(out.Misbehaviours) > 0 && out.Misbehaviours[0].Kind != KindFrozenGrew {
		return out, err
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
	start := f.Start(cp.Size)
	if start > cp.Size {
		return fmt.Errorf("the log has %d entries: it cannot be taken up at %d", cp.Size, start)
	}
	var frontier [][]byte
	if start > 0 {
		var err error
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
	err := f.Store.Begin(ctx, f.Clock.Now(), start, frontier, cp)
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

// RangeRoot is the root hash of the tree of the given size, from the node hashes of the compact range [0, size).
func RangeRoot(size uint64, hashes [][]byte) ([]byte, error) {
	if size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	r, err := rangeFactory.NewRange(0, size, hashes)
	if err != nil {
		return nil, err
	}
	return r.GetRootHash(nil)
}

// advance compares a new checkpoint with the largest one seen, and returns the one to read up to.
func (f *Follower[H]) advance(ctx context.Context, state State, cp SignedCheckpoint, out *Outcome) (SignedCheckpoint, error) {
	old := state.Checkpoint
	switch {
	case cp.Size == old.Size && cp.Root == old.Root:
		return cp, f.Store.Saw(ctx, f.Clock.Now(), cp)
	case cp.Size == old.Size:
		return cp, f.misbehaved(ctx, out, &Misbehaviour{Kind: KindFork, Old: evidenceOf(old), New: evidenceOf(cp),
			Detail: fmt.Sprintf("two signed trees of size %d have different roots", cp.Size)})
	case old.Size == 0 || cp.Size == 0:
		// Every tree has the empty one as its prefix (RFC 6962 §2.1.2 knows no proof for it).
		out.Stale = cp.Size == 0
		if out.Stale {
			return old, nil
		}
		return cp, f.Store.Saw(ctx, f.Clock.Now(), cp)
	}
	small, large, kind := old, cp, KindFork
	if cp.Size < old.Size {
		small, large, kind = cp, old, KindRollback
	}
	if kind == KindRollback {
		if m := f.frontiersDiffer(ctx, state, cp); m != nil {
			return cp, f.misbehaved(ctx, out, m)
		}
	}
	hashes, err := f.Source.ConsistencyProof(ctx, small.Size, large.Size)
	if err != nil {
		return cp, fmt.Errorf("whether the trees of sizes %d and %d are one log is not known: %w", small.Size, large.Size, err)
	}
	switch contradicts(small, large, hashes) {
	case consistent:
	case contradiction:
		return cp, f.misbehaved(ctx, out, &Misbehaviour{Kind: kind, Old: evidenceOf(old), New: evidenceOf(cp), Proof: hexAll(hashes),
			Detail: fmt.Sprintf("the signed tree of size %d is no prefix of the signed tree of size %d", small.Size, large.Size)})
	default:
		return cp, fmt.Errorf("whether the trees of sizes %d and %d are one log is not known: the proof fits neither root", small.Size, large.Size)
	}
	if cp.Size < old.Size {
		out.Stale = true
		return old, f.Store.Saw(ctx, f.Clock.Now(), cp)
	}
	if f.Frozen {
		if err := f.misbehaved(ctx, out, &Misbehaviour{Kind: KindFrozenGrew, Old: evidenceOf(old), New: evidenceOf(cp),
			Detail: fmt.Sprintf("it grew from %d to %d entries after its end", old.Size, cp.Size)}); err != nil {
			return cp, err
		}
	}
	return cp, f.Store.Saw(ctx, f.Clock.Now(), cp)
}

// frontiersDiffer compares a smaller signed tree with what was proven of the larger one. A log that was rolled back has no
// proof between the two, and a proof that it does not give is no evidence; but where both trees have a subtree in common
// by its place, and the hashes differ, the two signed roots contradict each other.
func (f *Follower[H]) frontiersDiffer(ctx context.Context, state State, cp SignedCheckpoint) *Misbehaviour {
	if cp.Size > state.Proven {
		return nil
	}
	frontier, err := f.Source.Frontier(ctx, cp.Size, cp.Size)
	if err != nil {
		return nil
	}
	if root, err := RangeRoot(cp.Size, frontier); err != nil || !bytes.Equal(root, cp.Root[:]) {
		return nil // not of the tree that was signed: a bad answer
	}
	ours := map[compact.NodeID][]byte{}
	for i, id := range compact.RangeNodes(0, state.Proven, nil) {
		ours[id] = state.ProvenRange[i]
	}
	for i, id := range compact.RangeNodes(0, cp.Size, nil) {
		if held, ok := ours[id]; ok && !bytes.Equal(held, frontier[i]) {
			return &Misbehaviour{Kind: KindRollback, Old: evidenceOf(state.Checkpoint), New: evidenceOf(cp), To: state.Proven,
				OldRange: hexAll(state.ProvenRange), NewRange: hexAll(frontier),
				Detail: fmt.Sprintf("the signed tree of size %d and the proven one of size %d differ in the subtree of level %d, index %d", cp.Size, state.Proven, id.Level, id.Index)}
		}
	}
	return nil
}

// verdict is what a consistency proof says about two signed trees.
type verdict int

const (
	undecided     verdict = iota // a bad answer: it fits neither
	consistent                   // the small tree is a prefix of the large one
	contradiction                // the large tree has another prefix of that size: both cannot be of one log
)

// contradicts verifies a consistency proof. A proof that leads to the large root over another small root is evidence: no
// honest log signs both trees. One that does not lead to the large root says nothing.
func contradicts(small, large SignedCheckpoint, hashes [][]byte) verdict {
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, small.Size, large.Size, hashes, small.Root[:], large.Root[:])
	if err == nil {
		return consistent
	}
	var mismatch proof.RootMismatchError
	if !errors.As(err, &mismatch) || !bytes.Equal(mismatch.ExpectedRoot, small.Root[:]) {
		return undecided
	}
	if proof.VerifyConsistency(rfc6962.DefaultHasher, small.Size, large.Size, hashes, mismatch.CalculatedRoot, large.Root[:]) == nil {
		return contradiction
	}
	return undecided
}

// misbehaved keeps a misbehaviour in the record and in the outcome.
func (f *Follower[H]) misbehaved(ctx context.Context, out *Outcome, m *Misbehaviour) error {
	f.Logger.Error("log misbehaved", "kind", m.Kind, "detail", m.Detail)
	out.Misbehaviours = append(out.Misbehaviours, m)
	err := f.Store.Misbehaved(ctx, f.Clock.Now(), m)
	failpoint.Hit("tlog/misbehaviour-kept")
	return err
}

// read reads leaves from state.Read up to target, and proves them.
func (f *Follower[H]) read(ctx context.Context, state State, cp SignedCheckpoint, target uint64, out *Outcome) error {
	tree, err := rangeFactory.NewRange(0, state.Read, slices.Clone(state.ReadRange))
	if err != nil {
		return fmt.Errorf("the record's compact range: %w", err)
	}
	kept := &keeper{from: state.Read}
	if state.Read < target {
		if err := f.pages(ctx, tree, state.Read, target, kept, out); err != nil {
			return err
		}
	}
	if tree.End() == state.Proven || tree.End() > target {
		return nil
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return err
	}
	if tree.End() == cp.Size && !bytes.Equal(root, cp.Root[:]) {
		return f.misbehaved(ctx, out, &Misbehaviour{Kind: KindEntriesMismatch, New: evidenceOf(cp), From: kept.from, To: cp.Size, OldRange: hexAll(state.ReadRange),
			Computed: hex.EncodeToString(root), LeafHashes: kept.hashes, Leaves: kept.leaves,
			Detail: fmt.Sprintf("entries up to %d hash to root %x, the signed root is %x", cp.Size, root, cp.Root)})
	}
	if err := f.commits(ctx, tree.End(), root, cp); err != nil {
		return fmt.Errorf("entries up to %d were read, but are not proven: %w", tree.End(), err)
	}
	if err := f.Store.Prove(ctx, f.Clock.Now(), tree.End(), cp); err != nil {
		return err
	}
	failpoint.Hit("tlog/proven")
	out.Proven = tree.End()
	return nil
}

// keeper keeps the first leaves of a run: evidence, should their root not be the signed one.
type keeper struct {
	from   uint64
	bytes  int
	hashes []string
	leaves [][]byte
}

func (k *keeper) add(leaves [][]byte, hashes [][sha256.Size]byte) {
	const mostHashes, mostBytes = 4096, 1 << 20
	for i, leaf := range leaves {
		if len(k.hashes) >= mostHashes {
			return
		}
		k.hashes = append(k.hashes, hex.EncodeToString(hashes[i][:]))
		if len(k.leaves) == len(k.hashes)-1 && k.bytes+len(leaf) <= mostBytes {
			k.leaves = append(k.leaves, bytes.Clone(leaf))
			k.bytes += len(leaf)
		}
	}
}

// now is short for the clock.
func (f *Follower[H]) now() time.Time { return f.Clock.Now() }

// rangeFactory makes compact ranges of RFC 6962 trees.
var rangeFactory = compact.RangeFactory{Hash: hashChildren}

// hashChildren is the hash of an inner node (RFC 6962 §2.1).
func hashChildren(left, right []byte) []byte {
	var node [1 + 2*sha256.Size]byte
	node[0] = 1
	copy(node[1:], left)
	copy(node[1+sha256.Size:], right)
	sum := sha256.Sum256(node[:])
	return sum[:]
}
