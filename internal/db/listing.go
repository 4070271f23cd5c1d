package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

var _ audit.Store = (*DB)(nil)

// Project implements audit.Store.
func (db *DB) Project(ctx context.Context, project, index, name string) (audit.ProjectFacts, error) {
	var p audit.ProjectFacts
	err := db.write(ctx, "record of project "+index+"/"+name, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO pypi_projects (index_name, name) VALUES (?, ?) ON CONFLICT DO NOTHING`, index, name); err != nil {
			return err
		}
		var err error
		p, err = readProject(ctx, tx, index, name)
		return err
	})
	p.Project = project
	return p, err
}

// queryer is what reads: a pool or a transaction.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// readProject reads a PyPI project's row and owners.
func readProject(ctx context.Context, q queryer, index, name string) (audit.ProjectFacts, error) {
	p := audit.ProjectFacts{Index: index, Name: name}
	var checked, changed, failing sql.NullInt64
	err := q.QueryRowContext(ctx, `SELECT id, status, status_reason, serial, etag, checked_at, changed_at, failing_since, failure,
		(SELECT count(*) FROM files f WHERE f.pypi_project_id = p.id AND missing_since IS NOT NULL AND removed_at IS NULL AND replaced_at IS NULL)
		FROM pypi_projects p WHERE index_name = ? AND name = ?`, index, name).
		Scan(&p.ID, &p.Status, &p.StatusReason, &p.Serial, &p.ETag, &checked, &changed, &failing, &p.Failure, &p.MissingFiles)
	if err != nil {
		return p, err
	}
	p.CheckedAt, p.ChangedAt, p.FailingSince = instant(checked), instant(changed), instant(failing)
	rows, err := q.QueryContext(ctx, `SELECT sha256, body, first_seen, last_seen FROM ownerships WHERE pypi_project_id = ? ORDER BY id`, p.ID)
	if err != nil {
		return p, err
	}
	defer rows.Close()
	for rows.Next() {
		var o audit.OwnershipFact
		var body string
		var first, last sql.NullInt64
		if err := rows.Scan(&o.SHA256, &body, &first, &last); err != nil {
			return p, err
		}
		o.Body, o.FirstSeen, o.LastSeen = json.RawMessage(body), instant(first), instant(last)
		p.Ownership = append(p.Ownership, o)
	}
	return p, rows.Err()
}

// ListingUnchanged implements audit.Store.
func (db *DB) ListingUnchanged(ctx context.Context, now time.Time, projectID int64) error {
	return db.write(ctx, "note that a listing is unchanged", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE pypi_projects SET checked_at = ?, failing_since = NULL, failure = '' WHERE id = ?`, micros(now), projectID)
		return err
	})
}

// ListingFailed implements audit.Store.
func (db *DB) ListingFailed(ctx context.Context, now time.Time, projectID int64, problem string) error {
	return db.write(ctx, "note that a listing failed", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE pypi_projects SET failing_since = coalesce(failing_since, ?), failure = ? WHERE id = ?`, micros(now), problem, projectID)
		return err
	})
}

// storedFile is the part of a file's row that a listing is compared with.
type storedFile struct {
	id                           int64
	sha256, provenanceURL, state string
	listing                      string
	missing, removed, replaced   bool
	hasProvenance, seen          bool
}

// SaveListing implements audit.Store. A file that the listing lacks is first missing, and removed when a second fresh
// listing lacks it too; a quarantined project hides its files, which tells nothing about them. A filename with
// another digest replaces the file that had it.
//
// Provenance can change without its entry in the listing doing so. It is asked for again for every file of a release that
// changed in any way; and where the serial moved although no entry did, for every file: something changed that the
// listing does not show.
func (db *DB) SaveListing(ctx context.Context, now time.Time, u audit.ListingUpdate) (audit.ListingChange, error) {
	var change audit.ListingChange
	err := db.write(ctx, "store a listing", func(tx *sql.Tx) error {
		var serial int64
		if err := tx.QueryRowContext(ctx, `SELECT serial FROM pypi_projects WHERE id = ?`, u.ProjectID).Scan(&serial); err != nil {
			return err
		}
		stored, err := storedFiles(ctx, tx, u.ProjectID)
		if err != nil {
			return err
		}
		for _, f := range u.Listing.Files {
			if err := saveListed(ctx, tx, now, u.ProjectID, f, stored[f.Filename], &change); err != nil {
				return err
			}
		}
		if u.Listing.Status != audit.StatusQuarantined {
			if err := saveMissing(ctx, tx, now, stored, &change); err != nil {
				return err
			}
		}
		query := `UPDATE files SET provenance_due = 1 WHERE pypi_project_id = ?1 AND provenance_url <> '' AND removed_at IS NULL AND replaced_at IS NULL`
		if change.Any() {
			query += ` AND version IN (SELECT version FROM files WHERE pypi_project_id = ?1 AND provenance_due = 1)`
		}
		if u.Listing.Serial > serial {
			if _, err := tx.ExecContext(ctx, query, u.ProjectID); err != nil {
				return err
			}
		}
		if err := saveOwnership(ctx, tx, now, u.ProjectID, u.Ownership); err != nil {
			return err
		}
		failpoint.Hit("db/listing-uncommitted")
		_, err = tx.ExecContext(ctx, `UPDATE pypi_projects SET
			changed_at = CASE WHEN serial <> ?1 OR status <> ?2 OR changed_at IS NULL THEN ?3 ELSE changed_at END,
			serial = ?1, status = ?2, status_reason = ?4, etag = ?5, checked_at = ?3, failing_since = NULL, failure = '' WHERE id = ?6`,
			u.Listing.Serial, u.Listing.Status, micros(now), u.Listing.StatusReason, u.Listing.ETag, u.ProjectID)
		return err
	})
	return change, err
}

// storedFiles reads the files of a project by name; a name can have stood for several.
func storedFiles(ctx context.Context, tx *sql.Tx, projectID int64) (map[string][]*storedFile, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, filename, sha256, provenance_url, provenance_state, listing, missing_since IS NOT NULL,
		removed_at IS NOT NULL, replaced_at IS NOT NULL, provenance_id IS NOT NULL FROM files WHERE pypi_project_id = ?`, projectID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	files := map[string][]*storedFile{}
	for rows.Next() {
		var name string
		f := new(storedFile)
		if err := rows.Scan(&f.id, &name, &f.sha256, &f.provenanceURL, &f.state, &f.listing, &f.missing, &f.removed, &f.replaced, &f.hasProvenance); err != nil {
			return nil, err
		}
		files[name] = append(files[name], f)
	}
	return files, rows.Err()
}

// saveListed stores one entry of a listing.
func saveListed(ctx context.Context, tx *sql.Tx, now time.Time, projectID int64, f pypi.File, stored []*storedFile, change *audit.ListingChange) error {
	var same *storedFile
	for _, s := range stored {
		if s.sha256 == f.SHA256 {
			same = s
		}
	}
	for _, s := range stored {
		if s == same || s.replaced {
			continue
		}
		change.Replaced++
		s.seen = true
		if _, err := tx.ExecContext(ctx, `UPDATE files SET replaced_at = ?, replaced_by = ?, provenance_due = 0 WHERE id = ?`, micros(now), f.SHA256, s.id); err != nil {
			return err
		}
	}
	if same == nil {
		change.Added++
		return insertFile(ctx, tx, now, projectID, f)
	}
	same.seen = true
	switch {
	case same.replaced || same.removed || same.missing:
		change.Returned++
	case same.listing != string(f.Raw):
		change.Changed++
	}
	// The provenance is asked for again when the listing's entry of the file changed in any way.
	due := f.ProvenanceURL != "" && (same.listing != string(f.Raw) || same.removed || same.replaced)
	if _, err := tx.ExecContext(ctx, `UPDATE files SET size = ?, url = ?, uploaded_at = ?, yanked = ?, yanked_reason = ?, listing = ?, last_seen = ?,
		missing_since = NULL, removed_at = NULL, replaced_at = NULL, replaced_by = '', provenance_url = ?,
		provenance_due = CASE WHEN ? THEN 1 ELSE provenance_due END WHERE id = ?`,
		f.Size, f.URL, micros(f.UploadedAt), f.Yanked, f.YankedReason, string(f.Raw), micros(now), f.ProvenanceURL, due, same.id); err != nil {
		return err
	}
	// Only the listing decides between none, untold and named; what a named one turned out to be stays.
	was, is := audit.ProvenanceState(same.state), listedState(f)
	named := was != audit.ProvenanceNone && was != audit.ProvenanceUntold
	if is == was || is == audit.ProvenancePending && named {
		return nil
	}
	return provenanceState(ctx, tx, now, same.id, is)
}

// listedState is what a listing says of a file's provenance.
func listedState(f pypi.File) audit.ProvenanceState {
	switch {
	case f.ProvenanceURL != "":
		return audit.ProvenancePending
	case f.ProvenanceTold:
		return audit.ProvenanceNone
	}
	return audit.ProvenanceUntold
}

// provenanceState moves a file to another state of its provenance for which nothing needs to be asked, or not yet.
func provenanceState(ctx context.Context, tx *sql.Tx, now time.Time, fileID int64, state audit.ProvenanceState) error {
	_, err := tx.ExecContext(ctx, `UPDATE files SET provenance_state = ?, provenance_since = ?, provenance_etag = '', provenance_due = ?,
		provenance_failing_since = NULL, provenance_failure = '' WHERE id = ?`, state, micros(now), state == audit.ProvenancePending, fileID)
	return err
}

// insertFile stores a file seen for the first time.
func insertFile(ctx context.Context, tx *sql.Tx, now time.Time, projectID int64, f pypi.File) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO releases (pypi_project_id, version, first_seen) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		projectID, f.Version, micros(now)); err != nil {
		return err
	}
	state := listedState(f)
	_, err := tx.ExecContext(ctx, `INSERT INTO files (pypi_project_id, version, filename, sha256, size, url, uploaded_at, yanked, yanked_reason,
		name_error, listing, first_seen, last_seen, provenance_url, provenance_state, provenance_since, provenance_due)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		projectID, f.Version, f.Filename, f.SHA256, f.Size, f.URL, micros(f.UploadedAt), f.Yanked, f.YankedReason,
		f.NameError, string(f.Raw), micros(now), micros(now), f.ProvenanceURL, state, micros(now), state == audit.ProvenancePending)
	return err
}

// saveMissing marks what the listing lacks.
func saveMissing(ctx context.Context, tx *sql.Tx, now time.Time, stored map[string][]*storedFile, change *audit.ListingChange) error {
	for _, files := range stored {
		for _, s := range files {
			if s.seen || s.removed || s.replaced {
				continue
			}
			query := `UPDATE files SET missing_since = ? WHERE id = ?`
			if s.missing {
				change.Removed++
				query = `UPDATE files SET removed_at = ?, provenance_due = 0 WHERE id = ?`
			} else {
				change.Missing++
			}
			if _, err := tx.ExecContext(ctx, query, micros(now), s.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// saveOwnership appends an answer about owners where it differs from the last.
func saveOwnership(ctx context.Context, tx *sql.Tx, now time.Time, projectID int64, body json.RawMessage) error {
	if body == nil {
		return nil
	}
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	var id int64
	var last string
	err := tx.QueryRowContext(ctx, `SELECT id, sha256 FROM ownerships WHERE pypi_project_id = ? ORDER BY id DESC LIMIT 1`, projectID).Scan(&id, &last)
	switch {
	case err == nil && last == digest:
		_, err = tx.ExecContext(ctx, `UPDATE ownerships SET last_seen = ? WHERE id = ?`, micros(now), id)
	case err == nil || errors.Is(err, sql.ErrNoRows):
		_, err = tx.ExecContext(ctx, `INSERT INTO ownerships (pypi_project_id, sha256, body, first_seen, last_seen) VALUES (?, ?, ?, ?, ?)`,
			projectID, digest, string(body), micros(now), micros(now))
	}
	return err
}
