package sandbox

import (
	"bytes"
	"maps"
	"net/http"
	"strconv"
)

// Stall says where an answer stops and waits.
type Stall int

// Where an answer stalls: not at all, before anything is sent, or in the middle of the body.
const (
	NoStall Stall = iota
	StallBeforeHeaders
	StallInBody
)

// Fault is a way to misbehave. What it leaves zero stays as the honest service has it, so that a fault may change
// a status alone, or cut an honest body short.
type Fault struct {
	// Method and Path choose the requests: "" is any, a path that ends in "*" any that begins with it. The query
	// does not count.
	Method, Path string
	// Times is how many requests misbehave; 0 is all, until the fault is mended.
	Times int

	// AfterEffect lets the request take effect before it is answered by this fault.
	AfterEffect bool
	// Drop closes the connection without an answer.
	Drop bool
	// Status, RetryAfter (as the header has it), ContentType, ContentEncoding and Body replace those of the answer. A
	// Status without a Body gives an empty one.
	Status          int
	RetryAfter      string
	ContentType     string
	ContentEncoding string
	Body            []byte
	// Rewrite changes the honest body.
	Rewrite func(body []byte) []byte
	// Truncate announces the whole body and sends half of it.
	Truncate bool
	// Endless sends zeros for as long as anyone reads.
	Endless bool
	// Stall holds the answer until the client goes away, the fault is mended or the world closes.
	Stall Stall
}

// fault is a Fault in force.
type fault struct {
	Fault
	left   int // requests still to spoil; counts only where Times is set
	mended chan struct{}
}

// Break makes the service misbehave until mend is called, which may be done more than once. Of several faults that
// choose one request, the latest wins.
func (s *Service) Break(f Fault) (mend func()) {
	broken := &fault{Fault: f, left: f.Times, mended: make(chan struct{})}
	s.mu.Lock()
	s.faults = append(s.faults, broken)
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, other := range s.faults {
			if other == broken {
				s.faults = append(s.faults[:i], s.faults[i+1:]...)
				close(broken.mended)
				return
			}
		}
	}
}

// matchLocked finds the fault for a request and counts it.
func (s *Service) matchLocked(q *http.Request) *fault {
	for i := len(s.faults) - 1; i >= 0; i-- {
		f := s.faults[i]
		if f.Method != "" && f.Method != q.Method || !matches(f.Path, q.URL.Path) {
			continue
		}
		if f.Times > 0 {
			if f.left == 0 {
				continue
			}
			f.left--
		}
		return f
	}
	return nil
}

// capture holds the honest answer back.
type capture struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (c *capture) Header() http.Header { return c.header }

func (c *capture) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
}

func (c *capture) Write(b []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	return c.body.Write(b)
}

// misbehave answers a request as the fault has it.
func (s *Service) misbehave(w http.ResponseWriter, q *http.Request, f *fault) {
	honest := &capture{header: http.Header{}}
	replaced := f.Status != 0 || f.Body != nil || f.Endless || f.Drop
	if f.AfterEffect || !replaced {
		s.inner.ServeHTTP(honest, q)
	}
	if f.Drop {
		panic(http.ErrAbortHandler)
	}

	status, body := http.StatusOK, f.Body
	if !replaced {
		maps.Copy(w.Header(), honest.header)
		status, body = honest.status, honest.body.Bytes()
	}
	if f.Status != 0 {
		status = f.Status
	}
	if f.Rewrite != nil {
		body = f.Rewrite(bytes.Clone(body))
	}
	if f.Stall == StallBeforeHeaders {
		s.wait(q.Context(), f)
	}
	if f.ContentType != "" {
		w.Header().Set("Content-Type", f.ContentType)
	}
	if f.ContentEncoding != "" {
		w.Header().Set("Content-Encoding", f.ContentEncoding)
	}
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	if f.Endless {
		w.WriteHeader(status)
		s.endless(w, q)
		return
	}
	if status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if !f.Truncate && f.Stall != StallInBody {
		_, _ = w.Write(body)
		return
	}
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	if f.Stall == StallInBody {
		s.wait(q.Context(), f)
	}
	// Less was sent than announced: the server closes the connection.
	panic(http.ErrAbortHandler)
}

// endless sends zeros until the client has had enough.
func (s *Service) endless(w http.ResponseWriter, q *http.Request) {
	zeros := make([]byte, 64<<10)
	for q.Context().Err() == nil {
		select {
		case <-s.stop:
			return
		default:
		}
		if _, err := w.Write(zeros); err != nil {
			return
		}
	}
}
