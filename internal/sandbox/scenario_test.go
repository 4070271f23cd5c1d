package sandbox

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// onnxWorld is a world with the honest project in it.
func onnxWorld(t *testing.T, seed uint64) *World {
	t.Helper()
	w, err := New(Options{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	if err := OnnxLike(w); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestHonestProjectIsHonest(t *testing.T) {
	w := onnxWorld(t, 1)
	j := newJudge(t, w)
	for project, versions := range map[string][]string{
		"onnx":        {"1.19.0", "1.21.0", "1.22.0", "1.23.0"},
		"onnx-weekly": {"1.23.0.dev20260622", "1.23.0.dev20260629", "1.23.0.dev20260706"},
	} {
		for _, version := range versions {
			files := w.PyPI.Filenames(project, version)
			if len(files) < 2 {
				t.Errorf("%s %s has %d files", project, version, len(files))
			}
			for _, filename := range files {
				if err := j.provenance(w.PyPI.Provenance(project, filename), w.PyPI.SHA256(project, filename)); err != nil {
					t.Errorf("%s: %v", filename, err)
				}
			}
		}
	}
	for _, filename := range w.PyPI.Filenames("onnx", "1.18.0") {
		if w.PyPI.Provenance("onnx", filename) != nil {
			t.Errorf("%s is attested, and is from before anything was", filename)
		}
	}
}

func TestSameSeedGivesTheSameWorld(t *testing.T) {
	one, two, other := onnxWorld(t, 7), onnxWorld(t, 7), onnxWorld(t, 8)
	fingerprint := func(w *World) string {
		checkpoint, err := w.Rekor.Checkpoint()
		if err != nil {
			t.Fatal(err)
		}
		return checkpoint + string(w.TrustedRootJSON()) + string(w.TUF.Root()) +
			string(w.PyPI.Provenance("onnx", "onnx-1.22.0.tar.gz"))
	}
	if fingerprint(one) != fingerprint(two) {
		t.Error("two worlds of one seed differ")
	}
	if fingerprint(one) == fingerprint(other) || bytes.Equal(one.TrustedRootJSON(), other.TrustedRootJSON()) {
		t.Error("worlds of two seeds are the same")
	}
}

// rulesOfTheIndex are those that PyPI and GitHub's store can answer.
var rulesOfTheIndex = []string{
	"no-provenance", "invalid-attestation", "digest-mismatch", "unexpected-identity", "wrong-grade", "publisher-mismatch",
	"predicate-mismatch", "unlogged-attestation", "provenance-removed", "provenance-replaced", "file-replaced",
	"file-removed", "release-yanked", "project-quarantined", "ownership-changed", "missing-slsa-provenance", "not-in-public-log",
	"repository-id-mismatch",
}

func TestEveryRuleHasACaseAndAnHonestNeighbour(t *testing.T) {
	alerting, tempting := map[string]int{}, map[string]int{}
	names := map[string]bool{}
	files := map[string]string{}
	for _, c := range Lies() {
		if names[c.Name] {
			t.Errorf("two cases are named %s", c.Name)
		}
		names[c.Name] = true
		if !strings.HasSuffix(c.About, ".") || c.Project == "" || c.Apply == nil || c.Passes < 1 || c.Passes > 3 ||
			(c.Confirm != nil) != (c.Passes == 3) || (c.Prepare != nil && c.Passes < 2) {
			t.Errorf("case %s is incomplete: %+v", c.Name, c)
		}
		switch {
		case c.Rule != "" && slices.Contains(rulesOfTheIndex, c.Rule) && c.Tempts == "":
			alerting[c.Rule]++
		case c.Rule == "" && slices.Contains(rulesOfTheIndex, c.Tempts):
			tempting[c.Tempts]++
		default:
			t.Errorf("case %s: rule %q, tempts %q", c.Name, c.Rule, c.Tempts)
		}
		if c.File != "" && !c.Alone {
			if other, ok := files[c.File]; ok {
				t.Errorf("cases %s and %s share %s", other, c.Name, c.File)
			}
			files[c.File] = c.Name
		}
	}
	for _, rule := range rulesOfTheIndex {
		if alerting[rule] == 0 || tempting[rule] == 0 {
			t.Errorf("%s: %d cases that must alert, %d that must not", rule, alerting[rule], tempting[rule])
		}
	}
}

// run takes a case through all its steps.
func run(t *testing.T, w *World, c Case) {
	t.Helper()
	for _, step := range []func(*World) error{c.Prepare, c.Apply, c.Confirm} {
		if step == nil {
			continue
		}
		if err := step(w); err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
	}
}

// sigstoreDoesNotLook are the cases about what sigstore-go leaves to its callers.
var sigstoreDoesNotLook = []string{"other-name", "two-subjects"}

// ofTheStore are the cases whose false attestation is in GitHub's store, and not on the index.
var ofTheStore = []string{"slsa-tampered", "slsa-unlogged"}

func TestCasesAreWhatTheyClaim(t *testing.T) {
	shared := onnxWorld(t, 1)
	for _, c := range Lies() {
		w := shared
		if c.Alone {
			w = onnxWorld(t, 1)
		}
		run(t, w, c)
		if c.File == "" {
			continue
		}
		document := w.PyPI.Provenance(c.Project, c.File)
		err := newJudge(t, w).provenance(document, w.PyPI.SHA256(c.Project, c.File))
		var valid bool
		switch c.Rule {
		case "invalid-attestation":
			valid = slices.Contains(sigstoreDoesNotLook, c.Name)
		case "digest-mismatch":
			valid = c.Deep
		case "unlogged-attestation", "provenance-removed", "file-removed":
			valid = false
		case "no-provenance":
			valid = c.Name == "listed-404"
		case "":
			valid = c.Name != "legacy" && c.Name != "weekly-deleted"
		default:
			valid = true // the signature is good: what is wrong is who made it, or what it says
		}
		valid = valid || slices.Contains(ofTheStore, c.Name)
		if valid != (err == nil) {
			t.Errorf("%s: sigstore-go says %v, want valid = %v", c.Name, err, valid)
		}
	}
}

func TestCasesHappenInTheWorldsPresent(t *testing.T) {
	now := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	w, err := New(Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := OnnxLike(w); err != nil {
		t.Fatal(err)
	}
	run(t, w, Lies()[0])
	state, _ := w.PyPI.state("onnx")
	last := state.files[len(state.files)-1]
	if !last.uploaded.Equal(now) {
		t.Errorf("uploaded at %v", last.uploaded)
	}
	current := w.PyPI.file("onnx", "onnx-1.23.0.tar.gz")
	if got := now.Sub(current.uploaded); got < 47*time.Hour || got > 49*time.Hour {
		t.Errorf("the current release is %v old", got)
	}
}
