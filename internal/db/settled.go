package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// LastJudged implements audit.Store.
func (db *DB) LastJudged(ctx context.Context, projectID int64) (s audit.JudgedBy, facts int64, err error) {
	var text string
	err = db.r.QueryRowContext(ctx, `SELECT facts, settled FROM settlements WHERE pypi_project_id = ?`, projectID).Scan(&facts, &text)
	if err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &s)
	}
	if err != nil {
		return s, 0, fmt.Errorf("what findings were settled by: %w", err)
	}
	return s, facts, nil
}

// StillJudged implements audit.Store: what was seen when they were settled is seen again.
func (db *DB) StillJudged(ctx context.Context, now time.Time, p audit.ProjectFacts) error {
	return db.write(ctx, "note that findings are settled", func(tx *sql.Tx) error {
		const scope = ` FROM findings WHERE project = ?1 AND index_name = ?2 AND pypi_project = ?3`
		_, err := tx.ExecContext(ctx, `UPDATE findings SET last_seen_at = ?4 WHERE project = ?1 AND index_name = ?2 AND pypi_project = ?3 AND status <> 'resolved'
			AND last_seen_at = (SELECT max(last_seen_at)`+scope+`)`, p.Project, p.Index, p.Name, micros(now))
		return err
	})
}

// saveSettled keeps what findings were settled by. An acknowledgement that expires is something that may be judged otherwise.
func saveSettled(ctx context.Context, tx *sql.Tx, s audit.Settlement) error {
	acknowledged, err := readFindings(ctx, tx, `project = ? AND index_name = ? AND pypi_project = ? AND status = ?`, s.Project.Project, s.Project.Index, s.Project.Name, audit.Acknowledged)
	if err != nil {
		return err
	}
	for _, f := range acknowledged {
		if f.Ack != nil && f.Ack.Until != nil && f.Ack.Until.Before(s.JudgedBy.Until) {
			s.JudgedBy.Until = *f.Ack.Until
		}
	}
	text, err := json.Marshal(s.JudgedBy)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE settlements SET settled = ? WHERE pypi_project_id = ?`, string(text), s.Project.ID)
	return err
}

// unsettle has the project that a finding is about judged again: a person decided about it.
func unsettle(ctx context.Context, tx *sql.Tx, f audit.Finding) error {
	_, err := tx.ExecContext(ctx, `UPDATE settlements SET facts = facts + 1 WHERE pypi_project_id = (SELECT id FROM pypi_projects WHERE index_name = ? AND name = ?)`, f.Index, f.PyPIProject)
	return err
}
