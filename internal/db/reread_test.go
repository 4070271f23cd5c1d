package db

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// ranges are what the record holds as proven of its one log.
func ranges(t *testing.T, db *DB) []audit.ProvenRange {
	t.Helper()
	logs, err := db.Logs(context.Background())
	if err != nil || len(logs) != 1 {
		t.Fatalf("%d logs, %v", len(logs), err)
	}
	for i := range logs[0].Ranges {
		logs[0].Ranges[i].ProvenAt = noon // not what these tests are about
	}
	return logs[0].Ranges
}

// proven reads leaves with a watch list of which the hits are thrown away, and proves them.
func proven(t *testing.T, db *DB, list string, from, to uint64) {
	t.Helper()
	l, ctx := opened(t, db, list), context.Background()
	b := batch(from, to)
	b.Hits = nil
	if err := errors.Join(l.Advance(ctx, noon, b), l.Prove(ctx, noon, to, checkpoint(to))); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasReadWithAnotherListIsReadAgainPieceByPiece(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	l := opened(t, db, "old")
	if err := l.Begin(ctx, noon, 0, nil, checkpoint(20)); err != nil {
		t.Fatal(err)
	}
	proven(t, db, "old", 0, 12)
	proven(t, db, "new", 12, 20)
	reopened := func(list string) (tlog.Store[audit.LogHit], uint64, uint64) {
		t.Helper()
		store, from, to, err := opened(t, db, list).Reopened(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return store, from, to
	}
	again := func(store tlog.Store[audit.LogHit], from, to uint64) error {
		return errors.Join(store.Begin(ctx, noon, from, tree(from).Hashes(), checkpoint(20)),
			store.Advance(ctx, noon, batch(from, to)), store.Prove(ctx, noon, to, checkpoint(20)))
	}

	store, from, to := reopened("new")
	if from != 0 || to != 12 {
		t.Fatalf("reopened from %d to %d", from, to)
	}
	// What is not proven leaves nothing behind.
	if err := errors.Join(store.Begin(ctx, noon, 0, nil, checkpoint(20)), store.Advance(ctx, noon, batch(0, 5))); err != nil {
		t.Fatal(err)
	}
	if got := hits(t, db, HitFilter{Unproven: true}); got != nil {
		t.Errorf("hits before the proof: %v", got)
	}
	stale, _, _ := reopened("new")
	if err := store.Prove(ctx, noon, 5, checkpoint(20)); err != nil {
		t.Fatal(err)
	}
	want := []audit.ProvenRange{{From: 0, To: 5, WatchList: "new", ProvenAt: noon, Bytes: 500},
		{From: 5, To: 12, WatchList: "old", ProvenAt: noon, Bytes: 1200}, {From: 12, To: 20, WatchList: "new", ProvenAt: noon, Bytes: 800}}
	if diff := cmp.Diff(want, ranges(t, db)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]uint64{0, 3}, hits(t, db, HitFilter{})); diff != "" {
		t.Error(diff)
	}
	if err := again(stale, 0, 4); !errors.Is(err, tlog.ErrMoved) {
		t.Errorf("a range that was read again meanwhile: %v", err)
	}

	// The rest, by another run: all of it is one range then.
	if store, from, to = reopened("new"); from != 5 || to != 12 {
		t.Fatalf("reopened from %d to %d", from, to)
	}
	if err := again(store, 5, 12); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]audit.ProvenRange{{From: 0, To: 20, WatchList: "new", ProvenAt: noon, Bytes: 500 + 1200 + 700 + 800}}, ranges(t, db)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]uint64{0, 3, 6, 9}, hits(t, db, HitFilter{})); diff != "" {
		t.Error(diff)
	}
	if store, _, _ := reopened("new"); store != nil {
		t.Error("there is still something to read again")
	}
	if _, err := db.Fsck(ctx, func(p string) { t.Errorf("fsck: %s", p) }); err != nil {
		t.Error(err)
	}
}

// TestWhatIsNotProvenIsReadAgainWithAnotherList changes the watch list between reading and proving.
func TestWhatIsNotProvenIsReadAgainWithAnotherList(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	l := opened(t, db, "old")
	if err := errors.Join(l.Begin(ctx, noon, 0, nil, checkpoint(9)), l.Advance(ctx, noon, batch(0, 5)), l.Prove(ctx, noon, 5, checkpoint(9)), l.Advance(ctx, noon, batch(5, 8))); err != nil {
		t.Fatal(err)
	}
	if s, err := opened(t, db, "old").State(ctx); err != nil || s.Read != 8 {
		t.Errorf("with the same list it goes on from %d, %v", s.Read, err)
	}
	s, err := opened(t, db, "new").State(ctx)
	if err != nil || s.Read != 5 || s.Proven != 5 {
		t.Errorf("with another list it goes on from %d, proven to %d, %v", s.Read, s.Proven, err)
	}
	if diff := cmp.Diff([]uint64{0, 3}, hits(t, db, HitFilter{Unproven: true})); diff != "" {
		t.Error(diff)
	}
}
