package db

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

var _ audit.Claims = (*DB)(nil)

// Verifications implements audit.Claims.
func (db *DB) Verifications(ctx context.Context, fn func(audit.StoredDocument, audit.DocumentFacts) error) error {
	rows, err := db.r.QueryContext(ctx, `SELECT p.id, f.id, f.filename, f.sha256, coalesce(b.body, p.body), p.sha256, p.problem, p.verified_with, b.id IS NOT NULL
		FROM provenances p JOIN files f ON f.id = p.file_id LEFT JOIN github_bundles b ON b.id = p.github_bundle_id
		WHERE f.provenance_id = p.id OR b.id IS NOT NULL ORDER BY p.id`)
	if err != nil {
		return fmt.Errorf("documents in the record: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var d audit.StoredDocument
		var held audit.DocumentFacts
		if err := rows.Scan(&d.ID, &d.FileID, &d.Filename, &d.SHA256, &d.Body, &held.SHA256, &held.Problem, &held.VerifiedWith, &d.Bundle); err != nil {
			return fmt.Errorf("documents in the record: %w", err)
		}
		if held.Attestations, err = attestations(ctx, db.r, d.ID); err != nil {
			return fmt.Errorf("documents in the record: %w", err)
		}
		if err := fn(d, held); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Checkpoints implements audit.Claims.
func (db *DB) Checkpoints(ctx context.Context, fn func(tlog.SignedCheckpoint) error) error {
	rows, err := db.r.QueryContext(ctx, `SELECT origin, size, root, raw FROM checkpoints ORDER BY id`)
	if err != nil {
		return fmt.Errorf("checkpoints in the record: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var cp tlog.SignedCheckpoint
		var root string
		if err := rows.Scan(&cp.Origin, &cp.Size, &root, &cp.Raw); err != nil {
			return fmt.Errorf("checkpoints in the record: %w", err)
		}
		digest, err := hex.DecodeString(root)
		if err != nil || len(digest) != sha256.Size {
			return fmt.Errorf("checkpoints in the record: %q, of log %s at size %d, is not a root hash", root, cp.Origin, cp.Size)
		}
		copy(cp.Root[:], digest)
		if err := fn(cp); err != nil {
			return err
		}
	}
	return rows.Err()
}

// AllHits implements audit.Claims.
func (db *DB) AllHits(ctx context.Context, fn func(audit.HitFacts) error) error {
	return db.Hits(ctx, HitFilter{Unproven: true}, fn)
}
