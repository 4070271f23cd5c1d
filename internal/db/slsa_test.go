package db

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

func TestVerdictsOfHowFilesWereBuiltAreKeptAndListed(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	p := project(t, db)
	saveListing(t, db, p, noon, pypi.Listing{Serial: 1, Files: []pypi.File{listed("a-1.0.whl", "aa"), listed("b-1.0.whl", "bb"), listed("c-2.0.whl", "cc")}})
	r, err := db.Release(ctx, p.ID, "1.0")
	if err != nil {
		t.Fatal(err)
	}
	hosted := &audit.SLSAVerdict{Build: audit.BuildL2, Reasons: []string{"it was built on a hosted runner"}, Missing: []string{"a builder"}}
	unread := &audit.SLSAVerdict{Build: audit.BuildUnevaluated, Unread: []string{"store: down"}}
	settle := func(at time.Time, release *audit.ReleaseSLSA, a, b *audit.SLSAVerdict) {
		t.Helper()
		if _, err := db.Settle(ctx, at, audit.Settlement{Project: p, Releases: []audit.ReleaseJudgement{{Version: "1.0", SLSA: release, Files: []audit.FileJudgement{
			{ID: r.Files[0].ID, State: audit.FileVerified, SLSA: a}, {ID: r.Files[1].ID, State: audit.FileVerified, SLSA: b}}}}}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(release *audit.ReleaseSLSA, counts map[audit.BuildLevel]int, verdicts ...*audit.SLSAVerdict) {
		t.Helper()
		var got []*audit.SLSAVerdict
		if err := db.Files(ctx, FileFilter{}, func(f ListedFile) error {
			got = append(got, f.SLSA)
			if diff := cmp.Diff(map[string]*audit.ReleaseSLSA{"1.0": release}[f.Release], f.ReleaseSLSA); diff != "" {
				t.Errorf("release %s: %s", f.Release, diff)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append(verdicts, nil), got); diff != "" { // nobody judged the last one
			t.Error(diff)
		}
		projects, err := db.Projects(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(counts, projects[0].SLSABuild); diff != "" {
			t.Error(diff)
		}
	}
	first := &audit.ReleaseSLSA{Build: audit.BuildUnevaluated, Files: map[audit.BuildLevel]int{"L2": 1, "unevaluated": 1}}
	settle(hour(1), first, hosted, unread)
	check(first, map[audit.BuildLevel]int{"L2": 1, "unevaluated": 1}, hosted, unread)

	// The next audit has read what was not read, and a file is gone.
	second := &audit.ReleaseSLSA{Build: audit.BuildL2, Files: map[audit.BuildLevel]int{"L2": 1}}
	settle(hour(2), second, nil, hosted)
	check(second, map[audit.BuildLevel]int{"L2": 1}, nil, hosted)

	if problems := fsckProblems(t, db); len(problems) != 0 {
		t.Errorf("fsck: %q", problems)
	}
	for _, statement := range []string{"UPDATE files SET slsa_build = 'L3' WHERE filename = 'b-1.0.whl'", "UPDATE releases SET slsa = '{' WHERE version = '1.0'"} {
		if _, err := db.w.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{`file b-1.0.whl is shown with SLSA Build level "L3", which is not that of its verdict`,
		`release 1.0 is shown with SLSA Build level "L2", which is not that of its verdict`}, fsckProblems(t, db)); diff != "" {
		t.Errorf("fsck of what was changed (-want +got):\n%s", diff)
	}
}

// TestTheRecordKnowsSinceWhenALogIsBehind reads a log level with what it shows, and has it grow.
func TestTheRecordKnowsSinceWhenALogIsBehind(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	l := opened(t, db, "list 1")
	facts := func() audit.LogFacts {
		t.Helper()
		logs, err := db.Logs(ctx)
		if err != nil || len(logs) != 1 {
			t.Fatalf("%d logs, %v", len(logs), err)
		}
		return logs[0]
	}
	check := func(when string, provenAt, behind, level time.Time, index uint64) {
		t.Helper()
		got := facts()
		if !got.ProvenAt.Equal(provenAt) || !got.BehindSince.Equal(behind) || !got.LevelAt.Equal(level) || got.LevelIndex != index {
			t.Errorf("%s: proven %v, behind since %v, level %v at %d", when, got.ProvenAt, got.BehindSince, got.LevelAt, got.LevelIndex)
		}
	}
	for _, step := range []struct {
		when                    string
		do                      func() error
		proven, behind, levelAt time.Time
		level                   uint64
	}{
		{"taken up", func() error { return l.Begin(ctx, noon, 2, tree(2).Hashes(), checkpoint(5)) }, time.Time{}, noon, time.Time{}, 0},
		{"read", func() error { return l.Advance(ctx, hour(1), batch(2, 5)) }, time.Time{}, noon, time.Time{}, 0},
		{"proven", func() error { return l.Prove(ctx, hour(2), 5, checkpoint(5)) }, hour(2), time.Time{}, hour(2), 5},
		{"grown", func() error { return l.Saw(ctx, hour(3), checkpoint(9)) }, hour(2), hour(3), hour(2), 5},
		{"grown more", func() error { return l.Saw(ctx, hour(4), checkpoint(12)) }, hour(2), hour(3), hour(2), 5},
		{"read in part", func() error { return l.Advance(ctx, hour(5), batch(5, 9)) }, hour(2), hour(3), hour(2), 5},
		{"proven in part", func() error { return l.Prove(ctx, hour(6), 9, checkpoint(12)) }, hour(6), hour(4), hour(2), 5},
		{"read to the end", func() error { return l.Advance(ctx, hour(7), batch(9, 12)) }, hour(6), hour(4), hour(2), 5},
		{"proven to the end", func() error { return l.Prove(ctx, hour(8), 12, checkpoint(12)) }, hour(8), time.Time{}, hour(8), 12},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.when, err)
		}
		check(step.when, step.proven, step.behind, step.levelAt, step.level)
	}
}
