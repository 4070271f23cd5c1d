package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
)

// TestADecisionThatIsMadeAgainChangesNothing has Slack say the same press twice, as it does where it heard no answer.
func TestADecisionThatIsMadeAgainChangesNothing(t *testing.T) {
	e := newExplained(t, "unknown-workflow")
	e.once(t)
	id := e.finding(t, audit.UnexpectedIdentity)
	record, err := db.Open(t.Context(), filepath.Join(e.dir, "monitor.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close()
	cfg, err := (&globals{}).loadConfig()
	if err != nil {
		t.Fatal(err)
	}
	d := decider{record, cfg}
	at := time.Date(2026, 11, 3, 9, 0, 0, 250_000_000, time.UTC)
	for range 2 {
		if err := d.Decide(t.Context(), id, audit.Ack{By: "alice (U012345678 on Slack)", Why: "acknowledged by a button", At: at}); err != nil {
			t.Fatal(err)
		}
	}
	given := 0
	history, err := record.History(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range history {
		if h.Transition == audit.AckGiven && h.By == "alice (U012345678 on Slack)" {
			given++
		}
	}
	if given != 1 {
		t.Errorf("acknowledged %d times: %+v", given, history)
	}
	if err := d.Decide(t.Context(), "f-000000000000", audit.Ack{}); err == nil {
		t.Error("a finding that there is not was acknowledged")
	}
}
