package sandbox

import (
	"crypto/sha256"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
)

// pastShard is a frozen shard that was there before the world was.
type pastShard struct {
	treeID   int64
	size     uint64
	from, to time.Time // of its first and last entry
}

// rekorPast are shards of the sizes of those of Sigstore's own Rekor, so that global indices are what they are there.
func rekorPast() []pastShard {
	return []pastShard{
		{3904496407287907111, 4_163_431, epoch, time.Date(2022, 10, 16, 0, 0, 0, 0, time.UTC)},
		{2605736670972794747, 117_740_831, time.Date(2022, 10, 16, 0, 0, 0, 0, time.UTC), time.Date(2024, 8, 13, 0, 0, 0, 0, time.UTC)},
	}
}

// pastPeriod is after how many leaves those of a past shard repeat: a power of two. No page of the API has one twice.
const pastPeriod = 64

// addPast opens the log with shards of a hundred million leaves in a moment: they repeat, and so do the hashes of the subtrees
// over them, so that a tree is known by those of one period and one a level above it. Entries and proofs are what they claim to
// be; Rekor would have refused the repetitions.
func (r *Rekor) addPast(past []pastShard) error {
	if len(past) == 0 {
		return nil
	}
	bulk, err := r.strangers()
	if err != nil {
		return err
	}
	leaves := make([][]byte, pastPeriod)
	for i := range leaves {
		leaves[i] = rfc6962.DefaultHasher.HashLeaf(bulk.entry(uint64(i)))
	}
	for _, p := range past {
		s := r.newShard(p.treeID, r.endLocked())
		s.past = true
		s.entries.addMade(p.size, func(i uint64) logEntry {
			return logEntry{leaf: bulk.entry(i % pastPeriod), added: between(p.from, p.to, i, p.size)}
		})
		for i, leaf := range leaves {
			s.byHash[[sha256.Size]byte(leaf)] = uint64(i)
		}
		s.tree = repeatedTree(leaves, p.size)
		s.frozenAt, s.end = p.to, p.size
		r.shards = append(r.shards, s)
	}
	return nil
}

// repeatedTree is the tree over size leaves that are the given ones over and over; there is a power of two of them.
func repeatedTree(leaves [][]byte, size uint64) merkleTree {
	t := merkleTree{repeated: size}
	for _, leaf := range leaves {
		t.append(leaf)
	}
	for 1<<len(t.levels) <= size {
		node := t.levels[len(t.levels)-1][0]
		t.levels = append(t.levels, [][]byte{rfc6962.DefaultHasher.HashChildren(node, node)})
	}
	return t
}

// between is the time of the entry of a number among n, the first of which is of one time and the last of another.
func between(from, to time.Time, number, n uint64) time.Time {
	if n < 2 {
		return from
	}
	return from.Add(time.Duration(float64(to.Sub(from)) * (float64(number) / float64(n-1))))
}
