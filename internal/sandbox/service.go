package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// maxRequestBody bounds what a service reads of a request.
const maxRequestBody = 1 << 20

// Service is one HTTP server of the world: it listens on loopback, writes down what it is asked, and misbehaves on
// demand. Every service embeds one.
type Service struct {
	name   string
	logger *slog.Logger
	inner  http.Handler // the honest service
	stop   chan struct{}

	mu       sync.Mutex
	server   *http.Server
	url      string
	faults   []*fault
	requests []*Request

	serving sync.WaitGroup // the accept loop
	conns   sync.WaitGroup
}

// Request is what a service was asked, and the status of what it answered: 0 while it has not.
type Request struct {
	Method string
	Path   string // with its query
	Header http.Header
	Status int
}

func newService(name string, logger *slog.Logger, inner http.Handler) *Service {
	return &Service{name: name, logger: logger, inner: inner, stop: make(chan struct{})}
}

// URL is the service's address, without a slash at the end; "" before Start.
func (s *Service) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.url
}

// Handler is the service, faults included, for those who have a server of their own.
func (s *Service) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Requests lists what the service was asked since it was made or since ForgetRequests, in order of arrival.
func (s *Service) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Request, len(s.requests))
	for i, r := range s.requests {
		out[i] = *r
	}
	return out
}

// ForgetRequests empties the list of requests.
func (s *Service) ForgetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// start listens on a free port of the loopback interface.
func (s *Service) start() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("opening a port for the sandbox's %s: %w", s.name, err)
	}
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
		// The accept loop reports new connections itself, so that once it has ended no more are counted.
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.conns.Done()
			}
		},
	}
	s.mu.Lock()
	s.server, s.url = server, "http://"+listener.Addr().String()
	s.mu.Unlock()
	s.serving.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.logger.Error("the sandbox's service stopped", "service", s.name, "error", err)
		}
	})
	return nil
}

// close ends every request, stalled ones too, and waits for them.
func (s *Service) close() error {
	s.mu.Lock()
	server := s.server
	s.server = nil
	s.mu.Unlock()
	if server == nil {
		return nil
	}
	close(s.stop)
	err := server.Close()
	s.serving.Wait()
	s.conns.Wait()
	return err
}

// serve writes the request down, answers it and adds the status.
func (s *Service) serve(w http.ResponseWriter, q *http.Request) {
	s.mu.Lock()
	record := &Request{Method: q.Method, Path: q.URL.RequestURI(), Header: q.Header.Clone()}
	s.requests = append(s.requests, record)
	f := s.matchLocked(q)
	s.mu.Unlock()

	sw := &statusWriter{ResponseWriter: w}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		record.Status = sw.status
	}()
	if f == nil {
		s.inner.ServeHTTP(sw, q)
		return
	}
	s.misbehave(sw, q, f)
}

// wait holds a request until the fault is mended. A client that goes away, or a service that closes, ends it
// without an answer.
func (s *Service) wait(ctx context.Context, f *fault) {
	select {
	case <-f.mended:
	case <-ctx.Done():
		panic(http.ErrAbortHandler)
	case <-s.stop:
		panic(http.ErrAbortHandler)
	}
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// writeJSON answers with a JSON document of the given media type.
func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		http.Error(w, "encoding the answer: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// matches reports whether a pattern covers a path: "" covers all, one that ends in "*" all that begin with it.
func matches(pattern, path string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(path, prefix)
	}
	return pattern == "" || pattern == path
}
