package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/github"
)

// runsOf selects certificates that chain to a trusted authority and name a run of a repository, with what is known of the run. The
// bounds are those of all addresses that begin with the repository's.
const runsOf = `SELECT json_extract(c.identity, '$.run_invocation_uri') AS run, c.tbs_sha256, c.identity, c.not_before,
	coalesce(r.repository, ''), coalesce(r.head_sha, ''), coalesce(r.event, ''), coalesce(r.path, ''), coalesce(r.conclusion, ''),
	r.absent_since, r.checked_at, r.failing_since, coalesce(r.failure, '')
	FROM certificates c LEFT JOIN github_runs r ON r.url = json_extract(c.identity, '$.run_invocation_uri')
	WHERE c.issuer_key_hash <> '' AND json_extract(c.identity, '$.run_invocation_uri') > ?1 AND json_extract(c.identity, '$.run_invocation_uri') < ?2 `

// runBounds are those of the addresses of a repository's runs.
func runBounds(repository string) (from, to string) {
	from = "https://github.com/" + repository + "/actions/runs/"
	return from, from[:len(from)-1] + "0" // the character behind the slash
}

// DueRuns implements audit.RunStore. Several certificates of one run are one question.
func (db *DB) DueRuns(ctx context.Context, now time.Time, repository string, all bool, limit int) ([]audit.RunFacts, error) {
	from, to := runBounds(repository)
	var due []audit.RunFacts
	err := db.eachRun(ctx, func(f audit.RunFacts) error {
		due = append(due, f)
		return nil
	}, runsOf+`AND (r.url IS NULL OR r.due_at <= ?3) AND (?4 OR c.job_id IN (SELECT job_id FROM open_entries))
		GROUP BY run ORDER BY max(c.not_before) DESC, run LIMIT ?5`, from, to, micros(now), all, limit)
	return due, err
}

// Runs implements audit.RunStore.
func (db *DB) Runs(ctx context.Context, repository string, fn func(audit.RunFacts) error) error {
	from, to := runBounds(repository)
	return db.eachRun(ctx, fn, runsOf+`AND r.url IS NOT NULL ORDER BY c.tbs_sha256, c.id`, from, to)
}

func (db *DB) eachRun(ctx context.Context, fn func(audit.RunFacts) error, query string, args ...any) error {
	rows, err := db.r.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("workflow runs in the record: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var f audit.RunFacts
		var text string
		var before, absent, checked, failing sql.NullInt64
		if err := rows.Scan(&f.URL, &f.TBSSHA256, &text, &before, &f.Run.Repository, &f.Run.HeadSHA, &f.Run.Event, &f.Run.Path, &f.Run.Conclusion,
			&absent, &checked, &failing, &f.Failure); err != nil {
			return fmt.Errorf("workflow runs in the record: %w", err)
		}
		if err := json.Unmarshal([]byte(text), &f.Identity); err != nil {
			return fmt.Errorf("workflow runs in the record: %w", err)
		}
		f.NotBefore, f.AbsentSince, f.CheckedAt, f.FailingSince = instant(before), instant(absent), instant(checked), instant(failing)
		if err := fn(f); err != nil {
			return err
		}
	}
	return rows.Err()
}

// SaveRun implements audit.RunStore. What a run was is kept when GitHub no longer has it.
func (db *DB) SaveRun(ctx context.Context, now time.Time, url string, r *github.Run, due time.Time) error {
	return db.write(ctx, "store a workflow run", func(tx *sql.Tx) error {
		var err error
		if r == nil {
			_, err = tx.ExecContext(ctx, `INSERT INTO github_runs (url, absent_since, checked_at, due_at) VALUES (?1, ?2, ?2, ?3)
				ON CONFLICT (url) DO UPDATE SET absent_since = coalesce(absent_since, ?2), checked_at = ?2, due_at = ?3, failing_since = NULL, failure = ''`,
				url, micros(now), micros(due))
		} else {
			_, err = tx.ExecContext(ctx, `INSERT INTO github_runs (url, repository, head_sha, event, path, conclusion, checked_at, due_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
				ON CONFLICT (url) DO UPDATE SET repository = ?2, head_sha = ?3, event = ?4, path = ?5, conclusion = ?6, absent_since = NULL, checked_at = ?7, due_at = ?8,
				failing_since = NULL, failure = ''`, url, r.Repository, r.HeadSHA, r.Event, r.Path, r.Conclusion, micros(now), micros(due))
		}
		failpoint.Hit("db/run-uncommitted")
		return err
	})
}

// RunFailed implements audit.RunStore.
func (db *DB) RunFailed(ctx context.Context, now time.Time, url, problem string, due time.Time) error {
	return db.write(ctx, "note that a workflow run could not be looked up", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO github_runs (url, due_at, failing_since, failure) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (url) DO UPDATE SET due_at = ?2, failing_since = coalesce(failing_since, ?3), failure = ?4`, url, micros(due), micros(now), problem)
		return err
	})
}
