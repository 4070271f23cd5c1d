package rekor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"sync/atomic"

	"golang.org/x/mod/sumdb/note"

	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles"
)

const (
	maxCheckpointBytes = 64 << 10
	// maxBundleBytes is a full bundle of the longest entries that its format can say.
	maxBundleBytes = tiles.FullWidth * (2 + math.MaxUint16)
	// apiPath is where Rekor v2 has its tiles (rekor-tiles, "Read API").
	apiPath = "/api/v2"
)

// Options say which log to read, and what it must prove.
type Options struct {
	// URL is the log's base URL, with or without "/api/v2".
	URL string
	// Origin is the first line of its checkpoints: for Rekor v2 the log's host name.
	Origin string
	// Verifier has the log's key; see [tlog.NewTiledVerifier].
	Verifier note.Verifier
	// Witnesses have the keys whose cosignatures are looked for. A missing or bad one is no error.
	Witnesses []note.Verifier
	Fetch     tiles.Fetcher
}

// TileLog is a Rekor v2 log. It is safe for concurrent use.
type TileLog struct {
	o      Options
	reader tiles.Reader
	// size is that of the last checkpoint: the widths of the tiles on the tree's right edge follow from it.
	size    atomic.Uint64
	buffers tiles.Buffers // of pages that were released
}

var _ tlog.Source = (*TileLog)(nil)

// NewTileLog returns the log that the options describe.
func NewTileLog(o Options) (*TileLog, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("tiled log %q: its URL is not a plain http or https address", o.URL)
	case o.Origin == "":
		return nil, fmt.Errorf("tiled log %s: without an origin its checkpoints cannot be told from another log's", o.URL)
	case o.Verifier == nil || o.Fetch == nil:
		return nil, fmt.Errorf("tiled log %s: it needs a key and a client", o.URL)
	}
	base := strings.TrimSuffix(strings.TrimRight(o.URL, "/"), apiPath) + apiPath
	return &TileLog{o: o, reader: tiles.Reader{URL: base, Fetch: o.Fetch}}, nil
}

// Checkpoint implements [tlog.Source].
func (l *TileLog) Checkpoint(ctx context.Context) (tlog.SignedCheckpoint, error) {
	raw, _, err := l.reader.Get(ctx, "checkpoint", maxCheckpointBytes)
	if err != nil {
		return tlog.SignedCheckpoint{}, fmt.Errorf("reading the checkpoint of %s: %w", l.o.Origin, err)
	}
	bad := func(err error) (tlog.SignedCheckpoint, error) {
		return tlog.SignedCheckpoint{}, &tlog.BadCheckpointError{Origin: l.o.Origin, Raw: raw, Err: err}
	}
	c, err := tlog.ParseCheckpoint(string(raw))
	if err != nil {
		return bad(err)
	}
	if c.Origin != l.o.Origin {
		return bad(fmt.Errorf("it is of another log, %q", clip(c.Origin)))
	}
	if err := c.Verify(l.o.Verifier); err != nil {
		return bad(err)
	}
	cp := tlog.SignedCheckpoint{Origin: c.Origin, Size: c.Size, Root: c.Root, Raw: raw, Signatures: len(c.Signatures)}
	for _, w := range l.o.Witnesses {
		if c.Verify(w) == nil {
			cp.Cosigners = append(cp.Cosigners, w.Name())
		}
	}
	l.size.Store(c.Size)
	return cp, nil
}

// ConsistencyProof implements [tlog.Source]: the proof is computed from hash tiles.
func (l *TileLog) ConsistencyProof(ctx context.Context, from, to uint64) ([][]byte, error) {
	hashes, err := l.reader.ConsistencyProof(ctx, from, to)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.o.Origin, err)
	}
	return hashes, nil
}

// Frontier implements [tlog.Source].
func (l *TileLog) Frontier(ctx context.Context, size, treeSize uint64) ([][]byte, error) {
	hashes, err := l.reader.Frontier(ctx, size, treeSize)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.o.Origin, err)
	}
	return hashes, nil
}

// PageSize implements [tlog.Source]: a page is an entry bundle.
func (l *TileLog) PageSize() uint64 { return tiles.FullWidth }

// Page implements [tlog.Source] with the rest of one entry bundle. The leaves are parts of its bytes.
func (l *TileLog) Page(ctx context.Context, from, to uint64) (tlog.Page, error) {
	index, skip := from/tiles.FullWidth, int(from%tiles.FullWidth)
	width := tiles.Width(0, index, max(to, l.size.Load()))
	want := tiles.Width(0, index, to)
	if want <= skip {
		return tlog.Page{}, fmt.Errorf("%s: there is no page from entry %d to %d", l.o.Origin, from, to)
	}
	buffer := l.buffers.Get()
	body, got, wire, err := l.reader.Tile(ctx, "entries", index, width, maxBundleBytes, buffer)
	if err != nil {
		l.buffers.Put(buffer)
		return tlog.Page{}, fmt.Errorf("%s: entries %d to %d: %w", l.o.Origin, from, to, err)
	}
	leaves, err := parseBundle(body, got)
	if err != nil {
		l.buffers.Put(buffer)
		return tlog.Page{}, fmt.Errorf("%s: entry bundle %s: %w", l.o.Origin, tiles.Path("entries", index, got), err)
	}
	return tlog.Page{First: from, Leaves: leaves[skip:want], Bytes: wire, Release: func() { l.buffers.Put(buffer) }}, nil
}

// parseBundle takes an entry bundle of a known number of entries apart (C2SP tlog-tiles, "Log Entries"). The entries
// are views into body.
func parseBundle(body []byte, entries int) ([][]byte, error) {
	all := make([][]byte, 0, entries)
	for rest := body; len(rest) > 0; {
		if len(all) == entries {
			return nil, fmt.Errorf("bytes follow its %d entries", entries)
		}
		if len(rest) < 2 {
			return nil, errors.New("it ends within the length of an entry")
		}
		n := int(binary.BigEndian.Uint16(rest))
		if len(rest) < 2+n {
			return nil, fmt.Errorf("it ends within entry %d, of which it has %d of %d bytes", len(all), len(rest)-2, n)
		}
		all = append(all, rest[2:2+n:2+n])
		rest = rest[2+n:]
	}
	if len(all) != entries {
		return nil, fmt.Errorf("it has %d entries, and the checkpoint says %d", len(all), entries)
	}
	return all, nil
}
