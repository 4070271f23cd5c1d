package tlog

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

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
