package audit_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

func TestHonestProjectHasNoFindings(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 1, sandbox.OnnxLike)
	m := watch(t, w, c)
	w.PyPI.ForgetRequests()

	first := m.pass(t)
	if found := m.findings(t); len(found) != 0 {
		t.Errorf("findings about an honest project: %+v", found)
	}
	want := []audit.Summary{
		{Project: "onnx", Index: "pypi", PyPIProject: "onnx", Files: map[audit.FileState]int{audit.FileLegacy: 4, audit.FileVerified: 16},
			Releases: 5, Fetched: 16, GitHub: &audit.StoreSummary{Asked: 20}, Unread: map[string]int{}},
		{Project: "onnx", Index: "pypi", PyPIProject: "onnx-weekly", Files: map[audit.FileState]int{audit.FileVerified: 6},
			Releases: 3, Fetched: 6, GitHub: &audit.StoreSummary{Asked: 6}, Unread: map[string]int{}},
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("first pass (-want +got):\n%s", diff)
	}
	if n := len(w.PyPI.Requests()); n != 26 { // a listing and an ownership a project, and 22 documents
		t.Errorf("the first pass made %d requests, want 26", n)
	}
	states, grades := map[string]string{}, map[string]int{}
	err := m.record.Files(t.Context(), db.FileFilter{}, func(f db.ListedFile) error {
		states[f.PyPIProject+" "+f.Release] = f.ReleaseStates
		grades[f.Grade]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{
		"onnx 1.18.0": "no-provenance", "onnx 1.19.0": "full-provenance", "onnx 1.21.0": "full-provenance",
		"onnx 1.22.0": "full-provenance", "onnx 1.23.0": "full-provenance", "onnx-weekly 1.23.0.dev20260622": "full-provenance",
		"onnx-weekly 1.23.0.dev20260629": "full-provenance", "onnx-weekly 1.23.0.dev20260706": "full-provenance",
	}, states); diff != "" {
		t.Errorf("release states (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"": 4, "release": 16, "weekly": 6}, grades); diff != "" {
		t.Errorf("files by grade (-want +got):\n%s", diff)
	}

	unmoved := ignored(nil).and("checked_at")
	before := dump(t, m.record.Path(), unmoved)
	c.Advance(time.Hour)
	w.PyPI.ForgetRequests()
	second := m.pass(t)
	var asked []string
	for _, q := range w.PyPI.Requests() {
		asked = append(asked, fmt.Sprintf("%s %s %d", q.Method, q.Path, q.Status))
	}
	if diff := cmp.Diff([]string{"GET /simple/onnx/ 304", "GET /simple/onnx-weekly/ 304"}, asked); diff != "" {
		t.Errorf("requests of the second pass (-want +got):\n%s", diff)
	}
	for i := range want {
		want[i].Fetched, want[i].GitHub.Asked = 0, 0
	}
	if diff := cmp.Diff(want, second); diff != "" {
		t.Errorf("second pass (-want +got):\n%s", diff)
	}
	sameRecord(t, "after the second pass", dump(t, m.record.Path(), unmoved), before)
}

// story lets cases happen to a world between a monitor's passes.
type story struct {
	world *sandbox.World
	*monitor
	cases []sandbox.Case
	// digests are the cases' files' before anything replaced or removed them, by case.
	digests map[string]string
}

// tell makes as many passes as the case that needs most, and one more where something has to hold for a while.
func (s *story) tell(t *testing.T) {
	t.Helper()
	var passes int
	var wait time.Duration
	var o audit.Options
	for _, c := range s.cases {
		passes, wait, o.Deep = max(passes, c.Passes), max(wait, c.Wait), o.Deep || c.Deep
	}
	steps := [][]func(sandbox.Case) func(*sandbox.World) error{{prepare}, {apply}, {confirm}}
	if passes == 1 {
		steps = [][]func(sandbox.Case) func(*sandbox.World) error{{prepare, apply}}
	}
	s.digests = map[string]string{}
	for _, step := range steps[:passes] {
		for _, do := range step {
			s.do(t, do)
		}
		s.clock.Advance(20 * time.Minute)
		s.pass(t, o)
	}
	if wait > 0 {
		s.clock.Advance(wait)
		s.pass(t, o)
	}
	events, messages := s.events(t)
	if events != messages {
		t.Errorf("%d events and %d messages", events, messages)
	}
	s.clock.Advance(20 * time.Minute)
	s.pass(t, o)
	if again, _ := s.events(t); again != events {
		t.Errorf("one more pass made %d events of %d", again, events)
	}
}

func prepare(c sandbox.Case) func(*sandbox.World) error { return c.Prepare }
func apply(c sandbox.Case) func(*sandbox.World) error   { return c.Apply }
func confirm(c sandbox.Case) func(*sandbox.World) error { return c.Confirm }

func (s *story) do(t *testing.T, step func(sandbox.Case) func(*sandbox.World) error) {
	t.Helper()
	for _, c := range s.cases {
		note := func() {
			if digest := s.world.PyPI.SHA256(c.Project, c.File); digest != "" && s.digests[c.Name] == "" {
				s.digests[c.Name] = digest
			}
		}
		note()
		if do := step(c); do != nil {
			if err := do(s.world); err != nil {
				t.Fatalf("case %s: %v", c.Name, err)
			}
		}
		note()
	}
}

// want is the rules that the cases must lead to, by subject.
func (s *story) want() map[string][]string {
	want := map[string][]string{}
	for _, c := range s.cases {
		if c.Rule == "" {
			continue
		}
		subject := audit.Subject{Project: "onnx", Index: "pypi", PyPIProject: c.Project, Release: c.Version, File: c.File, SHA256: s.digests[c.Name]}
		rules := append(want[subject.String()], c.Rule)
		want[subject.String()] = append(rules, c.Also...)
	}
	for _, rules := range want {
		slices.Sort(rules)
	}
	return want
}

// check compares the record's findings with those that the cases must lead to, and with nothing else.
func (s *story) check(t *testing.T) {
	t.Helper()
	got := map[string][]string{}
	for _, f := range s.findings(t) {
		subject := f.Subject
		if subject.File == "" {
			subject.SHA256 = "" // of the owners; the catalogue does not tell it
		}
		got[subject.String()] = append(got[subject.String()], f.Rule)
		slices.Sort(got[subject.String()])
		history, err := s.record.History(t.Context(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		if f.Status != audit.Open || len(history) != 1 || history[0].Transition != audit.Opened {
			t.Errorf("%s of %s is %s, its history %+v", f.Rule, subject, f.Status, history)
		}
	}
	if diff := cmp.Diff(s.want(), got); diff != "" {
		t.Errorf("findings by subject (-want +got):\n%s", diff)
	}
}

func TestEveryCaseOfTheCatalogue(t *testing.T) {
	for _, one := range sandbox.Lies() {
		if raceDetector && !one.Alone {
			continue // it happens again together with the others
		}
		t.Run(one.Name, func(t *testing.T) {
			t.Parallel()
			w, c := newWorld(t, 2, sandbox.OnnxLike)
			s := story{world: w, monitor: watch(t, w, c), cases: []sandbox.Case{one}}
			s.tell(t)
			s.check(t)
		})
	}
}

// together are the cases that can happen in one world.
func together() []sandbox.Case {
	return slices.DeleteFunc(sandbox.Lies(), func(c sandbox.Case) bool { return c.Alone })
}

func TestCasesTogetherGiveTheUnionOfTheirFindings(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 3, sandbox.OnnxLike)
	s := story{world: w, monitor: watch(t, w, c), cases: together()}
	s.tell(t)
	s.check(t)
	s.verifyEvidence(t)
}

// verifyEvidence looks at all evidence again, as a stranger with the record would.
func (s *story) verifyEvidence(t *testing.T) {
	t.Helper()
	kinds := map[string]int{}
	for _, f := range s.findings(t) {
		all, err := audit.Examine(f, audit.Archive{Verifier: s.auditor.Verifier, Document: func(sha256 string) ([]byte, error) { return s.record.Document(t.Context(), sha256) }})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			t.Errorf("%s of %s has no evidence", f.Rule, f.Subject)
		}
		for _, x := range all {
			kinds[x.Evidence.Kind]++
			switch x.Evidence.Kind {
			case "attestation", "provenance", "previous-provenance", "listing-entry":
				if !x.Confirmed {
					t.Errorf("%s of %s: its %s is not confirmed: %s", f.Rule, f.Subject, x.Evidence.Kind, x.Note)
				}
			}
		}
	}
	for _, kind := range []string{"attestation", "provenance", "previous-provenance", "listing-entry", "ownership", "missing", "download"} {
		if kinds[kind] == 0 {
			t.Errorf("no finding has evidence of kind %s, only %v", kind, slices.Sorted(maps.Keys(kinds)))
		}
	}
}

func TestCatalogueCoversEveryRuleThatTheIndexAnswers(t *testing.T) {
	must, mustNot := map[string]bool{}, map[string]bool{}
	for _, c := range sandbox.Lies() {
		must[c.Rule], mustNot[c.Tempts] = true, true
	}
	for _, r := range audit.Rules() {
		about, _, _ := strings.Cut(r.About, ",")
		if !slices.Contains([]string{"file", "release", "project"}, about) {
			continue
		}
		if !must[r.ID] || !mustNot[r.ID] {
			t.Errorf("%s: a case that must alert: %t, one that must not: %t", r.ID, must[r.ID], mustNot[r.ID])
		}
	}
}

// TestUnconfirmedRepositoryIDInforms has a certificate, and GitHub, tell other ids than a configuration that nobody confirmed.
func TestUnconfirmedRepositoryIDInforms(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"repository-id", "repository-taken-over"} {
		w, c := newWorld(t, 4, emptyProjects)
		s := story{world: w, cases: cases(t, name), monitor: watch(t, w, c, func(with *wiring) { with.Unconfirmed = true })}
		s.tell(t)
		found := s.findings(t)
		if len(found) != 1 || found[0].Rule != audit.RepositoryIDMismatch || found[0].Severity != audit.Low || found[0].File != "" {
			t.Errorf("%s: findings %+v", name, found)
		}
	}
}
