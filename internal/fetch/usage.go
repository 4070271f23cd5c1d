package fetch

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Usage is how often a host was asked on a day, retries and redirects included.
type Usage struct {
	Host string
	// Day is in UTC, as 2026-11-02.
	Day      string
	Requests int64
}

// spending names one count of requests.
type spending struct{ host, day string }

// Counter counts the requests of any number of clients, by host and day. The zero value is ready to use; it is safe for
// concurrent use.
type Counter struct {
	mu    sync.Mutex
	spent map[spending]int64
}

// Usage is what was counted so far, by host and day, in that order.
func (c *Counter) Usage() []Usage {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Usage, 0, len(c.spent))
	for of, n := range c.spent {
		all = append(all, Usage{of.host, of.day, n})
	}
	slices.SortFunc(all, func(a, b Usage) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Day, b.Day)) })
	return all
}

// add counts a request.
func (c *Counter) add(host string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spent == nil {
		c.spent = map[spending]int64{}
	}
	c.spent[spending{strings.ToLower(host), at.UTC().Format(time.DateOnly)}]++
}

// Usage counts the requests made so far, by host and day, in that order.
func (c *Client) Usage() []Usage { return c.spent.Usage() }

// Rate is how many requests a second a host may be asked at present; 0 is no limit.
func (c *Client) Rate(name string) float64 {
	limit := c.host(name).limiter.Limit()
	if limit == rate.Inf {
		return 0
	}
	return float64(limit)
}
