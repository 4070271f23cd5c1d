package rekor

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/rekor/pkg/generated/models"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// TestPagesAreReadWithoutAParser keeps the fast path from quietly becoming unused, and from finding anything else than the
// parser does: with pages of every length, whose buffers are used again and again.
func TestPagesAreReadWithoutAParser(t *testing.T) {
	w := newV1World(t, 30)
	for i := range 10 {
		w.add(dsseBody(pem64("CERTIFICATE", certificate(t, fmt.Sprintf("%s-%d", otherSAN, i)))))
	}
	var b v1Buffer
	for n := 1; n <= 10; n++ {
		var entries []models.LogEntry
		for i := range n {
			entries = append(entries, w.entry(uint64(39-3*i)))
		}
		b.answer = append(b.answer[:0], mustJSON(t, entries)...)
		scanned, ok := b.scan(n)
		if !ok {
			t.Fatalf("%d entries were left to the parser: %s", n, b.answer)
		}
		parsed, err := parseV1Entries[v1Leaf](b.answer, n)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(parsed, scanned, cmp.AllowUnexported(v1Keyed[v1Leaf]{})); diff != "" {
			t.Errorf("(- parsed, + scanned):\n%s", diff)
		}
		if _, ok := b.scan(n - 1); ok {
			t.Errorf("%d entries were taken for %d", n, n-1)
		}
	}
}

// TestWhatIsWrittenInAnotherWayIsParsed changes pages in ways that mean the same, or nothing.
func TestWhatIsWrittenInAnotherWayIsParsed(t *testing.T) {
	w := newV1World(t, 12)
	page := mustJSON(t, []models.LogEntry{w.entry(3), w.entry(4)})
	for name, c := range map[string]struct {
		from, to string
		fails    bool // for the parser too
	}{
		"white space":          {`":`, `": `, false},
		"an attestation":       {`{"body"`, `{"attestation":{"data":"e30="},"body"`, false},
		"an escaped body":      {`{"body":"e`, `{"body":"\u0065`, false},
		"an escaped name":      {`"logIndex"`, `"log\u0049ndex"`, false},
		"a body twice":         {`{"body"`, `{"body":"e30=","body"`, true},
		"a body in pieces":     {`{"body":"e`, `{"body":"e=`, true},
		"an index of nothing":  {`"logIndex":`, `"logIndex":-`, true},
		"an index with zeros":  {`"logIndex":`, `"logIndex":00`, true},
		"no end":               {`}}}`, `}}`, true},
		"a UUID that is short": {`[{"`, `[{"0`, true},
	} {
		changed := bytes.ReplaceAll(page, []byte(c.from), []byte(c.to))
		if bytes.Equal(changed, page) {
			t.Fatalf("%s: nothing was changed", name)
		}
		b := v1Buffer{answer: changed}
		if _, ok := b.scan(2); ok {
			t.Errorf("%s: read without a parser", name)
		}
		got, err := b.page(3, 2, uint64(w.trees[0].id), w.keys)
		if (err != nil) != c.fails || err == nil && (len(got.Leaves) != 2 || !bytes.Equal(got.Leaves[1], w.trees[0].bodies[4]) || got.LeafHashes[1] != tlog.LeafHash(got.Leaves[1])) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
