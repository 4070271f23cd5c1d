// Package notify delivers what the outbox holds: every announced change of a finding, to every channel.
//
// It promises that a message stays in the outbox until its channel took it, that messages of one channel arrive in the
// order in which they were written, and that no channel holds up another. Where it cannot know whether a channel took a
// message (a time-out, a crash between sending and noting it), it sends it again and says that it may be a repeat: at
// least once, never silently lost. It does not decide what is worth a message.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/failpoint"
)

// Message is one change of one finding on its way to one channel.
type Message struct {
	ID         int64
	Finding    audit.Finding // as it was after the change
	Transition audit.Transition
	At         time.Time
	By, Why    string
	// Attempts counts the attempts so far. AttemptedAt is set where the last one may have taken effect.
	Attempts      int
	AttemptedAt   time.Time
	NextAttemptAt time.Time
}

// Repeat reports whether the channel may have the message already.
func (m Message) Repeat() bool { return !m.AttemptedAt.IsZero() }

// Outbox is the part of the record that holds what is to be delivered.
type Outbox interface {
	// Pending lists undelivered messages of a channel in the order in which they were written.
	Pending(ctx context.Context, channel string, limit int) ([]Message, error)
	// CountPending counts them.
	CountPending(ctx context.Context, channel string) (int, error)
	// Attempting notes that a message is about to be sent: from here on it may have taken effect.
	Attempting(ctx context.Context, now time.Time, id int64) error
	// Delivered notes that the channel took a message.
	Delivered(ctx context.Context, now time.Time, id int64) error
	// NotDelivered notes that it did not; maybe says that it may have taken effect all the same.
	NotDelivered(ctx context.Context, id int64, problem string, maybe bool, next time.Time) error
}

// Channel is one way to reach people.
type Channel interface {
	// Name is the channel's name in the outbox.
	Name() string
	// Send delivers one message. A failure that is not an *Error counts as one that may have taken effect.
	Send(ctx context.Context, m Message) error
}

// Error is a failure to send that says what is known about it.
type Error struct {
	Err error
	// NotTaken says that the channel surely did not take the message.
	NotTaken bool
	// RetryAfter is how long the channel asked to be left alone.
	RetryAfter time.Duration
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Worker delivers the outbox.
type Worker struct {
	Outbox   Outbox
	Channels []Channel
	Clock    clock.Clock
	Logger   *slog.Logger
}

// Delivery counts what a pass over the outbox did on one channel.
type Delivery struct {
	Channel   string `json:"channel"`
	Delivered int    `json:"delivered"`
	Pending   int    `json:"pending"`
	Problem   string `json:"problem,omitempty"`
}

const (
	// attemptsAPass is how often one pass tries a message before it leaves it to the next pass.
	attemptsAPass = 3
	// longestWait is how long a pass waits for a channel. What takes longer is left to a later pass.
	longestWait = time.Minute
	// longestRest is how long a channel is left alone, whatever it asks for: a garbled answer must not silence it for good.
	longestRest = time.Hour
)

// Deliver makes one pass over the outbox: every channel by itself, every message in order. A message that a channel
// does not take ends the pass for that channel: what follows must not overtake it. The error is the record's or the
// context's; a channel's trouble is in its Delivery.
func (w *Worker) Deliver(ctx context.Context) ([]Delivery, error) {
	deliveries := make([]Delivery, len(w.Channels))
	errs := make([]error, len(w.Channels))
	var wg sync.WaitGroup
	for i, c := range w.Channels {
		wg.Go(func() {
			deliveries[i].Channel = c.Name()
			errs[i] = w.deliver(ctx, c, &deliveries[i])
		})
	}
	wg.Wait()
	return deliveries, errors.Join(errs...)
}

// deliver makes a pass over one channel.
func (w *Worker) deliver(ctx context.Context, c Channel, d *Delivery) error {
	const page = 50
	for {
		pending, err := w.Outbox.Pending(ctx, c.Name(), page)
		if err != nil {
			return err
		}
		for _, m := range pending {
			ok, err := w.send(ctx, c, m, d)
			if err != nil {
				return err
			}
			if !ok {
				d.Pending, err = w.Outbox.CountPending(ctx, c.Name())
				return err
			}
			d.Delivered++
		}
		if len(pending) < page {
			return nil
		}
	}
}

// send tries one message a few times.
func (w *Worker) send(ctx context.Context, c Channel, m Message, d *Delivery) (bool, error) {
	if ok, err := w.rest(ctx, m, d); !ok {
		return false, err
	}
	for attempt := 1; ; attempt++ {
		if err := w.Outbox.Attempting(ctx, w.Clock.Now(), m.ID); err != nil {
			return false, err
		}
		failpoint.Hit("notify/attempt-noted")
		err := c.Send(ctx, m)
		failpoint.Hit("notify/sent-not-noted")
		// Written without the pass's context: what is known about an attempt must not be lost to a shutdown.
		noting := context.WithoutCancel(ctx)
		if err == nil {
			err := w.Outbox.Delivered(noting, w.Clock.Now(), m.ID)
			failpoint.Hit("notify/delivery-noted")
			return err == nil, err
		}
		wait, maybe := backoff(attempt), true
		var known *Error
		if errors.As(err, &known) {
			maybe = !known.NotTaken
			wait = max(wait, min(known.RetryAfter, longestRest))
		}
		d.Problem = err.Error()
		w.Logger.Warn("alert not delivered", "channel", c.Name(), "finding", m.Finding.ID, "attempt", m.Attempts+attempt, "error", err)
		if err := w.Outbox.NotDelivered(noting, m.ID, err.Error(), maybe || m.Repeat(), w.Clock.Now().Add(wait)); err != nil {
			return false, err
		}
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if maybe && m.AttemptedAt.IsZero() {
			m.AttemptedAt = w.Clock.Now()
		}
		if attempt == attemptsAPass || wait > longestWait {
			return false, nil
		}
		if err := clock.Sleep(ctx, w.Clock, wait); err != nil {
			return false, err
		}
	}
}

// rest waits until a message may be tried again, and reports whether it may: what a channel asked for in an earlier pass
// holds in this one.
func (w *Worker) rest(ctx context.Context, m Message, d *Delivery) (bool, error) {
	wait := m.NextAttemptAt.Sub(w.Clock.Now())
	switch {
	case wait <= 0, wait > longestRest: // no rest is longer: the clock was set back meanwhile
		return true, nil
	case wait > longestWait:
		d.Problem = fmt.Sprintf("to be left alone until %s", m.NextAttemptAt.UTC().Format(time.RFC3339))
		return false, nil
	}
	err := clock.Sleep(ctx, w.Clock, wait)
	return err == nil, err
}

// backoff is how long to wait after the given attempt of a pass.
func backoff(attempt int) time.Duration { return time.Second << (attempt - 1) }

// Title is a message's first line: what happened, how urgent it is, to which project.
func (m Message) Title() string {
	word := map[audit.Transition]string{
		audit.Opened: "New finding", audit.Reopened: "Finding is back", audit.Escalated: "Finding is more urgent",
		audit.Settled: "Resolved", audit.AckGiven: "Acknowledged", audit.AckWithdrawn: "No longer acknowledged",
	}[m.Transition]
	if word == "" {
		word = string(m.Transition)
	}
	return fmt.Sprintf("%s: %s (%s)", word, m.Finding.Rule, m.Finding.Severity)
}
