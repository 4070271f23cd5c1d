package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// rekor1Facts adds what is known of a Rekor v1, or of whose shard a log is.
func (db *DB) rekor1Facts(ctx context.Context, id int64, l *audit.LogFacts) error {
	shard := audit.ShardFacts{}
	var ended sql.NullInt64
	err := db.r.QueryRowContext(ctx, `SELECT w.origin, s.position < (SELECT max(position) FROM rekor1_shards o WHERE o.log_id = s.log_id),
		(SELECT coalesce(sum(c.size), 0) FROM rekor1_shards o JOIN logs ol ON ol.id = o.shard_id JOIN checkpoints c ON c.id = ol.latest_id WHERE o.log_id = s.log_id AND o.position < s.position),
		(SELECT min(c.first_seen) FROM rekor1_shards o JOIN logs ol ON ol.id = o.shard_id JOIN checkpoints c ON c.origin = ol.origin WHERE o.log_id = s.log_id AND o.position > s.position)
		FROM rekor1_shards s JOIN logs w ON w.id = s.log_id WHERE s.shard_id = ?`, id).Scan(&shard.Log, &shard.Frozen, &shard.First, &ended)
	switch {
	case err == nil:
		shard.EndedAt, l.Shard = instant(ended), &shard
		return nil
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	f := &audit.Rekor1Facts{Entries: map[audit.EntryOutcome]int{}, Gossip: map[string]int{}}
	var probed, due sql.NullInt64
	err = db.r.QueryRowContext(ctx, `SELECT r.subject, r.subject_why, r.probed_at, r.probe_due,
		(SELECT coalesce(sum(c.size), 0) FROM rekor1_shards s JOIN logs o ON o.id = s.shard_id JOIN checkpoints c ON c.id = o.latest_id WHERE s.log_id = r.log_id),
		(SELECT coalesce(min(o.start_index IS NOT NULL), 0) FROM rekor1_shards s JOIN logs o ON o.id = s.shard_id WHERE s.log_id = r.log_id)
		FROM rekor1_logs r WHERE r.log_id = ?`, id).
		Scan(&f.Subject.Subject, &f.Subject.Why, &probed, &due, &f.Size, &f.Followed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // a shard that the log does not list
	}
	if err != nil {
		return err
	}
	f.Subject.ProbedAt, f.Subject.Due = instant(probed), instant(due)
	l.Rekor1 = f
	return errors.Join(db.searchTallies(ctx, id, f), db.evidenceTallies(ctx, id, f), db.shardWindows(ctx, id, f))
}

// searchTallies counts the questions to the search index.
func (db *DB) searchTallies(ctx context.Context, id int64, f *audit.Rekor1Facts) error {
	rows, err := db.r.QueryContext(ctx, `SELECT kind, count(*), count(answered_at), count(failing_since), count(*) FILTER (WHERE outcome = ?), sum(hits), min(answered_at), max(answered_at),
		min(failing_since), coalesce(max(failure) FILTER (WHERE failing_since IS NOT NULL), '') FROM searches WHERE log_id = ? GROUP BY kind ORDER BY kind`, audit.SearchImpossible, id)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var t audit.SearchTally
		var first, last, since sql.NullInt64
		var failure string
		if err := rows.Scan(&t.Kind, &t.Total, &t.Answered, &t.Failing, &t.Impossible, &t.Hits, &first, &last, &since, &failure); err != nil {
			return err
		}
		t.First, t.Last = instant(first), instant(last)
		f.Searches = append(f.Searches, t)
		addFailing(f, t.Failing, "about "+t.Kind+"s asked of its search index", since, failure)
	}
	return rows.Err()
}

// evidenceTallies counts what bundles say of a log by what became of it.
func (db *DB) evidenceTallies(ctx context.Context, id int64, f *audit.Rekor1Facts) error {
	count := func(query, what string, add func(outcome string, n int)) error {
		rows, err := db.r.QueryContext(ctx, query, id)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var outcome, failure string
			var n, failing int
			var since sql.NullInt64
			if err := rows.Scan(&outcome, &n, &failing, &since, &failure); err != nil {
				return err
			}
			add(outcome, n)
			addFailing(f, failing, what, since, failure)
		}
		return rows.Err()
	}
	return errors.Join(
		count(`SELECT k.outcome, count(*), count(k.failing_since), min(k.failing_since), coalesce(max(k.failure) FILTER (WHERE k.failing_since IS NOT NULL), '')
			FROM entry_checks k JOIN entries e ON e.id = k.entry_id WHERE `+ofRekor1+` GROUP BY k.outcome`,
			"about entries that bundles name", func(outcome string, n int) { f.Entries[audit.EntryOutcome(outcome)] = n }),
		count(`SELECT g.outcome, count(*), count(g.failing_since), min(g.failing_since), coalesce(max(g.failure) FILTER (WHERE g.failing_since IS NOT NULL), '')
			FROM gossip g WHERE `+ofRekor1Gossip+` GROUP BY g.outcome`,
			"about checkpoints that bundles carry", func(outcome string, n int) { f.Gossip[outcome] = n }),
	)
}

// addFailing notes questions of a kind that are not answered.
func addFailing(f *audit.Rekor1Facts, n int, what string, since sql.NullInt64, example string) {
	if n > 0 {
		f.Failing = append(f.Failing, audit.Failing{What: fmt.Sprintf("%d questions %s", n, what), Since: instant(since), Example: example})
	}
}

// OpenEntries implements audit.LogRecord.
func (db *DB) OpenEntries(ctx context.Context, fn func(audit.OpenEntry) error) error {
	rows, err := db.r.QueryContext(ctx, `SELECT e.origin, e.tree_index, e.leaf_hash, e.log_id, e.body, k.global_index, nullif(k.integrated_at, 0), k.outcome, k.since, k.differences,
		k.body, k.proof, k.failure, coalesce(l.url, ''), f.filename, f.sha256
		FROM entry_checks k JOIN entries e ON e.id = k.entry_id LEFT JOIN logs l ON l.origin = e.origin
		JOIN attestation_entries ae ON ae.entry_id = e.id AND ae.global_index = k.global_index AND coalesce(ae.integrated_at, 0) = k.integrated_at
		JOIN attestations a ON a.id = ae.attestation_id AND a.status = 'verified' JOIN provenances p ON p.id = a.provenance_id JOIN files f ON f.id = p.file_id
		WHERE k.outcome <> 'same' AND k.asked_at IS NOT NULL GROUP BY e.id, k.global_index, k.integrated_at ORDER BY e.id, k.global_index, k.integrated_at, f.id`)
	if err != nil {
		return fmt.Errorf("entries that a log does not have so: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		o, err := scanOpenEntry(rows)
		if err != nil {
			return fmt.Errorf("entries that a log does not have so: %w", err)
		}
		if err := fn(o); err != nil {
			return err
		}
	}
	return rows.Err()
}

func scanOpenEntry(rows *sql.Rows) (audit.OpenEntry, error) {
	var o audit.OpenEntry
	var at, since sql.NullInt64
	var differences string
	var proof sql.NullString
	e := &o.Evidence
	if err := rows.Scan(&o.Origin, &o.Index, &o.LeafHash, &e.LogID, &e.Body, &o.GlobalIndex, &at, &o.Outcome, &since, &differences,
		&e.LogBody, &proof, &o.Failure, &o.URL, &o.File, &o.FileSHA256); err != nil {
		return o, err
	}
	o.Since = instant(since)
	e.Origin, e.Index, e.GlobalIndex, e.At = o.Origin, o.Index, o.GlobalIndex, instant(at)
	if differences != "" {
		if err := json.Unmarshal([]byte(differences), &o.Differences); err != nil {
			return o, err
		}
	}
	if proof.Valid {
		e.Log = new(audit.EntryProof)
		if err := json.Unmarshal([]byte(proof.String), e.Log); err != nil {
			return o, err
		}
	}
	return o, nil
}

// LogSpan returns the run of entries that a log took in a period, as far as that was seen; of a Rekor v1 as a whole over all of
// its shards. A zero bound does not restrict.
func (db *DB) LogSpan(ctx context.Context, origin string, since, until time.Time) (audit.Span, error) {
	s := audit.Span{Since: since, Until: until}
	for _, bound := range []struct {
		at   time.Time
		size *uint64
	}{{since, &s.From}, {until, &s.To}} {
		err := db.r.QueryRowContext(ctx, `SELECT coalesce(sum(size), 0) FROM (SELECT max(c.size) AS size FROM checkpoints c WHERE (?2 IS NULL OR c.first_seen <= ?2)
			AND (c.origin = ?1 OR c.origin IN (SELECT o.origin FROM rekor1_shards s JOIN logs w ON w.id = s.log_id JOIN logs o ON o.id = s.shard_id WHERE w.origin = ?1))
			GROUP BY c.origin)`, origin, micros(bound.at)).Scan(bound.size)
		if err != nil {
			return s, fmt.Errorf("sizes of log %s in the record: %w", origin, err)
		}
	}
	if since.IsZero() {
		s.From = 0
	}
	return s, nil
}

// Proof returns the proof of a leaf that was found by name, nil where the record has none.
func (db *DB) Proof(ctx context.Context, leafHash string) (*audit.EntryProof, error) {
	text, err := db.body(ctx, `SELECT proof FROM hits WHERE leaf_hash = ? AND proof IS NOT NULL LIMIT 1`, leafHash)
	if err != nil || text == nil {
		return nil, err
	}
	proof := new(audit.EntryProof)
	if err := json.Unmarshal(text, proof); err != nil {
		return nil, fmt.Errorf("the proof of leaf %s in the record: %w", leafHash, err)
	}
	return proof, nil
}
