package rekor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/rekoncile/rekoncile/internal/strictjson"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

const maxV1ProofBytes = 64 << 10

// V1Tree is one shard of a Rekor v1 log. All its indices and sizes are the tree's own. It is safe for concurrent use.
//
// Followed, it is proven complete like any log, at ten entries a request: on the public instance that is slower than it
// grows.
type V1Tree struct {
	log *V1Log
	id  uint64
}

var _ tlog.Source = (*V1Tree)(nil)

// Tree returns a shard of the log. Whether the log lists it shows when it is read.
func (l *V1Log) Tree(treeID uint64) *V1Tree { return &V1Tree{log: l, id: treeID} }

// fail says what was being done to which tree.
func (t *V1Tree) fail(err error, format string, args ...any) error {
	return fmt.Errorf("tree %d of %s: %s: %w", t.id, t.log.base, fmt.Sprintf(format, args...), err)
}

// shard is the tree's place among the shards, as it was last seen.
func (t *V1Tree) shard(ctx context.Context) (*V1Shards, *V1Shard, error) {
	shards, err := t.log.withTree(ctx, t.id)
	if err != nil {
		return nil, nil, err
	}
	shard := shards.Find(t.id)
	if shard == nil {
		return nil, nil, fmt.Errorf("the log does not list it: %w", fs.ErrNotExist)
	}
	return shards, shard, nil
}

// Checkpoint implements [tlog.Source]. It asks for all shards, and a tree head of any that does not verify is an error. One
// that contradicts an earlier answer is none here: it was signed, and a proof tells more than the list. See [V1Log.Shards].
func (t *V1Tree) Checkpoint(ctx context.Context) (tlog.SignedCheckpoint, error) {
	shards, err := t.log.Shards(ctx)
	var contradiction *V1ShardsError
	switch {
	case errors.As(err, &contradiction):
		shards = contradiction.Later
	case err != nil:
		return tlog.SignedCheckpoint{}, err
	}
	shard := shards.Find(t.id)
	if shard == nil {
		return tlog.SignedCheckpoint{}, t.fail(fs.ErrNotExist, "the log does not list it")
	}
	return shard.Checkpoint, nil
}

// ConsistencyProof implements [tlog.Source] with /log/proof. The root hash in the answer is that of the latest tree, which
// is neither of the two, and is not read.
func (t *V1Tree) ConsistencyProof(ctx context.Context, from, to uint64) ([][]byte, error) {
	raw, err := t.log.get(ctx, "/log/proof", url.Values{
		"firstSize": {strconv.FormatUint(from, 10)}, "lastSize": {strconv.FormatUint(to, 10)}, "treeID": {strconv.FormatUint(t.id, 10)},
	}, maxV1ProofBytes)
	var hashes [][]byte
	if err == nil {
		hashes, err = parseV1Proof(raw)
	}
	if err != nil {
		return nil, t.fail(err, "consistency proof from size %d to %d", from, to)
	}
	return hashes, nil
}

// parseV1Proof reads an answer to /log/proof (rekor, openapi.yaml, "ConsistencyProof").
func parseV1Proof(raw []byte) ([][]byte, error) {
	if err := strictjson.Check(raw, maxV1ProofBytes); err != nil {
		return nil, fmt.Errorf("its answer %w", err)
	}
	var answer struct {
		Hashes v1Hashes `json:"hashes"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	return answer.Hashes, nil
}

// Frontier implements [tlog.Source]. The API gives no hashes of inner nodes except in proofs: all that stands to the left
// of the path of the last leaf in the range is the compact range before it, in whatever later tree the proof is. So
// treeSize is not asked for, and a replica that lags does for as long as it has the leaf.
func (t *V1Tree) Frontier(ctx context.Context, size, treeSize uint64) ([][]byte, error) {
	if size > treeSize {
		return nil, fmt.Errorf("tree %d of %s: a tree of %d leaves has no %d leaves", t.id, t.log.base, treeSize, size)
	}
	if size == 0 {
		return nil, nil
	}
	last, err := t.EntryAt(ctx, size-1)
	if err != nil {
		return nil, t.fail(err, "hashes of the first %d leaves", size)
	}
	nodes, err := rangeThrough(last.Inclusion())
	if err != nil {
		return nil, t.fail(err, "hashes of the first %d leaves", size)
	}
	return nodes.Hashes(), nil
}

// EntryAt reads and proves the entry at an index of the tree; see [V1Log.EntryAt].
func (t *V1Tree) EntryAt(ctx context.Context, index uint64) (*V1Entry, error) {
	shards, _, err := t.shard(ctx)
	if err != nil {
		return nil, t.fail(err, "entry %d", index)
	}
	global, err := shards.Global(t.id, index)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.log.base, err)
	}
	return t.log.EntryAt(ctx, global)
}

// PageSize implements [tlog.Source].
func (t *V1Tree) PageSize() uint64 { return v1PageSize }

// Page implements [tlog.Source] with one request for at most ten entries, or with fewer where these are too long for one
// answer. Its leaves are identified, by their global index and their UUID, and not proven. The error wraps [fs.ErrNotExist]
// where the answer has none of them, as a replica's that lags.
func (t *V1Tree) Page(ctx context.Context, from, to uint64) (tlog.Page, error) {
	if from >= to {
		return tlog.Page{}, fmt.Errorf("tree %d of %s: there is no page from entry %d to %d", t.id, t.log.base, from, to)
	}
	to = min(to, from+v1PageSize-from%v1PageSize)
	page, err := t.page(ctx, from, to)
	if tooLarge(err) && to-from > 1 {
		return t.Page(ctx, from, from+(to-from)/2)
	}
	if err != nil {
		return tlog.Page{}, t.fail(err, "entries %d to %d", from, to)
	}
	return page, nil
}
