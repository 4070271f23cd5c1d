package attest

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rekoncile/rekoncile/internal/strictjson"
)

// Kinds of input that [Sniff] tells apart.
const (
	KindProvenance  = "provenance"
	KindAttestation = "attestation"
	KindBundle      = "bundle"
)

// Sniff tells what a document is by the names of its top-level members: a PEP 740 provenance document, one PEP 740
// attestation, or a Sigstore bundle. It promises nothing about the rest of the document.
func Sniff(raw []byte) (string, error) {
	if err := strictjson.Check(raw, maxBundleBytes); err != nil {
		return "", fmt.Errorf("input %w", err)
	}
	names := map[string]bool{}
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if _, err := dec.ReadToken(); err != nil {
		return "", fmt.Errorf("input: %w", err)
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return "", fmt.Errorf("input: %w", err)
		}
		names[name.String()] = true
		if err := dec.SkipValue(); err != nil {
			return "", fmt.Errorf("input: %w", err)
		}
	}
	var kinds []string
	if names["attestation_bundles"] {
		kinds = append(kinds, KindProvenance)
	}
	if names["envelope"] || names["verification_material"] && !names["mediaType"] {
		kinds = append(kinds, KindAttestation)
	}
	if names["mediaType"] || names["verificationMaterial"] || names["dsseEnvelope"] || names["messageSignature"] {
		kinds = append(kinds, KindBundle)
	}
	switch len(kinds) {
	case 0:
		return "", errors.New("input is neither a PEP 740 provenance document or attestation nor a Sigstore bundle")
	case 1:
		return kinds[0], nil
	}
	return "", fmt.Errorf("input mixes the members of %s and %s", kinds[0], kinds[1])
}
