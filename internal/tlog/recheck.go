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
	case m.OldInclusion != nil && m.NewInclusion != nil:
		again, err := Disagree(m.OldInclusion.of(old), m.NewInclusion.of(latest))
		if err != nil {
			return false, "the inclusion proofs: " + err.Error()
		}
		return again != nil, fmt.Sprintf("%s; entry %d, or what lies before it, is another in each", both, m.OldInclusion.Index)
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

// recheckEntries computes the root of the entries again, and holds it against the signed one. What it cannot show is that
// the log served these entries: nobody signs an answer.
func (m *Misbehaviour) recheckEntries(cp SignedCheckpoint) (bool, string) {
	nodes, err := unhex(m.NewRange)
	if err != nil {
		return false, "the compact range is not made of hashes"
	}
	root, err := RangeRoot(m.To, nodes)
	if err != nil {
		return false, "the compact range: " + err.Error()
	}
	what := fmt.Sprintf("the first %d entries hash to root %x", m.To, root)
	if m.To == cp.Size {
		if bytes.Equal(root, cp.Root[:]) {
			return false, what + ", as is signed"
		}
		what += fmt.Sprintf(", the signed root is %x", cp.Root)
	} else {
		hashes, err := unhex(m.Proof)
		if err != nil {
			return false, "the proof is not made of hashes"
		}
		if m.To == 0 || m.To > cp.Size {
			return false, fmt.Sprintf("%d entries and a tree of size %d cannot be compared", m.To, cp.Size)
		}
		read := SignedCheckpoint{Size: m.To}
		copy(read.Root[:], root)
		if contradicts(read, cp, hashes) != contradiction {
			return false, what + ", and the proof does not show that the signed tree has others"
		}
		what += fmt.Sprintf(", and a proof shows that the signed root %x of size %d is over others", cp.Root, cp.Size)
	}
	if len(m.LeafHashes) == 0 {
		return true, what + "; the entries themselves are not kept"
	}
	if err := m.recheckLeaves(root); err != nil {
		return false, err.Error()
	}
	return true, fmt.Sprintf("%s; of entries %d to %d, %d are kept and all have the hashes that lead to it", what, m.From, m.To-1, len(m.Leaves))
}

// recheckLeaves shows that the leaves in the evidence, behind the range before them, have that root.
func (m *Misbehaviour) recheckLeaves(root []byte) error {
	nodes, err := unhex(m.OldRange)
	if err != nil {
		return fmt.Errorf("the compact range before the entries: %w", err)
	}
	tree, err := rangeFactory.NewRange(0, m.From, nodes)
	if err != nil {
		return fmt.Errorf("the compact range before the entries: %w", err)
	}
	hashes, err := unhex(m.LeafHashes)
	if err != nil {
		return fmt.Errorf("the leaf hashes: %w", err)
	}
	if len(m.Leaves) > len(hashes) {
		return fmt.Errorf("there are %d leaves and %d leaf hashes", len(m.Leaves), len(hashes))
	}
	for i, hash := range hashes {
		if i < len(m.Leaves) {
			if got := LeafHash(m.Leaves[i]); !bytes.Equal(got[:], hash) {
				return fmt.Errorf("leaf %d does not have the hash that is kept of it", m.From+uint64(i))
			}
		}
		if err := tree.Append(hash, nil); err != nil {
			return err
		}
	}
	if tree.End() != m.To {
		return fmt.Errorf("there are %d leaf hashes for entries %d to %d", len(hashes), m.From, m.To)
	}
	got, err := tree.GetRootHash(nil)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, root) {
		return fmt.Errorf("the leaf hashes lead to root %x, not to %x", got, root)
	}
	return nil
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
