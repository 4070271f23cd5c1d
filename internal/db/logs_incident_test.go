package db

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// names are rows of tables without their numbers, to compare records by.
func names(t *testing.T, db *DB) []string {
	t.Helper()
	return slices.Concat(
		rowsOf(t, db.r, `SELECT origin, tree_index, leaf_hash FROM entries ORDER BY origin, tree_index`),
		rowsOf(t, db.r, `SELECT e.tree_index, c.tbs_sha256 FROM entry_certificates j JOIN entries e ON e.id = j.entry_id JOIN certificates c ON c.id = j.certificate_id ORDER BY 1, 2`),
		rowsOf(t, db.r, `SELECT issuer_key_hash, tbs_sha256 FROM certificates ORDER BY 1, 2`),
		rowsOf(t, db.r, `SELECT log_id, tree_index FROM hits ORDER BY 1, 2`),
	)
}

// TestNothingOfAVoidRunStaysBehind has a run name the certificate of a leaf that is proven, one that an attestation names,
// and an entry that an attestation names: these stay, and nothing else.
func TestNothingOfAVoidRunStaysBehind(t *testing.T) {
	ctx := context.Background()
	db, _, file := oneFile(t)
	l := opened(t, db, "list 1")
	other, err := db.Log(ctx, LogName{Origin: "other.example", Kind: "ct-static", URL: "https://other.example"}, "list 1")
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range []func() error{
		func() error { return l.Begin(ctx, noon, 0, nil, checkpoint(20)) },
		func() error { return l.Advance(ctx, noon, batch(0, 4)) },
		func() error { return l.Prove(ctx, noon, 4, checkpoint(4)) },
		func() error { return other.Begin(ctx, noon, 0, nil, checkpoint(20)) },
		func() error { return other.Advance(ctx, noon, batch(0, 7)) }, // the certificate of leaf 6 is in this log too
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	// An attestation names the entry at 9, and the certificate that is also that of the entry at 12.
	for _, query := range []string{
		fmt.Sprintf(`INSERT INTO provenances (id, file_id, sha256, body, verified_with, first_seen, last_seen) VALUES (1, %d, '%s', CAST('A' AS BLOB), '', 0, 0)`, file, digestA),
		`INSERT INTO certificates (id, issuer_key_hash, tbs_sha256, serial, not_before, not_after, san, issuer, identity, first_seen) VALUES
			(100, 'ca', 'tbs 9', '1', 0, 0, '', '', '{}', 0), (101, 'ca', 'tbs 12', '1', 0, 0, '', '', '{}', 0)`,
		`INSERT INTO entries (id, log_id, origin, tree_index, global_index, leaf_hash, kind, api_version, body, first_seen) VALUES
			(100, '1d', 'log.example', 9, 9, '` + fmt.Sprintf("%x", tlog.LeafHash(leaf(9))) + `', 'dsse', '0.0.2', CAST('leaf 9' AS BLOB), 0)`,
		`INSERT INTO entry_certificates VALUES (100, 100)`,
		`INSERT INTO attestations (id, provenance_id, bundle, position, status, predicate_type, certificate_id, facts) VALUES (1, 1, 0, 0, 'verified', '', 101, '{}')`,
		`INSERT INTO attestation_entries (attestation_id, entry_id) VALUES (1, 100)`,
	} {
		if _, err := db.w.ExecContext(ctx, query); err != nil {
			t.Fatal(err)
		}
	}
	before := names(t, db)
	if err := l.Advance(ctx, noon, batch(4, 20)); err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(before, names(t, db)) {
		t.Fatal("the run left nothing that could be taken back")
	}
	if err := l.Misbehaved(ctx, hour(1), &tlog.Misbehaviour{Kind: tlog.KindEntriesMismatch, From: 4, To: 5}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, names(t, db)); diff != "" {
		t.Errorf("after the run was void (-want +got):\n%s", diff)
	}
	// The same leaves read again are what they were.
	if err := l.Advance(ctx, hour(2), batch(4, 20)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint64{0, 3, 6, 9, 12, 15, 18}, hits(t, db, HitFilter{Origins: []string{"log.example"}, Unproven: true})); diff != "" {
		t.Error(diff)
	}
	if problems := fsckProblems(t, db); len(problems) != 0 {
		t.Errorf("fsck: %q", problems)
	}
}

// forks are log-forks in which a log of size 9 has other roots at that size.
func forks(n int) []*tlog.Misbehaviour {
	var all []*tlog.Misbehaviour
	for i := range n {
		all = append(all, &tlog.Misbehaviour{Kind: tlog.KindFork, Detail: fmt.Sprint("fork ", i),
			Old: tlog.Evidence{Size: 9, Root: "aa"}, New: tlog.Evidence{Size: 9, Root: fmt.Sprintf("%02x", i)}})
	}
	return all
}

func TestEveryContradictionIsKeptOnceWithinBounds(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	l := opened(t, db, "list 1")
	if err := l.Begin(ctx, noon, 0, nil, checkpoint(9)); err != nil {
		t.Fatal(err)
	}
	misbehave := func(at time.Time, all ...*tlog.Misbehaviour) {
		t.Helper()
		for _, m := range all {
			if err := l.Misbehaved(ctx, at, m); err != nil {
				t.Fatal(err)
			}
		}
	}
	incidents := func() (details []string, unkept int) {
		t.Helper()
		logs, err := db.Logs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range logs[0].Incidents {
			details = append(details, i.Detail)
			unkept += i.Unkept
		}
		return details, unkept
	}
	misbehave(hour(1), forks(2)...)
	misbehave(hour(2), forks(3)...)
	got, unkept := incidents()
	if diff := cmp.Diff([]string{"log-fork: fork 0", "log-fork: fork 1", "log-fork: fork 2"}, got); diff != "" || unkept != 0 {
		t.Errorf("%d more; %s", unkept, diff)
	}
	misbehave(hour(3), forks(20)...)
	if got, unkept = incidents(); len(got) != 16 || unkept != 4 {
		t.Errorf("%d contradictions are kept and %d more were counted: %q", len(got), unkept, got)
	}

	// A large one is kept if it is the first, and what is large besides is counted.
	large := func(from uint64) *tlog.Misbehaviour {
		return &tlog.Misbehaviour{Kind: tlog.KindEntriesMismatch, Detail: fmt.Sprint("from ", from), From: from, To: from + 1, Leaves: [][]byte{make([]byte, 4<<20)}}
	}
	misbehave(hour(4), large(4), large(5), large(4), large(5))
	got, unkept = incidents()
	if len(got) != 17 || got[0] != "entries-mismatch: from 4" || unkept != 6 {
		t.Errorf("%d contradictions are kept and %d more were counted: %q", len(got), unkept, got)
	}

	// What the log took back and does again is another incident.
	bad := &tlog.Misbehaviour{Kind: tlog.KindBadCheckpoint, Detail: "no signature"}
	misbehave(hour(5), bad)
	if err := l.Saw(ctx, hour(6), checkpoint(9)); err != nil {
		t.Fatal(err)
	}
	misbehave(hour(7), bad, bad)
	var n int
	if err := db.r.QueryRow(`SELECT count(*) FROM log_incidents WHERE kind = 'bad-checkpoint'`).Scan(&n); err != nil || n != 2 {
		t.Errorf("%d incidents of a bad checkpoint, %v", n, err)
	}
}
