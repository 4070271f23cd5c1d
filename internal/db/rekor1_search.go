package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// PlanSearches implements audit.Rekor1Store. That a question is there says that its reason was looked at: files are counted
// up to the last one that was, names and certificates are compared with the questions.
func (r *Rekor1) PlanSearches(ctx context.Context, now time.Time, watchList string, watched func(identity.Identity) bool) error {
	return r.db.write(ctx, "plan searches of "+r.name, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO searches (log_id, kind, value, fresh_at, first_seen, due_at)
			SELECT ?1, ?2, f.sha256, min(max(coalesce(f.uploaded_at, f.first_seen)), ?3), ?3, ?3 FROM files f
			WHERE f.id > (SELECT planned_file FROM rekor1_logs WHERE log_id = ?1) AND length(f.sha256) = 64 GROUP BY f.sha256 ORDER BY max(f.id) DESC
			ON CONFLICT DO NOTHING`, r.id, audit.SearchDigest, micros(now)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE rekor1_logs SET planned_file = max(planned_file, coalesce((SELECT max(id) FROM files), 0)) WHERE log_id = ?`, r.id); err != nil {
			return err
		}
		// A subject that signs again has a new certificate, and perhaps new entries.
		if _, err := tx.ExecContext(ctx, `UPDATE searches SET fresh_at = n.at, due_at = min(due_at, ?3) FROM
			(SELECT c.san, min(max(c.not_before), ?3) AS at FROM certificates c WHERE c.issuer_key_hash <> '' GROUP BY c.san) AS n
			WHERE log_id = ?1 AND kind = ?2 AND value = n.san AND n.at > fresh_at`, r.id, audit.SearchSubject, micros(now)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE searches SET due_at = min(due_at, ?2) WHERE log_id = ?1
			AND id IN (SELECT search_id FROM found_entries f WHERE f.log_id = ?1 AND f.watch_list <> ?3
				AND (f.hit_id IS NULL OR EXISTS (SELECT 1 FROM hits h WHERE h.id = f.hit_id AND h.class = ?4)))`, r.id, micros(now), watchList, audit.ClassForeign); err != nil {
			return err
		}
		for _, plan := range []struct{ kind, query string }{
			{audit.SearchSubject, `SELECT c.san, c.identity, max(c.not_before) FROM certificates c WHERE c.san <> '' AND c.issuer_key_hash <> ''
				AND NOT EXISTS (SELECT 1 FROM searches s WHERE s.log_id = ?1 AND s.kind = ?2 AND s.value = c.san) GROUP BY c.san`},
			{audit.SearchCertificate, `SELECT c.sha256, c.identity, c.not_before FROM certificates c WHERE c.der IS NOT NULL AND c.issuer_key_hash <> ''
				AND NOT EXISTS (SELECT 1 FROM searches s WHERE s.log_id = ?1 AND s.kind = ?2 AND s.value = c.sha256)`},
		} {
			if err := r.planIdentities(ctx, tx, now, plan.kind, plan.query, watched); err != nil {
				return err
			}
		}
		failpoint.Hit("db/plan-uncommitted")
		return nil
	})
}

// planIdentities adds questions about certificates: query gives what is to be asked, the identity, and since when it is valid.
func (r *Rekor1) planIdentities(ctx context.Context, tx *sql.Tx, now time.Time, kind, query string, watched func(identity.Identity) bool) error {
	type plan struct {
		value string
		fresh int64
	}
	var plans []plan
	rows, err := tx.QueryContext(ctx, query, r.id, kind)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var p plan
		var text string
		var id *identity.Identity
		if err := rows.Scan(&p.value, &text, &p.fresh); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(text), &id); err != nil {
			return err
		}
		if id != nil && watched(*id) {
			plans = append(plans, p)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, p := range plans {
		if _, err := tx.ExecContext(ctx, `INSERT INTO searches (log_id, kind, value, fresh_at, first_seen, due_at) VALUES (?1, ?2, ?3, min(?4, ?5), ?5, ?5)
			ON CONFLICT DO NOTHING`, r.id, kind, p.value, p.fresh, micros(now)); err != nil {
			return err
		}
	}
	return nil
}

// DueSearch implements audit.Rekor1Store.
func (r *Rekor1) DueSearch(ctx context.Context, now time.Time, q audit.DueFilter) (*audit.Search, error) {
	s := new(audit.Search)
	var fresh, failing sql.NullInt64
	err := r.db.r.QueryRowContext(ctx, `SELECT s.id, s.kind, s.value, s.fresh_at, s.hits, s.failing_since, (SELECT der FROM certificates c WHERE s.kind = ?6 AND c.sha256 = s.value AND c.der IS NOT NULL)
		FROM searches s WHERE s.log_id = ?1 AND s.due_at <= ?2 AND (?3 OR s.kind <> ?4) AND (s.kind <> ?5 AND s.fresh_at >= ?7 OR NOT ?8)
		ORDER BY s.kind <> ?5 AND s.fresh_at >= ?7 DESC, s.due_at, s.id LIMIT 1`,
		r.id, micros(now), q.Subjects, audit.SearchSubject, audit.SearchDigest, audit.SearchCertificate, micros(q.UrgentSince), q.OnlyUrgent).
		Scan(&s.ID, &s.Kind, &s.Value, &fresh, &s.Hits, &failing, &s.Certificate)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("what to ask the search index of %s: %w", r.name, err)
	}
	s.FreshAt, s.FailingSince = instant(fresh), instant(failing)
	return s, nil
}

// Found implements audit.Rekor1Store.
func (r *Rekor1) Found(ctx context.Context, id rekor.V1ID, watchList string) (bool, error) {
	var n int
	err := r.db.r.QueryRowContext(ctx, `SELECT count(*) FROM found_entries WHERE log_id = ? AND uuid = ? AND watch_list = ?`, r.id, id.String(), watchList).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("what the search index of %s named: %w", r.name, err)
	}
	return n > 0, nil
}

// SaveFound implements audit.Rekor1Store.
func (r *Rekor1) SaveFound(ctx context.Context, now time.Time, search int64, watchList string, found []audit.Found, grown []tlog.SignedCheckpoint) error {
	return r.db.write(ctx, "keep what the search index of "+r.name+" named", func(tx *sql.Tx) error {
		if err := r.sawGrown(ctx, tx, now, grown); err != nil {
			return err
		}
		for _, f := range found {
			var hit sql.NullInt64
			if f.Hit != nil {
				var err error
				if hit, err = r.saveProvenHit(ctx, tx, now, f); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO found_entries (log_id, uuid, search_id, match, hit_id, watch_list, found_at) VALUES (?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (log_id, uuid) DO UPDATE SET hit_id = excluded.hit_id, watch_list = excluded.watch_list`,
				r.id, f.Entry.ID().String(), search, f.Match, hit, watchList, micros(now)); err != nil {
				return err
			}
		}
		failpoint.Hit("db/found-uncommitted")
		return nil
	})
}

// saveProvenHit stores an entry that concerns a watched name, with its proof.
func (r *Rekor1) saveProvenHit(ctx context.Context, tx *sql.Tx, now time.Time, f audit.Found) (hit sql.NullInt64, err error) {
	e := f.Entry
	l, err := r.log(ctx, tx, e.Checkpoint.Origin)
	if err != nil {
		return hit, err
	}
	l.keyID = e.LogID
	hash := fmt.Sprintf("%x", e.LeafHash)
	if f.Hit.Kind == audit.HitEntry {
		if _, err := tx.ExecContext(ctx, `INSERT INTO entries (log_id, origin, tree_index, global_index, leaf_hash, integrated_at, kind, api_version, body, first_seen)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			e.LogID, l.origin, e.Index, e.GlobalIndex, hash, micros(e.IntegratedTime), f.Hit.EntryKind, f.Hit.APIVersion, e.Body, micros(now)); err != nil {
			return hit, err
		}
	}
	if err := l.saveHit(ctx, tx, now, e.Index, *f.Hit); err != nil {
		return hit, err
	}
	proof, err := json.Marshal(audit.ProofOf(e))
	if err != nil {
		return hit, err
	}
	err = tx.QueryRowContext(ctx, `UPDATE hits SET proof = coalesce(proof, ?) WHERE log_id = ? AND tree_index = ? AND leaf_hash = ? RETURNING id`,
		string(proof), l.id, e.Index, hash).Scan(&hit)
	return hit, err
}

// SaveSearch implements audit.Rekor1Store.
func (r *Rekor1) SaveSearch(ctx context.Context, now time.Time, s audit.Search) error {
	return r.db.write(ctx, "keep what the search index of "+r.name+" answered", func(tx *sql.Tx) error {
		answered, failed := s.Outcome == audit.SearchAnswered, s.Outcome == audit.SearchFailed || s.Outcome == audit.SearchRefused
		_, err := tx.ExecContext(ctx, `UPDATE searches SET outcome = ?1, asked_at = ?2, answered_at = CASE WHEN ?3 THEN ?2 ELSE answered_at END, hits = ?4, due_at = ?5,
			failing_since = CASE WHEN ?6 THEN coalesce(failing_since, ?2) END, failure = ?7 WHERE id = ?8`,
			s.Outcome, micros(now), answered, s.Hits, micros(s.Due), failed, s.Failure, s.ID)
		return err
	})
}

// Support implements audit.Rekor1Store.
func (r *Rekor1) Support(ctx context.Context) (audit.IndexSupport, error) {
	var s audit.IndexSupport
	var probed, due sql.NullInt64
	err := r.db.r.QueryRowContext(ctx, `SELECT subject, subject_why, probed_at, probe_due FROM rekor1_logs WHERE log_id = ?`, r.id).Scan(&s.Subject, &s.Why, &probed, &due)
	if err != nil {
		return s, fmt.Errorf("the search index of %s in the record: %w", r.name, err)
	}
	s.ProbedAt, s.Due = instant(probed), instant(due)
	return s, nil
}

// SaveSupport implements audit.Rekor1Store.
func (r *Rekor1) SaveSupport(ctx context.Context, s audit.IndexSupport) error {
	return r.db.write(ctx, "keep what the search index of "+r.name+" knows", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE rekor1_logs SET subject = ?, subject_why = ?, probed_at = ?, probe_due = ? WHERE log_id = ?`,
			s.Subject, s.Why, micros(s.ProbedAt), micros(s.Due), r.id)
		return err
	})
}

// Specimens implements audit.Rekor1Store.
func (r *Rekor1) Specimens(ctx context.Context, limit int) ([]rekor.V1Entry, error) {
	rows, err := r.db.r.QueryContext(ctx, `SELECT e.body, k.proof FROM entry_checks k JOIN entries e ON e.id = k.entry_id
		WHERE k.outcome = 'same' AND `+ofRekor1+` ORDER BY k.global_index DESC LIMIT ?2`, r.id, limit)
	if err != nil {
		return nil, fmt.Errorf("entries of %s in the record: %w", r.name, err)
	}
	defer rows.Close()
	var all []rekor.V1Entry
	for rows.Next() {
		var body []byte
		var text string
		var proof audit.EntryProof
		if err := rows.Scan(&body, &text); err != nil {
			return nil, fmt.Errorf("entries of %s in the record: %w", r.name, err)
		}
		if err := json.Unmarshal([]byte(text), &proof); err != nil {
			return nil, fmt.Errorf("entries of %s in the record: %w", r.name, err)
		}
		e, err := proof.Entry(body)
		if err != nil {
			return nil, fmt.Errorf("entries of %s in the record: %w", r.name, err)
		}
		all = append(all, *e)
	}
	return all, rows.Err()
}
