package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

var _ audit.PromiseStore = (*DB)(nil)

// shown is a certificate c that an attestation or a proven entry has: what was read of a log and not proven yet may go again.
var shown = `(EXISTS (SELECT 1 FROM attestations a WHERE a.certificate_id = c.id) OR EXISTS (SELECT 1 FROM entry_certificates ec WHERE ec.certificate_id = c.id
	AND ` + provenEntry + `))`

// provenEntry is an entry, by entry_certificates ec, that is no hit which no verified root commits to yet.
var provenEntry = `NOT EXISTS (SELECT 1 FROM hits h JOIN logs l ON l.id = h.log_id WHERE h.entry_id = ec.entry_id AND h.tree_index >= l.proven_index AND NOT ` + provenHit + `)`

// openPromise is a promise x that is due at ?1: one that no log answered for, or that was missing in a tree which is not younger than
// it by ?2.
const openPromise = `x.outcome NOT IN ('found', 'unneeded') AND x.due_at <= ?1 AND (x.outcome IN ('unknown', 'not-asked', 'no-such-log')
	OR x.outcome = 'missing' AND coalesce(x.tree_head_at, 0) < x.promised_at + ?2)`

// UnreadPromises implements audit.PromiseStore.
func (db *DB) UnreadPromises(ctx context.Context, limit int) ([]audit.ShownCertificate, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT c.id, c.issuer_key_hash, c.der FROM certificates c
		WHERE c.promises_read = 0 AND c.der IS NOT NULL AND c.issuer_key_hash <> '' AND `+shown+` ORDER BY c.id LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("certificates whose promises were not read: %w", err)
	}
	defer rows.Close()
	var all []audit.ShownCertificate
	for rows.Next() {
		var c audit.ShownCertificate
		if err := rows.Scan(&c.ID, &c.IssuerKeyHash, &c.DER); err != nil {
			return nil, fmt.Errorf("certificates whose promises were not read: %w", err)
		}
		all = append(all, c)
	}
	return all, rows.Err()
}

// SavePromises implements audit.PromiseStore.
func (db *DB) SavePromises(ctx context.Context, now time.Time, read []audit.ReadPromises) error {
	return db.write(ctx, "keep what certificates were promised", func(tx *sql.Tx) error {
		for _, r := range read {
			for _, p := range r.Promises {
				if _, err := tx.ExecContext(ctx, `INSERT INTO ct_lookups (certificate_id, log_id, promised_at, leaf_hash, outcome, due_at, problem)
					VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, r.CertificateID, p.LogID, micros(p.PromisedAt), p.LeafHash, p.Outcome, micros(now), p.Problem); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, `UPDATE certificates SET promises_read = 1 WHERE id = ?`, r.CertificateID); err != nil {
				return err
			}
		}
		failpoint.Hit("db/promises-uncommitted")
		return nil
	})
}

// FoundInProven implements audit.PromiseStore.
func (db *DB) FoundInProven(ctx context.Context, now time.Time) (int, error) {
	var found int64
	err := db.write(ctx, "find promised leaves among the proven ones", func(tx *sql.Tx) error {
		const leaf = ` FROM hits h JOIN logs l ON l.id = h.log_id WHERE h.certificate_id = x.certificate_id AND h.leaf_hash = x.leaf_hash
			AND l.key_id = x.log_id AND h.tree_index < l.proven_index`
		res, err := tx.ExecContext(ctx, `UPDATE ct_lookups AS x SET outcome = 'found', asked_at = ?1, failing_since = NULL, problem = '', proof = NULL, tree_head_at = NULL, tree_head = NULL,
			tree_index = (SELECT h.tree_index`+leaf+` ORDER BY h.tree_index LIMIT 1), checkpoint_id = (SELECT l.checkpoint_id`+leaf+` ORDER BY h.tree_index LIMIT 1)
			WHERE x.outcome NOT IN ('found', 'unneeded') AND x.outcome <> 'unpromised' AND EXISTS (SELECT 1`+leaf+`)`, micros(now))
		if err != nil {
			return err
		}
		found, err = res.RowsAffected()
		return err
	})
	return int(found), err
}

// PromisedBy implements audit.PromiseStore.
func (db *DB) PromisedBy(ctx context.Context, now time.Time, delay time.Duration) ([]string, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT DISTINCT x.log_id FROM ct_lookups x WHERE `+openPromise+` ORDER BY x.log_id`, micros(now), delay.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("logs whose promises are due: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("logs whose promises are due: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// DuePromises implements audit.PromiseStore.
func (db *DB) DuePromises(ctx context.Context, now time.Time, delay time.Duration, logID string, limit int) ([]audit.DuePromise, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT c.id, c.issuer_key_hash, c.der, x.log_id, x.promised_at, x.leaf_hash, x.outcome, x.problem
		FROM ct_lookups x JOIN certificates c ON c.id = x.certificate_id WHERE `+openPromise+` AND x.log_id = ?3 ORDER BY x.promised_at DESC, c.id LIMIT ?4`,
		micros(now), delay.Microseconds(), logID, limit)
	if err != nil {
		return nil, fmt.Errorf("promises of log %s: %w", logID, err)
	}
	defer rows.Close()
	var due []audit.DuePromise
	for rows.Next() {
		var p audit.DuePromise
		var at sql.NullInt64
		if err := rows.Scan(&p.ID, &p.IssuerKeyHash, &p.DER, &p.LogID, &at, &p.LeafHash, &p.Outcome, &p.Problem); err != nil {
			return nil, fmt.Errorf("promises of log %s: %w", logID, err)
		}
		p.PromisedAt = instant(at)
		due = append(due, p)
	}
	return due, rows.Err()
}

// OpenPromises implements audit.PromiseStore.
func (db *DB) OpenPromises(ctx context.Context) (map[audit.LookupOutcome]int, error) {
	return db.countPromises(ctx, `outcome NOT IN ('found', 'unneeded')`)
}

// Promises counts all promises by what is known of them.
func (db *DB) Promises(ctx context.Context) (map[audit.LookupOutcome]int, error) {
	return db.countPromises(ctx, `1`)
}

// countPromises counts promises by outcome. where is SQL of this package.
func (db *DB) countPromises(ctx context.Context, where string) (map[audit.LookupOutcome]int, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT outcome, count(*) FROM ct_lookups WHERE `+where+` GROUP BY outcome`)
	if err != nil {
		return nil, fmt.Errorf("counting promises: %w", err)
	}
	defer rows.Close()
	counts := map[audit.LookupOutcome]int{}
	for rows.Next() {
		var outcome audit.LookupOutcome
		var n int
		if err := rows.Scan(&outcome, &n); err != nil {
			return nil, fmt.Errorf("counting promises: %w", err)
		}
		counts[outcome] = n
	}
	return counts, rows.Err()
}

// TreeHead implements audit.PromiseStore.
func (db *DB) TreeHead(ctx context.Context, logID string) (cp tlog.SignedCheckpoint, ok bool, err error) {
	var root string
	var at sql.NullInt64
	err = db.r.QueryRowContext(ctx, `SELECT c.origin, c.size, c.root, c.raw, c.tree_head_at FROM logs l JOIN checkpoints c ON c.id = l.latest_id
		WHERE l.key_id = ? AND l.kind LIKE 'ct-%' ORDER BY l.checked_at DESC LIMIT 1`, logID).Scan(&cp.Origin, &cp.Size, &root, &cp.Raw, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return cp, false, nil
	}
	if err == nil {
		cp.Timestamp = instant(at)
		var digest []byte
		if digest, err = hex.DecodeString(root); err == nil && copy(cp.Root[:], digest) != sha256.Size {
			err = errors.New("its root hash in the record is not one")
		}
	}
	if err != nil {
		return cp, false, fmt.Errorf("tree head of log %s: %w", logID, err)
	}
	return cp, true, nil
}

// SaveLookup implements audit.PromiseStore.
func (db *DB) SaveLookup(ctx context.Context, now time.Time, p audit.DuePromise, l audit.Lookup) error {
	return db.write(ctx, fmt.Sprintf("keep what log %s has of certificate %d", p.LogID, p.ID), func(tx *sql.Tx) error {
		if l.Outcome == audit.LookupUnknown {
			_, err := tx.ExecContext(ctx, `UPDATE ct_lookups SET outcome = CASE outcome WHEN 'missing' THEN outcome ELSE ?1 END, failing_since = coalesce(failing_since, ?2),
				problem = ?3, due_at = ?4 WHERE certificate_id = ?5 AND log_id = ?6`, l.Outcome, micros(now), l.Problem, micros(l.DueAt), p.ID, p.LogID)
			return err
		}
		checkpoint, index, headAt := sql.NullInt64{}, sql.NullInt64{}, any(nil)
		var proof, head []byte
		if cp := l.Inclusion.Checkpoint; cp.Origin != "" {
			id, err := keepCheckpoint(ctx, tx, now, cp)
			if err != nil {
				return err
			}
			checkpoint, headAt = sql.NullInt64{Int64: id, Valid: true}, micros(cp.Timestamp)
		}
		switch l.Outcome {
		case audit.LookupMissing:
			head = l.Inclusion.Checkpoint.Raw
		case audit.LookupFound:
			index, proof = sql.NullInt64{Int64: int64(l.Inclusion.Index), Valid: true}, packRange(l.Inclusion.Path)
		}
		due := l.DueAt
		if due.IsZero() {
			due = now
		}
		_, err := tx.ExecContext(ctx, `UPDATE ct_lookups SET outcome = ?, asked_at = ?, tree_index = ?, proof = ?, checkpoint_id = ?, tree_head_at = ?, tree_head = ?, due_at = ?,
			failing_since = NULL, problem = ? WHERE certificate_id = ? AND log_id = ?`,
			l.Outcome, micros(now), index, blob(proof), checkpoint, headAt, blob(head), micros(due), l.Problem, p.ID, p.LogID)
		failpoint.Hit("db/lookup-uncommitted")
		return err
	})
}

// LookupFailed implements audit.PromiseStore.
func (db *DB) LookupFailed(ctx context.Context, now time.Time, delay time.Duration, logID string, outcome audit.LookupOutcome, problem string, dueAt time.Time) error {
	return db.write(ctx, "note that log "+logID+" was not held to its promises", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE ct_lookups AS x SET outcome = CASE x.outcome WHEN 'missing' THEN x.outcome ELSE ?4 END,
			failing_since = coalesce(x.failing_since, ?1), problem = ?5, due_at = ?6 WHERE `+openPromise+` AND x.log_id = ?3`,
			micros(now), delay.Microseconds(), logID, outcome, problem, micros(dueAt))
		return err
	})
}
