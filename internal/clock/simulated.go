package clock

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Simulated is a Clock that stands still until it is advanced. It is safe for concurrent use.
//
// Advancing fires whatever falls due on the way, each at its own instant and in order, but does not
// wait for those who are woken: who waits again afterwards waits from where the clock then stands. To
// lead a loop through an hour, advance from wait to wait with WaitUntilBlocked in between, or turn
// AutoAdvance on.
type Simulated struct {
	mu      sync.Mutex
	now     time.Time
	events  eventQueue
	lastSeq uint64
	auto    bool
	waiters int           // pending sleeps, timers and tickers; time limits do not count
	blocked chan struct{} // closed, and replaced, when waiters grows
}

// NewSimulated returns a clock that stands at start.
func NewSimulated(start time.Time) *Simulated {
	// Without the monotonic reading, which belongs to the real clock.
	return &Simulated{now: start.Round(0), blocked: make(chan struct{})}
}

// Now is where the clock stands.
func (s *Simulated) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Advance moves the clock by d.
func (s *Simulated) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advanceTo(s.now.Add(d))
}

// AdvanceTo moves the clock to t. A t in the past sets the clock back, as an operator sets a machine's:
// nothing fires, and whatever is pending takes as long from there as it would have taken.
func (s *Simulated) AdvanceTo(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advanceTo(t)
}

// WaitUntilBlocked waits until at least n sleeps, timers and tickers are pending on the clock, and returns
// ctx's cause if ctx ends first. Time limits are not counted: they guard work, nobody waits for them.
func (s *Simulated) WaitUntilBlocked(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		enough, grown := s.waiters >= n, s.blocked
		s.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// AutoAdvance turns automatic advance on. From then on Sleep does not wait: it moves the clock to where
// the sleep ends, or to the time limit of the context that it sleeps under if that is nearer, and
// returns. So a client that is told to come back in an hour is back at once.
//
// A time limit that the sleeper is not under guards work that goes on elsewhere, such as a request on
// loopback, which takes no simulated time: it moves along with the jump instead of running out. Sleeps
// of several goroutines follow each other, so time never passes more slowly than they ask for, but it
// may pass faster. Timers and tickers fire on the way; to wait for one moves nothing. Sleeps that
// began before automatic advance was turned on end when the clock passes their end.
func (s *Simulated) AutoAdvance() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.auto = true
}

// NewTimer implements Clock.
func (s *Simulated) NewTimer(d time.Duration) Timer {
	return s.newTimer(d)
}

// NewTicker implements Clock.
func (s *Simulated) NewTicker(d time.Duration) Ticker {
	if d <= 0 {
		panic("clock: non-positive interval for NewTicker")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &simulatedTicker{s: s, c: make(chan time.Time, 1), period: d}
	t.e = &event{waits: true, fire: t.tick}
	s.schedule(t.e, s.now.Add(d))
	return t
}

// sleep is Sleep for a positive d.
func (s *Simulated) sleep(ctx context.Context, d time.Duration) error {
	if s.jump(ctx, d) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	return sleepOn(ctx, s.newTimer(d))
}

// jump moves the clock by d, or as far as ctx's time limits allow, if automatic advance is on, and
// reports whether it did.
func (s *Simulated) jump(ctx context.Context, d time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.auto {
		return false
	}
	end := s.now.Add(d)
	own := map[*event]bool{}
	for _, e := range s.limitsOf(ctx) {
		own[e] = true
		if e.pending() && e.at.Before(end) {
			end = e.at
		}
	}
	length := end.Sub(s.now)
	for _, e := range s.events {
		if e.limit && !own[e] {
			e.at = e.at.Add(length)
		}
	}
	heap.Init(&s.events)
	s.advanceTo(end)
	return true
}

// newTimer starts a timer.
func (s *Simulated) newTimer(d time.Duration) *simulatedTimer {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &simulatedTimer{s: s, c: make(chan time.Time, 1)}
	t.e = &event{waits: true, fire: func(at time.Time) { t.c <- at }}
	t.start(d)
	return t
}

// simulatedTimer is a Timer of a Simulated clock.
type simulatedTimer struct {
	s *Simulated
	e *event
	c chan time.Time // holds at most the one value that was not received yet
}

func (t *simulatedTimer) C() <-chan time.Time { return t.c }

func (t *simulatedTimer) Stop() bool {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return t.stop()
}

func (t *simulatedTimer) Reset(d time.Duration) bool {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	pending := t.stop()
	t.start(d)
	return pending
}

// start lets the timer fire at once or later. The clock is locked and the timer stopped.
func (t *simulatedTimer) start(d time.Duration) {
	if d <= 0 {
		t.e.fire(t.s.now)
		return
	}
	t.s.schedule(t.e, t.s.now.Add(d))
}

// stop takes back the event, and the value too if nobody received it. The clock is locked.
func (t *simulatedTimer) stop() bool {
	if t.s.unschedule(t.e) {
		return true
	}
	select {
	case <-t.c:
		return true
	default:
		return false
	}
}

// simulatedTicker is a Ticker of a Simulated clock.
type simulatedTicker struct {
	s      *Simulated
	e      *event
	c      chan time.Time
	period time.Duration
}

func (t *simulatedTicker) C() <-chan time.Time { return t.c }

func (t *simulatedTicker) Stop() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.unschedule(t.e)
}

// tick sends and goes on. The clock is locked.
func (t *simulatedTicker) tick(at time.Time) {
	select {
	case t.c <- at:
	default:
	}
	t.s.schedule(t.e, at.Add(t.period))
}
