package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// wrong is a finding about a file as judging gives it.
func wrong(file string, severity audit.Severity, summary string) audit.Finding {
	s := audit.Subject{Project: "onnx", Index: "pypi", PyPIProject: "onnx", File: file, SHA256: "aa"}
	return audit.Finding{ID: audit.FindingID(audit.Key(audit.NoProvenance, s)), Rule: audit.NoProvenance, Severity: severity, Subject: s, Summary: summary, Advice: "look"}
}

var channels = []string{"mail", "slack"}

// settleOn settles an assessment of onnx on PyPI.
func settleOn(t *testing.T, db *DB, now time.Time, a audit.Assessment) {
	t.Helper()
	if _, err := db.Settle(context.Background(), now, audit.Settlement{Project: project(t, db), Assessment: a, Channels: channels}); err != nil {
		t.Fatal(err)
	}
}

// history is what happened to findings: "file transition severity", and by whom, why, and to which channels it goes.
func history(t *testing.T, db *DB) []string {
	t.Helper()
	rows, err := db.r.Query(`SELECT json_extract(e.body, '$.file'), e.transition, json_extract(e.body, '$.severity'), e.actor, e.why,
		coalesce((SELECT group_concat(channel, '+' ORDER BY channel) FROM outbox o WHERE o.event_id = e.id), 'nobody') FROM finding_events e ORDER BY e.id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var file, transition, severity, by, why, to string
		if err := rows.Scan(&file, &transition, &severity, &by, &why, &to); err != nil {
			t.Fatal(err)
		}
		line := file + " " + transition + " " + severity
		if by+why != "" {
			line += " (" + by + ": " + why + ")"
		}
		all = append(all, line+" to "+to)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryChangeIsOneEventAndOneMessageAChannel(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	a := wrong("a", audit.High, "unsigned")
	var told int
	for i, step := range []struct {
		do   func(now time.Time)
		want []string
	}{
		{func(now time.Time) {
			settleOn(t, db, now, audit.Assessment{Findings: []audit.Finding{wrong("b", audit.Low, "b"), a}})
		}, []string{"a opened high to mail+slack", "b opened low to mail+slack"}},
		{func(now time.Time) {
			settleOn(t, db, now, audit.Assessment{Findings: []audit.Finding{wrong("b", audit.Low, "b"), a}})
		}, nil},
		{func(now time.Time) {
			settleOn(t, db, now, audit.Assessment{Findings: []audit.Finding{wrong("b", audit.Low, "other"), wrong("a", audit.Critical, "unsigned")}})
		}, []string{"a escalated critical to mail+slack", "b updated low to nobody"}},
		{func(now time.Time) {
			settleOn(t, db, now, audit.Assessment{Findings: []audit.Finding{a}, Unknowns: []audit.Unknown{{Rule: audit.NoProvenance, Subject: wrong("b", "", "").Subject}}})
		}, []string{"a eased high to nobody"}},
		{func(now time.Time) { settleOn(t, db, now, audit.Assessment{Findings: []audit.Finding{a}}) }, []string{"b resolved low to mail+slack"}},
		{func(now time.Time) {
			settleOn(t, db, now, audit.Assessment{Findings: []audit.Finding{wrong("b", audit.Low, "other"), a}})
		}, []string{"b reopened low to mail+slack"}},
		{func(now time.Time) {
			until := now.Add(90 * time.Minute)
			if _, err := db.Acknowledge(ctx, a.ID, audit.Ack{By: "alice", Why: "known", At: now, Until: &until}, channels); err != nil {
				t.Error(err)
			}
		}, []string{"a acknowledged high (alice: known) to mail+slack"}},
		{func(now time.Time) {
			settleOn(t, db, now, audit.Assessment{Findings: []audit.Finding{wrong("b", audit.Low, "other"), a}})
		}, nil},
		{func(now time.Time) {
			settleOn(t, db, now, audit.Assessment{Findings: []audit.Finding{wrong("b", audit.Low, "other"), a}})
		}, []string{"a unacknowledged high (: the acknowledgement expired) to mail+slack"}},
		{func(now time.Time) {
			for _, why := range []string{"once", "twice"} {
				if _, err := db.Acknowledge(ctx, a.ID, audit.Ack{By: "bob", Why: why, At: now}, channels[:1]); err != nil {
					t.Error(err)
				}
			}
			if _, err := db.Unacknowledge(ctx, a.ID, now, "carol", "not mine", channels[1:]); err != nil {
				t.Error(err)
			}
		}, []string{"a acknowledged high (bob: once) to mail", "a acknowledged high (bob: twice) to mail", "a unacknowledged high (carol: not mine) to slack"}},
		{func(now time.Time) { settleOn(t, db, now, audit.Assessment{}) }, []string{"a resolved high to mail+slack", "b resolved low to mail+slack"}},
	} {
		step.do(hour(i))
		all := history(t, db)
		var fresh []string
		if told < len(all) {
			fresh = all[told:]
		}
		if diff := cmp.Diff(step.want, fresh); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i+1, diff)
		}
		told = len(all)
	}

	events, err := db.History(ctx, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if e := events[3]; len(events) != 9 || e != (Event{At: hour(6), Transition: audit.AckGiven, By: "alice", Why: "known", Severity: audit.High, Summary: "unsigned"}) {
		t.Errorf("%d events, the fourth is %+v", len(events), e)
	}
	f, err := db.Finding(ctx, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	resolved := hour(10)
	want := a
	want.Status, want.OpenedAt, want.LastSeenAt, want.ResolvedAt = audit.Resolved, noon, hour(8), &resolved
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
	if problems := fsckProblems(t, db); len(problems) != 0 {
		t.Errorf("fsck: %q", problems)
	}
}

func TestWhatAPersonCannotDecideIsRefusedAndChangesNothing(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	open, gone := wrong("open", audit.High, "x"), wrong("gone", audit.High, "x")
	settleOn(t, db, noon, audit.Assessment{Findings: []audit.Finding{open, gone}})
	settleOn(t, db, hour(1), audit.Assessment{Findings: []audit.Finding{open}})
	before := history(t, db)
	for id, do := range map[string]func(id string) error{
		gone.ID: func(id string) error {
			_, err := db.Acknowledge(ctx, id, audit.Ack{By: "alice", Why: "known", At: hour(2)}, channels)
			return err
		},
		open.ID: func(id string) error {
			_, err := db.Unacknowledge(ctx, id, hour(2), "alice", "", channels)
			return err
		},
		"f-000000000000": func(id string) error {
			_, err := db.Acknowledge(ctx, id, audit.Ack{By: "alice", Why: "known", At: hour(2)}, channels)
			return err
		},
	} {
		want := map[string]string{
			gone.ID:          "decide on finding " + id + ": finding " + id + " is resolved: there is nothing to acknowledge",
			open.ID:          "decide on finding " + id + ": finding " + id + " is open, not acknowledged",
			"f-000000000000": "there is no finding f-000000000000 in the record: `monitor findings --all` lists them",
		}[id]
		if err := do(id); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if diff := cmp.Diff(before, history(t, db)); diff != "" {
		t.Error(diff)
	}
	var none *NoFindingError
	if _, err := db.Finding(ctx, "f-000000000000"); !errors.As(err, &none) || none.ID != "f-000000000000" {
		t.Errorf("got %v", err)
	}
}

// TestAcknowledgementIsNotLostToAPass gives acknowledgements while passes settle the same finding.
func TestAcknowledgementIsNotLostToAPass(t *testing.T) {
	db := openTemp(t)
	f := wrong("a", audit.High, "unsigned")
	p := project(t, db)
	settleOn(t, db, noon, audit.Assessment{Findings: []audit.Finding{f}})
	for round := range 20 {
		now := hour(round + 1)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				s := audit.Settlement{Project: p, Assessment: audit.Assessment{Findings: []audit.Finding{f}}, Channels: channels}
				if _, err := db.Settle(context.Background(), now, s); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if _, err := db.Acknowledge(context.Background(), f.ID, audit.Ack{By: "alice", Why: "known", At: now}, channels); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		got, err := db.Finding(context.Background(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		if got.Status != audit.Acknowledged || got.Ack == nil || !got.Ack.At.Equal(now) || !got.LastSeenAt.Equal(now) {
			t.Fatalf("round %d: %+v", round, got)
		}
		if _, err := db.Unacknowledge(context.Background(), f.ID, now, "alice", "again", channels); err != nil {
			t.Fatal(err)
		}
	}
}

func TestScopesDoNotSettleEachOther(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	settleOn(t, db, noon, audit.Assessment{Findings: []audit.Finding{wrong("a", audit.High, "x")}})
	log := audit.Subject{LogOrigin: "log.example"}
	a := audit.Assessment{Findings: []audit.Finding{{ID: audit.FindingID(audit.Key(audit.LogFork, log)), Rule: audit.LogFork, Severity: audit.Critical, Subject: log}}}
	if _, err := db.SettleLogs(ctx, hour(1), a, channels); err != nil {
		t.Fatal(err)
	}
	weekly, err := db.Project(ctx, "onnx", "pypi", "onnx-weekly")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Settle(ctx, hour(2), audit.Settlement{Project: weekly}); err != nil {
		t.Fatal(err)
	}
	open, err := db.Findings(ctx, FindingFilter{Statuses: []audit.Status{audit.Open}})
	if err != nil || len(open) != 2 || open[0].Rule != audit.LogFork {
		t.Fatalf("open are %+v, %v", open, err)
	}
	settleOn(t, db, hour(3), audit.Assessment{})
	if _, err := db.SettleLogs(ctx, hour(4), audit.Assessment{}, channels); err != nil {
		t.Fatal(err)
	}
	if open, err = db.Findings(ctx, FindingFilter{Statuses: []audit.Status{audit.Open}}); err != nil || len(open) != 0 {
		t.Errorf("still open are %+v, %v", open, err)
	}
}

func TestFindingsAreFilteredAndMostUrgentFirst(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	settleOn(t, db, noon, audit.Assessment{Findings: []audit.Finding{wrong("low", audit.Low, "x")}})
	settleOn(t, db, hour(1), audit.Assessment{Findings: []audit.Finding{wrong("low", audit.Low, "x"), wrong("info", audit.Info, "x"), wrong("critical", audit.Critical, "x"),
		wrong("medium", audit.Medium, "x"), wrong("high", audit.High, "x"), wrong("known", audit.High, "x")}})
	if _, err := db.Acknowledge(ctx, wrong("known", "", "").ID, audit.Ack{By: "alice", Why: "known", At: hour(2)}, nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		filter FindingFilter
		want   string
	}{
		"all":           {FindingFilter{}, "critical high known medium low info"},
		"acknowledged":  {FindingFilter{Statuses: []audit.Status{audit.Acknowledged}}, "known"},
		"two statuses":  {FindingFilter{Statuses: []audit.Status{audit.Acknowledged, audit.Resolved}}, "known"},
		"severities":    {FindingFilter{Severities: []audit.Severity{audit.Info, audit.Critical}}, "critical info"},
		"another rule":  {FindingFilter{Rules: []string{audit.WrongGrade}}, ""},
		"our project":   {FindingFilter{Projects: []string{"x", "onnx"}, Severities: []audit.Severity{audit.Low}}, "low"},
		"their project": {FindingFilter{Projects: []string{"' OR 1 --"}}, ""},
	} {
		all, err := db.Findings(ctx, c.filter)
		if err != nil {
			t.Fatal(err)
		}
		var files []string
		for _, f := range all {
			files = append(files, f.File)
		}
		// Two of one severity and instant are in the order of their ids.
		if got := strings.ReplaceAll(strings.Join(files, " "), "known high", "high known"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestJudgementsOfFilesAreKeptAndListed(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	p := project(t, db)
	saveListing(t, db, p, noon, pypi.Listing{Serial: 1, Files: []pypi.File{listed("a-1.0.whl", "aa"), listed("c-2.0.whl", "cc")}})
	ids := map[string]int64{}
	for _, version := range []string{"1.0", "2.0"} {
		r, err := db.Release(ctx, p.ID, version)
		if err != nil {
			t.Fatal(err)
		}
		ids[version] = r.Files[0].ID
	}
	if _, err := db.Settle(ctx, hour(1), audit.Settlement{Project: p, Releases: []audit.ReleaseJudgement{
		{Version: "1.0", States: "full-provenance", Files: []audit.FileJudgement{{ID: ids["1.0"], State: audit.FileVerified, Grade: "release"}}}}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		filter FileFilter
		want   []string
	}{
		"all":                {FileFilter{}, []string{"a-1.0.whl verified release full-provenance", "c-2.0.whl unknown  "}},
		"of the project":     {FileFilter{PyPIProject: "onnx", States: []string{"unknown", "verified"}}, []string{"a-1.0.whl verified release full-provenance", "c-2.0.whl unknown  "}},
		"of the index":       {FileFilter{PyPIProject: "pypi/onnx", Release: "2.0"}, []string{"c-2.0.whl unknown  "}},
		"of another index":   {FileFilter{PyPIProject: "testpypi/onnx"}, nil},
		"of another project": {FileFilter{PyPIProject: "onnx-weekly"}, nil},
		"by digest":          {FileFilter{SHA256: "aa"}, []string{"a-1.0.whl verified release full-provenance"}},
		"by state":           {FileFilter{States: []string{"wrong"}}, nil},
	} {
		var got []string
		if err := db.Files(ctx, c.filter, func(f ListedFile) error {
			got = append(got, fmt.Sprintf("%s %s %s %s", f.File, f.State, f.Grade, f.ReleaseStates))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	projects, err := db.Projects(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []ProjectStatus{{Index: "pypi", Name: "onnx", Serial: 1, CheckedAt: noon, ChangedAt: noon, Releases: 2, Unanswered: 2, Files: map[string]int{"verified": 1, "unknown": 1}, SLSABuild: map[audit.BuildLevel]int{}}}
	if diff := cmp.Diff(want, projects); diff != "" {
		t.Error(diff)
	}
}
