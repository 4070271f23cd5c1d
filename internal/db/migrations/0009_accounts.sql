-- +goose Up
-- Accounts: what published files say of the entries in the record, and who signed these. All of it but the statements follows
-- from other tables; `accounts` says of which entries that is still to be worked out.

-- Who signs: identities without what differs from run to run, of certificates that chain to a trusted root and of those that do not.
CREATE TABLE signers (
  id              INTEGER PRIMARY KEY,
  identity        TEXT    NOT NULL,               -- JSON; 'null' where it cannot be read
  chained         INTEGER NOT NULL,
  UNIQUE (identity, chained)
) STRICT;

-- All that one signer signed in one run.
CREATE TABLE jobs (
  id              INTEGER PRIMARY KEY,
  signer_id       INTEGER NOT NULL REFERENCES signers (id),
  run             TEXT    NOT NULL,               -- its URI; of a certificate that does not tell one, that certificate
  UNIQUE (signer_id, run)
) STRICT;
ALTER TABLE certificates ADD COLUMN job_id INTEGER REFERENCES jobs (id); -- NULL until it is worked out
CREATE INDEX certificates_by_job ON certificates (job_id, not_before);

CREATE TABLE accounts (
  entry_id        INTEGER PRIMARY KEY REFERENCES entries (id) ON DELETE CASCADE,
  -- new and due: to be worked out. attestation, file, statement, provenance: what accounts for it. disputed: an attestation
  -- names it that does not verify. partly: provenance of files of which some are not known. open: nothing.
  account         TEXT    NOT NULL CHECK (account IN ('new', 'due', 'attestation', 'file', 'statement', 'provenance', 'disputed', 'partly', 'open'))
) STRICT;
CREATE INDEX accounts_due ON accounts (account, entry_id) WHERE account IN ('new', 'due');

-- Entries that nothing accounts for in full, by the jobs that signed them.
CREATE TABLE open_entries (
  job_id          INTEGER NOT NULL REFERENCES jobs (id),
  entry_id        INTEGER NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
  PRIMARY KEY (job_id, entry_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX open_entries_by_entry ON open_entries (entry_id);

-- Certificates that a CT log shows in a project's own name and of which nothing is known that they signed, and perhaps more:
-- what comes to account for one is seen when it is next looked at.
CREATE TABLE open_certificates (
  certificate_id  INTEGER PRIMARY KEY REFERENCES certificates (id) ON DELETE CASCADE
) STRICT;

-- What an entry says was signed: artifacts, payloads and envelopes by their SHA-256.
CREATE TABLE entry_hashes (
  entry_id        INTEGER NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
  sha256          TEXT    NOT NULL,
  PRIMARY KEY (entry_id, sha256)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_hashes_by_sha256 ON entry_hashes (sha256);

-- In-toto statements that somebody showed, and what they are about. Their digests bind them to entries, whoever showed them.
CREATE TABLE statements (
  sha256          TEXT    PRIMARY KEY,            -- of the payload
  pae_sha256      TEXT    NOT NULL,               -- of its pre-authentication encoding, which entries of Rekor v2 may have
  predicate_type  TEXT    NOT NULL
) STRICT;                                         -- in the order in which they were met
CREATE INDEX statements_by_pae ON statements (pae_sha256);
CREATE TABLE statement_subjects (
  statement       TEXT    NOT NULL REFERENCES statements (sha256),
  sha256          TEXT    NOT NULL,
  PRIMARY KEY (statement, sha256)
) STRICT, WITHOUT ROWID;
CREATE INDEX statement_subjects_by_sha256 ON statement_subjects (sha256);

-- Digests of files for which a store of statements that is not an index answered.
CREATE TABLE statement_lookups (
  sha256          TEXT    PRIMARY KEY,
  answered_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the leaves of a log said was signed: of each batch that was read, eight bytes a leaf, the first of a digest or zero. They are
-- kept for as long as the configuration says, since what is signed may be published later.
CREATE TABLE seen_digests (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  log_id          INTEGER NOT NULL REFERENCES logs (id),
  from_index      INTEGER NOT NULL,
  seen_at         INTEGER NOT NULL,
  digests         BLOB    NOT NULL,
  UNIQUE (log_id, from_index)
) STRICT;

-- How far they were compared with what is published: rows of seen_digests, files and statements up to these were, each with each.
CREATE TABLE seen_cursors (
  log_id          INTEGER PRIMARY KEY REFERENCES logs (id),
  seen            INTEGER NOT NULL,
  file            INTEGER NOT NULL,
  statement       INTEGER NOT NULL
) STRICT;

-- Files of which it is not known what attests them.
CREATE INDEX files_unread ON files (uploaded_at) WHERE provenance_state IN ('pending', 'untold', 'forbidden');
-- Leaves that are judged one by one.
CREATE INDEX hits_loud ON hits (id) WHERE kind = 'unreadable' OR chained = 0;

-- What may change an account makes it due, and what may have accounted for a certificate and is gone opens it again, whoever wrote
-- it.
-- +goose StatementBegin
CREATE TRIGGER account_new AFTER INSERT ON entries BEGIN
  INSERT INTO accounts (entry_id, account) VALUES (NEW.id, 'new');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER account_signed AFTER INSERT ON entry_certificates BEGIN
  UPDATE accounts SET account = 'due' WHERE entry_id = NEW.entry_id AND account NOT IN ('new', 'due');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER account_attested AFTER INSERT ON attestation_entries BEGIN
  UPDATE accounts SET account = 'due' WHERE entry_id = NEW.entry_id AND account NOT IN ('new', 'due');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER account_unattested AFTER DELETE ON attestation_entries BEGIN
  UPDATE accounts SET account = 'due' WHERE entry_id = OLD.entry_id AND account NOT IN ('new', 'due');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER account_stated AFTER INSERT ON statement_subjects BEGIN
  UPDATE accounts SET account = 'due' WHERE account NOT IN ('new', 'due') AND entry_id IN (SELECT h.entry_id FROM statements s
    JOIN entry_hashes h ON h.sha256 IN (s.sha256, s.pae_sha256) WHERE s.sha256 = NEW.statement);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER account_published AFTER INSERT ON files BEGIN
  UPDATE accounts SET account = 'due' WHERE account NOT IN ('new', 'due') AND entry_id IN (
    SELECT h.entry_id FROM entry_hashes h WHERE h.sha256 = NEW.sha256
    UNION SELECT h.entry_id FROM statement_subjects u JOIN statements s ON s.sha256 = u.statement
      JOIN entry_hashes h ON h.sha256 IN (s.sha256, s.pae_sha256) WHERE u.sha256 = NEW.sha256);
END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER certificate_shown AFTER INSERT ON hits WHEN NEW.kind = 'certificate' AND NEW.chained = 1 AND NEW.class IN ('self', 'signer') BEGIN
  INSERT INTO open_certificates (certificate_id) SELECT NEW.certificate_id WHERE NOT EXISTS (SELECT 1 FROM open_certificates WHERE certificate_id = NEW.certificate_id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER certificate_classed AFTER UPDATE OF class ON hits WHEN NEW.kind = 'certificate' AND NEW.chained = 1 AND NEW.class IN ('self', 'signer') BEGIN
  INSERT INTO open_certificates (certificate_id) SELECT NEW.certificate_id WHERE NOT EXISTS (SELECT 1 FROM open_certificates WHERE certificate_id = NEW.certificate_id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER certificate_unsigned AFTER DELETE ON entry_certificates WHEN EXISTS (SELECT 1 FROM hits h WHERE h.certificate_id = OLD.certificate_id AND h.kind = 'certificate') BEGIN
  INSERT INTO open_certificates (certificate_id) SELECT OLD.certificate_id WHERE NOT EXISTS (SELECT 1 FROM open_certificates WHERE certificate_id = OLD.certificate_id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER certificate_unattested AFTER DELETE ON attestations WHEN EXISTS (SELECT 1 FROM hits h WHERE h.certificate_id = OLD.certificate_id AND h.kind = 'certificate') BEGIN
  INSERT INTO open_certificates (certificate_id) SELECT OLD.certificate_id WHERE NOT EXISTS (SELECT 1 FROM open_certificates WHERE certificate_id = OLD.certificate_id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER certificates_unproven AFTER UPDATE OF proven_index ON windows WHEN NEW.proven_index < OLD.proven_index BEGIN
  INSERT INTO open_certificates (certificate_id) SELECT DISTINCT certificate_id FROM hits WHERE kind = 'certificate' AND chained = 1 AND class IN ('self', 'signer')
    AND certificate_id NOT IN (SELECT certificate_id FROM open_certificates);
END;
-- +goose StatementEnd

INSERT INTO accounts (entry_id, account) SELECT id, 'new' FROM entries;
INSERT INTO open_certificates (certificate_id) SELECT DISTINCT certificate_id FROM hits WHERE kind = 'certificate' AND chained = 1 AND class IN ('self', 'signer');

-- What the findings of an index project were last judged by, so that what has not changed is not judged again.
CREATE TABLE settlements (
  pypi_project_id INTEGER PRIMARY KEY REFERENCES pypi_projects (id),
  facts           INTEGER NOT NULL DEFAULT 0,     -- counts the changes of what is judged
  settled         TEXT    NOT NULL DEFAULT ''     -- JSON: the last judgement
) STRICT;
INSERT INTO settlements (pypi_project_id) SELECT id FROM pypi_projects;

-- +goose StatementBegin
CREATE TRIGGER facts_of_project AFTER INSERT ON pypi_projects BEGIN
  INSERT INTO settlements (pypi_project_id) VALUES (NEW.id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER facts_of_listing AFTER UPDATE OF status, status_reason, failing_since, failure ON pypi_projects
WHEN (NEW.status, NEW.status_reason, NEW.failing_since, NEW.failure) IS NOT (OLD.status, OLD.status_reason, OLD.failing_since, OLD.failure) BEGIN
  UPDATE settlements SET facts = facts + 1 WHERE pypi_project_id = NEW.id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER facts_of_owners AFTER INSERT ON ownerships BEGIN
  UPDATE settlements SET facts = facts + 1 WHERE pypi_project_id = NEW.pypi_project_id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER facts_of_file AFTER INSERT ON files BEGIN
  UPDATE settlements SET facts = facts + 1 WHERE pypi_project_id = NEW.pypi_project_id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER facts_of_changed_file AFTER UPDATE OF size, url, uploaded_at, yanked, yanked_reason, name_error, listing, missing_since, removed_at, replaced_at, replaced_by,
  deep_checked_at, deep_sha256, provenance_url, provenance_state, provenance_failing_since, provenance_failure, provenance_id, previous_provenance_id ON files BEGIN
  UPDATE settlements SET facts = facts + 1 WHERE pypi_project_id = NEW.pypi_project_id;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER facts_of_document AFTER UPDATE OF problem, verified_with ON provenances BEGIN
  UPDATE settlements SET facts = facts + 1 WHERE pypi_project_id = (SELECT pypi_project_id FROM files WHERE id = NEW.file_id);
END;
-- +goose StatementEnd

-- What GitHub says: of a file, of a repository, which several index projects may share, and of workflow runs.
-- +goose StatementBegin
CREATE TRIGGER facts_of_store AFTER INSERT ON github_answers BEGIN
  UPDATE settlements SET facts = facts + 1 WHERE pypi_project_id = (SELECT pypi_project_id FROM files WHERE id = NEW.file_id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER facts_of_changed_store AFTER UPDATE OF repository, state, since, checked_at, failing_since, failure ON github_answers BEGIN
  UPDATE settlements SET facts = facts + 1 WHERE pypi_project_id = (SELECT pypi_project_id FROM files WHERE id = NEW.file_id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER facts_of_repository AFTER INSERT ON github_repositories BEGIN
  UPDATE settlements SET facts = facts + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER facts_of_changed_repository AFTER UPDATE OF current_name, repository_id, owner_id, visibility, failing_since, failure ON github_repositories
WHEN (NEW.current_name, NEW.repository_id, NEW.owner_id, NEW.visibility, NEW.failing_since, NEW.failure)
  IS NOT (OLD.current_name, OLD.repository_id, OLD.owner_id, OLD.visibility, OLD.failing_since, OLD.failure) BEGIN
  UPDATE settlements SET facts = facts + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER facts_of_run AFTER INSERT ON github_runs BEGIN
  UPDATE settlements SET facts = facts + 1;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER facts_of_changed_run AFTER UPDATE OF repository, head_sha, event, path, conclusion, absent_since, failing_since ON github_runs
WHEN (NEW.repository, NEW.head_sha, NEW.event, NEW.path, NEW.conclusion, NEW.absent_since, NEW.failing_since)
  IS NOT (OLD.repository, OLD.head_sha, OLD.event, OLD.path, OLD.conclusion, OLD.absent_since, OLD.failing_since) BEGIN
  UPDATE settlements SET facts = facts + 1;
END;
-- +goose StatementEnd
