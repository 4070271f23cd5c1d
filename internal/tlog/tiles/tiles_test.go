package tiles_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"go.uber.org/goleak"

	"github.com/rekoncile/rekoncile/internal/tlog/tiles"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles/tilestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPathsAreThoseOfTheSpecification(t *testing.T) {
	for _, c := range []struct {
		name  string
		index uint64
		width int
		want  string
	}{
		{"0", 5, 256, "tile/0/005"},
		{"0", 0, 1, "tile/0/000.p/1"},
		{"entries", 19669, 256, "tile/entries/x019/669"},
		{"entries", 1234067, 8, "tile/entries/x001/x234/067.p/8"},
		{"data", 1000, 255, "tile/data/x001/000.p/255"},
		{"3", 72057594037927935, 256, "tile/3/x072/x057/x594/x037/x927/935"},
	} {
		if got := tiles.Path(c.name, c.index, c.width); got != c.want {
			t.Errorf("Path(%q, %d, %d) = %q, want %q", c.name, c.index, c.width, got, c.want)
		}
	}
}

func TestWidthsAreWhatTheTreeHas(t *testing.T) {
	for _, c := range []struct {
		level       uint
		index, size uint64
		want        int
	}{
		{0, 0, 0, 0}, {0, 0, 1, 1}, {0, 0, 255, 255}, {0, 0, 256, 256}, {0, 1, 256, 0}, {0, 1, 257, 1},
		{0, 2, 257, 0}, {1, 0, 255, 0}, {1, 0, 256, 1}, {1, 0, 70000, 256}, {1, 1, 70000, 17}, {2, 0, 70000, 1},
		{7, 0, 1 << 63, 128}, {8, 0, 1 << 63, 0}, {0, 1 << 60, 10, 0},
	} {
		if got := tiles.Width(c.level, c.index, c.size); got != c.want {
			t.Errorf("Width(%d, %d, %d) = %d, want %d", c.level, c.index, c.size, got, c.want)
		}
	}
}

// bigTree has three levels of tiles.
func bigTree(n int) *tilestest.Tree {
	leaves := make([][]byte, n)
	for i := range leaves {
		leaves[i] = fmt.Appendf(nil, "leaf %d", i)
	}
	return tilestest.NewTree(leaves)
}

func TestConsistencyProofsVerify(t *testing.T) {
	tree := bigTree(70_000)
	server := tilestest.Serve(t, "")
	reader := tiles.Reader{URL: server.URL, Fetch: server.Client}
	for _, to := range []uint64{2, 255, 256, 257, 300, 65_535, 65_536, 65_537, 70_000} {
		files := tree.Tiles(to)
		server.Put(files)
		for _, from := range []uint64{1, 2, 128, 200, 255, 256, 257, 511, 512, 4096, 65_535, 65_536, 69_999} {
			if from >= to {
				continue
			}
			hashes, err := reader.ConsistencyProof(context.Background(), from, to)
			if err != nil {
				t.Fatalf("from %d to %d: %v", from, to, err)
			}
			old, now := tree.Root(from), tree.Root(to)
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, from, to, hashes, old[:], now[:]); err != nil {
				t.Errorf("from %d to %d: %v", from, to, err)
			}
		}
		for _, path := range server.Asked() {
			if files[path] == nil {
				t.Errorf("size %d: asked for %s, which a tree of that size does not have", to, path)
			}
		}
	}
	for _, bad := range [][2]uint64{{0, 5}, {5, 5}, {6, 5}} {
		if _, err := reader.ConsistencyProof(context.Background(), bad[0], bad[1]); err == nil {
			t.Errorf("from %d to %d there was a proof", bad[0], bad[1])
		}
	}
}

func TestInclusionProofsVerify(t *testing.T) {
	tree := bigTree(66_000)
	server := tilestest.Serve(t, "")
	reader := tiles.Reader{URL: server.URL, Fetch: server.Client}
	for _, size := range []uint64{1, 2, 255, 256, 257, 65_537, 66_000} {
		files := tree.Tiles(size)
		server.Put(files)
		for _, index := range []uint64{0, 1, 127, 254, 255, 256, 65_535, 65_536, 65_999} {
			if index >= size {
				continue
			}
			hashes, err := reader.InclusionProof(context.Background(), index, size)
			if err != nil {
				t.Fatalf("entry %d of %d: %v", index, size, err)
			}
			root := tree.Root(size)
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, tree.Node(0, index), hashes, root[:]); err != nil {
				t.Errorf("entry %d of %d: %v", index, size, err)
			}
		}
		for _, path := range server.Asked() {
			if files[path] == nil {
				t.Errorf("size %d: asked for %s, which a tree of that size does not have", size, path)
			}
		}
		if _, err := reader.InclusionProof(context.Background(), size, size); err == nil {
			t.Errorf("there was a proof of entry %d in a tree of %d", size, size)
		}
	}
}

func TestFrontierContinuesToTheRoot(t *testing.T) {
	const size = 66_321
	tree := bigTree(size)
	server := tilestest.Serve(t, "")
	server.Put(tree.Tiles(size))
	reader := tiles.Reader{URL: server.URL, Fetch: server.Client}
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	for _, at := range []uint64{0, 1, 7, 255, 256, 258, 65_535, 65_536, 66_000, 66_320, 66_321} {
		hashes, err := reader.Frontier(context.Background(), at, size)
		if err != nil {
			t.Fatalf("at %d: %v", at, err)
		}
		r, err := factory.NewRange(0, at, hashes)
		if err != nil {
			t.Fatalf("at %d: %v", at, err)
		}
		for i := at; i < size; i++ {
			if err := r.Append(tree.Node(0, i), nil); err != nil {
				t.Fatal(err)
			}
		}
		root, err := r.GetRootHash(nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := tree.Root(size); !bytes.Equal(root, want[:]) {
			t.Errorf("the frontier at %d does not continue to the root", at)
		}
	}
	if _, err := reader.Frontier(context.Background(), size+1, size); err == nil {
		t.Error("a frontier beyond the tree was given")
	}
}

func TestPartialTileThatIsGoneIsReadFromTheFullOne(t *testing.T) {
	tree := bigTree(600)
	server := tilestest.Serve(t, "")
	server.Put(tree.Tiles(500))
	server.Put(tree.Tiles(600))
	server.Put(map[string][]byte{"tile/0/001.p/244": nil})
	reader := tiles.Reader{URL: server.URL, Fetch: server.Client}
	hashes, err := reader.ConsistencyProof(context.Background(), 300, 500)
	if err != nil {
		t.Fatal(err)
	}
	old, now := tree.Root(300), tree.Root(500)
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, 300, 500, hashes, old[:], now[:]); err != nil {
		t.Error(err)
	}
	asked := server.Asked()
	for _, want := range []string{"tile/0/001.p/244", "tile/0/001"} {
		if !slices.Contains(asked, want) {
			t.Errorf("%s was not asked for, but %v", want, asked)
		}
	}

	server.Put(map[string][]byte{"tile/0/001": nil})
	_, err = reader.ConsistencyProof(context.Background(), 300, 500)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "and the full one") {
		t.Errorf("without either tile: %v", err)
	}
}

func TestHashTilesOfTheWrongLengthAreErrors(t *testing.T) {
	server := tilestest.Serve(t, "")
	reader := tiles.Reader{URL: server.URL, Fetch: server.Client}
	for name, body := range map[string][]byte{
		"truncated": make([]byte, 9*32+31), "too long": make([]byte, 11*32), "empty": {},
	} {
		server.Put(map[string][]byte{"tile/0/000.p/10": body})
		if _, err := reader.Frontier(context.Background(), 10, 10); err == nil || !strings.Contains(err.Error(), "wants 320") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGzipIsReadWithinTheLimit(t *testing.T) {
	server := tilestest.Serve(t, "")
	server.Gzip()
	zeros := make([]byte, 1<<20)
	server.Put(map[string][]byte{"zeros": zeros})
	reader := tiles.Reader{URL: server.URL, Fetch: server.Client}
	body, wire, err := reader.Get(context.Background(), "zeros", 1<<20)
	if err != nil || !bytes.Equal(body, zeros) {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	if wire >= 1<<20 || wire < 100 {
		t.Errorf("a compressed answer of 1 MB of zeros had %d bytes on the wire", wire)
	}
	if _, _, err := reader.Get(context.Background(), "zeros", 1<<20-1); err == nil || !strings.Contains(err.Error(), "larger than the 1048575 bytes") {
		t.Errorf("one byte over the limit: %v", err)
	}
}

func TestMissingFileIsToldFromOtherFailures(t *testing.T) {
	server := tilestest.Serve(t, "")
	reader := tiles.Reader{URL: server.URL, Fetch: server.Client}
	if _, _, err := reader.Get(context.Background(), "nothing", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("404: %v", err)
	}
	server.Put(map[string][]byte{"large": make([]byte, 11)})
	if _, _, err := reader.Get(context.Background(), "large", 10); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("too large: %v", err)
	}
}

// TestHashesThatGzipMakesLongerAreRead has a server compress what does not compress: a full tile of hashes is longer for it
// than its bytes are.
func TestHashesThatGzipMakesLongerAreRead(t *testing.T) {
	tree := bigTree(600)
	server := tilestest.Serve(t, "")
	server.Gzip()
	server.Put(tree.Tiles(600))
	reader := tiles.Reader{URL: server.URL, Fetch: server.Client}
	hashes, err := reader.ConsistencyProof(context.Background(), 300, 600)
	if err != nil {
		t.Fatal(err)
	}
	old, now := tree.Root(300), tree.Root(600)
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, 300, 600, hashes, old[:], now[:]); err != nil {
		t.Error(err)
	}
}
