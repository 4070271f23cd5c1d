package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
)

// accountBatch is how many certificates or entries a transaction works out, and accountBytes how many bytes of entries at most, the last one apart.
const (
	accountBatch = 10_000
	accountBytes = 16 << 20
)

// Account implements audit.LogRecord. The order matters: what is open is filed under the jobs of its certificates.
func (db *DB) Account(ctx context.Context) error {
	for _, step := range []func(context.Context, *sql.Tx) (int, error){newFiling().file, hashEntries, workOut} {
		for done := false; !done; {
			n := 0
			err := db.write(ctx, "work out accounts", func(tx *sql.Tx) (err error) {
				n, err = step(ctx, tx)
				failpoint.Hit("db/accounts-uncommitted")
				return err
			})
			if err != nil {
				return err
			}
			done = n == 0
		}
	}
	return db.write(ctx, "work out which certificates signed", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM open_certificates AS h WHERE `+certificateEntries+` + `+certificateAttestations+` > 0`)
		return err
	})
}

// filing files certificates under the jobs that they were issued to. It remembers the signers that it met: of a million
// certificates there are a few hundred.
type filing struct {
	signers map[signerKey]int64
}

type signerKey struct {
	identity string
	chained  bool
}

func newFiling() *filing { return &filing{signers: map[signerKey]int64{}} }

// unfiled is a certificate that is under no job yet.
type unfiled struct {
	id       int64
	tbs      string
	signer   signerKey
	identity string
}

// maxSigners bounds what is remembered: anybody may look like somebody else.
const maxSigners = 10_000

// file files a batch of certificates that are under no job yet.
func (j *filing) file(ctx context.Context, tx *sql.Tx) (int, error) {
	var batch []unfiled
	rows, err := tx.QueryContext(ctx, `SELECT id, tbs_sha256, issuer_key_hash <> '', identity FROM certificates WHERE job_id IS NULL LIMIT ?`, accountBatch)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var c unfiled
		if err := rows.Scan(&c.id, &c.tbs, &c.signer.chained, &c.identity); err != nil {
			return 0, err
		}
		batch = append(batch, c)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	err = prepared(ctx, tx, `INSERT INTO jobs (signer_id, run) VALUES (?, ?) ON CONFLICT DO UPDATE SET run = excluded.run RETURNING id`, func(job *sql.Stmt) error {
		return prepared(ctx, tx, `UPDATE certificates SET job_id = ? WHERE id = ?`, func(under *sql.Stmt) error {
			for _, c := range batch {
				run, err := c.lasting()
				if err != nil {
					return err
				}
				signer, err := j.signer(ctx, tx, c.signer)
				if err != nil {
					return err
				}
				var id int64
				if err := job.QueryRowContext(ctx, signer, run).Scan(&id); err != nil {
					return err
				}
				if _, err := under.ExecContext(ctx, id, c.id); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return len(batch), err
}

// lasting takes the run out of the identity of a certificate's signer.
func (c *unfiled) lasting() (run string, err error) {
	var id *identity.Identity
	if err := json.Unmarshal([]byte(c.identity), &id); err != nil {
		return "", err
	}
	run = "certificate tbs-sha256:" + c.tbs
	if id != nil {
		if id.RunInvocationURI != "" {
			run = id.RunInvocationURI
		}
		lasting := id.Lasting()
		id = &lasting
	}
	text, err := json.Marshal(id)
	c.signer.identity = string(text)
	return run, err
}

// prepared runs fn with a prepared statement.
func prepared(ctx context.Context, tx *sql.Tx, query string, fn func(*sql.Stmt) error) (err error) {
	stmt, err := tx.PrepareContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	return fn(stmt)
}

// signer finds a signer, or makes it.
func (j *filing) signer(ctx context.Context, tx *sql.Tx, key signerKey) (int64, error) {
	if id, ok := j.signers[key]; ok {
		return id, nil
	}
	var id int64
	err := tx.QueryRowContext(ctx, `INSERT INTO signers (identity, chained) VALUES (?, ?) ON CONFLICT DO UPDATE SET chained = excluded.chained RETURNING id`, key.identity, key.chained).Scan(&id)
	if err == nil && len(j.signers) < maxSigners {
		j.signers[key] = id
	}
	return id, err
}

// hashEntries takes from a batch of entries what they say was signed, and finds out what accounts for them.
func hashEntries(ctx context.Context, tx *sql.Tx) (int, error) {
	type entry struct {
		id   int64
		body []byte
	}
	var batch []entry
	rows, err := tx.QueryContext(ctx, `SELECT e.id, e.body FROM accounts a JOIN entries e ON e.id = a.entry_id WHERE a.account = 'new' ORDER BY a.entry_id LIMIT ?`, accountBatch)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for size := 0; size < accountBytes && rows.Next(); {
		var e entry
		if err := rows.Scan(&e.id, &e.body); err != nil {
			return 0, err
		}
		batch, size = append(batch, e), size+len(e.body)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	if err := errors.Join(rows.Close(), ctx.Err()); err != nil || len(batch) == 0 {
		return 0, err
	}
	if err := prepared(ctx, tx, `INSERT INTO entry_hashes (entry_id, sha256) VALUES (?, ?) ON CONFLICT DO NOTHING`, func(hash *sql.Stmt) error {
		for _, e := range batch {
			decoded, _ := rekor.Decode(e.body) // of an entry that cannot be decoded in full, what can
			for _, h := range slices.Concat(decoded.ArtifactHashes, decoded.PayloadHashes, decoded.EnvelopeHashes) {
				if h.Algorithm != "sha256" {
					continue
				}
				if _, err := hash.ExecContext(ctx, e.id, h.Hex); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		return 0, err
	}
	ids := make([]int64, len(batch))
	for i, e := range batch {
		ids[i] = e.id
	}
	return len(batch), accountFor(ctx, tx, ids)
}

// accountOf is the account of entry a.entry_id, as the record has it: what names it, or else what it says was signed. A statement
// accounts for an entry where it is about files of the project's alone: that of a bundle in GitHub's store may be about others too,
// whereas the index takes attestations of one file.
const accountOf = `CASE
	WHEN EXISTS (SELECT 1 FROM attestation_entries x JOIN attestations t ON t.id = x.attestation_id
		JOIN provenances v ON v.id = t.provenance_id WHERE x.entry_id = a.entry_id AND t.status = 'verified' AND v.github_bundle_id IS NULL) THEN 'attestation'
	WHEN EXISTS (SELECT 1 FROM entry_hashes h JOIN files f ON f.sha256 = h.sha256 WHERE h.entry_id = a.entry_id) THEN 'file'
	ELSE coalesce((SELECT CASE WHEN EXISTS (SELECT 1 FROM statement_subjects u WHERE u.statement = s.sha256 AND NOT EXISTS (SELECT 1 FROM files f WHERE f.sha256 = u.sha256)) THEN 'partly'
			WHEN s.predicate_type = 'https://slsa.dev/provenance/v1' THEN 'provenance' ELSE 'statement' END
		FROM entry_hashes h JOIN statements s ON s.sha256 = h.sha256 OR s.pae_sha256 = h.sha256 WHERE h.entry_id = a.entry_id
		AND EXISTS (SELECT 1 FROM statement_subjects u JOIN files f ON f.sha256 = u.sha256 WHERE u.statement = s.sha256) ORDER BY s.sha256 LIMIT 1),
		CASE WHEN EXISTS (SELECT 1 FROM attestation_entries x WHERE x.entry_id = a.entry_id) THEN 'disputed' ELSE 'open' END) END`

// workOut finds out what accounts for a batch of entries.
func workOut(ctx context.Context, tx *sql.Tx) (int, error) {
	batch, err := ids(ctx, tx, `SELECT entry_id FROM accounts WHERE account = 'due' ORDER BY entry_id LIMIT ?`, accountBatch)
	if err != nil || len(batch) == 0 {
		return 0, err
	}
	return len(batch), accountFor(ctx, tx, batch)
}

// accountFor finds out what accounts for entries, whose certificates are filed and whose hashes are known.
func accountFor(ctx context.Context, tx *sql.Tx, entries []int64) error {
	list, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	for _, query := range []string{
		`UPDATE accounts AS a SET account = ` + accountOf + ` WHERE entry_id IN (SELECT value FROM json_each(?1))`,
		`DELETE FROM open_entries WHERE entry_id IN (SELECT value FROM json_each(?1))`,
		`INSERT OR IGNORE INTO open_entries (job_id, entry_id) SELECT c.job_id, a.entry_id FROM json_each(?1) i JOIN accounts a ON a.entry_id = i.value
			JOIN entry_certificates ec ON ec.entry_id = a.entry_id JOIN certificates c ON c.id = ec.certificate_id WHERE a.account IN ('open', 'partly')`,
	} {
		if _, err := tx.ExecContext(ctx, query, string(list)); err != nil {
			return err
		}
	}
	return nil
}

// saveStatement keeps a statement that somebody showed. What it is about is known with it, and does not change.
func saveStatement(ctx context.Context, tx *sql.Tx, s audit.KnownStatement) error {
	res, err := tx.ExecContext(ctx, `INSERT INTO statements (sha256, pae_sha256, predicate_type) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, s.SHA256, s.PAESHA256, s.PredicateType)
	if err := one(res, err); errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	for _, subject := range s.Subjects {
		if _, err := tx.ExecContext(ctx, `INSERT INTO statement_subjects (statement, sha256) VALUES (?, ?) ON CONFLICT DO NOTHING`, s.SHA256, subject); err != nil {
			return err
		}
	}
	return nil
}

// saveLookup notes that a store of statements which is not an index answered for a file: what it has was kept, if anything.
func saveLookup(ctx context.Context, tx *sql.Tx, now time.Time, fileID int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO statement_lookups (sha256, answered_at) SELECT sha256, ?2 FROM files WHERE id = ?1
		ON CONFLICT DO UPDATE SET answered_at = excluded.answered_at`, fileID, micros(now))
	return err
}

// unprovenEntries are the entries of hits that no verified root commits to yet.
var unprovenEntries = `(SELECT h.entry_id FROM logs l JOIN hits h ON h.log_id = l.id AND h.tree_index >= l.proven_index WHERE h.entry_id IS NOT NULL AND NOT ` + provenHit + `)`

// Signers implements audit.LogRecord.
func (db *DB) Signers(ctx context.Context, fn func(audit.SignerFacts) error) error {
	rows, err := db.r.QueryContext(ctx, `SELECT id, chained, identity FROM signers ORDER BY id`)
	if err != nil {
		return fmt.Errorf("signers in the record: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var s audit.SignerFacts
		var text string
		if err := rows.Scan(&s.ID, &s.Chained, &text); err != nil {
			return fmt.Errorf("signers in the record: %w", err)
		}
		if err := json.Unmarshal([]byte(text), &s.Identity); err != nil {
			return fmt.Errorf("signers in the record: %w", err)
		}
		if err := fn(s); err != nil {
			return err
		}
	}
	return rows.Err()
}

// jobIssued is when the first certificate of a job j was issued.
const jobIssued = `(SELECT min(c.not_before) FROM certificates c WHERE c.job_id = j.id)`

// openJobs reads the jobs of signers, a JSON list ?1, that signed something which nothing accounts for. What is not proven counts
// for nothing.
var openJobs = `SELECT j.id, j.signer_id, j.run, ` + jobIssued + `, min(e.first_seen), count(*), coalesce((SELECT r.conclusion FROM github_runs r WHERE r.url = j.run), ''),
	EXISTS (SELECT 1 FROM certificates s JOIN entry_certificates ec ON ec.certificate_id = s.id JOIN accounts a ON a.entry_id = ec.entry_id
		WHERE s.job_id = j.id AND a.account IN ('attestation', 'file', 'statement', 'provenance', 'partly')),
	NOT EXISTS (SELECT 1 FROM certificates s JOIN entry_certificates ec ON ec.certificate_id = s.id JOIN accounts a ON a.entry_id = ec.entry_id
		JOIN entry_hashes h ON h.entry_id = a.entry_id LEFT JOIN statements t ON t.sha256 = h.sha256 OR t.pae_sha256 = h.sha256
		LEFT JOIN statement_subjects u ON u.statement = t.sha256 JOIN files f ON f.sha256 = coalesce(u.sha256, h.sha256)
		LEFT JOIN statement_lookups k ON k.sha256 = f.sha256 WHERE s.job_id = j.id AND k.sha256 IS NULL),
	(SELECT count(*) FROM files f WHERE f.provenance_state IN ('pending', 'untold', 'forbidden') AND (f.uploaded_at IS NULL OR f.uploaded_at >= ` + jobIssued + `))
	FROM json_each(?1) s JOIN jobs j ON j.signer_id = s.value JOIN open_entries o ON o.job_id = j.id JOIN accounts a ON a.entry_id = o.entry_id AND a.account IN ('open', 'partly')
	JOIN entries e ON e.id = o.entry_id WHERE o.entry_id NOT IN ` + unprovenEntries + ` GROUP BY j.id ORDER BY j.signer_id, j.run`

// OpenJobs implements audit.LogRecord.
func (db *DB) OpenJobs(ctx context.Context, signers []int64, fn func(audit.JobFacts) error) error {
	list, err := json.Marshal(signers)
	if err != nil {
		return err
	}
	rows, err := db.r.QueryContext(ctx, openJobs, string(list))
	if err != nil {
		return fmt.Errorf("jobs in the record: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var j audit.JobFacts
		var at, since sql.NullInt64
		if err := rows.Scan(&j.ID, &j.Signer, &j.Run, &at, &since, &j.Open, &j.Conclusion, &j.Published, &j.Asked, &j.Unread); err != nil {
			return fmt.Errorf("jobs in the record: %w", err)
		}
		j.IssuedAt, j.OpenSince = instant(at), instant(since)
		if err := fn(j); err != nil {
			return err
		}
	}
	return rows.Err()
}

// JobEntries implements audit.LogRecord.
func (db *DB) JobEntries(ctx context.Context, job int64, limit int) ([]audit.EntryRef, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT e.origin, e.tree_index, e.global_index, e.leaf_hash, a.account, e.first_seen FROM open_entries o JOIN entries e ON e.id = o.entry_id
		JOIN accounts a ON a.entry_id = o.entry_id AND a.account IN ('open', 'partly') WHERE o.job_id = ? AND o.entry_id NOT IN `+unprovenEntries+` ORDER BY e.origin, e.tree_index, e.leaf_hash LIMIT ?`, job, limit)
	if err != nil {
		return nil, fmt.Errorf("entries of a job in the record: %w", err)
	}
	defer rows.Close()
	var all []audit.EntryRef
	for rows.Next() {
		var e audit.EntryRef
		var first sql.NullInt64
		if err := rows.Scan(&e.Origin, &e.Index, &e.GlobalIndex, &e.LeafHash, &e.Account, &first); err != nil {
			return nil, fmt.Errorf("entries of a job in the record: %w", err)
		}
		e.FirstSeen = instant(first)
		all = append(all, e)
	}
	return all, rows.Err()
}

// ReleasesRead implements audit.LogRecord.
func (db *DB) ReleasesRead(ctx context.Context) ([]audit.ReleasesRead, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT p.index_name || '/' || p.name, (SELECT min(r.first_seen) FROM releases r WHERE r.pypi_project_id = p.id), CASE WHEN p.status <> ? THEN p.checked_at END
		FROM pypi_projects p ORDER BY 1`, audit.StatusQuarantined)
	if err != nil {
		return nil, fmt.Errorf("index projects in the record: %w", err)
	}
	defer rows.Close()
	var all []audit.ReleasesRead
	for rows.Next() {
		var r audit.ReleasesRead
		var since, checked sql.NullInt64
		if err := rows.Scan(&r.Ref, &since, &checked); err != nil {
			return nil, fmt.Errorf("index projects in the record: %w", err)
		}
		r.Since, r.CheckedAt = instant(since), instant(checked)
		all = append(all, r)
	}
	return all, rows.Err()
}
