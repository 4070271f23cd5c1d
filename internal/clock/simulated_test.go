package clock

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ended reports whether a context has ended.
func ended(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

func TestAJumpLeavesTimeLimitsOfOtherWorkAsFarAway(t *testing.T) {
	c := NewSimulated(start)
	c.AutoAdvance()
	work, cancel := c.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := Sleep(context.Background(), c, time.Hour); err != nil {
		t.Fatal(err)
	}
	c.Advance(59 * time.Second)
	if ended(work) {
		t.Fatal("somebody else's sleep used up the time limit")
	}
	c.Advance(time.Second)
	if !ended(work) {
		t.Error("the time limit moved along with an ordinary advance too")
	}
}

func TestAJumpStopsAtTheNearestTimeLimitOfTheSleeper(t *testing.T) {
	c := NewSimulated(start)
	c.AutoAdvance()
	outer, cancelOuter := c.WithTimeout(context.Background(), time.Minute)
	defer cancelOuter()
	middle, cancelMiddle := context.WithCancel(outer)
	defer cancelMiddle()
	inner, cancelInner := c.WithTimeout(middle, time.Hour)
	defer cancelInner()
	err := Sleep(inner, c, 24*time.Hour)
	// The outer limit reaches the inner context through another goroutine, so Sleep may see only its own time end.
	<-inner.Done()
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Sleep returned %v", err)
	}
	if !errors.Is(inner.Err(), context.DeadlineExceeded) {
		t.Errorf("the inner context ended with %v", inner.Err())
	}
	if got := c.Now().Sub(start); got != time.Minute {
		t.Errorf("the clock moved by %s, want 1m0s", got)
	}
}

func TestATimeLimitEndsWithItsParentAndKeepsItsCause(t *testing.T) {
	c := NewSimulated(start)
	reason := errors.New("shutting down")
	parent, stop := context.WithCancelCause(context.Background())
	ctx, cancel := c.WithTimeout(parent, time.Minute)
	defer cancel()
	stop(reason)
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(context.Cause(ctx), reason) {
		t.Errorf("it ended with %v, cause %v", ctx.Err(), context.Cause(ctx))
	}
	c.Advance(time.Hour)
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("the time limit changed the reason to %v", ctx.Err())
	}
}

func TestWhatDerivesFromATimeLimitEndsWithItsReason(t *testing.T) {
	c := NewSimulated(start)
	ctx, cancel := c.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	child, cancelChild := context.WithCancelCause(ctx)
	defer cancelChild(nil)
	c.Advance(time.Minute)
	<-child.Done()
	if !errors.Is(child.Err(), context.DeadlineExceeded) || !errors.Is(context.Cause(child), context.DeadlineExceeded) {
		t.Errorf("the child ended with %v, cause %v", child.Err(), context.Cause(child))
	}
}

func TestSimulatedTimeLimitsShowNoDeadline(t *testing.T) {
	real, cancelReal := context.WithDeadline(context.Background(), start.Add(100*365*24*time.Hour))
	defer cancelReal()
	ctx, cancel := NewSimulated(start).WithTimeout(real, time.Minute)
	defer cancel()
	if at, ok := ctx.Deadline(); ok {
		t.Errorf("a dialer would give up at %s", at)
	}
}

func TestCancelledTimeLimitsLeaveNothingBehind(t *testing.T) {
	c := NewSimulated(start)
	for range 1000 {
		_, cancel := c.WithTimeout(context.Background(), time.Hour)
		cancel()
	}
	if got := len(c.events); got != 0 {
		t.Errorf("%d events are pending", got)
	}
}

func TestATimeLimitThatIsOverAtOnce(t *testing.T) {
	ctx, cancel := NewSimulated(start).WithTimeout(context.Background(), 0)
	defer cancel()
	if !ended(ctx) || ctx.Err() != context.DeadlineExceeded {
		t.Errorf("the context is %v", ctx.Err())
	}
}

func TestResetTimerForgetsWhatNobodyReceived(t *testing.T) {
	c := NewSimulated(start)
	timer := c.NewTimer(time.Minute)
	c.Advance(time.Minute)
	if !timer.Reset(time.Hour) {
		t.Error("Reset says that the value had been received")
	}
	c.Advance(time.Hour)
	if got := <-timer.C(); !got.Equal(start.Add(time.Minute + time.Hour)) {
		t.Errorf("received %s, from before the reset", got)
	}
	if timer.Stop() {
		t.Error("Stop says that an expired timer was pending")
	}
}

func TestATimerThatIsDueFiresAtOnce(t *testing.T) {
	if got := <-NewSimulated(start).NewTimer(-time.Second).C(); !got.Equal(start) {
		t.Errorf("received %s", got)
	}
}

func TestAStoppedTickerTicksNoMore(t *testing.T) {
	c := NewSimulated(start)
	ticker := c.NewTicker(time.Minute)
	for i := range 3 {
		c.Advance(time.Minute)
		if got := <-ticker.C(); !got.Equal(start.Add(time.Duration(i+1) * time.Minute)) {
			t.Errorf("tick %d is that of %s", i, got)
		}
	}
	ticker.Stop()
	c.Advance(time.Hour)
	select {
	case <-ticker.C():
		t.Error("it ticked")
	default:
	}
}

func TestSettingTheClockBackKeepsWhatIsLeftOfAWait(t *testing.T) {
	c := NewSimulated(start)
	timer := c.NewTimer(10 * time.Minute)
	c.Advance(4 * time.Minute)
	c.AdvanceTo(start.Add(-24 * time.Hour))
	c.Advance(6*time.Minute - 1)
	select {
	case <-timer.C():
		t.Fatal("the timer fired too soon")
	default:
	}
	c.Advance(1)
	if got, want := <-timer.C(), start.Add(-24*time.Hour+6*time.Minute); !got.Equal(want) {
		t.Errorf("the timer fired at %s, want %s", got, want)
	}
}

func TestWaitUntilBlockedCountsWhoWaitsAndNotWhatGuards(t *testing.T) {
	c := NewSimulated(start)
	_, cancel := c.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	over, stop := context.WithCancel(context.Background())
	stop()
	if err := c.WaitUntilBlocked(over, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("a time limit counts as waiting: %v", err)
	}
	ticker := c.NewTicker(time.Hour)
	defer ticker.Stop()
	timer := c.NewTimer(time.Minute)
	if err := c.WaitUntilBlocked(context.Background(), 2); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Minute)
	<-timer.C()
	if err := c.WaitUntilBlocked(over, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("a timer that fired still counts: %v", err)
	}
}

func TestSleepOfAnEndedContextDoesNotSleep(t *testing.T) {
	c := NewSimulated(start)
	c.AutoAdvance()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, d := range []time.Duration{0, time.Hour} {
		if err := Sleep(ctx, c, d); !errors.Is(err, context.Canceled) {
			t.Errorf("Sleep(%s) returned %v", d, err)
		}
	}
	if !c.Now().Equal(start) {
		t.Errorf("the clock moved to %s", c.Now())
	}
}
