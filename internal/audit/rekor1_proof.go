package audit

import (
	"crypto/sha256"
	"time"

	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// EntryProof is what proves an entry of Rekor v1, besides its body. It is stored as JSON.
type EntryProof struct {
	Origin      string    `json:"origin"`
	Index       uint64    `json:"index"`
	GlobalIndex uint64    `json:"global_index"`
	LogID       string    `json:"log_id"`
	At          time.Time `json:"integrated_at"`
	SET         []byte    `json:"signed_entry_timestamp"`
	Path        [][]byte  `json:"path"`
	Checkpoint  string    `json:"checkpoint"`
}

// ProofOf is the proof that an entry came with.
func ProofOf(e *rekor.V1Entry) EntryProof {
	return EntryProof{Origin: e.Checkpoint.Origin, Index: e.Index, GlobalIndex: e.GlobalIndex, LogID: e.LogID, At: e.IntegratedTime,
		SET: e.SET, Path: e.Path, Checkpoint: string(e.Checkpoint.Raw)}
}

// Inclusion is the inclusion proof of an entry with that leaf hash. Nothing of it is verified.
func (p EntryProof) Inclusion(leafHash [sha256.Size]byte) (tlog.Inclusion, error) {
	c, err := tlog.ParseCheckpoint(p.Checkpoint)
	if err != nil {
		return tlog.Inclusion{}, err
	}
	return tlog.Inclusion{Index: p.Index, LeafHash: leafHash, Path: p.Path,
		Checkpoint: tlog.SignedCheckpoint{Origin: c.Origin, Size: c.Size, Root: c.Root, Raw: []byte(p.Checkpoint)}}, nil
}

// Entry is the entry with that proof and a body. Nothing of it is verified: see [rekor.V1Entry.Verify], for which one must
// have the log's keys, and [tlog.Inclusion.Verify].
func (p EntryProof) Entry(body []byte) (*rekor.V1Entry, error) {
	c, err := tlog.ParseCheckpoint(p.Checkpoint)
	if err != nil {
		return nil, err
	}
	_, tree, _ := rekor.TreeOf(c.Origin)
	return &rekor.V1Entry{TreeID: tree, Index: p.Index, GlobalIndex: p.GlobalIndex, LogID: p.LogID, LeafHash: tlog.LeafHash(body), Body: body,
		IntegratedTime: p.At, SET: p.SET, Path: p.Path,
		Checkpoint: tlog.SignedCheckpoint{Origin: c.Origin, Size: c.Size, Root: c.Root, Raw: []byte(p.Checkpoint), Signatures: len(c.Signatures)}}, nil
}
