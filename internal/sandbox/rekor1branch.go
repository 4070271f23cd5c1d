package sandbox

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// Branch makes another history of the active shard, with the same first n entries, tree id and key. It takes entries of its
// own ([RekorShard.Add], [RekorShard.Log]), and nobody sees it but those whom it is shown to ([Rekor.Show]).
func (r *Rekor) Branch(n uint64) (*RekorShard, error) {
	s := r.Active()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if n > s.entries.size {
		return nil, fmt.Errorf("branching %s off at %d: it has only %d entries", s.origin, n, s.entries.size)
	}
	b := r.newShard(s.treeID, s.offset)
	b.entries = s.entries.prefix(n)
	for i := range n {
		b.growHashLocked(s.tree.levels[0][i], i)
	}
	return b, nil
}

// growHashLocked adds a leaf by its hash.
func (s *RekorShard) growHashLocked(hash []byte, index uint64) {
	s.tree.append(hash)
	s.byHash[[sha256.Size]byte(hash)] = index
}

// showing is a branch with those who see it.
type showing struct {
	branch *RekorShard
	to     func(*http.Request) bool
}

// Show has the log show a branch, instead of the shard that it branched off, to those whose requests to is true of: a split
// view. Of several branches that a request could see, the latest wins.
func (r *Rekor) Show(branch *RekorShard, to func(*http.Request) bool) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.showing = append(r.showing, showing{branch, to})
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.showing = slices.DeleteFunc(r.showing, func(s showing) bool { return s.branch == branch })
	})
}

// Unlisted makes a tree that the log signs for whom it likes and does not list.
func (r *Rekor) Unlisted(treeID int64) *RekorShard { return r.newShard(treeID, 0) }
