package db

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// own are the certificates in onnx's own name that the record has: how many entries and attestations name each, by its name.
func own(t *testing.T, db *DB) map[string][2]int {
	t.Helper()
	got := map[string][2]int{}
	if err := db.OwnCertificates(context.Background(), func(c audit.CertificateFacts) error {
		if _, twice := got[c.TBSSHA256]; twice {
			t.Errorf("%s comes twice", c.TBSSHA256)
		}
		got[c.TBSSHA256] = [2]int{c.Entries, c.Attestations}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestOneCertificateIsOneAccount has a certificate be met as a precertificate in two CT logs, in an entry and in attestations:
// it is one record, and what names it is counted once it counts.
func TestOneCertificateIsOneAccount(t *testing.T) {
	ctx := context.Background()
	db, _, file := oneFile(t)
	s := someSigners(t, 1)[0]
	c := s.certificate()
	id, err := identity.FromCertificate(s.cert)
	if err != nil {
		t.Fatal(err)
	}
	precert := audit.HitCert{IssuerKeyHash: c.IssuerKeyHash, TBSSHA256: c.TBSHash, Serial: c.Serial, NotBefore: c.NotBefore, NotAfter: c.NotAfter, Chained: true, Identity: &id}
	read := func(name LogName, kind audit.HitKind, class string, cert audit.HitCert, prove bool) *Log {
		t.Helper()
		l, err := db.Log(ctx, name, "list 1")
		if err != nil {
			t.Fatal(err)
		}
		b := batch(0, 1)
		b.Hits[0].Hit.Kind, b.Hits[0].Hit.Class, b.Hits[0].Hit.Certificates = kind, class, []audit.HitCert{cert}
		err = errors.Join(l.Begin(ctx, noon, 0, nil, checkpoint(0)), l.Advance(ctx, hour(1), b))
		if err == nil && prove {
			err = l.Prove(ctx, hour(2), 1, checkpoint(1))
		}
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	expect := func(when string, want map[string][2]int) {
		t.Helper()
		if diff := cmp.Diff(want, own(t, db)); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
	}
	ct := read(LogName{Origin: "ct.example", Kind: "ct-rfc6962", KeyID: "c7"}, audit.HitCertificate, "self", precert, false)
	expect("not proven", map[string][2]int{})
	if err := ct.Prove(ctx, hour(2), 1, checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	expect("proven", map[string][2]int{c.TBSHash: {0, 0}})
	read(LogName{Origin: "ct2.example", Kind: "ct-static", KeyID: "c8"}, audit.HitCertificate, "self", precert, true)
	expect("in a second CT log", map[string][2]int{c.TBSHash: {0, 0}})

	final := precert
	final.SHA256, final.DER = c.SHA256, c.DER
	rekor := read(LogName{Origin: "log2.example", Kind: "rekor-v2", KeyID: "2d"}, audit.HitEntry, "self", final, false)
	expect("in an entry that is not proven", map[string][2]int{c.TBSHash: {0, 0}})
	if err := rekor.Prove(ctx, hour(2), 1, checkpoint(1)); err != nil {
		t.Fatal(err)
	}
	expect("in an entry", map[string][2]int{c.TBSHash: {1, 0}})

	v := attested(s, s)
	v.Attestations[1].Facts.Status = attest.Failed
	if err := db.SaveProvenance(ctx, hour(4), file, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte("attested"), Verification: v}); err != nil {
		t.Fatal(err)
	}
	expect("in an attestation, and one that failed", map[string][2]int{c.TBSHash: {1, 1}})
	if n := count(t, db, "certificates"); n != 1 {
		t.Errorf("%d rows for one certificate", n)
	}

	// What resembles the name, or is another's, or chains to nothing, is nobody's own.
	for i, edit := range []func(c *audit.HitCert) string{
		func(*audit.HitCert) string { return "look-alike" }, func(*audit.HitCert) string { return "source" },
		func(c *audit.HitCert) string { c.Chained = false; return "self" },
	} {
		other := precert
		other.TBSSHA256 = strings.Repeat(string(rune('a'+i)), 64)
		class := edit(&other)
		read(LogName{Origin: "ct3.example/" + other.TBSSHA256[:1], Kind: "ct-static"}, audit.HitCertificate, class, other, true)
	}
	expect("and strangers'", map[string][2]int{c.TBSHash: {1, 1}})
}

// TestOwnCertificatesAreReadInTheOrderOfAnIndex has SQLite say how it would read them: a record of a million hits is not
// sorted for a few certificates.
func TestOwnCertificatesAreReadInTheOrderOfAnIndex(t *testing.T) {
	db := openTemp(t)
	plan := strings.Join(rowsOf(t, db.w, "EXPLAIN QUERY PLAN "+ownQuery), "\n")
	if !strings.Contains(plan, "hits_own_certificates") || strings.Contains(plan, "USE TEMP B-TREE FOR ORDER BY") {
		t.Errorf("%s", plan)
	}
}

// TestAPromiseIsFoundAmongTheProvenLeaves has a CT log's leaf be read before and after its promise.
func TestAPromiseIsFoundAmongTheProvenLeaves(t *testing.T) {
	ctx := context.Background()
	s := someSigners(t, 1)[0]
	c := s.certificate()
	db := promised(t, s)
	l, err := db.Log(ctx, LogName{Origin: "ct.example", Kind: "ct-rfc6962", KeyID: s.promise.LogID}, "list 1")
	if err != nil {
		t.Fatal(err)
	}
	id, err := identity.FromCertificate(s.cert)
	if err != nil {
		t.Fatal(err)
	}
	h := audit.LogHit{Kind: audit.HitCertificate, Class: "self", Project: "onnx", Leaf: s.leaf, Certificates: []audit.HitCert{{IssuerKeyHash: c.IssuerKeyHash, TBSSHA256: c.TBSHash,
		Serial: c.Serial, NotBefore: c.NotBefore, NotAfter: c.NotAfter, Chained: true, Identity: &id}}}
	hash := tlog.LeafHash(s.leaf)
	cp := tlog.SignedCheckpoint{Origin: "ct.example", Size: 1, Root: hash, Raw: []byte("head"), Timestamp: hour(6)}
	found := func(want int) {
		t.Helper()
		if n, err := db.FoundInProven(ctx, hour(7)); err != nil || n != want {
			t.Errorf("%d found, want %d: %v", n, want, err)
		}
	}
	found(0)
	b := tlog.Batch[audit.LogHit]{To: 1, Range: [][]byte{hash[:]}, Hits: []tlog.Hit[audit.LogHit]{{Hit: h}}}
	if err := errors.Join(l.Begin(ctx, noon, 0, nil, cp), l.Advance(ctx, hour(6), b)); err != nil {
		t.Fatal(err)
	}
	found(0) // not proven yet
	if err := l.Prove(ctx, hour(6), 1, cp); err != nil {
		t.Fatal(err)
	}
	found(1)
	found(0)
	if open, err := db.OpenPromises(ctx); err != nil || len(open) != 0 {
		t.Errorf("%v, %v", open, err)
	}
	if all, err := db.Promises(ctx); err != nil || !cmp.Equal(all, map[audit.LookupOutcome]int{audit.LookupFound: 1}) {
		t.Errorf("%v, %v", all, err)
	}
	if problems := fsckProblems(t, db); len(problems) != 0 {
		t.Errorf("fsck: %q", problems)
	}
}
