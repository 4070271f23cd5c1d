package audit

import (
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// verificationRules changes whenever verifying the same document with the same trusted roots may give other facts, so
// that documents in the record are verified again.
const verificationRules = "6"

// Verifier turns provenance documents into facts.
type Verifier struct {
	// Name names the trusted roots and the rules of verification.
	Name   string
	attest *attest.Verifier
}

// NewVerifier makes a verifier over trusted roots with the given digest.
func NewVerifier(v *attest.Verifier, rootsDigest string) *Verifier {
	return &Verifier{Name: verificationRules + ":" + rootsDigest, attest: v}
}

// Document verifies every attestation of a provenance document against a distribution file's name and hex SHA-256.
func (v *Verifier) Document(body []byte, filename, digest string) Verification {
	out := Verification{VerifiedWith: v.Name}
	doc, err := attest.ParseProvenance(body)
	switch {
	case errors.Is(err, attest.ErrNothingAttested):
		return out
	case err != nil:
		out.Problem = err.Error()
		return out
	}
	for i, b := range doc.Bundles {
		for k, raw := range b.Attestations {
			r := v.attest.VerifyAttestation(raw, attest.Artifact{Name: filename, SHA256: digest})
			out.Attestations = append(out.Attestations, factsOf(i, k, b.Publisher, r))
		}
	}
	return out
}

// Bundle verifies a bundle of GitHub's store against a distribution file's hex SHA-256. Its name is not compared: what a
// bundle calls its subjects is the workflow's choice.
func (v *Verifier) Bundle(body []byte, digest string) Verification {
	r := v.attest.VerifyBundle(body, attest.Artifact{SHA256: digest})
	a := factsOf(0, 0, attest.Publisher{}, r)
	a.Facts.Release = isRelease(r)
	if r.Statement != nil {
		a.Digests = subjectDigests(r.Statement)
	}
	return Verification{VerifiedWith: v.Name, Attestations: []VerifiedAttestation{a}}
}

// Stored verifies a document of the record again.
func (v *Verifier) Stored(d StoredDocument) Verification {
	if d.Bundle {
		return v.Bundle(d.Body, d.SHA256)
	}
	return v.Document(d.Body, d.Filename, d.SHA256)
}

// What GitHub signs of the assets of immutable releases.
const (
	releaseSigner    = "https://dotcom.releases.github.com"
	releasePredicate = "https://in-toto.io/attestation/release/"
)

// isRelease reports whether an attestation is GitHub's own of a release, by its predicate and its signer's name. Both can be
// claimed by anybody, to no effect: such an attestation vouches for nothing.
func isRelease(r attest.Result) bool {
	if r.Statement == nil || r.Certificate == nil || !strings.HasPrefix(r.Statement.PredicateType, releasePredicate) {
		return false
	}
	uris := r.Certificate.X509.URIs
	return len(uris) == 1 && uris[0].String() == releaseSigner
}

// subjectDigests are the SHA-256 digests that a statement is about.
func subjectDigests(s *attest.Statement) []string {
	var all []string
	for _, subject := range s.Subjects {
		digest := strings.ToLower(subject.Digest["sha256"])
		if sum, err := hex.DecodeString(digest); err == nil && len(sum) == sha256.Size {
			all = append(all, digest)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Signature verifies one attestation or Sigstore bundle by itself; kind is attest.Sniff's. key, where there is one, is
// the managed key that a bundle was signed with.
func (v *Verifier) Signature(kind string, raw []byte, key crypto.PublicKey, a attest.Artifact) VerifiedAttestation {
	var r attest.Result
	switch {
	case kind == attest.KindAttestation:
		r = v.attest.VerifyAttestation(raw, a)
	case key != nil:
		r = v.attest.VerifyBundleWithKey(raw, key, a)
	default:
		r = v.attest.VerifyBundle(raw, a)
	}
	return factsOf(0, 0, attest.Publisher{}, r)
}

// factsOf keeps of a verification what rules, people and other ledgers need.
func factsOf(bundle, index int, publisher attest.Publisher, r attest.Result) VerifiedAttestation {
	f := AttestationFacts{Bundle: bundle, Index: index, Publisher: publisher, Status: r.Status, Checks: r.Checks,
		StatementSHA256: r.StatementSHA256, SignedAt: r.SignedAt}
	out := VerifiedAttestation{Certificate: r.Certificate, Statement: statementOf(r)}
	if r.Statement != nil {
		f.PredicateType = r.Statement.PredicateType
	}
	if r.Certificate != nil {
		f.Certificate = r.Certificate.SHA256
		id, err := identity.FromCertificate(r.Certificate.X509)
		if err != nil {
			f.IdentityProblem = err.Error()
		} else {
			f.Identity, out.Identity = &id, &id
		}
	}
	if f.PredicateType == attest.PredicateSLSA && f.Identity != nil {
		var err error
		if f.Contradictions, err = identity.CheckSLSAPredicate(r.Statement.Predicate, *f.Identity); err != nil {
			f.PredicateError = err.Error()
		}
		if read, err := identity.ReadSLSAPredicate(r.Statement.Predicate); err == nil {
			f.SLSA = &read
		}
	}
	for _, e := range r.Entries {
		if e.InclusionProven {
			f.Entries = append(f.Entries, LogRef{Origin: e.Origin, Index: e.TreeIndex, GlobalIndex: e.LogIndex})
			out.Entries = append(out.Entries, e)
		}
	}
	f.Unlogged = r.Status == attest.Verified && r.Certificate != nil && len(r.Entries) == 0
	out.Facts, out.AllEntries = f, r.Entries
	return out
}
