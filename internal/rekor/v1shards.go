package rekor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/rekoncile/rekoncile/internal/strictjson"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

const (
	maxLogInfoBytes = 1 << 20
	// maxShards is far above the three of the public instance in five years.
	maxShards = 256
	// maxV1Index bounds indices, sizes and times: the canonical JSON that a log signs cannot tell larger integers apart
	// (RFC 8785 §3.2.2.3).
	maxV1Index = 1<<53 - 1
)

// V1Shard is one tree of a Rekor v1 log.
type V1Shard struct {
	TreeID uint64
	// Offset is the global index of its first leaf: the sum of the sizes of the shards before it.
	Offset uint64
	// Checkpoint was verified. Of a frozen shard it is the last; its size is what the later offsets are made of.
	Checkpoint tlog.SignedCheckpoint
}

// V1Shards are the trees of a log from the oldest to the newest. All but the last are frozen.
type V1Shards struct {
	Shards []V1Shard
}

// Active is the shard that grows.
func (s *V1Shards) Active() *V1Shard { return &s.Shards[len(s.Shards)-1] }

// Size is the number of entries in all shards, and the global index that comes next.
func (s *V1Shards) Size() uint64 { return s.Active().Offset + s.Active().Checkpoint.Size }

// Find returns the shard with a tree id, nil if there is none.
func (s *V1Shards) Find(treeID uint64) *V1Shard {
	for i := range s.Shards {
		if s.Shards[i].TreeID == treeID {
			return &s.Shards[i]
		}
	}
	return nil
}

// Frozen says whether a tree is known and is not the active one.
func (s *V1Shards) Frozen(treeID uint64) bool {
	shard := s.Find(treeID)
	return shard != nil && shard != s.Active()
}

// Global is the global index of a leaf of a shard. A frozen shard has no leaf beyond its size; the active one may have
// grown since.
func (s *V1Shards) Global(treeID, treeIndex uint64) (uint64, error) {
	shard := s.Find(treeID)
	switch {
	case shard == nil:
		return 0, fmt.Errorf("the log does not list a tree %d", treeID)
	case shard != s.Active() && treeIndex >= shard.Checkpoint.Size:
		return 0, fmt.Errorf("tree %d is frozen at %d entries, and has no entry %d", treeID, shard.Checkpoint.Size, treeIndex)
	case treeIndex > maxV1Index-shard.Offset:
		return 0, fmt.Errorf("entry %d of tree %d is beyond all bounds", treeIndex, treeID)
	}
	return shard.Offset + treeIndex, nil
}

// Locate is the shard of a global index, and the index in its tree. What no frozen shard has is the active one's, even
// where it was not yet that large when it was last seen.
func (s *V1Shards) Locate(global uint64) (shard *V1Shard, treeIndex uint64) {
	for i := range s.Shards[:len(s.Shards)-1] {
		if shard := &s.Shards[i]; global < shard.Offset+shard.Checkpoint.Size {
			return shard, global - shard.Offset
		}
	}
	return s.Active(), global - s.Active().Offset
}

// V1ShardsError is a list of shards that cannot be of the log that an earlier list described: both were signed, shard by
// shard.
type V1ShardsError struct {
	Earlier, Later *V1Shards
	// Position is the place, in both lists, of the shards that do not go together.
	Position int
	Why      string
}

func (e *V1ShardsError) Error() string {
	return "the log's shards are not those of before: " + e.Why
}

// Follows compares the shards with those seen earlier. Replicas may lag, so that a list may also be older than the earlier
// one: then it must be one that the earlier list has grown out of. It does not look into the trees: whether the active
// one is consistent takes a proof. The error is a [*V1ShardsError].
func (s *V1Shards) Follows(earlier *V1Shards) error {
	if earlier == nil {
		return nil
	}
	position := 0
	contradiction := func(format string, args ...any) error {
		return &V1ShardsError{Earlier: earlier, Later: s, Position: position, Why: fmt.Sprintf(format, args...)}
	}
	older, newer := earlier, s
	if len(older.Shards) > len(newer.Shards) {
		older, newer = newer, older
	}
	for i := range older.Shards {
		position = i
		was, is := &older.Shards[i], &newer.Shards[i]
		frozen, freezes := was != older.Active(), is != newer.Active()
		switch a, b := was.Checkpoint, is.Checkpoint; {
		case was.TreeID != is.TreeID:
			return contradiction("shard %d is tree %d in one list and tree %d in the other", i, was.TreeID, is.TreeID)
		case frozen && a.Size != b.Size:
			return contradiction("tree %d, which is frozen, has %d entries in one list and %d in the other", was.TreeID, a.Size, b.Size)
		case !frozen && freezes && a.Size > b.Size:
			return contradiction("tree %d was seen with %d entries, and is frozen at %d", was.TreeID, a.Size, b.Size)
		case a.Size == b.Size && a.Root != b.Root:
			return contradiction("tree %d of size %d has root %x in one list and %x in the other", was.TreeID, a.Size, a.Root, b.Root)
		}
	}
	return nil
}

// v1TreeInfo is what the API says of one tree. Of it only the signed tree head counts; the rest must agree.
type v1TreeInfo struct {
	RootHash       string `json:"rootHash"`
	TreeSize       uint64 `json:"treeSize"`
	SignedTreeHead string `json:"signedTreeHead"`
	TreeID         string `json:"treeID"`
}

// parseV1Shards reads an answer to /log (rekor, openapi.yaml, "LogInfo").
func parseV1Shards(raw []byte, keys *V1Keys) (*V1Shards, error) {
	if err := strictjson.Check(raw, maxLogInfoBytes); err != nil {
		return nil, fmt.Errorf("its answer %w", err)
	}
	var info struct {
		v1TreeInfo
		InactiveShards []v1TreeInfo `json:"inactiveShards"`
	}
	if err := json.Unmarshal(raw, &info); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	if len(info.InactiveShards) >= maxShards {
		return nil, fmt.Errorf("it lists %d inactive shards, more than the %d allowed", len(info.InactiveShards), maxShards-1)
	}
	all := new(V1Shards)
	var offset uint64
	for _, tree := range append(info.InactiveShards, info.v1TreeInfo) {
		shard, err := tree.verify(keys)
		if err != nil {
			return nil, fmt.Errorf("tree %q: %w", clip(tree.TreeID), err)
		}
		if all.Find(shard.TreeID) != nil {
			return nil, fmt.Errorf("it lists tree %d twice", shard.TreeID)
		}
		shard.Offset = offset
		if offset += shard.Checkpoint.Size; offset > maxV1Index || shard.Checkpoint.Size > maxV1Index {
			return nil, fmt.Errorf("up to tree %d its shards have more entries than there can be", shard.TreeID)
		}
		all.Shards = append(all.Shards, shard)
	}
	return all, nil
}

func (t v1TreeInfo) verify(keys *V1Keys) (V1Shard, error) {
	id, err := parseTreeID(t.TreeID)
	if err != nil {
		return V1Shard{}, err
	}
	if t.SignedTreeHead == "" {
		return V1Shard{}, errors.New("it has no signed tree head")
	}
	cp, tree, err := keys.checkpoint(t.SignedTreeHead)
	switch {
	case err != nil:
		return V1Shard{}, err
	case tree != id:
		return V1Shard{}, fmt.Errorf("its signed tree head is of tree %d", tree)
	case cp.Size != t.TreeSize:
		return V1Shard{}, fmt.Errorf("it has %d entries, and its signed tree head says %d", t.TreeSize, cp.Size)
	case hex.EncodeToString(cp.Root[:]) != t.RootHash:
		return V1Shard{}, fmt.Errorf("it has root %q, and its signed tree head says %x", clip(t.RootHash), cp.Root)
	}
	return V1Shard{TreeID: id, Checkpoint: cp}, nil
}

// Shards asks for all shards with their checkpoints, and verifies these. What contradicts an earlier answer is a
// [*V1ShardsError], and a tree head that the log's key did not sign a [*tlog.BadCheckpointError]; neither is remembered.
func (l *V1Log) Shards(ctx context.Context) (*V1Shards, error) {
	raw, err := l.get(ctx, "/log", nil, maxLogInfoBytes)
	var shards *V1Shards
	if err == nil {
		shards, err = parseV1Shards(raw, l.keys)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the shards of %s: %w", l.base, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := shards.Follows(l.shards); err != nil {
		return nil, fmt.Errorf("reading the shards of %s: %w", l.base, err)
	}
	// A replica that lags must not take back what another one told.
	if l.shards == nil || len(shards.Shards) > len(l.shards.Shards) ||
		len(shards.Shards) == len(l.shards.Shards) && shards.Size() > l.shards.Size() {
		l.shards = shards
	}
	return shards, nil
}

// known are the shards as they were last seen; they are asked for if they were not.
func (l *V1Log) known(ctx context.Context) (*V1Shards, error) {
	l.mu.Lock()
	shards := l.shards
	l.mu.Unlock()
	if shards != nil {
		return shards, nil
	}
	return l.Shards(ctx)
}

// withTree are the shards, asked for anew if those at hand do not have a tree: the log may have gone on to a new one.
func (l *V1Log) withTree(ctx context.Context, treeID uint64) (*V1Shards, error) {
	shards, err := l.known(ctx)
	if err != nil || shards.Find(treeID) != nil {
		return shards, err
	}
	return l.Shards(ctx)
}
