package identity

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const pinnedBuilder = "https://github.com/example/builder/.github/workflows/build.yml@refs/tags/v2"

// builtBy is the identity of the release job of which another workflow signs.
func builtBy(signer string) Identity {
	id := releaseIdentity()
	id.SAN, id.BuildSignerURI = signer, signer
	return id
}

func TestABuilderThatIsPinnedMaySignForTheProject(t *testing.T) {
	const own = "https://github.com/onnx/onnx/.github/workflows/reused.yml@refs/tags/v1"
	policy := onnxPolicy()
	policy.Builders = []Builder{{ID: pinnedBuilder, Level: 3}, {ID: own, Level: 3}}
	for _, c := range []struct {
		name string
		id   Identity
		want string // its grades
	}{
		{"the builder", builtBy(pinnedBuilder), "release"},
		{"the builder, escaped", builtBy(strings.Replace(pinnedBuilder, "build.yml", "buil%64.yml", 1)), "release"},
		{"one of the project's own", builtBy(own), "release"},
		{"the project itself", releaseIdentity(), "release"},
		{"another tag of the builder", builtBy(strings.Replace(pinnedBuilder, "v2", "v3", 1)), ""},
		{"the builder's branch of the tag's name", builtBy(strings.Replace(pinnedBuilder, "refs/tags", "refs/heads", 1)), ""},
		{"another workflow of the builder's", builtBy(strings.Replace(pinnedBuilder, "build.yml", "evil.yml", 1)), ""},
		{"the same workflow of another repository", builtBy(strings.Replace(pinnedBuilder, "example/builder", "evil/builder", 1)), ""},
		{"a stranger who calls the builder", func() Identity {
			id := builtBy(pinnedBuilder)
			id.SourceRepositoryURI, id.GitHubWorkflowRepository = "https://github.com/evil/evil", "evil/evil"
			return id
		}(), ""},
		{"another of the project's workflows that calls it", func() Identity {
			id := builtBy(pinnedBuilder)
			id.BuildConfigURI = strings.Replace(id.BuildConfigURI, "create_release", "evil", 1)
			return id
		}(), ""},
		{"the builder by another issuer", func() Identity { id := builtBy(pinnedBuilder); id.Issuer = "https://evil.example"; return id }(), ""},
		{"an e-mail address of that text", func() Identity { id := builtBy(pinnedBuilder); id.SANType = SANTypeEmail; return id }(), ""},
	} {
		if got := strings.Join(policy.Judge(c.id).Grades, ","); got != c.want {
			t.Errorf("%s: grades %q, want %q", c.name, got, c.want)
		}
	}
	if got := onnxPolicy().Judge(builtBy(pinnedBuilder)); len(got.Grades) != 0 {
		t.Errorf("a builder that nobody listed: %v", got.Grades)
	}
}

func TestAReusedWorkflowIsNotTheTopLevelOne(t *testing.T) {
	ownAtAnotherRef := strings.Replace(releaseIdentity().SAN, "rel-1.22.0", "rel-1.21.0", 1)
	for _, c := range []struct {
		name string
		id   Identity
		want bool
	}{
		{"a builder", builtBy(pinnedBuilder), true},
		{"a workflow of the project's that another calls", builtBy("https://github.com/onnx/onnx/.github/workflows/reused.yml@refs/tags/v1"), true},
		{"the top-level workflow", releaseIdentity(), false},
		{"the top-level workflow at another ref", builtBy(ownAtAnotherRef), false},
		{"a workflow of that name in another repository", builtBy(strings.Replace(releaseIdentity().SAN, "onnx/onnx", "evil/onnx", 1)), true},
		{"no top-level workflow told", func() Identity { id := builtBy(pinnedBuilder); id.BuildConfigURI = ""; return id }(), false},
		{"no workflow", builtBy("mailto:a@example.org"), false},
	} {
		if got := c.id.Reused(); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

func TestASLSAPredicateIsReadAsItIs(t *testing.T) {
	const builder = "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/rel-1.22.0"
	for _, c := range []struct {
		name, old, new string
		want           SLSAProvenance
	}{
		{"as GitHub writes it", "", "", SLSAProvenance{BuildType: gitHubWorkflowBuildType, Builder: builder, Dependencies: 1}},
		{"further parameters", `{"workflow": {`, `{"inputs": {"skip": "tests"}, "vars": 1, "workflow": {"if": 1, `,
			SLSAProvenance{BuildType: gitHubWorkflowBuildType, Builder: builder, Dependencies: 1, UnknownParameters: []string{"inputs", "vars", "workflow.if"}}},
		{"no dependencies", `"resolvedDependencies"`, `"x"`, SLSAProvenance{BuildType: gitHubWorkflowBuildType, Builder: builder}},
		{"another build type", "workflow/v1", "workflow/v2", SLSAProvenance{BuildType: "https://actions.github.io/buildtypes/workflow/v2", Builder: builder, Dependencies: 1}},
	} {
		predicate := strings.Replace(releasePredicate, c.old, c.new, 1)
		got, err := ReadSLSAPredicate([]byte(predicate))
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: error %v, %s", c.name, err, diff)
		}
	}
	if _, err := ReadSLSAPredicate([]byte(`[]`)); err == nil || err.Error() != "reading a SLSA predicate: it is not a JSON object" {
		t.Errorf("an array: %v", err)
	}
}

func FuzzReadSLSAPredicate(f *testing.F) {
	f.Add([]byte(releasePredicate))
	f.Add([]byte(`{"buildDefinition":{"externalParameters":{"workflow":null,"x":[]}}}`))
	f.Fuzz(func(t *testing.T, predicate []byte) {
		read, err := ReadSLSAPredicate(predicate)
		_, checked := CheckSLSAPredicate(predicate, releaseIdentity())
		if (err == nil) != (checked == nil) {
			t.Errorf("read with %v, checked with %v", err, checked)
		}
		if len(read.BuildType) > 1024 || len(read.Builder) > 1024 || len(read.UnknownParameters) > 2*maxUnknownParameters {
			t.Errorf("%+v", read)
		}
	})
}
