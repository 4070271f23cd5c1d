package tlog

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scribble makes a log take its leaves' memory back when they are released, and count the pages that were not yet.
func scribble(l *memoryLog) (held *atomic.Int64) {
	held = new(atomic.Int64)
	l.page = func(p Page) Page {
		held.Add(1)
		leaves := p.Leaves
		p.Release = func() {
			held.Add(-1)
			for _, leaf := range leaves {
				copy(leaf, bytes.Repeat([]byte{0xff}, len(leaf)))
			}
		}
		return p
	}
	return held
}

func TestWhatIsKeptOfAPageOutlivesIt(t *testing.T) {
	l, s := newLog(1000), newStore()
	held := scribble(l)
	var mu sync.Mutex
	kept := map[uint64][]byte{}
	if _, err := follow(l, s, func(f *Follower[string]) {
		f.Inspect = func(i uint64, leaf []byte) (string, bool) {
			mu.Lock()
			defer mu.Unlock()
			kept[i] = leaf
			return string(leaf), true
		}
	}); err != nil {
		t.Fatal(err)
	}
	check(t, s, 0, 1000)
	got := map[uint64]string{}
	for i, leaf := range kept {
		got[i] = string(leaf)
	}
	if diff := cmp.Diff(planted(0, 1000), got); diff != "" {
		t.Errorf("the leaves that Inspect kept:\n%s", diff)
	}
	if n := held.Load(); n != 0 {
		t.Errorf("%d pages were not given back", n)
	}
}

func TestEvidenceOutlivesItsPage(t *testing.T) {
	l, s := newLog(1000), newStore()
	held := scribble(l)
	l.served = func(i int) string {
		if i == 777 {
			return "forged"
		}
		return l.leaves[i]
	}
	if _, err := follow(l, s); err != nil {
		t.Fatal(err)
	}
	if s.last == nil || s.last.Kind != KindEntriesMismatch {
		t.Fatalf("got %+v", s.last)
	}
	if m := s.last; m.From != 777 || m.To != 778 || len(m.Leaves) != 1 || string(m.Leaves[0]) != "forged" {
		t.Errorf("entries %d to %d: %q", m.From, m.To, m.Leaves)
	}
	if n := held.Load(); n != 0 {
		t.Errorf("%d pages were not given back", n)
	}
}
