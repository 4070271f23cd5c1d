package e2e

import (
	"crypto/elliptic"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// entriesAnswer is the JSON of `monitor entries`, as far as it is looked at.
type entriesAnswer struct {
	Entries []struct {
		Log          string `json:"log_origin"`
		Index        uint64 `json:"log_index"`
		Proven       bool
		Kind, Class  string
		SAN          string
		Certificates []struct {
			Serial  string
			Chained bool
		}
	}
}

// lines says which certificates were found where, and as what.
func (a entriesAnswer) lines() []string {
	var lines []string
	for _, e := range a.Entries {
		for _, c := range e.Certificates {
			lines = append(lines, strings.Join([]string{e.Log, e.Kind, e.Class, e.SAN, c.Serial, fmt.Sprint(e.Proven, c.Chained)}, " "))
		}
	}
	slices.Sort(lines)
	return lines
}

// TestTheMonitorKeepsTheBooksOfRealServers runs the program, configured like a private deployment, over the real CT log and
// the real Rekor v2: what Fulcio issued in the project's name is found in both, proven, and judged as one.
func TestTheMonitorKeepsTheBooksOfRealServers(t *testing.T) {
	f, log := startFulcio(t), startRekor2(t)
	stranger, odd := sandbox.ReleaseClaims("1.23.0"), sandbox.ReleaseClaims("1.23.0")
	stranger.Repository, stranger.RepositoryID = "pypa/sampleproject", "147"
	odd.Workflow = "nightly.yml"
	ctOrigin := strings.TrimPrefix(f.ct.url, "http://")
	trusted := trustFulcio(t, f)
	trusted.rekor2(log)
	program, dir := monitor(t), t.TempDir()
	writeFile(t, dir, "trusted_root.json", trusted.json(t))
	writeFile(t, dir, "config.yaml", fmt.Appendf(nil,
		"database: monitor.db\ntrust: [{trusted_root: trusted_root.json}]\nlogs:\n  start: zero\n  rekor_v1: {mode: off}\n  each: {%s: {url: %q}}\n%s", origin, log.read, preset(t)))

	// What is found where: a certificate in the CT log, and each signature made with it.
	var want []string
	issued, signed := 0, 0
	work := func(c sandbox.Claims, artifacts ...string) {
		t.Helper()
		s := f.job(t, c)
		issued++
		watched := c.Repository == "onnx/onnx"
		if watched {
			want = append(want, fmt.Sprintf("%s certificate self %s %s true true", ctOrigin, s.san(), s.serial()))
		}
		for _, artifact := range artifacts {
			log.sign(t, s, artifact)
			signed++
			if watched {
				want = append(want, fmt.Sprintf("%s entry self %s %s true true", origin, s.san(), s.serial()))
			}
		}
	}
	// once follows all that there is.
	once := func() {
		t.Helper()
		f.ct.awaitSize(t, uint64(issued))
		log.await(t, "the signatures", func() bool { return log.size() == signed })
		var got follow
		if code := run(t, &got, program, dir, "follow", "--once"); code != 0 || len(got.Logs) != 2 {
			t.Fatalf("exit code %d, %+v", code, got)
		}
		for _, l := range got.Logs {
			if size := map[string]int{ctOrigin: issued, origin: signed}[l.Origin]; l.Proven != uint64(size) || l.Size != uint64(size) {
				t.Errorf("%s: %d of %d entries are proven, want %d", l.Origin, l.Proven, l.Size, size)
			}
		}
		var entries entriesAnswer
		run(t, &entries, program, dir, "entries")
		slices.Sort(want)
		if lines := entries.lines(); !slices.Equal(lines, want) {
			t.Errorf("found\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
		}
	}
	var findings struct {
		Findings []struct{ ID, Rule string }
	}
	work(stranger, "one", "two")
	work(sandbox.ReleaseClaims("1.23.0"), "a wheel", "another wheel")
	work(stranger)
	once()
	if run(t, &findings, program, dir, "findings"); len(findings.Findings) != 0 {
		t.Errorf("a release's own signatures: %+v", findings)
	}

	work(stranger, "three")
	work(odd, "a nightly wheel")
	work(sandbox.ReleaseClaims("1.23.1"))
	once()
	// The certificate is met in the CT log and in the entry, and is one matter.
	if run(t, &findings, program, dir, "findings"); len(findings.Findings) != 1 || findings.Findings[0].Rule != "unexpected-identity" {
		t.Fatalf("an unknown workflow's signature: %+v", findings)
	}
	var x struct {
		Examinations []struct {
			Confirmed bool
			Note      string
		}
	}
	if run(t, &x, program, dir, "explain", findings.Findings[0].ID); len(x.Examinations) != 1 || !x.Examinations[0].Confirmed {
		t.Errorf("its evidence: %+v", x)
	}
	if code := run(t, nil, program, dir, "fsck"); code != 0 {
		t.Errorf("fsck: exit code %d", code)
	}

	// Whoever answers in the CT log's place, with a key of his own, is not believed a word.
	key := newKey(t, elliptic.P256()).Public()
	clear(trusted.ctLogs)
	trusted.add(trusted.ctLogs, f.ct.url, key, keyID(t, key))
	writeFile(t, dir, "trusted_root.json", trusted.json(t))
	if err := os.Rename(filepath.Join(dir, "monitor.db"), filepath.Join(dir, "first.db")); err != nil {
		t.Fatal(err)
	}
	var got follow
	if code := run(t, &got, program, dir, "follow", "--once"); code != 4 {
		t.Errorf("exit code %d, %+v", code, got)
	}
	if run(t, &findings, program, dir, "findings"); !slices.ContainsFunc(findings.Findings, func(f struct{ ID, Rule string }) bool { return f.Rule == "bad-checkpoint" }) {
		t.Errorf("a CT log with another key: %+v", findings)
	}
}
