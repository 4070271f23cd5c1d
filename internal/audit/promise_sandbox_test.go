package audit_test

import (
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// promiseWorld is a world whose time moves, and a monitor that follows all of its logs and holds the CT logs to their
// promises.
type promiseWorld struct {
	*logWorld
	*follower
	targets []audit.LogTarget
	// off are the origins of CT logs that the configuration has nobody ask.
	off []string
}

// newPromiseWorld takes the logs up at a place.
func newPromiseWorld(t *testing.T, start string) *promiseWorld {
	t.Helper()
	c := clock.NewSimulated(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))
	w := newLogWorldOf(t, sandbox.Options{TrustLogs: true, Now: c.Now})
	w.clock = c
	p := &promiseWorld{logWorld: w, follower: w.newFollower(t, "")}
	for _, form := range []string{rekorV2, ctRFC6962, ctStatic} {
		w.fill(t, form, 20)
		at := fromZero
		if start == "head" && form != rekorV2 {
			at = fromHead
		}
		p.targets = append(p.targets, p.target(t, form, at))
	}
	return p
}

// sign has an entry signed by a certificate that Fulcio issues now, and the logs grow by a stranger's entry each.
func (p *promiseWorld) sign(t *testing.T, o sandbox.CertificateOptions) {
	t.Helper()
	if err := p.certify(rekorV2, sandbox.Plant{Claims: sandbox.ReleaseClaims("1.23.0"), Options: o}); err != nil {
		t.Fatal(err)
	}
	p.grow(t)
}

// grow adds a stranger's entry to each log, so that none is stale.
func (p *promiseWorld) grow(t *testing.T) {
	t.Helper()
	for form := range neighbour {
		p.fill(t, form, p.ledger(form).Size()+1)
	}
}

// pass follows the logs, holds the CT logs to their promises, and judges.
func (p *promiseWorld) pass(t *testing.T) audit.PromiseSummary {
	t.Helper()
	p.follow(t, p.targets...)
	return p.hold(t)
}

// hold holds the CT logs to their promises, and judges.
func (p *promiseWorld) hold(t *testing.T) audit.PromiseSummary {
	t.Helper()
	run := &audit.Promises{Store: p.record, Roots: p.roots, Delay: 24 * time.Hour, Clock: p.follower.clock, Logger: slog.New(slog.DiscardHandler)}
	for _, log := range p.roots.Roots[0].Material.CTLogs() {
		one := audit.PromisingLog{ID: hex.EncodeToString(log.ID), Key: log.PublicKey}
		origin := strings.TrimPrefix(log.BaseURL, "https://")
		if slices.Contains(p.off, origin) {
			one.Skipped = "switched off"
		} else {
			i := slices.IndexFunc(p.targets, func(x audit.LogTarget) bool { return x.Origin == origin })
			one.Finder = p.targets[i].Source.(ctlog.Finder)
		}
		run.Logs = append(run.Logs, one)
	}
	s, err := run.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.settle(t)
	return s
}

// later lets time pass, in which the logs grow.
func (p *promiseWorld) later(t *testing.T, d time.Duration) {
	t.Helper()
	p.follower.clock.Advance(d)
	p.grow(t)
}

// asked counts the questions about leaves that the logs got since this was last asked.
func (p *promiseWorld) asked() int {
	n := 0
	for _, l := range []*sandbox.CTLog{p.CT, p.StaticCT} {
		for _, q := range l.Requests() {
			if strings.Contains(q.Path, "/get-proof-by-hash?") {
				n++
			}
		}
		l.ForgetRequests()
	}
	return n
}

// about lists the open findings of a rule.
func (p *promiseWorld) about(t *testing.T, rule string) []audit.Finding {
	t.Helper()
	return slices.DeleteFunc(p.findings(t), func(f audit.Finding) bool { return f.Rule != rule })
}

func TestACertificateAmongTheProvenLeavesIsNotAskedFor(t *testing.T) {
	p := newPromiseWorld(t, "zero")
	p.sign(t, sandbox.CertificateOptions{})
	p.asked()
	if diff := cmp.Diff(audit.PromiseSummary{Read: 1, Found: 1}, p.pass(t)); diff != "" {
		t.Error(diff)
	}
	if n := p.asked(); n != 0 {
		t.Errorf("%d questions", n)
	}
	if diff := cmp.Diff(audit.PromiseSummary{}, p.pass(t)); diff != "" {
		t.Errorf("once more: %s", diff)
	}
}

// TestACertificateBeforeTheProvenLeavesIsFound has logs taken up after a certificate was logged: it is asked for once, in
// either form of log, and its proof is kept.
func TestACertificateBeforeTheProvenLeavesIsFound(t *testing.T) {
	for form, o := range map[string]sandbox.CertificateOptions{ctRFC6962: {}, ctStatic: {StaticSCT: true}} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			p := newPromiseWorld(t, "head")
			p.sign(t, o)
			p.follow(t, p.targets...)
			p.asked()
			if diff := cmp.Diff(audit.PromiseSummary{Read: 1, Found: 1}, p.hold(t)); diff != "" {
				t.Error(diff)
			}
			if n := p.asked(); form == ctRFC6962 && n != 1 {
				t.Errorf("%d questions", n)
			}
			p.later(t, 48*time.Hour)
			p.asked()
			if diff := cmp.Diff(audit.PromiseSummary{}, p.pass(t)); diff != "" {
				t.Errorf("two days later: %s", diff)
			}
			if n := p.asked(); n != 0 {
				t.Errorf("two days later: %d questions", n)
			}
			if open := rules(p.findings(t)); len(open) != 0 {
				t.Errorf("findings %v", open)
			}
		})
	}
}

// TestABrokenPromiseIsAFindingAfterTheMergeDelay has a certificate sign that its log does not have: nothing is said before the
// log had its time, and then it is a finding for good, whose evidence can be looked at again.
func TestABrokenPromiseIsAFindingAfterTheMergeDelay(t *testing.T) {
	for form, o := range map[string]sandbox.CertificateOptions{ctRFC6962: {Unlogged: true}, ctStatic: {Unlogged: true, StaticSCT: true}} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			p := newPromiseWorld(t, "zero")
			p.sign(t, o)
			if diff := cmp.Diff(audit.PromiseSummary{Read: 1, Missing: 1}, p.pass(t)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(audit.PromiseSummary{}, p.pass(t)); diff != "" {
				t.Errorf("at once again: %s", diff)
			}
			p.later(t, 23*time.Hour)
			if diff := cmp.Diff(audit.PromiseSummary{Missing: 1}, p.pass(t)); diff != "" {
				t.Errorf("within the delay: %s", diff)
			}
			if open := rules(p.findings(t)); len(open) != 0 {
				t.Errorf("within the delay: %v", open)
			}
			p.later(t, 2*time.Hour)
			if diff := cmp.Diff(audit.PromiseSummary{Missing: 1}, p.pass(t)); diff != "" {
				t.Errorf("after the delay: %s", diff)
			}
			if diff := cmp.Diff([]string{audit.UnloggedCertificate}, rules(p.findings(t))); diff != "" {
				t.Error(diff)
			}
			found := p.findings(t)[0]
			if found.Severity != audit.High || found.Project != "onnx" || found.Certificate == "" || !strings.Contains(found.Summary, "is not in log "+p.ledger(form).Origin()) {
				t.Errorf("%+v", found)
			}
			p.confirmed(t, p.findings(t))

			p.later(t, 100*time.Hour)
			p.asked()
			if diff := cmp.Diff(audit.PromiseSummary{}, p.pass(t)); diff != "" {
				t.Errorf("it is final: %s", diff)
			}
			if n := p.asked(); n != 0 {
				t.Errorf("it is final, and was asked for %d times", n)
			}
			again := p.about(t, audit.UnloggedCertificate)
			if len(again) != 1 || !cmp.Equal(again[0].Evidence, found.Evidence) {
				t.Errorf("days later: %+v", again)
			}
			if history, err := p.record.History(t.Context(), found.ID); err != nil || len(history) != 1 {
				t.Errorf("its history: %+v, %v", history, err)
			}
		})
	}
}

// TestAPromiseThatIsKeptLateIsNoFinding has a log that takes hours to include what it promised.
func TestAPromiseThatIsKeptLateIsNoFinding(t *testing.T) {
	p := newPromiseWorld(t, "head")
	p.pass(t)
	p.follower.clock.Advance(6 * time.Hour)
	p.CT.SetMergeDelay(5 * time.Hour)
	p.sign(t, sandbox.CertificateOptions{})
	if diff := cmp.Diff(audit.PromiseSummary{Read: 1, Missing: 1}, p.pass(t)); diff != "" {
		t.Error(diff)
	}
	p.later(t, 6*time.Hour)
	if diff := cmp.Diff(audit.PromiseSummary{Found: 1}, p.pass(t)); diff != "" {
		t.Error(diff)
	}
	p.later(t, 24*time.Hour)
	p.pass(t)
	if open := p.about(t, audit.UnloggedCertificate); len(open) != 0 {
		t.Errorf("%+v", open)
	}
}

// TestAnIdleLogIsHeldToItsPromisesToo has a log that grows no more, and signs the same tree anew.
func TestAnIdleLogIsHeldToItsPromisesToo(t *testing.T) {
	p := newPromiseWorld(t, "zero")
	p.sign(t, sandbox.CertificateOptions{Unlogged: true})
	p.pass(t)
	p.follower.clock.Advance(25 * time.Hour)
	p.pass(t)
	if open := p.about(t, audit.UnloggedCertificate); len(open) != 1 {
		t.Errorf("%v", rules(p.findings(t)))
	}
	p.confirmed(t, p.about(t, audit.UnloggedCertificate))
}

// TestALogThatCannotBeAskedLeavesItUnknown has a log fail its questions, and only these: what it promised is neither fine nor
// broken, however long it takes, and after the grace period somebody is told that it cannot be asked.
func TestALogThatCannotBeAskedLeavesItUnknown(t *testing.T) {
	for name, o := range map[string]sandbox.CertificateOptions{"kept": {}, "broken": {Unlogged: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPromiseWorld(t, "head")
			p.sign(t, o)
			p.follow(t, p.targets...)
			mend := p.CT.Break(sandbox.Fault{Path: "/ct/v1/get-proof-by-hash*", Status: 403})
			got := p.pass(t)
			if len(got.Troubles) != 1 || got.Complete() || got.Read != 1 || got.Pending != 1 || got.Missing+got.Found != 0 {
				t.Errorf("%+v", got)
			}
			if again := p.pass(t); again.Complete() || again.Pending != 1 {
				t.Errorf("at once again: %+v", again)
			}
			p.later(t, 7*time.Hour)
			p.pass(t)
			if diff := cmp.Diff([]string{audit.SourceUnreachable}, rules(p.findings(t))); diff != "" {
				t.Error(diff)
			}
			p.later(t, 40*time.Hour)
			p.pass(t)
			if diff := cmp.Diff([]string{audit.SourceUnreachable}, rules(p.findings(t))); diff != "" {
				t.Error(diff)
			}
			mend()
			p.later(t, time.Hour)
			if got := p.pass(t); !got.Complete() {
				t.Errorf("mended: %+v", got)
			}
			want := map[string][]string{"kept": nil, "broken": {audit.UnloggedCertificate}}[name]
			if diff := cmp.Diff(want, rules(p.findings(t))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestAFailingLogIsLeftAloneForARun has many promises of a log that fails every question.
func TestAFailingLogIsLeftAloneForARun(t *testing.T) {
	p := newPromiseWorld(t, "head")
	for range 9 {
		p.sign(t, sandbox.CertificateOptions{})
	}
	p.sign(t, sandbox.CertificateOptions{StaticSCT: true})
	p.follow(t, p.targets...)
	mend := p.CT.Break(sandbox.Fault{Path: "/ct/v1/get-proof-by-hash*", Status: 403})
	p.asked()
	got := p.pass(t)
	if n := p.asked(); n != 3 || got.Pending != 9 || got.Found != 1 {
		t.Errorf("%d questions: %+v", n, got)
	}
	mend()
	p.later(t, time.Hour)
	if got := p.pass(t); got.Found != 9 || !got.Complete() {
		t.Errorf("mended: %+v", got)
	}
}

// TestACertificateThatNoLogPromisedIsAFinding has certificates of the true authority without an SCT, and with one that the
// log's key did not sign.
func TestACertificateThatNoLogPromisedIsAFinding(t *testing.T) {
	for want, o := range map[string]sandbox.CertificateOptions{
		"the certificate carries no signed certificate timestamp": {NoSCT: true},
		"verifying an SCT: the log's key did not sign it":         {ForeignSCT: true},
	} {
		p := newPromiseWorld(t, "zero")
		p.sign(t, o)
		p.pass(t)
		if open := rules(p.findings(t)); len(open) != 0 {
			t.Errorf("%s: at once: %v", want, open)
		}
		p.later(t, 25*time.Hour)
		p.pass(t)
		open := p.about(t, audit.UnloggedCertificate)
		if len(open) != 1 || !strings.HasSuffix(open[0].Summary, "was promised to no certificate transparency log: "+want) {
			t.Errorf("%s: %+v", want, open)
		}
		p.confirmed(t, open)
	}
}

// TestALogThatNobodyMayAskStaysUnknown has the log of a broken promise switched off.
func TestALogThatNobodyMayAskStaysUnknown(t *testing.T) {
	p := newPromiseWorld(t, "zero")
	p.off = []string{p.CT.Origin()}
	p.sign(t, sandbox.CertificateOptions{Unlogged: true})
	for range 3 {
		got := p.pass(t)
		if got.NotAsked != 1 || !got.Complete() || got.Found+got.Missing != 0 {
			t.Errorf("%+v", got)
		}
		p.later(t, 30*time.Hour)
	}
	if open := rules(p.findings(t)); len(open) != 0 {
		t.Errorf("%v", open)
	}
	p.off = nil
	p.pass(t)
	if open := p.about(t, audit.UnloggedCertificate); len(open) != 1 {
		t.Errorf("asked again: %v", rules(p.findings(t)))
	}
}
