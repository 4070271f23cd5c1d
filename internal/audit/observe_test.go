package audit

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// judgedAt is when policies are held against what was seen.
var judgedAt = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// signedBy is an attestation of a file by a job of example/widget.
func signedBy(version, ref string, edit ...func(*ObservedSignature)) ObservedSignature {
	id := &identity.Identity{
		SAN: "https://github.com/example/widget/.github/workflows/release.yml@" + ref, SANType: identity.SANTypeURI, Issuer: identity.GitHubActionsIssuer,
		SourceRepositoryURI: "https://github.com/example/widget", SourceRepositoryRef: ref, SourceRepositoryID: "77", SourceRepositoryOwnerID: "78",
		SourceRepositoryOwnerURI: "https://github.com/example", BuildConfigURI: "https://github.com/example/widget/.github/workflows/release.yml@" + ref,
		BuildTrigger: "push", RunnerEnvironment: "github-hosted", SourceRepositoryVisibility: "public", DeploymentEnvironment: "pypi", TokenSubject: "repo:example/widget:environment:pypi",
	}
	s := ObservedSignature{
		File:             pypi.File{Filename: "widget-" + version + ".tar.gz", Version: version, SHA256: strings.Repeat("0", 64), ProvenanceURL: "x", UploadedAt: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)},
		AttestationFacts: AttestationFacts{Status: attest.Verified, PredicateType: attest.PredicatePublish, Identity: id, Publisher: attest.Publisher{Kind: "GitHub", Repository: "example/widget", Workflow: "release.yml", Environment: "pypi"}},
	}
	for _, e := range edit {
		e(&s)
	}
	return s
}

// observed is what was seen of a project of these signatures, and of no others.
func observed(signatures ...ObservedSignature) *Observation {
	x := &Observation{Index: config.Index{Name: "pypi", URL: "https://pypi.org"}, Project: "widget", Signatures: signatures, Attested: len(signatures), Files: len(signatures)}
	for i, s := range signatures {
		if i == 0 {
			x.First, x.LowestVersion = s.File, s.File.Version
		}
		if olderThan(s.File.Version, x.LowestVersion) {
			x.LowestVersion = s.File.Version
		}
		x.Releases = append(x.Releases, ObservedRelease{Version: s.File.Version, Files: []pypi.File{s.File}, Looked: 1})
	}
	return x
}

// policyOf writes the policy, and reads it as anybody would.
func policyOf(t *testing.T, x *Observation) (string, []string, *config.Config) {
	t.Helper()
	text, left, err := x.PolicyText(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC), "https://pypi.org")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("monitor.yaml", text, config.Options{Rules: RuleIDs()})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return string(text), left, cfg
}

func TestRefsAreGeneralisedNoFurtherThanWhatWasSeen(t *testing.T) {
	for name, c := range map[string]struct {
		signatures []ObservedSignature
		want       []string
		// not are refs that the policy must not accept.
		not []string
	}{
		"tags":                    {[]ObservedSignature{signedBy("1.0.0", "refs/tags/v1.0.0"), signedBy("1.2.10", "refs/tags/v1.2.10")}, []string{`refs/tags/v(?P<version>\d+\.\d+\.\d+)`}, []string{"refs/tags/v1.0", "refs/tags/v1.0.0-evil", "refs/heads/v1.0.0", "refs/tags/xv1.0.0"}},
		"tags of several lengths": {[]ObservedSignature{signedBy("1.0", "refs/tags/1.0"), signedBy("1.0.1", "refs/tags/1.0.1")}, []string{`refs/tags/(?P<version>\d+(?:\.\d+)*)`}, []string{"refs/tags/1.x"}},
		"candidates":              {[]ObservedSignature{signedBy("1.0.0rc1", "refs/tags/v1.0.0rc1"), signedBy("1.0.0", "refs/tags/v1.0.0")}, []string{`refs/tags/v(?P<version>\d+\.\d+\.\d+(?:[-_.]?(?:a|b|rc|alpha|beta|post|dev)[-_.]?\d+)*)`}, []string{"refs/tags/v1.0.0evil1"}},
		"a release's branch":      {[]ObservedSignature{signedBy("1.22.0rc1", "refs/heads/rel-1.22.0"), signedBy("1.21.0", "refs/heads/rel-1.21.0")}, []string{`refs/heads/rel-(?P<version>\d+\.\d+\.\d+)`}, []string{"refs/heads/rel-1.22.0/x"}},
		"a branch":                {[]ObservedSignature{signedBy("1.0.0", "refs/heads/main"), signedBy("1.0.1", "refs/heads/main")}, []string{"refs/heads/main"}, []string{"refs/heads/mainly", "refs/heads/other"}},
		"a branch with signs":     {[]ObservedSignature{signedBy("1.0.0", "refs/heads/a.b+c")}, []string{`refs/heads/a\.b\+c`}, []string{"refs/heads/aXb+c"}},
		"not all of one form":     {[]ObservedSignature{signedBy("1.0.0", "refs/tags/v1.0.0"), signedBy("1.0.1", "refs/heads/main")}, []string{`refs/tags/v1\.0\.0`, "refs/heads/main"}, []string{"refs/tags/v1.0.1"}},
		"a version that is twice": {[]ObservedSignature{signedBy("1.0", "refs/heads/1.0/1.0")}, []string{`refs/heads/1\.0/1\.0`}, []string{"refs/heads/2.0/2.0"}},
		"another version":         {[]ObservedSignature{signedBy("2.0.0", "refs/tags/v1.0.0")}, []string{`refs/tags/v1\.0\.0`}, []string{"refs/tags/v2.0.0"}},
	} {
		x := observed(c.signatures...)
		text, left, cfg := policyOf(t, x)
		if len(left) > 0 || len(cfg.Projects[0].Policy.Grades) != 1 {
			t.Errorf("%s: left %q, %d grades", name, left, len(cfg.Projects[0].Policy.Grades))
		}
		var refs []string
		for _, re := range cfg.Projects[0].Policy.Grades[0].Refs {
			refs = append(refs, strings.TrimSuffix(strings.TrimPrefix(re.String(), "^(?:"), ")$"))
			for _, ref := range c.not {
				if re.MatchString(ref) {
					t.Errorf("%s: %s matches %s", name, re, ref)
				}
			}
		}
		if !slices.Equal(refs, c.want) {
			t.Errorf("%s: refs %q, want %q", name, refs, c.want)
		}
		if found := x.Judge(cfg.Projects[0].Policy, judgedAt); len(found) > 0 {
			t.Errorf("%s: a pass would find %q with\n%s", name, found, text)
		}
	}
}

func TestEachPublisherIsAGrade(t *testing.T) {
	nightly := func(s *ObservedSignature) {
		s.Identity.BuildTrigger, s.Identity.DeploymentEnvironment, s.Publisher.Environment = "schedule", "pypi-nightly", "pypi-nightly"
	}
	byHand := func(s *ObservedSignature) { nightly(s); s.Identity.BuildTrigger = "workflow_dispatch" }
	none := func(s *ObservedSignature) { s.Identity.DeploymentEnvironment, s.Publisher.Environment = "", "" }
	old := func(s *ObservedSignature) { none(s); s.Identity.TokenSubject = "" }
	recorded := func(s *ObservedSignature) { old(s); s.Publisher.Environment = "pypi" }
	hosted := func(s *ObservedSignature) { s.Identity.RunnerEnvironment = "self-hosted" }
	for name, c := range map[string]struct {
		signatures []ObservedSignature
		want       string // name, environment, triggers and runner of each grade
	}{
		"one":                              {[]ObservedSignature{signedBy("1.0", "refs/tags/1.0")}, "pypi pypi push github-hosted"},
		"two environments":                 {[]ObservedSignature{signedBy("1.0", "refs/tags/1.0"), signedBy("1.1.dev1", "refs/heads/main", nightly), signedBy("1.1.dev2", "refs/heads/main", byHand)}, "pypi pypi push github-hosted; pypi-nightly pypi-nightly schedule,workflow_dispatch github-hosted"},
		"no environment":                   {[]ObservedSignature{signedBy("1.0", "refs/tags/1.0", none)}, "release none push github-hosted"},
		"one that nobody tells":            {[]ObservedSignature{signedBy("1.0", "refs/tags/1.0", old)}, "release any push github-hosted"},
		"one that the record tells":        {[]ObservedSignature{signedBy("1.0", "refs/tags/1.0", recorded)}, "pypi pypi push github-hosted"},
		"one that later certificates tell": {[]ObservedSignature{signedBy("1.0", "refs/tags/1.0", old), signedBy("1.1", "refs/tags/1.1")}, "pypi pypi push github-hosted"},
		"two kinds of runner":              {[]ObservedSignature{signedBy("1.0", "refs/tags/1.0"), signedBy("1.1", "refs/tags/1.1", hosted)}, "pypi pypi push github-hosted; pypi-2 pypi push self-hosted"},
	} {
		x := observed(c.signatures...)
		text, left, cfg := policyOf(t, x)
		var got []string
		for _, g := range cfg.Projects[0].Policy.Grades {
			got = append(got, strings.Join([]string{g.Name, g.Environment, strings.Join(g.Triggers, ","), g.Runner}, " "))
		}
		if strings.Join(got, "; ") != c.want || len(left) > 0 {
			t.Errorf("%s: %q, left %q; want %s", name, got, left, c.want)
		}
		if found := x.Judge(cfg.Projects[0].Policy, judgedAt); len(found) > 0 {
			t.Errorf("%s: a pass would find %q with\n%s", name, found, text)
		}
	}
}

func TestWhatNoPolicyCanSayIsLeftAndSaid(t *testing.T) {
	for want, edit := range map[string]func(*ObservedSignature){
		"it is by another repository, and a policy has one":                  func(s *ObservedSignature) { s.Identity.SourceRepositoryURI = "https://github.com/other/widget" },
		"it is not by GitHub Actions, and this version writes no policy for": func(s *ObservedSignature) { s.Identity.Issuer = "https://gitlab.com" },
		"it is by a pull request, whose author decides":                      func(s *ObservedSignature) { s.Identity.BuildTrigger = "pull_request" },
		"its identity cannot be read":                                        func(s *ObservedSignature) { s.Identity = nil },
		"its environment has a name that means something else":               func(s *ObservedSignature) { s.Identity.DeploymentEnvironment = "None" },
		"it ran on a kind of runner that this version does not know":         func(s *ObservedSignature) { s.Identity.RunnerEnvironment = "moon" },
		"its workflow, trigger or ref is not told":                           func(s *ObservedSignature) { s.Identity.SourceRepositoryRef = "main" },
		"it has characters that no policy should have":                       func(s *ObservedSignature) { s.Identity.DeploymentEnvironment = "pypi\n      - name: evil" },
	} {
		x := observed(signedBy("1.0", "refs/tags/1.0", edit), signedBy("1.1", "refs/tags/1.1"))
		text, left, cfg := policyOf(t, x)
		if len(left) != 1 || !strings.Contains(left[0], want) || !strings.Contains(text, "# Not covered, because no policy could say it. It will be found:\n#   - widget-1.0.tar.gz: "+want) {
			t.Errorf("%s: left %q in\n%s", want, left, text)
		}
		if found := x.Judge(cfg.Projects[0].Policy, judgedAt); len(found) != 1 || !strings.HasPrefix(found[0], "widget-1.0.tar.gz: ") {
			t.Errorf("%s: a pass would find %q", want, found)
		}
	}
	alone := observed(signedBy("1.0", "refs/tags/1.0", func(s *ObservedSignature) { s.Identity.Issuer = "https://gitlab.com" }))
	if _, _, err := alone.PolicyText(time.Time{}, ""); err == nil {
		t.Error("a policy was made of nothing")
	}
}

// TestTextOfOthersStaysInItsPlace has every text that somebody else chose be more than a word.
func TestTextOfOthersStaysInItsPlace(t *testing.T) {
	x := observed(signedBy("1.0", "refs/heads/it's-a+b", func(s *ObservedSignature) { s.Identity.DeploymentEnvironment = "on: 'x' # y" }))
	x.Signatures[0].Publisher.Environment = "on: 'x' # y"
	x.Troubles = []string{"widget-0.9.tar.gz\nprojects: []"}
	text, _, cfg := policyOf(t, x)
	g := cfg.Projects[0].Policy.Grades[0]
	if g.Environment != "on: 'x' # y" || !g.Refs[0].MatchString("refs/heads/it's-a+b") || g.Name != "on-x-y" {
		t.Errorf("%+v of\n%s", g, text)
	}
	if found := x.Judge(cfg.Projects[0].Policy, judgedAt); len(found) > 0 {
		t.Errorf("%q", found)
	}
}

func TestADutyBeginsWithTheFirstFileThatWasAttested(t *testing.T) {
	file := func(version string, uploaded time.Time) pypi.File {
		return pypi.File{Filename: "widget-" + version + ".tar.gz", Version: version, UploadedAt: uploaded}
	}
	at := func(day, hour int) time.Time { return time.Date(2026, 3, day, hour, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		unattested []pypi.File
		want       string
		late       int
	}{
		"nothing before":                {nil, "publish_since: {version: '2.0', uploaded: 2026-03-05}", 0},
		"older ones before":             {[]pypi.File{file("1.9", at(1, 0))}, "publish_since: {version: '2.0', uploaded: 2026-03-05}", 0},
		"one on the same day":           {[]pypi.File{file("1.9", at(5, 3))}, "publish_since: {version: '2.0', uploaded: 2026-03-05T12:00:00Z}", 0},
		"a newer version before":        {[]pypi.File{file("3.0a1", at(1, 0))}, "publish_since: {uploaded: 2026-03-05}", 0},
		"an old version after":          {[]pypi.File{file("1.9.1", at(20, 0))}, "publish_since: {version: '2.0', uploaded: 2026-03-05}", 1},
		"a file of the release without": {[]pypi.File{file("2.0", at(6, 0))}, "publish_since: {version: '2.0', uploaded: 2026-03-05}", 1},
	} {
		x := observed(signedBy("2.0", "refs/tags/2.0", func(s *ObservedSignature) { s.File.UploadedAt = at(5, 12) }))
		x.Unattested = c.unattested
		text, _, _ := policyOf(t, x)
		if !strings.Contains(text, c.want) || strings.Contains(text, "They will be found") != (c.late > 0) || len(x.late()) != c.late {
			t.Errorf("%s: want %s and %d late in\n%s", name, c.want, c.late, text)
		}
	}
}
