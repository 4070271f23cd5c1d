package audit

import (
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// onnxJudge judges with a policy of two grades, one of which publishes.
func onnxJudge(now time.Time) *Judge {
	since := &identity.Since{Version: "1.19.0", Uploaded: time.Date(2025, 8, 1, 0, 0, 0, 0, time.UTC)}
	return &Judge{Rules: NewRuleSet(nil), Now: now, Policy: identity.Policy{Project: "onnx", Issuer: identity.GitHubActionsIssuer,
		Repository: identity.Repository{Name: "onnx/onnx"}, Grades: []identity.Grade{
			{Name: "release", Workflow: "create_release.yml", Refs: []*regexp.Regexp{regexp.MustCompile(`^(?:refs/heads/rel-(?P<version>\d+\.\d+\.\d+))$`)},
				Triggers: []string{"workflow_dispatch"}, Environment: "pypi-release", Runner: "github-hosted", Publishes: []string{"pypi/onnx"}, PublishSince: since},
			{Name: "test", Workflow: "create_release.yml", Refs: []*regexp.Regexp{regexp.MustCompile(`^(?:refs/heads/rel-.*)$`)},
				Triggers: []string{"workflow_dispatch"}, Environment: "testpypi-release", Runner: "github-hosted", Publishes: []string{"testpypi/onnx"}},
		}}}
}

var onnxFacts = ProjectFacts{Project: "onnx", Index: "pypi", Name: "onnx", URL: "https://pypi.org/simple/onnx/"}

// file is a file of a version, uploaded at an instant and seen an hour later, without provenance.
func file(version string, uploaded time.Time) FileFacts {
	return FileFacts{ID: 1, Filename: "onnx-" + version + ".tar.gz", SHA256: "ab", Version: version, UploadedAt: uploaded,
		FirstSeen: noon.Add(-time.Hour), LastSeen: noon, Listing: []byte("{}"), Provenance: ProvenanceFacts{State: ProvenanceNone}}
}

// signed is the identity of the release job, as certificates from before 2025-11 tell it: without an environment.
func signed(ref string) *identity.Identity {
	uri := "https://github.com/onnx/onnx/.github/workflows/create_release.yml@" + ref
	return &identity.Identity{SAN: uri, SANType: identity.SANTypeURI, Issuer: identity.GitHubActionsIssuer, SourceRepositoryURI: "https://github.com/onnx/onnx",
		SourceRepositoryRef: ref, BuildConfigURI: uri, BuildSignerURI: uri, BuildTrigger: "workflow_dispatch", RunnerEnvironment: "github-hosted"}
}

// attested is a file with one verified publish attestation.
func attested(version string, id *identity.Identity, environment string) FileFacts {
	f := file(version, noon.Add(-time.Hour))
	f.Provenance = ProvenanceFacts{State: ProvenanceServed, Document: &DocumentFacts{SHA256: "cd", Attestations: []AttestationFacts{{
		Publisher: attest.Publisher{Kind: "GitHub", Repository: "onnx/onnx", Workflow: "create_release.yml", Environment: environment},
		Status:    attest.Verified, PredicateType: attest.PredicatePublish, Identity: id}}}}
	return f
}

func rules(a Assessment) []string {
	var ids []string
	for _, f := range a.Findings {
		ids = append(ids, f.Rule)
	}
	return ids
}

func TestLegacyNeedsAnOldVersionAndAnOldUpload(t *testing.T) {
	since := time.Date(2025, 8, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		version  string
		uploaded time.Time
		want     FileState
	}{
		"old version, old upload":            {"1.18.0", since.Add(-time.Second), FileLegacy},
		"old version, uploaded on the day":   {"1.18.0", since, FileUnsigned},
		"old version, uploaded today":        {"1.18.1", noon.Add(-3 * time.Hour), FileUnsigned},
		"first version, old upload":          {"1.19.0", since.Add(-time.Second), FileUnsigned},
		"candidate of it, old upload":        {"1.19.0rc1", since.Add(-time.Second), FileLegacy},
		"old version, upload time not known": {"1.18.0", time.Time{}, FileUnsigned},
		"no version at all":                  {"", since.Add(-time.Second), FileUnsigned},
	} {
		if got := onnxJudge(noon).File(onnxFacts, file(c.version, c.uploaded)); got.State != c.want {
			t.Errorf("%s: %s, want %s", name, got.State, c.want)
		}
	}
}

func TestGracePeriodEndsToTheSecond(t *testing.T) {
	f := file("1.22.0", noon)
	early := onnxJudge(noon.Add(2*time.Hour-time.Second)).File(onnxFacts, f)
	if len(early.Findings) != 0 || len(early.Waiting) != 1 || !early.Waiting[0].Until.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("a second early: %+v", early.Assessment)
	}
	if late := onnxJudge(noon.Add(2*time.Hour)).File(onnxFacts, f); len(late.Findings) != 1 || late.Findings[0].Rule != NoProvenance {
		t.Errorf("in time: %+v", late.Assessment)
	}
}

func TestPublisherRecordDecidesWhereTheCertificateIsSilent(t *testing.T) {
	const ref = "refs/heads/rel-1.22.0"
	for name, c := range map[string]struct {
		version, environment string
		ref                  string
		want                 []string
		grade                string
	}{
		"the release's environment":       {"1.22.0", "pypi-release", ref, nil, "release"},
		"no environment on record":        {"1.22.0", "", ref, nil, "release"},
		"the test index's":                {"1.22.0", "testpypi-release", ref, []string{WrongGrade}, ""},
		"candidate of the branch":         {"1.22.0rc2", "pypi-release", ref, nil, "release"},
		"a version of another branch":     {"1.21.0", "pypi-release", ref, []string{WrongGrade}, ""},
		"a branch that only tests may be": {"1.22.0", "pypi-release", "refs/heads/rel-next", []string{WrongGrade}, ""},
		"main":                            {"1.22.0", "pypi-release", "refs/heads/main", []string{UnexpectedIdentity}, ""},
	} {
		got := onnxJudge(noon).File(onnxFacts, attested(c.version, signed(c.ref), c.environment))
		if diff := cmp.Diff(c.want, rules(got.Assessment)); diff != "" || got.Grade != c.grade {
			t.Errorf("%s: grade %q, %s", name, got.Grade, diff)
		}
	}
}

func TestUnsupportedIsNeitherGoodNorBad(t *testing.T) {
	f := attested("1.22.0", signed("refs/heads/rel-1.22.0"), "pypi-release")
	at := &f.Provenance.Document.Attestations[0]
	at.Status, at.Checks = attest.Unsupported, []attest.Check{{Name: attest.CheckEntryBody, Status: attest.NotSupported, Detail: "kind x"}}
	f.FirstSeen = noon.Add(-6 * time.Hour)
	got := onnxJudge(noon).File(onnxFacts, f)
	if got.State != FileUnknown || len(got.Unknowns) == 0 {
		t.Errorf("state %s, %+v", got.State, got.Assessment)
	}
	if diff := cmp.Diff([]string{CoverageGap}, rules(got.Assessment)); diff != "" {
		t.Error(diff)
	}
}

func TestUntoldProvenanceIsUnknown(t *testing.T) {
	f := file("1.22.0", noon.Add(-24*time.Hour))
	f.Provenance.State = ProvenanceUntold
	if got := onnxJudge(noon).File(onnxFacts, f); got.State != FileUnknown || len(got.Findings) != 0 || len(got.Unknowns) == 0 {
		t.Errorf("state %s, %+v", got.State, got.Assessment)
	}
}

func TestReleaseStatesAreInPyPIsWords(t *testing.T) {
	ours := func(version string) FileFacts {
		return attested(version, signed("refs/heads/rel-"+version), "pypi-release")
	}
	theirs := func(version string) FileFacts {
		id := signed("refs/heads/rel-" + version)
		id.SourceRepositoryURI = "https://github.com/other/onnx"
		return attested(version, id, "pypi-release")
	}
	bare := func(version string) FileFacts { return file(version, noon.Add(-24*time.Hour)) }
	j := onnxJudge(noon)
	var lineage Lineage
	for _, c := range []struct {
		version string
		files   []FileFacts
		want    string
	}{
		{"1.18.0", []FileFacts{bare("1.18.0")}, "no-provenance"},
		{"1.19.0", []FileFacts{ours("1.19.0"), ours("1.19.0")}, "full-provenance"},
		{"1.20.0", []FileFacts{ours("1.20.0"), bare("1.20.0")}, "partial-provenance"},
		{"1.21.0", []FileFacts{ours("1.21.0"), theirs("1.21.0")}, "full-provenance,inconsistent-provenance,changed-provenance"},
		{"1.22.0", []FileFacts{theirs("1.22.0")}, "full-provenance,changed-provenance"},
		{"1.23.0", []FileFacts{bare("1.23.0")}, "no-provenance,lost-provenance"},
		{"1.24.0", []FileFacts{bare("1.24.0")}, "no-provenance"},
	} {
		var v ReleaseVerdict
		v, lineage = j.Release(onnxFacts, ReleaseFacts{Version: c.version, Files: c.files}, lineage)
		if got := v.State(); got != c.want {
			t.Errorf("%s: %s, want %s", c.version, got, c.want)
		}
	}
}

func TestOwnersWhoChangeTwiceAreTwoFindings(t *testing.T) {
	p := onnxFacts
	owner := func(name string, at time.Time) OwnershipFact {
		return OwnershipFact{SHA256: name, Body: []byte(`{"roles":[{"role":"Owner","user":"` + name + `"}]}`), FirstSeen: at, LastSeen: at}
	}
	p.Ownership = []OwnershipFact{owner("alice", noon.Add(-3*time.Hour))}
	if got := onnxJudge(noon).Project(p, nil); len(got.Findings) != 0 {
		t.Errorf("the first answer: %+v", got)
	}
	p.Ownership = append(p.Ownership, owner("mallory", noon.Add(-2*time.Hour)))
	second := onnxJudge(noon).Project(p, nil)
	p.Ownership = append(p.Ownership, owner("eve", noon.Add(-time.Hour)))
	third := onnxJudge(noon).Project(p, nil)
	if len(second.Findings) != 1 || len(third.Findings) != 1 || second.Findings[0].ID == third.Findings[0].ID {
		t.Fatalf("%+v\n%+v", second.Findings, third.Findings)
	}
	if got := third.Findings[0].Summary; got != "the owners of pypi/onnx are eve (Owner)" {
		t.Errorf("it says %q", got)
	}
	p.Ownership = append(p.Ownership, owner("alice", noon))
	if got := onnxJudge(noon).Project(p, nil); len(got.Findings) != 0 {
		t.Errorf("as they were: %+v", got)
	}
}

func TestAnIndexThatDoesNotAnswerIsAFindingAfterItsGracePeriod(t *testing.T) {
	p := onnxFacts
	p.FailingSince, p.Failure = noon.Add(-6*time.Hour), "GET https://pypi.org/simple/onnx/: status 502"
	if got := onnxJudge(noon.Add(-time.Second)).Project(p, nil); len(got.Findings) != 0 || len(got.Waiting) != 1 {
		t.Errorf("a second early: %+v", got)
	}
	got := onnxJudge(noon).Project(p, nil)
	if diff := cmp.Diff([]string{SourceUnreachable}, rules(got)); diff != "" {
		t.Error(diff)
	}
}
