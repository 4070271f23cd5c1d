package rekor

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/rekoncile/rekoncile/internal/realdata"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles/tilestest"
	"github.com/rekoncile/rekoncile/internal/trust"
)

const origin = "log.example"

// world is a log that is served, and a client of it.
type world struct {
	*TileLog
	server *tilestest.Server
	tree   *tilestest.Tree
	leaves [][]byte
	signer note.Signer
}

func newWorld(t *testing.T, size int, witnesses ...note.Verifier) *world {
	t.Helper()
	w := &world{server: tilestest.Serve(t, "/api/v2")}
	for i := range size {
		w.leaves = append(w.leaves, fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"hashedrekord","n":%d}`, i))
	}
	w.tree = tilestest.NewTree(w.leaves)
	skey, vkey, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	if w.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	verifier, err := tlog.NewTiledVerifier(origin, ed25519.PublicKey(keyBytes(t, vkey)))
	if err != nil {
		t.Fatal(err)
	}
	if w.TileLog, err = NewTileLog(Options{URL: w.server.URL, Origin: origin, Verifier: verifier, Witnesses: witnesses, Fetch: w.server.Client}); err != nil {
		t.Fatal(err)
	}
	return w
}

// keyBytes is the key in a verifier key of sumdb/note.
func keyBytes(t *testing.T, vkey string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(vkey, "+", 3)[2]) // name+hint+key, after its type
	if err != nil {
		t.Fatal(err)
	}
	return raw[1:]
}

// publish serves the tree of the first size leaves.
func (w *world) publish(t *testing.T, size int, signers ...note.Signer) {
	t.Helper()
	w.server.Put(w.tree.Tiles(uint64(size)))
	bundles := map[string][]byte{}
	tilestest.Cut(bundles, "entries", size, func(from, to int) []byte { return bundle(w.leaves[from:to]) })
	w.server.Put(bundles)
	root := w.tree.Root(uint64(size))
	w.checkpoint(t, fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:])), append(signers, w.signer)...)
}

func (w *world) checkpoint(t *testing.T, text string, signers ...note.Signer) {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	w.server.Put(map[string][]byte{"checkpoint": signed})
}

func bundle(leaves [][]byte) []byte {
	var b []byte
	for _, leaf := range leaves {
		b = binary.BigEndian.AppendUint16(b, uint16(len(leaf)))
		b = append(b, leaf...)
	}
	return b
}

func TestTileLogReadsEveryEntry(t *testing.T) {
	for _, zipped := range []bool{false, true} {
		w := newWorld(t, 700)
		w.publish(t, 700)
		if zipped {
			w.server.Gzip()
		}
		cp, err := w.Checkpoint(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if want := w.tree.Root(700); cp.Size != 700 || cp.Root != want || cp.Origin != origin || cp.Signatures != 1 || !cp.Timestamp.IsZero() {
			t.Errorf("checkpoint %+v", cp)
		}
		var wire int64
		for _, start := range []uint64{0, 1, 255, 256, 300, 512, 699} {
			var got [][]byte
			for at := start; at < 700; {
				page, err := w.Page(context.Background(), at, 700)
				if err != nil {
					t.Fatal(err)
				}
				if page.First != at || len(page.Leaves) == 0 {
					t.Fatalf("the page at %d is of %d and has %d leaves", at, page.First, len(page.Leaves))
				}
				got = append(got, page.Leaves...)
				at += uint64(len(page.Leaves))
				wire = page.Bytes
			}
			if !slices.EqualFunc(got, w.leaves[start:], bytes.Equal) {
				t.Errorf("from %d on, other leaves were read than are in the log", start)
			}
		}
		if full := int64(len(bundle(w.leaves[512:]))); zipped != (wire < full) {
			t.Errorf("zipped: %v, and of a bundle of %d bytes %d were on the wire", zipped, full, wire)
		}
	}
}

func TestTileLogReadsUpToWhereItIsAsked(t *testing.T) {
	w := newWorld(t, 700)
	w.publish(t, 700)
	if _, err := w.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.server.Asked()
	for _, c := range []struct {
		from, to uint64
		leaves   int
		asked    string
	}{
		{0, 10, 10, "tile/entries/000"}, {250, 700, 6, "tile/entries/000"}, {512, 600, 88, "tile/entries/002.p/188"},
		{600, 700, 100, "tile/entries/002.p/188"}, {699, 700, 1, "tile/entries/002.p/188"},
	} {
		page, err := w.Page(context.Background(), c.from, c.to)
		if err != nil || len(page.Leaves) != c.leaves || !bytes.Equal(page.Leaves[0], w.leaves[c.from]) {
			t.Errorf("%d to %d: %d leaves, %v", c.from, c.to, len(page.Leaves), err)
		}
		if asked := w.server.Asked(); !slices.Equal(asked, []string{c.asked}) {
			t.Errorf("%d to %d: asked for %v, want %s", c.from, c.to, asked, c.asked)
		}
	}
	for _, bad := range [][2]uint64{{5, 5}, {6, 5}, {0, 0}, {256, 256}, {300, 256}} {
		if _, err := w.Page(context.Background(), bad[0], bad[1]); err == nil {
			t.Errorf("there was a page from %d to %d", bad[0], bad[1])
		}
	}
	if asked := w.server.Asked(); len(asked) > 0 {
		t.Errorf("for nothing, %v was asked for", asked)
	}
}

func TestTileLogReadsTheFullBundleWhereThePartialIsGone(t *testing.T) {
	w := newWorld(t, 700)
	w.publish(t, 600)
	if _, err := w.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	// The log grows behind the checkpoint that was read.
	w.leaves = append(w.leaves, make([][]byte, 100)...)
	full := map[string][]byte{"tile/entries/002.p/88": nil, "tile/entries/002": bundle(w.leaves[512:768])}
	w.server.Put(full)
	page, err := w.Page(context.Background(), 520, 600)
	if err != nil || !slices.EqualFunc(page.Leaves, w.leaves[520:600], bytes.Equal) {
		t.Errorf("%d leaves, %v", len(page.Leaves), err)
	}
}

func TestTileLogProofsVerify(t *testing.T) {
	w := newWorld(t, 700)
	w.publish(t, 700)
	hashes, err := w.ConsistencyProof(context.Background(), 300, 700)
	if err != nil {
		t.Fatal(err)
	}
	old, now := w.tree.Root(300), w.tree.Root(700)
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, 300, 700, hashes, old[:], now[:]); err != nil {
		t.Error(err)
	}
	frontier, err := w.Frontier(context.Background(), 768-256-1, 700) // 256+128+…+1
	if err != nil || len(frontier) != 9 || !bytes.Equal(frontier[0], w.tree.Node(8, 0)) || !bytes.Equal(frontier[8], w.tree.Node(0, 510)) {
		t.Errorf("frontier of %d hashes, %v", len(frontier), err)
	}
}

func TestBadBundlesAreClearErrors(t *testing.T) {
	w := newWorld(t, 300)
	w.publish(t, 300)
	if _, err := w.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	good := bundle(w.leaves[256:300])
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"one entry short":          {bundle(w.leaves[256:299]), "has 43 entries, and the checkpoint says 44"},
		"one entry more":           {append(bytes.Clone(good), 0, 1, 'x'), "bytes follow its 44 entries"},
		"empty":                    {[]byte{}, "has 0 entries"},
		"cut off in an entry":      {good[:len(good)-1], "ends within entry 43"},
		"cut off in a length":      {append(bytes.Clone(bundle(w.leaves[256:299])), 0), "ends within the length"},
		"larger than a bundle can": {make([]byte, maxBundleBytes+1), "larger than the 16777472 bytes allowed"},
		"gone":                     {nil, "404"},
	} {
		w.server.Put(map[string][]byte{"tile/entries/001.p/44": c.body})
		if _, err := w.Page(context.Background(), 256, 300); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), origin) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestLeavesOfAPageCannotRunIntoEachOther(t *testing.T) {
	leaves, err := parseBundle([]byte("\x00\x01a\x00\x02bc\x00\x00"), 3)
	if err != nil || len(leaves) != 3 || string(leaves[0]) != "a" || string(leaves[1]) != "bc" || len(leaves[2]) != 0 {
		t.Fatalf("%q, %v", leaves, err)
	}
	if _ = append(leaves[0], "overwritten"...); string(leaves[1]) != "bc" {
		t.Error("appending to one leaf changed the next")
	}
}

func TestCheckpointsMustBeTheLogsOwn(t *testing.T) {
	w := newWorld(t, 10)
	root := w.tree.Root(10)
	text := func(name string) string {
		return fmt.Sprintf("%s\n10\n%s\n", name, base64.StdEncoding.EncodeToString(root[:]))
	}
	skey, _, err := note.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	skey, _, err = note.GenerateKey(rand.Reader, "witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	bystander, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string) {
		t.Helper()
		_, err := w.Checkpoint(context.Background())
		var bad *tlog.BadCheckpointError
		if !errors.As(err, &bad) || len(bad.Raw) == 0 || bad.Origin != origin {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.checkpoint(t, text(origin), stranger)
	refused("another key of the same name")
	w.checkpoint(t, text(origin), bystander)
	refused("only a witness's signature")
	w.checkpoint(t, text("other.example"), w.signer)
	refused("another origin")
	w.server.Put(map[string][]byte{"checkpoint": []byte("<html>busy</html>")})
	refused("HTML")

	// Other signatures do not matter, wherever they stand.
	for _, signers := range [][]note.Signer{{w.signer, bystander}, {bystander, w.signer}, {stranger, bystander, w.signer}} {
		w.checkpoint(t, text(origin), signers...)
		if cp, err := w.Checkpoint(context.Background()); err != nil || cp.Signatures != len(signers) || len(cp.Cosigners) != 0 {
			t.Errorf("%d signatures: %+v, %v", len(signers), cp, err)
		}
	}

	w.server.Put(map[string][]byte{"checkpoint": nil})
	var bad *tlog.BadCheckpointError
	if _, err := w.Checkpoint(context.Background()); err == nil || errors.As(err, &bad) {
		t.Errorf("no answer is not a bad checkpoint: %v", err)
	}
}

func TestWitnessesWithKnownKeysAreNamed(t *testing.T) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "witness.example/w1")
	if err != nil {
		t.Fatal(err)
	}
	cosigner, err := formats.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, err := note.GenerateKey(rand.Reader, "witness.example/w2")
	if err != nil {
		t.Fatal(err)
	}
	var verifiers []note.Verifier
	for _, k := range []string{otherKey, vkey} {
		v, err := formats.NewVerifierForCosignatureV1(k)
		if err != nil {
			t.Fatal(err)
		}
		verifiers = append(verifiers, v)
	}
	w := newWorld(t, 10, verifiers...)
	w.publish(t, 10, cosigner)
	cp, err := w.Checkpoint(context.Background())
	if err != nil || !slices.Equal(cp.Cosigners, []string{"witness.example/w1"}) || cp.Signatures != 2 {
		t.Errorf("%+v, %v", cp, err)
	}
}

func TestCheckpointSignedWithECDSAVerifies(t *testing.T) {
	w := newWorld(t, 10)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	root := w.tree.Root(10)
	text := fmt.Sprintf("%s\n10\n%s\n", origin, base64.StdEncoding.EncodeToString(root[:]))
	digest, hint := sha256.Sum256([]byte(text)), sha256.Sum256(spki)
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := text + "\n— " + origin + " " + base64.StdEncoding.EncodeToString(append(hint[:4:4], sig...)) + "\n"
	w.server.Put(map[string][]byte{"checkpoint": []byte(raw)})
	if w.o.Verifier, err = tlog.NewTiledVerifier(origin, &key.PublicKey); err != nil {
		t.Fatal(err)
	}
	if cp, err := w.Checkpoint(context.Background()); err != nil || cp.Size != 10 {
		t.Errorf("%+v, %v", cp, err)
	}
}

func TestLogsThatCannotBeReadAreRefused(t *testing.T) {
	w := newWorld(t, 1)
	for name, edit := range map[string]func(*Options){
		"no URL": func(o *Options) { o.URL = "" }, "a path": func(o *Options) { o.URL = "/api/v2" },
		"a query": func(o *Options) { o.URL += "?a=b" }, "no origin": func(o *Options) { o.Origin = "" },
		"no key": func(o *Options) { o.Verifier = nil }, "no client": func(o *Options) { o.Fetch = nil },
	} {
		o := w.o
		edit(&o)
		if _, err := NewTileLog(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, suffix := range []string{"", "/", "/api/v2", "/api/v2/"} {
		o := w.o
		o.URL = "https://log.example" + suffix
		l, err := NewTileLog(o)
		if err != nil || l.reader.URL != "https://log.example/api/v2" {
			t.Errorf("%q: %v, %v", suffix, l, err)
		}
	}
}

// TestRealCheckpointsVerify serves the checkpoints of Sigstore's tiled logs to a client with the keys of the trusted roots.
func TestRealCheckpointsVerify(t *testing.T) {
	dir := realdata.Dir(t)
	w := newWorld(t, 1)
	verified := 0
	for _, path := range []string{"1-trust/root-signing/targets__trusted_root.json", "1-trust/root-signing-staging/targets__trusted_root.json"} {
		raw, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		root, err := trust.FromJSON(path, raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, log := range root.Material.RekorLogs() {
			host := strings.TrimPrefix(log.BaseURL, "https://")
			if w.o.Verifier, err = tlog.NewTiledVerifier(host, log.PublicKey); err != nil {
				t.Fatal(err)
			}
			w.o.Origin = host
			files, err := filepath.Glob(filepath.Join(dir, "4-rekor", "checkpoints", host+"_[0-9]*.txt"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				w.server.Put(map[string][]byte{"checkpoint": raw})
				cp, err := w.Checkpoint(context.Background())
				if err != nil {
					t.Errorf("%s: %v", filepath.Base(file), err)
					continue
				}
				if size := strings.Split(filepath.Base(file), "_")[1]; fmt.Sprint(cp.Size) != size {
					t.Errorf("%s: size %d", filepath.Base(file), cp.Size)
				}
				verified++
			}
		}
	}
	if verified != 7 {
		t.Errorf("%d checkpoints were verified, want the 7 that there are", verified)
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte("\x00\x01a\x00\x02bc\x00\x00"), 3)
	f.Add([]byte("\xff\xff"), 1)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, body []byte, entries int) {
		entries &= 255
		leaves, err := parseBundle(body, entries)
		if err != nil {
			return
		}
		if len(leaves) != entries || !bytes.Equal(bundle(leaves), body) {
			t.Fatalf("%d entries, %d leaves, and written again the bundle is %x", entries, len(leaves), bundle(leaves))
		}
	})
}
