package db

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// shardName is a shard of which windows are read, and shardSize how large it is.
var shardName = LogName{Origin: "rekor.example - 12", Kind: "rekor-v1", KeyID: "3d", URL: "https://rekor.example"}

const shardSize = 9

// inclusion is the proof of a leaf of the shard, with a checkpoint that nobody signed.
func inclusion(index uint64) (tlog.Inclusion, audit.WindowProof) {
	tree := testonly.New(rfc6962.DefaultHasher)
	for i := range uint64(shardSize) {
		tree.AppendData(leaf(i))
	}
	path, err := tree.InclusionProof(index, shardSize)
	if err != nil {
		panic(err)
	}
	proof := audit.WindowProof{Index: index, LeafHash: fmt.Sprintf("%x", tree.LeafHash(index)),
		Checkpoint: fmt.Appendf(nil, "%s\n%d\n%s\n\n— rekor.example AAAAAAAA\n", shardName.Origin, shardSize, base64.StdEncoding.EncodeToString(tree.Hash()))}
	for _, h := range path {
		proof.Path = append(proof.Path, fmt.Sprintf("%x", h))
	}
	p, err := proof.Inclusion()
	if err != nil {
		panic(err)
	}
	return p, proof
}

// readWindow is a window of the shard from 2 on that was read up to an index, and proven up to another.
func readWindow(next, proven uint64) *rekor.V1Window {
	first, _ := inclusion(2)
	w, err := rekor.OpenV1Window(first)
	if err != nil {
		panic(err)
	}
	for i := uint64(2); i < next; i++ {
		if err := w.Append(leaf(i)); err != nil {
			panic(err)
		}
		if i+1 == proven {
			last, _ := inclusion(i)
			if m, err := w.Prove(last); m != nil || err != nil {
				panic(err)
			}
		}
	}
	return w
}

// asked is a window of the shard, of an hour of the day.
func asked(from, to uint64, h int) audit.Window {
	return audit.Window{Origin: shardName.Origin, From: from, To: to, Since: hour(h), Until: hour(h + 1), Margin: time.Minute, Why: "a test", Priority: audit.WindowPublishing, Requests: 5}
}

// queueWindows queues two windows: 0 to 2, and 2 to 6, of which it reads 2 and 3. Leaf 3 is picked.
func queueWindows(db *DB) error {
	ctx := context.Background()
	_, first := inclusion(2)
	if _, err := db.Log(ctx, shardName, "list 1"); err != nil {
		return err
	}
	return errors.Join(
		db.QueueWindows(ctx, hour(2), "list 1", nil, []audit.Window{asked(0, 2, 0), asked(2, 6, 1)}),
		db.OpenWindow(ctx, audit.WindowStep{ID: 2, Before: 2, State: readWindow(2, 0), Requests: 1}, first),
		db.AdvanceWindow(ctx, audit.WindowStep{ID: 2, Before: 2, State: readWindow(4, 0), Requests: 1}, []audit.WindowLeaf{{Index: 3, Leaf: leaf(3)}}),
	)
}

// windowKills are the writes of windows that pass a failpoint.
var windowKills = map[string]func(*DB) error{
	"db/windows-uncommitted": func(db *DB) error {
		return db.QueueWindows(context.Background(), hour(5), "list 1", []int64{1}, []audit.Window{asked(0, 3, 0), asked(7, 7, 3)})
	},
	"db/window-uncommitted": func(db *DB) error {
		return db.AdvanceWindow(context.Background(), audit.WindowStep{ID: 2, Before: 4, State: readWindow(6, 0), Requests: 1}, []audit.WindowLeaf{{Index: 5, Leaf: leaf(5)}})
	},
	"db/window-proof-uncommitted": func(db *DB) error {
		_, last := inclusion(3)
		return db.ProveWindow(context.Background(), hour(5), audit.WindowStep{ID: 2, Before: 4, State: readWindow(4, 4), Requests: 1}, last, []tlog.Hit[audit.LogHit]{{Index: 3, Hit: hit(3)}}, false)
	},
	"db/window-void-uncommitted": func(db *DB) error {
		m := &tlog.Misbehaviour{Kind: tlog.KindEntriesMismatch, From: 2, To: 4, Computed: "00"}
		return db.VoidWindow(context.Background(), hour(5), audit.WindowStep{ID: 2, Before: 4, State: readWindow(2, 0), Requests: 1}, m)
	},
}

func windowsOf(t *testing.T, db *DB, list string) []audit.Window {
	t.Helper()
	all, err := db.Windows(t.Context(), list, []string{shardName.Origin})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAWindowIsReadProvenAndItsHitsCount(t *testing.T) {
	db := openTemp(t)
	if err := queueWindows(db); err != nil {
		t.Fatal(err)
	}
	if err := windowKills["db/window-uncommitted"](db); err != nil {
		t.Fatal(err)
	}
	if got := hits(t, db, HitFilter{Unproven: true}); len(got) != 0 {
		t.Errorf("hits %v of what is not proven", got)
	}
	picked, err := db.PickedLeaves(t.Context(), 2)
	if err != nil || len(picked) != 2 || picked[1].Index != 5 {
		t.Errorf("%v, %v", picked, err)
	}
	_, last := inclusion(5)
	step := audit.WindowStep{ID: 2, Before: 6, State: readWindow(6, 6), Requests: 2}
	if err := db.ProveWindow(t.Context(), hour(6), step, last, []tlog.Hit[audit.LogHit]{{Index: 3, Hit: hit(3)}}, true); err != nil {
		t.Fatal(err)
	}
	if got := hits(t, db, HitFilter{}); !slices.Equal(got, []uint64{3}) {
		t.Errorf("hits %v", got)
	}
	w := windowsOf(t, db, "list 1")[1]
	if !w.FinishedAt.Equal(hour(6)) || w.Next() != 6 || w.Proven() != 6 || w.Requests != 10 || w.Margin != time.Minute || !w.Since.Equal(hour(1)) {
		t.Errorf("%+v", w)
	}
	runs, err := db.ProvenRuns(t.Context(), "list 1", shardName.Origin)
	if err != nil || !slices.Equal(runs, []audit.IndexRun{{From: 2, To: 6}}) {
		t.Errorf("%v, %v", runs, err)
	}
	if got := windowsOf(t, db, "list 2"); len(got) != 0 {
		t.Errorf("with another watch list: %+v", got)
	}
	if got := fsckProblems(t, db); len(got) != 0 {
		t.Errorf("fsck: %q", got)
	}
	// What the shard's own follower read and has to take back is not what windows prove.
	l, err := db.Log(t.Context(), shardName, "list 1")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Misbehaved(t.Context(), hour(7), &tlog.Misbehaviour{Kind: tlog.KindEntriesMismatch, From: 7, To: 8}); err != nil {
		t.Fatal(err)
	}
	if got := hits(t, db, HitFilter{}); !slices.Equal(got, []uint64{3}) {
		t.Errorf("hits %v", got)
	}
}

func TestAWindowThatSomebodyElseReadOnIsNotWritten(t *testing.T) {
	db := openTemp(t)
	if err := queueWindows(db); err != nil {
		t.Fatal(err)
	}
	before := dump(t, db.Path())
	_, proof := inclusion(2)
	step := audit.WindowStep{ID: 2, Before: 3, State: readWindow(5, 0)}
	for name, err := range map[string]error{
		"open":    db.OpenWindow(t.Context(), step, proof),
		"advance": db.AdvanceWindow(t.Context(), step, []audit.WindowLeaf{{Index: 4, Leaf: leaf(4)}}),
		"prove":   db.ProveWindow(t.Context(), hour(3), step, proof, nil, false),
		"void":    db.VoidWindow(t.Context(), hour(3), step, &tlog.Misbehaviour{Kind: tlog.KindFork}),
		"queue":   db.QueueWindows(t.Context(), hour(3), "list 1", []int64{2}, nil), // it has begun
	} {
		if !errors.Is(err, tlog.ErrMoved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff(before, dump(t, db.Path())); diff != "" {
		t.Errorf("(- before, + after):\n%s", diff)
	}
}

func TestAMismatchEndsWhereItsEntriesAreProven(t *testing.T) {
	for _, c := range []struct {
		from, to uint64
		ends     bool
	}{{2, 4, true}, {3, 4, true}, {1, 4, false}, {3, 5, false}, {7, 9, false}} {
		db := openTemp(t)
		if err := queueWindows(db); err != nil {
			t.Fatal(err)
		}
		m := &tlog.Misbehaviour{Kind: tlog.KindEntriesMismatch, From: c.from, To: c.to, Computed: "00"}
		if err := db.VoidWindow(t.Context(), hour(4), audit.WindowStep{ID: 2, Before: 4, State: readWindow(4, 0)}, m); err != nil {
			t.Fatal(err)
		}
		if err := windowKills["db/window-proof-uncommitted"](db); err != nil {
			t.Fatal(err)
		}
		logs, err := db.Logs(t.Context())
		if err != nil || len(logs) != 1 {
			t.Fatal(logs, err)
		}
		if ended := len(logs[0].Incidents) == 0; ended != c.ends {
			t.Errorf("entries %d to %d: ended is %t", c.from, c.to, ended)
		}
	}
}

func TestFsckProvesWindowsAgain(t *testing.T) {
	_, other := inclusion(4)
	for name, c := range map[string]struct{ damage, want string }{
		"another proof":     {`UPDATE windows SET last_proof = '{"index":4,"leaf_hash":"` + other.LeafHash + `","path":[],"checkpoint":""}' WHERE id = 2`, `window 2: the proof of its last entry: `},
		"a cursor beyond":   {`UPDATE windows SET proven_index = 5 WHERE id = 2`, `window 2 goes from 2 to 6, is proven to 5 and read to 4: these are out of order`},
		"a cursor astray":   {`UPDATE windows SET next_index = 5 WHERE id = 2`, `window 2 does not say the same everywhere in the record`},
		"a leaf out of it":  {`INSERT INTO window_leaves VALUES (2, 9, x'00')`, `window 2 keeps entry 9 for a proof, of what was read from 4 to 4`},
		"no range":          {`UPDATE windows SET state = '' WHERE id = 2`, `window 2 was read to 4 and has no compact range`},
		"finished too soon": {`UPDATE windows SET finished_at = 1 WHERE id = 2`, `window 2 goes from 2 to 6, is proven to 4 and read to 4: these are out of order`},
		"another hash":      {`UPDATE windows SET state = replace(state, '"proven_range":["', '"proven_range":["AAAA') WHERE id = 2`, `window 2: `},
	} {
		db := openTemp(t)
		if err := errors.Join(queueWindows(db), windowKills["db/window-proof-uncommitted"](db)); err != nil {
			t.Fatal(err)
		}
		if got := fsckProblems(t, db); len(got) != 0 {
			t.Fatalf("before: %q", got)
		}
		if _, err := db.w.Exec(c.damage); err != nil {
			t.Fatal(err)
		}
		got := fsckProblems(t, db)
		if !slices.ContainsFunc(got, func(p string) bool { return len(p) >= len(c.want) && p[:len(c.want)] == c.want }) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
