package clock

import (
	"container/heap"
	"time"
)

// event is something that happens on a simulated clock. The clock's lock guards it.
type event struct {
	at    time.Time
	seq   uint64 // of two events at one instant, the one that was scheduled first happens first
	place int    // index in the queue plus one; zero if not pending
	waits bool   // somebody waits for it: WaitUntilBlocked counts it
	limit bool   // it is a time limit
	fire  func(at time.Time)
}

func (e *event) pending() bool { return e.place > 0 }

// schedule makes e happen at the given time. The clock is locked and e is not pending.
func (s *Simulated) schedule(e *event, at time.Time) {
	s.lastSeq++
	e.at, e.seq = at, s.lastSeq
	heap.Push(&s.events, e)
	if e.waits {
		s.waiters++
		close(s.blocked)
		s.blocked = make(chan struct{})
	}
}

// unschedule keeps e from happening and reports whether it was pending. The clock is locked.
func (s *Simulated) unschedule(e *event) bool {
	if !e.pending() {
		return false
	}
	heap.Remove(&s.events, e.place-1)
	if e.waits {
		s.waiters--
	}
	return true
}

// advanceTo lets everything happen that is due up to t, in order, and moves the clock there. The
// clock is locked.
func (s *Simulated) advanceTo(t time.Time) {
	if back := s.now.Sub(t); back > 0 {
		// All by the same amount: the queue stays in order.
		for _, e := range s.events {
			e.at = e.at.Add(-back)
		}
	}
	for len(s.events) > 0 && !s.events[0].at.After(t) {
		e := s.events[0]
		s.now = e.at
		s.unschedule(e)
		e.fire(e.at)
	}
	s.now = t
}

// eventQueue is a heap of pending events, the earliest first.
type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }

func (q eventQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}

func (q eventQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i+1, j+1
}

func (q *eventQueue) Push(x any) {
	e := x.(*event)
	*q = append(*q, e)
	e.place = len(*q)
}

func (q *eventQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.place = 0
	return e
}
