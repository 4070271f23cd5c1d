package tlog

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
)

// Recheck looks at the evidence of a misbehaviour again, without the log. verify checks a checkpoint's signature and reads
// it. It returns whether the evidence shows what the misbehaviour says, and what it shows.
func (m *Misbehaviour) Recheck(verify func(raw []byte) (SignedCheckpoint, error)) (bool, string) {
	latest, err := verify(m.New.Raw)
	if m.Kind == KindBadCheckpoint {
		if err != nil {
			return true, "the checkpoint is not the log's: " + err.Error()
		}
		return false, "the checkpoint is signed by the log's key"
	}
	if err != nil {
		return false, "the newer checkpoint does not verify: " + err.Error()
	}
	if m.Kind == KindEntriesMismatch {
		return m.recheckEntries(latest)
	}
	old, err := verify(m.Old.Raw)
	if err != nil {
		return false, "the older checkpoint does not verify: " + err.Error()
	}
	both := fmt.Sprintf("the log signed a tree of size %d with root %x and one of size %d with root %x", old.Size, old.Root, latest.Size, latest.Root)
	switch {
	case m.Kind == KindFrozenGrew:
		return latest.Size > old.Size, both
	case old.Size == latest.Size:
		return old.Root != latest.Root, both
	case len(m.NewRange) > 0:
		return m.rangesDiffer(latest), both + "; their common subtrees differ"
	}
	hashes, err := unhex(m.Proof)
	if err != nil {
		return false, "the proof is not made of hashes"
	}
	small, large := old, latest
	if small.Size > large.Size {
		small, large = large, small
	}
	return contradicts(small, large, hashes) == contradiction, both + "; the proof fits the larger and not the smaller one"
}

// recheckEntries recomputes the root of the entries, where the evidence has them all.
func (m *Misbehaviour) recheckEntries(cp SignedCheckpoint) (bool, string) {
	frontier, err := unhex(m.OldRange)
	if err != nil {
		return false, "the compact range is not made of hashes"
	}
	tree, err := rangeFactory.NewRange(0, m.From, frontier)
	if err != nil {
		return false, "the compact range: " + err.Error()
	}
	if m.From+uint64(len(m.LeafHashes)) != m.To {
		return false, fmt.Sprintf("the signed root is %x, the entries hashed to %s; of %d leaf hashes %d are kept, so the root cannot be computed again",
			cp.Root, m.Computed, m.To-m.From, len(m.LeafHashes))
	}
	hashes, err := unhex(m.LeafHashes)
	if err != nil {
		return false, "the leaf hashes are not hashes"
	}
	for i, h := range hashes {
		if i < len(m.Leaves) {
			if got := LeafHash(m.Leaves[i]); !bytes.Equal(got[:], h) {
				return false, fmt.Sprintf("leaf %d does not have the hash that is kept of it", m.From+uint64(i))
			}
		}
		if err := tree.Append(h, nil); err != nil {
			return false, err.Error()
		}
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return false, err.Error()
	}
	return !bytes.Equal(root, cp.Root[:]), fmt.Sprintf("the entries hash to root %x, the signed root is %x", root, cp.Root)
}

// rangesDiffer compares the subtrees that two trees have in common by their place.
func (m *Misbehaviour) rangesDiffer(cp SignedCheckpoint) bool {
	ours, err1 := unhex(m.OldRange)
	theirs, err2 := unhex(m.NewRange)
	if err1 != nil || err2 != nil {
		return false
	}
	if root, err := RangeRoot(cp.Size, theirs); err != nil || !bytes.Equal(root, cp.Root[:]) {
		return false
	}
	held := map[compact.NodeID][]byte{}
	for i, id := range compact.RangeNodes(0, m.To, nil) {
		if i < len(ours) {
			held[id] = ours[i]
		}
	}
	for i, id := range compact.RangeNodes(0, cp.Size, nil) {
		if h, ok := held[id]; ok && i < len(theirs) && !bytes.Equal(h, theirs[i]) {
			return true
		}
	}
	return false
}

func unhex(all []string) ([][]byte, error) {
	var hashes [][]byte
	for _, s := range all {
		h, err := hex.DecodeString(s)
		if err != nil || len(h) != 32 {
			return nil, fmt.Errorf("%q is not a hash", clip(s))
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}
