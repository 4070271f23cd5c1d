package tlog

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/sigstore/sigstore/pkg/signature"
	"golang.org/x/mod/sumdb/note"
)

// algorithmEd25519 is the signature type of Ed25519 in C2SP signed-note.
const algorithmEd25519 = 1

// verifier is a [note.Verifier] for the key hints that Rekor uses: the verifier keys of sumdb/note can only say the
// Ed25519 one.
type verifier struct {
	name    string
	keyHash uint32
	key     signature.Verifier
}

func (v *verifier) Name() string    { return v.name }
func (v *verifier) KeyHash() uint32 { return v.keyHash }

func (v *verifier) Verify(msg, sig []byte) bool {
	return v.key.VerifySignature(bytes.NewReader(sig), bytes.NewReader(msg)) == nil
}

// NewRekorV1Verifier makes a verifier for the checkpoints of a Rekor v1 log: name is the bare host of the origin, and
// the key hint is the start of SHA-256 over the key's SubjectPublicKeyInfo, whatever the key's algorithm. ECDSA keys
// sign the hash that belongs to their curve.
func NewRekorV1Verifier(name string, key crypto.PublicKey) (note.Verifier, error) {
	hint, err := spkiHint(key)
	if err != nil {
		return nil, err
	}
	return newVerifier(name, hint, key)
}

// NewTiledVerifier makes a verifier for the checkpoints of a tiled log, Rekor v2 among them (C2SP signed-note,
// "Signature types"): an Ed25519 key's hint covers its name, an ECDSA key's hint is that of Rekor v1.
func NewTiledVerifier(name string, key crypto.PublicKey) (note.Verifier, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		h := sha256.New()
		h.Write([]byte(name + "\n"))
		h.Write([]byte{algorithmEd25519})
		h.Write(k)
		return newVerifier(name, binary.BigEndian.Uint32(h.Sum(nil)), key)
	case *ecdsa.PublicKey:
		return NewRekorV1Verifier(name, key)
	}
	return nil, fmt.Errorf("checkpoint key of %q is a %T: only Ed25519 and ECDSA are defined for tiled logs", clip(name), key)
}

func newVerifier(name string, hint uint32, key crypto.PublicKey) (note.Verifier, error) {
	if name == "" || strings.ContainsFunc(name, unicode.IsSpace) || strings.Contains(name, "+") {
		return nil, fmt.Errorf("checkpoint key name %q is not valid in a signed note", clip(name))
	}
	sv, err := signature.LoadVerifier(key, hashFor(key))
	if err != nil {
		return nil, fmt.Errorf("checkpoint key of %q: %w", clip(name), err)
	}
	return &verifier{name: name, keyHash: hint, key: sv}, nil
}

func spkiHint(key crypto.PublicKey) (uint32, error) {
	switch key.(type) {
	case *ecdsa.PublicKey, ed25519.PublicKey, *rsa.PublicKey:
	default:
		return 0, fmt.Errorf("checkpoint key is a %T, wants ECDSA, Ed25519 or RSA", key)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return 0, errors.New("checkpoint key cannot be encoded")
	}
	sum := sha256.Sum256(der)
	return binary.BigEndian.Uint32(sum[:]), nil
}

// hashFor is the hash that a log's key signs with; Ed25519 ignores it.
func hashFor(key crypto.PublicKey) crypto.Hash {
	if k, ok := key.(*ecdsa.PublicKey); ok {
		switch k.Curve.Params().BitSize {
		case 384:
			return crypto.SHA384
		case 521:
			return crypto.SHA512
		}
	}
	return crypto.SHA256
}
