package audit_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// The sizes of a log that lies, what was proven of it before and what it has grown to, and the place of what was signed in
// between.
const knownSize, lyingSize, hidden = 500, 700, 600

// lie is told by a log that was honest up to knownSize and has grown to lyingSize since.
type lie struct {
	sandbox.Lie
	// at is the number that the lie is about.
	at uint64
	// rule is the finding that it ends in; "" for none at once.
	rule string
	// lasts says that the finding is for a person to acknowledge: the log cannot take it back.
	lasts bool
	// unknown says that the log cannot be read for it.
	unknown bool
}

// liesOf are the lies that a log of a form can tell with its tree as it is; those about growth have tests of their own.
func liesOf(form string) []lie {
	all := []lie{
		{sandbox.MissingLeaf, 620, audit.EntriesMismatch, false, false},
		{sandbox.SwappedLeaves, hidden, audit.EntriesMismatch, false, false},
		{sandbox.DuplicatedLeaf, hidden, audit.EntriesMismatch, false, false},
		{sandbox.ForkedTree, 100, audit.LogFork, true, false},
		{sandbox.ForkedTree, knownSize - 1, audit.LogFork, true, false},
		{sandbox.Rollback, 384, audit.LogRollback, true, false},
		// The two trees have no subtree in common by its place that holds the entry in which they differ.
		{sandbox.Rollback, 400, "", false, true},
		{sandbox.SmallerCheckpoint, 400, "", false, false},
		{sandbox.SmallerCheckpoint, 0, "", false, false},
		{sandbox.WrongKey, 0, audit.BadCheckpoint, false, false},
		{sandbox.WrongProof, 0, "", false, true},
		{sandbox.ShortPage, 620, "", false, form != ctRFC6962}, // RFC 6962 §4.6 lets a log give less
		{sandbox.TooManyRequests, 30, "", false, true},
		{sandbox.TooManyRequests, 3600, "", false, true},
		{sandbox.TooManyRequestsBare, 0, "", false, true},
		{sandbox.OversizedBody, 0, "", false, true},
		{sandbox.GzipBomb, 0, "", false, true},
		{sandbox.TruncatedBundle, 0, "", false, true},
	}
	if form != ctRFC6962 {
		all = append(all, lie{sandbox.WrongOrigin, 0, audit.BadCheckpoint, false, false}, lie{sandbox.DisagreeingTile, 620, "", false, true})
	}
	return all
}

// TestEveryLieOfALogEndsInItsFinding has a log of each form tell every lie, beside an honest one. Each lie is told to a
// follower that knows the log's honest beginning, and whose record must be, once the log tells the truth, that of a
// follower which never heard the lie.
func TestEveryLieOfALogEndsInItsFinding(t *testing.T) {
	for _, form := range logForms() {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			w, base := newLyingWorld(t, form)
			twin := w.newFollower(t, base)
			twin.both(t, form)
			truth, opened := twin.learnt(t), rules(twin.findings(t))
			if diff := cmp.Diff([]string{audit.UnexpectedIdentity, audit.UnexpectedIdentity}, opened); diff != "" {
				t.Fatal(diff)
			}
			told := map[sandbox.Lie]bool{sandbox.StaleCheckpoint: true, sandbox.GrowthAfterFreeze: true, sandbox.SlowLoris: true} // elsewhere
			for _, l := range liesOf(form) {
				told[l.Lie] = true
				t.Run(fmt.Sprintf("%s %d", l.Lie, l.at), func(t *testing.T) { w.hear(t, form, base, truth, opened, l) })
			}
			for _, l := range w.ledger(form).Lies() {
				if !told[l] {
					t.Errorf("nobody tells the lie %s", l)
				}
			}
		})
	}
}

// newLyingWorld makes a log of a form, and its neighbour, that were followed up to knownSize and have grown since; base
// is the record.
func newLyingWorld(t *testing.T, form string) (w *logWorld, base string) {
	t.Helper()
	w = newLogWorld(t)
	for _, form := range []string{neighbour[form], form} { // an entry of Rekor's has its certificate in the CT logs, at their ends
		w.fill(t, form, 10)
		if err := w.certify(form, onnxClaims(func(*sandbox.Claims) {})); err != nil {
			t.Fatal(err)
		}
		w.fill(t, form, knownSize)
	}
	f := w.newFollower(t, "")
	f.both(t, form)
	base = f.record.Path()
	if err := f.record.Close(); err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{neighbour[form], form} { // an entry of Rekor's has its certificate in the CT logs, at their ends
		w.fill(t, form, hidden)
		if err := w.certify(form, onnxClaims(unexpected)); err != nil {
			t.Fatal(err)
		}
		w.fill(t, form, lyingSize)
	}
	return w, base
}

// both follows a log and its honest neighbour, to their ends, and returns what became of the first.
func (f *follower) both(t *testing.T, form string) audit.LogSummary {
	t.Helper()
	got := f.follow(t, f.target(t, form, fromZero), f.target(t, neighbour[form], fromZero))
	if s := got[1]; s.Trouble != "" || len(s.Misbehaviours) != 0 || s.Stale || s.Proven != f.world.ledger(neighbour[form]).Size() {
		t.Errorf("the honest log beside it: %+v", s)
	}
	return got[0]
}

// hear follows a log while it lies and after. truth and opened are what a follower learns who hears only the truth.
func (w *logWorld) hear(t *testing.T, form, base string, truth, opened []string, l lie) {
	f := w.newFollower(t, base)
	known := f.hits(t, form, true)
	mend, err := w.ledger(form).Tell(l.Lie, l.at)
	if err != nil {
		t.Fatal(err)
	}
	defer mend()
	lied := l.Lie != sandbox.ShortPage || form != ctRFC6962
	got := f.both(t, form)
	if (got.Trouble != "") != l.unknown || !slices.Equal(got.Misbehaviours, also(nil, l.rule)) {
		t.Errorf("%+v", got)
	}
	// What the neighbour has to tell is found whatever this log does: of Rekor's entries it has the certificates too.
	want := opened
	if lied && form != rekorV2 {
		want = opened[:1]
	}
	if diff := cmp.Diff(also(want, l.rule), rules(f.findings(t))); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	f.confirmed(t, f.findings(t))
	if lied && f.facts(t, form).Proven != knownSize {
		t.Errorf("a lie is proven: %+v", got)
	}
	if diff := cmp.Diff(known, f.hits(t, form, !l.unknown)); lied && diff != "" {
		t.Errorf("something of the lie is kept, or counts although it is not proven (-want +got):\n%s", diff)
	}
	if l.unknown {
		// It goes on, and is a finding in the end.
		f.clock.Advance(6 * time.Hour)
		f.both(t, form)
		if !slices.Contains(rules(f.findings(t)), audit.SourceUnreachable) {
			t.Errorf("after six hours: %v", rules(f.findings(t)))
		}
	}

	mend()
	if got := f.both(t, form); got.Trouble != "" || got.Proven != w.ledger(form).Size() || len(got.Misbehaviours) != 0 {
		t.Fatalf("once it tells the truth: %+v", got)
	}
	want = opened
	if l.lasts {
		want = also(opened, l.rule)
	}
	if diff := cmp.Diff(want, rules(f.findings(t))); diff != "" {
		t.Errorf("findings once it tells the truth (-want +got):\n%s", diff)
	}
	f.confirmed(t, f.findings(t))
	if diff := cmp.Diff(truth, f.learnt(t)); diff != "" {
		t.Errorf("the record is not that of a follower who never heard the lie (-want +got):\n%s", diff)
	}
}

// also adds a rule to sorted ones; "" is none.
func also(all []string, rule string) []string {
	if rule == "" {
		return all
	}
	return slices.Sorted(slices.Values(append(slices.Clone(all), rule)))
}
