package clock

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

func TestSimulatedTimersFireInOrderAndOnlyWhenDue(t *testing.T) {
	c := NewSimulated(start)
	late, soon := c.NewTimer(2*time.Hour), c.NewTimer(time.Hour)
	c.Advance(59 * time.Minute)
	select {
	case <-soon.C():
		t.Fatal("a timer fired before it was due")
	default:
	}
	c.Advance(2 * time.Hour)
	if got := <-soon.C(); !got.Equal(start.Add(time.Hour)) {
		t.Errorf("the first timer fired at %s", got)
	}
	if got := <-late.C(); !got.Equal(start.Add(2 * time.Hour)) {
		t.Errorf("the second timer fired at %s", got)
	}
	if got := c.Now(); !got.Equal(start.Add(2*time.Hour + 59*time.Minute)) {
		t.Errorf("the clock shows %s", got)
	}
}

func TestStoppedTimerDeliversNothing(t *testing.T) {
	c := NewSimulated(start)
	timer := c.NewTimer(time.Minute)
	if !timer.Stop() {
		t.Error("Stop says that the timer did not run")
	}
	c.Advance(time.Hour)
	select {
	case <-timer.C():
		t.Fatal("a stopped timer fired")
	default:
	}
	if timer.Reset(time.Minute) {
		t.Error("Reset says that a stopped timer ran")
	}
	c.Advance(time.Minute)
	<-timer.C()
}

func TestTickerDropsTicksThatNobodyTakes(t *testing.T) {
	c := NewSimulated(start)
	ticker := c.NewTicker(time.Minute)
	defer ticker.Stop()
	c.Advance(10 * time.Minute)
	if got := <-ticker.C(); !got.Equal(start.Add(time.Minute)) {
		t.Errorf("the tick kept is that of %s", got)
	}
	select {
	case <-ticker.C():
		t.Fatal("ticks piled up")
	default:
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	c := NewSimulated(start)
	ctx, cancel := context.WithCancelCause(context.Background())
	reason := errors.New("shutting down")
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := Sleep(ctx, c, time.Hour); !errors.Is(err, reason) {
			t.Errorf("Sleep returned %v", err)
		}
	})
	if err := c.WaitUntilBlocked(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	cancel(reason)
	wg.Wait()
}

func TestAutomaticClockSleepsInNoTime(t *testing.T) {
	c := NewSimulated(start)
	c.AutoAdvance()
	for range 1000 {
		if err := Sleep(context.Background(), c, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.Now(); !got.Equal(start.AddDate(0, 0, 1000)) {
		t.Errorf("after a thousand days the clock shows %s", got)
	}
}

func TestTimeoutSaysDeadlineExceeded(t *testing.T) {
	c := NewSimulated(start)
	ctx, cancel := c.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if ctx.Err() != nil {
		t.Fatalf("a fresh context has ended: %v", ctx.Err())
	}
	c.Advance(time.Minute)
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		t.Errorf("it ended with %v, cause %v", ctx.Err(), context.Cause(ctx))
	}
}

func TestAutomaticClockIsBoundedByTimeouts(t *testing.T) {
	c := NewSimulated(start)
	c.AutoAdvance()
	ctx, cancel := c.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// The timeout falls due on the way to the sleep's end, and time does not go past what both agree on.
	_ = Sleep(ctx, c, time.Hour)
	if ctx.Err() == nil {
		t.Error("an hour passed and the minute's timeout did not")
	}
}

func TestSettingTheClockBackFiresNothing(t *testing.T) {
	c := NewSimulated(start)
	timer := c.NewTimer(time.Minute)
	c.AdvanceTo(start.Add(-time.Hour))
	select {
	case <-timer.C():
		t.Fatal("a timer fired")
	default:
	}
	if got := c.Now(); !got.Equal(start.Add(-time.Hour)) {
		t.Errorf("the clock shows %s", got)
	}
}

func TestRealClockTells(t *testing.T) {
	c := Real()
	before := c.Now()
	if err := Sleep(context.Background(), c, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if !c.Now().After(before) {
		t.Error("the real clock stood still")
	}
	ctx, cancel := c.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
}
