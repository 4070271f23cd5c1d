-- +goose Up
-- Instants are microseconds since 1970-01-01 UTC; digests are lower-case hex; NULL means "not known" or "not yet".

-- Facts: releases on the index ------------------------------------------------------------------------------------

CREATE TABLE pypi_projects (
  id              INTEGER PRIMARY KEY,
  index_name      TEXT    NOT NULL,
  name            TEXT    NOT NULL,               -- normalised (PEP 503)
  status          TEXT    NOT NULL DEFAULT '',    -- PEP 792
  status_reason   TEXT    NOT NULL DEFAULT '',
  serial          INTEGER NOT NULL DEFAULT 0,     -- of the listing that the record stands on
  etag            TEXT    NOT NULL DEFAULT '',
  checked_at      INTEGER,                        -- last answer for the listing
  changed_at      INTEGER,                        -- last answer that differed
  failing_since   INTEGER,
  failure         TEXT    NOT NULL DEFAULT '',
  UNIQUE (index_name, name)
) STRICT;

CREATE TABLE ownerships (
  id              INTEGER PRIMARY KEY,
  pypi_project_id INTEGER NOT NULL REFERENCES pypi_projects (id),
  sha256          TEXT    NOT NULL,
  body            TEXT    NOT NULL,               -- JSON, as the index serves it
  first_seen      INTEGER NOT NULL,
  last_seen       INTEGER NOT NULL
) STRICT;
CREATE INDEX ownerships_by_project ON ownerships (pypi_project_id, id);

CREATE TABLE releases (
  pypi_project_id INTEGER NOT NULL REFERENCES pypi_projects (id),
  version         TEXT    NOT NULL,               -- PEP 440, normalised; '' where filenames do not tell
  first_seen      INTEGER NOT NULL,
  states          TEXT    NOT NULL DEFAULT '',    -- judgement: provenance states in PyPI's words
  PRIMARY KEY (pypi_project_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE provenances (
  id              INTEGER PRIMARY KEY,
  file_id         INTEGER NOT NULL REFERENCES files (id),
  sha256          TEXT    NOT NULL,
  body            BLOB    NOT NULL,               -- as served
  problem         TEXT    NOT NULL DEFAULT '',    -- why it could not be read as a whole
  verified_with   TEXT    NOT NULL,               -- trusted roots and verification rules of its attestations' facts
  first_seen      INTEGER NOT NULL,
  last_seen       INTEGER NOT NULL,
  UNIQUE (file_id, sha256)
) STRICT;
CREATE INDEX provenances_by_sha256 ON provenances (sha256);

CREATE TABLE files (
  id              INTEGER PRIMARY KEY,
  pypi_project_id INTEGER NOT NULL REFERENCES pypi_projects (id),
  version         TEXT    NOT NULL,
  filename        TEXT    NOT NULL,
  sha256          TEXT    NOT NULL,
  size            INTEGER NOT NULL,               -- bytes; -1 where the index does not tell
  url             TEXT    NOT NULL,
  uploaded_at     INTEGER,
  yanked          INTEGER NOT NULL,
  yanked_reason   TEXT    NOT NULL,
  name_error      TEXT    NOT NULL,
  listing         TEXT    NOT NULL,               -- its entry in the listing, as served
  first_seen      INTEGER NOT NULL,
  last_seen       INTEGER NOT NULL,
  missing_since   INTEGER,
  removed_at      INTEGER,
  replaced_at     INTEGER,
  replaced_by     TEXT    NOT NULL DEFAULT '',
  deep_checked_at INTEGER,                        -- last download, and the digest of what came
  deep_sha256     TEXT    NOT NULL DEFAULT '',
  provenance_url            TEXT    NOT NULL,
  provenance_etag           TEXT    NOT NULL DEFAULT '',
  provenance_state          TEXT    NOT NULL,
  provenance_since          INTEGER NOT NULL,
  provenance_checked_at     INTEGER,
  provenance_due            INTEGER NOT NULL,     -- 1: to be asked for in the next pass
  provenance_failing_since  INTEGER,
  provenance_failure        TEXT    NOT NULL DEFAULT '',
  provenance_id             INTEGER REFERENCES provenances (id),
  previous_provenance_id    INTEGER REFERENCES provenances (id),
  state           TEXT    NOT NULL DEFAULT 'unknown', -- judgement
  grade           TEXT    NOT NULL DEFAULT '',    -- judgement: the publishing grade that covers it
  UNIQUE (pypi_project_id, filename, sha256)
) STRICT;
CREATE INDEX files_by_release ON files (pypi_project_id, version);
CREATE INDEX files_due ON files (pypi_project_id, id) WHERE provenance_due = 1;
CREATE INDEX files_by_sha256 ON files (sha256);

-- Facts: signatures ------------------------------------------------------------------------------------------------

CREATE TABLE certificates (
  id              INTEGER PRIMARY KEY,
  -- One name for precertificate and certificate: the issuer's key and the TBS without poison and SCTs. The issuer's key is
  -- '' where no chain was verified: such a certificate claims a name and nothing more.
  issuer_key_hash TEXT    NOT NULL,
  tbs_sha256      TEXT    NOT NULL,
  sha256          TEXT    NOT NULL DEFAULT '',    -- of the DER; '' where only a precertificate was seen
  serial          TEXT    NOT NULL,
  not_before      INTEGER NOT NULL,
  not_after       INTEGER NOT NULL,
  san             TEXT    NOT NULL,
  issuer          TEXT    NOT NULL,               -- OIDC issuer
  identity        TEXT    NOT NULL,               -- JSON
  der             BLOB,                           -- NULL where only a precertificate was seen
  first_seen      INTEGER NOT NULL,
  UNIQUE (issuer_key_hash, tbs_sha256)
) STRICT;
CREATE INDEX certificates_by_sha256 ON certificates (sha256);
CREATE INDEX certificates_by_san ON certificates (san);

CREATE TABLE entries (
  id              INTEGER PRIMARY KEY,
  log_id          TEXT    NOT NULL,               -- hex key id
  origin          TEXT    NOT NULL,               -- names the tree
  tree_index      INTEGER NOT NULL,
  global_index    INTEGER NOT NULL,               -- Rekor v1's; equal to tree_index elsewhere
  leaf_hash       TEXT    NOT NULL,
  integrated_at   INTEGER,                        -- Rekor v1 only
  kind            TEXT    NOT NULL,
  api_version     TEXT    NOT NULL,
  body            BLOB    NOT NULL,
  first_seen      INTEGER NOT NULL,
  -- Two leaves at one place would be a fork: both are kept.
  UNIQUE (origin, tree_index, leaf_hash)
) STRICT;

CREATE TABLE entry_certificates (
  entry_id        INTEGER NOT NULL REFERENCES entries (id),
  certificate_id  INTEGER NOT NULL REFERENCES certificates (id),
  PRIMARY KEY (entry_id, certificate_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_certificates_by_certificate ON entry_certificates (certificate_id);

CREATE TABLE attestations (
  id              INTEGER PRIMARY KEY,
  provenance_id   INTEGER NOT NULL REFERENCES provenances (id),
  bundle          INTEGER NOT NULL,
  position        INTEGER NOT NULL,
  status          TEXT    NOT NULL,               -- verified, failed, unsupported
  predicate_type  TEXT    NOT NULL,
  certificate_id  INTEGER REFERENCES certificates (id),
  facts           TEXT    NOT NULL,               -- JSON: what verifying it gave
  UNIQUE (provenance_id, bundle, position)
) STRICT;
CREATE INDEX attestations_by_certificate ON attestations (certificate_id);

CREATE TABLE attestation_entries (
  attestation_id  INTEGER NOT NULL REFERENCES attestations (id) ON DELETE CASCADE,
  entry_id        INTEGER NOT NULL REFERENCES entries (id),
  PRIMARY KEY (attestation_id, entry_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE trusted_roots (
  sha256          TEXT    PRIMARY KEY,
  source          TEXT    NOT NULL,
  body            BLOB    NOT NULL,
  expires_at      INTEGER,
  first_seen      INTEGER NOT NULL,
  last_seen       INTEGER NOT NULL
) STRICT;

-- Judgements -------------------------------------------------------------------------------------------------------

CREATE TABLE findings (
  id              TEXT    PRIMARY KEY,
  rule            TEXT    NOT NULL,
  severity        TEXT    NOT NULL,
  status          TEXT    NOT NULL CHECK (status IN ('open', 'acknowledged', 'resolved')),
  project         TEXT    NOT NULL,
  index_name      TEXT    NOT NULL,
  pypi_project    TEXT    NOT NULL,
  body            TEXT    NOT NULL,               -- JSON: the finding as it stands
  opened_at       INTEGER NOT NULL,
  last_seen_at    INTEGER NOT NULL,
  resolved_at     INTEGER
) STRICT;
CREATE INDEX findings_by_scope ON findings (project, index_name, pypi_project, status);

CREATE TABLE finding_events (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  finding_id      TEXT    NOT NULL REFERENCES findings (id),
  at              INTEGER NOT NULL,
  transition      TEXT    NOT NULL,
  actor           TEXT    NOT NULL DEFAULT '',    -- a person, where one did it
  why             TEXT    NOT NULL DEFAULT '',
  body            TEXT    NOT NULL                -- JSON: the finding after the transition
) STRICT;
CREATE INDEX finding_events_by_finding ON finding_events (finding_id, id);

-- Duties -----------------------------------------------------------------------------------------------------------

CREATE TABLE outbox (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id        INTEGER NOT NULL REFERENCES finding_events (id),
  channel         TEXT    NOT NULL,
  created_at      INTEGER NOT NULL,
  attempts        INTEGER NOT NULL DEFAULT 0,
  attempted_at    INTEGER,                        -- set before each attempt: what follows may have taken effect
  next_attempt_at INTEGER NOT NULL,
  last_error      TEXT    NOT NULL DEFAULT '',
  delivered_at    INTEGER,
  UNIQUE (event_id, channel)
) STRICT;
CREATE INDEX outbox_pending ON outbox (channel, id) WHERE delivered_at IS NULL;

-- The diary --------------------------------------------------------------------------------------------------------

CREATE TABLE runs (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  job             TEXT    NOT NULL,
  started_at      INTEGER NOT NULL,
  finished_at     INTEGER,                        -- NULL: still running, or killed
  outcome         TEXT    NOT NULL DEFAULT '',    -- complete, incomplete, failed
  version         TEXT    NOT NULL,
  policy_sha256   TEXT    NOT NULL,
  summary         TEXT    NOT NULL DEFAULT ''     -- JSON
) STRICT;
