package main

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/root"
	formatsnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// The kinds of logs; see config.LogKinds.
const (
	kindRekorV1  = "rekor-v1"
	kindRekorV2  = "rekor-v2"
	kindCT       = "ct-rfc6962"
	kindCTStatic = "ct-static"
)

// knownLog is a log of the trusted roots, with what the configuration says of it.
type knownLog struct {
	origin, kind, url string
	log               *root.TransparencyLog
	said              config.Log
	// skipped says why it is not followed; "" where it is.
	skipped string
	frozen  bool
}

// knownLogs lists every log of the trusted roots, past and present, by origin.
func (a *app) knownLogs(cfg *config.Config, set *trust.Set) ([]knownLog, error) {
	var logs []knownLog
	add := func(log *root.TransparencyLog, ct bool) error {
		u, err := url.Parse(log.BaseURL)
		if err != nil || u.Host == "" {
			return fmt.Errorf("the trusted root has a log with the URL %q", log.BaseURL)
		}
		k := knownLog{origin: u.Host, url: strings.TrimSuffix(log.BaseURL, "/"), log: log}
		if ct {
			k.origin += strings.TrimSuffix(u.Path, "/")
		}
		if slices.ContainsFunc(logs, func(x knownLog) bool { return x.origin == k.origin && string(x.log.ID) == string(log.ID) }) {
			return nil // two trusted roots that name the same log
		}
		k.said = cfg.Logs.Of(k.origin)
		if k.said.URL != "" {
			k.url = k.said.URL
		}
		k.kind = k.said.Kind
		_, ed25519Key := log.PublicKey.(ed25519.PublicKey)
		switch {
		case k.kind != "":
		case ct:
			k.kind = kindCT
		case ed25519Key:
			k.kind = kindRekorV2
		default:
			k.kind = kindRekorV1
		}
		k.frozen = !log.ValidityPeriodEnd.IsZero() && log.ValidityPeriodEnd.Before(a.clock.Now())
		switch {
		case k.said.Off:
			k.skipped = "switched off in the configuration"
		case k.kind == kindRekorV1 && cfg.Logs.RekorV1 == config.RekorV1Off,
			k.kind == kindRekorV2 && !cfg.Logs.RekorV2, (k.kind == kindCT || k.kind == kindCTStatic) && !cfg.Logs.CT:
			k.skipped = "switched off in the configuration"
		}
		logs = append(logs, k)
		return nil
	}
	for _, r := range set.Roots {
		for _, log := range r.Material.RekorLogs() {
			if err := add(log, false); err != nil {
				return nil, err
			}
		}
		for _, log := range r.Material.CTLogs() {
			if err := add(log, true); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(logs, func(x, y knownLog) int { return strings.Compare(x.origin, y.origin) })
	return logs, nil
}

// watchList is what the configured projects are known by.
func watchList(cfg *config.Config) (*identity.WatchList, error) {
	var watched []identity.Watched
	for _, p := range cfg.Projects {
		w := identity.Watched{Project: p.Name, Repository: p.Policy.Repository.Name,
			Owners: p.AlsoWatch.Owners, Emails: p.AlsoWatch.Emails, Keys: p.AlsoWatch.KeyFingerprints}
		if !p.Policy.Repository.IDsUnconfirmed {
			w.RepositoryID = p.Policy.Repository.ID
		}
		watched = append(watched, w)
	}
	return identity.NewWatchList(watched)
}

// targets opens the logs that are to be followed.
func (r *followRun) targets(ctx context.Context, logs []knownLog, client *fetch.Client, watch *identity.WatchList) ([]audit.LogTarget, error) {
	inspector := &audit.LeafInspector{Watch: watch, Roots: r.set}
	witnesses, err := witnessKeys(r.cfg)
	if err != nil {
		return nil, err
	}
	var targets []audit.LogTarget
	for _, k := range logs {
		store, err := r.record.Log(ctx, db.LogName{Origin: k.origin, Kind: k.kind, KeyID: hex.EncodeToString(k.log.ID), URL: k.url}, watch.Hash())
		if err != nil {
			return nil, err
		}
		t := audit.LogTarget{Origin: k.origin, Kind: k.kind, URL: k.url, Store: store, Until: r.until}
		if k.frozen {
			t.FrozenAt = k.log.ValidityPeriodEnd
		}
		start := *k.said.Start
		if r.from != nil {
			start = *r.from
		}
		if t.Source, err = logSource(k, client, witnesses...); err != nil {
			return nil, err
		}
		timeOf := audit.CertificateTime
		if k.kind == kindRekorV2 {
			scanner := rekor.NewScanner(watch)
			t.Scan, t.Unknown, t.Inspect, timeOf = scanner.Scan, scanner.Unknown, inspector.Entry, audit.EntryTime
			keepDigests(&t, r.cfg, scanner, inspector.Foreign)
		} else {
			scanner := ctlog.NewScanner(watch)
			t.Scan, t.Unknown, t.Inspect = scanner.Scan, scanner.Unknown, inspector.Certificate
		}
		if t.Start = startAt(start); !start.At.IsZero() {
			t.Start = audit.StartAt(t.Source, start.At, timeOf)
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// startAt takes a log up at its head or at an index.
func startAt(start config.LogStart) func(context.Context, uint64) (uint64, error) {
	return func(_ context.Context, size uint64) (uint64, error) {
		if start.Head {
			return size, nil
		}
		return start.Index, nil
	}
}

// witnessKeys are the keys that cosignatures are verified with.
func witnessKeys(cfg *config.Config) ([]note.Verifier, error) {
	var keys []note.Verifier
	for _, text := range cfg.Logs.Witnesses {
		key, err := formatsnote.NewVerifierForCosignatureV1(text)
		if err != nil {
			return nil, fmt.Errorf("the key of a witness: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// logSource makes the reader of one log.
func logSource(k knownLog, client tiles.Fetcher, witnesses ...note.Verifier) (tlog.Source, error) {
	switch k.kind {
	case kindRekorV2:
		verifier, err := tlog.NewTiledVerifier(k.origin, k.log.PublicKey)
		if err != nil {
			return nil, err
		}
		return rekor.NewTileLog(rekor.Options{URL: k.url, Origin: k.origin, Verifier: verifier, Witnesses: witnesses, Fetch: client})
	case kindCTStatic:
		return ctlog.NewStaticLog(ctlog.Options{URL: k.url, Origin: k.origin, Key: k.log.PublicKey, Witnesses: witnesses, Fetch: client})
	default:
		return ctlog.NewRFC6962Log(ctlog.Options{URL: k.url, Origin: k.origin, Key: k.log.PublicKey, Fetch: client})
	}
}

// readCheckpoint verifies a checkpoint that a log served once: the log's own reader reads it from what was kept.
func readCheckpoint(ctx context.Context, k knownLog, raw []byte) (tlog.SignedCheckpoint, error) {
	source, err := logSource(k, replay(raw))
	if err != nil {
		return tlog.SignedCheckpoint{}, err
	}
	return source.Checkpoint(ctx)
}

// replay answers every request with what was kept.
type replay []byte

func (r replay) Do(_ context.Context, q fetch.Request) (*fetch.Response, error) {
	return &fetch.Response{Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: r, URL: q.URL}, nil
}

// logHosts are the URLs of logs, for the HTTP client to allow.
func logHosts(logs []knownLog) []string {
	var urls []string
	for _, k := range logs {
		urls = append(urls, k.url)
	}
	return urls
}
