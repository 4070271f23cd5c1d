package tlog

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
)

// InclusionEvidence is the inclusion proof of an entry, as evidence; the checkpoint is beside it.
type InclusionEvidence struct {
	Index    uint64   `json:"index"`
	LeafHash string   `json:"leaf_hash"` // hex
	Path     []string `json:"path"`      // hex, from the leaf up
}

func inclusionEvidence(p Inclusion) *InclusionEvidence {
	return &InclusionEvidence{Index: p.Index, LeafHash: hex.EncodeToString(p.LeafHash[:]), Path: hexAll(p.Path)}
}

// of is the proof in a tree. What is not made of hashes proves nothing.
func (e *InclusionEvidence) of(cp SignedCheckpoint) Inclusion {
	p := Inclusion{Index: e.Index, Checkpoint: cp}
	if hash, err := hex.DecodeString(e.LeafHash); err == nil && len(hash) == len(p.LeafHash) {
		copy(p.LeafHash[:], hash)
	}
	p.Path, _ = unhex(e.Path) // without it, the proof does not hold
	return p
}

// Disagree holds two signed trees of one origin against each other by the inclusion proofs that they have of one index. What
// stands to the left of a leaf's path is all that lies before the leaf, in whatever later tree the proof is: where it differs,
// or the leaf does, no log is both trees, and the result is a [KindFork] with the evidence. Nil says that they are the same up
// to and with the leaf, and nothing of what follows it. The error is of a proof that does not hold.
//
// This needs no proof between the two trees, which a log that was rolled back cannot give.
func Disagree(old, latest Inclusion) (*Misbehaviour, error) {
	if old.Checkpoint.Origin != latest.Checkpoint.Origin || old.Index != latest.Index {
		return nil, fmt.Errorf("entry %d of %q and entry %d of %q cannot be compared", old.Index, clip(old.Checkpoint.Origin), latest.Index, clip(latest.Checkpoint.Origin))
	}
	before, err := old.Before()
	if err != nil {
		return nil, fmt.Errorf("entry %d in the tree of size %d: %w", old.Index, old.Checkpoint.Size, err)
	}
	now, err := latest.Before()
	if err != nil {
		return nil, fmt.Errorf("entry %d in the tree of size %d: %w", latest.Index, latest.Checkpoint.Size, err)
	}
	if old.LeafHash == latest.LeafHash && slices.EqualFunc(before, now, bytes.Equal) {
		return nil, nil
	}
	what := "what lies before it is"
	if old.LeafHash != latest.LeafHash {
		what = "it is"
	}
	return &Misbehaviour{Kind: KindFork, Old: EvidenceOf(old.Checkpoint), New: EvidenceOf(latest.Checkpoint),
		OldInclusion: inclusionEvidence(old), NewInclusion: inclusionEvidence(latest),
		Detail: fmt.Sprintf("both the signed tree of size %d and the signed tree of size %d have an entry %d, and %s another in each", old.Checkpoint.Size, latest.Checkpoint.Size, old.Index, what)}, nil
}
