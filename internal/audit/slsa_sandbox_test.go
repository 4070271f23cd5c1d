package audit_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// verdicts are the record's, by file.
func (m *monitor) verdicts(t *testing.T) map[string]*audit.SLSAVerdict {
	t.Helper()
	all := map[string]*audit.SLSAVerdict{}
	if err := m.record.Files(t.Context(), db.FileFilter{}, func(f db.ListedFile) error {
		all[f.File] = f.SLSA
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestWhatIsServedOfABuildDecidesItsLevel has files of one release with provenance of every kind, all of it with real signatures.
func TestWhatIsServedOfABuildDecidesItsLevel(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 21, sandbox.OnnxLike)
	m := watch(t, w, c)
	names := []string{"publish-and-slsa", "slsa-commit", "pr-build", "unsigned", "late-file"}
	for _, one := range cases(t, names...) {
		if err := one.Apply(w); err != nil {
			t.Fatal(err)
		}
	}
	m.pass(t)
	got := map[string]string{}
	verdicts := m.verdicts(t)
	for _, one := range cases(t, names...) {
		v := verdicts[one.File]
		got[one.Name] = string(v.Build) + ": " + strings.Join(v.Reasons, "; ")
	}
	const provenance = "L2: SLSA provenance v1, verified, that agrees with its certificate, signed by workflow create_release.yml of onnx/onnx at refs/heads/rel-1.23.0, " +
		"triggered by workflow_dispatch in environment pypi-release (grade release); it was built on a hosted runner, and signed there; it is served by "
	const store = "GitHub's attestation store"
	if diff := cmp.Diff(map[string]string{
		"publish-and-slsa": provenance + "pypi",
		"slsa-commit": provenance + store + "; SLSA provenance of pypi does not count: it contradicts its certificate: " +
			"buildDefinition.resolvedDependencies[0].digest.gitCommit",
		"pr-build":  provenance + store + "; SLSA provenance of pypi does not count: its signer may not publish the file: grade pr: publishes nothing",
		"unsigned":  "L0: ",
		"late-file": provenance + store,
	}, got); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}

	// What was published and is gone has no verdict, and what nobody has changed keeps its own.
	if err := w.PyPI.RemoveFile("onnx", cases(t, "publish-and-slsa")[0].File); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a file is gone once two listings lack it
		c.Advance(time.Hour)
		m.pass(t)
	}
	after := m.verdicts(t)
	if v := after[cases(t, "publish-and-slsa")[0].File]; v != nil {
		t.Errorf("a file that is gone: %+v", v)
	}
	if diff := cmp.Diff(verdicts[cases(t, "slsa-commit")[0].File], after[cases(t, "slsa-commit")[0].File]); diff != "" {
		t.Error(diff)
	}
}

// TestAReusedBuilderIsBelievedAsFarAsItIsListed has the release call another repository's workflow, which builds and signs.
func TestAReusedBuilderIsBelievedAsFarAsItIsListed(t *testing.T) {
	t.Parallel()
	const builder = "example/builder/.github/workflows/build.yml@refs/tags/v2"
	const filename = "onnx-1.23.0-1reused-cp312-abi3-manylinux_2_28_x86_64.whl"
	w, c := newWorld(t, 22, emptyProjects)
	claims := sandbox.ReleaseClaims("1.23.0")
	claims.SignerWorkflow, claims.SignerDigest = builder, strings.Repeat("b", 40)
	at := w.Now().Add(-time.Hour)
	signer, err := w.Fulcio.NewSigner(claims, sandbox.CertificateOptions{At: at})
	if err != nil {
		t.Fatal(err)
	}
	content := []byte("built by somebody else\n")
	sum := sha256.Sum256(content)
	subject := sandbox.Subject{Name: filename, SHA256: hex.EncodeToString(sum[:])}
	provenance, err := sandbox.SLSAStatement(claims, subject)
	if err != nil {
		t.Fatal(err)
	}
	var attestations []*sandbox.Attestation
	for _, statement := range []sandbox.Statement{sandbox.PublishStatement(subject), provenance} {
		a, err := w.Attest(signer, statement, at.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		attestations = append(attestations, a)
	}
	document, err := sandbox.ProvenanceDocument(sandbox.Publisher{Kind: "GitHub", Repository: "onnx/onnx", Workflow: "create_release.yml", Environment: "pypi-release"}, attestations...)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.PyPI.Upload("onnx", sandbox.Upload{Filename: filename, Content: content, Uploaded: at.Add(2 * time.Minute), Provenance: document}); err != nil {
		t.Fatal(err)
	}
	for _, listed := range []struct {
		builders string
		build    audit.BuildLevel
		rules    []string
	}{
		{"", audit.BuildUnevaluated, []string{audit.UnexpectedIdentity}},
		{"[{id: 'https://github.com/example/builder/.github/workflows/build.yml@refs/tags/v1', level: 3}]", audit.BuildUnevaluated, []string{audit.UnexpectedIdentity}},
		{"[{id: 'https://github.com/" + builder + "', level: 2}]", audit.BuildL2, nil},
		{"[{id: 'https://github.com/" + builder + "', level: 3}]", audit.BuildL3, nil},
	} {
		text := string(config.Preset())
		if listed.builders != "" {
			text = strings.Replace(text, "    grades:\n", "    builders: "+listed.builders+"\n    grades:\n", 1)
		}
		m := watch(t, w, c, func(with *wiring) { with.Config = []byte(text) })
		m.pass(t)
		if got := m.verdicts(t)[filename]; got.Build != listed.build {
			t.Errorf("%s: %+v", listed.builders, got)
		}
		var rules []string
		for _, f := range m.findings(t) {
			rules = append(rules, f.Rule)
		}
		if diff := cmp.Diff(listed.rules, rules); diff != "" {
			t.Errorf("%s: rules (-want +got):\n%s", listed.builders, diff)
		}
	}
}

// TestABuildThatDoesNotComeIsMissedOnce has the weekly builds end, and begin again.
func TestABuildThatDoesNotComeIsMissedOnce(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 23, emptyProjects)
	m := watch(t, w, c, func(with *wiring) { with.Expecting = true })
	weekly := cases(t, "weekly-by-hand")[0]
	status := func(want audit.Status) {
		t.Helper()
		m.pass(t)
		found := m.findings(t)
		if want == "" {
			if len(found) != 0 {
				t.Errorf("at %s: %+v", c.Now(), found)
			}
			return
		}
		if len(found) != 1 || found[0].Rule != audit.MissedCanary || found[0].Status != want || found[0].Severity != audit.Info || found[0].Grade != "weekly" || found[0].PyPIProject != "onnx-weekly" {
			t.Errorf("at %s, want %s: %+v", c.Now(), want, found)
		}
	}
	const day = 24 * time.Hour
	status("") // nothing was ever published
	if err := weekly.Apply(w); err != nil {
		t.Fatal(err)
	}
	for range 9 { // a week, and two days to be late
		status("")
		c.Advance(day)
	}
	mend := w.PyPI.Break(sandbox.Fault{Path: "/simple/*", Status: 503})
	c.Advance(day)
	m.pass(t)
	for _, f := range m.findings(t) {
		if f.Rule == audit.MissedCanary {
			t.Errorf("missed while the index was not read: %+v", f)
		}
	}
	mend()
	m.pass(t)
	missed := 0
	for _, f := range m.findings(t) {
		if f.Rule == audit.MissedCanary && f.Status == audit.Open {
			missed++
		}
	}
	if missed != 1 {
		t.Errorf("%d missed builds once the index was read: %+v", missed, m.findings(t))
	}
	events, _ := m.events(t)
	c.Advance(7 * day)
	m.pass(t)
	if again, _ := m.events(t); again != events {
		t.Errorf("a week more is the same finding: %d events of %d", again, events)
	}
}

// realVerdicts are those on the real projects: one file has real SLSA provenance, and GitLab has no store that would be unread.
func (m *monitor) realVerdicts(t *testing.T) {
	t.Helper()
	counts := map[audit.BuildLevel][]string{}
	for name, v := range m.verdicts(t) {
		if v.Build != audit.BuildUnevaluated {
			counts[v.Build] = append(counts[v.Build], name)
		}
	}
	if diff := cmp.Diff(map[audit.BuildLevel][]string{
		audit.BuildL2: {"pypi_attestations-0.0.19.tar.gz"}, audit.BuildL0: {"pep740_sampleproject-1.0.0.tar.gz"},
	}, counts); diff != "" {
		t.Errorf("levels of real files (-want +got):\n%s", diff)
	}
}
