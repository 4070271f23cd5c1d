package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/rekoncile/rekoncile/internal/fetch"
)

// counted is a counter that a test moves.
type counted []fetch.Usage

func (c *counted) Usage() []fetch.Usage { return *c }

// ask counts requests.
func (c *counted) ask(host, day string, n int64) {
	for i := range *c {
		if u := &(*c)[i]; u.Host == host && u.Day == day {
			u.Requests += n
			return
		}
	}
	*c = append(*c, fetch.Usage{Host: host, Day: day, Requests: n})
}

// askedBy are the counts of a record.
func askedBy(t *testing.T, db *DB) map[string]int64 {
	t.Helper()
	rows, err := db.r.Query(`SELECT host || ' ' || date(day * 86400, 'unixepoch'), requests FROM host_requests`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := map[string]int64{}
	for rows.Next() {
		var of string
		var n int64
		if err := rows.Scan(&of, &n); err != nil {
			t.Fatal(err)
		}
		all[of] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEveryTransactionKeepsWhatWasAskedUntilThen counts requests of two hosts over midnight: each is kept once, with the next
// transaction that commits, whatever that is about; one that does not commit loses none.
func TestEveryTransactionKeepsWhatWasAskedUntilThen(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "monitor.db")
	db, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	var c counted
	c.ask("before.example", "2026-11-02", 99) // before this record counts
	db.CountRequests(&c)
	commit := func() {
		t.Helper()
		if err := db.write(ctx, "anything", func(*sql.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want map[string]int64) {
		t.Helper()
		if diff := cmp.Diff(want, askedBy(t, db)); diff != "" {
			t.Error(diff)
		}
	}
	commit()
	expect(map[string]int64{})
	c.ask("rekor.example", "2026-11-02", 3)
	c.ask("pypi.example:8080", "2026-11-02", 1)
	expect(map[string]int64{})
	commit()
	commit()
	expect(map[string]int64{"rekor.example 2026-11-02": 3, "pypi.example:8080 2026-11-02": 1})

	c.ask("rekor.example", "2026-11-02", 2)
	c.ask("rekor.example", "2026-11-03", 5)
	failure := errors.New("no")
	if err := db.write(ctx, "something", func(*sql.Tx) error { return failure }); !errors.Is(err, failure) {
		t.Fatal(err)
	}
	// A commit that fails: what it would have kept is kept by the next.
	ending, cancel := context.WithCancel(ctx)
	if err := db.write(ending, "something", func(*sql.Tx) error { cancel(); return nil }); err == nil {
		t.Fatal("it committed")
	}
	expect(map[string]int64{"rekor.example 2026-11-02": 3, "pypi.example:8080 2026-11-02": 1})
	if n, err := db.Asked(ctx, "rekor.example", time.Date(2026, 10, 31, 12, 0, 0, 0, time.UTC)); err != nil || n != 0 {
		t.Errorf("on another day: %d, %v", n, err)
	}
	want := map[string]int64{"rekor.example 2026-11-02": 5, "rekor.example 2026-11-03": 5, "pypi.example:8080 2026-11-02": 1}
	expect(want)

	// What was asked after the last transaction is kept when the record is closed.
	c.ask("rekor.example", "2026-11-03", 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(ctx, path); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.CountRequests(&c)
	c.ask("rekor.example", "2026-11-03", 1)
	commit()
	want["rekor.example 2026-11-03"] = 7
	expect(want)
}

// TestWhatRekor1WasAskedIsCarriedOver migrates a record of the version in which requests were counted by log.
func TestWhatRekor1WasAskedIsCarriedOver(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "monitor.db")
	before, err := open(path, "rwc")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, before, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(ctx, 11); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		fmt.Sprintf("PRAGMA application_id = %d", applicationID),
		`INSERT INTO logs (id, origin, kind, key_id, url) VALUES (1, 'rekor.example', 'rekor-v1', 'aa', 'https://Rekor.Example/prefix'), (2, 'mirror', 'rekor-v1', 'bb', 'https://rekor.example'),
			(3, 'local', 'rekor-v1', 'cc', 'http://127.0.0.1:8080')`,
		`INSERT INTO rekor1_logs (log_id, keys) VALUES (1, '[]'), (2, '[]'), (3, '[]')`,
		`INSERT INTO rekor1_requests (log_id, day, requests) VALUES (1, 20759, 7), (1, 20760, 5), (2, 20760, 10), (3, 20760, 1)`,
	} {
		if _, err := before.ExecContext(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	want := map[string]int64{"rekor.example 2026-11-02": 7, "rekor.example 2026-11-03": 15, "127.0.0.1:8080 2026-11-03": 1}
	if diff := cmp.Diff(want, askedBy(t, db)); diff != "" {
		t.Error(diff)
	}
	day := time.Date(2026, 11, 3, 23, 59, 0, 0, time.UTC)
	hosts, err := db.RequestsOn(ctx, day)
	if diff := cmp.Diff([]HostRequests{{"127.0.0.1:8080", day.Truncate(24 * time.Hour), 1}, {"rekor.example", day.Truncate(24 * time.Hour), 15}}, hosts); err != nil || diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
}
