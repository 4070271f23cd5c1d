package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

var _ audit.WindowRecord = (*DB)(nil)

// inWindow is true of a leaf of a log, log_id and tree_index, that a window proves.
const inWindow = `EXISTS (SELECT 1 FROM windows w WHERE w.log_id = %[1]s.log_id AND %[1]s.tree_index >= w.from_index AND %[1]s.tree_index < w.proven_index)`

// Windows implements audit.WindowRecord.
func (db *DB) Windows(ctx context.Context, watchList string, origins []string) ([]audit.Window, error) {
	if len(origins) == 0 {
		return nil, nil
	}
	args := []any{watchList}
	for _, o := range origins {
		args = append(args, o)
	}
	rows, err := db.r.QueryContext(ctx, `SELECT `+windowColumns+` FROM windows w JOIN logs l ON l.id = w.log_id
		WHERE w.watch_list = ? AND l.origin IN (?`+strings.Repeat(", ?", len(origins)-1)+`) ORDER BY w.priority, w.id`, args...)
	if err != nil {
		return nil, fmt.Errorf("windows in the record: %w", err)
	}
	defer rows.Close()
	var all []audit.Window
	for rows.Next() {
		w, err := scanWindow(rows)
		if err != nil {
			return nil, fmt.Errorf("windows in the record: %w", err)
		}
		all = append(all, w)
	}
	return all, rows.Err()
}

// windowColumns are what scanWindow reads of a window w of a log l.
const windowColumns = `w.id, l.origin, w.from_index, w.to_index, w.since, w.until, w.margin, w.backwards, w.why, w.priority, w.state, w.requests, w.requested_at, w.finished_at`

// scanWindow reads windowColumns, and what more there is.
func scanWindow(rows *sql.Rows, more ...any) (audit.Window, error) {
	var w audit.Window
	var since, until, requested, finished sql.NullInt64
	var margin, backwards int64
	var state string
	err := rows.Scan(append([]any{&w.ID, &w.Origin, &w.From, &w.To, &since, &until, &margin, &backwards, &w.Why, &w.Priority, &state, &w.Requests, &requested, &finished}, more...)...)
	if err != nil {
		return w, err
	}
	w.Since, w.Until, w.RequestedAt, w.FinishedAt = instant(since), instant(until), instant(requested), instant(finished)
	w.Margin, w.Backwards = time.Duration(margin)*time.Microsecond, time.Duration(backwards)*time.Microsecond
	if w.State, err = windowState(state); err != nil {
		return w, fmt.Errorf("window %d: %w", w.ID, err)
	}
	return w, nil
}

// shardWindows adds the windows of a log's shards, whatever watch list they were read with, from the oldest entries on.
func (db *DB) shardWindows(ctx context.Context, id int64, f *audit.Rekor1Facts) error {
	rows, err := db.r.QueryContext(ctx, `SELECT `+windowColumns+`, w.watch_list,
		(SELECT coalesce(sum(c.size), 0) FROM rekor1_shards o JOIN logs ol ON ol.id = o.shard_id JOIN checkpoints c ON c.id = ol.latest_id WHERE o.log_id = s.log_id AND o.position < s.position)
		FROM rekor1_shards s JOIN windows w ON w.log_id = s.shard_id JOIN logs l ON l.id = w.log_id WHERE s.log_id = ? ORDER BY s.position, w.from_index, w.id`, id)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var w audit.WindowFacts
		if w.Window, err = scanWindow(rows, &w.WatchList, &w.First); err != nil {
			return err
		}
		f.Windows = append(f.Windows, w)
	}
	return rows.Err()
}

// windowState reads how far a window was read; nil for one that has not begun.
func windowState(text string) (*rekor.V1Window, error) {
	if text == "" {
		return nil, nil
	}
	s := new(rekor.V1Window)
	return s, json.Unmarshal([]byte(text), s)
}

// ProvenRuns implements audit.WindowRecord.
func (db *DB) ProvenRuns(ctx context.Context, watchList, origin string) ([]audit.IndexRun, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT r.from_index, r.to_index FROM proven_ranges r JOIN logs l ON l.id = r.log_id WHERE l.origin = ?1 AND r.watch_list = ?2
		UNION SELECT w.from_index, w.proven_index FROM windows w JOIN logs l ON l.id = w.log_id WHERE l.origin = ?1 AND w.watch_list = ?2 AND w.proven_index > w.from_index
		ORDER BY 1, 2`, origin, watchList)
	if err != nil {
		return nil, fmt.Errorf("what is proven of log %s: %w", origin, err)
	}
	defer rows.Close()
	var all []audit.IndexRun
	for rows.Next() {
		var r audit.IndexRun
		if err := rows.Scan(&r.From, &r.To); err != nil {
			return nil, fmt.Errorf("what is proven of log %s: %w", origin, err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// QueueWindows implements audit.WindowRecord.
func (db *DB) QueueWindows(ctx context.Context, now time.Time, watchList string, replaced []int64, windows []audit.Window) error {
	return db.write(ctx, "queue windows", func(tx *sql.Tx) error {
		for _, id := range replaced {
			err := one(tx.ExecContext(ctx, `DELETE FROM windows WHERE id = ? AND state = '' AND finished_at IS NULL`, id))
			if errors.Is(err, sql.ErrNoRows) {
				return tlog.ErrMoved
			} else if err != nil {
				return err
			}
		}
		for _, w := range windows {
			var finished any
			if w.From == w.To {
				finished = micros(now)
			}
			if err := one(tx.ExecContext(ctx, `INSERT INTO windows (log_id, from_index, to_index, since, until, margin, backwards, why, priority, watch_list, next_index, proven_index, requests, requested_at, finished_at)
				SELECT id, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?2, ?2, ?11, ?12, ?13 FROM logs WHERE origin = ?1`,
				w.Origin, w.From, w.To, micros(w.Since), micros(w.Until), w.Margin.Microseconds(), w.Backwards.Microseconds(), w.Why, w.Priority, watchList, w.Requests, micros(now), finished)); err != nil {
				return fmt.Errorf("of log %s: %w", w.Origin, err)
			}
		}
		failpoint.Hit("db/windows-uncommitted")
		return nil
	})
}

// UrgeWindow implements audit.WindowRecord.
func (db *DB) UrgeWindow(ctx context.Context, id int64, why string, priority audit.WindowPriority) error {
	return db.write(ctx, "urge a window", func(tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, `UPDATE windows SET why = ?, priority = ? WHERE id = ?`, why, priority, id))
	})
}

// stepWindow writes how far a window was read, by compare-and-swap.
func stepWindow(ctx context.Context, tx *sql.Tx, s audit.WindowStep) error {
	state, next, proven := "", s.Before, s.Before
	if s.State != nil {
		text, err := json.Marshal(s.State)
		if err != nil {
			return err
		}
		state, next, proven = string(text), s.State.Next, s.State.Proven
	}
	err := one(tx.ExecContext(ctx, `UPDATE windows SET state = ?, next_index = ?, proven_index = ?, requests = requests + ? WHERE id = ? AND next_index = ?`,
		state, next, proven, s.Requests, s.ID, s.Before))
	if errors.Is(err, sql.ErrNoRows) {
		return tlog.ErrMoved
	}
	return err
}

// OpenWindow implements audit.WindowRecord.
func (db *DB) OpenWindow(ctx context.Context, s audit.WindowStep, first audit.WindowProof) error {
	return db.write(ctx, "begin a window", func(tx *sql.Tx) error {
		if err := stepWindow(ctx, tx, s); err != nil {
			return err
		}
		return keepProof(ctx, tx, "first_proof", s.ID, first)
	})
}

// keepProof keeps one of a window's two proofs.
func keepProof(ctx context.Context, tx *sql.Tx, column string, id int64, proof audit.WindowProof) error {
	text, err := json.Marshal(proof)
	if err != nil {
		return err
	}
	return one(tx.ExecContext(ctx, `UPDATE windows SET `+column+` = ? WHERE id = ?`, string(text), id))
}

// AdvanceWindow implements audit.WindowRecord.
func (db *DB) AdvanceWindow(ctx context.Context, s audit.WindowStep, leaves []audit.WindowLeaf) error {
	return db.write(ctx, "read on in a window", func(tx *sql.Tx) error {
		if err := stepWindow(ctx, tx, s); err != nil {
			return err
		}
		for _, l := range leaves {
			if _, err := tx.ExecContext(ctx, `INSERT INTO window_leaves (window_id, tree_index, leaf) VALUES (?, ?, ?)`, s.ID, l.Index, l.Leaf); err != nil {
				return err
			}
		}
		failpoint.Hit("db/window-uncommitted")
		return nil
	})
}

// PickedLeaves implements audit.WindowRecord.
func (db *DB) PickedLeaves(ctx context.Context, id int64) ([]audit.WindowLeaf, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT tree_index, leaf FROM window_leaves WHERE window_id = ? ORDER BY tree_index`, id)
	if err != nil {
		return nil, fmt.Errorf("leaves of window %d: %w", id, err)
	}
	defer rows.Close()
	var all []audit.WindowLeaf
	for rows.Next() {
		var l audit.WindowLeaf
		if err := rows.Scan(&l.Index, &l.Leaf); err != nil {
			return nil, fmt.Errorf("leaves of window %d: %w", id, err)
		}
		all = append(all, l)
	}
	return all, rows.Err()
}

// ProveWindow implements audit.WindowRecord.
func (db *DB) ProveWindow(ctx context.Context, now time.Time, s audit.WindowStep, last audit.WindowProof, hits []tlog.Hit[audit.LogHit], finished bool) error {
	return db.write(ctx, "prove a window", func(tx *sql.Tx) error {
		if err := stepWindow(ctx, tx, s); err != nil {
			return err
		}
		if err := keepProof(ctx, tx, "last_proof", s.ID, last); err != nil {
			return err
		}
		if finished {
			if err := one(tx.ExecContext(ctx, `UPDATE windows SET finished_at = ? WHERE id = ?`, micros(now), s.ID)); err != nil {
				return err
			}
		}
		l, err := db.windowLog(ctx, tx, s.ID)
		if err != nil {
			return err
		}
		for _, h := range hits {
			if err := l.saveHit(ctx, tx, now, h.Index, h.Hit); err != nil {
				return err
			}
		}
		if err := forgetLeaves(ctx, tx, s.ID); err != nil {
			return err
		}
		failpoint.Hit("db/window-proof-uncommitted")
		return l.endMismatches(ctx, tx, now, s.State.First, s.State.Proven)
	})
}

// VoidWindow implements audit.WindowRecord.
func (db *DB) VoidWindow(ctx context.Context, now time.Time, s audit.WindowStep, m *tlog.Misbehaviour) error {
	return db.write(ctx, "keep what a log did wrong in a window", func(tx *sql.Tx) error {
		if err := stepWindow(ctx, tx, s); err != nil {
			return err
		}
		if err := forgetLeaves(ctx, tx, s.ID); err != nil {
			return err
		}
		l, err := db.windowLog(ctx, tx, s.ID)
		if err != nil {
			return err
		}
		failpoint.Hit("db/window-void-uncommitted")
		return l.saveIncident(ctx, tx, now, m)
	})
}

// forgetLeaves takes the leaves out that were picked since a window's last proof.
func forgetLeaves(ctx context.Context, tx *sql.Tx, id int64) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM window_leaves WHERE window_id = ?`, id)
	return err
}

// windowLog is the log that a window is of.
func (db *DB) windowLog(ctx context.Context, tx *sql.Tx, id int64) (*Log, error) {
	l := &Log{db: db}
	err := tx.QueryRowContext(ctx, `SELECT l.id, l.origin, l.key_id, w.watch_list FROM windows w JOIN logs l ON l.id = w.log_id WHERE w.id = ?`, id).
		Scan(&l.id, &l.origin, &l.keyID, &l.watchList)
	return l, err
}

// endMismatches notes that entries of which the log said something else are proven now: those of incidents that lie within a
// run.
func (l *Log) endMismatches(ctx context.Context, tx *sql.Tx, now time.Time, from, to uint64) error {
	open, err := ids(ctx, tx, `SELECT id FROM log_incidents WHERE log_id = ? AND kind = ? AND ended_at IS NULL
		AND coalesce(json_extract(evidence, '$.from'), 0) >= ? AND json_extract(evidence, '$.to') <= ?`,
		l.id, string(tlog.KindEntriesMismatch), from, to)
	if err != nil {
		return err
	}
	for _, id := range open {
		if err := one(tx.ExecContext(ctx, `UPDATE log_incidents SET ended_at = ? WHERE id = ?`, micros(now), id)); err != nil {
			return err
		}
	}
	return nil
}

// Validity is when the certificate with a digest, in lower-case hex, was valid: that of the certificate itself, or of its TBS
// without poison and SCTs, which names a precertificate too. The error wraps sql.ErrNoRows where the record has none.
func (db *DB) Validity(ctx context.Context, digest string) (notBefore, notAfter time.Time, err error) {
	var from, to sql.NullInt64
	err = db.r.QueryRowContext(ctx, `SELECT not_before, not_after FROM certificates WHERE sha256 = ?1 OR tbs_sha256 = ?1 ORDER BY issuer_key_hash = '' LIMIT 1`, digest).Scan(&from, &to)
	if err != nil {
		return time.Time{}, time.Time{}, fmt.Errorf("certificate %s: %w", digest, err)
	}
	return instant(from), instant(to), nil
}
