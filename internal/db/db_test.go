package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// openTemp opens a new record in a folder of its own.
func openTemp(t *testing.T) *DB {
	t.Helper()
	db, err := Open(context.Background(), filepath.Join(t.TempDir(), "monitor.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func pragma(t *testing.T, pool *sql.DB, name string) string {
	t.Helper()
	var v string
	if err := pool.QueryRow("PRAGMA " + name).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRecordSurvivesAPowerCutByItsSettings(t *testing.T) {
	db := openTemp(t)
	for _, pool := range []*sql.DB{db.w, db.r} {
		for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "trusted_schema": "0", "application_id": "1382769516"} {
			if got := pragma(t, pool, name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	}
	if _, err := db.r.Exec("DELETE FROM runs"); err == nil {
		t.Error("the readers' connections write")
	}
}

// TestATransactionIsTheWriterFromItsStart keeps what a transaction read from being changed before it writes.
func TestATransactionIsTheWriterFromItsStart(t *testing.T) {
	db := openTemp(t)
	other, err := Open(context.Background(), db.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.w.Exec("PRAGMA busy_timeout = 0"); err != nil {
		t.Fatal(err)
	}
	tx, err := db.w.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if second, err := other.w.Begin(); err == nil {
		t.Errorf("a second writer is let in, %v", second.Rollback())
	} else if !strings.Contains(err.Error(), "SQLITE_BUSY") {
		t.Errorf("a second writer: %v", err)
	}
	if _, err := other.LastRuns(context.Background()); err != nil {
		t.Errorf("a reader beside it: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := other.StartRun(context.Background(), noon, "audit", "v1", ""); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// makeRecord makes an empty record and leaves it closed.
func makeRecord(t *testing.T, path string) {
	t.Helper()
	db, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpeningAgainChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "odd name: 100% #1? é.db")
	makeRecord(t, path)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	makeRecord(t, path)
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(before) != sha256.Sum256(after) {
		t.Error("the file was changed")
	}
	if _, err := OpenExisting(context.Background(), filepath.Join(t.TempDir(), "none.db")); err == nil || !strings.Contains(err.Error(), "run `monitor once`") {
		t.Errorf("a missing record: %v", err)
	}
}

func TestManyMayOpenANewRecordAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "monitor.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			db, err := Open(context.Background(), path)
			if err != nil {
				t.Error(err)
				return
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	db, err := OpenExisting(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	files, err := os.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	var steps int
	if err := db.r.QueryRow("SELECT count(*) FROM goose_db_version WHERE version_id > 0").Scan(&steps); err != nil || steps != len(files) {
		t.Errorf("%d migrations of %d were made: %v", steps, len(files), err)
	}
}

func TestACopyByVacuumIsARecordAgain(t *testing.T) {
	db := openTemp(t)
	path := filepath.Join(t.TempDir(), "copy.db")
	if _, err := db.w.Exec("VACUUM INTO ?", path); err != nil {
		t.Fatal(err)
	}
	restored, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if got := pragma(t, restored.w, "journal_mode"); got != "wal" {
		t.Errorf("journal_mode is %s", got)
	}
}

func TestWhatIsNoRecordOfOursIsRefusedUntouched(t *testing.T) {
	raw := func(path string, statements ...string) {
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	steps, err := os.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		make func(path string)
		want string
	}{
		"newer schema": {func(path string) {
			makeRecord(t, path)
			raw(path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
		}, "PATH was written by a newer version (schema 9999, this version knows KNOWN): upgrade the monitor, or use another file"},
		"foreign database": {func(path string) { raw(path, "CREATE TABLE t (x)") }, "PATH is a database, but not a record of the monitor: name another file"},
		"no database": {func(path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "record PATH cannot be read: file is not a database (26): it is not an SQLite database"},
		"folder": {func(path string) {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}, "record PATH is a folder: name a file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "monitor.db")
			c.make(path)
			before, _ := os.ReadFile(path)
			_, err := Open(context.Background(), path)
			if want := strings.NewReplacer("PATH", path, "KNOWN", strings.TrimLeft(steps[len(steps)-1].Name()[:4], "0")).Replace(c.want); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if after, _ := os.ReadFile(path); sha256.Sum256(before) != sha256.Sum256(after) {
				t.Error("the file was changed")
			}
		})
	}
	var newer *NewerError
	if _, err := Open(context.Background(), filepath.Join(t.TempDir(), "no", "folder.db")); err == nil || errors.As(err, &newer) || !strings.Contains(err.Error(), "does not exist: make it first") {
		t.Errorf("a missing folder: %v", err)
	}
}

func TestTruncatedRecordIsAClearError(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "monitor.db")
	makeRecord(t, whole)
	content, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, length := range []int{1, 99, 512, 4096, 5000, len(content) / 2, len(content) - 4096, len(content) - 1} {
		path := filepath.Join(t.TempDir(), "monitor.db")
		if err := os.WriteFile(path, content[:length], 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Open(context.Background(), path)
		if err == nil || !strings.HasPrefix(err.Error(), "record "+path) ||
			!strings.HasSuffix(err.Error(), "it is not an SQLite database") && !strings.HasSuffix(err.Error(), "restore it from a backup") {
			t.Errorf("%d bytes of %d: %v", length, len(content), err)
		}
		after, err := os.ReadFile(path)
		if err != nil || sha256.Sum256(content[:length]) != sha256.Sum256(after) {
			t.Errorf("%d bytes of %d: the file was changed, %v", length, len(content), err)
		}
	}
}
