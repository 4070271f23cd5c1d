-- +goose Up
-- Runs of a shard that are read out of its middle, to be proven complete between two inclusion proofs.
CREATE TABLE windows (
  id              INTEGER PRIMARY KEY,
  log_id          INTEGER NOT NULL REFERENCES logs (id), -- the shard
  from_index      INTEGER NOT NULL,
  to_index        INTEGER NOT NULL,
  since           INTEGER NOT NULL,               -- the period that it was asked for, both ends included
  until           INTEGER NOT NULL,
  margin          INTEGER NOT NULL,               -- by how much more is read at either end, in microseconds
  backwards       INTEGER NOT NULL,               -- the longest step back in time that was met looking for the ends
  why             TEXT    NOT NULL,
  priority        INTEGER NOT NULL,               -- the least comes first
  watch_list      TEXT    NOT NULL,
  next_index      INTEGER NOT NULL,               -- leaves below it were read
  proven_index    INTEGER NOT NULL,               -- leaves below it are proven
  state           TEXT    NOT NULL DEFAULT '',    -- JSON: compact ranges; '' before it began
  first_proof     TEXT    NOT NULL DEFAULT '',    -- JSON: inclusion of its first leaf, and of the last one proven
  last_proof      TEXT    NOT NULL DEFAULT '',
  requests        INTEGER NOT NULL,               -- spent so far
  requested_at    INTEGER NOT NULL,
  finished_at     INTEGER
) STRICT;
CREATE INDEX windows_by_log ON windows (log_id, from_index);

-- Leaves of a window that a scan picked and that are not proven yet: they count for nothing.
CREATE TABLE window_leaves (
  window_id       INTEGER NOT NULL REFERENCES windows (id) ON DELETE CASCADE,
  tree_index      INTEGER NOT NULL,
  leaf            BLOB    NOT NULL,
  PRIMARY KEY (window_id, tree_index)
) STRICT, WITHOUT ROWID;
