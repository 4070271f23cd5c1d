package audit

import (
	"context"
	"time"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// SeenCursor says how far the digests that leaves said were signed were compared with what is published.
type SeenCursor struct {
	Seen, File, Statement int64 // row numbers
}

// SeenMatches are leaves whose digests begin like one of something published.
type SeenMatches struct {
	Indexes []uint64
	// Cursor is what was compared, More says that it was not all, so that it is to be compared again.
	Cursor SeenCursor
	More   bool
}

// SeenSince says since when, and from which entry on, the digests of what was signed are kept of a log.
type SeenSince struct {
	From  uint64
	At    time.Time
	Bytes int64
}

// seenStore is the record of what a log's leaves said was signed.
type seenStore interface {
	// ForgetSeen forgets digests that were seen before an instant.
	ForgetSeen(ctx context.Context, before time.Time) error
	// MatchSeen compares what is new of proven leaves, and of what is published, and lists leaves of which the record has nothing
	// yet. A match of eight bytes shows nothing: the leaf has to be read again.
	MatchSeen(ctx context.Context, limit int) (SeenMatches, error)
	SaveSeen(ctx context.Context, c SeenCursor) error
	// SeenAgain returns a store for a leaf that is read again, which keeps what is found once that is proven.
	SeenAgain() tlog.Store[LogHit]
}

// maxSeenAgain is how many leaves a run reads again at most: whoever wants may log a file's digest by the thousand.
const maxSeenAgain = 100

// seenAgain reads leaves again that may sign something published, proves each, and keeps those that do. What they sign is compared
// when it is judged.
func (f *LogFollower) seenAgain(ctx context.Context, t LogTarget, s *LogSummary) error {
	if err := t.Store.ForgetSeen(ctx, f.Clock.Now().Add(-t.KeepDigests)); err != nil || t.Digest == nil {
		return err
	}
	state, err := t.Store.State(ctx)
	if err != nil {
		return err
	}
	m, err := t.Store.MatchSeen(ctx, maxSeenAgain)
	if err != nil {
		return err
	}
	for _, index := range m.Indexes {
		follower := f.follower(t)
		follower.Source, follower.Store, follower.Digest = heldSource{t.Source, state.Checkpoint}, t.Store.SeenAgain(), nil
		follower.Start = func(context.Context, uint64) (uint64, error) { return index, nil }
		follower.Scan, follower.Inspect = func([]byte) bool { return true }, t.Foreign
		out, err := follower.Follow(ctx, index+1)
		s.SeenAgain++
		for _, b := range out.Misbehaviours {
			s.Misbehaviours = append(s.Misbehaviours, string(b.Kind))
		}
		switch {
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil:
			s.Trouble = oneLine(err.Error(), 400)
			f.Logger.Warn("an entry could not be read again", "log", t.Origin, "index", index, "error", err)
			return nil
		case out.Proven <= index: // it misbehaved
			return nil
		}
	}
	if m.More {
		return nil
	}
	return t.Store.SaveSeen(ctx, m.Cursor)
}
