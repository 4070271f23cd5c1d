package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/github"
)

// Repository implements audit.GitHubStore.
func (db *DB) Repository(ctx context.Context, name string) (audit.RepositoryFacts, error) {
	r := audit.RepositoryFacts{Name: name}
	var since, checked, due, failing sql.NullInt64
	err := db.r.QueryRowContext(ctx, `SELECT current_name, repository_id, owner_id, visibility, since, checked_at, due_at, failing_since, failure
		FROM github_repositories WHERE name = ?`, name).Scan(&r.Current, &r.ID, &r.OwnerID, &r.Visibility, &since, &checked, &due, &failing, &r.Failure)
	if err != nil && err != sql.ErrNoRows {
		return r, fmt.Errorf("repository %s in the record: %w", name, err)
	}
	r.Since, r.CheckedAt, r.DueAt, r.FailingSince = instant(since), instant(checked), instant(due), instant(failing)
	return r, nil
}

// SaveRepository implements audit.GitHubStore.
func (db *DB) SaveRepository(ctx context.Context, now time.Time, name string, r github.Repository, due time.Time) error {
	return db.write(ctx, "store what GitHub says of "+name, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO github_repositories (name, current_name, repository_id, owner_id, visibility, since, checked_at, due_at)
			VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7) ON CONFLICT (name) DO UPDATE SET
			since = CASE WHEN current_name = ?2 AND repository_id = ?3 AND owner_id = ?4 THEN since ELSE ?6 END,
			current_name = ?2, repository_id = ?3, owner_id = ?4, visibility = ?5, checked_at = ?6, due_at = ?7, failing_since = NULL, failure = ''`,
			name, r.Name, r.ID, r.OwnerID, r.Visibility, micros(now), micros(due))
		failpoint.Hit("db/repository-uncommitted")
		return err
	})
}

// RepositoryFailed implements audit.GitHubStore.
func (db *DB) RepositoryFailed(ctx context.Context, now time.Time, name, problem string, due time.Time) error {
	return db.write(ctx, "note that GitHub did not answer for "+name, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO github_repositories (name, due_at, failing_since, failure) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (name) DO UPDATE SET due_at = ?2, failing_since = coalesce(failing_since, ?3), failure = ?4`, name, micros(due), micros(now), problem)
		return err
	})
}

// dueInStore selects live files that a repository's store is due to be asked for: project, repository, instant.
const dueInStore = ` FROM files f LEFT JOIN github_answers g ON g.file_id = f.id WHERE f.pypi_project_id = ?1 AND f.removed_at IS NULL AND f.replaced_at IS NULL
	AND (g.file_id IS NULL OR g.due_at <= ?3 OR g.repository <> ?2)`

// CountDueInStore implements audit.GitHubStore.
func (db *DB) CountDueInStore(ctx context.Context, now time.Time, projectID int64, repository string) (int, error) {
	var n int
	if err := db.r.QueryRowContext(ctx, `SELECT count(*)`+dueInStore, projectID, repository, micros(now)).Scan(&n); err != nil {
		return 0, fmt.Errorf("files to ask GitHub for: %w", err)
	}
	return n, nil
}

// DueInStore implements audit.GitHubStore.
func (db *DB) DueInStore(ctx context.Context, now time.Time, projectID int64, repository string, limit int) ([]audit.FileFacts, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT f.id, f.filename, f.sha256, f.version, f.uploaded_at, f.first_seen, coalesce(g.state, ''), g.failing_since`+dueInStore+`
		ORDER BY g.checked_at IS NOT NULL, g.failing_since IS NOT NULL, coalesce(f.uploaded_at, f.first_seen) DESC, f.id LIMIT ?4`, projectID, repository, micros(now), limit)
	if err != nil {
		return nil, fmt.Errorf("files to ask GitHub for: %w", err)
	}
	defer rows.Close()
	var files []audit.FileFacts
	for rows.Next() {
		var f audit.FileFacts
		var uploaded, first, failing sql.NullInt64
		if err := rows.Scan(&f.ID, &f.Filename, &f.SHA256, &f.Version, &uploaded, &first, &f.Store.State, &failing); err != nil {
			return nil, fmt.Errorf("files to ask GitHub for: %w", err)
		}
		f.UploadedAt, f.FirstSeen, f.Store.FailingSince = instant(uploaded), instant(first), instant(failing)
		files = append(files, f)
	}
	return files, rows.Err()
}

// SaveStored implements audit.GitHubStore.
func (db *DB) SaveStored(ctx context.Context, now time.Time, fileID int64, u audit.StoreUpdate) error {
	return db.write(ctx, "store an answer of GitHub's store", func(tx *sql.Tx) error {
		for _, b := range u.Bundles {
			if err := saveBundle(ctx, tx, now, fileID, b); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE github_listed SET gone_at = ?1 WHERE file_id = ?2 AND last_seen < ?1 AND gone_at IS NULL`, micros(now), fileID); err != nil {
			return err
		}
		if err := saveLookup(ctx, tx, now, fileID); err != nil {
			return err
		}
		failpoint.Hit("db/store-uncommitted")
		_, err := tx.ExecContext(ctx, `INSERT INTO github_answers (file_id, repository, state, since, checked_at, due_at) VALUES (?1, ?2, ?3, ?4, ?4, ?5)
			ON CONFLICT (file_id) DO UPDATE SET since = CASE WHEN state = ?3 AND repository = ?2 THEN since ELSE ?4 END,
			repository = ?2, state = ?3, checked_at = ?4, due_at = ?5, failing_since = NULL, failure = ''`, fileID, u.Repository, u.State, micros(now), micros(u.Due))
		return err
	})
}

// saveBundle stores a bundle as it is stored at GitHub, or finds it, with what verifying it for a file gave.
func saveBundle(ctx context.Context, tx *sql.Tx, now time.Time, fileID int64, b audit.StoreBundle) error {
	sum := sha256.Sum256(b.Body)
	var id int64
	if err := tx.QueryRowContext(ctx, `INSERT INTO github_bundles (sha256, body, first_seen) VALUES (?, ?, ?)
		ON CONFLICT (sha256) DO UPDATE SET sha256 = excluded.sha256 RETURNING id`, hex.EncodeToString(sum[:]), b.Body, micros(now)).Scan(&id); err != nil {
		return err
	}
	for _, digest := range b.Digests {
		if _, err := tx.ExecContext(ctx, `INSERT INTO github_digests (sha256, bundle_id) VALUES (?, ?) ON CONFLICT DO NOTHING`, digest, id); err != nil {
			return err
		}
	}
	// The store says that it is about this file: where its statement does not, that is to be found out again later too.
	if _, err := tx.ExecContext(ctx, `INSERT INTO github_digests (sha256, bundle_id) SELECT sha256, ?1 FROM files WHERE id = ?2 ON CONFLICT DO NOTHING`, id, fileID); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO github_listed (file_id, bundle_id, repository_id, first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?4)
		ON CONFLICT (file_id, bundle_id) DO UPDATE SET repository_id = ?3, last_seen = ?4, gone_at = NULL`, fileID, id, b.RepositoryID, micros(now)); err != nil {
		return err
	}
	return saveBundleFacts(ctx, tx, now, fileID, id, b.Verification)
}

// saveBundleFacts stores what verifying a bundle for a file gave.
func saveBundleFacts(ctx context.Context, tx *sql.Tx, now time.Time, fileID, bundleID int64, v audit.Verification) error {
	var id int64
	if err := tx.QueryRowContext(ctx, `INSERT INTO provenances (file_id, sha256, body, verified_with, first_seen, last_seen, github_bundle_id)
		SELECT ?1, sha256, x'', '', ?3, ?3, id FROM github_bundles WHERE id = ?2
		ON CONFLICT (file_id, sha256) DO UPDATE SET last_seen = ?3, github_bundle_id = ?2 RETURNING id`, fileID, bundleID, micros(now)).Scan(&id); err != nil {
		return err
	}
	return saveVerification(ctx, tx, now, id, v)
}

// StoreFailed implements audit.GitHubStore.
func (db *DB) StoreFailed(ctx context.Context, now time.Time, fileID int64, u audit.StoreUpdate, problem string) error {
	return db.write(ctx, "note that GitHub's store failed", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO github_answers (file_id, repository, due_at, failing_since, failure) VALUES (?1, ?2, ?3, ?4, ?5)
			ON CONFLICT (file_id) DO UPDATE SET state = CASE WHEN repository = ?2 THEN state ELSE '' END, checked_at = CASE WHEN repository = ?2 THEN checked_at END,
			repository = ?2, due_at = ?3, failing_since = coalesce(failing_since, ?4), failure = ?5`, fileID, u.Repository, micros(u.Due), micros(now), problem)
		return err
	})
}

// UnverifiedBundles implements audit.GitHubStore.
func (db *DB) UnverifiedBundles(ctx context.Context, projectID int64, verifiedWith string, afterFile, afterBundle int64, limit int) ([]audit.StoredDocument, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT b.id, f.id, f.filename, f.sha256, b.body FROM files f JOIN github_digests d ON d.sha256 = f.sha256
		JOIN github_bundles b ON b.id = d.bundle_id LEFT JOIN provenances p ON p.file_id = f.id AND p.sha256 = b.sha256
		WHERE f.pypi_project_id = ? AND (p.id IS NULL OR p.verified_with <> ?) AND (f.id, b.id) > (?, ?) ORDER BY f.id, b.id LIMIT ?`,
		projectID, verifiedWith, afterFile, afterBundle, limit)
	if err != nil {
		return nil, fmt.Errorf("bundles in the record: %w", err)
	}
	defer rows.Close()
	var all []audit.StoredDocument
	for rows.Next() {
		d := audit.StoredDocument{Bundle: true}
		if err := rows.Scan(&d.ID, &d.FileID, &d.Filename, &d.SHA256, &d.Body); err != nil {
			return nil, fmt.Errorf("bundles in the record: %w", err)
		}
		all = append(all, d)
	}
	return all, rows.Err()
}

// SaveBundleVerification implements audit.GitHubStore.
func (db *DB) SaveBundleVerification(ctx context.Context, now time.Time, d audit.StoredDocument, v audit.Verification) error {
	return db.write(ctx, "store a verification", func(tx *sql.Tx) error {
		err := saveBundleFacts(ctx, tx, now, d.FileID, d.ID, v)
		failpoint.Hit("db/bundle-uncommitted")
		return err
	})
}

// addStore adds to the files of a release what GitHub's store has of them.
func (db *DB) addStore(ctx context.Context, projectID int64, version string, files []audit.FileFacts) error {
	byID := make(map[int64]*audit.StoreFacts, len(files))
	for i := range files {
		byID[files[i].ID] = &files[i].Store
	}
	if err := db.storeAnswers(ctx, projectID, version, byID); err != nil {
		return fmt.Errorf("what GitHub's store has, in the record: %w", err)
	}
	if err := db.storeBundles(ctx, projectID, version, byID); err != nil {
		return fmt.Errorf("bundles in the record: %w", err)
	}
	for _, s := range byID {
		slices.SortFunc(s.Bundles, func(a, b audit.BundleFacts) int { return strings.Compare(a.SHA256, b.SHA256) })
	}
	return nil
}

func (db *DB) storeAnswers(ctx context.Context, projectID int64, version string, byID map[int64]*audit.StoreFacts) error {
	rows, err := db.r.QueryContext(ctx, `SELECT g.file_id, g.state, g.since, g.checked_at, g.failing_since, g.failure FROM files f JOIN github_answers g ON g.file_id = f.id
		WHERE f.pypi_project_id = ? AND f.version = ?`, projectID, version)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var s audit.StoreFacts
		var since, checked, failing sql.NullInt64
		if err := rows.Scan(&id, &s.State, &since, &checked, &failing, &s.Failure); err != nil {
			return err
		}
		s.Since, s.CheckedAt, s.FailingSince = instant(since), instant(checked), instant(failing)
		if into := byID[id]; into != nil {
			*into = s
		}
	}
	return rows.Err()
}

func (db *DB) storeBundles(ctx context.Context, projectID int64, version string, byID map[int64]*audit.StoreFacts) error {
	rows, err := db.r.QueryContext(ctx, `SELECT p.file_id, p.id, p.sha256, p.first_seen, p.verified_with, l.last_seen, l.gone_at FROM files f
		JOIN provenances p ON p.file_id = f.id AND p.github_bundle_id IS NOT NULL LEFT JOIN github_listed l ON l.file_id = p.file_id AND l.bundle_id = p.github_bundle_id
		WHERE f.pypi_project_id = ? AND f.version = ?`, projectID, version)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var file, id int64
		var b audit.BundleFacts
		var first, last, gone sql.NullInt64
		if err := rows.Scan(&file, &id, &b.SHA256, &first, &b.VerifiedWith, &last, &gone); err != nil {
			return err
		}
		b.FirstSeen, b.LastSeen, b.GoneAt, b.Listed = instant(first), instant(last), instant(gone), last.Valid
		facts, err := attestations(ctx, db.r, id)
		if err != nil {
			return err
		}
		if into := byID[file]; into != nil && len(facts) == 1 {
			b.Attestation = facts[0]
			into.Bundles = append(into.Bundles, b)
		}
	}
	return rows.Err()
}

// bundles checks the digests of GitHub's bundles.
func (f *fsck) bundles() error {
	return f.each("SELECT id, sha256, body FROM github_bundles", func(rows *sql.Rows) error {
		var id int64
		var want string
		var body []byte
		if err := rows.Scan(&id, &want, &body); err != nil {
			return err
		}
		f.counts["bundles of GitHub's store"]++
		if got := digest(body); got != want {
			f.report("bundle %d of GitHub's store is sha256:%s, not the sha256:%s that names it", id, got, want)
		}
		return nil
	})
}
