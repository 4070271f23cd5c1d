package tlog

import (
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
)

func TestWhatLiesBeforeTheStartMustBeInTheSignedTree(t *testing.T) {
	for name, frontier := range map[string]func([][]byte) ([][]byte, error){
		"another hash": func(nodes [][]byte) ([][]byte, error) {
			h := sha256.Sum256(nodes[0])
			return append([][]byte{h[:]}, nodes[1:]...), nil
		},
		"one less":  func(nodes [][]byte) ([][]byte, error) { return nodes[1:], nil },
		"one more":  func(nodes [][]byte) ([][]byte, error) { return append(nodes, nodes[0]), nil },
		"no answer": func([][]byte) ([][]byte, error) { return nil, errors.New("503") },
	} {
		for _, from := range []uint64{77, 500} { // in the middle, and at the head
			l, s := newLog(500), newStore()
			l.frontier = frontier
			if _, err := follow(l, s, startAt(from)); err == nil || s.state.Known {
				t.Errorf("%s before %d: %v", name, from, err)
			}
			l.frontier = nil
			if _, err := follow(l, s, startAt(from)); err != nil {
				t.Fatal(err)
			}
			check(t, s, from, 500)
		}
	}
}

func TestPagesThatWereNotAskedForAreRefused(t *testing.T) {
	for name, page := range map[string]func(Page) Page{
		"no leaves":        func(p Page) Page { p.Leaves = nil; return p },
		"another place":    func(p Page) Page { p.First++; return p },
		"one leaf more":    func(p Page) Page { p.Leaves = append(p.Leaves, []byte("x")); return p },
		"from the start":   func(p Page) Page { p.First = 0; return p },
		"far past the end": func(p Page) Page { p.Leaves = make([][]byte, 10_000); return p },
	} {
		l, s := followedTo500(t)
		l.page = page
		if out, err := follow(l, s); err == nil || len(out.Misbehaviours) != 0 {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		check(t, s, 0, 500)
	}
}

// TestALogThatWasRolledBackIsFoundWithoutItsProof is a log that lost its end and grew another: it has no proof between the two.
func TestALogThatWasRolledBackIsFoundWithoutItsProof(t *testing.T) {
	l, s := followedTo500(t)
	if _, err := follow(l, s); err != nil {
		t.Fatal(err)
	}
	lying := newLog(600)
	lying.leaves[10] = "forged"
	honest := lying.frontier
	lying.frontier = func(nodes [][]byte) ([][]byte, error) { return nodes[1:], nil }
	if out, err := follow(lying, s); err == nil || len(out.Misbehaviours) != 0 {
		t.Errorf("with a bad frontier, that is no evidence: %+v, %v", out, err)
	}
	lying.frontier = honest
	out, err := follow(lying, s)
	if err != nil || len(out.Misbehaviours) != 1 || out.Misbehaviours[0].Kind != KindRollback {
		t.Fatalf("outcome %+v, %v", out, err)
	}
	m := out.Misbehaviours[0]
	verify := signedIn(m)
	if confirmed, note := m.Recheck(verify); !confirmed {
		t.Error(note)
	}
	for i := range m.NewRange {
		m.NewRange[i] = strings.Repeat("00", 32)
	}
	if confirmed, note := m.Recheck(verify); confirmed {
		t.Errorf("altered: %s", note)
	}
	check(t, s, 0, 1000)
}

// TestAStaleCheckpointDoesNotStopTheReading: what is known to be there is read, whatever a cache shows.
func TestAStaleCheckpointDoesNotStopTheReading(t *testing.T) {
	l, s := followedTo500(t)
	l.fail = func(uint64, uint64) error { return errors.New("reset") }
	if _, err := follow(l, s); err == nil || s.state.Checkpoint.Size != 1000 {
		t.Fatal(err)
	}
	l.fail, l.shown = nil, 600
	if out, err := follow(l, s); err != nil || !out.Stale {
		t.Fatalf("%+v, %v", out, err)
	}
	check(t, s, 0, 1000)
}

func TestLiesEndInTheirMisbehaviourAndTruthGoesOn(t *testing.T) {
	fork := func(from int) func(*memoryLog) {
		return func(l *memoryLog) { l.leaves[from] += " forged" }
	}
	for name, c := range map[string]struct {
		lie   func(*memoryLog)
		kind  Kind
		entry uint64 // the first that is not the tree's
	}{
		"missing leaf": {func(l *memoryLog) {
			l.served = func(i int) string { return l.leaves[min(i+boolInt(i >= 600), len(l.leaves)-1)] }
		}, KindEntriesMismatch, 600},
		"swapped leaves": {func(l *memoryLog) {
			l.served = func(i int) string {
				if i == 600 || i == 601 {
					i = 1201 - i
				}
				return l.leaves[i]
			}
		}, KindEntriesMismatch, 600},
		"duplicated leaf": {func(l *memoryLog) {
			l.served = func(i int) string { return l.leaves[i-boolInt(i == 601)] }
		}, KindEntriesMismatch, 601},
		"altered leaf": {func(l *memoryLog) {
			l.served = func(i int) string { return strings.Replace(l.leaves[i], "watched 642", "noise 642", 1) }
		}, KindEntriesMismatch, 642},
		"forked tree":      {fork(100), KindFork, 0},
		"fork of one size": {func(l *memoryLog) { l.leaves = l.leaves[:500]; l.leaves[10] = "forged" }, KindFork, 0},
		"rollback":         {func(l *memoryLog) { l.shown = 300; fork(100)(l) }, KindRollback, 0},
		"bad checkpoint": {func(l *memoryLog) {
			l.checkpoint = func(SignedCheckpoint) (SignedCheckpoint, error) {
				return SignedCheckpoint{}, &BadCheckpointError{Origin: "log.example", Raw: []byte("forged"), Err: errors.New("not signed")}
			}
		}, KindBadCheckpoint, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l, s := newLog(500), newStore()
			if _, err := follow(l, s); err != nil {
				t.Fatal(err)
			}
			l.grow(500)
			honest := &memoryLog{leaves: slices.Clone(l.leaves), shown: -1, pageSize: 16}
			lying := &memoryLog{leaves: slices.Clone(l.leaves), shown: -1, pageSize: 16}
			c.lie(lying)
			out, err := follow(lying, s)
			if err != nil || len(out.Misbehaviours) != 1 || out.Misbehaviours[0].Kind != c.kind {
				t.Fatalf("outcome %+v, %v", out, err)
			}
			if s.state.Proven != 500 || s.state.Read != 500 || len(s.hits) != len(planted(0, 500)) {
				t.Errorf("after the lie: read %d, proven %d, %d hits", s.state.Read, s.state.Proven, len(s.hits))
			}
			if len(s.last.New.Raw) == 0 || c.kind == KindEntriesMismatch && (s.last.From != c.entry || len(s.last.Leaves) != 1) {
				t.Errorf("the evidence: %+v", s.last)
			}
			if confirmed, note := s.last.Recheck(signedIn(s.last)); !confirmed {
				t.Errorf("the evidence looked at again: %s", note)
			}
			if _, err := follow(honest, s); err != nil {
				t.Fatal(err)
			}
			check(t, s, 0, 1000)
		})
	}
}

// TestATreeWhoseSizeIsAPowerOfTwoHidesNothing has logs lie to followers that stand where a proof lacks the smaller tree's
// root: it is one whole subtree of the larger one.
func TestATreeWhoseSizeIsAPowerOfTwoHidesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		lie  func(*memoryLog)
		kind Kind
	}{
		"fork": {func(l *memoryLog) { l.leaves[100] = "forged" }, KindFork},
		"altered leaf": {func(l *memoryLog) {
			l.served = func(i int) string { return strings.Replace(l.leaves[i], " 999", " 9", 1) }
		}, KindEntriesMismatch},
		"shown smaller": {func(l *memoryLog) { l.shown = 256 }, ""},
	} {
		l, s := newLog(512), newStore()
		if _, err := follow(l, s); err != nil {
			t.Fatal(err)
		}
		l.grow(1000)
		lying := &memoryLog{leaves: slices.Clone(l.leaves), shown: -1, pageSize: 16}
		c.lie(lying)
		step := func(f *Follower[string]) { f.ProveEntries = 1024 } // so that there is a proof from 1024 on
		out, err := follow(lying, s, step)
		if c.kind == "" {
			if err != nil || !out.Stale || len(out.Misbehaviours) != 0 {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
			continue
		}
		if err != nil || len(out.Misbehaviours) != 1 || out.Misbehaviours[0].Kind != c.kind || s.state.Proven != 512 {
			t.Errorf("%s: %+v, %v", name, out, err)
			continue
		}
		m := out.Misbehaviours[0]
		if confirmed, note := m.Recheck(signedIn(m)); !confirmed {
			t.Errorf("%s, looked at again: %s", name, note)
		}
		if c.kind == KindEntriesMismatch && (m.From != 999 || m.To != 1000) {
			t.Errorf("%s: entries %d to %d", name, m.From, m.To)
		}
		if _, err := follow(l, s); err != nil {
			t.Fatal(err)
		}
		check(t, s, 0, 1512)
	}
}

// TestAContradictionHasOneNameHoweverTheLogGrows has a fork that was told twice, grown in between, and another one.
func TestAContradictionHasOneNameHoweverTheLogGrows(t *testing.T) {
	for _, size := range []int{500, 512} {
		l, s := newLog(size), newStore()
		if _, err := follow(l, s); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, lie := range []struct{ forged, grown int }{{100, 10}, {100, 321}, {101, 321}, {101, 0}} {
			lying := newLog(size + lie.grown)
			lying.leaves[lie.forged] = "forged"
			out, err := follow(lying, s)
			if err != nil || len(out.Misbehaviours) != 1 {
				t.Fatalf("%+v, %v", out, err)
			}
			names = append(names, out.Misbehaviours[0].Contradiction())
		}
		if names[0] != names[1] || names[1] == names[2] || names[0] == names[3] {
			t.Errorf("size %d: %q", size, names)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestAStaleCheckpointIsNoAttack(t *testing.T) {
	l, s := newLog(500), newStore()
	if _, err := follow(l, s); err != nil {
		t.Fatal(err)
	}
	for _, shown := range []int{0, 1, 499} {
		l.shown = shown
		out, err := follow(l, s)
		if err != nil || !out.Stale || len(out.Misbehaviours) != 0 {
			t.Errorf("size %d: %+v, %v", shown, out, err)
		}
	}
	check(t, s, 0, 500)
}

func TestABadProofIsNoEvidence(t *testing.T) {
	for name, proof := range map[string]func([][]byte) ([][]byte, error){
		"random hashes": func(p [][]byte) ([][]byte, error) {
			for i := range p {
				h := sha256.Sum256([]byte{byte(i)})
				p[i] = h[:]
			}
			return p, nil
		},
		"too short":    func(p [][]byte) ([][]byte, error) { return p[:len(p)-1], nil },
		"too long":     func(p [][]byte) ([][]byte, error) { return append(p, p[0]), nil },
		"empty":        func([][]byte) ([][]byte, error) { return nil, nil },
		"short hashes": func(p [][]byte) ([][]byte, error) { p[0] = p[0][:5]; return p, nil },
		"no answer":    func([][]byte) ([][]byte, error) { return nil, errors.New("503") },
	} {
		l, s := newLog(500), newStore()
		if _, err := follow(l, s); err != nil {
			t.Fatal(err)
		}
		l.grow(123)
		l.proof = proof
		out, err := follow(l, s)
		if err == nil || len(out.Misbehaviours) != 0 || len(s.seen) != 0 {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		l.proof = nil
		if _, err := follow(l, s); err != nil {
			t.Fatal(err)
		}
		check(t, s, 0, 623)
	}
}

func TestAFrozenLogThatGrowsIsReportedAndRead(t *testing.T) {
	for _, size := range []int{0, 500} {
		l, s := newLog(size), newStore()
		// It is looked at an hour before its end, two hours after it, and later, every time but the last an hour apart.
		now := start
		run := func() {
			t.Helper()
			if _, err := follow(l, s, func(f *Follower[string]) { f.Clock, f.FrozenAt = clock.NewSimulated(now), start.Add(time.Hour) }); err != nil {
				t.Fatal(err)
			}
			now = now.Add(2 * time.Hour)
		}
		run()
		l.grow(20)
		run()
		run()
		if len(s.seen) != 0 {
			t.Fatalf("it grew before its end, if at all: %v", s.seen)
		}
		l.grow(10)
		run()
		if !slices.Equal(s.seen, []string{"frozen-log-grew"}) {
			t.Errorf("it grew after its end: %v", s.seen)
		}
		if confirmed, note := s.last.Recheck(signedIn(s.last)); !confirmed {
			t.Errorf("the evidence looked at again: %s", note)
		}
		check(t, s, 0, uint64(size+30))
	}
}
