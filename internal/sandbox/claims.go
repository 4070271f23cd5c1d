package sandbox

import (
	"cmp"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// gitHubIssuer is the OIDC issuer of GitHub Actions.
const gitHubIssuer = "https://token.actions.githubusercontent.com"

// Claims is what an identity provider asserts about who asks for a certificate: the claims of a GitHub Actions
// OIDC token, or a person's e-mail address. Empty claims leave their extension out, as Fulcio does.
type Claims struct {
	// Issuer is the provider's URL; GitHub Actions by default, or GitHub's login connector where Email is set.
	Issuer string

	Repository      string // "OWNER/NAME"
	RepositoryID    string // decimal
	OwnerID         string // decimal
	Workflow        string // file name below .github/workflows/
	WorkflowName    string // display name
	Ref             string // "refs/heads/main"
	SHA             string // 40 hex digits
	Trigger         string // event name
	Environment     string // deployment environment; "" for none
	RunID           string // decimal
	Attempt         int    // 1 by default
	Runner          string // "github-hosted" by default
	Visibility      string // "public" by default
	SignerWorkflow  string // "OWNER/NAME/.github/workflows/FILE@REF" of a reusable workflow; "" for none
	SignerDigest    string // commit of SignerWorkflow
	SubjectOverride string // the token's sub where GitHub's default form does not hold

	// Email makes it the identity of a person: all claims about a repository are ignored.
	Email string
	// SAN replaces the subject alternative name (a URI) that the claims give.
	SAN string
}

// workflowRef is GitHub's workflow_ref claim: the top-level workflow and the ref it ran from.
func (c Claims) workflowRef() string {
	return fmt.Sprintf("%s/.github/workflows/%s@%s", c.Repository, c.Workflow, c.Ref)
}

// jobWorkflowRef is GitHub's job_workflow_ref claim: the workflow that the job is defined in.
func (c Claims) jobWorkflowRef() string { return cmp.Or(c.SignerWorkflow, c.workflowRef()) }

func (c Claims) issuer() string {
	if c.Email != "" {
		return cmp.Or(c.Issuer, "https://github.com/login/oauth")
	}
	return cmp.Or(c.Issuer, gitHubIssuer)
}

func (c Claims) owner() string {
	owner, _, _ := strings.Cut(c.Repository, "/")
	return owner
}

func (c Claims) runURL() string {
	return fmt.Sprintf("https://github.com/%s/actions/runs/%s/attempts/%d", c.Repository, c.RunID, max(c.Attempt, 1))
}

// subject is the token's sub in GitHub's default form.
func (c Claims) subject() string {
	context := "ref:" + c.Ref
	switch {
	case c.SubjectOverride != "":
		return c.SubjectOverride
	case c.Environment != "":
		context = "environment:" + c.Environment
	case c.Trigger == "pull_request":
		context = "pull_request"
	}
	return fmt.Sprintf("repo:%s:%s", c.Repository, context)
}

// uri is the certificate's subject alternative name; nil for people.
func (c Claims) uri() (*url.URL, error) {
	if c.Email != "" && c.SAN == "" {
		return nil, nil
	}
	san := cmp.Or(c.SAN, "https://github.com/"+c.jobWorkflowRef())
	u, err := url.Parse(san)
	if err != nil {
		return nil, fmt.Errorf("parsing the subject alternative name %q: %w", san, err)
	}
	return u, nil
}

// fulcioArc is the arc of Fulcio's certificate extensions.
var fulcioArc = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1}

// values maps the last number of Fulcio's extensions to their text, as Fulcio derives them from GitHub's token
// (fulcio docs/oid-info.md).
func (c Claims) values() map[int]string {
	if c.Email != "" {
		return map[int]string{1: c.issuer(), 8: c.issuer(), 24: c.SubjectOverride}
	}
	github := func(path string) string {
		if path == "" {
			return ""
		}
		return "https://github.com/" + path
	}
	return map[int]string{
		1:  c.issuer(),
		2:  c.Trigger,
		3:  c.SHA,
		4:  c.WorkflowName,
		5:  c.Repository,
		6:  c.Ref,
		8:  c.issuer(),
		9:  github(c.jobWorkflowRef()),
		10: cmp.Or(c.SignerDigest, c.SHA),
		11: cmp.Or(c.Runner, "github-hosted"),
		12: github(c.Repository),
		13: c.SHA,
		14: c.Ref,
		15: c.RepositoryID,
		16: github(c.owner()),
		17: c.OwnerID,
		18: github(c.workflowRef()),
		19: c.SHA,
		20: c.Trigger,
		21: c.runURL(),
		22: cmp.Or(c.Visibility, "public"),
		23: c.Environment,
		24: c.subject(),
	}
}

// extensions encodes the claims: .1 to .6 are raw text, .8 to .24 DER UTF8Strings. Those in omit, and those
// without a value, are left out; override replaces values.
func (c Claims) extensions(omit []int, override map[int]string) ([]pkix.Extension, error) {
	values := c.values()
	for n, v := range override {
		values[n] = v
	}
	var out []pkix.Extension
	for n := 1; n <= 24; n++ {
		text := values[n]
		if text == "" || slices.Contains(omit, n) {
			continue
		}
		value := []byte(text)
		if n > 6 {
			der, err := asn1.MarshalWithParams(text, "utf8")
			if err != nil {
				return nil, fmt.Errorf("encoding extension .%d: %w", n, err)
			}
			value = der
		}
		out = append(out, pkix.Extension{Id: append(slices.Clone(fulcioArc), n), Value: value})
	}
	return out, nil
}
