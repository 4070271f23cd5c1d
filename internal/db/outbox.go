package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/notify"
)

var _ notify.Outbox = (*DB)(nil)

// Pending implements notify.Outbox.
func (db *DB) Pending(ctx context.Context, channel string, limit int) ([]notify.Message, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT o.id, e.at, e.transition, e.actor, e.why, e.body, o.attempts, o.attempted_at, o.next_attempt_at
		FROM outbox o JOIN finding_events e ON e.id = o.event_id WHERE o.channel = ? AND o.delivered_at IS NULL ORDER BY o.id LIMIT ?`, channel, limit)
	if err != nil {
		return nil, fmt.Errorf("outbox of %s: %w", channel, err)
	}
	defer rows.Close()
	var pending []notify.Message
	for rows.Next() {
		var m notify.Message
		var body string
		var at, attempted, next sql.NullInt64
		if err := rows.Scan(&m.ID, &at, &m.Transition, &m.By, &m.Why, &body, &m.Attempts, &attempted, &next); err != nil {
			return nil, fmt.Errorf("outbox of %s: %w", channel, err)
		}
		if err := json.Unmarshal([]byte(body), &m.Finding); err != nil {
			return nil, fmt.Errorf("outbox of %s: %w", channel, err)
		}
		m.At, m.AttemptedAt, m.NextAttemptAt = instant(at), instant(attempted), instant(next)
		pending = append(pending, m)
	}
	return pending, rows.Err()
}

// CountPending implements notify.Outbox.
func (db *DB) CountPending(ctx context.Context, channel string) (int, error) {
	var n int
	if err := db.r.QueryRowContext(ctx, `SELECT count(*) FROM outbox WHERE channel = ? AND delivered_at IS NULL`, channel).Scan(&n); err != nil {
		return 0, fmt.Errorf("outbox of %s: %w", channel, err)
	}
	return n, nil
}

// Attempting implements notify.Outbox.
func (db *DB) Attempting(ctx context.Context, now time.Time, id int64) error {
	return db.write(ctx, "note an attempt to deliver", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE outbox SET attempts = attempts + 1, attempted_at = ? WHERE id = ?`, micros(now), id)
		return err
	})
}

// Delivered implements notify.Outbox.
func (db *DB) Delivered(ctx context.Context, now time.Time, id int64) error {
	return db.write(ctx, "note a delivery", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE outbox SET delivered_at = ?, last_error = '' WHERE id = ?`, micros(now), id)
		return err
	})
}

// NotDelivered implements notify.Outbox.
func (db *DB) NotDelivered(ctx context.Context, id int64, problem string, took bool, next time.Time) error {
	return db.write(ctx, "note a failed delivery", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE outbox SET last_error = ?, next_attempt_at = ?, attempted_at = CASE WHEN ? THEN attempted_at END WHERE id = ?`,
			problem, micros(next), took, id)
		return err
	})
}

// OutboxDepth is what waits for one channel.
type OutboxDepth struct {
	Channel   string    `json:"channel"`
	Pending   int       `json:"pending"`
	Delivered int       `json:"delivered"`
	Oldest    time.Time `json:"oldest_pending_at,omitzero"`
	LastError string    `json:"last_error,omitempty"`
}

// OutboxDepths counts the outbox by channel.
func (db *DB) OutboxDepths(ctx context.Context) ([]OutboxDepth, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT channel, count(*) FILTER (WHERE delivered_at IS NULL), count(delivered_at),
		min(created_at) FILTER (WHERE delivered_at IS NULL), coalesce(max(last_error) FILTER (WHERE delivered_at IS NULL), '')
		FROM outbox GROUP BY channel ORDER BY channel`)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	defer rows.Close()
	var all []OutboxDepth
	for rows.Next() {
		var d OutboxDepth
		var oldest sql.NullInt64
		if err := rows.Scan(&d.Channel, &d.Pending, &d.Delivered, &oldest, &d.LastError); err != nil {
			return nil, fmt.Errorf("outbox: %w", err)
		}
		d.Oldest = instant(oldest)
		all = append(all, d)
	}
	return all, rows.Err()
}

// StartRun implements audit.Store.
func (db *DB) StartRun(ctx context.Context, now time.Time, job, version, policySHA256 string) (int64, error) {
	var id int64
	err := db.write(ctx, "note the start of a run", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `INSERT INTO runs (job, started_at, version, policy_sha256) VALUES (?, ?, ?, ?)`, job, micros(now), version, policySHA256)
		if err != nil {
			return err
		}
		id, err = res.LastInsertId()
		return err
	})
	return id, err
}

// FinishRun implements audit.Store.
func (db *DB) FinishRun(ctx context.Context, now time.Time, id int64, outcome audit.Outcome, summary json.RawMessage) error {
	return db.write(ctx, "note the end of a run", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE runs SET finished_at = ?, outcome = ?, summary = ? WHERE id = ?`, micros(now), outcome, string(summary), id)
		return err
	})
}
