package sandbox

import (
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
)

// The signature types of C2SP signed-note.
const (
	noteEd25519     = 0x01
	noteCosignature = 0x04
	noteTreeHead    = 0x05
)

// noteText is the text of a checkpoint (C2SP tlog-checkpoint).
func noteText(origin string, size uint64, root []byte) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root))
}

// noteLine is a signature line of a note. Of the key's id the first four bytes are its hint.
func noteLine(name string, id [sha256.Size]byte, signature []byte) string {
	return fmt.Sprintf("\u2014 %s %s\n", name, base64.StdEncoding.EncodeToString(append(id[:4:4], signature...)))
}

// noteKeyID is the id of a key that its name is part of (C2SP signed-note, "Signature types").
func noteKeyID(name string, signatureType byte, key []byte) [sha256.Size]byte {
	return sha256.Sum256(append([]byte(name+"\n"+string([]byte{signatureType})), key...))
}

// noteKey signs the checkpoints of a Rekor v2 log.
type noteKey struct {
	id   [sha256.Size]byte
	spki []byte // DER
	// details is the key's kind in a trusted root (sigstore_common.proto, PublicKeyDetails).
	details string
	sign    func(text []byte) ([]byte, error)
}

// newNoteKey derives a key in a name: Ed25519, as Rekor v2 has it, or ECDSA, as it may have.
func newNoteKey(e entropy, name, label string, onCurve bool) (noteKey, error) {
	if onCurve {
		key, err := e.ecdsaKey(elliptic.P256(), label)
		if err != nil {
			return noteKey{}, err
		}
		spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			return noteKey{}, fmt.Errorf("encoding the key %q: %w", label, err)
		}
		return noteKey{sha256.Sum256(spki), spki, ecdsaDetails, func(text []byte) ([]byte, error) { return signSHA256(key, text) }}, nil
	}
	key := e.ed25519Key(label)
	public := key.Public().(ed25519.PublicKey)
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return noteKey{}, fmt.Errorf("encoding the key %q: %w", label, err)
	}
	return noteKey{noteKeyID(name, noteEd25519, public), spki, "PKIX_ED25519", func(text []byte) ([]byte, error) {
		return ed25519.Sign(key, text), nil
	}}, nil
}

// witness cosigns checkpoints (C2SP tlog-cosignature, cosignature/v1).
type witness struct {
	name string
	key  ed25519.PrivateKey
}

func (w witness) public() ed25519.PublicKey { return w.key.Public().(ed25519.PublicKey) }

// verifierKey is the witness's public key as it is configured.
func (w witness) verifierKey() string {
	id := noteKeyID(w.name, noteCosignature, w.public())
	return fmt.Sprintf("%s+%x+%s", w.name, id[:4], base64.StdEncoding.EncodeToString(append([]byte{noteCosignature}, w.public()...)))
}

// line is the witness's signature line for a checkpoint that it saw at a time.
func (w witness) line(text string, at time.Time) string {
	signature := ed25519.Sign(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at.Unix(), text))
	stamped := binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))
	return noteLine(w.name, noteKeyID(w.name, noteCosignature, w.public()), append(stamped, signature...))
}
