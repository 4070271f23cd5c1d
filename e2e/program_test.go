package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// monitor builds the project's own program, once for all tests.
func monitor(t *testing.T) string {
	t.Helper()
	path, err := shared.monitor()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func buildMonitor() (string, error) {
	dir, err := os.MkdirTemp("", "rekoncile-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "monitor")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/monitor")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("building the monitor: %w\n%s", err, out), os.RemoveAll(dir))
	}
	return path, nil
}

// follow is the JSON of `monitor follow`.
type follow struct {
	Logs []struct {
		Origin   string `json:"origin"`
		From, To uint64
		Size     uint64 `json:"size"`
		Proven   uint64 `json:"proven"`
		Hits     int    `json:"hits"`
		Trouble  string `json:"trouble"`
	} `json:"logs"`
}

func run(t *testing.T, into any, program, dir string, args ...string) int {
	t.Helper()
	cmd := exec.Command(program, append(args, "--json", "-c", "config.yaml")...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if into != nil {
		if err := json.Unmarshal(out, into); err != nil {
			t.Fatalf("%v: %v\n%s\n%s", args, err, out, stderr.String())
		}
	}
	if err == nil {
		return 0
	}
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	t.Fatal(err)
	return -1
}

// preset is the configuration of ONNX, as the program embeds it.
func preset(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "configs", "onnx.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
