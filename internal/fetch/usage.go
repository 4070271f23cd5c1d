package fetch

import (
	"cmp"
	"slices"

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

// Usage counts the requests made so far, by host and day, in that order.
func (c *Client) Usage() []Usage {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Usage, 0, len(c.spent))
	for of, n := range c.spent {
		all = append(all, Usage{of.host, of.day, n})
	}
	slices.SortFunc(all, func(a, b Usage) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Day, b.Day)) })
	return all
}

// Rate is how many requests a second a host may be asked at present; 0 is no limit.
func (c *Client) Rate(name string) float64 {
	limit := c.host(name).limiter.Limit()
	if limit == rate.Inf {
		return 0
	}
	return float64(limit)
}
