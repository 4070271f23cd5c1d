package db

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// explainedLeaves is how many leaves of one certificate are explained.
const explainedLeaves = 20

// ExplainedFile says which files to explain; an empty field does not restrict, but one of the last two is needed.
type ExplainedFile struct {
	Index, PyPIProject string
	Filename, SHA256   string
}

// ExplainedFiles returns files with all that is known of their attestations' entries and certificates, the newest first, and no more than a few.
func (db *DB) ExplainedFiles(ctx context.Context, want ExplainedFile) ([]audit.ExplainedFile, error) {
	return db.explainedFiles(ctx, `(?1 = '' OR p.index_name = ?1) AND (?2 = '' OR p.name = ?2) AND (?3 = '' OR f.filename = ?3) AND (?4 = '' OR f.sha256 = ?4) AND ?3 || ?4 <> ''`,
		want.Index, want.PyPIProject, want.Filename, want.SHA256)
}

// CertificateFiles returns files whose attestations were made with a certificate, by its TBS, as ExplainedFiles does.
func (db *DB) CertificateFiles(ctx context.Context, tbs string) ([]audit.ExplainedFile, error) {
	return db.explainedFiles(ctx, `f.id IN (SELECT v.file_id FROM certificates c JOIN attestations a ON a.certificate_id = c.id JOIN provenances v ON v.id = a.provenance_id
		WHERE c.tbs_sha256 = ?1 AND (v.github_bundle_id IS NOT NULL OR v.id = f.provenance_id))`, tbs)
}

func (db *DB) explainedFiles(ctx context.Context, where string, args ...any) ([]audit.ExplainedFile, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT f.id, p.id, p.index_name, p.name FROM files f JOIN pypi_projects p ON p.id = f.pypi_project_id
		WHERE `+where+fmt.Sprintf(` ORDER BY f.id DESC LIMIT %d`, shownFiles), args...)
	if err != nil {
		return nil, fmt.Errorf("files to explain: %w", err)
	}
	defer rows.Close()
	type place struct {
		id, project int64
		index, name string
	}
	var found []place
	for rows.Next() {
		var p place
		if err := rows.Scan(&p.id, &p.project, &p.index, &p.name); err != nil {
			return nil, fmt.Errorf("files to explain: %w", err)
		}
		found = append(found, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("files to explain: %w", err)
	}
	var all []audit.ExplainedFile
	for _, p := range found {
		files, err := db.files(ctx, "f.id = ?", p.id)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			one := []audit.FileFacts{f}
			if err := db.addStore(ctx, p.project, f.Version, one); err != nil {
				return nil, err
			}
			x := explainedFile(one[0])
			x.Index, x.PyPIProject = p.index, p.name
			if x.Entries, err = db.explainedEntries(ctx, p.id); err != nil {
				return nil, fmt.Errorf("entries of %s: %w", f.Filename, err)
			}
			if x.Certificates, err = db.explainedCertificates(ctx, `c.id IN (SELECT a.certificate_id FROM files f JOIN provenances v ON `+documentsOf+` JOIN attestations a ON a.provenance_id = v.id WHERE f.id = ?)`, p.id); err != nil {
				return nil, fmt.Errorf("certificates of %s: %w", f.Filename, err)
			}
			all = append(all, x)
		}
	}
	return all, nil
}

func explainedFile(f audit.FileFacts) audit.ExplainedFile {
	x := audit.ExplainedFile{Release: f.Version, File: f.Filename, SHA256: f.SHA256, Listing: f.Listing, UploadedAt: f.UploadedAt,
		FirstSeen: f.FirstSeen, LastSeen: f.LastSeen, RemovedAt: f.RemovedAt, ReplacedAt: f.ReplacedAt, ReplacedBy: f.ReplacedBy,
		Provenance: f.Provenance.State, ProvenanceURL: f.Provenance.URL}
	if d := f.Provenance.Document; d != nil {
		x.Document, x.DocumentSeen = d.SHA256, d.LastSeen
	}
	if s := f.Store; s.State != "" || s.Failure != "" || len(s.Bundles) > 0 {
		x.Store = &audit.ExplainedStore{State: s.State, CheckedAt: s.CheckedAt, Failure: s.Failure}
		for _, b := range s.Bundles {
			x.Store.Bundles = append(x.Store.Bundles, audit.ExplainedBundle{SHA256: b.SHA256, FirstSeen: b.FirstSeen, LastSeen: b.LastSeen, GoneAt: b.GoneAt})
		}
	}
	return x
}

// documentsOf is of a file what the index serves with it now, and what GitHub's store has.
const documentsOf = `(v.file_id = f.id AND (v.id = f.provenance_id OR v.github_bundle_id IS NOT NULL))`

// explainedEntries returns what is known of the entries that the latest document of a file names, and its bundles in GitHub's store.
func (db *DB) explainedEntries(ctx context.Context, fileID int64) ([]audit.ExplainedEntry, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT DISTINCT e.origin, e.tree_index, e.leaf_hash, k.entry_id IS NOT NULL, coalesce(k.outcome, ''), k.since, k.proof,
		g.id IS NOT NULL, coalesce(g.outcome, ''),
		EXISTS (SELECT 1 FROM logs l JOIN proven_ranges r ON r.log_id = l.id WHERE l.origin = e.origin AND r.from_index <= e.tree_index AND e.tree_index < r.to_index)
		FROM files f JOIN provenances v ON `+documentsOf+` JOIN attestations a ON a.provenance_id = v.id JOIN attestation_entries ae ON ae.attestation_id = a.id JOIN entries e ON e.id = ae.entry_id
		LEFT JOIN entry_checks k ON k.entry_id = e.id AND k.global_index = ae.global_index AND k.integrated_at = coalesce(ae.integrated_at, 0)
		LEFT JOIN gossip g ON g.id = ae.gossip_id WHERE f.id = ? ORDER BY e.origin, e.tree_index, e.leaf_hash`, fileID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []audit.ExplainedEntry
	for rows.Next() {
		var e audit.ExplainedEntry
		var since sql.NullInt64
		var proof sql.NullString
		if err := rows.Scan(&e.Origin, &e.Index, &e.LeafHash, &e.Asked, &e.Outcome, &since, &proof, &e.Heard, &e.Gossip, &e.Read); err != nil {
			return nil, err
		}
		if e.Outcome != audit.EntryUnknown {
			e.OutcomeAt = instant(since)
		}
		if proof.Valid && e.Outcome == audit.EntrySame {
			if err := json.Unmarshal([]byte(proof.String), &e.Proof); err != nil {
				return nil, err
			}
		}
		all = append(all, e)
	}
	return all, rows.Err()
}

// explainedCertificates returns what is known of certificates. where is SQL of this package with one parameter.
func (db *DB) explainedCertificates(ctx context.Context, where string, arg any) ([]audit.ExplainedCertificate, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT c.tbs_sha256, c.sha256, x.log_id, coalesce((SELECT l.origin FROM logs l WHERE l.key_id = x.log_id AND l.kind LIKE 'ct-%' ORDER BY l.origin LIMIT 1), ''),
		x.outcome, x.problem, x.asked_at FROM certificates c LEFT JOIN ct_lookups x ON x.certificate_id = c.id WHERE `+where+` ORDER BY c.tbs_sha256, x.log_id`, arg)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []audit.ExplainedCertificate
	for rows.Next() {
		var c audit.ExplainedCertificate
		var log, outcome, problem sql.NullString
		var asked sql.NullInt64
		var p audit.ExplainedPromise
		if err := rows.Scan(&c.TBSSHA256, &c.SHA256, &log, &p.Origin, &outcome, &problem, &asked); err != nil {
			return nil, err
		}
		if n := len(all); n == 0 || all[n-1].TBSSHA256 != c.TBSSHA256 {
			all = append(all, c)
		}
		if outcome.Valid {
			p.LogID, p.Outcome, p.Problem, p.AskedAt = log.String, audit.LookupOutcome(outcome.String), problem.String, instant(asked)
			last := &all[len(all)-1]
			last.Promises = append(last.Promises, p)
		}
	}
	return all, rows.Err()
}

// ExplainedLeaf returns the leaf that a finding about an entry is about.
func (db *DB) ExplainedLeaf(ctx context.Context, origin, leafHash string) ([]audit.ExplainedLeaf, error) {
	all, _, err := db.explainedLeafs(ctx, `l.origin = ?1 AND h.leaf_hash = ?2`, origin, leafHash)
	return all, err
}

// ExplainedLeaves returns the leaves that show a certificate, by its TBS, and whether there are more than are returned.
func (db *DB) ExplainedLeaves(ctx context.Context, tbs string) (all []audit.ExplainedLeaf, more bool, err error) {
	return db.explainedLeafs(ctx, `h.id IN (SELECT h.id FROM hits h JOIN certificates c ON c.id = h.certificate_id WHERE c.tbs_sha256 = ?1
		UNION SELECT h.id FROM hits h JOIN entry_certificates ec ON ec.entry_id = h.entry_id JOIN certificates c ON c.id = ec.certificate_id WHERE c.tbs_sha256 = ?1)`, tbs)
}

func (db *DB) explainedLeafs(ctx context.Context, where string, args ...any) (all []audit.ExplainedLeaf, more bool, err error) {
	if all, err = db.leafRows(ctx, where, args...); err != nil {
		return nil, false, fmt.Errorf("leaves to explain: %w", err)
	}
	if more = len(all) > explainedLeaves; more {
		all = all[:explainedLeaves]
	}
	for i := range all {
		l := &all[i]
		for _, tbs := range slices.Sorted(maps.Keys(l.Certificates)) {
			known, err := db.explainedCertificates(ctx, "c.tbs_sha256 = ?", tbs)
			if err != nil {
				return nil, false, fmt.Errorf("certificates of a leaf: %w", err)
			}
			l.Promises = append(l.Promises, known...)
		}
		if l.Files, err = db.filesOfLeaf(ctx, l.Origin, l.LeafHash); err != nil {
			return nil, false, fmt.Errorf("files of a leaf: %w", err)
		}
	}
	return all, more, nil
}

// leafRows reads one more leaf than is explained.
func (db *DB) leafRows(ctx context.Context, where string, args ...any) ([]audit.ExplainedLeaf, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT l.origin, h.tree_index, h.leaf_hash, h.kind, h.first_seen, h.body, h.proof, `+provenHit+`,
		CASE WHEN h.proof IS NULL AND h.tree_index < l.proven_index THEN c.raw END
		FROM hits h JOIN logs l ON l.id = h.log_id LEFT JOIN checkpoints c ON c.id = l.checkpoint_id
		WHERE `+where+fmt.Sprintf(` ORDER BY l.origin, h.tree_index LIMIT %d`, explainedLeaves+1), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []audit.ExplainedLeaf
	for rows.Next() {
		var l audit.ExplainedLeaf
		var first sql.NullInt64
		var body string
		var proof sql.NullString
		if err := rows.Scan(&l.Origin, &l.Index, &l.LeafHash, &l.Kind, &first, &body, &proof, &l.Proven, &l.Checkpoint); err != nil {
			return nil, err
		}
		var hit audit.LogHit
		if err := json.Unmarshal([]byte(body), &hit); err != nil {
			return nil, err
		}
		if proof.Valid {
			if err := json.Unmarshal([]byte(proof.String), &l.Proof); err != nil {
				return nil, err
			}
		}
		l.FirstSeen, l.GlobalIndex, l.Certificates = instant(first), cmp.Or(hit.GlobalIndex, l.Index), map[string]string{}
		for _, c := range hit.Certificates {
			l.Certificates[c.TBSSHA256] = c.Match.Project
		}
		all = append(all, l)
	}
	return all, rows.Err()
}

// filesOfLeaf lists the first few files of which an attestation, as the index serves it now or in GitHub's store, names an entry, or was
// made with a certificate that it shows.
func (db *DB) filesOfLeaf(ctx context.Context, origin, leafHash string) ([]audit.AttestedFile, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT DISTINCT p.index_name || '/' || p.name, f.filename, f.sha256 FROM provenances v JOIN files f ON f.id = v.file_id
		JOIN pypi_projects p ON p.id = f.pypi_project_id WHERE (v.id = f.provenance_id OR v.github_bundle_id IS NOT NULL) AND v.id IN (
			SELECT a.provenance_id FROM hits h JOIN logs l ON l.id = h.log_id JOIN attestations a ON a.certificate_id = h.certificate_id WHERE l.origin = ?1 AND h.leaf_hash = ?2
			UNION SELECT a.provenance_id FROM entries e JOIN attestation_entries ae ON ae.entry_id = e.id JOIN attestations a ON a.id = ae.attestation_id WHERE e.origin = ?1 AND e.leaf_hash = ?2)
		ORDER BY f.id LIMIT ?3`, origin, leafHash, shownFiles)
	if err != nil {
		return nil, err
	}
	return scanFiles(rows)
}
