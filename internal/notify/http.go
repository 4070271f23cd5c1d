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
func refusedBy(what string, r *http.Response) *Error {
	e := &Error{Err: fmt.Errorf("%s answered %d %s", what, r.StatusCode, http.StatusText(r.StatusCode)), NotTaken: r.StatusCode < 500, RetryAfter: retryAfter(r.Header)}
	switch r.StatusCode {
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

// exchange sends a request with a body and returns the answer with its body read, whatever its status.
func exchange(ctx context.Context, client *http.Client, method, address string, header http.Header, body []byte) (*http.Response, []byte, error) {
	q, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	q.Header = header
	r, err := client.Do(q)
	if err != nil {
		return nil, nil, err
	}
	answer, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	return r, answer, errors.Join(err, r.Body.Close())
}
