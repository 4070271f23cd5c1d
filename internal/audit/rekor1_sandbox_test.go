package audit_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/rekor"
)

// TestAnHonestRekor1IsConfirmedOnce publishes two releases and reads the log by name: every bundle's entry is the log's, every
// bundle's checkpoint of its tree, and the index finds what they are. A minute later hardly anything is due.
func TestAnHonestRekor1IsConfirmedOnce(t *testing.T) {
	m := newRekor1World(t)
	m.release(t, "1.22.0", m.ago(90*24*time.Hour))
	_, a := m.release(t, "1.23.0", m.ago(20*24*time.Hour))
	if err := m.world.Rekor.AddNoise(3, m.world.Now()); err != nil {
		t.Fatal(err)
	}
	s := m.complete(t)
	got := audit.Rekor1Summary{Log: rekor1Name, Shards: 3, Size: uint64(a.Entries[0].LogIndex) + 4, Requests: s.Requests, Confirmed: 2, Related: 2,
		Searches: 6, Hits: 2, Subject: rekor.V1Supported}
	if diff := cmp.Diff(got, s); diff != "" {
		t.Error(diff)
	}
	if findings := m.open(t); len(findings) > 0 {
		t.Errorf("findings: %+v", findings)
	}
	if hits := m.hits(t); len(hits) != 2 || hits[uint64(a.Entries[0].LogIndex)] == "" {
		t.Errorf("hits: %v", hits)
	}
	// One request for the shards; two bundles in one request and their checkpoints in two; a search each, and the hits, in as
	// many batches as there are searches that bring new ones; two for the probe.
	asked := m.asked()
	t.Log(asked)

	m.clock.Advance(time.Minute)
	m.complete(t)
	if diff := cmp.Diff(map[string]int{"/log": 1}, m.asked()); diff != "" {
		t.Errorf("asked again: %s", diff)
	}
}
