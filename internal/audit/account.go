package audit

import (
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// Account says what accounts for a log entry.
type Account string

// The accounts.
const (
	// AccountAttestation: a verified attestation of a file names the entry.
	AccountAttestation Account = "attestation"
	// AccountFile: what was signed is a file of the project's itself.
	AccountFile Account = "file"
	// AccountStatement: what was signed is a statement about files of the project's, and nothing else: the one of an attestation,
	// logged once more.
	AccountStatement Account = "statement"
	// AccountProvenance: what was signed is SLSA provenance of files of the project's, and nothing else.
	AccountProvenance Account = "provenance"
	// AccountDisputed: an attestation names the entry that does not verify, which is a finding about its file.
	AccountDisputed Account = "disputed"
	// AccountPartly: what was signed is a statement about files of which some are not known.
	AccountPartly Account = "partly"
	// AccountOpen: nothing accounts for it.
	AccountOpen Account = "open"
	// AccountDue: what is known of it has changed, and was not looked at yet.
	AccountDue Account = "due"
)

// KnownStatement is an in-toto statement that somebody showed. Its digests bind it to the entries that signed it, whoever showed it
// and with whatever signature.
type KnownStatement struct {
	// SHA256 is that of the payload, PAESHA256 of its pre-authentication encoding, both hex.
	SHA256, PAESHA256 string
	PredicateType     string
	// Subjects are the hex SHA-256 digests of what it is about, each once and sorted.
	Subjects []string
}

// statementOf is what a verification shows of a statement; nil where it shows none.
func statementOf(r attest.Result) *KnownStatement {
	if r.Statement == nil || r.StatementSHA256 == "" {
		return nil
	}
	s := &KnownStatement{SHA256: r.StatementSHA256, PAESHA256: attest.PAEDigest(r.StatementRaw), PredicateType: r.Statement.PredicateType}
	for _, subject := range r.Statement.Subjects {
		s.Subjects = append(s.Subjects, subject.Digest["sha256"])
	}
	slices.Sort(s.Subjects)
	s.Subjects = slices.Compact(s.Subjects)
	return s
}

// SignerFacts is a signer in the record: an identity without what differs from run to run, of certificates that chain to a trusted
// root or of those that do not. Identity is nil where it cannot be read.
type SignerFacts struct {
	ID       int64
	Chained  bool
	Identity *identity.Identity
}

// JobFacts is what the record holds of a job, all that one signer signed in one run, of which something is not accounted for.
type JobFacts struct {
	ID, Signer int64
	// Run is the run's URI, or names the certificate where that does not tell one.
	Run string
	// IssuedAt is when its first certificate was issued, OpenSince when the first entry was seen that nothing accounts for.
	IssuedAt, OpenSince time.Time
	// Open counts the proven entries that nothing accounts for in full, Published says that something published accounts for
	// others.
	Open      int
	Published bool
	// Conclusion is what became of the run, as GitHub tells it; "" where it was not asked, or the run has not ended.
	Conclusion string
	// Asked says that a store of statements answered for every file that the job signed something about, as far as that is known.
	Asked bool
	// Unread counts the files, uploaded since the job began, of which it is not known what attests them.
	Unread int
}

// EntryRef is an entry in the record.
type EntryRef struct {
	LogRef
	LeafHash  string
	Account   Account
	FirstSeen time.Time
}

// ReleasesRead says since when an index project is looked at, and when its index last told its files: zero where it has not yet, or
// hides them.
type ReleasesRead struct {
	Ref              string // "pypi/onnx"
	Since, CheckedAt time.Time
}
