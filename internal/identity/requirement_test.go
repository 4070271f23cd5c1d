package identity

import (
	"testing"
)

func TestRequirementAsksForEveryFieldGiven(t *testing.T) {
	const workflow = "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/rel-1.22.0"
	id := Identity{SAN: workflow, SANType: SANTypeURI, Issuer: GitHubActionsIssuer, SourceRepositoryURI: "https://github.com/onnx/onnx",
		SourceRepositoryRef: "refs/heads/rel-1.22.0", BuildConfigURI: workflow}
	caller := id
	caller.SAN = "https://github.com/other/builder/.github/workflows/create_release.yml@refs/tags/v1"
	ci := id
	ci.Issuer = "https://oidc.codefresh.io"
	for name, c := range map[string]struct {
		id     Identity
		asked  Requirement
		missed string // the first field
	}{
		"nothing asked":              {id, Requirement{}, ""},
		"the repository":             {id, Requirement{Repository: "onnx/onnx"}, ""},
		"the repository in capitals": {id, Requirement{Repository: "ONNX/onnx"}, ""},
		"all of it":                  {id, Requirement{SAN: workflow, Issuer: GitHubActionsIssuer, Repository: "onnx/onnx", Workflow: "create_release.yml", Ref: "refs/heads/rel-1.22.0"}, ""},
		"a longer name":              {id, Requirement{Repository: "onnx/onnx-tensorrt"}, "source_repository_uri"},
		"another workflow":           {id, Requirement{Workflow: "scorecard.yml"}, "workflow"},
		"a ref's beginning":          {id, Requirement{Ref: "refs/heads/rel-1"}, "source_repository_ref"},
		"a SAN's beginning":          {id, Requirement{SAN: "https://github.com/onnx/onnx/"}, "san"},
		"an issuer's beginning":      {id, Requirement{Issuer: "https://token.actions"}, "issuer"},
		"a stranger's workflow":      {caller, Requirement{Repository: "onnx/onnx"}, "san"},
		"another CI's clone":         {ci, Requirement{Repository: "onnx/onnx"}, "issuer"},
		"another CI that is asked":   {ci, Requirement{Repository: "onnx/onnx", Issuer: "https://oidc.codefresh.io"}, ""},
	} {
		missed := c.asked.Check(c.id)
		got := ""
		if len(missed) > 0 {
			got = missed[0].Field
		}
		if got != c.missed {
			t.Errorf("%s: missed %v, want %q first", name, missed, c.missed)
		}
	}
}
