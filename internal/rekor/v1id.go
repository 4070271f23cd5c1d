package rekor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
)

// V1ID names an entry of Rekor v1, as the API does with a UUID (rekor, pkg/sharding).
type V1ID struct {
	// TreeID is that of the entry's shard; 0 in an old UUID, which does not tell it.
	TreeID   uint64
	LeafHash [sha256.Size]byte
}

// The lengths of UUIDs, in hexadecimal digits.
const (
	treeDigits = 16
	leafDigits = 2 * sha256.Size
)

// ParseV1ID reads a UUID: the tree id in 16 hexadecimal digits, and the leaf hash in 64, or the leaf hash alone.
func ParseV1ID(uuid string) (V1ID, error) {
	var id V1ID
	leaf := uuid
	if len(uuid) == treeDigits+leafDigits {
		tree, err := strconv.ParseUint(uuid[:treeDigits], 16, 63)
		if err != nil {
			return V1ID{}, fmt.Errorf("UUID %q does not begin with a tree id", clip(uuid))
		}
		// Zero is how the API itself pads the id of a tree that it does not tell.
		id.TreeID, leaf = tree, uuid[treeDigits:]
	}
	hash, err := hex.DecodeString(leaf)
	if err != nil || len(hash) != len(id.LeafHash) {
		return V1ID{}, fmt.Errorf("UUID %q is not %d or %d hexadecimal digits", clip(uuid), treeDigits+leafDigits, leafDigits)
	}
	copy(id.LeafHash[:], hash)
	return id, nil
}

// String is the UUID.
func (id V1ID) String() string {
	leaf := hex.EncodeToString(id.LeafHash[:])
	if id.TreeID == 0 {
		return leaf
	}
	return fmt.Sprintf("%0*x", treeDigits, id.TreeID) + leaf
}

// names says whether an id, which may lack the tree, is of the entry that the other one names.
func (id V1ID) names(entry V1ID) bool {
	return id.LeafHash == entry.LeafHash && (id.TreeID == 0 || id.TreeID == entry.TreeID)
}

// sortIDs brings ids into the order of their UUIDs and drops what is there twice.
func sortIDs(ids []V1ID) []V1ID {
	slices.SortFunc(ids, func(a, b V1ID) int {
		if a.TreeID != b.TreeID {
			if a.TreeID < b.TreeID {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.LeafHash[:], b.LeafHash[:])
	})
	return slices.Compact(ids)
}
