package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// shares reports whether a body is at the beginning of a buffer.
func shares(body, buffer []byte) bool {
	return cap(body) > 0 && cap(buffer) > 0 && &body[:1][0] == &buffer[:1][0]
}

func TestAnswersAreReadIntoTheBufferWhereTheyFit(t *testing.T) {
	const answer = "the answer"
	for name, c := range map[string]struct {
		buffer   []byte
		unsized  bool
		reported bool // that the body is in the buffer
	}{
		"none":                              {nil, false, false},
		"too small":                         {bytes.Repeat([]byte("x"), 5), false, false},
		"large enough":                      {bytes.Repeat([]byte("x"), 4096), false, true},
		"empty, with capacity":              {make([]byte, 0, 4096), false, true},
		"large enough, without a length":    {bytes.Repeat([]byte("x"), 4096), true, true},
		"too small, without a length":       {bytes.Repeat([]byte("x"), 5), true, false},
		"none, without a length":            {nil, true, false},
		"as large as the answer, no length": {bytes.Repeat([]byte("x"), len(answer)), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
				if !c.unsized {
					rw.Header().Set("Content-Length", fmt.Sprint(len(answer)))
				}
				fmt.Fprint(rw, answer[:4])
				rw.(http.Flusher).Flush()
				fmt.Fprint(rw, answer[4:])
			})
			r, err := w.Do(context.Background(), Request{URL: w.url, MaxBytes: 1 << 20, Buffer: c.buffer})
			if err != nil || string(r.Body) != answer {
				t.Fatalf("got %+v, %v", r, err)
			}
			if got := shares(r.Body, c.buffer); got != c.reported {
				t.Errorf("the body is in the buffer: %v, want %v", got, c.reported)
			}
		})
	}
}

func TestWhatAnAttemptLeftInTheBufferIsNotInTheAnswer(t *testing.T) {
	var w *world
	w = newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		if w.asked.Load() == 1 {
			rw.Header().Set("Content-Length", "1000")
			fmt.Fprint(rw, strings.Repeat("old", 300))
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(rw, "new")
	})
	buffer := bytes.Repeat([]byte("x"), 4096)
	r, err := w.Do(context.Background(), Request{URL: w.url, MaxBytes: 1 << 20, Buffer: buffer})
	if err != nil || string(r.Body) != "new" || w.asked.Load() != 2 {
		t.Fatalf("got %+v after %d requests, %v", r, w.asked.Load(), err)
	}
}

func TestALargeBufferRaisesNoCap(t *testing.T) {
	w := newWorld(t, func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(rw, "01234")
		rw.(http.Flusher).Flush()
		fmt.Fprint(rw, "56789")
	})
	var large *TooLargeError
	if _, err := w.Do(context.Background(), Request{URL: w.url, MaxBytes: 9, Buffer: make([]byte, 4096)}); !errors.As(err, &large) {
		t.Errorf("one byte beyond the cap: %v", err)
	}
	if r, err := w.Do(context.Background(), Request{URL: w.url, MaxBytes: 10, Buffer: make([]byte, 4096)}); err != nil || string(r.Body) != "0123456789" {
		t.Errorf("just the cap: %+v, %v", r, err)
	}
}
