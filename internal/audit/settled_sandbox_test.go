package audit_test

import (
	"context"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// countingStore counts the releases that are read to be judged.
type countingStore struct {
	audit.Store
	releases int
}

func (s *countingStore) Release(ctx context.Context, project int64, version string) (audit.ReleaseFacts, error) {
	s.releases++
	return s.Store.Release(ctx, project, version)
}

// TestWhatHasNotChangedIsNotJudgedAgain makes passes over a project: nothing is judged twice, until a fact, the policy, a person or the
// day changes. What a pass says and what is open stay the same.
func TestWhatHasNotChangedIsNotJudgedAgain(t *testing.T) {
	t.Parallel()
	w, c := newWorld(t, 5, sandbox.OnnxLike)
	if err := w.PyPI.Yank("onnx", "1.21.0", "a mistake"); err != nil {
		t.Fatal(err)
	}
	m := watch(t, w, c)
	store := &countingStore{Store: m.record}
	m.auditor.Store = store
	first := m.pass(t)
	for _, step := range []struct {
		name   string
		change func()
		judged bool
	}{
		{"nothing changes", func() {}, false},
		{"an hour goes by", func() { c.Advance(time.Hour) }, false},
		{"another yank", func() {
			if err := w.PyPI.Yank("onnx", "1.19.0", "another"); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"nothing changes after that", func() {}, false},
		{"a person knows", func() {
			until := c.Now().Add(time.Hour)
			for _, f := range m.findings(t) {
				if f.Release == "1.21.0" {
					if _, err := m.record.Acknowledge(t.Context(), f.ID, audit.Ack{By: "me", Why: "known", At: c.Now(), Until: &until}, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
		}, true},
		{"it is known", func() { c.Advance(30 * time.Minute) }, false},
		{"the acknowledgement expires", func() { c.Advance(30 * time.Minute) }, true},
		{"another severity", func() {
			m.auditor.Rules = audit.NewRuleSet(map[string]audit.Setting{audit.ReleaseYanked: {Severity: audit.Low}})
		}, true},
		{"another policy", func() {
			grades := m.projects[0].Policy.Grades
			m.projects[0].Policy.Grades = append(grades[:len(grades):len(grades)], grades[0])
			m.projects[0].Policy.Grades[len(grades)].Name = "another"
		}, true},
		{"the index fails", func() { t.Cleanup(w.PyPI.Break(sandbox.Fault{Path: "/simple/*", Status: 500})) }, true},
		{"a day goes by", func() { c.Advance(25 * time.Hour) }, true},
	} {
		step.change()
		store.releases = 0
		got := m.pass(t)
		if (store.releases > 0) != step.judged {
			t.Errorf("%s: %d releases were judged", step.name, store.releases)
		}
		if got[0].Releases != first[0].Releases || got[0].Files[audit.FileVerified] != first[0].Files[audit.FileVerified] || got[0].Unread[audit.MissingSLSAProvenance] != first[0].Unread[audit.MissingSLSAProvenance] {
			t.Errorf("%s: the summary is %+v, and was %+v", step.name, got[0], first[0])
		}
		for _, f := range m.findings(t) {
			if f.Status != audit.Resolved && f.Rule == audit.ReleaseYanked && !f.LastSeenAt.Equal(c.Now()) {
				t.Errorf("%s: %s was last seen at %s, and it is %s", step.name, f.Rule, f.LastSeenAt, c.Now())
			}
		}
	}
}
