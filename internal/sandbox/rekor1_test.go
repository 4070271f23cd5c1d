package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/rekor/pkg/client"
	"github.com/sigstore/rekor/pkg/generated/client/entries"
	"github.com/sigstore/rekor/pkg/generated/client/pubkey"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/util"
	rekorverify "github.com/sigstore/rekor/pkg/verify"
)

// shardStart is the global index of the active shard's first entry, as in Sigstore's own log.
const shardStart = 121904262

func TestEveryShardIsProvenByRekorsOwnClient(t *testing.T) {
	w := startedWorld(t)
	r := newRekorReader(t, w.Rekor)
	info, checkpoints, err := r.info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	total := *info.TreeSize
	var ids []string
	for _, s := range info.InactiveShards {
		ids = append(ids, fmt.Sprint(*s.TreeID, " ", *s.TreeSize))
		total += *s.TreeSize
	}
	if got := fmt.Sprint(ids); got != "[3904496407287907111 4163431 2605736670972794747 117740831]" {
		t.Errorf("frozen shards %s", got)
	}
	if total != shardStart+w.Rekor.Size() {
		t.Errorf("%d entries in all", total)
	}
	for _, c := range []struct{ global, treeID, offset int64 }{
		{0, 3904496407287907111, 0},
		{4163430, 3904496407287907111, 0},
		{4163431, 2605736670972794747, 4163431},
		{60000000, 2605736670972794747, 4163431},
		{121904261, 2605736670972794747, 4163431},
		{121904262, 1193050959916656507, 121904262},
	} {
		answer, err := r.retrieve(t.Context(), c.global)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.prove(t.Context(), answer[c.global], c.treeID, c.offset); err != nil {
			t.Errorf("entry %d: %v", c.global, err)
		}
		params := pubkey.NewGetPublicKeyParams()
		id := fmt.Sprint(c.treeID)
		params.TreeID = &id
		key, err := r.client.Pubkey.GetPublicKey(params)
		if err != nil || key.Payload != string(w.Rekor.PublicKeyPEM()) {
			t.Errorf("the key of shard %s: %v", id, err)
		}
	}
	// The frozen trees too are consistent with what they were.
	for id, c := range checkpoints {
		one := &util.SignedCheckpoint{}
		one.Size = c.Size/2 + 1
		for _, s := range w.Rekor.Shards() {
			if fmt.Sprint(s.TreeID()) == id {
				one.Hash, err = s.Root(one.Size)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := rekorverify.ProveConsistency(t.Context(), r.client, one, c, id); err != nil {
			t.Errorf("tree %s: %v", id, err)
		}
	}
}

func TestARotationKeepsEveryEntryItsName(t *testing.T) {
	w := startedWorld(t)
	r := newRekorReader(t, w.Rekor)
	old := w.Rekor.Active()
	a := attested(t, w)
	if err := w.Rekor.AddNoise(20, signedAt); err != nil {
		t.Fatal(err)
	}
	size := w.Rekor.Size()
	uuid, err := w.Rekor.UUID(a.Entries[0].LogIndex)
	if err != nil {
		t.Fatal(err)
	}
	next, err := w.Rekor.Rotate(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Add([]byte(`{"apiVersion":"0.0.1","kind":"hashedrekord"}`), time.Time{}); err == nil {
		t.Error("the frozen shard takes an entry")
	}
	if _, err := w.Rekor.Rotate(old.TreeID()); err == nil {
		t.Error("two shards of one tree id")
	}
	// An empty shard is one: the real server has it so too, although its own model wants a size of one at least.
	if _, _, err := r.info(t.Context()); err == nil || !strings.Contains(err.Error(), "treeSize") {
		t.Errorf("an empty shard: %v", err)
	}
	if err := w.Rekor.AddNoise(15, signedAt); err != nil {
		t.Fatal(err)
	}
	later := attested(t, w)
	info, _, err := r.info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(info.InactiveShards); n != 3 || *info.InactiveShards[2].TreeID != "1193050959916656507" || *info.InactiveShards[2].TreeSize != size {
		t.Errorf("%d frozen shards, the last %+v", n, info.InactiveShards[n-1])
	}
	if *info.TreeID != fmt.Sprint(next.TreeID()) || next.Offset() != shardStart+size {
		t.Errorf("the active shard is %s, from %d", *info.TreeID, next.Offset())
	}
	for _, c := range []struct {
		global int64
		shard  *RekorShard
	}{{a.Entries[0].LogIndex, old}, {shardStart + size - 1, old}, {shardStart + size, next}, {later.Entries[0].LogIndex, next}} {
		answer, err := r.retrieve(t.Context(), c.global)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.prove(t.Context(), answer[c.global], c.shard.TreeID(), c.shard.Offset()); err != nil {
			t.Errorf("entry %d: %v", c.global, err)
		}
	}
	for _, name := range []string{uuid, uuid[16:], strings.ToUpper(uuid)} {
		params := entries.NewGetLogEntryByUUIDParams()
		params.EntryUUID = name
		answer, err := r.client.Entries.GetLogEntryByUUID(params)
		if err != nil {
			t.Errorf("by %s: %v", name, err)
			continue
		}
		if e, ok := answer.Payload[uuid]; !ok || *e.LogIndex != a.Entries[0].LogIndex {
			t.Errorf("by %s: %v", name, answer.Payload)
		}
	}
	for _, s := range []*RekorShard{old, next} {
		if err := rekorJudge(r, s).check(t.Context()); err != nil {
			t.Errorf("%s: %v", s.Origin(), err)
		}
	}
	if again, err := newWorld(t).Rekor.Rotate(0); err != nil || again.TreeID() != next.TreeID() {
		t.Errorf("the next tree id is %d, and was %d: %v", again.TreeID(), next.TreeID(), err)
	}
}

func TestBareUUIDsAreLookedForInEveryShard(t *testing.T) {
	w := startedWorld(t)
	body, err := w.Rekor.noise("the same entry")
	if err != nil {
		t.Fatal(err)
	}
	one, err := w.Rekor.Add(body, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Rekor.Rotate(0); err != nil {
		t.Fatal(err)
	}
	other, err := w.Rekor.Add(body, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	uuid, err := w.Rekor.UUID(one.LogIndex)
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string][]int64{
		`{"entryUUIDs":["` + uuid[16:] + `"]}`: {other.LogIndex, one.LogIndex},
		// UUIDs with a tree id come first, then bare ones, then indices.
		fmt.Sprintf(`{"logIndexes":[0],"entryUUIDs":[%q,%q]}`, uuid[16:], uuid): {one.LogIndex, other.LogIndex, one.LogIndex, 0},
	} {
		if got := postRetrieve(t, w, query); !slices.Equal(got, want) {
			t.Errorf("%s: entries %v, want %v", query, got, want)
		}
	}
}

// postRetrieve gives the global indices of an answer, in its order.
func postRetrieve(t *testing.T, w *World, query string) []int64 {
	t.Helper()
	status, body := post(t, w.Rekor.URL()+"/api/v1/log/entries/retrieve", query)
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	var answer []map[string]struct{ LogIndex int64 }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	var indices []int64
	for _, one := range answer {
		for _, e := range one {
			indices = append(indices, e.LogIndex)
		}
	}
	return indices
}

func post(t *testing.T, url, body string) (int, []byte) {
	t.Helper()
	defer http.DefaultClient.CloseIdleConnections()
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, raw
}

func TestRefusalsHaveTheRealServersForm(t *testing.T) {
	w := startedWorld(t)
	for request, want := range map[string]string{
		`{"logIndexes":[]}`:    `{"code":612,"message":"logIndexes in body should have at least 1 items"}`,
		`{"logIndexes":[-1]}`:  `{"code":609,"message":"logIndexes.0 in body should be greater than or equal to 0"}`,
		`{"entryUUIDs":["x"]}`: `{"code":605,"message":"entryUUIDs.0 in body should match '^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$'"}`,
		`{"logIndexes":[1,2,3,4,5,6],"entryUUIDs":["` + strings.Repeat(strings.Repeat("0", 64)+`","`, 4) + strings.Repeat("0", 64) + `"]}`: `{"code":422,"message":"more than max allowed 10 entries in request"}`,
	} {
		if status, body := post(t, w.Rekor.URL()+"/api/v1/log/entries/retrieve", request); status != 422 || string(body) != want {
			t.Errorf("%s: status %d, %s", request, status, body)
		}
	}
	response, err := http.Get(w.Rekor.URL() + "/api/v1/log/entries?logIndex=999999999")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || len(body) > 0 || response.Header.Get("Content-Type") != "" {
		t.Errorf("an entry that is not there: %q of type %q, %v", body, response.Header.Get("Content-Type"), err)
	}
}

func TestSignaturesAreMadeAnewAndVerify(t *testing.T) {
	w := startedWorld(t)
	a := attested(t, w)
	r := newRekorReader(t, w.Rekor)
	seen := map[string]bool{}
	for range 4 {
		answer, err := r.retrieve(t.Context(), a.Entries[0].LogIndex)
		if err != nil {
			t.Fatal(err)
		}
		one := answer[a.Entries[0].LogIndex]
		if _, err := r.prove(t.Context(), one, 1193050959916656507, shardStart); err != nil {
			t.Error(err)
		}
		for _, e := range one {
			seen[string(e.Verification.SignedEntryTimestamp)] = true
			seen[*e.Verification.InclusionProof.Checkpoint] = true
		}
	}
	if len(seen) != 4 || !seen[string(a.Entries[0].SET)] {
		t.Errorf("%d signatures of two things, the bundle's among them: %v", len(seen), seen[string(a.Entries[0].SET)])
	}
}

func TestReplicasAreAtDifferentHeights(t *testing.T) {
	w := startedWorld(t)
	if err := w.Rekor.AddNoise(95, signedAt); err != nil {
		t.Fatal(err)
	}
	w.Rekor.SetReplicas(0, 30)
	r := newRekorReader(t, w.Rekor)
	sizes := map[int64]*util.SignedCheckpoint{}
	frozen := map[string]bool{}
	for range 6 {
		info, checkpoints, err := r.info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sizes[*info.TreeSize] = checkpoints[*info.TreeID]
		frozen[*info.InactiveShards[0].SignedTreeHead] = true
	}
	if len(sizes) != 2 || sizes[100] == nil || sizes[70] == nil || len(frozen) != 2 {
		t.Fatalf("sizes %v, and %d checkpoints of a frozen shard", sizes, len(frozen))
	}
	found, missing := 0, 0
	for range 4 {
		answer, err := r.retrieve(t.Context(), shardStart+80)
		switch {
		case err != nil:
			t.Fatal(err)
		case len(answer) == 0:
			missing++
		default:
			found++
		}
	}
	if found != 2 || missing != 2 {
		t.Errorf("an entry that one replica has is found %d times and missing %d times", found, missing)
	}
	proven, refused := 0, 0
	for range 4 {
		err := rekorverify.ProveConsistency(t.Context(), r.client, sizes[70], sizes[100], "1193050959916656507")
		switch {
		case err == nil:
			proven++
		case strings.Contains(err.Error(), "greater than what is currently observable(70)"):
			refused++
		default:
			t.Error(err)
		}
	}
	if proven != 2 || refused != 2 {
		t.Errorf("proven %d times, refused %d times", proven, refused)
	}
}

func TestBudgetRefusesWhatExceedsAMinute(t *testing.T) {
	at := today
	w, err := New(Options{Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	get := func() *http.Response {
		recorder := httptest.NewRecorder()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/log", nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Rekor.Handler().ServeHTTP(recorder, request)
		return recorder.Result()
	}
	w.Rekor.SetBudget(3, "20")
	for range 2 {
		for range 3 {
			if got := get(); got.StatusCode != 200 {
				t.Errorf("within the budget: %s", got.Status)
			}
		}
		got := get()
		body, err := io.ReadAll(got.Body)
		if err != nil || got.StatusCode != 429 || got.Header.Get("Retry-After") != "20" || got.Header.Get("Content-Type") != "text/html" || !bytes.HasPrefix(body, []byte("<html>")) {
			t.Errorf("past it: %s, %v, %s", got.Status, got.Header, body)
		}
		at = at.Add(time.Minute)
	}
	w.Rekor.SetBudget(0, "")
	for range 10 {
		if got := get(); got.StatusCode != 200 {
			t.Errorf("without one: %s", got.Status)
		}
	}
	w.Rekor.SetBudget(1, "")
	get()
	if got := get(); got.StatusCode != 429 || len(got.Header.Values("Retry-After")) != 0 {
		t.Errorf("without a Retry-After: %s, %v", got.Status, got.Header)
	}
}

func TestLatencyHoldsEveryRequest(t *testing.T) {
	w := startedWorld(t)
	r := newRekorReader(t, w.Rekor)
	let, waiting := make(chan struct{}), make(chan struct{})
	w.Rekor.SetLatency(func(ctx context.Context) error {
		waiting <- struct{}{}
		select {
		case <-let:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	got := make(chan error)
	go func() {
		_, _, err := r.info(t.Context())
		got <- err
	}()
	<-waiting
	let <- struct{}{}
	if err := <-got; err != nil {
		t.Error(err)
	}
	w.Rekor.SetLatency(func(context.Context) error { return errors.New("no more") })
	if _, _, err := r.info(t.Context()); err == nil {
		t.Error("an answer that nobody waited for")
	}
}

func TestPageLimitIsTheServers(t *testing.T) {
	w := startedWorld(t)
	r := newRekorReader(t, w.Rekor)
	if answer, err := r.retrieve(t.Context(), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9); err != nil || len(answer) != 10 {
		t.Errorf("%d entries, %v", len(answer), err)
	}
	w.Rekor.SetPageLimit(3)
	if answer, err := r.retrieve(t.Context(), 0, 1, 2); err != nil || len(answer) != 3 {
		t.Errorf("%d entries, %v", len(answer), err)
	}
	if _, err := r.retrieve(t.Context(), 0, 1, 2, 3); err == nil {
		t.Error("four entries of three")
	}
}

func TestASplitViewShowsEachItsOwnTree(t *testing.T) {
	w := startedWorld(t)
	if err := w.Rekor.AddNoise(25, signedAt); err != nil {
		t.Fatal(err)
	}
	branch, err := w.Rekor.Branch(20)
	if err != nil {
		t.Fatal(err)
	}
	a := attested(t, w)
	victim, err := branch.Log(a, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Rekor.AddNoise(10, signedAt); err != nil {
		t.Fatal(err)
	}
	stop := w.Rekor.Show(branch, func(q *http.Request) bool { return q.UserAgent() == "victim" })
	honest, shown := newRekorReader(t, w.Rekor), newRekorReader(t, w.Rekor, client.WithUserAgent("victim"))

	// The bundle that is made of the branch verifies, and so do its entry and its tree, for those who are shown it.
	forged := *a
	forged.Entries = []Entry{victim}
	if err := newJudge(t, w).bundle(&forged, wheel.SHA256); err != nil {
		t.Errorf("the victim's bundle: %v", err)
	}
	if err := rekorJudge(shown, branch).check(t.Context()); err != nil {
		t.Errorf("the victim's view: %v", err)
	}
	if err := rekorJudge(honest, w.Rekor.Active()).check(t.Context()); err != nil {
		t.Errorf("the honest view: %v", err)
	}
	var c util.SignedCheckpoint
	if err := c.UnmarshalText([]byte(victim.Checkpoint)); err != nil {
		t.Fatal(err)
	}
	_, checkpoints, err := honest.info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := rekorverify.ProveConsistency(t.Context(), honest.client, &c, checkpoints["1193050959916656507"], "1193050959916656507"); err == nil {
		t.Error("the victim's checkpoint is consistent with the tree of the others")
	}
	stop()
	if err := rekorJudge(shown, w.Rekor.Active()).check(t.Context()); err != nil {
		t.Errorf("the victim's view afterwards: %v", err)
	}
	if _, err := w.Rekor.Branch(1000); err == nil {
		t.Error("a branch of what is not there")
	}
}

func TestReadersProveALogThatGrowsAndRotates(t *testing.T) {
	w := startedWorld(t)
	r := newRekorReader(t, w.Rekor)
	grown := make(chan error)
	go func() {
		var err error
		for i := 0; i < 60 && err == nil; i++ {
			if err = w.Rekor.AddNoise(3, signedAt); err == nil && i%20 == 10 {
				_, err = w.Rekor.Rotate(0)
			}
			if err == nil {
				_, err = w.Rekor.Add(fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"none","spec":%d}`, i), signedAt)
			}
		}
		grown <- err
	}()
	for done := false; !done; {
		select {
		case err := <-grown:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
		}
		answer, err := r.retrieve(t.Context(), shardStart, shardStart+4, 7)
		if err != nil || len(answer) != 3 {
			t.Fatalf("%d entries, %v", len(answer), err)
		}
		for global, offset := range map[int64]int64{shardStart: shardStart, shardStart + 4: shardStart, 7: 0} {
			treeID := map[int64]int64{shardStart: 1193050959916656507, 0: 3904496407287907111}[offset]
			if _, err := r.prove(t.Context(), answer[global], treeID, offset); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.search(t.Context(), &models.SearchIndex{Hash: wheel.SHA256}); err != nil {
			t.Fatal(err)
		}
	}
	var total uint64
	for _, s := range w.Rekor.Shards()[2:] {
		if err := rekorJudge(r, s).check(t.Context()); err != nil {
			t.Errorf("%s: %v", s.Origin(), err)
		}
		total += s.Size()
	}
	if total != 5+60*4 {
		t.Errorf("%d entries", total)
	}
}
