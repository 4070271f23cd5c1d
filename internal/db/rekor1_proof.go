package db

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// ProofBelow implements audit.Rekor1Store.
func (r *Rekor1) ProofBelow(ctx context.Context, origin string, size uint64) (*tlog.Inclusion, error) {
	var hash, text string
	err := r.db.r.QueryRowContext(ctx, `SELECT leaf_hash, proof FROM (
		SELECT e.tree_index, e.leaf_hash, k.proof FROM entry_checks k JOIN entries e ON e.id = k.entry_id
			WHERE e.origin = ?1 AND e.tree_index < ?2 AND k.outcome = ?3 AND k.proof IS NOT NULL
		UNION ALL SELECT h.tree_index, h.leaf_hash, h.proof FROM hits h JOIN logs l ON l.id = h.log_id
			WHERE l.origin = ?1 AND h.tree_index < ?2 AND h.proof IS NOT NULL)
		ORDER BY tree_index DESC LIMIT 1`, origin, size, audit.EntrySame).Scan(&hash, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	var proof audit.EntryProof
	if err == nil {
		err = json.Unmarshal([]byte(text), &proof)
	}
	var leaf []byte
	if err == nil {
		leaf, err = hex.DecodeString(hash)
	}
	if err == nil && len(leaf) != sha256.Size {
		err = fmt.Errorf("%q is no leaf hash", hash)
	}
	var e tlog.Inclusion
	if err == nil {
		e, err = proof.Inclusion([sha256.Size]byte(leaf))
	}
	if err != nil {
		return nil, fmt.Errorf("what is proven of %s in the record: %w", origin, err)
	}
	return &e, nil
}
