package rekor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// v1Record is a record of one tree, in memory.
type v1Record struct {
	state tlog.State
	hits  map[uint64]string
	last  *tlog.Misbehaviour
}

func (r *v1Record) State(context.Context) (tlog.State, error) { return r.state, nil }

func (r *v1Record) Begin(_ context.Context, _ time.Time, start uint64, frontier [][]byte, cp tlog.SignedCheckpoint) error {
	r.state = tlog.State{Known: true, Start: start, Read: start, Proven: start, ReadRange: frontier, ProvenRange: frontier, Checkpoint: cp}
	return nil
}

func (r *v1Record) Saw(_ context.Context, _ time.Time, cp tlog.SignedCheckpoint) error {
	if cp.Size >= r.state.Checkpoint.Size {
		r.state.Checkpoint = cp
	}
	return nil
}

func (r *v1Record) Advance(_ context.Context, _ time.Time, b tlog.Batch[string]) error {
	r.state.Read, r.state.ReadRange = b.To, b.Range
	for _, h := range b.Hits {
		r.hits[h.Index] = h.Hit
	}
	return nil
}

func (r *v1Record) Prove(_ context.Context, _ time.Time, size uint64, _ tlog.SignedCheckpoint) error {
	r.state.Proven, r.state.ProvenRange = size, r.state.ReadRange
	return nil
}

func (r *v1Record) Misbehaved(_ context.Context, _ time.Time, m *tlog.Misbehaviour) error {
	r.last = m
	if m.Rewinds() {
		r.state.Read, r.state.ReadRange = r.state.Proven, r.state.ProvenRange
		for i := range r.hits {
			if i >= r.state.Proven {
				delete(r.hits, i)
			}
		}
	}
	return nil
}

func followV1(t *testing.T, tree *V1Tree, r *v1Record, start uint64) (tlog.Outcome, error) {
	t.Helper()
	f := &tlog.Follower[string]{Source: tree, Store: r, Clock: clock.NewSimulated(time.Unix(v1Epoch, 0)), Logger: slog.New(slog.DiscardHandler), Parallel: 3,
		Scan:    func(leaf []byte) bool { return bytes.Contains(leaf, []byte(`"1`)) },
		Inspect: func(_ uint64, leaf []byte) (string, bool) { return string(leaf), true },
		Start:   func(context.Context, uint64) (uint64, error) { return start, nil }}
	return f.Follow(t.Context(), 0)
}

// TestEveryShardIsFollowedToItsSignedRoot follows a frozen shard and a growing one, from several places.
func TestEveryShardIsFollowedToItsSignedRoot(t *testing.T) {
	w := newV1World(t, 123, 77)
	for i, tree := range w.trees {
		for _, start := range []uint64{0, 1, 9, 64, tree.shown} {
			r := &v1Record{hits: map[uint64]string{}}
			for round := range 2 {
				out, err := followV1(t, w.Tree(uint64(tree.id)), r, start)
				if err != nil || len(out.Misbehaviours) > 0 || out.Proven != tree.shown {
					t.Fatalf("shard %d from %d: %+v, %v", i, start, out, err)
				}
				if round == 0 && i == 1 {
					for n := range 23 {
						w.add(fmt.Appendf(nil, `{"late":"%d"}`, n))
					}
				}
			}
			want := map[uint64]string{}
			for index, body := range tree.bodies {
				if uint64(index) >= start && bytes.Contains(body, []byte(`"1`)) {
					want[uint64(index)] = string(body)
				}
			}
			if len(want) != len(r.hits) {
				t.Errorf("shard %d from %d: %d hits, want %d", i, start, len(r.hits), len(want))
			}
			for index, body := range want {
				if r.hits[index] != body {
					t.Errorf("shard %d, entry %d: %q", i, index, r.hits[index])
				}
			}
		}
	}
}

// TestAShardWithOtherEntriesThanItSignedIsEvidence has a server that gives an entry which the tree does not have, under
// the UUID that goes with it.
func TestAShardWithOtherEntriesThanItSignedIsEvidence(t *testing.T) {
	w := newV1World(t, 7, 60)
	forged := []byte(`{"forged":"1"}`)
	w.lies(func(path string, answer any) any {
		entries, ok := answer.([]models.LogEntry)
		for i := range entries {
			for uuid, e := range entries[i] {
				if ok && *e.LogIndex == 7+42 {
					e.Body = forged
					entries[i] = models.LogEntry{w.trees[1].uuid(forged): e}
					delete(entries[i], uuid)
				}
			}
		}
		return answer
	})
	r := &v1Record{hits: map[uint64]string{}}
	if out, err := followV1(t, w.Tree(uint64(w.trees[1].id)), r, 0); err != nil || len(out.Misbehaviours) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	if r.last.Kind != tlog.KindEntriesMismatch || r.last.From != 42 || len(r.last.Leaves) != 1 || !bytes.Equal(r.last.Leaves[0], forged) {
		t.Errorf("%+v", r.last)
	}
	if shown, what := r.last.Recheck(func(raw []byte) (tlog.SignedCheckpoint, error) {
		cp, _, err := w.keys.checkpoint(string(raw))
		return cp, err
	}); !shown {
		t.Errorf("the evidence does not hold: %s", what)
	}
}

func TestTheTreesOfAV1LogProveTheirConsistency(t *testing.T) {
	w := newV1World(t, 40, 77)
	for _, tree := range w.trees {
		for _, sizes := range [][2]uint64{{1, tree.shown}, {13, 37}, {32, 33}} {
			hashes, err := w.Tree(uint64(tree.id)).ConsistencyProof(t.Context(), sizes[0], sizes[1])
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyConsistency(rfc6962.DefaultHasher, sizes[0], sizes[1], hashes, tree.tree.HashAt(sizes[0]), tree.tree.HashAt(sizes[1])); err != nil {
				t.Errorf("tree %d, sizes %d: %v", tree.id, sizes, err)
			}
		}
	}
	if _, err := w.Tree(uint64(w.trees[0].id)).ConsistencyProof(t.Context(), 13, 41); err == nil || !strings.Contains(err.Error(), "from size 13 to 41") {
		t.Errorf("beyond the tree: %v", err)
	}
	if _, err := w.Tree(17).ConsistencyProof(t.Context(), 13, 14); err == nil {
		t.Error("a tree that there is not proved something")
	}
	for name, raw := range map[string]string{"a list": `[]`, "short": `{"hashes":["00"]}`, "base64": `{"hashes":["` + strings.Repeat("AA==", 16) + `"]}`, "twice": `{"hashes":[],"hashes":[]}`} {
		if _, err := parseV1Proof([]byte(raw)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestV1FrontiersDoNotDependOnTheTreesSize asks while the log is larger and smaller than the tree that is meant.
func TestV1FrontiersDoNotDependOnTheTreesSize(t *testing.T) {
	w := newV1World(t, 7, 40)
	tree := w.Tree(uint64(w.trees[1].id))
	for _, shown := range []uint64{40, 33} {
		w.trees[1].shown = shown
		for size := uint64(0); size <= shown; size++ {
			hashes, err := tree.Frontier(t.Context(), size, 38)
			if size > 38 {
				if err == nil {
					t.Errorf("a frontier at %d of 38 was given", size)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if root, err := tlog.RangeRoot(size, hashes); err != nil || !bytes.Equal(root, w.trees[1].tree.HashAt(size)) {
				t.Errorf("the frontier at %d is not that of the tree: %v", size, err)
			}
		}
		if _, err := tree.Frontier(t.Context(), shown+1, 1000); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("beyond what the replica has: %v", err)
		}
	}
}

func TestV1PagesHaveEachEntryOnceAndInOrder(t *testing.T) {
	w := newV1World(t, 7, 33)
	tree := w.Tree(uint64(w.trees[1].id))
	for from := range uint64(33) {
		page, err := tree.Page(t.Context(), from, 33)
		to := min(from+10-from%10, 33)
		if err != nil || page.First != from || page.Bytes == 0 || !slices.EqualFunc(page.Leaves, w.trees[1].bodies[from:to], bytes.Equal) {
			t.Errorf("from %d: %d leaves from %d, %v", from, len(page.Leaves), page.First, err)
		}
	}
	if _, err := tree.Page(t.Context(), 5, 5); err == nil {
		t.Error("there was an empty page")
	}
	// A replica that lags gives what it has, and then nothing.
	w.trees[1].shown = 25
	if page, err := tree.Page(t.Context(), 20, 33); err != nil || len(page.Leaves) != 5 {
		t.Errorf("%d leaves, %v; want the 5 that it has", len(page.Leaves), err)
	}
	if _, err := tree.Page(t.Context(), 25, 33); err == nil || !strings.Contains(err.Error(), "does not have entry 32") {
		t.Errorf("beyond what the replica has: %v", err)
	}
	if _, err := w.Tree(uint64(w.trees[0].id)).Page(t.Context(), 5, 9); err == nil || !strings.Contains(err.Error(), "frozen at 7 entries") {
		t.Errorf("beyond a frozen shard: %v", err)
	}
	if _, err := w.Tree(17).Page(t.Context(), 0, 9); err == nil || !strings.Contains(err.Error(), "does not list it") {
		t.Errorf("of a tree that there is not: %v", err)
	}
}

func TestPagesWithOtherEntriesThanAskedForAreRefused(t *testing.T) {
	w := newV1World(t, 7, 33)
	tree := w.Tree(uint64(w.trees[1].id))
	other := newV1World(t, 7)
	edited := func(global uint64, edit func(*models.LogEntryAnon)) models.LogEntry {
		for uuid, e := range w.entry(global) {
			edit(&e)
			return models.LogEntry{uuid: e}
		}
		return nil
	}
	for name, c := range map[string]struct {
		edit func([]models.LogEntry) []models.LogEntry
		want string
	}{
		"one twice":           {func(a []models.LogEntry) []models.LogEntry { a[3] = w.entry(7 + 12); return a }, "has entry 19 twice"},
		"one too many":        {func(a []models.LogEntry) []models.LogEntry { return append(a, w.entry(7+20)) }, "more than the 10"},
		"one of before":       {func(a []models.LogEntry) []models.LogEntry { a[3] = w.entry(7 + 9); return a }, "has entry 16, which was not asked for"},
		"one of behind":       {func(a []models.LogEntry) []models.LogEntry { a[3] = w.entry(7 + 20); return a }, "has entry 27, which was not asked for"},
		"one of another tree": {func(a []models.LogEntry) []models.LogEntry { a[3] = w.entry(2); return a }, "which was not asked for"},
		"a hole":              {func(a []models.LogEntry) []models.LogEntry { return slices.Delete(a, 4, 5) }, "does not have entry 22"},
		"nothing":             {func([]models.LogEntry) []models.LogEntry { return []models.LogEntry{} }, "does not have entry 17"},
		"another body": {func(a []models.LogEntry) []models.LogEntry {
			a[3] = edited(23, func(e *models.LogEntryAnon) { e.Body = []byte("x") })
			return a
		}, "entry 23 of its answer is called"},
		"no body": {func(a []models.LogEntry) []models.LogEntry {
			a[3] = edited(23, func(e *models.LogEntryAnon) { e.Body = "" })
			return a
		}, "has no body"},
		"another log": {func(a []models.LogEntry) []models.LogEntry {
			a[3] = edited(23, func(e *models.LogEntryAnon) { e.LogID = &other.logID })
			return a
		}, "unknown key"},
		"the UUID of another tree": {func(a []models.LogEntry) []models.LogEntry {
			for uuid, e := range a[3] {
				a[3] = models.LogEntry{w.trees[0].uuid(nil)[:16] + uuid[16:]: e}
			}
			return a
		}, "is called"},
	} {
		w.lies(func(_ string, answer any) any {
			if entries, ok := answer.([]models.LogEntry); ok {
				return c.edit(entries)
			}
			return answer
		})
		if _, err := tree.Page(t.Context(), 10, 33); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "entries 10 to 20") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestAWindowOfAV1LogIsReadAndProven(t *testing.T) {
	w := newV1World(t, 7, 250)
	tree := w.Tree(uint64(w.trees[1].id))
	first, err := tree.EntryAt(t.Context(), 83)
	if err != nil {
		t.Fatal(err)
	}
	w.add([]byte(`{"the tree":"grows"}`))
	last, err := tree.EntryAt(t.Context(), 199)
	if err != nil {
		t.Fatal(err)
	}
	window, err := OpenV1Window(first.Inclusion())
	if err != nil {
		t.Fatal(err)
	}
	w.asks()
	for window.Next <= last.Index {
		page, err := tree.Page(t.Context(), window.Next, last.Index+1)
		if err != nil {
			t.Fatal(err)
		}
		if err := window.Append(page.Leaves...); err != nil {
			t.Fatal(err)
		}
	}
	mustProve(t, window, last.Inclusion())
	if window.Proven != 200 || len(w.asks()) != 12 {
		t.Errorf("proven up to %d", window.Proven)
	}
	if m, err := tlog.Relate(t.Context(), tree, first.Checkpoint, last.Checkpoint); m != nil || err != nil {
		t.Errorf("the two checkpoints: %v, %v", m, err)
	}
}

func TestATreeThatTheLogDoesNotListHasNoCheckpoint(t *testing.T) {
	w := newV1World(t, 7, 12)
	if _, err := w.Tree(17).Checkpoint(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	cp, err := w.Tree(uint64(w.trees[0].id)).Checkpoint(t.Context())
	if err != nil || cp.Size != 7 || cp.Origin != "rekor.example - 1193050959916656506" || len(cp.Raw) == 0 {
		t.Errorf("%+v, %v", cp, err)
	}
}

// TestAFrozenShardThatGrewIsForTheFollowerToJudge: the list of shards is refused, and the tree's checkpoint is not, so that
// what the log signed becomes evidence with a proof.
func TestAFrozenShardThatGrewIsForTheFollowerToJudge(t *testing.T) {
	w := newV1World(t, 20, 12)
	tree := w.Tree(uint64(w.trees[0].id))
	if cp, err := tree.Checkpoint(t.Context()); err != nil || cp.Size != 20 {
		t.Fatalf("%+v, %v", cp, err)
	}
	w.trees[0].add(t, []byte("one more"))
	var contradiction *V1ShardsError
	if _, err := w.Shards(t.Context()); !errors.As(err, &contradiction) {
		t.Errorf("%v", err)
	}
	if cp, err := tree.Checkpoint(t.Context()); err != nil || cp.Size != 21 {
		t.Errorf("%+v, %v", cp, err)
	}
	// The numbering is still the one of before: entries that go by another fail the check.
	if e, err := w.Tree(uint64(w.trees[1].id)).EntryAt(t.Context(), 3); !errors.As(err, new(*V1CheckError)) {
		t.Errorf("%+v, %v", e, err)
	}
}
