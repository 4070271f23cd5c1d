package audit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRemindersGrowRarer(t *testing.T) {
	const day = 24 * time.Hour
	for severity, want := range map[Severity][]time.Duration{
		Critical: {4 * time.Hour, 28 * time.Hour, 28*time.Hour + 2*day, 28*time.Hour + 6*day, 28*time.Hour + 13*day, 28*time.Hour + 20*day},
		High:     {day, 4 * day, 11 * day, 25 * day},
		Medium:   {7 * day, 21 * day},
		Low:      nil,
		Info:     nil,
	} {
		h := Heard{Finding: Finding{ID: "f-1", Severity: severity, Status: Open, OpenedAt: noon}, At: noon}
		var got []time.Duration
		for hour := range 26 * 24 { // looked at each hour
			now := noon.Add(time.Duration(hour) * time.Hour)
			if changes := Remind([]Heard{h}, now); len(changes) == 1 {
				got = append(got, now.Sub(noon))
				h.At, h.Reminders = now, h.Reminders+1
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", severity, diff)
		}
	}
	known := Heard{Finding: Finding{ID: "f-1", Severity: Critical, Status: Acknowledged}, At: noon}
	if changes := Remind([]Heard{known}, noon.Add(365*day)); len(changes) != 0 {
		t.Errorf("acknowledged: %+v", changes)
	}
}

func TestAnAcknowledgementThatExpiresIsTakenBackAtOnce(t *testing.T) {
	until := noon.Add(48 * time.Hour)
	f := Finding{ID: "f-1", Severity: Low, Status: Acknowledged, Ack: &Ack{By: "alice", Why: "known", At: noon, Until: &until}}
	if changes := Remind([]Heard{{Finding: f, At: noon}}, until.Add(-time.Second)); len(changes) != 0 {
		t.Errorf("a second before: %+v", changes)
	}
	want := f
	want.Status, want.Ack = Open, nil
	if diff := cmp.Diff([]Change{{Transition: AckWithdrawn, Finding: want, Why: "the acknowledgement expired"}}, Remind([]Heard{{Finding: f, At: noon}}, until)); diff != "" {
		t.Errorf("when it expires (-want +got):\n%s", diff)
	}
}
