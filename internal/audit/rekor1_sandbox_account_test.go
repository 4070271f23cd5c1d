package audit_test

import (
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// TestAnEntryThatWasFoundByNameAccountsForItsCertificate has a rehearsal on the test index sign what no index here lists: its
// certificate is known from CT, and its entry from the search index alone, proven by itself in a shard of which nothing is read.
func TestAnEntryThatWasFoundByNameAccountsForItsCertificate(t *testing.T) {
	t.Parallel()
	m := newRekor1World(t)
	m.release(t, "1.23.0", m.ago(20*day))
	claims := sandbox.ReleaseClaims("1.23.0")
	claims.Environment = "testpypi-release"
	m.attest(t, m.sign(t, claims, m.ago(10*time.Minute)), "rehearsed.whl")
	m.followCT(t)
	m.complete(t)
	m.clock.Advance(25 * time.Hour)
	m.complete(t)
	n := 0
	if err := m.record.OwnCertificates(t.Context(), func(c audit.CertificateFacts) error {
		n++
		if c.Entries != 1 {
			t.Errorf("%s signed %d entries", c.Identity.Describe(), c.Entries)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n != 2 {
		t.Errorf("%d certificates", n)
	}
	for _, f := range m.open(t) {
		if f.Rule != audit.StaleLog { // nothing else happens in this world for a day
			t.Errorf("%s: %s", f.Rule, f.Summary)
		}
	}
}
