package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	diff "github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// newTestScenario starts a scenario of a test.
func newTestScenario(t testing.TB, seed uint64) *scenario {
	t.Helper()
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, clock: clock.Real()}
	s, err := a.newScenario(slog.New(slog.DiscardHandler), seed, t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.world.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestEveryScenarioOfTheCatalogue has the whole monitor make its passes while each case happens, in as few worlds as there can
// be: what must be found is found in the first pass that can see it, once, and nothing else is, whatever the project does besides.
func TestEveryScenarioOfTheCatalogue(t *testing.T) {
	for i, cases := range scenarioWorlds() {
		name := cases[0].Name
		if len(cases) > 1 {
			name = fmt.Sprintf("%d cases at once", len(cases))
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTestScenario(t, uint64(100+i))
			passes, err := s.play(t.Context(), cases)
			if err != nil {
				t.Fatal(err)
			}
			for n, p := range passes {
				if d := diff.Diff(wanted(cases, passes, n), told(cases, p.answer.Findings)); d != "" {
					t.Errorf("pass %d of %d, findings by case (-want +got):\n%s", n+1, len(passes), d)
				}
			}
			urgent(t, cases, passes[len(passes)-1].answer.Findings)
			s.eachOnce(t, passes[len(passes)-1].answer.Findings)
		})
	}
}

// scenarioWorlds are the worlds of the catalogue. With the race detector, under which all of them take minutes, those of one case
// are one of each book.
func scenarioWorlds() [][]sandbox.Case {
	worlds := sandbox.Worlds(sandbox.Catalogue())
	if !raceDetector {
		return worlds
	}
	seen := map[sandbox.Book]bool{}
	return slices.DeleteFunc(worlds, func(cases []sandbox.Case) bool {
		book := cases[0].Book
		if len(cases) > 1 || seen[book] || cases[0].Rule == "" {
			return true
		}
		seen[book] = true
		return false
	})
}

// wanted are the rules that must be open after a pass, by case.
func wanted(cases []sandbox.Case, passes []madePass, n int) map[string][]string {
	want := map[string][]string{}
	for _, c := range cases {
		// What is wrong at once is seen in the pass after it happened; what has to hold for a while, in the first pass after that.
		due := max(c.Passes, 2) - 1
		if n >= due {
			want[c.Name] = append(want[c.Name], c.Besides...)
			want[c.Name] = append(want[c.Name], c.Also...)
		}
		if c.Rule != "" && n >= due && passes[n].after >= c.Wait {
			want[c.Name] = append(want[c.Name], c.Rule)
		}
		slices.Sort(want[c.Name])
		if len(want[c.Name]) == 0 {
			delete(want, c.Name)
		}
	}
	return want
}

// told sorts findings by the case that each is about.
func told(cases []sandbox.Case, findings []audit.Finding) map[string][]string {
	got := map[string][]string{}
	for _, f := range findings {
		of := "nothing that happened: " + f.Subject.String() + ": " + f.Summary
		if i := slices.IndexFunc(cases, func(c sandbox.Case) bool { return isAbout(f, c) }); i >= 0 {
			of = cases[i].Name
		}
		got[of] = append(got[of], f.Rule)
		slices.Sort(got[of])
	}
	return got
}

// urgent compares severities.
func urgent(t *testing.T, cases []sandbox.Case, findings []audit.Finding) {
	t.Helper()
	rules := audit.NewRuleSet(nil)
	for _, f := range findings {
		for _, c := range cases {
			if c.Rule != f.Rule || !isAbout(f, c) {
				continue
			}
			if want := cmp.Or(audit.Severity(c.Severity), rules[c.Rule].Severity); f.Severity != want {
				t.Errorf("%s: %s is %s, want %s", c.Name, f.Rule, f.Severity, want)
			}
		}
	}
}

// eachOnce demands that nothing happened to findings but that those which are open were opened, and that people were reminded of
// them, that all of this was told, and that one more pass changes nothing. Several of a kind may be one message.
func (s *scenario) eachOnce(t *testing.T, open []audit.Finding) {
	t.Helper()
	if _, err := s.act(t.Context()); err != nil {
		t.Fatal(err)
	}
	record, err := db.OpenExisting(t.Context(), s.pass.cfg.Database)
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close()
	all, err := record.Findings(t.Context(), db.FindingFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(open) {
		t.Errorf("%d findings in all, %d open", len(all), len(open))
	}
	told := 0
	for _, f := range all {
		history, err := record.History(t.Context(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		var announced []audit.Transition
		for _, h := range history {
			if h.Transition.Announced() {
				told++
			}
			if h.Transition.Announced() && h.Transition != audit.Reminded {
				announced = append(announced, h.Transition)
			}
		}
		if !slices.Equal(announced, []audit.Transition{audit.Opened}) {
			t.Errorf("%s of %s: %v", f.Rule, f.Subject, announced)
		}
	}
	outbox, err := record.OutboxDepths(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	messages := len(s.world.Slack.Messages())
	if told > 0 && (len(outbox) != 1 || outbox[0].Pending > 0 || outbox[0].Delivered != told || messages == 0 || messages > told) || told == 0 && messages > 0 {
		t.Errorf("of %d events %+v came in %d messages", told, outbox, messages)
	}
	if _, err := record.Fsck(t.Context(), func(problem string) { t.Errorf("fsck: %s", problem) }); err != nil {
		t.Fatal(err)
	}
}

// TestACancelledUploadIsInformationWithoutAToken has the runs of all certificates not be looked up, as without a token: that of a
// job that signed what nothing accounts for is, and it alone.
func TestACancelledUploadIsInformationWithoutAToken(t *testing.T) {
	t.Parallel()
	s := newTestScenario(t, 4711)
	s.pass.cfg.GitHub.Runs = false
	all := sandbox.Catalogue()
	cases := slices.DeleteFunc(slices.Clone(all), func(c sandbox.Case) bool { return c.Name != "cancelled-upload" })
	passes, err := s.play(t.Context(), cases)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, f := range passes[len(passes)-1].answer.Findings {
		if f.Rule == audit.UnaccountedEntry {
			told = append(told, string(f.Severity))
		}
	}
	if d := diff.Diff([]string{"info"}, told); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
}
