-- +goose Up
-- Facts: Rekor v1, which is read by name ----------------------------------------------------------------------------

-- A Rekor v1 as a whole. Its shards are logs of their own.
CREATE TABLE rekor1_logs (
  log_id          INTEGER PRIMARY KEY REFERENCES logs (id),
  keys            TEXT    NOT NULL,               -- JSON: the hex ids of its keys
  subject         TEXT    NOT NULL DEFAULT '',    -- whether its search index knows subjects: supported, ignored, refused, unknown
  subject_why     TEXT    NOT NULL DEFAULT '',
  probed_at       INTEGER,
  probe_due       INTEGER,
  planned_file    INTEGER NOT NULL DEFAULT 0      -- files up to this id are asked for in searches
) STRICT;

CREATE TABLE rekor1_shards (
  log_id          INTEGER NOT NULL REFERENCES rekor1_logs (log_id),
  position        INTEGER NOT NULL,               -- from the oldest
  shard_id        INTEGER NOT NULL UNIQUE REFERENCES logs (id),
  PRIMARY KEY (log_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE rekor1_requests (
  log_id          INTEGER NOT NULL REFERENCES rekor1_logs (log_id),
  day             INTEGER NOT NULL,               -- days since 1970-01-01 UTC
  requests        INTEGER NOT NULL,
  PRIMARY KEY (log_id, day)
) STRICT, WITHOUT ROWID;

-- What makes a hit count that was found by name, however far its log was read: the inclusion proof with the signed
-- checkpoint, and the log's promise, as JSON.
ALTER TABLE hits ADD COLUMN proof TEXT;

-- Checkpoints that bundles carry: the log made them for somebody else.
CREATE TABLE gossip (
  id              INTEGER PRIMARY KEY,
  origin          TEXT    NOT NULL,
  size            INTEGER NOT NULL,
  root            TEXT    NOT NULL,               -- hex
  raw             BLOB    NOT NULL,               -- the signed note
  first_seen      INTEGER NOT NULL,
  outcome         TEXT    NOT NULL DEFAULT '',    -- related, split-view
  related_at      INTEGER,
  due_at          INTEGER,                        -- NULL: it is known what it is
  failing_since   INTEGER,
  failure         TEXT    NOT NULL DEFAULT '',
  UNIQUE (origin, size, root)
) STRICT;
CREATE INDEX gossip_due ON gossip (due_at) WHERE due_at IS NOT NULL;

-- What a bundle says of its entry, besides what names it.
ALTER TABLE attestation_entries ADD COLUMN global_index INTEGER;
ALTER TABLE attestation_entries ADD COLUMN integrated_at INTEGER;
ALTER TABLE attestation_entries ADD COLUMN gossip_id INTEGER REFERENCES gossip (id);
CREATE INDEX attestation_entries_by_gossip ON attestation_entries (gossip_id);

-- What the log has in the place of an entry that a bundle names.
CREATE TABLE entry_checks (
  entry_id        INTEGER NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
  global_index    INTEGER NOT NULL,               -- as the bundle says, like the time
  integrated_at   INTEGER NOT NULL,               -- 0 where the bundle has none
  outcome         TEXT    NOT NULL DEFAULT '',    -- same, differs, missing; '' while it is not known
  since           INTEGER NOT NULL,               -- when that was first found out
  asked_at        INTEGER,
  due_at          INTEGER,                        -- NULL: not again
  absences        INTEGER NOT NULL DEFAULT 0,     -- answers in a row that did not have it
  differences     TEXT    NOT NULL DEFAULT '',    -- JSON
  body            BLOB,                           -- the log's entry, where it is another
  proof           TEXT,                           -- JSON: as in hits
  failing_since   INTEGER,
  failure         TEXT    NOT NULL DEFAULT '',
  PRIMARY KEY (entry_id, global_index, integrated_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_checks_due ON entry_checks (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX entry_checks_wrong ON entry_checks (outcome) WHERE outcome <> 'same';

-- Questions to the search index.
CREATE TABLE searches (
  id              INTEGER PRIMARY KEY,
  log_id          INTEGER NOT NULL REFERENCES rekor1_logs (log_id),
  kind            TEXT    NOT NULL,               -- digest, subject, certificate
  value           TEXT    NOT NULL,               -- of a certificate its hex SHA-256
  fresh_at        INTEGER NOT NULL,               -- how new what is asked for is
  first_seen      INTEGER NOT NULL,
  asked_at        INTEGER,
  answered_at     INTEGER,
  outcome         TEXT    NOT NULL DEFAULT '',    -- answered, refused, failed
  hits            INTEGER NOT NULL DEFAULT 0,     -- that the last answer named
  due_at          INTEGER NOT NULL,
  failing_since   INTEGER,
  failure         TEXT    NOT NULL DEFAULT '',
  UNIQUE (log_id, kind, value)
) STRICT;
CREATE INDEX searches_due ON searches (log_id, due_at);
CREATE INDEX searches_failing ON searches (log_id) WHERE failing_since IS NOT NULL;

-- Entries that the search index named and that were read, so that they are not read again.
CREATE TABLE found_entries (
  log_id          INTEGER NOT NULL REFERENCES rekor1_logs (log_id),
  uuid            TEXT    NOT NULL,               -- tree id and leaf hash
  search_id       INTEGER NOT NULL REFERENCES searches (id), -- that found it first
  match           TEXT    NOT NULL,               -- whether it is what that asked for: confirmed, unconfirmed, other
  hit_id          INTEGER REFERENCES hits (id) ON DELETE SET NULL, -- NULL: it concerns no watched name
  watch_list      TEXT    NOT NULL,
  found_at        INTEGER NOT NULL,
  PRIMARY KEY (log_id, uuid)
) STRICT, WITHOUT ROWID;
CREATE INDEX found_entries_by_hit ON found_entries (hit_id);
