// Package clock is the project's only source of time: nothing else reads it or waits for it.
//
// It promises that whatever waits (a schedule, a budget, a retry, a time limit) can be run in
// simulated time, weeks of it in a moment, with the very code that runs in production. Real is the
// system's clock, Simulated one that moves only when it is told to.
//
// It does not promise that time goes forward evenly: a real clock is set and a machine is suspended.
// Who compares with a stored time must expect it to lie in the future.
package clock

import (
	"context"
	"time"
)

// Clock tells the time and waits for it. Implementations are safe for concurrent use.
type Clock interface {
	// Now is the present.
	Now() time.Time
	// NewTimer returns a timer that sends once on its channel when d has passed; at once if d <= 0.
	NewTimer(d time.Duration) Timer
	// NewTicker returns a ticker that sends every d, and drops what its reader is too slow for. Like
	// time.NewTicker it panics unless d is positive.
	NewTicker(d time.Duration) Ticker
	// WithTimeout returns a copy of ctx that ends with context.DeadlineExceeded when d has passed on
	// this clock. The caller must call cancel as soon as what the time limit guards is over.
	WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
}

// Timer is a single event in the future, as time.Timer: after Stop or Reset has returned, no value
// from before is received.
type Timer interface {
	C() <-chan time.Time
	// Stop keeps the timer from firing and reports whether it did.
	Stop() bool
	// Reset lets the timer fire when d has passed from now and reports whether it was still pending.
	Reset(d time.Duration) bool
}

// Ticker is a recurring event, as time.Ticker.
type Ticker interface {
	C() <-chan time.Time
	Stop()
}

// sleeper is a Clock that has its own way to sleep.
type sleeper interface {
	sleep(ctx context.Context, d time.Duration) error
}

// Sleep waits until d has passed on c and returns nil, or returns ctx's cause as soon as ctx ends,
// even when d <= 0.
func Sleep(ctx context.Context, c Clock, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d <= 0 {
		return nil
	}
	if s, ok := c.(sleeper); ok {
		return s.sleep(ctx, d)
	}
	return sleepOn(ctx, c.NewTimer(d))
}

// sleepOn waits for the timer or for the end of ctx, whose cause it returns.
func sleepOn(ctx context.Context, timer Timer) error {
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
