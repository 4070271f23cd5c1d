package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// PromiseFacts is what the record holds of one promise that a certificate carries, and of which no log has shown that it was
// kept.
type PromiseFacts struct {
	TBSSHA256, IssuerKeyHash string
	DER                      []byte
	Identity                 *identity.Identity
	FirstSeen                time.Time // of the certificate
	// Project is that of an entry that shows it, "" where there is none; Files are what attestations of it are about.
	Project string
	Entries int
	Files   []AttestedFile // the first few

	LogID, Origin string // Origin is "" where the record has no log with that key
	Outcome       LookupOutcome
	Problem       string
	LeafHash      string
	// PromisedAt is the SCT's timestamp, AskedAt when the log last answered, and FailingSince when it began not to.
	PromisedAt, AskedAt, FailingSince time.Time
	// TreeSize, TreeHeadAt and TreeHead are the tree head that the leaf was looked for under; TreeHead is as it was served.
	TreeSize   uint64
	TreeHeadAt time.Time
	TreeHead   []byte
}

// AttestedFile is a distribution file that has an attestation made with a certificate.
type AttestedFile struct {
	PyPIProject string `json:"pypi_project"` // "pypi/onnx"
	File        string `json:"file"`
	SHA256      string `json:"sha256"`
}

// ctEvidence is what a stranger needs to look at a promise again.
type ctEvidence struct {
	Certificate   []byte         `json:"certificate"` // DER
	IssuerKeyHash string         `json:"issuer_key_hash"`
	LogID         string         `json:"log_id,omitempty"`
	LeafHash      string         `json:"leaf_hash,omitempty"`
	Origin        string         `json:"log_origin,omitempty"`
	TreeHead      []byte         `json:"tree_head,omitempty"` // as it was served
	Entries       int            `json:"entries"`
	Files         []AttestedFile `json:"files,omitempty"`
}

// Promise judges a promise that was not shown to be kept. The rule's grace period is the logs' merge delay (RFC 6962 §3): a
// leaf that is missing under a tree head which is younger than the promise by it is missing for good.
func (j *Judge) Promise(p PromiseFacts, policies map[string]identity.Policy) Assessment {
	var a Assessment
	s := Subject{Project: p.project(policies), Certificate: p.TBSSHA256}
	delay := j.Rules[UnloggedCertificate].Grace
	f := Finding{Identity: identityRef(p.Identity), Expected: "every certificate in the certificate transparency log that promised it"}
	switch {
	case p.Outcome == LookupUnpromised:
		f.Summary = fmt.Sprintf("%s, which %s, was promised to no certificate transparency log: %s", p.who(), p.where(), oneLine(p.Problem, 300))
		f.Evidence = []Evidence{p.evidence(p.Problem)}
		a.wrong(j, UnloggedCertificate, s, p.FirstSeen, f)
	case p.Outcome == LookupMissing && !p.TreeHeadAt.Before(p.PromisedAt.Add(delay)):
		detail := fmt.Sprintf("promised at %s; the tree of size %d, signed at %s, does not have leaf %s: %s", stamp(p.PromisedAt), p.TreeSize, stamp(p.TreeHeadAt), p.LeafHash, p.Problem)
		f.Summary = fmt.Sprintf("%s, which %s, is not in log %s, which promised it", p.who(), p.where(), p.log())
		f.Evidence = []Evidence{p.evidence(detail)}
		a.wrong(j, UnloggedCertificate, s, p.PromisedAt, f)
	case j.Now.Before(p.PromisedAt.Add(delay)):
		a.Waiting = append(a.Waiting, Waiting{Rule: UnloggedCertificate, Subject: s, Until: p.PromisedAt.Add(delay)})
	default:
		a.unknown(s, fmt.Sprintf("whether log %s has it: %s", p.log(), oneLine(p.Problem, 300)), UnloggedCertificate)
	}
	if p.Outcome == LookupNoSuchLog {
		a.wrong(j, CoverageGap, s, p.FailingSince, Finding{Identity: identityRef(p.Identity),
			Summary:  fmt.Sprintf("%s, which %s, was promised to log %s, which no trusted root names", p.who(), p.where(), p.LogID),
			Expected: "a log that can be asked whether it kept its promise",
			Evidence: []Evidence{p.evidence("the signed certificate timestamp names log " + p.LogID)}})
	}
	return a
}

// project is whose the certificate is: the project whose name an entry claims, or whose file it signed, or whose repository
// it names.
func (p *PromiseFacts) project(policies map[string]identity.Policy) string {
	if p.Project != "" {
		return p.Project
	}
	names := slices.Sorted(maps.Keys(policies))
	for _, name := range names {
		for _, g := range policies[name].Grades {
			if slices.ContainsFunc(p.Files, func(f AttestedFile) bool { return slices.Contains(g.Publishes, f.PyPIProject) }) {
				return name
			}
		}
	}
	for _, name := range names {
		if p.Identity != nil && strings.EqualFold(p.Identity.Repository(), policies[name].Repository.Name) {
			return name
		}
	}
	return ""
}

func (p *PromiseFacts) who() string {
	if p.Identity == nil {
		return "a certificate whose identity cannot be read"
	}
	return "a certificate of " + oneLine(p.Identity.Describe(), 300)
}

// where says what shows the certificate. How many entries it signed stands in the evidence: more of them are no news.
func (p *PromiseFacts) where() string {
	switch {
	case len(p.Files) > 0:
		return "signed " + oneLine(p.Files[0].File, 200)
	case p.Entries > 0:
		return "signed an entry of a log"
	}
	return "an attestation shows"
}

// log names the log.
func (p *PromiseFacts) log() string {
	if p.Origin != "" {
		return p.Origin
	}
	return p.LogID
}

func (p *PromiseFacts) evidence(detail string) Evidence {
	e := Evidence{Kind: "ct-lookup", URL: p.Origin, At: p.AskedAt, Detail: oneLine(detail, 600)}
	data, err := json.Marshal(ctEvidence{Certificate: p.DER, IssuerKeyHash: p.IssuerKeyHash, LogID: p.LogID, LeafHash: p.LeafHash, Origin: p.Origin,
		TreeHead: p.TreeHead, Entries: p.Entries, Files: p.Files})
	if err == nil { // made of texts and bytes, which always encode
		e.Data = data
	}
	return e
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
