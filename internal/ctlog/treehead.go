package ctlog

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// The code points of RFC 5246 §7.4.1.4.1 that RFC 6962 §2.1.4 allows, with Ed25519 (RFC 8422 §5.1.3) for private logs.
const (
	hashSHA256       = 4
	hashIntrinsic    = 8
	signatureRSA     = 1
	signatureECDSA   = 3
	signatureEd25519 = 7
)

// treeHead is what a log signs.
type treeHead struct {
	timestamp uint64 // milliseconds
	size      uint64
	root      [sha256.Size]byte
}

// signed is the TreeHeadSignature structure (RFC 6962 §3.5).
func (h *treeHead) signed() []byte {
	const (
		version  = 0 // v1
		treeHash = 1
	)
	b := append(make([]byte, 0, 50), version, treeHash)
	b = binary.BigEndian.AppendUint64(b, h.timestamp)
	b = binary.BigEndian.AppendUint64(b, h.size)
	return append(b, h.root[:]...)
}

// verify checks a digitally-signed structure over the tree head.
func (h *treeHead) verify(key crypto.PublicKey, digitallySigned []byte) error {
	if h.timestamp > math.MaxInt64 || h.size > math.MaxInt64 {
		return errors.New("its size or its time is beyond all bounds")
	}
	return verifySigned(key, h.signed(), digitallySigned)
}

// verifySigned checks a digitally-signed structure (RFC 5246 §4.7) over a message.
func verifySigned(key crypto.PublicKey, message, digitallySigned []byte) error {
	var (
		hash, algorithm uint8
		sig             cryptobyte.String
	)
	in := cryptobyte.String(digitallySigned)
	if !in.ReadUint8(&hash) || !in.ReadUint8(&algorithm) || !in.ReadUint16LengthPrefixed(&sig) || !in.Empty() {
		return errors.New("its signature is malformed")
	}
	digest := sha256.Sum256(message)
	good := false
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		good = hash == hashSHA256 && algorithm == signatureECDSA && ecdsa.VerifyASN1(k, digest[:], sig)
	case *rsa.PublicKey:
		good = hash == hashSHA256 && algorithm == signatureRSA && rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], sig) == nil
	case ed25519.PublicKey:
		good = hash == hashIntrinsic && algorithm == signatureEd25519 && ed25519.Verify(k, message, sig)
	}
	if !good {
		return errors.New("the log's key did not sign it")
	}
	return nil
}

func (h *treeHead) time() time.Time { return time.UnixMilli(int64(h.timestamp)).UTC() }

// logID is the SHA-256 of a key's SubjectPublicKeyInfo (RFC 6962 §3.2).
func logID(key crypto.PublicKey) ([sha256.Size]byte, error) {
	switch key.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey:
	default:
		return [sha256.Size]byte{}, fmt.Errorf("its key is a %T, wants ECDSA, RSA or Ed25519", key)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("its key cannot be encoded: %w", err)
	}
	return sha256.Sum256(der), nil
}
