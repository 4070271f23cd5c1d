package db

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/pypi"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// oneFile is a record of one file whose provenance is named and was not asked for yet.
func oneFile(t *testing.T) (*DB, audit.ProjectFacts, int64) {
	t.Helper()
	db := openTemp(t)
	p := project(t, db)
	saveListing(t, db, p, noon, pypi.Listing{Serial: 1, Files: []pypi.File{listed("a-1.0.whl", "aa", withProvenance)}})
	return db, p, facts(t, db, p).ID
}

// facts are those of the record's one file.
func facts(t *testing.T, db *DB, p audit.ProjectFacts) audit.FileFacts {
	t.Helper()
	r, err := db.Release(context.Background(), p.ID, "1.0")
	if err != nil || len(r.Files) != 1 {
		t.Fatalf("%d files, %v", len(r.Files), err)
	}
	return r.Files[0]
}

// Digests of the documents "A" and "B".
const (
	digestA = "559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd"
	digestB = "df7e70e5021544f4834bbee64a9e3789febc4be81470df629cad6ddb03320a5c"
)

func TestWhatAnAnswerAboutProvenanceChangesInTheRecord(t *testing.T) {
	served := func(body, etag string) *audit.ProvenanceUpdate {
		return &audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte(body), ETag: etag}
	}
	confirmed := &audit.ProvenanceUpdate{State: audit.ProvenanceServed, Unchanged: true, ETag: "1"}
	notFound, forbidden := &audit.ProvenanceUpdate{State: audit.ProvenanceNotFound}, &audit.ProvenanceUpdate{State: audit.ProvenanceForbidden}
	type step struct {
		answer *audit.ProvenanceUpdate // nil for a request that failed
		want   string
	}
	for name, steps := range map[string][]step{
		"served":                     {{served("A", "1"), "served since 13 etag 1, A 13-13"}},
		"confirmed":                  {{served("A", "1"), "served since 13 etag 1, A 13-13"}, {confirmed, "served since 13 etag 1, A 13-14"}},
		"the same again":             {{served("A", "1"), "served since 13 etag 1, A 13-13"}, {served("A", "2"), "served since 13 etag 2, A 13-14"}},
		"replaced":                   {{served("A", "1"), "served since 13 etag 1, A 13-13"}, {served("B", "2"), "served since 13 etag 2, B 14-14, was A 13-13"}},
		"replaced, and unchanged":    {{served("A", "1"), "served since 13 etag 1, A 13-13"}, {served("B", "1"), "served since 13 etag 1, B 14-14, was A 13-13"}, {confirmed, "served since 13 etag 1, B 14-15, was A 13-13"}},
		"replaced and back":          {{served("A", "1"), "served since 13 etag 1, A 13-13"}, {served("B", "2"), "served since 13 etag 2, B 14-14, was A 13-13"}, {served("A", "3"), "served since 13 etag 3, A 13-15, was B 14-14"}},
		"never there":                {{notFound, "not-found since 13"}, {notFound, "not-found since 13"}},
		"gone":                       {{served("A", "1"), "served since 13 etag 1, A 13-13"}, {notFound, "not-found since 14, A 13-13"}},
		"gone, and back":             {{served("A", "1"), "served since 13 etag 1, A 13-13"}, {notFound, "not-found since 14, A 13-13"}, {served("A", "1"), "served since 15 etag 1, A 13-15"}},
		"gone, and back as another":  {{served("A", "1"), "served since 13 etag 1, A 13-13"}, {notFound, "not-found since 14, A 13-13"}, {served("B", "2"), "served since 15 etag 2, B 15-15, was A 13-13"}},
		"refused":                    {{forbidden, "forbidden since 13"}},
		"failing, then served":       {{nil, "pending since 12 failing since 13: problem 1"}, {nil, "pending since 12 failing since 13: problem 2"}, {served("A", "1"), "served since 15 etag 1, A 15-15"}},
		"served, failing, confirmed": {{served("A", "1"), "served since 13 etag 1, A 13-13"}, {nil, "served since 13 etag 1 failing since 14: problem 2, A 13-13"}, {confirmed, "served since 13 etag 1, A 13-15"}},
	} {
		t.Run(name, func(t *testing.T) {
			db, p, id := oneFile(t)
			for i, s := range steps {
				now := hour(i + 1)
				var err error
				if s.answer == nil {
					err = db.ProvenanceFailed(context.Background(), now, id, fmt.Sprintf("problem %d", i+1))
				} else {
					err = db.SaveProvenance(context.Background(), now, id, *s.answer)
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := describeProvenance(facts(t, db, p).Provenance); got != s.want {
					t.Errorf("after answer %d: %q, want %q", i+1, got, s.want)
				}
				due, err := db.DueProvenance(context.Background(), p.ID, 0, 10)
				if err != nil {
					t.Fatal(err)
				}
				// Only an answer is an answer: what failed before it came stays to be asked for.
				if stillDue := s.answer == nil && strings.HasPrefix(s.want, "pending"); (len(due) == 1) != stillDue {
					t.Errorf("after answer %d: %d files are due", i+1, len(due))
				}
			}
		})
	}
}

// describeProvenance writes what the record has of a file's provenance in one line; instants are hours of the day.
func describeProvenance(p audit.ProvenanceFacts) string {
	s := fmt.Sprintf("%s since %d", p.State, p.Since.Hour())
	if p.ETag != "" {
		s += " etag " + p.ETag
	}
	if !p.FailingSince.IsZero() {
		s += fmt.Sprintf(" failing since %d: %s", p.FailingSince.Hour(), p.Failure)
	}
	document := func(d *audit.DocumentFacts) string {
		name := map[string]string{digestA: "A", digestB: "B"}[d.SHA256]
		return fmt.Sprintf("%s %d-%d", name, d.FirstSeen.Hour(), d.LastSeen.Hour())
	}
	if p.Document != nil {
		s += ", " + document(p.Document)
	}
	if p.Previous != nil {
		s += ", was " + document(p.Previous)
	}
	return s
}

func TestAConfirmationOfNothingIsRefused(t *testing.T) {
	db, p, id := oneFile(t)
	err := db.SaveProvenance(context.Background(), hour(1), id, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Unchanged: true})
	if err == nil || err.Error() != "store a provenance document: the index confirmed a document that the record does not hold" {
		t.Errorf("got %v", err)
	}
	if got := describeProvenance(facts(t, db, p).Provenance); got != "pending since 12" {
		t.Errorf("the record says %q", got)
	}
}

func TestOldAnswersAreDueAgain(t *testing.T) {
	ctx := context.Background()
	db, p, id := oneFile(t)
	if err := db.SaveProvenance(ctx, hour(1), id, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte("A")}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		before time.Time
		due    int
	}{{hour(1), 0}, {hour(1).Add(time.Microsecond), 1}, {noon, 1}} { // what is due stays due until it is answered
		due, err := db.MarkStaleProvenance(ctx, p.ID, c.before)
		if err != nil || due != c.due {
			t.Errorf("answers of before %s: %d due, want %d, %v", c.before, due, c.due, err)
		}
	}
}

// certificate is a certificate of the TBS, as it is met in a bundle.
func certificate(tbs string) *attest.Certificate {
	return &attest.Certificate{DER: []byte("der of " + tbs), SHA256: digest([]byte("der of " + tbs)), Serial: "1", NotBefore: noon, NotAfter: hour(1), IssuerKeyHash: "ca", TBSHash: tbs}
}

// entry is a proven entry with a body.
func entry(index int64, body string) attest.Entry {
	hash := tlog.LeafHash([]byte(body))
	return attest.Entry{LogID: "1d", Origin: "rekor.example", TreeIndex: index, LogIndex: index + 1000, LeafHash: fmt.Sprintf("%x", hash), Kind: "dsse", APIVersion: "0.0.1", Body: []byte(body)}
}

func TestVerifyingAgainReplacesAttestationsAndKeepsFacts(t *testing.T) {
	ctx := context.Background()
	db, p, id := oneFile(t)
	at := func(index int, status attest.Status) audit.AttestationFacts {
		return audit.AttestationFacts{Bundle: 0, Index: index, Status: status, PredicateType: attest.PredicatePublish, Checks: []attest.Check{{Name: attest.CheckSignature, Status: attest.Pass}},
			Publisher: attest.Publisher{Kind: "GitHub", Repository: "onnx/onnx", Raw: []byte(`{"kind":"GitHub"}`)}}
	}
	signer := &identity.Identity{SAN: "https://github.com/onnx/onnx/x", Issuer: identity.GitHubActionsIssuer}
	first := audit.Verification{VerifiedWith: "root 1", Attestations: []audit.VerifiedAttestation{
		{Facts: at(0, attest.Verified), Certificate: certificate("t1"), Identity: signer, Entries: []attest.Entry{entry(7, "seven"), entry(8, "eight")}},
		{Facts: at(1, attest.Failed)},
	}}
	if err := db.SaveProvenance(ctx, hour(1), id, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte("A"), Verification: first}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]audit.AttestationFacts{at(0, attest.Verified), at(1, attest.Failed)}, facts(t, db, p).Provenance.Document.Attestations); diff != "" {
		t.Error(diff)
	}

	for want, root := range []string{"root 1", "root 2"} { // none is to be verified again with the first, one with the second
		docs, err := db.Unverified(ctx, p.ID, root, 0, 10)
		if err != nil || len(docs) != want {
			t.Fatalf("with %s: %d documents to verify again, want %d, %v", root, len(docs), want, err)
		}
		for _, d := range docs {
			if string(d.Body) != "A" || d.FileID != id || d.Filename != "a-1.0.whl" || d.SHA256 != "aa" {
				t.Errorf("document %+v", d)
			}
			second := audit.Verification{VerifiedWith: root, Problem: "no longer readable", Attestations: []audit.VerifiedAttestation{
				{Facts: at(0, attest.Unsupported), Certificate: certificate("t1"), Identity: signer, Entries: []attest.Entry{entry(7, "seven"), entry(7, "another leaf at its place")}}}}
			if err := db.SaveVerification(ctx, hour(2), d.ID, second); err != nil {
				t.Fatal(err)
			}
		}
	}
	document := facts(t, db, p).Provenance.Document
	if diff := cmp.Diff([]audit.AttestationFacts{at(0, attest.Unsupported)}, document.Attestations); diff != "" {
		t.Error(diff)
	}
	if document.VerifiedWith != "root 2" || document.Problem != "no longer readable" {
		t.Errorf("document %+v", document)
	}
	// Certificates and entries are facts of their own; two leaves at one place are both kept.
	for query, want := range map[string]int{"certificates": 1, "entries": 3, "attestation_entries": 2, "entry_certificates": 3} {
		if got := count(t, db, query); got != want {
			t.Errorf("%d rows in %s, want %d", got, query, want)
		}
	}
}

// count counts a table's rows.
func count(t *testing.T, db *DB, table string) int {
	t.Helper()
	var n int
	if err := db.r.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestACertificateAndItsPrecertificateAreOneRow(t *testing.T) {
	ctx := context.Background()
	pre := certificate("t1")
	pre.DER, pre.SHA256 = nil, ""
	for name, order := range map[string][]*attest.Certificate{"the precertificate first": {pre, certificate("t1")}, "the certificate first": {certificate("t1"), pre}} {
		db, _, id := oneFile(t)
		var v audit.Verification
		for i, c := range order {
			v.Attestations = append(v.Attestations, audit.VerifiedAttestation{Facts: audit.AttestationFacts{Index: i}, Certificate: c})
		}
		if err := db.SaveProvenance(ctx, hour(1), id, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte("A"), Verification: v}); err != nil {
			t.Fatal(err)
		}
		var n int
		var sha, der string
		if err := db.r.QueryRow("SELECT count(*), sha256, der FROM certificates").Scan(&n, &sha, &der); err != nil {
			t.Fatal(err)
		}
		if want := certificate("t1"); n != 1 || sha != want.SHA256 || der != "der of t1" {
			t.Errorf("%s: %d rows, sha256 %s of %q", name, n, sha, der)
		}
	}
}

func TestDownloadsAndTrustedRootsAreKept(t *testing.T) {
	ctx := context.Background()
	db, p, id := oneFile(t)
	if err := db.SaveDeepCheck(ctx, hour(1), id, "ab"); err != nil {
		t.Fatal(err)
	}
	if f := facts(t, db, p); f.DeepSHA256 != "ab" || !f.DeepCheckedAt.Equal(hour(1)) {
		t.Errorf("file %+v", f)
	}
	old := audit.TrustedRoot{SHA256: "01", Source: "tuf", Body: []byte("one"), ExpiresAt: hour(9)}
	current := audit.TrustedRoot{SHA256: "02", Source: "file", Body: []byte("two")}
	for i, r := range []audit.TrustedRoot{old, current, old, current} {
		if err := db.SaveTrustedRoot(ctx, hour(i/2), r); err != nil {
			t.Fatal(err)
		}
	}
	roots, err := db.TrustedRoots(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]audit.TrustedRoot{old, current}, roots); diff != "" {
		t.Error(diff)
	}
	if err := db.SaveTrustedRoot(ctx, hour(5), current); err != nil {
		t.Fatal(err)
	}
	if roots, err = db.TrustedRoots(ctx); err != nil || len(roots) != 1 || roots[0].SHA256 != "02" {
		t.Errorf("the roots last used: %+v, %v", roots, err)
	}
}
