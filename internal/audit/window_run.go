package audit

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/internal/rekor"
)

// WindowSummary is where a window stands.
type WindowSummary struct {
	Origin string `json:"log_origin"`
	// From and To bound it, To not included; Read and Proven are how far it was read and is proven complete.
	From   uint64 `json:"from"`
	To     uint64 `json:"to"`
	Read   uint64 `json:"read"`
	Proven uint64 `json:"proven"`
	// Since and Until bound the period that it was asked for. So many seconds more were read at either end, and the longest
	// step back in the log's times that was met is so long: above the margin, it may lack entries of the period.
	Since            time.Time `json:"since"`
	Until            time.Time `json:"until"`
	MarginSeconds    float64   `json:"margin_seconds"`
	BackwardsSeconds float64   `json:"backwards_seconds,omitempty"`
	Why              string    `json:"why"`
	Priority         string    `json:"priority"`
	// Requests were spent so far; Estimate is what the rest takes.
	Requests    int64     `json:"requests"`
	Estimate    int64     `json:"estimated_requests,omitempty"`
	RequestedAt time.Time `json:"requested_at,omitzero"`
	FinishedAt  time.Time `json:"finished_at,omitzero"`
	// Hits were proven in this run.
	Hits          int      `json:"hits,omitempty"`
	Misbehaviours []string `json:"misbehaviours,omitempty"`
	Trouble       string   `json:"trouble,omitempty"`
}

// Summary says where a window stands.
func (w *Window) Summary() WindowSummary {
	return WindowSummary{Origin: w.Origin, From: w.From, To: w.To, Read: w.Next(), Proven: w.Proven(), Since: w.Since.UTC(), Until: w.Until.UTC(),
		MarginSeconds: w.Margin.Seconds(), BackwardsSeconds: w.Backwards.Seconds(), Why: w.Why, Priority: w.Priority.String(), Requests: w.Requests,
		Estimate: w.Estimate(), RequestedAt: w.RequestedAt, FinishedAt: w.FinishedAt}
}

// WindowRun reads windows of one Rekor v1.
type WindowRun struct {
	Planner   *WindowPlanner
	Logger    *slog.Logger
	Inspector *LeafInspector
	// Stop and Progress are those of [WindowReader].
	Stop     func() bool
	Progress func(entries uint64)
}

// Read reads windows in their order, until it is told to stop. The error is the record's or the context's; what the log did
// wrong is in the summaries, of which those that were finished before are not.
func (r *WindowRun) Read(ctx context.Context, windows []Window) ([]WindowSummary, error) {
	var all []WindowSummary
	for i := range windows {
		w := &windows[i]
		if w.Finished() {
			continue
		}
		if r.Stop != nil && r.Stop() {
			break
		}
		reader := r.reader(w.Origin)
		if reader == nil {
			continue // of a shard that the log does not list just now
		}
		result, err := reader.Read(ctx, w)
		s := w.Summary()
		s.Hits = result.Hits
		if result.Misbehaviour != nil {
			s.Misbehaviours = []string{string(result.Misbehaviour.Kind)}
		}
		if err != nil {
			if ctx.Err() != nil {
				return append(all, s), err
			}
			s.Trouble = oneLine(err.Error(), 400)
			r.Logger.Warn("window could not be read to its end", "log", w.Origin, "from", w.From, "to", w.To, "proven", w.Proven(), "error", err)
		}
		all = append(all, s)
	}
	return all, nil
}

func (r *WindowRun) reader(origin string) *WindowReader {
	list := r.Planner.List
	i := slices.IndexFunc(list.Shards.Shards, func(s rekor.V1Shard) bool { return s.Checkpoint.Origin == origin })
	if i < 0 {
		return nil
	}
	shard := &list.Shards.Shards[i]
	return &WindowReader{Clock: r.Planner.Clock, Logger: r.Logger, Record: r.Planner.Record, Log: list.Log, Shard: shard, Source: list.Source(shard),
		Scan: rekor.NewScanner(r.Inspector.Watch).Scan, Inspect: GlobalEntries(r.Inspector.Entry, shard), Spent: r.Planner.Spent, Stop: r.Stop, Progress: r.Progress}
}

// Certificates queues the windows of requests, which are in the order of their priority, and reads what is queued, the most
// urgent first, until it is told to stop. waiting counts the requests whose windows are not finished then, and those that are
// not due.
func (r *WindowRun) Certificates(ctx context.Context, requests []WindowRequest) (read []WindowSummary, waiting int, err error) {
	for _, priority := range []WindowPriority{WindowUnexpected, WindowPublishing} {
		for _, q := range requests {
			if q.Priority != priority || !q.Due(r.Planner.Clock.Now()) || r.Stop != nil && r.Stop() {
				continue
			}
			if _, err := r.Planner.Cover(ctx, q); err != nil {
				if ctx.Err() != nil {
					return read, 0, err
				}
				r.Logger.Warn("the window of a certificate could not be found", "why", q.Why, "error", err)
				read = append(read, WindowSummary{Since: q.Since.UTC(), Until: q.Until.UTC(), Why: q.Why, Priority: q.Priority.String(), Trouble: oneLine(err.Error(), 400)})
			}
		}
		windows, err := r.Planner.windows(ctx)
		if err != nil {
			return read, 0, err
		}
		windows = slices.DeleteFunc(windows, func(w Window) bool { return w.Priority > priority || troubled(read, w) })
		summaries, err := r.Read(ctx, windows)
		read = append(read, summaries...)
		if err != nil {
			return read, 0, err
		}
	}
	for _, q := range requests {
		held, covered, err := r.Planner.Held(ctx, q)
		if err != nil {
			return read, 0, err
		}
		if !covered || slices.ContainsFunc(held, func(w Window) bool { return !w.Finished() }) {
			waiting++
		}
	}
	return read, waiting, nil
}

// troubled says whether a run met trouble in a window already: it is not asked again at once.
func troubled(read []WindowSummary, w Window) bool {
	return slices.ContainsFunc(read, func(s WindowSummary) bool {
		return s.Origin == w.Origin && s.From == w.From && s.To == w.To && (s.Trouble != "" || len(s.Misbehaviours) > 0)
	})
}
