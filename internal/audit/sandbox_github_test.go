package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/github"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

const repository = "onnx/onnx"

// asked counts the questions to GitHub's store since the requests were last forgotten.
func asked(w *sandbox.World) int {
	n := 0
	for _, q := range w.GitHub.Requests() {
		if strings.Contains(q.Path, "/attestations/") {
			n++
		}
	}
	w.GitHub.ForgetRequests()
	return n
}

// rows counts the rows of the record that a query finds.
func (m *monitor) rows(t *testing.T, prefix string) int {
	t.Helper()
	n := 0
	for _, line := range dump(t, m.record.Path(), nil) {
		if strings.HasPrefix(line, prefix+" ") {
			n++
		}
	}
	return n
}

// openRules lists the rules of open findings, each with how often it is there.
func (m *monitor) openRules(t *testing.T) map[string]int {
	t.Helper()
	rules := map[string]int{}
	for _, f := range m.findings(t) {
		if f.Status == audit.Open {
			rules[f.Rule]++
		}
	}
	return rules
}

func (m *monitor) wantRules(t *testing.T, when string, want map[string]int) {
	t.Helper()
	if diff := cmp.Diff(want, m.openRules(t)); diff != "" {
		t.Errorf("%s: open findings (-want +got):\n%s", when, diff)
	}
}

// TestABundleOfAReleaseIsKeptOnceAndCountsForEachOfItsFiles has five publications with one SLSA provenance each.
func TestABundleOfAReleaseIsKeptOnceAndCountsForEachOfItsFiles(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 21, sandbox.OnnxLike)
	m := watch(t, w, c)
	m.pass(t)
	if n := m.rows(t, "github_bundles"); n != 5 {
		t.Errorf("%d bundles, want 5", n)
	}
	if n := m.rows(t, "github_listed"); n != 4+4+3*2 {
		t.Errorf("they are listed for %d files, want 14", n)
	}
	// A publish attestation a file, and the SLSA provenance once: 22 and 5.
	if n := m.rows(t, "entries"); n != 27 {
		t.Errorf("%d log entries, want 27", n)
	}
	if n := asked(w); n != 26 {
		t.Errorf("the store was asked %d times, want once a file", n)
	}
	for _, q := range w.GitHub.Blobs.Requests() {
		if q.Header.Get("Authorization") != "" {
			t.Error("the store of bundles was shown a token")
		}
	}
	for _, line := range dump(t, m.record.Path(), nil) {
		if strings.Contains(line, "sig=") {
			t.Errorf("the record has a pre-signed address: %s", line)
		}
	}
}

// TestARateLimitIsNotWaitedFor lets GitHub answer three requests at a time: one for the repository, and two for files.
func TestARateLimitIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 22, sandbox.OnnxLike)
	m := watch(t, w, c)
	reset := start.Add(time.Hour)
	w.GitHub.Limit(3, reset)
	began := c.Now()
	summaries := m.pass(t)
	want := []*audit.StoreSummary{{Asked: 2, Left: 18, Again: reset}, {Left: 6, Again: reset}}
	if diff := cmp.Diff(want, []*audit.StoreSummary{summaries[0].GitHub, summaries[1].GitHub}); diff != "" {
		t.Errorf("first pass (-want +got):\n%s", diff)
	}
	if summaries[0].Complete() || !strings.Contains(summaries[0].Troubles[0], "18 files are still to be asked for: it may be asked again at 2026-11-02T10:00:00Z") {
		t.Errorf("troubles: %q", summaries[0].Troubles)
	}
	if !c.Now().Equal(began) {
		t.Errorf("the pass took %s", c.Now().Sub(began))
	}
	m.wantRules(t, "while most is unknown", map[string]int{})
	// The bundle of the latest release is about all of its files, of which two were asked for.
	covered := 0
	for _, line := range dump(t, m.record.Path(), nil) {
		if strings.HasPrefix(line, "provenances ") && !strings.Contains(line, "github_bundle_id=<nil>") {
			covered++
		}
	}
	if covered != 4 {
		t.Errorf("the bundle counts for %d files, want 4", covered)
	}
	for limit := start.Add(2 * time.Hour); ; limit = limit.Add(time.Hour) {
		if limit.After(start.Add(30 * time.Hour)) {
			t.Fatal("it does not get on")
		}
		c.AdvanceTo(limit.Add(-59 * time.Minute))
		w.GitHub.Limit(10, limit)
		summaries = m.pass(t)
		if summaries[0].GitHub.Left+summaries[1].GitHub.Left == 0 {
			break
		}
	}
	if !summaries[0].Complete() || !summaries[1].Complete() {
		t.Errorf("troubles at the end: %q", append(summaries[0].Troubles, summaries[1].Troubles...))
	}
	m.wantRules(t, "at the end", map[string]int{})
}

// TestTheBudgetOfAnHourIsNotWaitedFor has a budget smaller than what is due, and no rate limit.
func TestTheBudgetOfAnHourIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 23, sandbox.OnnxLike)
	m := watch(t, w, c)
	client := fetch.New(fetch.Options{Clock: c, UserAgent: "rekoncile/test", Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}},
		Budgets: map[string]fetch.Budget{strings.TrimPrefix(w.GitHub.URL(), "http://"): {Requests: 10, Per: time.Hour, Burst: 10}}})
	t.Cleanup(client.Close)
	m.auditor.GitHub = github.NewClient(client, client, github.Options{API: w.GitHub.URL(), Clock: c})
	began := c.Now()
	summaries := m.pass(t)
	if g := summaries[0].GitHub; g.Asked != 9 || g.Left != 11 || !g.Again.Equal(began.Add(6*time.Minute)) || !c.Now().Equal(began) {
		t.Errorf("%+v after %s", g, c.Now().Sub(began))
	}
}

// TestWhatTheStoreDidNotHaveIsAskedForAgainAsTheFileAges publishes a file whose SLSA provenance comes late.
func TestWhatTheStoreDidNotHaveIsAskedForAgainAsTheFileAges(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 24, emptyProjects)
	s := story{world: w, cases: cases(t, "slsa-missing"), monitor: watch(t, w, c), digests: map[string]string{}}
	s.do(t, prepare)
	s.do(t, apply)
	w.GitHub.SetRepository(sandbox.GitHubRepository{Name: repository, ID: 102692863, OwnerID: 31675368})
	var times []string
	for range 12 * 7 { // every ten minutes for fourteen hours
		c.Advance(10 * time.Minute)
		s.pass(t)
		if n := asked(w); n == 1 {
			times = append(times, c.Now().Sub(start).String())
		} else if n > 1 {
			t.Errorf("the store was asked %d times at once", n)
		}
		if open := len(s.openRules(t)); open > 0 != (c.Now().Sub(start) >= 160*time.Minute) {
			t.Errorf("%d rules after %s", open, c.Now().Sub(start))
		}
	}
	if diff := cmp.Diff([]string{"10m0s", "20m0s", "40m0s", "1h20m0s", "2h40m0s", "5h20m0s", "10h40m0s"}, times); diff != "" {
		t.Errorf("asked after (-want +got):\n%s", diff)
	}
	s.wantRules(t, "without provenance", map[string]int{audit.MissingSLSAProvenance: 1})

	// It comes after all, and the store is asked for it no more for a week.
	if err := w.GitHub.Publish(repository, honestBundle(t, w, s.cases[0]), w.PyPI.SHA256("onnx", s.cases[0].File)); err != nil {
		t.Fatal(err)
	}
	c.AdvanceTo(start.Add(22 * time.Hour))
	s.pass(t)
	s.wantRules(t, "with provenance", map[string]int{})
	asked(w)
	c.Advance(6 * 24 * time.Hour)
	s.pass(t)
	if n := asked(w); n != 0 {
		t.Errorf("what the store had was asked for %d times within the week", n)
	}
	c.Advance(24 * time.Hour)
	s.pass(t)
	if n := asked(w); n != 1 {
		t.Errorf("it was asked for %d times after a week, want once", n)
	}
}

// honestBundle is SLSA provenance of a case's file by the release job.
func honestBundle(t *testing.T, w *sandbox.World, c sandbox.Case) []byte {
	t.Helper()
	claims := sandbox.ReleaseClaims(c.Version)
	signer, err := w.Fulcio.NewSigner(claims, sandbox.CertificateOptions{At: w.Now().Add(-10 * time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	statement, err := sandbox.SLSAStatement(claims, sandbox.Subject{Name: c.File, SHA256: w.PyPI.SHA256("onnx", c.File)})
	if err != nil {
		t.Fatal(err)
	}
	a, err := w.Attest(signer, statement, w.Now().Add(-9*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := a.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

// TestGitHubsOwnInstanceIsUnknownWithoutItsTrustedRoot verifies again when the trusted root is there, without any request.
func TestGitHubsOwnInstanceIsUnknownWithoutItsTrustedRoot(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 25, emptyProjects)
	s := story{world: w, cases: cases(t, "slsa-not-public", "release-attestation"), monitor: watch(t, w, c, func(with *wiring) { with.GitHubRoot = nil }),
		digests: map[string]string{}}
	s.do(t, prepare)
	s.do(t, apply)
	s.pass(t)
	s.wantRules(t, "within the grace period", map[string]int{})
	c.Advance(beyondEveryGrace)
	s.pass(t)
	s.wantRules(t, "without GitHub's trusted root", map[string]int{audit.CoverageGap: 1})
	own, err := w.GitHub.TrustedRootJSON()
	if err != nil {
		t.Fatal(err)
	}
	if s.auditor.Verifier, err = newVerifier(c.Now, w.TrustedRootJSON(), own); err != nil {
		t.Fatal(err)
	}
	asked(w)
	if summaries := s.pass(t); summaries[0].Reverified != 2+4 { // two documents of the index, four bundles
		t.Errorf("%d verified again", summaries[0].Reverified)
	}
	if n := asked(w); n != 0 {
		t.Errorf("verifying again asked GitHub %d times", n)
	}
	s.wantRules(t, "with GitHub's trusted root", map[string]int{audit.NotInPublicLog: 1})
}

// TestProvenanceThatIsWithdrawnFromTheStoreIsMissed takes a file's attestations away after they were seen.
func TestProvenanceThatIsWithdrawnFromTheStoreIsMissed(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 26, sandbox.OnnxLike)
	m := watch(t, w, c)
	m.pass(t)
	w.GitHub.Withdraw(repository, w.PyPI.SHA256("onnx", "onnx-1.22.0.tar.gz"))
	c.Advance(m.auditor.RecheckAfter)
	m.pass(t)
	m.wantRules(t, "at once", map[string]int{})
	c.Advance(time.Hour)
	m.pass(t)
	m.wantRules(t, "after an hour", map[string]int{audit.ProvenanceRemoved: 1})
	f := m.findings(t)[0]
	if f.File != "onnx-1.22.0.tar.gz" || f.Evidence[0].Kind != "bundle" {
		t.Errorf("%+v", f)
	}
	all, err := audit.Examine(f, audit.Archive{Verifier: m.auditor.Verifier, Document: func(sha256 string) ([]byte, error) { return m.record.Document(t.Context(), sha256) }})
	if err != nil || len(all) != 1 || !all[0].Confirmed {
		t.Errorf("the last copy is in the record, and verifies: %+v, %v", all, err)
	}
}

// TestAStoreThatDoesNotAnswerIsUnknownAndThenUnreachable has GitHub fail for half a day.
func TestAStoreThatDoesNotAnswerIsUnknownAndThenUnreachable(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 27, sandbox.OnnxLike)
	m := watch(t, w, c)
	mend := w.GitHub.Break(sandbox.Fault{Status: 502, Path: "/repos/onnx/onnx/attestations/*"})
	summaries := m.pass(t)
	if summaries[0].Complete() || summaries[0].GitHub.Asked != 0 {
		t.Errorf("%+v", summaries[0])
	}
	// A service in trouble is asked for five files, each five times, and not for all of them.
	if n := asked(w); n != 2*5*5 {
		t.Errorf("%d requests, want 50", n)
	}
	m.wantRules(t, "at once", map[string]int{})
	c.Advance(6 * time.Hour)
	m.pass(t)
	m.wantRules(t, "after six hours", map[string]int{audit.SourceUnreachable: 2}) // of the one and of the other PyPI project
	mend()
	c.Advance(7 * time.Hour)
	m.pass(t)
	m.wantRules(t, "when it answers", map[string]int{})
}

// TestARepositoryThatGitHubDoesNotShowHasNoSilentStore would have every file be without provenance.
func TestARepositoryThatGitHubDoesNotShowHasNoSilentStore(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 28, sandbox.OnnxLike)
	m := watch(t, w, c)
	w.GitHub.Break(sandbox.Fault{Status: 404, Path: "/repos/onnx/*"})
	summaries := m.pass(t)
	if n := asked(w); n != 0 || summaries[0].GitHub.Left != 20 {
		t.Errorf("%d requests, %+v", n, summaries[0].GitHub)
	}
	if !slices.ContainsFunc(summaries[0].Troubles, func(s string) bool {
		return strings.Contains(s, "GitHub has no repository onnx/onnx, or does not show it")
	}) {
		t.Errorf("troubles %q", summaries[0].Troubles)
	}
	c.Advance(beyondEveryGrace)
	m.pass(t)
	m.wantRules(t, "after every grace period", map[string]int{audit.SourceUnreachable: 1})
}

// TestAStoreThatIsNotReadLeavesItOpen is a monitor whose configuration switches the store off.
func TestAStoreThatIsNotReadLeavesItOpen(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 29, sandbox.OnnxLike)
	m := watch(t, w, c, func(with *wiring) { with.GitHub = "" })
	got := map[string]string{}
	for _, s := range m.pass(t) {
		got[s.PyPIProject] = fmt.Sprint(s.Unread, s.GitHub == nil, s.Complete())
	}
	if diff := cmp.Diff(map[string]string{"onnx": "map[missing-slsa-provenance:8] true true", "onnx-weekly": "map[missing-slsa-provenance:6] true true"}, got); diff != "" {
		t.Errorf("summaries (-want +got):\n%s", diff)
	}
	m.wantRules(t, "without the store", map[string]int{})
}

// TestRunsOfAProjectAreLookedUpOnce has four releases, each by a run of its own, and three weekly builds by one.
func TestRunsOfAProjectAreLookedUpOnce(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 30, sandbox.OnnxLike)
	m := watch(t, w, c, func(with *wiring) { with.Runs = true })
	first := m.pass(t)
	if got := first[0].GitHub.Runs + first[1].GitHub.Runs; got != 5 {
		t.Errorf("%d runs were looked up, want 5", got)
	}
	m.wantRules(t, "of honest runs", map[string]int{})
	c.Advance(100 * 24 * time.Hour)
	w.GitHub.DeleteRuns()
	if n := m.pass(t)[0].GitHub.Runs; n != 0 {
		t.Errorf("%d runs were looked up again", n)
	}
	m.wantRules(t, "when the runs are deleted", map[string]int{})
}

// TestARunThatThereNeverWasIsFound deletes all runs, of which only one is young enough to have to be there, and then has it be
// another.
func TestARunThatThereNeverWasIsFound(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 31, sandbox.OnnxLike)
	runs := w.GitHub.Runs()
	w.GitHub.DeleteRuns()
	m := watch(t, w, c, func(with *wiring) { with.Runs = true })
	m.pass(t)
	m.wantRules(t, "within the grace period", map[string]int{})
	c.Advance(time.Hour)
	m.pass(t)
	m.wantRules(t, "after it", map[string]int{audit.RunMismatch: 1})
	f := m.findings(t)[0]
	if f.Identity == nil || f.Identity.Ref != "refs/heads/rel-1.23.0" || !strings.Contains(f.Summary, "does not have") {
		t.Errorf("%+v", f)
	}
	for _, r := range runs {
		r.HeadSHA = strings.Repeat("0", 40)
		w.GitHub.AddRun(r)
	}
	c.Advance(7 * time.Hour)
	m.pass(t)
	c.Advance(time.Hour)
	m.pass(t)
	if f := m.findings(t)[0]; f.Status != audit.Open || !strings.Contains(f.Summary, "contradicts its workflow run: commit") {
		t.Errorf("%+v", f)
	}
}

// TestGitHubsNameHelpsNoAttestationOfTheIndex has an attestation by an authority that nobody trusts and that bears GitHub's name: as
// a bundle it cannot be judged, on the index, which takes no such, it is wrong.
func TestGitHubsNameHelpsNoAttestationOfTheIndex(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 32)
	file := sandbox.Subject{Name: "onnx-1.23.0.tar.gz", SHA256: strings.Repeat("a", 64)}
	claims := sandbox.ReleaseClaims("1.23.0")
	a, err := w.GitHub.AttestUnlogged(claims, sandbox.CertificateOptions{}, sandbox.PublishStatement(file))
	if err != nil {
		t.Fatal(err)
	}
	document, err := sandbox.ProvenanceDocument(sandbox.Publisher{Kind: "GitHub", Repository: repository}, a)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := a.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	a.Signature[len(a.Signature)-1] ^= 1
	forged, err := a.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	v, err := newVerifier(c.Now, w.TrustedRootJSON())
	if err != nil {
		t.Fatal(err)
	}
	for name, one := range map[string]struct {
		got  audit.Verification
		want attest.Status
	}{
		"on the index":          {v.Document(document, file.Name, file.SHA256), attest.Failed},
		"in the store":          {v.Bundle(bundle, file.SHA256), attest.Unsupported},
		"in the store, forged":  {v.Bundle(forged, file.SHA256), attest.Failed},
		"about another's bytes": {v.Bundle(bundle, strings.Repeat("b", 64)), attest.Failed},
	} {
		if len(one.got.Attestations) != 1 || one.got.Attestations[0].Facts.Status != one.want {
			t.Errorf("%s: %+v", name, one.got)
		}
	}
}
