package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/rekor"
)

// foreignEntries are the entries of signers, a JSON list ?1, and of keys without a certificate, that are accounted for by what they
// sign: that is a file, or a statement about files. What the configuration has watched is somebody's of the project's.
var foreignEntries = `SELECT e.origin, e.tree_index, e.global_index, e.leaf_hash, a.account, e.first_seen, x.identity, coalesce(x.chained, 0), x.id IS NULL,
	coalesce(e.integrated_at, h.logged_at, (SELECT s.seen_at FROM seen_digests s WHERE s.log_id = h.log_id AND s.from_index <= h.tree_index ORDER BY s.from_index DESC LIMIT 1)), p.index_name || '/' || p.name, f.filename, f.sha256, f.uploaded_at
	FROM (SELECT s.value AS signer, ec.entry_id FROM json_each(?1) s JOIN jobs j ON j.signer_id = s.value JOIN certificates c ON c.job_id = j.id
			JOIN entry_certificates ec ON ec.certificate_id = c.id
		UNION SELECT NULL, y.entry_id FROM hits y WHERE y.certificate_id IS NULL AND y.kind = 'entry') o
	JOIN accounts a ON a.entry_id = o.entry_id AND a.account IN ('file', 'statement', 'provenance', 'partly')
	JOIN entries e ON e.id = o.entry_id JOIN hits h ON h.entry_id = o.entry_id JOIN logs l ON l.id = h.log_id LEFT JOIN signers x ON x.id = o.signer
	JOIN files f ON f.id = (SELECT g.id FROM files g WHERE g.sha256 IN (SELECT sha256 FROM entry_hashes WHERE entry_id = o.entry_id
		UNION SELECT u.sha256 FROM entry_hashes k JOIN statements t ON t.sha256 = k.sha256 OR t.pae_sha256 = k.sha256 JOIN statement_subjects u ON u.statement = t.sha256
			WHERE k.entry_id = o.entry_id) ORDER BY g.filename, g.sha256, g.id LIMIT 1)
	JOIN pypi_projects p ON p.id = f.pypi_project_id
	WHERE h.class NOT IN ('e-mail', 'key', 'owner') AND ` + provenHit + ` ORDER BY e.origin, e.tree_index, e.leaf_hash, x.identity`

// ForeignEntries implements audit.LogRecord.
func (db *DB) ForeignEntries(ctx context.Context, signers []int64, fn func(audit.ForeignFacts) error) error {
	list, err := json.Marshal(signers)
	if err != nil {
		return err
	}
	rows, err := db.r.QueryContext(ctx, foreignEntries, string(list))
	if err != nil {
		return fmt.Errorf("signatures by others in the record: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var f audit.ForeignFacts
		var text sql.NullString
		var first, logged, uploaded sql.NullInt64
		if err := rows.Scan(&f.Origin, &f.Index, &f.GlobalIndex, &f.LeafHash, &f.Account, &first, &text, &f.Chained, &f.Key, &logged,
			&f.File.PyPIProject, &f.File.File, &f.File.SHA256, &uploaded); err != nil {
			return fmt.Errorf("signatures by others in the record: %w", err)
		}
		if text.Valid {
			if err := json.Unmarshal([]byte(text.String), &f.Identity); err != nil {
				return fmt.Errorf("signatures by others in the record: %w", err)
			}
		}
		f.FirstSeen, f.LoggedAt, f.UploadedAt = instant(first), instant(logged), instant(uploaded)
		if err := fn(f); err != nil {
			return err
		}
	}
	return rows.Err()
}

// StatesFile implements audit.Rekor1Store.
func (r *Rekor1) StatesFile(ctx context.Context, hashes []rekor.Hash) (bool, error) {
	for _, h := range hashes {
		var n int
		err := r.db.r.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM statements s JOIN statement_subjects u ON u.statement = s.sha256 JOIN files f ON f.sha256 = u.sha256
			WHERE s.sha256 = ?1 OR s.pae_sha256 = ?1 LIMIT 1)`, h.Hex).Scan(&n)
		if err != nil {
			return false, fmt.Errorf("statements about files in the record: %w", err)
		}
		if n > 0 {
			return true, nil
		}
	}
	return false, nil
}
