package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// now asks without waiting.
func (w *world) now() error {
	_, err := w.Do(context.Background(), Request{URL: w.url, MaxBytes: 1 << 20, NoWait: true})
	return err
}

func TestWhoDoesNotWaitIsToldUntilWhen(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {}, func(o *Options) { o.DefaultBudget = Budget{Requests: 60, Per: time.Hour, Burst: 2} })
	for range 2 {
		if err := w.now(); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // what was refused takes nothing from the budget
		var busy *BusyError
		if err := w.now(); !errors.As(err, &busy) || !busy.Until.Equal(start.Add(time.Minute)) || !strings.HasPrefix(busy.Host, "127.0.0.1:") {
			t.Fatalf("error %v", err)
		}
	}
	if n := w.asked.Load(); n != 2 || !w.clock.Now().Equal(start) {
		t.Errorf("%d requests, and it is %s", n, w.clock.Now())
	}
	w.clock.Advance(time.Minute)
	if err := w.now(); err != nil {
		t.Error(err)
	}
}

func TestWhoDoesNotWaitIsNotMadeToByTheServer(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Retry-After", "30")
		rw.Header().Set("X-Limit", "0")
		rw.WriteHeader(http.StatusTooManyRequests)
	})
	var status *StatusError
	if err := w.now(); !errors.As(err, &status) || status.Header.Get("X-Limit") != "0" {
		t.Errorf("error %v", err)
	}
	var busy *BusyError
	if err := w.now(); !errors.As(err, &busy) || !busy.Until.Equal(start.Add(30*time.Second)) {
		t.Errorf("while it rests: %v", err)
	}
	if n := w.asked.Load(); n != 1 || !w.clock.Now().Equal(start) {
		t.Errorf("%d requests, and it is %s", n, w.clock.Now())
	}
}

func TestNothingOfASecretAnswerIsTold(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"a refusal": func(rw http.ResponseWriter, q *http.Request) { http.Error(rw, q.URL.RawQuery, http.StatusForbidden) },
		"another content": func(rw http.ResponseWriter, q *http.Request) {
			rw.Header().Set("Content-Type", "text/html")
			_, _ = rw.Write([]byte(q.URL.RawQuery))
		},
	} {
		w := newWorld(t, handler)
		for _, secret := range []bool{false, true} {
			_, err := w.Do(context.Background(), Request{URL: w.url + "/x?hush", MaxBytes: 1 << 20, Secret: secret, ContentTypes: []string{"application/json"}})
			if err == nil || strings.Contains(err.Error(), "hush") == secret {
				t.Errorf("%s, secret %t: %v", name, secret, err)
			}
		}
	}
}

func TestHostsBelowADomainAreAllowedTogether(t *testing.T) {
	a := Allow{Hosts: []string{"*.blob.example.org"}}
	for address, want := range map[string]bool{
		"https://a.blob.example.org/x":          true,
		"https://A.B.Blob.Example.ORG:8443/x":   true,
		"https://blob.example.org/x":            false,
		"https://.blob.example.org/x":           false,
		"https://ablob.example.org/x":           false,
		"https://a.blob.example.org.evil.org/x": false,
		"https://evil.org/a.blob.example.org":   false,
		"http://a.blob.example.org/x":           false,
		"https://u@a.blob.example.org/x":        false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.check(u) == nil; got != want {
			t.Errorf("%s: %t, want %t", address, got, want)
		}
	}
}
