package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// lieSize is the logs' size when they are told to lie, spoiled the entry that a lie is about.
const (
	lieSize = 600
	spoiled = 300
)

// told is a log that lies, with what was known of it before.
type told struct {
	*Ledger
	follower
	root []byte // of lieSize
}

// believes runs a judge's every check: that of the head, that of the growth to it, and that of all entries.
func (l told) believes(ctx context.Context) (head, growth, entries error) {
	size, root, head := l.head(ctx)
	if head == nil && size > lieSize {
		growth = l.grew(ctx, lieSize, size, l.root, root)
	}
	return head, growth, l.check(ctx)
}

func TestEveryLieIsOneForTheClientsOfOthers(t *testing.T) {
	// What each lie does to those who believe nothing that they have not proven. The honest log grows by ten entries
	// after the lie has begun.
	for lie, c := range map[Lie]struct {
		n     uint64
		check func(t *testing.T, l told)
	}{
		ShortPage: {spoiled, func(t *testing.T, l told) {
			if l.protocol.pages() == "/ct/v1/get-entries" {
				return // see TestShortPagesOfRFC6962AreHonest
			}
			wantErrors(t, l, false, false, true)
		}},
		MissingLeaf:    {spoiled, func(t *testing.T, l told) { wantErrors(t, l, false, false, true) }},
		SwappedLeaves:  {spoiled, func(t *testing.T, l told) { wantErrors(t, l, false, false, true) }},
		DuplicatedLeaf: {spoiled, func(t *testing.T, l told) { wantErrors(t, l, false, false, true) }},
		// A fork is a log in order, but for those who knew it before.
		ForkedTree: {spoiled, func(t *testing.T, l told) { wantErrors(t, l, false, true, false) }},
		Rollback: {spoiled, func(t *testing.T, l told) {
			wantErrors(t, l, false, false, false)
			size, root, err := l.head(t.Context())
			honest, rootErr := l.Root(size)
			if err != nil || rootErr != nil || size != spoiled || bytes.Equal(root, honest) {
				t.Errorf("size %d, root %x, %v, %v", size, root, err, rootErr)
			}
		}},
		SmallerCheckpoint: {spoiled, func(t *testing.T, l told) {
			wantErrors(t, l, false, false, false)
			size, root, err := l.head(t.Context())
			if err != nil || size != spoiled {
				t.Errorf("size %d, %v", size, err)
			}
			if err := l.grew(t.Context(), size, lieSize, root, l.root); err != nil {
				t.Errorf("from the smaller tree to the known one: %v", err)
			}
		}},
		StaleCheckpoint: {0, func(t *testing.T, l told) {
			wantErrors(t, l, false, false, false)
			if size, root, err := l.head(t.Context()); err != nil || size != lieSize || !bytes.Equal(root, l.root) {
				t.Errorf("size %d, root %x, %v", size, root, err)
			}
		}},
		WrongKey:        {0, func(t *testing.T, l told) { wantErrors(t, l, true, false, true) }},
		WrongOrigin:     {0, func(t *testing.T, l told) { wantErrors(t, l, true, false, true) }},
		DisagreeingTile: {spoiled, func(t *testing.T, l told) { wantErrors(t, l, false, false, true) }},
		WrongProof: {0, func(t *testing.T, l told) {
			_, growth, _ := l.believes(t.Context())
			if growth == nil {
				t.Error("the growth is proven")
			}
		}},
		TooManyRequests: {7, func(t *testing.T, l told) {
			wantPage(t, l, "429")
			if l.protocol.pages() != "/ct/v1/get-entries" {
				wantPage(t, l, `Retry-After "7"`)
			}
		}},
		TooManyRequestsBare: {0, func(t *testing.T, l told) {
			wantPage(t, l, "429")
			if l.protocol.pages() != "/ct/v1/get-entries" {
				wantPage(t, l, `Retry-After ""`)
			}
		}},
		OversizedBody:     {0, func(t *testing.T, l told) { wantPage(t, l, "") }},
		GzipBomb:          {0, func(t *testing.T, l told) { wantPage(t, l, "too large") }},
		TruncatedBundle:   {0, func(t *testing.T, l told) { wantPage(t, l, "") }},
		SlowLoris:         {0, nil},  // see TestSlowLorisHoldsAPageUntilItIsMended
		GrowthAfterFreeze: {10, nil}, // see TestFrozenLogsGrowOnlyAsALie
	} {
		if c.check == nil {
			continue
		}
		t.Run(string(lie), func(t *testing.T) {
			w := logWorld(t, nil)
			fill(t, w, lieSize)
			for ledger, f := range followed(t, w) {
				if !slices.Contains(ledger.Lies(), lie) {
					if _, err := ledger.Tell(lie, c.n); err == nil {
						t.Errorf("%s tells a lie that it does not have", ledger.Origin())
					}
					continue
				}
				t.Run(ledger.Origin(), func(t *testing.T) {
					l := told{ledger, f, nil}
					var err error
					if l.root, err = ledger.Root(lieSize); err != nil {
						t.Fatal(err)
					}
					mend, err := ledger.Tell(lie, c.n)
					if err != nil {
						t.Fatal(err)
					}
					grow10(t, w, ledger)
					c.check(t, l)
					mend()
					mend()
					wantErrors(t, l, false, false, false)
					if size, _, err := l.head(t.Context()); err != nil || size != lieSize+10 {
						t.Errorf("once it tells the truth: size %d, %v", size, err)
					}
				})
			}
		})
	}
}

func grow10(t *testing.T, w *World, l *Ledger) {
	t.Helper()
	add := map[*Ledger]func(uint64) error{w.Rekor2.Ledger: w.Rekor2.AddBulk, w.CT.Ledger: w.CT.AddBulk, w.StaticCT.Ledger: w.StaticCT.AddBulk}[l]
	if err := add(10); err != nil {
		t.Fatal(err)
	}
}

// wantErrors says which checks must fail.
func wantErrors(t *testing.T, l told, head, growth, entries bool) {
	t.Helper()
	gotHead, gotGrowth, gotEntries := l.believes(t.Context())
	if (gotHead != nil) != head || (gotEntries != nil) != entries || (gotGrowth != nil) != growth {
		t.Errorf("head: %v\ngrowth: %v\nentries: %v", gotHead, gotGrowth, gotEntries)
	}
}

// wantPage says how reading a page must fail.
func wantPage(t *testing.T, l told, message string) {
	t.Helper()
	n, err := l.page(t.Context())
	if err == nil || !strings.Contains(err.Error(), message) {
		t.Errorf("%d entries, error %v, want %q", n, err, message)
	}
}

func TestEveryLieHasItsTest(t *testing.T) {
	w := newWorld(t)
	for l, want := range map[*Ledger]int{w.Rekor2.Ledger: 19, w.CT.Ledger: 17, w.StaticCT.Ledger: 19} {
		lies := l.Lies()
		slices.Sort(lies)
		if got := len(slices.Compact(lies)); got != want {
			t.Errorf("%s tells %d lies, want %d: TestEveryLieIsOneForTheClientsOfOthers has to know them", l.Origin(), got, want)
		}
	}
}

func TestShortPagesOfRFC6962AreHonest(t *testing.T) {
	w := logWorld(t, nil)
	fill(t, w, 100)
	f := rfc6962Judge(t, w.CT)
	if _, err := w.CT.Tell(ShortPage, 99); err != nil {
		t.Fatal(err)
	}
	w.CT.SetPageCap(30)
	if n, err := f.page(t.Context()); n != 30 || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
	w.CT.SetPageCap(1000)
	if n, err := f.page(t.Context()); n != 99 || err != nil {
		t.Errorf("%d entries, %v", n, err)
	}
	if err := f.check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFrozenLogsGrowOnlyAsALie(t *testing.T) {
	w := logWorld(t, nil)
	fill(t, w, lieSize)
	for ledger, f := range followed(t, w) {
		if _, err := ledger.Tell(GrowthAfterFreeze, 10); err == nil {
			t.Errorf("%s grows after its end without one", ledger.Origin())
		}
		if err := w.Freeze(ledger); err != nil {
			t.Fatal(err)
		}
		root, err := ledger.Root(lieSize)
		if err != nil {
			t.Fatal(err)
		}
		l := told{ledger, f, root}
		mend, err := ledger.Tell(GrowthAfterFreeze, 10)
		if err != nil {
			t.Fatal(err)
		}
		wantErrors(t, l, false, false, false)
		if size, _, err := l.head(t.Context()); size != lieSize+10 || err != nil {
			t.Errorf("%s: size %d, %v", ledger.Origin(), size, err)
		}
		mend()
		if size, _, err := l.head(t.Context()); size != lieSize || err != nil {
			t.Errorf("%s, mended: size %d, %v", ledger.Origin(), size, err)
		}
	}
}

func TestSlowLorisHoldsAPageUntilItIsMended(t *testing.T) {
	w := logWorld(t, nil)
	fill(t, w, lieSize)
	for ledger, f := range followed(t, w) {
		mend, err := ledger.Tell(SlowLoris, 0)
		if err != nil {
			t.Fatal(err)
		}
		ledger.ForgetRequests()
		got := make(chan error, 1)
		go func() {
			_, err := f.page(t.Context())
			got <- err
		}()
		for len(ledger.Requests()) == 0 {
			runtime.Gosched()
		}
		select {
		case err := <-got:
			t.Errorf("%s: the page came, or failed by itself: %v", ledger.Origin(), err)
			continue
		default:
		}
		mend()
		if err := <-got; err == nil {
			t.Errorf("%s: half a page is taken for a page", ledger.Origin())
		}
	}
}

func TestLogsTellOneLieAboutTheirTreeAtATime(t *testing.T) {
	w := logWorld(t, nil)
	fill(t, w, 10)
	mend, err := w.Rekor2.Tell(ForkedTree, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Rekor2.Tell(Rollback, 3); err == nil {
		t.Error("two lies about one tree")
	}
	if _, err := w.Rekor2.Tell(SlowLoris, 0); err != nil {
		t.Error(err)
	}
	mend()
	for lie, n := range map[Lie]uint64{ShortPage: 10, SwappedLeaves: 9, ForkedTree: 10, Rollback: 11, SmallerCheckpoint: 11, MissingLeaf: 1 << 62} {
		if _, err := w.Rekor2.Tell(lie, n); err == nil {
			t.Errorf("%s about entry %d of 10", lie, n)
		}
	}
	if _, err := w.Rekor2.Tell("white-lie", 0); err == nil || !strings.Contains(fmt.Sprint(err), "white-lie") {
		t.Errorf("an unknown lie: %v", err)
	}
}
