package audit_test

import (
	"crypto"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

const rekorV1 = "rekor-v1"

// second is when an entry of the active shard is integrated: one a second.
func (w *logWorld) second(index uint64) time.Time {
	return w.Now().Add(time.Duration(index) * time.Second)
}

// growV1 grows the active shard to a size, with what is planted.
func (w *logWorld) growV1(t *testing.T, size uint64, plants ...sandbox.RekorPlant) []sandbox.RekorPlanted {
	t.Helper()
	planted, err := w.PlantRekor(size, w.second(w.Rekor.Active().Size()), w.second(size), plants...)
	if err != nil {
		t.Fatal(err)
	}
	return planted
}

// at is something that the project's own workflow signs, at an index of the active shard.
func at(index uint64, change func(*sandbox.Claims)) sandbox.RekorPlant {
	p := onnxClaims(change)
	p.At = index
	return sandbox.RekorPlant{Plant: p}
}

// rekorKey is the key of the world's Rekor v1.
func (f *follower) rekorKey(t *testing.T) crypto.PublicKey {
	t.Helper()
	for _, log := range f.roots.Roots[0].Material.RekorLogs() {
		if strings.HasPrefix(f.world.Rekor.Active().Origin(), strings.TrimPrefix(log.BaseURL, "https://")+" - ") {
			return log.PublicKey
		}
	}
	t.Fatal("the trusted root has no Rekor v1")
	return nil
}

// shards lists the shards of the world's Rekor v1, and keeps what the list contradicts.
func (f *follower) shards(t *testing.T) *audit.ShardList {
	t.Helper()
	store, err := f.record.Rekor1(t.Context(), rekor1Name, f.world.Rekor.URL(), []string{"c0ff"})
	if err != nil {
		t.Fatal(err)
	}
	store.ShardsFollowed = true
	reader := &audit.Rekor1Reader{Clock: f.clock, Logger: slog.New(slog.DiscardHandler)}
	list, err := reader.ListShards(t.Context(), audit.Rekor1Target{Name: rekor1Name, URL: f.world.Rekor.URL(), Keys: []crypto.PublicKey{f.rekorKey(t)}, Fetch: f.client, Store: store})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// store is the record of a shard.
func (f *follower) store(t *testing.T, origin string) *db.Log {
	t.Helper()
	store, err := f.record.Log(t.Context(), db.LogName{Origin: origin, Kind: rekorV1, URL: f.world.Rekor.URL()}, f.watch.Hash())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// shardTargets are the shards as logs: the active one, and those after the past, from zero, and the past ones from their end.
func (f *follower) shardTargets(t *testing.T, list *audit.ShardList) []audit.LogTarget {
	t.Helper()
	inspector := &audit.LeafInspector{Watch: f.watch, Roots: f.roots}
	var targets []audit.LogTarget
	for i := range list.Shards.Shards {
		shard := &list.Shards.Shards[i]
		origin := shard.Checkpoint.Origin
		target := audit.LogTarget{Origin: origin, Kind: rekorV1, URL: f.world.Rekor.URL(), Source: list.Source(shard), Store: f.store(t, origin),
			Scan: rekor.NewScanner(f.watch).Scan, Inspect: audit.GlobalEntries(inspector.Entry, shard), Start: fromZero, BatchEntries: 50}
		if i < 2 {
			target.Start = fromHead
		}
		targets = append(targets, target)
	}
	return targets
}

// followV1 makes one run over the shards; the answer is of those after the past.
func (f *follower) followV1(t *testing.T) ([]audit.LogSummary, *audit.ShardList) {
	t.Helper()
	list := f.shards(t)
	summaries := f.follow(t, f.shardTargets(t, list)...)
	return summaries[2:], list
}

// v1Hits are the proven hits of a shard, by index.
func (f *follower) v1Hits(t *testing.T, origin string) map[uint64]string {
	t.Helper()
	got := map[uint64]string{}
	if err := f.record.Hits(t.Context(), db.HitFilter{Origins: []string{origin}}, func(h audit.HitFacts) error {
		_, workflow, _ := strings.Cut(h.SAN(), "/workflows/")
		got[h.Index] = fmt.Sprintf("%s, global %d", workflow, h.GlobalIndex)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

const knownShard, lyingShard = 200, 300

// shardLies are what a shard of Rekor v1 that was honest up to knownShard and has grown to lyingShard can tell.
var shardLies = []lie{
	{sandbox.MissingLeaf, 220, audit.EntriesMismatch, false, false},
	{sandbox.SwappedLeaves, 250, audit.EntriesMismatch, false, false},
	{sandbox.DuplicatedLeaf, 250, audit.EntriesMismatch, false, false},
	{sandbox.AlteredBody, 250, audit.EntriesMismatch, false, false},
	{sandbox.ForkedTree, 100, audit.LogFork, true, false},
	{sandbox.Rollback, 128, audit.LogRollback, true, false},
	{sandbox.SmallerCheckpoint, 150, "", false, true}, // a server that is behind has no proof to give
	{sandbox.StaleCheckpoint, 0, "", false, false},
	{sandbox.WrongKey, 0, audit.BadCheckpoint, false, false},
	{sandbox.WrongOrigin, 0, audit.BadCheckpoint, false, false},
	{sandbox.WrongProof, 0, "", false, true},
	{sandbox.ShortPage, 220, "", false, false}, // as a replica that lags: what it left out is asked for again
	{sandbox.WithheldEntry, 250, "", false, true},
	{sandbox.WrongGlobalIndex, 250, "", false, true},
	{sandbox.AlteredTime, 250, "", false, false}, // of a page, only bodies are read
	{sandbox.WrongSET, 250, "", false, false},
	{sandbox.TooManyRequests, 3600, "", false, true},
	{sandbox.TooManyRequestsBare, 0, "", false, true},
	{sandbox.OversizedBody, 0, "", false, true},
	{sandbox.GzipBomb, 0, "", false, true},
	{sandbox.TruncatedBundle, 0, "", false, true},
}

// TestEveryLieOfAShardEndsInItsFinding has a shard tell every lie to a follower that knows its honest beginning, and then the
// truth, after which all is read and proven.
func TestEveryLieOfAShardEndsInItsFinding(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, knownShard, at(20, func(*sandbox.Claims) {}))
	first := w.newFollower(t, "")
	first.followV1(t)
	base := first.record.Path()
	if err := first.record.Close(); err != nil {
		t.Fatal(err)
	}
	w.growV1(t, lyingShard, at(250, unexpected))
	shard := w.Rekor.Active()
	truth := map[uint64]string{20: "create_release.yml@refs/heads/rel-1.23.0, global 121904282", 250: "nightly.yml@refs/heads/rel-1.23.0, global 121904512"}
	told := map[sandbox.Lie]bool{sandbox.GrowthAfterFreeze: true, sandbox.SlowLoris: true} // elsewhere
	for _, l := range shardLies {
		told[l.Lie] = true
		t.Run(fmt.Sprintf("%s %d", l.Lie, l.at), func(t *testing.T) {
			f := w.newFollower(t, base)
			mend, err := shard.Tell(l.Lie, l.at)
			if err != nil {
				t.Fatal(err)
			}
			defer mend()
			summaries, list := f.followV1(t)
			got := summaries[0]
			opened := rules(f.findings(t))
			if (got.Trouble != "") != l.unknown || l.rule != "" && !slices.Equal(opened, []string{l.rule}) || l.rule == "" && slices.ContainsFunc(opened, func(r string) bool { return r != audit.UnexpectedIdentity }) {
				t.Errorf("%+v, findings %v; the list: %v", got, opened, list.Problem)
			}
			f.confirmedV1(t)
			mend()
			summaries, _ = f.followV1(t)
			if got := summaries[0]; !l.lasts && (got.Trouble != "" || len(got.Misbehaviours) > 0 || got.Proven != lyingShard) {
				t.Errorf("after it told the truth: %+v", got)
			}
			if diff := cmp.Diff(truth, f.v1Hits(t, shard.Origin())); diff != "" && !l.lasts {
				t.Errorf("hits (- wanted, + got):\n%s", diff)
			}
		})
	}
	for _, l := range shard.Lies() {
		if !told[l] {
			t.Errorf("nobody tells the lie %s", l)
		}
	}
}

// confirmedV1 demands that the evidence of all incidents is confirmed when it is looked at again.
func (f *follower) confirmedV1(t *testing.T) {
	t.Helper()
	keys, err := rekor.NewV1Keys("", f.rekorKey(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range f.findings(t) {
		examinations, err := audit.Examine(finding, audit.Archive{
			Leaf:       func(hash string) ([]byte, error) { return f.record.Leaf(t.Context(), hash) },
			Checkpoint: func(_ string, raw []byte) (tlog.SignedCheckpoint, error) { return keys.Checkpoint(raw) },
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range examinations {
			if x.Evidence.Kind == "log-incident" && !x.Confirmed {
				t.Errorf("%s is not confirmed: %s", finding.Rule, x.Note)
			}
		}
	}
}

// TestShardsArePickedUpAndEnd follows a log through two rotations: what a shard grew by until it ended is nobody's fault, and
// what it grows by afterwards is a finding.
func TestShardsArePickedUpAndEnd(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, 50, at(7, unexpected))
	f := w.newFollower(t, "")
	f.followV1(t)
	w.growV1(t, 80)
	ended := w.Rekor.Active()
	if _, err := w.Rekor.Rotate(0); err != nil {
		t.Fatal(err)
	}
	w.growV1(t, 30, at(29, unexpected))
	summaries, list := f.followV1(t)
	if !list.Summary.Complete() || len(list.Summary.Misbehaviours) > 0 || len(summaries) != 2 || summaries[0].Proven != 80 || summaries[1].Proven != 30 {
		t.Fatalf("%+v, %+v", summaries, list.Summary)
	}
	if diff := cmp.Diff(map[uint64]string{29: "nightly.yml@refs/heads/rel-1.23.0, global 121904371"}, f.v1Hits(t, w.Rekor.Active().Origin())); diff != "" {
		t.Errorf("hits (- wanted, + got):\n%s", diff)
	}
	for range 2 {
		if _, list := f.followV1(t); len(list.Summary.Misbehaviours) > 0 || len(f.findings(t)) != 2 {
			t.Errorf("%+v, %v", list.Summary, rules(f.findings(t)))
		}
	}
	if _, err := ended.Tell(sandbox.GrowthAfterFreeze, 5); err != nil {
		t.Fatal(err)
	}
	if _, list := f.followV1(t); !slices.Equal(list.Summary.Misbehaviours, []string{audit.FrozenLogGrew}) {
		t.Errorf("%+v", list.Summary)
	}
	if diff := cmp.Diff([]string{audit.FrozenLogGrew, audit.UnexpectedIdentity, audit.UnexpectedIdentity}, rules(f.findings(t))); diff != "" {
		t.Error(diff)
	}
	f.confirmedV1(t)
}

// TestOtherShardsInThePlaceOfThoseOfBeforeAreAFinding shows a follower another history of the log, in which it went on in
// another tree. What global indexes mean is not known then.
func TestOtherShardsInThePlaceOfThoseOfBeforeAreAFinding(t *testing.T) {
	var histories [2]*logWorld
	for i, tree := range []int64{76, 77} {
		w := newLogWorld(t)
		w.growV1(t, 50)
		if _, err := w.Rekor.Rotate(tree); err != nil {
			t.Fatal(err)
		}
		w.growV1(t, 5)
		histories[i] = w
	}
	f := histories[0].newFollower(t, "")
	f.followV1(t)
	f.world = histories[1]
	for range 2 {
		summaries, list := f.followV1(t)
		if !slices.Equal(list.Summary.Misbehaviours, []string{audit.BadCheckpoint}) {
			t.Fatalf("%+v", list.Summary)
		}
		// What is followed are the trees of before, as far as they were known.
		if summaries[0].Proven != 50 || summaries[1].Proven != 5 || summaries[1].Origin != histories[0].Rekor.Active().Origin() {
			t.Errorf("%+v", summaries)
		}
		if diff := cmp.Diff([]string{audit.BadCheckpoint}, rules(f.findings(t))); diff != "" {
			t.Error(diff)
		}
		f.confirmedV1(t)
	}
}

// TestAReplicaThatLagsIsGivenTime has every second request be answered by a server that is some entries behind.
func TestAReplicaThatLagsIsGivenTime(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, 90, at(89, unexpected))
	w.Rekor.SetReplicas(0, 3)
	f := w.newFollower(t, "")
	for range 4 {
		summaries, list := f.followV1(t)
		if summaries[0].Trouble != "" || len(summaries[0].Misbehaviours) > 0 || len(list.Summary.Misbehaviours) > 0 {
			t.Errorf("%+v, %+v", summaries[0], list.Summary)
		}
	}
	if got := f.v1Hits(t, w.Rekor.Active().Origin()); len(got) != 1 {
		t.Errorf("hits %v", got)
	}
}

// TestAShardIsTakenUpAtATime starts where the log's signed times say that a moment is, with a margin.
func TestAShardIsTakenUpAtATime(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, 300)
	f := w.newFollower(t, "")
	list := f.shards(t)
	start := audit.StartShardAt(list.Log.Tree(list.Shards.Active().TreeID), w.second(200))
	got, err := start(t.Context(), 300)
	if err != nil || got < 138 || got > 142 {
		t.Errorf("it begins at %d: %v", got, err)
	}
}

// TestAShardThatIsNotKnownToBeTheOneOfBeforeHoldsUpTheNext rotates while the log has no proof to give: what the shard grew by
// before it ended is held against nobody when it has.
func TestAShardThatIsNotKnownToBeTheOneOfBeforeHoldsUpTheNext(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, 50)
	f := w.newFollower(t, "")
	f.followV1(t)
	w.growV1(t, 80)
	ended := w.Rekor.Active()
	if _, err := w.Rekor.Rotate(0); err != nil {
		t.Fatal(err)
	}
	w.growV1(t, 30)
	mend, err := ended.Tell(sandbox.WrongProof, 0)
	if err != nil {
		t.Fatal(err)
	}
	if summaries, list := f.followV1(t); summaries[0].Trouble == "" || list.Summary.Complete() {
		t.Errorf("%+v, %+v", summaries, list.Summary)
	}
	mend()
	for range 2 {
		summaries, list := f.followV1(t)
		if len(list.Summary.Misbehaviours) > 0 || summaries[0].Proven != 80 || summaries[1].Proven != 30 || len(f.findings(t)) != 0 {
			t.Errorf("%+v, %+v, %v", summaries, list.Summary, rules(f.findings(t)))
		}
	}
}

// TestAShardThatWasSeenBeforeIsTakenUpOnlyAsThatTree shows a shard that was listed and not followed with another tree.
func TestAShardThatWasSeenBeforeIsTakenUpOnlyAsThatTree(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, 50)
	f := w.newFollower(t, "")
	f.shards(t)
	w.growV1(t, 90)
	mend, err := w.Rekor.Active().Tell(sandbox.ForkedTree, 20)
	if err != nil {
		t.Fatal(err)
	}
	defer mend()
	_, list := f.followV1(t)
	if !slices.Equal(list.Summary.Misbehaviours, []string{audit.LogFork}) {
		t.Errorf("%+v", list.Summary)
	}
	// It is followed as the tree that was seen, which is not what it gives the entries of.
	if diff := cmp.Diff([]string{audit.EntriesMismatch, audit.LogFork}, rules(f.findings(t))); diff != "" {
		t.Error(diff)
	}
	f.confirmedV1(t)
}
