package ctlog

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles/tilestest"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// newWorld is a sandbox whose trusted root has both CT logs.
func newWorld(t *testing.T) *sandbox.World {
	t.Helper()
	w, err := sandbox.New(sandbox.Options{TrustLogs: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// logKey is a CT log's key in a world's trusted root.
func logKey(t *testing.T, w *sandbox.World, origin string) crypto.PublicKey {
	t.Helper()
	root, err := trust.FromJSON("sandbox", w.TrustedRootJSON())
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range root.Material.CTLogs() {
		if log.BaseURL == "https://"+origin {
			return log.PublicKey
		}
	}
	t.Fatalf("the trusted root has no log %s", origin)
	return nil
}

// findingLog is a log that can be asked for what it promised.
type findingLog interface {
	tlog.Source
	Finder
}

// worldLog reads a world's CT log.
func worldLog(t *testing.T, w *sandbox.World, l *sandbox.CTLog) findingLog {
	t.Helper()
	o := Options{URL: l.URL(), Origin: l.Origin(), Key: logKey(t, w, l.Origin()), Fetch: tilestest.Client(t)}
	var log findingLog
	var err error
	if l == w.StaticCT {
		log, err = NewStaticLog(o)
	} else {
		log, err = NewRFC6962Log(o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func head(t *testing.T, log tlog.Source) tlog.SignedCheckpoint {
	t.Helper()
	cp, err := log.Checkpoint(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return cp
}

// TestWhatALogPromisedIsFoundWhereItIs looks for the first, the middle and the last of a log's entries, and for one that it
// promised and does not have.
func TestWhatALogPromisedIsFoundWhereItIs(t *testing.T) {
	for name, static := range map[string]bool{"RFC 6962": false, "static-ct-api": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ledger := w.CT
			if static {
				ledger = w.StaticCT
			}
			type promise struct {
				sct   SCT
				leaf  []byte
				index uint64
			}
			var kept []promise
			promised := func(o sandbox.CertificateOptions) promise {
				o.StaticSCT = static
				p := promise{index: ledger.Size()}
				der, issuer := certify(t, w, o)
				p.sct, p.leaf = rebuilt(t, der, issuer)
				if err := p.sct.Verify(logKey(t, w, ledger.Origin()), p.leaf); err != nil {
					t.Fatal(err)
				}
				return p
			}
			for _, bulk := range []uint64{0, 254, 1, 300, 77} {
				if bulk > 0 {
					if err := ledger.AddBulk(bulk); err != nil {
						t.Fatal(err)
					}
				}
				kept = append(kept, promised(sandbox.CertificateOptions{}))
			}
			log := worldLog(t, w, ledger)
			cp := head(t, log)
			for _, p := range kept {
				got, err := log.Find(context.Background(), p.sct, p.leaf, cp)
				if err != nil {
					t.Fatal(err)
				}
				if err := got.Verify(); err != nil || got.Index != p.index || got.LeafHash != sha256.Sum256(append([]byte{0}, p.leaf...)) {
					t.Errorf("entry %d: found %d, %v", p.index, got.Index, err)
				}
			}

			late := promised(sandbox.CertificateOptions{})
			if _, err := log.Find(context.Background(), late.sct, late.leaf, cp); !errors.Is(err, ErrNotIncluded) {
				t.Errorf("an entry after the checkpoint: %v", err)
			}
			cp = head(t, log)
			if got, err := log.Find(context.Background(), late.sct, late.leaf, cp); err != nil || got.Index != late.index {
				t.Errorf("once it is there: %+v, %v", got, err)
			}
			broken := promised(sandbox.CertificateOptions{Unlogged: true})
			if _, err := log.Find(context.Background(), broken.sct, broken.leaf, cp); !errors.Is(err, ErrNotIncluded) {
				t.Errorf("a broken promise: %v", err)
			}
			empty := tlog.SignedCheckpoint{Origin: cp.Origin}
			if _, err := log.Find(context.Background(), broken.sct, broken.leaf, empty); !errors.Is(err, ErrNotIncluded) {
				t.Errorf("in the empty tree: %v", err)
			}
		})
	}
}

// TestALogThatLiesOrFailsLeavesItUnknown asks for an entry that is there and for one that is not. Neither may be answered
// with "not included" by a log that does not prove what it shows.
func TestALogThatLiesOrFailsLeavesItUnknown(t *testing.T) {
	faults := map[string]func(*testing.T, *sandbox.CTLog) func(){
		"wrong proofs": func(t *testing.T, l *sandbox.CTLog) func() { return tell(t, l, sandbox.WrongProof, 0) },
		"another tree": func(t *testing.T, l *sandbox.CTLog) func() { return tell(t, l, sandbox.ForkedTree, 100) },
		"no service":   func(_ *testing.T, l *sandbox.CTLog) func() { return l.Break(sandbox.Fault{Path: "/*", Status: 500}) },
		"forbidden":    func(_ *testing.T, l *sandbox.CTLog) func() { return l.Break(sandbox.Fault{Path: "/*", Status: 403}) },
		"nothing there": func(_ *testing.T, l *sandbox.CTLog) func() {
			return l.Break(sandbox.Fault{Path: "/*", Status: 404})
		},
		"not JSON": func(_ *testing.T, l *sandbox.CTLog) func() {
			return l.Break(sandbox.Fault{Path: "/*", Status: 200, Body: []byte("<html>")})
		},
	}
	for name, static := range map[string]bool{"RFC 6962": false, "static-ct-api": true} {
		w := newWorld(t)
		ledger := w.CT
		if static {
			ledger = w.StaticCT
		}
		if err := ledger.AddBulk(300); err != nil {
			t.Fatal(err)
		}
		der, issuer := certify(t, w, sandbox.CertificateOptions{StaticSCT: static})
		sct, leaf := rebuilt(t, der, issuer)
		der, issuer = certify(t, w, sandbox.CertificateOptions{StaticSCT: static, Unlogged: true})
		broken, missing := rebuilt(t, der, issuer)
		log := worldLog(t, w, ledger)
		cp := head(t, log)
		for what, fault := range faults {
			mend := fault(t, ledger)
			if _, err := log.Find(context.Background(), sct, leaf, cp); err == nil || errors.Is(err, ErrNotIncluded) {
				t.Errorf("%s, %s: an entry that is there: %v", name, what, err)
			}
			if _, err := log.Find(context.Background(), broken, missing, cp); err == nil || errors.Is(err, ErrNotIncluded) {
				t.Errorf("%s, %s: an entry that is not: %v", name, what, err)
			}
			mend()
		}
		if _, err := log.Find(context.Background(), sct, leaf, cp); err != nil {
			t.Errorf("%s, mended: %v", name, err)
		}
	}
}

func tell(t *testing.T, l *sandbox.CTLog, lie sandbox.Lie, n uint64) func() {
	t.Helper()
	mend, err := l.Tell(lie, n)
	if err != nil {
		t.Fatal(err)
	}
	return mend
}

// TestAReplicaThatLagsIsNotBelieved has a replica answer that does not have the tree yet, once or for good.
func TestAReplicaThatLagsIsNotBelieved(t *testing.T) {
	for lagging, found := range map[int]bool{1: true, 99: false} {
		s := newServer(t, 250)
		asked := 0
		h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "get-proof-by-hash") {
				if asked++; asked <= lagging {
					http.Error(w, "log returned tree size: 100 but we expected: 250", http.StatusNotFound)
					return
				}
			}
			s.serve(w, r)
		}))
		defer h.Close()
		log, err := NewRFC6962Log(Options{URL: h.URL + "/2022", Key: &s.key.PublicKey, Fetch: tilestest.Client(t)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := log.Find(context.Background(), SCT{}, s.leaves[7], head(t, log))
		if (err == nil) != found || errors.Is(err, ErrNotIncluded) || found && got.Index != 7 {
			t.Errorf("%d answers behind: %d, %v", lagging, got.Index, err)
		}
	}
}

// TestBadAnswersToAHashAreNoProof changes a good answer in every way that it has.
func TestBadAnswersToAHashAreNoProof(t *testing.T) {
	s := newServer(t, 250)
	cp := head(t, s)
	path, err := s.tree.InclusionProof(7, 250)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(index any, path [][]byte) string {
		raw, err := json.Marshal(map[string]any{"leaf_index": index, "audit_path": path})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	s.say(t, "get-proof-by-hash", answer(7, path))
	if _, err := s.Find(context.Background(), SCT{}, s.leaves[7], cp); err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{
		"another index":     answer(8, path),
		"no index":          answer(nil, path),
		"a negative index":  answer(-7, path),
		"an absurd index":   answer(uint64(1)<<62, path),
		"a hash too few":    answer(7, path[1:]),
		"a hash too many":   answer(7, append(path[:len(path):len(path)], path[0])),
		"a thousand hashes": answer(7, slices.Repeat(path, 200)),
		"a short hash":      answer(7, append([][]byte{path[0][:31]}, path[1:]...)),
		"nothing":           "{}",
		"no JSON":           "not found",
	}
	for i := range path {
		changed := bytes.Clone(path[i])
		changed[3] ^= 1
		all := append([][]byte{}, path...)
		all[i] = changed
		bad[fmt.Sprintf("hash %d changed", i)] = answer(7, all)
	}
	for name, text := range bad {
		s.say(t, "get-proof-by-hash", text)
		if _, err := s.Find(context.Background(), SCT{}, s.leaves[7], cp); err == nil || errors.Is(err, ErrNotIncluded) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAStaticLogIsAskedForWhatItsTreeHas looks in the tree of an old checkpoint, whose partial tile is gone, and in one of
// which the reader has seen no checkpoint.
func TestAStaticLogIsAskedForWhatItsTreeHas(t *testing.T) {
	now := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	w := newWorld(t)
	if err := w.StaticCT.AddBulk(299); err != nil {
		t.Fatal(err)
	}
	der, issuer := certify(t, w, sandbox.CertificateOptions{StaticSCT: true, At: now})
	sct, leaf := rebuilt(t, der, issuer)
	cp := head(t, worldLog(t, w, w.StaticCT))
	if got, err := worldLog(t, w, w.StaticCT).Find(context.Background(), sct, leaf, cp); err != nil || got.Index != 299 {
		t.Errorf("without a checkpoint of its own: %d, %v", got.Index, err)
	}
	w.StaticCT.PrunePartials()
	if err := w.StaticCT.AddBulk(300); err != nil {
		t.Fatal(err)
	}
	if got, err := worldLog(t, w, w.StaticCT).Find(context.Background(), sct, leaf, cp); err != nil || got.Index != 299 || !got.Checkpoint.Timestamp.Equal(now) {
		t.Errorf("in the tree of an old checkpoint: %d, %v", got.Index, err)
	}
	sct.Extensions = nil
	if _, err := worldLog(t, w, w.StaticCT).Find(context.Background(), sct, leaf, cp); err == nil || errors.Is(err, ErrNotIncluded) {
		t.Errorf("where the SCT does not say where it is: %v", err)
	}
}
