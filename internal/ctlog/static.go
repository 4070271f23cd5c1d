package ctlog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"unicode"

	"golang.org/x/crypto/cryptobyte"

	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles"
)

const (
	maxCheckpointBytes = 64 << 10
	// maxDataTileBytes bounds a data tile. Fulcio's precertificates stand in it twice and have some 2 kB, so that a full
	// tile has about 1 MB.
	maxDataTileBytes = 32 << 20
	// signatureTypeTreeHead is the signature type of an RFC 6962 tree head in a signed note (C2SP signed-note).
	signatureTypeTreeHead = 0x05
)

// StaticLog is a log of static-ct-api (C2SP). It is safe for concurrent use.
type StaticLog struct {
	o      Options
	reader tiles.Reader
	hint   uint32
	// size is that of the last checkpoint: the widths of the tiles on the tree's right edge follow from it.
	size    atomic.Uint64
	buffers tiles.Buffers // of pages that were released
}

var _ tlog.Source = (*StaticLog)(nil)

// NewStaticLog returns the log that the options describe.
func NewStaticLog(o Options) (*StaticLog, error) {
	if o.Origin == "" || strings.ContainsFunc(o.Origin, unicode.IsSpace) || strings.Contains(o.Origin, "+") {
		return nil, fmt.Errorf("static certificate transparency log %s: %q cannot be the origin of its checkpoints", o.URL, o.Origin)
	}
	reader, err := o.prepare()
	if err != nil {
		return nil, err
	}
	id, err := logID(o.Key)
	if err != nil {
		return nil, fmt.Errorf("static certificate transparency log %s: %w", o.URL, err)
	}
	h := sha256.New()
	h.Write([]byte(o.Origin + "\n"))
	h.Write([]byte{signatureTypeTreeHead})
	h.Write(id[:])
	return &StaticLog{o: o, reader: reader, hint: binary.BigEndian.Uint32(h.Sum(nil))}, nil
}

// Checkpoint implements [tlog.Source] (static-ct-api, "Checkpoints").
func (l *StaticLog) Checkpoint(ctx context.Context) (tlog.SignedCheckpoint, error) {
	raw, _, err := l.reader.Get(ctx, "checkpoint", maxCheckpointBytes)
	if err != nil {
		return tlog.SignedCheckpoint{}, fmt.Errorf("reading the checkpoint of %s: %w", l.o.Origin, err)
	}
	cp, err := l.verifyCheckpoint(raw)
	if err != nil {
		return tlog.SignedCheckpoint{}, &tlog.BadCheckpointError{Origin: l.o.Origin, Raw: raw, Err: err}
	}
	l.size.Store(cp.Size)
	return cp, nil
}

func (l *StaticLog) verifyCheckpoint(raw []byte) (tlog.SignedCheckpoint, error) {
	c, err := tlog.ParseCheckpoint(string(raw))
	switch {
	case err != nil:
		return tlog.SignedCheckpoint{}, err
	case c.Origin != l.o.Origin:
		return tlog.SignedCheckpoint{}, fmt.Errorf("it is of another log, %.80q", c.Origin)
	case len(c.Extensions) > 0:
		// A tree head's signature covers the size, the root and the time, and nothing else that the note may say.
		return tlog.SignedCheckpoint{}, errors.New("it has extension lines, which the log's signature does not cover")
	}
	for _, s := range c.Signatures {
		if s.Name != l.o.Origin || s.KeyHash != l.hint {
			continue
		}
		// The first line that claims the key decides, as in [tlog.Checkpoint.Verify].
		if len(s.Blob) < 8 {
			return tlog.SignedCheckpoint{}, errors.New("its signature is cut off")
		}
		head := treeHead{timestamp: binary.BigEndian.Uint64(s.Blob), size: c.Size, root: c.Root}
		if err := head.verify(l.o.Key, s.Blob[8:]); err != nil {
			return tlog.SignedCheckpoint{}, err
		}
		cp := tlog.SignedCheckpoint{
			Origin: c.Origin, Size: c.Size, Root: c.Root, Raw: raw, Timestamp: head.time(), Signatures: len(c.Signatures),
		}
		for _, w := range l.o.Witnesses {
			if c.Verify(w) == nil {
				cp.Cosigners = append(cp.Cosigners, w.Name())
			}
		}
		return cp, nil
	}
	return tlog.SignedCheckpoint{}, fmt.Errorf("key %s+%08x: %w", l.o.Origin, l.hint, tlog.ErrNotSigned)
}

// ConsistencyProof implements [tlog.Source]: the proof is computed from hash tiles.
func (l *StaticLog) ConsistencyProof(ctx context.Context, from, to uint64) ([][]byte, error) {
	hashes, err := l.reader.ConsistencyProof(ctx, from, to)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.o.Origin, err)
	}
	return hashes, nil
}

// Frontier implements [tlog.Source].
func (l *StaticLog) Frontier(ctx context.Context, size, treeSize uint64) ([][]byte, error) {
	hashes, err := l.reader.Frontier(ctx, size, treeSize)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", l.o.Origin, err)
	}
	return hashes, nil
}

// PageSize implements [tlog.Source]: a page is a data tile.
func (l *StaticLog) PageSize() uint64 { return tiles.FullWidth }

// Page implements [tlog.Source] with the rest of one data tile. The leaves are parts of its bytes.
func (l *StaticLog) Page(ctx context.Context, from, to uint64) (tlog.Page, error) {
	return l.page(ctx, from, to, max(to, l.size.Load()))
}

// page reads it from the data tile that a tree of the given size has.
func (l *StaticLog) page(ctx context.Context, from, to, size uint64) (tlog.Page, error) {
	index, skip := from/tiles.FullWidth, int(from%tiles.FullWidth)
	width := tiles.Width(0, index, size)
	want := tiles.Width(0, index, to)
	if want <= skip {
		return tlog.Page{}, fmt.Errorf("%s: there is no page from entry %d to %d", l.o.Origin, from, to)
	}
	buffer := l.buffers.Get()
	body, got, wire, err := l.reader.Tile(ctx, "data", index, width, maxDataTileBytes, buffer)
	if err != nil {
		l.buffers.Put(buffer)
		return tlog.Page{}, fmt.Errorf("%s: entries %d to %d: %w", l.o.Origin, from, to, err)
	}
	leaves, err := parseDataTile(body, got)
	if err != nil {
		l.buffers.Put(buffer)
		return tlog.Page{}, fmt.Errorf("%s: data tile %s: %w", l.o.Origin, tiles.Path("data", index, got), err)
	}
	return tlog.Page{First: from, Leaves: leaves[skip:want], Bytes: wire, Release: func() { l.buffers.Put(buffer) }}, nil
}

// parseDataTile takes a data tile of a known number of entries apart and returns their MerkleTreeLeafs (static-ct-api,
// "Log Entries"). It writes into body, of which the leaves are parts.
func parseDataTile(body []byte, entries int) ([][]byte, error) {
	leaves := make([][]byte, 0, entries)
	for at := 0; at < len(body); {
		if len(leaves) == entries {
			return nil, fmt.Errorf("bytes follow its %d entries", entries)
		}
		covered, all, err := tileLeaf(body[at:])
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(leaves), err)
		}
		leaves = append(leaves, merkleTreeLeaf(body, at, covered))
		at += all
	}
	if len(leaves) != entries {
		return nil, fmt.Errorf("it has %d entries, and the checkpoint says %d", len(leaves), entries)
	}
	return leaves, nil
}

// merkleTreeLeaf returns the covered bytes of the entry at an offset, with version and leaf type in front of them: two
// zeros. They take the place of the end of the entry before, which is the chain's, is covered by nothing, and is not
// read again; only the first entry of a tile has to be copied.
func merkleTreeLeaf(body []byte, at, covered int) []byte {
	if at < 2 {
		return append(make([]byte, 2, 2+covered), body[at:at+covered]...)
	}
	body[at-2], body[at-1] = 0, 0
	return body[at-2 : at+covered : at+covered]
}

// tileLeaf measures the TileLeaf at the beginning of tile: how many of its bytes the tree covers, and how many it has.
func tileLeaf(tile []byte) (covered, all int, err error) {
	var (
		kind                            uint16
		entry, extensions, precert, ids cryptobyte.String
	)
	in := cryptobyte.String(tile)
	if !in.Skip(8) || !in.ReadUint16(&kind) {
		return 0, 0, errors.New("it is cut off")
	}
	switch EntryType(kind) {
	case X509:
	case Precert:
		if !in.Skip(sha256.Size) {
			return 0, 0, errors.New("it is cut off in its issuer's key hash")
		}
	default:
		// What follows depends on the type, so the rest of the tile cannot be read.
		return 0, 0, fmt.Errorf("its %s is not known to this version", EntryType(kind))
	}
	if !in.ReadUint24LengthPrefixed(&entry) || !in.ReadUint16LengthPrefixed(&extensions) {
		return 0, 0, errors.New("it is cut off")
	}
	covered = len(tile) - len(in)
	if EntryType(kind) == Precert && !in.ReadUint24LengthPrefixed(&precert) {
		return 0, 0, errors.New("it is cut off in its precertificate")
	}
	if !in.ReadUint16LengthPrefixed(&ids) {
		return 0, 0, errors.New("it is cut off in its chain")
	}
	if len(ids)%sha256.Size != 0 {
		return 0, 0, errors.New("its chain is not a list of hashes")
	}
	return covered, len(tile) - len(in), nil
}
