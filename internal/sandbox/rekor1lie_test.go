package sandbox

import (
	"bytes"
	"runtime"
	"slices"
	"testing"

	"github.com/sigstore/rekor/pkg/util"
)

func TestEveryLieOfRekorV1IsOneForRekorsOwnClient(t *testing.T) {
	// As for the other logs: what each lie does to those who believe nothing that they have not proven.
	const size, about = 60, 30
	type shard struct {
		told
		v1     *RekorShard
		reader rekorReader
	}
	errorsAre := func(head, growth, entries bool) func(*testing.T, shard) {
		return func(t *testing.T, s shard) {
			t.Helper()
			gotSize, root, gotHead := s.head(t.Context())
			var gotGrowth error
			if gotHead == nil && gotSize > size {
				gotGrowth = s.grew(t.Context(), size, gotSize, s.root, root)
			}
			gotEntries := s.check(t.Context())
			if (gotHead != nil) != head || (gotGrowth != nil) != growth || (gotEntries != nil) != entries {
				t.Errorf("head: %v\ngrowth: %v\nentries: %v", gotHead, gotGrowth, gotEntries)
			}
		}
	}
	pageFails := func(message string) func(*testing.T, shard) {
		return func(t *testing.T, s shard) { t.Helper(); wantPage(t, s.told, message) }
	}
	cases := map[Lie]struct {
		n     uint64
		check func(*testing.T, shard)
	}{
		ShortPage:         {about, errorsAre(false, false, true)},
		MissingLeaf:       {about, errorsAre(false, false, true)},
		SwappedLeaves:     {about, errorsAre(false, false, true)},
		DuplicatedLeaf:    {about, errorsAre(false, false, true)},
		ForkedTree:        {about, errorsAre(false, true, false)},
		SmallerCheckpoint: {about, errorsAre(false, false, false)},
		WrongKey:          {0, errorsAre(true, false, true)},
		WrongOrigin:       {0, errorsAre(true, false, true)},
		WrongProof:        {0, errorsAre(false, true, true)},
		WithheldEntry:     {about, errorsAre(false, false, true)},
		AlteredBody:       {about, errorsAre(false, false, true)},
		WrongGlobalIndex:  {about, errorsAre(false, false, true)},
		WrongSET:          {about, errorsAre(false, false, true)},
		Rollback: {about, func(t *testing.T, s shard) {
			errorsAre(false, false, false)(t, s)
			got, root, err := s.head(t.Context())
			honest, rootErr := s.Root(about)
			if err != nil || rootErr != nil || got != about || bytes.Equal(root, honest) {
				t.Errorf("size %d, root %x, %v, %v", got, root, err, rootErr)
			}
		}},
		StaleCheckpoint: {0, func(t *testing.T, s shard) {
			errorsAre(false, false, false)(t, s) // the entries are proven in the tree that there is, which has grown
			if got, root, err := s.head(t.Context()); err != nil || got != size || !bytes.Equal(root, s.root) {
				t.Errorf("size %d, root %x, %v", got, root, err)
			}
		}},
		AlteredTime: {about, func(t *testing.T, s shard) {
			// It proves as well as the truth: only who has seen that knows.
			errorsAre(false, false, false)(t, s)
			global := s.v1.Offset() + about
			answer, err := s.reader.retrieve(t.Context(), global)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range answer[global] {
				if want := s.entries.at(about).added.Unix() + 3600; *e.IntegratedTime != want {
					t.Errorf("integrated at %d, want %d", *e.IntegratedTime, want)
				}
			}
		}},
		TooManyRequests:     {7, pageFails(`429, Retry-After "7"`)},
		TooManyRequestsBare: {0, pageFails(`429, Retry-After ""`)},
		OversizedBody:       {0, pageFails("too large")},
		GzipBomb:            {0, pageFails("too large")},
		TruncatedBundle:     {0, pageFails("")},
		GrowthAfterFreeze:   {10, nil}, // see TestFrozenShardsGrowOnlyAsALie
		SlowLoris:           {0, nil},  // see TestSlowLorisHoldsEntriesOfRekorV1
	}
	w := newWorld(t)
	lies := w.Rekor.Active().Lies()
	slices.Sort(lies)
	if n := len(slices.Compact(lies)); n != len(cases) {
		t.Errorf("a shard tells %d lies, and %d are known here", n, len(cases))
	}
	for lie, c := range cases {
		if c.check == nil {
			continue
		}
		t.Run(string(lie), func(t *testing.T) {
			w := startedWorld(t)
			if err := w.Rekor.AddNoise(size-5, signedAt); err != nil {
				t.Fatal(err)
			}
			active := w.Rekor.Active()
			r := newRekorReader(t, w.Rekor)
			s := shard{told{active.Ledger, rekorJudge(r, active), nil}, active, r}
			var err error
			if s.root, err = active.Root(size); err != nil {
				t.Fatal(err)
			}
			mend, err := active.Tell(lie, c.n)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Rekor.AddNoise(10, signedAt); err != nil {
				t.Fatal(err)
			}
			c.check(t, s)
			mend()
			mend()
			errorsAre(false, false, false)(t, s)
			if got, _, err := s.head(t.Context()); err != nil || got != size+10 {
				t.Errorf("once it tells the truth: size %d, %v", got, err)
			}
		})
	}
}

func TestLiesAboutEntriesAreForThatEntryAlone(t *testing.T) {
	w := startedWorld(t)
	s := w.Rekor.Active()
	r := newRekorReader(t, w.Rekor)
	mend, err := s.Tell(AlteredBody, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Tell(WrongSET, 2); err == nil {
		t.Error("two lies about entries")
	}
	answer, err := r.retrieve(t.Context(), shardStart+2, shardStart+3, shardStart+4)
	if err != nil {
		t.Fatal(err)
	}
	for i := int64(2); i < 5; i++ {
		if _, err := r.prove(t.Context(), answer[shardStart+i], s.TreeID(), s.Offset()); (err != nil) != (i == 3) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	mend()
	for lie, n := range map[Lie]uint64{AlteredBody: 5, WrongSET: 1 << 62, "white-lie": 0} {
		if _, err := s.Tell(lie, n); err == nil {
			t.Errorf("%s about entry %d of 5", lie, n)
		}
	}
}

func TestFrozenShardsGrowOnlyAsALie(t *testing.T) {
	w := startedWorld(t)
	r := newRekorReader(t, w.Rekor)
	old := w.Rekor.Active()
	if _, err := old.Tell(GrowthAfterFreeze, 7); err == nil {
		t.Error("a shard grows after its end without one")
	}
	if _, err := w.Rekor.Rotate(0); err != nil {
		t.Fatal(err)
	}
	if err := w.Rekor.AddNoise(3, signedAt); err != nil {
		t.Fatal(err)
	}
	root, err := old.Root(5)
	if err != nil {
		t.Fatal(err)
	}
	mend, err := old.Tell(GrowthAfterFreeze, 7)
	if err != nil {
		t.Fatal(err)
	}
	_, checkpoints, err := r.info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := checkpoints["1193050959916656507"]
	if c.Size != 12 {
		t.Errorf("the frozen shard has %d entries", c.Size)
	}
	if err := rekorJudge(r, old).grew(t.Context(), 5, c.Size, root, c.Hash); err != nil {
		t.Error(err)
	}
	mend()
	if _, checkpoints, err = r.info(t.Context()); err != nil || checkpoints["1193050959916656507"].Size != 5 {
		t.Errorf("mended: %v, %v", checkpoints, err)
	}

	ancient := w.Rekor.Shards()[0]
	for _, lie := range []Lie{ForkedTree, Rollback, GrowthAfterFreeze} {
		if _, err := ancient.Tell(lie, 1); err == nil {
			t.Errorf("a shard of millions tells the lie %q", lie)
		}
	}
	if mend, err = ancient.Tell(SwappedLeaves, 4_163_429); err != nil {
		t.Fatal(err)
	}
	answer, err := r.retrieve(t.Context(), 4_163_428, 4_163_429)
	if err != nil {
		t.Fatal(err)
	}
	for global, good := range map[int64]bool{4_163_428: true, 4_163_429: false} {
		if _, err := r.prove(t.Context(), answer[global], ancient.TreeID(), 0); (err == nil) != good {
			t.Errorf("entry %d: %v", global, err)
		}
	}
	mend()
}

func TestSlowLorisHoldsEntriesOfRekorV1(t *testing.T) {
	w := startedWorld(t)
	r := newRekorReader(t, w.Rekor)
	mend, err := w.Rekor.Active().Tell(SlowLoris, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := r.retrieve(t.Context(), shardStart)
		got <- err
	}()
	for len(w.Rekor.Requests()) == 0 {
		runtime.Gosched()
	}
	// The rest of the log is not held.
	if _, _, err := r.info(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case err := <-got:
		t.Errorf("the page came, or failed by itself: %v", err)
	default:
		mend()
		if err := <-got; err == nil {
			t.Error("half a page is taken for a page")
		}
	}
}

func TestABundleIsNotTouchedByLies(t *testing.T) {
	w := newWorld(t)
	for _, lie := range []Lie{ForkedTree, WrongKey, WrongProof} {
		mend, err := w.Rekor.Active().Tell(lie, 0)
		if err != nil {
			t.Fatal(err)
		}
		a := attested(t, w)
		if err := newJudge(t, w).bundle(a, wheel.SHA256); err != nil {
			t.Errorf("while %s is told: %v", lie, err)
		}
		var c util.SignedCheckpoint
		if err := c.UnmarshalText([]byte(a.Entries[0].Checkpoint)); err != nil || int64(c.Size) != a.Entries[0].TreeSize {
			t.Errorf("while %s is told: size %d, %v", lie, c.Size, err)
		}
		mend()
	}
}
