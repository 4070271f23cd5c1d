package audit_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// rolledBack is a log of which two releases were confirmed, and which shows everybody another tree since.
type rolledBack struct {
	*rekor1Monitor
	branch *sandbox.RekorShard
	// first and second are the indices of the releases' entries, held is the size that was seen.
	first, second, held uint64
	any                 *sandbox.Attestation
}

// newRolledBack has the log go back to a size, given the indices of the two entries.
func newRolledBack(t *testing.T, size func(first, second uint64) uint64) *rolledBack {
	t.Helper()
	m := newRekor1World(t)
	_, a := m.release(t, "1.22.0", m.ago(90*day))
	if err := m.world.Rekor.AddNoise(5, m.world.Now()); err != nil {
		t.Fatal(err)
	}
	_, b := m.release(t, "1.23.0", m.ago(20*day))
	if err := m.world.Rekor.AddNoise(5, m.world.Now()); err != nil {
		t.Fatal(err)
	}
	m.complete(t)
	r := &rolledBack{rekor1Monitor: m, first: uint64(a.Entries[0].TreeIndex), second: uint64(b.Entries[0].TreeIndex), held: m.world.Rekor.Active().Size()}
	// What it takes instead is anybody's.
	claims := sandbox.ReleaseClaims("9.9.9")
	claims.Repository = "stranger/thing"
	r.any = m.attest(t, m.sign(t, claims, m.ago(day)), "stranger.whl")
	var err error
	if r.branch, err = m.world.Rekor.Branch(size(r.first, r.second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.world.Rekor.Show(r.branch, func(*http.Request) bool { return true }))
	return r
}

// grow has the tree that is shown take other entries, up to a size.
func (r *rolledBack) grow(t *testing.T, size uint64) {
	t.Helper()
	for r.branch.Size() < size {
		if _, err := r.branch.Log(r.any, r.world.Now()); err != nil {
			t.Fatal(err)
		}
	}
}

// logFindings are the open findings about the shard.
func (r *rekor1Monitor) logFindings(t *testing.T) []audit.Finding {
	t.Helper()
	return slices.DeleteFunc(r.open(t), func(f audit.Finding) bool { return f.LogOrigin != rekor1Active })
}

// TestAnOlderTreeThatIsConsistentIsStale has a replica that is behind list its shards, and another one prove that tree to be of
// the one that was seen: it is said, nothing is wrong or unknown, and what was seen stays.
func TestAnOlderTreeThatIsConsistentIsStale(t *testing.T) {
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.22.0", m.ago(90*day))
	if err := m.world.Rekor.AddNoise(9, m.world.Now()); err != nil {
		t.Fatal(err)
	}
	if s := m.complete(t); s.Stale {
		t.Errorf("%+v", s)
	}
	held := m.facts(t, rekor1Active).Latest
	m.world.Rekor.SetReplicas(3, 0, 0)
	stale := 0
	for range 6 {
		m.clock.Advance(time.Hour)
		s := m.complete(t)
		if s.Stale {
			stale++
		}
		if want := s.Size != 121_904_262+held; s.Stale != want {
			t.Errorf("%+v", s)
		}
		if got := m.facts(t, rekor1Active).Latest; got != held || len(m.open(t)) > 0 {
			t.Errorf("it has %d entries, %d before; findings %v", got, held, rules(m.open(t)))
		}
	}
	if stale == 0 || stale == 6 {
		t.Errorf("%d of 6 passes met the replica that is behind", stale)
	}
}

// TestALogThatWasRestoredFromABackupIsUnknownUntilItContradictsItself has the log lose its last entries: it cannot prove the
// smaller tree to be of the one that was seen, and nothing proves that it is not. Once it has grown past that, by other
// entries, it gives itself away.
func TestALogThatWasRestoredFromABackupIsUnknownUntilItContradictsItself(t *testing.T) {
	t.Parallel()
	r := newRolledBack(t, func(first, second uint64) uint64 { return second - 2 })
	r.clock.Advance(time.Hour)
	s := r.all(t)
	if s.Complete() || s.Stale || len(s.Misbehaviours) > 0 || !slices.ContainsFunc(s.Troubles, func(text string) bool {
		return strings.Contains(text, "is not known") && strings.Contains(text, "it is the tree that was seen")
	}) {
		t.Errorf("%+v", s)
	}
	if len(r.open(t)) > 0 {
		t.Errorf("findings: %v", rules(r.open(t)))
	}
	r.clock.Advance(25 * time.Hour)
	if s := r.all(t); s.Complete() || len(s.Misbehaviours) > 0 {
		t.Errorf("%+v", s)
	}
	if found := r.logFindings(t); !slices.Contains(rules(found), audit.SourceUnreachable) || slices.Contains(rules(found), audit.LogRollback) {
		t.Errorf("findings after a day: %v", rules(found))
	}
	if got := r.facts(t, rekor1Active).Latest; got != r.held {
		t.Errorf("what was seen is forgotten: %d, not %d", got, r.held)
	}
	r.grow(t, r.held+3)
	r.clock.Advance(time.Hour)
	if s := r.all(t); !slices.Contains(s.Misbehaviours, string(tlog.KindFork)) {
		t.Errorf("%+v", s)
	}
	found := slices.DeleteFunc(r.logFindings(t), func(f audit.Finding) bool {
		return f.Rule == audit.SourceUnreachable || f.Rule == audit.StaleLog // for a day, it showed nothing that is known to be of it
	})
	if got := rules(found); !slices.Equal(got, []string{audit.LogFork}) {
		t.Fatalf("findings: %v", got)
	}
	r.confirmed(t, found)
}

// TestALogThatReplacesWhatWasProvenIsRolledBack has the log go back before an entry that was proven, and take others: it gives no
// proof between the two trees, and its own proof of what it has at that index now is the evidence. It is one incident, however
// often it is seen, and however the log grows below what was seen.
func TestALogThatReplacesWhatWasProvenIsRolledBack(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]func(first, second uint64) uint64{
		"the entry itself":    func(_, second uint64) uint64 { return second },
		"an entry before it":  func(first, _ uint64) uint64 { return first },
		"everything there is": func(uint64, uint64) uint64 { return 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRolledBack(t, size)
			r.grow(t, r.second+1)
			for range 2 {
				r.clock.Advance(time.Hour)
				if s := r.all(t); !slices.Contains(s.Misbehaviours, string(tlog.KindRollback)) {
					t.Errorf("%+v", s)
				}
				r.grow(t, r.second+2)
			}
			found := r.logFindings(t)
			if got := rules(found); !slices.Equal(got, []string{audit.LogRollback}) || found[0].Severity != audit.Critical {
				t.Fatalf("findings: %v", got)
			}
			r.confirmed(t, found)
			if n := len(r.facts(t, rekor1Active).Incidents); n != 1 {
				t.Errorf("%d incidents", n)
			}
			if got := r.facts(t, rekor1Active).Latest; got != r.held {
				t.Errorf("what was seen is forgotten: %d, not %d", got, r.held)
			}
		})
	}
}
