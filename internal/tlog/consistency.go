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
		return cp, f.misbehaved(ctx, out, &Misbehaviour{Kind: KindFork, Old: EvidenceOf(old), New: EvidenceOf(cp),
			Detail: fmt.Sprintf("two signed trees of size %d have different roots", cp.Size)})
	case old.Size == 0 || cp.Size == 0:
		// Every tree has the empty one as its prefix (RFC 6962 §2.1.2 knows no proof for it).
	default:
		if m, err := f.contradiction(ctx, state, cp); err != nil {
			return cp, err
		} else if m != nil {
			return cp, f.misbehaved(ctx, out, m)
		}
	}
	if cp.Size < old.Size {
		out.Stale = true
		return old, f.Store.Saw(ctx, f.Clock.Now(), cp)
	}
	// What it grew by between the last look at it and its end is nobody's fault.
	if !f.FrozenAt.IsZero() && !state.SeenAt.Before(f.FrozenAt) {
		if err := f.misbehaved(ctx, out, &Misbehaviour{Kind: KindFrozenGrew, Old: EvidenceOf(old), New: EvidenceOf(cp),
			Detail: fmt.Sprintf("it grew from %d to %d entries after its end", old.Size, cp.Size)}); err != nil {
			return cp, err
		}
	}
	return cp, f.Store.Saw(ctx, f.Clock.Now(), cp)
}

// contradiction asks the log for a proof that a checkpoint and the largest one seen, of other sizes than each other and
// than zero, are of one log. It returns the misbehaviour where they are not, and an error where that is not known.
func (f *Follower[H]) contradiction(ctx context.Context, state State, cp SignedCheckpoint) (*Misbehaviour, error) {
	old := state.Checkpoint
	small, large, kind := old, cp, KindFork
	if cp.Size < old.Size {
		small, large, kind = cp, old, KindRollback
	}
	if kind == KindRollback {
		if m := f.frontiersDiffer(ctx, state, cp); m != nil {
			return m, nil
		}
	}
	verdict, hashes, err := relation(ctx, f.Source, small, large)
	switch {
	case err != nil:
		return nil, fmt.Errorf("whether the trees of sizes %d and %d are one log is not known: %w", small.Size, large.Size, err)
	case verdict == consistent:
		return nil, nil
	case verdict == contradiction:
		return &Misbehaviour{Kind: kind, Old: EvidenceOf(old), New: EvidenceOf(cp), Proof: hexAll(hashes),
			Detail: fmt.Sprintf("the signed tree of size %d is no prefix of the signed tree of size %d", small.Size, large.Size)}, nil
	}
	return nil, fmt.Errorf("whether the trees of sizes %d and %d are one log is not known: the proof fits neither root", small.Size, large.Size)
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
			return &Misbehaviour{Kind: KindRollback, Old: EvidenceOf(state.Checkpoint), New: EvidenceOf(cp), To: state.Proven,
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

// relation asks a log for a proof between two trees of 0 < small.Size < large.Size. It returns what the proof shows, and the
// hashes that show it.
func relation(ctx context.Context, log Source, small, large SignedCheckpoint) (verdict, [][]byte, error) {
	hashes, err := log.ConsistencyProof(ctx, small.Size, large.Size)
	if err != nil {
		return undecided, nil, err
	}
	shown := contradicts(small, large, hashes)
	if shown != undecided || !wholeSubtree(small.Size) {
		return shown, hashes, nil
	}
	// The root that such a proof lacks is all of the compact range, and the proof authenticates it.
	frontier, err := log.Frontier(ctx, small.Size, large.Size)
	if err != nil {
		return undecided, nil, fmt.Errorf("the proof does not fit, and the root that it is of: %w", err)
	}
	hashes = append(frontier, hashes...)
	return contradicts(small, large, hashes), hashes, nil
}

// wholeSubtree says that a tree is one full subtree of every larger one: its size is a power of two.
func wholeSubtree(size uint64) bool { return size&(size-1) == 0 }

// contradicts verifies a consistency proof. A proof that leads to the large root over another small root is evidence: no
// honest log signs both trees. One that does not lead to the large root says nothing.
func contradicts(small, large SignedCheckpoint, hashes [][]byte) verdict {
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, small.Size, large.Size, hashes, small.Root[:], large.Root[:])
	if err == nil {
		return consistent
	}
	// Of a tree whose size is a power of two the proof does not have the root: it is the verifier's own, and the proof
	// cannot tell which one is wrong. Evidence of such a tree has, before the proof, the root that it does fit.
	if wholeSubtree(small.Size) && len(hashes) > 0 && !bytes.Equal(hashes[0], small.Root[:]) &&
		proof.VerifyConsistency(rfc6962.DefaultHasher, small.Size, large.Size, hashes[1:], hashes[0], large.Root[:]) == nil {
		return contradiction
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
	read := SignedCheckpoint{Size: tree.End()}
	copy(read.Root[:], root)
	return relation(ctx, f.Source, read, cp)
}
