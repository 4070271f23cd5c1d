package audit_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// relisted changes the files of a listing, and leaves alone what is no listing.
func relisted(change func([]json.RawMessage) []json.RawMessage) func([]byte) []byte {
	return func(body []byte) []byte {
		var page map[string]json.RawMessage
		var files []json.RawMessage
		if json.Unmarshal(body, &page) != nil || json.Unmarshal(page["files"], &files) != nil {
			return body
		}
		var err error
		if page["files"], err = json.Marshal(change(files)); err != nil {
			return body
		}
		out, err := json.Marshal(page)
		if err != nil {
			return body
		}
		return out
	}
}

// shuffled is the files in another order.
func shuffled(files []json.RawMessage) []json.RawMessage {
	random := rand.New(rand.NewPCG(99, 99))
	random.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	return files
}

func TestFindingsDoNotDependOnTheOrderOfTheListing(t *testing.T) {
	if raceDetector {
		t.Skip("the order of facts is no matter of races, and the cases are tried elsewhere")
	}
	t.Parallel()
	w, c := newWorld(t, 5, sandbox.OnnxLike)
	s := story{world: w, cases: together(), monitor: watch(t, w, c)}
	later := c.Now().Add(beyondEveryGrace)
	s.tell(t)
	c.AdvanceTo(later)

	// Both look for the first time at the world as it is now, at the same instants.
	var found [2]string
	for i := range found {
		if i == 1 {
			t.Cleanup(w.PyPI.Break(sandbox.Fault{Path: "/simple/*", Rewrite: relisted(shuffled)}))
		}
		m := watch(t, w, clock.NewSimulated(later))
		m.pass(t)
		m.clock.Advance(beyondEveryGrace)
		m.pass(t)
		text, err := json.MarshalIndent(m.findings(t), "", " ")
		if err != nil {
			t.Fatal(err)
		}
		found[i] = string(text)
	}
	if n := strings.Count(found[0], `"rule": `); n < 50 {
		t.Errorf("only %d findings to compare", n)
	}
	if diff := cmp.Diff(found[0], found[1]); diff != "" {
		t.Errorf("findings differ by the order of the listing (-index's +shuffled):\n%s", diff)
	}
}

// ofTheOrder is what follows from the order of events: indices in the log, tree sizes and root hashes, signatures and,
// since documents hold all of these, the documents' digests.
var ofTheOrder = regexp.MustCompile(`\b([0-9a-f]{64}|[0-9]{3,}|ME[A-Za-z0-9+/]{80,}=*)`)

func TestFindingsDoNotDependOnTheOrderOfEvents(t *testing.T) {
	if raceDetector {
		t.Skip("the order of facts is no matter of races, and the cases are tried elsewhere")
	}
	t.Parallel()
	found := make([]map[string]string, 2)
	for i := range found {
		all := together()
		if i == 1 {
			slices.Reverse(all)
		}
		w, c := newWorld(t, 6, sandbox.OnnxLike)
		s := story{world: w, cases: all, monitor: watch(t, w, c)}
		s.tell(t)
		found[i] = map[string]string{}
		for _, f := range s.findings(t) {
			text := strings.Join([]string{f.Rule, string(f.Severity), f.Summary, f.Expected, f.Advice}, "\n")
			found[i][f.ID] = ofTheOrder.ReplaceAllString(text, "…")
		}
	}
	if diff := cmp.Diff(found[0], found[1]); diff != "" {
		t.Errorf("findings differ by the order of what happened (-forwards +backwards):\n%s", diff)
	}
}

// otherLog is a trusted root in which another world's log stands in for this world's.
func otherLog(t *testing.T, w, other *sandbox.World) []byte {
	t.Helper()
	var root, foreign map[string]json.RawMessage
	if err := json.Unmarshal(w.TrustedRootJSON(), &root); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(other.TrustedRootJSON(), &foreign); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(root["tlogs"], foreign["tlogs"]) {
		t.Fatal("two worlds have one log")
	}
	root["tlogs"] = foreign["tlogs"]
	text, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestVerifiedAgainWhenTrustChanges(t *testing.T) {
	t.Parallel()
	other, _ := newWorld(t, 8)
	for _, one := range []struct {
		name string
		root func(*testing.T, *sandbox.World) []byte
	}{
		{"another log", func(t *testing.T, w *sandbox.World) []byte { return otherLog(t, w, other) }},
		{"another Sigstore", func(*testing.T, *sandbox.World) []byte { return other.TrustedRootJSON() }},
	} {
		t.Run(one.name, func(t *testing.T) {
			w, c := newWorld(t, 7, sandbox.OnnxLike)
			m := watch(t, w, c, func(with *wiring) { with.TrustedRoot = one.root(t, w) })
			m.pass(t)
			found := m.findings(t)
			if len(found) != 22 { // every attested file
				t.Errorf("%d findings while nothing can be trusted, want 22", len(found))
			}
			for _, f := range found {
				if f.Rule != audit.InvalidAttestation || f.Status != audit.Open {
					t.Errorf("%s of %s is %s", f.Rule, f.File, f.Status)
				}
			}

			var err error
			if m.auditor.Verifier, err = newVerifier(c.Now, w.TrustedRootJSON()); err != nil {
				t.Fatal(err)
			}
			w.PyPI.ForgetRequests()
			summaries := m.pass(t)
			if n := len(w.PyPI.Requests()); n != 2 {
				t.Errorf("verifying again made %d requests, want the two listings alone", n)
			}
			if a, b := summaries[0].Reverified, summaries[1].Reverified; a != 16+8 || b != 6+6 { // the documents of the index, and as many files as bundles are about
				t.Errorf("verified %d and %d documents again, want 24 and 12", a, b)
			}
			for _, f := range m.findings(t) {
				if f.Status != audit.Resolved {
					t.Errorf("%s of %s is %s", f.Rule, f.File, f.Status)
				}
			}
			states := map[audit.FileState]int{}
			for _, s := range summaries {
				for state, n := range s.Files {
					states[state] += n
				}
			}
			if !maps.Equal(states, map[audit.FileState]int{audit.FileVerified: 22, audit.FileLegacy: 4}) {
				t.Errorf("file states: %v", states)
			}

			again, _ := m.events(t)
			if s := m.pass(t); s[0].Reverified+s[1].Reverified != 0 {
				t.Error("a pass with the same roots verified again")
			}
			if n, _ := m.events(t); n != again {
				t.Errorf("it made %d events", n-again)
			}
		})
	}
}
