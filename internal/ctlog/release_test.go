package ctlog

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
)

func TestReleasedDataTilesAreReadOver(t *testing.T) {
	for _, zipped := range []bool{false, true} {
		t.Run(fmt.Sprintf("zipped %v", zipped), func(t *testing.T) {
			s := newStatic(t, 600)
			s.publish(t, 600)
			if zipped {
				s.server.Gzip()
			}
			if _, err := s.Checkpoint(context.Background()); err != nil {
				t.Fatal(err)
			}
			held, err := s.Page(context.Background(), 0, 600)
			if err != nil {
				t.Fatal(err)
			}
			for _, from := range []uint64{512, 0, 256, 300, 512, 1} {
				page, err := s.Page(context.Background(), from, 600)
				if err != nil {
					t.Fatal(err)
				}
				if to := min(from-from%256+256, 600); !slices.EqualFunc(page.Leaves, s.leaves[from:to], bytes.Equal) {
					t.Errorf("the page at %d has other leaves than the log", from)
				}
				page.Release()
			}
			if !slices.EqualFunc(held.Leaves, s.leaves[:256], bytes.Equal) {
				t.Error("a page that was not released was overwritten")
			}
		})
	}
}
