package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLogsAreReadWithTheirOverrides(t *testing.T) {
	c, err := Parse("monitor.yaml", []byte(`
logs:
  start: 2026-11-01
  ct: off
  rekor_v1: {mode: window}
  witnesses: [witness.example.org+624843b5+AYbK2oWcr3M5ArgP1jUGyCb23N2p7uTbDI13qCtqjcNy]
  rekor_v2: {mode: follow}
  each:
    log2025-1.rekor.sigstore.dev: {url: "http://127.0.0.1:8080", kind: rekor-v2, start: 12345}
    old.example.org: {mode: off}
`+minimalProject), Options{})
	if err != nil {
		t.Fatal(err)
	}
	five := LogStart{Index: 12345}
	want := Logs{Start: LogStart{At: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}, CT: false, RekorV1: "window", RekorV2: true, Witnesses: []string{"witness.example.org+624843b5+AYbK2oWcr3M5ArgP1jUGyCb23N2p7uTbDI13qCtqjcNy"}, Each: []Log{
		{Origin: "log2025-1.rekor.sigstore.dev", URL: "http://127.0.0.1:8080", Kind: "rekor-v2", Start: &five},
		{Origin: "old.example.org", Off: true},
	}}
	if diff := cmp.Diff(want, c.Logs); diff != "" {
		t.Error(diff)
	}
	if got := c.Logs.Of("new.example.org"); got.Start.String() != "2026-11-01" || got.Off {
		t.Errorf("a log that nothing is said of is %+v", got)
	}
	if got := c.Logs.Of("log2025-1.rekor.sigstore.dev"); got.Start.String() != "12345" {
		t.Errorf("its start is %s", got.Start)
	}
}

func TestBadLogsAreReported(t *testing.T) {
	for text, want := range map[string]string{
		"logs: {start: tail}":                      `monitor.yaml:1:15: logs.start: "tail" is not a place in a log; write head, zero, an index such as 1000000, or a day such as 2026-11-01`,
		"logs: {start: 2026-13-01}":                `monitor.yaml:1:15: logs.start: "2026-13-01" is not a place in a log; write head, zero, an index such as 1000000, or a day such as 2026-11-01`,
		"logs: {witnesses: [example.org+a]}":       `monitor.yaml:1:20: logs.witnesses[0]: "example.org+a" is not the key of a witness; write NAME+HASH+KEY, as the witness publishes it`,
		"logs: {ct: on}":                           `monitor.yaml:1:12: logs.ct: "on" is not a mode; write one of follow, off`,
		"logs: {rekor_v1: {mode: tail}}":           `monitor.yaml:1:25: logs.rekor_v1.mode: "tail" is not a mode; write one of indexed, window, full, off`,
		"logs: {each: {'https://x': {mode: off}}}": `monitor.yaml:1:15: logs.each["https://x"]: "https://x" is not a log's origin; write the log's name without a scheme, such as log2025-1.rekor.sigstore.dev`,
		"logs: {each: {x: {kind: ct-v1}}}":         `monitor.yaml:1:25: logs.each.x.kind: "ct-v1" is not a kind of log; write one of rekor-v1, rekor-v2, ct-rfc6962, ct-static`,
	} {
		_, err := Parse("monitor.yaml", []byte(text+minimalProject), Options{})
		if err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

func TestStartsAreReadAsTheyAreWritten(t *testing.T) {
	for _, text := range []string{"head", "zero", "1", "999999999999999999", "2026-11-01", "2026-11-01T12:30:00Z"} {
		if start, err := ParseLogStart(text); err != nil || start.String() != text {
			t.Errorf("%s is read as %s: %v", text, start, err)
		}
	}
	for _, text := range []string{"", "tail", "-1", "2026-11", "2026-11-01 12:00", "99999999999999999999"} {
		if start, err := ParseLogStart(text); err == nil {
			t.Errorf("%q is read as %s", text, start)
		}
	}
}

func TestFurtherNamesAreWatched(t *testing.T) {
	c, err := Parse("monitor.yaml", []byte(strings.Replace(minimalProject, "    pypi:", `    also_watch:
      emails: [Release@example.org]
      owners: [example]
      key_fingerprints: [9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08]
    pypi:`, 1)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := AlsoWatch{Emails: []string{"Release@example.org"}, Owners: []string{"example"},
		KeyFingerprints: []string{"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}}
	if diff := cmp.Diff(want, c.Projects[0].AlsoWatch); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]string{
		"{emails: [example.org]}":            `projects[0].also_watch.emails[0]: "example.org" is not an e-mail address; write an address such as release@example.org`,
		"{emails: [A <a@example.org>]}":      `projects[0].also_watch.emails[0]: "A <a@example.org>" is not an e-mail address; write an address such as release@example.org`,
		"{emails: [a@b.org, A@b.org]}":       `projects[0].also_watch.emails[1]: "A@b.org" is listed twice; remove it`,
		"{owners: [example/widget]}":         `projects[0].also_watch.owners[0]: "example/widget" is not an owner on GitHub; write the name that stands in https://github.com/OWNER`,
		"{key_fingerprints: ['SHA256:abc']}": `projects[0].also_watch.key_fingerprints[0]: "SHA256:abc" is not the SHA-256 of a key; write 64 hex digits, such as ` + "`openssl pkey -pubin -in key.pem -outform DER | sha256sum` prints",
	} {
		_, err := Parse("monitor.yaml", []byte(strings.Replace(minimalProject, "    pypi:", "    also_watch: "+text+"\n    pypi:", 1)), Options{})
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s:\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// minimalProject completes a configuration that begins with other keys.
const minimalProject = `
projects:
  - name: widget
    pypi: [widget]
    repository: {name: example/widget}
    grades: [{name: release, workflow: release.yml, refs: [refs/heads/main], triggers: [push], environment: pypi, publishes: widget}]
`
