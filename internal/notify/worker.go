package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/failpoint"
)

// Worker delivers the outbox.
type Worker struct {
	Outbox   Outbox
	Channels []Channel
	// Routes are what is said of channels, by their names; a channel that is not here is told everything, at once.
	Routes map[string]Route
	Clock  clock.Clock
	Logger *slog.Logger
}

// Delivery counts what a pass over the outbox did on one channel.
type Delivery struct {
	Channel string `json:"channel"`
	// Delivered and Pending count changes of findings; a message may tell several.
	Delivered int `json:"delivered"`
	Pending   int `json:"pending"`
	// Held is how many of Pending wait for a quiet time to end, or for an hour with many messages.
	Held    int    `json:"held,omitempty"`
	Problem string `json:"problem,omitempty"`
	// FailingSince is when the oldest attempt failed of what still is not delivered.
	FailingSince time.Time `json:"failing_since,omitzero"`
}

const (
	// page bounds the messages that are planned at once.
	page = 2000
	// attemptsAPass is how often one pass tries a parcel before it leaves it to the next pass.
	attemptsAPass = 3
	// longestWait is how long a pass waits for a channel. What takes longer is left to a later pass.
	longestWait = time.Minute
	// longestRest is how long a channel is left alone, whatever it asks for: a garbled answer must not silence it for good.
	longestRest = time.Hour
)

// Deliver makes one pass over the outbox, every channel by itself. A channel that does not work ends the pass for itself; a
// parcel that a working channel refuses holds up only what is about the same findings. The error is the record's or the
// context's; a channel's trouble is in its Delivery.
func (w *Worker) Deliver(ctx context.Context) ([]Delivery, error) {
	deliveries := make([]Delivery, len(w.Channels))
	errs := make([]error, len(w.Channels))
	var wg sync.WaitGroup
	for i, c := range w.Channels {
		wg.Go(func() {
			d := &delivering{Worker: w, channel: c, refused: map[string]bool{}, Delivery: Delivery{Channel: c.Name()}}
			errs[i] = d.run(ctx)
			deliveries[i] = d.Delivery
		})
	}
	wg.Wait()
	return deliveries, errors.Join(errs...)
}

// delivering is a pass over one channel.
type delivering struct {
	*Worker
	channel Channel
	// refused are the findings that the channel refused a parcel about: what follows must not overtake it.
	refused map[string]bool
	Delivery
}

// outcome is what became of a parcel.
type outcome int

const (
	taken outcome = iota
	refused
	down // and so is the channel
)

// run sends what is pending until nothing is left that can be sent.
func (d *delivering) run(ctx context.Context) error {
	for more := true; more; {
		pending, err := d.Outbox.Pending(ctx, d.Channel, page)
		if err != nil {
			return err
		}
		p, err := d.plan(ctx, pending)
		if err != nil {
			return err
		}
		if err := d.Outbox.Unwanted(ctx, p.unwanted); err != nil {
			return err
		}
		d.Held = p.held
		moved := len(p.unwanted)
		for _, parcel := range p.send {
			if slices.ContainsFunc(parcel.Messages, func(m Message) bool { return d.refused[m.Finding.ID] }) {
				d.refuse(parcel)
				continue
			}
			became, err := d.send(ctx, parcel)
			switch {
			case err != nil:
				return err
			case became == down:
				return d.account(ctx)
			case became == refused:
				d.refuse(parcel)
			default:
				d.Delivered += len(parcel.Messages)
				moved += len(parcel.Messages)
			}
		}
		// What was not looked at yet is, once something made room for it.
		more = len(pending) == page && moved > 0
	}
	return d.account(ctx)
}

// account counts what is left, without the pass's context: what was done is told, whatever comes next. What waits for a quiet
// time to end and failed before it began is failing still.
func (d *delivering) account(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var err error
	if d.Pending, err = d.Outbox.CountPending(ctx, d.Channel); err != nil {
		return err
	}
	since, problem, err := d.Outbox.Failing(ctx, d.Channel)
	if d.FailingSince = since; d.Problem == "" {
		d.Problem = problem
	}
	return err
}

// refuse keeps what is about a parcel's findings from overtaking it.
func (d *delivering) refuse(p Parcel) {
	for _, m := range p.Messages {
		d.refused[m.Finding.ID] = true
	}
}

// plan decides what to do about what is pending.
func (d *delivering) plan(ctx context.Context, pending []Message) (plan, error) {
	slices.SortFunc(pending, func(a, b Message) int { return cmp.Compare(a.ID, b.ID) })
	s := situation{route: d.Routes[d.Channel], now: d.Clock.Now()}
	var err error
	if s.route.Hourly > 0 {
		if s.sent, err = d.Outbox.Sent(ctx, d.Channel, s.now.Add(-time.Hour)); err != nil {
			return plan{}, err
		}
	}
	if s.route.Summarize > 0 {
		if s.known, err = d.Outbox.Told(ctx, d.Channel); err != nil {
			return plan{}, err
		}
	}
	return s.decide(pending), nil
}

// send tries one parcel a few times.
func (d *delivering) send(ctx context.Context, p Parcel) (outcome, error) {
	if ok, err := d.rest(ctx, p); !ok {
		return down, err
	}
	var err error
	if p.Thread, p.Root, err = d.Outbox.Thread(ctx, d.Channel, p); err != nil {
		return down, err
	}
	for attempt := 1; ; attempt++ {
		thread, err := d.attempt(ctx, &p)
		// Written without the pass's context: what is known about an attempt must not be lost to a shutdown.
		noting := context.WithoutCancel(ctx)
		if err == nil {
			err := d.Outbox.Delivered(noting, d.Clock.Now(), p, thread)
			failpoint.Hit("notify/delivery-noted")
			return taken, err
		}
		var stored *recordError
		if errors.As(err, &stored) {
			return down, stored.error
		}
		known := &Error{}
		maybe := !errors.As(err, &known) || !known.NotTaken
		wait := max(backoff(attempt), min(known.RetryAfter, longestRest))
		now := d.Clock.Now()
		next := now.Add(wait)
		if known.OnlyThis {
			next = now
		}
		d.fail(p, err, attempt)
		if err := d.Outbox.NotDelivered(noting, now, p, err.Error(), maybe || p.Repeat(), next); err != nil {
			return down, err
		}
		switch {
		case ctx.Err() != nil:
			return down, context.Cause(ctx)
		case known.OnlyThis:
			return refused, nil
		case attempt == attemptsAPass || wait > longestWait:
			return down, nil
		}
		if maybe {
			p = p.maybe(now)
		}
		if err := clock.Sleep(ctx, d.Clock, wait); err != nil {
			return down, err
		}
	}
}

// recordError is a failure of the record, which is not a channel's.
type recordError struct{ error }

// attempt sends a parcel once, unless the channel has it already.
func (d *delivering) attempt(ctx context.Context, p *Parcel) (string, error) {
	if teller, ok := d.channel.(Teller); ok && p.Repeat() {
		switch thread, took, err := teller.Took(ctx, *p); {
		case err == nil && took:
			return thread, nil
		case err == nil:
			*p = p.maybe(time.Time{})
		case !errors.Is(err, errCannotTell):
			return "", err
		}
	}
	if err := d.Outbox.Attempting(ctx, d.Clock.Now(), *p); err != nil {
		return "", &recordError{err}
	}
	failpoint.Hit("notify/attempt-noted")
	thread, err := d.channel.Send(ctx, *p)
	failpoint.Hit("notify/sent-not-noted")
	return thread, err
}

// maybe returns a parcel that may have been taken at an instant, or surely was not where that is zero.
func (p Parcel) maybe(at time.Time) Parcel {
	p.Messages = slices.Clone(p.Messages)
	for i := range p.Messages {
		p.Messages[i].AttemptedAt = at
	}
	return p
}

// fail keeps what people are told of a failure.
func (d *delivering) fail(p Parcel, err error, attempt int) {
	m := p.Lead()
	d.Problem = err.Error()
	d.Logger.Warn("alert not delivered", "channel", d.Channel, "finding", m.Finding.ID, "attempt", m.Attempts+attempt, "error", err)
}

// rest waits until a parcel may be tried again, and reports whether it may: what a channel asked for in an earlier pass
// holds in this one.
func (d *delivering) rest(ctx context.Context, p Parcel) (bool, error) {
	m := p.Lead()
	wait := m.NextAttemptAt.Sub(d.Clock.Now())
	switch {
	case wait <= 0, wait > longestRest: // no rest is longer: the clock was set back meanwhile
		return true, nil
	case wait > longestWait:
		d.Problem = fmt.Sprintf("to be left alone until %s", instant(m.NextAttemptAt))
		return false, nil
	}
	err := clock.Sleep(ctx, d.Clock, wait)
	return err == nil, err
}

// backoff is how long to wait after the given attempt of a pass.
func backoff(attempt int) time.Duration { return time.Second << (attempt - 1) }
