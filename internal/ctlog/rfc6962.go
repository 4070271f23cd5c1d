package ctlog

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	fastbase64 "github.com/segmentio/asm/base64"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles"
)

const (
	maxTreeHeadBytes = 64 << 10
	maxProofBytes    = 64 << 10
	maxProofHashes   = 64
	// maxEntriesBytes bounds an answer to get-entries: Fulcio's entries have 6 kB, so that 1,000 of them have 6 MB.
	maxEntriesBytes = 64 << 20
	// defaultPageSize is what Sigstore's log gives at most. A log that gives less is asked again for the rest.
	defaultPageSize = 1000
)

// Options say which log to read, and what it must prove.
type Options struct {
	// URL is the log's address: what "/ct/v1/get-sth" follows, or the monitoring prefix of static-ct-api.
	URL string
	// Origin names the log. Of a static-ct log it is the first line of its checkpoints, the submission prefix without
	// scheme. An RFC 6962 log has no name of its own: empty means its URL without scheme.
	Origin string
	// Key is the log's public key, from the trusted root.
	Key crypto.PublicKey
	// PageSize is the number of entries to ask an RFC 6962 log for at once; 0 is 1,000.
	PageSize uint64
	// Witnesses have the keys whose cosignatures of a static-ct checkpoint are looked for.
	Witnesses []note.Verifier
	Fetch     tiles.Fetcher
}

// prepare checks the options and makes a reader.
func (o *Options) prepare() (tiles.Reader, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return tiles.Reader{}, fmt.Errorf("certificate transparency log %q: its URL is not a plain http or https address", o.URL)
	}
	if o.Fetch == nil {
		return tiles.Reader{}, fmt.Errorf("certificate transparency log %s: it needs a client", o.URL)
	}
	base := strings.TrimRight(o.URL, "/")
	if o.Origin == "" {
		o.Origin = u.Host + strings.TrimRight(u.Path, "/")
	}
	if o.PageSize == 0 {
		o.PageSize = defaultPageSize
	}
	return tiles.Reader{URL: base, Fetch: o.Fetch}, nil
}

// RFC6962Log is a log with the API of RFC 6962 §4. It is safe for concurrent use.
type RFC6962Log struct {
	o      Options
	reader tiles.Reader
}

var _ tlog.Source = (*RFC6962Log)(nil)

// NewRFC6962Log returns the log that the options describe.
func NewRFC6962Log(o Options) (*RFC6962Log, error) {
	reader, err := o.prepare()
	if err != nil {
		return nil, err
	}
	if _, err := logID(o.Key); err != nil {
		return nil, fmt.Errorf("certificate transparency log %s: %w", o.URL, err)
	}
	return &RFC6962Log{o: o, reader: reader}, nil
}

// ask makes one request of the API and decodes its answer.
func (l *RFC6962Log) ask(ctx context.Context, method string, query url.Values, limit int64, answer any) error {
	raw, _, err := l.get(ctx, method, query, limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("its answer: %w", err)
	}
	return nil
}

func (l *RFC6962Log) get(ctx context.Context, method string, query url.Values, limit int64) (raw []byte, wire int64, err error) {
	path := "ct/v1/" + method
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return l.reader.Get(ctx, path, limit)
}

// Checkpoint implements [tlog.Source] with get-sth (RFC 6962 §4.3).
func (l *RFC6962Log) Checkpoint(ctx context.Context) (tlog.SignedCheckpoint, error) {
	raw, _, err := l.get(ctx, "get-sth", nil, maxTreeHeadBytes)
	if err != nil {
		return tlog.SignedCheckpoint{}, fmt.Errorf("reading the tree head of %s: %w", l.o.Origin, err)
	}
	head, err := l.verifySTH(raw)
	if err != nil {
		return tlog.SignedCheckpoint{}, &tlog.BadCheckpointError{Origin: l.o.Origin, Raw: raw, Err: err}
	}
	return tlog.SignedCheckpoint{
		Origin: l.o.Origin, Size: head.size, Root: head.root, Raw: raw, Timestamp: head.time(), Signatures: 1,
	}, nil
}

func (l *RFC6962Log) verifySTH(raw []byte) (treeHead, error) {
	var sth struct {
		TreeSize          uint64 `json:"tree_size"`
		Timestamp         uint64 `json:"timestamp"`
		SHA256RootHash    []byte `json:"sha256_root_hash"`
		TreeHeadSignature []byte `json:"tree_head_signature"`
	}
	if err := json.Unmarshal(raw, &sth); err != nil {
		return treeHead{}, err
	}
	head := treeHead{timestamp: sth.Timestamp, size: sth.TreeSize}
	if len(sth.SHA256RootHash) != len(head.root) {
		return treeHead{}, fmt.Errorf("its root hash has %d bytes", len(sth.SHA256RootHash))
	}
	copy(head.root[:], sth.SHA256RootHash)
	return head, head.verify(l.o.Key, sth.TreeHeadSignature)
}

// ConsistencyProof implements [tlog.Source] with get-sth-consistency (RFC 6962 §4.4).
func (l *RFC6962Log) ConsistencyProof(ctx context.Context, from, to uint64) ([][]byte, error) {
	var answer struct {
		Consistency [][]byte `json:"consistency"`
	}
	query := url.Values{"first": {strconv.FormatUint(from, 10)}, "second": {strconv.FormatUint(to, 10)}}
	err := l.ask(ctx, "get-sth-consistency", query, maxProofBytes, &answer)
	if err == nil {
		err = checkHashes(answer.Consistency)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: consistency proof from size %d to %d: %w", l.o.Origin, from, to, err)
	}
	return answer.Consistency, nil
}

func checkHashes(hashes [][]byte) error {
	if len(hashes) > maxProofHashes {
		return fmt.Errorf("it has %d hashes, more than any tree's", len(hashes))
	}
	for i, h := range hashes {
		if len(h) != sha256.Size {
			return fmt.Errorf("its hash %d has %d bytes", i, len(h))
		}
	}
	return nil
}

// Frontier implements [tlog.Source]. The API gives no hashes of inner nodes except in proofs: all that stands to the left
// of the path from the last leaf of the range up to the root is the compact range before that leaf, and the leaf
// completes it (get-entries and get-proof-by-hash, RFC 6962 §4.6 and §4.5).
func (l *RFC6962Log) Frontier(ctx context.Context, size, treeSize uint64) ([][]byte, error) {
	if size > treeSize {
		return nil, fmt.Errorf("%s: a tree of %d leaves has no %d leaves", l.o.Origin, treeSize, size)
	}
	if size == 0 {
		return nil, nil
	}
	hashes, err := l.frontier(ctx, size, treeSize)
	if err != nil {
		return nil, fmt.Errorf("%s: hashes of the first %d leaves: %w", l.o.Origin, size, err)
	}
	return hashes, nil
}

func (l *RFC6962Log) frontier(ctx context.Context, size, treeSize uint64) ([][]byte, error) {
	last := size - 1
	page, err := l.Page(ctx, last, size)
	if err != nil {
		return nil, err
	}
	hash := rfc6962.DefaultHasher.HashLeaf(page.Leaves[0])
	index, path, err := l.proofByHash(ctx, hash, treeSize)
	if err != nil {
		return nil, fmt.Errorf("inclusion proof of entry %d: %w", last, err)
	}
	if index != last {
		return nil, fmt.Errorf("the proof asked for is of entry %d, and the one given of entry %d", last, index)
	}
	left, err := leftSiblings(last, treeSize, path)
	if err != nil {
		return nil, err
	}
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	frontier, err := factory.NewRange(0, last, left)
	if err != nil {
		return nil, err
	}
	if err := frontier.Append(hash, nil); err != nil {
		return nil, err
	}
	return frontier.Hashes(), nil
}

// leftSiblings picks those hashes of a leaf's inclusion proof that stand to the left of its path, and returns them from
// left to right. It walks as a verifier does (RFC 9162 §2.1.3.2).
func leftSiblings(index, treeSize uint64, path [][]byte) ([][]byte, error) {
	var left [][]byte
	node, last := index, treeSize-1
	for _, hash := range path {
		if last == 0 {
			return nil, errors.New("the inclusion proof is longer than the tree is high")
		}
		if node%2 == 1 || node == last {
			left = append(left, hash)
			for node%2 == 0 && node != 0 {
				node, last = node/2, last/2
			}
		}
		node, last = node/2, last/2
	}
	if last != 0 {
		return nil, errors.New("the inclusion proof ends below the root")
	}
	slices.Reverse(left)
	return left, nil
}

// PageSize implements [tlog.Source].
func (l *RFC6962Log) PageSize() uint64 { return l.o.PageSize }

// Page implements [tlog.Source] with get-entries (RFC 6962 §4.6): as many entries as the log gives.
func (l *RFC6962Log) Page(ctx context.Context, from, to uint64) (tlog.Page, error) {
	if from >= to {
		return tlog.Page{}, fmt.Errorf("%s: there is no page from entry %d to %d", l.o.Origin, from, to)
	}
	to = min(to, from+l.o.PageSize-from%l.o.PageSize)
	query := url.Values{"start": {strconv.FormatUint(from, 10)}, "end": {strconv.FormatUint(to-1, 10)}} // inclusive
	raw, wire, err := l.get(ctx, "get-entries", query, maxEntriesBytes)
	var leaves [][]byte
	if err == nil {
		leaves, err = parseEntries(raw, int(to-from))
	}
	if err != nil {
		return tlog.Page{}, fmt.Errorf("%s: entries %d to %d: %w", l.o.Origin, from, to, err)
	}
	return tlog.Page{First: from, Leaves: leaves, Bytes: wire}, nil
}

// parseEntries reads an answer to get-entries, of at least one entry and at most so many. It takes the leaves and leaves
// the extra data alone, without building anything of it.
func parseEntries(raw []byte, atMost int) ([][]byte, error) {
	var leaves [][]byte
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, errors.New("the answer is not a JSON object")
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		if name.String() != "entries" {
			if err := dec.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		if t, err := dec.ReadToken(); err != nil || t.Kind() != '[' {
			return nil, errors.New("the answer's entries are not a list")
		}
		for dec.PeekKind() != ']' {
			if len(leaves) == atMost {
				return nil, fmt.Errorf("the answer has more than the %d entries asked for", atMost)
			}
			leaf, err := readLeaf(dec)
			if err != nil {
				return nil, fmt.Errorf("entry %d of the answer: %w", len(leaves), err)
			}
			leaves = append(leaves, leaf)
		}
		if _, err := dec.ReadToken(); err != nil {
			return nil, err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the answer's JSON object")
	}
	if len(leaves) == 0 {
		return nil, errors.New("the answer has no entries")
	}
	return leaves, nil
}

func readLeaf(dec *jsontext.Decoder) ([]byte, error) {
	var entry struct {
		LeafInput jsontext.Value `json:"leaf_input"`
	}
	if err := json.UnmarshalDecode(dec, &entry); err != nil {
		return nil, err
	}
	if entry.LeafInput.Kind() != '"' {
		return nil, errors.New("it has no leaf_input")
	}
	text, err := jsontext.AppendUnquote(nil, entry.LeafInput)
	if err != nil {
		return nil, err
	}
	leaf := make([]byte, fastbase64.StdEncoding.DecodedLen(len(text))+decodeSlack)
	n, err := fastbase64.StdEncoding.Decode(leaf, text)
	if err != nil || n == 0 {
		return nil, errors.New("its leaf_input is not base64")
	}
	if n > maxLeafBytes {
		return nil, fmt.Errorf("its leaf has %d bytes, more than a leaf can have", n)
	}
	return leaf[:n:n], nil
}

// decodeSlack is room for a decoder that writes whole vectors.
const decodeSlack = 32
