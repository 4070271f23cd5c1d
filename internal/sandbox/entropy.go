package sandbox

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// entropy derives everything that ought to be random from the world's seed and a label, so that the same
// seed gives the same keys, serial numbers and signatures whatever the order in which they are asked for.
// A generator with a state was rejected: one more key made early would change everything after it.
type entropy uint64

// bytes returns n bytes for a label. Distinct labels give independent bytes.
func (e entropy) bytes(label string, n int) []byte {
	secret := binary.BigEndian.AppendUint64(nil, uint64(e))
	b, err := hkdf.Key(sha256.New, secret, []byte("rekoncile sandbox"), label, n)
	if err != nil {
		// HKDF fails only beyond 255 hashes of output; no caller asks for more than 64 bytes.
		panic(fmt.Sprintf("deriving %d bytes for %q: %v", n, label, err))
	}
	return b
}

// ecdsaKey derives a private key. A candidate outside the group's order is skipped, as FIPS 186-5 A.2.2 does.
func (e entropy) ecdsaKey(curve elliptic.Curve, label string) (*ecdsa.PrivateKey, error) {
	size := (curve.Params().BitSize + 7) / 8
	var err error
	for try := range 8 {
		var key *ecdsa.PrivateKey
		key, err = ecdsa.ParseRawPrivateKey(curve, e.bytes(fmt.Sprintf("%s#%d", label, try), size))
		if err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("deriving the key %q: %w", label, err)
}

// ed25519Key derives a private key.
func (e entropy) ed25519Key(label string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(e.bytes(label, ed25519.SeedSize))
}

// signSHA256 signs the SHA-256 of message deterministically (RFC 6979).
func signSHA256(key *ecdsa.PrivateKey, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return key.Sign(nil, digest[:], sha256Opts)
}
