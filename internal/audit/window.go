package audit

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// WindowPriority says which window is read first: the one with the least.
type WindowPriority int

// The priorities of windows.
const (
	WindowAsked      WindowPriority = iota // somebody asked for it
	WindowUnexpected                       // a certificate of an identity that the policy does not know
	WindowPublishing                       // a certificate of a grade that publishes
)

// String is how a window came to be asked for.
func (p WindowPriority) String() string {
	switch p {
	case WindowAsked:
		return "asked"
	case WindowUnexpected:
		return "unexpected-identity"
	}
	return "publishing-grade"
}

// MarshalText implements encoding.TextMarshaler.
func (p WindowPriority) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Window is a run of a shard's entries that is read out of the middle, and proven complete between the inclusion proofs of
// its first and its last entry: all entries that were integrated in a period, by the times that the log signed. These are not
// proven to be in order, so that more is read at either end, by a margin. What is proven is indexes and not times.
type Window struct {
	ID     int64
	Origin string // of the shard
	// From and To bound the run; an empty one is a period in which the shard has nothing that is not proven otherwise.
	From, To uint64
	// Since and Until bound the period, both included, without the margin.
	Since, Until time.Time
	Margin       time.Duration
	// Backwards is the longest step back in time that was met looking for the ends: above Margin, the run may lack entries.
	Backwards time.Duration
	Why       string
	Priority  WindowPriority
	// State is how far it was read and proven; nil before it began.
	State *rekor.V1Window
	// Requests were spent so far, looking for its ends included.
	Requests    int64
	RequestedAt time.Time
	FinishedAt  time.Time // zero until all of it is proven
}

// Next and Proven are the indexes up to which it was read and proven.
func (w *Window) Next() uint64 {
	if w.State == nil {
		return w.From
	}
	return w.State.Next
}

// Proven is the index up to which it is proven complete.
func (w *Window) Proven() uint64 {
	if w.State == nil {
		return w.From
	}
	return w.State.Proven
}

// Finished says that all of it is proven.
func (w *Window) Finished() bool { return !w.FinishedAt.IsZero() }

// Estimate is how many requests the rest of a window takes: pages, proofs of what was read, and the first one.
func (w *Window) Estimate() int64 {
	if w.Finished() {
		return 0
	}
	left := w.To - w.Next()
	proofs := 2 * ((w.To-w.Proven())/windowProveEntries + 1) // each with one that the tree is the one that is known
	if w.State == nil {
		proofs += 2
	}
	return int64((left+windowPageEntries-1)/windowPageEntries + proofs)
}

const (
	// windowMargin is how much more of the log is read at either end of a period: it takes entries out of order by a second
	// or two, and its clock is not the authority's.
	windowMargin = time.Minute
	// windowPageEntries are what Rekor v1 gives at once.
	windowPageEntries = 10
	// windowBatchEntries are read before they are kept, and windowProveEntries before they are proven.
	windowBatchEntries = 100
	windowProveEntries = 1000
)

// WindowProof is the inclusion proof of an entry at an end of a window, as it is kept.
type WindowProof struct {
	Index    uint64 `json:"index"`
	LeafHash string `json:"leaf_hash"` // hex
	// Path are the hashes from the leaf up, in hex.
	Path []string `json:"path"`
	// Checkpoint is the signed note of the tree that it is in.
	Checkpoint []byte `json:"checkpoint"`
}

func windowProof(p tlog.Inclusion) WindowProof {
	w := WindowProof{Index: p.Index, LeafHash: hex.EncodeToString(p.LeafHash[:]), Checkpoint: p.Checkpoint.Raw}
	for _, h := range p.Path {
		w.Path = append(w.Path, hex.EncodeToString(h))
	}
	return w
}

// Inclusion reads a proof that was kept. Its checkpoint's signature is not verified.
func (p WindowProof) Inclusion() (tlog.Inclusion, error) {
	c, err := tlog.ParseCheckpoint(string(p.Checkpoint))
	if err != nil {
		return tlog.Inclusion{}, fmt.Errorf("the checkpoint of the proof of entry %d: %w", p.Index, err)
	}
	got := tlog.Inclusion{Index: p.Index, Checkpoint: tlog.SignedCheckpoint{Origin: c.Origin, Size: c.Size, Root: c.Root, Raw: p.Checkpoint}}
	leaf, err := hex.DecodeString(p.LeafHash)
	if err != nil || len(leaf) != len(got.LeafHash) {
		return tlog.Inclusion{}, fmt.Errorf("the proof of entry %d has no leaf hash", p.Index)
	}
	copy(got.LeafHash[:], leaf)
	for _, text := range p.Path {
		hash, err := hex.DecodeString(text)
		if err != nil {
			return tlog.Inclusion{}, fmt.Errorf("the proof of entry %d: %w", p.Index, err)
		}
		got.Path = append(got.Path, hash)
	}
	return got, nil
}

// WindowStep is what a step of a window's reading leaves behind.
type WindowStep struct {
	ID int64
	// Before is the index up to which it was read before; [tlog.ErrMoved] if that is not so any more.
	Before uint64
	State  *rekor.V1Window
	// Requests were spent since the last step.
	Requests int64
}

// WindowLeaf is a leaf that a scan picked.
type WindowLeaf struct {
	Index uint64
	Leaf  []byte
}

// WindowRecord is the record of windows. Each method that writes is one transaction.
type WindowRecord interface {
	// Windows lists the windows of the shards with these origins that are read with today's watch list, finished or not, in
	// the order of their priority and their age. Those that another list was used for are not among them.
	Windows(ctx context.Context, watchList string, origins []string) ([]Window, error)
	// ProvenRuns are the runs of a shard that are proven complete with a watch list, by its follower or in windows.
	ProvenRuns(ctx context.Context, watchList, origin string) ([]IndexRun, error)
	// QueueWindows adds windows in the place of others that have not begun. Empty ones are finished.
	QueueWindows(ctx context.Context, now time.Time, watchList string, replaced []int64, windows []Window) error
	// UrgeWindow gives a window another reason and priority.
	UrgeWindow(ctx context.Context, id int64, why string, priority WindowPriority) error
	// OpenWindow notes that a window began, and the proof of its first entry.
	OpenWindow(ctx context.Context, s WindowStep, first WindowProof) error
	// AdvanceWindow keeps what was read: leaves are those that a scan picked.
	AdvanceWindow(ctx context.Context, s WindowStep, leaves []WindowLeaf) error
	// PickedLeaves are the leaves of a window that a scan picked since its last proof.
	PickedLeaves(ctx context.Context, id int64) ([]WindowLeaf, error)
	// ProveWindow notes that what was read is proven complete, by the proof of its last entry, and keeps its hits. finished
	// says that this was the rest.
	ProveWindow(ctx context.Context, now time.Time, s WindowStep, last WindowProof, hits []tlog.Hit[LogHit], finished bool) error
	// VoidWindow keeps the evidence of a misbehaviour, and goes back to what is proven.
	VoidWindow(ctx context.Context, now time.Time, s WindowStep, m *tlog.Misbehaviour) error
}

// IndexRun is a run of indexes, To not included.
type IndexRun struct{ From, To uint64 }

// without returns what of a run the others do not cover, in order. The others are sorted by From.
func (r IndexRun) without(others []IndexRun) []IndexRun {
	var rest []IndexRun
	for _, o := range others {
		if o.To <= r.From || o.From >= r.To {
			continue
		}
		if o.From > r.From {
			rest = append(rest, IndexRun{r.From, o.From})
		}
		if r.From = o.To; r.From >= r.To {
			return rest
		}
	}
	if r.From < r.To {
		rest = append(rest, r)
	}
	return rest
}
