package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/schedule"
)

func severities() []string { return []string{"critical", "high", "medium", "low", "info"} }

func testOptions() Options {
	return Options{
		Rules:          []string{"no-provenance", "release-yanked", "wrong-grade"},
		Severities:     severities(),
		RuleSeverities: map[string]string{"no-provenance": "high", "release-yanked": "info", "wrong-grade": "critical"},
		Getenv:         func(string) string { return "" },
	}
}

// compare is how configurations are compared: patterns by their text, secrets by their place.
func compare() cmp.Options {
	return cmp.Options{
		cmp.Comparer(func(a, b *regexp.Regexp) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b Secret) bool { return a.String() == b.String() }),
		cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() }),
	}
}

func day0(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

func TestNoFileIsTheONNXPreset(t *testing.T) {
	c, err := Load("", testOptions())
	if err != nil {
		t.Fatal(err)
	}
	re := regexp.MustCompile
	want := &Config{
		Source:   "embedded preset",
		Database: "monitor.db",
		Trust:    []TrustSource{{TUF: "https://tuf-repo-cdn.sigstore.dev"}},
		Indexes: []Index{
			{Name: "pypi", URL: "https://pypi.org", FileHosts: []string{"files.pythonhosted.org"}},
			{Name: "testpypi", URL: "https://test.pypi.org", FileHosts: []string{"test-files.pythonhosted.org"}},
		},
		Contact:      "https://github.com/onnx/onnx",
		Budgets:      map[string]Budget{"pypi.org": {60, time.Minute}, "test.pypi.org": {60, time.Minute}, "rekor.sigstore.dev": {60, time.Minute}, "ctfe.sigstore.dev": {60, time.Minute}, "api.github.com": {60, time.Hour}},
		GitHub:       GitHub{API: "https://api.github.com", Blobs: []string{"*.blob.core.windows.net"}, Attestations: true},
		RecheckAfter: 168 * time.Hour,
		Schedules:    Schedules{Follow: schedule.Must("@every 5m"), Audit: schedule.Must("17 * * * *")},
		Listen:       "127.0.0.1:8080",
		Logs:         Logs{Start: LogStart{Head: true}, CT: true, RekorV1: "indexed", RekorV2: true},
		Rules:        map[string]RuleSetting{},
		Projects: []Project{{
			Name:           "onnx",
			PyPI:           []PyPIProject{{"pypi", "onnx"}, {"pypi", "onnx-weekly"}},
			ExpectRemovals: []PyPIProject{{"pypi", "onnx-weekly"}},
			Claims:         []Claim{{On: PyPIProject{"pypi", "onnx"}, SLSABuild: 2, Source: "SECURITY.md"}},
			Policy: identity.Policy{
				Project:    "onnx",
				Issuer:     "https://token.actions.githubusercontent.com",
				Repository: identity.Repository{Name: "onnx/onnx", ID: "102692863", OwnerID: "31675368", IDsUnconfirmed: true},
				Removals:   []string{"pypi/onnx-weekly"},
				Grades: []identity.Grade{
					{
						Name: "release", Workflow: "create_release.yml", Runner: "github-hosted",
						Refs:     []*regexp.Regexp{re(`^(?:refs/heads/rel-(?P<version>\d+\.\d+\.\d+))$`)},
						Triggers: []string{"workflow_dispatch"}, Environment: "pypi-release",
						Publishes:    []string{"pypi/onnx"},
						PublishSince: &identity.Since{Version: "1.19.0", Uploaded: day0(2025, time.August, 1)},
						SLSASince:    &identity.Since{Version: "1.22.0", Uploaded: day0(2026, time.June, 1)},
					},
					{
						Name: "weekly", Workflow: "create_release.yml", Runner: "github-hosted",
						Refs:     []*regexp.Regexp{re(`^(?:refs/heads/main)$`)},
						Triggers: []string{"schedule", "workflow_dispatch"}, Environment: "pypi-weekly",
						Publishes:    []string{"pypi/onnx-weekly"},
						PublishSince: &identity.Since{Uploaded: day0(2024, time.November, 4)},
						SLSASince:    &identity.Since{Uploaded: day0(2026, time.May, 11)},
						Expect:       &identity.Expect{Every: 7 * 24 * time.Hour, Within: 2 * 24 * time.Hour},
					},
					{
						Name: "test-weekly", Workflow: "create_release.yml", Runner: "github-hosted",
						Refs:     []*regexp.Regexp{re(`^(?:refs/heads/(main|rel.*))$`)},
						Triggers: []string{"workflow_dispatch"}, Environment: "testpypi-weekly",
						Publishes: []string{"testpypi/onnx-weekly"},
					},
					{
						Name: "test-release", Workflow: "create_release.yml", Runner: "github-hosted",
						Refs:     []*regexp.Regexp{re(`^(?:refs/heads/(main|rel.*))$`)},
						Triggers: []string{"workflow_dispatch"}, Environment: "testpypi-release",
						Publishes: []string{"testpypi/onnx"},
					},
					{
						Name: "ci", Workflow: "create_release.yml", Runner: "github-hosted",
						Refs:     []*regexp.Regexp{re(`^(?:refs/heads/(main|rel-.*))$`)},
						Triggers: []string{"push"}, Environment: "none",
					},
					{
						Name: "ci-dispatch", Workflow: "create_release.yml", Runner: "github-hosted",
						Refs:     []*regexp.Regexp{re(`^(?:refs/(heads|tags)/.+)$`)},
						Triggers: []string{"workflow_dispatch"}, Environment: "none",
					},
					{
						Name: "pr", Workflow: "create_release.yml", Runner: "github-hosted",
						Refs:     []*regexp.Regexp{re(`^(?:refs/pull/\d+/merge)$`)},
						Triggers: []string{"pull_request"}, Environment: "none",
					},
					{
						Name: "scorecard", Workflow: "scorecard.yml", Runner: "github-hosted",
						Refs:     []*regexp.Regexp{re(`^(?:refs/heads/main)$`)},
						Triggers: []string{"push", "schedule", "branch_protection_rule"}, Environment: "none",
					},
				},
			},
		}},
	}
	if diff := cmp.Diff(want, c, compare()); diff != "" {
		t.Errorf("preset (- want, + have):\n%s", diff)
	}
}

func TestExampleMeansWhatItsCommentsSay(t *testing.T) {
	c, err := Load("../../configs/example.yaml", testOptions())
	if err != nil {
		t.Fatal(err)
	}
	folder, err := filepath.Abs("../../configs")
	if err != nil {
		t.Fatal(err)
	}
	if c.Source != "../../configs/example.yaml" || c.Database != "/var/lib/rekoncile/monitor.db" || c.Contact != "security@example.org" || c.RecheckAfter != 7*24*time.Hour {
		t.Errorf("source %q, database %q, contact %q, recheck after %v", c.Source, c.Database, c.Contact, c.RecheckAfter)
	}
	two := 2 * time.Hour
	for _, part := range []struct {
		name       string
		have, want any
	}{
		{"trust", c.Trust, []TrustSource{
			{TUF: "https://tuf-repo-cdn.sigstore.dev", Cache: "/var/cache/rekoncile/tuf"},
			{TUF: "https://tuf.sigstore.example.org", RootFile: "/etc/rekoncile/example-root.json"},
			{TrustedRoot: filepath.Join(folder, "trusted_root.json")},
		}},
		{"indexes", c.Indexes, []Index{
			{Name: "internal", URL: "https://packages.example.org", FileHosts: []string{"files.packages.example.org"}},
			{Name: "pypi", URL: "https://pypi.org", FileHosts: []string{"files.pythonhosted.org"}},
			{Name: "testpypi", URL: "https://test.pypi.org", FileHosts: []string{"test-files.pythonhosted.org"}},
		}},
		{"allow_http", c.AllowHTTP, []string{"mirror.example.org"}},
		{"budgets", c.Budgets, map[string]Budget{
			"pypi.org": {60, time.Minute}, "test.pypi.org": {60, time.Minute}, "rekor.sigstore.dev": {60, time.Minute}, "ctfe.sigstore.dev": {60, time.Minute}, "packages.example.org": {10, time.Second},
			"api.github.com": {2000, time.Hour},
		}},
		{"github", []any{c.GitHub.API, c.GitHub.Blobs, c.GitHub.Token.String(), c.GitHub.Attestations, c.GitHub.Runs},
			[]any{"https://api.github.com", []string{"*.blob.core.windows.net"}, "[secret in file /run/secrets/github]", true, true}},
		{"rules", c.Rules, map[string]RuleSetting{"release-yanked": {Severity: "info"}, "no-provenance": {Severity: "high", Grace: &two}}},
		{"pypi", c.Projects[0].PyPI, []PyPIProject{{"pypi", "widget"}, {"pypi", "widget-nightly"}, {"internal", "widget-extras"}}},
		{"repository", c.Projects[0].Policy.Repository, identity.Repository{Name: "example/widget", ID: "123456789", OwnerID: "9876543"}},
		{"publishes", c.Projects[0].Policy.Grades[0].Publishes, []string{"pypi/widget", "internal/widget-extras"}},
		{"slsa_since", c.Projects[0].Policy.Grades[0].SLSASince, &identity.Since{Version: "2.4.0", Uploaded: time.Date(2026, time.February, 15, 12, 0, 0, 0, time.UTC)}},
		{"runner", c.Projects[0].Policy.Grades[2].Runner, "any"},
		{"expect", c.Projects[0].Policy.Grades[1].Expect, &identity.Expect{Every: 24 * time.Hour, Within: 6 * time.Hour}},
		{"builders", c.Projects[0].Policy.Builders, []identity.Builder{{ID: "https://github.com/example/builder/.github/workflows/build.yml@refs/tags/v2", Level: 3}}},
		{"claims", c.Projects[0].Claims, []Claim{{On: PyPIProject{"pypi", "widget"}, SLSABuild: 2, Source: "SECURITY.md",
			Since: &identity.Since{Version: "2.4.0", Uploaded: time.Date(2026, time.February, 15, 0, 0, 0, 0, time.UTC)}}}},
		{"webhook", c.Alerts.Slack.Webhook.String(), "[secret in file /run/secrets/slack]"},
		{"heartbeat", c.Alerts.Heartbeat.String(), "[secret in file /run/secrets/heartbeat]"},
	} {
		if diff := cmp.Diff(part.want, part.have); diff != "" {
			t.Errorf("%s (- want, + have):\n%s", part.name, diff)
		}
	}
}

func TestRefsMatchWholeRefsOnly(t *testing.T) {
	c, err := Load("", testOptions())
	if err != nil {
		t.Fatal(err)
	}
	release := c.Projects[0].Policy.Grades[0].Refs[0]
	for ref, want := range map[string]bool{
		"refs/heads/rel-1.22.0":             true,
		"refs/heads/rel-1.22.0-evil":        false,
		"refs/heads/rel-1.22.0\n":           false,
		"refs/heads/x/refs/heads/rel-1.0.0": false,
		"refs/tags/rel-1.22.0":              false,
		"refs/heads/rel-1.22":               false,
	} {
		if have := release.MatchString(ref); have != want {
			t.Errorf("%q: matches is %v", ref, have)
		}
	}
	// An alternative at the top must not escape the anchors.
	c = parseGood(t, strings.Replace(smallConfig, "'refs/heads/main'", "'refs/heads/a|refs/heads/b'", 1))
	if re := c.Projects[0].Policy.Grades[0].Refs[0]; re.MatchString("refs/heads/ax") || re.MatchString("xrefs/heads/b") || !re.MatchString("refs/heads/b") {
		t.Errorf("%s is not anchored", re)
	}
}

// smallConfig is the least that a configuration can hold.
const smallConfig = `projects:
  - name: widget
    pypi: [widget]
    repository: {name: example/widget}
    grades:
      - name: release
        workflow: release.yml
        refs: ['refs/heads/main']
        triggers: [push]
        environment: pypi
        publishes: widget
`

func parseGood(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("monitor.yaml", []byte(text), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRefsMayBeWrittenInMoreThanOneWay(t *testing.T) {
	for _, ref := range []string{
		"refs/heads/a|refs/heads/b", "(refs/heads/a|refs/tags/b)", "refs/(heads|tags)/.+", "((refs)/heads)/a",
		"(?:refs/heads/a)", `refs\/heads\/a`, "refs/heads/(?P<version>.+)", "refs/.+", "refs/heads/a?",
	} {
		parseGood(t, strings.Replace(smallConfig, "refs/heads/main", ref, 1))
	}
}

func TestPathsStartAtTheFilesFolder(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "monitor.yaml")
	text := "database: data/m.db\ntrust:\n  - trusted_root: ../root.json\n  - {tuf: https://tuf.example.org, root_file: /etc/root.json, cache: c}\nalerts: {slack: {webhook_file: hook}}\n" + smallConfig
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if want := folder + "/data/m.db"; c.Database != want {
		t.Errorf("database is %q, not %q", c.Database, want)
	}
	want := []TrustSource{
		{TrustedRoot: filepath.Dir(folder) + "/root.json"},
		{TUF: "https://tuf.example.org", RootFile: "/etc/root.json", Cache: folder + "/c"},
	}
	if diff := cmp.Diff(want, c.Trust); diff != "" {
		t.Errorf("trust (- want, + have):\n%s", diff)
	}
	if want := "[secret in file " + folder + "/hook]"; c.Alerts.Slack.Webhook.String() != want {
		t.Errorf("webhook is %s, not %s", c.Alerts.Slack.Webhook, want)
	}
	if c, err = Load("", testOptions()); err != nil || c.Database != "monitor.db" {
		t.Errorf("the preset's database is %q (%v)", c.Database, err)
	}
	if err := os.WriteFile(file, []byte(smallConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = Load(file, testOptions()); err != nil || c.Database != folder+"/monitor.db" {
		t.Errorf("the default database of a file is %q (%v)", c.Database, err)
	}
}

func TestKnownIndexesCanBeChanged(t *testing.T) {
	for text, want := range map[string]Index{
		`{url: "http://127.0.0.1:8080/"}`:                  {Name: "pypi", URL: "http://127.0.0.1:8080"},
		`{url: https://Mirror.Example.org/pypi}`:           {Name: "pypi", URL: "https://mirror.example.org/pypi"},
		`{files: [cdn.example.org]}`:                       {Name: "pypi", URL: "https://pypi.org", FileHosts: []string{"cdn.example.org"}},
		`{files: []}`:                                      {Name: "pypi", URL: "https://pypi.org"},
		`{url: http://plain.example.org, files: [a, b:1]}`: {Name: "pypi", URL: "http://plain.example.org", FileHosts: []string{"a", "b:1"}},
	} {
		c := parseGood(t, "allow_http: [PLAIN.example.org]\nindexes:\n  pypi: "+text+"\n"+smallConfig)
		have, ok := c.Index("pypi")
		if diff := cmp.Diff(want, have); !ok || diff != "" {
			t.Errorf("%s (- want, + have):\n%s", text, diff)
		}
	}
	if _, ok := parseGood(t, smallConfig).Index("nowhere"); ok {
		t.Error("there is an index that nobody configured")
	}
}

func TestNamesAreNormalised(t *testing.T) {
	c := parseGood(t, strings.NewReplacer("[widget]", "[Widget._-X]", "publishes: widget", "publishes: pypi/WIDGET-x").Replace(smallConfig))
	if have := c.Projects[0].PyPI[0].String(); have != "pypi/widget-x" {
		t.Errorf("project is %q", have)
	}
	if have := c.Projects[0].Policy.Grades[0].Publishes[0]; have != "pypi/widget-x" {
		t.Errorf("published is %q", have)
	}
}

func TestVersionsKeepTheirZeros(t *testing.T) {
	c := parseGood(t, smallConfig+"        publish_since: {version: 1.20, uploaded: 2025-01-01T01:00:00+02:00}\n")
	want := &identity.Since{Version: "1.20", Uploaded: time.Date(2024, time.December, 31, 23, 0, 0, 0, time.UTC)}
	if diff := cmp.Diff(want, c.Projects[0].Policy.Grades[0].PublishSince); diff != "" {
		t.Errorf("publish_since (- want, + have):\n%s", diff)
	}
}

func TestAliasesStandForTheirValues(t *testing.T) {
	c := parseGood(t, strings.NewReplacer("pypi: [widget]", "pypi: &all [widget]", "publishes: widget", "publishes: *all").Replace(smallConfig))
	if diff := cmp.Diff([]string{"pypi/widget"}, c.Projects[0].Policy.Grades[0].Publishes); diff != "" {
		t.Errorf("publishes (- want, + have):\n%s", diff)
	}
}

func TestErrorsTellTheirPlaceToPrograms(t *testing.T) {
	_, err := Parse("monitor.yaml", []byte("databse: x\n"+smallConfig), testOptions())
	want := &Error{File: "monitor.yaml", Line: 1, Column: 1, Key: "databse", Message: "unknown key", Advice: `did you mean "database"?`}
	var have *Error
	if !errors.As(err, &have) {
		t.Fatalf("error is %T", err)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("error (- want, + have):\n%s", diff)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	folder := t.TempDir()
	_, err := Load(filepath.Join(folder, "none.yaml"), testOptions())
	want := "read configuration: open " + folder + "/none.yaml: no such file or directory; name another file, or none for the embedded preset"
	if err == nil || err.Error() != want || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	large := filepath.Join(folder, "large.yaml")
	if err := os.WriteFile(large, []byte(strings.Repeat("#", 1<<20+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(large, testOptions())
	if want := "read configuration: " + large + " is larger than 1048576 bytes"; err == nil || err.Error() != want {
		t.Errorf("large file: %v", err)
	}
	if _, err := Load(folder, testOptions()); err == nil {
		t.Error("a folder was read")
	}
}
