package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// snippetBytes is how much of an unexpected answer an error shows.
const snippetBytes = 200

// StatusError is an answer with a status outside of 200 to 299.
type StatusError struct {
	Method, URL string
	Status      int
	ContentType string
	Snippet     string // the beginning of the body, printable
	RetryAfter  time.Duration
	Header      http.Header // for who knows more of the protocol

	host string
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s %s: status %d", e.Method, e.URL, e.Status)
	if e.RetryAfter > 0 {
		s += fmt.Sprintf(", it asks to wait %s", e.RetryAfter)
	}
	if e.Snippet != "" {
		s += fmt.Sprintf(" (%s: %q)", e.ContentType, e.Snippet)
	}
	return s
}

// TooLargeError is an answer beyond its cap. It was read no further.
type TooLargeError struct {
	URL   string
	Limit int64 // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("GET %s: the answer is larger than the %d bytes allowed", e.URL, e.Limit)
}

func (e *TooLargeError) final() {}

// ContentTypeError is an answer of another media type than asked for.
type ContentTypeError struct {
	URL, Got string
	Want     []string
	Snippet  string
}

func (e *ContentTypeError) Error() string {
	return fmt.Sprintf("GET %s: the answer is %q, not %s: it begins %q", e.URL, e.Got, strings.Join(e.Want, " or "), e.Snippet)
}

func (e *ContentTypeError) final() {}

// BusyError is a request that was not made, since its host may not be asked now.
type BusyError struct {
	Host  string
	Until time.Time
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("%s may not be asked before %s: its budget is used up, or it asked to be left alone", e.Host, e.Until.UTC().Format(time.RFC3339))
}

func (e *BusyError) final() {}

// NotAllowedError is a URL that may not be asked.
type NotAllowedError struct{ URL, Why string }

func (e *NotAllowedError) Error() string {
	return fmt.Sprintf("%s was not asked: %s", e.URL, e.Why)
}

func (e *NotAllowedError) final() {}

// transportError is a request without a complete answer.
type transportError struct {
	method, url string
	err         error
}

func (e *transportError) Error() string { return fmt.Sprintf("%s %s: %v", e.method, e.url, e.err) }
func (e *transportError) Unwrap() error { return e.err }

// readError is a failure of whoever reads a stream, not of the stream.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }
func (e *readError) final()        {}

// attempted says how often a request was tried.
func attempted(err error, attempts int) error {
	if attempts == 1 {
		return err
	}
	return fmt.Errorf("%w (after %d attempts)", err, attempts)
}

// unwrapURL takes away the url.Error that net/http wraps around everything: its text has the whole URL in it.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// redact writes a URL without what may be secret: user information, the values of the query, the fragment.
func redact(u *url.URL) string {
	r := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	s := r.String()
	if u.RawQuery != "" {
		s += "?…"
	}
	return printable(s)
}

// printable makes text from outside fit for a log or a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
