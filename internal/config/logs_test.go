package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLogsAreReadWithTheirOverrides(t *testing.T) {
	c, err := Parse("monitor.yaml", []byte(`
logs:
  start: zero
  ct: off
  rekor_v2: {mode: follow}
  each:
    log2025-1.rekor.sigstore.dev: {url: "http://127.0.0.1:8080", kind: rekor-v2, start: 12345}
    old.example.org: {mode: off}
`+minimalProject), Options{})
	if err != nil {
		t.Fatal(err)
	}
	five := LogStart{Index: 12345}
	want := Logs{Start: LogStart{}, CT: false, RekorV2: true, Each: []Log{
		{Origin: "log2025-1.rekor.sigstore.dev", URL: "http://127.0.0.1:8080", Kind: "rekor-v2", Start: &five},
		{Origin: "old.example.org", Off: true},
	}}
	if diff := cmp.Diff(want, c.Logs); diff != "" {
		t.Error(diff)
	}
	if got := c.Logs.Of("new.example.org"); *got.Start != (LogStart{}) || got.Off {
		t.Errorf("a log that nothing is said of is %+v", got)
	}
	if got := c.Logs.Of("log2025-1.rekor.sigstore.dev"); got.Start.String() != "12345" {
		t.Errorf("its start is %s", got.Start)
	}
}

func TestBadLogsAreReported(t *testing.T) {
	for text, want := range map[string]string{
		"logs: {start: tail}":                      `monitor.yaml:1:15: logs.start: "tail" is not a place in a log; write head, zero, or an index such as 1000000`,
		"logs: {ct: on}":                           `monitor.yaml:1:12: logs.ct: "on" is not a mode; write one of follow, off`,
		"logs: {rekor_v1: {mode: full}}":           `monitor.yaml:1:8: logs.rekor_v1: this version does not have this key yet; remove it`,
		"logs: {each: {'https://x': {mode: off}}}": `monitor.yaml:1:15: logs.each["https://x"]: "https://x" is not a log's origin; write the log's name without a scheme, such as log2025-1.rekor.sigstore.dev`,
		"logs: {each: {x: {kind: ct-v1}}}":         `monitor.yaml:1:25: logs.each.x.kind: "ct-v1" is not a kind of log; write one of rekor-v1, rekor-v2, ct-rfc6962, ct-static`,
	} {
		_, err := Parse("monitor.yaml", []byte(text+minimalProject), Options{})
		if err == nil || err.Error() != want {
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
