package db

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// fsckProblems is what fsck finds.
func fsckProblems(t *testing.T, db *DB) []string {
	t.Helper()
	var problems []string
	if _, err := db.Fsck(context.Background(), func(p string) { problems = append(problems, p) }); err != nil {
		t.Fatal(err)
	}
	return problems
}

// TestFsckFindsWhatWasChangedInJudgements changes one thing at a time. What fsck says of logs is tested with their follower.
func TestFsckFindsWhatWasChangedInJudgements(t *testing.T) {
	ctx := context.Background()
	whole := func() *DB {
		db, p, id := oneFile(t)
		if err := db.SaveProvenance(ctx, hour(1), id, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte("A")}); err != nil {
			t.Fatal(err)
		}
		f := wrong("a", audit.High, "x")
		f.Evidence = []audit.Evidence{{Kind: "provenance", SHA256: digestA}}
		if _, err := db.Settle(ctx, hour(2), audit.Settlement{Project: p, Assessment: audit.Assessment{Findings: []audit.Finding{f}}, Channels: channels}); err != nil {
			t.Fatal(err)
		}
		return db
	}
	if problems := fsckProblems(t, whole()); len(problems) != 0 {
		t.Fatalf("of a whole record: %q", problems)
	}
	for statement, want := range map[string]string{
		"UPDATE provenances SET body = x'00'":                                                                     "provenance document 1 is sha256:6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d, not the sha256:" + digestA + " that names it",
		"UPDATE findings SET status = 'resolved'":                                                                 "does not say the same everywhere in the record",
		"UPDATE findings SET body = json_set(body, '$.severity', 'low')":                                          "is not as its last event left it",
		"UPDATE findings SET body = '['":                                                                          "cannot be read",
		"DELETE FROM outbox; DELETE FROM finding_events":                                                          "is not as its last event left it",
		"UPDATE files SET provenance_id = NULL; DELETE FROM provenances":                                          "rests on document sha256:" + digestA + ", which is not in the record",
		"PRAGMA foreign_keys = 0; DELETE FROM finding_events":                                                     "names a row of finding_events that is not there",
		"PRAGMA foreign_keys = 0; PRAGMA ignore_check_constraints = 1; UPDATE findings SET status = 'overlooked'": "the file is damaged: CHECK constraint failed in findings",
	} {
		db := whole()
		if _, err := db.w.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
		if problems := fsckProblems(t, db); !strings.Contains(strings.Join(problems, "\n"), want) {
			t.Errorf("%s: %q", statement, problems)
		}
	}
}

func TestFsckFindsEvidenceWhoseLeafIsGone(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	f := wrong("a", audit.High, "x")
	f.Subject = audit.Subject{LogOrigin: "log.example", LogIndex: 7, LeafHash: digestA}
	f.ID = audit.FindingID(audit.Key(f.Rule, f.Subject))
	f.Evidence = []audit.Evidence{{Kind: "log-entry", SHA256: digestA}}
	if _, err := db.SettleLogs(ctx, noon, audit.Assessment{Findings: []audit.Finding{f}}, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"finding " + f.ID + " rests on leaf:" + digestA + ", which is not in the record"}
	if diff := cmp.Diff(want, fsckProblems(t, db)); diff != "" {
		t.Error(diff)
	}
}
