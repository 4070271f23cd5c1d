package audit

import (
	"crypto"
	"errors"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// verificationRules changes whenever verifying the same document with the same trusted roots may give other facts, so
// that documents in the record are verified again.
const verificationRules = "3"

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
func (v *Verifier) Document(body []byte, filename, sha256 string) Verification {
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
			r := v.attest.VerifyAttestation(raw, attest.Artifact{Name: filename, SHA256: sha256})
			out.Attestations = append(out.Attestations, factsOf(i, k, b.Publisher, r))
		}
	}
	return out
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
	}
	for _, e := range r.Entries {
		if e.InclusionProven {
			f.Entries = append(f.Entries, LogRef{Origin: e.Origin, Index: e.TreeIndex, GlobalIndex: e.LogIndex})
			out.Entries = append(out.Entries, e)
		}
	}
	out.Facts = f
	return out
}
