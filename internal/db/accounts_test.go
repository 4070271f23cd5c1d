package db

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/pypi"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// sha is a digest of 32 equal bytes, in hex.
func sha(b byte) string { return hex.EncodeToString([]byte(strings.Repeat(string(rune(b)), 32))) }

// signed is a body of Rekor v2 that says that a digest was signed.
func signed(digest string) []byte {
	raw, err := hex.DecodeString(digest)
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"%s"},"signature":{"content":"AA==","verifier":{"keyDetails":"x","x509Certificate":{"rawBytes":"AA=="}}}}}}`,
		base64.StdEncoding.EncodeToString(raw))
}

// ledger is a record with entries of one job, each of which signed a digest.
type ledger struct {
	*DB
	t     *testing.T
	log   *Log
	files int
}

func newLedger(t *testing.T, digests ...string) *ledger {
	t.Helper()
	l := &ledger{DB: openTemp(t), t: t}
	l.log = opened(t, l.DB, "list 1")
	b := tlog.Batch[audit.LogHit]{To: uint64(len(digests)), Range: tree(uint64(len(digests))).Hashes()}
	for i, digest := range digests {
		h := hit(uint64(i))
		h.Leaf, h.Certificates[0].TBSSHA256 = signed(digest), "tbs"
		h.Certificates[0].Identity = &identity.Identity{SAN: "https://github.com/onnx/onnx/x", Issuer: identity.GitHubActionsIssuer, RunInvocationURI: "run 1"}
		b.Hits = append(b.Hits, tlog.Hit[audit.LogHit]{Index: uint64(i), Hit: h})
	}
	l.do(l.log.Begin(context.Background(), noon, 0, nil, checkpoint(0)), l.log.Advance(context.Background(), hour(1), b))
	return l
}

func (l *ledger) do(errs ...error) {
	l.t.Helper()
	if err := errors.Join(errs...); err != nil {
		l.t.Fatal(err)
	}
}

// publish lists one more file, with a digest.
func (l *ledger) publish(digest string) int64 {
	l.t.Helper()
	p := project(l.t, l.DB)
	l.files++
	var all []pypi.File
	for _, row := range rowsOf(l.t, l.w, "SELECT filename || ' ' || sha256 AS f FROM files ORDER BY id") {
		name, digest, _ := strings.Cut(strings.Trim(row, "[]"), " ")
		all = append(all, listed(name, digest, withProvenance))
	}
	saveListing(l.t, l.DB, p, hour(l.files), pypi.Listing{Serial: int64(l.files), Files: append(all, listed(fmt.Sprintf("a-%d.0.whl", l.files), digest, withProvenance))})
	var id int64
	l.do(l.w.QueryRow("SELECT max(id) FROM files").Scan(&id))
	return id
}

// attests has a document of a file name the first entry.
func (l *ledger) attests(file int64, body string, status attest.Status) {
	l.t.Helper()
	e := attest.Entry{LogID: "1d", Origin: logName.Origin, TreeIndex: 0, LogIndex: 0, Kind: "hashedrekord", APIVersion: "0.0.2", Body: signed(sha('a')), InclusionProven: true}
	hash := tlog.LeafHash(e.Body)
	e.LeafHash = hex.EncodeToString(hash[:])
	v := audit.Verification{VerifiedWith: body, Attestations: []audit.VerifiedAttestation{{Facts: audit.AttestationFacts{Status: status}, Entries: []attest.Entry{e}}}}
	l.do(l.SaveProvenance(context.Background(), hour(9), file, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte(body), Verification: v}))
}

// expect works the accounts out, and compares them with what they should be, in the order of the entries.
func (l *ledger) expect(when string, want ...string) {
	l.t.Helper()
	l.do(l.Account(context.Background()))
	var got []string
	for _, row := range rowsOf(l.t, l.w, "SELECT account FROM accounts ORDER BY entry_id") {
		got = append(got, strings.Trim(row, "[]"))
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		l.t.Errorf("%s: %v, want %v", when, got, want)
	}
	if _, err := l.Fsck(context.Background(), func(problem string) { l.t.Errorf("%s: fsck: %s", when, problem) }); err != nil {
		l.t.Fatal(err)
	}
}

// openJobs are the jobs with open entries that count, as how many of how many signers.
func (l *ledger) openJobs() string {
	l.t.Helper()
	var text []string
	l.do(l.Signers(context.Background(), func(s audit.SignerFacts) error {
		return l.OpenJobs(context.Background(), []int64{s.ID}, func(j audit.JobFacts) error {
			entries, err := l.JobEntries(context.Background(), j.ID, 10)
			text = append(text, fmt.Sprintf("%s: %d open, %d shown, published %t, asked %t", j.Run, j.Open, len(entries), j.Published, j.Asked))
			return err
		})
	}))
	return strings.Join(text, "; ")
}

// TestAnAccountFollowsWhatIsKnown has what accounts for entries come and go, in every way.
func TestAnAccountFollowsWhatIsKnown(t *testing.T) {
	l := newLedger(t, sha('a'), sha('b'), sha('c'))
	l.expect("nothing is known", "open", "open", "open")
	if got := l.openJobs(); got != "" {
		t.Errorf("what is not proven counts: %s", got)
	}
	l.do(l.log.Prove(context.Background(), hour(2), 3, cpOf(t, l)))
	if got := l.openJobs(); got != "run 1: 3 open, 3 shown, published false, asked true" {
		t.Errorf("once it is proven: %s", got)
	}

	file := l.publish(sha('1'))
	l.attests(file, "served", attest.Verified)
	l.expect("attested", "attestation", "open", "open")
	if got := l.openJobs(); got != "run 1: 2 open, 2 shown, published true, asked true" { // the attestation is by no certificate here
		t.Errorf("attested: %s", got)
	}
	l.attests(file, "served", attest.Failed)
	l.expect("verified again, and failed", "disputed", "open", "open")
	l.attests(file, "served", attest.Verified)

	l.publish(sha('b'))
	l.expect("a file is published that was signed before", "attestation", "file", "open")

	statement := audit.KnownStatement{SHA256: sha('c'), PAESHA256: sha('d'), PredicateType: attest.PredicateSLSA, Subjects: []string{sha('1'), sha('2')}}
	l.do(l.SaveStatements(context.Background(), hour(10), sha('1'), []audit.KnownStatement{statement}))
	l.expect("provenance of a file and of something else", "attestation", "file", "partly")
	l.publish(sha('2'))
	l.expect("that is published too", "attestation", "file", "provenance")
	if got := l.openJobs(); got != "" {
		t.Errorf("all is accounted for: %s", got)
	}
}

// TestTheEncodingOfAStatementAccountsToo has an entry of Rekor v2 sign a statement's encoding, and the statement be known before.
func TestTheEncodingOfAStatementAccountsToo(t *testing.T) {
	l := newLedger(t, sha('e'), sha('f'))
	l.publish(sha('1'))
	l.do(l.SaveStatements(context.Background(), hour(1), sha('1'), []audit.KnownStatement{{SHA256: sha('c'), PAESHA256: sha('e'), PredicateType: attest.PredicatePublish, Subjects: []string{sha('1')}},
		{SHA256: sha('g'), PAESHA256: sha('f'), PredicateType: attest.PredicatePublish}}))
	l.expect("a statement, and one about nothing", "statement", "open")
}

// TestWhatALogTakesBackHasNoAccount rewinds a log.
func TestWhatALogTakesBackHasNoAccount(t *testing.T) {
	l := newLedger(t, sha('a'), sha('b'))
	l.expect("read", "open", "open")
	if _, err := l.Log(context.Background(), logName, "list 2"); err != nil {
		t.Fatal(err)
	}
	l.expect("rewound")
	if n := count(t, l.DB, "open_entries") + count(t, l.DB, "entry_hashes"); n != 0 {
		t.Errorf("%d rows about entries that are gone", n)
	}
}

// cpOf is a checkpoint of the ledger's tree: what it commits to is not the record's to check.
func cpOf(t *testing.T, l *ledger) tlog.SignedCheckpoint {
	t.Helper()
	s, err := l.log.State(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	root, err := tlog.RangeRoot(s.Read, s.ReadRange)
	if err != nil {
		t.Fatal(err)
	}
	cp := checkpoint(s.Read)
	copy(cp.Root[:], root)
	return cp
}
