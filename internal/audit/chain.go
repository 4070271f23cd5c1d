package audit

import (
	"fmt"
	"strings"

	"github.com/rekoncile/rekoncile/internal/attest"
)

// LinkKind says what a link of a chain is.
type LinkKind string

// The kinds of links, in their order.
const (
	LinkFile        LinkKind = "file"
	LinkAttestation LinkKind = "attestation"
	LinkEntry       LinkKind = "entry"
	LinkCertificate LinkKind = "certificate"
	LinkPolicy      LinkKind = "policy"
)

// LinkStatus is the outcome of a check, and of a link: the worst of its checks.
type LinkStatus string

// The statuses, from the worst on.
const (
	LinkFailed  LinkStatus = "failed"
	LinkUnknown LinkStatus = "unknown" // neither: it could not be found out, or is of a form that is not supported
	LinkOK      LinkStatus = "ok"
	LinkSkipped LinkStatus = "skipped" // it does not apply, or what it needs failed an earlier check
)

// Link is one link of a chain: what it is, what was checked of it, and the links that hang on it. A file hangs on its
// attestations, these on their log entries and their certificate, and a certificate on the policy.
type Link struct {
	Kind   LinkKind    `json:"link"`
	Name   string      `json:"name"`
	Status LinkStatus  `json:"status"`
	Checks []LinkCheck `json:"checks"`
	// WouldAccept are commands of other tools that accept what this link refuses.
	WouldAccept []string `json:"would_accept,omitempty"`
	Links       []Link   `json:"links,omitempty"`
}

// LinkCheck is one thing that was looked at.
type LinkCheck struct {
	Name   string     `json:"name"`
	Status LinkStatus `json:"status"`
	Detail string     `json:"detail,omitempty"`
	// Got and Want are the values that were compared, where there are two.
	Got  string `json:"got,omitempty"`
	Want string `json:"want,omitempty"`
	// Recorded marks what was found out with a network once and cannot be computed again without: the record's word.
	Recorded bool `json:"recorded,omitempty"`
}

// add appends a check.
func (l *Link) add(c LinkCheck) {
	c.Detail, c.Got, c.Want = oneLine(c.Detail, 500), oneLine(c.Got, 400), oneLine(c.Want, 400)
	l.Checks = append(l.Checks, c)
}

func (l *Link) check(name string, status LinkStatus, format string, args ...any) {
	l.add(LinkCheck{Name: name, Status: status, Detail: fmt.Sprintf(format, args...)})
}

// recorded appends what the record says.
func (l *Link) recorded(name string, status LinkStatus, format string, args ...any) {
	l.add(LinkCheck{Name: name, Status: status, Detail: fmt.Sprintf(format, args...), Recorded: true})
}

// hang hangs a link on this one.
func (l *Link) hang(below Link) { l.Links = append(l.Links, below) }

// conclude sets the link's status, of its own checks alone.
func (l *Link) conclude() Link {
	l.Status = LinkOK
	for _, c := range l.Checks {
		l.Status = worse(l.Status, c.Status)
	}
	if l.Checks == nil {
		l.Checks = []LinkCheck{}
	}
	return *l
}

// holds is the status of the link with all that hangs on it, but for what the record has not found out yet: a server that was
// not asked takes nothing away from a signature.
func (l Link) holds() LinkStatus {
	status := LinkOK
	for _, c := range l.Checks {
		if !c.Recorded || c.Status == LinkFailed {
			status = worse(status, c.Status)
		}
	}
	for _, below := range l.Links {
		status = worse(status, below.holds())
	}
	return status
}

// worse is the worse of two statuses; what was skipped makes nothing worse.
func worse(a, b LinkStatus) LinkStatus {
	for _, s := range []LinkStatus{LinkFailed, LinkUnknown, LinkOK} {
		if a == s || b == s {
			return s
		}
	}
	return LinkSkipped
}

// linkStatuses are the outcomes of an attestation's checks as those of a link.
func linkStatus(s attest.CheckStatus) LinkStatus {
	switch s {
	case attest.Pass:
		return LinkOK
	case attest.Fail:
		return LinkFailed
	case attest.Skipped:
		return LinkSkipped
	}
	return LinkUnknown
}

// entryChecks are the checks that are made of each log entry, from the first on; those of times follow later.
func isEntryCheck(name string) bool {
	switch name {
	case attest.CheckLogKnown, attest.CheckLogIndex, attest.CheckEntryBody, attest.CheckInclusionProof, attest.CheckCheckpoint, attest.CheckSET,
		attest.CheckIntegratedTime, attest.CheckLogValidity:
		return true
	}
	return false
}

// isCertificateCheck tells the checks that are about the signer's certificate.
func isCertificateCheck(name string) bool {
	switch name {
	case attest.CheckCertificate, attest.CheckChain, attest.CheckSCT:
		return true
	}
	return false
}

// linkCheck is a check of an attestation as that of a link.
func linkCheck(c attest.Check) LinkCheck {
	return LinkCheck{Name: c.Name, Status: linkStatus(c.Status), Detail: c.Detail, Got: c.Got, Want: c.Want}
}

// splitChecks deals an attestation's checks out to itself, to its log entries and to its certificate. Each entry's checks begin
// with whether its log is known, and those of its times come later, in the order of the entries.
func splitChecks(checks []attest.Check) (own []LinkCheck, entries [][]LinkCheck, certificate []LinkCheck) {
	seen := map[string]int{}
	for _, c := range checks {
		switch {
		case isCertificateCheck(c.Name):
			certificate = append(certificate, linkCheck(c))
		case !isEntryCheck(c.Name):
			own = append(own, linkCheck(c))
		case c.Name == attest.CheckLogKnown:
			entries = append(entries, []LinkCheck{linkCheck(c)})
		case c.Name == attest.CheckIntegratedTime || c.Name == attest.CheckLogValidity:
			if i := seen[c.Name]; i < len(entries) {
				entries[i] = append(entries[i], linkCheck(c))
			}
			seen[c.Name]++
		case len(entries) > 0:
			entries[len(entries)-1] = append(entries[len(entries)-1], linkCheck(c))
		default:
			own = append(own, linkCheck(c))
		}
	}
	return own, entries, certificate
}

// predicateName is a predicate type in a word where it is a known one.
func predicateName(predicateType string) string {
	switch predicateType {
	case attest.PredicatePublish:
		return "publish"
	case attest.PredicateSLSA:
		return "SLSA provenance"
	case "":
		return "no statement"
	}
	return oneLine(strings.TrimPrefix(predicateType, "https://"), 100)
}
