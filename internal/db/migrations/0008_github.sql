-- +goose Up
-- Facts: GitHub's attestation store ---------------------------------------------------------------------------------

-- Sigstore bundles as they are stored, once each: most are about all files of a release.
CREATE TABLE github_bundles (
  id              INTEGER PRIMARY KEY,
  sha256          TEXT    NOT NULL UNIQUE,
  body            BLOB    NOT NULL,
  first_seen      INTEGER NOT NULL
) STRICT;

-- Which digests a bundle is about, as its statement says, or the store.
CREATE TABLE github_digests (
  sha256          TEXT    NOT NULL,
  bundle_id       INTEGER NOT NULL REFERENCES github_bundles (id),
  PRIMARY KEY (sha256, bundle_id)
) STRICT, WITHOUT ROWID;

-- What a bundle says of a file is a document of provenance like the index's: its body is in github_bundles.
ALTER TABLE provenances ADD COLUMN github_bundle_id INTEGER REFERENCES github_bundles (id);
CREATE INDEX provenances_by_bundle ON provenances (github_bundle_id) WHERE github_bundle_id IS NOT NULL;

-- What a repository's store answered about a file.
CREATE TABLE github_answers (
  file_id         INTEGER PRIMARY KEY REFERENCES files (id),
  repository      TEXT    NOT NULL,               -- whose store was asked
  state           TEXT    NOT NULL DEFAULT '',    -- none, served; '' while it has not answered
  since           INTEGER,                        -- when it first said so
  checked_at      INTEGER,                        -- when it last answered
  due_at          INTEGER NOT NULL,               -- before then it is not asked again
  failing_since   INTEGER,
  failure         TEXT    NOT NULL DEFAULT ''
) STRICT;

-- Which bundles it listed for a file.
CREATE TABLE github_listed (
  file_id         INTEGER NOT NULL REFERENCES files (id),
  bundle_id       INTEGER NOT NULL REFERENCES github_bundles (id),
  repository_id   INTEGER NOT NULL,               -- as the store says
  first_seen      INTEGER NOT NULL,
  last_seen       INTEGER NOT NULL,
  gone_at         INTEGER,                        -- first answer without it
  PRIMARY KEY (file_id, bundle_id)
) STRICT, WITHOUT ROWID;

-- What GitHub says of repositories, by the names that the configuration has.
CREATE TABLE github_repositories (
  name            TEXT    PRIMARY KEY,
  current_name    TEXT    NOT NULL DEFAULT '',    -- '' while it has not answered
  repository_id   TEXT    NOT NULL DEFAULT '',
  owner_id        TEXT    NOT NULL DEFAULT '',
  visibility      TEXT    NOT NULL DEFAULT '',
  since           INTEGER,                        -- when it first said so
  checked_at      INTEGER,
  due_at          INTEGER NOT NULL,
  failing_since   INTEGER,
  failure         TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- What GitHub says of the workflow runs that certificates name.
CREATE TABLE github_runs (
  url             TEXT    PRIMARY KEY,            -- as in the certificate
  repository      TEXT    NOT NULL DEFAULT '',    -- '' while GitHub has not shown it
  head_sha        TEXT    NOT NULL DEFAULT '',
  event           TEXT    NOT NULL DEFAULT '',
  path            TEXT    NOT NULL DEFAULT '',
  conclusion      TEXT    NOT NULL DEFAULT '',    -- '' until it is completed
  absent_since    INTEGER,                        -- since when GitHub says that there is no such run
  checked_at      INTEGER,
  due_at          INTEGER,                        -- NULL: not again
  failing_since   INTEGER,
  failure         TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- Certificates by the run that they name, among those that chain to a trusted authority.
CREATE INDEX certificates_by_run ON certificates (json_extract(identity, '$.run_invocation_uri')) WHERE issuer_key_hash <> '';
