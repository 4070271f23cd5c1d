package schedule

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// monday is the second of November 2026, at midnight.
var monday = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

func TestParse(t *testing.T) {
	for text, next := range map[string]string{
		"@every 5m":          "2026-11-02 00:05:00",
		"17 * * * *":         "2026-11-02 00:17:00",
		"30 17 * * * *":      "2026-11-02 00:17:30",
		"0 8 * * MON":        "2026-11-02 08:00:00",
		"0 8 * * 0":          "2026-11-08 08:00:00",
		"@weekly":            "2026-11-08 00:00:00",
		"0 0 29 2 *":         "2028-02-29 00:00:00",
		"30 2 29 3 *":        "2027-03-29 02:30:00", // the hour that Berlin does not have on that day
		"*/10 * * * *":       "2026-11-02 00:10:00",
		"@daily":             "2026-11-03 00:00:00",
		"15,45 9-17 * * 1-5": "2026-11-02 09:15:00",
	} {
		s, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := s.Next(monday).Format(time.DateTime); got != next || s.String() != text {
			t.Errorf("%s: next %s, want %s", s, got, next)
		}
	}
	for text, want := range map[string]string{
		"":                                "empty spec",
		"TZ=0":                            "UTC",
		"TZ=":                             "UTC",
		"CRON_TZ=Europe/Berlin 0 8 * * *": "UTC",
		"@every 5":                        "not a duration",
		"@every 1s":                       "more often",
		"* * * * * *":                     "more often",
		"0,5 * * * * *":                   "more often",
		"0 0 31 2 *":                      "no such day",
		"0 8 * * 7":                       "above maximum",
		"0 8 * *":                         "expected",
		"@sometimes":                      "unrecognized descriptor",
		"@every -5m":                      "more often",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// diary is when jobs ran.
type diary struct {
	mu  sync.Mutex
	ran []string
}

func (d *diary) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	ran := d.ran
	d.ran = nil
	return ran
}

// bench runs jobs in simulated time.
type bench struct {
	t     *testing.T
	clock *clock.Simulated
	diary
	waiting int
}

// start starts jobs; each takes as long as takes says.
func start(t *testing.T, takes time.Duration, jobs ...Job) *bench {
	t.Helper()
	b := &bench{t: t, clock: clock.NewSimulated(monday), waiting: len(jobs)}
	for i := range jobs {
		jobs[i].Run = func(ctx context.Context) {
			b.mu.Lock()
			b.ran = append(b.ran, jobs[i].Name+" "+b.clock.Now().Format("Mon 15:04"))
			b.mu.Unlock()
			_ = clock.Sleep(ctx, b.clock, takes)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		Run(ctx, b.clock, jobs)
		close(done)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	b.settle()
	return b
}

// settle waits until every job waits.
func (b *bench) settle() {
	b.t.Helper()
	ctx, cancel := clock.Real().WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	if err := b.clock.WaitUntilBlocked(ctx, b.waiting); err != nil {
		b.t.Fatal(err)
	}
}

// live lets time pass minute by minute, with everybody awake.
func (b *bench) live(d time.Duration) {
	b.t.Helper()
	for ; d > 0; d -= 30 * time.Second {
		b.clock.Advance(30 * time.Second)
		b.settle()
	}
}

func (b *bench) want(what string, want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.take()); diff != "" {
		b.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestAJobRunsAtOnceAndThenOnItsSchedule(t *testing.T) {
	b := start(t, 0, Job{Name: "audit", Schedule: Must("17 * * * *")})
	b.want("at the start", "audit Mon 00:00")
	b.live(2 * time.Hour)
	b.want("two hours", "audit Mon 00:17", "audit Mon 01:17")
}

func TestWhatWasMissedIsCaughtUpOnce(t *testing.T) {
	b := start(t, 0, Job{Name: "report", Schedule: Must("0 8 * * *"), Last: monday.Add(-10 * 24 * time.Hour)}, Job{Name: "backup", Schedule: Must("0 8 * * *"), Last: monday.Add(-16 * time.Hour)})
	b.want("ten reports were missed, and no backup", "report Mon 00:00")
	b.clock.Advance(3*24*time.Hour + 9*time.Hour) // the machine sleeps
	b.settle()
	if got := b.take(); len(got) != 2 || got[0][len(got[0])-9:] != "Thu 09:00" || got[1][len(got[1])-9:] != "Thu 09:00" {
		t.Errorf("after three days of sleep: %v", got)
	}
}

func TestAJobDoesNotOverlapWithItself(t *testing.T) {
	b := start(t, 12*time.Minute, Job{Name: "follow", Schedule: Must("@every 5m")})
	b.live(30 * time.Minute)
	b.want("each takes twelve minutes", "follow Mon 00:00", "follow Mon 00:12", "follow Mon 00:24")
}

func TestAClockThatIsSetDelaysNothing(t *testing.T) {
	b := start(t, 0, Job{Name: "audit", Schedule: Must("0 * * * *")})
	b.live(61 * time.Minute)
	b.want("an hour", "audit Mon 00:00", "audit Mon 01:00")
	b.clock.AdvanceTo(monday.Add(-5 * time.Hour))
	b.live(2 * time.Minute)
	b.want("it is seven in the evening before")
	b.live(time.Hour)
	b.want("an hour later", "audit Sun 20:00")
	b.clock.AdvanceTo(monday.Add(30*24*time.Hour + 30*time.Minute))
	b.settle()
	b.want("a month later, all at once", "audit Wed 00:30")
}
