package db

import (
	"context"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// TestRemindersAreWrittenOnceAndForEveryChannel looks each hour, through a restart, an acknowledgement and an escalation.
func TestRemindersAreWrittenOnceAndForEveryChannel(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	high, low := wrong("a", audit.High, "x"), wrong("b", audit.Low, "y")
	settleOn(t, db, noon, audit.Assessment{Findings: []audit.Finding{high, low}})
	look := func(from, to int) (at []int) {
		t.Helper()
		for h := from; h < to; h++ {
			changes, err := db.Remind(ctx, hour(h), channels)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				if c.Finding.File != "a" || c.Transition != audit.Reminded || c.Why != "open since "+noon.Format(time.RFC3339)+", and nobody acknowledged it" {
					t.Errorf("%+v", c)
				}
				at = append(at, h)
			}
		}
		return at
	}
	if at := look(0, 24*5); len(at) != 2 || at[0] != 24 || at[1] != 24*4 {
		t.Errorf("reminded at %v", at)
	}
	until := hour(24 * 5)
	if _, err := db.Acknowledge(ctx, low.ID, audit.Ack{By: "bob", Why: "later", At: hour(24 * 4), Until: &until}, channels); err != nil {
		t.Fatal(err)
	}
	if changes, err := db.Remind(ctx, until, channels); err != nil || len(changes) != 1 || changes[0].Transition != audit.AckWithdrawn || changes[0].Finding.ID != low.ID {
		t.Errorf("an acknowledgement that expired: %+v, %v", changes, err)
	}
	if f, err := db.Finding(ctx, low.ID); err != nil || f.Status != audit.Open || f.Ack != nil {
		t.Errorf("the finding is %+v, %v", f, err)
	}
	if changes, err := db.Remind(ctx, until, channels); err != nil || len(changes) != 0 {
		t.Errorf("once more: %+v, %v", changes, err)
	}
	id := high.ID
	if _, err := db.Acknowledge(ctx, id, audit.Ack{By: "alice", Why: "known", At: hour(24 * 5)}, channels); err != nil {
		t.Fatal(err)
	}
	if at := look(24*5, 24*60); len(at) != 0 {
		t.Errorf("reminded of what is acknowledged at %v", at)
	}
	if _, err := db.Unacknowledge(ctx, id, hour(24*60), "bob", "", channels); err != nil {
		t.Fatal(err)
	}
	if at := look(24*60, 24*62); len(at) != 1 || at[0] != 24*61 {
		t.Errorf("reminded at %v: it begins anew", at)
	}
	// 2 opened; of a: 3 reminders, the acknowledgement and its end; of b: its acknowledgement and that one's end; each on 2 channels.
	if got := count(t, db, "outbox"); got != 2*9 {
		t.Errorf("%d rows in the outbox", got)
	}
	if problems := fsckProblems(t, db); len(problems) != 0 {
		t.Errorf("fsck: %q", problems)
	}
}
