package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	neturl "net/url"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// kindRekor1 is the kind of a Rekor v1 as a whole, and of its shards.
const kindRekor1 = "rekor-v1"

// Rekor1 is the record of a Rekor v1 as a whole: its shards, what bundles say of it, and what its search index was asked.
type Rekor1 struct {
	db   *DB
	id   int64
	name string
	url  string
	host string // in the URL, as requests are counted
	key  string // hex id of the first of its keys
	// ShardsFollowed says that its shards are followed too: whether they can be read is then for their followers to say.
	ShardsFollowed bool
}

var _ audit.Rekor1Store = (*Rekor1)(nil)

// Rekor1 opens the record of a Rekor v1, making it where it is new. name is the host in the trusted root, and keys are the hex
// ids of the log's keys.
func (db *DB) Rekor1(ctx context.Context, name, url string, keys []string) (*Rekor1, error) {
	if len(keys) == 0 {
		return nil, fmt.Errorf("open the record of log %s: it has no key", name)
	}
	r := &Rekor1{db: db, name: name, url: url, key: keys[0]}
	if u, err := neturl.Parse(url); err == nil {
		r.host = strings.ToLower(u.Host)
	}
	all, err := json.Marshal(keys)
	if err != nil {
		return nil, fmt.Errorf("open the record of log %s: %w", name, err)
	}
	err = db.write(ctx, "open the record of log "+name, func(tx *sql.Tx) error {
		var err error
		if r.id, err = r.row(ctx, tx, name); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO rekor1_logs (log_id, keys) VALUES (?, ?) ON CONFLICT DO UPDATE SET keys = excluded.keys`, r.id, string(all))
		return err
	})
	return r, err
}

// row finds or makes the row of the log as a whole, or of a shard.
func (r *Rekor1) row(ctx context.Context, tx *sql.Tx, origin string) (id int64, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO logs (origin, kind, key_id, url) VALUES (?, ?, ?, ?)
		ON CONFLICT (origin) DO UPDATE SET kind = excluded.kind, key_id = excluded.key_id, url = excluded.url RETURNING id`,
		origin, kindRekor1, r.key, r.url).Scan(&id)
	return id, err
}

// log is the record of a shard, or of the log as a whole, among those of other logs.
func (r *Rekor1) log(ctx context.Context, tx *sql.Tx, origin string) (*Log, error) {
	id, err := r.row(ctx, tx, origin)
	return &Log{db: r.db, id: id, origin: origin, keyID: r.key}, err
}

// ofRekor1 says that a column, e.log_id, is the id of a key of the log that is the query's first parameter.
const ofRekor1 = `e.log_id IN (SELECT value FROM json_each((SELECT keys FROM rekor1_logs WHERE log_id = ?1)))`

// Shards implements audit.Rekor1Store.
func (r *Rekor1) Shards(ctx context.Context) ([]audit.HeldShard, error) {
	rows, err := r.db.r.QueryContext(ctx, `SELECT c.origin, c.size, c.root, c.raw, c.last_seen FROM rekor1_shards s JOIN logs l ON l.id = s.shard_id
		JOIN checkpoints c ON c.id = l.latest_id WHERE s.log_id = ? ORDER BY s.position`, r.id)
	if err != nil {
		return nil, fmt.Errorf("shards of %s in the record: %w", r.name, err)
	}
	defer rows.Close()
	var all []audit.HeldShard
	for rows.Next() {
		var h audit.HeldShard
		var seen sql.NullInt64
		if h.Checkpoint, err = scanCheckpoint(rows, &seen); err != nil {
			return nil, fmt.Errorf("shards of %s in the record: %w", r.name, err)
		}
		h.SeenAt = instant(seen)
		all = append(all, h)
	}
	return all, rows.Err()
}

// scanCheckpoint reads origin, size, root and note, and what more there is.
func scanCheckpoint(rows *sql.Rows, more ...any) (tlog.SignedCheckpoint, error) {
	var cp tlog.SignedCheckpoint
	var root string
	if err := rows.Scan(append([]any{&cp.Origin, &cp.Size, &root, &cp.Raw}, more...)...); err != nil {
		return cp, err
	}
	digest, err := hex.DecodeString(root)
	if err != nil || len(digest) != sha256.Size {
		return cp, fmt.Errorf("a checkpoint of %s has a root hash that is none", cp.Origin)
	}
	copy(cp.Root[:], digest)
	return cp, nil
}

// SawShards implements audit.Rekor1Store.
func (r *Rekor1) SawShards(ctx context.Context, now time.Time, seen []audit.SeenShard) error {
	return r.db.write(ctx, "keep the shards of "+r.name, func(tx *sql.Tx) error {
		for _, s := range seen {
			id, err := r.saw(ctx, tx, now, s.Checkpoint)
			if err != nil {
				return err
			}
			// A replica that is behind may list fewer shards, never others.
			if _, err := tx.ExecContext(ctx, `INSERT INTO rekor1_shards (log_id, position, shard_id) VALUES (?, ?, ?)
				ON CONFLICT (log_id, position) DO NOTHING`, r.id, s.Position, id); err != nil {
				return err
			}
		}
		failpoint.Hit("db/shards-uncommitted")
		if _, err := tx.ExecContext(ctx, `UPDATE logs SET checked_at = ?, failing_since = NULL, failure = '' WHERE id = ?`, micros(now), r.id); err != nil {
			return err
		}
		whole := &Log{db: r.db, id: r.id, origin: r.name}
		return whole.endBadCheckpoints(ctx, tx, now)
	})
}

// saw keeps a checkpoint of a shard that is consistent with those seen before.
func (r *Rekor1) saw(ctx context.Context, tx *sql.Tx, now time.Time, cp tlog.SignedCheckpoint) (shard int64, err error) {
	shard, err = r.row(ctx, tx, cp.Origin)
	if err != nil {
		return 0, err
	}
	id, err := saveCheckpoint(ctx, tx, now, cp)
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE logs SET checked_at = ?1, failing_since = CASE WHEN ?5 THEN failing_since END, failure = CASE WHEN ?5 THEN failure ELSE '' END,
		latest_id = CASE WHEN ?2 >= coalesce((SELECT size FROM checkpoints WHERE id = latest_id), 0) THEN ?3 ELSE latest_id END WHERE id = ?4`,
		micros(now), cp.Size, id, shard, r.ShardsFollowed)
	return shard, err
}

// sawGrown keeps the checkpoints that something was proven in.
func (r *Rekor1) sawGrown(ctx context.Context, tx *sql.Tx, now time.Time, grown []tlog.SignedCheckpoint) error {
	for _, cp := range grown {
		if _, err := r.saw(ctx, tx, now, cp); err != nil {
			return err
		}
	}
	return nil
}

// Misbehaved implements audit.Rekor1Store.
func (r *Rekor1) Misbehaved(ctx context.Context, now time.Time, origin string, m *tlog.Misbehaviour) error {
	return r.db.write(ctx, "keep a misbehaviour of log "+origin, func(tx *sql.Tx) error {
		return r.misbehaved(ctx, tx, now, origin, m)
	})
}

func (r *Rekor1) misbehaved(ctx context.Context, tx *sql.Tx, now time.Time, origin string, m *tlog.Misbehaviour) error {
	l, err := r.log(ctx, tx, origin)
	if err != nil {
		return err
	}
	if err := l.saveIncident(ctx, tx, now, m); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE logs SET checked_at = ? WHERE id = ?`, micros(now), l.id)
	return err
}

// Contradicted implements audit.Rekor1Store.
func (r *Rekor1) Contradicted(ctx context.Context, now time.Time, lists audit.ShardLists) error {
	return r.db.write(ctx, "keep two lists of shards of "+r.name, func(tx *sql.Tx) error {
		whole := &Log{db: r.db, id: r.id, origin: r.name}
		if err := whole.saveContradiction(ctx, tx, now, tlog.KindBadCheckpoint, lists.Detail, lists.Detail, lists); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE logs SET checked_at = ? WHERE id = ?`, micros(now), r.id)
		return err
	})
}

// Failed implements audit.Rekor1Store.
func (r *Rekor1) Failed(ctx context.Context, now time.Time, origin, problem string) error {
	return r.db.write(ctx, "note that log "+origin+" failed", func(tx *sql.Tx) error {
		id, err := r.row(ctx, tx, origin)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE logs SET failing_since = coalesce(failing_since, ?), failure = ? WHERE id = ?`, micros(now), problem, id)
		return err
	})
}

// SpentOn implements audit.Rekor1Store.
func (r *Rekor1) SpentOn(ctx context.Context, at time.Time) (int, error) {
	n, err := r.db.Asked(ctx, r.host, at)
	return int(n), err
}
