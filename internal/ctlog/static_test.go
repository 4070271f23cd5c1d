package ctlog

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles/tilestest"
)

const staticOrigin = "log.example/2026h2"

// static is a static-ct log that is served, and a client of it.
type static struct {
	*StaticLog
	server *tilestest.Server
	key    *ecdsa.PrivateKey
	tree   *tilestest.Tree
	leaves [][]byte
	tile   [][]byte // the TileLeafs
}

func newStatic(t *testing.T, size int) *static {
	t.Helper()
	s := &static{server: tilestest.Serve(t, "/monitoring"), key: newKey(t)}
	c := newAuthority(t).issue(t, otherSAN)
	for i := range size {
		leaf, tail := precertLeaf(t, c), tileTail(c.precert, 2)
		if i%3 == 1 {
			leaf, tail = x509Leaf(t, c), tileTail(nil, i%5)
		}
		leaf[len(leaf)-1], leaf[len(leaf)-2] = byte(i), byte(i>>8)
		s.leaves = append(s.leaves, leaf)
		s.tile = append(s.tile, append(bytes.Clone(leaf[2:]), tail...))
	}
	s.tree = tilestest.NewTree(s.leaves)
	var err error
	s.StaticLog, err = NewStaticLog(Options{URL: s.server.URL + "/monitoring/", Origin: staticOrigin, Key: &s.key.PublicKey, Fetch: s.server.Client})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tileTail is what follows the covered part of a TileLeaf: a precertificate, if there is one, and a chain's fingerprints.
func tileTail(precert []byte, chain int) []byte {
	var b []byte
	if precert != nil {
		b = append(b, byte(len(precert)>>16), byte(len(precert)>>8), byte(len(precert)))
		b = append(b, precert...)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(chain*sha256.Size))
	return append(b, bytes.Repeat([]byte{0xcc}, chain*sha256.Size)...)
}

func (s *static) publish(t *testing.T, size int) {
	t.Helper()
	s.server.Put(s.tree.Tiles(uint64(size)))
	files := map[string][]byte{}
	tilestest.Cut(files, "data", size, func(from, to int) []byte { return slices.Concat(s.tile[from:to]...) })
	files["checkpoint"] = s.note(t, staticOrigin, size, s.key, "")
	s.server.Put(files)
}

// note signs a checkpoint of the first size leaves.
func (s *static) note(t *testing.T, origin string, size int, key *ecdsa.PrivateKey, extension string) []byte {
	t.Helper()
	root := s.tree.Root(uint64(size))
	blob := binary.BigEndian.AppendUint64(nil, millis)
	blob = append(blob, signTreeHead(t, key, uint64(size), root)...)
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(spki)
	hint := sha256.Sum256(append([]byte(origin+"\n\x05"), id[:]...))
	return fmt.Appendf(nil, "%s\n%d\n%s\n%s\n— %s %s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]), extension,
		origin, base64.StdEncoding.EncodeToString(append(hint[:4:4], blob...)))
}

func TestStaticLogReadsEveryEntry(t *testing.T) {
	for _, zipped := range []bool{false, true} {
		s := newStatic(t, 600)
		s.publish(t, 600)
		if zipped {
			s.server.Gzip()
		}
		cp, err := s.Checkpoint(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if want := s.tree.Root(600); cp.Size != 600 || cp.Root != want || cp.Origin != staticOrigin || cp.Timestamp.UnixMilli() != millis || cp.Signatures != 1 {
			t.Errorf("%+v", cp)
		}
		for _, start := range []uint64{0, 1, 255, 256, 599} {
			var got [][]byte
			for at := start; at < 600; {
				page, err := s.Page(context.Background(), at, 600)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, page.Leaves...)
				at += uint64(len(page.Leaves))
			}
			if !slices.EqualFunc(got, s.leaves[start:], bytes.Equal) {
				t.Errorf("from %d on, other leaves were read than are in the log", start)
			}
			for i, leaf := range got {
				if _, err := ParseLeaf(leaf); err != nil {
					t.Fatalf("leaf %d: %v", i, err)
				}
			}
		}
		if page, err := s.Page(context.Background(), 512, 520); err != nil || len(page.Leaves) != 8 {
			t.Errorf("up to entry 520: %d leaves, %v", len(page.Leaves), err)
		}
		for _, bad := range [][2]uint64{{5, 5}, {300, 256}} {
			if _, err := s.Page(context.Background(), bad[0], bad[1]); err == nil {
				t.Errorf("there was a page from %d to %d", bad[0], bad[1])
			}
		}
	}
}

func TestStaticLogProofsVerify(t *testing.T) {
	s := newStatic(t, 600)
	s.publish(t, 600)
	hashes, err := s.ConsistencyProof(context.Background(), 300, 600)
	if err != nil {
		t.Fatal(err)
	}
	old, now := s.tree.Root(300), s.tree.Root(600)
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, 300, 600, hashes, old[:], now[:]); err != nil {
		t.Error(err)
	}
	frontier, err := s.Frontier(context.Background(), 257, 600)
	if err != nil || len(frontier) != 2 || !bytes.Equal(frontier[0], s.tree.Node(8, 0)) || !bytes.Equal(frontier[1], s.tree.Node(0, 256)) {
		t.Errorf("%x, %v", frontier, err)
	}
}

func TestStaticCheckpointsMustBeTheLogsOwn(t *testing.T) {
	s := newStatic(t, 10)
	good := s.note(t, staticOrigin, 10, s.key, "")
	// A stranger's verifier agrees that the test signs as the specification says.
	vkey, err := formats.RFC6962VerifierString("https://"+staticOrigin, &s.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := formats.NewRFC6962Verifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(good, note.VerifierList(stranger)); err != nil {
		t.Fatal(err)
	}

	edit := func(old, new string) []byte {
		if !bytes.Contains(good, []byte(old)) {
			t.Fatalf("%q is not in the checkpoint", old)
		}
		return bytes.Replace(good, []byte(old), []byte(new), 1)
	}
	for name, raw := range map[string][]byte{
		"another key":     s.note(t, staticOrigin, 10, newKey(t), ""),
		"another origin":  s.note(t, "log.example/2027h1", 10, s.key, ""),
		"an extension":    s.note(t, staticOrigin, 10, s.key, "more\n"),
		"another size":    edit("\n10\n", "\n11\n"),
		"another signer":  edit("— "+staticOrigin, "— log.example/2027h1"),
		"cut off":         edit("\n\n— ", "\n\n— x "),
		"HTML":            []byte("<html>"),
		"short signature": []byte(string(good[:bytes.Index(good, []byte("— "))]) + fmt.Sprintf("— %s %s\n", staticOrigin, base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(s.hint)<<32|7)[:7]))),
	} {
		s.server.Put(map[string][]byte{"checkpoint": raw})
		_, err := s.Checkpoint(context.Background())
		var bad *tlog.BadCheckpointError
		if !errors.As(err, &bad) || !bytes.Equal(bad.Raw, raw) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, raw := range map[string][]byte{
		"alone":           good,
		"behind another":  edit("\n\n— ", "\n\n— witness.example AAAAAAAAAAA=\n— "),
		"before another":  append(bytes.Clone(good), "— witness.example AAAAAAAAAAA=\n"...),
		"of another type": edit("\n\n— ", "\n\n— "+staticOrigin+" AAAAAAAAAAA=\n— "),
	} {
		s.server.Put(map[string][]byte{"checkpoint": raw})
		if cp, err := s.Checkpoint(context.Background()); err != nil || cp.Size != 10 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadDataTilesAreClearErrors(t *testing.T) {
	s := newStatic(t, 40)
	s.publish(t, 40)
	whole := func() []byte { return slices.Concat(s.tile...) }
	newType := whole()
	newType[9] = 9
	oddChain := append(bytes.Clone(s.leaves[1][2:]), 0, 1, 0xcc)
	for name, c := range map[string]struct {
		body []byte
		want string
	}{
		"an entry short": {slices.Concat(s.tile[:39]...), "has 39 entries, and the checkpoint says 40"},
		"an entry more":  {append(whole(), s.tile[0]...), "bytes follow its 40 entries"},
		"empty":          {[]byte{}, "has 0 entries"},
		"cut off":        {whole()[:len(whole())-1], "entry 39: it is cut off in its chain"},
		"new type":       {newType, "entry 0: its entry type 9 is not known"},
		"odd chain":      {append(oddChain, slices.Concat(s.tile[1:]...)...), "not a list of hashes"},
	} {
		s.server.Put(map[string][]byte{"tile/data/000.p/40": c.body})
		if _, err := s.Page(context.Background(), 0, 40); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), staticOrigin) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestPartialDataTileThatIsGoneIsReadFromTheFullOne(t *testing.T) {
	s := newStatic(t, 256)
	s.publish(t, 200)
	if _, err := s.Checkpoint(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.server.Put(map[string][]byte{"tile/data/000.p/200": nil, "tile/data/000": slices.Concat(s.tile...)})
	page, err := s.Page(context.Background(), 10, 200)
	if err != nil || !slices.EqualFunc(page.Leaves, s.leaves[10:200], bytes.Equal) {
		t.Errorf("%d leaves, %v", len(page.Leaves), err)
	}
}

func FuzzParseDataTile(f *testing.F) {
	c := newAuthority(f).issue(f, otherSAN)
	f.Add(slices.Concat(precertLeaf(f, c)[2:], tileTail(c.precert, 2), x509Leaf(f, c)[2:], tileTail(nil, 0)), 2)
	f.Add(append(bytes.Clone(precertLeafBytes[2:]), 0, 0), 1)
	f.Fuzz(func(t *testing.T, body []byte, entries int) {
		entries &= 255
		original := bytes.Clone(body)
		leaves, err := parseDataTile(body, entries)
		if err != nil {
			return
		}
		if len(leaves) != entries {
			t.Fatalf("%d leaves of %d", len(leaves), entries)
		}
		// Each leaf is two zeros and a part of the tile as it was served, one after the other.
		at := 0
		for i, leaf := range leaves {
			if leaf[0] != 0 || leaf[1] != 0 {
				t.Fatalf("leaf %d begins %x", i, leaf[:2])
			}
			n := bytes.Index(original[at:], leaf[2:])
			if n < 0 {
				t.Fatalf("leaf %d is not in the tile, or not in its place", i)
			}
			if i == 0 && n != 0 {
				t.Fatal("the first leaf is not at the beginning")
			}
			at += n + len(leaf) - 2
		}
	})
}
