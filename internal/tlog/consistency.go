package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

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

// holds says whether the checkpoint's tree has the tree that was read as its prefix, and returns the proof.
func (f *Follower[H]) holds(ctx context.Context, tree *compact.Range, cp SignedCheckpoint) (verdict, [][]byte, error) {
	if tree.End() == 0 {
		return consistent, nil, nil
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return undecided, nil, err
	}
	if tree.End() == cp.Size {
		if bytes.Equal(root, cp.Root[:]) {
			return consistent, nil, nil
		}
		return contradiction, nil, nil
	}
	hashes, err := f.Source.ConsistencyProof(ctx, tree.End(), cp.Size)
	if err != nil {
		return undecided, nil, err
	}
	read := SignedCheckpoint{Size: tree.End()}
	copy(read.Root[:], root)
	return contradicts(read, cp, hashes), hashes, nil
}
