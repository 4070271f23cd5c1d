package fetch

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// adaptive finds out how often a host wants to be asked, below the ceiling that its budget is: a little more with time, and
// half as often at each sign that it is too much. Signs are the statuses 429 and 503, an attempt that ran out of time, and
// answers that take much longer than they used to, which is how a server says it before it refuses.
//
// It begins at half the ceiling, so that the ceiling is reached only where nothing speaks against it for over a minute.
type adaptive struct {
	limiter *rate.Limiter
	ceiling float64 // requests a second

	mu      sync.Mutex
	rate    float64
	changed time.Time
	halved  time.Time // what was asked before that says nothing of the rate since
	// recent is a moving average of how long answers take, best the least that it was.
	recent, best time.Duration
}

const (
	adaptEvery = 10 * time.Second // between two increases
	adaptSteps = 16               // increases from nothing to the ceiling
	adaptFloor = 64               // the least is the ceiling divided by this
	// slowFactor and slowAtLeast say which average is slow, next to the best: latency varies for many a reason.
	slowFactor  = 3
	slowAtLeast = 200 * time.Millisecond
)

// newAdaptive adapts a limiter; nil where there is no ceiling to stay below.
func newAdaptive(b Budget, limiter *rate.Limiter, now time.Time) *adaptive {
	if !b.Adaptive || limiter.Limit() == rate.Inf {
		return nil
	}
	a := &adaptive{limiter: limiter, ceiling: float64(limiter.Limit()), changed: now}
	a.set(now, a.ceiling/2)
	return a
}

// answered takes what came of an attempt that began at an instant.
func (a *adaptive) answered(began, now time.Time, err error) {
	if a == nil || errors.Is(err, context.Canceled) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	busy := err != nil && overloaded(err)
	if err == nil && a.slow(now.Sub(began)) {
		// Taken for the host's pace from now on if it stays so: it may have moved, and must not be starved for that.
		busy, a.best, a.recent = true, 2*a.best, 2*a.best
	}
	switch {
	case busy && began.After(a.halved):
		// One step for all that was in flight: they met the same trouble.
		a.set(now, a.rate/2)
		a.halved = now
	case !busy && err == nil && now.Sub(a.changed) >= adaptEvery:
		a.set(now, a.rate+a.ceiling/adaptSteps)
	}
}

// slow takes how long an answer took, and says whether they take too long of late.
func (a *adaptive) slow(took time.Duration) bool {
	if a.recent == 0 {
		a.recent = took
	} else {
		a.recent += (took - a.recent) / 8
	}
	if a.best == 0 || a.recent < a.best {
		a.best = a.recent
	}
	return a.recent > max(slowFactor*a.best, a.best+slowAtLeast)
}

func (a *adaptive) set(now time.Time, perSecond float64) {
	a.rate = min(max(perSecond, a.ceiling/adaptFloor), a.ceiling)
	a.changed = now
	a.limiter.SetLimitAt(now, rate.Limit(a.rate))
}

// overloaded says whether a failure is a sign of too many requests.
func overloaded(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.Status == http.StatusTooManyRequests || status.Status == http.StatusServiceUnavailable
	}
	return errors.Is(err, context.DeadlineExceeded)
}
