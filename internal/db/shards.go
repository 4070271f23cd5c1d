package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/rekor"
)

var _ audit.ShardRecord = (*DB)(nil)

// Shards implements audit.ShardRecord.
func (db *DB) Shards(ctx context.Context, log string) (*rekor.V1Shards, map[uint64]time.Time, error) {
	shards, frozenAt := new(rekor.V1Shards), map[uint64]time.Time{}
	rows, err := db.r.QueryContext(ctx, `SELECT s.tree_id, s.frozen_at, c.origin, c.size, c.root, c.raw FROM rekor_shards s
		JOIN checkpoints c ON c.id = s.checkpoint_id WHERE s.log = ? ORDER BY s.position`, log)
	if err != nil {
		return nil, nil, fmt.Errorf("shards of log %s in the record: %w", log, err)
	}
	defer rows.Close()
	var offset uint64
	for rows.Next() {
		s := rekor.V1Shard{Offset: offset}
		var root string
		var frozen sql.NullInt64
		if err := rows.Scan(&s.TreeID, &frozen, &s.Checkpoint.Origin, &s.Checkpoint.Size, &root, &s.Checkpoint.Raw); err != nil {
			return nil, nil, fmt.Errorf("shards of log %s in the record: %w", log, err)
		}
		digest, err := hex.DecodeString(root)
		if err != nil || len(digest) != sha256.Size {
			return nil, nil, fmt.Errorf("shards of log %s in the record: the root hash of tree %d is not one", log, s.TreeID)
		}
		copy(s.Checkpoint.Root[:], digest)
		if frozen.Valid {
			frozenAt[s.TreeID] = instant(frozen)
		}
		offset += s.Checkpoint.Size
		shards.Shards = append(shards.Shards, s)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("shards of log %s in the record: %w", log, err)
	}
	if len(shards.Shards) == 0 {
		return nil, nil, nil
	}
	return shards, frozenAt, nil
}

// SaveShards implements audit.ShardRecord.
func (db *DB) SaveShards(ctx context.Context, now time.Time, log string, shards *rekor.V1Shards) error {
	return db.write(ctx, "keep the shards of log "+log, func(tx *sql.Tx) error {
		for i, s := range shards.Shards {
			id, err := saveCheckpoint(ctx, tx, now, s.Checkpoint)
			if err != nil {
				return err
			}
			var frozenAt any
			if shards.Frozen(s.TreeID) {
				frozenAt = micros(now)
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO rekor_shards (log, position, tree_id, checkpoint_id, frozen_at) VALUES (?, ?, ?, ?, ?)
				ON CONFLICT (log, position) DO UPDATE SET checkpoint_id = excluded.checkpoint_id, frozen_at = coalesce(frozen_at, excluded.frozen_at)`,
				log, i, s.TreeID, id, frozenAt); err != nil {
				return err
			}
		}
		failpoint.Hit("db/shards-uncommitted")
		return nil
	})
}
