package main

import (
	"context"
	"encoding/hex"
	"slices"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
)

// relateGossip relates the checkpoints that bundles carry of Rekor v2's shards to the trees that these show. Those of Rekor v1
// are related where it is read by name.
func (r *followRun) relateGossip(ctx context.Context, known []knownLog, client *fetch.Client, answer *followAnswer) error {
	var targets []audit.GossipTarget
	for _, k := range known {
		if k.kind != kindRekorV2 || k.skipped != "" || len(r.only) > 0 && !slices.Contains(r.only, k.origin) {
			continue
		}
		source, err := logSource(k, client)
		if err != nil {
			return err
		}
		store, err := r.record.Log(ctx, db.LogName{Origin: k.origin, Kind: k.kind, KeyID: hex.EncodeToString(k.log.ID), URL: k.url}, r.watch.Hash())
		if err != nil {
			return err
		}
		targets = append(targets, audit.GossipTarget{Origin: k.origin, Source: source, Store: store})
	}
	var err error
	answer.Gossip, err = (&audit.Gossiper{Clock: r.app.clock, Logger: r.logger}).Relate(ctx, targets)
	for _, s := range answer.Gossip {
		if !s.Complete() {
			answer.Outcome = audit.Incomplete
		}
	}
	return err
}

// printGossip prints what came of the checkpoints of bundles, a line a log.
func (a *app) printGossip(summaries []audit.GossipSummary) {
	for _, s := range summaries {
		line(a.stdout, "%s: of bundles: %d checkpoints related", s.Log, s.Related)
		for _, m := range s.Misbehaviours {
			line(a.stdout, "  MISBEHAVED: %s", m)
		}
		for _, t := range s.Troubles {
			line(a.stdout, "  unknown: %s", t)
		}
		if s.Left {
			line(a.stdout, "  unknown: more are due in the next run")
		}
	}
}
