-- +goose Up
-- The trees of each Rekor v1 log, from the oldest to the newest, as they were last listed.
CREATE TABLE rekor_shards (
  log             TEXT    NOT NULL,               -- its name in the trusted roots
  position        INTEGER NOT NULL,
  tree_id         INTEGER NOT NULL,
  checkpoint_id   INTEGER NOT NULL REFERENCES checkpoints (id),
  frozen_at       INTEGER,                        -- when it was first seen frozen
  PRIMARY KEY (log, position)
) STRICT, WITHOUT ROWID;
