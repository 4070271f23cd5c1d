package audit

import (
	"fmt"
	"time"
)

// Heard is what people were told of a finding last that is not resolved, and how often they were reminded since.
type Heard struct {
	Finding Finding
	// At is when they were told last, Reminders how often since it was opened, reopened, escalated or no longer acknowledged.
	At        time.Time
	Reminders int
}

// RemindAfter is how long after the last word about a finding people are reminded of it: the more urgent it is, the sooner, and
// later each time. The last interval stays. Zero is never.
func RemindAfter(s Severity, reminders int) time.Duration {
	const day = 24 * time.Hour
	var intervals []time.Duration
	switch s {
	case Critical:
		intervals = []time.Duration{4 * time.Hour, day, 2 * day, 4 * day, 7 * day}
	case High:
		intervals = []time.Duration{day, 3 * day, 7 * day, 14 * day}
	case Medium:
		intervals = []time.Duration{7 * day, 14 * day, 28 * day}
	default:
		return 0
	}
	return intervals[min(reminders, len(intervals)-1)]
}

// Remind decides which findings people are reminded of, and whose acknowledgements have expired. It is pure; an acknowledged finding
// is left in peace until then.
func Remind(heard []Heard, now time.Time) []Change {
	var changes []Change
	for _, h := range heard {
		f := h.Finding
		if f.Status == Acknowledged && f.Ack != nil && f.Ack.expired(now) {
			f.Status, f.Ack = Open, nil
			changes = append(changes, Change{Transition: AckWithdrawn, Finding: f, Why: ackExpired})
			continue
		}
		after := RemindAfter(f.Severity, h.Reminders)
		if f.Status != Open || after == 0 || now.Before(h.At.Add(after)) {
			continue
		}
		changes = append(changes, Change{Transition: Reminded, Finding: f,
			Why: fmt.Sprintf("open since %s, and nobody acknowledged it", f.OpenedAt.UTC().Format(time.RFC3339))})
	}
	return changes
}
