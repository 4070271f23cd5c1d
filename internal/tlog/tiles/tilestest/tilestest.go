// Package tilestest serves tiled logs to tests, on loopback and out of memory.
//
// It promises honest hash tiles, computed level by level and by no code of the reader that is tested with it. It is no
// emulation of a log: the sandbox has that.
package tilestest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/fetch"
)

// Tree is a Merkle tree (RFC 6962 §2.1). Level k has the hashes of all complete subtrees over 2^k leaves.
type Tree struct{ levels [][][sha256.Size]byte }

// NewTree makes the tree over leaves.
func NewTree(leaves [][]byte) *Tree {
	level := make([][sha256.Size]byte, len(leaves))
	for i, leaf := range leaves {
		level[i] = sha256.Sum256(append([]byte{0}, leaf...))
	}
	t := &Tree{}
	for len(level) > 0 {
		t.levels = append(t.levels, level)
		next := make([][sha256.Size]byte, len(level)/2)
		for i := range next {
			next[i] = children(level[2*i], level[2*i+1])
		}
		level = next
	}
	return t
}

func children(left, right [sha256.Size]byte) [sha256.Size]byte {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// Node is the hash of a complete subtree.
func (t *Tree) Node(level uint, index uint64) []byte { return t.levels[level][index][:] }

// Root is the root hash over the first size leaves.
func (t *Tree) Root(size uint64) [sha256.Size]byte {
	if size == 0 {
		return sha256.Sum256(nil)
	}
	return t.root(0, size)
}

func (t *Tree) root(from, size uint64) [sha256.Size]byte {
	for level := range t.levels {
		if size == 1<<level {
			return t.levels[level][from>>level]
		}
	}
	split := uint64(1)
	for split*2 < size {
		split *= 2
	}
	return children(t.root(from, split), t.root(from+split, size-split))
}

// Tiles are the hash tiles of a tree of the first size leaves, by path.
func (t *Tree) Tiles(size uint64) map[string][]byte {
	files := map[string][]byte{}
	for level := 0; level < len(t.levels); level += 8 {
		nodes := t.levels[level][:size>>level]
		Cut(files, fmt.Sprint(level/8), len(nodes), func(from, to int) []byte {
			var tile []byte
			for _, n := range nodes[from:to] {
				tile = append(tile, n[:]...)
			}
			return tile
		})
	}
	return files
}

// Cut cuts n entries into tiles of 256 and a partial one, and adds them to files.
func Cut(files map[string][]byte, name string, n int, tile func(from, to int) []byte) {
	for from := 0; from < n; from += 256 {
		index := fmt.Sprintf("%03d", from/256)
		if i := from / 256; i >= 1000 {
			index = fmt.Sprintf("x%03d/%03d", i/1000, i%1000)
		}
		path := "tile/" + name + "/" + index
		if n-from < 256 {
			path += fmt.Sprintf(".p/%d", n-from)
		}
		files[path] = tile(from, min(from+256, n))
	}
}

// Server serves files under a prefix.
type Server struct {
	URL    string
	Client *fetch.Client

	mu    sync.Mutex
	files map[string][]byte
	gzip  bool
	asked []string
}

// Serve starts a server, which ends with the test, and a client that may ask it.
func Serve(t testing.TB, prefix string) *Server {
	t.Helper()
	s := &Server{files: map[string][]byte{}}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.Path, prefix+"/")
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, path)
		body, found := s.files[path]
		switch {
		case !ok || !found:
			http.NotFound(w, r)
		case s.gzip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"):
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zip(t, body)) // a client that goes away is the test's business
		default:
			_, _ = w.Write(body)
		}
	}))
	t.Cleanup(h.Close)
	s.URL = h.URL
	s.Client = Client(t)
	return s
}

// Client returns a client that may ask loopback, once.
func Client(t testing.TB) *fetch.Client {
	t.Helper()
	c := fetch.New(fetch.Options{
		Clock: clock.Real(), UserAgent: "rekoncile/test", Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}}, MaxAttempts: 1,
	})
	t.Cleanup(c.Close)
	return c
}

func zip(t testing.TB, body []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(body); err != nil {
		t.Error(err)
	}
	if err := z.Close(); err != nil {
		t.Error(err)
	}
	return buf.Bytes()
}

// Put adds files or replaces them; nil takes one away.
func (s *Server) Put(files map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.files, files)
	maps.DeleteFunc(s.files, func(_ string, body []byte) bool { return body == nil })
}

// Gzip turns compression on.
func (s *Server) Gzip() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gzip = true
}

// Asked returns the paths asked for since it was called last.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}
