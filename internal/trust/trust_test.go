package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

// trustedRoot makes a small genuine trusted_root.json: one authority and one log, with keys made on the spot.
func trustedRoot(t *testing.T, mutate func(map[string]any)) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(spki)
	b64 := base64.StdEncoding.EncodeToString
	root := map[string]any{
		"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"tlogs": []any{map[string]any{
			"baseUrl": "https://rekor.example", "hashAlgorithm": "SHA2_256",
			"publicKey": map[string]any{
				"rawBytes": b64(spki), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
				"validFor": map[string]any{"start": "2021-01-12T11:53:27Z"},
			},
			"logId": map[string]any{"keyId": b64(id[:])},
		}},
		"certificateAuthorities": []any{map[string]any{
			"subject":   map[string]any{"commonName": "authority"},
			"certChain": map[string]any{"certificates": []any{map[string]any{"rawBytes": b64(der)}}},
			"validFor":  map[string]any{"start": "2022-04-13T20:06:15Z"},
		}},
	}
	if mutate != nil {
		mutate(root)
	}
	raw, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestFileRootIsLoadedWithItsDigestAndAge(t *testing.T) {
	raw := trustedRoot(t, nil)
	path := filepath.Join(t.TempDir(), "trusted_root.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	written := now.AddDate(0, -2, 0)
	if err := os.Chtimes(path, written, written); err != nil {
		t.Fatal(err)
	}
	set, err := Load(t.Context(), []Source{{TrustedRoot: path}, {TrustedRoot: path}}, Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	r := set.Roots[0]
	sum := sha256.Sum256(raw)
	if r.SHA256 != hex.EncodeToString(sum[:]) || string(r.JSON) != string(raw) || r.Source != path {
		t.Errorf("digest %s, source %s, %d bytes", r.SHA256, r.Source, len(r.JSON))
	}
	if !r.ModTime.Equal(written) || !r.ExpiresAt.IsZero() || !r.FetchedAt.IsZero() {
		t.Errorf("times of a file root: modified %v, expires %v, fetched %v", r.ModTime, r.ExpiresAt, r.FetchedAt)
	}
	if n := len(set.Material().FulcioCertificateAuthorities()); n != 2 {
		t.Errorf("union of two roots has %d authorities, want 2", n)
	}
	both := sha256.Sum256([]byte(r.SHA256 + "\n" + r.SHA256 + "\n"))
	if set.Digest() != hex.EncodeToString(both[:]) {
		t.Errorf("digest of the set: %s", set.Digest())
	}
}

func TestFromJSONRefuses(t *testing.T) {
	tlog := func(root map[string]any) map[string]any { return root["tlogs"].([]any)[0].(map[string]any) }
	tests := map[string]struct {
		raw  []byte
		want string
	}{
		"HTML":             {[]byte("<!doctype html><html>"), "not a JSON object"},
		"empty":            {nil, "not a JSON object"},
		"cut off":          {trustedRoot(t, nil)[:300], "unexpected EOF"},
		"wrong media type": {trustedRoot(t, func(r map[string]any) { r["mediaType"] = "text/plain" }), `media type "text/plain"`},
		"trusts nothing": {trustedRoot(t, func(r map[string]any) {
			delete(r, "certificateAuthorities")
			delete(r, "tlogs")
		}), "no authority and no log"},
		"log without start of validity": {trustedRoot(t, func(r map[string]any) {
			tlog(r)["publicKey"].(map[string]any)["validFor"] = map[string]any{"end": "2026-01-01T00:00:00Z"}
		}), "tlogs[0] (https://rekor.example) has no publicKey.validFor.start"},
		"log with a broken key": {trustedRoot(t, func(r map[string]any) {
			tlog(r)["publicKey"].(map[string]any)["rawBytes"] = "AAAA"
		}), "failed to parse public key"},
		"too long": {make([]byte, maxRootBytes+1), "more than the 4194304 allowed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := FromJSON("root.json", tt.raw)
			if err == nil {
				t.Fatal("accepted")
			}
			if msg := err.Error(); !strings.Contains(msg, tt.want) || !strings.Contains(msg, "root.json") {
				t.Errorf("error %q does not say %q and which root", msg, tt.want)
			}
		})
	}
}

func TestLoadRefusesSourcesThatNameNothingOrTooMuch(t *testing.T) {
	tests := map[string]struct {
		sources []Source
		want    string
	}{
		"none":         {nil, "no trusted root is configured"},
		"empty":        {[]Source{{}}, "names neither"},
		"both":         {[]Source{{TUF: "https://tuf.example", TrustedRoot: "x"}}, "it takes one"},
		"missing file": {[]Source{{TrustedRoot: filepath.Join(t.TempDir(), "absent.json")}}, "absent.json"},
		"no client":    {[]Source{{TUF: "https://tuf.example"}}, "no HTTP client"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Load(t.Context(), tt.sources, Options{Now: clock}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not say %q", err, tt.want)
			}
		})
	}
}
