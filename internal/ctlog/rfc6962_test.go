package ctlog

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles/tilestest"
)

// server is a log with the API of RFC 6962, on the tree that the merkle library tests its own proofs with.
type server struct {
	*RFC6962Log
	key    *ecdsa.PrivateKey
	leaves [][]byte
	tree   *testonly.Tree
	pageOf int // the most entries that it gives

	mu     sync.Mutex
	canned map[string]string // answers by method, instead of the true ones
	asked  []string
}

func newServer(t *testing.T, size int) *server {
	t.Helper()
	s := &server{key: newKey(t), tree: testonly.New(rfc6962.DefaultHasher), pageOf: 1000, canned: map[string]string{}}
	a := newAuthority(t)
	var known []issued
	for range 3 {
		known = append(known, a.issue(t, otherSAN))
	}
	for i := range size {
		c := known[i%len(known)]
		leaf := precertLeaf(t, c)
		if i%7 == 3 {
			leaf = x509Leaf(t, c)
		}
		leaf[len(leaf)-1], leaf[len(leaf)-2] = byte(i), byte(i>>8) // the extension that has the index
		s.leaves = append(s.leaves, leaf)
	}
	s.tree.AppendData(s.leaves...)
	h := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(h.Close)
	var err error
	s.RFC6962Log, err = NewRFC6962Log(Options{URL: h.URL + "/2022", Key: &s.key.PublicKey, PageSize: 100, Fetch: tilestest.Client(t)})
	if err != nil {
		t.Fatal(err)
	}
	s.say(t, "get-sth", s.sth(t, uint64(size), nil))
	return s
}

// sth is the answer to get-sth, with members replaced.
func (s *server) sth(t *testing.T, size uint64, replace map[string]any) string {
	t.Helper()
	root := [sha256.Size]byte(s.tree.HashAt(size))
	answer := map[string]any{
		"tree_size": size, "timestamp": millis, "sha256_root_hash": root[:], "tree_head_signature": signTreeHead(t, s.key, size, root),
	}
	for k, v := range replace {
		answer[k] = v
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func (s *server) say(t *testing.T, method, answer string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.canned[method] = answer
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	method, _ := strings.CutPrefix(r.URL.Path, "/2022/ct/v1/")
	number := func(name string) uint64 {
		n, err := strconv.ParseUint(r.FormValue(name), 10, 64)
		if err != nil {
			n = 1 << 60
		}
		return n
	}
	s.mu.Lock()
	canned, lie := s.canned[method]
	s.asked = append(s.asked, method+"?"+r.URL.RawQuery)
	s.mu.Unlock()
	var answer any
	switch {
	case lie:
		fmt.Fprint(w, canned)
		return
	case method == "get-sth-consistency":
		hashes, err := s.tree.ConsistencyProof(number("first"), number("second"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer = map[string]any{"consistency": hashes}
	case method == "get-entries":
		start, end := number("start"), number("end")
		if start > end || start >= uint64(len(s.leaves)) {
			http.Error(w, "out of range", http.StatusBadRequest)
			return
		}
		end = min(end+1, uint64(len(s.leaves)), start+uint64(s.pageOf))
		var entries []map[string]any
		for _, leaf := range s.leaves[start:end] {
			entries = append(entries, map[string]any{"leaf_input": leaf, "extra_data": bytes.Repeat([]byte("chain"), 300)})
		}
		answer = map[string]any{"entries": entries}
	case method == "get-proof-by-hash":
		for i, leaf := range s.leaves {
			if base64.StdEncoding.EncodeToString(rfc6962.DefaultHasher.HashLeaf(leaf)) != r.FormValue("hash") {
				continue
			}
			hashes, err := s.tree.InclusionProof(uint64(i), number("tree_size"))
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			answer = map[string]any{"leaf_index": i, "audit_path": hashes}
		}
	}
	if answer == nil {
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(answer) // a client that goes away is the test's business
}

func TestRFC6962LogReadsEveryEntryWhateverThePageSize(t *testing.T) {
	for _, pageOf := range []int{1, 7, 64, 1000} {
		s := newServer(t, 250)
		s.pageOf = pageOf
		for _, start := range []uint64{0, 99, 100, 249} {
			var got [][]byte
			for at := start; at < 250; {
				page, err := s.Page(context.Background(), at, 250)
				if err != nil {
					t.Fatal(err)
				}
				if page.First != at || len(page.Leaves) == 0 || len(page.Leaves) > min(pageOf, 100) || page.Bytes < int64(len(page.Leaves)*100) {
					t.Fatalf("the page at %d: first %d, %d leaves, %d bytes", at, page.First, len(page.Leaves), page.Bytes)
				}
				got = append(got, page.Leaves...)
				at += uint64(len(page.Leaves))
			}
			if !slices.EqualFunc(got, s.leaves[start:], bytes.Equal) {
				t.Errorf("pages of %d: from %d on, other leaves were read than are in the log", pageOf, start)
			}
		}
		for _, q := range s.asked {
			if strings.Contains(q, "start=250") || strings.Contains(q, "end=250") {
				t.Errorf("asked beyond the tree: %s", q)
			}
		}
	}
}

func TestRFC6962PagesEndAtMultiplesOfTheirSize(t *testing.T) {
	s := newServer(t, 250)
	page, err := s.Page(context.Background(), 30, 250)
	if err != nil || len(page.Leaves) != 70 {
		t.Errorf("%d leaves, %v; want those up to 100", len(page.Leaves), err)
	}
	if s.PageSize() != 100 {
		t.Errorf("page size %d", s.PageSize())
	}
	if _, err := s.Page(context.Background(), 5, 5); err == nil {
		t.Error("there was an empty page")
	}
}

func TestTreeHeadsMustBeTheLogsOwn(t *testing.T) {
	s := newServer(t, 20)
	cp, err := s.Checkpoint(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if cp.Size != 20 || !bytes.Equal(cp.Root[:], s.tree.Hash()) || cp.Timestamp.UnixMilli() != millis || !strings.HasSuffix(cp.Origin, "/2022") ||
		!strings.HasPrefix(cp.Origin, "127.0.0.1:") || !bytes.Contains(cp.Raw, []byte("tree_head_signature")) {
		t.Errorf("%+v", cp)
	}
	stranger := newKey(t)
	root := [sha256.Size]byte(s.tree.Hash())
	good := signTreeHead(t, s.key, 20, root)
	for name, answer := range map[string]string{
		"another key":        s.sth(t, 20, map[string]any{"tree_head_signature": signTreeHead(t, stranger, 20, root)}),
		"another size":       s.sth(t, 20, map[string]any{"tree_size": 21}),
		"another time":       s.sth(t, 20, map[string]any{"timestamp": millis + 1}),
		"another root":       s.sth(t, 20, map[string]any{"sha256_root_hash": s.tree.HashAt(19)}),
		"short root":         s.sth(t, 20, map[string]any{"sha256_root_hash": root[:31]}),
		"another algorithm":  s.sth(t, 20, map[string]any{"tree_head_signature": append([]byte{4, 1}, good[2:]...)}),
		"another hash":       s.sth(t, 20, map[string]any{"tree_head_signature": append([]byte{2, 3}, good[2:]...)}),
		"signature followed": s.sth(t, 20, map[string]any{"tree_head_signature": append(good[:len(good):len(good)], 0)}),
		"no signature":       s.sth(t, 20, map[string]any{"tree_head_signature": nil}),
		"negative size":      s.sth(t, 20, map[string]any{"tree_size": -1}),
		"HTML":               "<html>",
		"a size twice":       strings.Replace(s.sth(t, 20, nil), "{", `{"tree_size":20,`, 1),
	} {
		s.say(t, "get-sth", answer)
		_, err := s.Checkpoint(context.Background())
		var bad *tlog.BadCheckpointError
		if !errors.As(err, &bad) || string(bad.Raw) != answer {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTreeHeadsOfOtherKeysVerify(t *testing.T) {
	head := treeHead{timestamp: millis, size: 7}
	digest := sha256.Sum256(head.signed())
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := rsa.SignPKCS1v15(rand.Reader, rsaKey, 5 /* crypto.SHA256 */, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	if err := head.verify(&rsaKey.PublicKey, append([]byte{4, 1, byte(len(sig) >> 8), byte(len(sig))}, sig...)); err != nil {
		t.Errorf("RSA: %v", err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := head.verify(public, append([]byte{8, 7, 0, 64}, ed25519.Sign(private, head.signed())...)); err != nil {
		t.Errorf("Ed25519: %v", err)
	}
	if _, err := logID("not a key"); err == nil {
		t.Error("a string was taken for a key")
	}
}

func TestRFC6962ConsistencyProofsVerify(t *testing.T) {
	s := newServer(t, 77)
	hashes, err := s.ConsistencyProof(context.Background(), 40, 77)
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, 40, 77, hashes, s.tree.HashAt(40), s.tree.Hash()); err != nil {
		t.Error(err)
	}
	for name, answer := range map[string]string{
		"short hash": `{"consistency":["AAAA"]}`, "not a list": `{"consistency":7}`, "HTML": `<html>`,
		"endless": `{"consistency":[` + strings.TrimSuffix(strings.Repeat(`"`+base64.StdEncoding.EncodeToString(make([]byte, 32))+`",`, 65), ",") + `]}`,
	} {
		s.say(t, "get-sth-consistency", answer)
		if _, err := s.ConsistencyProof(context.Background(), 40, 77); err == nil || !strings.Contains(err.Error(), "from size 40 to 77") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRFC6962FrontierContinuesToTheRoot tries every range of every tree up to a size that has all shapes.
func TestRFC6962FrontierContinuesToTheRoot(t *testing.T) {
	s := newServer(t, 35)
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	for treeSize := uint64(1); treeSize <= 35; treeSize++ {
		for size := uint64(0); size <= treeSize; size++ {
			hashes, err := s.Frontier(context.Background(), size, treeSize)
			if err != nil {
				t.Fatalf("%d of %d: %v", size, treeSize, err)
			}
			r, err := factory.NewRange(0, size, hashes)
			if err != nil {
				t.Fatalf("%d of %d: %v", size, treeSize, err)
			}
			for i := size; i < treeSize; i++ {
				if err := r.Append(s.tree.LeafHash(i), nil); err != nil {
					t.Fatal(err)
				}
			}
			root, err := r.GetRootHash(nil)
			if err != nil || !bytes.Equal(root, s.tree.HashAt(treeSize)) {
				t.Fatalf("the frontier at %d does not continue to the root of %d: %v", size, treeSize, err)
			}
		}
	}
}

func TestBadInclusionProofsGiveNoFrontier(t *testing.T) {
	s := newServer(t, 35)
	hashes, err := s.tree.InclusionProof(19, 35)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(index int, path [][]byte) string {
		raw, err := json.Marshal(map[string]any{"leaf_index": index, "audit_path": path})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for name, c := range map[string]struct{ answer, want string }{
		"another entry": {encode(18, hashes), "the one given of entry 18"},
		"too long":      {encode(19, append(slices.Clone(hashes), hashes[0])), "longer than the tree is high"},
		"too short":     {encode(19, hashes[:len(hashes)-1]), "ends below the root"},
		"empty":         {encode(19, nil), "ends below the root"},
		"short hash":    {encode(19, [][]byte{{1}}), "1 bytes"},
	} {
		s.say(t, "get-proof-by-hash", c.answer)
		if _, err := s.Frontier(context.Background(), 20, 35); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := s.Frontier(context.Background(), 36, 35); err == nil {
		t.Error("a frontier beyond the tree was given")
	}
}

func TestBadEntriesAreClearErrors(t *testing.T) {
	s := newServer(t, 10)
	entry := func(leaf string) string { return `{"leaf_input":` + leaf + `,"extra_data":"AAAA"}` }
	good := entry(`"` + base64.StdEncoding.EncodeToString(s.leaves[0]) + `"`)
	for name, c := range map[string]struct{ answer, want string }{
		"none":            {`{"entries":[]}`, "no entries"},
		"no list":         {`{}`, "no entries"},
		"not a list":      {`{"entries":{}}`, "not a list"},
		"HTML":            {`<html>`, "not a JSON object"},
		"more than asked": {`{"entries":[` + good + `,` + good + `,` + good + `]}`, "more than the 2 entries"},
		"cut off":         {`{"entries":[` + good + `,`, "unexpected EOF"},
		"followed":        {`{"entries":[` + good + `]}x`, "something follows"},
		"no leaf":         {`{"entries":[{"extra_data":"AAAA"}]}`, "no leaf_input"},
		"number":          {`{"entries":[` + entry(`7`) + `]}`, "no leaf_input"},
		"not base64":      {`{"entries":[` + entry(`"*"`) + `]}`, "not base64"},
		"empty":           {`{"entries":[` + entry(`""`) + `]}`, "not base64"},
		"lists twice":     {`{"entries":[` + good + `],"entries":[` + good + `]}`, "duplicate"},
	} {
		s.say(t, "get-entries", c.answer)
		if _, err := s.Page(context.Background(), 4, 6); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "entries 4 to 6") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	s.say(t, "get-entries", `{"note":[1,{"a":2}],"entries":[{"leaf_input":"AAEC\u0041w==","more":{}}],"more":null}`)
	if page, err := s.Page(context.Background(), 4, 6); err != nil || len(page.Leaves) != 1 || !bytes.Equal(page.Leaves[0], []byte{0, 1, 2, 3}) {
		t.Errorf("with members to come: %x, %v", page.Leaves, err)
	}
}

func TestLogsThatCannotBeReadAreRefused(t *testing.T) {
	s := newServer(t, 1)
	for name, edit := range map[string]func(*Options){
		"no URL": func(o *Options) { o.URL = "" }, "a query": func(o *Options) { o.URL += "?a=b" },
		"no key": func(o *Options) { o.Key = nil }, "no client": func(o *Options) { o.Fetch = nil },
	} {
		o := s.o
		o.Origin = "log.example/2026"
		edit(&o)
		if _, err := NewRFC6962Log(o); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := NewStaticLog(o); err == nil {
			t.Errorf("%s: no error of the static log", name)
		}
	}
	for _, origin := range []string{"", "two words", "a+b"} {
		o := s.o
		o.Origin = origin
		if _, err := NewStaticLog(o); err == nil {
			t.Errorf("origin %q: no error", origin)
		}
	}
}

func FuzzParseEntries(f *testing.F) {
	f.Add([]byte(`{"entries":[{"leaf_input":"AAEC","extra_data":"AA=="}]}`), 3)
	f.Add([]byte(`{"entries":[],"entries":[]}`), 1)
	f.Fuzz(func(t *testing.T, raw []byte, atMost int) {
		atMost &= 15
		leaves, err := parseEntries(raw, atMost)
		if err != nil {
			return
		}
		if len(leaves) == 0 || len(leaves) > atMost || !json.Valid(raw) {
			t.Fatalf("%d leaves of at most %d from %q", len(leaves), atMost, raw)
		}
		// A stranger's decoder must agree; maps, because its structs take names in any case.
		var object map[string]json.RawMessage
		var entries []map[string]json.RawMessage
		if err := errors.Join(json.Unmarshal(raw, &object), json.Unmarshal(object["entries"], &entries)); err != nil {
			t.Fatal(err)
		}
		if len(entries) != len(leaves) {
			t.Fatalf("%d leaves, and encoding/json finds %d entries", len(leaves), len(entries))
		}
		for i, leaf := range leaves {
			var theirs []byte
			if err := json.Unmarshal(entries[i]["leaf_input"], &theirs); err != nil || !bytes.Equal(theirs, leaf) {
				t.Fatalf("leaf %d is %x, encoding/json says %x, %v", i, leaf, theirs, err)
			}
		}
	})
}
