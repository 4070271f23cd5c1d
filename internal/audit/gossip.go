package audit

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// GossipOutcome says what a checkpoint of a bundle has to do with the tree that its log shows.
type GossipOutcome string

// The outcomes.
const (
	GossipUnknown   GossipOutcome = ""           // it could not be found out: no proof fits, or there was none
	GossipRelated   GossipOutcome = "related"    // a proof shows that both are one log
	GossipSplitView GossipOutcome = "split-view" // a proof shows that they contradict each other
	GossipUnlisted  GossipOutcome = "unlisted"   // the log signed it, and lists no such tree
)

// Gossip is a checkpoint that a log made for somebody else, and that a bundle carries. Its signature was verified with the
// bundle.
type Gossip struct {
	ID         int64
	Checkpoint tlog.SignedCheckpoint
	// Entry is the index of an entry whose bundle has it, and File a file that the bundle is of.
	Entry uint64
	File  string
	// Before is what was found out last, and FailingSince when it began that nothing could be.
	Before       GossipOutcome
	FailingSince time.Time

	// Outcome is what relating it gave. SplitView and Unlisted are the evidence where that is one, Failure says why it is not
	// known, and Due when to ask again; zero for never.
	Outcome   GossipOutcome
	SplitView *tlog.Misbehaviour
	Unlisted  *UnlistedTree
	Failure   string
	Due       time.Time
}

// TreeGossip is the record of a log's tree, and of the checkpoints of it that bundles carry.
type TreeGossip interface {
	State(ctx context.Context) (tlog.State, error)
	// DueGossip lists checkpoints of bundles that are to be related to the tree held.
	DueGossip(ctx context.Context, now time.Time, limit int) ([]Gossip, error)
	// SaveGossip keeps what relating one gave, in one transaction.
	gossipKeeper
}

// GossipTarget is a log of one tree that is followed, and of which bundles carry checkpoints.
type GossipTarget struct {
	Origin string
	// Source proves trees to be one: of a tiled log, from its hash tiles.
	Source tlog.Source
	Store  TreeGossip
}

// GossipSummary is what relating the checkpoints of one log gave.
type GossipSummary struct {
	Log     string `json:"log"`
	Related int    `json:"related"`
	// Left says that the run came to its limit: what is left is due in the next one.
	Left bool `json:"left,omitempty"`
	// Misbehaviours are rules about logs.
	Misbehaviours []string `json:"misbehaviours,omitempty"`
	Troubles      []string `json:"troubles,omitempty"`
}

// Complete reports whether all that was due was found out.
func (s GossipSummary) Complete() bool { return !s.Left && len(s.Troubles) == 0 }

const (
	// gossipPage is how many checkpoints of bundles are read from the record at once.
	gossipPage = 50
	// gossipARun is how many are related in a run at most: each costs some hash tiles.
	gossipARun = 200
	// maxGossipFailures is after how many in a row that nothing could be found out of a log is left alone for a run.
	maxGossipFailures = 3
)

// Gossiper relates the checkpoints that bundles carry to the trees that their logs show: whoever made a bundle was perhaps shown
// another one.
//
// It promises that each checkpoint is related once, in either direction of size, that only a proof which fits one of two
// signed roots is evidence, and that what no proof decides stays unknown and is tried again.
type Gossiper struct {
	Clock  clock.Clock
	Logger *slog.Logger
}

// Relate makes one run over logs, and returns the summaries of those that anything was due of. The error is the record's or the
// context's; a log's troubles are in its summary.
func (g *Gossiper) Relate(ctx context.Context, targets []GossipTarget) ([]GossipSummary, error) {
	var all []GossipSummary
	for _, t := range targets {
		s := GossipSummary{Log: t.Origin}
		heard, err := g.log(ctx, t, &s)
		if heard {
			all = append(all, s)
		}
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// log relates what is due of one log. heard says that anything was.
func (g *Gossiper) log(ctx context.Context, t GossipTarget, s *GossipSummary) (heard bool, err error) {
	state, err := t.Store.State(ctx)
	if err != nil {
		return false, err
	}
	for failures, done := 0, 0; ; {
		due, err := t.Store.DueGossip(ctx, g.Clock.Now(), gossipPage)
		if err != nil || len(due) == 0 {
			return done > 0, err
		}
		for _, checkpoint := range due {
			if done == gossipARun || failures == maxGossipFailures {
				s.Left = true
				return true, nil
			}
			done++
			if err := g.relate(ctx, t, state.Checkpoint, &checkpoint, s); err != nil {
				return true, err
			}
			failures++
			if checkpoint.Outcome != GossipUnknown {
				failures = 0
			}
		}
	}
}

// relate relates one checkpoint to the tree held, and keeps what came of it.
func (g *Gossiper) relate(ctx context.Context, t GossipTarget, held tlog.SignedCheckpoint, c *Gossip, s *GossipSummary) error {
	var m *tlog.Misbehaviour
	err := fmt.Errorf("nothing of the log has been read yet")
	if len(held.Raw) > 0 {
		m, err = tlog.Relate(ctx, t.Source, held, c.Checkpoint)
	}
	if isContext(ctx, err) {
		return err
	}
	c.conclude(g.Clock.Now(), m, err)
	switch c.Outcome {
	case GossipUnknown:
		s.Troubles = append(s.Troubles, oneLine(fmt.Sprintf("entry %d: its bundle's checkpoint: %s", c.Entry, c.Failure), 400))
		g.Logger.Warn("unknown of a log", "log", t.Origin, "entry", c.Entry, "why", c.Failure)
	case GossipSplitView:
		s.Misbehaviours = append(s.Misbehaviours, string(c.SplitView.Kind))
		g.Logger.Error("log misbehaved", "log", t.Origin, "kind", c.SplitView.Kind, "detail", c.SplitView.Detail)
	default:
		s.Related++
	}
	return keepGossip(ctx, t.Store, g.Clock.Now(), *c)
}

// gossipKeeper is the record of what relating a checkpoint gave.
type gossipKeeper interface {
	SaveGossip(ctx context.Context, now time.Time, g Gossip) error
}

func keepGossip(ctx context.Context, record gossipKeeper, now time.Time, g Gossip) error {
	if err := record.SaveGossip(ctx, now, g); err != nil {
		return err
	}
	failpoint.Hit("audit/gossip-related")
	return nil
}

// conclude says what a checkpoint is, of what relating it to the tree held gave.
func (c *Gossip) conclude(now time.Time, m *tlog.Misbehaviour, err error) {
	switch {
	case err != nil:
		c.Outcome, c.Failure, c.Due = GossipUnknown, oneLine(err.Error(), 400), retryAt(now, c.FailingSince)
	case m != nil:
		m.Kind = tlog.KindSplitView
		m.Detail = fmt.Sprintf("%s; the bundle of entry %d%s carries the other tree", m.Detail, c.Entry, of(c.File))
		c.Outcome, c.SplitView = GossipSplitView, m
	default:
		c.Outcome = GossipRelated
	}
}
