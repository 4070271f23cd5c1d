package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// Versions implements audit.Store.
func (db *DB) Versions(ctx context.Context, projectID int64) ([]string, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT version FROM releases WHERE pypi_project_id = ?`, projectID)
	if err != nil {
		return nil, fmt.Errorf("versions in the record: %w", err)
	}
	defer rows.Close()
	var versions []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, fmt.Errorf("versions in the record: %w", err)
		}
		versions = append(versions, v)
	}
	return versions, rows.Err()
}

// Release implements audit.Store.
func (db *DB) Release(ctx context.Context, projectID int64, version string) (audit.ReleaseFacts, error) {
	files, err := db.files(ctx, `f.pypi_project_id = ? AND f.version = ? ORDER BY +f.filename, f.id`, projectID, version)
	if err == nil {
		err = db.addStore(ctx, projectID, version, files)
	}
	return audit.ReleaseFacts{Version: version, Files: files}, err
}

// files reads files with their provenance as the rules see them. where is SQL of this package, never of a user.
func (db *DB) files(ctx context.Context, where string, args ...any) ([]audit.FileFacts, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT f.id, f.filename, f.sha256, f.version, f.size, f.url, f.uploaded_at, f.yanked, f.yanked_reason,
		f.first_seen, f.last_seen, f.missing_since, f.removed_at, f.replaced_at, f.replaced_by, f.deep_checked_at, f.deep_sha256, f.listing, f.name_error,
		f.provenance_url, f.provenance_etag, f.provenance_state, f.provenance_since, f.provenance_checked_at, f.provenance_failing_since, f.provenance_failure,
		p.id, p.sha256, p.first_seen, p.last_seen, p.problem, p.verified_with, q.sha256, q.first_seen, q.last_seen
		FROM files f LEFT JOIN provenances p ON p.id = f.provenance_id LEFT JOIN provenances q ON q.id = f.previous_provenance_id
		WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("files in the record: %w", err)
	}
	defer rows.Close()
	var files []audit.FileFacts
	documents := map[int64]*audit.DocumentFacts{}
	for rows.Next() {
		var f audit.FileFacts
		var document sql.NullInt64
		if err := scanFile(rows, &f, &document); err != nil {
			return nil, fmt.Errorf("files in the record: %w", err)
		}
		if document.Valid {
			documents[document.Int64] = f.Provenance.Document
		}
		files = append(files, f)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("files in the record: %w", err)
	}
	for id, d := range documents {
		if d.Attestations, err = attestations(ctx, db.r, id); err != nil {
			return nil, fmt.Errorf("attestations in the record: %w", err)
		}
	}
	return files, nil
}

func scanFile(rows *sql.Rows, f *audit.FileFacts, document *sql.NullInt64) error {
	var uploaded, first, last, missing, removed, replaced, deep, since, checked, failing sql.NullInt64
	var docFirst, docLast, prevFirst, prevLast sql.NullInt64
	var docSHA, problem, verifiedWith, prevSHA sql.NullString
	var listing string
	p := &f.Provenance
	if err := rows.Scan(&f.ID, &f.Filename, &f.SHA256, &f.Version, &f.Size, &f.URL, &uploaded, &f.Yanked, &f.YankedReason,
		&first, &last, &missing, &removed, &replaced, &f.ReplacedBy, &deep, &f.DeepSHA256, &listing, &f.NameError,
		&p.URL, &p.ETag, &p.State, &since, &checked, &failing, &p.Failure,
		document, &docSHA, &docFirst, &docLast, &problem, &verifiedWith, &prevSHA, &prevFirst, &prevLast); err != nil {
		return err
	}
	f.Listing = json.RawMessage(listing)
	f.UploadedAt, f.FirstSeen, f.LastSeen = instant(uploaded), instant(first), instant(last)
	f.MissingSince, f.RemovedAt, f.ReplacedAt, f.DeepCheckedAt = instant(missing), instant(removed), instant(replaced), instant(deep)
	p.Since, p.CheckedAt, p.FailingSince = instant(since), instant(checked), instant(failing)
	if docSHA.Valid {
		p.Document = &audit.DocumentFacts{SHA256: docSHA.String, FirstSeen: instant(docFirst), LastSeen: instant(docLast),
			Problem: problem.String, VerifiedWith: verifiedWith.String}
	}
	if prevSHA.Valid {
		p.Previous = &audit.DocumentFacts{SHA256: prevSHA.String, FirstSeen: instant(prevFirst), LastSeen: instant(prevLast)}
	}
	return nil
}

// attestations reads what verifying a document gave.
func attestations(ctx context.Context, q queryer, documentID int64) ([]audit.AttestationFacts, error) {
	rows, err := q.QueryContext(ctx, `SELECT facts FROM attestations WHERE provenance_id = ? ORDER BY bundle, position`, documentID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []audit.AttestationFacts
	for rows.Next() {
		var text string
		var a audit.AttestationFacts
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), &a); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, rows.Err()
}

// Document returns a provenance document, a bundle of GitHub's store or a trusted root by its digest; nil where the record has none.
func (db *DB) Document(ctx context.Context, sha256 string) ([]byte, error) {
	return db.body(ctx, `SELECT body FROM github_bundles WHERE sha256 = ?1 UNION ALL SELECT body FROM provenances WHERE sha256 = ?1 AND github_bundle_id IS NULL
		UNION ALL SELECT body FROM trusted_roots WHERE sha256 = ?1 LIMIT 1`, sha256)
}

// Leaf returns a log's leaf by its hash, nil where the record has none.
func (db *DB) Leaf(ctx context.Context, leafHash string) ([]byte, error) {
	return db.body(ctx, `SELECT leaf FROM hits WHERE leaf_hash = ?1 UNION ALL SELECT body FROM entries WHERE leaf_hash = ?1 LIMIT 1`, leafHash)
}

// body reads one value, nil where there is none.
func (db *DB) body(ctx context.Context, query string, args ...any) ([]byte, error) {
	var body []byte
	err := db.r.QueryRowContext(ctx, query, args...).Scan(&body)
	if err == sql.ErrNoRows {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("evidence in the record: %w", err)
	}
	return body, nil
}

// TrustedRoots returns the trusted roots last used, newest first.
func (db *DB) TrustedRoots(ctx context.Context) ([]audit.TrustedRoot, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT sha256, source, body, expires_at FROM trusted_roots
		WHERE last_seen = (SELECT max(last_seen) FROM trusted_roots) ORDER BY first_seen DESC, sha256`)
	if err != nil {
		return nil, fmt.Errorf("trusted roots in the record: %w", err)
	}
	defer rows.Close()
	var roots []audit.TrustedRoot
	for rows.Next() {
		var r audit.TrustedRoot
		var expires sql.NullInt64
		if err := rows.Scan(&r.SHA256, &r.Source, &r.Body, &expires); err != nil {
			return nil, fmt.Errorf("trusted roots in the record: %w", err)
		}
		r.ExpiresAt = instant(expires)
		roots = append(roots, r)
	}
	return roots, rows.Err()
}
