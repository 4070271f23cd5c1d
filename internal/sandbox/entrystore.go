package sandbox

import (
	"slices"
	"sort"
	"time"
)

// logEntry is an entry as a log keeps it.
type logEntry struct {
	// leaf is what the tree commits to: its hash is SHA-256(0x00 ‖ leaf).
	leaf []byte
	// extra is what a CT log serves with the leaf, in the form of its protocol; the tree does not cover it.
	extra []byte
	// added is when the log took it.
	added time.Time
}

// entryStore keeps the entries of a log in their order. Bulk is kept as a rule that makes it again: a million entries
// would take gigabytes.
type entryStore struct {
	pieces []piece
	size   uint64
}

// piece is a run of entries: those that are kept, or those that made makes from their place in the piece.
type piece struct {
	first uint64
	kept  []logEntry
	made  func(n uint64) logEntry // nil where entries are kept
}

func (s *entryStore) add(e logEntry) {
	last := len(s.pieces) - 1
	if last < 0 || s.pieces[last].made != nil {
		s.pieces = append(s.pieces, piece{first: s.size})
		last++
	}
	s.pieces[last].kept = append(s.pieces[last].kept, e)
	s.size++
}

// addMade adds n entries that made gives, always the same ones for the same numbers from 0 to n-1.
func (s *entryStore) addMade(n uint64, made func(n uint64) logEntry) {
	s.pieces = append(s.pieces, piece{first: s.size, made: made})
	s.size += n
}

// at returns the entry at an index below size.
func (s *entryStore) at(index uint64) logEntry {
	p := s.pieces[sort.Search(len(s.pieces), func(i int) bool { return s.pieces[i].first > index })-1]
	if p.made != nil {
		return p.made(index - p.first)
	}
	return p.kept[index-p.first]
}

// prefix is a store of the first n of the entries, to which others may be added than to this one.
func (s *entryStore) prefix(n uint64) entryStore {
	p := entryStore{size: n}
	for _, one := range s.pieces {
		if one.first >= n {
			break
		}
		if have := n - one.first; one.made == nil && uint64(len(one.kept)) > have {
			one.kept = one.kept[:have]
		}
		one.kept = slices.Clip(one.kept)
		p.pieces = append(p.pieces, one)
	}
	return p
}
