package sandbox

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
)

// Ledger is what Rekor v2 and the CT logs have in common: entries in their order, the tree over them, and the lies that
// are told about both. The log that embeds it says how a tree head is signed and how all of it is served.
type Ledger struct {
	*Service
	origin string
	now    func() time.Time
	// protocol is how the log is read.
	protocol protocol

	mu      sync.RWMutex
	entries entryStore
	tree    merkleTree
	// byHash finds entries by their leaf hash; nil where the protocol has no such question.
	byHash     map[[sha256.Size]byte]uint64
	mergeDelay time.Duration
	pruned     bool
	gzip       bool
	frozenAt   time.Time // zero while the log is open
	end        uint64    // of a frozen log
	bend       func(*view)
}

// protocol is the part of a log that differs from one kind to the other.
type protocol interface {
	// seal signs the head of a view and renders it as it is served.
	seal(v view, at time.Time) ([]byte, error)
	// stranger makes a well-formed entry that the log does not have; index is the place that it will take.
	stranger(label string, index uint64) (logEntry, error)
	// lies are those that the protocol can tell.
	lies() []Lie
	// pages is the path of what has entries in it, for [Fault].
	pages() string
}

// view is what a log shows to those who ask: the truth, or what a lie has made of it.
type view struct {
	size  uint64      // of the tree head
	tree  *merkleTree // that the head, the tiles and the proofs are of
	entry func(index uint64) logEntry
	find  func(leafHash [sha256.Size]byte) (uint64, bool)
	// withheld is how many entries are left out at the end of a page.
	withheld func(from, to uint64) uint64
	// node changes a hash of a tile or a proof; level counts single levels of the tree.
	node func(level uint, index uint64, hash []byte) []byte
	// bentProofs spoils the proofs that the log computes itself.
	bentProofs bool
	origin     string
	wrongKey   bool
	// head is served instead of a new one.
	head []byte
}

// Origin is the log's name: the first line of its checkpoints, and its host in the trusted root.
func (l *Ledger) Origin() string { return l.origin }

// baseURL is the log's address in the trusted root.
func (l *Ledger) baseURL() string { return "https://" + l.origin }

// Size is the number of entries in the log, those too that it does not show yet.
func (l *Ledger) Size() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.entries.size
}

// Leaf is what the tree commits to at an index, whatever lies are told about it.
func (l *Ledger) Leaf(index uint64) ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if index >= l.entries.size {
		return nil, fmt.Errorf("log %s has no entry %d", l.origin, index)
	}
	return bytes.Clone(l.entries.at(index).leaf), nil
}

// Root is the true root hash of the first size entries.
func (l *Ledger) Root(size uint64) ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.tree.root(size)
}

// SetMergeDelay has entries appear so long after they were promised (RFC 6962 §3), by the world's clock. It concerns
// entries of the past too.
func (l *Ledger) SetMergeDelay(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mergeDelay = d
}

// PrunePartials has partial tiles and bundles vanish once the full one is there (C2SP tlog-tiles, "Pruning").
func (l *Ledger) PrunePartials() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pruned = true
}

// Compress serves tiles with gzip to those who take it. It costs more time than making the entries.
func (l *Ledger) Compress(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gzip = on
}

// append adds entries. A frozen log takes none.
func (l *Ledger) append(entries ...logEntry) (first uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.frozenAt.IsZero() {
		return 0, fmt.Errorf("log %s is frozen", l.origin)
	}
	first = l.entries.size
	for _, e := range entries {
		l.appendLocked(e)
	}
	return first, nil
}

// appendWith adds the entry that is made for the place it takes.
func (l *Ledger) appendWith(make func(index uint64) logEntry) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.frozenAt.IsZero() {
		return 0, fmt.Errorf("log %s is frozen", l.origin)
	}
	index := l.entries.size
	l.appendLocked(make(index))
	return index, nil
}

func (l *Ledger) appendLocked(e logEntry) {
	l.growLocked(e.leaf, l.entries.size)
	l.entries.add(e)
}

func (l *Ledger) growLocked(leaf []byte, index uint64) {
	hash := rfc6962.DefaultHasher.HashLeaf(leaf)
	l.tree.append(hash)
	if l.byHash != nil {
		l.byHash[[sha256.Size]byte(hash)] = index
	}
}

// appendMade adds n entries that are made again whenever they are asked for.
func (l *Ledger) appendMade(n uint64, made func(first uint64) func(n uint64) logEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.frozenAt.IsZero() {
		return fmt.Errorf("log %s is frozen", l.origin)
	}
	first := l.entries.size
	entry := made(first)
	for i := range n {
		l.growLocked(entry(i).leaf, first+i)
	}
	l.entries.addMade(n, entry)
	return nil
}

// freeze ends the log.
func (l *Ledger) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozenAt.IsZero() {
		l.frozenAt, l.end = l.now(), l.entries.size
	}
}

// frozen is when the log ended; zero while it has not.
func (l *Ledger) frozen() time.Time {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.frozenAt
}

// viewLocked is what the log shows now.
func (l *Ledger) viewLocked() view {
	v := view{
		size: l.visibleLocked(), tree: &l.tree, entry: l.entries.at, origin: l.origin,
		find: func(hash [sha256.Size]byte) (uint64, bool) {
			index, ok := l.byHash[hash]
			return index, ok
		},
	}
	if l.bend != nil {
		l.bend(&v)
	}
	return v
}

// visibleLocked is the size of the tree that the log shows when it is honest.
func (l *Ledger) visibleLocked() uint64 {
	size := l.entries.size
	if !l.frozenAt.IsZero() {
		size = l.end
	}
	if l.mergeDelay == 0 {
		return size
	}
	merged := l.now().Add(-l.mergeDelay)
	return uint64(sort.Search(int(size), func(i int) bool { return l.entries.at(uint64(i)).added.After(merged) }))
}

// headLocked is the signed head of what the log shows.
func (l *Ledger) headLocked(v view) ([]byte, error) {
	if v.head != nil {
		return v.head, nil
	}
	return l.protocol.seal(v, l.now())
}

// Head is the log's signed tree head as it is served now: a checkpoint, or RFC 6962's JSON.
func (l *Ledger) Head() ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.headLocked(l.viewLocked())
}

// proof returns the hashes of a proof as the view has them.
func (v view) proof(hashes [][]byte) [][]byte {
	if !v.bentProofs {
		return hashes
	}
	bent := make([][]byte, len(hashes))
	for i, h := range hashes {
		bent[i] = flipped(h)
	}
	return bent
}

// flipped is a copy with its first bit changed.
func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	b[0] ^= 0x80
	return b
}
