package rekor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strings"
)

// The specs of Rekor v2's kinds (rekor-tiles, api/proto/rekor/v2), in Protobuf's JSON.

type tiledHash struct {
	Algorithm string `json:"algorithm"`
	Digest    octets `json:"digest"`
}

// hash returns the hash under the name that the rest of the world has for its algorithm; of an algorithm that is not
// known, under its own.
func (h *tiledHash) hash() (Hash, error) {
	if len(h.Digest) == 0 {
		return Hash{}, errNoHash
	}
	name := strings.ToLower(h.Algorithm)
	switch h.Algorithm {
	case "SHA2_256":
		name = "sha256"
	case "SHA2_384":
		name = "sha384"
	case "SHA2_512":
		name = "sha512"
	case "SHA3_256":
		name = "sha3-256"
	case "SHA3_384":
		name = "sha3-384"
	}
	return Hash{Algorithm: clip(name), Hex: hex.EncodeToString(h.Digest)}, nil
}

type tiledKey struct {
	RawBytes octets `json:"rawBytes"`
}

type tiledSignature struct {
	Content  octets `json:"content"`
	Verifier struct {
		KeyDetails      string   `json:"keyDetails"`
		PublicKey       tiledKey `json:"publicKey"`
		X509Certificate tiledKey `json:"x509Certificate"`
	} `json:"verifier"`
}

func (e *Entry) addTiledSigner(s *tiledSignature) error {
	key, cert := s.Verifier.PublicKey.RawBytes, s.Verifier.X509Certificate.RawBytes
	if len(key) == 0 && len(cert) == 0 {
		return errors.New("a signer has neither a certificate nor a key")
	}
	// Protobuf allows only one of them; an entry with both is somebody's trick, and both are looked at.
	if len(cert) > 0 {
		e.Certificates = append(e.Certificates, cert)
	}
	if len(key) > 0 {
		e.Keys = append(e.Keys, key)
	}
	return nil
}

type hashedRekordTiled struct {
	HashedRekord struct {
		Data      tiledHash      `json:"data"`
		Signature tiledSignature `json:"signature"`
	} `json:"hashedRekordV002"`
}

func (s *hashedRekordTiled) fill(e *Entry) error {
	hash, err := s.HashedRekord.Data.hash()
	if err != nil {
		return err
	}
	e.ArtifactHashes = append(e.ArtifactHashes, hash)
	return e.addTiledSigner(&s.HashedRekord.Signature)
}

type dsseTiled struct {
	DSSE struct {
		PayloadHash tiledHash        `json:"payloadHash"`
		Signatures  []tiledSignature `json:"signatures"`
	} `json:"dsseV002"`
}

func (s *dsseTiled) fill(e *Entry) error {
	hash, err := s.DSSE.PayloadHash.hash()
	if err != nil {
		return err
	}
	e.PayloadHashes = append(e.PayloadHashes, hash)
	err = countSigners(len(s.DSSE.Signatures))
	for i := 0; err == nil && i < len(s.DSSE.Signatures); i++ {
		err = e.addTiledSigner(&s.DSSE.Signatures[i])
	}
	return err
}

func sha256Of(b []byte) Hash {
	sum := sha256.Sum256(b)
	return Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
