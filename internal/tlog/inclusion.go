package tlog

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
	"slices"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// Inclusion is a claim that the tree of a signed checkpoint has a leaf at an index, with its proof (RFC 6962 §2.1.1).
type Inclusion struct {
	Index    uint64
	LeafHash [sha256.Size]byte
	// Path are the hashes of the proof, from the leaf up to the root.
	Path       [][]byte
	Checkpoint SignedCheckpoint
}

// Verify checks the proof. Where it is well formed and leads to another root, the error is a [proof.RootMismatchError].
func (p Inclusion) Verify() error {
	if err := checkHashSizes(p.Path); err != nil {
		return err
	}
	return proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, p.Checkpoint.Size, p.LeafHash[:], p.Path, p.Checkpoint.Root[:])
}

// Before is the compact range [0, Index), from left to right: those hashes of the proof that stand to the left of the
// leaf's path. They do not depend on the tree's size, and are as true as the proof, which it verifies first.
func (p Inclusion) Before() ([][]byte, error) {
	if err := p.Verify(); err != nil {
		return nil, err
	}
	// Up to where the paths of this leaf and of the tree's last one meet, the index says which side a sibling is on. Above,
	// every sibling is on the left (RFC 9162 §2.1.3.2).
	inner := bits.Len64(p.Index ^ (p.Checkpoint.Size - 1))
	var left [][]byte
	for i, hash := range p.Path {
		if i >= inner || p.Index>>i&1 == 1 {
			left = append(left, hash)
		}
	}
	slices.Reverse(left)
	return left, nil
}

// Consistency is the proof that the tree which ends with the leaf is a prefix of the checkpoint's (RFC 6962 §2.1.2), made
// of the inclusion proof, which it verifies first: the two have all but their beginning in common. It is empty if the leaf
// is the checkpoint's last.
func (p Inclusion) Consistency() ([][]byte, error) {
	if err := p.Verify(); err != nil {
		return nil, err
	}
	size := p.Index + 1
	if size == p.Checkpoint.Size {
		return nil, nil
	}
	// The largest complete subtree that ends with the leaf: everything below its root stands to the left of the path.
	shift := bits.TrailingZeros64(size)
	rest := slices.Clone(p.Path[shift:])
	if size == 1<<shift {
		return rest, nil // the smaller tree is that subtree, and its root is known
	}
	node := p.LeafHash[:]
	for _, left := range p.Path[:shift] {
		node = hashChildren(left, node)
	}
	return append([][]byte{node}, rest...), nil
}

func checkHashSizes(hashes [][]byte) error {
	for i, h := range hashes {
		if len(h) != sha256.Size {
			return fmt.Errorf("hash %d of the proof has %d bytes, not %d", i, len(h), sha256.Size)
		}
	}
	return nil
}
