package audit

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// ShardList is what became of asking a Rekor v1 for its shards.
type ShardList struct {
	Log *rekor.V1Log
	// Shards are those that it lists, or those of the record where it does not answer or contradicts it; nil where there are
	// none of either. The checkpoint of each is the largest that is known to be consistent with those seen before.
	Shards *rekor.V1Shards
	// Summary says what was asked, what stayed unknown, and what misbehaviours are in the record now.
	Summary Rekor1Summary
	// Problem is why it could not be listed.
	Problem error

	unrelated map[string]tlog.SignedCheckpoint // by origin
	clock     clock.Clock
}

// ListShards asks a log for its shards, relates each to the one held, and keeps them. The error is the record's or the
// context's; what the log did wrong is in the list.
func (r *Rekor1Reader) ListShards(ctx context.Context, t Rekor1Target) (*ShardList, error) {
	list := &ShardList{Summary: Rekor1Summary{Log: t.Name}, clock: r.Clock}
	p, err := r.open(ctx, t, &list.Summary)
	if err != nil {
		return nil, err
	}
	err = p.readShards(ctx)
	list.Summary.Requests = p.meter.total()
	if err != nil && !errors.Is(err, errGivenUp) {
		return nil, err
	}
	list.Log, list.Shards, list.unrelated = p.log, p.heldShards(), p.unrelated
	if s := list.Summary; p.listed == nil && len(s.Misbehaviours) == 0 {
		list.Problem = errors.New(strings.Join(s.Troubles, "; "))
	}
	return list, nil
}

// heldShards are the shards as they are listed, and those of the record that a replica which lags does not list yet, each with
// the checkpoint that is held.
func (p *rekor1Pass) heldShards() *rekor.V1Shards {
	all := &rekor.V1Shards{}
	if p.listed != nil {
		all.Shards = slices.Clone(p.listed.Shards)
	}
	if n := len(all.Shards); p.earlier != nil && len(p.earlier.Shards) > n {
		all.Shards = append(all.Shards, p.earlier.Shards[n:]...)
	}
	if len(all.Shards) == 0 {
		return nil
	}
	for i := range all.Shards {
		if tree := p.trees[all.Shards[i].Checkpoint.Origin]; tree != nil {
			all.Shards[i].Checkpoint = tree.checkpoint
		}
	}
	return all
}

// Source reads a shard, as of the checkpoint in the list: one question is enough for all. What the log showed and did not prove
// to be of the tree held is for the shard's follower to decide, which knows more of the tree. A replica that lags is given time.
func (l *ShardList) Source(shard *rekor.V1Shard) tlog.Source {
	s := &shardSource{tree: l.Log.Tree(shard.TreeID), checkpoint: shard.Checkpoint, problem: l.Problem, clock: l.clock}
	if shown, ok := l.unrelated[shard.Checkpoint.Origin]; ok {
		s.checkpoint = shown
	}
	return s
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
