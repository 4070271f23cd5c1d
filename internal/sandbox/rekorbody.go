package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/go-json-experiment/json"
)

// The canonical bodies of Rekor v1's entries (rekor pkg/types/*/*_schema.json after canonicalisation). Their members
// are declared in the order of RFC 8785, and their values need no escapes, so that marshalling them is canonical.

type algorithmHash struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"value"` // hex
}

func sha256Hash(sum [sha256.Size]byte) algorithmHash {
	return algorithmHash{Algorithm: "sha256", Value: hex.EncodeToString(sum[:])}
}

type dsseEntry struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Spec       dsseSpec `json:"spec"`
}

type dsseSpec struct {
	EnvelopeHash algorithmHash   `json:"envelopeHash"`
	PayloadHash  algorithmHash   `json:"payloadHash"`
	Signatures   []dsseSignature `json:"signatures"`
}

type dsseSignature struct {
	Signature []byte `json:"signature"`
	Verifier  []byte `json:"verifier"` // PEM
}

// dsseBody is the body of a dsse 0.0.1 entry for an envelope with one signature. verifier is a PEM certificate.
func dsseBody(envelope, payload, signature, verifier []byte) ([]byte, error) {
	body, err := json.Marshal(dsseEntry{APIVersion: "0.0.1", Kind: "dsse", Spec: dsseSpec{
		EnvelopeHash: sha256Hash(sha256.Sum256(envelope)),
		PayloadHash:  sha256Hash(sha256.Sum256(payload)),
		Signatures:   []dsseSignature{{Signature: signature, Verifier: verifier}},
	}})
	if err != nil {
		return nil, fmt.Errorf("encoding a dsse entry: %w", err)
	}
	return body, nil
}

type hashedRekordEntry struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Spec       hashedRekordSpec `json:"spec"`
}

type hashedRekordSpec struct {
	Data      hashedRekordData      `json:"data"`
	Signature hashedRekordSignature `json:"signature"`
}

type hashedRekordData struct {
	Hash algorithmHash `json:"hash"`
}

type hashedRekordSignature struct {
	Content   []byte          `json:"content"`
	PublicKey hashedRekordKey `json:"publicKey"`
}

type hashedRekordKey struct {
	Content []byte `json:"content"` // PEM
}

// hashedRekordBody is the body of a hashedrekord 0.0.1 entry. verifier is a PEM certificate or public key.
func hashedRekordBody(artifact [sha256.Size]byte, signature, verifier []byte) ([]byte, error) {
	body, err := json.Marshal(hashedRekordEntry{APIVersion: "0.0.1", Kind: "hashedrekord", Spec: hashedRekordSpec{
		Data:      hashedRekordData{Hash: sha256Hash(artifact)},
		Signature: hashedRekordSignature{Content: signature, PublicKey: hashedRekordKey{Content: verifier}},
	}})
	if err != nil {
		return nil, fmt.Errorf("encoding a hashedrekord entry: %w", err)
	}
	return body, nil
}

// intotoEntry is an intoto 0.0.2 entry. Rekor keeps the statement beside the log.
type intotoEntry struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"`
	Spec       intotoSpec `json:"spec"`
}

type intotoSpec struct {
	Content intotoContent `json:"content"`
}

type intotoContent struct {
	Envelope    intotoEnvelope `json:"envelope"`
	Hash        algorithmHash  `json:"hash"`
	PayloadHash algorithmHash  `json:"payloadHash"`
}

type intotoEnvelope struct {
	PayloadType string            `json:"payloadType"`
	Signatures  []intotoSignature `json:"signatures"`
}

type intotoSignature struct {
	PublicKey []byte `json:"publicKey"` // PEM
	Sig       []byte `json:"sig"`       // the base64 of the signature, which becomes base64 once more
}

// intotoBody is the body of an intoto 0.0.2 entry for an envelope with one signature. verifier is a PEM certificate.
func intotoBody(envelope, payload, signature, verifier []byte) ([]byte, error) {
	body, err := json.Marshal(intotoEntry{APIVersion: "0.0.2", Kind: "intoto", Spec: intotoSpec{Content: intotoContent{
		Envelope: intotoEnvelope{PayloadType: payloadType, Signatures: []intotoSignature{{
			PublicKey: verifier, Sig: base64.StdEncoding.AppendEncode(nil, signature),
		}}},
		Hash:        sha256Hash(sha256.Sum256(envelope)),
		PayloadHash: sha256Hash(sha256.Sum256(payload)),
	}}})
	if err != nil {
		return nil, fmt.Errorf("encoding an intoto entry: %w", err)
	}
	return body, nil
}
