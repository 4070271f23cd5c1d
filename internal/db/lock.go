package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// Lock is the right to work on a record: held by one process at a time, and given back by the system when the process
// ends, however it ends.
type Lock struct{ f *flock.Flock }

// LockedError says that another process works on the record.
type LockedError struct {
	Path string
	PID  int // 0 where it is not known
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID > 0 {
		who = fmt.Sprintf("another monitor (process %d)", e.PID)
	}
	return fmt.Sprintf("%s is working on %s: wait for it to end, or use another record", who, e.Path)
}

// TakeLock takes the lock of the record at path, waiting for at most wait. waiting is called once if it has to
// wait, with who holds it. The lock lives in the file path+".lock".
func TakeLock(ctx context.Context, path string, c clock.Clock, wait time.Duration, waiting func(*LockedError)) (*Lock, error) {
	const poll = 200 * time.Millisecond
	f := flock.New(path+".lock", flock.SetPermissions(0o644))
	for start := c.Now(); ; {
		ok, err := f.TryLock()
		if err != nil {
			return nil, fmt.Errorf("lock of record %s: %w", path, err)
		}
		if ok {
			// For whoever finds the record locked; the lock itself is the system's.
			if err := os.WriteFile(f.Path(), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
				return nil, errors.Join(fmt.Errorf("lock of record %s: %w", path, err), f.Unlock())
			}
			return &Lock{f: f}, nil
		}
		held := &LockedError{Path: path, PID: holder(f.Path())}
		if c.Now().Sub(start) >= wait {
			return nil, held
		}
		if waiting != nil {
			waiting(held)
			waiting = nil
		}
		if err := clock.Sleep(ctx, c, poll); err != nil {
			return nil, err
		}
	}
}

// Release gives the lock back.
func (l *Lock) Release() error { return l.f.Unlock() }

// holder reads which process wrote the lock file.
func holder(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}
