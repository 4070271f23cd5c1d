package tlog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// State is what the record holds of one log.
type State struct {
	// Known says that the log was taken up; the rest means nothing before.
	Known bool
	// Start is where it was taken up. Leaves below Read were read; a verified root commits to those below Proven.
	Start, Read, Proven uint64
	// ReadRange and ProvenRange are the node hashes of the compact ranges [0, Read) and [0, Proven).
	ReadRange, ProvenRange [][]byte
	// Checkpoint is the largest consistent one that was seen.
	Checkpoint SignedCheckpoint
}

// Hit is what was made of a leaf that is worth keeping.
type Hit[H any] struct {
	Index uint64
	Hit   H
}

// Batch is a run of leaves that was read.
type Batch[H any] struct {
	From, To uint64
	// Range is the compact range [0, To).
	Range [][]byte
	Hits  []Hit[H]
	Bytes int64 // on the wire
}

// ErrMoved says that somebody else moved a cursor meanwhile: nothing was written.
var ErrMoved = errors.New("another process moved the log's cursor")

// Store is the record of one log. Each method that writes is one transaction.
type Store[H any] interface {
	State(ctx context.Context) (State, error)
	// Begin takes the log up at an index, with the compact range before it, which the checkpoint commits to.
	Begin(ctx context.Context, now time.Time, start uint64, frontier [][]byte, cp SignedCheckpoint) error
	// Saw keeps a checkpoint that is consistent with those seen before.
	Saw(ctx context.Context, now time.Time, cp SignedCheckpoint) error
	// Advance moves Read from b.From to b.To and keeps the hits; ErrMoved if Read is not b.From.
	Advance(ctx context.Context, now time.Time, b Batch[H]) error
	// Prove moves Proven to size, which Read must be (ErrMoved otherwise): cp commits to the leaves below it.
	Prove(ctx context.Context, now time.Time, size uint64, cp SignedCheckpoint) error
	// Misbehaved keeps the evidence of a misbehaviour. Where m.Rewinds, Read goes back to Proven and the hits
	// beyond it are gone with it.
	Misbehaved(ctx context.Context, now time.Time, m *Misbehaviour) error
}

// Kind says how a log misbehaved.
type Kind string

// The kinds of misbehaviour.
const (
	KindBadCheckpoint   Kind = "bad-checkpoint"   // not signed by the log's key, or another log's
	KindRollback        Kind = "log-rollback"     // a signed smaller tree that is no prefix of one seen before
	KindFork            Kind = "log-fork"         // two signed trees that contradict each other
	KindEntriesMismatch Kind = "entries-mismatch" // the entries do not hash to the signed root
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
	// OldRange and NewRange are the compact ranges [0, To) and [0, New.Size), in hex, where these contradict each other.
	// Of entries that do not hash to the root, OldRange is the compact range [0, From) that they follow.
	OldRange []string `json:"old_range,omitempty"`
	NewRange []string `json:"new_range,omitempty"`
	// From and To bound the leaves that were read, and Computed is the root that they hash to, in hex.
	From     uint64 `json:"from,omitempty"`
	To       uint64 `json:"to,omitempty"`
	Computed string `json:"computed_root,omitempty"`
	// LeafHashes are those of the first leaves read, in hex, and Leaves the leaves themselves, as far as they are kept.
	LeafHashes []string `json:"leaf_hashes,omitempty"`
	Leaves     [][]byte `json:"leaves,omitempty"`
	Detail     string   `json:"detail"`
}

// Evidence is a checkpoint as it was served.
type Evidence struct {
	Size uint64 `json:"size"`
	Root string `json:"root"` // hex
	Raw  []byte `json:"raw"`
}

func evidenceOf(cp SignedCheckpoint) Evidence {
	return Evidence{Size: cp.Size, Root: hex.EncodeToString(cp.Root[:]), Raw: cp.Raw}
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

// LeafHash is the hash of a leaf (RFC 6962 §2.1).
func LeafHash(leaf []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(leaf)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return sum
}
