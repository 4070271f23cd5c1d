package tiles

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// ConsistencyProof computes the proof that a tree of size from is a prefix of one of size to (RFC 6962 §2.1.2), from
// the hash tiles of the larger one. It wants 0 < from < to.
func (r Reader) ConsistencyProof(ctx context.Context, from, to uint64) ([][]byte, error) {
	if from == 0 || from >= to {
		return nil, fmt.Errorf("there is no consistency proof from size %d to %d", from, to)
	}
	nodes, err := proof.Consistency(from, to)
	if err != nil {
		return nil, err
	}
	hashes, err := r.nodes(ctx, nodes.IDs, to)
	if err != nil {
		return nil, fmt.Errorf("consistency proof from size %d to %d: %w", from, to, err)
	}
	return nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
}

// InclusionProof computes the proof that a tree of the given size has the leaf at an index (RFC 6962 §2.1.1), from its hash
// tiles. It wants index < size.
func (r Reader) InclusionProof(ctx context.Context, index, size uint64) ([][]byte, error) {
	nodes, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, err
	}
	hashes, err := r.nodes(ctx, nodes.IDs, size)
	if err != nil {
		return nil, fmt.Errorf("inclusion proof of entry %d in a tree of size %d: %w", index, size, err)
	}
	return nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
}

// Frontier computes the hashes of the compact range [0, size) from the hash tiles of a tree of treeSize, in the order of
// [compact.RangeNodes].
func (r Reader) Frontier(ctx context.Context, size, treeSize uint64) ([][]byte, error) {
	if size > treeSize {
		return nil, fmt.Errorf("a tree of %d leaves has no %d leaves", treeSize, size)
	}
	hashes, err := r.nodes(ctx, compact.RangeNodes(0, size, nil), treeSize)
	if err != nil {
		return nil, fmt.Errorf("hashes of the first %d leaves: %w", size, err)
	}
	return hashes, nil
}

// nodes returns the hashes of nodes which are complete in a tree of the given size.
func (r Reader) nodes(ctx context.Context, ids []compact.NodeID, size uint64) ([][]byte, error) {
	type key struct {
		level uint
		index uint64
	}
	tiles := map[key][]byte{} // neighbouring nodes of a proof share their tiles
	hashes := make([][]byte, 0, len(ids))
	for _, id := range ids {
		// A node lies depth levels above the bottom of its tile, over 2^depth of the tile's hashes.
		depth := id.Level % 8
		bottom := id.Index << depth
		k := key{id.Level / 8, bottom / FullWidth}
		tile, ok := tiles[k]
		if !ok {
			var err error
			if tile, err = r.hashTile(ctx, k.level, k.index, Width(k.level, k.index, size)); err != nil {
				return nil, err
			}
			tiles[k] = tile
		}
		first, count := int(bottom%FullWidth), 1<<depth
		if len(tile) < (first+count)*sha256.Size {
			return nil, fmt.Errorf("node %d of level %d is not in a tree of size %d", id.Index, id.Level, size)
		}
		hashes = append(hashes, subtree(tile[first*sha256.Size:], count))
	}
	return hashes, nil
}

// maxHashTileBytes bounds a hash tile as it comes: gzip makes hashes, which do not compress, a little longer.
const maxHashTileBytes = FullWidth*sha256.Size + 1024

// hashTile reads the hashes of a tile, of which the tree has width.
func (r Reader) hashTile(ctx context.Context, level uint, index uint64, width int) ([]byte, error) {
	name := strconv.FormatUint(uint64(level), 10)
	body, got, _, err := r.Tile(ctx, name, index, width, maxHashTileBytes, &Buffer{})
	if err != nil {
		return nil, err
	}
	if len(body) != got*sha256.Size {
		return nil, fmt.Errorf("hash tile %s has %d bytes, wants %d", Path(name, index, got), len(body), got*sha256.Size)
	}
	return body[:width*sha256.Size], nil
}

// subtree is the root hash over count hashes of a tile; count is a power of two.
func subtree(tile []byte, count int) []byte {
	if count == 1 {
		return tile[:sha256.Size:sha256.Size]
	}
	half := count / 2
	return rfc6962.DefaultHasher.HashChildren(subtree(tile, half), subtree(tile[half*sha256.Size:], half))
}
