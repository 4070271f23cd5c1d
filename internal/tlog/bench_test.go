package tlog

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// BenchmarkFollow compares following, on every core, with merely hashing the same leaves into a root, on one. The ratio is of
// the time on the clock.
func BenchmarkFollow(b *testing.B) {
	l := &memoryLog{shown: -1, pageSize: 256}
	for i := range 65_536 {
		l.leaves = append(l.leaves, strings.Repeat(fmt.Sprintf("%08d", i), 340))
	}
	cp, err := l.Checkpoint(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	source := &oneCheckpoint{l, cp}
	pages := uint64(len(l.leaves)) / l.pageSize
	hashing := func() {
		r := rangeFactory.NewEmptyRange(0)
		for i := range pages {
			p, _ := l.Page(context.Background(), i*l.pageSize, (i+1)*l.pageSize)
			for _, leaf := range p.Leaves {
				h := LeafHash(leaf)
				if err := r.Append(h[:], nil); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	var baseline, followed time.Duration
	timed := func(what *time.Duration, fn func()) {
		began := clock.Real().Now()
		fn()
		*what += clock.Real().Now().Sub(began)
	}
	b.SetBytes(int64(len(l.leaves) * len(l.leaves[0])))
	for b.Loop() {
		timed(&baseline, hashing)
		timed(&followed, func() {
			f := newFollower(l, newStore())
			f.Source, f.Scan, f.BatchEntries, f.Parallel = source, func([]byte) bool { return false }, 0, 0
			if out, err := f.Follow(context.Background(), 0); err != nil || out.Proven != cp.Size {
				b.Fatal(out, err)
			}
		})
	}
	b.ReportMetric(followed.Seconds()/baseline.Seconds(), "ratio")
	b.ReportMetric(float64(cp.Size)*float64(b.N)/followed.Seconds(), "leaves/s")
}

// oneCheckpoint is a log whose checkpoint is not computed again.
type oneCheckpoint struct {
	*memoryLog
	cp SignedCheckpoint
}

func (l *oneCheckpoint) Checkpoint(context.Context) (SignedCheckpoint, error) { return l.cp, nil }
