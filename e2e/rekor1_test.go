package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// rekor1World is a real Rekor v1 of two shards with signatures of certificates that a real Fulcio issued.
type rekor1World struct {
	*rekor1
	fulcio              *fulcio
	ours, odd, stranger *signer
	// planted are the entries of ours and odd, of both shards.
	planted []logged
	// wheel is the text that one of our attestations is about.
	wheel string
}

func newRekor1World(t *testing.T) *rekor1World {
	t.Helper()
	w := &rekor1World{fulcio: startFulcio(t), rekor1: startRekor1(t), wheel: "onnx-1.23.0.tar.gz"}
	odd, stranger := sandbox.ReleaseClaims("1.23.0"), sandbox.ReleaseClaims("1.23.0")
	odd.Workflow = "nightly.yml"
	stranger.Repository, stranger.RepositoryID = "pypa/sampleproject", "147"
	w.ours = w.fulcio.job(t, sandbox.ReleaseClaims("1.23.0"))
	w.odd, w.stranger = w.fulcio.job(t, odd), w.fulcio.job(t, stranger)

	w.strangers(t, "first", 20)
	w.planted = w.add(t, hashedRekord(t, w.ours, []byte("artifact")), dsse(t, w.ours, statement("early.whl")))
	w.strangers(t, "second", 3)
	w.rotate(t)
	w.strangers(t, "third", 30)
	w.planted = append(w.planted, w.add(t, dsse(t, w.ours, statement(w.wheel)), dsse(t, w.odd, statement("nightly.whl")))...)
	// The active shard is to span some seconds, so that there are times to look for.
	for n := 0; ; n++ {
		active := w.of(w.trees[1])
		if active[len(active)-1].integrated.Sub(active[0].integrated) >= 4*time.Second {
			break
		}
		w.strangers(t, fmt.Sprintf("more %d", n), 8)
	}
	w.planted = append(w.planted, w.add(t, hashedRekord(t, w.odd, []byte("another artifact")))...)
	w.strangers(t, "last", 7)
	return w
}

// strangers logs signatures of somebody who is not watched, of both kinds.
func (w *rekor1World) strangers(t *testing.T, label string, n int) {
	t.Helper()
	var all []proposal
	for i := range n {
		text := fmt.Sprintf("%s %d", label, i)
		if i%2 == 0 {
			all = append(all, hashedRekord(t, w.stranger, []byte(text)))
		} else {
			all = append(all, dsse(t, w.stranger, statement(text)))
		}
	}
	w.add(t, all...)
}

// statement is what PyPI's clients sign: that a file, here a short text, was published (PEP 740).
func statement(file string) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":%q,"digest":{"sha256":%q}}],"predicateType":"https://docs.pypi.org/attestations/publish/v1","predicate":null}`,
		file, digest(file))
}

// treeID reads a tree's id.
func treeID(text string) uint64 {
	id, _ := strconv.ParseUint(text, 10, 64) // 0 is no tree's
	return id
}

// of the active shard.
func (w *rekor1World) active() []logged { return w.of(w.trees[1]) }

// TestTheRealRekorV1HasShardsAndProvenEntries reads every entry in every way that there is, and compares it with what the
// server confirmed when it took it.
func TestTheRealRekorV1HasShardsAndProvenEntries(t *testing.T) {
	w := newRekor1World(t)
	log := w.log(t)
	shards, err := log.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(shards.Shards) != 2 || shards.Shards[0].TreeID != treeID(w.trees[0]) || shards.Shards[1].TreeID != treeID(w.trees[1]) ||
		shards.Shards[0].Checkpoint.Size != 25 || shards.Shards[1].Offset != 25 || shards.Size() != uint64(len(w.entries)) {
		t.Fatalf("%d entries in the shards %+v", len(w.entries), shards)
	}
	keys, err := rekor.NewV1Keys(rekor1Host, w.keys()...)
	if err != nil {
		t.Fatal(err)
	}
	var indices []uint64
	var ids []rekor.V1ID
	for i, want := range w.entries {
		if want.index != uint64(i) {
			t.Fatalf("the server confirmed entry %d where %d is due", want.index, i)
		}
		id, err := rekor.ParseV1ID(want.uuid)
		if err != nil {
			t.Fatal(err)
		}
		indices, ids = append(indices, want.index), append(ids, id)
	}
	byIndex, err := log.EntriesAt(t.Context(), indices)
	if err != nil {
		t.Fatal(err)
	}
	byID, err := log.Entries(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range w.entries {
		for _, answer := range []rekor.V1Answer{byIndex[i], byID[i]} {
			if answer.Err != nil {
				t.Fatal(answer.Err)
			}
			w.compare(t, want, answer.Entry)
			if err := answer.Entry.Verify(keys); err != nil {
				t.Errorf("verifying it again: %v", err)
			}
		}
	}
	// One by one, from each shard, with the whole name and with the leaf hash alone.
	for _, want := range []logged{w.entries[0], w.entries[24], w.entries[25], w.entries[len(w.entries)-1]} {
		e, err := log.EntryAt(t.Context(), want.index)
		if err != nil {
			t.Fatal(err)
		}
		w.compare(t, want, e)
		id := e.ID()
		for _, id := range []rekor.V1ID{id, {LeafHash: id.LeafHash}} {
			if e, err = log.Entry(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			w.compare(t, want, e)
		}
	}
	// What is not there is absent, and not an error of another kind.
	if _, err := log.EntryAt(t.Context(), uint64(len(w.entries))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an entry beyond the last: %v", err)
	}
	absent := ids[0]
	absent.LeafHash[0] ^= 1
	if _, err := log.Entry(t.Context(), absent); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an entry that there is not: %v", err)
	}
	mixed, err := log.EntriesAt(t.Context(), []uint64{3, uint64(len(w.entries)) + 5})
	if err != nil || mixed[0].Err != nil || !errors.Is(mixed[1].Err, fs.ErrNotExist) {
		t.Errorf("an entry beside one that there is not: %+v, %v", mixed, err)
	}
}

// compare holds an entry against what the server confirmed when it took it.
func (w *rekor1World) compare(t *testing.T, want logged, got *rekor.V1Entry) {
	t.Helper()
	if got.ID().String() != want.uuid || got.GlobalIndex != want.index || !bytes.Equal(got.Body, want.body) || !got.IntegratedTime.Equal(want.integrated) {
		t.Errorf("entry %d is %s of %s: %s", got.GlobalIndex, got.ID(), got.IntegratedTime, got.Body)
	}
	decoded, err := rekor.Decode(got.Body)
	if err != nil || len(decoded.Certificates) != 1 || !bytes.Equal(decoded.Certificates[0], want.signer.certificate.Raw) {
		t.Errorf("entry %d: %d certificates, %v", got.GlobalIndex, len(decoded.Certificates), err)
	}
}

// TestCheckpointsOfTheRealRekorV1AreConsistent asks for the proofs between the trees that entries were proven in, in both
// shards and across a rotation.
func TestCheckpointsOfTheRealRekorV1AreConsistent(t *testing.T) {
	w := &rekor1World{fulcio: startFulcio(t), rekor1: startRekor1(t)}
	w.stranger = w.fulcio.job(t, sandbox.ReleaseClaims("1.23.0"))
	log := w.log(t)
	var seen []tlog.SignedCheckpoint
	look := func() {
		t.Helper()
		last := w.entries[len(w.entries)-1]
		e, err := log.EntryAt(t.Context(), last.index)
		if err != nil {
			t.Fatal(err)
		}
		shards, err := log.Shards(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, e.Checkpoint, shards.Active().Checkpoint)
	}
	for i, n := range []int{1, 1, 2, 7, 5, 16} {
		w.strangers(t, fmt.Sprintf("before %d", i), n)
		look()
	}
	w.rotate(t)
	for i, n := range []int{3, 10, 3} {
		w.strangers(t, fmt.Sprintf("after %d", i), n)
		look()
	}
	if size := seen[len(seen)-1].Size; size != 16 {
		t.Errorf("the active tree has %d entries, want 16", size)
	}
	related := 0
	for _, a := range seen {
		for _, b := range seen {
			if a.Origin != b.Origin {
				continue
			}
			related++
			c, err := tlog.ParseCheckpoint(string(a.Raw))
			if err != nil {
				t.Fatal(err)
			}
			_, tree, ok := c.RekorV1Tree()
			if !ok {
				t.Fatalf("origin %q", a.Origin)
			}
			if m, err := tlog.Relate(t.Context(), log.Tree(treeID(tree)), a, b); m != nil || err != nil {
				t.Errorf("trees of %s of sizes %d and %d: %+v, %v", a.Origin, a.Size, b.Size, m, err)
			}
			// Of two signed trees of which a proof shows the larger one and not the smaller one, the log forked. That it does not
			// show the larger one says nothing.
			forged := a
			forged.Root[0] ^= 1
			m, err := tlog.Relate(t.Context(), log.Tree(treeID(tree)), forged, b)
			if (m != nil) != (a.Size <= b.Size) || (err != nil) != (a.Size > b.Size) {
				t.Errorf("trees of sizes %d, with a forged root, and %d: %+v, %v", a.Size, b.Size, m, err)
			}
		}
	}
	if want := 12*12 + 6*6; related != want {
		t.Errorf("%d pairs of trees, want %d", related, want)
	}
	if _, err := log.Tree(treeID(w.trees[1])).ConsistencyProof(t.Context(), 3, 99); err == nil {
		t.Error("there was a proof for a tree that is not there yet")
	}
}

// TestTheRealRekorV1sIndexFindsEntries searches by everything that the index knows. The server writes its rows after it has
// confirmed an entry: so the first answer may lack some, and the last must not.
func TestTheRealRekorV1sIndexFindsEntries(t *testing.T) {
	w := newRekor1World(t)
	log := w.log(t)
	san := w.ours.certificate.URIs[0].String()
	ofOurs := map[string]rekor.V1Match{w.planted[0].uuid: rekor.V1Confirmed, w.planted[1].uuid: rekor.V1Confirmed, w.planted[2].uuid: rekor.V1Confirmed}
	der := spki(t, w.ours.certificate.PublicKey)
	byKey := w.add(t, hashedRekordBy(t, w.ours, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), []byte("an artifact of a key")))[0]
	ofOdd := map[string]rekor.V1Match{w.planted[3].uuid: rekor.V1Confirmed, w.planted[4].uuid: rekor.V1Confirmed}
	for name, c := range map[string]struct {
		query rekor.V1Query
		want  map[string]rekor.V1Match
	}{
		"a subject":                      {rekor.V1Query{Subject: san}, ofOurs},
		"another subject":                {rekor.V1Query{Subject: w.odd.certificate.URIs[0].String()}, ofOdd},
		"the beginning of a subject":     {rekor.V1Query{Subject: san[:len(san)-1]}, nil},
		"a repository":                   {rekor.V1Query{Subject: "https://github.com/onnx/onnx"}, nil},
		"the digest of a file":           {rekor.V1Query{SHA256: digest(w.wheel)}, map[string]rekor.V1Match{w.planted[2].uuid: rekor.V1Unconfirmed}},
		"the digest of a statement":      {rekor.V1Query{SHA256: digest(string(statement(w.wheel)))}, map[string]rekor.V1Match{w.planted[2].uuid: rekor.V1Confirmed}},
		"the digest of an artifact":      {rekor.V1Query{SHA256: digest("artifact")}, map[string]rekor.V1Match{w.planted[0].uuid: rekor.V1Confirmed}},
		"a certificate":                  {rekor.V1Query{Certificate: w.ours.certificate.Raw}, ofOurs},
		"another certificate":            {rekor.V1Query{Certificate: w.odd.certificate.Raw}, ofOdd},
		"a key":                          {rekor.V1Query{PublicKey: der}, map[string]rekor.V1Match{byKey.uuid: rekor.V1Confirmed}},
		"a key that signed none":         {rekor.V1Query{PublicKey: spki(t, w.key.Public())}, nil},
		"a certificate that signed none": {rekor.V1Query{Certificate: w.fulcio.root.certificate.Raw}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), startLimit)
			defer cancel()
			if err := poll(ctx, func(ctx context.Context) error {
				d, err := log.Discover(ctx, c.query, nil)
				if err != nil {
					return err
				}
				got := map[string]rekor.V1Match{}
				for _, h := range d.Hits {
					if h.Err != nil {
						return h.Err
					}
					got[h.ID.String()] = h.Match
				}
				if fmt.Sprint(got) != fmt.Sprint(c.want) || d.Truncated {
					return fmt.Errorf("it found %v, want %v", got, c.want)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("the probe", func(t *testing.T) {
		e, err := log.EntryAt(t.Context(), w.planted[0].index)
		if err != nil {
			t.Fatal(err)
		}
		support, why, err := log.ProbeSubject(t.Context(), rekor.V1Specimen{Entry: e, Subject: san, SHA256: digest("artifact")})
		if err != nil || support != rekor.V1Supported {
			t.Errorf("%s: %s, %v", support, why, err)
		}
	})
}

// TestTheFollowerReadsTheRealRekorV1InFull follows both shards: every planted entry is found, nothing else, and all is
// proven; in one go, from the middle, and in steps while the log grows and goes on to another shard.
func TestTheFollowerReadsTheRealRekorV1InFull(t *testing.T) {
	w := newRekor1World(t)
	trusted := trustFulcio(t, w.fulcio)
	trusted.rekor1(t, w.rekor1)
	watched := identity.Watched{Project: "onnx", Repository: "onnx/onnx"}
	b := newBook(t, trusted.roots(t), watched)
	log := w.log(t)
	offsets := []uint64{0, 25}
	for i, tree := range w.trees {
		origin := rekor1Host + " - " + tree
		s := b.follow(t, b.target(t, origin, "rekor-v1", w.url, log.Tree(treeID(tree)), 0))
		want := map[uint64]string{}
		for _, e := range w.planted {
			if slices.ContainsFunc(w.of(tree), func(x logged) bool { return x.uuid == e.uuid }) {
				want[e.index-offsets[i]] = e.signer.serial()
			}
		}
		got := map[uint64]string{}
		for index, h := range b.hits(t, origin) {
			got[index] = h.Certificates[0].Serial
			if h.Class != "self" || !h.Certificates[0].Chained || w.entries[index+offsets[i]].uuid[16:] != h.LeafHash {
				t.Errorf("entry %d of %s: %+v", index, origin, h)
			}
		}
		if s.Size != uint64(len(w.of(tree))) || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s of %d entries: found %v, want %v", origin, s.Size, got, want)
		}
	}

	t.Run("from the middle, while it grows", func(t *testing.T) {
		b := newBook(t, trusted.roots(t), watched)
		tree := log.Tree(treeID(w.trees[1]))
		origin := rekor1Host + " - " + w.trees[1]
		had := uint64(len(w.active()))
		target := b.target(t, origin, "rekor-v1", w.url, tree, had-4)
		b.follow(t, target)
		w.strangers(t, "growth", 5)
		planted := w.add(t, dsse(t, w.ours, statement("late.whl")))
		if s := b.follow(t, target); s.From != had || s.Proven != had+6 || s.Hits != 1 {
			t.Errorf("%+v", s)
		}
		w.rotate(t)
		w.strangers(t, "afterwards", 2)
		// The shard that was active is not any more, and has not grown.
		if s := b.follow(t, target); s.From != had+6 || s.Proven != had+6 {
			t.Errorf("%+v", s)
		}
		got := b.hits(t, origin)
		if h, ok := got[planted[0].index-25]; !ok || len(got) != 1 || h.Certificates[0].Serial != w.ours.serial() {
			t.Errorf("found %+v", got)
		}
		shards, err := log.Shards(t.Context())
		if err != nil || len(shards.Shards) != 3 || shards.Active().Offset != 25+had+6 {
			t.Errorf("%+v, %v", shards, err)
		}
		if e, err := log.EntryAt(t.Context(), 25+had+6); err != nil || e.TreeID != treeID(w.trees[2]) || e.Index != 0 {
			t.Errorf("the first entry of the new shard: %+v, %v", e, err)
		}
	})
}

// TestAWindowOfTheRealRekorV1IsProven reads a run out of the middle between two inclusion proofs, with the log growing in
// between, and kept and taken up again after each page.
func TestAWindowOfTheRealRekorV1IsProven(t *testing.T) {
	w := newRekor1World(t)
	log := w.log(t)
	tree := log.Tree(treeID(w.trees[1]))
	end := uint64(len(w.active())) - 2
	for _, begin := range []uint64{0, 1, 7, 13, 16, end - 1} {
		first, err := tree.EntryAt(t.Context(), begin)
		if err != nil {
			t.Fatal(err)
		}
		w.strangers(t, fmt.Sprintf("beside window %d", begin), 3)
		last, err := tree.EntryAt(t.Context(), end-1)
		if err != nil {
			t.Fatal(err)
		}
		window, err := rekor.OpenV1Window(first.Inclusion())
		if err != nil {
			t.Fatal(err)
		}
		var leaves [][]byte
		for window.Next < end {
			page, err := tree.Page(t.Context(), window.Next, end)
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, page.Leaves...)
			if err := window.Append(page.Leaves...); err != nil {
				t.Fatal(err)
			}
			kept, err := json.Marshal(window)
			if err != nil {
				t.Fatal(err)
			}
			window = new(rekor.V1Window)
			if err := json.Unmarshal(kept, window); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := window.Prove(last.Inclusion()); m != nil || err != nil {
			t.Fatalf("from %d: %+v, %v", begin, m, err)
		}
		if window.First != begin || window.Proven != end {
			t.Errorf("proven from %d up to %d, want %d up to %d", window.First, window.Proven, begin, end)
		}
		for i, leaf := range leaves {
			if want := w.active()[begin+uint64(i)]; !bytes.Equal(leaf, want.body) {
				t.Errorf("entry %d is %s, want %s", want.index, leaf, want.body)
			}
		}
		if m, err := tlog.Relate(t.Context(), tree, first.Checkpoint, last.Checkpoint); m != nil || err != nil {
			t.Errorf("the trees of the two proofs: %+v, %v", m, err)
		}
	}
}

// TestMomentsAreFoundInTheRealRekorV1 looks for each second that the active shard spans, and for some beyond.
func TestMomentsAreFoundInTheRealRekorV1(t *testing.T) {
	w := newRekor1World(t)
	tree := w.log(t).Tree(treeID(w.trees[1]))
	entries := w.active()
	size := uint64(len(entries))
	if !slices.IsSortedFunc(entries, func(a, b logged) int { return a.integrated.Compare(b.integrated) }) {
		t.Fatal("the server took entries out of order: there is no one answer to compare with")
	}
	from, to := entries[0].integrated, entries[size-1].integrated
	for when := from.Add(-2 * time.Second); !when.After(to.Add(2 * time.Second)); when = when.Add(time.Second) {
		want := uint64(slices.IndexFunc(append(entries, logged{integrated: to.Add(time.Hour)}), func(e logged) bool { return !e.integrated.Before(when) }))
		m, err := tree.FindTime(t.Context(), when, size)
		if err != nil || m.Index != want {
			t.Errorf("%s is at %d, want %d: %v", when, m.Index, want, err)
		}
		if m.Before != nil && m.Before.Index != want-1 || m.After != nil && m.After.Index != want || m.Backwards != 0 {
			t.Errorf("%s: %+v", when, m)
		}
	}
	span, err := tree.Span(t.Context(), from.Add(2*time.Second), from.Add(2*time.Second), time.Second, size)
	first := slices.IndexFunc(entries, func(e logged) bool { return !e.integrated.Before(from.Add(time.Second)) })
	next := slices.IndexFunc(entries, func(e logged) bool { return !e.integrated.Before(from.Add(4 * time.Second)) })
	if err != nil || span.From != uint64(first) || span.To != uint64(next) {
		t.Errorf("%+v, want %d to %d; %v", span, first, next, err)
	}
}
