package sandbox

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Publisher is what the index says about who uploaded a file: a trusted publisher (docs.pypi.org/api/integrity).
type Publisher struct {
	Kind string // "GitHub" or "Google"
	// Repository, Workflow and Environment are those of a GitHub publisher; Environment may be empty.
	Repository, Workflow, Environment string
	// Email is that of a Google publisher.
	Email string
}

// MarshalJSON renders the members that the kind has.
func (p Publisher) MarshalJSON() ([]byte, error) {
	if p.Kind == "Google" {
		return json.Marshal(struct {
			Kind  string `json:"kind"`
			Email string `json:"email"`
		}{p.Kind, p.Email})
	}
	return json.Marshal(struct {
		Kind        string  `json:"kind"`
		Repository  string  `json:"repository"`
		Workflow    string  `json:"workflow"`
		Environment string  `json:"environment"`
		Claims      *string `json:"claims"`
	}{p.Kind, p.Repository, p.Workflow, p.Environment, nil})
}

// ProvenanceDocument renders what the Integrity API serves for a file with one publisher.
func ProvenanceDocument(p Publisher, attestations ...*Attestation) ([]byte, error) {
	type bundle struct {
		Publisher    Publisher        `json:"publisher"`
		Attestations []jsontext.Value `json:"attestations"`
	}
	one := bundle{Publisher: p, Attestations: []jsontext.Value{}}
	for _, a := range attestations {
		raw, err := a.PEP740()
		if err != nil {
			return nil, err
		}
		one.Attestations = append(one.Attestations, raw)
	}
	document, err := json.Marshal(struct {
		Version            int      `json:"version"`
		AttestationBundles []bundle `json:"attestation_bundles"`
	}{1, []bundle{one}})
	if err != nil {
		return nil, fmt.Errorf("encoding a provenance document: %w", err)
	}
	return document, nil
}
