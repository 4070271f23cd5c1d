package attest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rekoncile/rekoncile/internal/strictjson"
)

// digestOf says what a log entry's digest is taken of.
type digestOf int

const (
	ofArtifact digestOf = iota // the signed bytes: a file, or in Rekor v2 also the pre-authentication encoding
	ofPayload                  // the payload of a DSSE envelope
)

// loggedSignature is one signature in a log entry.
type loggedSignature struct {
	sig []byte // nil where the kind does not log it
	der []byte // certificate, or SubjectPublicKeyInfo
}

// entryBody is what a log entry says, in one shape for all kinds.
type entryBody struct {
	kind, version string
	v2            bool // Rekor v2's form: no SET, no integrated time, C2SP checkpoints
	of            digestOf
	algorithm     string // "sha256"
	digest        []byte
	signatures    []loggedSignature
	// beyond: sigstore-go cannot verify this kind, so that what we find has no second opinion.
	beyond bool
}

// errUnknownKind is for kinds that are genuine, or may become so, and are not decoded here.
var errUnknownKind = errors.New("entries of this kind are not decoded here")

// parseEntryBody decodes the canonical JSON of a log entry (rekor, pkg/types; rekor-tiles, docs).
func parseEntryBody(raw []byte) (*entryBody, error) {
	if err := strictjson.Check(raw, maxEntryBodyBytes); err != nil {
		return nil, err
	}
	var kv struct {
		APIVersion string         `json:"apiVersion"`
		Kind       string         `json:"kind"`
		Spec       jsontext.Value `json:"spec"`
	}
	if err := json.Unmarshal(raw, &kv); err != nil {
		return nil, err
	}
	b := &entryBody{kind: kv.Kind, version: kv.APIVersion}
	decode := map[string]func(*entryBody, []byte) error{
		"hashedrekord 0.0.1": (*entryBody).hashedRekordV1,
		"dsse 0.0.1":         (*entryBody).dsseV1,
		"intoto 0.0.1":       (*entryBody).intotoV1,
		"intoto 0.0.2":       (*entryBody).intotoV2,
		"hashedrekord 0.0.2": (*entryBody).hashedRekordV2,
		"dsse 0.0.2":         (*entryBody).dsseV2,
	}[kv.Kind+" "+kv.APIVersion]
	if decode == nil {
		return b, fmt.Errorf("%q %q: %w", kv.Kind, kv.APIVersion, errUnknownKind)
	}
	if err := decode(b, kv.Spec); err != nil {
		return b, fmt.Errorf("%s %s: %w", kv.Kind, kv.APIVersion, err)
	}
	return b, nil
}

// hexHash is Rekor v1's form of a digest.
type hexHash struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"value"`
}

func (b *entryBody) setHex(h hexHash) error {
	digest, err := hex.DecodeString(h.Value)
	if err != nil || len(digest) == 0 {
		return errors.New("its hash is not hex")
	}
	b.algorithm, b.digest = h.Algorithm, digest
	return nil
}

// addPEM adds a signature whose signer is in PEM; of several blocks the first is the signer's.
func (b *entryBody) addPEM(sig, text []byte) error {
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("its signer is neither a certificate nor a key in PEM")
	}
	b.signatures = append(b.signatures, loggedSignature{sig: sig, der: block.Bytes})
	return nil
}

func (b *entryBody) hashedRekordV1(raw []byte) error {
	var spec struct {
		Data struct {
			Hash hexHash `json:"hash"`
		} `json:"data"`
		Signature struct {
			Content   []byte `json:"content"`
			PublicKey struct {
				Content []byte `json:"content"`
			} `json:"publicKey"`
		} `json:"signature"`
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	b.of = ofArtifact
	return errors.Join(b.setHex(spec.Data.Hash), b.addPEM(spec.Signature.Content, spec.Signature.PublicKey.Content))
}

func (b *entryBody) dsseV1(raw []byte) error {
	var spec struct {
		PayloadHash hexHash `json:"payloadHash"`
		Signatures  []struct {
			Signature []byte `json:"signature"`
			Verifier  []byte `json:"verifier"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	b.of = ofPayload
	err := b.setHex(spec.PayloadHash)
	for _, s := range spec.Signatures {
		err = errors.Join(err, b.addPEM(s.Signature, s.Verifier))
	}
	return err
}

func (b *entryBody) intotoV1(raw []byte) error {
	var spec struct {
		Content struct {
			PayloadHash hexHash `json:"payloadHash"`
		} `json:"content"`
		PublicKey []byte `json:"publicKey"`
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	b.of, b.beyond = ofPayload, true
	return errors.Join(b.setHex(spec.Content.PayloadHash), b.addPEM(nil, spec.PublicKey))
}

func (b *entryBody) intotoV2(raw []byte) error {
	var spec struct {
		Content struct {
			Envelope struct {
				Signatures []struct {
					PublicKey []byte `json:"publicKey"`
					Sig       []byte `json:"sig"`
				} `json:"signatures"`
			} `json:"envelope"`
			PayloadHash hexHash `json:"payloadHash"`
		} `json:"content"`
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	b.of = ofPayload
	err := b.setHex(spec.Content.PayloadHash)
	for _, s := range spec.Content.Envelope.Signatures {
		// The signature is in base64 twice.
		sig, sigErr := base64.StdEncoding.DecodeString(string(s.Sig))
		err = errors.Join(err, sigErr, b.addPEM(sig, s.PublicKey))
	}
	return err
}

// tiledHash and tiledSignature are Rekor v2's forms.
type tiledHash struct {
	Algorithm string `json:"algorithm"`
	Digest    []byte `json:"digest"`
}

type tiledSignature struct {
	Content  []byte `json:"content"`
	Verifier struct {
		X509Certificate struct {
			RawBytes []byte `json:"rawBytes"`
		} `json:"x509Certificate"`
		PublicKey struct {
			RawBytes []byte `json:"rawBytes"`
		} `json:"publicKey"`
	} `json:"verifier"`
}

func (b *entryBody) setTiled(h tiledHash, sigs ...tiledSignature) error {
	b.v2 = true
	algorithm, ok := map[string]string{"SHA2_256": algSHA256, "SHA2_384": algSHA384, "SHA2_512": algSHA512}[h.Algorithm]
	if len(h.Digest) == 0 {
		return errors.New("its digest is missing")
	}
	if !ok {
		return fmt.Errorf("digest algorithm %s: %w", h.Algorithm, errUnknownKind)
	}
	b.algorithm, b.digest = algorithm, h.Digest
	for _, s := range sigs {
		der := s.Verifier.X509Certificate.RawBytes
		if len(der) == 0 {
			der = s.Verifier.PublicKey.RawBytes
		}
		if len(der) == 0 {
			return errors.New("its signer is neither a certificate nor a key")
		}
		b.signatures = append(b.signatures, loggedSignature{sig: s.Content, der: der})
	}
	return nil
}

func (b *entryBody) hashedRekordV2(raw []byte) error {
	var spec struct {
		HashedRekord struct {
			Data      tiledHash      `json:"data"`
			Signature tiledSignature `json:"signature"`
		} `json:"hashedRekordV002"`
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	b.of = ofArtifact
	return b.setTiled(spec.HashedRekord.Data, spec.HashedRekord.Signature)
}

func (b *entryBody) dsseV2(raw []byte) error {
	var spec struct {
		DSSE struct {
			PayloadHash tiledHash        `json:"payloadHash"`
			Signatures  []tiledSignature `json:"signatures"`
		} `json:"dsseV002"`
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		return err
	}
	b.of, b.beyond = ofPayload, true
	return b.setTiled(spec.DSSE.PayloadHash, spec.DSSE.Signatures...)
}
