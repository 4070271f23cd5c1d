package audit_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// manyFiles are the files of n releases with ten files each, from before the project signed.
func manyFiles(n int) []servedFile {
	var files []servedFile
	for i := range n {
		version := fmt.Sprintf("1.%d.%d", i%19, i/19)
		for k := range 10 {
			name := fmt.Sprintf("onnx-%s-cp3%d-cp3%d-manylinux_2_28_x86_64.whl", version, k, k)
			files = append(files, servedFile{filename: name, version: version, sha256: digest([]byte(name)), size: 1 << 20,
				uploaded: time.Date(2024, 1, 1, 0, 0, i, 0, time.UTC)})
		}
	}
	return files
}

// BenchmarkUnchangedPass makes passes over a record of 10,000 files in 1,000 releases of which nothing changed.
func BenchmarkUnchangedPass(b *testing.B) {
	index := newPlainIndex(b, map[string][]servedFile{"onnx": manyFiles(1000), "onnx-weekly": nil})
	w, _ := newWorld(b, 1)
	m := watchWith(b, wiring{Database: filepath.Join(b.TempDir(), "monitor.db"), Index: index.URL, TrustedRoot: w.TrustedRootJSON()},
		clock.NewSimulated(start))
	if n := m.pass(b)[0].Files[audit.FileLegacy]; n != 10_000 {
		b.Fatalf("%d legacy files, want 10000", n)
	}
	for b.Loop() {
		m.pass(b)
	}
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "files/s")
}

// BenchmarkFirstPass makes the first pass over the honest project: 26 requests and 22 attestations verified.
func BenchmarkFirstPass(b *testing.B) {
	w, c := newWorld(b, 1, sandbox.OnnxLike)
	dir := b.TempDir()
	for i := 0; b.Loop(); i++ {
		m, err := wire(b.Context(), wiring{Database: filepath.Join(dir, fmt.Sprint(i)), Index: w.PyPI.URL(), TrustedRoot: w.TrustedRootJSON()}, c)
		if err != nil {
			b.Fatal(err)
		}
		if m.pass(b)[0].Files[audit.FileVerified] != 16 {
			b.Fatal("the project is not verified")
		}
		if err := m.close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkJudge judges a release of 10,000 attested files.
func BenchmarkJudge(b *testing.B) {
	w, c := newWorld(b, 1, sandbox.OnnxLike)
	m := watch(b, w, c)
	m.pass(b)
	project, err := m.record.Project(b.Context(), "onnx", "pypi", "onnx")
	if err != nil {
		b.Fatal(err)
	}
	release, err := m.record.Release(b.Context(), project.ID, "1.23.0")
	if err != nil {
		b.Fatal(err)
	}
	release.Files = slices.Repeat(release.Files, 10_000/len(release.Files))
	judge := &audit.Judge{Policy: m.projects[0].Policy, Rules: m.auditor.Rules, Now: c.Now()}
	for b.Loop() {
		v, _ := judge.Release(project, release, audit.Lineage{})
		if len(v.Findings) != 0 || len(v.Files) != 10_000 {
			b.Fatalf("%d findings about %d files", len(v.Findings), len(v.Files))
		}
	}
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "files/s")
}
