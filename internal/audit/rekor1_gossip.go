package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// unlistedAfter is for how long a tree must have been missing from the log's lists before it counts as unlisted: a replica that
// is behind does not know the newest shard.
const unlistedAfter = time.Hour

// UnlistedTree is the evidence of a [BadCheckpoint] that no other checkpoint contradicts: the log signed a tree that it does not
// list. The list itself is not signed, its checkpoints are.
type UnlistedTree struct {
	Checkpoint []byte   `json:"unlisted_checkpoint"`
	Listed     [][]byte `json:"listed_shards"`
	Detail     string   `json:"detail"`
}

// gossip relates the checkpoints that bundles carry to the trees held: the log made them for somebody else, who was perhaps
// shown another tree.
func (p *rekor1Pass) gossip(ctx context.Context) error {
	for {
		due, err := p.Store.DueGossip(ctx, p.Clock.Now(), gossipPage)
		if err != nil || len(due) == 0 {
			return err
		}
		for _, g := range due {
			if err := p.hear(ctx, &g); err != nil {
				return err
			}
			if err := keepGossip(ctx, p.Store, p.Clock.Now(), g); err != nil {
				return err
			}
		}
	}
}

// hear relates one checkpoint. The error ends the pass.
func (p *rekor1Pass) hear(ctx context.Context, g *Gossip) error {
	tree := p.trees[g.Checkpoint.Origin]
	if tree == nil {
		p.unlisted(g)
		return nil
	}
	var m *tlog.Misbehaviour
	var err error
	if !tree.knows(g.Checkpoint) {
		if m, err = p.relate(ctx, tree.checkpoint, g.Checkpoint); ends(ctx, err) {
			return err
		}
	}
	g.conclude(p.Clock.Now(), m, err)
	switch g.Outcome {
	case GossipUnknown:
		p.trouble("entry %d: its bundle's checkpoint: %v", g.Entry, err)
	case GossipSplitView:
		p.misbehaved(g.Checkpoint.Origin, m)
	default:
		p.summary.Related++
	}
	return nil
}

// unlisted judges a checkpoint of a tree that is not among those that the log lists. One that it lists under the name of another
// host is not unlisted, and not related either.
func (p *rekor1Pass) unlisted(g *Gossip) {
	now := p.Clock.Now()
	_, id, _ := rekor.TreeOf(g.Checkpoint.Origin)
	var listed [][]byte
	for i := range p.listed.Shards {
		shard := &p.listed.Shards[i]
		if shard.TreeID == id {
			err := fmt.Errorf("the log lists tree %d as %q, the checkpoint calls it %q", id, shard.Checkpoint.Origin, g.Checkpoint.Origin)
			p.trouble("entry %d: its bundle's checkpoint: %v", g.Entry, err)
			g.conclude(now, nil, err)
			return
		}
		listed = append(listed, shard.Checkpoint.Raw)
	}
	err := fmt.Errorf("the log signed a tree %q that it does not list", g.Checkpoint.Origin)
	if g.Before != GossipUnlisted && (g.FailingSince.IsZero() || now.Sub(g.FailingSince) < unlistedAfter) {
		p.trouble("entry %d: its bundle's checkpoint: %v", g.Entry, err)
		g.conclude(now, nil, err)
		return
	}
	g.Outcome, g.Due = GossipUnlisted, now.Add(differsRecheck)
	g.Unlisted = &UnlistedTree{Checkpoint: g.Checkpoint.Raw, Listed: listed,
		Detail: fmt.Sprintf("%v; the bundle of entry %d%s carries it", err, g.Entry, of(g.File))}
	p.misbehaved(p.Name, &tlog.Misbehaviour{Kind: tlog.KindBadCheckpoint, Detail: g.Unlisted.Detail})
}

// recheck looks at the evidence again. verify checks a checkpoint's signature and reads it.
func (u UnlistedTree) recheck(verify func(raw []byte) (tlog.SignedCheckpoint, error)) (bool, string) {
	cp, err := verify(u.Checkpoint)
	if err != nil {
		return false, "the checkpoint does not verify: " + err.Error()
	}
	_, id, _ := rekor.TreeOf(cp.Origin)
	for _, raw := range u.Listed {
		shard, err := verify(raw)
		if err != nil {
			return false, "a checkpoint of the list does not verify: " + err.Error()
		}
		if _, listed, _ := rekor.TreeOf(shard.Origin); listed == id {
			return false, "the list has the tree"
		}
	}
	return true, fmt.Sprintf("the log signed the tree %q of size %d, and the checkpoints of %d trees that it listed; the list itself is not signed", cp.Origin, cp.Size, len(u.Listed))
}

// recheckIncident looks at the evidence of a log's misbehaviour again, of whichever form it is. verify checks a checkpoint's
// signature and reads it.
func recheckIncident(evidence []byte, verify func(raw []byte) (tlog.SignedCheckpoint, error)) (bool, string) {
	if lists, ok := readShardLists(evidence); ok {
		return lists.recheck(verify)
	}
	var tree UnlistedTree
	if err := json.Unmarshal(evidence, &tree); err == nil && len(tree.Checkpoint) > 0 {
		return tree.recheck(verify)
	}
	var m tlog.Misbehaviour
	if err := json.Unmarshal(evidence, &m); err != nil {
		return false, "the evidence cannot be read: " + err.Error()
	}
	return m.Recheck(verify)
}
