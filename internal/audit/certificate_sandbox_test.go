package audit_test

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// TestEveryCaseOfCertificates lets each case happen by itself: nothing is said before the logs had their time, then what must
// be said is, once, and nothing else.
func TestEveryCaseOfCertificates(t *testing.T) {
	for _, c := range sandbox.CertificateCases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			p := newPromiseWorld(t, "zero")
			p.unread = []string{"rekor.sandbox.example"}
			if err := c.Apply(p.World); err != nil {
				t.Fatal(err)
			}
			p.grow(t)
			p.pass(t)
			at := slices.Clone(c.Also) // what an identity is needs no time
			if diff := cmp.Diff(at, rules(p.findings(t))); diff != "" {
				t.Errorf("at once: %s", diff)
			}
			p.later(t, c.Wait)
			p.pass(t)
			want := at
			if c.Rule != "" {
				want = append(want, c.Rule)
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, rules(p.findings(t))); diff != "" {
				t.Errorf("after %s: %s", c.Wait, diff)
			}
			p.later(t, time.Hour)
			p.pass(t)
			for _, f := range p.findings(t) {
				if history, err := p.record.History(t.Context(), f.ID); err != nil || len(history) != 1 {
					t.Errorf("%s has the history %+v, %v", f.Rule, history, err)
				}
			}
		})
	}
}

// TestCertificateCasesTogetherGiveTheUnionOfTheirFindings has all of them happen in one world.
func TestCertificateCasesTogetherGiveTheUnionOfTheirFindings(t *testing.T) {
	p := newPromiseWorld(t, "zero")
	p.unread = []string{"rekor.sandbox.example"}
	var want []string
	for _, c := range sandbox.CertificateCases() {
		if err := c.Apply(p.World); err != nil {
			t.Fatal(err)
		}
		if c.Rule != "" {
			want = append(want, c.Rule)
		}
		want = append(want, c.Also...)
	}
	p.grow(t)
	p.pass(t)
	p.later(t, 25*time.Hour)
	p.pass(t)
	slices.Sort(want)
	if diff := cmp.Diff(want, rules(p.findings(t))); diff != "" {
		t.Error(diff)
	}
}

// TestCertificateCasesCoverTheirRules wants a case that must alert and one that must not for every rule about certificates
// alone.
func TestCertificateCasesCoverTheirRules(t *testing.T) {
	must, mustNot := map[string]bool{}, map[string]bool{}
	for _, c := range sandbox.CertificateCases() {
		must[c.Rule], mustNot[c.Tempts] = true, true
	}
	for _, r := range audit.Rules() {
		if r.About == "certificate" && (!must[r.ID] || !mustNot[r.ID]) {
			t.Errorf("%s: a case that must alert: %t, one that must not: %t", r.ID, must[r.ID], mustNot[r.ID])
		}
	}
}

// TestACertificateIsAccountedForOnceAnEntryIsFound has one sign late: the finding says what was looked at, and is resolved by
// the entry.
func TestACertificateIsAccountedForOnceAnEntryIsFound(t *testing.T) {
	p := newPromiseWorld(t, "zero")
	p.unread = []string{"rekor.sandbox.example"}
	signer, err := p.Fulcio.NewSigner(sandbox.ReleaseClaims("1.23.0"), sandbox.CertificateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.grow(t)
	p.pass(t)
	if diff := cmp.Diff(map[audit.CertificateState]int{audit.CertificateSearched: 1}, p.states(t)); diff != "" {
		t.Error(diff)
	}
	p.later(t, 25*time.Hour)
	p.pass(t)
	open := p.about(t, audit.UnaccountedCertificate)
	if len(open) != 1 || open[0].Severity != audit.Medium || open[0].Log == nil || open[0].Log.Origin != p.CT.Origin() {
		t.Fatalf("%+v", open)
	}
	searches := map[string]string{}
	for _, e := range open[0].Evidence {
		if e.Kind == "search" {
			searches[e.URL] = e.Detail
		}
	}
	if diff := cmp.Diff(map[string]string{
		p.Rekor2.Origin():       "read, and proven complete, from before the certificate was issued until after it expired",
		"rekor.sandbox.example": "not looked at: it is not read",
	}, searches); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[audit.CertificateState]int{audit.CertificateUnaccounted: 1}, p.states(t)); diff != "" {
		t.Error(diff)
	}
	signed, err := p.SignArtifact(signer, sha256.Sum256([]byte("late")), p.Now())
	if err == nil {
		_, err = p.Rekor2.Log(signed)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.pass(t)
	if open := rules(p.findings(t)); len(open) != 0 {
		t.Errorf("once it signed: %v", open)
	}
	if diff := cmp.Diff(map[audit.CertificateState]int{audit.CertificateAccounted: 1}, p.states(t)); diff != "" {
		t.Error(diff)
	}
}

// states counts the certificates in the project's own name by their state.
func (p *promiseWorld) states(t *testing.T) map[audit.CertificateState]int {
	t.Helper()
	j := audit.Judge{Rules: audit.NewRuleSet(nil), Now: p.follower.clock.Now()}
	counts := map[audit.CertificateState]int{}
	if err := p.record.OwnCertificates(t.Context(), func(c audit.CertificateFacts) error { counts[j.CertificateState(c)]++; return nil }); err != nil {
		t.Fatal(err)
	}
	return counts
}
