package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Backup writes a consistent copy of the record at path into a new file, while others work on the record: a whole one or none. The
// copy is checked before it has its name. An error wraps fs.ErrExist where there is a file of that name.
func Backup(ctx context.Context, path, into string) (err error) {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if _, err := check(ctx, path); err != nil {
		return err
	}
	part, err := newPart(into)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, discard(part)) }()
	from, err := open(path, "rw")
	if err != nil {
		return err
	}
	_, err = from.ExecContext(ctx, "VACUUM INTO ?", part) // which takes an empty file, with its permissions
	if err = errors.Join(err, from.Close()); err != nil {
		return fmt.Errorf("backup of %s: %w", path, explain(err))
	}
	if err := sound(ctx, part); err != nil {
		return fmt.Errorf("backup of %s: %w", path, err)
	}
	return publish(part, into)
}

// Restore puts a copy of a backup in the place of the record at path, whose lock the caller holds. What was there is moved aside, and
// where that is is returned; "" where nothing was.
func Restore(ctx context.Context, from, path string) (aside string, err error) {
	if err := sound(ctx, from); err != nil {
		return "", err
	}
	part, err := newPart(path)
	if err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	defer func() { err = errors.Join(err, discard(part)) }()
	if err := copyFile(from, part); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	if err := sound(ctx, part); err != nil {
		return "", err
	}
	if aside, err = setAside(path); err != nil {
		return aside, fmt.Errorf("restore: moving the record aside: %w", err)
	}
	return aside, publish(part, path)
}

// sound reports what is wrong with a file that should be a whole record.
func sound(ctx context.Context, path string) (err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir() || info.Size() == 0:
		return fmt.Errorf("%s is not a record of the monitor", path)
	}
	if _, err := check(ctx, path); err != nil {
		return err
	}
	db, err := open(path, "ro", "_pragma=query_only(1)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil || tables == 0 {
		return fmt.Errorf("%s is not a record of the monitor", path)
	}
	var found string
	switch err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&found); {
	case err != nil:
		return fmt.Errorf("%s cannot be read: %w", path, explain(err))
	case found != "ok":
		return fmt.Errorf("%s is damaged: %s", path, found)
	}
	switch err := db.QueryRowContext(ctx, `SELECT "table" FROM pragma_foreign_key_check LIMIT 1`).Scan(&found); {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("%s cannot be read: %w", path, explain(err))
	}
	return fmt.Errorf("%s is damaged: a row of %s refers to what is not there", path, found)
}

// newPart makes an empty file beside one that is to be, for its owner alone.
func newPart(beside string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(beside), "."+filepath.Base(beside)+"-*.part")
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// discard removes a file that was not given its name.
func discard(part string) error {
	var errs []error
	for _, name := range []string{part, part + "-journal", part + "-wal", part + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// publish gives a file its name, on disk, unless somebody else has it.
func publish(part, name string) error {
	if err := syncFile(part); err != nil {
		return err
	}
	if err := os.Link(part, name); err != nil {
		return err
	}
	return syncFile(filepath.Dir(name))
}

// setAside moves a record, with what belongs to it, to a name that is free.
func setAside(path string) (string, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	aside := ""
	for n := 1; ; n++ {
		aside = fmt.Sprintf("%s.before-restore-%d", path, n)
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	// The write-ahead log goes first: it would be taken for the restored record's.
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return aside, err
		}
	}
	return aside, nil
}

// copyFile copies into a file that is there.
func copyFile(from, into string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := os.OpenFile(into, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// syncFile waits until a file or folder is on disk.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
