package audit_test

import (
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

func TestALogThatShowsAnOldTreeForADayIsStale(t *testing.T) {
	w := newLogWorld(t)
	f := w.newFollower(t, "")
	var targets []audit.LogTarget
	var mends []func()
	for _, form := range []string{rekorV2, ctRFC6962, ctStatic} {
		w.fill(t, form, knownSize)
		targets = append(targets, f.target(t, form, fromZero))
	}
	f.follow(t, targets...)
	for _, form := range []string{rekorV2, ctRFC6962, ctStatic} {
		mend, err := w.ledger(form).Tell(sandbox.StaleCheckpoint, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer mend()
		mends = append(mends, mend)
		w.fill(t, form, lyingSize)
	}
	f.clock.Advance(23 * time.Hour)
	for _, got := range f.follow(t, targets...) {
		if got.Trouble != "" || got.Proven != knownSize {
			t.Errorf("%+v", got)
		}
	}
	if open := rules(f.findings(t)); len(open) != 0 {
		t.Errorf("within a day: %v", open)
	}
	f.clock.Advance(time.Hour)
	f.follow(t, targets...)
	if diff := cmp.Diff([]string{audit.StaleLog, audit.StaleLog, audit.StaleLog}, rules(f.findings(t))); diff != "" {
		t.Error(diff)
	}
	for _, mend := range mends {
		mend()
	}
	for _, got := range f.follow(t, targets...) {
		if got.Trouble != "" || got.Proven != lyingSize {
			t.Errorf("%+v", got)
		}
	}
	if open := rules(f.findings(t)); len(open) != 0 {
		t.Errorf("once it has grown: %v", open)
	}
}

// TestASlowAnswerKeepsNoOtherLogWaiting has a log stop in the middle of every page. Its client has a clock of its own,
// which runs out while the pages stall; the honest log's stands still.
func TestASlowAnswerKeepsNoOtherLogWaiting(t *testing.T) {
	for _, form := range logForms() {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			w, base := newLyingWorld(t, form)
			f := w.newFollower(t, base)
			target, honest := f.target(t, form, fromZero), f.target(t, neighbour[form], fromZero)
			slow := clock.NewSimulated(w.Now())
			slow.AutoAdvance()
			client := newLogClient(slow)
			defer client.Close()
			ledger := w.ledger(form)
			var err error
			if target.Source, err = f.source(form, ledger.Origin(), ledger.URL(), client); err != nil {
				t.Fatal(err)
			}
			mend, err := ledger.Tell(sandbox.SlowLoris, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer mend()
			ledger.ForgetRequests()
			done := make(chan []audit.LogSummary, 1)
			go func() {
				run := &audit.LogFollower{Clock: f.clock, Logger: slog.New(slog.DiscardHandler), Parallel: 3}
				summaries, _ := run.Follow(t.Context(), []audit.LogTarget{target, honest}) // its error is the record's, which comes up again
				done <- summaries
			}()
			for f.facts(t, neighbour[form]).Proven < lyingSize || !stalls(ledger) {
				runtime.Gosched()
			}
			var got []audit.LogSummary
			for got == nil {
				select {
				case got = <-done:
				default:
					if stalls(ledger) {
						slow.Advance(5 * time.Second)
					}
					runtime.Gosched()
				}
			}
			if got[0].Trouble == "" || got[0].Proven != knownSize || got[1].Trouble != "" || got[1].Proven != w.ledger(neighbour[form]).Size() {
				t.Errorf("%+v", got)
			}
			mend()
			if got := f.both(t, form); got.Trouble != "" || got.Proven != lyingSize {
				t.Errorf("once it answers: %+v", got)
			}
		})
	}
}

// stalls reports whether a page was asked for that has not been answered.
func stalls(l *sandbox.Ledger) bool {
	return slices.ContainsFunc(l.Requests(), func(q sandbox.Request) bool {
		return q.Status == 0 && (strings.Contains(q.Path, "entries") || strings.Contains(q.Path, "/tile/data/"))
	})
}

// TestALogThatEndedDoesNotGrow freezes logs, of which one grew between the last look at it and its end.
func TestALogThatEndedDoesNotGrow(t *testing.T) {
	w := newLogWorld(t)
	f := w.newFollower(t, "")
	forms := []string{rekorV2, ctRFC6962, ctStatic}
	run := func() []audit.LogSummary {
		t.Helper()
		var targets []audit.LogTarget
		for _, form := range forms {
			target := f.target(t, form, fromZero)
			target.FrozenAt = f.frozen[target.Origin]
			targets = append(targets, target)
		}
		return f.follow(t, targets...)
	}
	for _, form := range forms {
		w.fill(t, form, knownSize)
	}
	run()
	f.clock.Advance(time.Hour)
	for _, form := range forms {
		w.fill(t, form, lyingSize)
		if err := w.Freeze(w.ledger(form)); err != nil {
			t.Fatal(err)
		}
		f.frozen[w.ledger(form).Origin()] = f.clock.Now()
	}
	f.clock.Advance(48 * time.Hour)
	for range 2 {
		for _, got := range run() {
			if got.Trouble != "" || len(got.Misbehaviours) != 0 || got.Proven != lyingSize {
				t.Errorf("what it grew by before its end: %+v", got)
			}
		}
	}
	if open := rules(f.findings(t)); len(open) != 0 {
		t.Errorf("logs that ended: %v", open)
	}
	for round := range 2 { // that it goes on is the same finding
		var mends []func()
		for _, form := range forms {
			mend, err := w.ledger(form).Tell(sandbox.GrowthAfterFreeze, 10)
			if err != nil {
				t.Fatal(err)
			}
			mends = append(mends, mend)
		}
		for _, got := range run() {
			if got.Trouble != "" || !slices.Equal(got.Misbehaviours, []string{audit.FrozenLogGrew}) || got.Proven != uint64(lyingSize+10*(round+1)) {
				t.Errorf("%+v", got)
			}
		}
		if diff := cmp.Diff([]string{audit.FrozenLogGrew, audit.FrozenLogGrew, audit.FrozenLogGrew}, rules(f.findings(t))); diff != "" {
			t.Error(diff)
		}
		f.confirmed(t, f.findings(t))
		for _, mend := range mends {
			mend()
		}
		for _, got := range run() { // back to its end: the trees are one log
			if got.Trouble != "" || !got.Stale || len(got.Misbehaviours) != 0 {
				t.Errorf("%+v", got)
			}
		}
	}
}

// TestEveryContradictionOfALogIsEvidence has a log show two forks and two rollbacks, each twice: of each kind there is one
// finding, with both contradictions as its evidence.
func TestEveryContradictionOfALogIsEvidence(t *testing.T) {
	for _, form := range logForms() {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			w, base := newLyingWorld(t, form)
			f := w.newFollower(t, base)
			for range 2 {
				for _, l := range []lie{{Lie: sandbox.ForkedTree, at: 100}, {Lie: sandbox.ForkedTree, at: 200}, {Lie: sandbox.Rollback, at: 384}, {Lie: sandbox.Rollback, at: 256}} {
					mend, err := w.ledger(form).Tell(l.Lie, l.at)
					if err != nil {
						t.Fatal(err)
					}
					f.both(t, form)
					mend()
				}
			}
			evidence := map[string]int{}
			for _, finding := range f.findings(t) {
				evidence[finding.Rule] += len(finding.Evidence)
				if finding.LogOrigin == w.ledger(form).Origin() && !strings.Contains(finding.Summary, "(2 contradictions)") {
					t.Errorf("%s: %s", finding.Rule, finding.Summary)
				}
			}
			if evidence[audit.LogFork] != 2 || evidence[audit.LogRollback] != 2 {
				t.Errorf("evidence of %v", evidence)
			}
			f.confirmed(t, f.findings(t))
			if got := f.both(t, form); got.Trouble != "" || got.Proven != lyingSize {
				t.Errorf("once it tells the truth: %+v", got)
			}
		})
	}
}

// TestAForkThatWasBelievedIsLeftAtItsEnd has a log fork beyond what anyone knew of it: that is no contradiction before the
// other history is seen, and then nobody can tell which is the true one. Neither is proven beyond the other.
func TestAForkThatWasBelievedIsLeftAtItsEnd(t *testing.T) {
	for _, form := range logForms() {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			w, base := newLyingWorld(t, form)
			f := w.newFollower(t, base)
			mend, err := w.ledger(form).Tell(sandbox.ForkedTree, 620)
			if err != nil {
				t.Fatal(err)
			}
			if got := f.both(t, form); got.Trouble != "" || got.Proven != lyingSize || len(got.Misbehaviours) != 0 {
				t.Errorf("a history of its own: %+v", got)
			}
			known := f.learnt(t)
			mend()
			for range 2 {
				if got := f.both(t, form); got.Proven != lyingSize || !slices.Equal(got.Misbehaviours, []string{audit.LogFork}) {
					t.Errorf("the other history: %+v", got)
				}
				w.fill(t, form, w.ledger(form).Size()+100)
			}
			f.confirmed(t, f.findings(t))
			if diff := cmp.Diff(known, f.learnt(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestALogIsNotTakenUpOnALie starts in the middle of logs that lie about what lies before: nothing is stored of them until
// they can prove it.
func TestALogIsNotTakenUpOnALie(t *testing.T) {
	for _, form := range logForms() {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			w, _ := newLyingWorld(t, form)
			for _, l := range []lie{{Lie: sandbox.WrongKey}, {Lie: sandbox.WrongProof}} {
				f := w.newFollower(t, "")
				target := f.target(t, form, fromIndex(299))
				mend, err := w.ledger(form).Tell(l.Lie, l.at)
				if err != nil {
					t.Fatal(err)
				}
				got := f.follow(t, target)[0]
				mend()
				if facts := f.facts(t, form); facts.Known || (got.Trouble == "") == (len(got.Misbehaviours) == 0) {
					t.Errorf("%s: %+v, %+v", l.Lie, got, facts)
				}
				if got := f.follow(t, target)[0]; got.Trouble != "" || got.From != 299 || got.Proven != lyingSize {
					t.Errorf("%s, mended: %+v", l.Lie, got)
				}
			}
		})
	}
}

func TestContradictionsThatAreNotKeptAreSaid(t *testing.T) {
	j := audit.Judge{Rules: audit.NewRuleSet(nil), Now: start}
	fork := audit.Incident{Kind: audit.LogFork, FirstSeen: start, Detail: "log-fork: two trees", Evidence: []byte("{}")}
	more := fork
	more.Unkept = 9
	for want, incidents := range map[string][]audit.Incident{
		"log log.example: log-fork: two trees":                                                           {fork},
		"log log.example: log-fork: two trees (2 contradictions)":                                        {fork, fork},
		"log log.example: log-fork: two trees (2 contradictions, and more of which no evidence is kept)": {more, fork},
	} {
		a := j.Log(audit.LogFacts{Origin: "log.example", Incidents: incidents})
		if len(a.Findings) != 1 || a.Findings[0].Summary != want || len(a.Findings[0].Evidence) != len(incidents) {
			t.Errorf("%d incidents: %+v", len(incidents), a.Findings)
		}
	}
}
