package rekor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// windowTree is a tree of the merkle library, whose leaves are numbers.
type windowTree struct {
	*testonly.Tree
	leaves [][]byte
}

func newWindowTree(size int) *windowTree {
	w := &windowTree{Tree: testonly.New(rfc6962.DefaultHasher)}
	for i := range size {
		w.leaves = append(w.leaves, fmt.Appendf(nil, "leaf %d", i))
	}
	w.AppendData(w.leaves...)
	return w
}

// inclusion is the proof of a leaf in a tree of some size.
func (w *windowTree) inclusion(t *testing.T, index, size uint64) tlog.Inclusion {
	t.Helper()
	path, err := w.InclusionProof(index, size)
	if err != nil {
		t.Fatal(err)
	}
	p := tlog.Inclusion{Index: index, Path: path, Checkpoint: tlog.SignedCheckpoint{Origin: "log - 1", Size: size, Raw: fmt.Appendf(nil, "%d", size)}}
	copy(p.LeafHash[:], w.LeafHash(index))
	copy(p.Checkpoint.Root[:], w.HashAt(size))
	return p
}

// checkpointOf verifies the raw checkpoints that inclusion makes.
func (w *windowTree) checkpointOf(raw []byte) (tlog.SignedCheckpoint, error) {
	var size uint64
	_, err := fmt.Sscan(string(raw), &size)
	cp := tlog.SignedCheckpoint{Size: size, Raw: raw}
	copy(cp.Root[:], w.HashAt(size))
	return cp, err
}

// TestWindowsAreProvenBetweenTwoInclusionProofs tries windows of trees of random sizes, each cut into pages at random, the
// two proofs in trees of different sizes, and kept in a record between any two pages.
func TestWindowsAreProvenBetweenTwoInclusionProofs(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	for range 300 {
		size := 1 + r.Uint64N(600)
		w := newWindowTree(int(size))
		first := r.Uint64N(size)
		last := first + r.Uint64N(size-first)
		window, err := OpenV1Window(w.inclusion(t, first, first+1+r.Uint64N(size-first)))
		if err != nil {
			t.Fatal(err)
		}
		for window.Next <= last {
			n := min(1+r.Uint64N(10), last+1-window.Next)
			if err := window.Append(w.leaves[window.Next : window.Next+n]...); err != nil {
				t.Fatal(err)
			}
			if r.Uint64N(8) == 0 {
				mustProve(t, window, w.inclusion(t, window.Next-1, window.Next+r.Uint64N(size-window.Next+1)))
			}
			kept, err := json.Marshal(window)
			if err != nil {
				t.Fatal(err)
			}
			window = new(V1Window)
			if err := json.Unmarshal(kept, window); err != nil {
				t.Fatal(err)
			}
		}
		mustProve(t, window, w.inclusion(t, last, last+1+r.Uint64N(size-last)))
		if window.First != first || window.Proven != last+1 {
			t.Fatalf("[%d, %d] of %d: proven from %d up to %d", first, last, size, window.First, window.Proven)
		}
	}
}

func mustProve(t *testing.T, window *V1Window, last tlog.Inclusion) {
	t.Helper()
	m, err := window.Prove(last)
	if err != nil || m != nil {
		t.Fatalf("window from %d, leaf %d of %d: %v, %v", window.First, last.Index, last.Checkpoint.Size, m, err)
	}
}

func TestAPageThatLiesIsEvidence(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 3))
	for range 200 {
		size := 20 + r.Uint64N(400)
		w := newWindowTree(int(size))
		first := r.Uint64N(size - 10)
		middle := first + 1 + r.Uint64N(4)
		last := middle + r.Uint64N(size-middle)
		window, err := OpenV1Window(w.inclusion(t, first, size))
		if err != nil {
			t.Fatal(err)
		}
		if err := window.Append(w.leaves[first:middle]...); err != nil {
			t.Fatal(err)
		}
		mustProve(t, window, w.inclusion(t, middle-1, size))
		served := slices.Clone(w.leaves[middle : last+1])
		lie := r.Uint64N(uint64(len(served)))
		switch what := r.Uint64N(3); {
		case what == 0:
			served[lie] = []byte("another leaf")
		case what == 1 && len(served) > 1: // two in the wrong order
			other := (lie + 1) % uint64(len(served))
			served[lie], served[other] = served[other], served[lie]
		default: // one left out, and one too many to make up for it
			served = append(slices.Delete(served, int(lie), int(lie)+1), []byte("one more"))
		}
		if err := window.Append(served...); err != nil {
			t.Fatal(err)
		}
		proof := w.inclusion(t, last, last+1+r.Uint64N(size-last))
		m, err := window.Prove(proof)
		if err != nil || m == nil {
			t.Fatalf("[%d, %d] of %d: %v, %v", first, last, size, m, err)
		}
		if m.Kind != tlog.KindEntriesMismatch || m.From != middle || m.To != last+1 {
			t.Errorf("the evidence is of %s, %d to %d; want %d to %d", m.Kind, m.From, m.To, middle, last+1)
		}
		if shown, what := m.Recheck(w.checkpointOf); !shown {
			t.Fatalf("the evidence does not hold: %s", what)
		}
		// What was read since the last proof is void, and the true leaves go on from there.
		if window.Next != middle || window.Proven != middle {
			t.Fatalf("the window went back to %d, want %d", window.Next, middle)
		}
		if err := window.Append(w.leaves[middle : last+1]...); err != nil {
			t.Fatal(err)
		}
		mustProve(t, window, proof)
	}
}

// TestAWindowCannotSpanTwoTrees: the proofs at its ends are each good, in trees that differ before the window.
func TestAWindowCannotSpanTwoTrees(t *testing.T) {
	one, other := newWindowTree(100), &windowTree{Tree: testonly.New(rfc6962.DefaultHasher)}
	other.leaves = slices.Clone(one.leaves)
	other.leaves[3] = []byte("only here")
	other.AppendData(other.leaves...)
	window, err := OpenV1Window(one.inclusion(t, 40, 100))
	if err != nil {
		t.Fatal(err)
	}
	if err := window.Append(one.leaves[40:61]...); err != nil {
		t.Fatal(err)
	}
	if m, err := window.Prove(other.inclusion(t, 60, 100)); err != nil || m == nil {
		t.Errorf("%v, %v", m, err)
	}
}

func TestProofsThatDoNotHoldProveNothing(t *testing.T) {
	w := newWindowTree(50)
	broken := w.inclusion(t, 20, 50)
	broken.Path = slices.Clone(broken.Path)
	broken.Path[2] = bytes.Repeat([]byte{7}, 32)
	if _, err := OpenV1Window(broken); err == nil || !strings.Contains(err.Error(), "entry 20") {
		t.Errorf("a window began with a broken proof: %v", err)
	}
	window, err := OpenV1Window(w.inclusion(t, 10, 50))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := window.Prove(w.inclusion(t, 9, 50)); err == nil {
		t.Error("an empty window was proven")
	}
	if err := window.Append(w.leaves[10:21]...); err != nil {
		t.Fatal(err)
	}
	short := w.inclusion(t, 20, 50)
	short.Path = short.Path[1:]
	odd := w.inclusion(t, 20, 50)
	odd.Path = slices.Clone(odd.Path)
	odd.Path[0] = odd.Path[0][1:]
	for name, p := range map[string]tlog.Inclusion{
		"broken": broken, "too short": short, "short hash": odd, "another leaf": w.inclusion(t, 19, 50), "a leaf not read": w.inclusion(t, 21, 50),
	} {
		if m, err := window.Prove(p); err == nil || m != nil {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	if window.Next != 21 || window.Proven != 10 {
		t.Errorf("the window is read up to %d and proven up to %d, want 21 and 10", window.Next, window.Proven)
	}
	mustProve(t, window, w.inclusion(t, 20, 50))
}
