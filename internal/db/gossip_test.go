package db

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// TestGossipOfTheRecordIsStillDueAfterItWasBroughtUpToDate has a checkpoint of a bundle be on record from before it was known
// which log's key had signed it.
func TestGossipOfTheRecordIsStillDueAfterItWasBroughtUpToDate(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "monitor.db")
	beforeTheKill(t, path)
	raw, err := open(path, "rw")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	// The record as it was: without the column, and without the step that added it.
	for _, statement := range []string{"DROP INDEX gossip_by_log", "ALTER TABLE gossip DROP COLUMN log_id", "DELETE FROM goose_db_version WHERE version_id = 10"} {
		if _, err := raw.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, raw, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.ApplyVersion(ctx, 10, true); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := openRekor1(db)
	if err != nil {
		t.Fatal(err)
	}
	due, err := r.DueGossip(ctx, hour(5), 10)
	if err != nil || len(due) != 1 || due[0].Checkpoint.Origin != shardOrigin || due[0].Entry != 3 || due[0].File != "a-1.0.whl" {
		t.Errorf("due: %+v, %v", due, err)
	}
}

// TestAnUnlistedTreeIsTakenBackByAListThatHasItAlone has a log list its shards again and again.
func TestAnUnlistedTreeIsTakenBackByAListThatHasItAlone(t *testing.T) {
	ctx := context.Background()
	db, r := rekor1Record(t)
	due, err := r.DueGossip(ctx, hour(5), 10)
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	open := func() (found []string) {
		t.Helper()
		logs, err := db.Logs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range logs {
			for _, i := range l.Incidents {
				found = append(found, l.Origin+": "+i.Detail)
			}
		}
		return found
	}
	g := due[0]
	g.Outcome, g.Due, g.Unlisted = audit.GossipUnlisted, hour(30), &audit.UnlistedTree{Checkpoint: g.Checkpoint.Raw, Detail: "an unlisted tree"}
	bad := &tlog.Misbehaviour{Kind: tlog.KindBadCheckpoint, New: tlog.Evidence{Raw: []byte("x")}, Detail: "a bad checkpoint"}
	if err := r.SaveGossip(ctx, hour(5), g); err != nil {
		t.Fatal(err)
	}
	if err := r.Misbehaved(ctx, hour(5), "rekor1.example", bad); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"rekor1.example: an unlisted tree", "rekor1.example: bad-checkpoint: a bad checkpoint"}, open()); diff != "" {
		t.Error(diff)
	}
	// A list that may be believed takes back what was wrong with lists, and not the tree.
	if err := r.SawShards(ctx, hour(6), []audit.SeenShard{{Position: 1, Checkpoint: shardNote(shardOrigin, 9)}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"rekor1.example: an unlisted tree"}, open()); diff != "" {
		t.Error(diff)
	}
	if due, err = r.DueGossip(ctx, hour(29), 10); err != nil || len(due) != 0 {
		t.Errorf("due too early: %+v, %v", due, err)
	}
	if due, err = r.DueGossip(ctx, hour(30), 10); err != nil || len(due) != 1 || due[0].Before != audit.GossipUnlisted {
		t.Fatalf("due: %+v, %v", due, err)
	}
	g = due[0]
	g.Outcome = audit.GossipRelated
	if err := r.SaveGossip(ctx, hour(31), g); err != nil {
		t.Fatal(err)
	}
	if found := open(); len(found) > 0 {
		t.Errorf("still: %q", found)
	}
	if due, err = r.DueGossip(ctx, hour(24*365), 10); err != nil || len(due) != 0 {
		t.Errorf("due again: %+v, %v", due, err)
	}
}

// TestWhatIsNotKnownOfACheckpointIsSaidOfItsLog notes failures, of which the first says since when.
func TestWhatIsNotKnownOfACheckpointIsSaidOfItsLog(t *testing.T) {
	ctx := context.Background()
	db, _ := rekor1Record(t)
	if _, err := db.w.Exec(`UPDATE gossip SET origin = 'tiled.example', log_id = 'beef'`); err != nil {
		t.Fatal(err)
	}
	l, err := db.Log(ctx, LogName{Origin: "tiled.example", Kind: "rekor-v2", KeyID: "beef", URL: "https://tiled.example"}, "list 1")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{hour(5), hour(7)} {
		due, err := l.DueGossip(ctx, at, 10)
		if err != nil || len(due) != 1 {
			t.Fatalf("due: %+v, %v", due, err)
		}
		g := due[0]
		g.Failure, g.Due = "no proof", at.Add(time.Hour)
		if err := l.SaveGossip(ctx, at, g); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := db.Logs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(logs, func(l audit.LogFacts) bool { return l.Origin == "tiled.example" })
	if got := logs[i]; got.Unrelated != 1 || !got.UnrelatedSince.Equal(hour(5)) || got.UnrelatedWhy != "no proof" {
		t.Errorf("%d since %s: %s", got.Unrelated, got.UnrelatedSince, got.UnrelatedWhy)
	}
	for _, other := range logs {
		if other.Origin != "tiled.example" && other.Unrelated > 0 {
			t.Errorf("%s has it too", other.Origin)
		}
	}
}
