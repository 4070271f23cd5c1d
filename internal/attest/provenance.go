package attest

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rekoncile/rekoncile/internal/strictjson"
)

// Provenance is a PEP 740 provenance document: what an index serves beside a file. Nobody signs the document itself.
type Provenance struct {
	Version int
	Bundles []ProvenanceBundle
}

// ProvenanceBundle is the attestations of one publisher.
type ProvenanceBundle struct {
	Publisher Publisher
	// Attestations are attestation objects as served, each for [Verifier.VerifyAttestation]. There is at least one.
	Attestations []stdjson.RawMessage
}

// Publisher is the trusted publisher as the index states it. It is the index's word, signed by nobody.
type Publisher struct {
	// Kind is "GitHub", "GitLab", "Google" or whatever else the index has; the fields that a kind lacks are empty.
	Kind       string
	Repository string
	// Workflow is GitHub's workflow file name, or GitLab's workflow_filepath.
	Workflow string
	// Environment is the deployment environment. EnvironmentPresent tells "" and null from a member that is not there.
	Environment        string
	EnvironmentPresent bool
	// Email is Google's.
	Email string
	// Raw is the whole object, other members included.
	Raw stdjson.RawMessage
}

// ErrNothingAttested says that a provenance document is well formed and holds no attestation.
var ErrNothingAttested = errors.New("nothing is attested")

// ParseProvenance parses a PEP 740 provenance document, version 1. Unknown members are ignored, duplicate ones refused,
// and so is a document that attests to nothing. Errors name the place by JSON pointer (RFC 6901).
func ParseProvenance(raw []byte) (*Provenance, error) {
	if err := strictjson.Check(raw, maxProvenanceBytes); err != nil {
		return nil, fmt.Errorf("provenance %w", err)
	}
	var doc struct {
		Version int              `json:"version"`
		Bundles []jsontext.Value `json:"attestation_bundles"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("provenance: %w", err)
	}
	switch {
	case doc.Version != 1:
		return nil, fmt.Errorf("provenance: /version is %d, only 1 is known", doc.Version)
	case len(doc.Bundles) == 0:
		return nil, fmt.Errorf("provenance: /attestation_bundles is missing or empty: %w", ErrNothingAttested)
	case len(doc.Bundles) > maxProvenanceBundles:
		return nil, fmt.Errorf("provenance: /attestation_bundles has %d items, more than the %d allowed", len(doc.Bundles), maxProvenanceBundles)
	}
	p := &Provenance{Version: doc.Version}
	for i, rawBundle := range doc.Bundles {
		b, err := parseProvenanceBundle(rawBundle)
		if err != nil {
			return nil, fmt.Errorf("provenance: /attestation_bundles/%d%w", i, err)
		}
		p.Bundles = append(p.Bundles, *b)
	}
	return p, nil
}

// parseProvenanceBundle returns errors that continue a JSON pointer.
func parseProvenanceBundle(raw jsontext.Value) (*ProvenanceBundle, error) {
	var doc struct {
		Publisher    jsontext.Value   `json:"publisher"`
		Attestations []jsontext.Value `json:"attestations"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf(": %w", err)
	}
	switch {
	case len(doc.Attestations) == 0:
		return nil, fmt.Errorf("/attestations is missing or empty: %w", ErrNothingAttested)
	case len(doc.Attestations) > maxAttestations:
		return nil, fmt.Errorf("/attestations has %d items, more than the %d allowed", len(doc.Attestations), maxAttestations)
	}
	publisher, err := parsePublisher(doc.Publisher)
	if err != nil {
		return nil, err
	}
	b := &ProvenanceBundle{Publisher: *publisher}
	for j, a := range doc.Attestations {
		if a.Kind() != '{' {
			return nil, fmt.Errorf("/attestations/%d is not an object", j)
		}
		b.Attestations = append(b.Attestations, stdjson.RawMessage(bytes.Clone(a)))
	}
	return b, nil
}

func parsePublisher(raw jsontext.Value) (*Publisher, error) {
	if raw.Kind() != '{' {
		return nil, errors.New("/publisher is missing or not an object")
	}
	// Members are read leniently one by one: an index may give a kind that is not known here any shape it likes.
	var members map[string]jsontext.Value
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, fmt.Errorf("/publisher: %w", err)
	}
	text := func(name string) string {
		var s string
		if v, ok := members[name]; !ok || v.Kind() != '"' || json.Unmarshal(v, &s) != nil {
			return ""
		}
		return s
	}
	p := &Publisher{
		Kind: text("kind"), Repository: text("repository"), Workflow: text("workflow"),
		Environment: text("environment"), Email: text("email"), Raw: stdjson.RawMessage(bytes.Clone(raw)),
	}
	if p.Kind == "" {
		return nil, errors.New("/publisher/kind is missing or not a string")
	}
	if p.Workflow == "" {
		p.Workflow = text("workflow_filepath")
	}
	_, p.EnvironmentPresent = members["environment"]
	return p, nil
}
