package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/verify"
)

func TestHonestSignaturesVerifyWithSigstoresOwnLibrary(t *testing.T) {
	w := newWorld(t)
	j := newJudge(t, w)

	t.Run("publish attestation", func(t *testing.T) {
		a := attested(t, w)
		if err := j.bundle(a, wheel.SHA256); err != nil {
			t.Errorf("as a bundle: %v", err)
		}
		raw, err := a.PEP740()
		if err != nil {
			t.Fatal(err)
		}
		if err := j.pep740(raw, wheel.SHA256); err != nil {
			t.Errorf("as a PEP 740 attestation: %v", err)
		}
	})
	t.Run("provenance of many files by one certificate", func(t *testing.T) {
		signer := newSigner(t, w, ReleaseClaims("1.23.0"), CertificateOptions{})
		other := Subject{Name: "onnx-1.23.0.tar.gz", SHA256: strings.Repeat("ab", 32)}
		statement, err := SLSAStatement(signer.Claims, wheel, other)
		if err != nil {
			t.Fatal(err)
		}
		a, err := w.Attest(signer, statement, signedAt.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []Subject{wheel, other} {
			if err := j.bundle(a, s.SHA256); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
		if err := j.bundle(a, strings.Repeat("cd", 32)); err == nil {
			t.Error("accepted for a file that it is not about")
		}
	})
	t.Run("artifact", func(t *testing.T) {
		digest := sha256.Sum256([]byte("scorecard results"))
		a, err := w.SignArtifact(newSigner(t, w, ReleaseClaims("1.23.0"), CertificateOptions{}), digest, signedAt.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if err := j.bundle(a, hex.EncodeToString(digest[:])); err != nil {
			t.Error(err)
		}
	})
	t.Run("person", func(t *testing.T) {
		a, err := w.Attest(newSigner(t, w, Claims{Email: "maintainer@example.com"}, CertificateOptions{}), PublishStatement(wheel), signedAt.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if err := j.bundle(a, wheel.SHA256); err != nil {
			t.Error(err)
		}
	})
	t.Run("timestamp", func(t *testing.T) {
		a := attested(t, w)
		timestamp, err := w.TSA.Timestamp(a.Signature, signedAt.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		a.Timestamps = [][]byte{timestamp}
		strict := newJudge(t, w, verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithSignedTimestamps(1))
		if err := strict.bundle(a, wheel.SHA256); err != nil {
			t.Error(err)
		}
		a.Timestamps = nil
		if err := strict.bundle(a, wheel.SHA256); err == nil {
			t.Error("a bundle without the timestamp passes: the test would prove nothing")
		}
	})
}

func TestEveryTamperingIsRefusedForTheReasonItNames(t *testing.T) {
	reasons := map[string]string{
		"bad-signature":              "could not verify envelope",
		"altered-statement":          "could not verify envelope",
		"entry-of-another":           "transparency log signature does not match",
		"entry-payload":              "payload hash",
		"entry-signature":            "transparency log signature does not match",
		"entry-certificate":          "transparency log certificate does not match",
		"inclusion-proof":            "calculated root",
		"no-inclusion-proof":         "inclusion proof missing",
		"checkpoint-key":             "checkpoint",
		"checkpoint-hint":            "checkpoint",
		"checkpoint-root":            "checkpoint",
		"checkpoint-of-another-tree": "proof root hash does not match",
		"entry-timestamp":            "not enough verified log entries",
		"no-entry-timestamp":         "threshold not met for verified signed & log entry integrated timestamps",
		"integrated-late":            "integrated time outside certificate validity",
		"integrated-early":           "integrated time outside certificate validity",
		"unknown-log":                "not enough verified log entries",
		"no-entry":                   "not enough verified log entries",
		"duplicate-entry":            "duplicate tlog entries",
		"second-entry-of-another":    "transparency log signature does not match",
		"second-entry-unproven":      "calculated root",
	}
	if len(reasons) != len(Tampers()) {
		t.Errorf("%d reasons for %d ways of tampering", len(reasons), len(Tampers()))
	}
	for _, tamper := range Tampers() {
		t.Run(tamper.Name, func(t *testing.T) {
			w := newWorld(t)
			a := attested(t, w)
			j := newJudge(t, w)
			if err := j.bundle(a, wheel.SHA256); err != nil {
				t.Fatalf("before tampering: %v", err)
			}
			if err := tamper.Apply(w, a); err != nil {
				t.Fatal(err)
			}
			err := j.bundle(a, wheel.SHA256)
			if err == nil {
				t.Fatal("accepted")
			}
			if want := reasons[tamper.Name]; want == "" || !strings.Contains(err.Error(), want) {
				t.Errorf("refused because %q, want something about %q", err, want)
			}
			if raw, err := a.PEP740(); err != nil || j.pep740(raw, wheel.SHA256) == nil {
				t.Errorf("as a PEP 740 attestation: not refused (%v)", err)
			}
		})
	}
}

func TestCertificatesThatLieAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		options CertificateOptions
		reason  string
	}{
		"no SCT":           {CertificateOptions{NoSCT: true}, "SCT"},
		"SCT of no log":    {CertificateOptions{ForeignSCT: true}, "SCT"},
		"rogue authority":  {CertificateOptions{Rogue: true}, "leaf certificate verification failed"},
		"honest but later": {CertificateOptions{At: signedAt.Add(time.Hour)}, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a, err := w.Attest(newSigner(t, w, ReleaseClaims("1.23.0"), c.options), PublishStatement(wheel), signedAt.Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			err = newJudge(t, w).bundle(a, wheel.SHA256)
			if err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("got %v, want something about %q", err, c.reason)
			}
		})
	}
}
