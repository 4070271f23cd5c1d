package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/notify"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// kills are writes that pass a failpoint, by its name. They start from the record that beforeTheKill leaves.
var kills = map[string]func(*DB) error{
	"db/listing-uncommitted": func(db *DB) error {
		_, err := db.SaveListing(context.Background(), hour(5), audit.ListingUpdate{ProjectID: 1, Ownership: []byte(`"mallory"`), Listing: &pypi.Listing{Serial: 2, Status: "archived",
			Files: []pypi.File{listed("a-1.0.whl", "a2", withProvenance), listed("d-2.0.whl", "dd")}}})
		return err
	},
	"db/provenance-uncommitted": func(db *DB) error {
		return db.SaveProvenance(context.Background(), hour(5), 1, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte("A"), ETag: "1"})
	},
	"db/findings-uncommitted": func(db *DB) error {
		p := audit.ProjectFacts{ID: 1, Project: "onnx", Index: "pypi", Name: "onnx"}
		_, err := db.Settle(context.Background(), hour(5), audit.Settlement{Project: p, Channels: channels, Assessment: audit.Assessment{Findings: []audit.Finding{wrong("b", audit.High, "x")}}})
		return err
	},
	"db/attempt-uncommitted": withPending(func(db *DB, pending []notify.Message) error {
		return db.Attempting(context.Background(), hour(5), notify.Parcel{Form: notify.Single, Messages: pending})
	}),
	"db/delivery-uncommitted": withPending(func(db *DB, pending []notify.Message) error {
		return db.Delivered(context.Background(), hour(5), notify.Parcel{Messages: pending}, "thread")
	}),
	"db/unwanted-uncommitted": withPending(func(db *DB, pending []notify.Message) error {
		return db.Unwanted(context.Background(), pending)
	}),
	"db/reminders-uncommitted": func(db *DB) error {
		_, err := db.Remind(context.Background(), hour(24*365), channels)
		return err
	},
	"db/batch-uncommitted": func(db *DB) error {
		l, err := db.Log(context.Background(), logName, "list 1")
		if err != nil {
			return err
		}
		return l.Advance(context.Background(), hour(5), batch(3, 5))
	},
	"db/proof-uncommitted": func(db *DB) error {
		l, err := db.Log(context.Background(), logName, "list 1")
		if err != nil {
			return err
		}
		return l.Prove(context.Background(), hour(5), 3, checkpoint(3))
	},
	"db/promises-uncommitted": readMorePromises,
	"db/lookup-uncommitted":   saveALookup,
	"db/reread-uncommitted": func(db *DB) error {
		ctx := context.Background()
		l, err := db.Log(ctx, otherLogName, "list 1")
		if err != nil {
			return err
		}
		store, from, to, err := l.Reopened(ctx)
		if err != nil {
			return err
		}
		return errors.Join(store.Begin(ctx, hour(5), from, nil, checkpoint(3)), store.Advance(ctx, hour(5), batch(from, to)), store.Prove(ctx, hour(5), to, checkpoint(3)))
	},
	"db/shards-uncommitted": killRekor1("db/shards-uncommitted"),
	"db/checks-uncommitted": killRekor1("db/checks-uncommitted"),
	"db/gossip-uncommitted": killRekor1("db/gossip-uncommitted"),
	"db/plan-uncommitted":   killRekor1("db/plan-uncommitted"),
	"db/found-uncommitted":  killRekor1("db/found-uncommitted"),
	"db/seen-uncommitted": func(db *DB) error {
		l, err := db.Log(context.Background(), logName, "list 1")
		if err != nil {
			return err
		}
		return l.SaveSeen(context.Background(), audit.SeenCursor{Seen: 1, File: 2, Statement: 3})
	},
	"db/seen-again-uncommitted": func(db *DB) error {
		ctx := context.Background()
		l, err := db.Log(ctx, otherLogName, "list 1")
		if err != nil {
			return err
		}
		store := l.SeenAgain()
		return errors.Join(store.Begin(ctx, hour(5), 0, nil, checkpoint(3)), store.Advance(ctx, hour(5), batch(0, 1)), store.Prove(ctx, hour(5), 1, checkpoint(3)))
	},
	"db/accounts-uncommitted": func(db *DB) error { return db.Account(context.Background()) },
}

// withPending is a write about what is pending on a channel.
func withPending(write func(*DB, []notify.Message) error) func(*DB) error {
	return func(db *DB) error {
		pending, err := db.Pending(context.Background(), channels[0], 1)
		if err != nil {
			return err
		}
		return write(db, pending)
	}
}

// allKills are kills, and those of windows and of what GitHub says.
func allKills() map[string]func(*DB) error {
	all := maps.Clone(kills)
	maps.Copy(all, windowKills)
	maps.Copy(all, gitHubKills)
	return all
}

// otherLogName is a log that was read, and proven, with another watch list.
var otherLogName = LogName{Origin: "other.example", Kind: "rekor-v2", KeyID: "2d", URL: "https://other.example"}

// beforeTheKill makes a record with a project of one file, a finding, a log that was read but not proven, one that was
// proven with another watch list, two certificates of which one's promises were read, a Rekor v1, and windows of a shard.
func beforeTheKill(t *testing.T, path string) {
	t.Helper()
	db, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	p := project(t, db)
	saveListing(t, db, p, noon, pypi.Listing{Serial: 1, Status: "active", Files: []pypi.File{listed("a-1.0.whl", "aa", withProvenance)}})
	settleOn(t, db, hour(1), audit.Assessment{Findings: []audit.Finding{wrong("a", audit.High, "x")}})
	l, err := db.Log(context.Background(), logName, "list 1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := db.Log(context.Background(), otherLogName, "list 0")
	if err != nil {
		t.Fatal(err)
	}
	unwatched := batch(0, 3)
	unwatched.Hits = nil
	for _, do := range []func() error{
		func() error { return other.Begin(context.Background(), hour(2), 0, nil, checkpoint(3)) },
		func() error { return other.Advance(context.Background(), hour(3), unwatched) },
		func() error { return other.Prove(context.Background(), hour(3), 3, checkpoint(3)) },
		func() error { return l.Begin(context.Background(), hour(2), 0, nil, checkpoint(0)) },
		func() error { return l.Advance(context.Background(), hour(3), batch(0, 3)) },
		func() error { return shownBeforeTheKill(db) },
		func() error { return withRekor1(db) },
		func() error { return queueWindows(db) },
		func() error { return gitHubBeforeTheKill(db) },
		db.Close,
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
}

// failpoints are the places of this package at which a process can be killed, read off the source.
func failpoints(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	hit := regexp.MustCompile(`failpoint\.Hit\("([^"]+)"\)`)
	var names []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range hit.FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return names
}

func TestKilledBeforeItsCommitAWriteLeavesTheRecordAsItWas(t *testing.T) {
	var tested []string
	for name := range allKills() {
		tested = append(tested, name)
	}
	slices.Sort(tested)
	if diff := cmp.Diff(failpoints(t), tested); diff != "" {
		t.Fatalf("failpoints (-placed +tested):\n%s", diff)
	}
	for _, name := range tested {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "monitor.db")
			beforeTheKill(t, path)
			before := dump(t, path)
			if !startJob(t, "kill:"+name, path, failpoint.EnvKill+"="+name).killed(t) {
				t.Fatal("it was not killed")
			}
			if diff := cmp.Diff(before, dump(t, path)); diff != "" {
				t.Errorf("the killed write left something (-before +after):\n%s", diff)
			}
			if startJob(t, "kill:"+name, path).killed(t) {
				t.Fatal("it was killed")
			}
			if cmp.Equal(before, dump(t, path)) {
				t.Error("the write changes nothing even when it is left alone")
			}
			db, err := OpenExisting(context.Background(), path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if problems := fsckProblems(t, db); len(problems) != 0 {
				t.Errorf("fsck: %q", problems)
			}
		})
	}
}

// dump is everything that a record holds: a line a row.
func dump(t *testing.T, path string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=rw&_pragma=query_only(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var lines []string
	for _, table := range rowsOf(t, db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
		name := strings.TrimSuffix(strings.TrimPrefix(table, "["), "]")
		for _, row := range rowsOf(t, db, `SELECT * FROM "`+name+`"`) {
			lines = append(lines, name+" "+row)
		}
	}
	return lines
}

// rowsOf reads rows as text.
func rowsOf(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(values))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// writesAJob is how many rounds of writes a job makes.
const writesAJob = 60

// writeALot writes in rounds what it can, once the test lets it.
func writeALot(db *DB) error {
	fmt.Println("ready")
	ctx := context.Background()
	for i := range writesAJob {
		run, err := db.StartRun(ctx, hour(i), fmt.Sprint("job ", os.Getpid(), i), "v1", "00")
		if err != nil {
			return err
		}
		p, err := db.Project(ctx, "onnx", "pypi", fmt.Sprintf("onnx-%d-%d", os.Getpid(), i))
		if err != nil {
			return err
		}
		f := wrong(fmt.Sprint(os.Getpid(), "-", i), audit.High, "x")
		f.PyPIProject = p.Name
		f.ID = audit.FindingID(audit.Key(f.Rule, f.Subject))
		if _, err := db.SaveListing(ctx, hour(i), audit.ListingUpdate{ProjectID: p.ID, Listing: &pypi.Listing{Files: []pypi.File{listed("a-1.0.whl", "aa", withProvenance)}}}); err != nil {
			return err
		}
		if _, err := db.Settle(ctx, hour(i), audit.Settlement{Project: p, Assessment: audit.Assessment{Findings: []audit.Finding{f}}, Channels: channels}); err != nil {
			return err
		}
		if err := db.FinishRun(ctx, hour(i), run, audit.Complete, []byte("{}")); err != nil {
			return err
		}
	}
	return nil
}

// TestTwoProcessesThatWriteAtOnceCorruptNothing has them write without the lock that the commands take.
func TestTwoProcessesThatWriteAtOnceCorruptNothing(t *testing.T) {
	db := openTemp(t)
	tx, err := db.w.Begin() // nobody can write before both are there
	if err != nil {
		t.Fatal(err)
	}
	writers := []*process{startJob(t, "write", db.Path()), startJob(t, "write", db.Path())}
	for _, w := range writers {
		w.waitUntilReady(t)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	for _, w := range writers {
		if w.killed(t) {
			t.Error("a writer was killed")
		}
	}
	if problems := fsckProblems(t, db); len(problems) != 0 {
		t.Errorf("fsck: %q", problems)
	}
	for table, want := range map[string]int{"runs": 2, "pypi_projects": 2, "files": 2, "findings": 2, "finding_events": 2, "outbox": 4} {
		if got := count(t, db, table); got != want*writesAJob {
			t.Errorf("%d rows in %s, want %d", got, table, want*writesAJob)
		}
	}
	runs, err := db.LastRuns(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != 2*writesAJob {
		t.Errorf("%d jobs in the diary", len(runs))
	}
	for _, r := range runs {
		if r.Outcome != audit.Complete || r.FinishedAt.IsZero() {
			t.Errorf("run %+v", r)
		}
	}
}
