package audit_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// outage is a world in which something happened that an index in trouble keeps from the monitor.
type outage struct {
	world *sandbox.World
	base  string    // a record of what was before
	now   time.Time // when the trouble begins
	// undisturbed is what a record holds after two passes without any trouble.
	undisturbed []string
}

// comparable leaves out what may differ between records with the same facts: instants, and the numbers of events.
func comparable(table, column string) bool {
	return timeless(table, column) || table == "finding_events" && column == "id" ||
		column == "failure" || column == "provenance_failure" || column == "provenance_due"
}

// newOutage lets a monitor see one half of the cases' story and leaves the other half for later.
func newOutage(t *testing.T, names ...string) *outage {
	w, c := newWorld(t, 9, sandbox.OnnxLike)
	o := &outage{world: w, base: filepath.Join(t.TempDir(), "base.db")}
	later := story{world: w, cases: cases(t, names...), digests: map[string]string{}}
	before := story{world: w, cases: cases(t, "unsigned", "other-digest"), digests: map[string]string{}}
	before.do(t, apply)
	later.do(t, prepare)
	m, err := wire(t.Context(), o.wiring(o.base), c)
	if err != nil {
		t.Fatal(err)
	}
	m.pass(t)
	c.Advance(beyondEveryGrace)
	m.pass(t)
	if n := len(m.findings(t)); n != 2 {
		t.Fatalf("%d findings before the trouble, want 2", n)
	}
	if err := m.close(); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Hour)
	later.do(t, apply)
	o.now = c.Now()

	twin := o.watch(t)
	twin.pass(t)
	twin.clock.Advance(beyondEveryGrace + time.Hour)
	twin.pass(t)
	o.undisturbed = o.lines(t, twin)
	return o
}

func (o *outage) wiring(path string) wiring {
	return wiring{Database: path, Index: o.world.PyPI.URL(), TrustedRoot: o.world.TrustedRootJSON()}
}

// watch starts a monitor that knows what was before, on a clock of its own.
func (o *outage) watch(t *testing.T) *monitor {
	path := filepath.Join(t.TempDir(), "monitor.db")
	copyRecord(t, o.base, path)
	return watchWith(t, o.wiring(path), clock.NewSimulated(o.now))
}

// lines is the record without the monitor's findings about itself, and without the outbox, whose rows have nothing to
// tell them apart but the numbers of events.
func (o *outage) lines(t *testing.T, m *monitor) []string {
	return slices.DeleteFunc(dump(t, m.record.Path(), comparable), func(line string) bool {
		return strings.HasPrefix(line, "outbox ") || strings.Contains(line, `"rule":"source-unreachable"`)
	})
}

// unreachable lists the findings that a source could not be read.
func unreachable(t *testing.T, m *monitor) []audit.Finding {
	return slices.DeleteFunc(m.findings(t), func(f audit.Finding) bool { return f.Rule != audit.SourceUnreachable })
}

// suffer makes passes while the given paths are answered with a fault, and after it was mended. check looks at the record
// after each of the passes in trouble.
func (o *outage) suffer(t *testing.T, fault sandbox.Fault, paths []string, problem string, check func(m *monitor)) {
	m := o.watch(t)
	var mend []func()
	for _, path := range paths {
		fault.Path = path
		mend = append(mend, o.world.PyPI.Break(fault))
	}
	defer func() {
		for _, f := range mend {
			f()
		}
	}()

	summary := m.pass(t)[0]
	if summary.Complete() {
		t.Error("the pass calls itself complete")
	}
	for _, path := range paths {
		if !slices.ContainsFunc(summary.Troubles, func(s string) bool {
			return strings.Contains(s, o.world.PyPI.URL()+path) && strings.Contains(s, problem)
		}) {
			t.Errorf("no trouble names %s and says %q: %q", path, problem, summary.Troubles)
		}
	}
	check(m)
	if found := unreachable(t, m); len(found) != 0 {
		t.Errorf("within the grace period: %+v", found)
	}

	m.clock.Advance(beyondEveryGrace)
	m.pass(t)
	check(m)
	found := unreachable(t, m)
	if len(found) != 1 || found[0].Status != audit.Open || found[0].PyPIProject != "onnx" || len(found[0].Evidence) != len(paths) {
		t.Fatalf("after the grace period: %+v", found)
	}
	for _, e := range found[0].Evidence {
		if !strings.Contains(e.Detail, problem) {
			t.Errorf("the evidence says %q, not %q", e.Detail, problem)
		}
	}

	for _, f := range mend {
		f()
	}
	m.clock.Advance(time.Hour)
	if s := m.pass(t)[0]; !s.Complete() {
		t.Errorf("after the trouble: %q", s.Troubles)
	}
	if found := unreachable(t, m); len(found) != 1 || found[0].Status != audit.Resolved {
		t.Errorf("after the trouble: %+v", found)
	}
	sameRecord(t, "after the trouble", o.lines(t, m), o.undisturbed)
}

// Parts of what the monitor says about each hostile answer.
var (
	hostileProblems = map[string]string{
		"bad gateway":                      `status 502 (text/html: "<html><h1>Bad Gateway</h1></html>")`,
		"unavailable":                      "status 503, it asks to wait 1s",
		"too many requests":                "status 429, it asks to wait 1s",
		"too many requests without a time": "status 429",
		"page instead of JSON":             `the answer is "text/html; charset=utf-8", not application/vnd.pypi.`,
		"wrong content type":               `the answer is "application/octet-stream", not application/vnd.pypi.`,
		"truncated body":                   "its answer broke off: unexpected EOF",
		"half of the JSON":                 "unexpected EOF within",
		"empty body":                       "is not a JSON object",
		"null":                             "is not a JSON object",
		"list instead of an object":        "is not a JSON object",
		"deep nesting":                     "/meta/meta/meta",
		"dropped connection":               "EOF",
	}
	listingProblems = map[string]string{
		"zeros without end":      "larger than the 67108864 bytes allowed",
		"short digest":           `"onnx-1.18.0.tar.gz": hashes.sha256 is "3c2f4aa6d8e65a0ac1f8c415bab2c0c7", not 64 lower-case hex digits`,
		"digest that is no hex":  `hashes.sha256 is "xy3c2f4aa6d8e65a0ac1f8c415bab2c0c748498609a2591b1c6d309c28175be932", not 64 lower-case hex digits`,
		"no digest":              `hashes.sha256 is "", not 64 lower-case hex digits`,
		"negative size":          "its size is -49",
		"time that is no time":   `its upload time "yesterday 2025-05-12T14:00:00.000000Z" is not in RFC 3339's form`,
		"another project's page": `it is about project "not-onnx", not "onnx"`,
		"API version 2":          `it speaks version "2.0" of the Simple API, not 1.x`,
	}
	provenanceProblems = map[string]string{
		"zeros without end":    "larger than the 16777216 bytes allowed",
		"provenance version 2": "/version is 2, only 1 is known",
	}
)

// problem is what the monitor says about a hostile answer.
func problem(t *testing.T, name string, special map[string]string) string {
	t.Helper()
	for _, known := range []map[string]string{special, hostileProblems} {
		if text, ok := known[name]; ok {
			return text
		}
	}
	t.Fatal("what the monitor says about this answer is not known to the test")
	return ""
}

func TestHostileListingsChangeNothing(t *testing.T) {
	t.Parallel()
	o := newOutage(t, "pr-build", "file-replaced")
	for _, h := range sandbox.HostileListings() {
		t.Run(h.Name, func(t *testing.T) {
			says := problem(t, h.Name, listingProblems)
			before := o.lines(t, o.watch(t))
			o.suffer(t, h.Fault, []string{"/simple/onnx/"}, says, func(m *monitor) {
				sameRecord(t, "in trouble", o.lines(t, m), before)
			})
		})
	}
}

func TestHostileProvenanceChangesNothing(t *testing.T) {
	t.Parallel()
	o := newOutage(t, "late-file", "provenance-replaced")
	late, replaced := cases(t, "late-file")[0].File, cases(t, "provenance-replaced")[0].File
	paths := []string{"/integrity/onnx/1.23.0/" + late + "/provenance", "/integrity/onnx/1.23.0/" + replaced + "/provenance"}
	// The listing is read: it has a new serial, and the late file.
	listed := func(t *testing.T, m *monitor) (others, new []string) {
		for _, line := range o.lines(t, m) {
			switch {
			case strings.HasPrefix(line, "pypi_projects "):
			case strings.HasPrefix(line, "releases ") && strings.Contains(line, " version=1.23.0"): // which counts it
			case strings.HasPrefix(line, "files ") && strings.Contains(line, "filename="+late+" "):
				new = append(new, line)
			default:
				others = append(others, line)
			}
		}
		return others, new
	}
	for _, h := range sandbox.HostileProvenance() {
		t.Run(h.Name, func(t *testing.T) {
			says := problem(t, h.Name, provenanceProblems)
			before, _ := listed(t, o.watch(t))
			o.suffer(t, h.Fault, paths, says, func(m *monitor) {
				after, new := listed(t, m)
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("in trouble: the record differs (-want +got):\n%s", diff)
				}
				if len(new) != 1 || !strings.Contains(new[0], " provenance_state=pending ") || !strings.Contains(new[0], " state=unknown ") {
					t.Errorf("the file whose provenance nobody has seen: %q", new)
				}
			})
		})
	}
}

func TestWhatTheIndexRefusesToTellIsACoverageGap(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 10, emptyProjects)
	s := story{world: w, monitor: watch(t, w, c), cases: cases(t, "listed-403"), digests: map[string]string{}}
	s.do(t, apply)
	s.pass(t)
	if found := s.findings(t); len(found) != 0 {
		t.Errorf("within the grace period: %+v", found)
	}
	c.Advance(beyondEveryGrace)
	s.pass(t)
	found := s.findings(t)
	if len(found) != 1 || found[0].Rule != audit.CoverageGap || found[0].File != s.cases[0].File {
		t.Fatalf("after the grace period: %+v", found)
	}
}

func TestAFileIsRemovedOnlyOnceTwoListingsLackIt(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 14, sandbox.OnnxLike)
	m := watch(t, w, c)
	m.pass(t)
	before := dump(t, m.record.Path(), ignored(timeless).and("serial", "etag"))
	const lacking = "onnx-1.22.0-cp312-abi3-win_amd64.whl"
	forget := relisted(func(files []json.RawMessage) []json.RawMessage {
		return slices.DeleteFunc(files, func(f json.RawMessage) bool { return strings.Contains(string(f), `"filename":"`+lacking+`"`) })
	})
	for _, one := range []struct {
		listings int // that lack the file
		want     []string
	}{{1, nil}, {2, []string{"file-removed " + lacking}}} {
		mend := w.PyPI.Break(sandbox.Fault{Path: "/simple/onnx/", Rewrite: forget})
		for range one.listings {
			if err := w.PyPI.Touch("onnx"); err != nil {
				t.Fatal(err)
			}
			c.Advance(time.Hour)
			m.pass(t)
		}
		var got []string
		for _, f := range m.findings(t) {
			got = append(got, f.Rule+" "+f.File)
		}
		if !slices.Equal(got, one.want) {
			t.Errorf("after %d listings that lack it: %q, want %q", one.listings, got, one.want)
		}
		mend()
		// The false listings had the ETag of the true one: it must change to be asked for.
		if err := w.PyPI.Touch("onnx"); err != nil {
			t.Fatal(err)
		}
		c.Advance(time.Hour)
		m.pass(t)
		if one.listings == 1 {
			sameRecord(t, "after the file is back", dump(t, m.record.Path(), ignored(timeless).and("serial", "etag")), before)
		} else if f := m.findings(t); len(f) != 1 || f[0].Status != audit.Resolved {
			t.Errorf("after the file is back: %+v", f)
		}
	}
}
