package tlog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/rekoncile/rekoncile/internal/failpoint"
)

// Kind says how a log misbehaved.
type Kind string

// The kinds of misbehaviour.
const (
	KindBadCheckpoint   Kind = "bad-checkpoint"   // not signed by the log's key, or another log's
	KindRollback        Kind = "log-rollback"     // a signed smaller tree that is no prefix of one seen before
	KindFork            Kind = "log-fork"         // two signed trees that contradict each other
	KindEntriesMismatch Kind = "entries-mismatch" // the entries do not hash to the signed root
	KindSplitView       Kind = "split-view"       // a tree that it signed for somebody else contradicts the one that it shows
	KindFrozenGrew      Kind = "frozen-log-grew"  // it grew after its end
)

// Misbehaviour is a log that contradicts itself, with the evidence.
type Misbehaviour struct {
	Kind Kind `json:"kind"`
	// Old and New are the checkpoints involved: of a bad one only New.Raw is set.
	Old Evidence `json:"old,omitzero"`
	New Evidence `json:"new,omitzero"`
	// Proof is the consistency proof that fits one root and not the other, in hex.
	Proof []string `json:"proof,omitempty"`
	// OldRange and NewRange are the compact ranges [0, To) and [0, New.Size), in hex, where these contradict each other. Of
	// entries that do not hash to the root, they are the compact ranges [0, From) and [0, To).
	OldRange []string `json:"old_range,omitempty"`
	NewRange []string `json:"new_range,omitempty"`
	// From and To bound the entries that the signed root does not commit to, and Computed is the root of the first To,
	// in hex: Proof leads to New's root over another.
	From     uint64 `json:"from,omitempty"`
	To       uint64 `json:"to,omitempty"`
	Computed string `json:"computed_root,omitempty"`
	// LeafHashes are those of these entries, in hex, and Leaves the entries as they were served, as far as they are kept.
	LeafHashes []string `json:"leaf_hashes,omitempty"`
	Leaves     [][]byte `json:"leaves,omitempty"`
	// OldInclusion and NewInclusion are inclusion proofs of one index in both trees that contradict each other.
	OldInclusion *InclusionEvidence `json:"old_inclusion,omitempty"`
	NewInclusion *InclusionEvidence `json:"new_inclusion,omitempty"`
	Detail       string             `json:"detail"`
}

// Evidence is a checkpoint as it was served.
type Evidence struct {
	Size uint64 `json:"size"`
	Root string `json:"root"` // hex
	Raw  []byte `json:"raw"`
}

// EvidenceOf is a checkpoint as evidence.
func EvidenceOf(cp SignedCheckpoint) Evidence {
	return Evidence{Size: cp.Size, Root: hex.EncodeToString(cp.Root[:]), Raw: cp.Raw}
}

// Contradiction names what it is that the log contradicts itself in: two sightings of one contradiction have the same name,
// however the log has grown in between, and another contradiction of the kind has another.
func (m *Misbehaviour) Contradiction() string {
	switch m.Kind {
	case KindBadCheckpoint:
		return m.Detail
	case KindEntriesMismatch:
		return fmt.Sprintf("entries %d to %d, root %s", m.From, m.To, m.Computed)
	case KindFrozenGrew:
		return "growth" // that it goes on growing is nothing new
	}
	if m.OldInclusion != nil {
		return fmt.Sprintf("entry %d of the tree of size %d, root %s", m.OldInclusion.Index, m.Old.Size, m.Old.Root)
	}
	if m.New.Size > m.Old.Size {
		return fmt.Sprintf("size %d, roots %s and %s", m.Old.Size, m.Old.Root, m.otherRoot())
	}
	return fmt.Sprintf("size %d, root %s", m.New.Size, m.New.Root)
}

// otherRoot is the root, in hex, that the newer and larger tree has at the size of the older one: what its proof leads to
// instead of the older one's root. It is empty where the evidence is no proof.
func (m *Misbehaviour) otherRoot() string {
	hashes, err := unhex(m.Proof)
	if err != nil || len(hashes) == 0 {
		return ""
	}
	if wholeSubtree(m.Old.Size) {
		return m.Proof[0]
	}
	var mismatch proof.RootMismatchError
	none := make([]byte, sha256.Size)
	if !errors.As(proof.VerifyConsistency(rfc6962.DefaultHasher, m.Old.Size, m.New.Size, hashes, none, none), &mismatch) {
		return ""
	}
	return hex.EncodeToString(mismatch.CalculatedRoot)
}

// Rewinds says whether what was read since the last proof is void.
func (m *Misbehaviour) Rewinds() bool { return m.Kind == KindEntriesMismatch }

func (m *Misbehaviour) Error() string { return fmt.Sprintf("%s: %s", m.Kind, m.Detail) }

// hexAll writes hashes in hex.
func hexAll(hashes [][]byte) []string {
	var all []string
	for _, h := range hashes {
		all = append(all, hex.EncodeToString(h))
	}
	return all
}

// misbehaved keeps a misbehaviour in the record and in the outcome.
func (f *Follower[H]) misbehaved(ctx context.Context, out *Outcome, m *Misbehaviour) error {
	f.Logger.Error("log misbehaved", "kind", m.Kind, "detail", m.Detail)
	out.Misbehaviours = append(out.Misbehaviours, m)
	err := f.Store.Misbehaved(ctx, f.Clock.Now(), m)
	failpoint.Hit("tlog/misbehaviour-kept")
	return err
}
