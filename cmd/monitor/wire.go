package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/lmittmann/tint"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/pypi"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// logger makes the program's logger: on standard error, text for people and JSON for machines.
func (a *app) logger(g *globals) (*slog.Logger, error) {
	level := slog.LevelInfo
	if a.errTerminal {
		level = slog.LevelWarn // a person watches the progress bar
	}
	if g.logLevel != "" {
		if err := level.UnmarshalText([]byte(g.logLevel)); err != nil {
			return nil, usage("--log-level %q: use debug, info, warn or error", g.logLevel)
		}
	}
	switch format := g.logFormat; {
	case format == "text" || format == "" && a.errTerminal:
		return slog.New(tint.NewTextHandler(a.stderr, &tint.Options{Level: level, NoColor: !a.errTerminal, TimeFormat: time.TimeOnly})), nil
	case format == "json" || format == "":
		return slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: level})), nil
	default:
		return nil, usage("--log-format %q: use text or json", format)
	}
}

// client makes the HTTP client of a configuration: only its hosts, and those of more URLs, within their budgets.
func (a *app) client(cfg *config.Config, logger *slog.Logger, more ...string) *fetch.Client {
	o := fetch.Options{Clock: a.clock, Logger: logger, UserAgent: userAgent(cfg.Contact), Allow: fetch.Allow{HTTP: cfg.AllowHTTP},
		Budgets: map[string]fetch.Budget{}, DefaultBudget: defaultBudget, Counter: &a.requests}
	host := func(address string) {
		if u, err := url.Parse(address); err == nil {
			o.Allow.Hosts = append(o.Allow.Hosts, u.Host)
			o.Budgets[strings.ToLower(u.Host)] = budgetOf(cfg, strings.ToLower(u.Host))
		}
	}
	for _, x := range cfg.Indexes {
		host(x.URL)
		o.Allow.Hosts = append(o.Allow.Hosts, x.FileHosts...)
	}
	for _, s := range cfg.Trust {
		host(s.TUF)
	}
	for _, u := range more {
		host(u)
	}
	for name, b := range cfg.Budgets {
		o.Budgets[name] = fetch.Budget{Requests: b.Requests, Per: b.Per}
	}
	for _, address := range more {
		if u, err := url.Parse(address); err == nil {
			name := strings.ToLower(u.Host)
			b, ok := o.Budgets[name]
			if !ok {
				b = o.DefaultBudget
			}
			o.Budgets[name] = logBudget(name, b)
		}
	}
	return fetch.New(o)
}

// userAgent says who asks, and whom to write to.
func userAgent(contact string) string {
	if contact == "" {
		contact = "https://github.com/rekoncile/rekoncile"
	}
	return "rekoncile/" + buildVersion().Version + " (+" + contact + ")"
}

// roots loads the configuration's trusted roots.
func (a *app) roots(ctx context.Context, cfg *config.Config, client *fetch.Client, logger *slog.Logger) (*trust.Set, error) {
	var sources []trust.Source
	for _, s := range cfg.Trust {
		src := trust.Source{TUF: s.TUF, RootFile: s.RootFile, Cache: s.Cache, TrustedRoot: s.TrustedRoot}
		if src.TUF != "" && src.Cache == "" {
			dir, err := os.UserCacheDir()
			if err != nil {
				return nil, usage("there is no folder for the cache of %s (%v): set trust.cache in the configuration", src.TUF, err)
			}
			src.Cache = filepath.Join(dir, "rekoncile", "tuf")
		}
		sources = append(sources, src)
	}
	return trust.Load(ctx, sources, trust.Options{Now: a.clock.Now, Client: tufClient{client}, Logger: logger})
}

// keepRoots keeps the trusted roots in the record, all at one instant: the last ones used are those of the last instant.
func (a *app) keepRoots(ctx context.Context, record *db.DB, set *trust.Set) error {
	now := a.clock.Now()
	for _, r := range set.Roots {
		root := audit.TrustedRoot{SHA256: r.SHA256, Source: r.Source, Body: r.JSON, ExpiresAt: r.ExpiresAt}
		if err := record.SaveTrustedRoot(ctx, now, root); err != nil {
			return err
		}
	}
	return nil
}

// recordedRoots are the trusted roots that were used last, from the record.
func recordedRoots(ctx context.Context, record *db.DB) (*trust.Set, []audit.TrustedRoot, error) {
	roots, err := record.TrustedRoots(ctx)
	if err != nil {
		return nil, nil, err
	}
	set := &trust.Set{}
	for _, r := range roots {
		parsed, err := trust.FromJSON(r.Source, r.Body)
		if err != nil {
			return nil, nil, fmt.Errorf("trusted root %s of the record: %w", r.SHA256, err)
		}
		set.Roots = append(set.Roots, *parsed)
	}
	return set, roots, nil
}

// tufClient lets a TUF client make its requests through the polite one, which knows budgets, caps and retries.
type tufClient struct{ client *fetch.Client }

func (t tufClient) Do(q *http.Request) (*http.Response, error) {
	const most = 16 << 20
	r, err := t.client.Do(q.Context(), fetch.Request{URL: q.URL.String(), MaxBytes: most})
	var status *fetch.StatusError
	switch {
	case errors.As(err, &status): // 404 is how a TUF repository says that there is no newer root
		return &http.Response{StatusCode: status.Status, Status: http.StatusText(status.Status), Header: http.Header{}, Body: http.NoBody, Request: q}, nil
	case err != nil:
		return nil, err
	}
	return &http.Response{StatusCode: r.Status, Status: http.StatusText(r.Status), Header: r.Header, ContentLength: int64(len(r.Body)),
		Body: io.NopCloser(bytes.NewReader(r.Body)), Request: q}, nil
}

// attestVerifier makes the verifier of bundles and attestations over trusted roots.
func (a *app) attestVerifier(set *trust.Set) (*attest.Verifier, error) {
	return attest.NewVerifier(set.Material(), attest.Options{Now: a.clock.Now, SameName: pypi.SameDistribution})
}

// ruleSet applies the configuration's settings to the rules.
func ruleSet(cfg *config.Config) audit.RuleSet {
	settings := map[string]audit.Setting{}
	for id, s := range cfg.Rules {
		settings[id] = audit.Setting{Severity: audit.Severity(s.Severity), Grace: s.Grace}
	}
	return audit.NewRuleSet(settings)
}

// openRecord reads the configuration and opens its record, for a command that only looks, or decides on findings.
func (g *globals) openRecord(ctx context.Context) (*config.Config, *db.DB, error) {
	cfg, err := g.loadConfig()
	if err != nil {
		return nil, nil, err
	}
	record, err := db.OpenExisting(ctx, cfg.Database)
	return cfg, record, err
}

// takeRecord opens the record for a command that works on it, alone; done gives it up again.
func (a *app) takeRecord(ctx context.Context, cfg *config.Config, wait time.Duration) (record *db.DB, done func() error, err error) {
	lock, err := db.TakeLock(ctx, cfg.Database, a.clock, wait, func(held *db.LockedError) {
		fmt.Fprintf(a.stderr, "monitor: %v; waiting for it for up to %s\n", held, wait)
	})
	if err != nil {
		return nil, nil, err
	}
	if record, err = db.Open(ctx, cfg.Database); err != nil {
		return nil, nil, errors.Join(err, lock.Release())
	}
	record.CountRequests(&a.requests)
	return record, func() error { return errors.Join(record.Close(), lock.Release()) }, nil
}
