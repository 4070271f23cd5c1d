package sandbox

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-openapi/runtime"
	"github.com/sigstore/rekor/pkg/generated/client/entries"
	"github.com/sigstore/rekor/pkg/generated/client/tlog"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.2"
	"github.com/sigstore/rekor/pkg/util"
	rekorverify "github.com/sigstore/rekor/pkg/verify"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

func TestTreeProvesEveryLeafAndEveryPrefix(t *testing.T) {
	const n = 70
	var tree merkleTree
	var leaves, roots [][]byte
	roots = append(roots, nil)
	for i := range n {
		leaf := rfc6962.DefaultHasher.HashLeaf([]byte{byte(i)})
		leaves = append(leaves, leaf)
		tree.append(leaf)
		root, err := tree.root(uint64(i) + 1)
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, root)
	}
	// RFC 6962 §2.1: the root of two leaves is H(0x01, leaf, leaf).
	if want := rfc6962.DefaultHasher.HashChildren(leaves[0], leaves[1]); !bytes.Equal(roots[2], want) {
		t.Errorf("root of two leaves %x, want %x", roots[2], want)
	}
	for size := uint64(1); size <= n; size++ {
		for index := range size {
			hashes, err := tree.inclusion(index, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaves[index], hashes, roots[size]); err != nil {
				t.Fatalf("leaf %d in %d: %v", index, size, err)
			}
		}
		for first := uint64(1); first <= size; first++ {
			hashes, err := tree.consistency(first, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, first, size, hashes, roots[first], roots[size]); err != nil {
				t.Fatalf("%d to %d: %v", first, size, err)
			}
		}
	}
	if _, err := tree.inclusion(0, n+1); err == nil {
		t.Error("a proof in a tree that does not exist")
	}
	if _, err := tree.consistency(1, n+1); err == nil {
		t.Error("a proof towards a tree that does not exist")
	}
}

func TestRekorsOwnClientProvesEntriesAndGrowth(t *testing.T) {
	w := startedWorld(t)
	a := attested(t, w)
	judge := newRekorReader(t, w.Rekor)
	c, verifier := judge.client, judge.verifier
	ctx := context.Background()

	answer, err := c.Tlog.GetLogInfo(tlog.NewGetLogInfoParams())
	if err != nil {
		t.Fatal(err)
	}
	var old util.SignedCheckpoint
	if err := old.UnmarshalText([]byte(*answer.Payload.SignedTreeHead)); err != nil {
		t.Fatal(err)
	}
	if old.Origin != "rekor.sandbox.example - 1193050959916656507" || *answer.Payload.TreeID != "1193050959916656507" {
		t.Errorf("origin %q, tree id %s", old.Origin, *answer.Payload.TreeID)
	}
	if old.SignedNote.Signatures[0].Name != "rekor.sandbox.example" {
		t.Errorf("signed by %q", old.SignedNote.Signatures[0].Name)
	}

	// The attestation's entry, and ones of strangers around it.
	if err := w.Rekor.AddNoise(300, signedAt.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, index := range []int64{121904262, a.Entries[0].LogIndex, 121904262 + w.Rekor.Size() - 1} {
		params := entries.NewGetLogEntryByIndexParams()
		params.LogIndex = index
		answer, err := c.Entries.GetLogEntryByIndex(params)
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.Payload) != 1 {
			t.Fatalf("%d entries at index %d", len(answer.Payload), index)
		}
		for uuid, entry := range answer.Payload {
			if err := rekorverify.VerifyLogEntry(ctx, &entry, verifier); err != nil {
				t.Errorf("entry %d: %v", index, err)
			}
			if *entry.LogIndex != index || *entry.Verification.InclusionProof.LogIndex != index-121904262 {
				t.Errorf("entry %d says that it is %d, and %d in its shard", index, *entry.LogIndex, *entry.Verification.InclusionProof.LogIndex)
			}
			body, err := base64.StdEncoding.DecodeString(entry.Body.(string))
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("108e9186e8c5677b%x", rfc6962.DefaultHasher.HashLeaf(body)); uuid != want {
				t.Errorf("UUID %s, want %s", uuid, want)
			}
			for _, name := range []string{uuid, uuid[16:]} {
				params := entries.NewGetLogEntryByUUIDParams()
				params.EntryUUID = name
				if _, err := c.Entries.GetLogEntryByUUID(params); err != nil {
					t.Errorf("by UUID %s: %v", name, err)
				}
			}
		}
	}
	current, err := rekorverify.VerifyCurrentCheckpoint(ctx, c, verifier, &old)
	if err != nil {
		t.Fatalf("growth is not proven: %v", err)
	}
	if current.Size != old.Size+300 {
		t.Errorf("grew from %d to %d", old.Size, current.Size)
	}
}

func TestEntryBodiesAreAsRekorCanonicalisesThem(t *testing.T) {
	w := newWorld(t)
	a := attested(t, w)
	for index := w.Rekor.Active().Offset(); index <= a.Entries[0].LogIndex; index++ {
		e, ok, err := w.Rekor.Get(index)
		if err != nil || !ok {
			t.Fatalf("entry %d: %v, %v", index, ok, err)
		}
		proposed, err := models.UnmarshalProposedEntry(bytes.NewReader(e.Body), runtime.JSONConsumer())
		if err != nil {
			t.Fatal(err)
		}
		entry, err := types.UnmarshalEntry(proposed)
		if err != nil {
			t.Fatal(err)
		}
		canonical, err := types.CanonicalizeEntry(context.Background(), entry)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(canonical, e.Body) {
			t.Errorf("entry %d is\n%s\nRekor has\n%s", index, e.Body, canonical)
		}
	}
}

func TestRekorRefusesWhatTheRealOneRefuses(t *testing.T) {
	w := startedWorld(t)
	size := w.Rekor.Size()
	get := func(path string) string { return "GET " + path }
	leaf := strings.Repeat("0", 64)
	for request, want := range map[string]int{
		get("/api/v1/log/entries?logIndex=121904262"):                              200,
		get("/api/v1/log/entries?logIndex=0"):                                      200,
		get("/api/v1/log/entries?logIndex=999999999"):                              404,
		get("/api/v1/log/entries?logIndex=x"):                                      422,
		get("/api/v1/log/entries?logIndex=-1"):                                     422,
		get("/api/v1/log/entries"):                                                 422,
		get("/api/v1/log/entries/" + leaf):                                         404,
		get("/api/v1/log/entries/108e9186e8c5677b" + leaf):                         404,
		get("/api/v1/log/entries/0000000000000007" + leaf):                         404,
		get("/api/v1/log/entries/0000000000000000" + leaf):                         500,
		get("/api/v1/log/entries/ffffffffffffffff" + leaf):                         400,
		get("/api/v1/log/entries/" + leaf[1:]):                                     422,
		get("/api/v1/log/entries/" + leaf[1:] + "x"):                               422,
		get("/api/v1/log/proof?firstSize=1"):                                       422,
		get("/api/v1/log/proof?firstSize=0&lastSize=2"):                            422,
		get("/api/v1/log/proof?firstSize=3&lastSize=2"):                            400,
		get(fmt.Sprintf("/api/v1/log/proof?lastSize=%d", size)):                    200,
		get("/api/v1/log/proof?lastSize=1000000"):                                  400,
		get("/api/v1/log/proof?lastSize=1000000&treeID=3904496407287907111"):       200,
		get("/api/v1/log/proof?lastSize=2&treeID=7"):                               400,
		get("/api/v1/log/proof?lastSize=2&treeID=x"):                               422,
		get("/api/v1/log/proof?lastSize=2&treeID=99999999999999999999"):            400,
		get("/api/v1/log/publicKey"):                                               200,
		get("/api/v1/log/publicKey?treeID=2605736670972794747"):                    200,
		get("/api/v1/log/publicKey?treeID=7"):                                      400,
		get("/api/v1/nothing"):                                                     404,
		`POST {"logIndexes":[121904262]}`:                                          200,
		`POST {}`:                                                                  200,
		`POST {"logIndexes":[1,2,3,4,5,6,7,8,9,10]}`:                               200,
		`POST {"logIndexes":[1,2,3,4,5,6,7,8,9,10,11]}`:                            422,
		`POST {"logIndexes":[1,2,3,4,5,6,7,8,9,10],"entryUUIDs":["` + leaf + `"]}`: 422,
		`POST {"logIndexes":[]}`:                                                   422,
		`POST {"logIndexes":[-1]}`:                                                 422,
		`POST {"entryUUIDs":["` + leaf[1:] + `"]}`:                                 422,
		`POST not json`: 400,
	} {
		method, rest, _ := strings.Cut(request, " ")
		var response *http.Response
		var err error
		if method == "GET" {
			response, err = http.Get(w.Rekor.URL() + rest)
		} else {
			response, err = http.Post(w.Rekor.URL()+"/api/v1/log/entries/retrieve", "application/json", strings.NewReader(rest))
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: status %d, want %d", request, response.StatusCode, want)
		}
	}
	if size != w.Rekor.Size() {
		t.Error("reading changes the log")
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestRetrieveLeavesOutWhatIsNotThere(t *testing.T) {
	w := startedWorld(t)
	response, err := http.Post(w.Rekor.URL()+"/api/v1/log/entries/retrieve", "application/json",
		strings.NewReader(`{"logIndexes":[121904263,999999999,121904262]}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer []map[string]struct {
		LogIndex int64 `json:"logIndex"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, one := range answer {
		for _, e := range one {
			got = append(got, e.LogIndex)
		}
	}
	if fmt.Sprint(got) != "[121904263 121904262]" {
		t.Errorf("entries %v", got)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestProofAnswersWithTheRootOfTheLatestTree(t *testing.T) {
	w := startedWorld(t)
	response, err := http.Get(w.Rekor.URL() + "/api/v1/log/proof?firstSize=1&lastSize=2")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		RootHash string `json:"rootHash"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	e, ok, err := w.Rekor.Get(121904262)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if answer.RootHash != hex.EncodeToString(e.RootHash) {
		t.Errorf("root %s, want that of the present tree, %x", answer.RootHash, e.RootHash)
	}
	http.DefaultClient.CloseIdleConnections()
}

func BenchmarkEntryOfALargeLog(b *testing.B) {
	w, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Rekor.AddNoise(100_000, time.Time{}); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if _, _, err := w.Rekor.Get(121904262 + int64(i*7919%100_000)); err != nil {
			b.Fatal(err)
		}
	}
}
