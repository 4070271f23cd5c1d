package db

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/transparency-dev/merkle/compact"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// Fsck recomputes what the record claims, from what the record holds, and calls problem for every claim that does not
// hold. It counts what it looked at, by kind. Whether attestations still verify is not for the record to tell.
func (db *DB) Fsck(ctx context.Context, problem func(string)) (map[string]int, error) {
	f := &fsck{ctx: ctx, db: db, counts: map[string]int{}, report: func(format string, args ...any) { problem(fmt.Sprintf(format, args...)) }}
	for _, check := range []func() error{f.pragmas, f.provenances, f.bundles, f.certificates, f.entries, f.hits, f.provenHits, f.windows, f.entryChecks, f.gossip, f.logs, f.promises, f.accounts, f.verdicts, f.findings, f.outbox} {
		if err := check(); err != nil {
			return f.counts, fmt.Errorf("checking the record: %w", explain(err))
		}
	}
	return f.counts, nil
}

type fsck struct {
	ctx    context.Context
	db     *DB
	counts map[string]int
	report func(format string, args ...any)
}

// each calls fn for each row of a query.
func (f *fsck) each(query string, fn func(*sql.Rows) error) error {
	rows, err := f.db.r.QueryContext(f.ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// pragmas has SQLite check its pages and the foreign keys.
func (f *fsck) pragmas() error {
	if err := f.each("PRAGMA integrity_check(20)", func(rows *sql.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if text != "ok" {
			f.report("the file is damaged: %s", text)
		}
		return nil
	}); err != nil {
		return err
	}
	return f.each("PRAGMA foreign_key_check", func(rows *sql.Rows) error {
		var table, parent sql.NullString
		var row, key sql.NullInt64
		if err := rows.Scan(&table, &row, &parent, &key); err != nil {
			return err
		}
		f.report("row %d of %s names a row of %s that is not there", row.Int64, table.String, parent.String)
		return nil
	})
}

func (f *fsck) provenances() error {
	return f.each("SELECT id, sha256, body FROM provenances WHERE github_bundle_id IS NULL", func(rows *sql.Rows) error {
		var id int64
		var want string
		var body []byte
		if err := rows.Scan(&id, &want, &body); err != nil {
			return err
		}
		f.counts["provenance documents"]++
		if got := digest(body); got != want {
			f.report("provenance document %d is sha256:%s, not the sha256:%s that names it", id, got, want)
		}
		return nil
	})
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (f *fsck) certificates() error {
	return f.each("SELECT id, sha256, tbs_sha256, der FROM certificates", func(rows *sql.Rows) error {
		var id int64
		var want, tbs string
		var der []byte
		if err := rows.Scan(&id, &want, &tbs, &der); err != nil {
			return err
		}
		f.counts["certificates"]++
		if der == nil {
			return nil // a precertificate: its leaf is checked with the hits
		}
		if got := digest(der); got != want {
			f.report("certificate %d is sha256:%s, not the sha256:%s that names it", id, got, want)
			return nil
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			f.report("certificate %d cannot be parsed: %v", id, err)
			return nil
		}
		if got, err := attest.TBSHash(cert); err != nil || got != tbs {
			f.report("certificate %d has the TBS sha256:%s, not the sha256:%s that names it (%v)", id, got, tbs, err)
		}
		return nil
	})
}

func (f *fsck) entries() error {
	return f.each("SELECT origin, tree_index, leaf_hash, body FROM entries", func(rows *sql.Rows) error {
		var origin, want string
		var index int64
		var body []byte
		if err := rows.Scan(&origin, &index, &want, &body); err != nil {
			return err
		}
		f.counts["log entries"]++
		f.leaf(origin, index, want, body)
		return nil
	})
}

func (f *fsck) leaf(origin string, index int64, want string, leaf []byte) {
	if got := tlog.LeafHash(leaf); hex.EncodeToString(got[:]) != want {
		f.report("entry %d of log %s has the leaf hash %x, not %s", index, origin, got, want)
	}
}

func (f *fsck) hits() error {
	return f.each(`SELECT l.origin, h.tree_index, h.leaf_hash, h.leaf, l.start_index, l.read_index, `+fmt.Sprintf(inWindow, "h")+` FROM hits h JOIN logs l ON l.id = h.log_id WHERE h.proof IS NULL`, func(rows *sql.Rows) error {
		var origin, want string
		var index, read int64
		var start sql.NullInt64
		var leaf []byte
		var windowed bool
		if err := rows.Scan(&origin, &index, &want, &leaf, &start, &read, &windowed); err != nil {
			return err
		}
		f.counts["hits"]++
		f.leaf(origin, index, want, leaf)
		if !windowed && (!start.Valid || index < start.Int64 || index >= read) {
			f.report("entry %d of log %s is outside of what was read, %d to %d", index, origin, start.Int64, read)
		}
		return nil
	})
}

// logs recomputes roots from the stored compact ranges, and looks for gaps in what is said to be proven.
func (f *fsck) logs() error {
	return f.each(`SELECT l.id, l.origin, l.start_index, l.read_index, l.proven_index, l.read_range, l.proven_range, c.size, c.root
		FROM logs l LEFT JOIN checkpoints c ON c.id = l.checkpoint_id WHERE l.start_index IS NOT NULL`, func(rows *sql.Rows) error {
		var id int64
		var origin string
		var start, read, proven uint64
		var readRange, provenRange []byte
		var size sql.NullInt64
		var root sql.NullString
		if err := rows.Scan(&id, &origin, &start, &read, &proven, &readRange, &provenRange, &size, &root); err != nil {
			return err
		}
		f.counts["logs"]++
		if start > proven || proven > read {
			f.report("log %s was taken up at %d, proven to %d and read to %d: these are out of order", origin, start, proven, read)
		}
		if _, err := rangeRoot(read, readRange); err != nil {
			f.report("log %s: what was read to %d: %v", origin, read, err)
		}
		got, err := rangeRoot(proven, provenRange)
		switch {
		case err != nil:
			f.report("log %s: what was proven to %d: %v", origin, proven, err)
		case size.Valid && uint64(size.Int64) > proven:
			// The proof between the two is not in the record.
			f.counts["logs proven against a larger tree, whose root is not recomputed"]++
		case size.Valid && got != root.String:
			f.report("log %s: its entries to %d hash to root %s, the checkpoint has %s", origin, proven, got, root.String)
		}
		return f.coverage(id, origin, start, proven)
	})
}

// coverage checks that the proven ranges of a log cover what is said to be proven, without gap or overlap.
func (f *fsck) coverage(id int64, origin string, start, proven uint64) error {
	ranges, err := f.db.ranges(f.ctx, id)
	if err != nil {
		return err
	}
	at := start
	for _, r := range ranges {
		if r.From != at || r.To <= r.From {
			f.report("log %s: a proven range goes from %d to %d, after one to %d", origin, r.From, r.To, at)
		}
		at = r.To
	}
	if at != proven {
		f.report("log %s: its proven ranges end at %d, its cursor is at %d", origin, at, proven)
	}
	return nil
}

// rangeRoot is the root hash, in hex, of a stored compact range from 0; of an empty one that of the empty tree.
func rangeRoot(size uint64, packed []byte) (string, error) {
	hashes, err := unpackRange(packed)
	if err != nil {
		return "", err
	}
	if want := len(compact.RangeNodes(0, size, nil)); want != len(hashes) {
		return "", fmt.Errorf("its compact range has %d hashes, not %d", len(hashes), want)
	}
	root, err := tlog.RangeRoot(size, hashes)
	return hex.EncodeToString(root), err
}

// findings checks that every finding is what its last event left it as, and that the documents which it names are there.
func (f *fsck) findings() error {
	return f.each(`SELECT f.id, f.status, f.body, coalesce((SELECT e.body FROM finding_events e WHERE e.finding_id = f.id ORDER BY e.id DESC LIMIT 1), '') FROM findings f`, func(rows *sql.Rows) error {
		var id, status, body, last string
		if err := rows.Scan(&id, &status, &body, &last); err != nil {
			return err
		}
		f.counts["findings"]++
		if body != last {
			f.report("finding %s is not as its last event left it", id)
		}
		var x audit.Finding
		if err := json.Unmarshal([]byte(body), &x); err != nil {
			f.report("finding %s cannot be read: %v", id, err)
			return nil
		}
		if string(x.Status) != status || audit.FindingID(audit.Key(x.Rule, x.Subject)) != id {
			f.report("finding %s does not say the same everywhere in the record", id)
		}
		for _, e := range x.Evidence {
			if e.SHA256 == "" || e.Data != nil {
				continue
			}
			what, held := "document sha256", f.db.Document
			if e.Kind == "log-entry" {
				what, held = "leaf", f.db.Leaf
			}
			if body, err := held(f.ctx, e.SHA256); err != nil {
				return err
			} else if body == nil {
				f.report("finding %s rests on %s:%s, which is not in the record", id, what, e.SHA256)
			}
		}
		return nil
	})
}

func (f *fsck) outbox() error {
	return f.each("SELECT count(*) FROM outbox", func(rows *sql.Rows) error {
		var n int
		if err := rows.Scan(&n); err != nil {
			return err
		}
		f.counts["messages"] = n
		return nil
	})
}
