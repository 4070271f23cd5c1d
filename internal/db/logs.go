package db

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// Log is the record of one log, as its follower uses it.
type Log struct {
	db     *DB
	id     int64
	origin string
	keyID  string
	// watchList names the list that leaves are read with.
	watchList string
}

var _ tlog.Store[audit.LogHit] = (*Log)(nil)

// LogName is what names a log in the record.
type LogName struct {
	Origin, Kind, KeyID, URL string
}

// Log opens the record of a log, making it where it is new. watchList names the list that leaves will be read with: those
// that were read with another one, and are not proven yet, are forgotten, to be read again.
func (db *DB) Log(ctx context.Context, name LogName, watchList string) (*Log, error) {
	l := &Log{db: db, origin: name.Origin, keyID: name.KeyID, watchList: watchList}
	err := db.write(ctx, "open the record of log "+name.Origin, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `INSERT INTO logs (origin, kind, key_id, url) VALUES (?, ?, ?, ?)
			ON CONFLICT (origin) DO UPDATE SET kind = excluded.kind, key_id = excluded.key_id, url = excluded.url RETURNING id`,
			name.Origin, name.Kind, name.KeyID, name.URL).Scan(&l.id)
		if err != nil {
			return err
		}
		err = one(tx.ExecContext(ctx, `DELETE FROM read_bytes WHERE log_id = ? AND watch_list <> ?`, l.id, watchList))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		} else if err != nil {
			return err
		}
		return l.rewind(ctx, tx)
	})
	return l, err
}

// State implements tlog.Store.
func (l *Log) State(ctx context.Context) (tlog.State, error) {
	var s tlog.State
	var start sql.NullInt64
	var read, proven []byte
	var root, origin sql.NullString
	var size, at, seen sql.NullInt64
	var raw []byte
	err := l.db.r.QueryRowContext(ctx, `SELECT l.start_index, l.read_index, l.proven_index, l.read_range, l.proven_range, c.origin, c.size, c.root, c.raw, c.tree_head_at, c.last_seen
		FROM logs l LEFT JOIN checkpoints c ON c.id = l.latest_id WHERE l.id = ?`, l.id).
		Scan(&start, &s.Read, &s.Proven, &read, &proven, &origin, &size, &root, &raw, &at, &seen)
	if err != nil {
		return s, fmt.Errorf("state of log %s: %w", l.origin, err)
	}
	s.Known = start.Valid
	s.Start = uint64(start.Int64)
	if s.ReadRange, err = unpackRange(read); err != nil {
		return s, fmt.Errorf("state of log %s: %w", l.origin, err)
	}
	if s.ProvenRange, err = unpackRange(proven); err != nil {
		return s, fmt.Errorf("state of log %s: %w", l.origin, err)
	}
	if size.Valid {
		s.Checkpoint = tlog.SignedCheckpoint{Origin: origin.String, Size: uint64(size.Int64), Raw: raw, Timestamp: instant(at)}
		s.SeenAt = instant(seen)
		digest, err := hex.DecodeString(root.String)
		if err != nil || len(digest) != sha256.Size {
			return s, fmt.Errorf("state of log %s: its checkpoint's root hash in the record is not one", l.origin)
		}
		copy(s.Checkpoint.Root[:], digest)
	}
	return s, nil
}

// packRange and unpackRange store node hashes one after the other.
func packRange(hashes [][]byte) []byte {
	packed := make([]byte, 0, len(hashes)*sha256.Size)
	for _, h := range hashes {
		packed = append(packed, h...)
	}
	return packed
}

func unpackRange(packed []byte) ([][]byte, error) {
	if len(packed)%sha256.Size != 0 {
		return nil, errors.New("a compact range in the record is not made of hashes")
	}
	var hashes [][]byte
	for ; len(packed) > 0; packed = packed[sha256.Size:] {
		hashes = append(hashes, packed[:sha256.Size:sha256.Size])
	}
	return hashes, nil
}

// Begin implements tlog.Store.
func (l *Log) Begin(ctx context.Context, now time.Time, start uint64, frontier [][]byte, cp tlog.SignedCheckpoint) error {
	return l.db.write(ctx, "take up log "+l.origin, func(tx *sql.Tx) error {
		id, err := saveCheckpoint(ctx, tx, now, cp)
		if err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `UPDATE logs SET start_index = ?1, read_index = ?1, proven_index = ?1, read_range = ?2, proven_range = ?2,
			latest_id = ?3, checked_at = ?4 WHERE id = ?5 AND start_index IS NULL`,
			start, packRange(frontier), id, micros(now), l.id)
		return one(res, err)
	})
}

// Saw implements tlog.Store.
func (l *Log) Saw(ctx context.Context, now time.Time, cp tlog.SignedCheckpoint) error {
	return l.db.write(ctx, "keep a checkpoint of log "+l.origin, func(tx *sql.Tx) error {
		id, err := saveCheckpoint(ctx, tx, now, cp)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE logs SET checked_at = ?1,
			latest_id = CASE WHEN ?2 >= coalesce((SELECT size FROM checkpoints WHERE id = latest_id), 0) THEN ?3 ELSE latest_id END WHERE id = ?4`,
			micros(now), cp.Size, id, l.id)
		if err != nil {
			return err
		}
		return l.endIncidents(ctx, tx, now, tlog.KindBadCheckpoint)
	})
}

// Advance implements tlog.Store.
func (l *Log) Advance(ctx context.Context, now time.Time, b tlog.Batch[audit.LogHit]) error {
	return l.db.write(ctx, "advance log "+l.origin, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE logs SET read_index = ?, read_range = ? WHERE id = ? AND read_index = ?`, b.To, packRange(b.Range), l.id, b.From)
		if err := one(res, err); errors.Is(err, sql.ErrNoRows) {
			return tlog.ErrMoved
		} else if err != nil {
			return err
		}
		for _, h := range b.Hits {
			if err := l.saveHit(ctx, tx, now, h.Index, h.Hit); err != nil {
				return err
			}
		}
		if err := l.saveDigests(ctx, tx, now, b.From, b.Digests); err != nil {
			return err
		}
		// What is read but not proven yet is accounted for in one open range.
		_, err = tx.ExecContext(ctx, `INSERT INTO read_bytes (log_id, bytes, watch_list) VALUES (?, ?, ?) ON CONFLICT (log_id) DO UPDATE SET bytes = bytes + excluded.bytes`,
			l.id, b.Bytes, l.watchList)
		failpoint.Hit("db/batch-uncommitted")
		return err
	})
}

// Prove implements tlog.Store. When the log last showed a checkpoint is not its to say: Begin and Saw do.
func (l *Log) Prove(ctx context.Context, now time.Time, size uint64, cp tlog.SignedCheckpoint) error {
	return l.db.write(ctx, "prove log "+l.origin, func(tx *sql.Tx) error {
		id, err := keepCheckpoint(ctx, tx, now, cp)
		if err != nil {
			return err
		}
		var from uint64
		if err := tx.QueryRowContext(ctx, `SELECT proven_index FROM logs WHERE id = ?`, l.id).Scan(&from); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `UPDATE logs SET proven_index = read_index, proven_range = read_range, checkpoint_id = ?1,
			level_at = CASE WHEN ?2 = read_index THEN ?5 ELSE level_at END, level_index = CASE WHEN ?2 = read_index THEN read_index ELSE level_index END,
			failing_since = NULL, failure = '', latest_id = CASE WHEN ?2 >= coalesce((SELECT size FROM checkpoints WHERE id = latest_id), 0) THEN ?1 ELSE latest_id END
			WHERE id = ?3 AND read_index = ?4`, id, cp.Size, l.id, size, micros(now))
		if err := one(res, err); errors.Is(err, sql.ErrNoRows) {
			return tlog.ErrMoved
		} else if err != nil {
			return err
		}
		if size > from {
			if err := l.extendProven(ctx, tx, now, from, size); err != nil {
				return err
			}
		}
		failpoint.Hit("db/proof-uncommitted")
		return l.endIncidents(ctx, tx, now, tlog.KindBadCheckpoint, tlog.KindEntriesMismatch)
	})
}

// extendProven notes a range as proven, in one row with the range before it where that was read with the same watch list.
func (l *Log) extendProven(ctx context.Context, tx *sql.Tx, now time.Time, from, to uint64) error {
	var bytes int64
	err := tx.QueryRowContext(ctx, `SELECT bytes FROM read_bytes WHERE log_id = ?`, l.id).Scan(&bytes)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM read_bytes WHERE log_id = ?`, l.id); err != nil {
		return err
	}
	return l.joinProven(ctx, tx, now, from, to, bytes)
}

// joinProven puts a range beside those before and after it, in one row with the ones that were read with the same watch list.
func (l *Log) joinProven(ctx context.Context, tx *sql.Tx, now time.Time, from, to uint64, bytes int64) error {
	var next uint64
	var more int64
	err := tx.QueryRowContext(ctx, `DELETE FROM proven_ranges WHERE log_id = ? AND from_index = ? AND watch_list = ? RETURNING to_index, bytes`, l.id, to, l.watchList).Scan(&next, &more)
	switch {
	case err == nil:
		to, bytes = next, bytes+more
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	res, err := tx.ExecContext(ctx, `UPDATE proven_ranges SET to_index = ?, proven_at = ?, bytes = bytes + ? WHERE log_id = ? AND to_index = ? AND watch_list = ?`,
		to, micros(now), bytes, l.id, from, l.watchList)
	if err := one(res, err); err == nil || !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO proven_ranges (log_id, from_index, to_index, watch_list, proven_at, bytes) VALUES (?, ?, ?, ?, ?, ?)`,
		l.id, from, to, l.watchList, micros(now), bytes)
	return err
}

// Misbehaved implements tlog.Store.
func (l *Log) Misbehaved(ctx context.Context, now time.Time, m *tlog.Misbehaviour) error {
	return l.db.write(ctx, "keep a misbehaviour of log "+l.origin, func(tx *sql.Tx) error {
		if err := l.saveIncident(ctx, tx, now, m); err != nil {
			return err
		}
		if !m.Rewinds() {
			_, err := tx.ExecContext(ctx, `UPDATE logs SET checked_at = ? WHERE id = ?`, micros(now), l.id)
			return err
		}
		if err := l.rewind(ctx, tx); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE logs SET checked_at = ? WHERE id = ?`, micros(now), l.id)
		return err
	})
}

// rewind goes back to what is proven.
func (l *Log) rewind(ctx context.Context, tx *sql.Tx) error {
	if err := l.forgetUnproven(ctx, tx); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE logs SET read_index = proven_index, read_range = proven_range WHERE id = ?`, l.id)
	return err
}

// Followed implements audit.LogStore.
func (l *Log) Followed(ctx context.Context) error {
	return l.db.write(ctx, "note that log "+l.origin+" was followed", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE logs SET failing_since = NULL, failure = '' WHERE id = ? AND failing_since IS NOT NULL`, l.id)
		return err
	})
}

// Failed implements audit.LogStore.
func (l *Log) Failed(ctx context.Context, now time.Time, problem string) error {
	return l.db.write(ctx, "note that log "+l.origin+" failed", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE logs SET failing_since = coalesce(failing_since, ?), failure = ? WHERE id = ?`, micros(now), problem, l.id)
		return err
	})
}

// saveCheckpoint keeps a checkpoint that the log shows now, or notes that it was seen again.
func saveCheckpoint(ctx context.Context, tx *sql.Tx, now time.Time, cp tlog.SignedCheckpoint) (int64, error) {
	id, err := keepCheckpoint(ctx, tx, now, cp)
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE checkpoints SET last_seen = ? WHERE id = ?`, micros(now), id)
	return id, err
}

// keepCheckpoint keeps a checkpoint, or finds it: of the same tree, the youngest tree head of a CT log, and the form that has
// more cosignatures.
func keepCheckpoint(ctx context.Context, tx *sql.Tx, now time.Time, cp tlog.SignedCheckpoint) (int64, error) {
	var id int64
	err := tx.QueryRowContext(ctx, `INSERT INTO checkpoints (origin, size, root, raw, tree_head_at, cosigners, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (origin, size, root) DO UPDATE SET
			raw = CASE WHEN excluded.tree_head_at > tree_head_at OR length(excluded.cosigners) > length(cosigners) THEN excluded.raw ELSE raw END,
			tree_head_at = max(tree_head_at, excluded.tree_head_at),
			cosigners = CASE WHEN length(excluded.cosigners) > length(cosigners) THEN excluded.cosigners ELSE cosigners END RETURNING id`,
		cp.Origin, cp.Size, hex.EncodeToString(cp.Root[:]), cp.Raw, micros(cp.Timestamp), strings.Join(cp.Cosigners, ","), micros(now), micros(now)).Scan(&id)
	return id, err
}

// saveHit stores one leaf that concerns a watched name, with its certificates and entry.
func (l *Log) saveHit(ctx context.Context, tx *sql.Tx, now time.Time, index uint64, h audit.LogHit) error {
	leafHash := sha256.Sum256(append([]byte{0}, h.Leaf...))
	hash := hex.EncodeToString(leafHash[:])
	var entry, certificate sql.NullInt64
	if h.Kind == audit.HitEntry {
		if err := tx.QueryRowContext(ctx, `INSERT INTO entries (log_id, origin, tree_index, global_index, leaf_hash, kind, api_version, body, first_seen)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (origin, tree_index, leaf_hash) DO UPDATE SET kind = excluded.kind RETURNING id`,
			l.keyID, l.origin, index, cmp.Or(h.GlobalIndex, index), hash, h.EntryKind, h.APIVersion, h.Leaf, micros(now)).Scan(&entry); err != nil {
			return err
		}
	}
	for _, c := range h.Certificates {
		id, err := saveCertificate(ctx, tx, now, &attest.Certificate{IssuerKeyHash: c.IssuerKeyHash, TBSHash: c.TBSSHA256, SHA256: c.SHA256,
			Serial: c.Serial, NotBefore: c.NotBefore, NotAfter: c.NotAfter, DER: c.DER}, c.Identity)
		if err != nil {
			return err
		}
		if !certificate.Valid {
			certificate = sql.NullInt64{Int64: id, Valid: true}
		}
		if entry.Valid {
			if _, err := tx.ExecContext(ctx, `INSERT INTO entry_certificates (entry_id, certificate_id) VALUES (?, ?) ON CONFLICT DO NOTHING`, entry, id); err != nil {
				return err
			}
		}
	}
	body, err := json.Marshal(h)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO hits (log_id, tree_index, leaf_hash, leaf, kind, class, project, san, chained, entry_id, certificate_id, body, logged_at, first_seen)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (log_id, tree_index, leaf_hash) DO UPDATE SET class = excluded.class, project = excluded.project,
			logged_at = coalesce(excluded.logged_at, logged_at),
			body = CASE WHEN excluded.logged_at IS NULL AND logged_at IS NOT NULL THEN json_set(excluded.body, '$.logged_at', json_extract(body, '$.logged_at')) ELSE excluded.body END`,
		l.id, index, hash, h.Leaf, h.Kind, h.Class, h.Project, h.SAN(), h.Chained(), entry, certificate, string(body), micros(h.LoggedAt), micros(now))
	return err
}

// one turns a statement that changed nothing into sql.ErrNoRows.
func one(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = sql.ErrNoRows
	}
	return err
}
