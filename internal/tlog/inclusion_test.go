package tlog

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/proof"
)

// inclusionOf is the proof of a leaf in the tree of the first size.
func inclusionOf(t *testing.T, l *memoryLog, index, size uint64) Inclusion {
	t.Helper()
	tree := l.tree()
	path, err := tree.InclusionProof(index, size)
	if err != nil {
		t.Fatal(err)
	}
	p := Inclusion{Index: index, Path: path, Checkpoint: SignedCheckpoint{Size: size}}
	copy(p.LeafHash[:], tree.LeafHash(index))
	copy(p.Checkpoint.Root[:], tree.HashAt(size))
	return p
}

// TestAnInclusionProofHasMoreInIt tries every leaf of every tree up to a size that has all shapes: what stands to the left
// of the leaf's path, and the consistency proof of the tree that ends with the leaf.
func TestAnInclusionProofHasMoreInIt(t *testing.T) {
	l := newLog(40)
	tree := l.tree()
	for size := uint64(1); size <= 40; size++ {
		for index := range size {
			p := inclusionOf(t, l, index, size)
			before, err := p.Before()
			if err != nil {
				t.Fatal(err)
			}
			want, err := l.Frontier(t.Context(), index, size)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(before, want, bytes.Equal) {
				t.Fatalf("before leaf %d of %d: %x, want %x", index, size, before, want)
			}
			consistency, err := p.Consistency()
			if err != nil {
				t.Fatal(err)
			}
			if index+1 == size {
				if len(consistency) != 0 {
					t.Errorf("the last of %d leaves has a consistency proof", size)
				}
				continue
			}
			wanted, err := tree.ConsistencyProof(index+1, size)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(consistency, wanted, bytes.Equal) {
				t.Fatalf("consistency proof from leaf %d of %d: %x, want %x", index, size, consistency, wanted)
			}
		}
	}
}

func TestABrokenInclusionProofHasNothingInIt(t *testing.T) {
	l := newLog(40)
	for name, edit := range map[string]func(*Inclusion){
		"another index": func(p *Inclusion) { p.Index = 12 },
		"another leaf":  func(p *Inclusion) { p.LeafHash[0]++ },
		"another root":  func(p *Inclusion) { p.Checkpoint.Root[0]++ },
		"another size":  func(p *Inclusion) { p.Checkpoint.Size = 70 },
		"no tree":       func(p *Inclusion) { p.Checkpoint.Size = 0 },
		"another hash":  func(p *Inclusion) { p.Path[0] = bytes.Repeat([]byte{1}, 32) },
		"a short hash":  func(p *Inclusion) { p.Path[0] = p.Path[0][:31] },
		"one too few":   func(p *Inclusion) { p.Path = p.Path[1:] },
		"one too many":  func(p *Inclusion) { p.Path = append(p.Path, p.Path[0]) },
	} {
		p := inclusionOf(t, l, 13, 40)
		p.Path = slices.Clone(p.Path)
		edit(&p)
		_, beforeErr := p.Before()
		_, consistencyErr := p.Consistency()
		if p.Verify() == nil || beforeErr == nil || consistencyErr == nil {
			t.Errorf("%s: %v, %v, %v", name, p.Verify(), beforeErr, consistencyErr)
		}
	}
	p := inclusionOf(t, l, 13, 40)
	p.LeafHash[0]++
	if mismatch := new(proof.RootMismatchError); !errors.As(p.Verify(), mismatch) || !bytes.Equal(mismatch.ExpectedRoot, p.Checkpoint.Root[:]) {
		t.Errorf("another leaf: %v", p.Verify())
	}
}

// checkpointAt is the log's checkpoint of a size.
func checkpointAt(t *testing.T, l *memoryLog, size int) SignedCheckpoint {
	t.Helper()
	shown := l.shown
	l.shown = size
	defer func() { l.shown = shown }()
	cp, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cp
}

// TestCheckpointsAreRelated relates a checkpoint of somebody else's with one that is held, either way round. The sizes
// include powers of two, of which a consistency proof does not have the root.
func TestCheckpointsAreRelated(t *testing.T) {
	honest, forked := newLog(100), newLog(100)
	forked.leaves[2] = "only here"
	verify := func(raw []byte) (SignedCheckpoint, error) {
		for _, l := range []*memoryLog{honest, forked} {
			for size := range 101 {
				if cp := checkpointAt(t, l, size); bytes.Equal(cp.Raw, raw) {
					return cp, nil
				}
			}
		}
		return SignedCheckpoint{}, errors.New("nobody signed it")
	}
	for _, sizes := range [][2]int{{64, 100}, {33, 100}, {16, 17}, {32, 64}, {100, 100}, {99, 100}} {
		held := checkpointAt(t, honest, sizes[1])
		for _, swap := range []bool{false, true} {
			relate := func(met SignedCheckpoint) (*Misbehaviour, error) {
				if swap {
					return Relate(t.Context(), honest, held, met)
				}
				return Relate(t.Context(), honest, met, held)
			}
			if m, err := relate(checkpointAt(t, honest, sizes[0])); m != nil || err != nil {
				t.Errorf("%d: %v, %v", sizes, m, err)
			}
			m, err := relate(checkpointAt(t, forked, sizes[0]))
			if err != nil || m == nil || m.Kind != KindFork {
				t.Errorf("%d, forked: %v, %v", sizes, m, err)
				continue
			}
			if shown, what := m.Recheck(verify); !shown {
				t.Errorf("%d, forked: the evidence does not hold: %s", sizes, what)
			}
		}
	}
	if m, err := Relate(t.Context(), honest, checkpointAt(t, honest, 0), checkpointAt(t, honest, 50)); m != nil || err != nil {
		t.Errorf("the empty tree: %v, %v", m, err)
	}
}

// TestWhatIsNotProvenIsNotRelated: a proof that decides nothing makes neither one log nor a fork.
func TestWhatIsNotProvenIsNotRelated(t *testing.T) {
	nonsense := func(hashes [][]byte) ([][]byte, error) {
		for i := range hashes {
			sum := sha256.Sum256(hashes[i])
			hashes[i] = sum[:]
		}
		return hashes, nil
	}
	for name, edit := range map[string]func(*memoryLog){
		"no answer":    func(l *memoryLog) { l.proof = func([][]byte) ([][]byte, error) { return nil, errors.New("503") } },
		"nonsense":     func(l *memoryLog) { l.proof = nonsense },
		"an empty one": func(l *memoryLog) { l.proof = func([][]byte) ([][]byte, error) { return nil, nil } },
	} {
		for _, size := range []int{64, 33} {
			l := newLog(100)
			met, held := checkpointAt(t, l, size), checkpointAt(t, l, 100)
			edit(l)
			if m, err := Relate(t.Context(), l, met, held); m != nil || err == nil || !strings.Contains(err.Error(), "not known") {
				t.Errorf("%s, %d: %v, %v", name, size, m, err)
			}
		}
	}
	l := newLog(100)
	met, held := checkpointAt(t, l, 64), checkpointAt(t, l, 100)
	met.Root[0]++
	l.frontier = nonsense
	if m, err := Relate(t.Context(), l, met, held); m != nil || err == nil {
		t.Errorf("nonsense for the root that the proof lacks: %v, %v", m, err)
	}
	met.Origin = "other.example"
	if _, err := Relate(t.Context(), l, met, held); err == nil || !strings.Contains(err.Error(), "different trees") {
		t.Errorf("of two logs: %v", err)
	}
}

func TestPromisesAreOfOneEntryAndOneTime(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte(`{"body":"eyJhIjoxfQ==","integratedTime":1730932627,"logID":"c0d2","logIndex":147137139}`))
	set, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	good := Promise{Body: []byte(`{"a":1}`), IntegratedTime: 1730932627, LogID: "c0d2", LogIndex: 147137139}
	if err := good.Verify(&key.PublicKey, set); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*Promise){
		"body":  func(p *Promise) { p.Body = []byte(`{"a":2}`) },
		"time":  func(p *Promise) { p.IntegratedTime++ },
		"log":   func(p *Promise) { p.LogID = "c0d3" },
		"index": func(p *Promise) { p.LogIndex-- },
	} {
		p := good
		edit(&p)
		if err := p.Verify(&key.PublicKey, set); !errors.Is(err, ErrNotPromised) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if err := good.Verify(&key.PublicKey, nil); !errors.Is(err, ErrNotPromised) {
		t.Errorf("no signature: %v", err)
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := good.Verify(public, set); err == nil || errors.Is(err, ErrNotPromised) {
		t.Errorf("a key of another kind: %v", err)
	}
}
