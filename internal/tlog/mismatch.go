package tlog

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
)

// run is what was read since the last proof, as nodes of the tree: enough to find out where it departs from the signed
// tree, and some hundred bytes a page.
type run struct {
	from  uint64
	nodes [][]byte // the compact range [0, from)
	parts []part   // pages, in order
}

// part is a piece of a run: the compact range from the end of the part before it up to its own.
type part struct {
	to    uint64
	nodes [][]byte
}

func newRun(tree *compact.Range) *run {
	return &run{from: tree.End(), nodes: slices.Clone(tree.Hashes())}
}

// at is the compact range from 0 to the end of the first n parts.
func (r *run) at(n int) (*compact.Range, error) {
	tree, err := rangeFactory.NewRange(0, r.from, slices.Clone(r.nodes))
	if err != nil {
		return nil, err
	}
	for _, p := range r.parts[:n] {
		next, err := rangeFactory.NewRange(tree.End(), p.to, p.nodes)
		if err != nil {
			return nil, err
		}
		if err := tree.AppendRange(next, nil); err != nil {
			return nil, err
		}
	}
	return tree, nil
}

// departure is where entries depart from a signed tree: good is a prefix of it and bad, which goes further, is not.
type departure struct {
	good, bad *compact.Range
	proof     [][]byte // from bad's size to the checkpoint's
}

// narrow looks for the first part of a run that the checkpoint's tree does not have, of which good and bad are the
// ends. It takes a proof a halving, and stops early at one that decides nothing: then the departure is a wider one.
func (f *Follower[H]) narrow(ctx context.Context, r *run, cp SignedCheckpoint, d departure) departure {
	low, high := 0, len(r.parts)
	for high-low > 1 {
		middle := (low + high) / 2
		tree, err := r.at(middle)
		if err != nil {
			return d
		}
		verdict, hashes, err := f.holds(ctx, tree, cp)
		switch {
		case err != nil || verdict == undecided:
			return d
		case verdict == contradiction:
			high, d.bad, d.proof = middle, tree, hashes
		default:
			low, d.good = middle, tree
		}
	}
	return d
}

// mismatch makes the evidence that entries do not hash to a signed root: of all that was read since the last proof, the
// first entry that the root does not commit to, if the log tells enough for that and still serves it.
func (f *Follower[H]) mismatch(ctx context.Context, state State, tree *compact.Range, r *run, cp SignedCheckpoint, hashes [][]byte) (*Misbehaviour, error) {
	proven, err := rangeFactory.NewRange(0, state.Proven, slices.Clone(state.ProvenRange))
	if err != nil {
		return nil, fmt.Errorf("the record's compact range: %w", err)
	}
	d := departure{good: proven, bad: tree, proof: hashes}
	if r.from == state.Proven {
		d = f.narrow(ctx, r, cp, d)
	} else {
		// Part of it was read by a run that was interrupted: of that, nothing but its end is known.
		began, err := r.at(0)
		if err != nil {
			return nil, err
		}
		switch verdict, hashes, err := f.holds(ctx, began, cp); {
		case err != nil || verdict == undecided:
		case verdict == contradiction:
			d.bad, d.proof = began, hashes
		default:
			d.good = began
			d = f.narrow(ctx, r, cp, d)
		}
	}
	var leaves [][]byte
	if again := f.again(ctx, d); again != nil {
		entries := newRun(d.good)
		for i, leaf := range again {
			hash := LeafHash(leaf)
			entries.parts = append(entries.parts, part{entries.from + uint64(i) + 1, [][]byte{hash[:]}})
		}
		d = f.narrow(ctx, entries, cp, d)
		leaves = again[d.good.End()-entries.from : d.bad.End()-entries.from]
	}
	root, err := d.bad.GetRootHash(nil)
	if err != nil {
		return nil, err
	}
	m := &Misbehaviour{Kind: KindEntriesMismatch, New: EvidenceOf(cp), From: d.good.End(), To: d.bad.End(), Computed: hex.EncodeToString(root),
		OldRange: hexAll(d.good.Hashes()), NewRange: hexAll(d.bad.Hashes()), Proof: hexAll(d.proof)}
	size := 0
	for _, leaf := range leaves {
		hash := LeafHash(leaf)
		m.LeafHashes = append(m.LeafHashes, hex.EncodeToString(hash[:]))
		if size += len(leaf); size <= maxEvidence {
			m.Leaves = append(m.Leaves, leaf)
		}
	}
	what := fmt.Sprintf("entries %d to %d do", m.From, m.To-1)
	if m.To == m.From+1 {
		what = fmt.Sprintf("entry %d does", m.From)
	}
	m.Detail = fmt.Sprintf("%s not hash to the signed root of size %d, %x: with them, the first %d have the root %x", what, cp.Size, cp.Root, m.To, root)
	return m, nil
}

const (
	// maxEvidence caps how many bytes of leaves are kept as evidence, and maxAgain how many leaves are fetched for it.
	maxEvidence = 1 << 20
	maxAgain    = 4096
)

// again fetches the entries of a departure once more. It returns nil where they are too many, or are not those of before.
func (f *Follower[H]) again(ctx context.Context, d departure) [][]byte {
	from, to := d.good.End(), d.bad.End()
	if to-from > maxAgain {
		return nil
	}
	tree, err := rangeFactory.NewRange(0, from, slices.Clone(d.good.Hashes()))
	if err != nil {
		return nil
	}
	var all [][]byte
	err = f.fetch(ctx, from, to, func(_ uint64, p Page) error {
		for _, leaf := range p.Leaves {
			hash := LeafHash(leaf)
			if err := tree.Append(hash[:], nil); err != nil {
				return err
			}
			all = append(all, bytes.Clone(leaf))
		}
		return nil
	})
	if err != nil || !slices.EqualFunc(tree.Hashes(), d.bad.Hashes(), bytes.Equal) {
		return nil
	}
	return all
}
