package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// OwnCertificates calls fn for each certificate that a CT log shows in a watched project's own name, in the order in which the record
// met them.
func (db *DB) OwnCertificates(ctx context.Context, fn func(audit.CertificateFacts) error) error {
	if err := db.ownCertificates(ctx, ownQuery, fn); err != nil {
		return fmt.Errorf("certificates in the record: %w", err)
	}
	return nil
}

// OpenCertificates implements audit.LogRecord.
func (db *DB) OpenCertificates(ctx context.Context, fn func(audit.CertificateFacts) error) error {
	if err := db.ownCertificates(ctx, openQuery, fn); err != nil {
		return fmt.Errorf("certificates in the record: %w", err)
	}
	return nil
}

// certificateEntries and certificateAttestations count what a certificate h.certificate_id is known to have signed.
var (
	certificateEntries      = `(SELECT count(*) FROM entry_certificates ec WHERE ec.certificate_id = h.certificate_id AND ` + provenEntry + `)`
	certificateAttestations = `(SELECT count(*) FROM attestations a WHERE a.certificate_id = h.certificate_id AND a.status <> 'failed')`
)

// ownHit is true of a hit h of a log l that shows a certificate in a project's own name.
const ownHit = `h.kind = 'certificate' AND h.chained = 1 AND h.class IN ('self', 'signer') AND h.tree_index < l.proven_index`

// ownColumns are what ownCertificates reads.
var ownColumns = `SELECT h.certificate_id, c.tbs_sha256, c.serial, c.not_before, c.not_after, c.identity, h.project, h.class,
	l.origin, h.tree_index, h.leaf_hash, h.logged_at, h.first_seen, ` + certificateEntries + `, ` + certificateAttestations

// ownQuery and openQuery read them in the order of an index: of a million hits, a few are certificates of one's own, and of these a few
// are open.
var (
	ownQuery = ownColumns + ` FROM hits h JOIN logs l ON l.id = h.log_id JOIN certificates c ON c.id = h.certificate_id
		WHERE ` + ownHit + ` ORDER BY h.certificate_id, h.first_seen, l.origin, h.tree_index`
	openQuery = ownColumns + ` FROM open_certificates o CROSS JOIN hits h ON h.certificate_id = o.certificate_id JOIN logs l ON l.id = h.log_id JOIN certificates c ON c.id = h.certificate_id
		WHERE ` + ownHit + ` ORDER BY o.certificate_id, h.first_seen, l.origin, h.tree_index`
)

func (db *DB) ownCertificates(ctx context.Context, query string, fn func(audit.CertificateFacts) error) error {
	rows, err := db.r.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	last := int64(-1)
	for rows.Next() {
		var c audit.CertificateFacts
		var id int64
		var text string
		var before, after, logged, first sql.NullInt64
		if err := rows.Scan(&id, &c.TBSSHA256, &c.Serial, &before, &after, &text, &c.Project, &c.Class, &c.Log.Origin, &c.Log.Index, &c.LeafHash, &logged, &first,
			&c.Entries, &c.Attestations); err != nil {
			return err
		}
		if id == last {
			continue // another CT log has it too
		}
		last = id
		if err := json.Unmarshal([]byte(text), &c.Identity); err != nil {
			return err
		}
		c.Log.GlobalIndex = c.Log.Index
		c.NotBefore, c.NotAfter, c.LoggedAt, c.FirstSeen = instant(before), instant(after), instant(logged), instant(first)
		if err := fn(c); err != nil {
			return err
		}
	}
	return rows.Err()
}
