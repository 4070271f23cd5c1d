// Package db is the record: one SQLite file with facts, judgements, duties and the diary.
//
// It promises that every write is one transaction that survives a power cut once it returned (WAL,
// synchronous=FULL), that at most one process works on a record at a time (Lock), that a record made by a newer
// version is refused untouched, and that a reader never blocks the writer. It does not judge: what it stores
// was decided by its users, whose store interfaces it implements.
package db

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks the file as a Rekoncile record ("Rkcl"), so that another program's database is not taken
// for one. SQLite keeps it in the file's header.
const applicationID = 0x526b636c

// headerSize is that of an SQLite file's header, in bytes. SQLite takes a file of one byte for an empty one.
const headerSize = 100

// DB is an open record. It is safe for concurrent use.
type DB struct {
	path string
	w    *sql.DB // one connection: the single writer
	r    *sql.DB

	requests requestCount
}

// NewerError says that a record was made by a newer version.
type NewerError struct {
	Path         string
	Has, Highest int64
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s was written by a newer version (schema %d, this version knows %d): upgrade the monitor, or use another file",
		e.Path, e.Has, e.Highest)
}

// Open opens the record at path, making it and bringing its schema up to date as needed. The folder must exist.
func Open(ctx context.Context, path string) (*DB, error) {
	if dir := filepath.Dir(path); dir != "." {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("record %s: the folder %s does not exist: make it first", path, dir)
		}
	}
	// Looked at read-only first: a foreign or newer file must stay exactly as it is, its journal mode included.
	current, err := check(ctx, path)
	if err != nil {
		return nil, err
	}
	db := &DB{path: path}
	if db.w, err = open(path, "rwc", "_txlock=immediate"); err != nil {
		return nil, err
	}
	db.w.SetMaxOpenConns(1)
	if !current {
		if err := db.bringUpToDate(ctx); err != nil {
			return nil, errors.Join(err, db.w.Close())
		}
	}
	if db.r, err = open(path, "rw", "_pragma=query_only(1)"); err != nil {
		return nil, errors.Join(err, db.w.Close())
	}
	db.r.SetMaxOpenConns(4)
	return db, nil
}

// OpenExisting opens a record that must be there already: a command that only looks must not leave an empty one.
func OpenExisting(ctx context.Context, path string) (*DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no record at %s: run `monitor once` or `monitor audit` first, or name another with --database", path)
	}
	return Open(ctx, path)
}

// Path is the record's file.
func (db *DB) Path() string { return db.path }

// Close keeps the requests that were not counted yet, and closes the record. The write-ahead log is folded into the file by the
// last connection.
func (db *DB) Close() error {
	return errors.Join(db.keepLastRequests(context.Background()), db.r.Close(), db.w.Close())
}

// open makes a pool over the file.
func open(path, mode string, params ...string) (*sql.DB, error) {
	q := url.Values{"mode": {mode}, "_dqs": {"0"}, "_defensive": {"1"}}
	q["_pragma"] = []string{"busy_timeout(10000)", "foreign_keys(1)", "synchronous(FULL)", "trusted_schema(0)", "journal_size_limit(67108864)", "cache_size(-32768)"}
	for _, p := range params {
		values, err := url.ParseQuery(p)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", path, err)
		}
		for k, v := range values {
			q[k] = append(q[k], v...)
		}
	}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", path, err)
	}
	return db, nil
}

// check refuses a file that is no record or a newer one, without writing to it, and reports whether its schema is this
// version's.
func check(ctx context.Context, path string) (current bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("record: %w", err)
	case info.IsDir():
		return false, fmt.Errorf("record %s is a folder: name a file", path)
	case info.Size() == 0:
		return false, nil
	case info.Size() < headerSize:
		return false, fmt.Errorf("record %s cannot be read: it is not an SQLite database", path)
	}
	current, err = look(ctx, path, info, "ro")
	var e *sqlite.Error
	if errors.As(err, &e) && e.Code() == sqlite3.SQLITE_READONLY_ROLLBACK {
		// Whoever made the file was killed in a transaction, before there was a write-ahead log. What was committed can be read
		// only once the rest is rolled back, and SQLite cannot do that without writing.
		current, err = look(ctx, path, info, "rw")
	}
	return current, err
}

// look is check for a file that is there, opened in a mode.
func look(ctx context.Context, path string, info fs.FileInfo, mode string) (current bool, err error) {
	db, err := open(path, mode, "_pragma=query_only(1)")
	if err != nil {
		return false, err
	}
	defer db.Close()
	var id, tables, pageSize, version int64
	var journal string
	for _, ask := range []struct {
		query string
		into  any
	}{
		{"PRAGMA application_id", &id}, {"PRAGMA journal_mode", &journal}, {"PRAGMA page_size", &pageSize}, {"SELECT count(*) FROM sqlite_schema", &tables},
	} {
		if err := db.QueryRowContext(ctx, ask.query).Scan(ask.into); err != nil {
			return false, fmt.Errorf("record %s cannot be read: %w", path, explain(err))
		}
	}
	if mode != "ro" {
		if info, err = os.Stat(path); err != nil { // what was rolled back may have made it shorter
			return false, fmt.Errorf("record: %w", err)
		}
	}
	// SQLite reads what is missing of a last page as zeros. Only beside a write-ahead log, which has it, may it be missing.
	if wal, err := os.Stat(path + "-wal"); info.Size()%pageSize != 0 && (err != nil || wal.Size() == 0) {
		return false, fmt.Errorf("record %s cannot be read: its last page is cut off: restore it from a backup", path)
	}
	if tables == 0 {
		return false, nil // made, but killed before the first migration committed
	}
	if id != applicationID {
		return false, fmt.Errorf("%s is a database, but not a record of the monitor: name another file", path)
	}
	if err := db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version").Scan(&version); err != nil {
		return false, fmt.Errorf("record %s: its schema version cannot be read: %w", path, explain(err))
	}
	highest, err := highestMigration()
	if err != nil {
		return false, err
	}
	if version > highest {
		return false, &NewerError{Path: path, Has: version, Highest: highest}
	}
	return version == highest && journal == "wal", nil // a copy made by VACUUM has another journal mode
}

// explain adds what an operator can do about SQLite's own errors.
func explain(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w: it is not an SQLite database", err)
		case sqlite3.SQLITE_CORRUPT:
			return fmt.Errorf("%w: restore it from a backup", err)
		case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
			return fmt.Errorf("%w: check the permissions of the file and of its folder", err)
		}
	}
	return err
}

// highestMigration is the newest schema version that this binary knows.
func highestMigration() (int64, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		return 0, fmt.Errorf("embedded migrations: %w", errors.Join(err, fs.ErrNotExist))
	}
	return goose.NumericComponent(names[len(names)-1])
}

// bringUpToDate migrates the record, one process at a time: a command that only looks may come by while another makes it.
// The record's own lock is its writer's, so the folder is locked.
func (db *DB) bringUpToDate(ctx context.Context) error {
	const poll = 50 * time.Millisecond
	folder := flock.New(filepath.Dir(db.path), flock.SetFlag(os.O_RDONLY))
	if _, err := folder.TryLockContext(ctx, poll); err != nil {
		return fmt.Errorf("record %s: waiting for its folder's lock: %w", db.path, err)
	}
	current, err := check(ctx, db.path)
	if err == nil && !current {
		if err = db.migrate(ctx); err != nil {
			err = fmt.Errorf("record %s: %w", db.path, err)
		}
	}
	return errors.Join(err, folder.Unlock())
}

// migrate brings the schema up to date, each step in a transaction of its own.
func (db *DB) migrate(ctx context.Context) error {
	// The journal mode is kept in the file and cannot change inside a transaction.
	for _, pragma := range []string{fmt.Sprintf("PRAGMA application_id = %d", applicationID), "PRAGMA journal_mode = WAL"} {
		if _, err := db.w.ExecContext(ctx, pragma); err != nil {
			return explain(err)
		}
	}
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db.w, dir)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return explain(err)
}

// write runs fn in one transaction, which keeps the requests that were made since the one before.
func (db *DB) write(ctx context.Context, what string, fn func(tx *sql.Tx) error) error {
	tx, err := db.w.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, explain(err))
	}
	if err := fn(tx); err != nil {
		return fmt.Errorf("%s: %w", what, errors.Join(explain(err), rollback(tx)))
	}
	counts := db.requests.fresh()
	err = keepRequests(ctx, tx, counts)
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		db.requests.restore(counts)
		return fmt.Errorf("%s: %w", what, errors.Join(explain(err), rollback(tx)))
	}
	return nil
}

// rollback undoes a transaction; that it ended already is no news.
func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// micros stores an instant; the zero time is NULL.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// instant reads an instant back.
func instant(v sql.NullInt64) time.Time {
	if !v.Valid {
		return time.Time{}
	}
	return time.UnixMicro(v.Int64).UTC()
}
