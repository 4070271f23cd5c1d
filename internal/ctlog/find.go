package ctlog

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// ErrNotIncluded says that a log, which answers, does not have a leaf in the tree of the checkpoint asked for.
var ErrNotIncluded = errors.New("the log does not have it")

// Finder looks for what a log promised.
type Finder interface {
	// Find looks for the leaf that the log promised by an SCT in the tree of a verified checkpoint. What it returns is
	// proven. Where the log does not have the leaf, the error wraps [ErrNotIncluded]; any other leaves it unknown.
	Find(ctx context.Context, sct SCT, leaf []byte, cp tlog.SignedCheckpoint) (tlog.Inclusion, error)
}

var (
	_ Finder = (*RFC6962Log)(nil)
	_ Finder = (*StaticLog)(nil)
)

// Find implements [Finder] with get-proof-by-hash (RFC 6962 §4.5). That a log does not have a leaf is its word: the status
// 404, which a replica gives too that does not have the tree yet, and a proxy for anything. So the word counts only of a log
// that, asked in between, proves the last leaf of the same tree.
func (l *RFC6962Log) Find(ctx context.Context, _ SCT, leaf []byte, cp tlog.SignedCheckpoint) (tlog.Inclusion, error) {
	p, err := l.find(ctx, leaf, cp)
	if saysNo(err) {
		if control := l.provesTree(ctx, cp); control != nil {
			return p, fmt.Errorf("%s: it says that it does not have a leaf, and does not prove the tree of size %d either: %w", l.o.Origin, cp.Size, control)
		}
		if p, err = l.find(ctx, leaf, cp); saysNo(err) {
			err = fmt.Errorf("%w: %w", ErrNotIncluded, err)
		}
	}
	if err != nil {
		return p, fmt.Errorf("%s: looking for a leaf in the tree of size %d: %w", l.o.Origin, cp.Size, err)
	}
	return p, nil
}

// saysNo reports whether an error is a log's word that it does not have what was asked for.
func saysNo(err error) bool {
	var status *fetch.StatusError
	return errors.As(err, &status) && status.Status == http.StatusNotFound
}

func (l *RFC6962Log) find(ctx context.Context, leaf []byte, cp tlog.SignedCheckpoint) (tlog.Inclusion, error) {
	p := tlog.Inclusion{LeafHash: tlog.LeafHash(leaf), Checkpoint: cp}
	if cp.Size == 0 {
		return p, ErrNotIncluded
	}
	var err error
	if p.Index, p.Path, err = l.proofByHash(ctx, p.LeafHash[:], cp.Size); err != nil {
		return p, err
	}
	if err := p.Verify(); err != nil {
		return p, fmt.Errorf("the inclusion proof that it gives does not verify: %w", err)
	}
	return p, nil
}

// proofByHash asks where a leaf is, and for its inclusion proof. Neither is verified.
func (l *RFC6962Log) proofByHash(ctx context.Context, leafHash []byte, treeSize uint64) (index uint64, path [][]byte, err error) {
	var answer struct {
		LeafIndex uint64   `json:"leaf_index"`
		AuditPath [][]byte `json:"audit_path"`
	}
	query := url.Values{"hash": {base64.StdEncoding.EncodeToString(leafHash)}, "tree_size": {strconv.FormatUint(treeSize, 10)}}
	if err := l.ask(ctx, "get-proof-by-hash", query, maxProofBytes, &answer); err != nil {
		return 0, nil, err
	}
	return answer.LeafIndex, answer.AuditPath, checkHashes(answer.AuditPath)
}

// provesTree has the log prove the last leaf of a tree.
func (l *RFC6962Log) provesTree(ctx context.Context, cp tlog.SignedCheckpoint) error {
	page, err := l.Page(ctx, cp.Size-1, cp.Size)
	if err != nil {
		return err
	}
	_, err = l.find(ctx, page.Leaves[0], cp)
	return err
}

// Find implements [Finder]: the SCT says where the leaf is, and hash tiles prove what is there (static-ct-api). So it is
// proven too that another leaf stands in its place.
func (l *StaticLog) Find(ctx context.Context, sct SCT, leaf []byte, cp tlog.SignedCheckpoint) (tlog.Inclusion, error) {
	p, err := l.find(ctx, sct, leaf, cp)
	if err != nil {
		return p, fmt.Errorf("%s: looking for a leaf in the tree of size %d: %w", l.o.Origin, cp.Size, err)
	}
	return p, nil
}

func (l *StaticLog) find(ctx context.Context, sct SCT, leaf []byte, cp tlog.SignedCheckpoint) (tlog.Inclusion, error) {
	p := tlog.Inclusion{LeafHash: tlog.LeafHash(leaf), Checkpoint: cp}
	var ok bool
	if p.Index, ok = sct.LeafIndex(); !ok {
		return p, errors.New("the SCT does not say where it is")
	}
	if p.Index >= cp.Size {
		return p, fmt.Errorf("%w: the SCT says that it is entry %d", ErrNotIncluded, p.Index)
	}
	page, err := l.page(ctx, p.Index, p.Index+1, cp.Size)
	if err != nil {
		return p, err
	}
	there := tlog.LeafHash(page.Leaves[0])
	same := bytes.Equal(page.Leaves[0], leaf)
	page.Release()
	if p.Path, err = l.reader.InclusionProof(ctx, p.Index, cp.Size); err != nil {
		return p, err
	}
	proven := p
	proven.LeafHash = there
	if err := proven.Verify(); err != nil {
		return p, fmt.Errorf("its tiles do not prove entry %d: %w", p.Index, err)
	}
	if !same {
		return p, fmt.Errorf("%w: the SCT says that it is entry %d, which has the leaf hash %x", ErrNotIncluded, p.Index, there)
	}
	return p, nil
}
