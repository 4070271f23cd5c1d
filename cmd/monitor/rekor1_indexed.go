package main

import (
	"context"
	"crypto"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// rekor1Log is a Rekor v1 of the trusted roots, with all the keys that these have of it.
type rekor1Log struct {
	origin, url string
	keys        []crypto.PublicKey
	ids         []string
	frozenAt    time.Time
	said        config.Log
	// full says that its shards are followed too, and public that it is the public instance.
	full, public bool
}

// rekor1Logs are the Rekor v1 logs that are read.
func rekor1Logs(cfg *config.Config, known []knownLog) []rekor1Log {
	var logs []rekor1Log
	for _, k := range known {
		if k.kind != kindRekorV1 || k.skipped != "" {
			continue
		}
		i := slices.IndexFunc(logs, func(l rekor1Log) bool { return l.origin == k.origin })
		if i < 0 {
			logs, i = append(logs, rekor1Log{origin: k.origin, url: k.url, said: k.said,
				full: cfg.Logs.RekorV1 == config.RekorV1Full && k.notFull(cfg) == "", public: k.isPublicRekor()}), len(logs)
			if k.frozen {
				logs[i].frozenAt = k.log.ValidityPeriodEnd
			}
		}
		l := &logs[i]
		l.keys, l.ids = append(l.keys, k.log.PublicKey), append(l.ids, hex.EncodeToString(k.log.ID))
		if !k.frozen { // one key of several ended, not the log
			l.frozenAt = time.Time{}
		}
	}
	return logs
}

// readRekor1s reads every Rekor v1: by name first, where what is urgent is, then in bulk.
func (r *followRun) readRekor1s(ctx context.Context, known []knownLog, client *fetch.Client, answer *followAnswer) error {
	if err := r.readRekor1(ctx, known, client, answer); err != nil {
		return err
	}
	if err := r.readShards(ctx, known, client, answer); err != nil {
		return err
	}
	return r.readWindows(ctx, known, client, answer)
}

// readRekor1 makes one pass over every Rekor v1, by what the record knows of it.
func (r *followRun) readRekor1(ctx context.Context, known []knownLog, client *fetch.Client, answer *followAnswer) error {
	reader := &audit.Rekor1Reader{Clock: r.app.clock, Logger: r.logger}
	for _, l := range rekor1Logs(r.cfg, known) {
		if len(r.only) > 0 && !slices.Contains(r.only, l.origin) {
			continue
		}
		target, err := r.rekor1Target(ctx, l, client)
		if err != nil {
			return err
		}
		pass := time.Minute // as often as the logs are followed
		if r.afterwards {
			pass = 10 * time.Minute
		}
		target.Budget = rekor1Budget(r.cfg, l.url, pass)
		summary, err := reader.Read(ctx, target)
		if l.said.Kind == "" && summary.Shards == 0 && len(summary.Troubles) > 0 {
			summary.Troubles = append(summary.Troubles, fmt.Sprintf("if it is a Rekor v2 with an ECDSA key, say logs.each[%q].kind: rekor-v2", l.origin))
		}
		answer.Rekor1 = addRekor1(answer.Rekor1, summary)
		if err != nil {
			return err
		}
		if !summary.Complete() {
			answer.Outcome = audit.Incomplete
		}
	}
	return nil
}

// rekor1Target opens the record of a Rekor v1.
func (r *followRun) rekor1Target(ctx context.Context, l rekor1Log, client *fetch.Client) (audit.Rekor1Target, error) {
	store, err := r.record.Rekor1(ctx, l.origin, l.url, l.ids)
	if err != nil {
		return audit.Rekor1Target{}, err
	}
	store.ShardsFollowed = l.full
	watch, err := watchList(r.cfg)
	return audit.Rekor1Target{Name: l.origin, URL: l.url, Keys: l.keys, Fetch: client, Store: store,
		Inspector: &audit.LeafInspector{Watch: watch, Roots: r.set}, FrozenAt: l.frozenAt}, err
}

// rekor1 reads every Rekor v1 of the trusted roots that were loaded, and judges what came of it.
func (r *followRun) rekor1(ctx context.Context) (*followAnswer, error) {
	answer := &followAnswer{Outcome: audit.Complete, Logs: []audit.LogSummary{}}
	known, err := r.app.knownLogs(r.cfg, r.set)
	if err != nil {
		return nil, err
	}
	client := r.logClient(known)
	before := client.Requests()
	if err := r.readRekor1s(ctx, known, client, answer); err != nil {
		return nil, err
	}
	if err := r.relateGossip(ctx, known, client, answer); err != nil {
		return nil, err
	}
	answer.Requests = since(before, client.Requests())
	return answer, r.settle(ctx, known, answer)
}

// rekor1Keys are the keys of the Rekor v1 that an origin names: its own, or that of a shard.
func rekor1Keys(known []knownLog, origin string) (*rekor.V1Keys, error) {
	name := origin
	if host, _, ok := rekor.TreeOf(origin); ok {
		name = host
	}
	var keys, others []crypto.PublicKey
	for _, k := range known {
		switch {
		case k.kind != kindRekorV1:
		case k.origin == name:
			keys = append(keys, k.log.PublicKey)
		default:
			others = append(others, k.log.PublicKey)
		}
	}
	if len(keys) == 0 { // a private instance may sign in the name of a machine
		keys = others
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("log %s: %w", origin, audit.ErrUnknownLog)
	}
	return rekor.NewV1Keys("", keys...)
}

// recordedCheckpoint verifies a checkpoint of any log, as it was once served.
func recordedCheckpoint(ctx context.Context, known []knownLog, origin string, raw []byte) (tlog.SignedCheckpoint, error) {
	for _, k := range known {
		if k.origin == origin && k.kind != kindRekorV1 {
			return readCheckpoint(ctx, k, raw)
		}
	}
	keys, err := rekor1Keys(known, origin)
	if err != nil {
		return tlog.SignedCheckpoint{}, err
	}
	cp, err := keys.Checkpoint(raw)
	if _, _, shard := rekor.TreeOf(origin); err == nil && shard && cp.Origin != origin {
		err = fmt.Errorf("it is of %s", cp.Origin)
	}
	return cp, err
}

// printRekor1 prints a pass over a Rekor v1 for people.
func (a *app) printRekor1(s audit.Rekor1Summary) {
	line(a.stdout, "%s (%s): %d entries in %s; of bundles: %d entries confirmed, %d checkpoints related; %d searches answered, %s, %s", s.Log, kindRekorV1, s.Size,
		plural(s.Shards, "shard"), s.Confirmed, s.Related, s.Searches, plural(s.Hits, "hit"), plural(s.Requests, "request"))
	for _, m := range s.Misbehaviours {
		line(a.stdout, "  MISBEHAVED: %s", m)
	}
	if n := s.Differing + s.Missing; n > 0 {
		line(a.stdout, "  %d entries of bundles are not in it as the bundles have them", n)
	}
	if s.Stale {
		line(a.stdout, "  it showed an older tree than before, consistent with it")
	}
	if s.Spent {
		line(a.stdout, "  unknown: the budget of requests is spent; what is left is due in the next pass")
	}
	for _, t := range s.Troubles {
		line(a.stdout, "  unknown: %s", t)
	}
}
