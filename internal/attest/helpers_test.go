package attest

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/trust"
)

// testNow is after everything in the fixtures was signed, except what claims to be from the future.
var testNow = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// dataDir finds the collection of real data, or skips the test.
func dataDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("REKONCILE_DATA")
	if dir == "" {
		dir = filepath.Join(projectRoot(t), "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(dir, "1-trust")); err != nil {
		t.Skipf("no real data in %s: set REKONCILE_DATA to run this test", dir)
	}
	return dir
}

func projectRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("go.mod is in no folder above the test's")
		}
		dir = parent
	}
}

func readFile(t testing.TB, path ...string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func verifierFor(t testing.TB, rootPath string) *Verifier {
	t.Helper()
	r, err := trust.FromJSON(rootPath, readFile(t, rootPath))
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(r.Material, Options{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func parseKey(text []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("not PEM")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func fileArtifact(path string) Artifact {
	return Artifact{Open: func() (io.ReadCloser, error) { return os.Open(path) }}
}
