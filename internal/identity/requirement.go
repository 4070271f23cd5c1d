package identity

import (
	"strings"
)

// Requirement is what a person asks of an identity on the spot, instead of a policy. Empty fields ask nothing.
type Requirement struct {
	// SAN and Issuer are compared byte for byte.
	SAN, Issuer string
	// Repository is "OWNER/NAME": both signer and source must be it, and the issuer GitHub Actions unless Issuer says
	// otherwise. Workflow is a file name below .github/workflows/, Ref a whole Git ref.
	Repository, Workflow, Ref string
}

// Empty reports whether nothing is asked.
func (r Requirement) Empty() bool { return r == Requirement{} }

// Check returns what an identity misses, nil where it has all that is asked.
func (r Requirement) Check(id Identity) []Mismatch {
	var missed []Mismatch
	need := func(field, got, want string, equal bool) {
		if want != "" && !equal {
			missed = append(missed, Mismatch{Field: field, Got: got, Want: want})
		}
	}
	need("san", id.SAN, r.SAN, id.SAN == r.SAN)
	issuer := r.Issuer
	if issuer == "" && (r.Repository != "" || r.Workflow != "" || r.Ref != "") {
		// Another issuer may put any repository into its certificates.
		issuer = GitHubActionsIssuer
	}
	need("issuer", id.Issuer, issuer, id.Issuer == issuer)
	need("source_repository_uri", id.Repository(), r.Repository, strings.EqualFold(id.Repository(), r.Repository))
	signer := ""
	if w, err := ParseWorkflowURI(id.SAN); err == nil {
		signer = w.Repository
	}
	need("san", id.SAN, r.Repository, strings.EqualFold(signer, r.Repository))
	need("workflow", id.Workflow(), r.Workflow, id.Workflow() == r.Workflow)
	need("source_repository_ref", id.Ref(), r.Ref, id.Ref() == r.Ref)
	return missed
}
