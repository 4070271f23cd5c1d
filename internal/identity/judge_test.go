package identity

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJudgeKnowsEveryGrade(t *testing.T) {
	noEnvironmentTold := func(id Identity) Identity {
		id.DeploymentEnvironment, id.TokenSubject = "", ""
		return id
	}
	const create = "create_release.yml"
	for _, c := range []struct {
		name   string
		id     Identity
		grades string // joined by commas; "" for unexpected
	}{
		{"release", releaseIdentity(), "release"},
		{"release of another branch", gitHubIdentity(create, "refs/heads/rel-1.20.1", "workflow_dispatch", "pypi-release"), "release"},
		{"weekly by schedule", gitHubIdentity(create, "refs/heads/main", "schedule", "pypi-weekly"), "weekly"},
		{"weekly by hand", gitHubIdentity(create, "refs/heads/main", "workflow_dispatch", "pypi-weekly"), "weekly"},
		{"test from main", gitHubIdentity(create, "refs/heads/main", "workflow_dispatch", "testpypi-release"), "test"},
		{"test from a release branch", gitHubIdentity(create, "refs/heads/rel-1.22.0", "workflow_dispatch", "testpypi-release"), "test"},
		{"ci on main", gitHubIdentity(create, "refs/heads/main", "push", ""), "ci"},
		{"ci on a release branch", gitHubIdentity(create, "refs/heads/rel-1.22.0", "push", ""), "ci"},
		{"ci-dispatch", gitHubIdentity(create, "refs/heads/some-feature", "workflow_dispatch", ""), "ci-dispatch"},
		{"ci-dispatch on a tag", gitHubIdentity(create, "refs/tags/v1.22.0", "workflow_dispatch", ""), "ci-dispatch"},
		{"pr", gitHubIdentity(create, "refs/pull/7951/merge", "pull_request", ""), "pr"},
		{"scorecard on push", gitHubIdentity("scorecard.yml", "refs/heads/main", "push", ""), "scorecard"},
		{"scorecard by schedule", gitHubIdentity("scorecard.yml", "refs/heads/main", "schedule", ""), "scorecard"},
		{"scorecard on a rule's change", gitHubIdentity("scorecard.yml", "refs/heads/main", "branch_protection_rule", ""), "scorecard"},

		{"release that does not tell its environment", noEnvironmentTold(releaseIdentity()), "release,test,ci-dispatch"},
		{"weekly by schedule, environment untold", noEnvironmentTold(gitHubIdentity(create, "refs/heads/main", "schedule", "")), "weekly"},
		{"weekly by hand, environment untold", noEnvironmentTold(gitHubIdentity(create, "refs/heads/main", "workflow_dispatch", "")), "weekly,test,ci-dispatch"},
		{"pr, environment untold", noEnvironmentTold(gitHubIdentity(create, "refs/pull/1/merge", "pull_request", "")), "pr"},

		{"release from a release candidate's tag", gitHubIdentity(create, "refs/tags/v1.22.0", "workflow_dispatch", "pypi-release"), ""},
		{"release from main", gitHubIdentity(create, "refs/heads/main", "workflow_dispatch", "pypi-release"), ""},
		{"release from a branch that only begins so", gitHubIdentity(create, "refs/heads/rel-1.22.0-fix", "workflow_dispatch", "pypi-release"), ""},
		{"release from a branch that only ends so", gitHubIdentity(create, "refs/heads/evil/refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"), ""},
		{"release from a tag named like the branch", gitHubIdentity(create, "refs/tags/rel-1.22.0", "workflow_dispatch", "pypi-release"), ""},
		{"release on push", gitHubIdentity(create, "refs/heads/rel-1.22.0", "push", "pypi-release"), ""},
		{"weekly from a feature branch", gitHubIdentity(create, "refs/heads/feature", "workflow_dispatch", "pypi-weekly"), ""},
		{"unknown environment", gitHubIdentity(create, "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi"), ""},
		{"environment of another case", gitHubIdentity(create, "refs/heads/rel-1.22.0", "workflow_dispatch", "PyPI-Release"), ""},
		{"environment named none", gitHubIdentity(create, "refs/heads/main", "push", "none"), ""},
		{"environment named any", gitHubIdentity(create, "refs/heads/main", "push", "any"), ""},
		{"pr with an environment", gitHubIdentity(create, "refs/pull/7/merge", "pull_request", "pypi-release"), ""},
		{"pr's head", gitHubIdentity(create, "refs/pull/7/head", "pull_request", ""), ""},
		{"pr with the target's rights", gitHubIdentity(create, "refs/heads/main", "pull_request_target", ""), ""},
		{"unknown workflow", gitHubIdentity("evil.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"), ""},
		{"workflow of another case", gitHubIdentity("Create_Release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"), ""},
		{"local reusable workflow", gitHubIdentity("release_linux_cibw.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", ""), ""},
		{"scorecard by hand", gitHubIdentity("scorecard.yml", "refs/heads/main", "workflow_dispatch", ""), ""},
		{"scorecard on a branch", gitHubIdentity("scorecard.yml", "refs/heads/rel-1.22.0", "push", ""), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := onnxPolicy().Judge(c.id)
			if got := strings.Join(j.Grades, ","); got != c.grades {
				t.Errorf("grades %q, not %q", got, c.grades)
			}
			if want := map[bool]Match{true: "expected", false: "unexpected"}[c.grades != ""]; j.Match != want {
				t.Errorf("%s, not %s", j.Match, want)
			}
			if j.Class != "self" || len(j.Mismatches) != 0 || j.IDs != "match" {
				t.Errorf("class %s, mismatches %v, ids %s", j.Class, j.Mismatches, j.IDs)
			}
			if got := len(j.Grades) + len(j.ByGrade); got != 7 {
				t.Errorf("%d of 7 grades are accounted for", got)
			}
		})
	}
}

func TestJudgeSaysWhatIsNotTheRepositorysOwn(t *testing.T) {
	const (
		foreignFlow = "https://github.com/evil/flows/.github/workflows/create_release.yml@refs/heads/rel-1.22.0"
		ourFlow     = "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/rel-1.22.0"
	)
	for _, c := range []struct {
		name   string
		change func(*Identity)
		class  Class
		fields string // of the mismatches, joined by commas
	}{
		{"enterprise issuer", func(id *Identity) { id.Issuer += "/onnx" }, "self", "issuer"},
		{"issuer with a slash", func(id *Identity) { id.Issuer += "/" }, "self", "issuer"},
		{"issuer in upper case", func(id *Identity) { id.Issuer = strings.ToUpper(id.Issuer) }, "self", "issuer"},
		{"issuer that only begins so", func(id *Identity) { id.Issuer += ".evil.tld" }, "self", "issuer"},
		{"no issuer", func(id *Identity) { id.Issuer = "" }, "self", "issuer"},
		{"other repository id", func(id *Identity) { id.SourceRepositoryID = "1" }, "self", "source_repository_id"},
		{"other owner id", func(id *Identity) { id.SourceRepositoryOwnerID = "1" }, "self", "source_repository_owner_id"},
		{"id with a leading zero", func(id *Identity) { id.SourceRepositoryID = "0102692863" }, "self", "source_repository_id"},
		{"private", func(id *Identity) { id.SourceRepositoryVisibility = "private" }, "self", "source_repository_visibility"},
		{"internal", func(id *Identity) { id.SourceRepositoryVisibility = "internal" }, "self", "source_repository_visibility"},
		{"other owner URI", func(id *Identity) { id.SourceRepositoryOwnerURI = "https://github.com/evil" }, "self", "source_repository_owner_uri"},

		{"reusable workflow of somebody", func(id *Identity) { id.SAN, id.BuildSignerURI = foreignFlow, foreignFlow }, "reusable-workflow", "san"},
		{"our workflow called by somebody", func(id *Identity) {
			id.SourceRepositoryURI, id.GitHubWorkflowRepository = "https://github.com/evil/evil", "evil/evil"
			id.SourceRepositoryOwnerURI, id.SourceRepositoryID, id.SourceRepositoryOwnerID = "https://github.com/evil", "7", "8"
			id.BuildConfigURI = "https://github.com/evil/evil/.github/workflows/x.yml@refs/heads/rel-1.22.0"
		}, "foreign-caller", "source_repository_uri,source_repository_owner_uri,source_repository_id,source_repository_owner_id,build_config_uri,san"},
		{"our workflow, source untold", func(id *Identity) { id.SourceRepositoryURI, id.GitHubWorkflowRepository = "", "" }, "foreign-caller", "source_repository_uri"},
		{"local reusable workflow", func(id *Identity) {
			id.SAN = "https://github.com/onnx/onnx/.github/workflows/release_linux_cibw.yml@refs/heads/rel-1.22.0"
			id.BuildSignerURI = id.SAN
		}, "self", "san"},
		{"SAN of another ref", func(id *Identity) {
			id.SAN = "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/evil"
			id.BuildSignerURI = id.SAN
		}, "self", "san"},
		{"build signer differs from SAN", func(id *Identity) { id.BuildSignerURI = foreignFlow }, "self", "build_signer_uri"},
		{"build config of another repository", func(id *Identity) { id.BuildConfigURI = foreignFlow }, "self", "build_config_uri"},
		{"build config of another ref", func(id *Identity) {
			id.BuildConfigURI = "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/main"
		}, "self", "build_config_uri,san"},
		{"build config of another file", func(id *Identity) {
			id.BuildConfigURI = "https://github.com/onnx/onnx/.github/workflows/evil.yml@refs/heads/rel-1.22.0"
		}, "self", "san"},
		{"source ref differs from all workflows' refs", func(id *Identity) {
			id.SourceRepositoryRef, id.GitHubWorkflowRef = "refs/heads/rel-1.21.0", "refs/heads/rel-1.21.0"
		}, "self", "build_config_uri"},
		{"deprecated trigger contradicts", func(id *Identity) { id.GitHubWorkflowTrigger = "push" }, "self", "github_workflow_trigger"},
		{"deprecated commit contradicts", func(id *Identity) { id.GitHubWorkflowSHA = strings.Repeat("a", 40) }, "self", "github_workflow_sha"},
		{"deprecated repository contradicts", func(id *Identity) { id.GitHubWorkflowRepository = "evil/onnx" }, "self", "github_workflow_repository"},
		{"deprecated ref contradicts", func(id *Identity) { id.GitHubWorkflowRef = "refs/heads/main" }, "self", "github_workflow_ref"},
		{"SAN of another kind", func(id *Identity) { id.SANType = SANTypeOtherName }, "reusable-workflow", "san"},

		{"sibling repository", rename("onnx/onnx-tensorrt"), "other", otherFields},
		{"repository with a dot", rename("onnx/onnx.github.io"), "other", otherFields},
		{"fork", rename("someone/onnx"), "other", "san,source_repository_uri,source_repository_owner_uri,source_repository_id,source_repository_owner_id,build_config_uri"},
		{"owner with a hyphen", rename("onnx-/onnx"), "other", "san,source_repository_uri,source_repository_owner_uri,source_repository_id,source_repository_owner_id,build_config_uri"},
		{"zero for o", rename("0nnx/onnx"), "other", "san,source_repository_uri,source_repository_owner_uri,source_repository_id,source_repository_owner_id,build_config_uri"},
		{"one x more", rename("onnxx/onnx"), "other", "san,source_repository_uri,source_repository_owner_uri,source_repository_id,source_repository_owner_id,build_config_uri"},
		{"underscore", rename("onnx/onnx_"), "other", otherFields},
		{"Cyrillic letter", rename("оnnx/onnx"), "other", "san,source_repository_uri,source_repository_owner_uri,source_repository_id,source_repository_owner_id,build_config_uri"},
		{"renamed", func(id *Identity) {
			rename("onnx/onnx-core")(id)
			id.SourceRepositoryID, id.SourceRepositoryOwnerID = "102692863", "31675368"
		}, "renamed", "san,source_repository_uri,build_config_uri"},

		{"Codefresh builds a clone", third("https://oidc.codefresh.io", "https://g.codefresh.io/a/b:c/d", "https://github.com/onnx/onnx"), "third-party-ci", "issuer,san"},
		{"Codefresh, with .git", third("https://oidc.codefresh.io", "https://g.codefresh.io/a/b:c/d", "https://github.com/ONNX/onnx.git"), "third-party-ci", "issuer,san,source_repository_uri"},
		{"Codefresh, by ssh", third("https://oidc.codefresh.io", "https://g.codefresh.io/a/b:c/d", "git@github.com:onnx/onnx.git"), "third-party-ci", "issuer,san,source_repository_uri"},
		{"CircleCI builds a clone", third("https://oidc.circleci.com", "https://circleci.com/api/v2/projects/x/pipeline-definitions/y", "github.com/onnx/onnx"), "third-party-ci", "issuer,san,source_repository_uri"},
		{"Codefresh builds something else", third("https://oidc.codefresh.io", "https://g.codefresh.io/a/b:c/d", "https://github.com/onnx/onnx-mlir"), "other", "issuer,san,source_repository_uri"},
		{"GitLab", third("https://gitlab.com", "https://gitlab.com/onnx/onnx//.gitlab-ci.yml@refs/heads/main", "https://gitlab.com/onnx/onnx"), "other", "issuer,san,source_repository_uri"},
		{"person", func(id *Identity) {
			*id = Identity{SAN: "someone@example.com", SANType: SANTypeEmail, Issuer: "https://github.com/login/oauth"}
		}, "other", "issuer,san,source_repository_uri"},
		{"person whose address is our workflow", func(id *Identity) {
			*id = Identity{SAN: ourFlow, SANType: SANTypeEmail, Issuer: GitHubActionsIssuer}
		}, "other", "san,source_repository_uri"},
		{"nothing at all", func(id *Identity) { *id = Identity{} }, "other", "issuer,san,source_repository_uri"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := releaseIdentity()
			c.change(&id)
			j := onnxPolicy().Judge(id)
			if j.Match != Unexpected || len(j.Grades) != 0 {
				t.Errorf("%s, grades %v", j.Match, j.Grades)
			}
			if j.Class != c.class {
				t.Errorf("class %s, not %s", j.Class, c.class)
			}
			var fields []string
			for _, m := range j.Mismatches {
				fields = append(fields, m.Field)
			}
			if got := strings.Join(fields, ","); got != c.fields {
				t.Errorf("mismatches in %s\nnot in          %s", got, c.fields)
			}
		})
	}
}

const otherFields = "san,source_repository_uri,source_repository_id,build_config_uri"

// rename makes an identity that of another repository of GitHub, with its own ids.
func rename(name string) func(*Identity) {
	return func(id *Identity) {
		owner, _, _ := strings.Cut(name, "/")
		for _, s := range []*string{&id.SAN, &id.BuildSignerURI, &id.BuildConfigURI, &id.SourceRepositoryURI, &id.RunInvocationURI} {
			*s = strings.Replace(*s, "onnx/onnx", name, 1)
		}
		id.SourceRepositoryOwnerURI = "https://github.com/" + owner
		id.GitHubWorkflowRepository = name
		id.SourceRepositoryID = "4242"
		if owner != "onnx" {
			id.SourceRepositoryOwnerID = "2424"
		}
	}
}

// third makes an identity that of another CI service.
func third(issuer, san, source string) func(*Identity) {
	return func(id *Identity) {
		*id = Identity{SAN: san, SANType: SANTypeURI, Issuer: issuer, SourceRepositoryURI: source}
	}
}

// No look-alike of a workflow URI may pass for one of the repository, wherever it stands.
func TestJudgeExpectsNoLookalike(t *testing.T) {
	for _, uri := range lookalikes {
		uri := strings.NewReplacer("/w.yml", "/create_release.yml", "refs/heads/main", "refs/heads/rel-1.22.0").Replace(uri)
		for name, change := range map[string]func(*Identity){
			"san":               func(id *Identity) { id.SAN = uri },
			"san and signer":    func(id *Identity) { id.SAN, id.BuildSignerURI = uri, uri },
			"all three":         func(id *Identity) { id.SAN, id.BuildSignerURI, id.BuildConfigURI = uri, uri, uri },
			"san alone is told": func(id *Identity) { id.SAN, id.BuildSignerURI, id.BuildConfigURI = uri, "", "" },
		} {
			id := releaseIdentity()
			change(&id)
			if j := onnxPolicy().Judge(id); j.Match == Expected {
				t.Errorf("%q as %s is expected", uri, name)
			}
		}
	}
}

func TestJudgeIgnoresTheCaseOfNamesAndNotesIt(t *testing.T) {
	id := releaseIdentity()
	for _, s := range []*string{&id.SAN, &id.BuildSignerURI, &id.BuildConfigURI, &id.SourceRepositoryURI} {
		*s = strings.Replace(*s, "onnx/onnx", "ONNX/Onnx", 1)
	}
	id.SourceRepositoryOwnerURI, id.GitHubWorkflowRepository = "https://github.com/ONNX", "ONNX/Onnx"
	j := onnxPolicy().Judge(id)
	if j.Match != Expected || j.Class != ClassSelf {
		t.Errorf("%s, class %s, mismatches %v", j.Match, j.Class, j.Mismatches)
	}
	want := []string{`the certificate spells the repository "ONNX/Onnx", the policy "onnx/onnx"`}
	if diff := cmp.Diff(want, j.Notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

func TestJudgeReadsThroughTheEscapesOfTheSAN(t *testing.T) {
	id := gitHubIdentity("create_release.yml", "refs/heads/été", "workflow_dispatch", "")
	id.SAN = "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/%C3%A9t%C3%A9"
	if j := onnxPolicy().Judge(id); j.Match != Expected || len(j.Grades) != 1 || j.Grades[0] != "ci-dispatch" {
		t.Errorf("%s as %v: %v", j.Match, j.Grades, j.Mismatches)
	}
}

func TestJudgeKeepsIDsApartFromNames(t *testing.T) {
	other := releaseIdentity()
	other.SourceRepositoryID = "1"
	untold := releaseIdentity()
	untold.SourceRepositoryID, untold.SourceRepositoryOwnerID = "", ""
	ownerOnly := releaseIdentity()
	ownerOnly.SourceRepositoryID = ""
	ids := func(id, owner string, unconfirmed bool) func(*Policy) {
		return func(p *Policy) {
			p.Repository.ID, p.Repository.OwnerID, p.Repository.IDsUnconfirmed = id, owner, unconfirmed
		}
	}
	for _, c := range []struct {
		name    string
		policy  func(*Policy)
		id      Identity
		match   Match
		state   IDState
		unknown string
		note    string
	}{
		{"confirmed and equal", ids("102692863", "31675368", false), releaseIdentity(), Expected, IDsMatch, "", ""},
		{"confirmed and different", ids("102692863", "31675368", false), other, Unexpected, IDsMismatch, "", ""},
		{"unconfirmed and equal", ids("102692863", "31675368", true), releaseIdentity(), Expected, IDsMatch, "", ""},
		{"unconfirmed and different", ids("102692863", "31675368", true), other, Expected, IDsMismatch, "",
			`source_repository_id is "1", not "102692863"; the policy's ids are not confirmed`},
		{"none configured", ids("", "", true), other, Expected, IDsUnavailable, "", ""},
		{"none in the certificate", ids("102692863", "31675368", false), untold, Expected, IDsUnavailable,
			"source_repository_id,source_repository_owner_id", ""},
		{"owner's only in the certificate", ids("102692863", "31675368", false), ownerOnly, Expected, IDsUnavailable, "source_repository_id", ""},
		{"only the owner's configured", ids("", "31675368", false), other, Expected, IDsUnavailable, "", ""},
		{"owner's different, repository's untold", ids("102692863", "7", false), ownerOnly, Unexpected, IDsMismatch, "source_repository_id", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := onnxPolicy()
			c.policy(&p)
			j := p.Judge(c.id)
			if j.Match != c.match || j.IDs != c.state {
				t.Errorf("%s, ids %s", j.Match, j.IDs)
			}
			if got := strings.Join(j.Unknown, ","); got != c.unknown {
				t.Errorf("unknown %q, not %q", got, c.unknown)
			}
			if got := strings.Join(j.Notes, "\n"); got != c.note {
				t.Errorf("notes %q, not %q", got, c.note)
			}
			if want := p.Repository.IDsUnconfirmed && p.Repository.ID != ""; j.IDsUnconfirmed != want {
				t.Errorf("unconfirmed is %v", j.IDsUnconfirmed)
			}
		})
	}
}

func TestJudgeAcceptsACertificateOfBefore2023AndSaysWhatItDoesNotTell(t *testing.T) {
	full := releaseIdentity()
	old := Identity{
		SAN: full.SAN, SANType: full.SANType, Issuer: full.Issuer,
		GitHubWorkflowTrigger: full.GitHubWorkflowTrigger, GitHubWorkflowSHA: full.GitHubWorkflowSHA,
		GitHubWorkflowName: "x", GitHubWorkflowRepository: "onnx/onnx", GitHubWorkflowRef: full.GitHubWorkflowRef,
	}
	j := onnxPolicy().Judge(old)
	if diff := cmp.Diff([]string{"release", "test", "ci-dispatch"}, j.Grades); diff != "" {
		t.Errorf("grades (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"source_repository_id", "source_repository_owner_id", "source_repository_visibility",
		"deployment_environment", "runner_environment"}, j.Unknown); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
	old.GitHubWorkflowRef = "refs/heads/rel-1.21.0"
	if j := onnxPolicy().Judge(old); j.Match != Unexpected || len(j.Mismatches) != 1 || j.Mismatches[0].Field != "san" {
		t.Errorf("a SAN at another ref is %s: %v", j.Match, j.Mismatches)
	}
}

func TestJudgeExplainsTheClosestGradeFirst(t *testing.T) {
	id := gitHubIdentity("create_release.yml", "refs/tags/v1.22.0", "workflow_dispatch", "pypi-release")
	id.RunnerEnvironment = "self-hosted"
	j := onnxPolicy().Judge(id)
	want := []GradeMismatches{
		{"release", []Mismatch{
			{"source_repository_ref", "refs/tags/v1.22.0", `refs/heads/rel-(?P<version>\d+\.\d+\.\d+)`},
			{"runner_environment", "self-hosted", "github-hosted"}}},
		{"ci-dispatch", []Mismatch{
			{"deployment_environment", "pypi-release", "none"},
			{"runner_environment", "self-hosted", "github-hosted"}}},
	}
	if diff := cmp.Diff(want, j.ByGrade[:2]); diff != "" {
		t.Errorf("closest grades (-want +got):\n%s", diff)
	}
	if last := j.ByGrade[len(j.ByGrade)-1]; last.Grade != "scorecard" || len(last.Mismatches) != 5 {
		t.Errorf("farthest grade %+v", last)
	}

	foreignID := releaseIdentity()
	foreignID.SourceRepositoryID = "1"
	j = onnxPolicy().Judge(foreignID)
	if diff := cmp.Diff(GradeMismatches{Grade: "release"}, j.ByGrade[0]); diff != "" {
		t.Errorf("the grade that only the identity's own mismatch excludes (-want +got):\n%s", diff)
	}
}

func TestJudgeAsksForTheRunnerThatTheGradeNames(t *testing.T) {
	for _, c := range []struct {
		want, got string
		match     Match
	}{
		{"", "github-hosted", Expected}, {"", "self-hosted", Unexpected}, {"github-hosted", "self-hosted", Unexpected},
		{"self-hosted", "self-hosted", Expected}, {"self-hosted", "github-hosted", Unexpected},
		{"any", "self-hosted", Expected}, {"any", "whatever", Expected}, {"", "", Expected},
	} {
		p := onnxPolicy()
		p.Grades = p.Grades[:1]
		p.Grades[0].Runner = c.want
		id := releaseIdentity()
		id.RunnerEnvironment = c.got
		if j := p.Judge(id); j.Match != c.match {
			t.Errorf("runner %q where the grade says %q: %s", c.got, c.want, j.Match)
		}
	}
}

func TestJudgeHoldsAnEmptyPolicyToExpectNothing(t *testing.T) {
	for _, p := range []Policy{{}, {Repository: Repository{Name: "onnx/onnx"}}, {Grades: onnxPolicy().Grades}} {
		for _, id := range []Identity{releaseIdentity(), {}, {SAN: "x@y", SANType: SANTypeEmail}} {
			if j := p.Judge(id); j.Match != Unexpected {
				t.Errorf("policy %+v expects %+v", p, id)
			}
		}
	}
}

func TestRefVersionIsWhatThePatternNames(t *testing.T) {
	release, weekly := onnxPolicy().Grades[0], onnxPolicy().Grades[1]
	if v, ok := release.RefVersion("refs/heads/rel-1.22.0"); v != "1.22.0" || !ok {
		t.Errorf("version %q, %v", v, ok)
	}
	for _, ref := range []string{"refs/heads/main", "refs/heads/rel-1.22.0x", ""} {
		if v, ok := release.RefVersion(ref); ok {
			t.Errorf("ref %q has version %q", ref, v)
		}
	}
	if v, ok := weekly.RefVersion("refs/heads/main"); ok {
		t.Errorf("a pattern without the group gives version %q", v)
	}
}
