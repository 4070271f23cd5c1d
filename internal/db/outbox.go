package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/notify"
)

var _ notify.Outbox = (*DB)(nil)

// messageColumns are what messageFrom reads.
const messageColumns = `o.id, e.at, e.transition, e.actor, e.why, e.body, coalesce(o.lead, 0), o.form, o.attempts, o.attempted_at, o.next_attempt_at, o.failing_since`

// messageFrom reads a row of messageColumns, and more.
func messageFrom(rows *sql.Rows, more ...any) (notify.Message, error) {
	var m notify.Message
	var body string
	var at, attempted, next, failing sql.NullInt64
	into := []any{&m.ID, &at, &m.Transition, &m.By, &m.Why, &body, &m.Lead, &m.Form, &m.Attempts, &attempted, &next, &failing}
	if err := rows.Scan(append(into, more...)...); err != nil {
		return m, err
	}
	m.At, m.AttemptedAt, m.NextAttemptAt, m.FailingSince = instant(at), instant(attempted), instant(next), instant(failing)
	return m, json.Unmarshal([]byte(body), &m.Finding)
}

// firstAudit is how long auditing a project for the first time takes at most: thousands of files at a request a second.
const firstAudit = 48 * time.Hour

// Pending implements notify.Outbox.
func (db *DB) Pending(ctx context.Context, channel string, limit int) ([]notify.Message, error) {
	// What a project's first listing had is its history, and so is what was found of that while it was first audited.
	rows, err := db.r.QueryContext(ctx, `WITH first AS MATERIALIZED (SELECT p.id, p.index_name, p.name, min(f.first_seen) AS at
			FROM pypi_projects p JOIN files f ON f.pypi_project_id = p.id GROUP BY p.id)
		SELECT `+messageColumns+`,
			EXISTS (SELECT 1 FROM finding_events te JOIN outbox t ON t.event_id = te.id WHERE te.finding_id = e.finding_id AND t.channel = o.channel AND t.delivered_at IS NOT NULL),
			e.transition = 'opened' AND EXISTS (SELECT 1 FROM findings x JOIN first ON first.index_name = x.index_name AND first.name = x.pypi_project
				JOIN files f ON f.pypi_project_id = first.id AND f.first_seen = first.at WHERE x.id = e.finding_id AND e.at < first.at + ?3
				AND (f.sha256 = x.body ->> '$.sha256' OR x.body ->> '$.file' IS NULL AND f.version = x.body ->> '$.release'))
		FROM outbox o JOIN finding_events e ON e.id = o.event_id WHERE o.channel = ?1 AND o.delivered_at IS NULL
		ORDER BY o.lead IS NULL, e.finding_id NOT IN (SELECT ce.finding_id FROM outbox c JOIN finding_events ce ON ce.id = c.event_id
			WHERE c.channel = ?1 AND c.delivered_at IS NULL AND ce.body ->> '$.severity' = 'critical'), o.id LIMIT ?2`, channel, limit, firstAudit.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("outbox of %s: %w", channel, err)
	}
	defer rows.Close()
	var pending []notify.Message
	for rows.Next() {
		var told, history bool
		m, err := messageFrom(rows, &told, &history)
		if err != nil {
			return nil, fmt.Errorf("outbox of %s: %w", channel, err)
		}
		m.Told, m.History = told, history
		pending = append(pending, m)
	}
	return pending, rows.Err()
}

// CountPending implements notify.Outbox.
func (db *DB) CountPending(ctx context.Context, channel string) (int, error) {
	return db.countOutbox(ctx, channel, `SELECT count(*) FROM outbox WHERE channel = ? AND delivered_at IS NULL`, channel)
}

// Failing implements notify.Outbox.
func (db *DB) Failing(ctx context.Context, channel string) (time.Time, string, error) {
	var at sql.NullInt64
	var problem string
	err := db.r.QueryRowContext(ctx, `SELECT failing_since, last_error FROM outbox WHERE channel = ? AND delivered_at IS NULL AND failing_since IS NOT NULL
		ORDER BY failing_since, id LIMIT 1`, channel).Scan(&at, &problem)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, "", fmt.Errorf("outbox of %s: %w", channel, err)
	}
	return instant(at), problem, nil
}

// Sent implements notify.Outbox.
func (db *DB) Sent(ctx context.Context, channel string, since time.Time) (int, error) {
	return db.countOutbox(ctx, channel, `SELECT count(DISTINCT coalesce(lead, id)) FROM outbox WHERE channel = ? AND delivered_at > ?`, channel, micros(since))
}

func (db *DB) countOutbox(ctx context.Context, channel, query string, args ...any) (int, error) {
	var n int
	if err := db.r.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("outbox of %s: %w", channel, err)
	}
	return n, nil
}

// Told implements notify.Outbox.
func (db *DB) Told(ctx context.Context, channel string) (map[string]bool, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT DISTINCT f.project FROM outbox o JOIN finding_events e ON e.id = o.event_id JOIN findings f ON f.id = e.finding_id
		WHERE o.channel = ? AND o.delivered_at IS NOT NULL`, channel)
	if err != nil {
		return nil, fmt.Errorf("outbox of %s: %w", channel, err)
	}
	defer rows.Close()
	told := map[string]bool{}
	for rows.Next() {
		var project string
		if err := rows.Scan(&project); err != nil {
			return nil, fmt.Errorf("outbox of %s: %w", channel, err)
		}
		told[project] = true
	}
	return told, rows.Err()
}

// Thread implements notify.Outbox.
func (db *DB) Thread(ctx context.Context, channel string, p notify.Parcel) (string, []notify.Message, error) {
	thread := ""
	for i, m := range p.Messages {
		var own string
		err := db.r.QueryRowContext(ctx, `SELECT o.thread FROM outbox o JOIN finding_events e ON e.id = o.event_id
			WHERE e.finding_id = ? AND o.channel = ? AND o.thread <> '' ORDER BY o.id DESC LIMIT 1`, m.Finding.ID, channel).Scan(&own)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return "", nil, fmt.Errorf("threads of %s: %w", channel, err)
		}
		if own == "" || i > 0 && own != thread {
			return "", nil, nil
		}
		thread = own
	}
	root, err := db.threadRoot(ctx, channel, thread)
	if err != nil {
		return "", nil, fmt.Errorf("threads of %s: %w", channel, err)
	}
	for i, r := range root {
		for _, m := range p.Messages {
			if m.Finding.ID == r.Finding.ID {
				root[i] = m
			}
		}
	}
	return thread, root, nil
}

// threadRoot is what a thread began with: the last that the channel was told of each finding there.
func (db *DB) threadRoot(ctx context.Context, channel, thread string) ([]notify.Message, error) {
	rows, err := db.r.QueryContext(ctx, `WITH root AS (SELECT e.finding_id, min(o.id) AS first FROM outbox o JOIN finding_events e ON e.id = o.event_id
			WHERE o.channel = ?1 AND o.lead = (SELECT lead FROM outbox WHERE channel = ?1 AND thread = ?2 ORDER BY id LIMIT 1) GROUP BY e.finding_id)
		SELECT `+messageColumns+` FROM root JOIN outbox o ON o.id = (SELECT max(lo.id) FROM outbox lo JOIN finding_events le ON le.id = lo.event_id
			WHERE le.finding_id = root.finding_id AND lo.channel = ?1 AND lo.delivered_at IS NOT NULL) JOIN finding_events e ON e.id = o.event_id ORDER BY root.first`, channel, thread)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var root []notify.Message
	for rows.Next() {
		m, err := messageFrom(rows)
		if err != nil {
			return nil, err
		}
		root = append(root, m)
	}
	return root, rows.Err()
}

// Attempting implements notify.Outbox.
func (db *DB) Attempting(ctx context.Context, now time.Time, p notify.Parcel) error {
	return db.write(ctx, "note an attempt to deliver", func(tx *sql.Tx) error {
		err := eachMessage(ctx, tx, p.Messages, `UPDATE outbox SET attempts = attempts + 1, attempted_at = ?, lead = ?, form = ? WHERE id = ?`, micros(now), p.Lead().ID, p.Form)
		failpoint.Hit("db/attempt-uncommitted")
		return err
	})
}

// Delivered implements notify.Outbox.
func (db *DB) Delivered(ctx context.Context, now time.Time, p notify.Parcel, thread string) error {
	return db.write(ctx, "note a delivery", func(tx *sql.Tx) error {
		err := eachMessage(ctx, tx, p.Messages, `UPDATE outbox SET delivered_at = ?, thread = ?, last_error = '' WHERE id = ?`, micros(now), thread)
		failpoint.Hit("db/delivery-uncommitted")
		return err
	})
}

// NotDelivered implements notify.Outbox.
func (db *DB) NotDelivered(ctx context.Context, now time.Time, p notify.Parcel, problem string, maybe bool, next time.Time) error {
	return db.write(ctx, "note a failed delivery", func(tx *sql.Tx) error {
		return eachMessage(ctx, tx, p.Messages, `UPDATE outbox SET last_error = ?, next_attempt_at = ?, failing_since = coalesce(failing_since, ?),
			attempted_at = CASE WHEN ? THEN attempted_at END WHERE id = ?`, problem, micros(next), micros(now), maybe)
	})
}

// Unwanted implements notify.Outbox.
func (db *DB) Unwanted(ctx context.Context, messages []notify.Message) error {
	if len(messages) == 0 {
		return nil
	}
	return db.write(ctx, "take out what a route leaves out", func(tx *sql.Tx) error {
		err := eachMessage(ctx, tx, messages, `DELETE FROM outbox WHERE id = ?`)
		failpoint.Hit("db/unwanted-uncommitted")
		return err
	})
}

// eachMessage runs a statement that ends with a message's id on each of them.
func eachMessage(ctx context.Context, tx *sql.Tx, messages []notify.Message, statement string, args ...any) error {
	for _, m := range messages {
		if _, err := tx.ExecContext(ctx, statement, append(slices.Clone(args), m.ID)...); err != nil {
			return err
		}
	}
	return nil
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
