// Package tiles reads tiled logs (C2SP tlog-tiles): the paths of tiles, and the proofs that are computed from hash tiles.
//
// It promises that no tile is asked for that a tree of the given size does not have, that a partial tile which the log
// has thrown away is replaced by the full one, and that an answer of another length than the tree implies is an error. It
// verifies no hash: whoever holds a signed root does that with what comes out of here.
package tiles

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"github.com/rekoncile/rekoncile/internal/fetch"
)

// FullWidth is the number of hashes or entries in a full tile.
const FullWidth = 256

// Fetcher makes requests; [fetch.Client] is one. The body of an answer belongs to whoever asked.
type Fetcher interface {
	Do(ctx context.Context, q fetch.Request) (*fetch.Response, error)
}

// Reader reads the files of one tiled log.
type Reader struct {
	// URL is what the log's paths follow, without a slash at its end.
	URL   string
	Fetch Fetcher
}

// Get reads the file at a path. It asks for gzip, and limit caps the answer both as it comes and decompressed. wire is
// its size as it came. The error wraps [fs.ErrNotExist] where the log has no such file.
func (r Reader) Get(ctx context.Context, path string, limit int64) (body []byte, wire int64, err error) {
	return r.get(ctx, path, limit, &Buffer{})
}

func (r Reader) get(ctx context.Context, path string, limit int64, b *Buffer) (body []byte, wire int64, err error) {
	resp, err := r.Fetch.Do(ctx, fetch.Request{
		URL: r.URL + "/" + path, MaxBytes: limit, Headers: map[string]string{"Accept-Encoding": "gzip"}, Buffer: b.answer,
	})
	var status *fetch.StatusError
	switch {
	case errors.As(err, &status) && absent(status.Status):
		return nil, 0, fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	case err != nil:
		return nil, 0, err
	}
	body, wire = resp.Body, int64(len(resp.Body))
	b.answer = body
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		if body, err = b.gunzip(limit); err != nil {
			return nil, wire, fmt.Errorf("GET %s/%s: its gzip answer: %w", r.URL, path, err)
		}
	}
	return body, wire, nil
}

// absent are the statuses by which object stores say that they do not have a file; some will not say so to strangers.
func absent(status int) bool {
	return status == http.StatusNotFound || status == http.StatusGone || status == http.StatusForbidden
}

// Tile reads a tile of the kind that name says ("0" for hashes of that level, "entries", "data"), of which the tree has
// width entries: the partial tile, or the full one where the partial is gone. got says which of the two it is. The body is
// in the buffer.
func (r Reader) Tile(ctx context.Context, name string, index uint64, width int, limit int64, b *Buffer) (body []byte, got int, wire int64, err error) {
	if width < 1 || width > FullWidth {
		return nil, 0, 0, fmt.Errorf("tile %s %d cannot have a width of %d", name, index, width)
	}
	body, wire, err = r.get(ctx, Path(name, index, width), limit, b)
	if width < FullWidth && errors.Is(err, fs.ErrNotExist) {
		// Logs may delete a partial tile once there is a full one (C2SP tlog-tiles, "Pruning").
		width = FullWidth
		full, fullWire, fullErr := r.get(ctx, Path(name, index, width), limit, b)
		if fullErr != nil {
			return nil, 0, 0, fmt.Errorf("%w, and the full one: %w", err, fullErr)
		}
		body, wire, err = full, fullWire, nil
	}
	return body, width, wire, err
}

// Path is the path of a tile (C2SP tlog-tiles, "Merkle Tree" and "Log Entries"): the index in groups of three digits,
// and the width where it is not full.
func Path(name string, index uint64, width int) string {
	s := fmt.Sprintf("%03d", index%1000)
	for index /= 1000; index > 0; index /= 1000 {
		s = fmt.Sprintf("x%03d/%s", index%1000, s)
	}
	s = "tile/" + name + "/" + s
	if width < FullWidth {
		s += ".p/" + strconv.Itoa(width)
	}
	return s
}

// Width is the width of a tile, at an index of a level, in a tree of the given size; zero if the tree does not have it.
func Width(level uint, index, size uint64) int {
	if 8*level >= 64 {
		return 0
	}
	nodes := size >> (8 * level)
	if index > nodes/FullWidth {
		return 0
	}
	return int(min(nodes-index*FullWidth, FullWidth))
}
