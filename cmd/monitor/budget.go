package main

import (
	"context"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
)

// defaultBudget is how often a host may be asked of which the configuration says nothing.
var defaultBudget = fetch.Budget{Requests: 120, Per: time.Minute}

// hostOf is the host of an address as requests are counted by it; "" where it has none.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// budgetOf is how often a host (HOST or HOST:PORT) may be asked. One's own machine needs no politeness.
func budgetOf(cfg *config.Config, host string) fetch.Budget {
	if b, ok := cfg.Budgets[host]; ok {
		return fetch.Budget{Requests: b.Requests, Per: b.Per}
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if ip := net.ParseIP(strings.Trim(name, "[]")); ip != nil && ip.IsLoopback() {
		return fetch.Budget{}
	}
	return defaultBudget
}

// requestsIn is how many requests a budget allows in a while; 0 is no limit.
func requestsIn(b fetch.Budget, d time.Duration) int {
	if b.Requests <= 0 || b.Per <= 0 {
		return 0
	}
	return max(1, int(min(float64(b.Requests)*d.Seconds()/b.Per.Seconds(), 1<<30)))
}

// rekor1Budget is what the budget of a log's host allows in a pass, which is to take no longer than so, and in a day.
func rekor1Budget(cfg *config.Config, address string, pass time.Duration) audit.Rekor1Budget {
	// A pass must come past the shards: beyond the host's pace the client waits.
	const least = 10
	host := hostOf(address)
	b := logBudget(host, budgetOf(cfg, host))
	if requestsIn(b, pass) == 0 {
		return audit.Rekor1Budget{}
	}
	return audit.Rekor1Budget{Pass: max(least, requestsIn(b, pass)), Day: requestsIn(b, 24*time.Hour)}
}

// spender says when what a host may be asked today, for what it is used for, is used up.
type spender struct {
	left  int64
	asked func() int64 // so far, by whoever asks
	began int64
}

// spender takes the share of the day's budget that a log's host has left. spent counts the requests that were made to it so far.
func (r *followRun) spender(ctx context.Context, l rekor1Log, spent func() int64, share func(audit.Rekor1Budget, int) int) (*spender, error) {
	today, err := r.record.Asked(ctx, hostOf(l.url), r.app.clock.Now())
	if err != nil {
		return nil, err
	}
	return &spender{left: int64(share(rekor1Budget(r.cfg, l.url, time.Minute), int(today))), asked: spent, began: spent()}, nil
}

// done reports whether the day's requests are used up.
func (s *spender) done() bool { return s.asked()-s.began >= s.left }

// either stops where one of several says so; nil ones say nothing.
func either(all ...func() bool) func() bool {
	return func() bool {
		for _, stop := range all {
			if stop != nil && stop() {
				return true
			}
		}
		return false
	}
}

// hostStatus is what a host was asked on a day.
type hostStatus struct {
	Host     string `json:"host"`
	Day      string `json:"day"` // UTC
	Requests int64  `json:"requests"`
	// Budget is what the configuration allows a day, 0 where it sets no limit, and Left what of that is left.
	Budget int64 `json:"budget,omitempty"`
	Left   int64 `json:"left,omitempty"`
}

// hostsStatus lists the hosts that were asked today.
func (a *app) hostsStatus(ctx context.Context, cfg *config.Config, record *db.DB) ([]hostStatus, error) {
	asked, err := record.RequestsOn(ctx, a.clock.Now())
	if err != nil {
		return nil, err
	}
	all := []hostStatus{}
	for _, h := range asked {
		s := hostStatus{Host: h.Host, Day: h.Day.Format(time.DateOnly), Requests: h.Requests}
		if s.Budget = int64(requestsIn(logBudget(h.Host, budgetOf(cfg, h.Host)), 24*time.Hour)); s.Budget > 0 {
			s.Left = max(0, s.Budget-s.Requests)
		}
		all = append(all, s)
	}
	return all, nil
}

// printHosts prints what each host was asked.
func (a *app) printHosts(hosts []hostStatus) {
	for _, h := range hosts {
		if h.Budget == 0 {
			line(a.stdout, "requests to %s on %s: %d", h.Host, h.Day, h.Requests)
			continue
		}
		line(a.stdout, "requests to %s on %s: %d of %d, %d left", h.Host, h.Day, h.Requests, h.Budget, h.Left)
	}
}
