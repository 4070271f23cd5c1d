package audit

import (
	"encoding/json"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// Dossier is what the record holds of the subject of an explanation: a file, or what a finding is about. The bodies of documents
// and leaves are apart from it, by their digests, and so are trusted roots and policy: with these, all of it that can be is
// verified again. It is stored as JSON.
type Dossier struct {
	Finding *Finding        `json:"finding,omitempty"`
	Files   []ExplainedFile `json:"files,omitempty"`
	// Leaves are the log entries and certificates that a finding is about which is not about a file.
	Leaves []ExplainedLeaf `json:"leaves,omitempty"`
	// More says that there were more leaves than are kept here.
	More bool `json:"more_leaves,omitempty"`
}

// ExplainedFile is a distribution file, what its index says and serves about it, and what the record found out of the entries and
// certificates that its attestations name.
type ExplainedFile struct {
	Index       string `json:"index"`
	PyPIProject string `json:"pypi_project"`
	Release     string `json:"release"`
	File        string `json:"file"`
	SHA256      string `json:"sha256"`
	// Listing is its entry in the listing as served.
	Listing    json.RawMessage `json:"listing"`
	UploadedAt time.Time       `json:"uploaded_at,omitzero"`
	FirstSeen  time.Time       `json:"first_seen_at"`
	LastSeen   time.Time       `json:"last_seen_at"`
	RemovedAt  time.Time       `json:"removed_at,omitzero"`
	ReplacedAt time.Time       `json:"replaced_at,omitzero"`
	ReplacedBy string          `json:"replaced_by,omitempty"`
	// Provenance is what the index says of it, Document the digest of the latest one served.
	Provenance    ProvenanceState `json:"provenance"`
	ProvenanceURL string          `json:"provenance_url,omitempty"`
	Document      string          `json:"document_sha256,omitempty"`
	DocumentSeen  time.Time       `json:"document_seen_at,omitzero"`

	// Store is what GitHub's attestation store has of it; nil where it was never asked.
	Store *ExplainedStore `json:"github_store,omitempty"`

	Entries      []ExplainedEntry       `json:"entries,omitempty"`
	Certificates []ExplainedCertificate `json:"certificates,omitempty"`
}

// ExplainedStore is what a repository's attestation store at GitHub has of a file.
type ExplainedStore struct {
	State     StoreState `json:"state,omitempty"` // "" while it has not answered
	CheckedAt time.Time  `json:"checked_at,omitzero"`
	// Failure describes the requests that failed since it last answered.
	Failure string            `json:"failure,omitempty"`
	Bundles []ExplainedBundle `json:"bundles,omitempty"`
}

// ExplainedBundle is a Sigstore bundle of the store, whose body is among the documents.
type ExplainedBundle struct {
	SHA256    string    `json:"sha256"`
	FirstSeen time.Time `json:"first_seen_at"`
	// LastSeen is when the store last listed it for the file, zero where another file's statement names this one too; GoneAt when
	// it first did not any more.
	LastSeen time.Time `json:"last_seen_at,omitzero"`
	GoneAt   time.Time `json:"gone_at,omitzero"`
}

// ExplainedEntry is what the record found out of a log entry that an attestation names.
type ExplainedEntry struct {
	Origin   string `json:"origin"`
	Index    int64  `json:"index"`
	LeafHash string `json:"leaf_hash"`
	// Asked says that the log is asked what it has in its place; Outcome is what came of that, with its proof.
	Asked     bool         `json:"asked,omitempty"`
	Outcome   EntryOutcome `json:"outcome,omitempty"`
	OutcomeAt time.Time    `json:"outcome_since,omitzero"`
	Proof     *EntryProof  `json:"proof,omitempty"`
	// Gossip is what the checkpoint is that the bundle carries; Heard says that there is one to be related.
	Heard  bool          `json:"heard,omitempty"`
	Gossip GossipOutcome `json:"gossip,omitempty"`
	// Read says that the entry is within what was read, and proven complete, of its log.
	Read bool `json:"read,omitempty"`
}

// ExplainedCertificate is what the record found out of a signing certificate.
type ExplainedCertificate struct {
	TBSSHA256 string             `json:"tbs_sha256"`
	SHA256    string             `json:"sha256,omitempty"`
	Promises  []ExplainedPromise `json:"promises,omitempty"`
}

// ExplainedPromise is what came of a CT log's promise to include a certificate.
type ExplainedPromise struct {
	LogID   string        `json:"log_id,omitempty"`
	Origin  string        `json:"origin,omitempty"`
	Outcome LookupOutcome `json:"outcome"`
	Problem string        `json:"problem,omitempty"`
	AskedAt time.Time     `json:"asked_at,omitzero"`
}

// ExplainedLeaf is a log's leaf that concerns a watched name.
type ExplainedLeaf struct {
	Origin      string    `json:"origin"`
	Index       uint64    `json:"index"`
	GlobalIndex uint64    `json:"global_index"`
	LeafHash    string    `json:"leaf_hash"`
	Kind        HitKind   `json:"kind"`
	FirstSeen   time.Time `json:"first_seen_at"`
	// Proven says that the record proved it; Proof is the proof where the leaf was found by name, and nil where the range was
	// read that it is in.
	Proven bool        `json:"proven"`
	Proof  *EntryProof `json:"proof,omitempty"`
	// Checkpoint is the one that the range was proven against, as it was served.
	Checkpoint []byte `json:"checkpoint,omitempty"`
	// Certificates are the digests of the TBS of those that concern a watched name, by the project that it is the name of.
	Certificates map[string]string `json:"certificates,omitempty"`
	// Promises are those of its certificates.
	Promises []ExplainedCertificate `json:"promises,omitempty"`
	// Files are those whose attestations name the entry, or were made with its certificate: the first few.
	Files []AttestedFile `json:"files,omitempty"`
}

// Explainer makes explanations of dossiers, without any network: it is what explain prints of the record, and what is recomputed
// from a folder of evidence.
type Explainer struct {
	Archive Archive
	Roots   *trust.Set
	// Policies are by the configured project's name, and Projects says which of these an index project belongs to, as
	// "INDEX/NAME".
	Policies map[string]identity.Policy
	Projects map[string]string
}

// Explanation is what a dossier shows.
type Explanation struct {
	Finding      *Finding      `json:"finding,omitempty"`
	Examinations []Examination `json:"examinations,omitempty"`
	Chains       []Link        `json:"chains,omitempty"`
	// More says that there are more leaves than these.
	More bool `json:"more_leaves,omitempty"`
}

// Explain makes an explanation. The error is the archive's.
func (x *Explainer) Explain(d Dossier) (Explanation, error) {
	e := Explanation{Finding: d.Finding, More: d.More}
	if d.Finding != nil {
		var err error
		if e.Examinations, err = Examine(*d.Finding, x.Archive); err != nil {
			return e, err
		}
	}
	for _, f := range d.Files {
		link, err := x.file(f)
		if err != nil {
			return e, err
		}
		e.Chains = append(e.Chains, link)
	}
	for _, l := range d.Leaves {
		link, err := x.leaf(l)
		if err != nil {
			return e, err
		}
		e.Chains = append(e.Chains, link)
	}
	return e, nil
}

// Confirmed says what the explanation shows, and why where that is not all that it says: failed where evidence gives something
// else than the finding says, unknown where a piece of it cannot be computed again. An explanation of a file says no more than
// its chains, and is ok.
func (e Explanation) Confirmed() (status LinkStatus, reasons []string) {
	status = LinkOK
	for _, x := range e.Examinations {
		if x.Confirmed {
			continue
		}
		reasons = append(reasons, oneLine(x.String(), 400))
		if x.open {
			status = worse(status, LinkUnknown)
		} else {
			status = worse(status, LinkFailed)
		}
	}
	return status, reasons
}

// policyOf is the policy of a configured project.
func (x *Explainer) policyOf(project string) chainPolicy {
	p, ok := x.Policies[project]
	return chainPolicy{p, ok}
}

// rekor1Entry proves an entry of Rekor v1 again, of its stored proof.
func (x *Explainer) rekor1Entry(p *EntryProof, body []byte) (*rekor.V1Entry, *rekor.V1Keys, error) {
	keys, err := x.Archive.Rekor1(p.Origin)
	if err != nil {
		return nil, nil, err
	}
	entry, err := p.Entry(body)
	if err != nil {
		return nil, nil, err
	}
	return entry, keys, entry.Verify(keys)
}
