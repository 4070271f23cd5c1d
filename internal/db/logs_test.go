package db

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

var logName = LogName{Origin: "log.example", Kind: "rekor-v2", KeyID: "1d", URL: "https://log.example"}

func leaf(index uint64) []byte { return fmt.Appendf(nil, "leaf %d", index) }

// tree is the compact range of the log's first leaves.
func tree(size uint64) *compact.Range {
	r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for i := range size {
		if err := r.Append(rfc6962.DefaultHasher.HashLeaf(leaf(i)), nil); err != nil {
			panic(err)
		}
	}
	return r
}

// checkpoint is the log's at a size.
func checkpoint(size uint64) tlog.SignedCheckpoint {
	cp := tlog.SignedCheckpoint{Origin: logName.Origin, Size: size, Raw: fmt.Appendf(nil, "note of %d", size), Cosigners: []string{"w1", "w2"}}
	root := rfc6962.DefaultHasher.EmptyRoot()
	if size > 0 {
		var err error
		if root, err = tree(size).GetRootHash(nil); err != nil {
			panic(err)
		}
	}
	copy(cp.Root[:], root)
	return cp
}

// batch is a run of leaves of which each third concerns onnx.
func batch(from, to uint64) tlog.Batch[audit.LogHit] {
	b := tlog.Batch[audit.LogHit]{From: from, To: to, Range: tree(to).Hashes(), Bytes: int64(to-from) * 100}
	for i := from; i < to; i++ {
		if i%3 == 0 {
			b.Hits = append(b.Hits, tlog.Hit[audit.LogHit]{Index: i, Hit: hit(i)})
		}
	}
	return b
}

func hit(index uint64) audit.LogHit {
	return audit.LogHit{Kind: audit.HitEntry, Class: "self", Project: "onnx", Leaf: leaf(index), EntryKind: "dsse", APIVersion: "0.0.2",
		Certificates: []audit.HitCert{{IssuerKeyHash: "ca", TBSSHA256: fmt.Sprint("tbs ", index), Serial: "1", NotBefore: noon, NotAfter: hour(1), Chained: true,
			Identity: &identity.Identity{SAN: "https://github.com/onnx/onnx/x", Issuer: identity.GitHubActionsIssuer}}}}
}

// opened is a log's record, with the watch list that it is read with.
func opened(t *testing.T, db *DB, list string) *Log {
	t.Helper()
	l, err := db.Log(context.Background(), logName, list)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// hits lists which leaves concern onnx.
func hits(t *testing.T, db *DB, filter HitFilter) []uint64 {
	t.Helper()
	var all []uint64
	if err := db.Hits(context.Background(), filter, func(h audit.HitFacts) error {
		all = append(all, h.Index)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestALogIsReadThenProven(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	l := opened(t, db, "list 1")
	if s, err := l.State(ctx); err != nil || s.Known {
		t.Fatalf("a new log: %+v, %v", s, err)
	}
	if err := l.Begin(ctx, noon, 2, tree(2).Hashes(), checkpoint(5)); err != nil {
		t.Fatal(err)
	}
	state := func(read, proven uint64, cp tlog.SignedCheckpoint, seen time.Time) {
		t.Helper()
		cp.Cosigners = nil // they are in the record for people
		want := tlog.State{Known: true, Start: 2, Read: read, Proven: proven, ReadRange: tree(read).Hashes(), ProvenRange: tree(proven).Hashes(), Checkpoint: cp, SeenAt: seen}
		got, err := l.State(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("state (-want +got):\n%s", diff)
		}
	}
	state(2, 2, checkpoint(5), noon)
	if err := l.Advance(ctx, hour(1), batch(2, 4)); err != nil {
		t.Fatal(err)
	}
	if err := l.Advance(ctx, hour(1), batch(4, 5)); err != nil {
		t.Fatal(err)
	}
	state(5, 2, checkpoint(5), noon)
	if got := hits(t, db, HitFilter{}); got != nil {
		t.Errorf("hits that nothing commits to count: %v", got)
	}
	if diff := cmp.Diff([]uint64{3}, hits(t, db, HitFilter{Unproven: true})); diff != "" {
		t.Error(diff)
	}
	if err := l.Prove(ctx, hour(2), 5, checkpoint(5)); err != nil {
		t.Fatal(err)
	}
	state(5, 5, checkpoint(5), noon)
	if diff := cmp.Diff([]uint64{3}, hits(t, db, HitFilter{})); diff != "" {
		t.Error(diff)
	}

	// A larger checkpoint that was seen is kept, a smaller one does not take its place.
	for i, size := range []uint64{9, 7} {
		if err := l.Saw(ctx, hour(3+i), checkpoint(size)); err != nil {
			t.Fatal(err)
		}
		state(5, 5, checkpoint(9), hour(3))
	}

	// What is read with the same watch list is one proven range, another list starts another.
	for _, step := range []struct {
		list     string
		from, to uint64
	}{{"list 1", 5, 7}, {"list 2", 7, 9}} {
		l = opened(t, db, step.list)
		if err := l.Advance(ctx, hour(5), batch(step.from, step.to)); err != nil {
			t.Fatal(err)
		}
		if err := l.Prove(ctx, hour(6), step.to, checkpoint(step.to)); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := db.Logs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want := []audit.LogFacts{{Origin: "log.example", Kind: "rekor-v2", URL: "https://log.example", Known: true, Start: 2, Read: 9, Proven: 9, Latest: 9, TakenUpAt: noon, Cosigners: []string{"w1", "w2"},
		GrowthPerSecond: 4 / (3 * time.Hour).Seconds(), // from 5 at noon
		CheckedAt:       hour(4), GrewAt: hour(3), ProvenAt: hour(6), LevelAt: hour(6), LevelIndex: 9, Ranges: []audit.ProvenRange{
			{From: 2, To: 7, WatchList: "list 1", ProvenAt: hour(6), Bytes: 500}, {From: 7, To: 9, WatchList: "list 2", ProvenAt: hour(6), Bytes: 200}}}}
	if diff := cmp.Diff(want, logs); diff != "" {
		t.Errorf("logs (-want +got):\n%s", diff)
	}
	if problems := fsckProblems(t, db); len(problems) != 0 {
		t.Errorf("fsck: %q", problems)
	}
}

func TestTheMostCosignaturesOfACheckpointAreKept(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	l := opened(t, db, "list")
	if err := l.Begin(ctx, noon, 0, nil, checkpoint(0)); err != nil {
		t.Fatal(err)
	}
	for i, names := range [][]string{nil, {"w1"}, {"w1", "w2"}, {"w2"}, nil} {
		cp := checkpoint(5)
		cp.Cosigners, cp.Raw = names, fmt.Appendf(nil, "note %d", i)
		if err := l.Saw(ctx, hour(i), cp); err != nil {
			t.Fatal(err)
		}
	}
	s, err := l.State(ctx)
	if err != nil || string(s.Checkpoint.Raw) != "note 2" {
		t.Errorf("what is kept is %q, %v", s.Checkpoint.Raw, err)
	}
	logs, err := db.Logs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"w1", "w2"}, logs[0].Cosigners); diff != "" {
		t.Error(diff)
	}
}

func TestACursorThatSomebodyMovedIsNotMovedAgain(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	l := opened(t, db, "list 1")
	if err := l.Begin(ctx, noon, 0, nil, checkpoint(9)); err != nil {
		t.Fatal(err)
	}
	if err := l.Begin(ctx, noon, 4, tree(4).Hashes(), checkpoint(9)); err == nil {
		t.Error("a log is taken up twice")
	}
	if err := l.Advance(ctx, hour(1), batch(0, 3)); err != nil {
		t.Fatal(err)
	}
	before := dump(t, db.Path())
	for name, do := range map[string]func() error{
		"an older batch": func() error { return l.Advance(ctx, hour(2), batch(0, 4)) },
		"a later batch":  func() error { return l.Advance(ctx, hour(2), batch(4, 6)) },
		"another proof":  func() error { return l.Prove(ctx, hour(2), 4, checkpoint(4)) },
	} {
		if err := do(); !errors.Is(err, tlog.ErrMoved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff(before, dump(t, db.Path())); diff != "" {
		t.Error(diff)
	}
}

func TestAMismatchRewindsToWhatIsProvenAndKeepsItsEvidence(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	l := opened(t, db, "list 1")
	for _, do := range []func() error{
		func() error { return l.Begin(ctx, noon, 0, nil, checkpoint(9)) },
		func() error { return l.Advance(ctx, noon, batch(0, 4)) },
		func() error { return l.Prove(ctx, noon, 4, checkpoint(4)) },
		func() error { return l.Advance(ctx, noon, batch(4, 9)) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	bad := &tlog.Misbehaviour{Kind: tlog.KindBadCheckpoint, Detail: "no signature"}
	fork := &tlog.Misbehaviour{Kind: tlog.KindFork, Detail: "two trees", New: tlog.Evidence{Size: 9, Root: "00", Raw: []byte("note")}}
	mismatch := &tlog.Misbehaviour{Kind: tlog.KindEntriesMismatch, Detail: "an entry is missing", From: 4, To: 9, Leaves: [][]byte{[]byte("leaf")}}
	incidents := func() []string {
		logs, err := db.Logs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, i := range logs[0].Incidents {
			all = append(all, fmt.Sprintf("%s at %d: %s", i.Kind, i.FirstSeen.Hour(), i.Detail))
		}
		return all
	}
	for i, m := range []*tlog.Misbehaviour{bad, fork, fork} {
		if err := l.Misbehaved(ctx, hour(i+1), m); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := l.State(ctx); err != nil || s.Read != 9 {
		t.Errorf("what contradicts no entry rewinds: %+v, %v", s, err)
	}
	if err := l.Misbehaved(ctx, hour(4), mismatch); err != nil {
		t.Fatal(err)
	}
	if s, err := l.State(ctx); err != nil || s.Read != 4 || s.Proven != 4 {
		t.Errorf("after a mismatch: %+v, %v", s, err)
	}
	if diff := cmp.Diff([]uint64{0, 3}, hits(t, db, HitFilter{Unproven: true})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"bad-checkpoint at 13: bad-checkpoint: no signature", "entries-mismatch at 16: entries-mismatch: an entry is missing",
		"log-fork at 14: log-fork: two trees"}, incidents()); diff != "" {
		t.Error(diff)
	}

	// A good checkpoint takes back a bad one, a proof the mismatch. A fork stays one.
	if err := l.Saw(ctx, hour(5), checkpoint(9)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"entries-mismatch at 16: entries-mismatch: an entry is missing", "log-fork at 14: log-fork: two trees"}, incidents()); diff != "" {
		t.Error(diff)
	}
	if err := l.Advance(ctx, hour(6), batch(4, 9)); err != nil {
		t.Fatal(err)
	}
	if err := l.Prove(ctx, hour(6), 9, checkpoint(9)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"log-fork at 14: log-fork: two trees"}, incidents()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]uint64{0, 3, 6}, hits(t, db, HitFilter{})); diff != "" {
		t.Error(diff)
	}
	// The bytes of the void reading are not those of the range.
	logs, err := db.Logs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if r := logs[0].Ranges; len(r) != 1 || r[0].From != 0 || r[0].To != 9 || r[0].Bytes != 900 {
		t.Errorf("ranges %+v", r)
	}
	if problems := fsckProblems(t, db); len(problems) != 0 {
		t.Errorf("fsck: %q", problems)
	}
}

func TestALogThatFailsSaysSinceWhen(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	l := opened(t, db, "list 1")
	for i, problem := range []string{"502", "503"} {
		if err := l.Failed(ctx, hour(i), problem); err != nil {
			t.Fatal(err)
		}
	}
	logs, err := db.Logs(ctx)
	if err != nil || !logs[0].FailingSince.Equal(noon) || logs[0].Failure != "503" || logs[0].Known {
		t.Errorf("failing: %+v, %v", logs, err)
	}
	// A checkpoint is an answer, but no more than that.
	if err := l.Begin(ctx, hour(2), 0, nil, checkpoint(3)); err != nil {
		t.Fatal(err)
	}
	if err := l.Saw(ctx, hour(3), checkpoint(4)); err != nil {
		t.Fatal(err)
	}
	if logs, err = db.Logs(ctx); err != nil || !logs[0].FailingSince.Equal(noon) || !logs[0].CheckedAt.Equal(hour(3)) {
		t.Errorf("after an answer: %+v, %v", logs, err)
	}
	if err := l.Followed(ctx); err != nil {
		t.Fatal(err)
	}
	if logs, err = db.Logs(ctx); err != nil || !logs[0].FailingSince.IsZero() || logs[0].Failure != "" || !logs[0].CheckedAt.Equal(hour(3)) {
		t.Errorf("after a whole run: %+v, %v", logs, err)
	}
}

func TestHitsAreFilteredAndComeBackWhole(t *testing.T) {
	ctx := context.Background()
	db := openTemp(t)
	l := opened(t, db, "list 1")
	if err := l.Begin(ctx, noon, 0, nil, checkpoint(9)); err != nil {
		t.Fatal(err)
	}
	b := batch(0, 9)
	b.Hits[1].Hit.Project, b.Hits[1].Hit.Class, b.Hits[1].Hit.LoggedAt = "other", "look-alike", hour(-5)
	if err := l.Advance(ctx, noon, b); err != nil {
		t.Fatal(err)
	}
	if err := l.Prove(ctx, noon, 9, checkpoint(9)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		filter HitFilter
		want   []uint64
	}{
		"all":             {HitFilter{}, []uint64{0, 3, 6}},
		"of a project":    {HitFilter{Projects: []string{"onnx"}}, []uint64{0, 6}},
		"of a class":      {HitFilter{Classes: []string{"look-alike"}}, []uint64{3}},
		"of another log":  {HitFilter{Origins: []string{"elsewhere"}}, nil},
		"of this log":     {HitFilter{Origins: []string{"elsewhere", "log.example"}}, []uint64{0, 3, 6}},
		"by SAN":          {HitFilter{SAN: "onnx/onnx/x"}, []uint64{0, 3, 6}},
		"by another SAN":  {HitFilter{SAN: "%"}, nil},
		"since it was":    {HitFilter{Since: noon}, []uint64{0, 6}},
		"until before":    {HitFilter{Until: noon}, []uint64{3}},
		"in between":      {HitFilter{Since: hour(-5), Until: hour(-4)}, []uint64{3}},
		"two at once":     {HitFilter{Projects: []string{"onnx"}, Classes: []string{"look-alike"}}, nil},
		"several at once": {HitFilter{Projects: []string{"onnx", "other"}, Classes: []string{"self", "look-alike"}}, []uint64{0, 3, 6}},
	} {
		if diff := cmp.Diff(c.want, hits(t, db, c.filter)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	err := db.Hits(ctx, HitFilter{Projects: []string{"onnx"}, Until: hour(1)}, func(h audit.HitFacts) error {
		want := audit.HitFacts{Origin: "log.example", Index: h.Index, LeafHash: fmt.Sprintf("%x", tlog.LeafHash(leaf(h.Index))), FirstSeen: noon, Proven: true, LogHit: hit(h.Index)}
		if diff := cmp.Diff(want, h); diff != "" {
			t.Error(diff)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	hash := tlog.LeafHash(leaf(3))
	if body, err := db.Leaf(ctx, fmt.Sprintf("%x", hash)); err != nil || string(body) != "leaf 3" {
		t.Errorf("leaf %q, %v", body, err)
	}
	if body, err := db.Leaf(ctx, "00"); err != nil || body != nil {
		t.Errorf("a leaf that is not there: %q, %v", body, err)
	}
}
