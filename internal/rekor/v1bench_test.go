package rekor

import (
	"fmt"
	"testing"

	"github.com/sigstore/rekor/pkg/generated/models"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// benchPage is a page as the public instance serves it: ten entries, their proofs in a tree of three billion.
func benchPage(b *testing.B) (w *v1World, raw []byte) {
	b.Helper()
	w = newV1World(b, 0)
	for i := range 10 {
		w.add(dsseBody(pem64("CERTIFICATE", certificate(b, fmt.Sprintf("%s-%d", otherSAN, i)))))
	}
	var entries []models.LogEntry
	for i := range uint64(10) {
		e := w.entry(i)
		for _, v := range e {
			for len(v.Verification.InclusionProof.Hashes) < 32 {
				v.Verification.InclusionProof.Hashes = append(v.Verification.InclusionProof.Hashes, w.logID)
			}
		}
		entries = append(entries, e)
	}
	return w, mustJSON(b, entries)
}

// BenchmarkV1Page is what a page costs to read, next to BenchmarkV1PageHashes, which is what its leaves cost to hash.
func BenchmarkV1Page(b *testing.B) {
	w, raw := benchPage(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseV1Page(raw, 0, 10, uint64(w.trees[0].id), w.keys); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkV1PageHashes(b *testing.B) {
	w, _ := benchPage(b)
	size := 0
	for _, body := range w.trees[0].bodies {
		size += len(body)
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		for _, body := range w.trees[0].bodies {
			tlog.LeafHash(body)
		}
	}
}
