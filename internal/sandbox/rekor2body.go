package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
)

// The bodies of Rekor v2's entries (rekor-tiles, entry.proto in canonical protobuf JSON). Their members are declared in
// the order of RFC 8785, and their values need no escapes, so that marshalling them is canonical.

type tiledEntry struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Spec       tiledSpec `json:"spec"`
}

type tiledSpec struct {
	DSSE         *tiledDSSE         `json:"dsseV002,omitempty"`
	HashedRekord *tiledHashedRekord `json:"hashedRekordV002,omitempty"`
}

type tiledHashedRekord struct {
	Data      tiledHash      `json:"data"`
	Signature tiledSignature `json:"signature"`
}

type tiledDSSE struct {
	PayloadHash tiledHash        `json:"payloadHash"`
	Signatures  []tiledSignature `json:"signatures"`
}

type tiledHash struct {
	Algorithm string `json:"algorithm"`
	Digest    []byte `json:"digest"`
}

func tiledSHA256(sum [sha256.Size]byte) tiledHash { return tiledHash{"SHA2_256", sum[:]} }

type tiledSignature struct {
	Content  []byte        `json:"content"`
	Verifier tiledVerifier `json:"verifier"`
}

type tiledVerifier struct {
	KeyDetails  string    `json:"keyDetails"`
	PublicKey   *rawBytes `json:"publicKey,omitempty"`
	Certificate *rawBytes `json:"x509Certificate,omitempty"`
}

// byCertificate is a signature with the certificate that verifies it; DER.
func byCertificate(signature, certificate []byte) tiledSignature {
	return tiledSignature{signature, tiledVerifier{KeyDetails: ecdsaDetails, Certificate: &rawBytes{certificate}}}
}

// byKey is a signature with the key that verifies it; SPKI, DER.
func byKey(signature, spki []byte) tiledSignature {
	return tiledSignature{signature, tiledVerifier{KeyDetails: ecdsaDetails, PublicKey: &rawBytes{spki}}}
}

func tiledBody(e tiledEntry) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding a %s entry: %w", e.Kind, err)
	}
	return body, nil
}

// tiledHashedRekordBody is the body of a hashedrekord 0.0.2 entry.
func tiledHashedRekordBody(digest [sha256.Size]byte, s tiledSignature) ([]byte, error) {
	return tiledBody(tiledEntry{"0.0.2", "hashedrekord", tiledSpec{HashedRekord: &tiledHashedRekord{tiledSHA256(digest), s}}})
}

// tiledDSSEBody is the body of a dsse 0.0.2 entry.
func tiledDSSEBody(payload []byte, signatures ...tiledSignature) ([]byte, error) {
	return tiledBody(tiledEntry{"0.0.2", "dsse", tiledSpec{DSSE: &tiledDSSE{tiledSHA256(sha256.Sum256(payload)), signatures}}})
}

// bulk makes hashedrekord entries of strangers by the million: the same ones for the same seed and numbers. Digest,
// signature, serial number and names differ from one to the next; no signature in them verifies (see mold).
type bulk struct {
	// parts are the body without what varies: digest, signature, certificate.
	parts     [4][]byte
	signature []byte
	mold      mold
	seed      entropy
}

// newBulk takes the shape of the entries from one that marshalling makes.
func newBulk(seed entropy, s *Signer) (*bulk, error) {
	b := &bulk{seed: seed}
	var err error
	if b.mold, err = newMold(s.Certificate.Raw, s.Certificate.SerialNumber); err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte("bulk"))
	if b.signature, err = s.key.Sign(nil, digest[:], sha256Opts); err != nil {
		return nil, fmt.Errorf("signing a stranger's entry: %w", err)
	}
	rest, err := tiledHashedRekordBody(digest, byCertificate(b.signature, s.Certificate.Raw))
	if err != nil {
		return nil, err
	}
	for i, varies := range [][]byte{digest[:], b.signature, s.Certificate.Raw} {
		before, after, ok := bytes.Cut(rest, base64.StdEncoding.AppendEncode(nil, varies))
		if !ok {
			return nil, errors.New("the parts of an entry are not where they should be")
		}
		b.parts[i], rest = before, after
	}
	b.parts[3] = rest
	return b, nil
}

// entry makes the body of a number.
func (b *bulk) entry(n uint64) []byte {
	var label [16]byte
	binary.BigEndian.PutUint64(label[:], uint64(b.seed))
	binary.BigEndian.PutUint64(label[8:], n)
	digest := sha256.Sum256(label[:])
	var signature [80]byte
	sig := signature[:copy(signature[:], b.signature)]
	copy(sig[len(sig)-24:], digest[:]) // the end of s

	certificate := b.mold.cast(n)
	body := make([]byte, 0, len(b.parts[0])+len(b.parts[1])+len(b.parts[2])+len(b.parts[3])+256+(len(certificate)+2)/3*4)
	for i, varies := range [][]byte{digest[:], sig, certificate} {
		body = append(body, b.parts[i]...)
		body = base64.StdEncoding.AppendEncode(body, varies)
	}
	return append(body, b.parts[3]...)
}
