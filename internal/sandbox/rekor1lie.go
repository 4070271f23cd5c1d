package sandbox

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// The lies that a shard of Rekor v1 tells about the entry of an index of its own, besides those of every log with notes. The
// tree is the true one. In ShortPage's sense a page is what retrieve answers: its last entry is left out.
const (
	// WithheldEntry has the log say of the entry that it is not there, by whatever name it is asked for.
	WithheldEntry Lie = "withheld-entry"
	// AlteredBody gives the entry another body, and a SET for that; the bundles that were made have the true one.
	AlteredBody Lie = "altered-body"
	// AlteredTime says that the entry was integrated an hour later, and signs it.
	AlteredTime Lie = "altered-time"
	// WrongGlobalIndex gives the entry the global index of the next one, and signs it.
	WrongGlobalIndex Lie = "wrong-global-index"
	// WrongSET signs the entry's timestamp with another key.
	WrongSET Lie = "wrong-set"
)

// rumour is a lie about one entry.
type rumour struct {
	index    uint64
	withheld bool
	before   func(*Entry)       // changes what is then signed
	after    func(*Entry) error // changes it once it is
}

// of is the rumour where it is about the entry of an index, else nil.
func (r *rumour) of(index uint64) *rumour {
	if r == nil || r.index != index {
		return nil
	}
	return r
}

func entryLies() []Lie {
	return []Lie{WithheldEntry, AlteredBody, AlteredTime, WrongGlobalIndex, WrongSET}
}

// lies are those that a shard can tell: one of the past is too large to be made up again.
func (s *RekorShard) lies() []Lie {
	lies := append(append(commonLies(), WrongOrigin), entryLies()...)
	if s.past {
		lies = slices.DeleteFunc(lies, func(lie Lie) bool {
			return slices.Contains([]Lie{ForkedTree, Rollback, GrowthAfterFreeze}, lie)
		})
	}
	return lies
}

// Tell makes the shard lie until mend is called, which may be done more than once. It tells one lie about its tree and one
// about an entry at a time; those about HTTP, which all shards have in common, may come on top.
func (s *RekorShard) Tell(lie Lie, n uint64) (mend func(), err error) {
	if !slices.Contains(entryLies(), lie) {
		return s.Ledger.Tell(lie, n)
	}
	told, err := s.rumourOf(lie, n)
	if err != nil {
		return nil, fmt.Errorf("having log %s tell the lie %q: %w", s.origin, lie, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case n >= s.entries.size:
		return nil, fmt.Errorf("having log %s tell the lie %q: there is no entry %d among %d", s.origin, lie, n, s.entries.size)
	case s.rumour != nil:
		return nil, fmt.Errorf("log %s tells a lie about an entry already", s.origin)
	}
	s.rumour = told
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rumour = nil
	}), nil
}

func (s *RekorShard) rumourOf(lie Lie, n uint64) (*rumour, error) {
	told := &rumour{index: n}
	switch lie {
	case WithheldEntry:
		told.withheld = true
	case AlteredBody:
		body, err := s.log.noise(fmt.Sprintf("instead of %d", n))
		if err != nil {
			return nil, err
		}
		told.before = func(e *Entry) { e.Body = body }
	case AlteredTime:
		told.before = func(e *Entry) { e.IntegratedTime += int64(time.Hour / time.Second) }
	case WrongGlobalIndex:
		told.before = func(e *Entry) { e.LogIndex++ }
	case WrongSET:
		told.after = func(e *Entry) (err error) {
			e.SET, err = signTimestamp(s.log.otherKey, *e)
			return err
		}
	}
	return told, nil
}
