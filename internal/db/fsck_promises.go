package db

import (
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/hex"

	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// promises rebuilds every promised leaf from its certificate, and verifies the proofs of those that were found.
func (f *fsck) promises() error {
	return f.each(`SELECT c.id, c.der, c.issuer_key_hash, x.log_id, x.leaf_hash, x.outcome, x.tree_index, x.proof, k.size, k.root,
		EXISTS (SELECT 1 FROM hits h JOIN logs l ON l.id = h.log_id WHERE l.key_id = x.log_id AND h.certificate_id = c.id AND h.leaf_hash = x.leaf_hash AND h.tree_index = x.tree_index)
		FROM ct_lookups x JOIN certificates c ON c.id = x.certificate_id LEFT JOIN checkpoints k ON k.id = x.checkpoint_id`, func(rows *sql.Rows) error {
		var id int64
		var der, proof []byte
		var issuer, log, leaf, outcome string
		var index, size sql.NullInt64
		var root sql.NullString
		var hit bool
		if err := rows.Scan(&id, &der, &issuer, &log, &leaf, &outcome, &index, &proof, &size, &root, &hit); err != nil {
			return err
		}
		f.counts["promises"]++
		if leaf != "" && !promises(der, issuer, log, leaf) {
			f.report("certificate %d carries no promise of log %s for leaf %s", id, log, leaf)
		}
		switch {
		case outcome != "found":
		case proof == nil && !hit:
			f.report("certificate %d is said to be entry %d of log %s, which is not among what was proven of it", id, index.Int64, log)
		case proof != nil && !included(leaf, index.Int64, proof, size.Int64, root.String):
			f.report("certificate %d is said to be entry %d of log %s, and the proof does not lead to root %s of size %d", id, index.Int64, log, root.String, size.Int64)
		}
		return nil
	})
}

// promises reports whether a certificate carries a log's promise for a leaf.
func promises(der []byte, issuer, log, leaf string) bool {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return false
	}
	digest, err := hex.DecodeString(issuer)
	if err != nil || len(digest) != sha256.Size {
		return false
	}
	scts, err := ctlog.EmbeddedSCTs(cert)
	if err != nil {
		return false
	}
	for _, s := range scts {
		rebuilt, err := s.Leaf(der, [sha256.Size]byte(digest))
		if hash := tlog.LeafHash(rebuilt); err == nil && hex.EncodeToString(s.LogID[:]) == log && hex.EncodeToString(hash[:]) == leaf {
			return true
		}
	}
	return false
}

// included verifies a stored inclusion proof.
func included(leaf string, index int64, packed []byte, size int64, root string) bool {
	path, err := unpackRange(packed)
	if err != nil {
		return false
	}
	p := tlog.Inclusion{Index: uint64(index), Path: path, Checkpoint: tlog.SignedCheckpoint{Size: uint64(size)}}
	for text, into := range map[string]*[sha256.Size]byte{leaf: &p.LeafHash, root: &p.Checkpoint.Root} {
		digest, err := hex.DecodeString(text)
		if err != nil || copy(into[:], digest) != sha256.Size {
			return false
		}
	}
	return p.Verify() == nil
}
