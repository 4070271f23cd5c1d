package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// What is kept of a kind of misbehaviour while it is open: so many contradictions, and so many bytes of evidence for all but
// the first. A log that lies in ever new ways must not fill the disk.
const (
	maxContradictions     = 16
	maxContradictionBytes = 4 << 20
)

// saveIncident keeps the evidence of a misbehaviour. A contradiction that goes on is one incident. Another one of its kind is
// another, so far as there is room: beyond that it is counted.
func (l *Log) saveIncident(ctx context.Context, tx *sql.Tx, now time.Time, m *tlog.Misbehaviour) error {
	return l.saveContradiction(ctx, tx, now, m.Kind, m.Contradiction(), m.Error(), m)
}

// saveContradiction is saveIncident for evidence of any form: name tells the contradiction from others of its kind.
func (l *Log) saveContradiction(ctx context.Context, tx *sql.Tx, now time.Time, kind tlog.Kind, name, detail string, form any) error {
	res, err := tx.ExecContext(ctx, `UPDATE log_incidents SET last_seen = ? WHERE log_id = ? AND kind = ? AND contradiction = ? AND ended_at IS NULL`,
		micros(now), l.id, string(kind), name)
	if err := one(res, err); err == nil || !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	evidence, err := json.Marshal(form)
	if err != nil {
		return err
	}
	var kept, bytes int
	var first sql.NullInt64
	if err := tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(length(evidence)), 0), min(id) FROM log_incidents WHERE log_id = ? AND kind = ? AND ended_at IS NULL`,
		l.id, string(kind)).Scan(&kept, &bytes, &first); err != nil {
		return err
	}
	if kept >= maxContradictions || kept > 0 && bytes+len(evidence) > maxContradictionBytes {
		_, err := tx.ExecContext(ctx, `UPDATE log_incidents SET last_seen = ?, unkept = unkept + 1 WHERE id = ?`, micros(now), first)
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO log_incidents (log_id, kind, contradiction, first_seen, last_seen, detail, evidence) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		l.id, string(kind), name, micros(now), micros(now), detail, string(evidence))
	return err
}

// endIncidents notes that the log told the truth again. Two signed trees that contradict each other stay what they are: a
// fork, a rollback and a growth after the end are for a person to acknowledge.
func (l *Log) endIncidents(ctx context.Context, tx *sql.Tx, now time.Time, kinds ...tlog.Kind) error {
	for _, kind := range kinds {
		if _, err := tx.ExecContext(ctx, `UPDATE log_incidents SET ended_at = ? WHERE log_id = ? AND ended_at IS NULL AND kind = ?`, micros(now), l.id, kind); err != nil {
			return err
		}
	}
	return nil
}

// unlistedTree begins the name of a contradiction that no list of shards takes back but one that has the tree.
const unlistedTree = "unlisted tree "

// endBadCheckpoints notes that a log served a list of shards that may be believed.
func (l *Log) endBadCheckpoints(ctx context.Context, tx *sql.Tx, now time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE log_incidents SET ended_at = ? WHERE log_id = ? AND ended_at IS NULL AND kind = ? AND contradiction NOT LIKE ?`,
		micros(now), l.id, string(tlog.KindBadCheckpoint), unlistedTree+"%")
	return err
}

// endContradiction notes that one contradiction is none any more.
func (l *Log) endContradiction(ctx context.Context, tx *sql.Tx, now time.Time, kind tlog.Kind, name string) error {
	_, err := tx.ExecContext(ctx, `UPDATE log_incidents SET ended_at = ? WHERE log_id = ? AND ended_at IS NULL AND kind = ? AND contradiction = ?`,
		micros(now), l.id, string(kind), name)
	return err
}

// forgetUnproven takes back what was read since the last proof: hits, and the entries and certificates that are known from
// them alone.
func (l *Log) forgetUnproven(ctx context.Context, tx *sql.Tx) error {
	void := `hits.log_id = ?1 AND hits.tree_index >= (SELECT proven_index FROM logs WHERE id = ?1) AND NOT ` + fmt.Sprintf(inWindow, "hits") + ` AND hits.proof IS NULL`
	entries, err := ids(ctx, tx, `SELECT entry_id FROM hits WHERE entry_id IS NOT NULL AND `+void, l.id)
	if err != nil {
		return err
	}
	certificates, err := ids(ctx, tx, `SELECT certificate_id FROM hits WHERE certificate_id IS NOT NULL AND `+void+`
		UNION SELECT e.certificate_id FROM entry_certificates e JOIN hits ON hits.entry_id = e.entry_id WHERE `+void, l.id)
	if err != nil {
		return err
	}
	for _, query := range []string{`DELETE FROM hits WHERE ` + void, `DELETE FROM read_bytes WHERE log_id = ?1`,
		`DELETE FROM seen_digests WHERE log_id = ?1 AND from_index >= (SELECT proven_index FROM logs WHERE id = ?1)`} {
		if _, err := tx.ExecContext(ctx, query, l.id); err != nil {
			return err
		}
	}
	for _, id := range entries {
		// An attestation may name the same entry: what it says of it holds on its own.
		for _, query := range []string{
			`DELETE FROM entry_certificates WHERE entry_id = ?1 AND NOT EXISTS (SELECT 1 FROM attestation_entries a WHERE a.entry_id = ?1)`,
			`DELETE FROM entries WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM attestation_entries a WHERE a.entry_id = ?1)`,
		} {
			if _, err := tx.ExecContext(ctx, query, id); err != nil {
				return err
			}
		}
	}
	for _, id := range certificates {
		if _, err := tx.ExecContext(ctx, `DELETE FROM certificates WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM entry_certificates e WHERE e.certificate_id = ?1)
			AND NOT EXISTS (SELECT 1 FROM attestations a WHERE a.certificate_id = ?1) AND NOT EXISTS (SELECT 1 FROM hits h WHERE h.certificate_id = ?1)`, id); err != nil {
			return err
		}
	}
	return nil
}

// ids reads a column of row numbers.
func ids(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]int64, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		all = append(all, id)
	}
	return all, rows.Err()
}

// incidents returns a log's misbehaviours that it has not taken back, by kind and in the order in which they were seen.
func (db *DB) incidents(ctx context.Context, logID int64) ([]audit.Incident, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT kind, first_seen, detail, evidence, unkept FROM log_incidents WHERE log_id = ? AND ended_at IS NULL ORDER BY kind, id`, logID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []audit.Incident
	for rows.Next() {
		var i audit.Incident
		var first sql.NullInt64
		var evidence string
		if err := rows.Scan(&i.Kind, &first, &i.Detail, &evidence, &i.Unkept); err != nil {
			return nil, err
		}
		i.FirstSeen, i.Evidence = instant(first), []byte(evidence)
		all = append(all, i)
	}
	return all, rows.Err()
}
