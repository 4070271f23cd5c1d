package audit

import (
	"slices"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// TestAPromiseIsWhoseTheCertificateIs has a certificate that an entry, a file or its own identity gives to a project.
func TestAPromiseIsWhoseTheCertificateIs(t *testing.T) {
	j := presetJudge(t, noon)
	other := j.Policy
	other.Repository.Name, other.Grades = "example/widget", nil
	policies := map[string]identity.Policy{"onnx": j.Policy, "widget": other}
	id := run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}.identity()
	stranger := *id
	stranger.SourceRepositoryURI, stranger.SAN = "https://github.com/stranger/thing", "https://github.com/stranger/thing/.github/workflows/x.yml@refs/heads/main"
	for want, p := range map[string]PromiseFacts{
		"onnx":   {Identity: id},
		"widget": {Identity: id, Project: "widget"},
		"":       {Identity: &stranger, Files: []AttestedFile{{PyPIProject: "pypi/other"}}},
	} {
		if got := p.project(policies); got != want {
			t.Errorf("%+v is %q's", p, got)
		}
	}
	if got := (&PromiseFacts{Identity: &stranger, Files: []AttestedFile{{PyPIProject: "pypi/onnx"}}}).project(policies); got != "onnx" {
		t.Errorf("what signed a file of onnx is %q's", got)
	}
	if got := (&PromiseFacts{}).project(policies); got != "" {
		t.Errorf("what cannot be read is %q's", got)
	}
}

// TestAPromiseOfALogThatNoRootNamesIsACoverageGap judges it a second before the grace period ends, and at its end.
func TestAPromiseOfALogThatNoRootNamesIsACoverageGap(t *testing.T) {
	j := presetJudge(t, noon)
	grace := j.Rules[CoverageGap].Grace
	a := aPromise(func(p *PromiseFacts, _ time.Time) { p.Outcome, p.FailingSince = LookupNoSuchLog, noon.Add(-grace) })(j, noon)
	if !slices.Equal(rules(a), []string{CoverageGap}) || len(a.Unknowns) != 1 {
		t.Errorf("%+v", a)
	}
	j.Now = noon.Add(-time.Second)
	if a := aPromise(func(p *PromiseFacts, _ time.Time) { p.Outcome, p.FailingSince = LookupNoSuchLog, noon.Add(-grace) })(j, noon); len(a.Findings) != 0 || len(a.Waiting) != 1 {
		t.Errorf("a second early: %+v", a)
	}
}

// TestALogThatDoesNotAnswerForItsPromisesIsUnreachable has a log that is read and cannot be asked.
func TestALogThatDoesNotAnswerForItsPromisesIsUnreachable(t *testing.T) {
	j := presetJudge(t, noon)
	grace := j.Rules[SourceUnreachable].Grace
	silent := func(edit func(l *LogFacts)) Assessment {
		return aLog(func(l *LogFacts, since time.Time) {
			l.Unanswered, l.UnansweredSince, l.UnansweredWhy = 3, since, "status 403"
			edit(l)
		})(j, noon.Add(-grace))
	}
	if a := silent(func(*LogFacts) {}); !slices.Equal(rules(a), []string{SourceUnreachable}) || a.Findings[0].Evidence[0].Detail != "3 certificates; status 403" {
		t.Errorf("%+v", a)
	}
	if a := silent(func(l *LogFacts) { l.NotFollowed = true }); len(a.Findings) != 0 {
		t.Errorf("that nobody asks: %+v", a)
	}
	a := silent(func(l *LogFacts) { l.FailingSince, l.Failure = noon.Add(-grace), "no route" })
	if !slices.Equal(rules(a), []string{SourceUnreachable}) || len(a.Findings[0].Evidence) != 2 {
		t.Errorf("that cannot be read either: %+v", a)
	}
}
