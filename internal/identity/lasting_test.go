package identity

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAJudgementHoldsForEveryRun judges identities with and without what differs from run to run.
func TestAJudgementHoldsForEveryRun(t *testing.T) {
	policy := Policy{Project: "onnx", Issuer: GitHubActionsIssuer, Repository: Repository{Name: "onnx/onnx", ID: "1", OwnerID: "2"},
		Grades: []Grade{{Name: "ci", Workflow: "ci.yml", Refs: []*regexp.Regexp{regexp.MustCompile("^(?:refs/heads/main)$")}, Triggers: []string{"push"}, Environment: NoEnvironment}}}
	const workflow = "https://github.com/onnx/onnx/.github/workflows/ci.yml@refs/heads/main"
	commit, other := strings.Repeat("a", 40), strings.Repeat("b", 40)
	whole := Identity{SAN: workflow, SANType: SANTypeURI, Issuer: GitHubActionsIssuer, BuildSignerURI: workflow, BuildSignerDigest: commit, RunnerEnvironment: "github-hosted",
		SourceRepositoryURI: "https://github.com/onnx/onnx", SourceRepositoryDigest: commit, SourceRepositoryRef: "refs/heads/main", SourceRepositoryID: "1",
		SourceRepositoryOwnerURI: "https://github.com/onnx", SourceRepositoryOwnerID: "2", BuildConfigURI: workflow, BuildConfigDigest: commit, BuildTrigger: "push",
		RunInvocationURI: "https://github.com/onnx/onnx/actions/runs/7/attempts/1", SourceRepositoryVisibility: "public", TokenSubject: "repo:onnx/onnx:ref:refs/heads/main",
		GitHubWorkflowTrigger: "push", GitHubWorkflowSHA: commit, GitHubWorkflowRepository: "onnx/onnx", GitHubWorkflowRef: "refs/heads/main"}
	grades := map[string][]string{"": {"ci"}, "another commit": nil, "no run": {"ci"}, "another commit in the deprecated extension": nil, "no commit": {"ci"}, "another repository": nil}
	for name, edit := range map[string]func(*Identity){
		"":               func(*Identity) {},
		"another commit": func(id *Identity) { id.SourceRepositoryDigest = other },
		"no run":         func(id *Identity) { id.RunInvocationURI = "" },
		"another commit in the deprecated extension": func(id *Identity) { id.GitHubWorkflowSHA = other },
		"no commit":          func(id *Identity) { id.SourceRepositoryDigest = "" },
		"another repository": func(id *Identity) { id.SourceRepositoryURI = "https://github.com/stranger/onnx" },
	} {
		id := whole
		edit(&id)
		judged, lasting := policy.Judge(id), policy.Judge(id.Lasting())
		if diff := cmp.Diff(judged, lasting); diff != "" {
			t.Errorf("%q: %s", name, diff)
		}
		if diff := cmp.Diff(grades[name], judged.Grades); diff != "" {
			t.Errorf("%q: %s", name, diff)
		}
	}
	next := whole
	next.RunInvocationURI, next.SourceRepositoryDigest, next.GitHubWorkflowSHA = "https://github.com/onnx/onnx/actions/runs/8/attempts/1", other, other
	if diff := cmp.Diff(whole.Lasting(), next.Lasting()); diff != "" {
		t.Errorf("two runs of one job: %s", diff)
	}
}
