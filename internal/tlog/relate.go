package tlog

import (
	"context"
	"fmt"
)

// Relate shows that two signed trees of one origin, in either order of size, are one log, by a proof that it asks the log
// for. Where the proof shows that they are not, it returns the misbehaviour, a [KindFork] with the evidence. An error means
// that it is not known: the log gave no proof, or one that fits neither tree.
func Relate(ctx context.Context, log Source, a, b SignedCheckpoint) (*Misbehaviour, error) {
	if a.Origin != b.Origin {
		return nil, fmt.Errorf("a checkpoint of %q and one of %q are of different trees", clip(a.Origin), clip(b.Origin))
	}
	small, large := a, b
	if small.Size > large.Size {
		small, large = large, small
	}
	fork := &Misbehaviour{Kind: KindFork, Old: EvidenceOf(a), New: EvidenceOf(b)}
	switch {
	case small.Size == large.Size && small.Root == large.Root:
		return nil, nil
	case small.Size == large.Size:
		fork.Detail = fmt.Sprintf("two signed trees of size %d have different roots", small.Size)
		return fork, nil
	case small.Size == 0:
		return nil, nil // every tree has the empty one as its prefix
	}
	shown, hashes, err := relation(ctx, log, small, large)
	switch {
	case err != nil:
		return nil, fmt.Errorf("whether the trees of sizes %d and %d are one log is not known: %w", small.Size, large.Size, err)
	case shown == consistent:
		return nil, nil
	case shown == contradiction:
		fork.Proof = hexAll(hashes)
		fork.Detail = fmt.Sprintf("the signed tree of size %d is no prefix of the signed tree of size %d", small.Size, large.Size)
		return fork, nil
	}
	return nil, fmt.Errorf("whether the trees of sizes %d and %d are one log is not known: the proof fits neither root", small.Size, large.Size)
}
