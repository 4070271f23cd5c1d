package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
)

// Remind writes the reminders that are due, and the ends of acknowledgements, each with its outbox rows, and returns them. The findings are read and the
// reminders written in one transaction, so that nobody is reminded of what was acknowledged meanwhile.
func (db *DB) Remind(ctx context.Context, now time.Time, channels []string) ([]audit.Change, error) {
	var changes []audit.Change
	err := db.write(ctx, "remind people of open findings", func(tx *sql.Tx) error {
		heard, err := heardOf(ctx, tx)
		if err != nil {
			return err
		}
		changes = audit.Remind(heard, now)
		for _, c := range changes {
			if err := record(ctx, tx, now, c, channels); err != nil {
				return err
			}
		}
		failpoint.Hit("db/reminders-uncommitted")
		return nil
	})
	return changes, err
}

// heardOf is what people were told last of each finding that is not resolved. What is not announced does not count.
func heardOf(ctx context.Context, tx *sql.Tx) ([]audit.Heard, error) {
	rows, err := tx.QueryContext(ctx, `SELECT f.body, f.last_seen_at,
			(SELECT max(e.at) FROM finding_events e WHERE e.finding_id = f.id AND e.transition NOT IN ('updated', 'eased')),
			(SELECT count(*) FROM finding_events e WHERE e.finding_id = f.id AND e.transition = 'reminded' AND e.id > (SELECT max(b.id) FROM finding_events b
				WHERE b.finding_id = f.id AND b.transition IN ('opened', 'reopened', 'escalated', 'unacknowledged')))
		FROM findings f WHERE f.status IN ('open', 'acknowledged') ORDER BY f.id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []audit.Heard
	for rows.Next() {
		var h audit.Heard
		var body string
		var seen, at sql.NullInt64
		if err := rows.Scan(&body, &seen, &at, &h.Reminders); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(body), &h.Finding); err != nil {
			return nil, err
		}
		h.At, h.Finding.LastSeenAt = instant(at), instant(seen)
		all = append(all, h)
	}
	return all, rows.Err()
}
