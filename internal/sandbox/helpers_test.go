package sandbox

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
)

func TestMain(m *testing.M) {
	if code := m.Run(); code != 0 {
		os.Exit(code)
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// wheel is the artifact of most tests.
var wheel = Subject{Name: "onnx-1.23.0-py3-none-any.whl", SHA256: strings.Repeat("4b5d", 16)}

// signedAt is when the tests' attestations are made.
var signedAt = time.Date(2026, 11, 2, 8, 58, 0, 0, time.UTC)

func newWorld(t *testing.T) *World {
	t.Helper()
	w, err := New(Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// startedWorld is a world whose servers run until the test ends.
func startedWorld(t *testing.T) *World {
	t.Helper()
	w := newWorld(t)
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	return w
}

func newSigner(t *testing.T, w *World, c Claims, o CertificateOptions) *Signer {
	t.Helper()
	if o.At.IsZero() {
		o.At = signedAt
	}
	s, err := w.Fulcio.NewSigner(c, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// attested is an honest publish attestation of wheel.
func attested(t *testing.T, w *World) *Attestation {
	t.Helper()
	a, err := w.Attest(newSigner(t, w, ReleaseClaims("1.23.0"), CertificateOptions{}), PublishStatement(wheel), signedAt.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// judge is sigstore-go with the world's trusted root and the demands that PyPI's attestations must meet.
type judge struct{ verifier *verify.Verifier }

func newJudge(t *testing.T, w *World, options ...verify.VerifierOption) judge {
	t.Helper()
	trusted, err := root.NewTrustedRootFromJSON(w.TrustedRootJSON())
	if err != nil {
		t.Fatal(err)
	}
	if options == nil {
		options = []verify.VerifierOption{
			verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1),
		}
	}
	v, err := verify.NewVerifier(trusted, options...)
	if err != nil {
		t.Fatal(err)
	}
	return judge{v}
}

func (j judge) verify(b *bundle.Bundle, sha256Hex string) error {
	digest, err := hex.DecodeString(sha256Hex)
	if err != nil {
		return err
	}
	_, err = j.verifier.Verify(b, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithoutIdentitiesUnsafe()))
	return err
}

// bundle judges an attestation in its form as a Sigstore bundle.
func (j judge) bundle(a *Attestation, sha256Hex string) error {
	raw, err := a.Bundle()
	if err != nil {
		return err
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(raw); err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	return j.verify(&b, sha256Hex)
}

// pep740 judges an attestation in its form for PyPI.
func (j judge) pep740(raw []byte, sha256Hex string) error {
	var a struct {
		Version              int `json:"version"`
		VerificationMaterial struct {
			Certificate         []byte            `json:"certificate"`
			TransparencyEntries []json.RawMessage `json:"transparency_entries"`
		} `json:"verification_material"`
		Envelope struct {
			Statement []byte `json:"statement"`
			Signature []byte `json:"signature"`
		} `json:"envelope"`
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return err
	}
	if a.Version != 1 {
		return errors.New("not version 1")
	}
	material := &protobundle.VerificationMaterial{Content: &protobundle.VerificationMaterial_Certificate{
		Certificate: &protocommon.X509Certificate{RawBytes: a.VerificationMaterial.Certificate},
	}}
	for _, entry := range a.VerificationMaterial.TransparencyEntries {
		e := new(protorekor.TransparencyLogEntry)
		if err := protojson.Unmarshal(entry, e); err != nil {
			return err
		}
		material.TlogEntries = append(material.TlogEntries, e)
	}
	b, err := bundle.NewBundle(&protobundle.Bundle{
		MediaType:            "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: material,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: a.Envelope.Statement, PayloadType: "application/vnd.in-toto+json",
			Signatures: []*protodsse.Signature{{Sig: a.Envelope.Signature}},
		}},
	})
	if err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	return j.verify(b, sha256Hex)
}

// provenance judges every attestation of a provenance document.
func (j judge) provenance(document []byte, sha256Hex string) error {
	var d struct {
		Version            int `json:"version"`
		AttestationBundles []struct {
			Attestations []json.RawMessage `json:"attestations"`
		} `json:"attestation_bundles"`
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return err
	}
	if d.Version != 1 || len(d.AttestationBundles) == 0 || len(d.AttestationBundles[0].Attestations) == 0 {
		return errors.New("no attestation")
	}
	for _, b := range d.AttestationBundles {
		for i, a := range b.Attestations {
			if err := j.pep740(a, sha256Hex); err != nil {
				return fmt.Errorf("attestation %d: %w", i, err)
			}
		}
	}
	return nil
}
