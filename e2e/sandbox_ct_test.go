package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	neturl "net/url"
	"testing"

	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// ctQuestions are put to both CT logs.
var ctQuestions = []question{
	{"GET", "/ct/v1/get-sth", ""},
	{"POST", "/ct/v1/get-sth", "{}"},

	{"GET", "/ct/v1/get-entries?start=0&end=0", ""},
	{"GET", "/ct/v1/get-entries?start=1&end=3", ""},
	{"GET", "/ct/v1/get-entries?start=0&end=7", ""},
	{"GET", "/ct/v1/get-entries?start=6&end=9999999", ""},
	{"GET", "/ct/v1/get-entries?start={size}&end={size}", ""},
	{"GET", "/ct/v1/get-entries?start=9999999&end=99999999", ""},
	{"GET", "/ct/v1/get-entries?start=3&end=2", ""},
	{"GET", "/ct/v1/get-entries?start=-1&end=2", ""},
	{"GET", "/ct/v1/get-entries?start=x&end=2", ""},
	{"GET", "/ct/v1/get-entries?start=1", ""},
	{"GET", "/ct/v1/get-entries?end=1", ""},
	{"GET", "/ct/v1/get-entries", ""},
	{"POST", "/ct/v1/get-entries?start=0&end=0", "{}"},

	{"GET", "/ct/v1/get-sth-consistency?first=1&second={size}", ""},
	{"GET", "/ct/v1/get-sth-consistency?first=3&second=7", ""},
	{"GET", "/ct/v1/get-sth-consistency?first=0&second=7", ""},
	{"GET", "/ct/v1/get-sth-consistency?first=7&second=7", ""},
	{"GET", "/ct/v1/get-sth-consistency?first=7&second=3", ""},
	{"GET", "/ct/v1/get-sth-consistency?first=7&second=9999999", ""},
	{"GET", "/ct/v1/get-sth-consistency?first=-1&second=7", ""},
	{"GET", "/ct/v1/get-sth-consistency?first=x&second=7", ""},
	{"GET", "/ct/v1/get-sth-consistency?first=1", ""},

	{"GET", "/ct/v1/get-proof-by-hash?hash={leaf}&tree_size={size}", ""},
	{"GET", "/ct/v1/get-proof-by-hash?hash={leaf}&tree_size=9999999", ""},
	{"GET", "/ct/v1/get-proof-by-hash?hash={leaf}&tree_size=0", ""},
	{"GET", "/ct/v1/get-proof-by-hash?hash={leaf}&tree_size=x", ""},
	{"GET", "/ct/v1/get-proof-by-hash?hash={leaf}", ""},
	{"GET", "/ct/v1/get-proof-by-hash?hash=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D&tree_size={size}", ""},
	{"GET", "/ct/v1/get-proof-by-hash?hash=AAAA&tree_size={size}", ""},
	{"GET", "/ct/v1/get-proof-by-hash?hash=x&tree_size={size}", ""},
	{"GET", "/ct/v1/get-proof-by-hash?tree_size={size}", ""},
	{"GET", "/ct/v1/get-proof-by-hash?hash={leaf}&tree_size=3", ""},
	{"GET", "/ct/v1/get-proof-by-hash?hash={leaf}&tree_size=2", ""},

	{"GET", "/ct/v1/get-entry-and-proof?leaf_index=2&tree_size={size}", ""},
	{"GET", "/ct/v1/get-entry-and-proof?leaf_index=2&tree_size=2", ""},
	{"GET", "/ct/v1/get-entry-and-proof?leaf_index=2&tree_size=9999999", ""},
	{"GET", "/ct/v1/get-entry-and-proof?leaf_index=-1&tree_size={size}", ""},
	{"GET", "/ct/v1/get-entry-and-proof?leaf_index=2", ""},
}

// TestTheSandboxsCTLogAnswersAsTheRealOneDoes puts the same questions, good and bad, to both.
func TestTheSandboxsCTLogAnswersAsTheRealOneDoes(t *testing.T) {
	f, w := startFulcio(t), newSandbox(t)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		f.job(t, sandbox.ReleaseClaims("1.23.0"))
	}
	f.ct.awaitSize(t, 8)
	if err := w.CT.AddBulk(8); err != nil {
		t.Fatal(err)
	}
	real, played := ctPlace(t, f.ct.url), ctPlace(t, w.CT.URL())
	compareAnswers(t, ctQuestions, real, played)
}

// ctPlace is an entry of a CT log, in its tree of today.
func ctPlace(t *testing.T, url string) place {
	t.Helper()
	var head struct {
		TreeSize uint64 `json:"tree_size"`
	}
	var entries struct {
		Entries []struct {
			LeafInput []byte `json:"leaf_input"`
		}
	}
	for path, answer := range map[string]any{"get-sth": &head, "get-entries?start=2&end=2": &entries} {
		raw, err := ask(t.Context(), http.MethodGet, url+"/ct/v1/"+path, "", nil)
		if err == nil {
			err = json.Unmarshal(raw, answer)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sum := sha256.Sum256(append([]byte{0}, entries.Entries[0].LeafInput...))
	return place{url: url, size: fmt.Sprint(head.TreeSize), leaf: neturl.QueryEscape(base64.StdEncoding.EncodeToString(sum[:]))}
}
