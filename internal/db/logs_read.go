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

// growthWindow is how far back the growth of a log is looked at.
const growthWindow = 24 * time.Hour

// Logs returns what the record holds of every log.
func (db *DB) Logs(ctx context.Context) ([]audit.LogFacts, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT l.id, l.origin, l.kind, l.url, l.start_index, l.read_index, l.proven_index, l.checked_at, l.failing_since, l.failure,
		coalesce(c.size, 0), c.first_seen, coalesce(c.cosigners, ''), coalesce(d.size, 0), d.first_seen,
		(SELECT min(k.first_seen) FROM checkpoints k WHERE k.origin = l.origin AND k.size >= l.start_index),
		(SELECT min(k.first_seen) FROM checkpoints k WHERE k.origin = l.origin AND k.size > l.proven_index), l.level_at, l.level_index
		FROM logs l LEFT JOIN checkpoints c ON c.id = l.latest_id LEFT JOIN checkpoints d ON d.id =
			(SELECT id FROM checkpoints WHERE origin = c.origin AND first_seen >= c.first_seen - ? ORDER BY first_seen LIMIT 1)
		ORDER BY l.origin`, growthWindow.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("logs in the record: %w", err)
	}
	defer rows.Close()
	var logs []audit.LogFacts
	var ids []int64
	for rows.Next() {
		var l audit.LogFacts
		var id int64
		var start, checked, failing, grew, before, taken, behind, level sql.NullInt64
		var size uint64
		var cosigners string
		if err := rows.Scan(&id, &l.Origin, &l.Kind, &l.URL, &start, &l.Read, &l.Proven, &checked, &failing, &l.Failure, &l.Latest, &grew, &cosigners, &size, &before, &taken, &behind, &level, &l.LevelIndex); err != nil {
			return nil, fmt.Errorf("logs in the record: %w", err)
		}
		if cosigners != "" {
			l.Cosigners = strings.Split(cosigners, ",")
		}
		if grew.Int64 > before.Int64 && l.Latest > size {
			l.GrowthPerSecond = float64(l.Latest-size) / instant(grew).Sub(instant(before)).Seconds()
		}
		l.Known, l.Start = start.Valid, uint64(start.Int64)
		l.CheckedAt, l.FailingSince, l.GrewAt, l.TakenUpAt = instant(checked), instant(failing), instant(grew), instant(taken)
		l.BehindSince, l.LevelAt = instant(behind), instant(level)
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
		for _, r := range logs[i].Ranges {
			if r.To == logs[i].Proven {
				logs[i].ProvenAt = r.ProvenAt
			}
		}
		if err := db.unanswered(ctx, &logs[i]); err != nil {
			return nil, fmt.Errorf("logs in the record: %w", err)
		}
		if logs[i].Kind != kindRekor1 {
			if err := db.unrelated(ctx, id, &logs[i]); err != nil {
				return nil, fmt.Errorf("logs in the record: %w", err)
			}
			continue
		}
		if err = db.rekor1Facts(ctx, id, &logs[i]); err != nil {
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

// provenHit is true of a hit h, in a log l, that a verified root commits to: that of the range that was read, of its own proof,
// or of a window.
var provenHit = `(h.tree_index < l.proven_index OR h.proof IS NOT NULL OR ` + fmt.Sprintf(inWindow, "h") + `)`

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
	return db.hits(ctx, strings.Join(where, " AND "), args, fn)
}

// hits calls fn for hits h of logs l, by log and index. where is SQL of this package, never of a user.
func (db *DB) hits(ctx context.Context, where string, args []any, fn func(audit.HitFacts) error) error {
	rows, err := db.r.QueryContext(ctx, `SELECT l.origin, h.tree_index, h.leaf_hash, h.leaf, h.body, h.first_seen, `+provenHit+` FROM hits h JOIN logs l ON l.id = h.log_id
		WHERE `+where+` ORDER BY l.origin, h.tree_index, h.leaf_hash`, args...)
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

// HitsOf implements audit.LogRecord.
func (db *DB) HitsOf(ctx context.Context, signers []int64, fn func(audit.HitFacts) error) error {
	list, err := json.Marshal(signers)
	if err != nil {
		return err
	}
	return db.hits(ctx, `h.id IN (SELECT id FROM hits WHERE kind = 'unreadable' OR chained = 0
		UNION SELECT x.id FROM json_each(?) s JOIN jobs j ON j.signer_id = s.value JOIN certificates c ON c.job_id = j.id JOIN hits x ON x.certificate_id = c.id
		UNION SELECT x.id FROM json_each(?) s JOIN jobs j ON j.signer_id = s.value JOIN certificates c ON c.job_id = j.id JOIN entry_certificates ec ON ec.certificate_id = c.id
			JOIN hits x ON x.entry_id = ec.entry_id) AND h.class <> '`+audit.ClassForeign+`' AND `+provenHit, []any{string(list), string(list)}, fn)
}

// ProvenHits implements audit.LogRecord.
func (db *DB) ProvenHits(ctx context.Context, fn func(audit.HitFacts) error) error {
	return db.Hits(ctx, HitFilter{}, fn)
}
