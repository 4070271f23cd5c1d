package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// ShardRecord is the record of the shards of Rekor v1 logs.
type ShardRecord interface {
	// Shards returns those of a log as they were last listed, nil if they never were, and when each that is frozen was first
	// seen to be, by tree id.
	Shards(ctx context.Context, log string) (shards *rekor.V1Shards, frozenAt map[uint64]time.Time, err error)
	SaveShards(ctx context.Context, now time.Time, log string, shards *rekor.V1Shards) error
}

// ShardList is what became of asking a Rekor v1 for its shards.
type ShardList struct {
	Log *rekor.V1Log
	// Shards are those that it lists; those of the record where it does not answer; nil where there are none of either.
	Shards *rekor.V1Shards
	// FrozenAt is when each frozen one was first seen to be, by tree id.
	FrozenAt map[uint64]time.Time
	// Problem is why it could not be listed: a [*tlog.BadCheckpointError] where a tree head is not signed as it should be.
	Problem error
	// Misbehaviour is how the list contradicts the record's, nil where it does not, and Origin the tree that this is about.
	Misbehaviour *tlog.Misbehaviour
	Origin       string

	clock clock.Clock
}

// ListShards asks a log for its shards, and keeps them. open makes its reader, given those of the record. The error is the
// record's or the context's; what the log did wrong is in the list.
func ListShards(ctx context.Context, c clock.Clock, record ShardRecord, name string, open func(earlier *rekor.V1Shards) (*rekor.V1Log, error)) (*ShardList, error) {
	earlier, frozenAt, err := record.Shards(ctx, name)
	if err != nil {
		return nil, err
	}
	list := &ShardList{Shards: earlier, FrozenAt: frozenAt, clock: c}
	if list.Log, err = open(earlier); err != nil {
		return nil, err
	}
	listed, err := list.Log.Shards(ctx)
	var changed *rekor.V1ShardsError
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(err, &changed):
		// What it lists is signed, tree by tree: following these tells more.
		list.Shards = changed.Later
		list.Origin, list.Misbehaviour = shardsMisbehaviour(changed)
		return list, nil
	case err != nil:
		list.Problem = err
		return list, nil
	}
	if earlier == nil || len(listed.Shards) > len(earlier.Shards) || len(listed.Shards) == len(earlier.Shards) && listed.Size() >= earlier.Size() {
		if err := record.SaveShards(ctx, c.Now(), name, listed); err != nil {
			return nil, err
		}
		failpoint.Hit("audit/shards-listed")
		if _, list.FrozenAt, err = record.Shards(ctx, name); err != nil {
			return nil, err
		}
		list.Shards = listed
		return list, nil
	}
	// A replica lags. Of the trees that it knows, it shows what it has; the later ones are as the record has them.
	list.Shards = &rekor.V1Shards{Shards: slices.Concat(listed.Shards, earlier.Shards[len(listed.Shards):])}
	return list, nil
}

// shardsMisbehaviour is the evidence that a list of shards is not of the log that an earlier one described. Where the two
// heads of a tree contradict each other by themselves, that is what it is.
func shardsMisbehaviour(e *rekor.V1ShardsError) (origin string, m *tlog.Misbehaviour) {
	was, is := &e.Earlier.Shards[e.Position], &e.Later.Shards[e.Position]
	a, b := was.Checkpoint, is.Checkpoint
	m = &tlog.Misbehaviour{Kind: tlog.KindShardsChanged, Old: tlog.EvidenceOf(a), New: tlog.EvidenceOf(b), Detail: e.Why}
	switch {
	case was.TreeID != is.TreeID:
	case a.Size == b.Size && a.Root != b.Root:
		m.Kind = tlog.KindFork
	case a.Size < b.Size && e.Earlier.Frozen(was.TreeID):
		m.Kind = tlog.KindFrozenGrew
	}
	return a.Origin, m
}

// Source reads a shard, as of the checkpoint in the list: one question is enough for all. A replica that lags is given time.
func (l *ShardList) Source(shard *rekor.V1Shard) tlog.Source {
	s := &shardSource{tree: l.Log.Tree(shard.TreeID), checkpoint: shard.Checkpoint, clock: l.clock}
	if l.Problem != nil {
		s.problem = l.problemOf(shard)
	}
	return s
}

// problemOf is why a shard's checkpoint is not known. A bad one is held against the tree that it names, or else against the
// one that grows.
func (l *ShardList) problemOf(shard *rekor.V1Shard) error {
	var bad *tlog.BadCheckpointError
	if !errors.As(l.Problem, &bad) {
		return l.Problem
	}
	blamed := l.Shards.Active()
	if cp, err := tlog.ParseCheckpoint(string(bad.Raw)); err == nil {
		if i := slices.IndexFunc(l.Shards.Shards, func(s rekor.V1Shard) bool { return s.Checkpoint.Origin == cp.Origin }); i >= 0 {
			blamed = &l.Shards.Shards[i]
		}
	}
	if blamed.TreeID == shard.TreeID {
		return bad
	}
	return fmt.Errorf("the list of shards has a checkpoint that is not the log's, of tree %d", blamed.TreeID)
}

// shardSource is a shard as of a checkpoint that was verified before.
type shardSource struct {
	tree       *rekor.V1Tree
	checkpoint tlog.SignedCheckpoint
	problem    error
	clock      clock.Clock
}

var _ tlog.Source = (*shardSource)(nil)

func (s *shardSource) Checkpoint(context.Context) (tlog.SignedCheckpoint, error) {
	return s.checkpoint, s.problem
}

func (s *shardSource) ConsistencyProof(ctx context.Context, from, to uint64) (proof [][]byte, err error) {
	err = patiently(ctx, s.clock, func() error {
		proof, err = s.tree.ConsistencyProof(ctx, from, to)
		return err
	})
	return proof, err
}

func (s *shardSource) Frontier(ctx context.Context, size, treeSize uint64) (nodes [][]byte, err error) {
	err = patiently(ctx, s.clock, func() error {
		nodes, err = s.tree.Frontier(ctx, size, treeSize)
		return err
	})
	return nodes, err
}

func (s *shardSource) Page(ctx context.Context, from, to uint64) (page tlog.Page, err error) {
	err = patiently(ctx, s.clock, func() error {
		page, err = s.tree.Page(ctx, from, to)
		return err
	})
	return page, err
}

func (s *shardSource) PageSize() uint64 { return s.tree.PageSize() }

// patiently asks again, for some seconds, what a replica that lags behind the one which gave the checkpoint cannot answer yet:
// it says that there is no such entry, or that no tree is so large (status 400).
func patiently(ctx context.Context, c clock.Clock, ask func() error) error {
	const longest = 2 * time.Second
	for wait := longest / 4; ; wait *= 2 {
		err := ask()
		var status *fetch.StatusError
		behind := errors.Is(err, fs.ErrNotExist) || errors.As(err, &status) && status.Status == http.StatusBadRequest
		if !behind || wait > longest {
			return err
		}
		if err := clock.Sleep(ctx, c, wait); err != nil {
			return err
		}
	}
}

// GlobalEntries has an inspector of a shard's entries say what their global indexes are.
func GlobalEntries(inspect func(uint64, []byte) (LogHit, bool), shard *rekor.V1Shard) func(uint64, []byte) (LogHit, bool) {
	return func(index uint64, leaf []byte) (LogHit, bool) {
		h, keep := inspect(index, leaf)
		h.GlobalIndex = shard.Offset + index
		return h, keep
	}
}

// shardMargin is how much before a moment a shard is taken up. A log's integrated times may step back by a second or two.
const shardMargin = time.Minute

// StartShardAt takes a shard up at the first entry that was integrated at a moment or, by a margin, before it.
func StartShardAt(tree *rekor.V1Tree, moment time.Time) func(context.Context, uint64) (uint64, error) {
	return func(ctx context.Context, size uint64) (uint64, error) {
		found, err := tree.FindTime(ctx, moment.Add(-shardMargin), size)
		return found.Index, err
	}
}
