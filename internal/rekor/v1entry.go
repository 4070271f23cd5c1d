package rekor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/transparency-dev/merkle/proof"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// V1Entry is an entry of Rekor v1 that was proven: its log signed a tree that has it at this index, and signed this time
// and this global index for it. What it holds is what it takes to prove it again; see [V1Entry.Verify].
type V1Entry struct {
	// TreeID and Index are its place in its shard. GlobalIndex counts the leaves of earlier shards as well.
	TreeID      uint64
	Index       uint64
	GlobalIndex uint64
	// LogID is the hex SHA-256 of the key that signed for it.
	LogID    string
	LeafHash [sha256.Size]byte
	// Body is the canonical JSON, byte for byte as the tree commits to it; see [Decode].
	Body []byte
	// IntegratedTime is when the log says that it took the entry, to the second. SET is its signature over that: the log
	// makes a new one whenever it is asked.
	IntegratedTime time.Time
	SET            []byte
	// Path is the inclusion proof, and Checkpoint that of the tree which it is in.
	Path       [][]byte
	Checkpoint tlog.SignedCheckpoint
}

// ID is the entry's name.
func (e *V1Entry) ID() V1ID { return V1ID{TreeID: e.TreeID, LeafHash: e.LeafHash} }

// Inclusion is the entry's inclusion proof.
func (e *V1Entry) Inclusion() tlog.Inclusion {
	return tlog.Inclusion{Index: e.Index, LeafHash: e.LeafHash, Path: e.Path, Checkpoint: e.Checkpoint}
}

// V1Check names one thing that is checked of an entry.
type V1Check string

// The checks of an entry, in their order.
const (
	V1CheckBody           V1Check = "body"            // there is one
	V1CheckLogID          V1Check = "log-id"          // of a key that is trusted
	V1CheckProof          V1Check = "proof"           // there is one, with its checkpoint
	V1CheckCheckpoint     V1Check = "checkpoint"      // signed by the log
	V1CheckTreeSize       V1Check = "tree-size"       // the proof's is the checkpoint's
	V1CheckRootHash       V1Check = "root-hash"       // the proof's is the checkpoint's
	V1CheckUUID           V1Check = "uuid"            // the leaf hash of the body, in the checkpoint's tree
	V1CheckInclusion      V1Check = "inclusion-proof" // RFC 6962 §2.1.1
	V1CheckIntegratedTime V1Check = "integrated-time" // can be one
	V1CheckSET            V1Check = "signed-entry-timestamp"
	V1CheckTree           V1Check = "tree"      // the log lists it, and it is no larger than it was frozen at
	V1CheckLogIndex       V1Check = "log-index" // the global index is the tree's, and the one asked for
)

// V1CheckError says which check an entry failed, and with what values. Such an entry counts for nothing.
type V1CheckError struct {
	Check V1Check
	// UUID and GlobalIndex are what the answer calls itself.
	UUID        string
	GlobalIndex uint64
	// Got and Want are the values that differ, where two do.
	Got, Want string
	// Err is the reason where it is not that two values differ; of a checkpoint a [*tlog.BadCheckpointError].
	Err error
}

func (e *V1CheckError) Error() string {
	s := fmt.Sprintf("entry %d, %s, fails the check %q", e.GlobalIndex, e.UUID, e.Check)
	if e.Got != "" || e.Want != "" {
		s += fmt.Sprintf(": it has %s, and it should be %s", e.Got, e.Want)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *V1CheckError) Unwrap() error { return e.Err }

// prove makes an entry out of an answer, if everything about it that can be checked offline holds.
func (k *V1Keys) prove(answer v1Keyed[v1Wire]) (*V1Entry, error) {
	w := &answer.entry
	fail := func(check V1Check, err error) (*V1Entry, error) {
		return nil, &V1CheckError{Check: check, UUID: answer.id.String(), GlobalIndex: w.LogIndex, Err: err}
	}
	differ := func(check V1Check, got, want any) (*V1Entry, error) {
		return nil, &V1CheckError{Check: check, UUID: answer.id.String(), GlobalIndex: w.LogIndex, Got: clip(fmt.Sprint(got)), Want: fmt.Sprint(want)}
	}
	if len(w.Body) == 0 {
		return fail(V1CheckBody, errors.New("there is none"))
	}
	key := k.keys[w.LogID]
	if key == nil {
		return fail(V1CheckLogID, fmt.Errorf("%q is the id of no trusted key", clip(w.LogID)))
	}
	p := w.Verification.InclusionProof
	if p == nil || p.Checkpoint == "" {
		return fail(V1CheckProof, errors.New("it comes without an inclusion proof, or without the checkpoint of that"))
	}
	cp, tree, err := k.checkpoint(p.Checkpoint)
	root := hex.EncodeToString(cp.Root[:])
	switch {
	case err != nil:
		return fail(V1CheckCheckpoint, err)
	case p.TreeSize != cp.Size:
		return differ(V1CheckTreeSize, p.TreeSize, cp.Size)
	case p.RootHash != root:
		return differ(V1CheckRootHash, p.RootHash, root)
	}
	e := &V1Entry{
		TreeID: tree, Index: p.LogIndex, GlobalIndex: w.LogIndex, LogID: w.LogID, LeafHash: tlog.LeafHash(w.Body), Body: w.Body,
		SET: w.Verification.SET, Path: p.Hashes, Checkpoint: cp,
	}
	if !answer.id.names(e.ID()) {
		return differ(V1CheckUUID, answer.id, e.ID())
	}
	var mismatch proof.RootMismatchError
	switch err := e.Inclusion().Verify(); {
	case errors.As(err, &mismatch):
		return differ(V1CheckInclusion, fmt.Sprintf("root %x", mismatch.CalculatedRoot), "root "+root)
	case err != nil:
		return fail(V1CheckInclusion, err)
	}
	if w.IntegratedTime <= 0 || w.IntegratedTime > math.MaxUint32 {
		return fail(V1CheckIntegratedTime, fmt.Errorf("%d seconds since 1970 are no time that it can have been taken at", w.IntegratedTime))
	}
	e.IntegratedTime = time.Unix(w.IntegratedTime, 0).UTC()
	if w.LogIndex > maxV1Index || w.LogIndex < e.Index {
		return fail(V1CheckLogIndex, fmt.Errorf("global index %d is impossible for entry %d of a tree", w.LogIndex, e.Index))
	}
	promise := tlog.Promise{Body: e.Body, IntegratedTime: w.IntegratedTime, LogID: w.LogID, LogIndex: int64(w.LogIndex)}
	if err := promise.Verify(key, e.SET); err != nil {
		return fail(V1CheckSET, err)
	}
	return e, nil
}

// Verify proves the entry again, offline, from its body, its signatures and its proof alone.
func (e *V1Entry) Verify(k *V1Keys) error {
	w := v1Wire{Body: e.Body, IntegratedTime: e.IntegratedTime.Unix(), LogID: e.LogID, LogIndex: e.GlobalIndex}
	w.Verification.SET = e.SET
	w.Verification.InclusionProof = &v1WireProof{
		Checkpoint: string(e.Checkpoint.Raw), Hashes: e.Path, LogIndex: e.Index,
		RootHash: hex.EncodeToString(e.Checkpoint.Root[:]), TreeSize: e.Checkpoint.Size,
	}
	_, err := k.prove(v1Keyed[v1Wire]{id: e.ID(), entry: w})
	return err
}

// checkPlace compares an entry's place with the shards: what the checkpoints of these and the entry's signatures say must
// be one numbering.
func (e *V1Entry) checkPlace(shards *V1Shards) error {
	failed := V1CheckError{Check: V1CheckTree, UUID: e.ID().String(), GlobalIndex: e.GlobalIndex}
	shard := shards.Find(e.TreeID)
	if shard == nil {
		failed.Err = fmt.Errorf("the log signed a tree %d that it does not list", e.TreeID)
		return &failed
	}
	if frozen := shard.Checkpoint; shards.Frozen(e.TreeID) && e.Checkpoint.Size > frozen.Size {
		failed.Got, failed.Want = fmt.Sprintf("a tree of %d entries", e.Checkpoint.Size), fmt.Sprintf("the %d that it is frozen at", frozen.Size)
		return &failed
	}
	failed.Check = V1CheckLogIndex
	global, err := shards.Global(e.TreeID, e.Index)
	if err != nil {
		failed.Err = err
		return &failed
	}
	if global != e.GlobalIndex {
		failed.Got, failed.Want = fmt.Sprintf("global index %d", e.GlobalIndex), fmt.Sprintf("%d, for entry %d of tree %d", global, e.Index, e.TreeID)
		return &failed
	}
	return nil
}
