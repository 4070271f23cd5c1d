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
