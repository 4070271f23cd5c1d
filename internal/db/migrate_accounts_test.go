package db

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// TestARecordFromBeforeIsAccountedFor brings a record up to date that was made before there were accounts: what is in it is worked out.
func TestARecordFromBeforeIsAccountedFor(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "monitor.db")
	old, err := open(path, "rwc", "_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	old.SetMaxOpenConns(1)
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, old, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, pragma := range []string{fmt.Sprintf("PRAGMA application_id = %d", applicationID), "PRAGMA journal_mode = WAL"} {
		if _, err := old.Exec(pragma); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := provider.UpTo(ctx, 7); err != nil {
		t.Fatal(err)
	}
	for query, args := range map[string][]any{
		`INSERT INTO pypi_projects (index_name, name) VALUES ('pypi', 'onnx')`:                                                                                                                                          nil,
		`INSERT INTO logs (origin, kind, key_id, url, proven_index) VALUES ('log.example', 'rekor-v2', '1d', 'u', 9)`:                                                                                                   nil,
		`INSERT INTO certificates (issuer_key_hash, tbs_sha256, serial, not_before, not_after, san, issuer, identity, first_seen) VALUES ('ca', 't', '1', 1, 2, 's', 'i', '{"san":"s","run_invocation_uri":"run"}', 1)`: nil,
		`INSERT INTO entries (log_id, origin, tree_index, global_index, leaf_hash, kind, api_version, body, first_seen) VALUES ('1d', 'log.example', 0, 0, 'l', 'hashedrekord', '0.0.2', ?, 1)`:                         {signed(sha('a'))},
	} {
		if _, err := old.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	for _, query := range []string{`INSERT INTO entry_certificates VALUES (1, 1)`,
		`INSERT INTO hits (log_id, tree_index, leaf_hash, leaf, kind, class, project, san, chained, certificate_id, body, first_seen) VALUES (1, 1, 'c', x'00', 'certificate', 'self', 'onnx', 's', 1, 1, '{}', 1)`} {
		if _, err := old.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}

	db, err := Open(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if n := count(t, db, "open_certificates"); n != 1 {
		t.Errorf("%d certificates are to be looked at", n)
	}
	if err := db.Account(ctx); err != nil {
		t.Fatal(err)
	}
	var jobs []string
	if err := db.OpenJobs(ctx, []int64{1}, func(j audit.JobFacts) error { jobs = append(jobs, fmt.Sprint(j.Run, " ", j.Open)); return nil }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(jobs) != "[run 1]" || count(t, db, "open_certificates") != 0 || count(t, db, "entry_hashes") != 1 || count(t, db, "settlements") != 1 {
		t.Errorf("%v", jobs)
	}
}
