package audit_test

import (
	"strings"
	"testing"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// TestPoliciesOfRealProjectsExpectWhatTheySigned has policies be made of the real provenance, and holds them against it.
func TestPoliciesOfRealProjectsExpectWhatTheySigned(t *testing.T) {
	t.Parallel()
	read := realData(t)
	projects := attestedFiles(read)
	index := newPlainIndex(t, projects)
	c := clock.NewSimulated(start)
	verifier, err := newVerifier(c.Now, read("1-trust", "root-signing", "targets__trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	client := fetch.New(fetch.Options{Clock: c, Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}}})
	t.Cleanup(client.Close)
	observer := &audit.Observer{PyPI: pypi.NewClient(client), Verifier: verifier, Progress: noProgress{}}
	for name, want := range map[string]struct {
		lines []string
		left  string
	}{
		"abi3info": {lines: []string{
			"repository: {name: woodruffw/abi3info, id: 538293197, owner_id: 3059210, ids: unconfirmed}", "workflow: release.yml",
			`refs: ['refs/tags/v(?P<version>\d+\.\d+\.\d+)']`, "triggers: [release]", "publish_since: {version: '2024.10.3', uploaded: 2024-10-03}",
		}},
		"pypi-attestation-models": {lines: []string{
			`refs: ['refs/tags/v(?P<version>\d+\.\d+\.\d+(?:[-_.]?(?:a|b|rc|alpha|beta|post|dev)[-_.]?\d+)*)']`, "environment: any",
		}},
		"sampleproject": {lines: []string{
			"repository: {name: pypa/sampleproject, id: 14899596, owner_id: 647025, ids: unconfirmed}", "refs: [refs/heads/main]", "triggers: [push]",
		}},
		// It moved from one organization to another between the two releases.
		"pypi-attestations": {lines: []string{"repository: {name: pypi/pypi-attestations, id: "}, left: "pypi_attestations-0.0.19.tar.gz: it is by another repository, and a policy has one"},
	} {
		x, err := observer.Observe(t.Context(), config.Index{Name: "pypi", URL: index.URL}, name, 10)
		if err != nil {
			t.Fatal(err)
		}
		if !x.Complete() {
			t.Errorf("%s: %q", name, x.Troubles)
		}
		text, left, err := x.PolicyText(c.Now(), index.URL)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range want.lines {
			if !strings.Contains(string(text), line) {
				t.Errorf("%s: the policy does not say %s:\n%s", name, line, text)
			}
		}
		if (want.left == "") != (len(left) == 0) || want.left != "" && !strings.Contains(left[0], want.left) {
			t.Errorf("%s: left: %q", name, left)
		}
		cfg, err := config.Parse("monitor.yaml", text, config.Options{Rules: audit.RuleIDs()})
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		found := x.Judge(cfg.Projects[0].Policy, c.Now())
		if want.left == "" && len(found) > 0 || len(found) > 1 {
			t.Errorf("%s: a pass would find %q with\n%s", name, found, text)
		}
	}
	// Of GitLab's workflows no policy can be written.
	x, err := observer.Observe(t.Context(), config.Index{Name: "pypi", URL: index.URL}, "pep740-sampleproject", 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.PolicyText(c.Now(), index.URL); err == nil || !strings.Contains(err.Error(), "is signed by nobody that this version can write a policy for") {
		t.Errorf("%v", err)
	}
}
