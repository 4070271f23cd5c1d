package rekor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// TreeOf is the id of the tree that a checkpoint's origin names, "host - treeID". ok is false for an origin of another form.
func TreeOf(origin string) (host string, treeID uint64, ok bool) {
	i := strings.LastIndex(origin, " - ")
	if i <= 0 {
		return "", 0, false
	}
	treeID, err := parseTreeID(origin[i+len(" - "):])
	return origin[:i], treeID, err == nil
}

// ShardsOf are the shards with these checkpoints, from the oldest to the newest, as a record or a piece of evidence holds
// them. Whether the log signed the checkpoints is for whoever has them: see [V1Keys.Checkpoint].
func ShardsOf(checkpoints []tlog.SignedCheckpoint) (*V1Shards, error) {
	if len(checkpoints) == 0 {
		return nil, errors.New("a log has a shard")
	}
	all := new(V1Shards)
	var offset uint64
	for _, cp := range checkpoints {
		_, tree, ok := TreeOf(cp.Origin)
		switch {
		case !ok:
			return nil, fmt.Errorf("%q is no shard of a Rekor v1 log", clip(cp.Origin))
		case all.Find(tree) != nil:
			return nil, fmt.Errorf("tree %d is there twice", tree)
		case cp.Size > maxV1Index-offset:
			return nil, fmt.Errorf("up to tree %d there are more entries than there can be", tree)
		}
		all.Shards = append(all.Shards, V1Shard{TreeID: tree, Offset: offset, Checkpoint: cp})
		offset += cp.Size
	}
	return all, nil
}

// Checkpoint verifies a checkpoint of a shard, as it was once served. One that the log's key did not sign is a
// [*tlog.BadCheckpointError].
func (k *V1Keys) Checkpoint(raw []byte) (tlog.SignedCheckpoint, error) {
	cp, _, err := k.checkpoint(string(raw))
	return cp, err
}
