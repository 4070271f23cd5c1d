package main

import (
	"cmp"
	"context"
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
	shardProveEntries = 3000
)

// isPublicRekor reports whether a log is read at the public instance.
func (k knownLog) isPublicRekor() bool {
	u, err := url.Parse(k.url)
	return err == nil && strings.EqualFold(u.Hostname(), publicRekor)
}

// notFull says why a Rekor v1 is not followed in full although the configuration wants that, "" where it is followed or not wanted.
func (k knownLog) notFull(cfg *config.Config) string {
	if k.kind != kindRekorV1 || cfg.Logs.RekorV1 != config.RekorV1Full || k.said.Asked || !k.isPublicRekor() {
		return ""
	}
	return fmt.Sprintf("read by name only, since reading all of it is out of reach: %s; if it is to be tried, say logs.each[%q].mode: follow", publicArithmetic(maxPublicRate), k.origin)
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

// hasShard reports whether an origin is that of a tree which is called after the log's host.
func (k knownLog) hasShard(origin string) bool {
	return k.kind == kindRekorV1 && isShard(k.origin, origin)
}

// isShard reports whether an origin is that of a tree of the log with a name.
func isShard(log, origin string) bool { return strings.HasPrefix(origin, log+" - ") }

// shardRun is one Rekor v1 in one run.
type shardRun struct {
	log  rekor1Log
	list *audit.ShardList
}

// readShards follows the shards of the Rekor v1 logs that are followed in full, each a log of its own. It goes on for as long as
// the day's budget of requests allows what reads in bulk, and where another run comes, for a while: what is new in the other
// logs does not wait for a backlog.
func (r *followRun) readShards(ctx context.Context, known []knownLog, client *fetch.Client, answer *followAnswer) error {
	runs, err := r.listShards(ctx, known, client, answer)
	if err != nil || len(runs) == 0 {
		return err
	}
	inspector := &audit.LeafInspector{Watch: r.watch, Roots: r.set}
	var targets []audit.LogTarget
	for _, run := range runs {
		host := hostOf(run.log.url)
		spent, err := r.spender(ctx, run.log, func() int64 { return client.Requests()[host] }, audit.Rekor1Budget.Bulk)
		if err != nil {
			return err
		}
		stop := spent.done
		if r.goesOn {
			stop = either(spent.done, audit.Deadline(r.app.clock, r.app.clock.Now().Add(bulkSlice)))
		}
		more, err := r.shardTargets(ctx, run, inspector)
		if err != nil {
			return err
		}
		for i := range more {
			more[i].Stop = stop
		}
		targets = append(targets, more...)
	}
	before := len(answer.Logs)
	if err := r.followTargets(ctx, targets, answer); err != nil {
		return err
	}
	for _, l := range answer.Logs[before:] {
		if l.Proven < l.Size && l.Trouble == "" && len(l.Misbehaviours) == 0 && r.until == 0 {
			answer.Unread = true
		}
	}
	if answer.Unread && !r.goesOn {
		answer.Outcome = audit.Incomplete
	}
	return nil
}

// listShards asks the Rekor v1 logs that are followed in full for their shards.
func (r *followRun) listShards(ctx context.Context, known []knownLog, client *fetch.Client, answer *followAnswer) ([]shardRun, error) {
	var runs []shardRun
	for _, l := range rekor1Logs(r.cfg, known) {
		if !l.full || !r.among(l) {
			continue
		}
		if l.public {
			warnOfPublic(r.logger, r.cfg)
		}
		list, err := r.shards(ctx, l, client)
		if err != nil {
			return nil, err
		}
		answer.list(list.Summary)
		runs = append(runs, shardRun{l, list})
	}
	return runs, nil
}

// among reports whether --log names a log, or one of its shards, or nothing.
func (r *followRun) among(l rekor1Log) bool {
	return len(r.only) == 0 || slices.ContainsFunc(r.only, func(origin string) bool { return origin == l.origin || isShard(l.origin, origin) })
}

// shards asks one log for its shards.
func (r *followRun) shards(ctx context.Context, l rekor1Log, client *fetch.Client) (*audit.ShardList, error) {
	target, err := r.rekor1Target(ctx, l, client)
	if err != nil {
		return nil, err
	}
	return (&audit.Rekor1Reader{Clock: r.app.clock, Logger: r.logger}).ListShards(ctx, target)
}

// list adds what a list of shards showed by itself: reading by name may not meet it again.
func (f *followAnswer) list(s audit.Rekor1Summary) {
	if len(s.Misbehaviours) > 0 || len(s.Troubles) > 0 {
		f.Rekor1 = addRekor1(f.Rekor1, s)
	}
	if !s.Complete() {
		f.Outcome = audit.Incomplete
	}
}

// addRekor1 adds a summary to those of other logs, or to what is there of the same log already.
func addRekor1(all []audit.Rekor1Summary, s audit.Rekor1Summary) []audit.Rekor1Summary {
	i := slices.IndexFunc(all, func(x audit.Rekor1Summary) bool { return x.Log == s.Log })
	if i < 0 {
		return append(all, s)
	}
	before := all[i]
	all = slices.Clone(all)
	all[i] = s
	all[i].Requests += before.Requests
	all[i].Misbehaviours = union(before.Misbehaviours, s.Misbehaviours)
	all[i].Troubles = union(before.Troubles, s.Troubles)
	return all
}

// union are the texts of both, each once.
func union(a, b []string) []string {
	for _, text := range b {
		if !slices.Contains(a, text) {
			a = append(slices.Clip(a), text)
		}
	}
	return a
}

// shardName names a tree of a Rekor v1 in the record.
func shardName(l rekor1Log, origin string) db.LogName {
	return db.LogName{Origin: origin, Kind: kindRekorV1, KeyID: l.ids[0], URL: l.url}
}

// shardTargets opens every shard of a log, each a log of its own.
func (r *followRun) shardTargets(ctx context.Context, run shardRun, inspector *audit.LeafInspector) ([]audit.LogTarget, error) {
	l, list := run.log, run.list
	if list.Shards == nil {
		return nil, nil
	}
	start := *l.said.Start
	if r.from != nil {
		start = *r.from
	}
	scanner := rekor.NewScanner(inspector.Watch)
	var targets []audit.LogTarget
	for i := range list.Shards.Shards {
		shard := &list.Shards.Shards[i]
		origin := shard.Checkpoint.Origin
		if len(r.only) > 0 && !slices.Contains(r.only, l.origin) && !slices.Contains(r.only, origin) {
			continue
		}
		until := uint64(0)
		if r.until > 0 {
			if r.until <= shard.Offset {
				continue
			}
			until = r.until - shard.Offset
		}
		store, err := r.record.Log(ctx, shardName(l, origin), inspector.Watch.Hash())
		if err != nil {
			return nil, err
		}
		t := audit.LogTarget{Origin: origin, Kind: kindRekorV1, URL: l.url, Store: store, Until: until,
			Source: list.Source(shard), Scan: scanner.Scan, Inspect: audit.GlobalEntries(inspector.Entry, shard),
			Start: startShardAt(start, shard.Offset), BatchEntries: shardBatchEntries, ProveEntries: shardProveEntries}
		keepDigests(&t, r.cfg, scanner, audit.GlobalEntries(inspector.Foreign, shard))
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

// warnOfPublic says why reading all of the public instance is not what anyone should do.
func warnOfPublic(logger *slog.Logger, cfg *config.Config) {
	b := cfg.Budgets[publicRekor]
	rate := min(cmp.Or(perMinute(fetch.Budget{Requests: b.Requests, Per: b.Per}), maxPublicRate), maxPublicRate)
	logger.Warn("reading all of the public Rekor v1 is not the default, since it falls further behind every second", "why", publicArithmetic(rate))
}
