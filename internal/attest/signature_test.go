package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"fmt"
	"testing"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
)

// TestPAE is the example of DSSE v1.0, protocol.md.
func TestPAE(t *testing.T) {
	if got := string(pae("http://example.com/HelloWorld", []byte("hello world"))); got != "DSSEv1 29 http://example.com/HelloWorld 11 hello world" {
		t.Errorf("got %q", got)
	}
}

func TestEnvelopesOfEveryKindOfKey(t *testing.T) {
	payload := []byte("{}")
	message := pae(payloadTypeInToto, payload)
	for name, key := range keysOfEveryKind(t) {
		t.Run(name, func(t *testing.T) {
			s := &signer{key: key.Public()}
			var digest []byte
			opts := crypto.SignerOpts(s.hashes()[0])
			switch s.hashes()[0] {
			case crypto.SHA384:
				sum := sha512.Sum384(message)
				digest = sum[:]
			case crypto.SHA512:
				sum := sha512.Sum512(message)
				digest = sum[:]
			default:
				sum := sha256.Sum256(message)
				digest = sum[:]
			}
			if name == "Ed25519" {
				digest, opts = message, crypto.Hash(0)
			}
			sig, err := key.Sign(rand.Reader, digest, opts)
			must(t, err)
			if !s.verifyEnvelope(payloadTypeInToto, payload, sig) {
				t.Error("a genuine signature was refused")
			}
			if s.verifyEnvelope(payloadTypeInToto+"A", payload, sig) || s.verifyEnvelope(payloadTypeInToto, []byte("{ }"), sig) {
				t.Error("a signature of something else was accepted")
			}
		})
	}
}

// TestLargerCurvesWithSHA256AreForCertificatesOnly: sigstore-go makes the same exception, and no other.
func TestLargerCurvesWithSHA256AreForCertificatesOnly(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	digest := sha256.Sum256([]byte("aaa"))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	must(t, err)
	for _, s := range []*signer{{key: key.Public()}, {key: key.Public(), cert: new(x509.Certificate)}} {
		r := &run{v: new(Verifier), artifact: newArtifact(Artifact{SHA256: fmt.Sprintf("%x", digest)})}
		r.checkMessage(&evidence{message: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: digest[:]}, Signature: sig,
		}, bundle: new(protobundle.Bundle)}, s)
		want := NotSupported
		if s.cert != nil {
			want = Pass
		}
		if got := r.res.Checks[len(r.res.Checks)-1]; got.Name != CheckSignature || got.Status != want {
			t.Errorf("with certificate: %v: %+v", s.cert != nil, got)
		}
	}
}

func keysOfEveryKind(t *testing.T) map[string]crypto.Signer {
	t.Helper()
	keys := map[string]crypto.Signer{}
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		must(t, err)
		keys[name] = key
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	keys["Ed25519"] = ed
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	keys["RSA"] = r
	return keys
}
