package audit

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles"
)

// Rekor1Store is the record of one Rekor v1 log, as who reads it by name uses it. Each method that writes is one
// transaction.
type Rekor1Store interface {
	shardStore
	evidenceStore
	searchStore
	proofStore
	// SpentOn says how often the log's host was asked on the day (UTC) of an instant, whatever for.
	SpentOn(ctx context.Context, at time.Time) (int, error)
}

// Rekor1Target is one Rekor v1 log to read.
type Rekor1Target struct {
	// Name is that of the log as a whole, with all its shards: the host in the trusted root.
	Name, URL string
	Keys      []crypto.PublicKey
	Fetch     tiles.Fetcher
	Store     Rekor1Store
	Inspector *LeafInspector
	Budget    Rekor1Budget
	// FrozenAt is when the trusted root ended the log's validity; zero where it has not.
	FrozenAt time.Time
}

// Rekor1Summary is what one pass over a Rekor v1 log gave.
type Rekor1Summary struct {
	Log    string `json:"log"`
	Shards int    `json:"shards"`
	// Size is the number of entries in all shards.
	Size     uint64 `json:"size"`
	Requests int    `json:"requests"`
	// Confirmed, Differing and Missing count entries of bundles by what the log has in their place, and Related the
	// checkpoints of bundles that are of the log's tree.
	Confirmed int `json:"confirmed"`
	Differing int `json:"differing,omitempty"`
	Missing   int `json:"missing,omitempty"`
	Related   int `json:"related"`
	// Searches counts questions to the search index that it answered, and Hits the entries that they brought and that
	// concern a watched name.
	Searches int `json:"searches"`
	Hits     int `json:"hits"`
	// Subject says whether the search index knows subjects, as far as was asked.
	Subject rekor.V1Support `json:"subject,omitempty"`
	// Spent says that the budget ended the pass: what is left is due in the next one.
	Spent bool `json:"budget_spent,omitempty"`
	// Stale says that the log showed an older tree of a shard than before, consistent with it: a replica that is behind, or a
	// cache.
	Stale bool `json:"stale_checkpoint,omitempty"`
	// Misbehaviours are rules about logs.
	Misbehaviours []string `json:"misbehaviours,omitempty"`
	Troubles      []string `json:"troubles,omitempty"`
}

// Complete reports whether all that was due was found out.
func (s *Rekor1Summary) Complete() bool { return len(s.Troubles) == 0 && !s.Spent }

// Rekor1Reader reads Rekor v1 by name: entries that evidence or the search index names are fetched and proven, one by one,
// since nobody can read them all.
//
// It promises that whatever counts was proven in a tree that is consistent with those seen before, that a question which
// was not answered stays open, and that nothing is asked again before it is due. It does not promise that there is nothing
// else: see [Coverage].
type Rekor1Reader struct {
	Clock  clock.Clock
	Logger *slog.Logger
}

// rekor1Pass is one pass over one log.
//
//	shards ──relate──▶ urgent searches ──▶ evidence ──compare──▶ gossip ──relate──▶ searches
type rekor1Pass struct {
	*Rekor1Reader
	Rekor1Target
	log   *rekor.V1Log
	keys  *rekor.V1Keys
	meter *meter
	trees map[string]*heldTree // by origin
	// earlier are the shards of the record, and listed those that the log listed, nil if it did not; unrelated are the
	// checkpoints of these, by origin, that are not known to be of the trees held.
	earlier, listed *rekor.V1Shards
	unrelated       map[string]tlog.SignedCheckpoint
	summary         *Rekor1Summary

	// indexDown says that the search index does not answer in this pass, refusals how many questions in a row it refused.
	indexDown bool
	refusals  int
}

// errSpent ends a pass whose budget is spent: what was not asked is not known, and nobody's failure.
var errSpent = errors.New("the budget of requests is spent")

// errGivenUp ends a pass over a log that does not answer: it would not answer the next question either.
var errGivenUp = errors.New("the log does not answer")

// Read makes one pass over a log. The error is the record's or the context's; the log's troubles are in the summary.
func (r *Rekor1Reader) Read(ctx context.Context, t Rekor1Target) (Rekor1Summary, error) {
	s := Rekor1Summary{Log: t.Name}
	p, err := r.open(ctx, t, &s)
	if err != nil {
		return s, err
	}
	for _, step := range []func(context.Context) error{p.readShards, p.urgentSearches, p.evidence, p.gossip, p.searches} {
		if err = step(ctx); err != nil {
			break
		}
	}
	s.Requests = p.meter.total()
	s.Spent = errors.Is(err, errSpent)
	if s.Spent || errors.Is(err, errGivenUp) {
		err = nil
	}
	return s, err
}

// open prepares a pass from what the record holds.
func (r *Rekor1Reader) open(ctx context.Context, t Rekor1Target, s *Rekor1Summary) (*rekor1Pass, error) {
	p := &rekor1Pass{Rekor1Reader: r, Rekor1Target: t, trees: map[string]*heldTree{}, unrelated: map[string]tlog.SignedCheckpoint{}, summary: s}
	held, err := t.Store.Shards(ctx)
	if err != nil {
		return nil, err
	}
	o := rekor.V1Options{URL: t.URL, Keys: t.Keys}
	var checkpoints []tlog.SignedCheckpoint
	for i, shard := range held {
		checkpoints = append(checkpoints, shard.Checkpoint)
		ended := !t.FrozenAt.IsZero() && !shard.SeenAt.Before(t.FrozenAt)
		p.trees[shard.Checkpoint.Origin] = &heldTree{checkpoint: shard.Checkpoint, frozen: ended || i < len(held)-1}
	}
	if len(held) > 0 {
		if o.Earlier, err = rekor.ShardsOf(checkpoints); err != nil {
			return nil, fmt.Errorf("the record's shards of %s: %w", t.Name, err)
		}
		p.earlier = o.Earlier
		// The host in the origins is the log's to choose, once.
		o.Host, _, _ = rekor.TreeOf(checkpoints[0].Origin)
	}
	today, err := t.Store.SpentOn(ctx, r.Clock.Now())
	if err != nil {
		return nil, err
	}
	p.meter = &meter{Fetcher: t.Fetch, limit: t.Budget.urgent(today), backfill: t.Budget.backfill(today)}
	o.Fetch = p.meter
	if p.log, err = rekor.NewV1Log(o); err != nil {
		return nil, err
	}
	p.keys, err = rekor.NewV1Keys(o.Host, t.Keys...)
	return p, err
}

// ends reports whether an error that came of asking the log ends the pass: the budget does, the context, and the record.
func ends(ctx context.Context, err error) bool {
	return errors.Is(err, errSpent) || isContext(ctx, err) || errors.As(err, new(*recordError))
}

// recordError is an error of the record among those of the log.
type recordError struct{ error }

func (e *recordError) Unwrap() error { return e.error }

// trouble notes what stayed unknown.
func (p *rekor1Pass) trouble(format string, args ...any) {
	const most = 20
	text := oneLine(fmt.Sprintf(format, args...), 400)
	p.Logger.Warn("unknown of a log", "log", p.Name, "why", text)
	if len(p.summary.Troubles) < most {
		p.summary.Troubles = append(p.summary.Troubles, text)
	}
}

// misbehaved notes a misbehaviour that the record has.
func (p *rekor1Pass) misbehaved(origin string, m *tlog.Misbehaviour) {
	p.Logger.Error("log misbehaved", "log", origin, "kind", m.Kind, "detail", m.Detail)
	p.summary.Misbehaviours = append(p.summary.Misbehaviours, string(m.Kind))
}
