package tlog

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// signedIn stands for a log's key that signed the checkpoints in a misbehaviour, but for the forged ones.
func signedIn(m *Misbehaviour) func([]byte) (SignedCheckpoint, error) {
	old, latest := m.Old, m.New
	return func(raw []byte) (SignedCheckpoint, error) {
		for _, e := range []Evidence{old, latest} {
			if string(e.Raw) == string(raw) && string(raw) != "forged" {
				cp := SignedCheckpoint{Size: e.Size, Raw: raw}
				_, err := hex.Decode(cp.Root[:], []byte(e.Root))
				return cp, err
			}
		}
		return SignedCheckpoint{}, errors.New("not signed")
	}
}

// followedTo500 is a log of 1000 leaves, of which the first 500 were read and proven.
func followedTo500(t *testing.T) (*memoryLog, *memoryStore) {
	t.Helper()
	l, s := newLog(500), newStore()
	if _, err := follow(l, s); err != nil {
		t.Fatal(err)
	}
	l.grow(500)
	return l, s
}

// altered serves one leaf otherwise than the tree has it.
func altered(l *memoryLog, at int) func(int) string {
	return func(i int) string { return l.leaves[i] + strings.Repeat("!", boolInt(i == at)) }
}

// expectMismatch checks the one misbehaviour of a run, and that its evidence holds.
func expectMismatch(t *testing.T, out Outcome, err error, from, to uint64, leaves int) {
	t.Helper()
	if err != nil || len(out.Misbehaviours) != 1 || out.Misbehaviours[0].Kind != KindEntriesMismatch {
		t.Fatalf("outcome %+v, %v", out, err)
	}
	m := out.Misbehaviours[0]
	if m.From != from || m.To != to || len(m.LeafHashes) != leaves || len(m.Leaves) != leaves {
		t.Errorf("entries %d to %d, %d leaves; want %d to %d, %d", m.From, m.To, len(m.Leaves), from, to, leaves)
	}
	if confirmed, note := m.Recheck(signedIn(m)); !confirmed {
		t.Error(note)
	}
}

func TestWhatWasProvenBeforeALieStays(t *testing.T) {
	l, s := newLog(1000), newStore()
	l.served = altered(l, 900)
	prove := func(f *Follower[string]) { f.ProveEntries = 256 }
	out, err := follow(l, s, prove)
	expectMismatch(t, out, err, 900, 901, 1)
	check(t, s, 0, 768)
	l.served = nil
	if _, err := follow(l, s, prove); err != nil {
		t.Fatal(err)
	}
	check(t, s, 0, 1000)
}

func TestALieBeforeTheLimitOfARunIsFound(t *testing.T) {
	l, s := followedTo500(t)
	l.served = altered(l, 550)
	for range 2 {
		out, err := newFollower(l, s).Follow(context.Background(), 600)
		expectMismatch(t, out, err, 550, 551, 1)
		check(t, s, 0, 500)
	}
	l.served = nil
	if _, err := newFollower(l, s).Follow(context.Background(), 600); err != nil {
		t.Fatal(err)
	}
	check(t, s, 0, 600)
}

func TestALieInARunThatWasInterruptedIsFound(t *testing.T) {
	l, s := followedTo500(t)
	l.served = altered(l, 510)
	l.fail = func(from, _ uint64) error {
		if from >= 800 {
			return errors.New("reset")
		}
		return nil
	}
	if _, err := follow(l, s); err == nil || s.state.Read <= 510 || s.state.Proven != 500 {
		t.Fatalf("read %d, proven %d, %v", s.state.Read, s.state.Proven, err)
	}
	read := s.state.Read
	l.served, l.fail = nil, nil
	out, err := follow(l, s)
	expectMismatch(t, out, err, 500, read, 0)
	if _, err := follow(l, s); err != nil {
		t.Fatal(err)
	}
	check(t, s, 0, 1000)
}

func TestALieAfterARunThatWasInterruptedIsNarrowedToo(t *testing.T) {
	l, s := followedTo500(t)
	l.served = altered(l, 900)
	l.fail = func(from, _ uint64) error {
		if from >= 800 {
			return errors.New("reset")
		}
		return nil
	}
	if _, err := follow(l, s); err == nil || s.state.Read <= 500 {
		t.Fatalf("read %d, %v", s.state.Read, err)
	}
	l.fail = nil
	out, err := follow(l, s)
	expectMismatch(t, out, err, 900, 901, 1)
	check(t, s, 0, 500)
}

func TestALieThatIsNotToldAgainIsNarrowedToItsPage(t *testing.T) {
	l, s := followedTo500(t)
	lie, told := altered(l, 700), false
	l.served = func(i int) string {
		if i != 700 || told {
			return l.leaves[i]
		}
		told = true
		return lie(i)
	}
	out, err := follow(l, s)
	expectMismatch(t, out, err, 688, 704, 0)
}

func TestALieOfALogThatProvesNothingIsFound(t *testing.T) {
	l, s := newLog(1000), newStore()
	l.served = altered(l, 700)
	l.proof = func([][]byte) ([][]byte, error) { return nil, errors.New("503") }
	out, err := follow(l, s)
	expectMismatch(t, out, err, 0, 1000, 1000)
}

func TestAnEmptyTreeHasOneRoot(t *testing.T) {
	l, s := newLog(0), newStore()
	l.checkpoint = func(cp SignedCheckpoint) (SignedCheckpoint, error) {
		cp.Root[0] ^= 1
		return cp, nil
	}
	out, err := follow(l, s)
	expectMismatch(t, out, err, 0, 0, 0)
	l.checkpoint = nil
	l.grow(500)
	if _, err := follow(l, s); err != nil {
		t.Fatal(err)
	}
	check(t, s, 0, 500)
}

func TestEvidenceThatWasAlteredIsNotConfirmed(t *testing.T) {
	other := strings.Repeat("00", 32)
	for name, alter := range map[string]func(*Misbehaviour){
		"a leaf":         func(m *Misbehaviour) { m.Leaves[0] = []byte("x") },
		"a leaf hash":    func(m *Misbehaviour) { m.Leaves, m.LeafHashes[0] = nil, other },
		"no hash":        func(m *Misbehaviour) { m.LeafHashes[0] = "x" },
		"more leaves":    func(m *Misbehaviour) { m.Leaves = append(m.Leaves, nil) },
		"the range":      func(m *Misbehaviour) { m.NewRange[0] = other },
		"a short range":  func(m *Misbehaviour) { m.NewRange = m.NewRange[1:] },
		"what is before": func(m *Misbehaviour) { m.OldRange[0] = other },
		"the proof":      func(m *Misbehaviour) { m.Proof[0] = other },
		"no proof":       func(m *Misbehaviour) { m.Proof = nil },
		"the bounds":     func(m *Misbehaviour) { m.From-- },
		"beyond":         func(m *Misbehaviour) { m.To = 1 << 40 },
		"the checkpoint": func(m *Misbehaviour) { m.New.Raw = []byte("forged") },
	} {
		l, s := followedTo500(t)
		l.served = altered(l, 642)
		out, err := follow(l, s)
		expectMismatch(t, out, err, 642, 643, 1)
		m := out.Misbehaviours[0]
		verify := signedIn(m)
		alter(m)
		if confirmed, note := m.Recheck(verify); confirmed {
			t.Errorf("%s: %s", name, note)
		}
	}
	// What hashes to the signed root is no mismatch.
	l := newLog(100)
	cp, _ := l.Checkpoint(context.Background())
	nodes, _ := l.Frontier(context.Background(), 100, 100)
	m := &Misbehaviour{Kind: KindEntriesMismatch, New: EvidenceOf(cp), To: 100, NewRange: hexAll(nodes)}
	if confirmed, note := m.Recheck(signedIn(m)); confirmed {
		t.Error(note)
	}
}

// TestReadingAheadIsBounded withholds the first page: whatever else is read meanwhile must stay in memory.
func TestReadingAheadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := newLog(10_000), newStore()
		release := make(chan struct{})
		var begun atomic.Int64
		l.fail = func(from, _ uint64) error {
			begun.Add(1)
			if from == 0 {
				<-release
			}
			return nil
		}
		done := make(chan error)
		go func() {
			_, err := follow(l, s) // Parallel is 4
			done <- err
		}()
		synctest.Wait()
		if n := begun.Load(); n < 4 || n > 8 {
			t.Errorf("%d pages are begun while the first is awaited", n)
		}
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		check(t, s, 0, 10_000)
	})
}

// TestFollowingEndsWithItsContext ends it while pages are in flight: nothing may be left behind, and the next run goes on.
func TestFollowingEndsWithItsContext(t *testing.T) {
	l, s := newLog(1000), newStore()
	ctx, cancel := context.WithCancel(context.Background())
	l.fail = func(from, _ uint64) error {
		if from >= 480 {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	if _, err := newFollower(l, s).Follow(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if s.state.Proven != 0 || !slices.IsSorted([]uint64{0, s.state.Read, 480}) {
		t.Errorf("read %d, proven %d", s.state.Read, s.state.Proven)
	}
	l.fail = nil
	if _, err := follow(l, s); err != nil {
		t.Fatal(err)
	}
	check(t, s, 0, 1000)
}
