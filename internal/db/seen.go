package db

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// digestBytes is how many bytes are kept of a leaf's digest.
const digestBytes = 8

// saveDigests keeps what the leaves of a batch said was signed.
func (l *Log) saveDigests(ctx context.Context, tx *sql.Tx, now time.Time, from uint64, digests []uint64) error {
	if len(digests) == 0 {
		return nil
	}
	packed := make([]byte, 0, len(digests)*digestBytes)
	for _, d := range digests {
		packed = binary.BigEndian.AppendUint64(packed, d)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO seen_digests (log_id, from_index, seen_at, digests) VALUES (?, ?, ?, ?)`, l.id, from, micros(now), packed)
	return err
}

// ForgetSeen implements audit.LogStore.
func (l *Log) ForgetSeen(ctx context.Context, before time.Time) error {
	return l.db.write(ctx, "forget what was seen in log "+l.origin, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM seen_digests WHERE log_id = ? AND seen_at < ?`, l.id, micros(before))
		return err
	})
}

// MatchSeen implements audit.LogStore. What is new of either side is compared with all of the other: rows with everything that is
// published, and what was published since with the rows before.
func (l *Log) MatchSeen(ctx context.Context, limit int) (audit.SeenMatches, error) {
	m, err := l.matchSeen(ctx, limit)
	if err != nil {
		return m, fmt.Errorf("what was seen in log %s: %w", l.origin, err)
	}
	return m, nil
}

func (l *Log) matchSeen(ctx context.Context, limit int) (audit.SeenMatches, error) {
	var m audit.SeenMatches
	var done, now audit.SeenCursor
	if err := l.db.r.QueryRowContext(ctx, `SELECT coalesce(max(seen), 0), coalesce(max(file), 0), coalesce(max(statement), 0) FROM seen_cursors WHERE log_id = ?`, l.id).
		Scan(&done.Seen, &done.File, &done.Statement); err != nil {
		return m, err
	}
	if err := l.db.r.QueryRowContext(ctx, `SELECT coalesce((SELECT max(s.id) FROM seen_digests s JOIN logs l ON l.id = s.log_id WHERE s.log_id = ?1 AND s.from_index < l.proven_index), 0),
		coalesce((SELECT max(id) FROM files), 0), coalesce((SELECT max(rowid) FROM statements), 0)`, l.id).Scan(&now.Seen, &now.File, &now.Statement); err != nil {
		return m, err
	}
	m.Cursor = now
	if now == done {
		return m, nil
	}
	for _, side := range []struct {
		from, to int64
		known    audit.SeenCursor // files and statements beyond these
	}{{done.Seen, now.Seen, audit.SeenCursor{}}, {0, done.Seen, done}} {
		if side.from >= side.to {
			continue
		}
		known, err := l.db.known(ctx, side.known)
		if err != nil || len(known) == 0 {
			return m, err
		}
		if err := l.compare(ctx, side.from, side.to, known, limit, &m); err != nil {
			return m, err
		}
	}
	return m, nil
}

// known are the prefixes of what is published: files, and statements about them, in both forms.
func (db *DB) known(ctx context.Context, after audit.SeenCursor) (map[uint64]bool, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT sha256 FROM files WHERE id > ?1 UNION ALL SELECT sha256 FROM statements WHERE rowid > ?2 UNION ALL SELECT pae_sha256 FROM statements WHERE rowid > ?2`,
		after.File, after.Statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	known := map[uint64]bool{}
	for rows.Next() {
		var digest string
		if err := rows.Scan(&digest); err != nil {
			return nil, err
		}
		if prefix := rekor.Prefix(digest); prefix != 0 {
			known[prefix] = true
		}
	}
	return known, rows.Err()
}

// compare adds the leaves of rows from one to another whose digests may be known, and that the record does not have already.
func (l *Log) compare(ctx context.Context, from, to int64, known map[uint64]bool, limit int, m *audit.SeenMatches) error {
	rows, err := l.db.r.QueryContext(ctx, `SELECT from_index, digests FROM seen_digests WHERE log_id = ? AND id > ? AND id <= ? ORDER BY id`, l.id, from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var first uint64
		var packed []byte
		if err := rows.Scan(&first, &packed); err != nil {
			return err
		}
		for i := 0; (i+1)*digestBytes <= len(packed); i++ {
			if !known[binary.BigEndian.Uint64(packed[i*digestBytes:])] {
				continue
			}
			index := first + uint64(i)
			var n int
			if err := l.db.r.QueryRowContext(ctx, `SELECT count(*) FROM hits WHERE log_id = ? AND tree_index = ?`, l.id, index).Scan(&n); err != nil {
				return err
			}
			if n > 0 {
				continue
			}
			if len(m.Indexes) == limit {
				m.More = true
				return nil
			}
			m.Indexes = append(m.Indexes, index)
		}
	}
	return rows.Err()
}

// SaveSeen implements audit.LogStore.
func (l *Log) SaveSeen(ctx context.Context, c audit.SeenCursor) error {
	return l.db.write(ctx, "note what was compared of log "+l.origin, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO seen_cursors (log_id, seen, file, statement) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (log_id) DO UPDATE SET seen = ?2, file = ?3, statement = ?4`, l.id, c.Seen, c.File, c.Statement)
		failpoint.Hit("db/seen-uncommitted")
		return err
	})
}

// SeenAgain implements audit.LogStore: what is read of it is kept once it is proven.
func (l *Log) SeenAgain() tlog.Store[audit.LogHit] { return &seenAgain{log: l} }

// seenAgain is the store of leaves that are read again because of what they signed. Nothing of the log's state is touched.
type seenAgain struct {
	log   *Log
	state tlog.State
	hits  []tlog.Hit[audit.LogHit]
}

func (s *seenAgain) State(context.Context) (tlog.State, error) { return s.state, nil }

func (s *seenAgain) Begin(_ context.Context, _ time.Time, start uint64, frontier [][]byte, cp tlog.SignedCheckpoint) error {
	s.state = tlog.State{Known: true, Start: start, Read: start, Proven: start, ReadRange: frontier, ProvenRange: frontier, Checkpoint: cp}
	return nil
}

// Saw has nothing to keep: the record has the checkpoint.
func (s *seenAgain) Saw(context.Context, time.Time, tlog.SignedCheckpoint) error { return nil }

func (s *seenAgain) Advance(_ context.Context, _ time.Time, b tlog.Batch[audit.LogHit]) error {
	if b.From != s.state.Read {
		return tlog.ErrMoved
	}
	s.state.Read, s.state.ReadRange, s.hits = b.To, b.Range, append(s.hits, b.Hits...)
	return nil
}

// Prove keeps what was found.
func (s *seenAgain) Prove(ctx context.Context, now time.Time, size uint64, _ tlog.SignedCheckpoint) error {
	err := s.log.db.write(ctx, "keep what log "+s.log.origin+" has of the projects' files", func(tx *sql.Tx) error {
		for _, h := range s.hits {
			if err := s.log.saveHit(ctx, tx, now, h.Index, h.Hit); err != nil {
				return err
			}
		}
		failpoint.Hit("db/seen-again-uncommitted")
		return nil
	})
	s.state.Proven, s.state.ProvenRange, s.hits = size, s.state.ReadRange, nil
	return err
}

// Misbehaved keeps the evidence.
func (s *seenAgain) Misbehaved(ctx context.Context, now time.Time, m *tlog.Misbehaviour) error {
	s.state.Read, s.state.ReadRange, s.hits = s.state.Proven, s.state.ProvenRange, nil
	return s.log.Misbehaved(ctx, now, m)
}

// SeenSince says from which entry on, and since when, the digests of what was signed are kept of each log that has any, by origin.
func (db *DB) SeenSince(ctx context.Context) (map[string]audit.SeenSince, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT l.origin, min(s.from_index), min(s.seen_at), sum(length(s.digests)) FROM seen_digests s JOIN logs l ON l.id = s.log_id GROUP BY l.id ORDER BY l.origin`)
	if err != nil {
		return nil, fmt.Errorf("digests in the record: %w", err)
	}
	defer rows.Close()
	all := map[string]audit.SeenSince{}
	for rows.Next() {
		var origin string
		var s audit.SeenSince
		var at sql.NullInt64
		if err := rows.Scan(&origin, &s.From, &at, &s.Bytes); err != nil {
			return nil, fmt.Errorf("digests in the record: %w", err)
		}
		s.At = instant(at)
		all[origin] = s
	}
	return all, rows.Err()
}
