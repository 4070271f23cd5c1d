package db

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/github"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// gitHubKills are the writes of what GitHub says that pass a failpoint.
var gitHubKills = map[string]func(*DB) error{
	"db/repository-uncommitted": func(db *DB) error {
		return db.SaveRepository(context.Background(), hour(5), "onnx/onnx", github.Repository{Name: "onnx/onnx", ID: "1", OwnerID: "2", Visibility: "public"}, hour(29))
	},
	"db/store-uncommitted": func(db *DB) error {
		return db.SaveStored(context.Background(), hour(5), 1, answered("roots", "A", "B"))
	},
	"db/run-uncommitted": func(db *DB) error {
		return db.SaveRun(context.Background(), hour(5), "https://github.com/onnx/onnx/actions/runs/1", &github.Run{Repository: "onnx/onnx"}, time.Time{})
	},
	"db/bundle-uncommitted": func(db *DB) error {
		return db.SaveBundleVerification(context.Background(), hour(5), audit.StoredDocument{ID: 1, FileID: 1, Bundle: true}, verification("roots 2"))
	},
}

// gitHubBeforeTheKill has the store answer once.
func gitHubBeforeTheKill(db *DB) error {
	return db.SaveStored(context.Background(), hour(4), 1, answered("roots", "A"))
}

// verification is what verifying a bundle gave.
func verification(verifiedWith string) audit.Verification {
	return audit.Verification{VerifiedWith: verifiedWith, Attestations: []audit.VerifiedAttestation{{
		Facts: audit.AttestationFacts{Status: attest.Verified, PredicateType: attest.PredicateSLSA}}}}
}

// answered is an answer with bundles about the digests "aa" and "bb"; without any, it is none.
func answered(verifiedWith string, bodies ...string) audit.StoreUpdate {
	u := audit.StoreUpdate{Repository: "onnx/onnx", State: audit.StoreNone, Due: hour(48)}
	for _, body := range bodies {
		u.State = audit.StoreServed
		u.Bundles = append(u.Bundles, audit.StoreBundle{Body: []byte(body), RepositoryID: 7, Digests: []string{"aa", "bb"}, Verification: verification(verifiedWith)})
	}
	return u
}

// describeStore writes what the record has of a file in the store.
func describeStore(s audit.StoreFacts) string {
	out := string(s.State)
	if !s.CheckedAt.IsZero() {
		out += fmt.Sprintf(" since %d, checked %d", s.Since.Hour(), s.CheckedAt.Hour())
	}
	if !s.FailingSince.IsZero() {
		out += fmt.Sprintf(", failing since %d: %s", s.FailingSince.Hour(), s.Failure)
	}
	for _, b := range s.Bundles {
		out += fmt.Sprintf("; %s from %d", map[string]string{digestA: "A", digestB: "B"}[b.SHA256], b.FirstSeen.Hour())
		if b.Listed {
			out += fmt.Sprintf(" to %d", b.LastSeen.Hour())
		}
		if !b.GoneAt.IsZero() {
			out += fmt.Sprintf(", gone %d", b.GoneAt.Hour())
		}
	}
	return strings.TrimPrefix(out, ", ")
}

func TestWhatAnAnswerOfTheStoreChangesInTheRecord(t *testing.T) {
	type step struct {
		bodies []string // nil for a request that failed, empty for none
		want   string
	}
	none := []string{}
	for name, steps := range map[string][]step{
		"none, again":           {{none, "none since 13, checked 13"}, {none, "none since 13, checked 14"}},
		"served, again":         {{[]string{"A"}, "served since 13, checked 13; A from 13 to 13"}, {[]string{"A"}, "served since 13, checked 14; A from 13 to 14"}},
		"another besides":       {{[]string{"B"}, "served since 13, checked 13; B from 13 to 13"}, {[]string{"B", "A"}, "served since 13, checked 14; A from 14 to 14; B from 13 to 14"}},
		"twice in one answer":   {{[]string{"A", "A"}, "served since 13, checked 13; A from 13 to 13"}},
		"late":                  {{none, "none since 13, checked 13"}, {[]string{"A"}, "served since 14, checked 14; A from 14 to 14"}},
		"withdrawn":             {{[]string{"A"}, "served since 13, checked 13; A from 13 to 13"}, {none, "none since 14, checked 14; A from 13 to 13, gone 14"}, {none, "none since 14, checked 15; A from 13 to 13, gone 14"}},
		"withdrawn, and back":   {{[]string{"A"}, "served since 13, checked 13; A from 13 to 13"}, {none, "none since 14, checked 14; A from 13 to 13, gone 14"}, {[]string{"A"}, "served since 15, checked 15; A from 13 to 15"}},
		"failing, then none":    {{nil, "failing since 13: problem 1"}, {nil, "failing since 13: problem 2"}, {none, "none since 15, checked 15"}},
		"served, then failing":  {{[]string{"A"}, "served since 13, checked 13; A from 13 to 13"}, {nil, "served since 13, checked 13, failing since 14: problem 2; A from 13 to 13"}},
		"replaced by another":   {{[]string{"A"}, "served since 13, checked 13; A from 13 to 13"}, {[]string{"B"}, "served since 13, checked 14; A from 13 to 13, gone 14; B from 14 to 14"}},
		"never asked for again": {},
	} {
		t.Run(name, func(t *testing.T) {
			db, p, id := oneFile(t)
			for i, s := range steps {
				now := hour(i + 1)
				err := error(nil)
				if s.bodies == nil {
					err = db.StoreFailed(context.Background(), now, id, answered(""), fmt.Sprintf("problem %d", i+1))
				} else {
					err = db.SaveStored(context.Background(), now, id, answered("roots", s.bodies...))
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := describeStore(facts(t, db, p).Store); got != s.want {
					t.Errorf("step %d: %s, want %s", i+1, got, s.want)
				}
			}
			if problems := fsckProblems(t, db); len(problems) != 0 {
				t.Errorf("problems: %q", problems)
			}
		})
	}
}

// TestABundleCountsForEveryFileThatItIsAbout asks for one of three files.
func TestABundleCountsForEveryFileThatItIsAbout(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	p := project(t, db)
	saveListing(t, db, p, noon, pypi.Listing{Serial: 1, Files: []pypi.File{listed("a-1.0.whl", "aa"), listed("b-1.0.whl", "bb"), listed("c-1.0.whl", "cc")}})
	if err := db.SaveStored(ctx, hour(1), 3, answered("roots", "A")); err != nil { // it says that it is about the first two, the store that it is about the third
		t.Fatal(err)
	}
	unverified := func(with string) []string {
		t.Helper()
		var got []string
		for file, bundle := int64(0), int64(0); ; {
			docs, err := db.UnverifiedBundles(ctx, p.ID, with, file, bundle, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(docs) == 0 {
				return got
			}
			file, bundle = docs[0].FileID, docs[0].ID
			got = append(got, fmt.Sprintf("%s %s of %s %t", docs[0].Filename, docs[0].SHA256, docs[0].Body, docs[0].Bundle))
		}
	}
	if diff := cmp.Diff([]string{"a-1.0.whl aa of A true", "b-1.0.whl bb of A true"}, unverified("roots")); diff != "" {
		t.Errorf("to be verified (-want +got):\n%s", diff)
	}
	for _, file := range []int64{1, 2} {
		if err := db.SaveBundleVerification(ctx, hour(2), audit.StoredDocument{ID: 1, FileID: file}, verification("roots")); err != nil {
			t.Fatal(err)
		}
	}
	if got := unverified("roots"); got != nil {
		t.Errorf("still to be verified: %q", got)
	}
	if got := unverified("other roots"); len(got) != 3 {
		t.Errorf("with other roots: %q", got)
	}
	r, err := db.Release(ctx, p.ID, "1.0")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Files {
		got = append(got, describeStore(f.Store))
	}
	if diff := cmp.Diff([]string{"; A from 14", "; A from 14", "served since 13, checked 13; A from 13 to 13"}, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	var bodies int
	if err := db.r.QueryRow(`SELECT count(*) FROM github_bundles`).Scan(&bodies); err != nil || bodies != 1 {
		t.Errorf("%d bundles, %v", bodies, err)
	}
	if body, err := db.Document(ctx, digestA); err != nil || string(body) != "A" {
		t.Errorf("the bundle as a document: %q, %v", body, err)
	}
	var verified []string
	if err := db.Verifications(ctx, func(d audit.StoredDocument, held audit.DocumentFacts) error {
		verified = append(verified, fmt.Sprintf("%s %s %t %d", d.Filename, d.Body, d.Bundle, len(held.Attestations)))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"c-1.0.whl A true 1", "a-1.0.whl A true 1", "b-1.0.whl A true 1"}, verified); diff != "" {
		t.Errorf("what the record says was verified (-want +got):\n%s", diff)
	}
}

// TestFilesThatAreNewAreAskedForFirst has files that were answered for, failed, are gone, or are not due.
func TestFilesThatAreNewAreAskedForFirst(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	p := project(t, db)
	uploaded := func(at time.Time) change { return func(f *pypi.File) { f.UploadedAt = at } }
	saveListing(t, db, p, noon, pypi.Listing{Serial: 1, Files: []pypi.File{
		listed("answered.whl", "01", uploaded(hour(9))), listed("failed.whl", "02", uploaded(hour(8))), listed("old.whl", "03", uploaded(hour(-9))),
		listed("new.whl", "04", uploaded(hour(7))), listed("later.whl", "05", uploaded(hour(9))), listed("elsewhere.whl", "06", uploaded(hour(6))), listed("gone.whl", "07"),
	}})
	due := answered("")
	due.Due = hour(2)
	later := answered("")
	later.Due = hour(3)
	elsewhere := later
	elsewhere.Repository = "stranger/onnx"
	for _, err := range []error{
		db.SaveStored(ctx, hour(1), 1, due), db.StoreFailed(ctx, hour(1), 2, due, "502"), db.SaveStored(ctx, hour(1), 5, later), db.SaveStored(ctx, hour(1), 6, elsewhere),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.w.Exec(`UPDATE files SET removed_at = 1 WHERE filename = 'gone.whl'`); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int]string{
		1: "new.whl old.whl elsewhere.whl",
		2: "new.whl old.whl failed.whl answered.whl elsewhere.whl",
		3: "new.whl old.whl failed.whl answered.whl later.whl elsewhere.whl",
	} {
		files, err := db.DueInStore(ctx, hour(at), p.ID, "onnx/onnx", 100)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range files {
			names = append(names, f.Filename)
		}
		n, err := db.CountDueInStore(ctx, hour(at), p.ID, "onnx/onnx")
		if got := strings.Join(names, " "); got != want || err != nil || n != len(files) {
			t.Errorf("at %d: %s, want %s (%d, %v)", at, got, want, n, err)
		}
	}
	if files, err := db.DueInStore(ctx, hour(3), p.ID, "onnx/onnx", 2); err != nil || len(files) != 2 {
		t.Errorf("%d of two files, %v", len(files), err)
	}
}

func TestRepositoryKeepsSinceWhenItHasItsIDs(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	first := github.Repository{Name: "onnx/onnx", ID: "1", OwnerID: "2", Visibility: "public"}
	other := first
	other.OwnerID = "3"
	for i, step := range []struct {
		say  *github.Repository
		want audit.RepositoryFacts
	}{
		{nil, audit.RepositoryFacts{FailingSince: hour(1), Failure: "problem 1"}},
		{&first, audit.RepositoryFacts{Current: "onnx/onnx", ID: "1", OwnerID: "2", Visibility: "public", Since: hour(2), CheckedAt: hour(2)}},
		{&first, audit.RepositoryFacts{Current: "onnx/onnx", ID: "1", OwnerID: "2", Visibility: "public", Since: hour(2), CheckedAt: hour(3)}},
		{nil, audit.RepositoryFacts{Current: "onnx/onnx", ID: "1", OwnerID: "2", Visibility: "public", Since: hour(2), CheckedAt: hour(3), FailingSince: hour(4), Failure: "problem 4"}},
		{&other, audit.RepositoryFacts{Current: "onnx/onnx", ID: "1", OwnerID: "3", Visibility: "public", Since: hour(5), CheckedAt: hour(5)}},
	} {
		now, due := hour(i+1), hour(i+25)
		var err error
		if step.say == nil {
			err = db.RepositoryFailed(ctx, now, "onnx/onnx", fmt.Sprintf("problem %d", i+1), due)
		} else {
			err = db.SaveRepository(ctx, now, "onnx/onnx", *step.say, due)
		}
		if err != nil {
			t.Fatal(err)
		}
		step.want.Name, step.want.DueAt = "onnx/onnx", due
		got, err := db.Repository(ctx, "onnx/onnx")
		if diff := cmp.Diff(step.want, got); diff != "" || err != nil {
			t.Errorf("step %d: %v (-want +got):\n%s", i+1, err, diff)
		}
	}
	if got, err := db.Repository(ctx, "stranger/onnx"); err != nil || got != (audit.RepositoryFacts{Name: "stranger/onnx"}) {
		t.Errorf("one that was never asked for: %+v, %v", got, err)
	}
}

func TestFsckFindsABundleThatWasChanged(t *testing.T) {
	db, _, id := oneFile(t)
	if err := db.SaveStored(context.Background(), hour(1), id, answered("roots", "A")); err != nil {
		t.Fatal(err)
	}
	if problems := fsckProblems(t, db); len(problems) != 0 {
		t.Fatalf("of a whole record: %q", problems)
	}
	if _, err := db.w.Exec(`UPDATE github_bundles SET body = x'00'`); err != nil {
		t.Fatal(err)
	}
	if problems := fsckProblems(t, db); len(problems) != 1 || !strings.Contains(problems[0], "bundle 1 of GitHub's store is sha256:6e340b9cffb37a98") {
		t.Errorf("problems: %q", problems)
	}
}

// TestRunsAreThoseThatCertificatesOfTheRepositoryName has certificates of three repositories, one of which chains to nothing.
func TestRunsAreThoseThatCertificatesOfTheRepositoryName(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	certificate := func(tbs, issuer, run string, hours int) {
		t.Helper()
		if _, err := db.w.Exec(`INSERT INTO certificates (issuer_key_hash, tbs_sha256, serial, not_before, not_after, san, issuer, identity, first_seen)
			VALUES (?, ?, '1', ?, 0, '', '', json_object('san', 's', 'run_invocation_uri', ?), 0)`, issuer, tbs, micros(hour(hours)), run); err != nil {
			t.Fatal(err)
		}
	}
	const first, second = "https://github.com/onnx/onnx/actions/runs/1/attempts/1", "https://github.com/onnx/onnx/actions/runs/2/attempts/1"
	certificate("a", "ca", first, 1)
	certificate("b", "ca", second, 2)
	certificate("c", "ca", first, 3) // of the same run
	certificate("d", "ca", "https://github.com/onnx/onnx2/actions/runs/3", 4)
	certificate("e", "ca", "https://github.com/onnx/onnx-weekly/actions/runs/4", 4)
	certificate("f", "", "https://github.com/onnx/onnx/actions/runs/5", 4)
	due := func(at int) string {
		t.Helper()
		runs, err := db.DueRuns(ctx, hour(at), "onnx/onnx", true, 10)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, r := range runs {
			all = append(all, strings.TrimPrefix(r.URL, "https://github.com/onnx/onnx/actions/runs/"))
		}
		return strings.Join(all, " ")
	}
	known := func() string {
		t.Helper()
		var all []string
		if err := db.Runs(ctx, "onnx/onnx", func(r audit.RunFacts) error {
			absent := ""
			if !r.AbsentSince.IsZero() {
				absent = fmt.Sprintf(" absent since %d", r.AbsentSince.Hour())
			}
			all = append(all, fmt.Sprintf("%s: %s %s%s", r.TBSSHA256, r.Run.Event, r.Failure, absent))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return strings.Join(all, ", ")
	}
	// Without a token only the runs of jobs are due of which some entry is not accounted for.
	if _, err := db.w.Exec(`INSERT INTO signers (id, identity, chained) VALUES (1, '{}', 1); INSERT INTO jobs (id, signer_id, run) VALUES (1, 1, '1'), (2, 1, '2');
		UPDATE certificates SET job_id = CASE WHEN tbs_sha256 = 'b' THEN 2 ELSE 1 END;
		INSERT INTO entries (id, log_id, origin, tree_index, global_index, leaf_hash, kind, api_version, body, first_seen) VALUES (1, '1d', 'l', 0, 0, 'h', 'k', 'v', x'00', 0);
		INSERT INTO open_entries (job_id, entry_id) VALUES (2, 1)`); err != nil {
		t.Fatal(err)
	}
	if runs, err := db.DueRuns(ctx, hour(5), "onnx/onnx", false, 10); err != nil || len(runs) != 1 || runs[0].URL != second {
		t.Errorf("due without a token: %+v, %v", runs, err)
	}
	found := &github.Run{Repository: "onnx/onnx", Event: "push", Conclusion: "success"}
	for i, step := range []struct {
		do         func() error
		due, known string
	}{
		{func() error { return nil }, "1/attempts/1 2/attempts/1", ""},
		{func() error { return db.SaveRun(ctx, hour(5), first, found, time.Time{}) }, "2/attempts/1", "a: push , c: push "},
		{func() error { return db.RunFailed(ctx, hour(5), second, "502", hour(6)) }, "", "a: push , b:  502, c: push "},
		{func() error { return db.SaveRun(ctx, hour(6), second, nil, hour(6)) }, "", "a: push , b:   absent since 18, c: push "},
		{func() error { return db.SaveRun(ctx, hour(7), second, nil, hour(9)) }, "", "a: push , b:   absent since 18, c: push "},
		{func() error { return db.SaveRun(ctx, hour(8), second, found, time.Time{}) }, "", "a: push , b: push , c: push "},
		{func() error { return db.SaveRun(ctx, hour(9), first, nil, time.Time{}) }, "", "a: push  absent since 21, b: push , c: push  absent since 21"},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got := due(5); got != step.due {
			t.Errorf("step %d: due are %q, want %q", i, got, step.due)
		}
		if got := known(); got != step.known {
			t.Errorf("step %d: known is %q, want %q", i, got, step.known)
		}
	}
}
