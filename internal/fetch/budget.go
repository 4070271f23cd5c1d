package fetch

import (
	"context"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// Budget is how often a host may be asked. The zero value is no limit.
type Budget struct {
	Requests int
	Per      time.Duration
	// Burst is how many requests may follow each other at once; 0 is a tenth of Requests, at least one.
	Burst int
	// Adaptive takes the budget for a ceiling: below it, the client finds out what the host bears.
	Adaptive bool
}

// host is what a client remembers of one host.
type host struct {
	limiter  *rate.Limiter
	adaptive *adaptive // nil for a fixed budget

	mu        sync.Mutex
	notBefore time.Time
}

// host finds or makes what is remembered of a host.
func (c *Client) host(name string) *host {
	name = strings.ToLower(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.hosts[name]
	if !ok {
		b, ok := c.o.Budgets[name]
		if !ok {
			b = c.o.DefaultBudget
		}
		h = &host{limiter: b.limiter()}
		h.adaptive = newAdaptive(b, h.limiter, c.o.Clock.Now())
		c.hosts[name] = h
	}
	return h
}

func (b Budget) limiter() *rate.Limiter {
	if b.Requests <= 0 || b.Per <= 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	burst := b.Burst
	if burst <= 0 {
		burst = max(1, b.Requests/10)
	}
	return rate.NewLimiter(rate.Limit(float64(b.Requests)/b.Per.Seconds()), burst)
}

// wait takes a request from the budget, waiting for it and for the end of the host's rest.
func (h *host) wait(ctx context.Context, c clock.Clock) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	now := c.Now()
	reservation := h.limiter.ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	for {
		if err := clock.Sleep(ctx, c, delay); err != nil {
			reservation.CancelAt(c.Now())
			return err
		}
		h.mu.Lock()
		delay = h.notBefore.Sub(c.Now())
		h.mu.Unlock()
		if delay <= 0 {
			return nil
		}
	}
}

// try takes a request from the budget where it may be made at once, and says when it may where not.
func (h *host) try(now time.Time) (until time.Time, ok bool) {
	h.mu.Lock()
	until = h.notBefore
	h.mu.Unlock()
	if until.After(now) {
		return until, false
	}
	reservation := h.limiter.ReserveN(now, 1)
	if delay := reservation.DelayFrom(now); delay > 0 {
		reservation.CancelAt(now)
		return now.Add(delay), false
	}
	return time.Time{}, true
}

// rest keeps everybody from asking the host before an instant.
func (h *host) rest(until time.Time) {
	h.mu.Lock()
	if until.After(h.notBefore) {
		h.notBefore = until
	}
	h.mu.Unlock()
}
