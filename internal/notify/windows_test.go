package notify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/notify"
)

// TestWhenMessagesArrive lets a day pass in simulated time, a pass each half hour, and says how many messages the channel has
// at its end: no earlier and no later.
func TestWhenMessagesArrive(t *testing.T) {
	type want map[time.Duration]int // since nine o'clock
	for name, c := range map[string]struct {
		route notify.Route
		open  int
		want  want
	}{
		"at once":      {notify.Route{}, 5, want{0: 5, 24 * time.Hour: 5}},
		"in quiet":     {notify.Route{Quiet: &notify.Quiet{From: 8 * time.Hour, To: 18 * time.Hour, Zone: time.UTC}}, 5, want{0: 0, 8*time.Hour + 30*time.Minute: 0, 9 * time.Hour: 5, 24 * time.Hour: 5}},
		"not in quiet": {notify.Route{Quiet: &notify.Quiet{From: 18 * time.Hour, To: 8 * time.Hour, Zone: time.UTC}}, 5, want{0: 5}},
		"in a storm":   {notify.Route{Hourly: 10}, 500, want{0: 10, 24 * time.Hour: 10}},
		"below":        {notify.Route{MinSeverity: "critical"}, 5, want{0: 0, 24 * time.Hour: 0}},
	} {
		r := newReceiver(t)
		b := newBench(t, c.open, slackTo(t, r.server.URL))
		b.worker.Routes = map[string]notify.Route{"slack": c.route}
		for since := time.Duration(0); since <= 24*time.Hour; since += 30 * time.Minute {
			b.clock.AdvanceTo(start.Add(since))
			d := deliver(t, b)[0]
			if d.Problem != "" || d.Pending != d.Held {
				t.Errorf("%s, after %s: %+v", name, since, d)
			}
			if want, ok := c.want[since]; ok && len(r.took) != want {
				t.Errorf("%s, after %s: %d messages, want %d", name, since, len(r.took), want)
			}
		}
		for _, m := range r.took {
			for _, problem := range readPosted(t, m).problems() {
				t.Errorf("%s: %s", name, problem)
			}
		}
	}
}

// TestAStormThatGoesOnIsADigestAnHour opens findings for hours, a few each pass, and counts.
func TestAStormThatGoesOnIsADigestAnHour(t *testing.T) {
	r := newReceiver(t)
	b := newBench(t, 0, slackTo(t, r.server.URL))
	b.worker.Routes = map[string]notify.Route{"slack": {Hourly: 10}}
	told := 0
	for pass := range 4 * 6 { // four hours
		b.clock.AdvanceTo(start.Add(time.Duration(pass) * 10 * time.Minute))
		b.settle(t, (pass+1)*20, []string{"slack"})
		told += deliver(t, b)[0].Delivered
	}
	if len(r.took) > 4*10+4 {
		t.Errorf("%d messages in four hours, at most 10 an hour are wanted", len(r.took))
	}
	b.clock.Advance(time.Hour)
	told += deliver(t, b)[0].Delivered
	digests := 0
	for _, m := range r.took {
		digests += strings.Count(readPosted(t, m).Text, "Digest: ")
	}
	if told != 480 || digests < 4 || digests > 6 {
		t.Errorf("%d changes told of 480, %d digests", told, digests)
	}
}
