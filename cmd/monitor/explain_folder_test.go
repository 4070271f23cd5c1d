package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// explained is a world with an audited project, and what explains it.
type explained struct {
	dir   string
	world *sandbox.World
}

func newExplained(t *testing.T, cases ...string) explained {
	t.Helper()
	world := startWorld(t)
	if err := sandbox.OnnxLike(world); err != nil {
		t.Fatal(err)
	}
	for _, name := range cases {
		i := slices.IndexFunc(sandbox.Lies(), func(c sandbox.Case) bool { return c.Name == name })
		if err := sandbox.Lies()[i].Apply(world); err != nil {
			t.Fatal(err)
		}
	}
	e := explained{t.TempDir(), world}
	text := fmt.Appendf(logsConfig(world, "trusted_root: trusted_root.json"), "\nindexes: {pypi: {url: %q}}\n", world.PyPI.URL())
	for name, body := range map[string][]byte{"trusted_root.json": world.TrustedRootJSON(), "config.yaml": text} {
		if err := os.WriteFile(filepath.Join(e.dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// run runs the program, and returns its exit code and what it said.
func (e explained) run(args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, clock: clock.Real()}
	code = a.run(context.Background(), append(args, "--log-level", "error"))
	return code, out.String(), errs.String()
}

func (e explained) once(t *testing.T) {
	t.Helper()
	if code, _, stderr := e.run("once", "-c", filepath.Join(e.dir, "config.yaml"), "--fail-on", "none"); code != exitOK {
		t.Fatalf("once ended with %d: %s", code, stderr)
	}
}

// finding is the id of an open finding of a rule.
func (e explained) finding(t *testing.T, rule string) string {
	t.Helper()
	_, out, _ := e.run("findings", "-c", filepath.Join(e.dir, "config.yaml"), "--rule", rule, "--json")
	var answer struct {
		Findings []audit.Finding `json:"findings"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || len(answer.Findings) == 0 {
		t.Fatalf("no finding of %s: %v", rule, err)
	}
	return answer.Findings[0].ID
}

// export writes the evidence of something, and returns the folder.
func (e explained) export(t *testing.T, what string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "evidence")
	if code, _, stderr := e.run("explain", "-c", filepath.Join(e.dir, "config.yaml"), what, "--export", dir); code != exitOK {
		t.Fatalf("explain %s ended with %d: %s", what, code, stderr)
	}
	return dir
}

// folderFiles reads a folder.
func folderFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		if files[entry.Name()], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func writeFolder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestEvidenceWithAnyByteAlteredIsRefused alters each file of a folder, at its ends and in between, takes each away, and adds one.
func TestEvidenceWithAnyByteAlteredIsRefused(t *testing.T) {
	e := newExplained(t, "pr-build")
	e.once(t)
	dir := e.export(t, e.finding(t, audit.WrongGrade))
	files := folderFiles(t, dir)
	if len(files) < 15 {
		t.Fatalf("the folder has only %v", slices.Sorted(maps.Keys(files)))
	}
	if code, _, stderr := e.run("explain", "--from", dir); code != exitOK {
		t.Fatalf("the folder as it was written: %d, %s", code, stderr)
	}
	refused := func(what, name string, altered map[string][]byte) {
		t.Helper()
		code, _, stderr := e.run("explain", "--from", writeFolder(t, altered))
		if code != exitFindings || !strings.Contains(stderr, "was altered: ") || !strings.Contains(stderr, name) {
			t.Errorf("%s of %s: exit code %d, %s", what, name, code, stderr)
		}
	}
	for name, body := range files {
		for _, at := range []int{0, len(body) / 3, len(body) / 2, len(body) - 1} {
			altered := maps.Clone(files)
			altered[name] = bytes.Clone(body)
			altered[name][at] ^= 1
			code, _, stderr := e.run("explain", "--from", writeFolder(t, altered))
			if code != exitFindings || !strings.Contains(stderr, "was altered: ") {
				t.Errorf("byte %d of %s: exit code %d, %s", at, name, code, stderr)
			}
		}
		altered := maps.Clone(files)
		if delete(altered, name); name != "MANIFEST" {
			refused("the lack", name, altered)
		} else if code, _, _ := e.run("explain", "--from", writeFolder(t, altered)); code != exitUsage {
			t.Errorf("without its manifest: exit code %d", code)
		}
	}
	more := maps.Clone(files)
	more["notes.txt"] = []byte("trust me\n")
	refused("the presence", "notes.txt", more)
}

// TestEvidenceThatWasRewrittenWithItsManifestIsRefused has somebody alter what follows from the evidence, or the evidence itself,
// and write the manifest that goes with it.
func TestEvidenceThatWasRewrittenWithItsManifestIsRefused(t *testing.T) {
	e := newExplained(t, "pr-build")
	e.once(t)
	files := folderFiles(t, e.export(t, e.finding(t, audit.WrongGrade)))
	for name, body := range files {
		if name == "MANIFEST" || name == "policy.yaml" || strings.HasPrefix(name, "trusted_root") {
			continue // whom to trust and what to expect is the reader's to compare
		}
		altered := maps.Clone(files)
		altered[name] = bytes.Clone(body)
		at := len(body) / 2
		if name == "dossier.json" { // what an index said is in it too, which nobody signed
			at = bytes.Index(body, []byte(`"sha256": "`)) + len(`"sha256": "`)
		}
		altered[name][at] ^= 1
		var manifest strings.Builder
		for _, listed := range slices.Sorted(maps.Keys(altered)) {
			if sum := sha256.Sum256(altered[listed]); listed != "MANIFEST" {
				fmt.Fprintf(&manifest, "%s  %s\n", hex.EncodeToString(sum[:]), listed)
			}
		}
		altered["MANIFEST"] = []byte(manifest.String())
		if code, _, stderr := e.run("explain", "--from", writeFolder(t, altered)); code != exitFindings {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
}

// TestEvidenceIsReadWithoutLeavingItsFolder has links, folders and names that lead elsewhere.
func TestEvidenceIsReadWithoutLeavingItsFolder(t *testing.T) {
	e := newExplained(t)
	e.once(t)
	files := folderFiles(t, e.export(t, "onnx-1.22.0.tar.gz"))
	for name, spoil := range map[string]func(dir string) error{
		"a link in the place of a file": func(dir string) error {
			return os.Symlink(filepath.Join(e.dir, "config.yaml"), filepath.Join(dir, "README.md"))
		},
		"a folder": func(dir string) error { return os.Mkdir(filepath.Join(dir, "README.md"), 0o700) },
		"a name that leads out": func(dir string) error {
			text := strings.Replace(string(files["MANIFEST"]), "README.md", "../README.md", 1)
			return os.WriteFile(filepath.Join(dir, "MANIFEST"), []byte(text), 0o600)
		},
	} {
		others := maps.Clone(files)
		delete(others, "README.md")
		dir := writeFolder(t, others)
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := e.run("explain", "--from", dir); code != exitFindings || !strings.Contains(stderr, "was altered: ") {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
}

// TestNamesThatOthersChoseNameNoFileOfAFolder has a distribution and a subject be named to harm whoever exports them.
func TestNamesThatOthersChoseNameNoFileOfAFolder(t *testing.T) {
	e := newExplained(t)
	const name = "onnx-1.23.0-1$(touch pwned)`id`;'-py3-none-any.whl"
	claims := sandbox.ReleaseClaims("1.23.0")
	claims.SAN = "https://github.com/onnx/onnx/.github/workflows/../../../../tmp/x';touch pwned;'@refs/heads/rel-1.23.0"
	publishAs(t, e.world, name, claims)
	e.once(t)
	dir := e.export(t, name)
	for file := range folderFiles(t, dir) {
		if strings.Trim(file, "abcdefghijklmnopqrstuvwxyzADEFIMNRST0123456789._-") != "" {
			t.Errorf("a file is named %q", file)
		}
	}
	readme := string(folderFiles(t, dir)["README.md"])
	if strings.Contains(readme, "--certificate-identity https://github.com/onnx/onnx/.github/workflows/../../../../tmp/x';") {
		t.Error("a command of the page is not quoted")
	}
	if code, _, stderr := e.run("explain", "--from", dir); code != exitOK {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// publishAs uploads a file whose attestation is by a job with claims.
func publishAs(t *testing.T, world *sandbox.World, filename string, claims sandbox.Claims) {
	t.Helper()
	signer, err := world.Fulcio.NewSigner(claims, sandbox.CertificateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	content := []byte("content of " + filename)
	sum := sha256.Sum256(content)
	a, err := world.Attest(signer, sandbox.PublishStatement(sandbox.Subject{Name: filename, SHA256: hex.EncodeToString(sum[:])}), world.Now())
	if err != nil {
		t.Fatal(err)
	}
	document, err := sandbox.ProvenanceDocument(sandbox.Publisher{Kind: "GitHub", Repository: claims.Repository, Workflow: claims.Workflow, Environment: claims.Environment}, a)
	if err != nil {
		t.Fatal(err)
	}
	if err := world.PyPI.Upload("onnx", sandbox.Upload{Filename: filename, Content: content, Provenance: document}); err != nil {
		t.Fatal(err)
	}
}

// TestEveryFindingIsExplainedAlikeWithItsRecordAndWithout exports what each finding of a world of lies rests on, and explains it
// from the folder.
func TestEveryFindingIsExplainedAlikeWithItsRecordAndWithout(t *testing.T) {
	e := newExplained(t, "pr-build", "bad-signature", "fork", "checkpoint-root", "two-entries", "person", "unknown-predicate", "no-entry", "other-ci")
	for _, p := range []sandbox.Plant{{At: 3, Claims: sandbox.ReleaseClaims("1.23.0")}, {At: 5, Claims: strangeClaims()}} {
		if _, err := e.world.PlantRekor2(e.world.Rekor2, p.At+1, p); err != nil {
			t.Fatal(err)
		}
	}
	e.once(t)
	_, out, _ := e.run("findings", "-c", filepath.Join(e.dir, "config.yaml"), "--json")
	var answer struct {
		Findings []audit.Finding `json:"findings"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatal(err)
	}
	entries, files := 0, 0
	for _, f := range answer.Findings {
		_, want, _ := e.run("explain", "-c", filepath.Join(e.dir, "config.yaml"), f.ID, "--json")
		dir := e.export(t, f.ID)
		code, got, stderr := e.run("explain", "--from", dir, "--json")
		if code != exitOK && code != exitUnknown {
			t.Errorf("%s %s: exit code %d, %s", f.Rule, f.Subject, code, stderr)
		}
		if got != want {
			t.Errorf("%s %s: the folder gives another explanation", f.Rule, f.Subject)
		}
		var x explainAnswer
		if err := json.Unmarshal([]byte(got), &x); err != nil {
			t.Fatal(err)
		}
		for _, chain := range x.Chains {
			switch chain.Kind {
			case audit.LinkEntry:
				entries++
				if !slices.ContainsFunc(chain.Checks, func(c audit.LinkCheck) bool {
					return (c.Name == "checkpoint" || c.Name == "inclusion-proof") && c.Status == audit.LinkOK && !c.Recorded
				}) {
					t.Errorf("%s: nothing says that the log signed a tree: %+v", f.Subject, chain.Checks)
				}
			case audit.LinkFile:
				files++
			}
		}
	}
	if entries == 0 || files < 8 {
		t.Errorf("of %d findings, %d chains begin with entries and %d with files", len(answer.Findings), entries, files)
	}
}

// strangeClaims are those of a workflow that no grade knows.
func strangeClaims() sandbox.Claims {
	c := sandbox.ReleaseClaims("1.23.0")
	c.Workflow = "exfiltrate.yml"
	return c
}
