package db

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

var _ audit.TreeGossip = (*Log)(nil)

// saveGossip keeps the checkpoint that a bundle carries with a proven entry, to be related to the tree that its log shows. It
// returns the checkpoint's row, none where the entry has no checkpoint.
func saveGossip(ctx context.Context, tx *sql.Tx, now time.Time, e attest.Entry) (sql.NullInt64, error) {
	var id sql.NullInt64
	c, err := tlog.ParseCheckpoint(e.Checkpoint)
	if err != nil {
		return id, nil // an entry that its log only promised
	}
	err = tx.QueryRowContext(ctx, `INSERT INTO gossip (origin, size, root, raw, log_id, first_seen, due_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
		ON CONFLICT (origin, size, root) DO UPDATE SET log_id = excluded.log_id RETURNING id`,
		c.Origin, c.Size, fmt.Sprintf("%x", c.Root), []byte(e.Checkpoint), e.LogID, micros(now)).Scan(&id)
	return id, err
}

// dueGossip lists checkpoints of bundles that are to be related now, with a file and an entry that a bundle has it for. of is
// SQL of this package that says of which log, by a first parameter.
func (db *DB) dueGossip(ctx context.Context, name, of string, log any, now time.Time, limit int) ([]audit.Gossip, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT g.origin, g.size, g.root, g.raw, g.id, g.outcome, g.failing_since, coalesce(min(ae.global_index), 0), coalesce(min(f.filename), '')
		FROM gossip g LEFT JOIN attestation_entries ae ON ae.gossip_id = g.id LEFT JOIN attestations a ON a.id = ae.attestation_id
		LEFT JOIN provenances p ON p.id = a.provenance_id LEFT JOIN files f ON f.id = p.file_id
		WHERE g.due_at <= ?2 AND `+of+` GROUP BY g.id ORDER BY g.failing_since IS NOT NULL, g.due_at, g.id LIMIT ?3`, log, micros(now), limit)
	if err != nil {
		return nil, fmt.Errorf("checkpoints of bundles of %s: %w", name, err)
	}
	defer rows.Close()
	var all []audit.Gossip
	for rows.Next() {
		var g audit.Gossip
		var failing sql.NullInt64
		if g.Checkpoint, err = scanCheckpoint(rows, &g.ID, &g.Before, &failing, &g.Entry, &g.File); err != nil {
			return nil, fmt.Errorf("checkpoints of bundles of %s: %w", name, err)
		}
		g.FailingSince = instant(failing)
		all = append(all, g)
	}
	return all, rows.Err()
}

// saveRelation keeps what relating a checkpoint gave, after the evidence that it may have brought. What was found out before
// stays where nothing can be found out now.
func saveRelation(ctx context.Context, tx *sql.Tx, now time.Time, g audit.Gossip) error {
	var err error
	if g.Outcome == audit.GossipUnknown {
		_, err = tx.ExecContext(ctx, `UPDATE gossip SET due_at = ?, failing_since = coalesce(failing_since, ?), failure = ? WHERE id = ?`,
			micros(g.Due), micros(now), g.Failure, g.ID)
	} else {
		_, err = tx.ExecContext(ctx, `UPDATE gossip SET outcome = ?, related_at = ?, due_at = ?, failing_since = NULL, failure = '' WHERE id = ?`,
			g.Outcome, micros(now), micros(g.Due), g.ID)
	}
	failpoint.Hit("db/gossip-uncommitted")
	return err
}

// ofLog says that a checkpoint is of the one tree that a log has.
const ofLog = `(g.log_id, g.origin) = (SELECT key_id, origin FROM logs WHERE id = ?1)`

// DueGossip implements audit.TreeGossip.
func (l *Log) DueGossip(ctx context.Context, now time.Time, limit int) ([]audit.Gossip, error) {
	return l.db.dueGossip(ctx, l.origin, ofLog, l.id, now, limit)
}

// SaveGossip implements audit.TreeGossip.
func (l *Log) SaveGossip(ctx context.Context, now time.Time, g audit.Gossip) error {
	return l.db.write(ctx, "keep what a checkpoint of "+l.origin+" is", func(tx *sql.Tx) error {
		if g.SplitView != nil {
			if err := l.saveIncident(ctx, tx, now, g.SplitView); err != nil {
				return err
			}
		}
		return saveRelation(ctx, tx, now, g)
	})
}

// unrelated adds to a log how many checkpoints of bundles could not be related to its tree, since when, and why the last one not.
func (db *DB) unrelated(ctx context.Context, id int64, l *audit.LogFacts) error {
	var since sql.NullInt64
	err := db.r.QueryRowContext(ctx, `SELECT count(*), min(g.failing_since), coalesce(max(g.failure), '') FROM gossip g WHERE `+ofLog+` AND g.failing_since IS NOT NULL`, id).
		Scan(&l.Unrelated, &since, &l.UnrelatedWhy)
	l.UnrelatedSince = instant(since)
	return err
}

// ofRekor1Gossip says that a checkpoint was signed by a key of the Rekor v1 that is the query's first parameter.
const ofRekor1Gossip = `g.log_id IN (SELECT value FROM json_each((SELECT keys FROM rekor1_logs WHERE log_id = ?1)))`

// DueGossip implements audit.Rekor1Store.
func (r *Rekor1) DueGossip(ctx context.Context, now time.Time, limit int) ([]audit.Gossip, error) {
	return r.db.dueGossip(ctx, r.name, ofRekor1Gossip, r.id, now, limit)
}

// SaveGossip implements audit.Rekor1Store.
func (r *Rekor1) SaveGossip(ctx context.Context, now time.Time, g audit.Gossip) error {
	return r.db.write(ctx, "keep what a checkpoint of "+r.name+" is", func(tx *sql.Tx) error {
		whole := &Log{db: r.db, id: r.id, origin: r.name}
		var err error
		switch {
		case g.SplitView != nil:
			err = r.misbehaved(ctx, tx, now, g.Checkpoint.Origin, g.SplitView)
		case g.Unlisted != nil:
			err = whole.saveContradiction(ctx, tx, now, tlog.KindBadCheckpoint, unlistedTree+g.Checkpoint.Origin, g.Unlisted.Detail, g.Unlisted)
		case g.Outcome == audit.GossipRelated && g.Before == audit.GossipUnlisted:
			err = whole.endContradiction(ctx, tx, now, tlog.KindBadCheckpoint, unlistedTree+g.Checkpoint.Origin)
		}
		if err != nil {
			return err
		}
		return saveRelation(ctx, tx, now, g)
	})
}
