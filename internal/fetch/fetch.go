// Package fetch is the polite HTTP client that every request of the monitor goes through.
//
// It promises that no host is asked more often than its budget allows, nor before the time it asked for (Retry-After);
// that no answer is read past its cap, decompressed or not; that only hosts which the configuration names are asked,
// redirects included; that credentials stay with the host they are for; and that an error says what was asked and what
// came back, without secrets. It does not promise an answer, and does not interpret one.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// Options configure a Client.
type Options struct {
	Clock     clock.Clock
	UserAgent string // with a contact: these are other people's services
	// Allow says which URLs may be asked, the targets of redirects included. Required.
	Allow Allow
	// Budgets by host ("pypi.org", "127.0.0.1:8080"); DefaultBudget for all others. A zero budget is no limit.
	Budgets       map[string]Budget
	DefaultBudget Budget
	// MaxAttempts for one request; 0 is 5.
	MaxAttempts int
	// MaxWait is the longest single wait between attempts; a server that asks for more gets an error. 0 is 2 minutes.
	MaxWait time.Duration
	// Timeout bounds one attempt, headers and body together; 0 is 1 minute. Streams have StreamTimeout, 0 is 30 minutes.
	Timeout, StreamTimeout time.Duration
	// Counter counts this client's requests among those of others; may be nil.
	Counter *Counter
	// Transport replaces the default one, which honours the proxy variables.
	Transport http.RoundTripper
	Logger    *slog.Logger
	// Rand gives jitter in [0, 1); nil is random.
	Rand func() float64
}

// Request is one question.
type Request struct {
	Method  string // "" is GET
	URL     string
	Accept  string
	Headers map[string]string
	Body    []byte
	// ReadOnly says that the request changes nothing at the server although its method may, as a question does that is too
	// long for an address: it is tried again as a GET is.
	ReadOnly bool
	// ETag asks whether that version is still current (If-None-Match).
	ETag string
	// MaxBytes caps the answer, decompressed. Required.
	MaxBytes int64
	// Buffer is memory that the answer may be read into, whatever is in it: Response.Body is a part of it where the answer
	// fits, and has memory of its own where it does not. It is the caller's again, for the next request, once the caller
	// has done with the body. Only Do uses it.
	Buffer []byte
	// ContentTypes are the media types accepted; nil accepts all.
	ContentTypes []string
	// Authorization is sent to the request's own host only.
	Authorization string
	// NoWait has the request fail with a *BusyError where its host's budget, or the time that it asked for, would have it wait:
	// for hosts whose budgets are of hours, and questions that can be asked another time.
	NoWait bool
	// Secret says that the answer may hold, or repeat, what must not be told, such as a pre-signed address: no error and no log
	// has anything of its text. Of no address any has the query.
	Secret bool

	// identity asks for the stored bytes, without a content coding.
	identity bool
}

// Response is an answer with a status below 400.
type Response struct {
	Status      int
	Header      http.Header
	Body        []byte
	NotModified bool   // 304 to a request with an ETag
	URL         string // after redirects
}

// Client makes requests. It is safe for concurrent use.
type Client struct {
	o    Options
	http *http.Client

	spent Counter

	mu    sync.Mutex
	hosts map[string]*host
}

// New returns a client.
func New(o Options) *Client {
	if o.MaxAttempts == 0 {
		o.MaxAttempts = 5
	}
	if o.MaxWait == 0 {
		o.MaxWait = 2 * time.Minute
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.StreamTimeout == 0 {
		o.StreamTimeout = 30 * time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	c := &Client{o: o, hosts: map[string]*host{}}
	c.http = &http.Client{Transport: o.Transport, CheckRedirect: c.checkRedirect}
	return c
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Requests counts the requests made so far, by host, retries and redirects included.
func (c *Client) Requests() map[string]int64 {
	all := map[string]int64{}
	for _, u := range c.Usage() {
		all[u.Host] += u.Requests
	}
	return all
}

// Do makes a request, with retries, and reads the answer. A status of 400 or above is a *StatusError, after the last
// attempt where it is one of those worth repeating.
func (c *Client) Do(ctx context.Context, q Request) (*Response, error) {
	var body []byte
	r, err := c.do(ctx, q, c.o.Timeout, func(r io.Reader, size int64) error {
		var err error
		body, err = readAll(r, size, q.Buffer)
		return err
	})
	if err != nil {
		return nil, err
	}
	r.Body = body
	return r, nil
}

// Stream makes a request and hands the answer's body to read, once an attempt: read must begin anew each time. An
// error of read's own ends the request; one of the body is retried.
func (c *Client) Stream(ctx context.Context, q Request, read func(io.Reader) error) (*Response, error) {
	// The bytes as they are stored: a file's digest is not that of what a transfer made of it.
	q.identity = true
	return c.do(ctx, q, c.o.StreamTimeout, func(r io.Reader, _ int64) error { return read(r) })
}

// do makes attempts until one succeeds, fails for good, or there have been enough.
func (c *Client) do(ctx context.Context, q Request, timeout time.Duration, read func(r io.Reader, size int64) error) (*Response, error) {
	if q.Method == "" {
		q.Method = http.MethodGet
	}
	u, err := url.Parse(q.URL)
	if err != nil {
		return nil, &NotAllowedError{URL: "(not a URL)", Why: "it does not parse"}
	}
	if err := c.o.Allow.check(u); err != nil {
		return nil, err
	}
	h := c.host(u.Host)
	for attempt := 1; ; attempt++ {
		if q.NoWait {
			if until, ok := h.try(c.o.Clock.Now()); !ok {
				return nil, &BusyError{Host: u.Host, Until: until}
			}
		} else if err := h.wait(ctx, c.o.Clock); err != nil {
			return nil, stopped(ctx, q.Method, u)
		}
		began := c.o.Clock.Now()
		r, err := c.attempt(ctx, q, u, timeout, read)
		h.adaptive.answered(began, c.o.Clock.Now(), err)
		if err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			return nil, stopped(ctx, q.Method, u)
		}
		var status *StatusError
		if errors.As(err, &status) && status.RetryAfter > 0 {
			// The host asks to be left alone by everybody, also where this request gives up. A day at most: a lying
			// server must not silence the monitor for good.
			const longest = 24 * time.Hour
			c.host(status.host).rest(c.o.Clock.Now().Add(min(status.RetryAfter, longest)))
		}
		wait, again := c.again(q, err, attempt)
		if !again {
			return nil, attempted(err, attempt)
		}
		c.o.Logger.Debug("request is tried again", "url", redact(u), "attempt", attempt, "wait", wait, "error", err)
		if err := clock.Sleep(ctx, c.o.Clock, wait); err != nil {
			return nil, stopped(ctx, q.Method, u)
		}
	}
}

// stopped is the error of a request whose context ended: errors.Is knows both its error and its cause.
func stopped(ctx context.Context, method string, u *url.URL) error {
	err := ctx.Err()
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return &transportError{method: method, url: redact(u), err: err}
}

// again says whether an attempt that failed is worth another, and after how long.
func (c *Client) again(q Request, err error, attempt int) (time.Duration, bool) {
	if attempt >= c.o.MaxAttempts {
		return 0, false
	}
	var status *StatusError
	var final interface{ final() }
	switch {
	case errors.As(err, &status):
		if !retried(status.Status) || q.NoWait && status.Status == http.StatusTooManyRequests {
			return 0, false
		}
		// What changes something may have taken effect, unless the server says that it did not look at it.
		if !q.repeatable() && status.Status != http.StatusTooManyRequests && status.Status != http.StatusServiceUnavailable {
			return 0, false
		}
		if status.RetryAfter > c.o.MaxWait {
			return 0, false
		}
		if status.RetryAfter > 0 {
			return status.RetryAfter, true
		}
	case errors.As(err, &final), !q.repeatable():
		return 0, false
	}
	// Exponential with full jitter: clients that failed together do not come back together.
	ceiling := min(time.Second<<(attempt-1), c.o.MaxWait)
	return time.Duration(c.o.Rand() * float64(ceiling)), true
}

// repeatable are the methods that may be repeated (RFC 9110 §9.2.2) and that this client knows, and what says so of itself.
func (q *Request) repeatable() bool {
	return q.ReadOnly || q.Method == http.MethodGet || q.Method == http.MethodHead
}

// retried are the statuses that may be different a moment later.
func retried(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
