package sandbox

import "fmt"

// Branch makes another history of the shard, with the same first n entries, name and key. It takes entries of its own
// ([Rekor2.Add], [Rekor2.Log]), and is served to nobody: whoever has a bundle of it was shown another tree than all others.
func (r *Rekor2) Branch(n uint64) (*Rekor2, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if n > r.entries.size {
		return nil, fmt.Errorf("branching %s off at %d: it has only %d entries", r.origin, n, r.entries.size)
	}
	b := &Rekor2{key: r.key, otherKey: r.otherKey, entropy: r.entropy, stranded: r.stranded, bulk: r.bulk}
	b.Ledger = &Ledger{origin: r.origin, now: r.now, protocol: b, entries: r.entries.prefix(n)}
	for i := range n {
		b.tree.append(r.tree.levels[0][i])
	}
	return b, nil
}
