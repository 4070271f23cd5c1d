package db

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
)

// Settle implements audit.Store. The findings held are read, compared and written in one transaction, so that an
// acknowledgement given meanwhile is never overwritten.
func (db *DB) Settle(ctx context.Context, now time.Time, s audit.Settlement) ([]audit.Change, error) {
	var changes []audit.Change
	err := db.write(ctx, "settle the findings of "+s.Project.Index+"/"+s.Project.Name, func(tx *sql.Tx) error {
		var err error
		changes, err = settle(ctx, tx, now, s.Assessment, s.Channels, `project = ? AND index_name = ? AND pypi_project = ?`, s.Project.Project, s.Project.Index, s.Project.Name)
		if err != nil {
			return err
		}
		if err := saveSettled(ctx, tx, s); err != nil {
			return err
		}
		for _, r := range s.Releases {
			if err := saveJudgement(ctx, tx, s.Project.ID, r); err != nil {
				return err
			}
		}
		return nil
	})
	return changes, err
}

// SettleLogs implements audit.LogRecord.
func (db *DB) SettleLogs(ctx context.Context, now time.Time, a audit.Assessment, channels []string) ([]audit.Change, error) {
	var changes []audit.Change
	err := db.write(ctx, "settle the findings of the logs", func(tx *sql.Tx) error {
		var err error
		// What is about no project on an index is about a log, an entry or a certificate, or about a channel: see SettleDelivery.
		changes, err = settle(ctx, tx, now, a, channels, `index_name = '' AND pypi_project = '' AND rule <> ?`, audit.DeliveryFailing)
		return err
	})
	return changes, err
}

// SettleDelivery brings the findings about channels up to an assessment of all of them. channels are those that are told.
func (db *DB) SettleDelivery(ctx context.Context, now time.Time, a audit.Assessment, channels []string) ([]audit.Change, error) {
	var changes []audit.Change
	err := db.write(ctx, "settle the findings of the channels", func(tx *sql.Tx) error {
		var err error
		changes, err = settle(ctx, tx, now, a, channels, `rule = ?`, audit.DeliveryFailing)
		return err
	})
	return changes, err
}

// settle brings the findings of a scope up to an assessment of the same scope.
func settle(ctx context.Context, tx *sql.Tx, now time.Time, a audit.Assessment, channels []string, scope string, args ...any) ([]audit.Change, error) {
	held, err := readFindings(ctx, tx, scope, args...)
	if err != nil {
		return nil, err
	}
	changes := audit.Reconcile(held, a, now)
	for _, f := range a.Findings {
		if _, err := tx.ExecContext(ctx, `UPDATE findings SET last_seen_at = ? WHERE id = ?`, micros(now), f.ID); err != nil {
			return nil, err
		}
	}
	for _, c := range changes {
		if err := record(ctx, tx, now, c, channels); err != nil {
			return nil, err
		}
	}
	failpoint.Hit("db/findings-uncommitted")
	return changes, nil
}

// record writes one change of a finding: the finding as it is now, the event, and a row in the outbox for each channel.
// It is the only place where a finding is written.
func record(ctx context.Context, tx *sql.Tx, now time.Time, c audit.Change, channels []string) error {
	f := c.Finding
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	resolved := any(nil)
	if f.ResolvedAt != nil {
		resolved = micros(*f.ResolvedAt)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO findings (id, rule, severity, status, project, index_name, pypi_project, body, opened_at, last_seen_at, resolved_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, status = excluded.status, body = excluded.body,
		opened_at = excluded.opened_at, last_seen_at = excluded.last_seen_at, resolved_at = excluded.resolved_at`,
		f.ID, f.Rule, f.Severity, f.Status, f.Project, f.Index, f.PyPIProject, string(body), micros(f.OpenedAt), micros(f.LastSeenAt), resolved); err != nil {
		return err
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO finding_events (finding_id, at, transition, actor, why, body) VALUES (?, ?, ?, ?, ?, ?)`,
		f.ID, micros(now), c.Transition, c.By, c.Why, string(body))
	if err != nil {
		return err
	}
	if !c.Transition.Announced() {
		return nil
	}
	event, err := res.LastInsertId()
	if err != nil {
		return err
	}
	for _, channel := range channels {
		if _, err := tx.ExecContext(ctx, `INSERT INTO outbox (event_id, channel, created_at, next_attempt_at) VALUES (?, ?, ?, ?)`,
			event, channel, micros(now), micros(now)); err != nil {
			return err
		}
	}
	return nil
}

// saveJudgement stores what was judged of a release where it differs from what is stored.
func saveJudgement(ctx context.Context, tx *sql.Tx, projectID int64, r audit.ReleaseJudgement) error {
	var build audit.BuildLevel
	if r.SLSA != nil {
		build = r.SLSA.Build
	}
	slsa, err := verdictText(r.SLSA)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE releases SET states = ?1, slsa_build = ?4, slsa = ?5 WHERE pypi_project_id = ?2 AND version = ?3 AND (states <> ?1 OR slsa <> ?5)`,
		r.States, projectID, r.Version, build, slsa); err != nil {
		return err
	}
	for _, f := range r.Files {
		build = ""
		if f.SLSA != nil {
			build = f.SLSA.Build
		}
		if slsa, err = verdictText(f.SLSA); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE files SET state = ?1, grade = ?2, slsa_build = ?4, slsa = ?5 WHERE id = ?3 AND (state <> ?1 OR grade <> ?2 OR slsa <> ?5)`,
			f.State, f.Grade, f.ID, build, slsa); err != nil {
			return err
		}
	}
	return nil
}

// readFindings reads findings. where is SQL of this package, never of a user.
func readFindings(ctx context.Context, q queryer, where string, args ...any) ([]audit.Finding, error) {
	rows, err := q.QueryContext(ctx, `SELECT body, last_seen_at FROM findings WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []audit.Finding
	for rows.Next() {
		var body string
		var seen sql.NullInt64
		var f audit.Finding
		if err := rows.Scan(&body, &seen); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(body), &f); err != nil {
			return nil, err
		}
		f.LastSeenAt = instant(seen)
		all = append(all, f)
	}
	return all, rows.Err()
}

// FindingFilter says which findings to list; an empty field does not restrict.
type FindingFilter struct {
	Statuses   []audit.Status
	Severities []audit.Severity
	Rules      []string
	Projects   []string // configured projects' names
}

// Findings lists findings, most urgent first, then oldest first.
func (db *DB) Findings(ctx context.Context, filter FindingFilter) ([]audit.Finding, error) {
	where := []string{"1"}
	var args []any
	in := func(column string, n int, value func(int) any) {
		if n == 0 {
			return
		}
		where = append(where, column+" IN (?"+strings.Repeat(", ?", n-1)+")")
		for i := range n {
			args = append(args, value(i))
		}
	}
	in("status", len(filter.Statuses), func(i int) any { return filter.Statuses[i] })
	in("severity", len(filter.Severities), func(i int) any { return filter.Severities[i] })
	in("rule", len(filter.Rules), func(i int) any { return filter.Rules[i] })
	in("project", len(filter.Projects), func(i int) any { return filter.Projects[i] })
	all, err := readFindings(ctx, db.r, strings.Join(where, " AND ")+` ORDER BY CASE severity WHEN 'critical' THEN 0 WHEN 'high' THEN 1
		WHEN 'medium' THEN 2 WHEN 'low' THEN 3 ELSE 4 END, opened_at, id`, args...)
	if err != nil {
		return nil, fmt.Errorf("findings in the record: %w", err)
	}
	return all, nil
}

// NoFindingError says that the record has no finding of an id.
type NoFindingError struct{ ID string }

func (e *NoFindingError) Error() string {
	return fmt.Sprintf("there is no finding %s in the record: `monitor findings --all` lists them", e.ID)
}

// Finding returns one finding.
func (db *DB) Finding(ctx context.Context, id string) (audit.Finding, error) {
	all, err := readFindings(ctx, db.r, `id = ?`, id)
	if err != nil {
		return audit.Finding{}, fmt.Errorf("finding %s: %w", id, err)
	}
	if len(all) == 0 {
		return audit.Finding{}, &NoFindingError{ID: id}
	}
	return all[0], nil
}

// Event is one transition in a finding's history.
type Event struct {
	At         time.Time        `json:"at"`
	Transition audit.Transition `json:"transition"`
	By         string           `json:"by,omitempty"`
	Why        string           `json:"why,omitempty"`
	Severity   audit.Severity   `json:"severity"`
	Summary    string           `json:"summary"`
}

// History returns a finding's transitions, oldest first.
func (db *DB) History(ctx context.Context, id string) ([]Event, error) {
	rows, err := db.r.QueryContext(ctx, `SELECT at, transition, actor, why, body FROM finding_events WHERE finding_id = ? ORDER BY id`, id)
	if err != nil {
		return nil, fmt.Errorf("history of finding %s: %w", id, err)
	}
	defer rows.Close()
	var events []Event
	for rows.Next() {
		var e Event
		var at sql.NullInt64
		var body string
		var f audit.Finding
		if err := rows.Scan(&at, &e.Transition, &e.By, &e.Why, &body); err != nil {
			return nil, fmt.Errorf("history of finding %s: %w", id, err)
		}
		if err := json.Unmarshal([]byte(body), &f); err != nil {
			return nil, fmt.Errorf("history of finding %s: %w", id, err)
		}
		e.At, e.Severity, e.Summary = instant(at), f.Severity, f.Summary
		events = append(events, e)
	}
	return events, rows.Err()
}

// Acknowledge marks a finding as known to a person: by whom, why, and until when. A resolved finding cannot be
// acknowledged; an acknowledged one takes the new reason.
func (db *DB) Acknowledge(ctx context.Context, id string, ack audit.Ack, channels []string) (audit.Finding, error) {
	return db.decide(ctx, id, ack.At, channels, func(f *audit.Finding) (audit.Change, error) {
		if f.Status == audit.Resolved {
			return audit.Change{}, fmt.Errorf("finding %s is resolved: there is nothing to acknowledge", id)
		}
		f.Status, f.Ack = audit.Acknowledged, &ack
		return audit.Change{Transition: audit.AckGiven, By: ack.By, Why: ack.Why}, nil
	})
}

// Unacknowledge takes an acknowledgement back.
func (db *DB) Unacknowledge(ctx context.Context, id string, now time.Time, by, why string, channels []string) (audit.Finding, error) {
	return db.decide(ctx, id, now, channels, func(f *audit.Finding) (audit.Change, error) {
		if f.Status != audit.Acknowledged {
			return audit.Change{}, fmt.Errorf("finding %s is %s, not acknowledged", id, f.Status)
		}
		f.Status, f.Ack = audit.Open, nil
		return audit.Change{Transition: audit.AckWithdrawn, By: by, Why: why}, nil
	})
}

// decide changes one finding by a person's decision.
func (db *DB) decide(ctx context.Context, id string, now time.Time, channels []string, fn func(*audit.Finding) (audit.Change, error)) (audit.Finding, error) {
	var f audit.Finding
	err := db.write(ctx, "decide on finding "+id, func(tx *sql.Tx) error {
		all, err := readFindings(ctx, tx, `id = ?`, id)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return &NoFindingError{ID: id}
		}
		f = all[0]
		c, err := fn(&f)
		if err != nil {
			return err
		}
		c.Finding = f
		if err := unsettle(ctx, tx, f); err != nil {
			return err
		}
		return record(ctx, tx, now, c, channels)
	})
	var none *NoFindingError
	if errors.As(err, &none) {
		return f, none
	}
	return f, err
}
