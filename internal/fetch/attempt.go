package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxRedirects bounds a chain of redirects.
const maxRedirects = 5

// attempt makes one request and reads its answer.
func (c *Client) attempt(ctx context.Context, q Request, u *url.URL, timeout time.Duration, read func(io.Reader, int64) error) (*Response, error) {
	ctx, cancel := c.o.Clock.WithTimeout(ctx, timeout)
	defer cancel()
	hr, err := http.NewRequestWithContext(ctx, q.Method, q.URL, bytes.NewReader(q.Body))
	if err != nil {
		return nil, &NotAllowedError{URL: redact(u), Why: "it is not a request that can be made"}
	}
	if len(q.Body) == 0 {
		hr.Body, hr.GetBody, hr.ContentLength = http.NoBody, nil, 0
	}
	for k, v := range q.Headers {
		hr.Header.Set(k, v)
	}
	set := func(name, value string) {
		if value != "" {
			hr.Header.Set(name, value)
		}
	}
	set("User-Agent", c.o.UserAgent)
	set("Accept", q.Accept)
	set("If-None-Match", q.ETag)
	set("Authorization", q.Authorization)
	if q.identity {
		hr.Header.Set("Accept-Encoding", "identity")
	}
	c.count(u.Host)
	resp, err := c.http.Do(hr)
	if err != nil {
		return nil, &transportError{method: q.Method, url: redact(u), err: unwrapURL(err)}
	}
	defer resp.Body.Close()
	return c.answer(q, resp, read)
}

// answer checks an answer and hands its body on.
func (c *Client) answer(q Request, resp *http.Response, read func(io.Reader, int64) error) (*Response, error) {
	u := resp.Request.URL
	r := &Response{Status: resp.StatusCode, Header: resp.Header, URL: u.String()}
	contentType := resp.Header.Get("Content-Type")
	switch {
	case resp.StatusCode == http.StatusNotModified && q.ETag != "":
		r.NotModified = true
		return r, nil
	case resp.StatusCode != http.StatusOK && (resp.StatusCode < 200 || resp.StatusCode > 299 || resp.StatusCode == http.StatusPartialContent):
		snippet := q.snippet(resp.Body)
		return nil, &StatusError{Method: q.Method, URL: redact(u), Status: resp.StatusCode, ContentType: printable(contentType), Header: resp.Header, host: u.Host,
			Snippet: snippet, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), c.o.Clock.Now())}
	case q.identity && resp.Header.Get("Content-Encoding") != "" && resp.Header.Get("Content-Encoding") != "identity":
		return nil, &NotAllowedError{URL: redact(u), Why: "it was served with the content coding " + printable(resp.Header.Get("Content-Encoding")) + ", which was not asked for"}
	case resp.ContentLength > q.MaxBytes:
		return nil, &TooLargeError{URL: redact(u), Limit: q.MaxBytes}
	}
	if media, _, err := mime.ParseMediaType(contentType); q.ContentTypes != nil && (err != nil || !slices.Contains(q.ContentTypes, media)) {
		snippet := q.snippet(resp.Body)
		return nil, &ContentTypeError{URL: redact(u), Got: printable(contentType), Want: q.ContentTypes, Snippet: snippet}
	}
	body := &cappedReader{r: resp.Body, left: q.MaxBytes, url: redact(u), limit: q.MaxBytes}
	err := read(body, resp.ContentLength)
	switch {
	case body.err != nil && !errors.Is(body.err, io.EOF):
		var large *TooLargeError
		if errors.As(body.err, &large) {
			return nil, large
		}
		return nil, &transportError{method: q.Method, url: redact(u), err: fmt.Errorf("its answer broke off: %w", unwrapURL(body.err))}
	case err != nil:
		return nil, &readError{err: err}
	}
	return r, nil
}

// snippet is what an error shows of an answer: whatever came before an error of its own is enough.
func (q *Request) snippet(body io.Reader) string {
	if q.Secret {
		return ""
	}
	begin, _ := io.ReadAll(io.LimitReader(body, snippetBytes))
	return printable(string(begin))
}

// readAll reads to the end, into a buffer if it is large enough for the announced size, and else into memory of that size.
func readAll(r io.Reader, size int64, buffer []byte) ([]byte, error) {
	const most = 32 << 20 // an announcement is cheap
	if want := int(size) + bytes.MinRead; size > 0 && size <= most && cap(buffer) < want {
		buffer = make([]byte, 0, want)
	}
	b := bytes.NewBuffer(buffer[:0])
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

// cappedReader reads up to a cap and fails at the first byte beyond it. It remembers how reading ended, so that a
// caller who wraps or swallows the error does not hide it.
type cappedReader struct {
	r     io.Reader
	left  int64
	limit int64
	url   string
	err   error
}

func (c *cappedReader) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.r.Read(p)
	if int64(n) > c.left {
		c.err = &TooLargeError{URL: c.url, Limit: c.limit}
		return int(c.left), c.err
	}
	c.left -= int64(n)
	c.err = err
	return n, err
}

// count notes a request to a host.
func (c *Client) count(host string) {
	now := c.o.Clock.Now()
	c.spent.add(host, now)
	if c.o.Counter != nil {
		c.o.Counter.add(host, now)
	}
}

// checkRedirect decides about each redirect: how many, where to, and with what.
func (c *Client) checkRedirect(next *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1]
	switch {
	case len(via) > maxRedirects:
		return &NotAllowedError{URL: redact(first.URL), Why: fmt.Sprintf("it redirects more than %d times", maxRedirects)}
	case last.URL.Scheme == "https" && next.URL.Scheme != "https":
		return &NotAllowedError{URL: redact(next.URL), Why: "it is a redirect from https to " + printable(next.URL.Scheme)}
	}
	if err := c.o.Allow.check(next.URL); err != nil {
		return err
	}
	if !strings.EqualFold(next.URL.Host, first.URL.Host) {
		if next.Body != nil && next.Body != http.NoBody {
			return &NotAllowedError{URL: redact(next.URL), Why: "it is a redirect of a request with a body to another host"}
		}
		// Only what says how to answer goes along: any other header may be a credential.
		for name := range next.Header {
			switch name {
			case "Accept", "Accept-Encoding", "User-Agent", "If-None-Match":
			default:
				next.Header.Del(name)
			}
		}
	}
	next.Header.Del("Referer") // an address may carry a secret in its query
	if err := c.host(next.URL.Host).wait(next.Context(), c.o.Clock); err != nil {
		return err
	}
	c.count(next.URL.Host)
	return nil
}

// retryAfter reads the header's two forms (RFC 9110 §10.2.3): seconds, or a date. 0 is none.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		const longest = 366 * 24 * 3600
		return time.Duration(min(max(seconds, 0), longest)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
