package db

import (
	"slices"
	"strings"
	"testing"
)

// TestEveryTableIsKnownToBeJudgedOrNot wants each table sorted: a change of one by which the findings of index projects are judged has
// to be counted by a trigger, or they would stand although something has changed.
func TestEveryTableIsKnownToBeJudgedOrNot(t *testing.T) {
	counted := []string{"pypi_projects", "ownerships", "files", "provenances"}
	with := map[string]string{ // tables that only change together with one that is counted
		"attestations": "provenances", "releases": "files",
	}
	other := []string{"certificates", "entries", "entry_certificates", "attestation_entries", "trusted_roots", "findings", "finding_events", "outbox", "runs",
		"logs", "checkpoints", "proven_ranges", "read_bytes", "hits", "log_incidents", "rekor1_logs", "rekor1_shards", "rekor1_requests", "gossip", "entry_checks",
		"searches", "found_entries", "windows", "window_leaves", "ct_lookups", "signers", "jobs", "accounts", "open_entries", "open_certificates", "entry_hashes",
		"statements", "statement_subjects", "statement_lookups", "seen_digests", "seen_cursors", "settlements", "goose_db_version"}
	db := openTemp(t)
	for _, row := range rowsOf(t, db.w, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name`) {
		name := strings.Trim(row, "[]")
		switch {
		case slices.Contains(counted, name):
			if n := count(t, db, `sqlite_schema WHERE type = 'trigger' AND tbl_name = '`+name+`' AND sql LIKE '%UPDATE settlements SET facts%'`); n == 0 {
				t.Errorf("no trigger counts changes of %s", name)
			}
		case slices.Contains(counted, with[name]), slices.Contains(other, name):
		default:
			t.Errorf("are findings of index projects judged by the table %s? Then count its changes in settlements.facts", name)
		}
	}
}
