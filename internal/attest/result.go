package attest

import (
	"crypto/x509"
	"encoding/json"
	"time"
)

// Status is the verdict on one bundle or attestation.
type Status string

const (
	// Verified: every check passed, ours and sigstore-go's.
	Verified Status = "verified"
	// Failed: at least one check failed. [Result.Failed] says which.
	Failed Status = "failed"
	// Unsupported: nothing failed, but something was of a form that cannot be checked here. It is neither good nor bad,
	// and must never be counted as either.
	Unsupported Status = "unsupported"
)

// CheckStatus is the outcome of one check.
type CheckStatus string

const (
	Pass CheckStatus = "pass"
	Fail CheckStatus = "fail"
	// NotSupported: the form is one that this program or sigstore-go does not know.
	NotSupported CheckStatus = "unsupported"
	// Skipped: the check does not apply here, or what it needs failed an earlier check.
	Skipped CheckStatus = "skipped"
)

// Names of checks, in the order in which they are made and reported. They are part of the JSON output and of findings,
// so they do not change.
const (
	CheckParse          = "parse"          // within the limits, well-formed JSON of the stated format
	CheckMediaType      = "media-type"     // a known format version
	CheckKey            = "key"            // managed keys: a key is at hand, and it is of a known kind
	CheckCertificate    = "certificate"    // parses, is no authority, has exactly one SAN
	CheckMessageDigest  = "message-digest" // message signatures: the bundle is about this artifact
	CheckSignature      = "signature"      // over the DSSE pre-authentication encoding, or over the artifact
	CheckStatement      = "statement"      // an in-toto statement
	CheckPredicateType  = "predicate-type" // PEP 740: one of the two defined
	CheckPredicate      = "predicate"      // PEP 740 publish: absent, null or {}
	CheckSubject        = "subject"        // names this artifact's digest; PEP 740: exactly one subject
	CheckSubjectName    = "subject-name"   // PEP 740: the same distribution
	CheckEntries        = "transparency-entries"
	CheckLogKnown       = "log-known"       // the trusted root has the log's key
	CheckLogIndex       = "log-index"       // plausible, consistent with the proof, no duplicates
	CheckEntryBody      = "log-entry-body"  // the logged hash, signature and key are the bundle's
	CheckInclusionProof = "inclusion-proof" // RFC 6962 §2.1.1
	CheckCheckpoint     = "checkpoint"      // signed by the log, and it is the proof's tree
	CheckSET            = "signed-entry-timestamp"
	CheckIntegratedTime = "integrated-time" // not in the future, within the certificate's validity
	CheckTimestamp      = "timestamp"       // RFC 3161
	CheckSigningTime    = "signing-time"    // at least one trusted time
	CheckLogValidity    = "log-validity"    // the log's key was valid then
	CheckChain          = "certificate-chain"
	CheckSCT            = "certificate-sct"
	CheckSigstore       = "sigstore-go" // the reference implementation agrees
)

// Check is one thing that was looked at.
type Check struct {
	// Name is one of the constants above. Checks of log entries and timestamps appear once each.
	Name   string      `json:"name"`
	Status CheckStatus `json:"status"`
	// Detail says in words what was found; for passes it may be empty.
	Detail string `json:"detail,omitempty"`
	// Got and Want are the values that were compared, where there are two.
	Got  string `json:"got,omitempty"`
	Want string `json:"want,omitempty"`
}

// Result is everything that verification found out. Fields are filled as far as verification came, also on failure:
// only with Status Verified may they be believed.
type Result struct {
	Status Status  `json:"status"`
	Checks []Check `json:"checks"`
	// Format is "pep740" or "bundle v0.1" to "bundle v0.3".
	Format string `json:"format,omitempty"`
	// Statement is the in-toto statement; nil for message signatures.
	Statement *Statement `json:"statement,omitempty"`
	// StatementSHA256 is the hex digest of StatementRaw, the signed bytes.
	StatementSHA256 string `json:"statement_sha256,omitempty"`
	StatementRaw    []byte `json:"-"`
	// Certificate is the signer's; nil for managed keys.
	Certificate *Certificate `json:"certificate,omitempty"`
	// KeyHint is what a bundle signed by a managed key calls it. It is not authenticated.
	KeyHint string `json:"key_hint,omitempty"`
	// Entries are the transparency log entries, in the bundle's order.
	Entries []Entry `json:"entries,omitempty"`
	// Timestamps are the verified RFC 3161 timestamps.
	Timestamps []Timestamp `json:"timestamps,omitempty"`
	// SignedAt is the earliest time that a log or a timestamp authority vouches for; zero if none does.
	SignedAt time.Time `json:"signed_at,omitzero"`
}

// Failed returns the first check that failed, or nil.
func (r *Result) Failed() *Check { return r.first(Fail) }

// Unsupported returns the first check that met a form it does not know, or nil.
func (r *Result) Unsupported() *Check { return r.first(NotSupported) }

func (r *Result) first(s CheckStatus) *Check {
	for i := range r.Checks {
		if r.Checks[i].Status == s {
			return &r.Checks[i]
		}
	}
	return nil
}

// Statement is an in-toto statement (in-toto attestation specification, v0.1 and v1).
type Statement struct {
	Type          string    `json:"_type"`
	Subjects      []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	// Predicate is the predicate's JSON as signed; nil if the member is absent.
	Predicate json.RawMessage `json:"-"`
}

// Subject is what a statement is about.
type Subject struct {
	Name string `json:"name,omitempty"`
	// Digest maps an algorithm's name to lower-case hex, for example "sha256".
	Digest map[string]string `json:"digest,omitempty"`
}

// Certificate is a signing certificate.
type Certificate struct {
	DER []byte `json:"der"`
	// SHA256 is the hex digest of DER.
	SHA256 string `json:"sha256"`
	// Serial is the serial number in lower-case hex.
	Serial    string    `json:"serial"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	// IssuerKeyHash is the hex SHA-256 over the issuer's SubjectPublicKeyInfo, as in CT (RFC 6962 §3.2). Empty until the
	// chain is verified.
	IssuerKeyHash string `json:"issuer_key_hash,omitempty"`
	// TBSHash is the hex SHA-256 over the TBSCertificate without CT poison and SCT list. With IssuerKeyHash it names the
	// certificate, such that a precertificate and its certificate are one.
	TBSHash string            `json:"tbs_hash"`
	X509    *x509.Certificate `json:"-"`
}

// Entry is one transparency log entry.
type Entry struct {
	// LogID is the hex id of the log's key. Rekor v1's shards share one.
	LogID string `json:"log_id"`
	// Origin is the checkpoint's first line, which names the tree; empty without an inclusion proof.
	Origin string `json:"origin,omitempty"`
	// TreeID is Rekor v1's decimal tree id; empty for other logs.
	TreeID string `json:"tree_id,omitempty"`
	// LogIndex is the index that the log shows: global over Rekor v1's shards.
	LogIndex int64 `json:"log_index"`
	// TreeIndex, TreeSize and RootHash are the proof's: the index counts within the tree.
	TreeIndex int64  `json:"tree_index"`
	TreeSize  int64  `json:"tree_size,omitempty"`
	RootHash  string `json:"root_hash,omitempty"`
	// IntegratedTime is Rekor v1's; it may be believed only if SETVerified. Zero if absent.
	IntegratedTime time.Time `json:"integrated_time,omitzero"`
	Kind           string    `json:"kind"`
	APIVersion     string    `json:"api_version"`
	// Body is the logged entry, byte for byte; its RFC 6962 leaf hash is LeafHash in hex.
	Body     []byte `json:"body"`
	LeafHash string `json:"leaf_hash"`
	// Checkpoint is the signed note that came with the proof, as text.
	Checkpoint string `json:"checkpoint,omitempty"`
	// SETPresent and SETVerified tell of the signed entry timestamp, the log's promise to include the entry.
	SETPresent  bool `json:"set_present"`
	SETVerified bool `json:"set_verified"`
	// InclusionProven says that the proof leads to the root of a checkpoint that the log signed.
	InclusionProven bool `json:"inclusion_proven"`
}

// Timestamp is a verified RFC 3161 timestamp over the signature.
type Timestamp struct {
	// Authority is the authority's URI in the trusted root, or empty if that has none.
	Authority string    `json:"authority"`
	Time      time.Time `json:"time"`
}
