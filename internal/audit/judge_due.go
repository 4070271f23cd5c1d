package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// legacy reports whether a file is from before the project signed: its version is below publish_since and it was
// uploaded before the date given with it. An unsigned old version uploaded today is not legacy, and neither is a file
// whose upload time the index does not tell.
func (j *Judge) legacy(p ProjectFacts, f FileFacts) bool {
	for _, g := range j.publishing(p) {
		if g.PublishSince != nil && before(*g.PublishSince, f) {
			return true
		}
	}
	return false
}

// slsaDue reports whether a file must have SLSA provenance.
func (j *Judge) slsaDue(p ProjectFacts, f FileFacts) bool {
	for _, g := range j.publishing(p) {
		if g.SLSASince != nil && !before(*g.SLSASince, f) {
			return true
		}
	}
	return false
}

// before reports whether a file precedes a duty.
func before(since identity.Since, f FileFacts) bool {
	if f.UploadedAt.IsZero() || !f.UploadedAt.Before(since.Uploaded) {
		return false
	}
	if since.Version == "" {
		return true
	}
	return olderThan(f.Version, since.Version)
}

// publishing lists the grades that may sign for a PyPI project.
func (j *Judge) publishing(p ProjectFacts) []identity.Grade {
	var grades []identity.Grade
	for _, g := range j.Policy.Grades {
		if slices.Contains(g.Publishes, p.ref()) {
			grades = append(grades, g)
		}
	}
	return grades
}

// grade finds a grade by name.
func (j *Judge) grade(name string) identity.Grade {
	for _, g := range j.Policy.Grades {
		if g.Name == name {
			return g
		}
	}
	return identity.Grade{Name: name}
}

// due says which attestation a file should carry.
func (j *Judge) due(p ProjectFacts) string {
	return "a publish attestation by " + j.expected(p)
}

// expected describes who may publish a PyPI project.
func (j *Judge) expected(p ProjectFacts) string {
	var who []string
	for _, g := range j.publishing(p) {
		var refs []string
		for _, re := range g.Refs {
			refs = append(refs, strings.TrimSuffix(strings.TrimPrefix(re.String(), "^(?:"), ")$"))
		}
		s := fmt.Sprintf("%s %s at %s by %s", j.Policy.Repository.Name, g.Workflow, strings.Join(refs, " or "), strings.Join(g.Triggers, " or "))
		switch g.Environment {
		case identity.NoEnvironment:
			s += " in no environment"
		case identity.AnyEnvironment:
		default:
			s += " in environment " + g.Environment
		}
		who = append(who, fmt.Sprintf("%s (grade %s)", s, g.Name))
	}
	if len(who) == 0 {
		return "nobody: no grade publishes " + p.ref()
	}
	return strings.Join(who, ", or ")
}

// findings gathers what is wrong with one file, one finding a rule: the first tells, all of them are evidence.
type findings struct {
	byRule map[string]*Finding
	since  map[string]time.Time // where it is not the file's first sight
	order  []string
}

func newFindings() *findings {
	return &findings{byRule: map[string]*Finding{}, since: map[string]time.Time{}}
}

// addSince files a finding that holds since an instant; of several the earliest.
func (fs *findings) addSince(rule string, since time.Time, e Evidence, f Finding) {
	if known, ok := fs.since[rule]; !ok || since.Before(known) {
		fs.since[rule] = since
	}
	fs.add(rule, e, f)
}

// add files a finding, or adds its evidence to one of the same rule.
func (fs *findings) add(rule string, e Evidence, f Finding) {
	if known := fs.byRule[rule]; known != nil {
		known.Evidence = append(known.Evidence, e)
		return
	}
	f.Evidence = append(f.Evidence, e)
	fs.byRule[rule] = &f
	fs.order = append(fs.order, rule)
}

// into hands the findings to the verdict.
func (fs *findings) into(v *FileVerdict, j *Judge, s Subject, f FileFacts) {
	for _, rule := range fs.order {
		since, ok := fs.since[rule]
		if !ok {
			since = f.FirstSeen
		}
		v.wrong(j, rule, s, since, *fs.byRule[rule])
	}
}

// firstEntry names the first log entry of an attestation.
func firstEntry(at AttestationFacts) *LogRef {
	if len(at.Entries) == 0 {
		return nil
	}
	return &at.Entries[0]
}

// describeCheck writes a check with its values.
func describeCheck(c attest.Check) string {
	s := c.Detail
	if c.Got != "" || c.Want != "" {
		s += fmt.Sprintf(" (got %q, want %q)", c.Got, c.Want)
	}
	return s
}
