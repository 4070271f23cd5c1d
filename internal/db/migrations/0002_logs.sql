-- +goose Up
-- Facts: the logs themselves ----------------------------------------------------------------------------------------

CREATE TABLE logs (
  id              INTEGER PRIMARY KEY,
  origin          TEXT    NOT NULL UNIQUE,        -- names the tree
  kind            TEXT    NOT NULL,               -- rekor-v2, ct-rfc6962, ct-static
  key_id          TEXT    NOT NULL,               -- hex
  url             TEXT    NOT NULL,
  start_index     INTEGER,                        -- NULL until the first checkpoint was seen
  read_index      INTEGER NOT NULL DEFAULT 0,     -- leaves below it were read
  proven_index    INTEGER NOT NULL DEFAULT 0,     -- a verified root commits to the leaves below it
  read_range      BLOB,                           -- node hashes of the compact range [0, read_index)
  proven_range    BLOB,
  checkpoint_id   INTEGER REFERENCES checkpoints (id), -- the one proven against
  latest_id       INTEGER REFERENCES checkpoints (id), -- the largest consistent one seen
  checked_at      INTEGER,
  failing_since   INTEGER,
  failure         TEXT    NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE checkpoints (
  id              INTEGER PRIMARY KEY,
  origin          TEXT    NOT NULL,
  size            INTEGER NOT NULL,
  root            TEXT    NOT NULL,               -- hex
  raw             BLOB    NOT NULL,               -- the signed note, or the answer to get-sth, as served
  tree_head_at    INTEGER,                        -- its own timestamp; CT only
  cosigners       TEXT    NOT NULL DEFAULT '',    -- names of verified witnesses, comma separated
  first_seen      INTEGER NOT NULL,
  last_seen       INTEGER NOT NULL,
  UNIQUE (origin, size, root)
) STRICT;

-- What was proven complete, and with which watch list it was read: a change of the list reopens it.
CREATE TABLE proven_ranges (
  log_id          INTEGER NOT NULL REFERENCES logs (id),
  from_index      INTEGER NOT NULL,
  to_index        INTEGER NOT NULL,
  watch_list      TEXT    NOT NULL,
  proven_at       INTEGER NOT NULL,
  bytes           INTEGER NOT NULL,               -- on the wire
  PRIMARY KEY (log_id, from_index)
) STRICT, WITHOUT ROWID;

-- Bytes read since the last proof.
CREATE TABLE read_bytes (
  log_id          INTEGER PRIMARY KEY REFERENCES logs (id),
  bytes           INTEGER NOT NULL
) STRICT;

-- Leaves that concern a watched name. They count once proven_index passed them.
CREATE TABLE hits (
  id              INTEGER PRIMARY KEY,
  log_id          INTEGER NOT NULL REFERENCES logs (id),
  tree_index      INTEGER NOT NULL,
  leaf_hash       TEXT    NOT NULL,
  leaf            BLOB    NOT NULL,
  kind            TEXT    NOT NULL,               -- entry, certificate, unreadable
  class           TEXT    NOT NULL,               -- what it has to do with the watched name
  project         TEXT    NOT NULL,
  san             TEXT    NOT NULL,
  chained         INTEGER NOT NULL,               -- 1: the certificate that matched chains to a trusted root
  entry_id        INTEGER REFERENCES entries (id),
  certificate_id  INTEGER REFERENCES certificates (id),
  body            TEXT    NOT NULL,               -- JSON: what was decoded
  logged_at       INTEGER,                        -- the leaf's own timestamp; CT only
  first_seen      INTEGER NOT NULL,
  UNIQUE (log_id, tree_index, leaf_hash)
) STRICT;
CREATE INDEX hits_by_project ON hits (project, class);

-- A log that contradicted itself, with all the evidence.
CREATE TABLE log_incidents (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  log_id          INTEGER NOT NULL REFERENCES logs (id),
  kind            TEXT    NOT NULL,               -- a rule about logs
  first_seen      INTEGER NOT NULL,
  last_seen       INTEGER NOT NULL,
  ended_at        INTEGER,                        -- the log told the truth again
  detail          TEXT    NOT NULL,
  evidence        TEXT    NOT NULL                -- JSON: checkpoints, proof, computed root, leaves
) STRICT;
CREATE INDEX log_incidents_open ON log_incidents (log_id, kind) WHERE ended_at IS NULL;
