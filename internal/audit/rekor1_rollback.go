package audit

import (
	"context"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// proofStore is the record of what was proven by name.
type proofStore interface {
	// ProofBelow is the inclusion proof of the last entry of a shard that was proven and whose index is below a size; nil if
	// there is none.
	ProofBelow(ctx context.Context, origin string, size uint64) (*tlog.Inclusion, error)
}

// byProven holds a tree that the log could not relate to the one held against an entry that was proven before. A log that was
// rolled back has no proof between the two, and a proof that it does not give is no evidence; but it signs a proof of what it has
// at that index now. Where the two agree, what follows the entry stays unknown, which is why the error.
func (p *rekor1Pass) byProven(ctx context.Context, cp tlog.SignedCheckpoint, unrelated error) (*tlog.Misbehaviour, error) {
	held, err := p.Store.ProofBelow(ctx, cp.Origin, cp.Size)
	if err != nil {
		return nil, &recordError{err}
	}
	_, treeID, ok := rekor.TreeOf(cp.Origin)
	if held == nil || !ok {
		return nil, unrelated
	}
	e, err := p.log.Tree(treeID).EntryAt(ctx, held.Index)
	if ends(ctx, err) {
		return nil, err
	}
	var m *tlog.Misbehaviour
	if err == nil {
		m, err = tlog.Disagree(*held, e.Inclusion())
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("entry %d, which was proven before: %w; %w", held.Index, err, unrelated)
	case m == nil:
		return nil, fmt.Errorf("up to entry %d, which was proven before, it is the tree that was seen; %w", held.Index, unrelated)
	}
	return m, nil
}
