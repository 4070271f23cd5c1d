package clock

import (
	"context"
	"sync"
	"time"
)

// WithTimeout implements Clock. The context reports no Deadline: whoever asks for one, such as a
// dialer, compares it with the real clock.
func (s *Simulated) WithTimeout(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	l := &limitContext{Context: parent, clock: s, done: make(chan struct{})}
	l.event = &event{limit: true, fire: func(time.Time) { l.end(context.DeadlineExceeded) }}
	if d <= 0 && parent.Err() == nil {
		l.end(context.DeadlineExceeded)
		return l, func() {}
	}
	s.mu.Lock()
	s.schedule(l.event, s.now.Add(d))
	s.mu.Unlock()
	release := context.AfterFunc(parent, func() { l.cancel(parent.Err()) })
	return l, func() {
		release()
		l.cancel(context.Canceled)
	}
}

// limitKey is the context key under which the nearest limitContext is found.
type limitKey struct{}

// limitContext is a context that ends at an instant of a simulated clock.
type limitContext struct {
	context.Context // the parent, for its values and, if it ends first, its cause

	clock *Simulated
	event *event
	done  chan struct{}

	mu  sync.Mutex
	err error
}

func (l *limitContext) Deadline() (time.Time, bool) { return time.Time{}, false }

func (l *limitContext) Done() <-chan struct{} { return l.done }

func (l *limitContext) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *limitContext) Value(key any) any {
	if key == (limitKey{}) {
		return l
	}
	return l.Context.Value(key)
}

// cancel takes the time limit off the clock and ends the context.
func (l *limitContext) cancel(err error) {
	l.clock.mu.Lock()
	l.clock.unschedule(l.event)
	l.clock.mu.Unlock()
	l.end(err)
}

// end ends the context; the first reason stays.
func (l *limitContext) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		close(l.done)
	}
}

// limitsOf are the events of this clock's time limits that ctx is under. The clock is locked.
func (s *Simulated) limitsOf(ctx context.Context) []*event {
	var events []*event
	for {
		l, ok := ctx.Value(limitKey{}).(*limitContext)
		if !ok {
			return events
		}
		if l.clock == s {
			events = append(events, l.event)
		}
		ctx = l.Context
	}
}
