package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// TestNothingIsInventedWhereNothingIsAttested has a project that attests nothing, and one whose provenance cannot be had.
func TestNothingIsInventedWhereNothingIsAttested(t *testing.T) {
	world := startWorld(t)
	if err := sandbox.OnnxLike(world); err != nil {
		t.Fatal(err)
	}
	if err := world.PyPI.AddProject("plain", "somebody"); err != nil {
		t.Fatal(err)
	}
	if err := world.PyPI.Upload("plain", sandbox.Upload{Filename: "plain-1.0.tar.gz", Content: []byte("plain")}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, body := range map[string][]byte{"trusted_root.json": world.TrustedRootJSON(), "config.yaml": worldConfig(world)} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SLACK_WEBHOOK", world.Slack.WebhookURL())
	for name, c := range map[string]struct {
		project string
		broken  bool
		code    int
		said    string
	}{
		"nothing attested":        {"plain", false, exitUnknown, "pypi/plain has 1 file and provenance for none: there is nothing that a policy could be made of"},
		"no such project":         {"nobody", false, exitUsage, "the index has no project nobody"},
		"no provenance to be had": {"onnx-weekly", true, exitUnknown, "of the provenance of pypi/onnx-weekly that was looked at, nothing verifies"},
	} {
		if c.broken {
			defer world.PyPI.Break(sandbox.Fault{Path: "/integrity/*", Status: 404})()
		}
		var out, errs strings.Builder
		a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, clock: clock.Real()}
		output := filepath.Join(dir, "made.yaml")
		code := a.run(context.Background(), []string{"config", "init", c.project, "-c", filepath.Join(dir, "config.yaml"), "--output", output})
		if code != c.code || !strings.Contains(errs.String(), c.said) || out.Len() > 0 {
			t.Errorf("%s: exit code %d, %s%s", name, code, out.String(), errs.String())
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*made*")); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
}
