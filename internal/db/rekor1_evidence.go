package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// saveClaim joins an attestation with an entry that it names. The log is to be asked what tree it is that it showed to whoever
// made the bundle, and of Rekor v1 also what it has in the entry's place.
func saveClaim(ctx context.Context, tx *sql.Tx, now time.Time, attestation, entry int64, e attest.Entry, verified bool) error {
	gossip, err := saveGossip(ctx, tx, now, e)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO attestation_entries (attestation_id, entry_id, global_index, integrated_at, gossip_id) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, attestation, entry, e.LogIndex, micros(e.IntegratedTime), gossip); err != nil {
		return err
	}
	if !verified || e.TreeID == "" {
		return nil
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO entry_checks (entry_id, global_index, integrated_at, since, due_at) VALUES (?1, ?2, coalesce(?3, 0), ?4, ?4)
		ON CONFLICT DO NOTHING`, entry, e.LogIndex, micros(e.IntegratedTime), micros(now))
	return err
}

// DueEntries implements audit.Rekor1Store.
func (r *Rekor1) DueEntries(ctx context.Context, now time.Time, limit int) ([]audit.DueEntry, error) {
	rows, err := r.db.r.QueryContext(ctx, `SELECT e.id, e.origin, e.log_id, e.tree_index, e.body, k.global_index, k.integrated_at, k.absences, k.failing_since
		FROM entry_checks k JOIN entries e ON e.id = k.entry_id WHERE k.due_at <= ?2 AND `+ofRekor1+`
		ORDER BY k.failing_since IS NOT NULL, k.due_at, e.id LIMIT ?3`, r.id, micros(now), limit)
	if err != nil {
		return nil, fmt.Errorf("entries to ask %s for: %w", r.name, err)
	}
	defer rows.Close()
	var all []audit.DueEntry
	for rows.Next() {
		d := audit.DueEntry{Copy: rekor.V1Copy{Proof: true}}
		var at, failing sql.NullInt64
		if err := rows.Scan(&d.ID, &d.Origin, &d.Copy.LogID, &d.Copy.Index, &d.Copy.Body, &d.Copy.GlobalIndex, &at, &d.Absences, &failing); err != nil {
			return nil, fmt.Errorf("entries to ask %s for: %w", r.name, err)
		}
		d.Copy.IntegratedTime, d.FailingSince = instant(at), instant(failing)
		if _, d.Copy.TreeID, d.Copy.Proof = rekor.TreeOf(d.Origin); !d.Copy.Proof {
			return nil, fmt.Errorf("entries to ask %s for: %q is no shard", r.name, d.Origin)
		}
		all = append(all, d)
	}
	return all, rows.Err()
}

// SaveChecks implements audit.Rekor1Store. What was found out before stays where it cannot be found out now.
func (r *Rekor1) SaveChecks(ctx context.Context, now time.Time, checks []audit.EntryCheck, grown []tlog.SignedCheckpoint) error {
	return r.db.write(ctx, "keep what "+r.name+" has of bundles", func(tx *sql.Tx) error {
		if err := r.sawGrown(ctx, tx, now, grown); err != nil {
			return err
		}
		for _, c := range checks {
			if err := saveCheck(ctx, tx, now, c); err != nil {
				return err
			}
		}
		failpoint.Hit("db/checks-uncommitted")
		return nil
	})
}

// saveCheck keeps one. Evidence that says the same as before is not replaced.
func saveCheck(ctx context.Context, tx *sql.Tx, now time.Time, c audit.EntryCheck) error {
	at := int64(0)
	if !c.Copy.IntegratedTime.IsZero() {
		at = c.Copy.IntegratedTime.UnixMicro()
	}
	if c.Outcome == audit.EntryUnknown {
		_, err := tx.ExecContext(ctx, `UPDATE entry_checks SET asked_at = ?1, due_at = ?2, absences = ?3, failing_since = coalesce(failing_since, ?1), failure = ?4
			WHERE entry_id = ?5 AND global_index = ?6 AND integrated_at = ?7`, micros(now), micros(c.Due), c.Absences, c.Failure, c.ID, c.Copy.GlobalIndex, at)
		return err
	}
	var body, proof, differences any = nil, nil, ""
	if c.Entry != nil {
		text, err := json.Marshal(audit.ProofOf(c.Entry))
		if err != nil {
			return err
		}
		proof = string(text)
		if len(c.Differences) > 0 {
			body = c.Entry.Body
		}
	}
	if len(c.Differences) > 0 {
		text, err := json.Marshal(c.Differences)
		if err != nil {
			return err
		}
		differences = string(text)
	}
	_, err := tx.ExecContext(ctx, `UPDATE entry_checks SET outcome = ?1, since = CASE outcome WHEN ?1 THEN since ELSE ?2 END, asked_at = ?2, due_at = ?3, absences = ?4,
		differences = ?5, body = CASE WHEN outcome = ?1 AND differences = ?5 THEN body ELSE ?6 END, proof = CASE WHEN outcome = ?1 AND differences = ?5 THEN proof ELSE ?7 END, failing_since = NULL, failure = '' WHERE entry_id = ?8 AND global_index = ?9 AND integrated_at = ?10`,
		c.Outcome, micros(now), micros(c.Due), c.Absences, differences, body, proof, c.ID, c.Copy.GlobalIndex, at)
	return err
}
