package identity

import (
	"encoding/json"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// onnxPolicy is the default project's policy as internal/config builds it.
func onnxPolicy() Policy {
	anchored := func(patterns ...string) (res []*regexp.Regexp) {
		for _, p := range patterns {
			res = append(res, regexp.MustCompile("^(?:"+p+")$"))
		}
		return res
	}
	const createRelease = "create_release.yml"
	return Policy{
		Project:    "onnx",
		Issuer:     GitHubActionsIssuer,
		Repository: Repository{Name: "onnx/onnx", ID: "102692863", OwnerID: "31675368"},
		Grades: []Grade{
			{Name: "release", Workflow: createRelease, Refs: anchored(`refs/heads/rel-(?P<version>\d+\.\d+\.\d+)`),
				Triggers: []string{"workflow_dispatch"}, Environment: "pypi-release", Publishes: []string{"pypi/onnx"}},
			{Name: "weekly", Workflow: createRelease, Refs: anchored(`refs/heads/main`),
				Triggers: []string{"schedule", "workflow_dispatch"}, Environment: "pypi-weekly", Publishes: []string{"pypi/onnx-weekly"}},
			{Name: "test", Workflow: createRelease, Refs: anchored(`refs/heads/(main|rel.*)`),
				Triggers: []string{"workflow_dispatch"}, Environment: "testpypi-release"},
			{Name: "ci", Workflow: createRelease, Refs: anchored(`refs/heads/(main|rel-.*)`),
				Triggers: []string{"push"}, Environment: NoEnvironment},
			{Name: "ci-dispatch", Workflow: createRelease, Refs: anchored(`.*`),
				Triggers: []string{"workflow_dispatch"}, Environment: NoEnvironment},
			{Name: "pr", Workflow: createRelease, Refs: anchored(`refs/pull/\d+/merge`),
				Triggers: []string{"pull_request"}, Environment: NoEnvironment},
			{Name: "scorecard", Workflow: "scorecard.yml", Refs: anchored(`refs/heads/main`),
				Triggers: []string{"push", "schedule", "branch_protection_rule"}, Environment: NoEnvironment},
		},
	}
}

// gitHubIdentity is what Fulcio writes for a job of a top-level workflow of onnx/onnx.
func gitHubIdentity(workflow, ref, trigger, environment string) Identity {
	const commit = "f75469120f75469120f75469120f75469120aaaa"
	uri := "https://github.com/onnx/onnx/.github/workflows/" + workflow + "@" + ref
	subject := "repo:onnx/onnx:ref:" + ref
	if environment != "" {
		subject = "repo:onnx/onnx:environment:" + environment
	}
	return Identity{
		SAN: uri, SANType: SANTypeURI, Issuer: "https://token.actions.githubusercontent.com",
		BuildSignerURI: uri, BuildSignerDigest: commit, RunnerEnvironment: "github-hosted",
		SourceRepositoryURI: "https://github.com/onnx/onnx", SourceRepositoryDigest: commit, SourceRepositoryRef: ref,
		SourceRepositoryID: "102692863", SourceRepositoryOwnerURI: "https://github.com/onnx", SourceRepositoryOwnerID: "31675368",
		BuildConfigURI: uri, BuildConfigDigest: commit, BuildTrigger: trigger,
		RunInvocationURI:           "https://github.com/onnx/onnx/actions/runs/12345678/attempts/1",
		SourceRepositoryVisibility: "public", DeploymentEnvironment: environment, TokenSubject: subject,
		GitHubWorkflowTrigger: trigger, GitHubWorkflowSHA: commit, GitHubWorkflowName: "CreateRelease",
		GitHubWorkflowRepository: "onnx/onnx", GitHubWorkflowRef: ref,
	}
}

func releaseIdentity() Identity {
	return gitHubIdentity("create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release")
}

func TestRepositoryIsNamedOnlyByACanonicalURI(t *testing.T) {
	for uri, want := range map[string]string{
		"https://github.com/onnx/onnx":             "onnx/onnx",
		"https://github.com/ONNX/onnx.github.io":   "ONNX/onnx.github.io",
		"https://github.com/octo_corp/x-y_z.1":     "octo_corp/x-y_z.1",
		"https://github.com/onnx/onnx/":            "",
		"https://github.com/onnx":                  "",
		"https://github.com/onnx/onnx/tree":        "",
		"https://github.com/onnx/..":               "",
		"https://github.com/./onnx":                "",
		"https://github.com//onnx":                 "",
		"https://github.com/onnx/onnx?x":           "",
		"https://github.com/onnx/onnx#x":           "",
		"https://github.com/onnx/on%6ex":           "",
		"https://github.com/оnnx/onnx":             "", // Cyrillic о
		"https://github.com./onnx/onnx":            "",
		"https://github.com:443/onnx/onnx":         "",
		"https://github.com.evil.tld/onnx/onnx":    "",
		"https://github.com@evil.example/onnx":     "",
		"https://evil@github.com/onnx/onnx":        "",
		"http://github.com/onnx/onnx":              "",
		"HTTPS://github.com/onnx/onnx":             "",
		"https://GitHub.com/onnx/onnx":             "",
		"github.com/onnx/onnx":                     "",
		"https://gitlab.com/onnx/onnx":             "",
		"https://xn--github-4of.com/onnx/onnx":     "",
		"https://github.com/onnx/onnx\n":           "",
		"https://ghe.example.com/onnx/onnx":        "",
		"https://evil/?u=https://github.com/o/n":   "",
		"https://github.com/onnx\\onnx":            "",
		"https://github.com/onnx/onnx.git/../evil": "",
	} {
		if got := (Identity{SourceRepositoryURI: uri, GitHubWorkflowRepository: "evil/evil"}).Repository(); got != want {
			t.Errorf("repository of %q is %q, not %q", uri, got, want)
		}
	}
	if got := (Identity{GitHubWorkflowRepository: "onnx/onnx"}).Repository(); got != "onnx/onnx" {
		t.Errorf("an old certificate's repository is %q", got)
	}
	if got := (Identity{SAN: "https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main"}).Repository(); got != "" {
		t.Errorf("a SAN alone names repository %q", got)
	}
}

func TestParseWorkflowURIAcceptsWhatGitHubWrites(t *testing.T) {
	for uri, want := range map[string]WorkflowURI{
		"https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/rel-1.22.0": {
			"onnx/onnx", ".github/workflows/create_release.yml", "create_release.yml", "refs/heads/rel-1.22.0"},
		"https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/a@b": {
			"onnx/onnx", ".github/workflows/w.yml", "w.yml", "refs/heads/a@b"},
		"https://github.com/a/.github/.github/workflows/w.yaml@0123456789012345678901234567890123456789": {
			"a/.github", ".github/workflows/w.yaml", "w.yaml", "0123456789012345678901234567890123456789"},
		"https://github.com/a/b/.github/workflows/my%20build.yml@refs/heads/%C3%A9t%C3%A9": {
			"a/b", ".github/workflows/my build.yml", "my build.yml", "refs/heads/été"},
		"https://github.com/a/b/.github/workflows/my build.yml@refs/heads/été": {
			"a/b", ".github/workflows/my build.yml", "my build.yml", "refs/heads/été"},
		"https://github.com/a/b/.github/workflows/w.yml@refs/pull/7/merge": {
			"a/b", ".github/workflows/w.yml", "w.yml", "refs/pull/7/merge"},
	} {
		got, err := ParseWorkflowURI(uri)
		if err != nil {
			t.Errorf("%v", err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", uri, diff)
		}
	}
}

// lookalikes resemble a workflow URI of onnx/onnx, or a part of one, and are none.
var lookalikes = []string{
	"",
	"https://github.com/onnx/onnx",
	"https://github.com/onnx/onnx/.github/workflows/w.yml",
	"https://github.com/onnx/onnx/.github/workflows/@refs/heads/main",
	"https://github.com/onnx/onnx/.github/workflows/w.yml@",
	"https://github.com/onnx/onnx/.github/workflows/sub/w.yml@refs/heads/main",
	"https://github.com/onnx/onnx/.github/workflows/../w.yml@refs/heads/main",
	"https://github.com/onnx/onnx/.github/workflows/..@refs/heads/main",
	"https://github.com/onnx/onnx/.github/workflows/%2e%2e@refs/heads/main",
	"https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/../../evil",
	"https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads//main",
	"https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main/",
	"https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main?x=y",
	"https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main?",
	"https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main#x",
	"https://github.com/onnx/onnx/.github/workflows/w.yml@refs%2Fheads%2fmain",
	"https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/ma%0ain",
	"https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/ma%zzin",
	"https://github.com/onnx/onnx/.github/workflows/a%5Cw.yml@refs/heads/main",
	"https://github.com/onnx/onnx/.github/workflows\\w.yml@refs/heads/main",
	"https://github.com/onnx/onnx/.github//workflows/w.yml@refs/heads/main",
	"https://github.com/onnx/onnx/.GitHub/workflows/w.yml@refs/heads/main",
	"https://github.com/onnx%2Fonnx/.github/workflows/w.yml@refs/heads/main",
	"https://github.com/onnx/onn%78/.github/workflows/w.yml@refs/heads/main",
	"https://github.com/onnx/onnx//.github/workflows/w.yml@refs/heads/main",
	"https://github.com//onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"https://github.com/evil/../onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"https://github.com/оnnx/onnx/.github/workflows/w.yml@refs/heads/main", // Cyrillic о
	"https://github.com./onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"https://github.com:443/onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"https://github.com.evil.tld/onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"https://github.com@evil.tld/onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"https://user@github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"https://GITHUB.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"HTTPS://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"http://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"https://xn--github-4of.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"https://evil.example/?u=https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"https://evil.example/https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	" https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main",
	"https://github.com/onnx/onnx/.github/workflows/w.yml@refs/heads/main\n",
	"https://gitlab.com/onnx/onnx//.gitlab-ci.yml@refs/heads/main",
}

func TestParseWorkflowURIRefusesLookalikes(t *testing.T) {
	for _, uri := range lookalikes {
		if got, err := ParseWorkflowURI(uri); err == nil {
			t.Errorf("%q parses as %+v", uri, got)
		}
	}
}

func FuzzParseWorkflowURI(f *testing.F) {
	for _, uri := range lookalikes {
		f.Add(uri)
	}
	f.Add(releaseIdentity().SAN)
	f.Fuzz(func(t *testing.T, uri string) {
		w, err := ParseWorkflowURI(uri)
		if err != nil {
			return
		}
		if !isRepositoryName(w.Repository) || w.Path != ".github/workflows/"+w.File || w.File == "" || w.Ref == "" {
			t.Errorf("%q parses as %+v", uri, w)
		}
		if repositoryOfURI("https://github.com/"+w.Repository) != w.Repository {
			t.Errorf("%q names repository %q, whose own URI does not", uri, w.Repository)
		}
	})
}

func TestLinksAreOnlyMadeOfCheckedParts(t *testing.T) {
	id := releaseIdentity()
	if got, want := id.CommitURL(), "https://github.com/onnx/onnx/commit/f75469120f75469120f75469120f75469120aaaa"; got != want {
		t.Errorf("commit URL %q, not %q", got, want)
	}
	if got, want := id.RunURL(), "https://github.com/onnx/onnx/actions/runs/12345678/attempts/1"; got != want {
		t.Errorf("run URL %q, not %q", got, want)
	}
	for _, digest := range []string{"", "F75469120F75469120F75469120F75469120AAAA", "f7546912", "x/../..", "main"} {
		id := id
		id.SourceRepositoryDigest, id.GitHubWorkflowSHA = digest, ""
		if got := id.CommitURL(); got != "" {
			t.Errorf("digest %q makes link %q", digest, got)
		}
	}
	for _, uri := range []string{
		"", "https://evil.example/onnx/onnx/actions/runs/1", "https://github.com/evil/onnx/actions/runs/1",
		"https://github.com/onnx/onnx/actions/runs/", "https://github.com/onnx/onnx/actions/runs/1/attempts/",
		"https://github.com/onnx/onnx/actions/runs/1/../../..", "https://github.com/onnx/onnx/actions/runs/1|evil",
		"javascript:alert(1)",
	} {
		id := id
		id.RunInvocationURI = uri
		if got := id.RunURL(); got != "" {
			t.Errorf("run %q makes link %q", uri, got)
		}
	}
}

func TestEnvironmentIsKnownOnlyWhereTheCertificateTells(t *testing.T) {
	for _, c := range []struct {
		id    Identity
		name  string
		known bool
	}{
		{Identity{}, "", false},
		{Identity{DeploymentEnvironment: "pypi"}, "pypi", true},
		{Identity{TokenSubject: "repo:o/n:ref:refs/heads/main"}, "", true},
		{Identity{DeploymentEnvironment: "pypi", TokenSubject: "anything"}, "pypi", true},
		{Identity{TokenSubject: "repo:o/n:environment:pypi"}, "", true}, // .24 is informational
	} {
		if name, known := c.id.Environment(); name != c.name || known != c.known {
			t.Errorf("%+v: environment %q, known %v", c.id, name, known)
		}
	}
}

func TestDescribeIsOneHarmlessLine(t *testing.T) {
	hostile := gitHubIdentity("create_release.yml", "refs/heads/x\u202e<!channel>", "push", "")
	hostile.RunnerEnvironment, hostile.Issuer = "self-hosted", "https://evil\n.example"
	reused := releaseIdentity()
	reused.SAN = "https://github.com/evil/flows/.github/workflows/w.yml@refs/tags/v1"
	old := releaseIdentity()
	old.DeploymentEnvironment, old.TokenSubject = "", ""
	for _, c := range []struct {
		id   Identity
		want string
	}{
		{releaseIdentity(), "workflow create_release.yml of onnx/onnx at refs/heads/rel-1.22.0, triggered by workflow_dispatch in environment pypi-release"},
		{old, "workflow create_release.yml of onnx/onnx at refs/heads/rel-1.22.0, triggered by workflow_dispatch"},
		{gitHubIdentity("scorecard.yml", "refs/heads/main", "schedule", ""), "workflow scorecard.yml of onnx/onnx at refs/heads/main, triggered by schedule in no environment"},
		{reused, "workflow create_release.yml of onnx/onnx at refs/heads/rel-1.22.0, triggered by workflow_dispatch in environment pypi-release, signed as https://github.com/evil/flows/.github/workflows/w.yml@refs/tags/v1"},
		{Identity{SAN: "someone@example.com", SANType: SANTypeEmail, Issuer: "https://accounts.google.com"}, "someone@example.com, authenticated by https://accounts.google.com"},
		{Identity{SAN: "https://g.codefresh.io/a/b", SANType: SANTypeURI, Issuer: "https://oidc.codefresh.io", SourceRepositoryURI: "https://github.com/onnx/onnx"}, "https://g.codefresh.io/a/b, authenticated by https://oidc.codefresh.io, building https://github.com/onnx/onnx"},
		{hostile, `workflow create_release.yml of onnx/onnx at "refs/heads/x\u202e<!channel>", triggered by push in no environment on a self-hosted runner, authenticated by "https://evil\n.example"`},
		{Identity{}, "(nothing), authenticated by (nothing)"},
	} {
		if got := c.id.Describe(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	long := Identity{SAN: string(make([]byte, 100_000)), Issuer: "x"}
	if got := len(long.Describe()); got > 2000 {
		t.Errorf("a description of %d bytes", got)
	}
}

func TestIdentityKeepsItsJSONShape(t *testing.T) {
	id := Identity{
		SAN: "san", SANType: "uri", Issuer: "1", BuildSignerURI: "9", BuildSignerDigest: "10", RunnerEnvironment: "11",
		SourceRepositoryURI: "12", SourceRepositoryDigest: "13", SourceRepositoryRef: "14", SourceRepositoryID: "15",
		SourceRepositoryOwnerURI: "16", SourceRepositoryOwnerID: "17", BuildConfigURI: "18", BuildConfigDigest: "19",
		BuildTrigger: "20", RunInvocationURI: "21", SourceRepositoryVisibility: "22", DeploymentEnvironment: "23", TokenSubject: "24",
		GitHubWorkflowTrigger: "2", GitHubWorkflowSHA: "3", GitHubWorkflowName: "4", GitHubWorkflowRepository: "5", GitHubWorkflowRef: "6",
		UnknownExtensions: map[string][]byte{"25": {0xff}},
	}
	const want = `{"san":"san","san_type":"uri","issuer":"1","build_signer_uri":"9","build_signer_digest":"10","runner_environment":"11",` +
		`"source_repository_uri":"12","source_repository_digest":"13","source_repository_ref":"14","source_repository_id":"15",` +
		`"source_repository_owner_uri":"16","source_repository_owner_id":"17","build_config_uri":"18","build_config_digest":"19",` +
		`"build_trigger":"20","run_invocation_uri":"21","source_repository_visibility":"22","deployment_environment":"23","token_subject":"24",` +
		`"github_workflow_trigger":"2","github_workflow_sha":"3","github_workflow_name":"4","github_workflow_repository":"5","github_workflow_ref":"6",` +
		`"unknown_extensions":{"25":"/w=="}}`
	got, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var back Identity
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(id, back); diff != "" {
		t.Errorf("it does not decode to what it was (-want +got):\n%s", diff)
	}
	if got, _ := json.Marshal(Identity{}); string(got) != `{"san":"","san_type":"","issuer":""}` {
		t.Errorf("an empty identity is %s", got)
	}
}
