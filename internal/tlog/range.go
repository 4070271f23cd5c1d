package tlog

import (
	"crypto/sha256"
	"hash"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// rangeFactory makes compact ranges of RFC 6962 trees.
var rangeFactory = compact.RangeFactory{Hash: hashChildren}

// hashChildren is the hash of an inner node (RFC 6962 §2.1).
func hashChildren(left, right []byte) []byte {
	var node [1 + 2*sha256.Size]byte
	node[0] = 1
	copy(node[1:], left)
	copy(node[1+sha256.Size:], right)
	sum := sha256.Sum256(node[:])
	return sum[:]
}

// RangeRoot is the root hash of the tree of the given size, from the node hashes of the compact range [0, size).
func RangeRoot(size uint64, hashes [][]byte) ([]byte, error) {
	if size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	r, err := rangeFactory.NewRange(0, size, hashes)
	if err != nil {
		return nil, err
	}
	return r.GetRootHash(nil)
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

// pageHasher hashes leaves into the nodes of a compact range. One goroutine uses it at a time.
type pageHasher struct {
	sha    hash.Hash
	hashes [][sha256.Size]byte
	level  [][sha256.Size]byte
}

func newPageHasher() *pageHasher { return &pageHasher{sha: sha256.New()} }

// leaves hashes leaves; the result is valid until the next call.
func (h *pageHasher) leaves(leaves [][]byte) [][sha256.Size]byte {
	if cap(h.hashes) < len(leaves) {
		h.hashes = make([][sha256.Size]byte, len(leaves))
	}
	h.hashes = h.hashes[:len(leaves)]
	for i, leaf := range leaves {
		h.sha.Reset()
		h.sha.Write(leafPrefix)
		h.sha.Write(leaf)
		h.sha.Sum(h.hashes[i][:0])
	}
	return h.hashes
}

var leafPrefix = []byte{0}

// appendTo appends leaf hashes from an index on. Aligned runs of a power of two become one node at once, which is what
// makes a full page cheap: no allocation and no bookkeeping for each leaf.
func (h *pageHasher) appendTo(nodes *compact.Range, at uint64, hashes [][sha256.Size]byte) error {
	for len(hashes) > 0 {
		// The largest subtree that begins at `at` and fits.
		width := uint64(1)
		for width*2 <= uint64(len(hashes)) && at%(width*2) == 0 {
			width *= 2
		}
		root := h.subtree(hashes[:width])
		run, err := rangeFactory.NewRange(at, at+width, [][]byte{root[:]})
		if err != nil {
			return err
		}
		if err := nodes.AppendRange(run, nil); err != nil {
			return err
		}
		at, hashes = at+width, hashes[width:]
	}
	return nil
}

// subtree is the root of a power of two of leaf hashes.
func (h *pageHasher) subtree(hashes [][sha256.Size]byte) [sha256.Size]byte {
	if cap(h.level) < len(hashes) {
		h.level = make([][sha256.Size]byte, len(hashes))
	}
	level := h.level[:len(hashes)]
	copy(level, hashes)
	var node [1 + 2*sha256.Size]byte
	node[0] = 1
	for len(level) > 1 {
		for i := range len(level) / 2 {
			copy(node[1:], level[2*i][:])
			copy(node[1+sha256.Size:], level[2*i+1][:])
			level[i] = sha256.Sum256(node[:])
		}
		level = level[:len(level)/2]
	}
	return level[0]
}
