-- +goose Up
-- What CT logs promised to have of a certificate that an entry or a bundle shows, and what came of looking for it. A row a
-- certificate and log; log_id is '' where a certificate carries no promise.
CREATE TABLE ct_lookups (
  certificate_id  INTEGER NOT NULL REFERENCES certificates (id) ON DELETE CASCADE,
  log_id          TEXT    NOT NULL,               -- hex; names the log in its SCTs
  promised_at     INTEGER,                        -- the SCT's timestamp
  leaf_hash       TEXT    NOT NULL,               -- of the leaf that the SCT promises
  outcome         TEXT    NOT NULL CHECK (outcome IN ('found', 'missing', 'unknown', 'not-asked', 'no-such-log', 'unpromised', 'unneeded')),
  asked_at        INTEGER,                        -- when the log last answered
  tree_index      INTEGER,                        -- where the leaf is
  proof           BLOB,                           -- node hashes of its inclusion proof; NULL where the proven range has the leaf
  checkpoint_id   INTEGER REFERENCES checkpoints (id), -- the tree that it was looked for in
  tree_head_at    INTEGER,                        -- that tree head's timestamp, when it was asked for
  tree_head       BLOB,                           -- and the tree head as it was served then, of one that lacks the leaf
  due_at          INTEGER NOT NULL,               -- before then it is not asked for again
  failing_since   INTEGER,
  problem         TEXT    NOT NULL DEFAULT '',
  PRIMARY KEY (certificate_id, log_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX ct_lookups_open ON ct_lookups (log_id, due_at) WHERE outcome NOT IN ('found', 'unneeded');

-- Certificates whose promises were not read yet.
ALTER TABLE certificates ADD COLUMN promises_read INTEGER NOT NULL DEFAULT 0;
CREATE INDEX certificates_unread ON certificates (id) WHERE promises_read = 0 AND der IS NOT NULL AND issuer_key_hash <> '';

-- Certificates that a CT log shows in a watched project's own name.
CREATE INDEX hits_own_certificates ON hits (certificate_id) WHERE kind = 'certificate' AND chained = 1 AND class IN ('self', 'signer');
