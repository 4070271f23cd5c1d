package db

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// hour is an instant some hours after noon.
func hour(n int) time.Time { return noon.Add(time.Duration(n) * time.Hour) }

// project opens the row of onnx on PyPI.
func project(t *testing.T, db *DB) audit.ProjectFacts {
	t.Helper()
	p, err := db.Project(context.Background(), "onnx", "pypi", "onnx")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// change is a change of a listing's entry.
type change func(*pypi.File)

func withProvenance(f *pypi.File) { f.ProvenanceURL = "https://pypi.org/integrity/" + f.Filename }
func withOtherProvenance(f *pypi.File) {
	f.ProvenanceURL = "https://pypi.org/integrity/v2/" + f.Filename
}
func untold(f *pypi.File) { f.ProvenanceTold = false }
func yanked(f *pypi.File) { f.Yanked, f.YankedReason = true, "broken" }

// listed is the entry of a file of release 1.0 or, where its name says so, of 2.0.
func listed(name, digest string, changes ...change) pypi.File {
	f := pypi.File{Filename: name, SHA256: digest, URL: "https://files.example/" + name, Size: 100, UploadedAt: noon, Version: "1.0", ProvenanceTold: true}
	if strings.Contains(name, "-2.0") {
		f.Version = "2.0"
	}
	for _, c := range changes {
		c(&f)
	}
	f.Raw = fmt.Appendf(nil, `{"filename":%q,"digest":%q,"provenance":%q,"yanked":%q}`, f.Filename, f.SHA256, f.ProvenanceURL, f.YankedReason)
	return f
}

// describe writes a file as the record has it, in one line.
func describe(f audit.FileFacts) string {
	s := f.Filename + " " + f.SHA256
	switch {
	case !f.ReplacedAt.IsZero():
		s += " replaced by " + f.ReplacedBy
	case !f.RemovedAt.IsZero():
		s += " removed"
	case !f.MissingSince.IsZero():
		s += " missing"
	}
	if f.Yanked {
		s += " yanked: " + f.YankedReason
	}
	return s + " " + string(f.Provenance.State)
}

// picture describes every file of a project, and which of them are to be asked for.
func picture(t *testing.T, db *DB, p audit.ProjectFacts) []string {
	t.Helper()
	ctx := context.Background()
	due, err := db.DueProvenance(ctx, p.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	isDue := map[int64]bool{}
	for _, f := range due {
		isDue[f.ID] = true
	}
	var lines []string
	for _, version := range []string{"1.0", "2.0"} {
		r, err := db.Release(ctx, p.ID, version)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Files {
			line := describe(f)
			if isDue[f.ID] {
				line += " due"
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// answerAll serves a document for every file whose provenance is due.
func answerAll(t *testing.T, db *DB, p audit.ProjectFacts, now time.Time) {
	t.Helper()
	due, err := db.DueProvenance(context.Background(), p.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range due {
		u := audit.ProvenanceUpdate{State: audit.ProvenanceServed, ETag: `"1"`, Body: []byte(`{"of":"` + f.Filename + `"}`)}
		if err := db.SaveProvenance(context.Background(), now, f.ID, u); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatAListingChangesInTheRecord(t *testing.T) {
	type step struct {
		serial int64
		status string // "" is active
		files  []pypi.File
		change audit.ListingChange
		want   []string
	}
	none := audit.ListingChange{}
	a, b, again := listed("a-1.0.whl", "aa"), listed("b-1.0.whl", "bb"), listed("a-1.0.whl", "a2")
	signed, other := listed("a-1.0.whl", "aa", withProvenance), listed("c-2.0.whl", "cc", withProvenance)
	bSigned := listed("b-1.0.whl", "bb", withProvenance)
	for name, steps := range map[string][]step{
		"new, then unchanged": {
			{1, "", []pypi.File{a}, audit.ListingChange{Added: 1}, []string{"a-1.0.whl aa none"}},
			{2, "", []pypi.File{a}, none, []string{"a-1.0.whl aa none"}},
		},
		"gone from two listings": {
			{1, "", []pypi.File{a, b}, audit.ListingChange{Added: 2}, []string{"a-1.0.whl aa none", "b-1.0.whl bb none"}},
			{2, "", []pypi.File{b}, audit.ListingChange{Missing: 1}, []string{"a-1.0.whl aa missing none", "b-1.0.whl bb none"}},
			{2, "", []pypi.File{b}, audit.ListingChange{Removed: 1}, []string{"a-1.0.whl aa removed none", "b-1.0.whl bb none"}},
			{3, "", []pypi.File{b}, none, []string{"a-1.0.whl aa removed none", "b-1.0.whl bb none"}},
			{4, "", []pypi.File{a, b}, audit.ListingChange{Returned: 1}, []string{"a-1.0.whl aa none", "b-1.0.whl bb none"}},
		},
		"gone from one listing": {
			{1, "", []pypi.File{a}, audit.ListingChange{Added: 1}, []string{"a-1.0.whl aa none"}},
			{2, "", nil, audit.ListingChange{Missing: 1}, []string{"a-1.0.whl aa missing none"}},
			{3, "", []pypi.File{a}, audit.ListingChange{Returned: 1}, []string{"a-1.0.whl aa none"}},
			{4, "", nil, audit.ListingChange{Missing: 1}, []string{"a-1.0.whl aa missing none"}},
		},
		"other bytes, and back": {
			{1, "", []pypi.File{a}, audit.ListingChange{Added: 1}, []string{"a-1.0.whl aa none"}},
			{2, "", []pypi.File{again}, audit.ListingChange{Added: 1, Replaced: 1}, []string{"a-1.0.whl aa replaced by a2 none", "a-1.0.whl a2 none"}},
			{3, "", []pypi.File{again}, none, []string{"a-1.0.whl aa replaced by a2 none", "a-1.0.whl a2 none"}},
			{4, "", []pypi.File{a}, audit.ListingChange{Returned: 1, Replaced: 1}, []string{"a-1.0.whl aa none", "a-1.0.whl a2 replaced by aa none"}},
		},
		"removed, then its name again with other bytes": {
			{1, "", []pypi.File{a}, audit.ListingChange{Added: 1}, []string{"a-1.0.whl aa none"}},
			{2, "", nil, audit.ListingChange{Missing: 1}, []string{"a-1.0.whl aa missing none"}},
			{2, "", nil, audit.ListingChange{Removed: 1}, []string{"a-1.0.whl aa removed none"}},
			{3, "", []pypi.File{again}, audit.ListingChange{Added: 1, Replaced: 1}, []string{"a-1.0.whl aa replaced by a2 none", "a-1.0.whl a2 none"}},
		},
		"quarantine hides": {
			{1, "", []pypi.File{a, b}, audit.ListingChange{Added: 2}, []string{"a-1.0.whl aa none", "b-1.0.whl bb none"}},
			{2, "quarantined", nil, none, []string{"a-1.0.whl aa none", "b-1.0.whl bb none"}},
			{2, "quarantined", nil, none, []string{"a-1.0.whl aa none", "b-1.0.whl bb none"}},
			{3, "", []pypi.File{a, b}, none, []string{"a-1.0.whl aa none", "b-1.0.whl bb none"}},
		},
		"yanked, and taken back": {
			{1, "", []pypi.File{a}, audit.ListingChange{Added: 1}, []string{"a-1.0.whl aa none"}},
			{2, "", []pypi.File{listed("a-1.0.whl", "aa", yanked)}, audit.ListingChange{Changed: 1}, []string{"a-1.0.whl aa yanked: broken none"}},
			{3, "", []pypi.File{a}, audit.ListingChange{Changed: 1}, []string{"a-1.0.whl aa none"}},
		},
		"provenance appears": {
			{1, "", []pypi.File{a}, audit.ListingChange{Added: 1}, []string{"a-1.0.whl aa none"}},
			{2, "", []pypi.File{signed}, audit.ListingChange{Changed: 1}, []string{"a-1.0.whl aa pending due"}},
		},
		"provenance disappears, and comes back": {
			{1, "", []pypi.File{signed}, audit.ListingChange{Added: 1}, []string{"a-1.0.whl aa pending due"}},
			{2, "", []pypi.File{a}, audit.ListingChange{Changed: 1}, []string{"a-1.0.whl aa none"}},
			{3, "", []pypi.File{signed}, audit.ListingChange{Changed: 1}, []string{"a-1.0.whl aa pending due"}},
		},
		"provenance moves": {
			{1, "", []pypi.File{signed}, audit.ListingChange{Added: 1}, []string{"a-1.0.whl aa pending due"}},
			{2, "", []pypi.File{listed("a-1.0.whl", "aa", withOtherProvenance)}, audit.ListingChange{Changed: 1}, []string{"a-1.0.whl aa served due"}},
		},
		"the index unlearns PEP 740, and learns it": {
			{1, "", []pypi.File{signed, b}, audit.ListingChange{Added: 2}, []string{"a-1.0.whl aa pending due", "b-1.0.whl bb none"}},
			{2, "", []pypi.File{listed("a-1.0.whl", "aa", untold), listed("b-1.0.whl", "bb", untold)}, audit.ListingChange{Changed: 1},
				[]string{"a-1.0.whl aa untold", "b-1.0.whl bb untold"}},
			{3, "", []pypi.File{signed, b}, audit.ListingChange{Changed: 1}, []string{"a-1.0.whl aa pending due", "b-1.0.whl bb none"}},
		},
		"a serial that no entry explains": {
			{1, "", []pypi.File{signed, other}, audit.ListingChange{Added: 2}, []string{"a-1.0.whl aa pending due", "c-2.0.whl cc pending due"}},
			{1, "", []pypi.File{signed, other}, none, []string{"a-1.0.whl aa served", "c-2.0.whl cc served"}},
			{2, "", []pypi.File{signed, other}, none, []string{"a-1.0.whl aa served due", "c-2.0.whl cc served due"}},
		},
		"a serial that an entry of one release explains": {
			{1, "", []pypi.File{signed, bSigned, other}, audit.ListingChange{Added: 3},
				[]string{"a-1.0.whl aa pending due", "b-1.0.whl bb pending due", "c-2.0.whl cc pending due"}},
			{2, "", []pypi.File{listed("a-1.0.whl", "aa", withProvenance, yanked), bSigned, other}, audit.ListingChange{Changed: 1},
				[]string{"a-1.0.whl aa yanked: broken served due", "b-1.0.whl bb served due", "c-2.0.whl cc served"}},
		},
		"what is gone is not asked for": {
			{1, "", []pypi.File{signed, other}, audit.ListingChange{Added: 2}, []string{"a-1.0.whl aa pending due", "c-2.0.whl cc pending due"}},
			{2, "", []pypi.File{again}, audit.ListingChange{Added: 1, Missing: 1, Replaced: 1},
				[]string{"a-1.0.whl aa replaced by a2 served", "a-1.0.whl a2 none", "c-2.0.whl cc missing served"}},
			{2, "", []pypi.File{again}, audit.ListingChange{Removed: 1},
				[]string{"a-1.0.whl aa replaced by a2 served", "a-1.0.whl a2 none", "c-2.0.whl cc removed served"}},
			{3, "", []pypi.File{again}, none,
				[]string{"a-1.0.whl aa replaced by a2 served", "a-1.0.whl a2 none", "c-2.0.whl cc removed served"}},
			{4, "", []pypi.File{again, other}, audit.ListingChange{Returned: 1},
				[]string{"a-1.0.whl aa replaced by a2 served", "a-1.0.whl a2 none", "c-2.0.whl cc served due"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := openTemp(t)
			p := project(t, db)
			for i, s := range steps {
				l := &pypi.Listing{Name: "onnx", Serial: s.serial, Status: "active", Files: s.files}
				if s.status != "" {
					l.Status = s.status
				}
				change, err := db.SaveListing(context.Background(), hour(i), audit.ListingUpdate{ProjectID: p.ID, Listing: l})
				if err != nil {
					t.Fatal(err)
				}
				if change != s.change {
					t.Errorf("listing %d: %+v, want %+v", i+1, change, s.change)
				}
				if diff := cmp.Diff(s.want, picture(t, db, p)); diff != "" {
					t.Errorf("after listing %d (-want +got):\n%s", i+1, diff)
				}
				answerAll(t, db, p, hour(i))
			}
		})
	}
}

// saveListing stores a listing of files.
func saveListing(t *testing.T, db *DB, p audit.ProjectFacts, now time.Time, l pypi.Listing) {
	t.Helper()
	if _, err := db.SaveListing(context.Background(), now, audit.ListingUpdate{ProjectID: p.ID, Listing: &l}); err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatIsGoneBeforeItsProvenanceCameIsNotAskedFor(t *testing.T) {
	a, b := listed("a-1.0.whl", "aa", withProvenance), listed("b-1.0.whl", "bb", withProvenance)
	db := openTemp(t)
	p := project(t, db)
	saveListing(t, db, p, noon, pypi.Listing{Serial: 1, Files: []pypi.File{a, b}})
	saveListing(t, db, p, hour(1), pypi.Listing{Serial: 2, Files: []pypi.File{listed("a-1.0.whl", "a2")}})
	if diff := cmp.Diff([]string{"a-1.0.whl aa replaced by a2 pending", "a-1.0.whl a2 none", "b-1.0.whl bb missing pending due"}, picture(t, db, p)); diff != "" {
		t.Error(diff)
	}
	saveListing(t, db, p, hour(2), pypi.Listing{Serial: 2, Files: []pypi.File{listed("a-1.0.whl", "a2")}})
	if diff := cmp.Diff([]string{"a-1.0.whl aa replaced by a2 pending", "a-1.0.whl a2 none", "b-1.0.whl bb removed pending"}, picture(t, db, p)); diff != "" {
		t.Error(diff)
	}
	saveListing(t, db, p, hour(3), pypi.Listing{Serial: 3, Files: []pypi.File{a, b}})
	if diff := cmp.Diff([]string{"a-1.0.whl aa pending due", "a-1.0.whl a2 replaced by aa none", "b-1.0.whl bb pending due"}, picture(t, db, p)); diff != "" {
		t.Error(diff)
	}
}

func TestInstantsOfAFileTellWhenItWasSeenAndMissed(t *testing.T) {
	db := openTemp(t)
	p := project(t, db)
	f := listed("a-1.0.whl", "aa", withProvenance)
	for i, files := range [][]pypi.File{{f}, {f}, nil, nil} {
		saveListing(t, db, p, hour(i), pypi.Listing{Serial: int64(i), Files: files})
	}
	r, err := db.Release(context.Background(), p.ID, "1.0")
	if err != nil {
		t.Fatal(err)
	}
	got := r.Files[0]
	want := audit.FileFacts{ID: got.ID, Filename: "a-1.0.whl", SHA256: "aa", Version: "1.0", Size: 100, URL: "https://files.example/a-1.0.whl", UploadedAt: noon,
		FirstSeen: noon, LastSeen: hour(1), MissingSince: hour(2), RemovedAt: hour(3), Listing: json.RawMessage(f.Raw),
		Provenance: audit.ProvenanceFacts{URL: "https://pypi.org/integrity/a-1.0.whl", State: audit.ProvenancePending, Since: noon}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestProjectTellsWhenItsListingWasAnsweredAndWhenItFailed(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	p := project(t, db)
	saveListing(t, db, p, noon, pypi.Listing{Serial: 7, Status: "active", ETag: `"x"`})
	for i, do := range []func(time.Time) error{
		func(now time.Time) error { return db.ListingUnchanged(ctx, now, p.ID) },
		func(now time.Time) error { return db.ListingFailed(ctx, now, p.ID, "502") },
		func(now time.Time) error { return db.ListingFailed(ctx, now, p.ID, "503") },
	} {
		if err := do(hour(i + 1)); err != nil {
			t.Fatal(err)
		}
	}
	want := audit.ProjectFacts{ID: p.ID, Project: "onnx", Index: "pypi", Name: "onnx", Status: "active", Serial: 7, ETag: `"x"`,
		CheckedAt: hour(1), ChangedAt: noon, FailingSince: hour(2), Failure: "503"}
	if diff := cmp.Diff(want, project(t, db)); diff != "" {
		t.Error(diff)
	}
	if err := db.ListingUnchanged(ctx, hour(4), p.ID); err != nil {
		t.Fatal(err)
	}
	want.CheckedAt, want.FailingSince, want.Failure = hour(4), time.Time{}, ""
	if diff := cmp.Diff(want, project(t, db)); diff != "" {
		t.Errorf("after an answer: %s", diff)
	}
	saveListing(t, db, p, hour(5), pypi.Listing{Serial: 7, Status: "quarantined", StatusReason: "malware", ETag: `"y"`})
	want.Status, want.StatusReason, want.ETag, want.CheckedAt, want.ChangedAt = "quarantined", "malware", `"y"`, hour(5), hour(5)
	if diff := cmp.Diff(want, project(t, db)); diff != "" {
		t.Errorf("after a quarantine: %s", diff)
	}
}

func TestOwnersAreKeptAsOftenAsTheyChange(t *testing.T) {
	db := openTemp(t)
	p := project(t, db)
	for i, body := range []string{`"alice"`, `"alice"`, "", `"mallory"`, `"alice"`} {
		u := audit.ListingUpdate{ProjectID: p.ID, Listing: &pypi.Listing{}}
		if body != "" {
			u.Ownership = json.RawMessage(body)
		}
		if _, err := db.SaveListing(context.Background(), hour(i), u); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, o := range project(t, db).Ownership {
		got = append(got, fmt.Sprintf("%s %d-%d", o.Body, o.FirstSeen.Hour(), o.LastSeen.Hour()))
	}
	if diff := cmp.Diff([]string{`"alice" 12-13`, `"mallory" 15-15`, `"alice" 16-16`}, got); diff != "" {
		t.Error(diff)
	}
}
