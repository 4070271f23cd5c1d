// Package schedule says when jobs are due, and runs them then.
//
// It promises that a job never overlaps with itself; that of all the times which passed while a job was running, the program was
// stopped or the machine slept, one is caught up; and that a clock which is set lets no job wait for longer than its schedule says.
// Schedules are in UTC: no hour of them is missing or there twice.
//
// It does not promise punctuality: a job starts within a minute of its time where the machine slept, and when the one before it has
// ended. Of a clock that is set back the times between come again, and so do the jobs.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// Shortest is the least time between two runs.
const Shortest = 10 * time.Second

// glance is how long at most a job waits without a look at the clock: timers stand still while a machine sleeps.
const glance = time.Minute

// Schedule says when something is due.
type Schedule struct {
	text string
	spec cron.Schedule
}

var parser = cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// Parse reads a schedule: five fields as cron has them (minute, hour, day of the month, month, day of the week from 0, which is
// Sunday), a sixth for seconds before them if wanted, @hourly, @daily, @weekly, @monthly, or "@every 5m".
func Parse(text string) (s Schedule, err error) {
	// The parser panics on some zones that are cut short.
	defer func() {
		if recover() != nil {
			err = errors.New("it is not a schedule")
		}
	}()
	if strings.Contains(text, "=") {
		return Schedule{}, errors.New("schedules are in UTC: leave the time zone out")
	}
	if every, ok := strings.CutPrefix(text, "@every "); ok {
		switch d, err := time.ParseDuration(every); {
		case err != nil:
			return Schedule{}, fmt.Errorf("%q is not a duration", every)
		case d < Shortest:
			return Schedule{}, fmt.Errorf("that is more often than every %s", Shortest)
		}
	}
	spec, err := parser.Parse(text)
	if err != nil {
		return Schedule{}, errors.New(strings.ReplaceAll(err.Error(), "\n", " "))
	}
	s = Schedule{text, spec}
	// The calendar of these years has every day that there is.
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	first := s.Next(at)
	if first.IsZero() {
		return Schedule{}, errors.New("there is no such day")
	}
	for range 100 {
		next := s.Next(first)
		if next.IsZero() {
			break // of what is years apart the calendar is not looked through to its end
		}
		if next.Sub(first) < Shortest {
			return Schedule{}, fmt.Errorf("that is more often than every %s", Shortest)
		}
		first = next
	}
	return s, nil
}

// Must is Parse of a schedule that is known to be one.
func Must(text string) Schedule {
	s, err := Parse(text)
	if err != nil {
		panic("schedule " + text + ": " + err.Error())
	}
	return s
}

// Next is the first time after another.
func (s Schedule) Next(after time.Time) time.Time { return s.spec.Next(after.UTC()) }

// Equal reports whether two schedules are written alike.
func (s Schedule) Equal(other Schedule) bool { return s.text == other.text }

// String returns the schedule as it was written.
func (s Schedule) String() string { return s.text }

// Job is something that is done on a schedule.
type Job struct {
	Name     string
	Schedule Schedule
	// Last is when it was last started, by the record; zero for never, and then it is due at once.
	Last time.Time
	// Run does it. It returns when it is done, or soon after the context ends.
	Run func(context.Context)
}

// Run runs jobs until the context ends, beside each other, and waits for those that are running then.
func Run(ctx context.Context, c clock.Clock, jobs []Job) {
	var wg sync.WaitGroup
	for _, j := range jobs {
		wg.Go(func() { j.loop(ctx, c) })
	}
	wg.Wait()
}

func (j Job) loop(ctx context.Context, c clock.Clock) {
	last := j.Last
	for ctx.Err() == nil {
		now := c.Now()
		if now.Before(last) {
			last = now // the clock was set back: what is due next counts from there
		}
		if !last.IsZero() {
			if wait := j.Schedule.Next(last).Sub(now); wait > 0 {
				if clock.Sleep(ctx, c, min(wait, glance)) != nil {
					return
				}
				continue
			}
		}
		last = now
		j.Run(ctx)
	}
}
