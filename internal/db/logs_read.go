package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
)

var (
	_ audit.LogRecord = (*DB)(nil)
	_ audit.LogStore  = (*Log)(nil)
)

// Logs returns what the record holds of every log.
func (db *DB) Logs(ctx context.Context) ([]audit.LogFacts, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT l.id, l.origin, l.kind, l.url, l.start_index, l.read_index, l.proven_index, l.checked_at, l.failing_since, l.failure,
		coalesce(c.size, 0), c.first_seen FROM logs l LEFT JOIN checkpoints c ON c.id = l.latest_id ORDER BY l.origin`)
	if err != nil {
		return nil, fmt.Errorf("logs in the record: %w", err)
	}
	defer rows.Close()
	var logs []audit.LogFacts
	var ids []int64
	for rows.Next() {
		var l audit.LogFacts
		var id int64
		var start, checked, failing, grew sql.NullInt64
		if err := rows.Scan(&id, &l.Origin, &l.Kind, &l.URL, &start, &l.Read, &l.Proven, &checked, &failing, &l.Failure, &l.Latest, &grew); err != nil {
			return nil, fmt.Errorf("logs in the record: %w", err)
		}
		l.Known, l.Start = start.Valid, uint64(start.Int64)
		l.CheckedAt, l.FailingSince, l.GrewAt = instant(checked), instant(failing), instant(grew)
		logs, ids = append(logs, l), append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("logs in the record: %w", err)
	}
	for i, id := range ids {
		if logs[i].Incidents, err = db.incidents(ctx, id); err != nil {
			return nil, fmt.Errorf("logs in the record: %w", err)
		}
		if logs[i].Ranges, err = db.ranges(ctx, id); err != nil {
			return nil, fmt.Errorf("logs in the record: %w", err)
		}
	}
	return logs, nil
}

// ranges returns what was proven complete of a log, and with which watch list it was read.
func (db *DB) ranges(ctx context.Context, logID int64) ([]audit.ProvenRange, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT from_index, to_index, watch_list, proven_at, bytes FROM proven_ranges WHERE log_id = ? ORDER BY from_index`, logID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []audit.ProvenRange
	for rows.Next() {
		var r audit.ProvenRange
		var at sql.NullInt64
		if err := rows.Scan(&r.From, &r.To, &r.WatchList, &at, &r.Bytes); err != nil {
			return nil, err
		}
		r.ProvenAt = instant(at)
		all = append(all, r)
	}
	return all, rows.Err()
}

// HitFilter says which hits to list; an empty field does not restrict.
type HitFilter struct {
	Projects, Classes, Origins []string
	SAN                        string // part of it
	Since, Until               time.Time
	// Unproven lists those too that no verified root commits to yet.
	Unproven bool
}

// Hits calls fn for each hit that passes the filter, by log and index.
func (db *DB) Hits(ctx context.Context, filter HitFilter, fn func(audit.HitFacts) error) error {
	where := []string{"1"}
	var args []any
	in := func(column string, values []string) {
		if len(values) == 0 {
			return
		}
		where = append(where, column+" IN (?"+strings.Repeat(", ?", len(values)-1)+")")
		for _, v := range values {
			args = append(args, v)
		}
	}
	in("h.project", filter.Projects)
	in("h.class", filter.Classes)
	in("l.origin", filter.Origins)
	if filter.SAN != "" {
		where, args = append(where, "instr(h.san, ?) > 0"), append(args, filter.SAN)
	}
	if !filter.Since.IsZero() {
		where, args = append(where, "coalesce(h.logged_at, h.first_seen) >= ?"), append(args, micros(filter.Since))
	}
	if !filter.Until.IsZero() {
		where, args = append(where, "coalesce(h.logged_at, h.first_seen) < ?"), append(args, micros(filter.Until))
	}
	if !filter.Unproven {
		where = append(where, provenHit)
	}
	rows, err := db.r.QueryContext(ctx, `SELECT l.origin, h.tree_index, h.leaf_hash, h.leaf, h.body, h.first_seen, `+provenHit+` FROM hits h JOIN logs l ON l.id = h.log_id
		WHERE `+strings.Join(where, " AND ")+` ORDER BY l.origin, h.tree_index`, args...)
	if err != nil {
		return fmt.Errorf("hits in the record: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var h audit.HitFacts
		var body string
		var first sql.NullInt64
		if err := rows.Scan(&h.Origin, &h.Index, &h.LeafHash, &h.Leaf, &body, &first, &h.Proven); err != nil {
			return fmt.Errorf("hits in the record: %w", err)
		}
		if err := json.Unmarshal([]byte(body), &h.LogHit); err != nil {
			return fmt.Errorf("hits in the record: %w", err)
		}
		h.FirstSeen = instant(first)
		if err := fn(h); err != nil {
			return err
		}
	}
	return rows.Err()
}

// ProvenHits implements audit.LogRecord.
func (db *DB) ProvenHits(ctx context.Context, fn func(audit.HitFacts) error) error {
	return db.Hits(ctx, HitFilter{}, fn)
}
