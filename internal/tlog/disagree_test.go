package tlog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestTreesAreHeldAgainstEachOtherByOneProvenEntry compares two logs that differ in one leaf, by proofs of every index in trees
// of sizes of all shapes: they disagree from that leaf on, and the evidence shows it to whoever has the log's key.
func TestTreesAreHeldAgainstEachOtherByOneProvenEntry(t *testing.T) {
	const other = 13
	honest, forked := newLog(40), newLog(40)
	forked.leaves[other] = "only here"
	proven := func(l *memoryLog, index, size uint64) Inclusion {
		p := inclusionOf(t, l, index, size)
		p.Checkpoint = checkpointAt(t, l, int(size))
		return p
	}
	verify := func(raw []byte) (SignedCheckpoint, error) {
		for _, l := range []*memoryLog{honest, forked} {
			for size := 1; size <= 40; size++ {
				if cp := checkpointAt(t, l, size); string(cp.Raw) == string(raw) {
					return cp, nil
				}
			}
		}
		return SignedCheckpoint{}, errors.New("nobody signed it")
	}
	for _, sizes := range [][2]uint64{{40, 40}, {40, 33}, {33, 40}, {16, 32}, {32, 17}, {14, 40}, {40, 15}} {
		for index := range min(sizes[0], sizes[1]) {
			what := fmt.Sprintf("entry %d of trees of %d and %d", index, sizes[0], sizes[1])
			if m, err := Disagree(proven(honest, index, sizes[0]), proven(honest, index, sizes[1])); err != nil || m != nil {
				t.Fatalf("%s of one log: %v, %v", what, m, err)
			}
			m, err := Disagree(proven(honest, index, sizes[0]), proven(forked, index, sizes[1]))
			if err != nil || (m != nil) != (index >= other) {
				t.Fatalf("%s: %v, %v", what, m, err)
			}
			if m == nil {
				continue
			}
			if ok, note := m.Recheck(verify); !ok {
				t.Errorf("%s: the evidence is not confirmed: %s", what, note)
			}
			if sizes[0] == sizes[1] {
				continue // two roots of one size say it already
			}
			for name, spoil := range map[string]func(m *Misbehaviour){
				"another leaf": func(m *Misbehaviour) { m.NewInclusion.LeafHash = strings.Repeat("00", 32) },
				"no leaf":      func(m *Misbehaviour) { m.OldInclusion.LeafHash = "00" },
				"no path":      func(m *Misbehaviour) { m.NewInclusion.Path = []string{"x"} },
				"another place": func(m *Misbehaviour) {
					m.NewInclusion.Index = (m.NewInclusion.Index + 1) % m.New.Size
				},
				"one tree": func(m *Misbehaviour) { m.New, m.NewInclusion = m.Old, m.OldInclusion },
			} {
				spoilt := *m
				older, newer := *m.OldInclusion, *m.NewInclusion
				spoilt.OldInclusion, spoilt.NewInclusion = &older, &newer
				spoil(&spoilt)
				if ok, note := spoilt.Recheck(verify); ok {
					t.Errorf("%s, %s: it is confirmed: %s", what, name, note)
				}
			}
		}
	}
	if _, err := Disagree(proven(honest, 3, 40), proven(honest, 4, 40)); err == nil {
		t.Error("two indices were compared")
	}
	broken := proven(forked, 20, 33)
	broken.LeafHash[0]++
	if m, err := Disagree(proven(honest, 20, 40), broken); err == nil || m != nil {
		t.Errorf("a proof that does not hold: %v", m)
	}
}

// TestAContradictionIsOneHoweverItIsSeen has a log that replaced an entry grow.
func TestAContradictionIsOneHoweverItIsSeen(t *testing.T) {
	honest, forked := newLog(40), newLog(40)
	forked.leaves[13] = "only here"
	names := map[string]bool{}
	for size := uint64(15); size <= 40; size++ {
		old, latest := inclusionOf(t, honest, 14, 30), inclusionOf(t, forked, 14, size)
		m, err := Disagree(old, latest)
		if err != nil || m == nil {
			t.Fatal(m, err)
		}
		names[m.Contradiction()] = true
	}
	if len(names) != 1 {
		t.Errorf("it has %d names: %v", len(names), names)
	}
}
