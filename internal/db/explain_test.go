package db

import (
	"context"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// TestAnEntryBelongsToTheFileWhoseAttestationNamesItWhereverThatIs has the index, or GitHub's store, have what names an entry.
func TestAnEntryBelongsToTheFileWhoseAttestationNamesItWhereverThatIs(t *testing.T) {
	ctx := context.Background()
	e := attest.Entry{LogID: "1d", Origin: logName.Origin, Kind: "hashedrekord", APIVersion: "0.0.2", Body: signed(sha('a')), InclusionProven: true}
	hash := tlog.LeafHash(e.Body)
	e.LeafHash = hex.EncodeToString(hash[:])
	naming := verification("roots")
	naming.Attestations[0].Entries = []attest.Entry{e}
	for name, save := range map[string]func(*DB, int64) error{
		"the index": func(db *DB, file int64) error {
			return db.SaveProvenance(ctx, hour(1), file, audit.ProvenanceUpdate{State: audit.ProvenanceServed, Body: []byte("A"), Verification: naming})
		},
		"the store": func(db *DB, file int64) error {
			u := answered("roots", "A")
			u.Bundles[0].Verification = naming
			return db.SaveStored(ctx, hour(1), file, u)
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, p, id := oneFile(t)
			if files, err := db.filesOfLeaf(ctx, e.Origin, e.LeafHash); err != nil || len(files) > 0 {
				t.Fatal(files, err)
			}
			if err := save(db, id); err != nil {
				t.Fatal(err)
			}
			files, err := db.filesOfLeaf(ctx, e.Origin, e.LeafHash)
			if err != nil {
				t.Fatal(err)
			}
			f := facts(t, db, p)
			if diff := cmp.Diff([]audit.AttestedFile{{PyPIProject: "pypi/onnx", File: f.Filename, SHA256: f.SHA256}}, files); diff != "" {
				t.Error(diff)
			}
		})
	}
}
