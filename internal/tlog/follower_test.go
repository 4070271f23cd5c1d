package tlog

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

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
	if _, err := newFollower(l, s).Follow(context.Background(), 333); err != nil {
		t.Fatal(err)
	}
	check(t, s, 0, 333)
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
		step := uint64(rapid.IntRange(1, 300).Draw(t, "prove"))
		proveEach := func(f *Follower[string]) { f.ProveEntries = step }
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
			_, _ = follow(l, s, startAt(from), proveEach) // it may fail: that is the point
			l.grow(r.IntN(60))
		}
		l.fail = nil
		if _, err := follow(l, s, startAt(from), proveEach); err != nil {
			t.Fatal(err)
		}
		size := uint64(len(l.leaves))
		if s.state.Proven != size || !cmp.Equal(planted(from, size), s.hits) {
			t.Fatalf("proven %d of %d, hits %v", s.state.Proven, size, s.hits)
		}
	})
}
