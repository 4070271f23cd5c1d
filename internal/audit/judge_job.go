package audit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// Signer is what the policies make of a signer.
type Signer struct {
	SignerFacts
	// Project is the one in whose own name it signs; "" for nobody's.
	Project string
	identity.Judgement
	// Weighty says that each of its entries must be accounted for: it may publish where it is looked at what is published, or no
	// grade knows it although it is nothing that anybody can have made.
	Weighty bool
	// Releases are the index projects in which what it signed may be.
	Releases []ReleasesRead
	// Removals are those of them whose files are removed on purpose, Unread those that nobody looks at.
	Removals, Unread []string
	// SLSASince is since when it signs SLSA provenance besides; zero for never.
	SLSASince time.Time
}

// Grade names the signer's grades: "none" where no grade knows it.
func (s Signer) Grade() string { return cmp.Or(strings.Join(s.Grades, " or "), "none") }

// Signer holds a signer against the policies. releases are the index projects in the record.
func (j *Judge) Signer(f SignerFacts, policies map[string]identity.Policy, releases []ReleasesRead) Signer {
	s := Signer{SignerFacts: f}
	if f.Identity == nil || !f.Chained {
		return s // a finding of its own where it was met
	}
	for _, project := range slices.Sorted(maps.Keys(policies)) {
		// Of several projects with one repository, the one that knows no grade for it tells.
		judged := policies[project].Judge(*f.Identity)
		own := judged.Class == identity.ClassSelf && (s.Class != identity.ClassSelf || len(judged.Grades) == 0)
		if own || judged.Class == identity.ClassForeignCaller && s.Project == "" {
			s.Project, s.Judgement = project, judged
		}
	}
	if s.Project == "" {
		return s
	}
	policy := policies[s.Project]
	var refs []string
	for _, g := range policy.Grades {
		if len(s.Grades) > 0 && !slices.Contains(s.Grades, g.Name) {
			continue
		}
		refs = append(refs, g.Publishes...)
		if g.SLSASince != nil && (s.SLSASince.IsZero() || g.SLSASince.Uploaded.Before(s.SLSASince)) {
			s.SLSASince = g.SLSASince.Uploaded
		}
	}
	for _, r := range releases {
		if slices.Contains(refs, r.Ref) {
			s.Releases = append(s.Releases, r)
			if slices.Contains(policy.Removals, r.Ref) {
				s.Removals = append(s.Removals, r.Ref)
			}
		}
	}
	for _, ref := range refs {
		if len(s.Grades) > 0 && !slices.ContainsFunc(releases, func(r ReleasesRead) bool { return r.Ref == ref }) {
			s.Unread = append(s.Unread, ref)
		}
	}
	s.Weighty = len(s.Releases) > 0 && weighty(s.Judgement, policy)
	return s
}

// OpenState says what is known of entries that nothing accounts for.
type OpenState string

// The states of what is open.
const (
	OpenSearched    OpenState = "being-searched" // the rule's grace period runs
	OpenUnknown     OpenState = "unknown"        // what could account for it was not looked at
	OpenUnaccounted OpenState = "unaccounted"
)

// JobState is what is known of the entries of a job that nothing accounts for.
type JobState struct {
	OpenState
	// Unaccounted counts those that nothing accounts for for certain; of the others it is not known.
	Unaccounted int
	// Unread says what could account for them and was not looked at.
	Unread []string
}

// JobState says what is known of the entries of a job that nothing accounts for. As many could be accounted for by what was not
// looked at as that has room for: what is beyond is unaccounted for.
func (j *Judge) JobState(f JobFacts, s Signer) JobState {
	due := f.OpenSince.Add(j.Rules[UnaccountedEntry].Grace)
	state := JobState{OpenState: OpenUnknown}
	room := f.Unread
	if f.Unread > 0 {
		state.Unread = append(state.Unread, count(f.Unread, "file")+" uploaded since, of which it is not known what attests them")
	}
	if f.Published && !f.Asked && !s.SLSASince.IsZero() && !f.IssuedAt.Before(s.SLSASince) {
		room++
		state.Unread = append(state.Unread, "one of them may be the SLSA provenance of what the job published: no store of provenance was asked for it")
	}
	if len(s.Unread) > 0 {
		room = f.Open
		state.Unread = append(state.Unread, "it may be for "+strings.Join(s.Unread, " or ")+", which is not looked at")
	}
	for _, r := range s.Releases {
		switch {
		case r.CheckedAt.Before(due):
			room = f.Open
			state.Unread = append(state.Unread, r.Ref+" was not listed since it could have been published")
		case slices.Contains(s.Removals, r.Ref) && (r.Since.IsZero() || f.IssuedAt.Before(r.Since)):
			room = f.Open
			state.Unread = append(state.Unread, "files of "+r.Ref+" that were removed before it was first listed are not known")
		}
	}
	switch {
	case j.Now.Before(due):
		state.OpenState = OpenSearched
	case f.Open > room:
		state.OpenState, state.Unaccounted = OpenUnaccounted, f.Open-room
	}
	return state
}

// shownEntries is how many of the entries of a job a finding shows.
const shownEntries = 10

// Job judges a job of a weighty signer of which entries are not accounted for; shown are the first few of these. A job is one
// finding, however many they are.
//
// That a job published, and signed more than it published, is more urgent than that it signed and nothing of it was published: a
// job that failed or was cancelled before it uploaded explains the one, and hardly the other. Where GitHub says that it did or was,
// either is information: whoever can have a run sign can also have it fail, so that it is told all the same.
func (j *Judge) Job(f JobFacts, s Signer, shown []EntryRef) Assessment {
	var a Assessment
	subject := Subject{Project: s.Project, Job: strings.Join([]string{f.Run, s.Identity.SAN, s.Identity.DeploymentEnvironment}, " ")}
	state := j.JobState(f, s)
	if state.OpenState == OpenUnknown {
		a.unknown(subject, strings.Join(state.Unread, "; "), UnaccountedEntry)
		return a
	}
	who := *s.Identity
	who.RunInvocationURI = f.Run
	finding := Finding{Identity: identityRef(&who),
		Summary:  fmt.Sprintf("%s signed %s that nothing published accounts for", oneLine(who.Describe(), 300), entries(f.Open)),
		Expected: "something published for every signature of the grade " + s.Grade(),
	}
	if len(s.Grades) == 0 {
		finding.Expected = "no signature by an identity that no grade knows"
	}
	if f.Published {
		finding.Summary += ", besides what was published"
	} else {
		finding.Summary += ", and nothing that was published"
		finding.Severity = j.Rules[UnaccountedEntry].Severity.lower()
	}
	if slices.Contains(endedEarly, f.Conclusion) {
		finding.Summary += "; the run's conclusion is " + f.Conclusion
		finding.Severity = Info
	}
	if n := f.Open - state.Unaccounted; n > 0 {
		finding.Summary += fmt.Sprintf("; at most %d of them could be accounted for by what was not looked at", n)
	}
	for _, e := range shown {
		if finding.Log == nil {
			finding.Log = &LogRef{Origin: e.Origin, Index: e.Index, GlobalIndex: e.GlobalIndex}
		}
		detail := fmt.Sprintf("index %d", e.Index)
		if e.Account == AccountPartly {
			detail += ", a statement about files of which some are not known"
		}
		finding.Evidence = append(finding.Evidence, Evidence{Kind: "log-entry", URL: e.Origin, At: e.FirstSeen, SHA256: e.LeafHash, Detail: detail})
	}
	for _, why := range state.Unread {
		finding.Evidence = append(finding.Evidence, Evidence{Kind: "search", Detail: oneLine(why, 300)})
	}
	a.wrong(j, UnaccountedEntry, subject, f.OpenSince, finding)
	return a
}

// endedEarly are the conclusions of runs that did not come to their end.
var endedEarly = []string{"cancelled", "failure", "timed_out"}

// entries counts log entries.
func entries(n int) string {
	if n == 1 {
		return "1 log entry"
	}
	return fmt.Sprintf("%d log entries", n)
}
