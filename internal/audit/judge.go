package audit

import (
	"fmt"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// Judge holds facts against one project's policy at one instant. It is pure: the same facts, policy, rules and time
// give the same assessment.
type Judge struct {
	Policy identity.Policy
	Rules  RuleSet
	// RemovalsExpected says that this PyPI project's files are removed on purpose from time to time.
	RemovalsExpected bool
	// StoreRead says that GitHub's attestation store is read: what it did not answer yet is unknown, and not unread.
	StoreRead bool
	// Repository is what GitHub says of the policy's repository; First says that this is the PyPI project at which it is judged.
	Repository RepositoryFacts
	First      bool
	Now        time.Time
}

// Assessment is what judging gave: findings that hold, what stayed unknown, and what is still within its grace
// period. Whatever is in none of the three is fine.
type Assessment struct {
	Findings []Finding
	Unknowns []Unknown
	Waiting  []Waiting
}

// StatusQuarantined is PEP 792's marker of a project whose files are hidden.
const StatusQuarantined = "quarantined"

// Unknown is a rule that could not be judged for a subject. Findings of the same key are left as they are.
type Unknown struct {
	Rule    string  `json:"rule"`
	Subject Subject `json:"subject"`
	Reason  string  `json:"reason"`
	// Unread marks a ledger that is not read at all, as against one that failed to answer.
	Unread bool `json:"unread,omitempty"`
}

// Waiting is a condition that holds but not yet for the rule's grace period.
type Waiting struct {
	Rule    string    `json:"rule"`
	Subject Subject   `json:"subject"`
	Until   time.Time `json:"until"`
}

// merge appends what other holds.
func (a *Assessment) merge(other Assessment) {
	a.Findings = append(a.Findings, other.Findings...)
	a.Unknowns = append(a.Unknowns, other.Unknowns...)
	a.Waiting = append(a.Waiting, other.Waiting...)
}

// wrong records that a rule's condition holds for a subject since the given instant. Two reasons for one finding are one
// finding: the first tells, the other is evidence.
func (a *Assessment) wrong(j *Judge, rule string, s Subject, since time.Time, f Finding) {
	r := j.Rules[rule]
	if until := since.Add(r.Grace); j.Now.Before(until) {
		a.Waiting = append(a.Waiting, Waiting{Rule: rule, Subject: s, Until: until})
		return
	}
	for i := range a.Findings {
		if known := &a.Findings[i]; known.Rule == rule && known.Subject == s {
			known.Evidence = append(known.Evidence, f.Evidence...)
			return
		}
	}
	f.Rule, f.Subject = rule, s
	f.ID = FindingID(Key(rule, s))
	if f.Severity == "" {
		f.Severity = r.Severity
	}
	if f.Advice == "" {
		f.Advice = r.Advice
	}
	a.Findings = append(a.Findings, f)
}

// unknown records rules that could not be judged.
func (a *Assessment) unknown(s Subject, reason string, rules ...string) {
	for _, rule := range rules {
		a.Unknowns = append(a.Unknowns, Unknown{Rule: rule, Subject: s, Reason: reason})
	}
}

// subject names a PyPI project; its callers narrow it to a release or a file.
func (p ProjectFacts) subject() Subject {
	return Subject{Project: p.Project, Index: p.Index, PyPIProject: p.Name}
}

// ref is the project as grades name it in "publishes".
func (p ProjectFacts) ref() string { return p.Index + "/" + p.Name }

// Project judges what is known of a PyPI project as a whole. failing are those of its files whose provenance could
// not be asked for.
func (j *Judge) Project(p ProjectFacts, failing []FileFacts) Assessment {
	var a Assessment
	s := p.subject()
	if p.Status == StatusQuarantined {
		a.wrong(j, ProjectQuarantined, s, p.ChangedAt, Finding{
			Summary:  fmt.Sprintf("%s is quarantined%s", p.ref(), because(p.StatusReason)),
			Expected: "an active project",
			Evidence: []Evidence{{Kind: "project-status", URL: p.URL, At: p.ChangedAt, Detail: p.Status + because(p.StatusReason)}},
		})
	}
	if n := len(p.Ownership); n > 0 {
		first, last := p.Ownership[0], p.Ownership[n-1]
		if first.SHA256 != last.SHA256 {
			s := s
			s.SHA256 = last.SHA256
			a.wrong(j, OwnershipChanged, s, last.FirstSeen, Finding{
				Summary:  fmt.Sprintf("the owners of %s are %s", p.ref(), owners(last.Body)),
				Expected: owners(first.Body) + ", as when the project was first seen",
				Evidence: []Evidence{
					{Kind: "ownership", At: first.FirstSeen, SHA256: first.SHA256, Data: first.Body},
					{Kind: "ownership", At: last.FirstSeen, SHA256: last.SHA256, Data: last.Body},
				},
			})
		}
	}
	j.unreachable(&a, p, failing)
	return a
}

// unreachable turns requests that keep failing into one finding a PyPI project.
func (j *Judge) unreachable(a *Assessment, p ProjectFacts, failing []FileFacts) {
	const shown = 20
	since := p.FailingSince
	var evidence []Evidence
	if !since.IsZero() {
		evidence = append(evidence, Evidence{Kind: "error", URL: p.URL, At: since, Detail: oneLine(p.Failure, 500)})
	}
	for i, f := range failing {
		if since.IsZero() || f.Provenance.FailingSince.Before(since) {
			since = f.Provenance.FailingSince
		}
		if i < shown {
			evidence = append(evidence, Evidence{Kind: "error", URL: f.Provenance.URL, At: f.Provenance.FailingSince,
				Detail: oneLine(f.Provenance.Failure, 500)})
		}
	}
	if since.IsZero() {
		return
	}
	what := "its list of files"
	if p.FailingSince.IsZero() {
		what = fmt.Sprintf("the provenance of %s", count(len(failing), "file"))
	}
	a.wrong(j, SourceUnreachable, p.subject(), since, Finding{
		Summary:  fmt.Sprintf("%s: %s cannot be read", p.ref(), what),
		Expected: "an answer from the index",
		Evidence: evidence,
	})
}

// because adds a reason that came from outside.
func because(reason string) string {
	if strings.TrimSpace(reason) == "" {
		return ""
	}
	return ": " + oneLine(reason, 200)
}

// count writes "1 file", "2 files".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
