package tlog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/rekoncile/rekoncile/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// memoryLog is a log in memory, over merkle's reference tree. It lies as its fields say.
type memoryLog struct {
	leaves   []string
	shown    int // what the checkpoint shows; -1: all
	pageSize uint64
	most     int // leaves a page at most, 0: as asked

	served     func(index int) string // what Page serves for a leaf, where that is not the leaf
	checkpoint func(SignedCheckpoint) (SignedCheckpoint, error)
	proof      func([][]byte) ([][]byte, error)
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

func (s *memoryStore) Begin(_ context.Context, _ time.Time, start uint64, frontier [][]byte, cp SignedCheckpoint) error {
	return s.do("begin", func() error {
		s.state = State{Known: true, Start: start, Read: start, Proven: start, ReadRange: frontier, ProvenRange: frontier, Checkpoint: cp}
		return nil
	})
}

func (s *memoryStore) Saw(_ context.Context, _ time.Time, cp SignedCheckpoint) error {
	return s.do("saw", func() error {
		if cp.Size >= s.state.Checkpoint.Size {
			s.state.Checkpoint = cp
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

func follow(l *memoryLog, s *memoryStore, edit ...func(*Follower[string])) (Outcome, error) {
	f := &Follower[string]{Source: l, Store: s, Clock: clock.NewSimulated(start), Logger: slog.New(slog.DiscardHandler), Parallel: 4, BatchEntries: 50,
		Scan:    func(leaf []byte) bool { return strings.Contains(string(leaf), "watched") },
		Inspect: func(_ uint64, leaf []byte) (string, bool) { return string(leaf), true },
		Start:   func(uint64) uint64 { return 0 }}
	for _, e := range edit {
		e(f)
	}
	return f.Follow(context.Background(), 0)
}

func startAt(n uint64) func(*Follower[string]) {
	return func(f *Follower[string]) { f.Start = func(uint64) uint64 { return n } }
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

func TestEveryPlantedLeafIsFoundFromAnywhere(t *testing.T) {
	for _, size := range []int{0, 1, 15, 16, 17, 255, 256, 257, 1000} {
		for _, from := range []int{0, 1, 7, 16, 43, 250, 256, 999, size} {
			if from > size {
				continue
			}
			for _, most := range []int{0, 1, 5} {
				l, s := newLog(size), newStore()
				l.most = most
				out, err := follow(l, s, startAt(uint64(from)))
				if err != nil {
					t.Fatalf("size %d from %d: %v", size, from, err)
				}
				check(t, s, uint64(from), uint64(size))
				if out.To-out.From != uint64(size-from) || !out.Began {
					t.Errorf("size %d from %d: outcome %+v", size, from, out)
				}
				l.grow(333)
				if _, err := follow(l, s); err != nil {
					t.Fatal(err)
				}
				check(t, s, uint64(from), uint64(size+333))
			}
		}
	}
}

func TestAStartPastTheEndIsAnError(t *testing.T) {
	s := newStore()
	if _, err := follow(newLog(10), s, startAt(11)); err == nil || s.state.Known {
		t.Errorf("got %v", err)
	}
}

func TestUntilIsProvenByConsistency(t *testing.T) {
	l, s := newLog(1000), newStore()
	f := &Follower[string]{Source: l, Store: s, Clock: clock.NewSimulated(start), Logger: slog.New(slog.DiscardHandler), BatchEntries: 100,
		Scan: func(leaf []byte) bool { return strings.Contains(string(leaf), "watched") }, Inspect: func(_ uint64, leaf []byte) (string, bool) { return string(leaf), true },
		Start: func(uint64) uint64 { return 0 }}
	if _, err := f.Follow(context.Background(), 333); err != nil {
		t.Fatal(err)
	}
	check(t, s, 0, 333)
}

func TestLiesEndInTheirMisbehaviourAndTruthGoesOn(t *testing.T) {
	fork := func(from int) func(*memoryLog) {
		return func(l *memoryLog) { l.leaves[from] += " forged" }
	}
	for name, c := range map[string]struct {
		lie  func(*memoryLog)
		kind Kind
	}{
		"missing leaf": {func(l *memoryLog) {
			l.served = func(i int) string { return l.leaves[min(i+boolInt(i >= 600), len(l.leaves)-1)] }
		}, KindEntriesMismatch},
		"swapped leaves": {func(l *memoryLog) {
			l.served = func(i int) string {
				if i == 600 || i == 601 {
					i = 1201 - i
				}
				return l.leaves[i]
			}
		}, KindEntriesMismatch},
		"altered leaf": {func(l *memoryLog) {
			l.served = func(i int) string { return strings.Replace(l.leaves[i], "watched 642", "noise 642", 1) }
		}, KindEntriesMismatch},
		"forked tree":      {fork(100), KindFork},
		"fork of one size": {func(l *memoryLog) { l.leaves = l.leaves[:500]; l.leaves[10] = "forged" }, KindFork},
		"rollback":         {func(l *memoryLog) { l.shown = 300; fork(100)(l) }, KindRollback},
		"bad checkpoint": {func(l *memoryLog) {
			l.checkpoint = func(SignedCheckpoint) (SignedCheckpoint, error) {
				return SignedCheckpoint{}, &BadCheckpointError{Origin: "log.example", Raw: []byte("forged"), Err: errors.New("not signed")}
			}
		}, KindBadCheckpoint},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := newLog(500), newStore()
			if _, err := follow(l, s); err != nil {
				t.Fatal(err)
			}
			l.grow(500)
			honest := &memoryLog{leaves: slices.Clone(l.leaves), shown: -1, pageSize: 16}
			lying := &memoryLog{leaves: slices.Clone(l.leaves), shown: -1, pageSize: 16}
			c.lie(lying)
			out, err := follow(lying, s)
			if err != nil || len(out.Misbehaviours) != 1 || out.Misbehaviours[0].Kind != c.kind {
				t.Fatalf("outcome %+v, %v", out, err)
			}
			if s.state.Proven != 500 || s.state.Read != 500 || len(s.hits) != len(planted(0, 500)) {
				t.Errorf("after the lie: read %d, proven %d, %d hits", s.state.Read, s.state.Proven, len(s.hits))
			}
			if len(s.last.New.Raw) == 0 || c.kind == KindEntriesMismatch && (len(s.last.LeafHashes) < 240 || s.last.Computed == "") {
				t.Errorf("the evidence: %+v", s.last)
			}
			verify := func(raw []byte) (SignedCheckpoint, error) {
				for _, e := range []Evidence{s.last.Old, s.last.New} {
					if string(e.Raw) == string(raw) && string(raw) != "forged" {
						cp := SignedCheckpoint{Size: e.Size, Raw: raw}
						_, err := hex.Decode(cp.Root[:], []byte(e.Root))
						return cp, err
					}
				}
				return SignedCheckpoint{}, errors.New("not signed")
			}
			if confirmed, note := s.last.Recheck(verify); !confirmed {
				t.Errorf("the evidence looked at again: %s", note)
			}
			if _, err := follow(honest, s); err != nil {
				t.Fatal(err)
			}
			check(t, s, 0, 1000)
		})
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestAStaleCheckpointIsNoAttack(t *testing.T) {
	l, s := newLog(500), newStore()
	if _, err := follow(l, s); err != nil {
		t.Fatal(err)
	}
	for _, shown := range []int{0, 1, 499} {
		l.shown = shown
		out, err := follow(l, s)
		if err != nil || !out.Stale || len(out.Misbehaviours) != 0 {
			t.Errorf("size %d: %+v, %v", shown, out, err)
		}
	}
	check(t, s, 0, 500)
}

func TestABadProofIsNoEvidence(t *testing.T) {
	for name, proof := range map[string]func([][]byte) ([][]byte, error){
		"random hashes": func(p [][]byte) ([][]byte, error) {
			for i := range p {
				h := sha256.Sum256([]byte{byte(i)})
				p[i] = h[:]
			}
			return p, nil
		},
		"too short":    func(p [][]byte) ([][]byte, error) { return p[:len(p)-1], nil },
		"too long":     func(p [][]byte) ([][]byte, error) { return append(p, p[0]), nil },
		"empty":        func([][]byte) ([][]byte, error) { return nil, nil },
		"short hashes": func(p [][]byte) ([][]byte, error) { p[0] = p[0][:5]; return p, nil },
		"no answer":    func([][]byte) ([][]byte, error) { return nil, errors.New("503") },
	} {
		l, s := newLog(500), newStore()
		if _, err := follow(l, s); err != nil {
			t.Fatal(err)
		}
		l.grow(123)
		l.proof = proof
		out, err := follow(l, s)
		if err == nil || len(out.Misbehaviours) != 0 || len(s.seen) != 0 {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		l.proof = nil
		if _, err := follow(l, s); err != nil {
			t.Fatal(err)
		}
		check(t, s, 0, 623)
	}
}

func TestAFrozenLogThatGrowsIsReportedAndRead(t *testing.T) {
	frozen := func(f *Follower[string]) { f.Frozen = true }
	l, s := newLog(500), newStore()
	if _, err := follow(l, s, frozen); err != nil || len(s.seen) != 0 {
		t.Fatal(err, s.seen)
	}
	if _, err := follow(l, s, frozen); err != nil || len(s.seen) != 0 {
		t.Fatal(err, s.seen)
	}
	l.grow(10)
	if _, err := follow(l, s, frozen); err != nil || !slices.Equal(s.seen, []string{"frozen-log-grew"}) {
		t.Fatal(err, s.seen)
	}
	check(t, s, 0, 510)
}

// TestEveryWriteMayFail breaks each write once, before and after it took effect; the next runs must end as if
// nothing had been.
func TestEveryWriteMayFail(t *testing.T) {
	broken := errors.New("disk full")
	for _, method := range []string{"begin", "saw", "advance", "prove", "misbehaved"} {
		for count := 1; count <= 3; count++ {
			for _, after := range []bool{false, true} {
				l, s := newLog(300), newStore()
				n := 0
				s.break_ = func(m string) (error, error) {
					if m != method {
						return nil, nil
					}
					if n++; n != count {
						return nil, nil
					}
					if after {
						return nil, broken
					}
					return broken, nil
				}
				lie := &memoryLog{leaves: slices.Clone(l.leaves), shown: -1, pageSize: 16, served: func(int) string { return "x" }}
				for range 6 {
					_, err := follow(lie, s)
					if err != nil && !errors.Is(err, broken) {
						t.Fatalf("%s %d: %v", method, count, err)
					}
				}
				for range 4 {
					l.grow(100)
					if _, err := follow(l, s); err != nil && !errors.Is(err, broken) {
						t.Fatalf("%s %d after %t: %v", method, count, after, err)
					}
				}
				if _, err := follow(l, s); err != nil {
					t.Fatal(err)
				}
				check(t, s, 0, 700)
			}
		}
	}
}

func TestInterruptedAnywhereEndsAsUndisturbed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, s := newLog(rapid.IntRange(0, 400).Draw(t, "size")), newStore()
		l.pageSize = uint64(rapid.IntRange(1, 70).Draw(t, "page"))
		l.most = rapid.IntRange(0, 9).Draw(t, "most")
		r := rand.New(rand.NewPCG(1, uint64(rapid.IntRange(0, 1<<20).Draw(t, "seed"))))
		from := uint64(rapid.IntRange(0, len(l.leaves)).Draw(t, "from"))
		var mu sync.Mutex
		l.fail = func(uint64, uint64) error {
			mu.Lock()
			defer mu.Unlock()
			if r.IntN(10) == 0 {
				return errors.New("reset")
			}
			return nil
		}
		for range rapid.IntRange(0, 12).Draw(t, "runs") {
			_, _ = follow(l, s, startAt(from)) // it may fail: that is the point
			l.grow(r.IntN(60))
		}
		l.fail = nil
		if _, err := follow(l, s, startAt(from)); err != nil {
			t.Fatal(err)
		}
		size := uint64(len(l.leaves))
		if s.state.Proven != size || !cmp.Equal(planted(from, size), s.hits) {
			t.Fatalf("proven %d of %d, hits %v", s.state.Proven, size, s.hits)
		}
	})
}

func TestPagesHashAsLeavesDo(t *testing.T) {
	for begin := range uint64(40) {
		for n := range 70 {
			var leaves [][]byte
			want := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(begin)
			for i := range n {
				leaves = append(leaves, fmt.Appendf(nil, "%d", i))
				if err := want.Append(rfc6962.DefaultHasher.HashLeaf(leaves[i]), nil); err != nil {
					t.Fatal(err)
				}
			}
			h, got := newPageHasher(), rangeFactory.NewEmptyRange(begin)
			if err := h.appendTo(got, begin, h.leaves(leaves)); err != nil {
				t.Fatal(err)
			}
			if !cmp.Equal(want.Hashes(), got.Hashes()) || want.End() != got.End() {
				t.Fatalf("[%d, +%d) differs", begin, n)
			}
		}
	}
}

// BenchmarkFollow compares following with merely hashing the same leaves into a root.
func BenchmarkFollow(b *testing.B) {
	l := &memoryLog{shown: -1, pageSize: 256}
	for i := range 20_000 {
		l.leaves = append(l.leaves, strings.Repeat(fmt.Sprintf("%08d", i), 340))
	}
	cp, err := l.Checkpoint(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	l.checkpoint = func(SignedCheckpoint) (SignedCheckpoint, error) { return cp, nil }
	b.Run("hash", func(b *testing.B) {
		for b.Loop() {
			r := rangeFactory.NewEmptyRange(0)
			for i := uint64(0); i < cp.Size; i += 256 {
				p, _ := l.Page(context.Background(), i, min(i+256, cp.Size))
				for _, leaf := range p.Leaves {
					h := LeafHash(leaf)
					if err := r.Append(h[:], nil); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
	})
	b.Run("follow", func(b *testing.B) {
		for b.Loop() {
			if _, err := follow(l, newStore(), func(f *Follower[string]) {
				f.Scan, f.BatchEntries = func([]byte) bool { return false }, 0
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
