package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// shownFiles is how many of the files that a certificate signed are listed with it.
const shownFiles = 10

// BrokenPromises implements audit.LogRecord.
func (db *DB) BrokenPromises(ctx context.Context, fn func(audit.PromiseFacts) error) error {
	if err := db.brokenPromises(ctx, fn); err != nil {
		return fmt.Errorf("promises in the record that were not kept: %w", err)
	}
	return nil
}

func (db *DB) brokenPromises(ctx context.Context, fn func(audit.PromiseFacts) error) error {
	rows, err := db.r.QueryContext(ctx, `SELECT c.id, c.tbs_sha256, c.issuer_key_hash, c.der, c.identity, c.first_seen,
		coalesce((SELECT h.project FROM entry_certificates ec JOIN hits h ON h.entry_id = ec.entry_id WHERE ec.certificate_id = c.id AND h.project <> '' ORDER BY h.id LIMIT 1), ''),
		(SELECT count(*) FROM entry_certificates ec WHERE ec.certificate_id = c.id AND `+provenEntry+`),
		x.log_id, coalesce((SELECT l.origin FROM logs l WHERE l.key_id = x.log_id AND l.kind LIKE 'ct-%' ORDER BY l.checked_at DESC LIMIT 1), ''),
		x.outcome, x.problem, x.leaf_hash, x.promised_at, x.asked_at, x.failing_since, coalesce(k.size, 0), x.tree_head_at, x.tree_head
		FROM ct_lookups x JOIN certificates c ON c.id = x.certificate_id LEFT JOIN checkpoints k ON k.id = x.checkpoint_id
		WHERE x.outcome NOT IN ('found', 'unneeded') ORDER BY c.id, x.log_id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var p audit.PromiseFacts
		var id int64
		var text string
		var first, promised, asked, failing, head sql.NullInt64
		if err := rows.Scan(&id, &p.TBSSHA256, &p.IssuerKeyHash, &p.DER, &text, &first, &p.Project, &p.Entries, &p.LogID, &p.Origin,
			&p.Outcome, &p.Problem, &p.LeafHash, &promised, &asked, &failing, &p.TreeSize, &head, &p.TreeHead); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), &p.Identity); err != nil {
			return err
		}
		p.FirstSeen, p.PromisedAt, p.AskedAt, p.FailingSince, p.TreeHeadAt = instant(first), instant(promised), instant(asked), instant(failing), instant(head)
		if p.Files, err = db.attestedFiles(ctx, id); err != nil {
			return err
		}
		if err := fn(p); err != nil {
			return err
		}
	}
	return rows.Err()
}

// attestedFiles lists the first few files that have an attestation made with a certificate.
func (db *DB) attestedFiles(ctx context.Context, certificateID int64) ([]audit.AttestedFile, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT DISTINCT p.index_name || '/' || p.name, f.filename, f.sha256 FROM attestations a
		JOIN provenances v ON v.id = a.provenance_id JOIN files f ON f.id = v.file_id JOIN pypi_projects p ON p.id = f.pypi_project_id
		WHERE a.certificate_id = ? ORDER BY f.id LIMIT ?`, certificateID, shownFiles)
	if err != nil {
		return nil, err
	}
	return scanFiles(rows)
}

// scanFiles reads rows of an index project, a filename and a digest, and closes them.
func scanFiles(rows *sql.Rows) ([]audit.AttestedFile, error) {
	defer rows.Close()
	var files []audit.AttestedFile
	for rows.Next() {
		var f audit.AttestedFile
		if err := rows.Scan(&f.PyPIProject, &f.File, &f.SHA256); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, rows.Err()
}

// unanswered adds to a log how many of its promises could not be looked up, since when, and why the last one not.
func (db *DB) unanswered(ctx context.Context, l *audit.LogFacts) error {
	var since sql.NullInt64
	err := db.r.QueryRowContext(ctx, `SELECT count(*), min(x.failing_since), coalesce(max(x.problem), '') FROM ct_lookups x
		WHERE x.log_id = (SELECT key_id FROM logs WHERE origin = ?) AND x.outcome NOT IN ('found', 'unneeded') AND x.outcome IN ('unknown', 'missing') AND x.failing_since IS NOT NULL`,
		l.Origin).Scan(&l.Unanswered, &since, &l.UnansweredWhy)
	l.UnansweredSince = instant(since)
	return err
}
