package rekor

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/rekor/pkg/generated/models"

	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles"
)

func TestEntriesAreProvenByIndexAndByUUID(t *testing.T) {
	w := newV1World(t, 7, 30)
	w.add(dsseBody(pem64("CERTIFICATE", certificate(t, watchedSAN))))
	for _, global := range []uint64{0, 6, 7, 20, 37} {
		e, err := w.EntryAt(t.Context(), global)
		if err != nil {
			t.Fatal(err)
		}
		tree, index := w.trees[0], global
		if global >= 7 {
			tree, index = w.trees[1], global-7
		}
		if e.GlobalIndex != global || e.Index != index || e.TreeID != uint64(tree.id) || !bytes.Equal(e.Body, tree.bodies[index]) || e.LogID != w.logID ||
			!e.IntegratedTime.Equal(time.Unix(v1Epoch+int64(global), 0)) || e.ID().String() != tree.uuid(tree.bodies[index]) || e.Checkpoint.Size != tree.shown {
			t.Errorf("entry %d: %+v", global, e)
		}
		short := e.ID()
		short.TreeID = 0
		for _, id := range []V1ID{e.ID(), short} {
			again, err := w.Entry(t.Context(), id)
			if err != nil || again.GlobalIndex != global {
				t.Errorf("%s: %+v, %v", id, again, err)
			}
		}
		if err := e.Verify(w.keys); err != nil {
			t.Errorf("entry %d cannot be proven again: %v", global, err)
		}
	}
	for _, global := range []uint64{38, 1 << 40} {
		if _, err := w.EntryAt(t.Context(), global); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("entry %d: %v", global, err)
		}
	}
	if _, err := w.Entry(t.Context(), V1ID{TreeID: 17}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a UUID that is none: %v", err)
	}
}

func TestAKeptEntryThatWasChangedIsNotProvenAgain(t *testing.T) {
	w := newV1World(t, 7, 30)
	for check, edit := range map[V1Check]func(*V1Entry){
		V1CheckBody:           func(e *V1Entry) { e.Body = nil },
		V1CheckLogID:          func(e *V1Entry) { e.LogID = strings.ToUpper(e.LogID) },
		V1CheckCheckpoint:     func(e *V1Entry) { e.Checkpoint.Raw = append(e.Checkpoint.Raw, '\n') },
		V1CheckTreeSize:       func(e *V1Entry) { e.Checkpoint.Size++ },
		V1CheckRootHash:       func(e *V1Entry) { e.Checkpoint.Root[0]++ },
		V1CheckUUID:           func(e *V1Entry) { e.LeafHash[0]++ },
		V1CheckInclusion:      func(e *V1Entry) { e.Index++ },
		V1CheckIntegratedTime: func(e *V1Entry) { e.IntegratedTime = time.Unix(0, 0) },
		V1CheckLogIndex:       func(e *V1Entry) { e.GlobalIndex = 1 },
		V1CheckSET:            func(e *V1Entry) { e.IntegratedTime = e.IntegratedTime.Add(time.Second) },
	} {
		e, err := w.EntryAt(t.Context(), 20)
		if err != nil {
			t.Fatal(err)
		}
		edit(e)
		var failed *V1CheckError
		if err := e.Verify(w.keys); !errors.As(err, &failed) || failed.Check != check {
			t.Errorf("%s: %v", check, err)
		}
	}
}

// TestTheCheckThatFailsIsNamed alters one thing of an answer at a time, in all three ways to ask for an entry.
func TestTheCheckThatFailsIsNamed(t *testing.T) {
	w, other := newV1World(t, 7, 30), newV1World(t, 7, 30)
	frozen := w.client(nil)
	type e = models.LogEntryAnon
	proof := func(e *e) *models.InclusionProof { return e.Verification.InclusionProof }
	for name, c := range map[string]struct {
		edit  func(*e)
		check V1Check
		want  string
	}{
		"another body":        {func(e *e) { e.Body = []byte(`{"kind":"other"}`) }, V1CheckUUID, "it has 108e9186e8c5677b"},
		"no body":             {func(e *e) { e.Body = "" }, V1CheckBody, ""},
		"another key":         {func(e *e) { *e.LogID = other.logID }, V1CheckLogID, "no trusted key"},
		"an upper-case key":   {func(e *e) { *e.LogID = strings.ToUpper(w.logID) }, V1CheckLogID, "no trusted key"},
		"no verification":     {func(e *e) { e.Verification = nil }, V1CheckProof, ""},
		"no checkpoint":       {func(e *e) { *proof(e).Checkpoint = "" }, V1CheckProof, ""},
		"another checkpoint":  {func(e *e) { *proof(e).Checkpoint = other.checkpoint(other.trees[1], 30) }, V1CheckCheckpoint, "no signature by this key"},
		"an older checkpoint": {func(e *e) { *proof(e).Checkpoint = w.checkpoint(w.trees[1], 29) }, V1CheckTreeSize, "it has 30, and it should be 29"},
		"an older root":       {func(e *e) { *proof(e).RootHash = hex.EncodeToString(w.trees[1].tree.HashAt(29)) }, V1CheckRootHash, "it should be " + hex.EncodeToString(w.trees[1].tree.Hash())},
		"another tree's checkpoint": {func(e *e) {
			*proof(e).Checkpoint, *proof(e).TreeSize, *proof(e).RootHash = w.checkpoint(w.trees[0], 7), 7, hex.EncodeToString(w.trees[0].tree.Hash())
		}, V1CheckUUID, "it has 108e9186e8c5677b"},
		"another hash":           {func(e *e) { proof(e).Hashes[1] = proof(e).Hashes[0] }, V1CheckInclusion, "it has root "},
		"a hash too few":         {func(e *e) { proof(e).Hashes = proof(e).Hashes[1:] }, V1CheckInclusion, "wrong proof size"},
		"no hashes":              {func(e *e) { proof(e).Hashes = nil }, V1CheckInclusion, "wrong proof size 0"},
		"a neighbour's index":    {func(e *e) { *proof(e).LogIndex++ }, V1CheckInclusion, "it should be root "},
		"an index beyond":        {func(e *e) { *proof(e).LogIndex = 30 }, V1CheckInclusion, "beyond size"},
		"another time":           {func(e *e) { *e.IntegratedTime++ }, V1CheckSET, "did not sign this entry"},
		"no time":                {func(e *e) { *e.IntegratedTime = 0 }, V1CheckIntegratedTime, "0 seconds since 1970"},
		"a time in milliseconds": {func(e *e) { *e.IntegratedTime *= 1000 }, V1CheckIntegratedTime, "no time"},
		"another global index":   {func(e *e) { *e.LogIndex++ }, V1CheckSET, "did not sign this entry"},
		"the tree's index":       {func(e *e) { *e.LogIndex = 3 }, V1CheckLogIndex, "impossible"},
		"no signature":           {func(e *e) { e.Verification.SignedEntryTimestamp = nil }, V1CheckSET, "did not sign this entry"},
		"another signature": {func(e *e) {
			e.Verification.SignedEntryTimestamp = w.entry(21)[w.trees[1].uuid(w.trees[1].bodies[14])].Verification.SignedEntryTimestamp
		}, V1CheckSET, "did not sign this entry"},
	} {
		w.lies(func(path string, answer any) any {
			change := func(entries models.LogEntry) models.LogEntry {
				for uuid, entry := range entries {
					c.edit(&entry)
					return models.LogEntry{uuid: entry}
				}
				return nil
			}
			switch a := answer.(type) {
			case models.LogEntry:
				return change(a)
			case []models.LogEntry:
				return []models.LogEntry{change(a[0])}
			}
			return answer
		})
		id, err := ParseV1ID(w.trees[1].uuid(w.trees[1].bodies[13]))
		if err != nil {
			t.Fatal(err)
		}
		_, byIndex := w.EntryAt(t.Context(), 20)
		_, byUUID := w.Entry(t.Context(), id)
		answers, err := w.Entries(t.Context(), []V1ID{id})
		if err != nil || len(answers) != 1 || answers[0].Entry != nil {
			t.Errorf("%s: %+v, %v", name, answers, err)
			continue
		}
		for how, err := range map[string]error{"by index": byIndex, "by UUID": byUUID, "in a list": answers[0].Err} {
			var failed *V1CheckError
			if !errors.As(err, &failed) || failed.Check != c.check || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s: %v; want the check %s, %q", name, how, err, c.check, c.want)
			}
			if bad := new(tlog.BadCheckpointError); c.check == V1CheckCheckpoint && (!errors.As(err, &bad) || len(bad.Raw) == 0) {
				t.Errorf("%s, %s: without the checkpoint", name, how)
			}
		}
	}
	// Honest entries, in a log that lists other shards than it signs for.
	w.lies(nil)
	if _, err := frozen.Shards(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.trees[0].add(t, []byte("one more"))
	if _, err := frozen.EntryAt(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "a tree of 8 entries, and it should be the 7 that it is frozen at") {
		t.Errorf("an entry of a frozen tree that grew: %v", err)
	}
}

// add makes the tree grow behind the back of the log.
func (tree *v1TestTree) add(t *testing.T, body []byte) {
	t.Helper()
	tree.bodies, tree.times = append(tree.bodies, body), append(tree.times, v1Epoch)
	tree.tree.AppendData(body)
	tree.shown++
}

func TestAnEntryMustBeInATreeThatTheLogLists(t *testing.T) {
	w := newV1World(t, 7, 30)
	hidden := w.trees[1]
	w.lies(func(path string, answer any) any {
		if path == "/log" {
			w.trees = w.trees[:1]
			defer func() { w.trees = append(w.trees, hidden) }()
			return w.log()
		}
		return answer
	})
	var failed *V1CheckError
	if _, err := w.EntryAt(t.Context(), 20); !errors.As(err, &failed) || failed.Check != V1CheckTree || !strings.Contains(err.Error(), "does not list") {
		t.Errorf("%v", err)
	}
}

func TestALogThatAnswersWithAnotherEntryIsFoundOut(t *testing.T) {
	w := newV1World(t, 7, 30)
	w.lies(func(path string, answer any) any {
		if _, ok := answer.(models.LogEntry); ok {
			return w.entry(12) // a true one
		}
		return answer
	})
	id, err := ParseV1ID(w.trees[1].uuid(w.trees[1].bodies[13]))
	if err != nil {
		t.Fatal(err)
	}
	var failed *V1CheckError
	if _, err := w.EntryAt(t.Context(), 20); !errors.As(err, &failed) || failed.Check != V1CheckLogIndex || failed.Got != "12" {
		t.Errorf("by index: %v", err)
	}
	if _, err := w.Entry(t.Context(), id); !errors.As(err, &failed) || failed.Check != V1CheckUUID || failed.Want != id.String() {
		t.Errorf("by UUID: %v", err)
	}
}

func TestManyEntriesTakeFewRequests(t *testing.T) {
	w := newV1World(t, 7, 30)
	indices := []uint64{30, 2, 36, 37, 5}
	for i := range uint64(20) {
		indices = append(indices, 7+i)
	}
	w.asks()
	answers, err := w.EntriesAt(t.Context(), indices)
	if err != nil || len(answers) != 25 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	if asked := w.asks(); len(asked) != 4 { // three, and the shards once
		t.Errorf("asked %q", asked)
	}
	var ids []V1ID
	for i, a := range answers {
		if a.GlobalIndex != indices[i] {
			t.Errorf("answer %d is of entry %d, want %d", i, a.GlobalIndex, indices[i])
		}
		if indices[i] == 37 {
			if a.Entry != nil || !errors.Is(a.Err, fs.ErrNotExist) {
				t.Errorf("an entry that is not there: %+v", a)
			}
			ids = append(ids, V1ID{LeafHash: [32]byte{1}})
			continue
		}
		if a.Err != nil || a.Entry.GlobalIndex != indices[i] {
			t.Errorf("answer %d: %+v", i, a)
			continue
		}
		ids = append(ids, a.Entry.ID())
	}
	byID, err := w.Entries(t.Context(), ids)
	if err != nil || len(byID) != 25 {
		t.Fatalf("%d answers, %v", len(byID), err)
	}
	for i, a := range byID {
		if a.ID != ids[i] || (a.Entry == nil) != (indices[i] == 37) || a.Entry != nil && a.Entry.GlobalIndex != indices[i] {
			t.Errorf("answer %d: %+v", i, a)
		}
	}
}

// shortFetcher makes a client that takes shorter answers than it was told to.
type shortFetcher struct {
	tiles.Fetcher
	atMost int64
}

func (f shortFetcher) Do(ctx context.Context, q fetch.Request) (*fetch.Response, error) {
	q.MaxBytes = min(q.MaxBytes, f.atMost)
	return f.Fetcher.Do(ctx, q)
}

// TestAnswersThatDoNotFitAreAskedForInParts has entries of which only three fit in one answer.
func TestAnswersThatDoNotFitAreAskedForInParts(t *testing.T) {
	w := newV1World(t, 2)
	for i := range 8 {
		w.add(fmt.Appendf(nil, `{"n":%d,"long":"%s"}`, i, strings.Repeat("x", 6<<10)))
	}
	w.o.Fetch = shortFetcher{w.o.Fetch, 30 << 10}
	answers, err := w.EntriesAt(t.Context(), []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		if a.Err != nil || a.Entry.GlobalIndex != uint64(i) {
			t.Errorf("entry %d: %v", i, a.Err)
		}
	}
	tree := w.Tree(uint64(w.trees[0].id))
	var leaves [][]byte
	for at := uint64(0); at < 10; {
		page, err := tree.Page(t.Context(), at, 10)
		if err != nil {
			t.Fatal(err)
		}
		leaves, at = append(leaves, page.Leaves...), at+uint64(len(page.Leaves))
	}
	if !slices.EqualFunc(leaves, w.trees[0].bodies, bytes.Equal) {
		t.Error("other leaves were read than are in the log")
	}
	w.o.Fetch = shortFetcher{w.o.Fetch, 6 << 10}
	if _, err := tree.Page(t.Context(), 4, 10); !tooLarge(err) {
		t.Errorf("an entry that does not fit alone: %v", err)
	}
}

func TestErrorsAreNotAbsence(t *testing.T) {
	w := newV1World(t, 7, 30)
	if _, err := w.Shards(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotImplemented} {
		w.mu.Lock()
		w.status = func(string) int { return status }
		w.mu.Unlock()
		answers, err := w.EntriesAt(t.Context(), []uint64{1, 2})
		_, one := w.EntryAt(t.Context(), 1)
		_, hits, found := w.Search(t.Context(), V1Query{Subject: watchedSAN})
		for _, err := range []error{err, one, found} {
			if got := new(fetch.StatusError); !errors.As(err, &got) || got.Status != status || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%d: %v", status, err)
			}
		}
		if len(answers) != 0 || hits {
			t.Errorf("%d: %+v", status, answers)
		}
	}
}

func TestAnswersThatAreNoneAreErrors(t *testing.T) {
	w := newV1World(t, 3)
	good, err := json.Marshal(w.entry(1))
	if err != nil {
		t.Fatal(err)
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(string(good), "{"), "}")
	for name, raw := range map[string]string{
		"empty": ``, "an empty object": `{}`, "a list": `[` + string(good) + `]`, "two entries": `{` + inner + `,` + strings.Replace(inner, "n", "m", 1) + `}`,
		"one twice": `{` + inner + `,` + inner + `}`, "cut off": string(good[:200]), "followed": string(good) + `x`, "no UUID": `{"abc":{}}`,
		"a UUID with a sign": `{"-` + strings.Repeat("a", 79) + `":{}}`, "a UUID of the wrong length": `{"` + strings.Repeat("a", 79) + `":{}}`,
		"a number for a body": strings.Replace(string(good), `"body":"`, `"body":7,"was":"`, 1), "not base64": strings.Replace(string(good), `"body":"`, `"body":"*`, 1),
		"a name twice":     strings.Replace(string(good), `"logIndex":1,`, `"logIndex":1,"logIndex":1,`, 1),
		"a negative index": strings.Replace(string(good), `"logIndex":1,`, `"logIndex":-1,`, 1), "half an index": strings.Replace(string(good), `"logIndex":1,`, `"logIndex":1.5,`, 1),
		"hashes that are none": strings.Replace(string(good), `"hashes":[`, `"hashes":["zz",`, 1), "numbers for hashes": strings.Replace(string(good), `"hashes":[`, `"hashes":[7,`, 1),
		"hundreds of hashes":  strings.Replace(string(good), `"hashes":[`, `"hashes":[`+strings.Repeat(`"`+strings.Repeat("0", 64)+`",`, 64), 1),
		"nested for ever":     `{"` + w.trees[0].uuid(nil) + `":{"attestation":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}}`,
		"an object of hashes": strings.Replace(string(good), `"hashes":[`, `"hashes":{},"was":[`, 1),
	} {
		if _, err := parseV1Entry([]byte(raw)); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := parseV1Entries[v1Wire]([]byte(`[`+raw+`]`), 1); err == nil && name != "empty" {
			t.Errorf("%s in a list: no error", name)
		}
	}
	if _, err := parseV1Entry(good); err != nil {
		t.Error(err)
	}
	if all, err := parseV1Entries[v1Wire]([]byte(`[`+string(good)+`]`), 1); err != nil || len(all) != 1 {
		t.Errorf("%d, %v", len(all), err)
	}
	if _, err := parseV1Entries[v1Wire]([]byte(`[`+string(good)+`,`+string(good)+`]`), 1); err == nil || !strings.Contains(err.Error(), "more than the 1") {
		t.Errorf("more than asked for: %v", err)
	}
}
