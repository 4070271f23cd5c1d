package sandbox

import (
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// merkleTree is an append-only Merkle tree (RFC 6962 §2.1) that keeps the hash of every perfect subtree, so that
// roots and proofs of any past size cost O(log n). It needs 64 bytes a leaf.
type merkleTree struct {
	levels [][][]byte // levels[l][i] is the hash of the subtree of 2^l leaves that begins at leaf i<<l
	// repeated is the size of a tree whose levels repeat (see repeatedTree); zero for any other.
	repeated uint64
}

func (t *merkleTree) size() uint64 {
	switch {
	case t.repeated > 0:
		return t.repeated
	case len(t.levels) == 0:
		return 0
	}
	return uint64(len(t.levels[0]))
}

// append adds a leaf by its hash.
func (t *merkleTree) append(leafHash []byte) {
	node := leafHash
	for level := 0; ; level++ {
		if level == len(t.levels) {
			t.levels = append(t.levels, nil)
		}
		t.levels[level] = append(t.levels[level], node)
		n := len(t.levels[level])
		if n%2 == 1 {
			return
		}
		node = rfc6962.DefaultHasher.HashChildren(t.levels[level][n-2], t.levels[level][n-1])
	}
}

// hashes returns the hashes of perfect subtrees.
func (t *merkleTree) hashes(ids []compact.NodeID) [][]byte {
	out := make([][]byte, len(ids))
	for i, id := range ids {
		nodes, index := t.levels[id.Level], id.Index
		if t.repeated > 0 {
			index %= uint64(len(nodes))
		}
		out[i] = nodes[index]
	}
	return out
}

// root returns the root of the first size leaves.
func (t *merkleTree) root(size uint64) ([]byte, error) {
	if size > t.size() {
		return nil, fmt.Errorf("tree size %d is beyond %d", size, t.size())
	}
	if size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	r, err := factory.NewRange(0, size, t.hashes(compact.RangeNodes(0, size, nil)))
	if err != nil {
		return nil, err
	}
	return r.GetRootHash(nil)
}

// inclusion proves that leaf index is in the tree of the first size leaves (RFC 6962 §2.1.1).
func (t *merkleTree) inclusion(index, size uint64) ([][]byte, error) {
	if size > t.size() {
		return nil, fmt.Errorf("tree size %d is beyond %d", size, t.size())
	}
	nodes, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, err
	}
	return nodes.Rehash(t.hashes(nodes.IDs), rfc6962.DefaultHasher.HashChildren)
}

// consistency proves that the tree of the first leaves is a prefix of that of second ones (RFC 6962 §2.1.2).
func (t *merkleTree) consistency(first, second uint64) ([][]byte, error) {
	if second > t.size() {
		return nil, fmt.Errorf("tree size %d is beyond %d", second, t.size())
	}
	nodes, err := proof.Consistency(first, second)
	if err != nil {
		return nil, err
	}
	return nodes.Rehash(t.hashes(nodes.IDs), rfc6962.DefaultHasher.HashChildren)
}
