package rekor

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/rekor/pkg/generated/models"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// mustJSON writes what a server would.
func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func FuzzV1Entry(f *testing.F) {
	w := newV1World(f, 7, 12)
	f.Add(mustJSON(f, w.entry(15)))
	f.Add([]byte(`{"` + w.trees[0].uuid([]byte("x")) + `":{"body":"eA==","integratedTime":1,"logID":"` + w.logID + `","logIndex":0,"verification":{"inclusionProof":{"hashes":[]}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		answer, err := parseV1Entry(raw)
		if err != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatal("what is not JSON was read")
		}
		if p := answer.entry.Verification.InclusionProof; p != nil && len(p.Hashes) > 64 {
			t.Fatalf("a proof of %d hashes", len(p.Hashes))
		}
		e, err := w.keys.prove(answer)
		if err != nil {
			return
		}
		// Whoever does not have the key proves nothing but what the log said.
		if e.GlobalIndex != 15 || !bytes.Equal(e.Body, w.trees[1].bodies[8]) {
			t.Fatalf("proven: %+v", e)
		}
	})
}

func FuzzV1Page(f *testing.F) {
	w := newV1World(f, 7, 12)
	tree := w.trees[1]
	f.Add(mustJSON(f, []models.LogEntry{w.entry(9), w.entry(7), w.entry(8)}), 3)
	f.Add(mustJSON(f, []models.LogEntry{w.entry(7)}), 2)
	f.Add(bytes.Replace(mustJSON(f, []models.LogEntry{w.entry(7)}), []byte(`"checkpoint":"`), []byte(`"checkpoint":"\",\"hashes\":[`), 1), 1)
	f.Fuzz(func(t *testing.T, raw []byte, n int) {
		n = n&7 + 1
		// What is read without a parser is what a parser reads, if it reads it.
		parsed, parseErr := parseV1Entries[v1Leaf](raw, n)
		scanned, ok := (&v1Buffer{answer: raw}).scan(n)
		if diff := cmp.Diff(parsed, scanned, cmp.AllowUnexported(v1Keyed[v1Leaf]{})); ok && parseErr == nil && diff != "" {
			t.Fatalf("(- parsed, + scanned):\n%s", diff)
		}
		page, err := parseV1Page(raw, 7, n, uint64(tree.id), w.keys)
		if err != nil {
			return
		}
		leaves := page.Leaves
		if len(leaves) == 0 || len(leaves) > n {
			t.Fatalf("%d leaves of %d", len(leaves), n)
		}
		// A stranger's decoder must find each leaf under its own name.
		var answer []map[string]json.RawMessage
		if err := json.Unmarshal(raw, &answer); err != nil {
			t.Fatal(err)
		}
		for i, leaf := range leaves {
			hash := tlog.LeafHash(leaf)
			if !slices.ContainsFunc(answer, func(one map[string]json.RawMessage) bool {
				for uuid := range one {
					return len(one) == 1 && len(uuid) >= 64 && lower(uuid[len(uuid)-64:]) == hex.EncodeToString(hash[:])
				}
				return false
			}) {
				t.Fatalf("leaf %d is not in the answer", i)
			}
		}
	})
}

func lower(s string) string { return string(bytes.ToLower([]byte(s))) }

func FuzzV1Shards(f *testing.F) {
	w := newV1World(f, 7, 12)
	f.Add(mustJSON(f, w.log()))
	f.Add([]byte(`{"rootHash":"","treeSize":0,"signedTreeHead":"","treeID":"1","inactiveShards":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		shards, err := parseV1Shards(raw, w.keys)
		if err != nil {
			return
		}
		if len(shards.Shards) == 0 || shards.Size() > 19 {
			t.Fatalf("%+v", shards)
		}
		for _, s := range shards.Shards {
			if s.Checkpoint.Size != 7 && s.Checkpoint.Size != 12 {
				t.Fatalf("nobody signed %+v", s)
			}
		}
	})
}

func FuzzV1Hits(f *testing.F) {
	id := V1ID{TreeID: 17, LeafHash: [32]byte{1}}
	f.Add([]byte(`["` + id.String() + `","` + id.String()[16:] + `"]`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		ids, err := parseV1Hits(raw)
		if err != nil {
			return
		}
		var theirs []string
		if err := json.Unmarshal(raw, &theirs); err != nil || len(ids) > len(theirs) {
			t.Fatalf("%d ids of %d, %v", len(ids), len(theirs), err)
		}
		for i, id := range ids {
			if again, err := ParseV1ID(id.String()); err != nil || again != id || i > 0 && ids[i-1] == id {
				t.Fatalf("id %d: %+v, %v", i, again, err)
			}
		}
	})
}

func FuzzV1Proof(f *testing.F) {
	f.Add([]byte(`{"rootHash":"ab","hashes":["0004aaa6a89f41c3d07079c6be8ee0f6fc9ee3e23c159e101140f31036f014db"]}`))
	f.Add([]byte(`{"hashes":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		hashes, err := parseV1Proof(raw)
		if err != nil {
			return
		}
		var theirs map[string]json.RawMessage
		var texts []string
		if err := json.Unmarshal(raw, &theirs); err != nil {
			t.Fatal(err)
		}
		if theirs["hashes"] != nil {
			if err := json.Unmarshal(theirs["hashes"], &texts); err != nil {
				t.Fatal(err)
			}
		}
		if len(texts) != len(hashes) || len(hashes) > 64 {
			t.Fatalf("%d hashes of %d", len(hashes), len(texts))
		}
		for i, h := range hashes {
			if hex.EncodeToString(h) != lower(texts[i]) {
				t.Fatalf("hash %d is %x of %q", i, h, texts[i])
			}
		}
	})
}
