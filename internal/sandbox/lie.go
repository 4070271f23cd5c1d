package sandbox

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/transparency-dev/merkle/rfc6962"
)

// Lie is a way in which a log misleads those who read it, or keeps them from reading it.
type Lie string

// The lies of a log. What Tell's number means is said with each; where nothing is said it means nothing.
const (
	// ShortPage leaves the last entry of the page out in which the entry of that index is. For RFC 6962 this is no lie:
	// a log gives as many entries as it likes.
	ShortPage Lie = "short-page"
	// MissingLeaf leaves the entry of that index out. Those that follow move up, and a forged one makes up the number.
	MissingLeaf Lie = "missing-leaf"
	// SwappedLeaves exchanges the entry of that index and the next.
	SwappedLeaves Lie = "swapped-leaves"
	// DuplicatedLeaf gives the entry of that index twice. Those that follow move down, and the last is lost.
	DuplicatedLeaf Lie = "duplicated-leaf"
	// ForkedTree signs another history, in which the entry of that index is another one: its entries, its tiles and its
	// proofs fit together.
	ForkedTree Lie = "forked-tree"
	// Rollback signs the tree of that size, and its last entry is another one than it was.
	Rollback Lie = "rollback"
	// SmallerCheckpoint signs the tree of that size: what a cache does, not an attack.
	SmallerCheckpoint Lie = "smaller-checkpoint"
	// StaleCheckpoint serves the present tree head for ever, while the log grows.
	StaleCheckpoint Lie = "stale-checkpoint"
	// WrongKey signs with another key in the name of the log's.
	WrongKey Lie = "wrong-key"
	// WrongOrigin signs in another log's name with the log's own key.
	WrongOrigin Lie = "wrong-origin"
	// GrowthAfterFreeze adds that many entries to a frozen log.
	GrowthAfterFreeze Lie = "growth-after-freeze"
	// DisagreeingTile has another hash for the entry of that index in its hash tile.
	DisagreeingTile Lie = "disagreeing-tile"
	// WrongProof gives proofs, or hash tiles to compute them from, that fit no root.
	WrongProof Lie = "wrong-proof"

	// TooManyRequests refuses pages with the status 429 and a Retry-After of that many seconds;
	// TooManyRequestsBare without one.
	TooManyRequests     Lie = "too-many-requests"
	TooManyRequestsBare Lie = "too-many-requests-bare"
	// SlowLoris stops in the middle of every page.
	SlowLoris Lie = "slow-loris"
	// OversizedBody sends pages without end.
	OversizedBody Lie = "oversized-body"
	// GzipBomb sends a megabyte for a page that becomes a gigabyte.
	GzipBomb Lie = "gzip-bomb"
	// TruncatedBundle sends the first half of every page as if it were the whole.
	TruncatedBundle Lie = "truncated-bundle"
)

// commonLies are those that a log of any protocol can tell.
func commonLies() []Lie {
	return []Lie{
		ShortPage, MissingLeaf, SwappedLeaves, DuplicatedLeaf, ForkedTree, Rollback, SmallerCheckpoint, StaleCheckpoint,
		WrongKey, GrowthAfterFreeze, WrongProof,
		TooManyRequests, TooManyRequestsBare, SlowLoris, OversizedBody, GzipBomb, TruncatedBundle,
	}
}

// tiledLies are those of logs with tiles and notes.
func tiledLies() []Lie { return append(commonLies(), WrongOrigin, DisagreeingTile) }

// Lies lists what the log can be made to tell.
func (l *Ledger) Lies() []Lie { return l.protocol.lies() }

// Tell makes the log lie until mend is called, which may be done more than once. It tells one lie about its tree at a
// time; those about HTTP alone may come on top. What the number is about is said with each lie.
func (l *Ledger) Tell(lie Lie, n uint64) (mend func(), err error) {
	if !slices.Contains(l.Lies(), lie) {
		return nil, fmt.Errorf("log %s cannot tell the lie %q", l.origin, lie)
	}
	if f, ok := faultOf(lie, l.protocol.pages(), n); ok {
		return l.Break(f), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bend != nil {
		return nil, fmt.Errorf("log %s tells a lie already", l.origin)
	}
	if l.bend, err = l.bendLocked(lie, n); err != nil {
		return nil, fmt.Errorf("having log %s tell the lie %q: %w", l.origin, lie, err)
	}
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bend = nil
	}), nil
}

// faultOf is a lie about HTTP.
func faultOf(lie Lie, pages string, n uint64) (Fault, bool) {
	f := Fault{Path: pages}
	switch lie {
	case TooManyRequests:
		f.Status, f.RetryAfter = http.StatusTooManyRequests, fmt.Sprint(n)
	case TooManyRequestsBare:
		f.Status = http.StatusTooManyRequests
	case SlowLoris:
		f.Stall = StallInBody
	case OversizedBody:
		f.Endless = true
	case GzipBomb:
		f.Body, f.ContentEncoding = gzipBomb(), "gzip"
	case TruncatedBundle:
		// A byte less than half: entries are of one size, and half might end with one.
		f.Rewrite = func(body []byte) []byte { return body[:max(len(body)/2, 1)-1] }
	default:
		return Fault{}, false
	}
	return f, true
}

// gzipBomb is a gigabyte of zeros in a megabyte: gzip files may follow one another (RFC 1952 §2.2), so that one
// compressed run of zeros serves for all.
func gzipBomb() []byte {
	const member, members = 16 << 20, 64
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	// Writing to memory does not fail.
	_, _ = z.Write(make([]byte, member))
	_ = z.Close()
	return bytes.Repeat(b.Bytes(), members)
}

// bendLocked is what a lie makes of the truth.
func (l *Ledger) bendLocked(lie Lie, n uint64) (func(*view), error) {
	size := l.entries.size
	if slices.Contains([]Lie{ShortPage, MissingLeaf, DuplicatedLeaf, ForkedTree, DisagreeingTile}, lie) && n >= size {
		return nil, fmt.Errorf("there is no entry %d among %d", n, size)
	}
	switch lie {
	case ShortPage:
		return func(v *view) {
			v.withheld = func(from, to uint64) uint64 {
				if from <= n && n < to {
					return 1
				}
				return 0
			}
		}, nil
	case SwappedLeaves:
		if n+1 >= size {
			return nil, fmt.Errorf("no entry follows entry %d", n)
		}
		return reordered(func(i uint64) uint64 {
			switch i {
			case n:
				return n + 1
			case n + 1:
				return n
			}
			return i
		}, nil), nil
	case DuplicatedLeaf:
		return reordered(func(i uint64) uint64 {
			if i > n {
				i--
			}
			return i
		}, nil), nil
	case MissingLeaf:
		forged, err := l.protocol.stranger("missing leaf", size)
		if err != nil {
			return nil, err
		}
		return reordered(func(i uint64) uint64 {
			if i >= n {
				i++
			}
			return i
		}, &forged), nil
	case ForkedTree:
		return l.forkLocked(n)
	case Rollback:
		return l.rollbackLocked(n)
	case SmallerCheckpoint:
		if n > size {
			return nil, fmt.Errorf("the log has only %d entries", size)
		}
		return func(v *view) { v.size = n }, nil
	case StaleCheckpoint:
		head, err := l.headLocked(l.viewLocked())
		return func(v *view) { v.head = head }, err
	case WrongKey:
		return func(v *view) { v.wrongKey = true }, nil
	case WrongOrigin:
		return func(v *view) { v.origin = "other-log.sandbox.example" }, nil
	case GrowthAfterFreeze:
		return l.growFrozenLocked(n)
	case DisagreeingTile:
		return func(v *view) {
			v.node = func(level uint, index uint64, hash []byte) []byte {
				if level == 0 && index == n {
					return flipped(hash)
				}
				return hash
			}
		}, nil
	case WrongProof:
		return func(v *view) {
			v.bentProofs = true
			v.node = func(_ uint, _ uint64, hash []byte) []byte { return flipped(hash) }
		}, nil
	}
	return nil, errors.New("nobody knows how")
}

// reordered serves entries in another order than the tree has them. The entry that from puts past the end is beyond.
func reordered(from func(i uint64) uint64, beyond *logEntry) func(*view) {
	return func(v *view) {
		honest, size := v.entry, v.tree.size()
		v.entry = func(i uint64) logEntry {
			if i = from(i); i < size {
				return honest(i)
			}
			return *beyond
		}
	}
}

// forkLocked tells another history that differs in one entry, and grows as the true one does.
func (l *Ledger) forkLocked(n uint64) (func(*view), error) {
	forged, err := l.protocol.stranger("forked tree", n)
	if err != nil {
		return nil, err
	}
	forgedHash := [sha256.Size]byte(rfc6962.DefaultHasher.HashLeaf(forged.leaf))
	var mu sync.Mutex
	var fork merkleTree
	return func(v *view) {
		honest, found := v.entry, v.find
		truth := v.tree
		// The true tree cannot grow while a view of it is in use, so that after this nobody changes the fork either.
		mu.Lock()
		for i := fork.size(); i < truth.size(); i++ {
			hash := truth.levels[0][i]
			if i == n {
				hash = forgedHash[:]
			}
			fork.append(hash)
		}
		mu.Unlock()
		v.tree = &fork
		v.entry = func(i uint64) logEntry {
			if i == n {
				return forged
			}
			return honest(i)
		}
		v.find = func(hash [sha256.Size]byte) (uint64, bool) {
			if hash == forgedHash {
				return n, true
			}
			index, ok := found(hash)
			return index, ok && index != n
		}
	}, nil
}

// rollbackLocked shows the first size entries, of which the last is another one.
func (l *Ledger) rollbackLocked(size uint64) (func(*view), error) {
	if size == 0 || size > l.entries.size {
		return nil, fmt.Errorf("a log of %d entries cannot be rolled back to %d, the last of them another", l.entries.size, size)
	}
	fork, err := l.forkLocked(size - 1)
	if err != nil {
		return nil, err
	}
	v := l.viewLocked()
	fork(&v)
	var short merkleTree
	for _, hash := range v.tree.levels[0][:size] {
		short.append(hash)
	}
	return func(v *view) {
		fork(v)
		v.size, v.tree = size, &short
	}, nil
}

// growFrozenLocked adds entries to a log that has ended.
func (l *Ledger) growFrozenLocked(n uint64) (func(*view), error) {
	if l.frozenAt.IsZero() {
		return nil, errors.New("it is not frozen")
	}
	for i := range n {
		e, err := l.protocol.stranger(fmt.Sprintf("after the end %d", i), l.entries.size)
		if err != nil {
			return nil, err
		}
		l.appendLocked(e)
	}
	return func(v *view) { v.size = v.tree.size() }, nil
}
