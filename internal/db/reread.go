package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// reread is the store of a range that is read again, because it was proven with another watch list. What was read of it is
// in memory until it is proven, and is written with the range's new watch list then: whoever is killed in between begins
// where the last proof ended.
type reread struct {
	log   *Log
	state tlog.State
	hits  []tlog.Hit[audit.LogHit]
	bytes int64
}

var _ tlog.Store[audit.LogHit] = (*reread)(nil)

// Reopened returns a store for the first range that was proven with another watch list, and the range; a nil store if there
// is none.
func (l *Log) Reopened(ctx context.Context) (store tlog.Store[audit.LogHit], from, to uint64, err error) {
	err = l.db.r.QueryRowContext(ctx, `SELECT from_index, to_index FROM proven_ranges WHERE log_id = ? AND watch_list <> ? ORDER BY from_index LIMIT 1`,
		l.id, l.watchList).Scan(&from, &to)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, 0, 0, nil
	case err != nil:
		return nil, 0, 0, fmt.Errorf("ranges of log %s that were read with another watch list: %w", l.origin, err)
	}
	return &reread{log: l}, from, to, nil
}

func (r *reread) State(context.Context) (tlog.State, error) { return r.state, nil }

func (r *reread) Begin(_ context.Context, _ time.Time, start uint64, frontier [][]byte, cp tlog.SignedCheckpoint) error {
	r.state = tlog.State{Known: true, Start: start, Read: start, Proven: start, ReadRange: frontier, ProvenRange: frontier, Checkpoint: cp}
	return nil
}

// Saw has nothing to keep: a range is read again up to a checkpoint that the record has.
func (r *reread) Saw(context.Context, time.Time, tlog.SignedCheckpoint) error { return nil }

func (r *reread) Advance(_ context.Context, _ time.Time, b tlog.Batch[audit.LogHit]) error {
	if b.From != r.state.Read {
		return tlog.ErrMoved
	}
	r.state.Read, r.state.ReadRange = b.To, b.Range
	r.hits = append(r.hits, b.Hits...)
	r.bytes += b.Bytes
	return nil
}

// Prove writes what was found, and gives the part of the range that was read its new watch list.
func (r *reread) Prove(ctx context.Context, now time.Time, size uint64, _ tlog.SignedCheckpoint) error {
	l, from := r.log, r.state.Proven
	err := l.db.write(ctx, "read log "+l.origin+" again", func(tx *sql.Tx) error {
		for _, h := range r.hits {
			if err := l.saveHit(ctx, tx, now, h.Index, h.Hit); err != nil {
				return err
			}
		}
		// The range begins at from. What of it lies behind size keeps the watch list that it had, and the count of bytes.
		const reopened = ` FROM proven_ranges WHERE log_id = ?1 AND from_index = ?2 AND to_index >= ?3 AND watch_list <> ?4`
		var to uint64
		var bytes int64
		err := tx.QueryRowContext(ctx, `SELECT to_index, bytes`+reopened, l.id, from, size, l.watchList).Scan(&to, &bytes)
		if errors.Is(err, sql.ErrNoRows) {
			return tlog.ErrMoved
		} else if err != nil {
			return err
		}
		if to > size {
			bytes = 0
			if _, err := tx.ExecContext(ctx, `INSERT INTO proven_ranges (log_id, from_index, to_index, watch_list, proven_at, bytes)
				SELECT log_id, ?3, to_index, watch_list, proven_at, bytes`+reopened, l.id, from, size, l.watchList); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE`+reopened, l.id, from, size, l.watchList); err != nil {
			return err
		}
		if err := l.joinProven(ctx, tx, now, from, size, bytes+r.bytes); err != nil {
			return err
		}
		failpoint.Hit("db/reread-uncommitted")
		if to > size {
			return nil
		}
		// All of the range hashes to the signed root again.
		return l.endIncidents(ctx, tx, now, tlog.KindEntriesMismatch)
	})
	if err != nil {
		return err
	}
	r.state.Proven, r.state.ProvenRange = size, r.state.ReadRange
	r.hits, r.bytes = nil, 0
	return nil
}

// Misbehaved keeps the evidence; what was read since the last proof is forgotten.
func (r *reread) Misbehaved(ctx context.Context, now time.Time, m *tlog.Misbehaviour) error {
	r.state.Read, r.state.ReadRange = r.state.Proven, r.state.ProvenRange
	r.hits, r.bytes = nil, 0
	return r.log.Misbehaved(ctx, now, m)
}
