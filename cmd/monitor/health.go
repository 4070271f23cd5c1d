package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// healthAnswer is what /healthz and /readyz say.
type healthAnswer struct {
	Schema string `json:"schema"`
	Status string `json:"status"` // ok, or not-ready
	// Why says what is missing.
	Why []string `json:"why,omitempty"`
	// Jobs are how the daemon's jobs last ended since it started.
	Jobs map[string]jobEnd `json:"jobs"`
}

// listen answers at the configured address until the context ends. What it returns waits for that.
func (d *daemon) listen(ctx context.Context) (wait func() error, err error) {
	address := d.pass.cfg.Listen
	if address == "" {
		return func() error { return nil }, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, usage("listen: %w; name another HOST:PORT, or off", err)
	}
	d.logger.Info("answers for its health", "url", "http://"+listener.Addr().String()+"/healthz")
	server := &http.Server{Handler: d.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stopped <- server.Close() // nobody is in the middle of anything
	}()
	return func() error {
		err := errors.Join(<-served, <-stopped)
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return fmt.Errorf("listening at %s: %w", address, err)
	}, nil
}

// handler answers questions about the daemon's health.
func (d *daemon) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, d.health(nil)) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answerHealth(w, d.health(d.notReady(r.Context()))) })
	return mux
}

// health is what is said of the jobs, which are in the order of their names.
func (d *daemon) health(why []string) healthAnswer {
	d.mu.Lock()
	defer d.mu.Unlock()
	answer := healthAnswer{Schema: "health/1", Status: "ok", Why: why, Jobs: maps.Clone(d.done)}
	if len(why) > 0 {
		answer.Status = "not-ready"
	}
	return answer
}

// notReady says why nobody should rely on the record yet, or any more.
func (d *daemon) notReady(ctx context.Context) (why []string) {
	if _, err := d.record.LastRuns(ctx); err != nil {
		why = append(why, "the record cannot be read")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range []string{jobFollow, jobAudit} {
		switch end, ok := d.done[name]; {
		case !ok && d.last[name].IsZero():
			why = append(why, name+" has never ended")
		case end.Outcome == audit.Failed:
			why = append(why, name+" failed")
		}
	}
	return why
}

func answerHealth(w http.ResponseWriter, answer healthAnswer) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if len(answer.Why) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) // whoever asked has gone
}
