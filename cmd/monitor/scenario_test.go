package main

import (
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// newTestScenario starts a scenario of a test.
func newTestScenario(t *testing.T, seed uint64) *scenario {
	t.Helper()
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, clock: clock.Real()}
	s, err := a.newScenario(slog.New(slog.DiscardHandler), seed, t.TempDir())
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
	for i, cases := range sandbox.Worlds(sandbox.Catalogue()) {
		name := cases[0].Name
		if len(cases) > 1 {
			name = "together for " + cases[0].Wait.String()
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTestScenario(t, uint64(100+i))
			answers, _, err := s.play(t.Context(), cases)
			if err != nil {
				t.Fatal(err)
			}
			last := answers[len(answers)-1]
			want, got := map[string][]string{}, map[string][]string{}
			for _, c := range cases {
				if c.Rule != "" {
					want[c.Name] = slices.Sorted(slices.Values(slices.Concat([]string{c.Rule}, c.Also, c.Besides)))
				}
			}
			for _, f := range last.Findings {
				of := "nothing that happened: " + f.Subject.String() + ": " + f.Summary
				for _, c := range cases {
					if isAbout(f, c) {
						of = c.Name
						break
					}
				}
				got[of] = append(got[of], f.Rule)
				slices.Sort(got[of])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("findings by case (-want +got):\n%s", diff)
			}
			_ = audit.Open
		})
	}
}
