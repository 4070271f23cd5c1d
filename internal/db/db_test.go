package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// TestMain doubles as a process that holds a record's lock.
func TestMain(m *testing.M) {
	if path := os.Getenv("DB_TEST_HOLD_LOCK"); path != "" {
		if _, err := TakeLock(context.Background(), path, clock.Real(), 0, nil); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		select {}
	}
	os.Exit(m.Run())
}

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

func TestOpeningAgainChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "monitor.db")
	for range 2 {
		db, err := Open(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenExisting(context.Background(), filepath.Join(t.TempDir(), "none.db")); err == nil || !strings.Contains(err.Error(), "run `monitor once`") {
		t.Errorf("a missing record: %v", err)
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
	for name, c := range map[string]struct {
		make func(path string)
		want string
	}{
		"newer schema": {func(path string) {
			db, err := Open(context.Background(), path)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			raw(path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
		}, "was written by a newer version (schema 9999, this version knows "},
		"foreign database": {func(path string) { raw(path, "CREATE TABLE t (x)") }, "is a database, but not a record of the monitor"},
		"no database": {func(path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "it is not an SQLite database"},
		"folder": {func(path string) {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}, "is a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "monitor.db")
			c.make(path)
			before, _ := os.ReadFile(path)
			_, err := Open(context.Background(), path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
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
	path := filepath.Join(t.TempDir(), "monitor.db")
	db, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 5000); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestOneProcessAtATimeWorksOnARecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "monitor.db")
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), "DB_TEST_HOLD_LOCK="+path)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 5)
	if _, err := out.Read(said); err != nil || string(said) != "held\n" {
		t.Fatalf("the holder said %q, %v", said, err)
	}

	_, err = TakeLock(context.Background(), path, clock.Real(), 0, nil)
	var held *LockedError
	if !errors.As(err, &held) || held.PID != holder.Process.Pid {
		t.Fatalf("without waiting: %v", err)
	}
	if want := fmt.Sprintf("another monitor (process %d) is working on %s: wait for it to end, or use another record", holder.Process.Pid, path); err.Error() != want {
		t.Errorf("it says %q", err)
	}

	// The holder is killed while the second waits: the system gives the lock back, and nothing needs to be cleaned up.
	waiting := 0
	lock, err := TakeLock(context.Background(), path, clock.Real(), time.Minute, func(*LockedError) {
		waiting++
		if err := holder.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = holder.Wait() // it was killed: that is its error
	})
	if err != nil || waiting != 1 {
		t.Fatalf("after the holder's death: %v, told %d times", err, waiting)
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := TakeLock(context.Background(), path, clock.Real(), 0, nil)
	if err != nil {
		t.Fatalf("a lock that was given back: %v", err)
	}
	if err := again.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestSQLitesLibraryIsTheOneThatItNeeds(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite").Output()
	if err != nil {
		t.Skipf("skipped: the module's own go.mod cannot be found here: %v", err)
	}
	text, err := os.ReadFile(strings.TrimSpace(string(out)))
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	ours, err := exec.Command("go", "list", "-m", "modernc.org/libc").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), strings.TrimSpace(string(ours))) {
		t.Errorf("modernc.org/sqlite does not name %s", strings.TrimSpace(string(ours)))
	}
}
