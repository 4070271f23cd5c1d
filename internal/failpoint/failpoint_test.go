package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestMain doubles as the process that dies.
func TestMain(m *testing.M) {
	if os.Getenv("FAILPOINT_TEST_CHILD") != "" {
		defer os.WriteFile(os.Getenv("FAILPOINT_TEST_CHILD"), []byte("deferred calls ran"), 0o644)
		for range 3 {
			Hit("test/first")
			Hit("test/second")
		}
		return
	}
	os.Exit(m.Run())
}

func TestProcessDiesAtTheNamedPlaceAndPassage(t *testing.T) {
	for _, c := range []struct {
		kill string
		want string // places passed
		dies bool
	}{
		{"", "test/first\ntest/second\ntest/first\ntest/second\ntest/first\ntest/second\n", false},
		{"test/second", "test/first\ntest/second\n", true},
		{"test/first:3", "test/first\ntest/second\ntest/first\ntest/second\ntest/first\n", true},
		{"test/elsewhere", "test/first\ntest/second\ntest/first\ntest/second\ntest/first\ntest/second\n", false},
	} {
		dir := t.TempDir()
		log, trace := filepath.Join(dir, "log"), filepath.Join(dir, "trace")
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), EnvKill+"="+c.kill, EnvLog+"="+log, "FAILPOINT_TEST_CHILD="+trace)
		err := cmd.Run()
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if killed != c.dies {
			t.Errorf("%q: killed is %t, err %v", c.kill, killed, err)
		}
		got, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != c.want {
			t.Errorf("%q: passed %q, want %q", c.kill, got, c.want)
		}
		if _, err := os.Stat(trace); c.dies != errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: deferred calls ran is %t", c.kill, err == nil)
		}
	}
}
