// Package identity says who signed something with a Fulcio certificate, and whether a project's policy expects it.
//
// It reads a certificate's subject alternative name, OIDC issuer and Fulcio extensions strictly: a certificate
// that two careful readers could read differently is an error, never a guess. It judges what it read against a
// Policy by whole, structured fields, never by a pattern on the SAN. Everything here is a pure function of its
// arguments.
//
// It does not verify anything: chain, SCT, signature and time are internal/attest's. An Identity taken from a
// certificate whose chain was not verified is a claim that anyone can make.
package identity

import (
	"net/url"
	"strings"
)

// The kinds of subject alternative name that Fulcio issues.
const (
	SANTypeURI       = "uri"
	SANTypeEmail     = "email"
	SANTypeOtherName = "other-name" // Fulcio's own, 1.3.6.1.4.1.57264.1.7
)

// Identity is what a certificate says about its holder. The fields are Fulcio's, under Fulcio's names
// (fulcio/docs/oid-info.md, arc 1.3.6.1.4.1.57264.1); a field is empty where the certificate has no such extension
// or an empty one. Text is as the certificate has it: never shortened, and never safe to print as it is. The JSON form is
// stable and decodes to an equal value.
type Identity struct {
	// SAN is the one subject alternative name, SANType says of which kind it is.
	SAN     string `json:"san"`
	SANType string `json:"san_type"`
	// Issuer is the OIDC issuer: extension .8, or .1 in certificates older than it.
	Issuer string `json:"issuer"`

	BuildSignerURI             string `json:"build_signer_uri,omitempty"`             // .9
	BuildSignerDigest          string `json:"build_signer_digest,omitempty"`          // .10
	RunnerEnvironment          string `json:"runner_environment,omitempty"`           // .11
	SourceRepositoryURI        string `json:"source_repository_uri,omitempty"`        // .12
	SourceRepositoryDigest     string `json:"source_repository_digest,omitempty"`     // .13
	SourceRepositoryRef        string `json:"source_repository_ref,omitempty"`        // .14
	SourceRepositoryID         string `json:"source_repository_id,omitempty"`         // .15
	SourceRepositoryOwnerURI   string `json:"source_repository_owner_uri,omitempty"`  // .16
	SourceRepositoryOwnerID    string `json:"source_repository_owner_id,omitempty"`   // .17
	BuildConfigURI             string `json:"build_config_uri,omitempty"`             // .18
	BuildConfigDigest          string `json:"build_config_digest,omitempty"`          // .19
	BuildTrigger               string `json:"build_trigger,omitempty"`                // .20
	RunInvocationURI           string `json:"run_invocation_uri,omitempty"`           // .21
	SourceRepositoryVisibility string `json:"source_repository_visibility,omitempty"` // .22, at signing
	DeploymentEnvironment      string `json:"deployment_environment,omitempty"`       // .23
	TokenSubject               string `json:"token_subject,omitempty"`                // .24, informational

	// The deprecated extensions, all that certificates of before 2023 have.
	GitHubWorkflowTrigger    string `json:"github_workflow_trigger,omitempty"`    // .2
	GitHubWorkflowSHA        string `json:"github_workflow_sha,omitempty"`        // .3
	GitHubWorkflowName       string `json:"github_workflow_name,omitempty"`       // .4, the workflow's author chooses it
	GitHubWorkflowRepository string `json:"github_workflow_repository,omitempty"` // .5
	GitHubWorkflowRef        string `json:"github_workflow_ref,omitempty"`        // .6

	// UnknownExtensions are the arc's other extensions, raw, by what follows the arc: "25", "2.1".
	UnknownExtensions map[string][]byte `json:"unknown_extensions,omitempty"`
}

// Repository is "OWNER/NAME" of the repository that was built, where Source Repository URI (or, in older certificates,
// the deprecated .5) names one on github.com in canonical form, else "". It is what the issuer claims: without the
// issuer of GitHub Actions anyone can claim any repository. It never comes from the SAN, which may name
// a reusable workflow of somebody else.
func (id Identity) Repository() string {
	if id.SourceRepositoryURI != "" {
		return repositoryOfURI(id.SourceRepositoryURI)
	}
	if isRepositoryName(id.GitHubWorkflowRepository) {
		return id.GitHubWorkflowRepository
	}
	return ""
}

// Workflow is the file name of the top-level workflow, such as "release.yml": from Build Config URI, or from the SAN
// of certificates that have none. It is "" where that is not a workflow URI (see ParseWorkflowURI).
func (id Identity) Workflow() string {
	uri := id.BuildConfigURI
	if uri == "" {
		uri = id.SAN
	}
	w, err := ParseWorkflowURI(uri)
	if err != nil {
		return ""
	}
	return w.File
}

// Ref is the full git ref that was built, such as "refs/heads/main".
func (id Identity) Ref() string {
	return firstOf(id.SourceRepositoryRef, id.GitHubWorkflowRef)
}

// Trigger is the event that started the build, such as "push".
func (id Identity) Trigger() string {
	return firstOf(id.BuildTrigger, id.GitHubWorkflowTrigger)
}

// Commit is the commit that was built, in hex.
func (id Identity) Commit() string {
	return firstOf(id.SourceRepositoryDigest, id.GitHubWorkflowSHA)
}

// Environment is the name of the deployment environment that the job ran in, "" for none. It is known where the
// certificate has extension .23, and where it has .24: a Fulcio that writes .24 writes .23 too, so that its absence
// means that there was no environment.
func (id Identity) Environment() (name string, known bool) {
	return id.DeploymentEnvironment, id.DeploymentEnvironment != "" || id.TokenSubject != ""
}

// CommitURL is the commit's page on github.com, or "" where repository or commit is not told in canonical form. It
// is made of checked parts and safe to show as a link.
func (id Identity) CommitURL() string {
	repository, commit := id.Repository(), id.Commit()
	if repository == "" || !isCommit(commit) {
		return ""
	}
	return gitHubURL + repository + "/commit/" + commit
}

// RunURL is Run Invocation URI where it is a workflow run of the repository on github.com, else "". It is safe to
// show as a link.
func (id Identity) RunURL() string {
	repository := id.Repository()
	if repository == "" {
		return ""
	}
	rest, ok := strings.CutPrefix(id.RunInvocationURI, gitHubURL+repository+"/actions/runs/")
	if !ok {
		return ""
	}
	run, attempt, ok := strings.Cut(rest, "/attempts/")
	if !isDecimal(run) || (ok && !isDecimal(attempt)) {
		return ""
	}
	return id.RunInvocationURI
}

// mentions is the "owner/name", in lower case, that a Source Repository URI means to a lenient reader: whatever the
// scheme, with or without ".git" or a last slash. CI services other than GitHub's write it in such forms.
func mentions(sourceRepositoryURI string) string {
	s := asciiLower(sourceRepositoryURI)
	if rest, ok := strings.CutPrefix(s, "git@github.com:"); ok {
		s = "github.com/" + rest
	} else if u, err := url.Parse(s); err == nil && u.Host != "" {
		s = u.Host + u.Path
	}
	s, ok := strings.CutPrefix(s, "github.com/")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(strings.TrimRight(s, "/"), ".git")
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func isDecimal(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// isCommit accepts SHA-1 and SHA-256 object names in lower-case hex.
func isCommit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}
