package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
)

func TestOneProcessAtATimeWorksOnARecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "monitor.db")
	holder := startJob(t, "hold-lock", path)
	holder.waitUntilReady(t)

	_, err := TakeLock(context.Background(), path, clock.Real(), 0, nil)
	var held *LockedError
	if !errors.As(err, &held) || held.PID != holder.cmd.Process.Pid {
		t.Fatalf("without waiting: %v", err)
	}
	if want := fmt.Sprintf("another monitor (process %d) is working on %s: wait for it to end, or use another record", holder.cmd.Process.Pid, path); err.Error() != want {
		t.Errorf("it says %q", err)
	}

	// The holder is killed while the second waits: the system gives the lock back, and nothing needs to be cleaned up.
	waiting := 0
	lock, err := TakeLock(context.Background(), path, clock.Real(), time.Minute, func(*LockedError) {
		waiting++
		if err := holder.cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		if !holder.killed(t) {
			t.Error("the holder ended by itself")
		}
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

func TestWaitingForALockEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "monitor.db")
	lock, err := TakeLock(context.Background(), path, clock.Real(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := lock.Release(); err != nil {
			t.Error(err)
		}
	}()

	start := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	c := clock.NewSimulated(start)
	c.AutoAdvance()
	var held *LockedError
	if _, err := TakeLock(context.Background(), path, c, 10*time.Second, nil); !errors.As(err, &held) {
		t.Errorf("after its time: %v", err)
	}
	if waited := c.Now().Sub(start); waited != 10*time.Second {
		t.Errorf("it waited %s", waited)
	}

	ctx, cancel := context.WithCancel(context.Background())
	if _, err := TakeLock(ctx, path, c, time.Hour, func(*LockedError) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

func TestAHolderThatLeftNoNumberIsAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "monitor.db")
	lock, err := TakeLock(context.Background(), path, clock.Real(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := lock.Release(); err != nil {
			t.Error(err)
		}
	}()
	for _, text := range []string{"", "not a number", "\x00\x00\x00\x00"} {
		if err := os.WriteFile(path+".lock", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := TakeLock(context.Background(), path, clock.Real(), 0, nil)
		if want := "another process is working on " + path + ": wait for it to end, or use another record"; err == nil || err.Error() != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}
