// Package e2e runs the monitor, and its rooms that read logs, against the servers of Sigstore that others wrote: Rekor v1 and
// v2, Fulcio, a CT log, a timestamp authority.
//
// It promises that what passes here was understood as those servers mean it, on loopback, out of keys of its own. A server
// that cannot be had on a machine is reported as not run, never as passed. It does not look at how fast anything is.
package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// TestMain runs the tests, stops the servers that they share, and says what was run and what was not.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Println("stopping the servers:", err)
		code = max(code, 1)
	}
	shared.report()
	os.Exit(code)
}

// shared is what the tests of one process have in common: the storage, which takes long to start, the program, and an
// account of what ran.
var shared common

type common struct {
	storageOnce, programOnce       sync.Once
	storage                        *trillian
	program                        string
	storageFailure, programFailure error

	mu     sync.Mutex
	ran    map[string]bool
	notRun map[string]string // reasons, by test
}

// missingError says that a server cannot be had on this machine.
type missingError struct {
	what string
	err  error
}

func (e *missingError) Error() string { return fmt.Sprintf("%s cannot be had here: %v", e.what, e.err) }
func (e *missingError) Unwrap() error { return e.err }

// need ends a test whose servers cannot be had as not run, and one for which something else went wrong as failed.
func need(t *testing.T, err error) {
	t.Helper()
	var missing *missingError
	switch {
	case errors.As(err, &missing):
		shared.mu.Lock()
		if shared.notRun == nil {
			shared.notRun = map[string]string{}
		}
		shared.notRun[t.Name()] = missing.Error()
		shared.mu.Unlock()
		t.Skipf("NOT RUN: %v", missing)
	case err != nil:
		t.Fatal(err)
	}
}

// used notes that a server was run.
func (c *common) used(server string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ran == nil {
		c.ran = map[string]bool{}
	}
	c.ran[server] = true
}

// trillian is the storage that tests share, started for the first of them.
func (c *common) trillian(t *testing.T) *trillian {
	t.Helper()
	c.storageOnce.Do(func() { c.storage, c.storageFailure = startTrillian(t.Context()) })
	need(t, c.storageFailure)
	return c.storage
}

// monitor is the path of the project's own program.
func (c *common) monitor() (string, error) {
	c.programOnce.Do(func() { c.program, c.programFailure = buildMonitor() })
	return c.program, c.programFailure
}

func (c *common) stop() error {
	var problems []error
	if c.storage != nil {
		problems = append(problems, c.storage.stop())
	}
	if c.program != "" {
		problems = append(problems, os.RemoveAll(filepath.Dir(c.program)))
	}
	return errors.Join(problems...)
}

// report prints a line a server and a line a test that was not run.
func (c *common) report() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, server := range slices.Sorted(maps.Keys(c.ran)) {
		fmt.Println("run against:", server)
	}
	for _, test := range slices.Sorted(maps.Keys(c.notRun)) {
		fmt.Printf("NOT RUN: %s: %s\n", test, c.notRun[test])
	}
}
