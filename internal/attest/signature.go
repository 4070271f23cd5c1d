package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
)

// pae is DSSE's pre-authentication encoding (DSSE v1.0, protocol.md): what a signature of an envelope covers.
func pae(payloadType string, payload []byte) []byte {
	b := make([]byte, 0, len(payload)+len(payloadType)+32)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(append(append(b, ' '), payloadType...), ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	return append(append(b, ' '), payload...)
}

// hashes returns the hashes that a signer's key may sign with, the default first, or nil for a kind of key that is not
// known. For Ed25519 it is the hash of Ed25519ph, which message signatures use; envelopes use pure Ed25519.
//
// Old clients signed SHA-256 with the larger curves, under Fulcio certificates (sigstore-go, "compat verifier").
func (s *signer) hashes() []crypto.Hash {
	switch k := s.key.(type) {
	case *rsa.PublicKey:
		return []crypto.Hash{crypto.SHA256}
	case ed25519.PublicKey:
		return []crypto.Hash{crypto.SHA512}
	case *ecdsa.PublicKey:
		var hashes []crypto.Hash
		switch k.Curve.Params().BitSize {
		case 256:
			return []crypto.Hash{crypto.SHA256}
		case 384:
			hashes = []crypto.Hash{crypto.SHA384}
		case 521:
			hashes = []crypto.Hash{crypto.SHA512}
		default:
			return nil
		}
		if s.cert != nil {
			hashes = append(hashes, crypto.SHA256)
		}
		return hashes
	}
	return nil
}

// verifyDigest verifies a signature over a digest.
func (s *signer) verifyDigest(h crypto.Hash, digest, sig []byte) bool {
	if len(digest) != h.Size() {
		return false
	}
	switch k := s.key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, digest, sig)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, h, digest, sig) == nil
	case ed25519.PublicKey:
		return ed25519.VerifyWithOptions(k, digest, sig, &ed25519.Options{Hash: crypto.SHA512}) == nil
	}
	return false
}

// verifyEnvelope verifies a DSSE signature over the payload.
func (s *signer) verifyEnvelope(payloadType string, payload, sig []byte) bool {
	message := pae(payloadType, payload)
	if k, ok := s.key.(ed25519.PublicKey); ok {
		return ed25519.Verify(k, message, sig)
	}
	for _, h := range s.hashes() {
		hasher := h.New()
		hasher.Write(message)
		if s.verifyDigest(h, hasher.Sum(nil), sig) {
			return true
		}
	}
	return false
}

// messageAlgorithms are the digest algorithms of message signatures.
var messageAlgorithms = map[protocommon.HashAlgorithm]struct {
	name string
	hash crypto.Hash
}{
	protocommon.HashAlgorithm_SHA2_256: {algSHA256, crypto.SHA256},
	protocommon.HashAlgorithm_SHA2_384: {algSHA384, crypto.SHA384},
	protocommon.HashAlgorithm_SHA2_512: {algSHA512, crypto.SHA512},
}

// checkMessage checks a signature that was made over a file. The digest in the bundle is only a hint about which file:
// the signature is verified over the artifact's own.
func (r *run) checkMessage(ev *evidence, s *signer) {
	md := ev.message.GetMessageDigest()
	alg, ok := messageAlgorithms[md.GetAlgorithm()]
	if !ok {
		if md == nil {
			r.fail(CheckMessageDigest, "the bundle does not say which digest it signs")
		} else {
			r.unsupported(CheckMessageDigest, "digest algorithm %s is not known here", md.GetAlgorithm())
		}
		r.skip(CheckSignature, "without a digest")
		return
	}
	want, err := r.artifact.digest(alg.name)
	if err != nil {
		r.fail(CheckMessageDigest, "%s: %v", alg.name, err)
		r.skip(CheckSignature, "without the artifact's digest")
		return
	}
	if got := hex.EncodeToString(md.GetDigest()); got != want {
		r.differ(CheckMessageDigest, got, want, "the bundle is about another file: its %s is not the artifact's", alg.name)
	} else {
		r.pass(CheckMessageDigest, "%s %s", alg.name, want)
		r.matchedAlgorithm, r.matchedDigest = alg.name, want
	}

	digest, err := hex.DecodeString(want)
	if err != nil {
		r.fail(CheckSignature, "the artifact's %s is not hex", alg.name)
		return
	}
	r.signedDigest = digest
	for _, h := range s.hashes() {
		if h != alg.hash {
			continue
		}
		if !s.verifyDigest(h, digest, ev.message.GetSignature()) {
			r.fail(CheckSignature, "the signature over the artifact does not verify with the signer's key")
			return
		}
		r.pass(CheckSignature, "over the artifact's %s", alg.name)
		return
	}
	r.unsupported(CheckSignature, "a %T that signs %s is not known here", s.key, alg.name)
}

// PAEDigest is the hex SHA-256 of the pre-authentication encoding of an in-toto statement. Entries of Rekor v2 may have it where
// those of v1 have that of the statement.
func PAEDigest(statement []byte) string {
	sum := sha256.Sum256(pae(payloadTypeInToto, statement))
	return hex.EncodeToString(sum[:])
}
