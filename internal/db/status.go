package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// Run is one line of the diary.
type Run struct {
	ID         int64           `json:"id"`
	Job        string          `json:"job"`
	StartedAt  time.Time       `json:"started_at"`
	FinishedAt time.Time       `json:"finished_at,omitzero"`
	Outcome    audit.Outcome   `json:"outcome,omitempty"`
	Version    string          `json:"version"`
	Policy     string          `json:"policy_sha256"`
	Summary    json.RawMessage `json:"summary,omitempty"`
}

// LastRuns returns the latest run of each job.
func (db *DB) LastRuns(ctx context.Context) ([]Run, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT id, job, started_at, finished_at, outcome, version, policy_sha256, summary FROM runs
		WHERE id IN (SELECT max(id) FROM runs GROUP BY job) ORDER BY job`)
	if err != nil {
		return nil, fmt.Errorf("runs in the record: %w", err)
	}
	defer rows.Close()
	var runs []Run
	for rows.Next() {
		var r Run
		var started, finished sql.NullInt64
		var summary string
		if err := rows.Scan(&r.ID, &r.Job, &started, &finished, &r.Outcome, &r.Version, &r.Policy, &summary); err != nil {
			return nil, fmt.Errorf("runs in the record: %w", err)
		}
		r.StartedAt, r.FinishedAt = instant(started), instant(finished)
		if summary != "" {
			r.Summary = json.RawMessage(summary)
		}
		runs = append(runs, r)
	}
	return runs, rows.Err()
}

// ProjectStatus is where one PyPI project stands.
type ProjectStatus struct {
	Index        string         `json:"index"`
	Name         string         `json:"name"`
	Status       string         `json:"status,omitempty"`
	Serial       int64          `json:"serial"`
	CheckedAt    time.Time      `json:"checked_at,omitzero"`
	ChangedAt    time.Time      `json:"changed_at,omitzero"`
	FailingSince time.Time      `json:"failing_since,omitzero"`
	Failure      string         `json:"failure,omitempty"`
	Releases     int            `json:"releases"`
	Files        map[string]int `json:"files"` // by state
	// SLSABuild counts the live files that an audit has judged by the level that the evidence is consistent with.
	SLSABuild map[audit.BuildLevel]int `json:"slsa_build"`
	Due       int                      `json:"provenance_due"`
	// Unanswered counts the files that GitHub's attestation store has not answered for.
	Unanswered int `json:"github_unanswered"`
}

// Projects returns where each PyPI project in the record stands.
func (db *DB) Projects(ctx context.Context) ([]ProjectStatus, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT id, index_name, name, status, serial, checked_at, changed_at, failing_since, failure,
		(SELECT count(*) FROM releases r WHERE r.pypi_project_id = p.id),
		(SELECT count(*) FROM files f WHERE f.pypi_project_id = p.id AND provenance_due = 1),
		(SELECT count(*) FROM files f LEFT JOIN github_answers g ON g.file_id = f.id WHERE f.pypi_project_id = p.id AND f.removed_at IS NULL AND f.replaced_at IS NULL AND g.checked_at IS NULL)
		FROM pypi_projects p ORDER BY index_name, name`)
	if err != nil {
		return nil, fmt.Errorf("projects in the record: %w", err)
	}
	defer rows.Close()
	var all []ProjectStatus
	var ids []int64
	for rows.Next() {
		var p ProjectStatus
		var id int64
		var checked, changed, failing sql.NullInt64
		if err := rows.Scan(&id, &p.Index, &p.Name, &p.Status, &p.Serial, &checked, &changed, &failing, &p.Failure, &p.Releases, &p.Due, &p.Unanswered); err != nil {
			return nil, fmt.Errorf("projects in the record: %w", err)
		}
		p.CheckedAt, p.ChangedAt, p.FailingSince = instant(checked), instant(changed), instant(failing)
		all, ids = append(all, p), append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("projects in the record: %w", err)
	}
	for i, id := range ids {
		if all[i].Files, err = countFiles[string](ctx, db.r, `SELECT state, count(*) FROM files WHERE pypi_project_id = ? GROUP BY state`, id); err != nil {
			return nil, fmt.Errorf("projects in the record: %w", err)
		}
		if all[i].SLSABuild, err = countFiles[audit.BuildLevel](ctx, db.r, `SELECT slsa_build, count(*) FROM files WHERE pypi_project_id = ? AND slsa_build <> '' GROUP BY slsa_build`, id); err != nil {
			return nil, fmt.Errorf("projects in the record: %w", err)
		}
	}
	return all, nil
}

// countFiles counts a project's files by a word.
func countFiles[T ~string](ctx context.Context, q queryer, query string, projectID int64) (map[T]int, error) {
	rows, err := q.QueryContext(ctx, query, projectID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	counts := map[T]int{}
	for rows.Next() {
		var word string
		var n int
		if err := rows.Scan(&word, &n); err != nil {
			return nil, err
		}
		counts[T(word)] = n
	}
	return counts, rows.Err()
}

// ListedFile is a file as `monitor files` shows it.
type ListedFile struct {
	Index         string          `json:"index"`
	PyPIProject   string          `json:"pypi_project"`
	Release       string          `json:"release"`
	ReleaseStates string          `json:"release_states,omitempty"`
	File          string          `json:"file"`
	SHA256        string          `json:"sha256"`
	Size          int64           `json:"size"`
	UploadedAt    time.Time       `json:"uploaded_at,omitzero"`
	Yanked        bool            `json:"yanked,omitempty"`
	State         audit.FileState `json:"state"`
	Grade         string          `json:"grade,omitempty"`
	// ReleaseSLSA is what the evidence says of its release's live files, SLSA what it says of the file; nil where that is gone, or
	// not judged yet.
	ReleaseSLSA *audit.ReleaseSLSA `json:"release_slsa,omitempty"`
	SLSA        *audit.SLSAVerdict `json:"slsa,omitempty"`
	Provenance  string             `json:"provenance"` // none, pending, served, not-found, forbidden
	GitHub      string             `json:"github"`     // none, served; "" while its store has not answered
	FirstSeen   time.Time          `json:"first_seen_at"`
	LastSeen    time.Time          `json:"last_seen_at"`
	RemovedAt   time.Time          `json:"removed_at,omitzero"`
	ReplacedAt  time.Time          `json:"replaced_at,omitzero"`
}

// FileFilter says which files to list; an empty field does not restrict.
type FileFilter struct {
	PyPIProject string // "INDEX/NAME" or "NAME"
	Release     string
	States      []string
	SHA256      string
}

// Files calls fn for each file that passes the filter, by project, then in the order of their first sight.
func (db *DB) Files(ctx context.Context, filter FileFilter, fn func(ListedFile) error) error {
	where := []string{"1"}
	var args []any
	add := func(clause string, values ...any) { where, args = append(where, clause), append(args, values...) }
	if index, name, ok := strings.Cut(filter.PyPIProject, "/"); ok {
		add("p.index_name = ? AND p.name = ?", index, name)
	} else if filter.PyPIProject != "" {
		add("p.name = ?", filter.PyPIProject)
	}
	if filter.Release != "" {
		add("f.version = ?", filter.Release)
	}
	if filter.SHA256 != "" {
		add("f.sha256 = ?", filter.SHA256)
	}
	if n := len(filter.States); n > 0 {
		var values []any
		for _, s := range filter.States {
			values = append(values, s)
		}
		add("f.state IN (?"+strings.Repeat(", ?", n-1)+")", values...)
	}
	rows, err := db.r.QueryContext(ctx, `SELECT p.index_name, p.name, f.version, r.states, f.filename, f.sha256, f.size, f.uploaded_at, f.yanked,
		f.state, f.grade, r.slsa, f.slsa, f.provenance_state, coalesce(g.state, ''), f.first_seen, f.last_seen, f.removed_at, f.replaced_at
		FROM files f JOIN pypi_projects p ON p.id = f.pypi_project_id JOIN releases r ON r.pypi_project_id = p.id AND r.version = f.version
		LEFT JOIN github_answers g ON g.file_id = f.id WHERE `+strings.Join(where, " AND ")+` ORDER BY p.index_name, p.name, f.id`, args...)
	if err != nil {
		return fmt.Errorf("files in the record: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var f ListedFile
		var uploaded, first, last, removed, replaced sql.NullInt64
		var release, slsa string
		if err := rows.Scan(&f.Index, &f.PyPIProject, &f.Release, &f.ReleaseStates, &f.File, &f.SHA256, &f.Size, &uploaded, &f.Yanked,
			&f.State, &f.Grade, &release, &slsa, &f.Provenance, &f.GitHub, &first, &last, &removed, &replaced); err != nil {
			return fmt.Errorf("files in the record: %w", err)
		}
		f.UploadedAt, f.FirstSeen, f.LastSeen = instant(uploaded), instant(first), instant(last)
		f.RemovedAt, f.ReplacedAt = instant(removed), instant(replaced)
		if f.SLSA, err = verdictOf[audit.SLSAVerdict](slsa); err != nil {
			return fmt.Errorf("files in the record: verdict on %s: %w", f.File, err)
		}
		if f.ReleaseSLSA, err = verdictOf[audit.ReleaseSLSA](release); err != nil {
			return fmt.Errorf("files in the record: verdict on the release of %s: %w", f.File, err)
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	return rows.Err()
}
