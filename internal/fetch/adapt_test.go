package fetch

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// adaptiveWorld is a server whose budget of 480 requests a minute, at most one at once, is a ceiling. Time passes by the
// client's own waiting, and by what answer says that an answer takes.
func adaptiveWorld(t *testing.T, answer func(rw http.ResponseWriter, asked int64) time.Duration) *world {
	t.Helper()
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		w.clock.Advance(answer(rw, w.asked.Load()))
	}, func(o *Options) {
		o.DefaultBudget = Budget{Requests: 480, Per: time.Minute, Burst: 1, Adaptive: true}
	})
	return w
}

// perMinute is the present rate of the server.
func (w *world) perMinute() float64 { return 60 * w.Rate(w.url[len("http://"):]) }

// ask makes requests, and returns the rates that each leaves behind it, without repetitions.
func (w *world) ask(t *testing.T, n int) []float64 {
	t.Helper()
	var rates []float64
	for range n {
		if _, err := w.get("/"); err != nil {
			t.Fatal(err)
		}
		rates = append(rates, w.perMinute())
	}
	return slices.Compact(rates)
}

func TestARateRisesToTheCeilingAndNoFurther(t *testing.T) {
	w := adaptiveWorld(t, func(http.ResponseWriter, int64) time.Duration { return 50 * time.Millisecond })
	want := []float64{240, 270, 300, 330, 360, 390, 420, 450, 480}
	if diff := cmp.Diff(want, w.ask(t, 1200)); diff != "" {
		t.Errorf("requests a minute (- wanted, + got):\n%s", diff)
	}
	began, before := w.clock.Now(), w.asked.Load()
	w.ask(t, 480)
	if took := w.clock.Now().Sub(began); w.asked.Load()-before != 480 || took < 59*time.Second {
		t.Errorf("%d requests in %s", w.asked.Load()-before, took)
	}
}

func TestARateIsHalvedWhenTheServerHasEnough(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		retryAfter string
		wait       time.Duration // after the refusal, at least
	}{
		"429":                  {http.StatusTooManyRequests, "", 0},
		"503":                  {http.StatusServiceUnavailable, "", 0},
		"429 with Retry-After": {http.StatusTooManyRequests, "90", 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var w *world
			var refused, again time.Time
			w = adaptiveWorld(t, func(rw http.ResponseWriter, asked int64) time.Duration {
				switch asked {
				case 2:
					refused = w.clock.Now()
					if c.retryAfter != "" {
						rw.Header().Set("Retry-After", c.retryAfter)
					}
					rw.WriteHeader(c.status)
				case 3:
					again = w.clock.Now()
				}
				return 50 * time.Millisecond
			})
			w.ask(t, 1)
			if _, err := w.get("/"); err != nil {
				t.Fatal(err)
			}
			want := 120.0
			if c.wait >= adaptEvery {
				want += 30 // it rested, and was answered
			}
			if got := w.perMinute(); got != want {
				t.Errorf("%v requests a minute, want %v", got, want)
			}
			if got := again.Sub(refused); got < c.wait {
				t.Errorf("it was asked again after %s, want %s", got, c.wait)
			}
		})
	}
}

func TestARateIsHalvedWhenAnswersBecomeSlow(t *testing.T) {
	w := adaptiveWorld(t, func(_ http.ResponseWriter, asked int64) time.Duration {
		if asked > 20 {
			return 2 * time.Second
		}
		return 100 * time.Millisecond
	})
	w.ask(t, 20)
	before := w.perMinute()
	rates := w.ask(t, 2)
	if rates[len(rates)-1] != before/2 {
		t.Errorf("%v requests a minute before answers took twenty times as long, %v after", before, rates)
	}
	// It stays slow: that is the host's pace then.
	rates = w.ask(t, 60)
	if least := slices.Min(rates); least != 45 || rates[len(rates)-1] < before {
		t.Errorf("%v requests a minute", rates)
	}
}

func TestASingleSlowAnswerChangesNothing(t *testing.T) {
	w := adaptiveWorld(t, func(_ http.ResponseWriter, asked int64) time.Duration {
		if asked == 10 {
			return time.Second
		}
		return 100 * time.Millisecond
	})
	if got := w.ask(t, 20); got[0] != 240 || slices.Min(got) != 240 {
		t.Errorf("%v requests a minute", got)
	}
}

// TestRefusalsOfWhatWasInFlightHalveOnce has eight requests be refused that were all made before the first refusal.
func TestRefusalsOfWhatWasInFlightHalveOnce(t *testing.T) {
	limiter := Budget{Requests: 480, Per: time.Minute}.limiter()
	a := newAdaptive(Budget{Adaptive: true}, limiter, start)
	refusal := fmt.Errorf("refused: %w", &StatusError{Status: http.StatusTooManyRequests})
	for i := range 8 {
		a.answered(start.Add(time.Second), start.Add(2*time.Second+time.Duration(i)*time.Millisecond), refusal)
	}
	if got := 60 * float64(limiter.Limit()); got != 120 {
		t.Errorf("%v requests a minute", got)
	}
	for i := range 100 {
		at := start.Add(time.Duration(i+10) * time.Second)
		a.answered(at, at.Add(time.Millisecond), context.DeadlineExceeded)
	}
	if got := 60 * float64(limiter.Limit()); got != 7.5 {
		t.Errorf("%v requests a minute are left, want 7.5", got)
	}
}

func TestAQuestionIsTriedAgainThoughItIsAPost(t *testing.T) {
	for _, c := range []struct {
		readOnly bool
		want     int64
	}{{true, 3}, {false, 1}} {
		var w *world
		w = newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
			switch w.asked.Load() {
			case 1:
				rw.WriteHeader(http.StatusInternalServerError)
			case 2:
				panic(http.ErrAbortHandler)
			}
		})
		_, err := w.Do(t.Context(), Request{Method: http.MethodPost, URL: w.url, Body: []byte("{}"), MaxBytes: 1, ReadOnly: c.readOnly})
		if (err == nil) != c.readOnly || w.asked.Load() != c.want {
			t.Errorf("read-only %t: asked %d times, %v", c.readOnly, w.asked.Load(), err)
		}
	}
}

func TestRequestsAreCountedByHostAndDay(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {})
	host := w.url[len("http://"):]
	for _, wait := range []time.Duration{0, time.Hour, 14 * time.Hour} {
		w.clock.Advance(wait)
		if _, err := w.get("/"); err != nil {
			t.Fatal(err)
		}
	}
	want := []Usage{{host, "2026-11-02", 2}, {host, "2026-11-03", 1}}
	if diff := cmp.Diff(want, w.Usage()); diff != "" {
		t.Errorf("usage (- wanted, + got):\n%s", diff)
	}
	if got := w.Requests()[host]; got != 3 {
		t.Errorf("%d requests in all", got)
	}
}
