package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/sigstore/rekor-tiles/v2/pkg/client/read"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
	tessera "github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

// logWorld is a running world whose trusted root names all its logs.
func logWorld(t *testing.T, now func() time.Time) *World {
	t.Helper()
	w, err := New(Options{Seed: 1, TrustLogs: true, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

// fill grows every log to a size, with strangers' entries.
func fill(t *testing.T, w *World, size uint64) {
	t.Helper()
	for l, add := range map[*Ledger]func(uint64) error{w.Rekor2.Ledger: w.Rekor2.AddBulk, w.CT.Ledger: w.CT.AddBulk, w.StaticCT.Ledger: w.StaticCT.AddBulk} {
		if err := add(size - l.Size()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHonestLogsAreProvenByTheClientsOfOthersAsTheyGrow(t *testing.T) {
	for _, pruned := range []bool{false, true} {
		t.Run(fmt.Sprintf("pruned=%v", pruned), func(t *testing.T) {
			w := logWorld(t, nil)
			for l, f := range followed(t, w) {
				if pruned {
					l.PrunePartials()
				}
				l.Compress(pruned)
				size1, root1 := uint64(0), []byte(nil)
				// Past the end of a tile, of two levels of them, and within one.
				for _, size := range []uint64{1, 255, 256, 257, 700, 65_536 + 300} {
					if size > 1000 && pruned {
						continue
					}
					add := w.Rekor2.AddBulk
					switch l {
					case w.CT.Ledger:
						add = w.CT.AddBulk
					case w.StaticCT.Ledger:
						add = w.StaticCT.AddBulk
					}
					if size > 1000 && l != w.Rekor2.Ledger {
						continue
					}
					if err := add(size - l.Size()); err != nil {
						t.Fatal(err)
					}
					got, root, err := f.head(t.Context())
					if err != nil || got != size {
						t.Fatalf("%s: head of size %d, want %d: %v", l.Origin(), got, size, err)
					}
					if size < 1000 { // to read every entry of more proves nothing more, and takes long
						if err := f.check(t.Context()); err != nil {
							t.Errorf("%s: entries up to %d: %v", l.Origin(), size, err)
						}
					}
					if size1 > 0 {
						if err := f.grew(t.Context(), size1, size, root1, root); err != nil {
							t.Errorf("%s: growth from %d to %d: %v", l.Origin(), size1, size, err)
						}
					}
					size1, root1 = size, root
				}
			}
		})
	}
}

func TestTesserasTrackerFollowsTheGrowth(t *testing.T) {
	w := logWorld(t, nil)
	fill(t, w, 300)
	f := tileFetcher{w.Rekor2.URL() + "/api/v2/", "entries"}
	raw, err := f.ReadCheckpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v := rekor2Verifier(t, w.Rekor2)
	tracker, err := tessera.NewLogStateTracker(t.Context(), f.ReadTile, raw, v, w.Rekor2.Origin(), tessera.UnilateralConsensus(f.ReadCheckpoint))
	if err != nil {
		t.Fatal(err)
	}
	fill(t, w, 900)
	if _, _, _, err := tracker.Update(t.Context()); err != nil || tracker.Latest().Size != 900 {
		t.Fatalf("size %d: %v", tracker.Latest().Size, err)
	}
	mend, err := w.Rekor2.Tell(ForkedTree, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer mend()
	fill(t, w, 1000)
	var split tessera.ErrInconsistency
	if _, _, _, err := tracker.Update(t.Context()); !errors.As(err, &split) {
		t.Errorf("a fork: %v", err)
	}
}

func TestRekorTilesOwnClientReadsTheLog(t *testing.T) {
	w := logWorld(t, nil)
	if err := w.Rekor2.AddNoise(3); err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	public, err := root.NewTrustedRootFromJSON(w.TrustedRootJSON())
	if err != nil {
		t.Fatal(err)
	}
	var log *root.TransparencyLog
	for _, l := range public.RekorLogs() {
		if l.BaseURL == "https://log2026-1.rekor.sandbox.example" {
			log = l
		}
	}
	if log == nil {
		t.Fatal("the trusted root does not name the log")
	}
	v, err := signature.LoadVerifier(log.PublicKey, log.SignatureHashFunc)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := read.NewReader(w.Rekor2.URL()+"/api/v2", "log2026-1.rekor.sandbox.example", v)
	if err != nil {
		t.Fatal(err)
	}
	cp, n, err := reader.ReadCheckpoint(t.Context())
	if err != nil || cp.Size != 3 || len(n.Sigs) != 1 {
		t.Fatalf("checkpoint %+v: %v", cp, err)
	}
	raw, err := reader.ReadEntryBundle(t.Context(), 0, 3)
	if err != nil {
		t.Fatal(err)
	}
	if hashes, err := bundleHasher(raw); err != nil || len(hashes) != 3 {
		t.Fatalf("%d entries: %v", len(hashes), err)
	}
	tile, err := reader.ReadTile(t.Context(), 0, 0, 3)
	if err != nil || len(tile) != 3*32 {
		t.Errorf("tile of %d bytes: %v", len(tile), err)
	}
}

func TestTesserasFsckRebuildsHonestLogs(t *testing.T) {
	w := logWorld(t, nil)
	fill(t, w, 700)
	for _, c := range []struct {
		f      tileFetcher
		origin string
		v      note.Verifier
		hasher func([]byte) ([][]byte, error)
	}{
		{tileFetcher{w.Rekor2.URL() + "/api/v2/", "entries"}, w.Rekor2.Origin(), rekor2Verifier(t, w.Rekor2), bundleHasher},
		{tileFetcher{w.StaticCT.URL() + "/", "data"}, w.StaticCT.Origin(), staticVerifier(t, w.StaticCT), dataTileHasher},
	} {
		if err := fsck.New(c.origin, c.v, c.f, c.hasher, fsck.Opts{N: 2}).Check(t.Context()); err != nil {
			t.Errorf("%s: %v", c.origin, err)
		}
	}
}

func TestTilesThatTheTreeDoesNotHaveAreNotThere(t *testing.T) {
	w := logWorld(t, nil)
	fill(t, w, 300)
	for path, want := range map[string]int{
		"tile/0/000": 200, "tile/0/001.p/44": 200, "tile/0/001.p/1": 200, "tile/1/000.p/1": 200, "tile/entries/000": 200,
		"tile/entries/001.p/44": 200, "tile/0/000.p/256": 404, "tile/0/001": 404, "tile/0/001.p/45": 404, "tile/0/001.p/0": 404,
		"tile/1/000.p/2": 404, "tile/1/000": 404, "tile/2/000.p/1": 404, "tile/0/0": 404, "tile/0/x000/000": 404, "tile/00/000": 404,
		"tile/8/000": 404, "tile/-1/000": 404, "tile/entries/002.p/1": 404, "tile/data/000": 404, "tile/0/000.p/01": 404,
		"tile/0/x999/x999/x999/x999/x999/x999/999": 404, "tile/0": 404, "": 404, "checkpoint/": 404,
	} {
		status, _, _, err := ask(t.Context(), w.Rekor2.URL()+"/api/v2/"+path, 1<<20)
		if err != nil || status != want {
			t.Errorf("%s: status %d, want %d: %v", path, status, want, err)
		}
	}
	w.Rekor2.PrunePartials()
	for path, want := range map[string]int{"tile/0/000.p/7": 404, "tile/entries/000.p/7": 404, "tile/0/001.p/7": 200, "tile/0/000": 200} {
		status, _, _, err := ask(t.Context(), w.Rekor2.URL()+"/api/v2/"+path, 1<<20)
		if err != nil || status != want {
			t.Errorf("pruned, %s: status %d, want %d: %v", path, status, want, err)
		}
	}
}

func TestEntriesAppearAfterTheMergeDelay(t *testing.T) {
	now := today
	w := logWorld(t, func() time.Time { return now })
	for l, f := range followed(t, w) {
		if l == w.Rekor2.Ledger {
			continue
		}
		l.SetMergeDelay(time.Hour)
		size := func() uint64 {
			size, _, err := f.head(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return size
		}
		start := l.Size()
		newSigner(t, w, claimsOfTheTest, CertificateOptions{})
		before := size()
		now = now.Add(59 * time.Minute)
		newSigner(t, w, claimsOfTheTest, CertificateOptions{})
		if at59 := size(); before != at59 || at59 != start {
			t.Errorf("%s: %d entries at first and %d after 59 minutes, want %d", l.Origin(), before, at59, start)
		}
		now = now.Add(time.Minute)
		if got := size(); got != start+1 {
			t.Errorf("%s: %d entries after an hour, want %d", l.Origin(), got, start+1)
		}
		if err := f.check(t.Context()); err != nil {
			t.Errorf("%s: %v", l.Origin(), err)
		}
		now = now.Add(2 * time.Hour)
	}
}

func TestPlantsAreAtTheirPlacesAndNowhereElse(t *testing.T) {
	const size = 700
	w := logWorld(t, nil)
	places := Places(size)
	if got, want := fmt.Sprint(places), "[0 350 511 512 605 699]"; got != want {
		t.Fatalf("places %s, want %s", got, want)
	}
	var plants []Plant
	for i, at := range places {
		plants = append(plants, Plant{At: at, Claims: ReleaseClaims("1.23.0"), DSSE: i%2 == 1, Options: CertificateOptions{Rogue: i == 2}})
	}
	inRekor, err := w.PlantRekor2(w.Rekor2, size, plants...)
	if err != nil {
		t.Fatal(err)
	}
	w2 := logWorld(t, nil)
	inCT, err := w2.PlantCT(w2.CT, size, plants...)
	if err != nil {
		t.Fatal(err)
	}
	inStatic, err := w2.PlantCT(w2.StaticCT, size, plants...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		l       *Ledger
		f       follower
		planted []Planted
		needle  func(p Planted) []byte
	}{
		{w.Rekor2.Ledger, rekor2Judge(t, w.Rekor2), inRekor, func(p Planted) []byte { return base64Of(p.Certificate) }},
		{w2.CT.Ledger, rfc6962Judge(t, w2.CT), inCT, func(Planted) []byte { return []byte("https://github.com/onnx/onnx/.github/") }},
		{w2.StaticCT.Ledger, staticJudge(t, w2.StaticCT), inStatic, func(Planted) []byte { return []byte("https://github.com/onnx/onnx/.github/") }},
	} {
		if c.l.Size() != size {
			t.Errorf("%s: %d entries", c.l.Origin(), c.l.Size())
		}
		if err := c.f.check(t.Context()); err != nil {
			t.Errorf("%s: %v", c.l.Origin(), err)
		}
		next := 0
		for i := range uint64(size) {
			leaf, err := c.l.Leaf(i)
			if err != nil {
				t.Fatal(err)
			}
			mentions := next < len(c.planted) && bytes.Contains(leaf, c.needle(c.planted[next]))
			if !mentions {
				continue
			}
			if p := c.planted[next]; p.Index != i || p.Index != places[next] || p.Origin != c.l.Origin() || !bytes.Equal(p.Leaf, leaf) {
				t.Errorf("%s: a plant at %d, want %d", c.l.Origin(), i, p.Index)
			}
			next++
		}
		if next != len(places) {
			t.Errorf("%s: %d plants, want %d", c.l.Origin(), next, len(places))
		}
	}
	if _, err := w.PlantRekor2(w.Rekor2, size+1, Plant{At: 3, Claims: claimsOfTheTest}); err == nil {
		t.Error("a plant in the place of another entry")
	}
}

func TestTrustedRootNamesEveryShardWithItsEnd(t *testing.T) {
	now := today
	w := logWorld(t, func() time.Time { return now })
	curved, err := w.AddShard(ShardOptions{Host: "log2026-2.rekor.sandbox.example", ECDSA: true})
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := w.AddShard(ShardOptions{Host: "log2027-1.rekor.sandbox.example", Unannounced: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddShard(ShardOptions{Host: curved.Origin()}); err == nil {
		t.Error("two shards of one name")
	}
	if err := w.Freeze(w.Rekor2.Ledger); err != nil {
		t.Fatal(err)
	}
	if err := w.Rekor2.AddNoise(1); err == nil {
		t.Error("a frozen log takes an entry")
	}
	now = now.Add(time.Hour)
	trusted, err := root.NewTrustedRootFromJSON(w.TrustedRootJSON())
	if err != nil {
		t.Fatal(err)
	}
	ends := map[string]time.Time{}
	for _, l := range trusted.RekorLogs() {
		ends[l.BaseURL] = l.ValidityPeriodEnd
	}
	for _, l := range trusted.CTLogs() {
		ends[l.BaseURL] = l.ValidityPeriodEnd
	}
	want := map[string]time.Time{
		"https://rekor.sandbox.example": {}, "https://log2026-1.rekor.sandbox.example": today, "https://log2026-2.rekor.sandbox.example": {},
		"https://ctfe.sandbox.example": {}, "https://static-ct.sandbox.example": {},
	}
	if fmt.Sprint(ends) != fmt.Sprint(want) {
		t.Errorf("logs %v, want %v", ends, want)
	}
	endpoints := w.Endpoints()
	for url := range want {
		if endpoints[url] == "" {
			t.Errorf("%s has no endpoint", url)
		}
	}
	for _, r := range []*Rekor2{curved, hidden} {
		if err := r.AddBulk(300); err != nil {
			t.Fatal(err)
		}
		if endpoints["https://"+r.Origin()] != r.URL() || r.URL() == "" {
			t.Errorf("%s is at %q, its endpoint %q", r.Origin(), r.URL(), endpoints["https://"+r.Origin()])
		}
		if err := rekor2Judge(t, r).check(t.Context()); err != nil {
			t.Errorf("%s: %v", r.Origin(), err)
		}
	}
	status, _, body, err := ask(context.Background(), w.TUF.URL()+"/timestamp.json", 1<<20)
	if err != nil || status != 200 || !bytes.Contains([]byte(body), []byte(`"version":4`)) {
		t.Errorf("the update repository's timestamp after three changes: %d %s %v", status, body, err)
	}
}
