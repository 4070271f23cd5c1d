package main

import (
	"log/slog"
	"maps"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/github"
)

// gitHub is the client of GitHub's API, with what it makes its requests through.
type gitHub struct {
	*github.Client
	api, blobs *fetch.Client
}

// gitHub makes the client of GitHub's API; nil where the configuration does not read it. The API and the store that has the
// bundles are asked through clients of their own: neither may lead to the hosts of the other, or to any further one.
func (a *app) gitHub(cfg *config.Config, logger *slog.Logger) (*gitHub, error) {
	g := cfg.GitHub
	if !g.Attestations {
		return nil, nil
	}
	o := github.Options{API: g.API, Clock: a.clock}
	if g.Token != nil {
		var err error
		if o.Token, err = g.Token.Read(); err != nil {
			return nil, usage("github: %w", err)
		}
	}
	u, err := url.Parse(g.API)
	if err != nil {
		return nil, usage("github.api: %w", err)
	}
	budgets := map[string]fetch.Budget{}
	for name, b := range cfg.Budgets {
		// All of an hour's requests may be made at once: GitHub counts them by the hour.
		budgets[name] = fetch.Budget{Requests: b.Requests, Per: b.Per, Burst: b.Requests}
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsLoopback() {
		if _, ok := budgets[strings.ToLower(u.Host)]; !ok {
			budgets[strings.ToLower(u.Host)] = fetch.Budget{}
		}
	}
	client := func(hosts ...string) *fetch.Client {
		return fetch.New(fetch.Options{Clock: a.clock, Logger: logger, UserAgent: userAgent(cfg.Contact), Budgets: budgets,
			Allow: fetch.Allow{Hosts: hosts, HTTP: cfg.AllowHTTP}, DefaultBudget: fetch.Budget{Requests: 600, Per: time.Minute}})
	}
	out := &gitHub{api: client(u.Host), blobs: client(g.Blobs...)}
	out.Client = github.NewClient(out.api, out.blobs, o)
	return out, nil
}

// close closes idle connections.
func (g *gitHub) close() {
	if g != nil {
		g.api.Close()
		g.blobs.Close()
	}
}

// requests counts the requests made so far, by host.
func (g *gitHub) requests() map[string]int64 {
	all := map[string]int64{}
	if g != nil {
		maps.Copy(all, g.blobs.Requests())
		all = mergeCounts(all, g.api.Requests())
	}
	return all
}
