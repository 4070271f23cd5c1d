package attest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/realdata"
)

// TestAnAttestationTakenApartIsTheBundleThatItSpells has the bundle be verified as bundles are, and the signature by hand.
func TestAnAttestationTakenApartIsTheBundleThatItSpells(t *testing.T) {
	w := newWorld(t)
	raw := encode(t, w.attestation(w.issue(san), publishStatement(wheel, wheelSHA256, "null")))
	parts, err := TakeApart(raw)
	if err != nil {
		t.Fatal(err)
	}
	v := w.verifier(nil)
	if res := v.VerifyBundle(parts.Bundle, Artifact{SHA256: wheelSHA256}); res.Status != Verified || res.Format != "bundle v0.3" {
		t.Errorf("%s: %+v", res.Status, res.Failed())
	}
	again, err := TakeApart(raw)
	if err != nil || !bytes.Equal(again.Bundle, parts.Bundle) {
		t.Error("the bundle is another one the next time")
	}
	cert, err := x509.ParseCertificate(parts.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(parts.PAE)
	if !ecdsa.VerifyASN1(cert.PublicKey.(*ecdsa.PublicKey), sum[:], parts.Signature) {
		t.Error("the signature is not over the pre-authentication encoding")
	}
	if !bytes.Equal(parts.Statement, publishStatement(wheel, wheelSHA256, "null")) || parts.PredicateType != PredicatePublish || len(parts.Entries) != 1 || parts.Entries[0].Checkpoint == "" {
		t.Errorf("parts: %+v", parts)
	}
	if _, err := TakeApart([]byte(`{"version":1}`)); err == nil {
		t.Error("something was made of nothing")
	}
}

// TestRealAttestationsTakenApartAreBundles takes apart the attestations that PyPI serves.
func TestRealAttestationsTakenApartAreBundles(t *testing.T) {
	dir := realdata.Dir(t)
	v := verifierFor(t, filepath.Join(dir, publicGoodRoot))
	taken := 0
	for _, s := range specimens(t, dir, "2-pep740") {
		if s.kind != KindAttestation {
			continue
		}
		as := v.VerifyAttestation(s.raw, Artifact{})
		parts, err := TakeApart(s.raw)
		if err != nil {
			if as.Failed() == nil || as.Failed().Name != CheckParse {
				t.Errorf("%s: %v, and verifying it says %+v", s.name, err, as.Failed())
			}
			continue
		}
		taken++
		res := v.VerifyBundle(parts.Bundle, Artifact{})
		if again, err := TakeApartBundle(parts.Bundle); err != nil {
			t.Errorf("%s: its bundle: %v", s.name, err)
		} else if diff := cmp.Diff(parts, again); diff != "" {
			t.Errorf("%s: its bundle taken apart gives something else (-attestation +bundle):\n%s", s.name, diff)
		}
		if res.StatementSHA256 != as.StatementSHA256 || res.Certificate == nil || res.Certificate.SHA256 != as.Certificate.SHA256 || len(res.Entries) != len(as.Entries) {
			t.Errorf("%s: the bundle is of something else", s.name)
		}
		for _, name := range []string{CheckSignature, CheckInclusionProof, CheckCheckpoint, CheckSET, CheckChain, CheckSCT} {
			if got, want := statusOf(res, name), statusOf(as, name); got != want {
				t.Errorf("%s: %s is %s of the bundle and %s of the attestation", s.name, name, got, want)
			}
		}
	}
	if taken == 0 {
		t.Error("no attestation was taken apart")
	}
}

func statusOf(r Result, name string) CheckStatus {
	for _, c := range r.Checks {
		if c.Name == name {
			return c.Status
		}
	}
	return ""
}

func FuzzTakeApart(f *testing.F) {
	w := newWorld(f)
	f.Add(encode(f, w.attestation(w.issue(san), publishStatement(wheel, wheelSHA256, "null"))))
	f.Add([]byte(oneAttestation))
	seeds(f, KindAttestation)
	v := fuzzVerifier(f, w)
	f.Fuzz(func(t *testing.T, raw []byte) {
		parts, err := TakeApart(raw)
		res := v.VerifyAttestation(raw, Artifact{})
		parsed := len(res.Checks) > 0 && res.Checks[0].Name == CheckParse && res.Checks[0].Status == Pass
		if err == nil && !parsed {
			t.Fatalf("it was taken apart, and cannot be read: %+v", res.Failed())
		}
		if err == nil && len(parts.Bundle) == 0 {
			t.Fatal("there is no bundle")
		}
		if whole, err := TakeApartBundle(raw); err == nil && (len(whole.Bundle) == 0 || len(whole.Certificate) == 0 || len(whole.PAE) == 0) {
			t.Fatalf("a bundle was taken apart, and lacks something: %+v", whole)
		}
	})
}
