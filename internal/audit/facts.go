package audit

import (
	"encoding/json"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// ProjectFacts is what the record holds of one PyPI project, files apart.
type ProjectFacts struct {
	ID      int64
	Project string // the configured project's name
	Index   string
	Name    string // normalised
	URL     string // of its listing

	// Status is PEP 792's project status marker; "" before the first listing.
	Status, StatusReason string
	// Serial and ETag are those of the listing that the record stands on.
	Serial int64
	ETag   string
	// CheckedAt is when the index last answered for the listing, ChangedAt when the answer last differed.
	CheckedAt, ChangedAt time.Time
	// FailingSince and Failure describe listing requests that failed since the last good answer.
	FailingSince time.Time
	Failure      string
	// MissingFiles counts files that one listing lacked and no second one has confirmed as removed.
	MissingFiles int
	// Ownership holds the owners as the index told them, oldest first; the last is the present one.
	Ownership []OwnershipFact
}

// OwnershipFact is one answer about who owns a project.
type OwnershipFact struct {
	SHA256              string
	Body                json.RawMessage
	FirstSeen, LastSeen time.Time
}

// ReleaseFacts is one release with all its files, present and past.
type ReleaseFacts struct {
	Version string // PEP 440, normalised; "" for files whose name does not tell one
	Files   []FileFacts
}

// FileFacts is one distribution file: a filename and a digest. A filename that came to stand for other bytes is two
// files, the older of which is Replaced.
type FileFacts struct {
	ID           int64
	Filename     string
	SHA256       string
	Version      string
	Size         int64 // bytes; -1 where the index does not tell
	URL          string
	UploadedAt   time.Time // zero where the index does not tell
	Yanked       bool
	YankedReason string
	FirstSeen    time.Time
	LastSeen     time.Time
	// MissingSince is when a listing first lacked the file, RemovedAt when a later one confirmed it, ReplacedAt
	// when the filename was seen with other bytes, DeepCheckedAt and DeepSHA256 the last download and its digest.
	MissingSince, RemovedAt, ReplacedAt time.Time
	ReplacedBy                          string // the other digest
	DeepCheckedAt                       time.Time
	DeepSHA256                          string
	// Listing is the file's entry in the listing as served.
	Listing json.RawMessage
	// NameError says why the filename could not be parsed.
	NameError string

	Provenance ProvenanceFacts
	Store      StoreFacts
}

// Gone reports whether the index no longer serves this file.
func (f FileFacts) Gone() bool { return !f.RemovedAt.IsZero() || !f.ReplacedAt.IsZero() }

// ProvenanceState is what the index says about a file's provenance.
type ProvenanceState string

// The states of a file's provenance.
const (
	ProvenanceNone      ProvenanceState = "none"      // the listing names none
	ProvenanceUntold    ProvenanceState = "untold"    // the index does not say: it does not know PEP 740
	ProvenancePending   ProvenanceState = "pending"   // named, not asked for yet or failing so far
	ProvenanceServed    ProvenanceState = "served"    // fetched
	ProvenanceNotFound  ProvenanceState = "not-found" // named, but the index answers 404
	ProvenanceForbidden ProvenanceState = "forbidden" // the index answers 403: switched off by its administrators
)

// ProvenanceFacts is what the record holds of a file's provenance.
type ProvenanceFacts struct {
	URL   string
	ETag  string
	State ProvenanceState
	// Since is when State began, CheckedAt when the index last answered.
	Since, CheckedAt time.Time
	// FailingSince and Failure describe requests that failed since the last answer.
	FailingSince time.Time
	Failure      string
	// Document is the latest document served, Previous the one before it. Document stays when the index stops
	// serving it: State tells.
	Document, Previous *DocumentFacts
}

// DocumentFacts is one provenance document and what verifying it gave.
type DocumentFacts struct {
	SHA256              string
	FirstSeen, LastSeen time.Time
	// Problem says why the document could not be read as a whole; "" where it could.
	Problem      string
	Attestations []AttestationFacts
	// VerifiedWith names the trusted roots and the rules of verification that the facts come from.
	VerifiedWith string
}

// AttestationFacts is one attestation of a provenance document, or a bundle, verified or not. It is stored as JSON.
type AttestationFacts struct {
	// Bundle and Index are its position in the document.
	Bundle    int              `json:"bundle"`
	Index     int              `json:"attestation"`
	Publisher attest.Publisher `json:"publisher"`

	Status attest.Status  `json:"status"`
	Checks []attest.Check `json:"checks"`

	PredicateType   string              `json:"predicate_type,omitempty"`
	StatementSHA256 string              `json:"statement_sha256,omitempty"`
	Certificate     string              `json:"certificate_sha256,omitempty"`
	Identity        *identity.Identity  `json:"identity,omitempty"`
	IdentityProblem string              `json:"identity_problem,omitempty"`
	SignedAt        time.Time           `json:"signed_at,omitzero"`
	Entries         []LogRef            `json:"entries,omitempty"`
	Contradictions  []identity.Mismatch `json:"contradictions,omitempty"` // SLSA predicate against certificate
	PredicateError  string              `json:"predicate_error,omitempty"`
	// Unlogged says that no log has it, and that its issuer's trusted root has none which it could be in.
	Unlogged bool `json:"unlogged,omitempty"`
	// Release says that it is GitHub's own attestation of a release's assets, or claims to be: no provenance, and nobody's else.
	Release bool `json:"release,omitempty"`
	// SLSA is what a SLSA predicate says; nil where it is none, or cannot be read.
	SLSA *identity.SLSAProvenance `json:"slsa,omitempty"`
}

// Failed is the first check that failed, or else the first of a form that is not supported; nil where there is none.
func (a AttestationFacts) Failed() *attest.Check {
	r := attest.Result{Checks: a.Checks}
	if c := r.Failed(); c != nil {
		return c
	}
	return r.Unsupported()
}
