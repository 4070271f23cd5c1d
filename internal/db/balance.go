package db

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
)

var _ audit.BalanceRecord = (*DB)(nil)

// inPeriod is true of an instant in a period from ?1 to ?2, the end apart; NULL does not restrict.
const inPeriod = `(?1 IS NULL OR %[1]s >= ?1) AND (?2 IS NULL OR %[1]s < ?2)`

// EntryTallies implements audit.BalanceRecord. An entry that two signers signed is of both.
func (db *DB) EntryTallies(ctx context.Context, since, until time.Time, fn func(audit.Tally) error) error {
	return db.tallies(ctx, `SELECT j.signer_id, CASE a.account WHEN 'new' THEN 'due' ELSE a.account END, count(DISTINCT a.entry_id) FROM jobs j JOIN certificates c ON c.job_id = j.id
		JOIN entry_certificates ec ON ec.certificate_id = c.id JOIN accounts a ON a.entry_id = ec.entry_id
		WHERE `+fmt.Sprintf(inPeriod, "c.not_before")+` AND a.entry_id NOT IN `+unprovenEntries+` GROUP BY 1, 2 ORDER BY 1, 2`, since, until, fn)
}

// CertificateTallies implements audit.BalanceRecord.
func (db *DB) CertificateTallies(ctx context.Context, since, until time.Time, fn func(audit.Tally) error) error {
	return db.tallies(ctx, `SELECT j.signer_id, '', count(*) FROM (SELECT DISTINCT h.certificate_id FROM hits h JOIN logs l ON l.id = h.log_id WHERE `+ownHit+`) h
		JOIN certificates c ON c.id = h.certificate_id JOIN jobs j ON j.id = c.job_id
		WHERE `+fmt.Sprintf(inPeriod, "c.not_before")+` AND (EXISTS (SELECT 1 FROM entry_certificates ec WHERE ec.certificate_id = c.id AND `+provenEntry+`)
			OR EXISTS (SELECT 1 FROM attestations a WHERE a.certificate_id = c.id AND a.status <> 'failed')) GROUP BY 1 ORDER BY 1`, since, until, fn)
}

func (db *DB) tallies(ctx context.Context, query string, since, until time.Time, fn func(audit.Tally) error) error {
	return db.tally(ctx, query, since, until, func(rows *sql.Rows) error {
		var t audit.Tally
		if err := rows.Scan(&t.Signer, &t.Account, &t.Count); err != nil {
			return err
		}
		return fn(t)
	})
}

// FileTallies implements audit.BalanceRecord.
func (db *DB) FileTallies(ctx context.Context, since, until time.Time, fn func(audit.FileTally) error) error {
	return db.tally(ctx, `SELECT p.index_name || '/' || p.name, f.state, count(*) FROM files f JOIN pypi_projects p ON p.id = f.pypi_project_id
		WHERE `+fmt.Sprintf(inPeriod, "coalesce(f.uploaded_at, f.first_seen)")+` GROUP BY 1, 2 ORDER BY 1, 2`, since, until, func(rows *sql.Rows) error {
		var t audit.FileTally
		if err := rows.Scan(&t.Ref, &t.State, &t.Count); err != nil {
			return err
		}
		return fn(t)
	})
}

// tally reads a query about a period.
func (db *DB) tally(ctx context.Context, query string, since, until time.Time, scan func(*sql.Rows) error) error {
	rows, err := db.r.QueryContext(ctx, query, micros(since), micros(until))
	if err != nil {
		return fmt.Errorf("the books of the record: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("the books of the record: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("the books of the record: %w", err)
	}
	return nil
}
