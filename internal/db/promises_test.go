package db

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/pypi"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// signer is a certificate of the sandbox, its issuer's key hash and its only promise.
type signer struct {
	cert    *x509.Certificate
	issuer  string
	promise audit.Promise
	leaf    []byte
}

// signers issues n certificates, the same ones in every process.
func signers(n int) ([]signer, error) {
	w, err := sandbox.New(sandbox.Options{})
	if err != nil {
		return nil, err
	}
	root, err := trust.FromJSON("sandbox", w.TrustedRootJSON())
	if err != nil {
		return nil, err
	}
	set := &trust.Set{Roots: []trust.Root{*root}}
	var all []signer
	for range n {
		made, err := w.Fulcio.NewSigner(sandbox.ReleaseClaims("1.23.0"), sandbox.CertificateOptions{At: noon})
		if err != nil {
			return nil, err
		}
		s := signer{cert: made.Certificate}
		if s.issuer, err = set.Issuer(s.cert); err != nil {
			return nil, err
		}
		scts, err := ctlog.EmbeddedSCTs(s.cert)
		if err != nil || len(scts) != 1 {
			return nil, fmt.Errorf("%d promises: %w", len(scts), err)
		}
		digest, err := hex.DecodeString(s.issuer)
		if err != nil {
			return nil, err
		}
		if s.leaf, err = scts[0].Leaf(s.cert.Raw, [sha256.Size]byte(digest)); err != nil {
			return nil, err
		}
		hash := tlog.LeafHash(s.leaf)
		s.promise = audit.Promise{LogID: hex.EncodeToString(scts[0].LogID[:]), PromisedAt: scts[0].Timestamp, LeafHash: hex.EncodeToString(hash[:]), Outcome: audit.LookupUnknown}
		all = append(all, s)
	}
	return all, nil
}

func someSigners(t *testing.T, n int) []signer {
	t.Helper()
	all, err := signers(n)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// certificate is the signer's as an attestation has it.
func (s signer) certificate() *attest.Certificate {
	tbs, err := attest.TBSHash(s.cert)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(s.cert.Raw)
	return &attest.Certificate{DER: s.cert.Raw, SHA256: hex.EncodeToString(sum[:]), TBSHash: tbs, IssuerKeyHash: s.issuer,
		Serial: s.cert.SerialNumber.Text(16), NotBefore: s.cert.NotBefore, NotAfter: s.cert.NotAfter}
}

// attested is what verifying a document with one attestation a signer gave.
func attested(all ...signer) audit.Verification {
	v := audit.Verification{VerifiedWith: "v1"}
	for i, s := range all {
		id, err := identity.FromCertificate(s.cert)
		if err != nil {
			panic(err)
		}
		v.Attestations = append(v.Attestations, audit.VerifiedAttestation{Facts: audit.AttestationFacts{Index: i, Status: attest.Verified}, Certificate: s.certificate(), Identity: &id})
	}
	return v
}

// attest gives the record's first file a document with one attestation a signer.
func attestAll(db *DB, all ...signer) error {
	return db.SaveProvenance(context.Background(), hour(4), 1, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte("attested"), Verification: attested(all...)})
}

// readAll reads the promises of all certificates that the record has not read yet.
func readAll(db *DB, all ...signer) error {
	shown, err := db.UnreadPromises(context.Background(), 100)
	if err != nil {
		return err
	}
	var read []audit.ReadPromises
	for _, c := range shown {
		for _, s := range all {
			if string(s.cert.Raw) == string(c.DER) {
				read = append(read, audit.ReadPromises{CertificateID: c.ID, Promises: []audit.Promise{s.promise}})
			}
		}
	}
	if len(read) != len(all) {
		return fmt.Errorf("%d of %d certificates are to be read", len(read), len(all))
	}
	return db.SavePromises(context.Background(), hour(5), read)
}

// ctCheckpoint is the tree head of a CT log with the signers' leaves and nothing else.
func ctCheckpoint(at time.Time, all ...signer) (tlog.SignedCheckpoint, []tlog.Inclusion) {
	cp := tlog.SignedCheckpoint{Origin: "ct.example", Size: uint64(len(all)), Raw: []byte("head at " + at.String()), Timestamp: at}
	if len(all) != 2 {
		panic("this tree has two leaves")
	}
	a, b := tlog.LeafHash(all[0].leaf), tlog.LeafHash(all[1].leaf)
	cp.Root = sha256.Sum256(append(append([]byte{1}, a[:]...), b[:]...))
	return cp, []tlog.Inclusion{{Index: 0, LeafHash: a, Path: [][]byte{b[:]}, Checkpoint: cp}, {Index: 1, LeafHash: b, Path: [][]byte{a[:]}, Checkpoint: cp}}
}

const day = 24 * time.Hour

// due lists the certificates whose promises are due.
func due(t *testing.T, db *DB, now time.Time, log string) []int64 {
	t.Helper()
	all, err := db.DuePromises(context.Background(), now, day, log, 100)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, p := range all {
		ids = append(ids, p.ID)
	}
	sort.Slice(ids, func(i, k int) bool { return ids[i] < ids[k] })
	return ids
}

// promised is a record with promises of one log.
func promised(t *testing.T, all ...signer) *DB {
	t.Helper()
	db, _, _ := oneFile(t)
	if err := errors.Join(attestAll(db, all...), readAll(db, all...)); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestAPromiseIsDueUntilItIsSettled(t *testing.T) {
	ctx := context.Background()
	all := someSigners(t, 2)
	db := promised(t, all...)
	log := all[0].promise.LogID
	if diff := cmp.Diff([]int64{1, 2}, due(t, db, hour(5), log)); diff != "" {
		t.Fatal(diff)
	}
	if unread, err := db.UnreadPromises(ctx, 10); err != nil || len(unread) != 0 {
		t.Errorf("%d are to be read still: %v", len(unread), err)
	}
	promises, err := db.DuePromises(ctx, hour(5), day, log, 100)
	if err != nil {
		t.Fatal(err)
	}
	head, proofs := ctCheckpoint(hour(5), all...)
	save := func(now time.Time, i int, l audit.Lookup) {
		t.Helper()
		if err := db.SaveLookup(ctx, now, promises[i], l); err != nil {
			t.Fatal(err)
		}
	}
	save(hour(5), 0, audit.Lookup{Outcome: audit.LookupFound, Inclusion: proofs[promises[0].ID-1]})
	save(hour(5), 1, audit.Lookup{Outcome: audit.LookupMissing, Inclusion: tlog.Inclusion{Checkpoint: head}, DueAt: hour(6)})
	missing := promises[1].ID
	for at, want := range map[int][]int64{5: nil, 6: {missing}, 99: {missing}} {
		if diff := cmp.Diff(want, due(t, db, hour(at), log)); diff != "" {
			t.Errorf("hour %d: %s", at, diff)
		}
	}
	// That asking again fails makes nothing of an answer unknown.
	save(hour(7), 1, audit.Lookup{Outcome: audit.LookupUnknown, Problem: "no route", DueAt: hour(8)})
	if err := db.LookupFailed(ctx, hour(9), day, log, audit.LookupUnknown, "no route at all", hour(10)); err != nil {
		t.Fatal(err)
	}
	var facts []audit.PromiseFacts
	read := func() audit.PromiseFacts {
		t.Helper()
		facts = nil
		if err := db.BrokenPromises(ctx, func(p audit.PromiseFacts) error { facts = append(facts, p); return nil }); err != nil || len(facts) != 1 {
			t.Fatalf("%d, %v", len(facts), err)
		}
		return facts[0]
	}
	if p := read(); p.Outcome != audit.LookupMissing || p.Problem != "no route at all" || !p.FailingSince.Equal(hour(7)) || !p.TreeHeadAt.Equal(hour(5)) || p.TreeSize != 2 ||
		string(p.TreeHead) != string(head.Raw) || len(p.Files) != 1 || p.Files[0].File != "a-1.0.whl" || p.LogID != log || p.Identity == nil || !p.PromisedAt.Equal(all[0].promise.PromisedAt) {
		t.Errorf("%+v", p)
	}
	// A tree head that is younger by the delay makes it final, and another delay does not.
	young, _ := ctCheckpoint(hour(30), all...)
	save(hour(30), 1, audit.Lookup{Outcome: audit.LookupMissing, Inclusion: tlog.Inclusion{Checkpoint: young}, DueAt: hour(31)})
	if got := due(t, db, hour(99), log); got != nil {
		t.Errorf("final, and due: %v", got)
	}
	if got, err := db.DuePromises(ctx, hour(99), 2*day, log, 10); err != nil || len(got) != 1 {
		t.Errorf("with a delay of two days: %v, %v", got, err)
	}
	if p := read(); !p.FailingSince.IsZero() || p.Problem != "" || !p.TreeHeadAt.Equal(hour(30)) || string(p.TreeHead) != string(young.Raw) {
		t.Errorf("%+v", p)
	}
	if open, err := db.OpenPromises(ctx); err != nil || !cmp.Equal(open, map[audit.LookupOutcome]int{audit.LookupMissing: 1}) {
		t.Errorf("%v, %v", open, err)
	}
	if problems := fsckProblems(t, db); len(problems) != 0 {
		t.Errorf("fsck: %q", problems)
	}
}

// TestATreeHeadThatIsSignedAnewIsKept has a CT log sign one tree twice: the youngest of its heads counts, in whatever order
// they come.
func TestATreeHeadThatIsSignedAnewIsKept(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	l, err := db.Log(ctx, LogName{Origin: "ct.example", Kind: "ct-rfc6962", KeyID: "c7", URL: "https://ct.example"}, "list 1")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := db.TreeHead(ctx, "c7"); ok || err != nil {
		t.Errorf("before it was read: %t, %v", ok, err)
	}
	all := someSigners(t, 2)
	for _, h := range []int{1, 5, 3} {
		cp, _ := ctCheckpoint(hour(h), all...)
		if err := l.Saw(ctx, hour(h), cp); err != nil {
			t.Fatal(err)
		}
	}
	want, _ := ctCheckpoint(hour(5), all...)
	if got, ok, err := db.TreeHead(ctx, "c7"); err != nil || !ok || !cmp.Equal(got, want) {
		t.Errorf("%+v, %t, %v", got, ok, err)
	}
}

// TestPromisesOfWhatIsNotProvenAreNotRead has a certificate in an entry that no verified root commits to, and in one that
// is taken back.
func TestPromisesOfWhatIsNotProvenAreNotRead(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	s := someSigners(t, 1)[0]
	l := opened(t, db, "list 1")
	b := batch(0, 3)
	c := s.certificate()
	id, err := identity.FromCertificate(s.cert)
	if err != nil {
		t.Fatal(err)
	}
	b.Hits[0].Hit.Certificates[0] = audit.HitCert{IssuerKeyHash: c.IssuerKeyHash, TBSSHA256: c.TBSHash, SHA256: c.SHA256, Serial: c.Serial, NotBefore: c.NotBefore, NotAfter: c.NotAfter, DER: c.DER,
		Chained: true, Identity: &id}
	if err := errors.Join(l.Begin(ctx, noon, 0, nil, checkpoint(0)), l.Advance(ctx, hour(1), b)); err != nil {
		t.Fatal(err)
	}
	if unread, err := db.UnreadPromises(ctx, 10); err != nil || len(unread) != 0 {
		t.Errorf("before it is proven: %d, %v", len(unread), err)
	}
	if err := l.Prove(ctx, hour(2), 3, checkpoint(3)); err != nil {
		t.Fatal(err)
	}
	if err := readAll(db, s); err != nil {
		t.Errorf("once it is proven: %v", err)
	}
	// Even if its promises were read, a certificate can be forgotten with the entry that it is known from.
	if _, err := db.w.Exec(`UPDATE logs SET proven_index = 0`); err != nil {
		t.Fatal(err)
	}
	opened(t, db, "list 1")
	if _, err := db.w.Exec(`INSERT INTO read_bytes (log_id, bytes, watch_list) VALUES (1, 1, 'list 1')`); err != nil {
		t.Fatal(err)
	}
	opened(t, db, "list 2")
	if n := count(t, db, "ct_lookups"); n != 0 {
		t.Errorf("%d promises are left", n)
	}
}

func TestFsckFindsPromisesThatWereChanged(t *testing.T) {
	ctx := context.Background()
	all := someSigners(t, 2)
	whole := func() *DB {
		db := promised(t, all...)
		promises, err := db.DuePromises(ctx, hour(5), day, all[0].promise.LogID, 100)
		if err != nil {
			t.Fatal(err)
		}
		_, proofs := ctCheckpoint(hour(5), all...)
		for _, p := range promises {
			if err := db.SaveLookup(ctx, hour(5), p, audit.Lookup{Outcome: audit.LookupFound, Inclusion: proofs[p.ID-1]}); err != nil {
				t.Fatal(err)
			}
		}
		return db
	}
	if problems := fsckProblems(t, whole()); len(problems) != 0 {
		t.Fatalf("of a whole record: %q", problems)
	}
	for statement, want := range map[string]string{
		"UPDATE ct_lookups SET leaf_hash = '" + digestA + "'":     "carries no promise of log",
		"UPDATE ct_lookups SET log_id = 'c7'":                     "carries no promise of log c7",
		"UPDATE ct_lookups SET tree_index = 1 - tree_index":       "the proof does not lead to root",
		"UPDATE ct_lookups SET proof = zeroblob(32)":              "the proof does not lead to root",
		"UPDATE ct_lookups SET proof = x'00'":                     "the proof does not lead to root",
		"UPDATE ct_lookups SET proof = NULL":                      "which is not among what was proven of it",
		"UPDATE checkpoints SET size = 3":                         "of size 3",
		"UPDATE certificates SET issuer_key_hash = 'ca' || rowid": "carries no promise of log",
	} {
		db := whole()
		if _, err := db.w.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		if problems := fsckProblems(t, db); !strings.Contains(strings.Join(problems, "\n"), want) {
			t.Errorf("%s: %q", statement, problems)
		}
	}
}

// saveALookup keeps an answer about the first promise that is due.
func saveALookup(db *DB) error {
	all, err := signers(2)
	if err != nil {
		return err
	}
	promises, err := db.DuePromises(context.Background(), hour(9), day, all[0].promise.LogID, 1)
	if err != nil || len(promises) != 1 {
		return fmt.Errorf("%d promises are due: %w", len(promises), err)
	}
	_, proofs := ctCheckpoint(hour(5), all...)
	return db.SaveLookup(context.Background(), hour(9), promises[0], audit.Lookup{Outcome: audit.LookupFound, Inclusion: proofs[0]})
}

// readMorePromises reads those of a second certificate.
func readMorePromises(db *DB) error {
	all, err := signers(2)
	if err != nil {
		return err
	}
	return readAll(db, all[1])
}

// shownBeforeTheKill has two certificates in the record, and reads the promises of one of them.
func shownBeforeTheKill(db *DB) error {
	all, err := signers(2)
	if err != nil {
		return err
	}
	p, err := db.Project(context.Background(), "onnx", "pypi", "onnx-weekly")
	if err != nil {
		return err
	}
	if _, err := db.SaveListing(context.Background(), hour(1), audit.ListingUpdate{ProjectID: p.ID,
		Listing: &pypi.Listing{Serial: 1, Status: "active", Files: []pypi.File{listed("w-1.0.whl", "ee", withProvenance)}}}); err != nil {
		return err
	}
	for i, s := range all {
		body := fmt.Sprintf("weekly %d", i)
		if err := db.SaveProvenance(context.Background(), hour(4), 2, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte(body), Verification: attested(s)}); err != nil {
			return err
		}
		if i == 0 {
			if err := readAll(db, s); err != nil {
				return err
			}
		}
	}
	return nil
}
