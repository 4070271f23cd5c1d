package sandbox

import (
	"testing"
	"time"
)

// TestWorkIsHonest has a project go through everything that it does, and verifies all that it published.
func TestWorkIsHonest(t *testing.T) {
	now := today
	w, err := New(Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := OnnxLike(w); err != nil {
		t.Fatal(err)
	}
	k := NewWork(w)
	weeklies := map[string]int{}
	for i, do := range []func() error{
		func() error { return k.Step(0) }, func() error { return k.Step(1) }, func() error { return k.Step(2) },
		func() error { return k.CancelledWeekly(4, 0, 0) },
		func() error { return k.CancelledWeekly(4, 4, 2) },
		func() error { return k.WeeklyAgain(4) },
		func() error { return k.CancelledWeekly(4, 2, 1) },
	} {
		if i != 5 { // it is run again on the same day
			now = now.Add(24 * time.Hour)
		}
		if err := do(); err != nil {
			t.Fatal(err)
		}
		weeklies[now.Format("20060102")] = len(w.PyPI.Filenames(weeklyProject, "1.25.0.dev"+now.Format("20060102")))
	}
	j := newJudge(t, w)
	for project, n := range map[string]int{onnxProject: 4*5 + 3, weeklyProject: 4 + 1 + 0} {
		names := w.PyPI.Filenames(project, "")
		if project == weeklyProject {
			n += len(w.PyPI.Filenames(project, "1.24.0.dev20261103"))
		}
		if len(names) != n {
			t.Errorf("%s has %d files, want %d: %v", project, len(names), n, names)
		}
		for _, name := range names {
			if document := w.PyPI.Provenance(project, name); document != nil {
				if err := j.provenance(document, w.PyPI.SHA256(project, name)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	if n := len(w.PyPI.Filenames(weeklyProject, "1.24.0.dev20261103")); n != 3 {
		t.Errorf("of the weekly builds but the last, which the release superseded, %d files are left", n)
	}
	if weeklies["20261106"] != 0 || weeklies["20261107"] != 4 || weeklies["20261108"] != 1 {
		t.Errorf("weekly builds: %v", weeklies)
	}
}
