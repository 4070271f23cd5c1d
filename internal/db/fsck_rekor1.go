package db

import (
	"database/sql"
	"encoding/hex"
	"encoding/json"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// provenHits proves again the hits that were found by name. Whether the log signed the checkpoints takes its key, which the
// record does not have: explaining a finding looks at that.
func (f *fsck) provenHits() error {
	return f.each(`SELECT l.origin, h.tree_index, h.leaf_hash, h.leaf, h.proof FROM hits h JOIN logs l ON l.id = h.log_id WHERE h.proof IS NOT NULL`, func(rows *sql.Rows) error {
		var origin, want, proof string
		var index int64
		var leaf []byte
		if err := rows.Scan(&origin, &index, &want, &leaf, &proof); err != nil {
			return err
		}
		f.counts["hits"]++
		f.leaf(origin, index, want, leaf)
		f.inclusion(origin, index, leaf, proof)
		return nil
	})
}

// inclusion proves an entry in the tree of its own checkpoint.
func (f *fsck) inclusion(origin string, index int64, leaf []byte, text string) {
	var proof audit.EntryProof
	err := json.Unmarshal([]byte(text), &proof)
	if err != nil {
		f.report("entry %d of log %s: its proof cannot be read: %v", index, origin, err)
		return
	}
	e, err := proof.Entry(leaf)
	if err == nil {
		err = e.Inclusion().Verify()
	}
	switch {
	case err != nil:
		f.report("entry %d of log %s: its proof does not hold: %v", index, origin, err)
	case e.Checkpoint.Origin != origin || int64(e.Index) != index:
		f.report("entry %d of log %s: its proof is of entry %d of %s", index, origin, e.Index, e.Checkpoint.Origin)
	}
}

// entryChecks proves again what logs have in the places of entries that bundles name.
func (f *fsck) entryChecks() error {
	return f.each(`SELECT e.origin, e.tree_index, e.body, k.outcome, k.body, k.proof FROM entry_checks k JOIN entries e ON e.id = k.entry_id WHERE k.proof IS NOT NULL`, func(rows *sql.Rows) error {
		var origin, outcome, proof string
		var index int64
		var body, other []byte
		if err := rows.Scan(&origin, &index, &body, &outcome, &other, &proof); err != nil {
			return err
		}
		f.counts["entries of bundles"]++
		if audit.EntryOutcome(outcome) == audit.EntrySame {
			f.inclusion(origin, index, body, proof)
			return nil
		}
		// The log's entry may be in another place: its own proof says which.
		var p audit.EntryProof
		if err := json.Unmarshal([]byte(proof), &p); err != nil {
			f.report("entry %d of log %s: its proof cannot be read: %v", index, origin, err)
			return nil
		}
		f.inclusion(p.Origin, int64(p.Index), other, proof)
		return nil
	})
}

// gossip reads the checkpoints of bundles again.
func (f *fsck) gossip() error {
	return f.each(`SELECT origin, size, root, raw FROM gossip`, func(rows *sql.Rows) error {
		var origin, root string
		var size uint64
		var raw []byte
		if err := rows.Scan(&origin, &size, &root, &raw); err != nil {
			return err
		}
		f.counts["checkpoints of bundles"]++
		c, err := tlog.ParseCheckpoint(string(raw))
		if err != nil {
			f.report("a checkpoint of a bundle, of size %d of %s, cannot be read: %v", size, origin, err)
		} else if c.Origin != origin || c.Size != size || hex.EncodeToString(c.Root[:]) != root {
			f.report("a checkpoint of a bundle is of size %d of %s, and is kept as of size %d of %s", c.Size, c.Origin, size, origin)
		}
		return nil
	})
}
