package rekor

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// V1Window proves that a run of leaves out of the middle of a tree is complete, without reading what lies before it.
//
//	┌ proven first leaf ┐        leaves, as pages bring them        ┌ proven last leaf ┐
//	  left of its path:   ─────────── hashed and appended ──────────▶ left of its path
//	  [0, First)                                                      and itself: [0, Last+1)
//
// What stands to the left of a leaf's path in its inclusion proof is the compact range of all that comes before the leaf,
// whatever the size of the tree. So the two proofs, of different trees perhaps, say what the leaves between them hash to.
//
// It is its own state: kept in a record after each page, it goes on from there. Leaves from Proven on are read and not yet
// proven: they do not count.
type V1Window struct {
	// First is the index of the first leaf, Next of the one to read next. Leaves below Proven are proven complete.
	First  uint64 `json:"first"`
	Next   uint64 `json:"next"`
	Proven uint64 `json:"proven"`
	// Range and ProvenRange are the node hashes of the compact ranges [0, Next) and [0, Proven).
	Range       [][]byte `json:"range"`
	ProvenRange [][]byte `json:"proven_range"`
}

// OpenV1Window begins a window with a leaf whose inclusion proof holds. The leaf itself is read with the others.
func OpenV1Window(first tlog.Inclusion) (*V1Window, error) {
	before, err := first.Before()
	if err != nil {
		return nil, fmt.Errorf("inclusion proof of entry %d, where the window begins: %w", first.Index, err)
	}
	return &V1Window{First: first.Index, Next: first.Index, Proven: first.Index, Range: before, ProvenRange: slices.Clone(before)}, nil
}

// windowRange is the compact range [0, size) with these node hashes.
func windowRange(size uint64, hashes [][]byte) (*compact.Range, error) {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	return factory.NewRange(0, size, slices.Clone(hashes))
}

// rangeThrough is the compact range from the beginning of a tree up to and with a proven leaf.
func rangeThrough(p tlog.Inclusion) (*compact.Range, error) {
	before, err := p.Before()
	if err != nil {
		return nil, err
	}
	nodes, err := windowRange(p.Index, before)
	if err != nil {
		return nil, err
	}
	return nodes, nodes.Append(p.LeafHash[:], nil)
}

// Append takes leaves, of which the first is at the index Next.
func (w *V1Window) Append(leaves ...[]byte) error {
	nodes, err := windowRange(w.Next, w.Range)
	if err != nil {
		return fmt.Errorf("the window's compact range: %w", err)
	}
	for _, leaf := range leaves {
		hash := tlog.LeafHash(leaf)
		if err := nodes.Append(hash[:], nil); err != nil {
			return err
		}
	}
	w.Next, w.Range = nodes.End(), nodes.Hashes()
	return nil
}

// Prove takes the inclusion proof of the last leaf that was appended: if it holds and the leaves hash to what it says,
// all from First to there are proven complete. If it holds and they do not, the result is the misbehaviour, with the
// evidence, and what was read since Proven is void. A proof that does not hold is an error and changes nothing.
//
// That the first proof and this one are of one log is part of what it shows. Where it fails, [tlog.Relate] on their
// checkpoints tells a log with two trees from one with other entries.
func (w *V1Window) Prove(last tlog.Inclusion) (*tlog.Misbehaviour, error) {
	if last.Index+1 != w.Next || w.Next == w.First {
		return nil, fmt.Errorf("the proof of entry %d cannot prove a window that was read from %d up to %d", last.Index, w.First, w.Next)
	}
	signed, err := rangeThrough(last)
	if err != nil {
		return nil, fmt.Errorf("inclusion proof of entry %d, where the window ends: %w", last.Index, err)
	}
	if slices.EqualFunc(signed.Hashes(), w.Range, bytes.Equal) {
		w.Proven, w.ProvenRange = w.Next, slices.Clone(w.Range)
		return nil, nil
	}
	m, err := w.mismatch(last, signed.Hashes())
	if err != nil {
		return nil, err
	}
	w.Next, w.Range = w.Proven, slices.Clone(w.ProvenRange)
	return m, nil
}

// mismatch is the evidence that the leaves since the last proof do not hash to what the last one's says, which is signed.
func (w *V1Window) mismatch(last tlog.Inclusion, signed [][]byte) (*tlog.Misbehaviour, error) {
	root, err := tlog.RangeRoot(w.Next, w.Range)
	if err != nil {
		return nil, fmt.Errorf("the window's compact range: %w", err)
	}
	proof, err := last.Consistency()
	if err != nil {
		return nil, err
	}
	if len(signed) == 1 && len(proof) > 0 {
		// The proof of a tree whose size is a power of two lacks its root; evidence has it.
		proof = append(signed, proof...)
	}
	cp := last.Checkpoint
	return &tlog.Misbehaviour{
		Kind: tlog.KindEntriesMismatch, From: w.Proven, To: w.Next, Computed: hex.EncodeToString(root),
		New:      tlog.Evidence{Size: cp.Size, Root: hex.EncodeToString(cp.Root[:]), Raw: cp.Raw},
		OldRange: hexHashes(w.ProvenRange), NewRange: hexHashes(w.Range), Proof: hexHashes(proof),
		Detail: fmt.Sprintf("entries %d to %d do not hash to the signed root of size %d, %x: with them, the first %d have the root %x",
			w.Proven, w.Next-1, cp.Size, cp.Root, w.Next, root),
	}, nil
}

func hexHashes(hashes [][]byte) []string {
	all := make([]string, 0, len(hashes))
	for _, h := range hashes {
		all = append(all, hex.EncodeToString(h))
	}
	return all
}
