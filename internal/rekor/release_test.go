package rekor

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// uneven makes a served log's entries of very different lengths, so that bundles leave much of their buffers unused.
func (w *world) uneven(t *testing.T) {
	t.Helper()
	for i := range w.leaves {
		w.leaves[i] = bytes.Repeat(fmt.Appendf(nil, "entry %d ", i), 1+i/256*i/256*3)
	}
	w.publish(t, len(w.leaves))
	if _, err := w.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestReleasedMemoryIsOnePagesAtATime(t *testing.T) {
	for _, zipped := range []bool{false, true} {
		t.Run(fmt.Sprintf("zipped %v", zipped), func(t *testing.T) {
			const size, workers, rounds = 2000, 8, 20
			w := newWorld(t, size)
			w.uneven(t)
			if zipped {
				w.server.Gzip()
			}
			var wg sync.WaitGroup
			for worker := range workers {
				wg.Go(func() {
					for round := range rounds {
						from := uint64(256 * ((worker + 3*round) % 8))
						page, err := w.Page(context.Background(), from, size)
						if err != nil {
							t.Error(err)
							return
						}
						runtime.Gosched() // the others read meanwhile
						if !slices.EqualFunc(page.Leaves, w.leaves[from:min(from+256, size)], bytes.Equal) {
							t.Errorf("the page at %d has other entries than the log", from)
						}
						page.Release()
					}
				})
			}
			wg.Wait()
		})
	}
}

func TestAPageThatIsNotReleasedStaysAsItIs(t *testing.T) {
	w := newWorld(t, 700)
	w.uneven(t)
	first, err := w.Page(context.Background(), 0, 700)
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []uint64{256, 512, 256} {
		page, err := w.Page(context.Background(), from, 700)
		if err != nil {
			t.Fatal(err)
		}
		page.Release()
	}
	if !slices.EqualFunc(first.Leaves, w.leaves[:256], bytes.Equal) {
		t.Error("the page was overwritten")
	}
}
