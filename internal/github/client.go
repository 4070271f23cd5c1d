// Package github reads GitHub's REST API: the attestations that a repository's store has of a digest, with their bundles,
// the numeric ids of repositories, and workflow runs.
//
// It promises that the token goes to the API's host and nowhere else; that nothing of a bundle's pre-signed address but its
// host and path gets into an error; that no answer is decoded before its size is known to be within limits; that "none" is
// only what GitHub said, and a used-up rate limit is an error of its own that says when to come again. It does not wait for
// that time, verifies no bundle, and remembers nothing but that limit.
package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/strictjson"
)

// DefaultAPI is where GitHub's API is.
const DefaultAPI = "https://api.github.com"

// apiVersion is the version of the API that this package knows; GitHub serves each for two years after the next one at least.
const apiVersion = "2022-11-28"

const (
	gitHubJSON = "application/vnd.github+json"
	plainJSON  = "application/json"
)

// Fetcher is what the client needs of internal/fetch's Client.
type Fetcher interface {
	Do(context.Context, fetch.Request) (*fetch.Response, error)
}

// Options configure a Client.
type Options struct {
	// API is what stands before /repos/: DefaultAPI.
	API string
	// Token is sent to the API, and to no other host; "" asks as anybody, who gets 60 requests an hour.
	Token string
	Clock clock.Clock
}

// Client asks GitHub. It is safe for concurrent use if its Fetchers are.
type Client struct {
	api, blobs Fetcher
	o          Options

	mu    sync.Mutex
	until time.Time // before then the API is not to be asked
}

// NewClient returns a client that asks the API through one fetcher and fetches bundles through another: what each may ask is
// for the fetchers to know. Neither budget may be one that the requests of a whole pass would wait for: see RateLimitError.
func NewClient(api, blobs Fetcher, o Options) *Client {
	return &Client{api: api, blobs: blobs, o: o}
}

// RateLimitError says that GitHub may not be asked any more before an instant.
type RateLimitError struct {
	Until time.Time
	Why   string
}

func (e *RateLimitError) Error() string {
	return fmt.Sprintf("GitHub may not be asked before %s: %s", e.Until.UTC().Format(time.RFC3339), e.Why)
}

// NotFoundError says that GitHub knows no such repository or run, or does not show it to who asks.
type NotFoundError struct{ What string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("GitHub has no %s, or does not show it to who asks", e.What)
}

// repositoryName is what GitHub allows as OWNER/NAME.
var repositoryName = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?/[A-Za-z0-9._-]+$`)

// repositoryURL is the address of something of a repository; the segments are escaped.
func (c *Client) repositoryURL(repository string, segments ...string) (string, error) {
	owner, name, _ := strings.Cut(repository, "/")
	if !repositoryName.MatchString(repository) || name == "." || name == ".." {
		return "", fmt.Errorf("%q is not the name of a repository", shorten(repository))
	}
	u := strings.TrimRight(c.o.API, "/") + "/repos/" + owner + "/" + name
	for _, s := range segments {
		u += "/" + url.PathEscape(s)
	}
	return u, nil
}

// get asks the API for one JSON object and decodes it. Where the answer holds addresses that open what they name, no error has
// anything of it.
func (c *Client) get(ctx context.Context, address string, maxBytes int, secret bool, into any) (http.Header, error) {
	if err := c.limited(); err != nil {
		return nil, err
	}
	q := fetch.Request{URL: address, Accept: gitHubJSON, ContentTypes: []string{plainJSON, gitHubJSON}, MaxBytes: int64(maxBytes), NoWait: true, Secret: secret,
		Headers: map[string]string{"X-GitHub-Api-Version": apiVersion}}
	if c.o.Token != "" {
		q.Authorization = "Bearer " + c.o.Token
	}
	resp, err := c.api.Do(ctx, q)
	if err != nil {
		return nil, c.refused(err)
	}
	if resp.Header.Get("X-RateLimit-Remaining") == "0" {
		// The answer is good. The next one would not be.
		c.rest(c.reset(resp.Header))
	}
	if err := strictjson.Check(resp.Body, maxBytes); err != nil {
		return nil, fmt.Errorf("GitHub's answer %w", err)
	}
	if err := jsonv2.Unmarshal(resp.Body, into); err != nil {
		return nil, fmt.Errorf("GitHub's answer is not of the shape that is known: %w", err)
	}
	return resp.Header, nil
}

// limited is the rate limit in force, nil for none.
func (c *Client) limited() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.o.Clock.Now().Before(c.until) {
		return &RateLimitError{Until: c.until, Why: "its rate limit is used up" + c.withoutToken()}
	}
	return nil
}

// rest notes that GitHub is not to be asked before an instant.
func (c *Client) rest(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until.After(c.until) {
		c.until = until
	}
}

// limit is the error of who asks too much, which holds for everybody.
func (c *Client) limit(until time.Time, why string) *RateLimitError {
	c.rest(until)
	return &RateLimitError{Until: until, Why: why}
}

// withoutToken says what a token would change.
func (c *Client) withoutToken() string {
	if c.o.Token != "" {
		return ""
	}
	return " (60 requests an hour without a token, 5,000 with any: set github.token_file)"
}

// reset is when the rate limit is renewed, as an answer's headers say: in an hour at most where they make sense.
func (c *Client) reset(h http.Header) time.Time {
	const atLeast, atMost = time.Minute, 24 * time.Hour // GitHub asks for a minute where it says nothing
	now := c.o.Clock.Now()
	until := now.Add(atLeast)
	if seconds, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil && seconds > 0 && seconds < 1<<40 {
		until = time.Unix(seconds, 0)
	}
	if wait, err := strconv.ParseInt(h.Get("Retry-After"), 10, 32); err == nil && wait > 0 {
		until = now.Add(time.Duration(wait) * time.Second)
	}
	switch {
	case until.Before(now.Add(time.Second)):
		return now.Add(time.Second)
	case until.After(now.Add(atMost)):
		return now.Add(atMost)
	}
	return until
}

// refused says what an answer that is no good means, and what to do.
func (c *Client) refused(err error) error {
	var busy *fetch.BusyError
	if errors.As(err, &busy) {
		return c.limit(busy.Until, "the budget that the configuration gives "+busy.Host+" is used up, or it asked to be left alone")
	}
	var status *fetch.StatusError
	if !errors.As(err, &status) {
		return err
	}
	h := status.Header
	switch status.Status {
	case http.StatusTooManyRequests:
		return c.limit(c.reset(h), "its rate limit is used up"+c.withoutToken())
	case http.StatusForbidden:
		if h.Get("X-RateLimit-Remaining") == "0" || h.Get("Retry-After") != "" {
			return c.limit(c.reset(h), "its rate limit is used up"+c.withoutToken())
		}
		return fmt.Errorf("%w: GitHub refuses: look at what the token may do", err)
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: GitHub does not take the token: make a new one (it needs no scope), and put it where github.token_file says", err)
	case http.StatusGone:
		return fmt.Errorf("%w: GitHub no longer serves version %s of its API: look for a newer version of the monitor", err, apiVersion)
	case http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: GitHub does not understand the question: look for a newer version of the monitor", err)
	}
	if status.Status >= http.StatusInternalServerError {
		return fmt.Errorf("%w: GitHub is in trouble: see https://www.githubstatus.com, the question is asked again later", err)
	}
	return err
}

// notFound reports whether GitHub said 404.
func notFound(err error) bool {
	var status *fetch.StatusError
	return errors.As(err, &status) && status.Status == http.StatusNotFound
}

// shorten cuts text from outside for an error message.
func shorten(s string) string {
	const limit = 120
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
