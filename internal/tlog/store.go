package tlog

import (
	"context"
	"errors"
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
	// Checkpoint is the largest consistent one that was seen, and SeenAt when it was last seen.
	Checkpoint SignedCheckpoint
	SeenAt     time.Time
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
	// Digests are what the follower's Digest made of each leaf; nil where it has none.
	Digests []uint64
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
	// Misbehaved keeps the evidence of a misbehaviour, or notes that the contradiction goes on; see
	// [Misbehaviour.Contradiction]. Where m.Rewinds, Read goes back to Proven and the hits beyond it are gone with it.
	Misbehaved(ctx context.Context, now time.Time, m *Misbehaviour) error
}
