package db

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// files are the names in a folder.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestABackupIsWholeWhileOthersWrite(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	path := filepath.Join(dir, "monitor.db")
	record, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close()
	settleOn(t, record, noon, audit.Assessment{Findings: []audit.Finding{wrong("a", audit.High, "x")}})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	end := sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
	})
	defer end()
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if _, err := record.Remind(ctx, hour(24*(i+1)), channels); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for _, name := range []string{"one.db", "two.db", "three.db"} {
		if err := Backup(ctx, path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	end()
	for _, name := range []string{"one.db", "two.db", "three.db"} {
		into := filepath.Join(dir, name)
		info, err := os.Stat(into)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
		copied, err := OpenExisting(ctx, into)
		if err != nil {
			t.Fatal(err)
		}
		if problems := fsckProblems(t, copied); len(problems) != 0 {
			t.Errorf("%s: %q", name, problems)
		}
		if f, err := copied.Finding(ctx, wrong("a", audit.High, "x").ID); err != nil || f.Status != audit.Open {
			t.Errorf("%s: %+v %v", name, f, err)
		}
		if err := copied.Close(); err != nil {
			t.Error(err)
		}
	}
	before, err := os.ReadFile(filepath.Join(dir, "one.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Backup(ctx, path, filepath.Join(dir, "one.db")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another file: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "one.db")); err != nil || !slices.Equal(before, after) {
		t.Errorf("the other file was changed: %v", err)
	}
	if slices.ContainsFunc(files(t, dir), func(name string) bool { return filepath.Ext(name) == ".part" }) {
		t.Errorf("it leaves %v", files(t, dir))
	}
	if err := Backup(ctx, filepath.Join(dir, "nothing.db"), filepath.Join(dir, "x.db")); err == nil {
		t.Error("a record that is not there was backed up")
	}
}

func TestARestoredRecordIsTheBackupAndTheOldOneIsKept(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	path, copied := filepath.Join(dir, "monitor.db"), filepath.Join(dir, "copy.db")
	record, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	settleOn(t, record, noon, audit.Assessment{Findings: []audit.Finding{wrong("a", audit.High, "x")}})
	if err := Backup(ctx, path, copied); err != nil {
		t.Fatal(err)
	}
	settleOn(t, record, hour(5), audit.Assessment{Findings: []audit.Finding{wrong("a", audit.High, "x"), wrong("b", audit.High, "y")}})
	if err := record.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"-wal", []byte("of the old one"), 0o600); err != nil {
		t.Fatal(err)
	}

	damaged, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"empty": nil, "text": []byte("hello"), "cut": damaged[:len(damaged)-100], "altered": slices.Concat(damaged[:5*4096], make([]byte, 4096), damaged[6*4096:])} {
		bad := filepath.Join(dir, name)
		if err := os.WriteFile(bad, body, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(ctx, bad, path); err == nil {
			t.Errorf("%s was restored", name)
		}
		if err := os.Remove(bad); err != nil {
			t.Fatal(err)
		}
	}
	aside, err := Restore(ctx, copied, path)
	if err != nil || aside != path+".before-restore-1" {
		t.Fatalf("%s %v", aside, err)
	}
	if record, err = OpenExisting(ctx, path); err != nil {
		t.Fatal(err)
	}
	defer record.Close()
	if _, err := record.Finding(ctx, wrong("b", audit.High, "y").ID); err == nil {
		t.Error("it has what came after the backup")
	}
	if _, err := record.Finding(ctx, wrong("a", audit.High, "x").ID); err != nil {
		t.Error(err)
	}
	if problems := fsckProblems(t, record); len(problems) != 0 {
		t.Errorf("fsck: %q", problems)
	}
	if wal, err := os.ReadFile(aside + "-wal"); err != nil || string(wal) != "of the old one" {
		t.Errorf("the old one's write-ahead log: %q %v", wal, err)
	}
}
