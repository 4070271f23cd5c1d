package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
)

// WindowRequest asks for all entries of a period.
type WindowRequest struct {
	Since, Until time.Time // both included
	Why          string
	Priority     WindowPriority
}

// Due says whether the log has all of the period by now, if it takes entries within a minute.
func (q WindowRequest) Due(now time.Time) bool {
	return !now.Before(q.Until.Add(windowMargin + time.Minute))
}

// CertificateRequest asks for the entries that a certificate can have signed: those of the time in which it was valid.
func CertificateRequest(c HitCert, why string, priority WindowPriority) WindowRequest {
	return WindowRequest{Since: c.NotBefore, Until: c.NotAfter, Why: why, Priority: priority}
}

// CertificateRequests are the windows that the proven certificates in CT logs ask for: of unexpected identities, and of grades
// that publish. Those of one priority whose periods overlap are one. They are in the order in which they are to be read:
// within a priority, the latest first.
func CertificateRequests(ctx context.Context, record LogRecord, policies map[string]identity.Policy) ([]WindowRequest, error) {
	asked := map[string]bool{}
	byPriority := map[WindowPriority][]WindowRequest{}
	if err := record.ProvenHits(ctx, func(h HitFacts) error {
		for _, c := range h.Certificates {
			if h.Kind != HitCertificate || !c.Chained || c.Identity == nil || asked[c.TBSSHA256] {
				continue
			}
			why, priority, ok := windowWorth(c, policies)
			if !ok {
				continue
			}
			asked[c.TBSSHA256] = true
			byPriority[priority] = append(byPriority[priority], CertificateRequest(c, why, priority))
		}
		return nil
	}); err != nil {
		return nil, err
	}
	all := append(mergeRequests(byPriority[WindowUnexpected]), mergeRequests(byPriority[WindowPublishing])...)
	return all, nil
}

// windowWorth says whether a certificate is worth a window, and why.
func windowWorth(c HitCert, policies map[string]identity.Policy) (why string, priority WindowPriority, ok bool) {
	policy, ok := policies[c.Match.Project]
	switch {
	case !ok, c.Match.Class == identity.WatchEmail, c.Match.Class == identity.WatchKey, c.Match.Class == identity.WatchOwner:
		return "", 0, false
	}
	judged := policy.Judge(*c.Identity)
	who := "certificate " + c.TBSSHA256[:min(16, len(c.TBSSHA256))]
	if len(judged.Grades) == 0 {
		switch judged.Class {
		case identity.ClassOther, identity.ClassThirdPartyCI, identity.ClassForeignCaller:
			return "", 0, false // anyone can have one
		}
		return who + " of an unexpected identity", WindowUnexpected, true
	}
	for _, g := range policy.Grades {
		if len(g.Publishes) > 0 && slices.Contains(judged.Grades, g.Name) {
			return who + " of the grade " + g.Name, WindowPublishing, true
		}
	}
	return "", 0, false
}

// mergeRequests makes one of requests whose periods overlap, margins included, and sorts them, the latest first.
func mergeRequests(all []WindowRequest) []WindowRequest {
	slices.SortFunc(all, func(a, b WindowRequest) int { return a.Since.Compare(b.Since) })
	var merged []WindowRequest
	for _, q := range all {
		if n := len(merged); n > 0 && q.overlaps(merged[n-1].Since, merged[n-1].Until) {
			merged[n-1] = merged[n-1].and(q)
			continue
		}
		merged = append(merged, q)
	}
	slices.Reverse(merged)
	return merged
}

// overlaps says whether a window of the request and one of another period have entries in common.
func (q WindowRequest) overlaps(since, until time.Time) bool {
	return !q.Since.Add(-windowMargin).After(until.Add(windowMargin)) && !since.Add(-windowMargin).After(q.Until.Add(windowMargin))
}

// and is one request for both periods and all that is between.
func (q WindowRequest) and(other WindowRequest) WindowRequest {
	if other.Since.Before(q.Since) {
		q.Since = other.Since
	}
	if other.Until.After(q.Until) {
		q.Until = other.Until
	}
	q.Why = whyBoth(q.Why, other.Why)
	q.Priority = min(q.Priority, other.Priority)
	return q
}

// whyBoth names two reasons, and stops at some that are enough.
func whyBoth(a, b string) string {
	const enough = 400
	switch {
	case a == b || strings.Contains(a, b) || strings.HasSuffix(a, " and others"):
		return a
	case len(a)+len(b) > enough:
		return a + " and others"
	}
	return a + ", " + b
}

// WindowPlanner finds out where windows begin and end.
type WindowPlanner struct {
	Clock     clock.Clock
	Record    WindowRecord
	List      *ShardList
	WatchList string
	// Spent is how many requests were made to the log so far.
	Spent func() int64
}

// Held returns the windows in the record that have to do with a request, and whether they cover it: no request to the log is
// needed then.
func (p *WindowPlanner) Held(ctx context.Context, q WindowRequest) (held []Window, covered bool, err error) {
	all, err := p.windows(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, w := range all {
		if q.overlaps(w.Since, w.Until) {
			held = append(held, w)
		}
	}
	return held, q.covered(held), nil
}

// covered says whether windows hold all of the request's period. Two that are next to each other have no gap between them, if
// their margins meet.
func (q WindowRequest) covered(windows []Window) bool {
	bySince := slices.SortedFunc(slices.Values(windows), func(a, b Window) int { return a.Since.Compare(b.Since) })
	var until time.Time // covered from the request's beginning up to here
	for _, w := range bySince {
		switch {
		case until.IsZero() && w.Since.After(q.Since), !until.IsZero() && w.Since.After(until.Add(2*windowMargin)):
			return false
		case w.Until.Before(q.Since):
		case w.Until.After(until):
			until = w.Until
		}
	}
	return !until.Before(q.Until)
}

// windows are those of all shards.
func (p *WindowPlanner) windows(ctx context.Context) ([]Window, error) {
	var origins []string
	for _, s := range p.List.Shards.Shards {
		origins = append(origins, s.Checkpoint.Origin)
	}
	return p.Record.Windows(ctx, p.WatchList, origins)
}

// Plan returns the windows that a request needs besides those of the record, which are not kept yet, and which of these, that
// have not begun, they replace. What is proven already, or is being read, is in none of them.
func (p *WindowPlanner) Plan(ctx context.Context, q WindowRequest) (windows []Window, replaced []int64, err error) {
	all, err := p.windows(ctx)
	if err != nil {
		return nil, nil, err
	}
	begun := map[string][]IndexRun{}
	for _, w := range all {
		switch {
		case w.State == nil && !w.Finished() && q.overlaps(w.Since, w.Until):
			q = q.and(WindowRequest{w.Since, w.Until, w.Why, w.Priority})
			replaced = append(replaced, w.ID)
		case w.State != nil && !w.Finished():
			begun[w.Origin] = append(begun[w.Origin], IndexRun{w.From, w.To})
		}
	}
	before := p.Spent()
	// From the newest shard to the one in which something is older than the period.
	shards := p.List.Shards.Shards
	for i := len(shards) - 1; i >= 0; i-- {
		shard := &shards[i]
		origin := shard.Checkpoint.Origin
		var span rekor.V1Span
		if err := patiently(ctx, p.Clock, func() error {
			span, err = p.List.Log.Tree(shard.TreeID).Span(ctx, q.Since, q.Until, windowMargin, shard.Checkpoint.Size)
			return err
		}); err != nil {
			return nil, nil, fmt.Errorf("where %s to %s lies in log %s: %w", q.Since.UTC().Format(time.RFC3339), q.Until.UTC().Format(time.RFC3339), origin, err)
		}
		known, err := p.Record.ProvenRuns(ctx, p.WatchList, origin)
		if err != nil {
			return nil, nil, err
		}
		known = append(known, begun[origin]...)
		slices.SortFunc(known, func(a, b IndexRun) int { return cmp.Compare(a.From, b.From) })
		for _, run := range (IndexRun{span.From, span.To}).without(known) {
			windows = append(windows, Window{Origin: origin, From: run.From, To: run.To, Since: q.Since, Until: q.Until, Margin: windowMargin,
				Backwards: span.Backwards, Why: q.Why, Priority: q.Priority})
		}
		if span.From > 0 {
			break
		}
	}
	if len(windows) == 0 {
		// That there is nothing to read is worth keeping: it took requests to find out.
		windows = []Window{{Origin: p.List.Shards.Active().Checkpoint.Origin, Since: q.Since, Until: q.Until, Margin: windowMargin, Why: q.Why, Priority: q.Priority}}
	}
	windows[0].Requests = p.Spent() - before
	return windows, replaced, nil
}

// Cover has windows in the record that hold all of a request's period, as urgent as the request is, and returns all that have
// to do with it.
func (p *WindowPlanner) Cover(ctx context.Context, q WindowRequest) ([]Window, error) {
	held, covered, err := p.Held(ctx, q)
	if err != nil {
		return nil, err
	}
	if !covered {
		windows, replaced, err := p.Plan(ctx, q)
		if err != nil {
			return nil, err
		}
		if err := p.Keep(ctx, windows, replaced); err != nil {
			return nil, err
		}
		if held, _, err = p.Held(ctx, q); err != nil {
			return nil, err
		}
	}
	for i := range held {
		w := &held[i]
		if w.Finished() || w.Priority <= q.Priority {
			continue
		}
		w.Why, w.Priority = whyBoth(q.Why, w.Why), q.Priority
		if err := p.Record.UrgeWindow(ctx, w.ID, w.Why, w.Priority); err != nil {
			return nil, err
		}
	}
	return held, nil
}

// Keep keeps windows that were planned.
func (p *WindowPlanner) Keep(ctx context.Context, windows []Window, replaced []int64) error {
	err := p.Record.QueueWindows(ctx, p.Clock.Now(), p.WatchList, replaced, windows)
	failpoint.Hit("audit/windows-queued")
	return err
}
