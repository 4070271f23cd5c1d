package audit_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// rekor1Lie is told by the active shard after its first release was read, about that of the second, which a bundle names.
type rekor1Lie struct {
	sandbox.Lie
	// at is what the lie is about, given the indices of the two releases' entries in the shard.
	at func(first, second uint64) uint64
	// finding is what it ends in after two passes; "" for none but that it is not known.
	finding string
	// lasts says that the log cannot take it back.
	lasts bool
	// quiet says that nothing is unknown for it either.
	quiet bool
}

// rekor1Lies are those that are told about a shard as it is; those about its end have a test of their own.
func rekor1Lies() []rekor1Lie {
	none := func(uint64, uint64) uint64 { return 0 }
	first := func(first, _ uint64) uint64 { return first }
	second := func(_, second uint64) uint64 { return second }
	return []rekor1Lie{
		{Lie: sandbox.ShortPage, at: second, finding: audit.UnloggedAttestation},
		{Lie: sandbox.MissingLeaf, at: second},
		{Lie: sandbox.SwappedLeaves, at: second},
		{Lie: sandbox.DuplicatedLeaf, at: first},
		{Lie: sandbox.ForkedTree, at: first, finding: audit.LogFork, lasts: true},
		// The tree that is no more cannot be proven to have been another.
		{Lie: sandbox.Rollback, at: first},
		{Lie: sandbox.SmallerCheckpoint, at: first},
		{Lie: sandbox.StaleCheckpoint, at: none, quiet: true},
		{Lie: sandbox.WrongKey, at: none, finding: audit.BadCheckpoint},
		{Lie: sandbox.WrongOrigin, at: none, finding: audit.BadCheckpoint},
		{Lie: sandbox.WrongProof, at: none},
		{Lie: sandbox.TooManyRequests, at: func(uint64, uint64) uint64 { return 3600 }},
		{Lie: sandbox.TooManyRequestsBare, at: none},
		{Lie: sandbox.OversizedBody, at: none},
		{Lie: sandbox.GzipBomb, at: none},
		{Lie: sandbox.TruncatedBundle, at: none},
		{Lie: sandbox.WithheldEntry, at: second, finding: audit.UnloggedAttestation},
		{Lie: sandbox.AlteredBody, at: second},
		{Lie: sandbox.AlteredTime, at: second, finding: audit.UnloggedAttestation},
		{Lie: sandbox.WrongGlobalIndex, at: second, finding: audit.UnloggedAttestation},
		{Lie: sandbox.WrongSET, at: second},
	}
}

// TestEveryLieOfARekor1EndsInItsFinding has the log tell every lie to a monitor that knows its honest beginning. What is
// unknown for it opens nothing but that the source is unreachable; once the log tells the truth, nothing is open but what it
// cannot take back.
func TestEveryLieOfARekor1EndsInItsFinding(t *testing.T) {
	t.Parallel()
	told := map[sandbox.Lie]bool{sandbox.GrowthAfterFreeze: true, sandbox.SlowLoris: true} // elsewhere
	for _, l := range rekor1Lies() {
		told[l.Lie] = true
		t.Run(string(l.Lie), func(t *testing.T) {
			t.Parallel()
			l.tell(t)
		})
	}
	m := newRekor1World(t)
	for _, l := range m.world.Rekor.Active().Lies() {
		if !told[l] {
			t.Errorf("nobody tells the lie %s", l)
		}
	}
}

func (l rekor1Lie) tell(t *testing.T) {
	m := newRekor1World(t)
	_, a := m.release(t, "1.22.0", m.ago(90*day))
	if err := m.world.Rekor.AddNoise(5, m.world.Now()); err != nil {
		t.Fatal(err)
	}
	m.complete(t)
	_, b := m.release(t, "1.23.0", m.ago(20*day))
	if err := m.world.Rekor.AddNoise(5, m.world.Now()); err != nil {
		t.Fatal(err)
	}
	mend, err := m.world.Rekor.Active().Tell(l.Lie, l.at(uint64(a.Entries[0].TreeIndex), uint64(b.Entries[0].TreeIndex)))
	if err != nil {
		t.Fatal(err)
	}
	unknown := false
	for range 2 {
		m.clock.Advance(6 * time.Hour)
		unknown = len(m.all(t).Troubles) > 0 || unknown
	}
	found := m.open(t)
	others := slices.DeleteFunc(slices.Clone(found), func(f audit.Finding) bool { return f.Rule == audit.SourceUnreachable })
	if l.finding == "" && len(others) > 0 || l.finding != "" && (len(others) == 0 || slices.ContainsFunc(others, func(f audit.Finding) bool { return f.Rule != l.finding })) {
		t.Errorf("findings: %v", rules(found))
	}
	if l.finding == "" && unknown == l.quiet {
		t.Errorf("unknown: %t", unknown)
	}
	for _, f := range others {
		if l.Lie == sandbox.AlteredTime || f.Rule != audit.UnloggedAttestation {
			m.confirmed(t, []audit.Finding{f})
		}
	}
	mend()
	for range 3 {
		m.clock.Advance(25 * time.Hour)
		if err := m.world.Rekor.AddNoise(1, m.world.Now()); err != nil {
			t.Fatal(err)
		}
		m.all(t)
	}
	found = m.open(t)
	switch {
	case l.lasts && (len(found) != 1 || found[0].Rule != l.finding):
		t.Errorf("findings once it tells the truth: %v", rules(found))
	case !l.lasts && len(found) > 0:
		t.Errorf("findings once it tells the truth: %v", rules(found))
	}
	if hits := m.hits(t); len(hits) != 2 {
		t.Errorf("hits once it tells the truth: %v", hits)
	}
}

// TestAFrozenShardThatGrowsIsAFinding rotates the log twice and has the first of its two shards go on.
func TestAFrozenShardThatGrowsIsAFinding(t *testing.T) {
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.22.0", m.ago(90*day))
	m.complete(t)
	before := m.world.Rekor.Active()
	if _, err := m.world.Rekor.Rotate(0); err != nil {
		t.Fatal(err)
	}
	_, b := m.release(t, "1.23.0", m.ago(20*day))
	m.clock.Advance(time.Hour)
	if s := m.complete(t); s.Shards != 4 || s.Confirmed != 1 {
		t.Errorf("after a rotation: %+v", s)
	}
	if f := m.facts(t, rekor1Active); f.Shard == nil || !f.Shard.Frozen || m.hits(t)[uint64(b.Entries[0].LogIndex)] == "" {
		t.Errorf("%+v", f.Shard)
	}
	if _, err := before.Tell(sandbox.GrowthAfterFreeze, 2); err != nil {
		t.Fatal(err)
	}
	m.clock.Advance(time.Hour)
	m.all(t)
	found := m.open(t)
	if len(found) != 1 || found[0].Rule != audit.FrozenLogGrew || found[0].LogOrigin != rekor1Active {
		t.Fatalf("findings: %+v", found)
	}
	m.confirmed(t, found)
}

// TestALogThatEndedMustNotGrow has the trusted root end the log.
func TestALogThatEndedMustNotGrow(t *testing.T) {
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.22.0", m.ago(90*day))
	m.frozen = m.clock.Now().Add(-time.Hour)
	m.complete(t)
	m.release(t, "1.23.0", m.ago(20*day))
	m.clock.Advance(time.Hour)
	m.all(t)
	if found := m.open(t); len(found) != 1 || found[0].Rule != audit.FrozenLogGrew {
		t.Errorf("findings: %v", rules(found))
	}
}

// TestShardsThatCannotBeThoseOfBeforeAreAFinding has a proxy leave a shard out: every checkpoint is signed, and the list is not.
func TestShardsThatCannotBeThoseOfBeforeAreAFinding(t *testing.T) {
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.22.0", m.ago(90*day))
	m.complete(t)
	mend := m.world.Rekor.Break(sandbox.Fault{Path: "/api/v1/log", Rewrite: withoutAShard(t)})
	m.clock.Advance(time.Hour)
	m.all(t)
	found := m.open(t)
	if len(found) != 1 || found[0].Rule != audit.BadCheckpoint || found[0].LogOrigin != rekor1Name {
		t.Fatalf("findings: %+v", found)
	}
	m.confirmed(t, found)
	mend()
	m.clock.Advance(time.Hour)
	m.complete(t)
	if found := m.open(t); len(found) > 0 {
		t.Errorf("findings once the list is whole: %v", rules(found))
	}
}

// withoutAShard rewrites a list of shards: the oldest is not in it.
func withoutAShard(t *testing.T) func([]byte) []byte {
	return func(body []byte) []byte {
		var list map[string]any
		if err := json.Unmarshal(body, &list); err != nil {
			t.Error(err)
		}
		list["inactiveShards"] = list["inactiveShards"].([]any)[1:]
		text, err := json.Marshal(list)
		if err != nil {
			t.Error(err)
		}
		return text
	}
}

// TestASplitViewIsFoundByGossip has the log show PyPI's clients another tree: their bundles verify, and carry a checkpoint
// that contradicts the tree which everybody else sees.
func TestASplitViewIsFoundByGossip(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]bool{"before the monitor came": false, "after it had seen the log": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newRekor1World(t)
			m.release(t, "1.22.0", m.ago(90*day))
			if first {
				m.complete(t)
			}
			branch, err := m.world.Rekor.Branch(uint64(m.world.Rekor.Size()))
			if err != nil {
				t.Fatal(err)
			}
			s := m.sign(t, sandbox.ReleaseClaims("1.23.0"), m.ago(day))
			filename := "onnx-1.23.0-cp312-abi3-win_amd64.whl"
			a := m.attest(t, s, filename)
			// Both trees go on, and the bundle is of the one that nobody else sees.
			if err := m.world.Rekor.AddNoise(7, m.world.Now()); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				e, err := branch.Log(a, s.at.Add(time.Minute))
				if err != nil {
					t.Fatal(err)
				}
				a.Entries = []sandbox.Entry{e}
			}
			m.upload(t, s, filename, a)
			m.clock.Advance(time.Hour)
			summary := m.all(t)
			if !slices.Contains(summary.Misbehaviours, audit.SplitView) {
				t.Errorf("%+v", summary)
			}
			found := m.open(t)
			if got := rules(found); !slices.Contains(got, audit.SplitView) || !slices.Contains(got, audit.UnloggedAttestation) || len(got) != 2 {
				t.Fatalf("findings: %v", got)
			}
			m.confirmed(t, found)
			if found[0].Rule != audit.SplitView || found[0].Severity != audit.Critical {
				t.Errorf("%s is %s", found[0].Rule, found[0].Severity)
			}
			// It is kept, and not asked for again.
			m.asked()
			m.clock.Advance(time.Minute)
			m.all(t)
			if asked := m.asked(); len(asked) != 1 {
				t.Errorf("asked again: %v", asked)
			}
			if got := len(m.open(t)); got != 2 {
				t.Errorf("%d findings", got)
			}
		})
	}
}

// TestABundleWithAnotherEntryIsNotConfirmed alters the entry that a bundle carries in each way that its log plays along with:
// where the bundle does not verify any more, that is the finding.
func TestABundleWithAnotherEntryIsNotConfirmed(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"entry-of-another":           audit.InvalidAttestation,
		"checkpoint-root":            audit.InvalidAttestation,
		"checkpoint-of-another-tree": audit.InvalidAttestation,
		"entry-timestamp":            audit.InvalidAttestation,
		"inclusion-proof":            audit.InvalidAttestation,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newRekor1World(t)
			s := m.sign(t, sandbox.ReleaseClaims("1.23.0"), m.ago(day))
			filename := "onnx-1.23.0-cp312-abi3-win_amd64.whl"
			a := m.attest(t, s, filename)
			tamper, err := sandbox.TamperNamed(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := tamper.Apply(m.world, a); err != nil {
				t.Fatal(err)
			}
			m.upload(t, s, filename, a)
			summary := m.all(t)
			if summary.Confirmed > 0 {
				t.Errorf("%+v", summary)
			}
			all, err := m.record.Findings(t.Context(), db.FindingFilter{Statuses: []audit.Status{audit.Open}})
			if err != nil {
				t.Fatal(err)
			}
			if got := rules(all); !slices.Equal(got, []string{want}) {
				t.Errorf("findings: %v, want %s", got, want)
			}
		})
	}
	// A bundle whose entry its log signed elsewhere too: the index is another, and every signature is good.
	t.Run("signed twice", func(t *testing.T) {
		t.Parallel()
		m := newRekor1World(t)
		s := m.sign(t, sandbox.ReleaseClaims("1.23.0"), m.ago(day))
		filename := "onnx-1.23.0-cp312-abi3-win_amd64.whl"
		a := m.attest(t, s, filename)
		branch, err := m.world.Rekor.Branch(3)
		if err != nil {
			t.Fatal(err)
		}
		e, err := branch.Log(a, s.at.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		a.Entries = []sandbox.Entry{e}
		m.upload(t, s, filename, a)
		m.all(t)
		if got := rules(m.open(t)); !slices.Equal(got, []string{audit.SplitView, audit.UnloggedAttestation}) {
			t.Errorf("findings: %v", got)
		}
		if f := m.open(t)[1]; f.File != filename || f.Log.GlobalIndex != e.LogIndex {
			t.Errorf("it is about %s, entry %+v", f.File, f.Log)
		}
	})
}
