package sandbox

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/client"
	"github.com/google/certificate-transparency-go/jsonclient"
	rekornote "github.com/sigstore/rekor-tiles/v2/pkg/note"
	"github.com/sigstore/sigstore/pkg/signature"
	formatsnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	tessera "github.com/transparency-dev/tessera/client"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/mod/sumdb/note"
)

// mostOfAnAnswer is what the judges read of an answer: as a careful client does.
const mostOfAnAnswer = 8 << 20

// errTooLarge is what they say then.
var errTooLarge = errors.New("the answer is too large")

// statusError is an answer that is none.
type statusError struct {
	status     int
	retryAfter string
}

func (e statusError) Error() string {
	return fmt.Sprintf("status %d, Retry-After %q", e.status, e.retryAfter)
}

// tileFetcher reads the files of a tiled log for tessera's client. Tessera's own fetcher leaves connections open.
type tileFetcher struct{ base, entries string }

func (f tileFetcher) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+path, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept-Encoding", "gzip")
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist)
	default:
		return nil, statusError{response.StatusCode, response.Header.Get("Retry-After")}
	}
	var body io.Reader = response.Body
	if response.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			return nil, err
		}
	}
	raw, err := io.ReadAll(io.LimitReader(body, mostOfAnAnswer))
	if err == nil && len(raw) == mostOfAnAnswer {
		err = errTooLarge
	}
	return raw, err
}

func (f tileFetcher) ReadCheckpoint(ctx context.Context) ([]byte, error) {
	return f.get(ctx, "checkpoint")
}

func (f tileFetcher) ReadTile(ctx context.Context, level, index uint64, p uint8) ([]byte, error) {
	return f.get(ctx, tilePath(fmt.Sprint(level), index, p))
}

func (f tileFetcher) ReadEntryBundle(ctx context.Context, index uint64, p uint8) ([]byte, error) {
	return f.get(ctx, tilePath(f.entries, index, p))
}

// checkEntries compares what every entry hashes to with the hash tiles, and with the root. Tessera's fsck does that too, but
// hangs, panics or leaves goroutines behind when it meets a lie (v1.0.4): only honest logs are given to it.
func (f tileFetcher) checkEntries(ctx context.Context, size uint64, root []byte, hasher func([]byte) ([][]byte, error)) error {
	if size == 0 {
		return nil
	}
	tiles, err := tessera.FetchLeafHashes(ctx, f.ReadTile, 0, size, size)
	if err != nil {
		return err
	}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for r := range layout.Range(0, size, size) {
		raw, err := f.ReadEntryBundle(ctx, r.Index, r.Partial)
		if err != nil {
			return err
		}
		hashes, err := hasher(raw)
		if err != nil {
			return err
		}
		if uint(len(hashes)) != r.N {
			return fmt.Errorf("bundle %d has %d entries, want %d", r.Index, len(hashes), r.N)
		}
		for i, hash := range hashes {
			if index := r.Index*layout.EntryBundleWidth + uint64(i); !bytes.Equal(hash, tiles[index]) {
				return fmt.Errorf("entry %d does not hash to what its tile has", index)
			}
			if err := tree.Append(hash, nil); err != nil {
				return err
			}
		}
	}
	got, err := tree.GetRootHash(nil)
	if err == nil && !bytes.Equal(got, root) {
		err = errors.New("the entries do not hash to the root")
	}
	return err
}

// tilePath spells paths up to index 999,999 in a way of its own.
func tilePath(name string, index uint64, p uint8) string {
	path := fmt.Sprintf("tile/%s/%03d", name, index)
	if index >= 1000 {
		path = fmt.Sprintf("tile/%s/x%03d/%03d", name, index/1000, index%1000)
	}
	if p > 0 {
		path += fmt.Sprintf(".p/%d", p)
	}
	return path
}

// follower is what somebody who follows a log of any form believes, by the code of others.
type follower struct {
	// head returns the size and the root of the tree head, its signature verified.
	head func(ctx context.Context) (size uint64, root []byte, err error)
	// grew proves that the first tree is a prefix of the second.
	grew func(ctx context.Context, size1, size2 uint64, root1, root2 []byte) error
	// check rebuilds the tree from every entry, and compares it with the head.
	check func(ctx context.Context) error
	// page reads the first 256 entries and says how many came.
	page func(ctx context.Context) (entries int, err error)
}

// tiledJudge follows a tiled log with tessera: its client for proofs, its fsck for entries.
func tiledJudge(t *testing.T, f tileFetcher, origin string, v note.Verifier, hasher func([]byte) ([][]byte, error)) follower {
	t.Helper()
	return follower{
		head: func(ctx context.Context) (uint64, []byte, error) {
			cp, _, _, err := tessera.FetchCheckpoint(ctx, f.ReadCheckpoint, v, origin)
			if err != nil {
				return 0, nil, err
			}
			return cp.Size, cp.Hash, nil
		},
		grew: func(ctx context.Context, size1, size2 uint64, root1, root2 []byte) error {
			builder, err := tessera.NewProofBuilder(ctx, size2, f.ReadTile)
			if err != nil {
				return err
			}
			hashes, err := builder.ConsistencyProof(ctx, size1, size2)
			if err != nil {
				return err
			}
			return proof.VerifyConsistency(rfc6962.DefaultHasher, size1, size2, hashes, root1, root2)
		},
		check: func(ctx context.Context) error {
			cp, _, _, err := tessera.FetchCheckpoint(ctx, f.ReadCheckpoint, v, origin)
			if err != nil {
				return err
			}
			return f.checkEntries(ctx, cp.Size, cp.Hash, hasher)
		},
		page: func(ctx context.Context) (int, error) {
			raw, err := f.ReadEntryBundle(ctx, 0, 0)
			if err != nil {
				return 0, err
			}
			hashes, err := hasher(raw)
			return len(hashes), err
		},
	}
}

// bundleHasher is tessera's reading of an entry bundle.
func bundleHasher(raw []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(raw); err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, e := range b.Entries {
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(e))
	}
	return hashes, nil
}

func rekor2Verifier(t *testing.T, r *Rekor2) note.Verifier {
	t.Helper()
	public, err := x509.ParsePKIXPublicKey(r.key.spki)
	if err != nil {
		t.Fatal(err)
	}
	v, err := signature.LoadVerifier(public, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	nv, err := rekornote.NewNoteVerifier(r.Origin(), v)
	if err != nil {
		t.Fatal(err)
	}
	return nv
}

func rekor2Judge(t *testing.T, r *Rekor2) follower {
	t.Helper()
	return tiledJudge(t, tileFetcher{r.URL() + "/api/v2/", "entries"}, r.Origin(), rekor2Verifier(t, r), bundleHasher)
}

func staticVerifier(t *testing.T, l *CTLog) note.Verifier {
	t.Helper()
	vkey, err := formatsnote.RFC6962VerifierString("https://"+l.Origin(), &l.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := formatsnote.NewRFC6962Verifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func staticJudge(t *testing.T, l *CTLog) follower {
	t.Helper()
	return tiledJudge(t, tileFetcher{l.URL() + "/", "data"}, l.Origin(), staticVerifier(t, l), dataTileHasher)
}

// dataTileHasher reads a data tile as static-ct-api's TLS presentation language has it.
func dataTileHasher(raw []byte) ([][]byte, error) {
	var hashes [][]byte
	for in := cryptobyte.String(raw); !in.Empty(); {
		start := in
		var kind uint16
		var tbs, extensions, precertificate, chain cryptobyte.String
		if !in.Skip(8) || !in.ReadUint16(&kind) || kind != 1 || !in.Skip(32) || !in.ReadUint24LengthPrefixed(&tbs) || !in.ReadUint16LengthPrefixed(&extensions) {
			return nil, errors.New("malformed leaf")
		}
		covered := start[:len(start)-len(in)]
		if !in.ReadUint24LengthPrefixed(&precertificate) || !in.ReadUint16LengthPrefixed(&chain) {
			return nil, errors.New("malformed rest of a leaf")
		}
		hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(append([]byte{0, 0}, covered...)))
	}
	return hashes, nil
}

// ctClient is certificate-transparency-go's client for a log of RFC 6962.
func ctClient(t *testing.T, l *CTLog) *client.LogClient {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	c, err := client.New(l.URL(), &http.Client{Transport: limited{transport}}, jsonclient.Options{PublicKeyDER: l.spki})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// limited cuts endless answers off: the client reads everything.
type limited struct{ inner http.RoundTripper }

func (l limited) RoundTrip(q *http.Request) (*http.Response, error) {
	response, err := l.inner.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	response.Body = http.MaxBytesReader(nil, response.Body, mostOfAnAnswer)
	return response, nil
}

func rfc6962Judge(t *testing.T, l *CTLog) follower {
	t.Helper()
	c := ctClient(t, l)
	return follower{
		head: func(ctx context.Context) (uint64, []byte, error) {
			sth, err := c.GetSTH(ctx)
			if err != nil {
				return 0, nil, err
			}
			return sth.TreeSize, sth.SHA256RootHash[:], nil
		},
		grew: func(ctx context.Context, size1, size2 uint64, root1, root2 []byte) error {
			hashes, err := c.GetSTHConsistency(ctx, size1, size2)
			if err != nil {
				return err
			}
			return proof.VerifyConsistency(rfc6962.DefaultHasher, size1, size2, hashes, root1, root2)
		},
		check: func(ctx context.Context) error {
			sth, err := c.GetSTH(ctx)
			if err != nil {
				return err
			}
			var tree merkleTree
			for tree.size() < sth.TreeSize {
				answer, err := c.GetRawEntries(ctx, int64(tree.size()), int64(sth.TreeSize)-1)
				if err != nil {
					return err
				}
				if len(answer.Entries) == 0 {
					return errors.New("no entries")
				}
				for i, e := range answer.Entries {
					if _, err := ct.RawLogEntryFromLeaf(int64(tree.size()), &answer.Entries[i]); err != nil {
						return err
					}
					tree.append(rfc6962.DefaultHasher.HashLeaf(e.LeafInput))
				}
			}
			root, err := tree.root(sth.TreeSize)
			if err == nil && !bytes.Equal(root, sth.SHA256RootHash[:]) {
				err = errors.New("the entries do not hash to the root")
			}
			return err
		},
		page: func(ctx context.Context) (int, error) {
			answer, err := c.GetRawEntries(ctx, 0, 255)
			if err != nil {
				return 0, err
			}
			return len(answer.Entries), nil
		},
	}
}

// followed are the logs of a world with who follows them.
func followed(t *testing.T, w *World) map[*Ledger]follower {
	t.Helper()
	return map[*Ledger]follower{
		w.Rekor2.Ledger:   rekor2Judge(t, w.Rekor2),
		w.CT.Ledger:       rfc6962Judge(t, w.CT),
		w.StaticCT.Ledger: staticJudge(t, w.StaticCT),
	}
}
