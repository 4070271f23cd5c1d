package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// MarkStaleProvenance implements audit.Store.
func (db *DB) MarkStaleProvenance(ctx context.Context, projectID int64, before time.Time) (int, error) {
	var due int
	err := db.write(ctx, "mark provenance to be asked for again", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE files SET provenance_due = 1 WHERE pypi_project_id = ? AND provenance_url <> ''
			AND removed_at IS NULL AND replaced_at IS NULL AND provenance_checked_at < ?`, projectID, micros(before)); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT count(*) FROM files WHERE pypi_project_id = ? AND provenance_due = 1`, projectID).Scan(&due)
	})
	return due, err
}

// DueProvenance implements audit.Store.
func (db *DB) DueProvenance(ctx context.Context, projectID, after int64, limit int) ([]audit.FileFacts, error) {
	return db.files(ctx, `f.pypi_project_id = ? AND f.provenance_due = 1 AND f.id > ? ORDER BY f.id LIMIT ?`, projectID, after, limit)
}

// SaveProvenance implements audit.Store.
func (db *DB) SaveProvenance(ctx context.Context, now time.Time, fileID int64, u audit.ProvenanceUpdate) error {
	return db.write(ctx, "store a provenance document", func(tx *sql.Tx) error {
		var current sql.NullInt64
		var state string
		if err := tx.QueryRowContext(ctx, `SELECT provenance_id, provenance_state FROM files WHERE id = ?`, fileID).Scan(&current, &state); err != nil {
			return err
		}
		document, previous := current, sql.NullInt64{}
		if u.State == audit.ProvenanceServed && u.Unchanged {
			if !current.Valid {
				return errors.New("the index confirmed a document that the record does not hold")
			}
			if _, err := tx.ExecContext(ctx, `UPDATE provenances SET last_seen = ? WHERE id = ?`, micros(now), current); err != nil {
				return err
			}
		} else if u.State == audit.ProvenanceServed {
			id, err := saveDocument(ctx, tx, now, fileID, u)
			if err != nil {
				return err
			}
			if current.Valid && current.Int64 != id {
				previous = current
			}
			document = sql.NullInt64{Int64: id, Valid: true}
		}
		failpoint.Hit("db/provenance-uncommitted")
		_, err := tx.ExecContext(ctx, `UPDATE files SET provenance_state = ?1,
			provenance_since = CASE WHEN provenance_state = ?1 THEN provenance_since ELSE ?2 END,
			provenance_checked_at = ?2, provenance_due = 0, provenance_etag = ?3, provenance_failing_since = NULL, provenance_failure = '',
			provenance_id = ?4, previous_provenance_id = coalesce(?5, previous_provenance_id) WHERE id = ?6`,
			u.State, micros(now), u.ETag, document, previous, fileID)
		return err
	})
}

// saveDocument stores a document as served, or finds it where it was served before, with what verifying it gave.
func saveDocument(ctx context.Context, tx *sql.Tx, now time.Time, fileID int64, u audit.ProvenanceUpdate) (int64, error) {
	sum := sha256.Sum256(u.Body)
	digest := hex.EncodeToString(sum[:])
	var id int64
	err := tx.QueryRowContext(ctx, `SELECT id FROM provenances WHERE file_id = ? AND sha256 = ?`, fileID, digest).Scan(&id)
	switch {
	case err == nil:
		_, err = tx.ExecContext(ctx, `UPDATE provenances SET last_seen = ? WHERE id = ?`, micros(now), id)
	case errors.Is(err, sql.ErrNoRows):
		var res sql.Result
		res, err = tx.ExecContext(ctx, `INSERT INTO provenances (file_id, sha256, body, verified_with, first_seen, last_seen) VALUES (?, ?, ?, '', ?, ?)`,
			fileID, digest, u.Body, micros(now), micros(now))
		if err == nil {
			id, err = res.LastInsertId()
		}
	}
	if err != nil {
		return 0, err
	}
	return id, saveVerification(ctx, tx, now, id, u.Verification)
}

// ProvenanceFailed implements audit.Store.
func (db *DB) ProvenanceFailed(ctx context.Context, now time.Time, fileID int64, problem string) error {
	return db.write(ctx, "note that a provenance document failed", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE files SET provenance_failing_since = coalesce(provenance_failing_since, ?), provenance_failure = ? WHERE id = ?`,
			micros(now), problem, fileID)
		return err
	})
}

// Unverified implements audit.Store.
func (db *DB) Unverified(ctx context.Context, projectID int64, verifiedWith string, after int64, limit int) ([]audit.StoredDocument, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT p.id, f.id, f.filename, f.sha256, p.body FROM provenances p JOIN files f ON f.provenance_id = p.id
		WHERE f.pypi_project_id = ? AND p.verified_with <> ? AND p.id > ? ORDER BY p.id LIMIT ?`, projectID, verifiedWith, after, limit)
	if err != nil {
		return nil, fmt.Errorf("documents to verify again: %w", err)
	}
	defer rows.Close()
	var docs []audit.StoredDocument
	for rows.Next() {
		var d audit.StoredDocument
		if err := rows.Scan(&d.ID, &d.FileID, &d.Filename, &d.SHA256, &d.Body); err != nil {
			return nil, fmt.Errorf("documents to verify again: %w", err)
		}
		docs = append(docs, d)
	}
	return docs, rows.Err()
}

// SaveVerification implements audit.Store.
func (db *DB) SaveVerification(ctx context.Context, now time.Time, documentID int64, v audit.Verification) error {
	return db.write(ctx, "store a verification", func(tx *sql.Tx) error {
		return saveVerification(ctx, tx, now, documentID, v)
	})
}

// saveVerification replaces the attestations of a document. Certificates and entries are facts of their own: they
// are added, never taken away.
func saveVerification(ctx context.Context, tx *sql.Tx, now time.Time, documentID int64, v audit.Verification) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM attestations WHERE provenance_id = ?`, documentID); err != nil {
		return err
	}
	for _, a := range v.Attestations {
		if err := saveAttestation(ctx, tx, now, documentID, a); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, `UPDATE provenances SET problem = ?, verified_with = ? WHERE id = ?`, v.Problem, v.VerifiedWith, documentID)
	return err
}

func saveAttestation(ctx context.Context, tx *sql.Tx, now time.Time, documentID int64, a audit.VerifiedAttestation) error {
	if a.Statement != nil {
		if err := saveStatement(ctx, tx, *a.Statement); err != nil {
			return err
		}
	}
	certificate := sql.NullInt64{}
	if a.Certificate != nil {
		id, err := saveCertificate(ctx, tx, now, a.Certificate, a.Identity)
		if err != nil {
			return err
		}
		certificate = sql.NullInt64{Int64: id, Valid: true}
	}
	facts, err := json.Marshal(a.Facts)
	if err != nil {
		return err
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO attestations (provenance_id, bundle, position, status, predicate_type, certificate_id, facts)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, documentID, a.Facts.Bundle, a.Facts.Index, a.Facts.Status, a.Facts.PredicateType, certificate, string(facts))
	if err != nil {
		return err
	}
	id, err := res.LastInsertId()
	if err != nil {
		return err
	}
	for _, e := range a.Entries {
		entry, err := saveEntry(ctx, tx, now, e, certificate)
		if err != nil {
			return err
		}
		if err := saveClaim(ctx, tx, now, id, entry, e, a.Facts.Status == attest.Verified); err != nil {
			return err
		}
	}
	return nil
}

// saveCertificate stores a certificate, or adds the certificate itself where only its precertificate was known.
func saveCertificate(ctx context.Context, tx *sql.Tx, now time.Time, c *attest.Certificate, id *identity.Identity) (int64, error) {
	var san, issuer string
	if id != nil {
		san, issuer = id.SAN, id.Issuer
	}
	text, err := json.Marshal(id)
	if err != nil {
		return 0, err
	}
	var row int64
	err = tx.QueryRowContext(ctx, `INSERT INTO certificates (issuer_key_hash, tbs_sha256, sha256, serial, not_before, not_after, san, issuer, identity, der, first_seen)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (issuer_key_hash, tbs_sha256) DO UPDATE SET
		sha256 = CASE der IS NULL WHEN 1 THEN excluded.sha256 ELSE sha256 END, der = coalesce(der, excluded.der) RETURNING id`,
		c.IssuerKeyHash, c.TBSHash, c.SHA256, c.Serial, micros(c.NotBefore), micros(c.NotAfter), san, issuer, string(text), blob(c.DER), micros(now)).Scan(&row)
	return row, err
}

// blob stores bytes; none is NULL.
func blob(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

// saveEntry stores a log entry, or finds it, and joins it with its signer's certificate.
func saveEntry(ctx context.Context, tx *sql.Tx, now time.Time, e attest.Entry, certificate sql.NullInt64) (int64, error) {
	if _, err := tx.ExecContext(ctx, `INSERT INTO entries (log_id, origin, tree_index, global_index, leaf_hash, integrated_at, kind, api_version, body, first_seen)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		e.LogID, e.Origin, e.TreeIndex, e.LogIndex, e.LeafHash, micros(e.IntegratedTime), e.Kind, e.APIVersion, e.Body, micros(now)); err != nil {
		return 0, err
	}
	var id int64
	if err := tx.QueryRowContext(ctx, `SELECT id FROM entries WHERE origin = ? AND tree_index = ? AND leaf_hash = ?`, e.Origin, e.TreeIndex, e.LeafHash).Scan(&id); err != nil {
		return 0, err
	}
	if !certificate.Valid {
		return id, nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO entry_certificates (entry_id, certificate_id) VALUES (?, ?) ON CONFLICT DO NOTHING`, id, certificate)
	return id, err
}

// SaveDeepCheck implements audit.Store.
func (db *DB) SaveDeepCheck(ctx context.Context, now time.Time, fileID int64, sha256 string) error {
	return db.write(ctx, "store a download's digest", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE files SET deep_checked_at = ?, deep_sha256 = ? WHERE id = ?`, micros(now), sha256, fileID)
		return err
	})
}

// SaveTrustedRoot implements audit.Store.
func (db *DB) SaveTrustedRoot(ctx context.Context, now time.Time, r audit.TrustedRoot) error {
	return db.write(ctx, "store a trusted root", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO trusted_roots (sha256, source, body, expires_at, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET last_seen = excluded.last_seen, expires_at = excluded.expires_at, source = excluded.source`,
			r.SHA256, r.Source, r.Body, micros(r.ExpiresAt), micros(now), micros(now))
		return err
	})
}
