package audit_test

import (
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// TestRealFilesAreExplained audits the real provenance, and explains each file with its record, and from a folder without.
func TestRealFilesAreExplained(t *testing.T) {
	t.Parallel()
	read := realData(t)
	projects := attestedFiles(read)
	index := newPlainIndex(t, projects)
	body := read("1-trust", "root-signing", "targets__trusted_root.json")
	m := watchWith(t, wiring{Database: filepath.Join(t.TempDir(), "monitor.db"), Index: index.URL, TrustedRoot: body,
		Config: append([]byte("projects:\n"), attestedPolicies...)}, clock.NewSimulated(start))
	m.pass(t)
	root, err := trust.FromJSON("real", body)
	if err != nil {
		t.Fatal(err)
	}
	x := &audit.Explainer{Roots: &trust.Set{Roots: []trust.Root{*root}}, Policies: map[string]identity.Policy{}, Projects: map[string]string{}}
	for _, p := range m.projects {
		x.Policies[p.Name] = p.Policy
		for _, on := range p.PyPI {
			x.Projects[on.String()] = p.Name
		}
	}
	archive := audit.Archive{Verifier: m.auditor.Verifier, Document: func(sha string) ([]byte, error) { return m.record.Document(t.Context(), sha) }}
	statuses := map[string]audit.LinkStatus{}
	for project, files := range projects {
		for _, f := range files {
			explained, err := m.record.ExplainedFiles(t.Context(), db.ExplainedFile{Filename: f.filename})
			if err != nil || len(explained) != 1 {
				t.Fatalf("%s: %d files, %v", f.filename, len(explained), err)
			}
			folder := &audit.Folder{MadeBy: "test", Dossier: audit.Dossier{Files: explained}, Policy: []byte(config.Preset()), Explanation: []byte("{}"),
				Roots: []audit.TrustedRoot{{SHA256: root.SHA256, Source: "real", Body: body}}}
			x.Archive = folder.Keep(archive)
			with, err := x.Explain(folder.Dossier)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "evidence")
			if _, err := folder.WriteFolder(dir); err != nil {
				t.Fatal(err)
			}
			again, err := audit.ReadFolder(dir)
			if err != nil {
				t.Fatalf("%s: %v", f.filename, err)
			}
			x.Archive = again.Archive(archive)
			without, err := x.Explain(again.Dossier)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(with.Chains, without.Chains); diff != "" {
				t.Errorf("%s: the folder gives another explanation:\n%s", f.filename, diff)
			}
			statuses[project+" "+f.version] = with.Chains[0].Status
		}
	}
	if diff := gocmp.Diff(map[string]audit.LinkStatus{
		"abi3info 2024.10.3": audit.LinkOK, "pypi-attestations 0.0.19": audit.LinkOK, "pypi-attestation-models 0.0.4a2": audit.LinkOK, "sampleproject 4.0.0": audit.LinkOK,
		"pypi-attestations 0.0.28":   audit.LinkFailed, // by the repository's later name
		"pep740-sampleproject 1.0.0": audit.LinkFailed, // of GitLab's workflows the policy knows none
	}, statuses); diff != "" {
		t.Error(diff)
	}
}
