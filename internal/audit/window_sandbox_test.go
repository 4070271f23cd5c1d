package audit_test

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// spent counts the requests that a follower made to the world's Rekor v1.
func (f *follower) spent() int64 {
	var n int64
	for _, c := range f.client.Requests() {
		n += c
	}
	return n
}

func (f *follower) planner(list *audit.ShardList) *audit.WindowPlanner {
	return &audit.WindowPlanner{Clock: f.clock, Record: f.record, List: list, WatchList: f.watch.Hash(), Spent: f.spent}
}

// queue plans and keeps the windows of a period, and returns all that have to do with it.
func (f *follower) queue(t *testing.T, list *audit.ShardList, q audit.WindowRequest) []audit.Window {
	t.Helper()
	for i := range list.Shards.Shards {
		f.store(t, list.Shards.Shards[i].Checkpoint.Origin)
	}
	p := f.planner(list)
	held, err := p.Cover(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if _, covered, err := p.Held(t.Context(), q); err != nil || !covered {
		t.Fatalf("the request is not covered by %+v, %v", held, err)
	}
	return held
}

// reader reads windows of a shard.
func (f *follower) reader(list *audit.ShardList, origin string) *audit.WindowReader {
	i := slices.IndexFunc(list.Shards.Shards, func(s rekor.V1Shard) bool { return s.Checkpoint.Origin == origin })
	shard := &list.Shards.Shards[i]
	inspector := &audit.LeafInspector{Watch: f.watch, Roots: f.roots}
	return &audit.WindowReader{Clock: f.clock, Logger: slog.New(slog.DiscardHandler), Record: f.record, Log: list.Log, Shard: shard, Source: list.Source(shard),
		Scan: rekor.NewScanner(f.watch).Scan, Inspect: audit.GlobalEntries(inspector.Entry, shard), Parallel: 3, Spent: f.spent}
}

// readAll reads windows to their ends.
func (f *follower) readAll(t *testing.T, list *audit.ShardList, windows []audit.Window) (hits int) {
	t.Helper()
	for i := range windows {
		if windows[i].Finished() {
			continue
		}
		result, err := f.reader(list, windows[i].Origin).Read(t.Context(), &windows[i])
		if err != nil || result.Misbehaviour != nil || !windows[i].Finished() {
			t.Fatalf("%+v: %+v, %v", windows[i], result, err)
		}
		hits += result.Hits
	}
	f.settle(t)
	return hits
}

// period asks for entries of the active shard by their indexes.
func (w *logWorld) period(from, to uint64) audit.WindowRequest {
	return audit.WindowRequest{Since: w.second(from), Until: w.second(to), Why: "asked by a test"}
}

// TestAWindowHoldsAllEntriesOfItsPeriodProven reads a window out of the middle of a shard. What is signed in the project's name
// in it is found, and what is outside of it, margins included, is not.
func TestAWindowHoldsAllEntriesOfItsPeriodProven(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, 3000, at(300, unexpected), at(1200, unexpected), at(1999, func(*sandbox.Claims) {}), at(2900, unexpected))
	f := w.newFollower(t, "")
	list := f.shards(t)
	windows := f.queue(t, list, w.period(500, 2200))
	if len(windows) != 1 {
		t.Fatalf("%+v", windows)
	}
	win := windows[0]
	// An entry a second, and a minute more at either end.
	if win.From < 436 || win.From > 442 || win.To < 2259 || win.To > 2264 || win.Finished() || win.State != nil {
		t.Errorf("%+v", win)
	}
	if got, want := win.Estimate(), int64(189); got != want {
		t.Errorf("it is said to take %d requests", got)
	}
	before, estimate := f.spent(), win.Estimate()
	if hits := f.readAll(t, list, windows); hits != 2 {
		t.Errorf("%d hits", hits)
	}
	if took := f.spent() - before; took > estimate {
		t.Errorf("it took %d requests, and was said to take %d", took, estimate)
	}
	want := map[uint64]string{1200: "nightly.yml@refs/heads/rel-1.23.0, global 121905462", 1999: "create_release.yml@refs/heads/rel-1.23.0, global 121906261"}
	if diff := cmp.Diff(want, f.v1Hits(t, win.Origin)); diff != "" {
		t.Errorf("hits (- wanted, + got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{audit.UnexpectedIdentity}, rules(f.findings(t))); diff != "" {
		t.Error(diff)
	}
	// Asked again, it takes no request.
	before = f.spent()
	if again := f.queue(t, list, w.period(600, 700)); len(again) != 1 || !again[0].Finished() || f.spent() != before {
		t.Errorf("%+v after %d requests", again, f.spent()-before)
	}
}

// TestWindowsThatOverlapAreReadOnce asks for periods that overlap: one window that has not begun becomes longer, and of one that
// was read only the rest is.
func TestWindowsThatOverlapAreReadOnce(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, 2000)
	f := w.newFollower(t, "")
	list := f.shards(t)
	f.queue(t, list, w.period(500, 600))
	merged := f.queue(t, list, w.period(700, 800)) // the margins meet
	if len(merged) != 1 || merged[0].From > 442 || merged[0].To < 859 {
		t.Fatalf("%+v", merged)
	}
	f.readAll(t, list, merged)
	rest := f.queue(t, list, w.period(750, 1000))
	var runs []audit.IndexRun
	for _, r := range rest {
		if !r.Finished() {
			runs = append(runs, audit.IndexRun{From: r.From, To: r.To})
		}
	}
	if len(runs) != 1 || runs[0].From != merged[0].To || runs[0].To < 1059 {
		t.Errorf("what is left to read: %v", runs)
	}
	f.readAll(t, list, rest)
	before := f.spent()
	if all := f.queue(t, list, w.period(700, 1000)); f.spent() != before || slices.ContainsFunc(all, func(w audit.Window) bool { return !w.Finished() }) {
		t.Errorf("%+v", all)
	}
}

// TestAWindowAcrossARotationIsInBothShards asks for the time around a rotation, and for a time in which nothing was logged.
func TestAWindowAcrossARotationIsInBothShards(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, 500)
	old := w.Rekor.Active()
	if _, err := w.Rekor.Rotate(0); err != nil {
		t.Fatal(err)
	}
	p := at(20, unexpected)
	if _, err := w.PlantRekor(400, w.second(500), w.second(900), p); err != nil {
		t.Fatal(err)
	}
	f := w.newFollower(t, "")
	list := f.shards(t)
	windows := f.queue(t, list, w.period(450, 600))
	if len(windows) != 2 || windows[0].Origin == windows[1].Origin {
		t.Fatalf("%+v", windows)
	}
	if hits := f.readAll(t, list, windows); hits != 1 {
		t.Errorf("%d hits", hits)
	}
	for _, win := range windows {
		if win.Origin == old.Origin() && win.To != 500 || win.Origin != old.Origin() && (win.From != 0 || win.To < 159) {
			t.Errorf("%+v", win)
		}
	}
	nothing := f.queue(t, list, w.period(100_000, 100_100))
	if len(nothing) != 1 || !nothing[0].Finished() || nothing[0].From != nothing[0].To {
		t.Errorf("%+v", nothing)
	}
}

// TestAWindowThatIsStoppedGoesOnLater stops a reader after each batch, and takes a new one for the next.
func TestAWindowThatIsStoppedGoesOnLater(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, 2000, at(900, unexpected))
	f := w.newFollower(t, "")
	list := f.shards(t)
	win := f.queue(t, list, w.period(200, 1500))[0]
	rounds := 0
	for ; !win.Finished() && rounds < 100; rounds++ {
		r := f.reader(list, win.Origin)
		r.Stop = func() bool { return true }
		proven := win.Proven()
		result, err := r.Read(t.Context(), &win)
		if err != nil || result.Misbehaviour != nil || win.Proven() <= proven || win.Next() != win.Proven() {
			t.Fatalf("%+v: %+v, %v", win, result, err)
		}
		win = f.queue(t, list, w.period(200, 1500))[0]
	}
	if rounds < 10 || rounds > 20 {
		t.Errorf("it took %d rounds", rounds)
	}
	if got := f.v1Hits(t, win.Origin); len(got) != 1 {
		t.Errorf("%v", got)
	}
	f.settle(t)
}

// TestHitsOfAWindowCountOnceProven has a window be read and fail before its proof.
func TestHitsOfAWindowCountOnceProven(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, 400, at(200, unexpected))
	f := w.newFollower(t, "")
	list := f.shards(t)
	win := f.queue(t, list, w.period(150, 250))[0]
	mend, err := w.Rekor.Active().Tell(sandbox.WithheldEntry, win.To-1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.reader(list, win.Origin).Read(t.Context(), &win); err == nil || win.Next() == win.Proven() {
		t.Fatalf("%v, %+v", err, win)
	}
	f.settle(t)
	if got := f.v1Hits(t, win.Origin); len(got) != 0 || len(f.findings(t)) != 0 {
		t.Errorf("what is not proven counts: %v", got)
	}
	mend()
	f.readAll(t, list, f.queue(t, list, w.period(150, 250)))
	if diff := cmp.Diff([]string{audit.UnexpectedIdentity}, rules(f.findings(t))); diff != "" {
		t.Error(diff)
	}
}

// TestALogThatLiesInAWindowIsFoundOut has a shard tell each lie about its tree while a window of it is read.
func TestALogThatLiesInAWindowIsFoundOut(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, 2500, at(1400, unexpected))
	shard := w.Rekor.Active()
	for _, l := range []lie{
		{sandbox.MissingLeaf, 1300, audit.EntriesMismatch, false, false},
		{sandbox.SwappedLeaves, 1300, audit.EntriesMismatch, false, false},
		{sandbox.DuplicatedLeaf, 1300, audit.EntriesMismatch, false, false},
		{sandbox.AlteredBody, 1300, audit.EntriesMismatch, false, false},
		{sandbox.ForkedTree, 1300, audit.LogFork, true, false},
		{sandbox.WrongKey, 0, "", false, true},
		{sandbox.WrongOrigin, 0, "", false, true},
		{sandbox.WithheldEntry, 1300, "", false, true},
		{sandbox.TruncatedBundle, 0, "", false, true},
		{sandbox.TooManyRequests, 3600, "", false, true},
	} {
		t.Run(string(l.Lie), func(t *testing.T) {
			f := w.newFollower(t, "")
			list := f.shards(t)
			win := f.queue(t, list, w.period(1000, 2000))[0]
			mend, err := shard.Tell(l.Lie, l.at)
			if err != nil {
				t.Fatal(err)
			}
			defer mend()
			result, err := f.reader(list, win.Origin).Read(t.Context(), &win)
			if (err != nil) != l.unknown || (result.Misbehaviour != nil) != (l.rule != "") || win.Finished() {
				t.Fatalf("%+v, %v: %+v", result, err, win)
			}
			f.settle(t)
			if l.rule != "" {
				if diff := cmp.Diff([]string{l.rule}, rules(f.findings(t))); diff != "" {
					t.Error(diff)
				}
			}
			if m := result.Misbehaviour; m != nil && m.Kind == tlog.KindEntriesMismatch && (m.From > 1300 || m.To <= 1300 || m.To-m.From > 10 || len(m.Leaves) == 0) {
				t.Errorf("the evidence is of entries %d to %d, %d of them kept", m.From, m.To, len(m.Leaves))
			}
			f.confirmedV1(t)
			mend()
			if result, err = f.reader(list, win.Origin).Read(t.Context(), &win); err != nil || result.Misbehaviour != nil || !win.Finished() {
				t.Errorf("after it told the truth: %+v, %v, %+v", result, err, win)
			}
			f.settle(t)
			want := []string{audit.UnexpectedIdentity}
			if l.lasts {
				want = []string{l.rule, audit.UnexpectedIdentity}
			}
			if diff := cmp.Diff(want, rules(f.findings(t))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestCertificatesAskForWindows looks at which certificates of a CT log ask for one, and in which order.
func TestCertificatesAskForWindows(t *testing.T) {
	w := newLogWorld(t)
	day := w.Now().Add(-24 * time.Hour)
	for _, c := range []struct {
		change func(*sandbox.Claims)
		at     time.Time
	}{
		{func(*sandbox.Claims) {}, day},                                   // a release
		{unexpected, day.Add(time.Hour)},                                  //
		{unexpected, day.Add(time.Hour + 5*time.Minute)},                  // overlaps with it
		{unexpected, day.Add(3 * time.Hour)},                              //
		{func(c *sandbox.Claims) { c.Repository = "stranger/onnx" }, day}, // a look-alike
		{func(c *sandbox.Claims) {
			c.Workflow, c.Ref, c.Trigger, c.Environment = "scorecard.yml", "refs/heads/main", "push", ""
		}, day}, // publishes nothing
	} {
		p := onnxClaims(c.change)
		p.Options.At = c.at
		if err := w.certify(ctRFC6962, p); err != nil {
			t.Fatal(err)
		}
	}
	f := w.newFollower(t, "")
	f.follow(t, f.target(t, ctRFC6962, fromZero))
	requests, err := audit.CertificateRequests(t.Context(), f.record, w.policies())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, q := range requests {
		got = append(got, q.Priority.String()+" "+q.Since.Sub(day).String()+" to "+q.Until.Sub(day).String())
	}
	want := []string{"unexpected-identity 3h0m0s to 3h10m0s", "unexpected-identity 1h0m0s to 1h15m0s", "publishing-grade 0s to 10m0s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(- wanted, + got):\n%s", diff)
	}
}

// TestUnexpectedIdentitiesAreReadBeforePublishingGrades has certificates of both kinds, and too little time for all of them: the
// rest waits, and is read later.
func TestUnexpectedIdentitiesAreReadBeforePublishingGrades(t *testing.T) {
	w := newLogWorld(t)
	w.growV1(t, 4000, at(500, func(*sandbox.Claims) {}), at(2000, unexpected), at(3500, func(*sandbox.Claims) {}))
	f := w.newFollower(t, "")
	f.follow(t, f.target(t, ctRFC6962, fromZero))
	requests, err := audit.CertificateRequests(t.Context(), f.record, w.policies())
	if err != nil || len(requests) != 3 {
		t.Fatalf("%+v, %v", requests, err)
	}
	f.clock.AdvanceTo(w.second(4000).Add(time.Hour))
	list := f.shards(t)
	for i := range list.Shards.Shards {
		f.store(t, list.Shards.Shards[i].Checkpoint.Origin)
	}
	batches := 0
	run := &audit.WindowRun{Planner: f.planner(list), Logger: slog.New(slog.DiscardHandler), Inspector: &audit.LeafInspector{Watch: f.watch, Roots: f.roots},
		Progress: func(uint64) { batches++ }}
	run.Stop = func() bool { return batches >= 10 } // a window has eight
	var order []string
	waiting := []int{}
	for range 5 {
		batches = 0
		read, left, err := run.Certificates(t.Context(), requests)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range read {
			if s.Trouble != "" || len(s.Misbehaviours) > 0 {
				t.Fatalf("%+v", s)
			}
			if !s.FinishedAt.IsZero() {
				order = append(order, s.Priority+" "+s.Since.Sub(w.Now()).String())
			}
		}
		if waiting = append(waiting, left); left == 0 {
			break
		}
	}
	if diff := cmp.Diff([]string{"unexpected-identity 32m50s", "publishing-grade 57m50s", "publishing-grade 7m50s"}, order); diff != "" {
		t.Errorf("(- wanted, + got):\n%s", diff)
	}
	if waiting[0] != 2 || waiting[len(waiting)-1] != 0 {
		t.Errorf("waiting after each run: %v", waiting)
	}
	f.settle(t)
	if got := f.v1Hits(t, w.Rekor.Active().Origin()); len(got) != 3 {
		t.Errorf("hits %v", got)
	}
	// Nothing is left to ask for.
	before := f.spent()
	if read, left, err := run.Certificates(t.Context(), requests); err != nil || left != 0 || len(read) != 0 || f.spent() != before {
		t.Errorf("%+v, %d, %v: %d requests", read, left, err, f.spent()-before)
	}
}
