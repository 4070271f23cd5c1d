package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// windowSlice is how long a run over the logs reads windows at most: the logs that are followed wait meanwhile. The next run
// goes on with them.
const windowSlice = 10 * time.Minute

// readWindows queues the windows of the certificates that the CT logs show, where the configuration says so, and reads them for
// a while.
func (r *followRun) readWindows(ctx context.Context, known []knownLog, client *fetch.Client, answer *followAnswer) error {
	if r.cfg.Logs.RekorV1 != config.RekorV1Window || r.until > 0 {
		return nil
	}
	policies := map[string]identity.Policy{}
	for _, p := range r.cfg.Projects {
		policies[p.Name] = p.Policy
	}
	requests, err := audit.CertificateRequests(ctx, r.record, policies)
	if err != nil {
		return err
	}
	for _, k := range known {
		if k.kind != kindRekorV1 || k.said.Off || len(r.only) > 0 && !slices.Contains(r.only, k.origin) && !slices.ContainsFunc(r.only, k.hasShard) {
			continue
		}
		w, err := r.windowRun(ctx, k, client)
		if err != nil {
			return err
		}
		if w.list.Problem != nil {
			answer.Windows = append(answer.Windows, audit.WindowSummary{Origin: k.origin, Trouble: w.list.Problem.Error()})
			answer.WindowsWaiting += len(requests)
			continue
		}
		answer.Logs = addShardMisbehaviours(answer.Logs, []shardRun{{k, w.list}})
		if w.list.Misbehaviour != nil {
			answer.WindowsWaiting += len(requests)
			continue
		}
		w.run.Stop = audit.Deadline(r.app.clock, r.app.clock.Now().Add(windowSlice))
		w.run.Progress = r.windowProgress(k.origin)
		read, waiting, err := w.run.Certificates(ctx, requests)
		answer.Windows, answer.WindowsWaiting = append(answer.Windows, read...), answer.WindowsWaiting+waiting
		if err != nil {
			return err
		}
	}
	return nil
}

// windowProgress logs how far windows were read.
func (r *followRun) windowProgress(origin string) func(uint64) {
	progress := r.progress()
	return func(n uint64) { progress(origin+", windows", n) }
}

// windowsUnknown reports whether a window met trouble, and windowsMisbehaved whether its log did wrong.
func windowsUnknown(windows []audit.WindowSummary) bool {
	return slices.ContainsFunc(windows, func(w audit.WindowSummary) bool { return w.Trouble != "" })
}

func windowsMisbehaved(windows []audit.WindowSummary) bool {
	return slices.ContainsFunc(windows, func(w audit.WindowSummary) bool { return len(w.Misbehaviours) > 0 })
}

// windowStatus lists the windows in the record of the known Rekor v1 logs, and says in words what they cover.
func (a *app) windowStatus(ctx context.Context, cfg *config.Config, record *db.DB, known []knownLog, watchList string) (windows []audit.WindowSummary, coverage []string, err error) {
	run := &followRun{app: a, cfg: cfg, record: record}
	for _, k := range known {
		if k.kind != kindRekorV1 {
			continue
		}
		shards, _, err := record.Shards(ctx, k.origin)
		if err != nil {
			return nil, nil, err
		}
		if shards == nil {
			continue
		}
		var origins []string
		for _, s := range shards.Shards {
			origins = append(origins, s.Checkpoint.Origin)
		}
		all, err := record.Windows(ctx, watchList, origins)
		if err != nil {
			return nil, nil, err
		}
		for i := range all {
			windows = append(windows, all[i].Summary())
		}
		for _, origin := range origins {
			coverage = append(coverage, windowCoverage(origin, all)...)
		}
		left := slices.DeleteFunc(all, func(w audit.Window) bool { return w.Finished() })
		if len(left) > 0 {
			coverage = append(coverage, fmt.Sprintf("log %s: %s not finished: %s", k.origin, plural(len(left), "window"), run.estimate(k, left)))
		}
	}
	return windows, coverage, nil
}

// windowCoverage says which entries of a shard windows prove complete.
func windowCoverage(origin string, windows []audit.Window) []string {
	const shown = 5
	var runs []string
	entries := uint64(0)
	for _, w := range windows {
		if w.Origin == origin && w.Proven() > w.From {
			runs = append(runs, fmt.Sprintf("%d to %d", w.From, w.Proven()-1))
			entries += w.Proven() - w.From
		}
	}
	switch {
	case len(runs) == 0:
		return nil
	case len(runs) > shown:
		runs = append(runs[:shown], fmt.Sprintf("%d more", len(runs)-shown))
	}
	return []string{fmt.Sprintf("log %s: %d entries proven complete in windows: %s", origin, entries, strings.Join(runs, ", "))}
}
