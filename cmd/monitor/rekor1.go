package main

import (
	"cmp"
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles"
)

const (
	// publicRekor is the host of the public instance.
	publicRekor = "rekor.sigstore.dev"
	// maxPublicRate is how many requests a minute it is asked at most, whatever the configuration says: about 500 is where it
	// is reported to refuse.
	maxPublicRate = 480
	// publicGrowth are how many entries a second it grew by in 2026, at the least and at the most, and rekorPage how many it
	// gives in one answer.
	publicGrowthLeast, publicGrowthMost, rekorPage = 100, 230, 10
)

// A shard gives ten entries a request: so many are what a kill may lose, and what is read before it is proven.
const (
	shardBatchEntries = 1000
	shardProveEntries = 10_000
)

// isPublicRekor reports whether a log is read at the public instance.
func (k knownLog) isPublicRekor() bool {
	u, err := url.Parse(k.url)
	return err == nil && strings.EqualFold(u.Hostname(), publicRekor)
}

// rekor1Skipped says why a Rekor v1 is not followed, "" where it is.
func rekor1Skipped(cfg *config.Config, k knownLog) string {
	switch cfg.Logs.RekorV1 {
	case config.RekorV1Off:
		return "switched off in the configuration"
	case config.RekorV1Full:
		if k.isPublicRekor() && !k.said.Asked {
			return fmt.Sprintf("reading all of it is out of reach: %s; if it is to be tried, say logs.each[%q].mode: follow", publicArithmetic(maxPublicRate), k.origin)
		}
		return ""
	case config.RekorV1Window:
		return "it is read in windows, not as a whole"
	}
	skipped := "this version does not read Rekor v1; its entries are known only from attestations"
	if k.said.Kind == "" {
		skipped += fmt.Sprintf(" (if it is a Rekor v2 with an ECDSA key, say logs.each[%q].kind: rekor-v2)", k.origin)
	}
	return skipped
}

// publicArithmetic says what following the public instance takes, next to what so many requests a minute give.
func publicArithmetic(perMinute float64) string {
	return fmt.Sprintf("it grows by %d to %d entries a second and gives %d a request, so that keeping up takes %d to %d requests a minute, without its past of three billion entries; %.0f a minute read %.0f entries a second",
		publicGrowthLeast, publicGrowthMost, rekorPage, publicGrowthLeast*60/rekorPage, publicGrowthMost*60/rekorPage, perMinute, perMinute*rekorPage/60)
}

// perMinute is how often the configuration lets a host be asked at most; 0 is no limit.
func perMinute(b fetch.Budget) float64 {
	if b.Requests <= 0 || b.Per <= 0 {
		return 0
	}
	return float64(b.Requests) * float64(time.Minute) / float64(b.Per)
}

// logBudget makes the budget of a log's host a ceiling: logs are read in bulk, for as long as they bear it.
func logBudget(host string, b fetch.Budget) fetch.Budget {
	if name, _, _ := strings.Cut(host, ":"); name == publicRekor && (perMinute(b) == 0 || perMinute(b) > maxPublicRate) {
		b.Requests, b.Per = maxPublicRate, time.Minute
	}
	b.Adaptive = true
	return b
}

// rekor1Log opens a Rekor v1, given its shards as they were seen earlier.
func rekor1Log(k knownLog, client tiles.Fetcher, earlier *rekor.V1Shards) (*rekor.V1Log, error) {
	return rekor.NewV1Log(rekor.V1Options{URL: k.url, Keys: []crypto.PublicKey{k.log.PublicKey}, Earlier: earlier, Fetch: client})
}

// rekor1Checkpoint verifies a checkpoint of one of a Rekor v1's trees, as it was served once.
func rekor1Checkpoint(k knownLog, raw []byte) (tlog.SignedCheckpoint, error) {
	keys, err := rekor.NewV1Keys("", k.log.PublicKey)
	if err != nil {
		return tlog.SignedCheckpoint{}, err
	}
	return keys.Checkpoint(raw)
}

// checkpointOf verifies a checkpoint of the log or the tree of an origin. Trees of Rekor v1 are named by the log itself, which
// may have another host there than in the trusted root: the key tells.
func checkpointOf(ctx context.Context, known []knownLog, origin string, raw []byte) (tlog.SignedCheckpoint, error) {
	for _, k := range known {
		if k.origin == origin && k.kind != kindRekorV1 {
			return readCheckpoint(ctx, k, raw)
		}
	}
	err := fmt.Errorf("the trusted roots have no log %s", origin)
	for _, k := range known {
		if k.kind != kindRekorV1 {
			continue
		}
		cp, tried := rekor1Checkpoint(k, raw)
		if tried == nil {
			return cp, nil
		}
		if k.hasShard(origin) {
			err = tried
		}
	}
	return tlog.SignedCheckpoint{}, err
}

// hasShard reports whether an origin is that of a tree which is called after the log's host.
func (k knownLog) hasShard(origin string) bool {
	return k.kind == kindRekorV1 && strings.HasPrefix(origin, k.origin+" - ")
}

// shardRun is one Rekor v1 in one run.
type shardRun struct {
	log  knownLog
	list *audit.ShardList
}

// listShards asks the wanted Rekor v1 logs for their shards, and takes these out of the logs that are followed as one. What
// contradicts the record is an incident of the tree that it is about.
func (r *followRun) listShards(ctx context.Context, known []knownLog, client *fetch.Client) ([]shardRun, error) {
	var runs []shardRun
	for _, k := range known {
		if k.kind != kindRekorV1 {
			continue
		}
		open := func(earlier *rekor.V1Shards) (*rekor.V1Log, error) { return rekor1Log(k, client, earlier) }
		list, err := audit.ListShards(ctx, r.app.clock, r.record, k.origin, open)
		if err != nil {
			return nil, err
		}
		if m := list.Misbehaviour; m != nil {
			r.logger.Error("log misbehaved", "log", list.Origin, "kind", m.Kind, "detail", m.Detail)
			store, err := r.record.Log(ctx, shardName(k, list.Origin), r.watch.Hash())
			if err != nil {
				return nil, err
			}
			if err := store.Misbehaved(ctx, r.app.clock.Now(), m); err != nil {
				return nil, err
			}
		}
		runs = append(runs, shardRun{k, list})
	}
	return runs, nil
}

// shardName names a tree of a Rekor v1 in the record.
func shardName(k knownLog, origin string) db.LogName {
	return db.LogName{Origin: origin, Kind: k.kind, KeyID: fmt.Sprintf("%x", k.log.ID), URL: k.url}
}

// shardTargets opens every shard of a log, each a log of its own.
func (r *followRun) shardTargets(ctx context.Context, run shardRun, inspector *audit.LeafInspector) ([]audit.LogTarget, error) {
	k, list := run.log, run.list
	if k.isPublicRekor() {
		warnOfPublic(r.logger, r.cfg)
	}
	if list.Shards == nil {
		return nil, nil
	}
	start := *k.said.Start
	if r.from != nil {
		start = *r.from
	}
	scan := rekor.NewScanner(inspector.Watch).Scan
	var targets []audit.LogTarget
	for i := range list.Shards.Shards {
		shard := &list.Shards.Shards[i]
		origin := shard.Checkpoint.Origin
		if len(r.only) > 0 && !slices.Contains(r.only, k.origin) && !slices.Contains(r.only, origin) {
			continue
		}
		until := uint64(0)
		if r.until > 0 {
			if r.until <= shard.Offset {
				continue
			}
			until = r.until - shard.Offset
		}
		store, err := r.record.Log(ctx, shardName(k, origin), inspector.Watch.Hash())
		if err != nil {
			return nil, err
		}
		t := audit.LogTarget{Origin: origin, Kind: k.kind, URL: k.url, Store: store, Until: until, FrozenAt: list.FrozenAt[shard.TreeID],
			Source: list.Source(shard), Scan: scan, Inspect: audit.GlobalEntries(inspector.Entry, shard),
			Start: startShardAt(start, shard.Offset), BatchEntries: shardBatchEntries, ProveEntries: shardProveEntries}
		if !start.At.IsZero() {
			t.Start = audit.StartShardAt(list.Log.Tree(shard.TreeID), start.At)
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// startShardAt takes a shard up at its head or at a global index, of which a shard that ends before it has nothing.
func startShardAt(start config.LogStart, offset uint64) func(context.Context, uint64) (uint64, error) {
	return func(_ context.Context, size uint64) (uint64, error) {
		if start.Head {
			return size, nil
		}
		return min(start.Index-min(start.Index, offset), size), nil
	}
}

// unlisted are the summaries of the logs of which no shard is known, because they do not answer.
func unlisted(runs []shardRun) []audit.LogSummary {
	var all []audit.LogSummary
	for _, run := range runs {
		if run.list.Shards == nil && run.list.Problem != nil {
			all = append(all, audit.LogSummary{Origin: run.log.origin, Kind: run.log.kind, Trouble: run.list.Problem.Error()})
		}
	}
	return all
}

// addShardMisbehaviours adds to the summaries what the lists of shards themselves contradict.
func addShardMisbehaviours(logs []audit.LogSummary, runs []shardRun) []audit.LogSummary {
	for _, run := range runs {
		m := run.list.Misbehaviour
		if m == nil {
			continue
		}
		i := slices.IndexFunc(logs, func(l audit.LogSummary) bool { return l.Origin == run.list.Origin })
		if i < 0 {
			i, logs = len(logs), append(logs, audit.LogSummary{Origin: run.list.Origin, Kind: run.log.kind})
		}
		if !slices.Contains(logs[i].Misbehaviours, string(m.Kind)) {
			logs[i].Misbehaviours = append(logs[i].Misbehaviours, string(m.Kind))
		}
	}
	return logs
}

// shardStandings adds where the shards in the record stand: those of a log that is not followed are not asked any more.
func (r *followRun) shardStandings(ctx context.Context, known []knownLog, standings map[string]audit.LogStanding) error {
	for _, k := range known {
		if k.kind != kindRekorV1 {
			continue
		}
		shards, frozenAt, err := r.record.Shards(ctx, k.origin)
		if err != nil {
			return err
		}
		if shards == nil {
			continue
		}
		for _, s := range shards.Shards {
			_, frozen := frozenAt[s.TreeID]
			standings[s.Checkpoint.Origin] = audit.LogStanding{Frozen: frozen || k.frozen, NotFollowed: k.skipped != ""}
		}
	}
	return nil
}

// warnOfPublic says why reading all of the public instance is not what anyone should do.
func warnOfPublic(logger *slog.Logger, cfg *config.Config) {
	b := cfg.Budgets[publicRekor]
	rate := min(cmp.Or(perMinute(fetch.Budget{Requests: b.Requests, Per: b.Per}), maxPublicRate), maxPublicRate)
	logger.Warn("reading all of the public Rekor v1 is not the default, since it falls further behind every second", "why", publicArithmetic(rate))
}
