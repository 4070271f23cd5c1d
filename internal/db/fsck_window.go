package db

import (
	"database/sql"
	"encoding/json"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// windows proves each window again, from the compact range of what was read and the proof of its last entry, and looks for
// leaves that are out of place. The checkpoints' signatures are for those to verify who have the log's key.
func (f *fsck) windows() error {
	if err := f.each(`SELECT id, from_index, to_index, next_index, proven_index, state, last_proof, finished_at FROM windows`, func(rows *sql.Rows) error {
		var id int64
		var from, to, next, proven uint64
		var state, last string
		var finished sql.NullInt64
		if err := rows.Scan(&id, &from, &to, &next, &proven, &state, &last, &finished); err != nil {
			return err
		}
		f.counts["windows"]++
		if from > proven || proven > next || next > to || finished.Valid && proven != to {
			f.report("window %d goes from %d to %d, is proven to %d and read to %d: these are out of order", id, from, to, proven, next)
			return nil
		}
		w, err := windowState(state)
		switch {
		case err != nil:
			f.report("window %d: how far it was read: %v", id, err)
		case w == nil && next != from:
			f.report("window %d was read to %d and has no compact range", id, next)
		case w == nil, proven == from:
		case w.First != from || w.Next != next || w.Proven != proven:
			f.report("window %d does not say the same everywhere in the record", id)
		default:
			f.windowProof(id, last, func(p audit.WindowProof) error {
				inclusion, err := p.Inclusion()
				if err != nil {
					return err
				}
				w.Next, w.Range = w.Proven, w.ProvenRange
				if m, err := w.Prove(inclusion); err != nil {
					return err
				} else if m != nil {
					return m
				}
				return nil
			})
		}
		return nil
	}); err != nil {
		return err
	}
	return f.each(`SELECT l.window_id, l.tree_index, w.proven_index, w.next_index FROM window_leaves l JOIN windows w ON w.id = l.window_id`, func(rows *sql.Rows) error {
		var id int64
		var index, proven, next uint64
		if err := rows.Scan(&id, &index, &proven, &next); err != nil {
			return err
		}
		if index < proven || index >= next {
			f.report("window %d keeps entry %d for a proof, of what was read from %d to %d", id, index, proven, next)
		}
		return nil
	})
}

// windowProof reads a proof and reports where it does not hold.
func (f *fsck) windowProof(id int64, text string, check func(audit.WindowProof) error) {
	var p audit.WindowProof
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		err = check(p)
	}
	if err != nil {
		f.report("window %d: the proof of its last entry: %v", id, err)
	}
}
