package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// unanswered says what is known of a request that got no answer: a connection that was never made took nothing.
func unanswered(what string, err error, secrets ...string) *Error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err // url.Error's text has the URL in it
	}
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return &Error{Err: errors.New(what + " cannot be reached: " + redact(dial.Error(), secrets...)), NotTaken: true}
	}
	return &Error{Err: errors.New(what + ": " + redact(err.Error(), secrets...))}
}

// refusedBy says what is known of an answer that is no success.
func refusedBy(what string, a *answer) *Error {
	e := &Error{Err: fmt.Errorf("%s answered %d %s", what, a.status, http.StatusText(a.status)), NotTaken: a.status < 500, RetryAfter: retryAfter(a.header)}
	switch a.status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		e.OnlyThis = true
	case http.StatusTooManyRequests:
		if e.RetryAfter > 0 {
			e.Err = fmt.Errorf("%s asks to wait %s", what, e.RetryAfter)
		}
	}
	return e
}

// retryAfter reads Retry-After (RFC 9110 §10.2.3), in seconds or as a date, which is compared with the answer's own.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 && seconds < 1<<31 {
		return time.Duration(seconds) * time.Second
	}
	until, err := http.ParseTime(text)
	now, errNow := http.ParseTime(h.Get("Date"))
	if err != nil || errNow != nil || until.Before(now) {
		return 0
	}
	return until.Sub(now)
}

// answer is a server's, with its body read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// success reports whether the server did what it was asked.
func (a *answer) success() bool { return a.status >= 200 && a.status <= 299 }

// exchange sends a request with a body and returns the answer, whatever its status.
func exchange(ctx context.Context, client *http.Client, method, address string, header http.Header, body []byte) (*answer, error) {
	q, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header = header
	r, err := client.Do(q)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, err
	}
	return &answer{r.StatusCode, r.Header, text}, nil
}
