package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
)

// program is a server, or a tool of one, that others wrote.
type program struct{ module, path, version string }

// programs are in the newest versions that build with the project's Go.
var programs = map[string]program{
	"rekor-tiles":         {"github.com/sigstore/rekor-tiles/v2", "cmd/rekor-server/posix", "v2.3.0"},
	"rekor-server":        {"github.com/sigstore/rekor", "cmd/rekor-server", "v1.5.4"},
	"fulcio":              {"github.com/sigstore/fulcio", "", "v1.8.8"},
	"ct_server":           {"github.com/google/certificate-transparency-go", "trillian/ctfe/ct_server", "v1.4.0"},
	"trillian_log_server": {"github.com/google/trillian", "cmd/trillian_log_server", "v1.8.0"},
	"trillian_log_signer": {"github.com/google/trillian", "cmd/trillian_log_signer", "v1.8.0"},
	"createtree":          {"github.com/google/trillian", "cmd/createtree", "v1.8.0"},
}

func (p program) String() string { return path.Join(p.module, p.path) + "@" + p.version }

// majorVersion is the last part of a module's path, which names no program.
var majorVersion = regexp.MustCompile(`/v[0-9]+$`)

// binary is what `go install` calls the program.
func (p program) binary() string {
	return path.Base(majorVersion.ReplaceAllString(path.Join(p.module, p.path), ""))
}

// tool is where a program is, built into a cache once a version. It is a [*missingError] if it cannot be built here.
func tool(ctx context.Context, name string) (string, error) {
	p := programs[name]
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	dir := cmp.Or(os.Getenv("REKONCILE_TOOLS"), filepath.Join(home, ".cache", "rekoncile-tools"))
	built := filepath.Join(dir, name+"-"+p.version)
	if _, err := os.Stat(built); err == nil {
		return built, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	fresh, err := os.MkdirTemp(dir, "install-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh)
	if _, err := goCommand(ctx, []string{"GOBIN=" + fresh}, "install", "-trimpath", "-ldflags=-s -w", p.String()); err != nil {
		return "", &missingError{what: p.String(), err: err}
	}
	return built, os.Rename(filepath.Join(fresh, p.binary()), built)
}

// moduleFile is a file of a program's own source, such as the configuration that it runs with in production.
func moduleFile(ctx context.Context, name, file string) (string, error) {
	p := programs[name]
	out, err := goCommand(ctx, nil, "mod", "download", "-json", p.module+"@"+p.version)
	if err != nil {
		return "", &missingError{what: p.module + "@" + p.version, err: err}
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", fmt.Errorf("where %s@%s is: %w", p.module, p.version, err)
	}
	return filepath.Join(module.Dir, filepath.FromSlash(file)), nil
}

// goCommand runs the go command outside this module, whose dependencies are not the servers'.
func goCommand(ctx context.Context, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = os.TempDir()
	cmd.Env = append(append(os.Environ(), "GOFLAGS=-mod=mod", "CGO_ENABLED=0"), env...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %v: %w\n%s", args, err, problems.String())
	}
	return out.Bytes(), nil
}
