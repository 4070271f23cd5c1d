package fetch

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekoncile/rekoncile/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// world is a server, a client that may ask it, and the clock of both.
type world struct {
	*Client
	clock *clock.Simulated
	url   string
	asked atomic.Int64
}

func newWorld(t *testing.T, handler http.HandlerFunc, edit ...func(*Options)) *world {
	t.Helper()
	w := &world{clock: clock.NewSimulated(start)}
	w.clock.AutoAdvance()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		w.asked.Add(1)
		handler(rw, q)
	}))
	t.Cleanup(s.Close)
	w.url = s.URL
	o := Options{Clock: w.clock, UserAgent: "rekoncile/test (https://example.org)", Allow: Allow{Hosts: []string{"127.0.0.1"}}, Rand: func() float64 { return 0.5 }}
	for _, e := range edit {
		e(&o)
	}
	w.Client = New(o)
	t.Cleanup(w.Close)
	return w
}

func (w *world) get(path string) (*Response, error) {
	return w.Do(context.Background(), Request{URL: w.url + path, MaxBytes: 1 << 20})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		header string
		waited time.Duration
	}{
		"seconds":          {429, "90", 90 * time.Second},
		"date":             {503, start.Add(70 * time.Second).Format(http.TimeFormat), 70 * time.Second},
		"none":             {429, "", 500 * time.Millisecond}, // half of the first second, by the test's jitter
		"not understood":   {503, "soon", 500 * time.Millisecond},
		"date in the past": {503, start.Add(-time.Hour).Format(http.TimeFormat), 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			var w *world
			w = newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
				if w.asked.Load() == 1 {
					if c.header != "" {
						rw.Header().Set("Retry-After", c.header)
					}
					rw.WriteHeader(c.status)
					return
				}
				fmt.Fprint(rw, "ok")
			})
			r, err := w.get("/")
			if err != nil || string(r.Body) != "ok" {
				t.Fatalf("got %v, %v", r, err)
			}
			if got := w.clock.Now().Sub(start); got != c.waited {
				t.Errorf("waited %s, want %s", got, c.waited)
			}
		})
	}
}

func TestAServerThatAsksForTooMuchGetsAnErrorAtOnce(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Retry-After", "3600")
		rw.WriteHeader(429)
	})
	_, err := w.get("/x")
	var status *StatusError
	if !errors.As(err, &status) || status.Status != 429 || status.RetryAfter != time.Hour {
		t.Fatalf("got %v", err)
	}
	if want := "GET " + w.url + "/x: status 429, it asks to wait 1h0m0s"; err.Error() != want {
		t.Errorf("the error is %q, want %q", err, want)
	}
	if w.asked.Load() != 1 || !w.clock.Now().Equal(start) {
		t.Errorf("asked %d times, until %s", w.asked.Load(), w.clock.Now())
	}
}

func TestTheWholeHostRestsAfterRetryAfter(t *testing.T) {
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/busy" && w.asked.Load() == 1 {
			rw.Header().Set("Retry-After", "60")
			rw.WriteHeader(429)
		}
	}, func(o *Options) { o.MaxAttempts = 2 })
	if _, err := w.get("/busy"); err != nil {
		t.Fatal(err)
	}
	h := w.host(strings.TrimPrefix(w.url, "http://"))
	if want := start.Add(time.Minute); !h.notBefore.Equal(want) {
		t.Errorf("the host rests until %s, want %s", h.notBefore, want)
	}
}

func TestFailuresAreRetriedAndThenReported(t *testing.T) {
	for _, status := range []int{429, 500, 502, 503, 504} {
		w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html")
			rw.WriteHeader(status)
			fmt.Fprint(rw, "<h1>Sorry\x1b[31m</h1>")
		})
		_, err := w.get("/a?token=secret")
		want := fmt.Sprintf(`GET %s/a?…: status %d (text/html: "<h1>Sorry?[31m</h1>") (after 5 attempts)`, w.url, status)
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	for _, status := range []int{400, 401, 403, 404, 410} {
		w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(status) })
		var e *StatusError
		if _, err := w.get("/"); !errors.As(err, &e) || e.Status != status || w.asked.Load() != 1 {
			t.Errorf("%d: got %v after %d requests", status, err, w.asked.Load())
		}
	}
}

func TestABodyThatBreaksOffIsFetchedAgain(t *testing.T) {
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Length", "10")
		if w.asked.Load() < 3 {
			fmt.Fprint(rw, "half")
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(rw, "0123456789")
	})
	r, err := w.get("/")
	if err != nil || string(r.Body) != "0123456789" {
		t.Fatalf("got %v, %v", r, err)
	}
}

// endless serves zeros until the client goes away, and counts them.
func endless(served *atomic.Int64) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		block := make([]byte, 64<<10)
		for served.Load() < 100<<20 {
			n, err := rw.Write(block)
			served.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
}

func TestAnswersAreNotReadPastTheirCap(t *testing.T) {
	t.Run("without a length", func(t *testing.T) {
		var served atomic.Int64
		w := newWorld(t, endless(&served))
		_, err := w.get("/zeros")
		if want := "GET " + w.url + "/zeros: the answer is larger than the 1048576 bytes allowed"; err == nil || err.Error() != want {
			t.Fatalf("got %v", err)
		}
		if w.asked.Load() != 1 {
			t.Errorf("asked %d times", w.asked.Load())
		}
		// What the kernel buffers beyond the cap is some megabytes; the rest was never sent.
		if got := served.Load(); got > 50<<20 {
			t.Errorf("%d bytes were served", got)
		}
	})
	t.Run("with a length", func(t *testing.T) {
		w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Length", "104857600")
			rw.WriteHeader(200)
		})
		var large *TooLargeError
		if _, err := w.get("/"); !errors.As(err, &large) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("compressed", func(t *testing.T) {
		w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(rw)
			defer z.Close()
			block := make([]byte, 1<<20)
			for range 100 {
				if _, err := z.Write(block); err != nil {
					return
				}
			}
		})
		var large *TooLargeError
		if _, err := w.get("/"); !errors.As(err, &large) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("exactly the cap", func(t *testing.T) {
		w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) { rw.Write(make([]byte, 1<<20)) })
		r, err := w.get("/")
		if err != nil || len(r.Body) != 1<<20 {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("headers", func(t *testing.T) {
		w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
			for i := range 2000 {
				rw.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("y", 100))
			}
		}, func(o *Options) { o.MaxAttempts = 1 })
		if _, err := w.get("/"); err == nil || !strings.Contains(err.Error(), "header") {
			t.Fatalf("got %v", err)
		}
	})
}

func TestOtherContentIsRefusedWithItsBeginning(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(rw, "<!doctype html><title>Maintenance</title>")
	})
	_, err := w.Do(context.Background(), Request{URL: w.url + "/p", MaxBytes: 100, ContentTypes: []string{"application/json"}})
	want := fmt.Sprintf(`GET %s/p: the answer is "text/html; charset=utf-8", not application/json: it begins "<!doctype html><title>Maintenance</title>"`, w.url)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestUnchangedAnswersAreToldByETag(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, q *http.Request) {
		if q.Header.Get("If-None-Match") == `"v1"` {
			rw.WriteHeader(304)
			return
		}
		rw.Header().Set("ETag", `"v1"`)
		fmt.Fprint(rw, "body")
	})
	r, err := w.get("/")
	if err != nil || r.NotModified || r.Header.Get("ETag") != `"v1"` {
		t.Fatalf("got %+v, %v", r, err)
	}
	r, err = w.Do(context.Background(), Request{URL: w.url, ETag: `"v1"`, MaxBytes: 10})
	if err != nil || !r.NotModified {
		t.Fatalf("got %+v, %v", r, err)
	}
}

func TestRedirectsAreFollowedOnlyWhereAllowed(t *testing.T) {
	var seen sync.Map
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		seen.Store(q.URL.Path, q.Header.Get("Authorization"))
	}))
	defer other.Close()
	redirect := func(to string) http.HandlerFunc {
		return func(rw http.ResponseWriter, q *http.Request) { http.Redirect(rw, q, to, http.StatusFound) }
	}
	ask := func(w *world) error {
		_, err := w.Do(context.Background(), Request{URL: w.url + "/start", MaxBytes: 10, Authorization: "Bearer secret"})
		return err
	}
	if err := ask(newWorld(t, redirect(other.URL+"/there"))); err != nil {
		t.Fatal(err)
	}
	if got, ok := seen.Load("/there"); !ok || got != "" {
		t.Errorf("another host got the credentials %q", got)
	}
	for to, why := range map[string]string{
		"https://evil.example/x":        "https://evil.example/x was not asked: the configuration names no such host",
		"http://10.0.0.1/admin":         "http://10.0.0.1/admin was not asked: the configuration names no such host",
		"http://169.254.169.254/latest": "http://169.254.169.254/latest was not asked: the configuration names no such host",
		"file:///etc/passwd":            "file:///etc/passwd was not asked: its scheme is not https",
		"http://u:p@127.0.0.1/":         "http://127.0.0.1/ was not asked: it has user information in it",
	} {
		w := newWorld(t, redirect(to))
		err := ask(w)
		if err == nil || !strings.HasSuffix(err.Error(), why) || w.asked.Load() != 1 {
			t.Errorf("%s: got %v after %d requests", to, err, w.asked.Load())
		}
	}
	w := newWorld(t, redirect("/start"))
	if err := ask(w); err == nil || !strings.Contains(err.Error(), "redirects more than 5 times") {
		t.Errorf("a loop: got %v", err)
	}
	if got := w.asked.Load(); got != 6 {
		t.Errorf("a loop was followed for %d requests", got)
	}
}

func TestARedirectToPlainHTTPIsRefused(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	tls := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer tls.Close()
	c := New(Options{Clock: clock.NewSimulated(start), Allow: Allow{Hosts: []string{"127.0.0.1"}}, Transport: tls.Client().Transport})
	defer c.Close()
	_, err := c.Do(context.Background(), Request{URL: tls.URL, MaxBytes: 10})
	var denied *NotAllowedError
	if !errors.As(err, &denied) || denied.Why != "it is a redirect from https to http" {
		t.Errorf("got %v", err)
	}
}

func TestOnlyTheConfiguredHostsAreAsked(t *testing.T) {
	a := Allow{Hosts: []string{"pypi.org", "index.example:8443", "127.0.0.1", "intranet.example"}, HTTP: []string{"intranet.example"}}
	for address, allowed := range map[string]bool{
		"https://pypi.org/simple/":        true,
		"https://PyPI.org/simple/":        true,
		"https://pypi.org:444/":           true,
		"http://pypi.org/simple/":         false,
		"https://pypi.org.evil.example/":  false,
		"https://evil.example/pypi.org":   false,
		"https://user@pypi.org/":          false,
		"https://index.example:8443/":     true,
		"https://index.example/":          false,
		"http://127.0.0.1:9999/":          true,
		"http://intranet.example/":        true,
		"ftp://pypi.org/":                 false,
		"https:///simple/":                false,
		"https://xn--pyp-4za.org/simple/": false,
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.check(u); (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestASlowAnswerEndsWithItsTimeout(t *testing.T) {
	blocked := make(chan struct{}, 1)
	w := newWorld(t, func(rw http.ResponseWriter, q *http.Request) {
		rw.Write([]byte("a"))
		rw.(http.Flusher).Flush()
		blocked <- struct{}{}
		<-q.Context().Done()
	}, func(o *Options) { o.MaxAttempts = 1 })
	done := make(chan error)
	go func() {
		_, err := w.get("/slow")
		done <- err
	}()
	<-blocked
	w.clock.Advance(time.Minute)
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestCancellationEndsAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	w := newWorld(t, func(_ http.ResponseWriter, q *http.Request) {
		cancel()
		<-q.Context().Done()
	})
	_, err := w.Do(ctx, Request{URL: w.url, MaxBytes: 10})
	if !errors.Is(err, context.Canceled) || w.asked.Load() != 1 {
		t.Errorf("got %v after %d requests", err, w.asked.Load())
	}
}

func TestBudgetsPaceAHost(t *testing.T) {
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {}, func(o *Options) {
		o.DefaultBudget = Budget{Requests: 60, Per: time.Minute, Burst: 1}
	})
	for range 61 {
		if _, err := w.get("/"); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.clock.Now().Sub(start).Round(time.Second); got != time.Minute {
		t.Errorf("61 requests took %s of simulated time, want a minute", got)
	}
	if got := w.Requests()[strings.TrimPrefix(w.url, "http://")]; got != 61 {
		t.Errorf("counted %d requests", got)
	}
}

func TestStreamsBeginAnewWithEachAttempt(t *testing.T) {
	content := strings.Repeat("wheel", 100_000)
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if w.asked.Load() == 1 {
			io.WriteString(rw, content[:1000])
			panic(http.ErrAbortHandler)
		}
		io.WriteString(rw, content)
	})
	var sum [sha256.Size]byte
	_, err := w.Stream(context.Background(), Request{URL: w.url, MaxBytes: int64(len(content))}, func(r io.Reader) error {
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			return err
		}
		h.Sum(sum[:0])
		return nil
	})
	if err != nil || sum != sha256.Sum256([]byte(content)) {
		t.Errorf("got %x, %v", sum, err)
	}
	broken := errors.New("disk full")
	_, err = w.Stream(context.Background(), Request{URL: w.url, MaxBytes: int64(len(content))}, func(io.Reader) error { return broken })
	if !errors.Is(err, broken) || w.asked.Load() != 3 {
		t.Errorf("a reader's own failure: got %v after %d requests", err, w.asked.Load())
	}
}

func TestARefusedConnectionIsTriedAgainAndNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	w := newWorld(t, func(http.ResponseWriter, *http.Request) {})
	_, err = w.Do(context.Background(), Request{URL: "http://" + address + "/p?key=secret", MaxBytes: 10})
	if err == nil || !strings.HasPrefix(err.Error(), "GET http://"+address+"/p?…: ") || strings.Contains(err.Error(), "secret") ||
		!strings.HasSuffix(err.Error(), "connection refused (after 5 attempts)") {
		t.Errorf("got %v", err)
	}
}

func TestRequestsSayWhoAsks(t *testing.T) {
	var got http.Header
	w := newWorld(t, func(_ http.ResponseWriter, q *http.Request) { got = q.Header })
	if _, err := w.Do(context.Background(), Request{URL: w.url, MaxBytes: 1, Accept: "application/json"}); err != nil {
		t.Fatal(err)
	}
	if got.Get("User-Agent") != "rekoncile/test (https://example.org)" || got.Get("Accept") != "application/json" || got.Get("Accept-Encoding") != "gzip" {
		t.Errorf("headers %v", got)
	}
}

func TestAHostThatAskedForRestGetsItFromEverybody(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/busy" {
			rw.Header().Set("Retry-After", "600") // more than a request waits for
			rw.WriteHeader(503)
		}
	})
	if _, err := w.get("/busy"); err == nil {
		t.Fatal("no error")
	}
	if _, err := w.get("/other"); err != nil {
		t.Fatal(err)
	}
	if got := w.clock.Now().Sub(start); got != 10*time.Minute {
		t.Errorf("the next request went out after %s", got)
	}
}

func TestARedirectTargetThatAsksForRestGetsItItself(t *testing.T) {
	var asked atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			rw.Header().Set("Retry-After", "60")
			rw.WriteHeader(429)
		}
	}))
	defer target.Close()
	w := newWorld(t, func(rw http.ResponseWriter, q *http.Request) { http.Redirect(rw, q, target.URL, http.StatusFound) })
	if _, err := w.get("/"); err != nil {
		t.Fatal(err)
	}
	if h := w.host(strings.TrimPrefix(w.url, "http://")); !h.notBefore.IsZero() {
		t.Errorf("the redirecting host rests until %s", h.notBefore)
	}
	if h := w.host(strings.TrimPrefix(target.URL, "http://")); h.notBefore.IsZero() {
		t.Error("the target does not rest")
	}
}

func TestWhatChangesSomethingIsNotRepeated(t *testing.T) {
	for status, times := range map[int]int64{500: 1, 502: 1, 429: 5, 503: 5} {
		w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(status) })
		_, err := w.Do(context.Background(), Request{Method: "POST", URL: w.url, Body: []byte("x"), MaxBytes: 10})
		if err == nil || w.asked.Load() != times {
			t.Errorf("%d: posted %d times, want %d (%v)", status, w.asked.Load(), times, err)
		}
	}
}

func TestABodyOrACredentialDoesNotFollowARedirectElsewhere(t *testing.T) {
	var got http.Header
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { got = q.Header }))
	defer other.Close()
	w := newWorld(t, func(rw http.ResponseWriter, q *http.Request) {
		http.Redirect(rw, q, other.URL, http.StatusTemporaryRedirect)
	})
	_, err := w.Do(context.Background(), Request{Method: "POST", URL: w.url, Body: []byte("secret"), MaxBytes: 10})
	var denied *NotAllowedError
	if !errors.As(err, &denied) || got != nil {
		t.Errorf("a body: %v, the other host got %v", err, got)
	}
	if _, err := w.Do(context.Background(), Request{URL: w.url, Headers: map[string]string{"Private-Token": "secret"}, MaxBytes: 10}); err != nil {
		t.Fatal(err)
	}
	if got.Get("Private-Token") != "" {
		t.Error("another host got a credential")
	}
}

func TestCancellationWithACauseIsStillCancellation(t *testing.T) {
	reason := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(context.Background())
	w := newWorld(t, func(_ http.ResponseWriter, q *http.Request) {
		cancel(reason)
		<-q.Context().Done()
	})
	_, err := w.Do(ctx, Request{URL: w.url + "/p", MaxBytes: 10})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, reason) || !strings.Contains(err.Error(), w.url+"/p") {
		t.Errorf("got %v", err)
	}
}

func TestAPartOrACodingThatNobodyAskedForIsRefused(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(206) })
	var status *StatusError
	if _, err := w.get("/"); !errors.As(err, &status) {
		t.Errorf("a part: %v", err)
	}
	var asked string
	w = newWorld(t, func(rw http.ResponseWriter, q *http.Request) {
		asked = q.Header.Get("Accept-Encoding")
		rw.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(rw)
		z.Write([]byte("wheel"))
		z.Close()
	})
	var denied *NotAllowedError
	if _, err := w.Stream(context.Background(), Request{URL: w.url, MaxBytes: 100}, func(io.Reader) error { return nil }); !errors.As(err, &denied) || asked != "identity" {
		t.Errorf("a coding: asked for %q, %v", asked, err)
	}
}
