package audit_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
)

// ignored are columns that a comparison of records leaves out.
type ignored func(table, column string) bool

// and leaves out further columns, by name, of every table.
func (i ignored) and(columns ...string) ignored {
	return func(table, column string) bool {
		return i != nil && i(table, column) || slices.Contains(columns, column)
	}
}

// instants are the columns that tell when the monitor did or saw something.
var instants = []string{"first_seen", "last_seen", "checked_at", "changed_at", "missing_since", "removed_at", "replaced_at",
	"deep_checked_at", "provenance_since", "provenance_checked_at", "failing_since", "provenance_failing_since", "opened_at", "last_seen_at",
	"resolved_at", "at", "created_at", "attempted_at", "next_attempt_at", "delivered_at", "due_at", "since", "asked_at", "answered_at", "related_at", "level_at"}

// timeless leaves out when the monitor did or saw something; findings lose their instants too.
func timeless(_, column string) bool { return slices.Contains(instants, column) }

// dump is everything that a record holds but its diary: a line "table column=value …" a row, sorted.
func dump(tb testing.TB, path string, skip ignored) []string {
	tb.Helper()
	record, err := sql.Open("sqlite", "file:"+path+"?mode=rw&_pragma=query_only(1)")
	if err != nil {
		tb.Fatal(err)
	}
	defer record.Close()
	var lines []string
	for _, name := range query(tb, record, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'`) {
		table := name["name"].(string)
		if table == "runs" || table == "settlements" || table == "goose_db_version" { // settlements count what happened on the way
			continue
		}
		for _, row := range query(tb, record, `SELECT * FROM "`+table+`"`) {
			var columns []string
			for column, value := range row {
				if skip != nil && skip(table, column) {
					continue
				}
				if column == "body" && strings.HasPrefix(table, "finding") && skip != nil && skip(table, "at") {
					value = withoutInstants(tb, value)
				}
				columns = append(columns, fmt.Sprintf("%s=%v", column, value))
			}
			slices.Sort(columns)
			lines = append(lines, table+" "+strings.Join(columns, " "))
		}
	}
	slices.Sort(lines)
	return lines
}

// query reads rows by the names of their columns.
func query(tb testing.TB, record *sql.DB, q string) []map[string]any {
	tb.Helper()
	rows, err := record.Query(q)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		tb.Fatal(err)
	}
	var all []map[string]any
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			tb.Fatal(err)
		}
		row := map[string]any{}
		for i, column := range columns {
			if b, ok := values[i].([]byte); ok {
				values[i] = fmt.Sprintf("%q", b)
			}
			row[column] = values[i]
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return all
}

// withoutInstants takes out of a finding's JSON when it was seen, in itself and in its evidence.
func withoutInstants(tb testing.TB, body any) string {
	tb.Helper()
	var f map[string]any
	if err := json.Unmarshal([]byte(body.(string)), &f); err != nil {
		tb.Fatal(err)
	}
	for _, key := range []string{"opened_at", "last_seen_at", "resolved_at"} {
		delete(f, key)
	}
	evidence, _ := f["evidence"].([]any)
	for _, e := range evidence {
		delete(e.(map[string]any), "at")
	}
	text, err := json.Marshal(f)
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// sameRecord compares two dumps.
func sameRecord(tb testing.TB, what string, got, want []string) {
	tb.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("%s: the record differs (-want +got):\n%s", what, diff)
	}
}

// findings lists the record's findings, of any status.
func (m *monitor) findings(tb testing.TB) []audit.Finding {
	tb.Helper()
	all, err := m.record.Findings(tb.Context(), db.FindingFilter{})
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// events counts what happened to findings, and the messages about it.
func (m *monitor) events(tb testing.TB) (events, messages int) {
	tb.Helper()
	for _, line := range dump(tb, m.record.Path(), nil) {
		switch table, _, _ := strings.Cut(line, " "); table {
		case "finding_events":
			events++
		case "outbox":
			messages++
		}
	}
	return events, messages
}

// copyRecord copies a record that nobody has open.
func copyRecord(tb testing.TB, from, to string) {
	tb.Helper()
	in, err := os.Open(from)
	if err != nil {
		tb.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		tb.Fatal(err)
	}
	if err := out.Close(); err != nil {
		tb.Fatal(err)
	}
}
