package tiles_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/rekoncile/rekoncile/internal/tlog/tiles"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles/tilestest"
)

func TestABufferHoldsOneAnswerAfterTheOther(t *testing.T) {
	for _, zipped := range []bool{false, true} {
		t.Run(fmt.Sprintf("zipped %v", zipped), func(t *testing.T) {
			server := tilestest.Serve(t, "")
			if zipped {
				server.Gzip()
			}
			random := rand.NewChaCha8([32]byte{1})
			files := map[string][]byte{}
			for i, size := range []int{70_000, 3, 0, 1 << 20, 69_999, 4096, 1<<20 + 1} {
				body := make([]byte, size)
				_, _ = random.Read(body) // it never fails
				files[tiles.Path("data", uint64(i), tiles.FullWidth)] = body
			}
			server.Put(files)
			reader := tiles.Reader{URL: server.URL, Fetch: server.Client}
			var b tiles.Buffer
			for round := range 2 {
				for i := range uint64(7) {
					body, _, _, err := reader.Tile(context.Background(), "data", i, tiles.FullWidth, 2<<20, &b)
					if want := files[tiles.Path("data", i, tiles.FullWidth)]; err != nil || !bytes.Equal(body, want) {
						t.Errorf("round %d, tile %d: %d bytes, want %d, %v", round, i, len(body), len(want), err)
					}
				}
			}
		})
	}
}

func TestAHugeBufferIsNotKept(t *testing.T) {
	server := tilestest.Serve(t, "")
	server.Put(map[string][]byte{"tile/data/000": make([]byte, 5<<20)})
	reader := tiles.Reader{URL: server.URL, Fetch: server.Client}
	var buffers tiles.Buffers
	huge := buffers.Get()
	if _, _, _, err := reader.Tile(context.Background(), "data", 0, tiles.FullWidth, 6<<20, huge); err != nil {
		t.Fatal(err)
	}
	buffers.Put(huge)
	if buffers.Get() == huge {
		t.Error("5 MiB are held on to")
	}
}
