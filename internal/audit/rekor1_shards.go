package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// shardStore is the record of a log's shards. A shard is a log of its own, named by the origin of its checkpoints.
type shardStore interface {
	// Shards are the shards as they were last seen, from the oldest to the newest; none before the first time.
	Shards(ctx context.Context) ([]HeldShard, error)
	// SawShards keeps checkpoints that are consistent with those seen before, and notes that the log answered.
	SawShards(ctx context.Context, now time.Time, seen []SeenShard) error
	// Misbehaved keeps the evidence of a misbehaviour of a shard, or of the log as a whole where origin is its name.
	Misbehaved(ctx context.Context, now time.Time, origin string, m *tlog.Misbehaviour) error
	// Contradicted keeps two lists of shards that cannot be of one log.
	Contradicted(ctx context.Context, now time.Time, lists ShardLists) error
	// Failed notes that a shard, or the log as a whole, could not be read.
	Failed(ctx context.Context, now time.Time, origin, problem string) error
}

// HeldShard is a shard as the record has it.
type HeldShard struct {
	// Checkpoint is the largest consistent one, and SeenAt when the log last showed it.
	Checkpoint tlog.SignedCheckpoint
	SeenAt     time.Time
}

// SeenShard is a shard as the log lists it.
type SeenShard struct {
	// Position counts from the oldest.
	Position   int
	Checkpoint tlog.SignedCheckpoint
}

// ShardLists is the evidence of a [BadCheckpoint] that is not in one checkpoint: two lists of shards, each with the
// checkpoints that the log signed, that cannot be of one log.
type ShardLists struct {
	Earlier [][]byte `json:"earlier_shards"`
	Later   [][]byte `json:"later_shards"`
	Detail  string   `json:"detail"`
}

// shardListsOf keeps the evidence of a contradiction.
func shardListsOf(e *rekor.V1ShardsError) ShardLists {
	notes := func(s *rekor.V1Shards) (raw [][]byte) {
		for i := range s.Shards {
			raw = append(raw, s.Shards[i].Checkpoint.Raw)
		}
		return raw
	}
	return ShardLists{Earlier: notes(e.Earlier), Later: notes(e.Later), Detail: e.Error()}
}

// recheck looks at the evidence again. verify checks a checkpoint's signature and reads it.
func (l ShardLists) recheck(verify func(raw []byte) (tlog.SignedCheckpoint, error)) (bool, string) {
	var lists [2]*rekor.V1Shards
	for i, notes := range [][][]byte{l.Earlier, l.Later} {
		var checkpoints []tlog.SignedCheckpoint
		for _, raw := range notes {
			cp, err := verify(raw)
			if err != nil {
				return false, "a checkpoint of the lists does not verify: " + err.Error()
			}
			checkpoints = append(checkpoints, cp)
		}
		var err error
		if lists[i], err = rekor.ShardsOf(checkpoints); err != nil {
			return false, "a list of shards is none: " + err.Error()
		}
	}
	if err := lists[1].Follows(lists[0]); err != nil {
		return true, "the log signed every checkpoint of both lists, which no log can have shown in turn: " + err.Error() + "; the lists themselves are not signed"
	}
	return false, "the two lists can be of one log"
}

// heldTree is a shard as far as it is known.
type heldTree struct {
	// checkpoint is the largest that was seen; every other that counts is consistent with it.
	checkpoint tlog.SignedCheckpoint
	frozen     bool
	// grown says that the record does not have the checkpoint yet.
	grown bool
	// related are others that a proof showed to be consistent with it.
	related map[[32]byte]uint64
}

// knows reports whether a checkpoint is known to be of the tree.
func (t *heldTree) knows(cp tlog.SignedCheckpoint) bool {
	size, ok := t.related[cp.Root]
	return cp.Size == t.checkpoint.Size && cp.Root == t.checkpoint.Root || ok && size == cp.Size
}

// take keeps a checkpoint that is of the tree.
func (t *heldTree) take(cp tlog.SignedCheckpoint) {
	if t.related == nil {
		t.related = map[[32]byte]uint64{}
	}
	t.related[cp.Root] = cp.Size
	if cp.Size > t.checkpoint.Size {
		t.checkpoint, t.grown = cp, true
	}
}

// contradictionError is a checkpoint that contradicts the tree that is held: the evidence is in the record.
type contradictionError struct{ m *tlog.Misbehaviour }

func (e *contradictionError) Error() string { return e.m.Error() }

// readShards asks for the log's shards and relates each to the one held.
func (p *rekor1Pass) readShards(ctx context.Context) error {
	list, err := p.log.Shards(ctx)
	var differ *rekor.V1ShardsError
	var bad *tlog.BadCheckpointError
	switch {
	case err == nil:
		p.summary.Shards, p.summary.Size, p.listed = len(list.Shards), list.Size(), list
		return p.meetShards(ctx, list)
	case ends(ctx, err):
		return err
	case errors.As(err, &differ):
		return p.shardsDiffer(ctx, differ)
	case errors.As(err, &bad):
		m := &tlog.Misbehaviour{Kind: tlog.KindBadCheckpoint, New: tlog.Evidence{Raw: bad.Raw}, Detail: bad.Error()}
		if err := p.keepMisbehaviour(ctx, p.Name, m); err != nil {
			return err
		}
		return errGivenUp
	}
	p.trouble("%v", err)
	if err := p.Store.Failed(ctx, p.Clock.Now(), p.Name, err.Error()); err != nil {
		return err
	}
	return errGivenUp
}

// meetShards relates every shard of a list to the one held, and keeps those that are consistent, up to the first that is not
// known to be: to the record, a shard has ended once there is another after it.
func (p *rekor1Pass) meetShards(ctx context.Context, list *rekor.V1Shards) error {
	var seen []SeenShard
	known := true
	for i := range list.Shards {
		shard := &list.Shards[i]
		err := p.meet(ctx, shard.Checkpoint)
		switch tree := p.trees[shard.Checkpoint.Origin]; {
		case err == nil && !known:
			tree.grown = false // it has no place in the record yet
		case err == nil:
			p.summary.Stale = p.summary.Stale || shard.Checkpoint.Size < tree.checkpoint.Size
			seen = append(seen, SeenShard{i, shard.Checkpoint})
			tree.frozen, tree.grown = tree.frozen || list.Frozen(shard.TreeID), false
		case ends(ctx, err):
			return err
		default:
			known = false
			if !errors.As(err, new(*contradictionError)) {
				p.unrelated[shard.Checkpoint.Origin] = shard.Checkpoint
			}
			if err := p.notOfTheTree(ctx, shard.Checkpoint.Origin, err); err != nil {
				return err
			}
		}
	}
	err := p.Store.SawShards(ctx, p.Clock.Now(), seen)
	failpoint.Hit("audit/shards-kept")
	return err
}

// shardsDiffer looks into a list of shards that cannot be of the log that an earlier one described. Where checkpoints of one
// tree contradict each other, that is the evidence; otherwise the two lists are.
func (p *rekor1Pass) shardsDiffer(ctx context.Context, e *rekor.V1ShardsError) error {
	before := len(p.summary.Misbehaviours)
	for i := range e.Later.Shards {
		cp := e.Later.Shards[i].Checkpoint
		if p.trees[cp.Origin] == nil {
			continue // a tree that only this list has
		}
		err := p.meet(ctx, cp)
		if ends(ctx, err) {
			return err
		}
		if err == nil {
			continue
		}
		if err := p.notOfTheTree(ctx, cp.Origin, err); err != nil {
			return err
		}
	}
	if len(p.summary.Misbehaviours) == before {
		p.misbehaved(p.Name, &tlog.Misbehaviour{Kind: tlog.KindBadCheckpoint, Detail: e.Error()})
		if err := p.Store.Contradicted(ctx, p.Clock.Now(), shardListsOf(e)); err != nil {
			return err
		}
		failpoint.Hit("audit/contradiction-kept")
	}
	return errGivenUp
}

// meet relates a checkpoint of a shard to the one held, and holds the larger. A first one is held as it is. The error is a
// [contradictionError], whose evidence is in the record, or says why it is not known.
func (p *rekor1Pass) meet(ctx context.Context, cp tlog.SignedCheckpoint) error {
	tree := p.trees[cp.Origin]
	if tree == nil {
		p.trees[cp.Origin] = &heldTree{checkpoint: cp, grown: true}
		return nil
	}
	if tree.knows(cp) {
		return nil
	}
	m, err := p.relate(ctx, tree.checkpoint, cp)
	if err != nil && !ends(ctx, err) {
		m, err = p.byProven(ctx, cp, err)
	}
	if err != nil {
		return err
	}
	switch larger := cp.Size > tree.checkpoint.Size; {
	case m != nil && cp.Size < tree.checkpoint.Size:
		m.Kind = tlog.KindRollback
	case m == nil && larger && tree.frozen:
		m = &tlog.Misbehaviour{Kind: tlog.KindFrozenGrew, Old: tlog.EvidenceOf(tree.checkpoint), New: tlog.EvidenceOf(cp),
			Detail: fmt.Sprintf("it grew from %d to %d entries after its end", tree.checkpoint.Size, cp.Size)}
	}
	if m != nil {
		if err := p.keepMisbehaviour(ctx, cp.Origin, m); err != nil {
			return err
		}
		return &contradictionError{m}
	}
	tree.take(cp)
	return nil
}

// replicas is how often a proof is asked for that a server behind the same address may not be able to give yet.
const replicas = 3

// relate asks the log to prove that two signed trees of one shard are one, of whichever replica can.
func (p *rekor1Pass) relate(ctx context.Context, old, latest tlog.SignedCheckpoint) (m *tlog.Misbehaviour, err error) {
	_, treeID, ok := rekor.TreeOf(latest.Origin)
	if !ok {
		return nil, fmt.Errorf("%q is no shard of a Rekor v1 log", latest.Origin)
	}
	for range replicas {
		if m, err = tlog.Relate(ctx, p.log.Tree(treeID), old, latest); err == nil || ends(ctx, err) || !rekor.Refused(err) {
			break
		}
	}
	return m, err
}

// notOfTheTree notes a checkpoint that is not known to be of the tree held: what was kept of a contradiction says it
// already, anything else is unknown.
func (p *rekor1Pass) notOfTheTree(ctx context.Context, origin string, err error) error {
	var contradiction *contradictionError
	if errors.As(err, &contradiction) {
		return nil
	}
	p.trouble("%v", err)
	return p.Store.Failed(ctx, p.Clock.Now(), origin, err.Error())
}

// keepMisbehaviour writes a misbehaviour into the record.
func (p *rekor1Pass) keepMisbehaviour(ctx context.Context, origin string, m *tlog.Misbehaviour) error {
	p.misbehaved(origin, m)
	if err := p.Store.Misbehaved(ctx, p.Clock.Now(), origin, m); err != nil {
		return &recordError{err}
	}
	failpoint.Hit("audit/misbehaviour-kept")
	return nil
}

// grown are the checkpoints that were met and that the record does not have yet: what was proven in them is kept with them.
func (p *rekor1Pass) grown() []tlog.SignedCheckpoint {
	var all []tlog.SignedCheckpoint
	for _, tree := range p.trees {
		if tree.grown {
			all = append(all, tree.checkpoint)
		}
	}
	return all
}

// kept says that the record has them.
func (p *rekor1Pass) kept() {
	for _, tree := range p.trees {
		tree.grown = false
	}
}

// readShardLists reads the evidence of two lists of shards; ok is false for evidence of another form.
func readShardLists(evidence []byte) (lists ShardLists, ok bool) {
	err := json.Unmarshal(evidence, &lists)
	return lists, err == nil && len(lists.Earlier) > 0
}
