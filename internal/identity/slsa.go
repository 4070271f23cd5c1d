package identity

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// gitHubWorkflowBuildType is the only buildType whose fields are known here
// (https://actions.github.io/buildtypes/workflow/v1).
const gitHubWorkflowBuildType = "https://actions.github.io/buildtypes/workflow/v1"

// maxPredicate caps a predicate in bytes. One that names every dependency of a large build stays far below.
const maxPredicate = 8 << 20

// maxQuoted caps what a Mismatch quotes of a predicate, in bytes, and maxUnknownParameters how many unknown parameters of
// one object are reported.
const (
	maxQuoted            = 512
	maxUnknownParameters = 16
)

// slsaPredicate is what is checked of a SLSA provenance v1 predicate; pointers tell absent from empty.
type slsaPredicate struct {
	BuildDefinition struct {
		BuildType          string                    `json:"buildType"`
		ExternalParameters map[string]jsontext.Value `json:"externalParameters"`
		InternalParameters struct {
			GitHub struct {
				EventName         *string `json:"event_name"`
				RepositoryID      *string `json:"repository_id"`
				RepositoryOwnerID *string `json:"repository_owner_id"`
				RunnerEnvironment *string `json:"runner_environment"`
			} `json:"github"`
		} `json:"internalParameters"`
		ResolvedDependencies []struct {
			URI    string            `json:"uri"`
			Digest map[string]string `json:"digest"`
		} `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID string `json:"id"`
		} `json:"builder"`
		Metadata struct {
			InvocationID string `json:"invocationId"`
		} `json:"metadata"`
	} `json:"runDetails"`
}

// externalParameters is where a predicate has what whoever started the build could choose.
const externalParameters = "buildDefinition.externalParameters"

// SLSAProvenance is what a SLSA provenance v1 predicate says of a build: the claims of whoever wrote it, to be believed only
// as far as CheckSLSAPredicate finds them in the certificate too.
type SLSAProvenance struct {
	BuildType string `json:"build_type"`
	Builder   string `json:"builder"`
	// UnknownParameters are the external parameters that nothing here knows, by their path below externalParameters: each may
	// have changed the build (SLSA v1.2, "Verifying artifacts", step 2).
	UnknownParameters []string `json:"unknown_parameters,omitempty"`
	// Dependencies counts the resolved dependencies that it names. No reader can tell whether these are all.
	Dependencies int `json:"dependencies"`
}

// ReadSLSAPredicate reads a SLSA provenance v1 predicate. Text is cut to a length that can be shown. An error means that it is
// not an object of SLSA's shape, or too large.
func ReadSLSAPredicate(predicate []byte) (SLSAProvenance, error) {
	p, workflow, err := parseSLSAPredicate(predicate)
	if err != nil {
		return SLSAProvenance{}, err
	}
	read := SLSAProvenance{BuildType: cut(p.BuildDefinition.BuildType), Builder: cut(p.RunDetails.Builder.ID), Dependencies: len(p.BuildDefinition.ResolvedDependencies)}
	read.UnknownParameters = unknownNames(p.BuildDefinition.ExternalParameters, "workflow")
	for _, name := range unknownNames(workflow, workflowParameters()...) {
		read.UnknownParameters = append(read.UnknownParameters, "workflow."+name)
	}
	for i, name := range read.UnknownParameters {
		read.UnknownParameters[i] = cut(name)
	}
	return read, nil
}

// workflowParameters are what GitHub's build type has in externalParameters.workflow.
func workflowParameters() []string { return []string{"repository", "ref", "path"} }

// parseSLSAPredicate decodes a predicate, and the workflow among its external parameters; nil where there is none.
func parseSLSAPredicate(predicate []byte) (p slsaPredicate, workflow map[string]jsontext.Value, err error) {
	if len(predicate) > maxPredicate {
		return p, nil, fmt.Errorf("reading a SLSA predicate: it has %d bytes, more than %d", len(predicate), maxPredicate)
	}
	if err := unmarshalObject(predicate, &p); err != nil {
		return p, nil, fmt.Errorf("reading a SLSA predicate: %w", err)
	}
	if raw, ok := p.BuildDefinition.ExternalParameters["workflow"]; ok {
		if err := unmarshalObject(raw, &workflow); err != nil {
			return p, nil, fmt.Errorf("reading a SLSA predicate's %s.workflow: %w", externalParameters, err)
		}
	}
	return p, workflow, nil
}

// CheckSLSAPredicate compares a SLSA provenance v1 predicate (https://slsa.dev/spec/v1.0/provenance) of GitHub's workflow
// build type, field by field, with the certificate that signed it. The predicate is written by code of the
// workflow, so what it says counts only as far as the certificate, which the platform wrote, says it too; a
// difference means a made-up or tampered predicate. Fields are named by their path in the predicate.
//
// The internal parameters may be missing, for older versions of GitHub's toolkit lack some, and are not compared where
// the certificate lacks their extension. Everything else must be there and equal. An error means that the
// predicate could not be read at all: it is not an object of SLSA's shape, or too large.
func CheckSLSAPredicate(predicate []byte, id Identity) ([]Mismatch, error) {
	p, workflow, err := parseSLSAPredicate(predicate)
	if err != nil {
		return nil, err
	}
	var c comparison
	def := p.BuildDefinition
	c.equal("buildDefinition.buildType", def.BuildType, gitHubWorkflowBuildType)

	const external = externalParameters
	c.onlyKnown(external, def.ExternalParameters, "workflow")
	c.onlyKnown(external+".workflow", workflow, workflowParameters()...)
	workflowRepository, ref, path := text(workflow["repository"]), text(workflow["ref"]), text(workflow["path"])
	repository := ""
	if r := id.Repository(); r != "" {
		repository = gitHubURL + r
	}
	c.equal(external+".workflow.repository", workflowRepository, repository)
	c.equal(external+".workflow.ref", ref, id.Ref())
	c.equal(external+".workflow", workflowRepository+"/"+path+"@"+ref, firstOf(id.BuildConfigURI, id.SAN))

	const internal = "buildDefinition.internalParameters.github."
	github := def.InternalParameters.GitHub
	c.equalIfTold(internal+"event_name", github.EventName, id.Trigger())
	c.equalIfTold(internal+"repository_id", github.RepositoryID, id.SourceRepositoryID)
	c.equalIfTold(internal+"repository_owner_id", github.RepositoryOwnerID, id.SourceRepositoryOwnerID)
	c.equalIfTold(internal+"runner_environment", github.RunnerEnvironment, id.RunnerEnvironment)

	var uri, commit string
	if len(def.ResolvedDependencies) > 0 {
		uri, commit = def.ResolvedDependencies[0].URI, def.ResolvedDependencies[0].Digest["gitCommit"]
	}
	c.equal("buildDefinition.resolvedDependencies[0].uri", uri, "git+"+repository+"@"+id.Ref())
	c.equal("buildDefinition.resolvedDependencies[0].digest.gitCommit", commit, id.Commit())
	c.equal("runDetails.builder.id", p.RunDetails.Builder.ID, firstOf(id.BuildSignerURI, id.SAN))
	c.equal("runDetails.metadata.invocationId", p.RunDetails.Metadata.InvocationID, id.RunInvocationURI)
	return c.mismatches, nil
}

// text is a JSON string's value; anything else stays as it is written.
func text(v jsontext.Value) string {
	var s string
	if v.Kind() == '"' && json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// unmarshalObject decodes one JSON object: null, which decodes into anything, is refused. So are duplicate names, which
// two readers would read differently.
func unmarshalObject(object []byte, into any) error {
	if jsontext.Value(object).Kind() != '{' {
		return errors.New("it is not a JSON object")
	}
	return json.Unmarshal(object, into)
}

// comparison collects what differs. Two empty texts differ from nothing and agree on nothing: they are a mismatch too
// where the field must be there.
type comparison struct {
	mismatches []Mismatch
}

func (c *comparison) equal(field, got, want string) {
	if got != want || got == "" {
		c.mismatches = append(c.mismatches, Mismatch{Field: cut(field), Got: cut(got), Want: want})
	}
}

// onlyKnown reports each parameter that is not known: it may have changed the build in a way that nothing here checks.
func (c *comparison) onlyKnown(path string, parameters map[string]jsontext.Value, known ...string) {
	for _, name := range unknownNames(parameters, known...) {
		c.equal(path+"."+name, string(parameters[name]), "")
	}
}

// unknownNames are the names of parameters that are not known, sorted, the first few of them.
func unknownNames(parameters map[string]jsontext.Value, known ...string) []string {
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if !slices.Contains(known, name) && len(unknown) < maxUnknownParameters {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func cut(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuoted], "") + "…"
}

// equalIfTold compares a field that may be missing from the predicate or from the certificate.
func (c *comparison) equalIfTold(field string, got *string, want string) {
	if got != nil && want != "" {
		c.equal(field, *got, want)
	}
}
