package tlog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// memoryLog is a log in memory, over merkle's reference tree. It lies as its fields say.
type memoryLog struct {
	leaves   []string
	shown    int // what the checkpoint shows; -1: all
	pageSize uint64
	most     int // leaves a page at most, 0: as asked

	served     func(index int) string // what Page serves for a leaf, where that is not the leaf
	checkpoint func(SignedCheckpoint) (SignedCheckpoint, error)
	proof      func([][]byte) ([][]byte, error)
	frontier   func([][]byte) ([][]byte, error)
	page       func(Page) Page
	fail       func(from, to uint64) error
	mu         sync.Mutex
	pages      int
}

func newLog(n int) *memoryLog {
	l := &memoryLog{shown: -1, pageSize: 16}
	l.grow(n)
	return l
}

// grow appends leaves; every hundredth is worth keeping.
func (l *memoryLog) grow(n int) {
	for range n {
		word := "noise"
		if len(l.leaves)%100 == 42 {
			word = "watched"
		}
		l.leaves = append(l.leaves, fmt.Sprintf("%s %d", word, len(l.leaves)))
	}
}

func (l *memoryLog) tree() *testonly.Tree {
	t := testonly.New(rfc6962.DefaultHasher)
	for _, leaf := range l.leaves {
		t.AppendData([]byte(leaf))
	}
	return t
}

func (l *memoryLog) Checkpoint(context.Context) (SignedCheckpoint, error) {
	size := len(l.leaves)
	if l.shown >= 0 {
		size = l.shown
	}
	cp := SignedCheckpoint{Origin: "log.example", Size: uint64(size)}
	copy(cp.Root[:], l.tree().HashAt(uint64(size)))
	cp.Raw = fmt.Appendf(nil, "signed %d %x", size, cp.Root)
	if l.checkpoint != nil {
		return l.checkpoint(cp)
	}
	return cp, nil
}

func (l *memoryLog) ConsistencyProof(_ context.Context, from, to uint64) ([][]byte, error) {
	if to > uint64(len(l.leaves)) {
		return nil, errors.New("no such tree")
	}
	p, err := l.tree().ConsistencyProof(from, to)
	if err == nil && l.proof != nil {
		return l.proof(p)
	}
	return p, err
}

func (l *memoryLog) Frontier(_ context.Context, size, _ uint64) ([][]byte, error) {
	r := rangeFactory.NewEmptyRange(0)
	for _, leaf := range l.leaves[:size] {
		h := sha256.Sum256([]byte("\x00" + leaf))
		if err := r.Append(h[:], nil); err != nil {
			return nil, err
		}
	}
	if l.frontier != nil {
		return l.frontier(r.Hashes())
	}
	return r.Hashes(), nil
}

func (l *memoryLog) Page(_ context.Context, from, to uint64) (Page, error) {
	l.mu.Lock()
	l.pages++
	l.mu.Unlock()
	if l.fail != nil {
		if err := l.fail(from, to); err != nil {
			return Page{}, err
		}
	}
	p := Page{First: from}
	for i := from; i < to && (l.most == 0 || len(p.Leaves) < l.most); i++ {
		leaf := l.leaves[i]
		if l.served != nil {
			leaf = l.served(int(i))
		}
		p.Leaves = append(p.Leaves, []byte(leaf))
		p.Bytes += int64(len(leaf))
	}
	if l.page != nil {
		p = l.page(p)
	}
	return p, nil
}

func (l *memoryLog) PageSize() uint64 { return l.pageSize }

// memoryStore is a record in memory. Each write can fail before or after it took effect.
type memoryStore struct {
	state  State
	hits   map[uint64]string
	seen   []string // kinds of misbehaviour
	last   *Misbehaviour
	break_ func(method string) (before, after error)
}

func newStore() *memoryStore { return &memoryStore{hits: map[uint64]string{}} }

func (s *memoryStore) do(method string, fn func() error) error {
	var before, after error
	if s.break_ != nil {
		before, after = s.break_(method)
	}
	if before != nil {
		return before
	}
	if err := fn(); err != nil {
		return err
	}
	return after
}

func (s *memoryStore) State(context.Context) (State, error) { return s.state, nil }

func (s *memoryStore) Begin(_ context.Context, now time.Time, start uint64, frontier [][]byte, cp SignedCheckpoint) error {
	return s.do("begin", func() error {
		s.state = State{Known: true, Start: start, Read: start, Proven: start, ReadRange: frontier, ProvenRange: frontier, Checkpoint: cp, SeenAt: now}
		return nil
	})
}

func (s *memoryStore) Saw(_ context.Context, now time.Time, cp SignedCheckpoint) error {
	return s.do("saw", func() error {
		if cp.Size >= s.state.Checkpoint.Size {
			s.state.Checkpoint, s.state.SeenAt = cp, now
		}
		return nil
	})
}

func (s *memoryStore) Advance(_ context.Context, _ time.Time, b Batch[string]) error {
	return s.do("advance", func() error {
		if s.state.Read != b.From {
			return ErrMoved
		}
		s.state.Read, s.state.ReadRange = b.To, b.Range
		for _, h := range b.Hits {
			if _, twice := s.hits[h.Index]; twice {
				return fmt.Errorf("entry %d was kept twice", h.Index)
			}
			s.hits[h.Index] = h.Hit
		}
		return nil
	})
}

func (s *memoryStore) Prove(_ context.Context, _ time.Time, size uint64, _ SignedCheckpoint) error {
	return s.do("prove", func() error {
		if s.state.Read != size {
			return ErrMoved
		}
		s.state.Proven, s.state.ProvenRange = size, s.state.ReadRange
		return nil
	})
}

func (s *memoryStore) Misbehaved(_ context.Context, _ time.Time, m *Misbehaviour) error {
	return s.do("misbehaved", func() error {
		s.seen, s.last = append(s.seen, string(m.Kind)), m
		if m.Rewinds() {
			s.state.Read, s.state.ReadRange = s.state.Proven, s.state.ProvenRange
			for i := range s.hits {
				if i >= s.state.Proven {
					delete(s.hits, i)
				}
			}
		}
		return nil
	})
}

func newFollower(l *memoryLog, s *memoryStore) *Follower[string] {
	return &Follower[string]{Source: l, Store: s, Clock: clock.NewSimulated(start), Logger: slog.New(slog.DiscardHandler), Parallel: 4, BatchEntries: 50,
		Scan:    func(leaf []byte) bool { return strings.Contains(string(leaf), "watched") },
		Inspect: func(_ uint64, leaf []byte) (string, bool) { return string(leaf), true },
		Start:   func(context.Context, uint64) (uint64, error) { return 0, nil }}
}

func follow(l *memoryLog, s *memoryStore, edit ...func(*Follower[string])) (Outcome, error) {
	f := newFollower(l, s)
	for _, e := range edit {
		e(f)
	}
	return f.Follow(context.Background(), 0)
}

func startAt(n uint64) func(*Follower[string]) {
	return func(f *Follower[string]) { f.Start = func(context.Context, uint64) (uint64, error) { return n, nil } }
}

// planted are the leaves worth keeping in [from, to), by the definition of grow.
func planted(from, to uint64) map[uint64]string {
	want := map[uint64]string{}
	for i := from; i < to; i++ {
		if i%100 == 42 {
			want[i] = fmt.Sprintf("watched %d", i)
		}
	}
	return want
}

func check(t *testing.T, s *memoryStore, from, to uint64) {
	t.Helper()
	if s.state.Read != to || s.state.Proven != to {
		t.Errorf("read %d, proven %d, want %d", s.state.Read, s.state.Proven, to)
	}
	if diff := cmp.Diff(planted(from, to), s.hits); diff != "" {
		t.Error(diff)
	}
}
