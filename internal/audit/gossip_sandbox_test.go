package audit_test

import (
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// gossipMonitor is a monitor that follows a Rekor v2 whose checkpoints bundles carry.
type gossipMonitor struct {
	*rekor1Monitor
	client *fetch.Client
	files  int
}

func newGossipMonitor(t *testing.T) *gossipMonitor {
	t.Helper()
	c := clock.NewSimulated(start)
	w, err := sandbox.New(sandbox.Options{Seed: 9, Now: c.Now, TrustLogs: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	if err := emptyProjects(w); err != nil {
		t.Fatal(err)
	}
	client := fetch.New(fetch.Options{Clock: c, Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}}, MaxAttempts: 1, Timeout: 10 * time.Second})
	t.Cleanup(client.Close)
	return &gossipMonitor{rekor1Monitor: watchRekor1(t, w, c), client: client}
}

// tiled opens the record and the source of the shard.
func (m *gossipMonitor) tiled(t *testing.T) (*db.Log, tlog.Source) {
	t.Helper()
	shard := m.world.Rekor2
	for _, log := range m.roots.Roots[0].Material.RekorLogs() {
		if log.BaseURL != "https://"+shard.Origin() {
			continue
		}
		store, err := m.record.Log(t.Context(), db.LogName{Origin: shard.Origin(), Kind: rekorV2, KeyID: hex.EncodeToString(log.ID), URL: shard.URL()}, m.watch.Hash())
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := tlog.NewTiledVerifier(shard.Origin(), log.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		source, err := rekor.NewTileLog(rekor.Options{URL: shard.URL(), Origin: shard.Origin(), Verifier: verifier, Fetch: m.client})
		if err != nil {
			t.Fatal(err)
		}
		return store, source
	}
	t.Fatal("the trusted root does not name the shard")
	return nil, nil
}

// followShard makes a run over the shard.
func (m *gossipMonitor) followShard(t *testing.T) {
	t.Helper()
	store, source := m.tiled(t)
	inspector := &audit.LeafInspector{Watch: m.watch, Roots: m.roots}
	run := &audit.LogFollower{Clock: m.clock, Logger: slog.New(slog.DiscardHandler)}
	summaries, err := run.Follow(t.Context(), []audit.LogTarget{{Origin: m.world.Rekor2.Origin(), Kind: rekorV2, URL: m.world.Rekor2.URL(), Source: source, Store: store,
		Start: fromHead, Scan: rekor.NewScanner(m.watch).Scan, Inspect: inspector.Entry}})
	if err != nil || summaries[0].Trouble != "" || len(summaries[0].Misbehaviours) > 0 {
		t.Fatal(err, summaries)
	}
}

// hear relates what bundles carry of the shard, and judges what came of it.
func (m *gossipMonitor) hear(t *testing.T) audit.GossipSummary {
	t.Helper()
	store, source := m.tiled(t)
	target := audit.GossipTarget{Origin: m.world.Rekor2.Origin(), Source: source, Store: store}
	summaries, err := (&audit.Gossiper{Clock: m.clock, Logger: slog.New(slog.DiscardHandler)}).Relate(t.Context(), []audit.GossipTarget{target})
	if err != nil {
		t.Fatal(err)
	}
	m.settle(t)
	return append(summaries, audit.GossipSummary{})[0]
}

// bundle publishes a file whose attestation is logged by Rekor v1, and by a tree of the Rekor v2 shard too.
func (m *gossipMonitor) bundle(t *testing.T, tree *sandbox.Rekor2) {
	t.Helper()
	m.files++
	s := m.sign(t, sandbox.ReleaseClaims("1.23.0"), m.ago(day))
	filename := "onnx-1.23.0-" + strings.Repeat("1", m.files) + "-cp312-abi3-win_amd64.whl"
	a := m.attest(t, s, filename)
	e, err := tree.Log(a)
	if err != nil {
		t.Fatal(err)
	}
	a.Entries = append(a.Entries, e)
	m.upload(t, s, filename, a)
	m.pass(t)
}

// grow adds entries of strangers to a tree.
func grow(t *testing.T, tree *sandbox.Rekor2, to uint64) {
	t.Helper()
	if err := tree.AddNoise(int(to - tree.Size())); err != nil {
		t.Fatal(err)
	}
}

// TestCheckpointsOfBundlesAreRelatedToTheTreeOfTheirLog has the tree be larger than the bundle's, as large, and smaller; sizes
// are those whose proofs differ in form.
func TestCheckpointsOfBundlesAreRelatedToTheTreeOfTheirLog(t *testing.T) {
	t.Parallel()
	sizes := []uint64{1, 2, 7, 8, 255, 256, 257}
	if raceDetector {
		sizes = []uint64{7}
	}
	for _, size := range sizes {
		for name, held := range map[string]uint64{"a larger tree": size + 5, "the same tree": size, "a smaller tree": max(size-3, 1)} {
			m := newGossipMonitor(t)
			early := held < size
			if early {
				grow(t, m.world.Rekor2, held)
				m.followShard(t)
			}
			grow(t, m.world.Rekor2, size-1)
			m.bundle(t, m.world.Rekor2)
			if !early {
				grow(t, m.world.Rekor2, held)
				m.followShard(t)
			}
			if s := m.hear(t); s.Related != 1 || !s.Complete() || len(s.Misbehaviours) > 0 {
				t.Errorf("size %d, %s: %+v", size, name, s)
			}
			// Once is enough.
			m.world.Rekor2.ForgetRequests()
			m.clock.Advance(30 * day)
			if s := m.hear(t); s.Related != 0 || len(m.world.Rekor2.Requests()) > 0 {
				t.Errorf("size %d, %s: asked again: %+v", size, name, m.world.Rekor2.Requests())
			}
			if found := m.open(t); len(found) > 0 {
				t.Errorf("size %d, %s: findings: %v", size, name, rules(found))
			}
		}
	}
}

// TestASplitViewOfATiledLogIsFoundByGossip has a bundle's checkpoint contradict the tree that the log shows: of a tree that
// nobody else sees, and of the true one where it is the monitor who is lied to.
func TestASplitViewOfATiledLogIsFoundByGossip(t *testing.T) {
	t.Parallel()
	// bundled has a bundle carry the checkpoint of another tree of one size, and the log be followed at another.
	bundled := func(at, followed uint64) func(t *testing.T, m *gossipMonitor) {
		return func(t *testing.T, m *gossipMonitor) {
			grow(t, m.world.Rekor2, at)
			branch, err := m.world.Rekor2.Branch(at)
			if err != nil {
				t.Fatal(err)
			}
			m.bundle(t, branch)
			grow(t, m.world.Rekor2, followed)
			m.followShard(t)
		}
	}
	lies := map[string]func(t *testing.T, m *gossipMonitor){
		"the bundle's tree is smaller":         bundled(20, 40),
		"the bundle's tree is a whole subtree": bundled(31, 40),
		"the bundle's tree is as large":        bundled(20, 21),
		"the bundle's tree is larger, until the log's is": func(t *testing.T, m *gossipMonitor) {
			grow(t, m.world.Rekor2, 20)
			branch, err := m.world.Rekor2.Branch(20)
			if err != nil {
				t.Fatal(err)
			}
			grow(t, branch, 29)
			m.bundle(t, branch)
			m.followShard(t)
			// The log has no proof between the two, and what no proof shows is not known.
			if s := m.hear(t); s.Related != 0 || len(s.Misbehaviours) > 0 || len(s.Troubles) != 1 {
				t.Errorf("%+v", s)
			}
			if found := m.open(t); len(found) > 0 {
				t.Errorf("findings: %v", rules(found))
			}
			grow(t, m.world.Rekor2, 60)
			m.clock.Advance(time.Hour)
			m.followShard(t)
		},
		"the monitor is lied to": func(t *testing.T, m *gossipMonitor) {
			grow(t, m.world.Rekor2, 20)
			m.bundle(t, m.world.Rekor2)
			grow(t, m.world.Rekor2, 40)
			if _, err := m.world.Rekor2.Tell(sandbox.ForkedTree, 7); err != nil {
				t.Fatal(err)
			}
			m.followShard(t)
		},
	}
	for name, tell := range lies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newGossipMonitor(t)
			tell(t, m)
			if s := m.hear(t); !slices.Equal(s.Misbehaviours, []string{audit.SplitView}) || s.Related != 0 || !s.Complete() {
				t.Errorf("%+v", s)
			}
			found := m.open(t)
			if len(found) != 1 || found[0].Rule != audit.SplitView || found[0].Severity != audit.Critical || found[0].LogOrigin != m.world.Rekor2.Origin() ||
				!strings.Contains(found[0].Summary, "onnx-1.23.0-1-cp312-abi3-win_amd64.whl") {
				t.Fatalf("findings: %+v", found)
			}
			m.world.Rekor2.ForgetRequests()
			m.clock.Advance(30 * day)
			if s := m.hear(t); len(m.world.Rekor2.Requests()) > 0 || len(s.Misbehaviours) > 0 {
				t.Errorf("asked again: %+v", s)
			}
			if found := m.open(t); len(found) != 1 {
				t.Errorf("findings: %v", rules(found))
			}
		})
	}
}

// TestGossipThatNoProofDecidesStaysUnknown has the log give tiles that fit no root, and no tiles at all: that is no evidence,
// for as long as it lasts, and what is not known for long is said.
func TestGossipThatNoProofDecidesStaysUnknown(t *testing.T) {
	t.Parallel()
	for name, hinder := range map[string]func(*sandbox.World) (func(), error){
		"false tiles": func(w *sandbox.World) (func(), error) { return w.Rekor2.Tell(sandbox.WrongProof, 0) },
		"no tiles": func(w *sandbox.World) (func(), error) {
			return w.Rekor2.Break(sandbox.Fault{Path: "/api/v2/tile/*", Status: 503}), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newGossipMonitor(t)
			grow(t, m.world.Rekor2, 20)
			m.bundle(t, m.world.Rekor2)
			grow(t, m.world.Rekor2, 40)
			m.followShard(t)
			mend, err := hinder(m.world)
			if err != nil {
				t.Fatal(err)
			}
			if s := m.hear(t); len(s.Troubles) != 1 || s.Related != 0 || len(s.Misbehaviours) > 0 {
				t.Errorf("%+v", s)
			}
			if found := m.open(t); len(found) > 0 {
				t.Errorf("findings: %v", rules(found))
			}
			m.clock.Advance(beyondEveryGrace)
			m.hear(t)
			if got := rules(m.open(t)); !slices.Equal(got, []string{audit.SourceUnreachable}) {
				t.Errorf("findings: %v", got)
			}
			mend()
			m.clock.Advance(beyondEveryGrace)
			if s := m.hear(t); s.Related != 1 || !s.Complete() {
				t.Errorf("%+v", s)
			}
			if found := m.open(t); len(found) > 0 {
				t.Errorf("findings: %v", rules(found))
			}
		})
	}
}

// TestGossipWaitsForItsLogToBeRead has a bundle come before anything of its log is known.
func TestGossipWaitsForItsLogToBeRead(t *testing.T) {
	t.Parallel()
	m := newGossipMonitor(t)
	m.bundle(t, m.world.Rekor2)
	if s := m.hear(t); len(s.Troubles) != 1 || !strings.Contains(s.Troubles[0], "nothing of the log has been read yet") {
		t.Errorf("%+v", s)
	}
	m.followShard(t)
	m.clock.Advance(time.Hour)
	if s := m.hear(t); s.Related != 1 || !s.Complete() {
		t.Errorf("%+v", s)
	}
}

// TestATreeThatTheLogDoesNotListIsABadCheckpoint has Rekor v1 sign a tree for a publisher that it shows to nobody: a replica that
// is behind does not know the newest shard either, so that it has to be missing for a while.
func TestATreeThatTheLogDoesNotListIsABadCheckpoint(t *testing.T) {
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.22.0", m.ago(90*day))
	s := m.sign(t, sandbox.ReleaseClaims("1.23.0"), m.ago(day))
	filename := "onnx-1.23.0-cp312-abi3-win_amd64.whl"
	a := m.attest(t, s, filename)
	e, err := m.world.Rekor.Unlisted(4242).Log(a, s.at.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	a.Entries = append(a.Entries, e)
	m.upload(t, s, filename, a)
	if got := m.all(t); len(got.Misbehaviours) > 0 || !slices.ContainsFunc(got.Troubles, func(text string) bool { return strings.Contains(text, "that it does not list") }) {
		t.Errorf("%+v", got)
	}
	m.clock.Advance(2 * time.Hour)
	if got := m.all(t); !slices.Contains(got.Misbehaviours, audit.BadCheckpoint) {
		t.Errorf("%+v", got)
	}
	about := func() (found []audit.Finding) {
		for _, f := range m.open(t) {
			if f.Rule == audit.BadCheckpoint {
				found = append(found, f)
			}
		}
		return found
	}
	found := about()
	if len(found) != 1 || found[0].LogOrigin != rekor1Name || !strings.Contains(found[0].Summary, `signed a tree "rekor.sandbox.example - 4242" that it does not list; the bundle of entry 0, of `+filename) {
		t.Fatalf("findings: %+v", found)
	}
	m.confirmed(t, found)
	// A good list does not take it back, and a day later it is still the same.
	for _, wait := range []time.Duration{time.Minute, 25 * time.Hour} {
		m.clock.Advance(wait)
		m.all(t)
		if again := about(); len(again) != 1 || again[0].ID != found[0].ID {
			t.Errorf("after %s: %+v", wait, again)
		}
	}
}
