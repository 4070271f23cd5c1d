package audit_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/realdata"
)

// realData finds the collection of real data, or skips the test. It returns a function that reads a file of it.
func realData(tb testing.TB) func(path ...string) []byte {
	tb.Helper()
	dir := realdata.Dir(tb)
	return func(path ...string) []byte {
		tb.Helper()
		body, err := os.ReadFile(filepath.Join(append([]string{dir}, path...)...))
		if err != nil {
			tb.Fatal(err)
		}
		return body
	}
}

// released is about when onnx published the versions whose upload times the real list lacks.
var released = map[string]time.Time{
	"1.10.2":             time.Date(2021, 10, 28, 0, 0, 0, 0, time.UTC),
	"1.11.0":             time.Date(2022, 2, 18, 0, 0, 0, 0, time.UTC),
	"1.12.0":             time.Date(2022, 6, 18, 0, 0, 0, 0, time.UTC),
	"1.13.0":             time.Date(2022, 12, 14, 0, 0, 0, 0, time.UTC),
	"1.14.0":             time.Date(2023, 5, 5, 0, 0, 0, 0, time.UTC),
	"1.14.1":             time.Date(2023, 8, 25, 0, 0, 0, 0, time.UTC),
	"1.16.0":             time.Date(2024, 3, 25, 0, 0, 0, 0, time.UTC),
	"1.17.0":             time.Date(2024, 10, 1, 0, 0, 0, 0, time.UTC),
	"1.19.1":             time.Date(2025, 10, 10, 0, 0, 0, 0, time.UTC),
	"1.22.0.dev20260511": time.Date(2026, 5, 11, 1, 0, 0, 0, time.UTC),
}

// onnxFiles is the real list of files; what it lacks is made up.
func onnxFiles(t *testing.T, read func(...string) []byte) map[string][]servedFile {
	t.Helper()
	var list []struct {
		Project    string     `json:"project"`
		Version    string     `json:"version"`
		Filename   string     `json:"filename"`
		SHA256     *string    `json:"sha256"`
		Size       *int64     `json:"size"`
		UploadTime *time.Time `json:"upload_time"`
	}
	if err := json.Unmarshal(read("5-pypi", "onnx_files.json"), &list); err != nil {
		t.Fatal(err)
	}
	projects := map[string][]servedFile{}
	for _, l := range list {
		f := servedFile{filename: l.Filename, version: l.Version, sha256: digest([]byte(l.Filename)), size: 1 << 20, uploaded: released[l.Version]}
		if l.SHA256 != nil {
			f.sha256 = *l.SHA256
		}
		if l.Size != nil {
			f.size = *l.Size
		}
		if l.UploadTime != nil {
			f.uploaded = *l.UploadTime
		}
		if f.uploaded.IsZero() {
			t.Fatalf("nobody knows when %s was uploaded", l.Filename)
		}
		projects[l.Project] = append(projects[l.Project], f)
	}
	return projects
}

// attestedPolicies are policies for the projects of which there is real provenance, from their certificates. Those are
// too old to tell an environment. PyPI's pypi-attestations moved from one organization to another between two releases.
const attestedPolicies = `
  - name: abi3info
    pypi: [abi3info]
    repository: {name: woodruffw/abi3info, id: 538293197, owner_id: 3059210}
    grades:
      - {name: release, workflow: release.yml, refs: ['refs/tags/v(?P<version>[0-9.]+)'], triggers: [release], environment: none, publishes: abi3info}
  - name: pypi-attestations
    pypi: [pypi-attestations]
    repository: {name: trailofbits/pypi-attestations, id: 772247423, owner_id: 2314423}
    grades:
      - {name: release, workflow: release.yml, refs: ['refs/tags/v(?P<version>[0-9.]+)'], triggers: [release], environment: any, publishes: pypi-attestations,
         slsa_since: {uploaded: 2024-12-01}}
  - name: pypi-attestation-models
    pypi: [pypi-attestation-models]
    repository: {name: trailofbits/pypi-attestation-models, id: 772247423, owner_id: 2314423}
    grades:
      - {name: release, workflow: release.yml, refs: ['refs/tags/v(?P<version>[0-9a.]+)'], triggers: [release], environment: any, publishes: pypi-attestation-models,
         slsa_since: {uploaded: 2024-01-01}}
  - name: sampleproject
    pypi: [sampleproject]
    repository: {name: pypa/sampleproject, id: 14899596, owner_id: 647025}
    grades:
      - {name: release, workflow: release.yml, refs: ['refs/heads/main'], triggers: [push], environment: none, publishes: sampleproject}
      - {name: ci, workflow: test.yml, refs: ['refs/heads/.+'], triggers: [push], environment: none}
  - name: pep740-sampleproject
    pypi: [pep740-sampleproject]
    issuer: https://gitlab.com
    repository: {name: pep740-example/sampleproject, id: 64895736, owner_id: 98134409}
    grades:
      - {name: release, workflow: .gitlab-ci.yml, refs: ['refs/heads/main'], triggers: [push], environment: any, runner: any, publishes: pep740-sampleproject}
`

// document makes a provenance document around real attestations that were published without one.
func document(publisher string, attestations ...[]byte) []byte {
	var all []string
	for _, a := range attestations {
		all = append(all, string(a))
	}
	return fmt.Appendf(nil, `{"version":1,"attestation_bundles":[{"publisher":%s,"attestations":[%s]}]}`, publisher, strings.Join(all, ","))
}

// attestedFiles are the files of which there is real provenance. Where the file itself is there its digest is computed; the
// others' stand in the projects' histories on PyPI.
func attestedFiles(read func(...string) []byte) map[string][]servedFile {
	pep740 := func(path ...string) []byte { return read(append([]string{"2-pep740"}, path...)...) }
	const sample = "sampleproject-4.0.0.tar.gz"
	models := pep740("pypi-attestations", "test__assets__pypi_attestation_models-0.0.4a2.tar.gz")
	return map[string][]servedFile{
		"abi3info": {{
			filename: "abi3info-2024.10.3-py3-none-any.whl", version: "2024.10.3", size: 19282, uploaded: time.Date(2024, 10, 3, 20, 40, 32, 0, time.UTC),
			sha256:     digest(pep740("pip-plugin-pep740", "test__assets__abi3info-2024.10.3-py3-none-any.whl")),
			provenance: pep740("pip-plugin-pep740", "test__assets__abi3info-2024.10.3-py3-none-any.whl.provenance"),
		}},
		"pypi-attestations": {{
			filename: "pypi_attestations-0.0.19.tar.gz", version: "0.0.19", size: 29882, uploaded: time.Date(2024, 12, 4, 23, 14, 3, 0, time.UTC),
			sha256: digest(pep740("pypi-attestations", "test__assets__pypi_attestations-0.0.19.tar.gz")),
			provenance: document(`{"kind":"GitHub","repository":"trailofbits/pypi-attestations","workflow":"release.yml","environment":null}`,
				pep740("pypi-attestations", "test__assets__pypi_attestations-0.0.19.tar.gz.publish.attestation"),
				pep740("pypi-attestations", "test__assets__pypi_attestations-0.0.19.tar.gz.slsa.attestation")),
		}, {
			filename: "pypi_attestations-0.0.28.tar.gz", version: "0.0.28", size: 120_000, uploaded: time.Date(2025, 10, 16, 16, 58, 6, 0, time.UTC),
			sha256: "e5e75beaddbb674c390ed1a43cb32b7274990da6be7190c812a530b18db6137f",
			provenance: document(`{"kind":"GitHub","repository":"pypi/pypi-attestations","workflow":"release.yml","environment":""}`,
				pep740("pypi-attestations", "testdata__pypi.attestation.json")),
		}},
		"pypi-attestation-models": {{
			filename: "pypi_attestation_models-0.0.4a2.tar.gz", version: "0.0.4a2", size: int64(len(models)), uploaded: time.Date(2024, 6, 10, 19, 47, 27, 0, time.UTC),
			sha256: digest(models),
			provenance: document(`{"kind":"GitHub","repository":"trailofbits/pypi-attestation-models","workflow":"release.yml","environment":null}`,
				pep740("pypi-attestations", "test__assets__pypi_attestation_models-0.0.4a2.tar.gz.attestation")),
		}},
		"sampleproject": {{
			filename: sample, version: "4.0.0", size: 5_000, uploaded: time.Date(2024, 11, 6, 22, 37, 10, 0, time.UTC),
			sha256:     "0ace7980f82c5815ede4cd7bf9f6693684cec2ae47b9b7ade9add533b8627c6b",
			provenance: pep740("warehouse", "tests___fixtures__sampleproject-4.0.0.tar.gz.provenance"),
		}},
		"pep740-sampleproject": {{
			filename: "pep740_sampleproject-1.0.0.tar.gz", version: "1.0.0", size: 5_000, uploaded: time.Date(2024, 11, 27, 16, 15, 45, 0, time.UTC),
			sha256:     "6cdd4a1a0a49aeef47265e7bf8ec1667257b397d34d731dc7b7af349deca1cd8",
			provenance: pep740("warehouse", "tests___fixtures__pep740-sampleproject-1.0.0.tar.gz.provenance"),
		}},
	}
}

func TestAuditOfRealProjects(t *testing.T) {
	t.Parallel()
	read := realData(t)
	projects := onnxFiles(t, read)
	maps.Copy(projects, attestedFiles(read))
	index := newPlainIndex(t, projects)
	m := watchWith(t, wiring{
		Database: filepath.Join(t.TempDir(), "monitor.db"), Index: index.URL,
		TrustedRoot: read("1-trust", "root-signing", "targets__trusted_root.json"),
		Config:      append(config.Preset(), attestedPolicies...),
	}, clock.NewSimulated(start))

	states, slsa := map[string]map[audit.FileState]int{}, map[string]int{}
	for _, s := range m.pass(t) {
		if !s.Complete() {
			t.Errorf("%s: %q", s.PyPIProject, s.Troubles)
		}
		states[s.PyPIProject] = s.Files
		if n := s.Unread[audit.MissingSLSAProvenance]; n > 0 {
			slsa[s.PyPIProject] = n
		}
	}
	// pypi-attestations 0.0.19 has its SLSA provenance beside the publish attestation.
	if diff := gocmp.Diff(map[string]int{"pypi-attestations": 1, "pypi-attestation-models": 1}, slsa); diff != "" {
		t.Errorf("files whose SLSA provenance is in a ledger that is not read (-want +got):\n%s", diff)
	}
	// onnx: 25 files of 1.10.2 and of 1.11.0, 21 of 1.12.0, 31 of 1.13.0, 1.14.0, 1.14.1 and 1.16.0, 26 of 1.17.0; then 29 of
	// 1.19.0, 34 of 1.19.1, 23 of 1.20.0rc2, 1.20.1rc1 and 1.20.1, 16, 28, 28 and 28 of 1.21.0 with its candidates, 8 and 24
	// of 1.22.0 with its candidate. None of the latter's attestations is in the data.
	if diff := gocmp.Diff(map[string]map[audit.FileState]int{
		"onnx":                    {audit.FileLegacy: 221, audit.FileUnsigned: 264},
		"onnx-weekly":             {audit.FileUnsigned: 1},
		"abi3info":                {audit.FileVerified: 1},
		"pypi-attestations":       {audit.FileVerified: 1, audit.FileWrong: 1},
		"pypi-attestation-models": {audit.FileVerified: 1},
		"sampleproject":           {audit.FileVerified: 1},
		"pep740-sampleproject":    {audit.FileWrong: 1},
	}, states); diff != "" {
		t.Errorf("file states (-want +got):\n%s", diff)
	}

	byRule := map[string][]audit.Finding{}
	for _, f := range m.findings(t) {
		byRule[f.Rule] = append(byRule[f.Rule], f)
	}
	unsigned := byRule[audit.NoProvenance]
	if len(unsigned) != 265 {
		t.Errorf("%d files without provenance, want 265", len(unsigned))
	}
	for _, f := range unsigned {
		if version, _, _ := strings.Cut(strings.TrimPrefix(f.Release, "1."), "."); version < "19" || f.Project != "onnx" {
			t.Errorf("%s of %s is not due to be attested", f.File, f.Release)
		}
	}
	delete(byRule, audit.NoProvenance)
	// Both signatures are good. One is by a repository's later name; of GitLab the policy knows no workflows.
	unexpected := byRule[audit.UnexpectedIdentity]
	slices.SortFunc(unexpected, func(a, b audit.Finding) int { return cmp.Compare(b.File, a.File) })
	if len(byRule) != 1 || len(unexpected) != 2 ||
		unexpected[0].Identity.SAN != "https://github.com/pypi/pypi-attestations/.github/workflows/release.yml@refs/tags/v0.0.28" ||
		unexpected[1].Identity.SAN != "https://gitlab.com/pep740-example/sampleproject//.gitlab-ci.yml@refs/heads/main" {
		t.Errorf("findings beside those of onnx: %+v", byRule)
	}
	m.realEntries(t)
	m.realVerdicts(t)

	if n := len(index.requests()); n != 7+7+6 { // a listing and an ownership a project, and six documents
		t.Errorf("the first pass made %d requests, want 20", n)
	}
	unmoved := ignored(nil).and("checked_at", "last_seen_at")
	before := dump(t, m.record.Path(), unmoved)
	m.clock.Advance(time.Hour)
	m.pass(t)
	if got, want := index.requests(), []string{"/simple/onnx/", "/simple/onnx-weekly/", "/simple/abi3info/", "/simple/pypi-attestations/",
		"/simple/pypi-attestation-models/", "/simple/sampleproject/", "/simple/pep740-sampleproject/"}; !slices.Equal(got, want) {
		t.Errorf("the second pass asked for %q", got)
	}
	sameRecord(t, "after the second pass", dump(t, m.record.Path(), unmoved), before)
}

// realEntries looks for the log entries that the real attestations name.
func (m *monitor) realEntries(t *testing.T) {
	t.Helper()
	var grades []string
	if err := m.record.Files(t.Context(), db.FileFilter{States: []string{"verified"}}, func(f db.ListedFile) error {
		grades = append(grades, f.PyPIProject+" "+f.Release+" "+f.Grade)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(grades)
	if diff := gocmp.Diff([]string{"abi3info 2024.10.3 release", "pypi-attestation-models 0.0.4a2 release", "pypi-attestations 0.0.19 release",
		"sampleproject 4.0.0 release"}, grades); diff != "" {
		t.Errorf("verified files (-want +got):\n%s", diff)
	}
	entries := map[string]bool{}
	for _, line := range dump(t, m.record.Path(), nil) {
		for _, index := range []string{"101487427", "153454663", "153454647", "613501255"} {
			if strings.HasPrefix(line, "entries ") && strings.Contains(line, " global_index="+index+" ") {
				entries[index] = true
			}
		}
	}
	if len(entries) != 4 {
		t.Errorf("of four known log entries the record has %v", entries)
	}
}
