package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// Canary looks for publications of a PyPI project that are due and did not happen, by the grades that say how often theirs
// does. versions are all of the project's releases, with the files that are gone: a weekly build that was deleted since has
// been published all the same.
//
// Where the index was not read after the time at which the publication was due, or a file that came after the last one cannot
// be told, it is unknown. So it is where no publication of the grade is known at all: nothing says since when it is due then.
type Canary struct {
	judge   *Judge
	project ProjectFacts
	// last is the newest publication of each expected grade, untold the newest file whose grade is not known.
	last   map[string]time.Time
	untold time.Time
}

// Canary begins to look.
func (j *Judge) Canary(p ProjectFacts) *Canary {
	c := &Canary{judge: j, project: p, last: map[string]time.Time{}}
	for _, g := range j.publishing(p) {
		if g.Expect != nil {
			c.last[g.Name] = time.Time{}
		}
	}
	return c
}

// See takes the files of a release into account.
func (c *Canary) See(r ReleaseFacts) {
	if len(c.last) == 0 {
		return
	}
	for _, f := range r.Files {
		at := f.UploadedAt
		if at.IsZero() {
			at = f.FirstSeen
		}
		grades, told := c.judge.grades(c.project, f)
		if !told && at.After(c.untold) {
			c.untold = at
		}
		for _, g := range grades {
			if last, expected := c.last[g]; expected && at.After(last) {
				c.last[g] = at
			}
		}
	}
}

// grades are the publishing grades that verified attestations of a file are of, whether or not it is still there; told is
// false where its attestations are not all known.
func (j *Judge) grades(p ProjectFacts, f FileFacts) (grades []string, told bool) {
	prov := f.Provenance
	if prov.Document == nil {
		return nil, prov.State == ProvenanceNone || prov.State == ProvenanceNotFound
	}
	told = true
	for _, at := range prov.Document.Attestations {
		told = told && at.Status != attest.Unsupported
		if at.Status != attest.Verified || at.Identity == nil {
			continue
		}
		if g, _ := j.mayCover(j.Policy.Judge(*at.Identity), p, f.Version, at); g != "" && !slices.Contains(grades, g) {
			grades = append(grades, g)
		}
	}
	return grades, told
}

// Judge says which publications are missed.
func (c *Canary) Judge() Assessment {
	var a Assessment
	j, p := c.judge, c.project
	for _, g := range j.publishing(p) {
		if g.Expect == nil {
			continue
		}
		s := p.subject()
		s.Grade = g.Name
		last := c.last[g.Name]
		due := last.Add(g.Expect.Every)
		missed := due.Add(g.Expect.Within)
		switch {
		case last.IsZero():
			a.unknown(s, "no publication of the grade is known, so nothing says when the next is due", MissedCanary)
		case j.Now.Before(due):
		case !j.Now.Before(missed) && (p.CheckedAt.Before(missed) || p.Status == StatusQuarantined):
			a.unknown(s, "the index was not read since "+missed.UTC().Format(time.RFC3339)+", until when it could be published", MissedCanary)
		case c.untold.After(last):
			a.unknown(s, "a file that came since then has attestations that are not known", MissedCanary)
		default:
			a.missed(j, s, g, last, Evidence{Kind: "canary", URL: p.URL, At: p.CheckedAt, Detail: "last published at " + last.UTC().Format(time.RFC3339)},
				fmt.Sprintf("nothing of grade %s was published on %s since %s", g.Name, p.ref(), last.UTC().Format(time.DateOnly)))
		}
	}
	return a
}

// missed records that something of a grade did not happen.
func (a *Assessment) missed(j *Judge, s Subject, g identity.Grade, last time.Time, e Evidence, summary string) {
	a.wrong(j, MissedCanary, s, last.Add(g.Expect.Every).Add(g.Expect.Within), Finding{
		Summary:  summary,
		Expected: fmt.Sprintf("one every %s, at the latest %s after that", days(g.Expect.Every), days(g.Expect.Within)),
		Evidence: []Evidence{e},
	})
}

// days writes a length of time as people do: "7 days", "36h".
func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return count(int(d/day), "day")
	}
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

// certificateCanary looks for signatures, which are due and were not made, of grades that publish nothing.
type certificateCanary struct {
	policies map[string]identity.Policy
	// last is when the newest certificate of each expected grade was issued, by project and grade.
	last map[string]map[string]time.Time
}

func newCertificateCanary(policies map[string]identity.Policy) *certificateCanary {
	c := &certificateCanary{policies: policies, last: map[string]map[string]time.Time{}}
	for project, policy := range policies {
		for _, g := range policy.Grades {
			if g.Expect != nil && len(g.Publishes) == 0 {
				if c.last[project] == nil {
					c.last[project] = map[string]time.Time{}
				}
				c.last[project][g.Name] = time.Time{}
			}
		}
	}
	return c
}

// look takes all proven hits into account, where any could matter.
func (c *certificateCanary) look(ctx context.Context, record LogRecord) error {
	if len(c.last) == 0 {
		return nil
	}
	return record.ProvenHits(ctx, func(h HitFacts) error { c.see(h); return nil })
}

// see takes a proven hit into account.
func (c *certificateCanary) see(h HitFacts) {
	for _, cert := range h.Certificates {
		expected := c.last[cert.Match.Project]
		if len(expected) == 0 || !cert.Chained || cert.Identity == nil {
			continue
		}
		for _, g := range c.policies[cert.Match.Project].Judge(*cert.Identity).Grades {
			if last, ok := expected[g]; ok && cert.NotBefore.After(last) {
				expected[g] = cert.NotBefore
			}
		}
	}
}

// judge says which signatures are missed. Only the CT logs can show that there was none, and only where all of them were read
// past the time at which it was due: Rekor's search index has gaps.
func (c *certificateCanary) judge(j *Judge, logs []LogFacts) Assessment {
	var a Assessment
	for _, project := range slices.Sorted(maps.Keys(c.policies)) {
		policy := c.policies[project]
		for _, g := range policy.Grades {
			last, ok := c.last[project][g.Name]
			if !ok {
				continue
			}
			s := Subject{Project: project, Grade: g.Name}
			due := last.Add(g.Expect.Every)
			missed := due.Add(g.Expect.Within)
			switch unread := unreadCT(logs, last, missed); {
			case last.IsZero():
				a.unknown(s, "no certificate of the grade is known, so nothing says when the next is due", MissedCanary)
			case j.Now.Before(due):
			case !j.Now.Before(missed) && unread != "":
				a.unknown(s, unread, MissedCanary)
			default:
				a.missed(j, s, g, last, Evidence{Kind: "canary", At: last, Detail: "last certificate issued at " + last.UTC().Format(time.RFC3339)},
					fmt.Sprintf("nothing of grade %s was signed in the name of %s since %s", g.Name, policy.Repository.Name, last.UTC().Format(time.DateOnly)))
			}
		}
	}
	return a
}

// unreadCT says which CT log was not read for the time between two instants, "" where all were that took certificates then.
func unreadCT(logs []LogFacts, from, to time.Time) string {
	some := false
	for _, l := range logs {
		if !strings.HasPrefix(l.Kind, "ct-") || !l.EndedAt.IsZero() && l.EndedAt.Before(from) {
			continue
		}
		some = true
		ended := !l.EndedAt.IsZero() && l.EndedAt.Before(to)
		switch {
		case l.NotFollowed:
			return fmt.Sprintf("CT log %s is not followed: %s", l.Origin, oneLine(l.Why, 200))
		case !l.Known, !ended && l.CheckedAt.Before(to), l.Proven < l.Latest, l.Start > 0 && l.TakenUpAt.After(from):
			return fmt.Sprintf("CT log %s was not read from %s until %s", l.Origin, from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
		case l.reopened():
			return fmt.Sprintf("parts of CT log %s were read with another watch list", l.Origin)
		}
	}
	if !some {
		return "no CT log is followed"
	}
	return ""
}
