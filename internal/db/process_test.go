package db

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// A test that needs a second process runs its own binary again: these say which job it does there, and on which record.
const (
	envJob  = "REKONCILE_DB_TEST_JOB"
	envPath = "REKONCILE_DB_TEST_PATH"
)

// jobs are what a second process can do. One prints "ready" when it got to where the test wants it.
var jobs = map[string]func(path string) error{
	"hold-lock": func(path string) error {
		if _, err := TakeLock(context.Background(), path, clock.Real(), 0, nil); err != nil {
			return err
		}
		fmt.Println("ready")
		select {}
	},
	"write": func(path string) error { return withRecord(path, writeALot) },
}

// TestMain doubles as a second process.
func TestMain(m *testing.M) {
	name := os.Getenv(envJob)
	if name == "" {
		os.Exit(m.Run())
	}
	job := jobs[name]
	if kill, ok := strings.CutPrefix(name, "kill:"); ok {
		job = func(path string) error { return withRecord(path, allKills()[kill]) }
	}
	if err := job(os.Getenv(envPath)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// withRecord does something with a record that is there already.
func withRecord(path string, do func(*DB) error) error {
	db, err := OpenExisting(context.Background(), path)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// process is a second process at work.
type process struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	stderr strings.Builder
}

// startJob starts a job in a process of its own, whose environment has env too.
func startJob(t *testing.T, job, path string, env ...string) *process {
	t.Helper()
	p := &process{cmd: exec.CommandContext(t.Context(), os.Args[0])}
	p.cmd.Env = append(append(os.Environ(), envJob+"="+job, envPath+"="+path, "GORACE=atexit_sleep_ms=0"), env...)
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) waitUntilReady(t *testing.T) {
	t.Helper()
	if said, err := p.out.ReadString('\n'); err != nil || said != "ready\n" {
		t.Fatalf("the second process said %q, %v", said, err)
	}
}

// killed waits for a process and reports whether it was killed. Any other failure is the test's.
func (p *process) killed(t *testing.T) bool {
	t.Helper()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return true
	}
	t.Fatalf("the second process: %v\n%s", err, &p.stderr)
	return false
}
