package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// bulkSlice is how long a run over the logs reads windows at most, and how long shards: the logs that are followed wait
// meanwhile, and what is asked by name. The next run goes on with them.
const bulkSlice = 10 * time.Minute

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
	for _, l := range rekor1Logs(r.cfg, known) {
		if !r.among(l) {
			continue
		}
		w, err := r.windowRun(ctx, l, client)
		if err != nil {
			return err
		}
		answer.list(w.list.Summary)
		if w.list.Problem != nil || len(w.list.Summary.Misbehaviours) > 0 {
			answer.WindowsWaiting += len(requests)
			continue
		}
		spent, err := r.spender(ctx, l, w.run.Planner.Spent, audit.Rekor1Budget.Bulk)
		if err != nil {
			return err
		}
		w.run.Stop = either(spent.done, audit.Deadline(r.app.clock, r.app.clock.Now().Add(bulkSlice)))
		w.run.Progress = r.windowProgress(l.origin)
		read, waiting, err := w.run.Certificates(ctx, requests)
		answer.Windows, answer.WindowsWaiting = append(answer.Windows, read...), answer.WindowsWaiting+waiting
		if err != nil {
			return err
		}
	}
	if windowsUnknown(answer.Windows) {
		answer.Outcome = audit.Incomplete
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

// windowStatus lists the windows in the record that are read with today's watch list, the most urgent first, and says in words
// what they cover.
func (a *app) windowStatus(cfg *config.Config, known []knownLog, logs []audit.LogFacts, watchList string) (windows []audit.WindowSummary, coverage []string) {
	run := &followRun{app: a, cfg: cfg}
	for _, l := range logs {
		if l.Rekor1 == nil {
			continue
		}
		var all []audit.Window
		for _, w := range l.Rekor1.Windows {
			if w.WatchList == watchList {
				all = append(all, w.Window)
			}
		}
		coverage = append(coverage, windowCoverage(all)...)
		slices.SortStableFunc(all, func(a, b audit.Window) int {
			return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.ID, b.ID))
		})
		for i := range all {
			windows = append(windows, all[i].Summary())
		}
		left := slices.DeleteFunc(all, func(w audit.Window) bool { return w.Finished() })
		i := slices.IndexFunc(known, func(k knownLog) bool { return k.kind == kindRekorV1 && k.origin == l.Origin })
		if len(left) > 0 && i >= 0 {
			coverage = append(coverage, fmt.Sprintf("log %s: %s not finished: %s", l.Origin, plural(len(left), "window"), run.estimate(rekor1Log{url: known[i].url}, left)))
		}
	}
	return windows, coverage
}

// windowCoverage says which entries windows prove complete, shard by shard.
func windowCoverage(windows []audit.Window) (texts []string) {
	const shown = 5
	for len(windows) > 0 {
		origin, entries := windows[0].Origin, uint64(0)
		var runs []string
		for len(windows) > 0 && windows[0].Origin == origin {
			if w := windows[0]; w.Proven() > w.From {
				runs = append(runs, fmt.Sprintf("%d to %d", w.From, w.Proven()-1))
				entries += w.Proven() - w.From
			}
			windows = windows[1:]
		}
		if len(runs) > shown {
			runs = append(runs[:shown], fmt.Sprintf("%d more", len(runs)-shown))
		}
		if len(runs) > 0 {
			texts = append(texts, fmt.Sprintf("log %s: %d entries proven complete in windows: %s", origin, entries, strings.Join(runs, ", ")))
		}
	}
	return texts
}
