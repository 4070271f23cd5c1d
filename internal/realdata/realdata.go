// Package realdata finds, for tests, the collection of real material that other people made and that is no part of the
// project: trusted roots, provenance, bundles, log entries, checkpoints, certificates.
//
// It promises that a test which needs it says so where it is not at hand, and is skipped.
package realdata

import (
	"os"
	"path/filepath"
	"testing"
)

// EnvDir names the environment variable with the collection's folder. Without it, that is ../shared/data from the project's
// root.
const EnvDir = "REKONCILE_DATA"

// Dir is the collection's folder; without one the test is skipped.
func Dir(tb testing.TB) string {
	tb.Helper()
	dir, ok := Find(tb)
	if !ok {
		tb.Skipf("no real data in %s: set %s to run this test", dir, EnvDir)
	}
	return dir
}

// Find is the folder in which the collection is looked for, and whether it is there.
func Find(tb testing.TB) (dir string, ok bool) {
	tb.Helper()
	if dir = os.Getenv(EnvDir); dir == "" {
		dir = filepath.Join(root(tb), "..", "shared", "data")
	}
	_, err := os.Stat(filepath.Join(dir, "1-trust"))
	return dir, err == nil
}

// root is the project's: the folder of go.mod.
func root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			tb.Fatal("go.mod is in no folder above the test's")
		}
		dir = filepath.Dir(dir)
	}
}
