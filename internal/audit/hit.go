package audit

import (
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
)

// HitKind says what a leaf is that concerns a watched name.
type HitKind string

// The kinds of hits.
const (
	HitEntry       HitKind = "entry"       // a log entry of Rekor
	HitCertificate HitKind = "certificate" // a certificate or precertificate in a CT log
	HitUnreadable  HitKind = "unreadable"  // mentions a watched name and cannot be decoded
)

// LogHit is what is kept of a leaf that concerns a watched name.
type LogHit struct {
	Kind HitKind `json:"kind"`
	// Class says what it has to do with the watched name, Project whose name that is ("" where it is nobody's alone): those
	// of its first certificate or key that has to do with one.
	Class   string `json:"class"`
	Project string `json:"project,omitempty"`
	// Leaf is what the tree commits to.
	Leaf []byte `json:"-"`
	// GlobalIndex is Rekor v1's index over all of its trees; 0 for entries of other logs, which have none.
	GlobalIndex uint64 `json:"global_index,omitempty"`
	// Entry is what the entry says; nil for certificates and for what cannot be decoded.
	EntryKind    string       `json:"entry_kind,omitempty"`
	APIVersion   string       `json:"api_version,omitempty"`
	Hashes       []rekor.Hash `json:"hashes,omitempty"`
	Certificates []HitCert    `json:"certificates,omitempty"`
	// Keys are the hex SHA-256 fingerprints of watched keys that signed it.
	Keys []string `json:"keys,omitempty"`
	// Problem says why it could not be decoded in full.
	Problem string `json:"problem,omitempty"`
	// LoggedAt is the leaf's own timestamp in CT, and in Rekor v1 the time that the log signed with it; zero elsewhere.
	LoggedAt time.Time `json:"logged_at,omitzero"`
}

// HitCert is a certificate in a hit: the very one that matched.
type HitCert struct {
	// Match is what the certificate itself has to do with a watched name.
	Match         identity.WatchMatch `json:"match"`
	IssuerKeyHash string              `json:"issuer_key_hash"` // "" where no chain was verified
	TBSSHA256     string              `json:"tbs_sha256"`
	SHA256        string              `json:"sha256,omitempty"` // "" for a precertificate
	Serial        string              `json:"serial"`
	NotBefore     time.Time           `json:"not_before"`
	NotAfter      time.Time           `json:"not_after"`
	Identity      *identity.Identity  `json:"identity,omitempty"`
	Problem       string              `json:"problem,omitempty"` // why the identity cannot be read, or no chain verified
	Chained       bool                `json:"chained"`
	DER           []byte              `json:"-"` // nil for a precertificate
}

// SAN is the subject of the hit's first readable certificate.
func (h LogHit) SAN() string {
	for _, c := range h.Certificates {
		if c.Identity != nil {
			return c.Identity.SAN
		}
	}
	return ""
}

// Chained reports whether a certificate of the hit chains to a trusted root.
func (h LogHit) Chained() bool {
	for _, c := range h.Certificates {
		if c.Chained {
			return true
		}
	}
	return false
}
