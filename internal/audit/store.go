package audit

import (
	"context"
	"encoding/json"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// Store is the record as the audit uses it. Each method that writes is one transaction: either all of it is in the
// record afterwards, or nothing. Instants are given by the caller, one a transaction.
type Store interface {
	// Project returns what is known of a PyPI project, creating its row where it is new. project is the configured
	// project's name, which is not stored.
	Project(ctx context.Context, project, index, name string) (ProjectFacts, error)
	// SaveListing brings files and project up to a listing; see ListingUpdate.
	SaveListing(ctx context.Context, now time.Time, u ListingUpdate) (ListingChange, error)
	// ListingUnchanged notes that the index confirmed the listing that the record stands on.
	ListingUnchanged(ctx context.Context, now time.Time, projectID int64) error
	// ListingFailed notes that the index did not answer as it should.
	ListingFailed(ctx context.Context, now time.Time, projectID int64, problem string) error
	// MarkStaleProvenance makes due the provenance of every live file that was last asked for before the given
	// instant, and says how many are due now.
	MarkStaleProvenance(ctx context.Context, projectID int64, before time.Time) (int, error)
	// DueProvenance lists files whose provenance is due, in the order of their ids, after the given id.
	DueProvenance(ctx context.Context, projectID, after int64, limit int) ([]FileFacts, error)
	// SaveProvenance stores one answer about a file's provenance with what verifying it gave.
	SaveProvenance(ctx context.Context, now time.Time, fileID int64, u ProvenanceUpdate) error
	// ProvenanceFailed notes that the index did not answer as it should; the file stays due.
	ProvenanceFailed(ctx context.Context, now time.Time, fileID int64, problem string) error
	// Unverified lists documents whose facts come from other trusted roots or rules than the given ones.
	Unverified(ctx context.Context, projectID int64, verifiedWith string, after int64, limit int) ([]StoredDocument, error)
	// SaveVerification replaces what verifying a stored document gave.
	SaveVerification(ctx context.Context, now time.Time, documentID int64, v Verification) error
	// SaveDeepCheck notes the digest of a file's bytes as downloaded.
	SaveDeepCheck(ctx context.Context, now time.Time, fileID int64, sha256 string) error
	// SaveTrustedRoot keeps a trusted root, so that what was verified with it can be verified again.
	SaveTrustedRoot(ctx context.Context, now time.Time, r TrustedRoot) error

	// Versions lists the versions of a PyPI project that have files, present or past, in no particular order.
	Versions(ctx context.Context, projectID int64) ([]string, error)
	// Release returns one release with all its files.
	Release(ctx context.Context, projectID int64, version string) (ReleaseFacts, error)
	// Settle stores a scope's judgements: it reconciles the findings held with the assessment, writes every change
	// with its event and one outbox row a channel, and the states of releases and files.
	Settle(ctx context.Context, now time.Time, s Settlement) ([]Change, error)
	// LastJudged returns what a PyPI project's findings were last settled by, and what its facts are named today: another name for
	// every change of what is judged. StillJudged notes that settling them again would change nothing.
	LastJudged(ctx context.Context, projectID int64) (s JudgedBy, facts int64, err error)
	StillJudged(ctx context.Context, now time.Time, p ProjectFacts) error

	GitHubStore
	RunStore

	// StartRun and FinishRun keep the diary.
	StartRun(ctx context.Context, now time.Time, job, version, policySHA256 string) (int64, error)
	FinishRun(ctx context.Context, now time.Time, id int64, outcome Outcome, summary json.RawMessage) error
}

// ListingUpdate is a fresh listing of a PyPI project.
type ListingUpdate struct {
	ProjectID int64
	Listing   *pypi.Listing
	// Ownership is the answer about owners, nil where it is not known.
	Ownership json.RawMessage
}

// ListingChange counts what a listing changed in the record.
type ListingChange struct {
	Added, Changed, Missing, Removed, Replaced, Returned int
}

// Any reports whether anything changed.
func (c ListingChange) Any() bool { return c != ListingChange{} }

// ProvenanceUpdate is one answer about a file's provenance.
type ProvenanceUpdate struct {
	State ProvenanceState // served, not-found or forbidden
	// Unchanged says that the index confirmed the document that the record holds (304).
	Unchanged bool
	ETag      string
	Body      []byte
	Verification
}

// Verification is what verifying one provenance document gave.
type Verification struct {
	VerifiedWith string
	Problem      string
	Attestations []VerifiedAttestation
}

// VerifiedAttestation is one attestation's facts with the evidence that goes into tables of its own.
type VerifiedAttestation struct {
	Facts       AttestationFacts
	Certificate *attest.Certificate
	Identity    *identity.Identity
	Entries     []attest.Entry // proven ones only
	Digests     []string       // of a bundle's subjects: SHA-256 in lower-case hex
	AllEntries  []attest.Entry // proven or not, in the order of their checks
	// Statement is what it says, verified or not; nil where it says nothing.
	Statement *KnownStatement
}

// StoredDocument is a provenance document in the record, or a bundle of GitHub's store beside a file that it is about.
type StoredDocument struct {
	ID       int64
	FileID   int64
	Bundle   bool
	Filename string
	SHA256   string // of the file
	Body     []byte
}

// TrustedRoot is a trusted root as it was used.
type TrustedRoot struct {
	SHA256, Source string
	Body           []byte
	ExpiresAt      time.Time // zero where it does not expire
}

// Settlement is the judgement of one PyPI project.
type Settlement struct {
	Project    ProjectFacts
	Assessment Assessment
	Releases   []ReleaseJudgement
	// Channels are told of every announced change.
	Channels []string
	// JudgedBy is what it was made by.
	JudgedBy JudgedBy
}

// ReleaseJudgement is what was judged of a release and its files.
type ReleaseJudgement struct {
	Version string
	States  string
	SLSA    *ReleaseSLSA // nil where it has no live file
	Files   []FileJudgement
}

// FileJudgement is what was judged of a file.
type FileJudgement struct {
	ID    int64
	State FileState
	Grade string
	SLSA  *SLSAVerdict // nil where it is gone
}

// Outcome is how a run ended.
type Outcome string

// The outcomes of a run.
const (
	Complete   Outcome = "complete"   // everything that this version reads was read
	Incomplete Outcome = "incomplete" // something stayed unknown
	Failed     Outcome = "failed"     // the run could not go on
)
