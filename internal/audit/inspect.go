package audit

import (
	"fmt"
	"strings"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// Verdict is the answer about one file that somebody asks about, outside of any pass.
type Verdict string

// The verdicts.
const (
	Good    Verdict = "good"
	Bad     Verdict = "bad"
	Unclear Verdict = "unknown" // neither: something could not be verified, or nobody judged
)

// Inspection is what verifying one file gave.
type Inspection struct {
	Verdict      Verdict             `json:"verdict"`
	Reasons      []string            `json:"reasons"`
	Grade        string              `json:"grade,omitempty"`
	Attestations []InspectedIdentity `json:"attestations"`
}

// InspectedIdentity is one attestation or bundle, and who judged its identity.
type InspectedIdentity struct {
	AttestationFacts
	// JudgedBy is "policy", "flags", "key" or "nobody".
	JudgedBy string `json:"judged_by"`
}

// Inspect gives a verdict on a file's attestations with the configured policy: the same rules as in a pass. whole says
// that the attestations are all that the index serves, so that a missing one is a fault.
func (j *Judge) Inspect(p ProjectFacts, f FileFacts, whole bool) Inspection {
	verdict := j.File(p, f)
	x := Inspection{Verdict: Good, Grade: verdict.Grade}
	for _, finding := range verdict.Findings {
		switch {
		case finding.Rule == NoProvenance && !whole:
		case finding.Rule == CoverageGap:
			x.unclear("%s", finding.Summary)
		default:
			x.bad("%s: %s", finding.Rule, finding.Summary)
		}
	}
	if verdict.State == FileLegacy || verdict.State == FileUnknown {
		x.unclear("the file is %s: nothing vouches for it", verdict.State)
	}
	x.add(f.Provenance.Document, "policy")
	if x.Verdict == Good && verdict.Grade == "" {
		x.unclear("no attestation is of a publishing grade")
	}
	return x
}

// InspectFor gives a verdict on attestations with what somebody asks for on the spot. byKey says that a trusted key,
// not a certificate, stands for the identity.
func InspectFor(doc *DocumentFacts, asked identity.Requirement, byKey bool) Inspection {
	x := Inspection{Verdict: Good}
	judge := "flags"
	switch {
	case byKey:
		judge = "key"
	case asked.Empty():
		judge = "nobody"
	}
	x.add(doc, judge)
	if len(doc.Attestations) == 0 {
		x.bad("there is no attestation")
	}
	for _, at := range doc.Attestations {
		c := at.Failed()
		switch {
		case at.Status == attest.Failed:
			x.bad("%s: %s", c.Name, describeCheck(*c))
		case at.Status != attest.Verified:
			x.unclear("%s: %s", c.Name, describeCheck(*c))
		case at.PredicateError != "":
			x.bad("predicate: %s", at.PredicateError)
		case len(at.Contradictions) > 0:
			x.bad("the SLSA predicate contradicts the certificate: %s", at.Contradictions[0])
		case byKey:
		case at.Identity == nil:
			x.bad("the certificate's identity cannot be read: %s", at.IdentityProblem)
		case asked.Empty():
			x.unclear("the signature is good, by %s; nobody judged that identity: give --repository or --identity, or configure a policy", at.Identity.Describe())
		default:
			for _, m := range asked.Check(*at.Identity) {
				x.bad("%s", m)
			}
		}
	}
	return x
}

func (x *Inspection) add(doc *DocumentFacts, judge string) {
	x.Attestations = []InspectedIdentity{}
	if doc == nil {
		return
	}
	for _, at := range doc.Attestations {
		x.Attestations = append(x.Attestations, InspectedIdentity{at, judge})
	}
}

func (x *Inspection) bad(format string, args ...any) {
	x.Verdict = Bad
	x.Reasons = append(x.Reasons, oneLine(fmt.Sprintf(format, args...), 600))
}

func (x *Inspection) unclear(format string, args ...any) {
	if x.Verdict == Good {
		x.Verdict = Unclear
	}
	x.Reasons = append(x.Reasons, oneLine(fmt.Sprintf(format, args...), 600))
}

// String is the verdict with its reasons in one line.
func (x Inspection) String() string {
	if len(x.Reasons) == 0 {
		return string(x.Verdict)
	}
	return string(x.Verdict) + ": " + strings.Join(x.Reasons, "; ")
}
