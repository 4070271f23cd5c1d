package sandbox

import (
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Attestation is a signature with all that proves it, in pieces: each may be changed to make it a lie before it is
// rendered as a PEP 740 attestation or as a Sigstore bundle.
type Attestation struct {
	Signer      *Signer
	Certificate []byte // DER
	Statement   []byte // what the envelope carries; nil for the signature of an artifact
	Artifact    []byte // SHA-256 of the signed artifact; nil for an envelope
	Signature   []byte // ASN.1 ECDSA
	Entries     []Entry
	Timestamps  [][]byte // RFC 3161 responses; PEP 740 has no place for them
}

// Attest signs a statement and logs the signature, as the clients of PyPI and GitHub do. The zero time stands for
// now; it should lie within the lifetime of the signer's certificate.
func (w *World) Attest(s *Signer, statement Statement, at time.Time) (*Attestation, error) {
	raw, err := statement.JSON()
	if err != nil {
		return nil, err
	}
	return w.AttestRaw(s, raw, at)
}

// AttestRaw is Attest for a statement that is already encoded, well or ill.
func (w *World) AttestRaw(s *Signer, statement []byte, at time.Time) (*Attestation, error) {
	signature, err := signSHA256(s.key, pae(statement))
	if err != nil {
		return nil, fmt.Errorf("signing a statement: %w", err)
	}
	a := &Attestation{Signer: s, Certificate: s.Certificate.Raw, Statement: statement, Signature: signature}
	entry, err := w.log(a, at)
	if err != nil {
		return nil, err
	}
	a.Entries = []Entry{entry}
	return a, nil
}

// SignArtifact signs an artifact by its SHA-256 and logs a hashedrekord, as `cosign sign-blob` does.
func (w *World) SignArtifact(s *Signer, digest [sha256.Size]byte, at time.Time) (*Attestation, error) {
	signature, err := s.key.Sign(nil, digest[:], sha256Opts)
	if err != nil {
		return nil, fmt.Errorf("signing an artifact: %w", err)
	}
	a := &Attestation{Signer: s, Certificate: s.Certificate.Raw, Artifact: digest[:], Signature: signature}
	entry, err := w.log(a, at)
	if err != nil {
		return nil, err
	}
	a.Entries = []Entry{entry}
	return a, nil
}

// log makes a log entry of an attestation's present pieces, after some entries of strangers.
func (w *World) log(a *Attestation, at time.Time) (Entry, error) {
	if err := w.Rekor.AddNoise(1+int(w.Rekor.Size()%3), at); err != nil {
		return Entry{}, err
	}
	body, err := a.body()
	if err != nil {
		return Entry{}, err
	}
	entry, err := w.Rekor.AddStatement(body, a.Statement, at)
	if err != nil {
		return Entry{}, fmt.Errorf("logging a signature: %w", err)
	}
	return entry, nil
}

// body is the canonical log entry for the attestation.
func (a *Attestation) body() ([]byte, error) {
	verifier := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate})
	if a.Statement == nil {
		return hashedRekordBody([sha256.Size]byte(a.Artifact), a.Signature, verifier)
	}
	envelope, err := json.Marshal(a.envelope())
	if err != nil {
		return nil, fmt.Errorf("encoding an envelope: %w", err)
	}
	return dsseBody(envelope, a.Statement, a.Signature, verifier)
}

// pae is the pre-authentication encoding of an in-toto statement (DSSE v1.0.2, protocol.md).
func pae(statement []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(statement), statement)
}

type envelope struct {
	Payload     []byte              `json:"payload"`
	PayloadType string              `json:"payloadType"`
	Signatures  []envelopeSignature `json:"signatures"`
}

type envelopeSignature struct {
	Sig []byte `json:"sig"`
}

func (a *Attestation) envelope() *envelope {
	return &envelope{Payload: a.Statement, PayloadType: payloadType, Signatures: []envelopeSignature{{a.Signature}}}
}

// transparencyEntry is sigstore_rekor.proto's TransparencyLogEntry in protobuf's JSON form: 64-bit numbers are
// strings, bytes are base64.
type transparencyEntry struct {
	LogIndex          int64           `json:"logIndex,string"`
	LogID             keyID           `json:"logId"`
	KindVersion       kindVersion     `json:"kindVersion"`
	IntegratedTime    int64           `json:"integratedTime,string"`
	InclusionPromise  *promise        `json:"inclusionPromise,omitempty"`
	InclusionProof    *inclusionProof `json:"inclusionProof,omitempty"`
	CanonicalizedBody []byte          `json:"canonicalizedBody"`
}

type keyID struct {
	KeyID []byte `json:"keyId"`
}

type kindVersion struct {
	Kind    string `json:"kind"`
	Version string `json:"version"`
}

type promise struct {
	SignedEntryTimestamp []byte `json:"signedEntryTimestamp"`
}

type inclusionProof struct {
	LogIndex   int64          `json:"logIndex,string"`
	RootHash   []byte         `json:"rootHash"`
	TreeSize   int64          `json:"treeSize,string"`
	Hashes     [][]byte       `json:"hashes"`
	Checkpoint checkpointForm `json:"checkpoint"`
}

type checkpointForm struct {
	Envelope string `json:"envelope"`
}

// form renders an entry; without a SET or a checkpoint it has no promise or no proof.
func (e Entry) form() transparencyEntry {
	t := transparencyEntry{
		LogIndex:          e.LogIndex,
		LogID:             keyID{e.LogID},
		KindVersion:       kindVersion{e.Kind, e.Version},
		IntegratedTime:    e.IntegratedTime,
		CanonicalizedBody: e.Body,
	}
	if e.SET != nil {
		t.InclusionPromise = &promise{e.SET}
	}
	if e.Checkpoint != "" {
		t.InclusionProof = &inclusionProof{e.TreeIndex, e.RootHash, e.TreeSize, e.Hashes, checkpointForm{e.Checkpoint}}
	}
	return t
}

func (a *Attestation) forms() []transparencyEntry {
	forms := []transparencyEntry{}
	for _, e := range a.Entries {
		forms = append(forms, e.form())
	}
	return forms
}

// PEP740 renders an attestation object as PyPI stores and serves it (PEP 740, "Attestation objects").
func (a *Attestation) PEP740() (jsontext.Value, error) {
	type material struct {
		Certificate         []byte              `json:"certificate"`
		TransparencyEntries []transparencyEntry `json:"transparency_entries"`
	}
	type pepEnvelope struct {
		Statement []byte `json:"statement"`
		Signature []byte `json:"signature"`
	}
	raw, err := json.Marshal(struct {
		Version              int         `json:"version"`
		VerificationMaterial material    `json:"verification_material"`
		Envelope             pepEnvelope `json:"envelope"`
	}{1, material{a.Certificate, a.forms()}, pepEnvelope{a.Statement, a.Signature}})
	if err != nil {
		return nil, fmt.Errorf("encoding an attestation: %w", err)
	}
	return raw, nil
}

// Bundle renders a Sigstore bundle v0.3 (sigstore_bundle.proto).
func (a *Attestation) Bundle() ([]byte, error) {
	type timestampForm struct {
		SignedTimestamp []byte `json:"signedTimestamp"`
	}
	type timestampData struct {
		RFC3161Timestamps []timestampForm `json:"rfc3161Timestamps,omitempty"`
	}
	type material struct {
		Certificate               rawBytes            `json:"certificate"`
		TlogEntries               []transparencyEntry `json:"tlogEntries"`
		TimestampVerificationData timestampData       `json:"timestampVerificationData"`
	}
	type digest struct {
		Algorithm string `json:"algorithm"`
		Digest    []byte `json:"digest"`
	}
	type messageSignature struct {
		MessageDigest digest `json:"messageDigest"`
		Signature     []byte `json:"signature"`
	}
	out := struct {
		MediaType            string            `json:"mediaType"`
		VerificationMaterial material          `json:"verificationMaterial"`
		DSSEEnvelope         *envelope         `json:"dsseEnvelope,omitempty"`
		MessageSignature     *messageSignature `json:"messageSignature,omitempty"`
	}{
		MediaType:            "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: material{Certificate: rawBytes{a.Certificate}, TlogEntries: a.forms()},
	}
	for _, t := range a.Timestamps {
		data := &out.VerificationMaterial.TimestampVerificationData
		data.RFC3161Timestamps = append(data.RFC3161Timestamps, timestampForm{t})
	}
	if a.Statement != nil {
		out.DSSEEnvelope = a.envelope()
	} else {
		out.MessageSignature = &messageSignature{digest{"SHA2_256", a.Artifact}, a.Signature}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encoding a bundle: %w", err)
	}
	return raw, nil
}
