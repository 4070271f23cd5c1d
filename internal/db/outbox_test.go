package db

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/notify"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

func TestOutboxKeepsWhatIsKnownOfAnAttempt(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	settleOn(t, db, noon, audit.Assessment{Findings: []audit.Finding{wrong("a", audit.High, "x"), wrong("b", audit.Low, "y")}})
	pending := func(channel string, limit int) []notify.Message {
		t.Helper()
		all, err := db.Pending(ctx, channel, limit)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	slack := pending("slack", 10)
	if len(slack) != 2 || slack[0].Finding.File != "a" || slack[1].Finding.File != "b" {
		t.Fatalf("pending %+v", slack)
	}
	if one := pending("slack", 1); len(one) != 1 || one[0].ID != slack[0].ID {
		t.Errorf("the first is %+v", one)
	}
	id := slack[0].ID
	first := func(want notify.Message) {
		t.Helper()
		want.ID, want.Finding, want.Transition, want.At = id, slack[0].Finding, audit.Opened, noon
		if want.Attempts > 0 {
			want.Lead, want.Form = id, notify.Single
		}
		if diff := cmp.Diff(want, pending("slack", 1)[0]); diff != "" {
			t.Error(diff)
		}
	}
	first(notify.Message{NextAttemptAt: noon})
	one := notify.Parcel{Form: notify.Single, Messages: slack[:1]}
	for _, step := range []struct {
		do   func() error
		want notify.Message
	}{
		{func() error { return db.Attempting(ctx, hour(1), one) }, notify.Message{Attempts: 1, AttemptedAt: hour(1), NextAttemptAt: noon}},
		{func() error { return db.NotDelivered(ctx, hour(1), one, "429", false, hour(2)) }, notify.Message{Attempts: 1, NextAttemptAt: hour(2), FailingSince: hour(1)}},
		{func() error { return db.Attempting(ctx, hour(3), one) }, notify.Message{Attempts: 2, AttemptedAt: hour(3), NextAttemptAt: hour(2), FailingSince: hour(1)}},
		{func() error { return db.NotDelivered(ctx, hour(3), one, "500", true, hour(4)) }, notify.Message{Attempts: 2, AttemptedAt: hour(3), NextAttemptAt: hour(4), FailingSince: hour(1)}},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		first(step.want)
	}
	if err := db.Delivered(ctx, hour(5), one, ""); err != nil {
		t.Fatal(err)
	}
	if left := pending("slack", 10); len(left) != 1 || left[0].ID != slack[1].ID {
		t.Errorf("left are %+v", left)
	}
	for channel, want := range map[string]int{"slack": 1, "mail": 2, "nowhere": 0} {
		if n, err := db.CountPending(ctx, channel); err != nil || n != want {
			t.Errorf("%s: %d pending, want %d, %v", channel, n, want, err)
		}
	}
	if err := db.NotDelivered(ctx, hour(5), notify.Parcel{Messages: slack[1:]}, "no route", false, hour(6)); err != nil {
		t.Fatal(err)
	}
	depths, err := db.OutboxDepths(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]OutboxDepth{{Channel: "mail", Pending: 2, Oldest: noon}, {Channel: "slack", Pending: 1, Delivered: 1, Oldest: noon, LastError: "no route"}}, depths); diff != "" {
		t.Error(diff)
	}
}

func TestTheDiaryHasTheLatestRunOfEachJob(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	for i, job := range []string{"audit", "follow", "audit"} {
		id, err := db.StartRun(ctx, hour(i), job, "v1", "00")
		if err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			break // killed
		}
		if err := db.FinishRun(ctx, hour(i).Add(time.Minute), id, audit.Incomplete, []byte(`{"n":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	runs, err := db.LastRuns(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []Run{{ID: 3, Job: "audit", StartedAt: hour(2), Version: "v1", Policy: "00"},
		{ID: 2, Job: "follow", StartedAt: hour(1), FinishedAt: hour(1).Add(time.Minute), Outcome: audit.Incomplete, Version: "v1", Policy: "00", Summary: []byte(`{"n":1}`)}}
	if diff := cmp.Diff(want, runs); diff != "" {
		t.Error(diff)
	}
}

// TestHistoryIsWhatAProjectsFirstListingHad tells what was there at first sight from what came later, and what was found at
// first sight from what was found later.
func TestHistoryIsWhatAProjectsFirstListingHad(t *testing.T) {
	db := openTemp(t)
	p := project(t, db)
	listing := pypi.Listing{Serial: 1, Status: "active", Files: []pypi.File{listed("onnx-1.0.tar.gz", "aa", withProvenance), listed("onnx-1.1.tar.gz", "bb", withProvenance)}}
	saveListing(t, db, p, noon, listing)
	found := func(file, sha string) audit.Finding {
		f := wrong(file, audit.High, file+" is wrong")
		f.SHA256 = sha
		f.ID = audit.FindingID(audit.Key(f.Rule, f.Subject))
		return f
	}
	settleOn(t, db, hour(1), audit.Assessment{Findings: []audit.Finding{found("onnx-1.0.tar.gz", "aa")}})
	listing.Serial, listing.Files = 2, append(listing.Files, listed("onnx-1.2.tar.gz", "cc", withProvenance))
	saveListing(t, db, p, hour(2), listing)
	all := []audit.Finding{found("onnx-1.0.tar.gz", "aa"), found("onnx-1.2.tar.gz", "cc")}
	settleOn(t, db, hour(3), audit.Assessment{Findings: all})
	settleOn(t, db, hour(24*365), audit.Assessment{Findings: append(all, found("onnx-1.1.tar.gz", "bb"))})
	pending, err := db.Pending(context.Background(), "slack", 10)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, m := range pending {
		got[m.Finding.File] = m.History
	}
	if diff := cmp.Diff(map[string]bool{"onnx-1.0.tar.gz": true, "onnx-1.2.tar.gz": false, "onnx-1.1.tar.gz": false}, got); diff != "" {
		t.Error(diff)
	}
}
