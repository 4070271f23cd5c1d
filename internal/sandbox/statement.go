package sandbox

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The predicate types that PyPI takes (PEP 740, docs.pypi.org/attestations).
const (
	PublishPredicate = "https://docs.pypi.org/attestations/publish/v1"
	SLSAPredicate    = "https://slsa.dev/provenance/v1"
)

// payloadType is the DSSE payload type of in-toto statements.
const payloadType = "application/vnd.in-toto+json"

// Subject is what a statement is about: an artifact's file name and its SHA-256 in hex.
type Subject struct {
	Name   string
	SHA256 string
}

// Statement is an in-toto statement (in-toto attestation framework, Statement v1).
type Statement struct {
	Subjects      []Subject
	PredicateType string
	Predicate     jsontext.Value // nil for null
}

// JSON renders the statement as the publish action does: compact, in this order.
func (s Statement) JSON() ([]byte, error) {
	type subject struct {
		Name   string `json:"name"`
		Digest struct {
			SHA256 string `json:"sha256"`
		} `json:"digest"`
	}
	out := struct {
		Type          string         `json:"_type"`
		Subject       []subject      `json:"subject"`
		PredicateType string         `json:"predicateType"`
		Predicate     jsontext.Value `json:"predicate"`
	}{"https://in-toto.io/Statement/v1", []subject{}, s.PredicateType, s.Predicate}
	for _, artifact := range s.Subjects {
		one := subject{Name: artifact.Name}
		one.Digest.SHA256 = artifact.SHA256
		out.Subject = append(out.Subject, one)
	}
	if out.Predicate == nil {
		out.Predicate = jsontext.Value("null")
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encoding a statement: %w", err)
	}
	return raw, nil
}

// PublishStatement is what PyPI's publish action says of one file.
func PublishStatement(s Subject) Statement {
	return Statement{Subjects: []Subject{s}, PredicateType: PublishPredicate}
}

// SLSAStatement is what actions/attest-build-provenance says of the files of a job with these claims.
func SLSAStatement(c Claims, subjects ...Subject) (Statement, error) {
	predicate, err := slsaPredicate(c)
	return Statement{Subjects: subjects, PredicateType: SLSAPredicate, Predicate: predicate}, err
}

// slsaPredicate is a SLSA provenance v1 predicate of GitHub's workflow build type, as actions/attest composes it
// from the token's claims.
func slsaPredicate(c Claims) (jsontext.Value, error) {
	type workflow struct {
		Ref        string `json:"ref"`
		Repository string `json:"repository"`
		Path       string `json:"path"`
	}
	type github struct {
		EventName         string `json:"event_name"`
		RepositoryID      string `json:"repository_id"`
		RepositoryOwnerID string `json:"repository_owner_id"`
		RunnerEnvironment string `json:"runner_environment"`
	}
	type dependency struct {
		URI    string `json:"uri"`
		Digest struct {
			GitCommit string `json:"gitCommit"`
		} `json:"digest"`
	}
	type definition struct {
		BuildType          string `json:"buildType"`
		ExternalParameters struct {
			Workflow workflow `json:"workflow"`
		} `json:"externalParameters"`
		InternalParameters struct {
			GitHub github `json:"github"`
		} `json:"internalParameters"`
		ResolvedDependencies []dependency `json:"resolvedDependencies"`
	}
	type details struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string `json:"invocationId"`
		} `json:"metadata"`
	}
	var p struct {
		BuildDefinition definition `json:"buildDefinition"`
		RunDetails      details    `json:"runDetails"`
	}
	values := c.values()
	path, _, _ := strings.Cut(strings.TrimPrefix(c.workflowRef(), c.Repository+"/"), "@")
	p.BuildDefinition.BuildType = "https://actions.github.io/buildtypes/workflow/v1"
	p.BuildDefinition.ExternalParameters.Workflow = workflow{Ref: c.Ref, Repository: values[12], Path: path}
	p.BuildDefinition.InternalParameters.GitHub = github{
		EventName: c.Trigger, RepositoryID: c.RepositoryID, RepositoryOwnerID: c.OwnerID, RunnerEnvironment: values[11],
	}
	source := dependency{URI: fmt.Sprintf("git+%s@%s", values[12], c.Ref)}
	source.Digest.GitCommit = c.SHA
	p.BuildDefinition.ResolvedDependencies = []dependency{source}
	p.RunDetails.Builder.ID = values[9]
	p.RunDetails.Metadata.InvocationID = values[21]
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encoding a SLSA predicate: %w", err)
	}
	return raw, nil
}
