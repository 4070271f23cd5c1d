package config

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestShownConfigurationMeansTheSame(t *testing.T) {
	for name, text := range map[string]string{
		"preset":  string(Preset()),
		"least":   smallConfig,
		"example": readExample(t),
		"variable, folders and odd values": `database: data/m.db
alerts: {slack: {webhook: "${HOOK}"}}
allow_http: [plain.example.org]
indexes: {mirror: {url: "http://plain.example.org/a%20b/"}}
budgets: {"[::1]:8080": 1000/day, test.pypi.org: 1/hour}
recheck_after: 1h30m5s
rules: {wrong-grade: {grace: 0s}, no-provenance: {grace: 30d}}
` + smallConfig + `        publish_since: {version: "1.10", uploaded: 2025-01-01T00:00:00.5Z}
`,
	} {
		t.Run(name, func(t *testing.T) {
			before := parseGood(t, text)
			shown, err := before.YAML()
			if err != nil {
				t.Fatal(err)
			}
			after, err := Parse("monitor.yaml", shown, testOptions())
			if err != nil {
				t.Fatalf("%v\n%s", err, shown)
			}
			if diff := cmp.Diff(before, after, compare()); diff != "" {
				t.Errorf("configuration (- before, + after):\n%s\n%s", diff, shown)
			}
			if before.Hash() != after.Hash() {
				t.Error("the hash changed")
			}
		})
	}
}

func readExample(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../configs/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestShownConfigurationHasItsDefaults(t *testing.T) {
	c, err := parse("monitor.yaml", "/etc/rekoncile", []byte("alerts: {slack: {webhook_file: hook}}\n"+smallConfig), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	have, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	want := `database: /etc/rekoncile/monitor.db
trust:
- tuf: https://tuf-repo-cdn.sigstore.dev
indexes:
  pypi:
    url: https://pypi.org
    files: [files.pythonhosted.org]
  testpypi:
    url: https://test.pypi.org
    files: [test-files.pythonhosted.org]
allow_http: []
budgets:
  api.github.com: 60/hour
  ctfe.sigstore.dev: 60/min
  pypi.org: 60/min
  rekor.sigstore.dev: 60/min
  test.pypi.org: 60/min
recheck_after: 168h
logs:
  start: head
  ct: follow
  rekor_v1: {mode: indexed}
  rekor_v2: {mode: follow}
github:
  api: https://api.github.com
  blobs: ['*.blob.core.windows.net']
  attestations: 'on'
  runs: 'off'
projects:
- name: widget
  pypi: [pypi/widget]
  issuer: https://token.actions.githubusercontent.com
  repository:
    name: example/widget
  grades:
  - name: release
    workflow: release.yml
    refs: [refs/heads/main]
    triggers: [push]
    environment: pypi
    runner: github-hosted
    publishes: [pypi/widget]
schedules:
  follow: '@every 5m'
  audit: 17 * * * *
listen: 127.0.0.1:8080
alerts:
  slack:
    webhook_file: /etc/rekoncile/hook
`
	if diff := cmp.Diff(want, string(have)); diff != "" {
		t.Errorf("shown (- want, + have):\n%s", diff)
	}
}

func TestHashIsThatOfThePolicyAlone(t *testing.T) {
	base := parseGood(t, smallConfig).Hash()
	if len(base) != 64 {
		t.Errorf("hash is %q", base)
	}
	for _, same := range []string{
		"# a comment\n" + smallConfig,
		"database: other.db\ncontact: a@example.org\nbudgets: {pypi.org: 1/s}\n" + smallConfig,
		smallConfig + "        runner: github-hosted\n",
		strings.Replace(smallConfig, "[widget]", "[ pypi/Widget ]", 1),
	} {
		if parseGood(t, same).Hash() != base {
			t.Errorf("another hash for the same policy:\n%s", same)
		}
	}
	seen := map[string]string{base: smallConfig}
	for _, change := range [][2]string{
		{"name: example/widget", "name: example/widget, id: 1, ids: confirmed"},
		{"name: example/widget", "name: example/widget, id: 1, ids: unconfirmed"},
		{"heads/main", "heads/m.in"},
		{"[push]", "[schedule]"},
		{"environment: pypi", "environment: any"},
		{"release.yml", "publish.yml"},
		{"name: release", "name: stable"},
		{"publishes: widget", "publishes: [widget, testpypi/widget]"},
		{"publishes: widget\n", "publishes: widget\n        runner: any\n"},
		{"publishes: widget\n", "publishes: widget\n        slsa_since: {uploaded: 2025-01-01}\n"},
		{"publishes: widget\n", "publishes: widget\n        publish_since: {uploaded: 2025-01-01}\n"},
		{"pypi: [widget]", "pypi: [widget]\n    expect_removals: [widget]"},
		{"publishes: widget\n", "publishes: widget\n        expect: {every: 7d, within: 2d}\n"},
		{"publishes: widget\n", "publishes: widget\n        expect: {every: 7d, within: 1d}\n"},
		{"pypi: [widget]", "pypi: [widget]\n    claims: [{publishes: widget, slsa_build: 2, source: SECURITY.md}]"},
		{"pypi: [widget]", "pypi: [widget]\n    claims: [{publishes: widget, slsa_build: 2, since: {uploaded: 2026-01-01}, source: SECURITY.md}]"},
		{"pypi: [widget]", "pypi: [widget]\n    builders: [{id: 'https://github.com/a/b/.github/workflows/c.yml@refs/tags/v1', level: 2}]"},
		{"pypi: [widget]", "pypi: [widget]\n    builders: [{id: 'https://github.com/a/b/.github/workflows/c.yml@refs/tags/v1', level: 3}]"},
		{"projects:", "rules: {wrong-grade: {severity: low}}\nprojects:"},
		{"projects:", "rules: {wrong-grade: {grace: 0s}}\nprojects:"},
	} {
		text := strings.Replace(smallConfig, change[0], change[1], 1)
		hash := parseGood(t, text).Hash()
		if other, twice := seen[hash]; twice {
			t.Errorf("one hash for two policies:\n%s\n%s", other, text)
		}
		seen[hash] = text
	}
}
