package audit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/github"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// release122 publishes onnx 1.22.0, build122 is the CI build of the same branch.
var (
	release122 = run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}
	build122   = run{"create_release.yml", "refs/heads/rel-1.22.0", "push", ""}
)

// published is a judgement of a release's file with a good publish attestation, of which the store said after every grace period
// that it has nothing, but for an edit.
func published(edit func(f *FileFacts, since time.Time)) func(*Judge, time.Time) Assessment {
	return func(j *Judge, since time.Time) Assessment {
		return j.File(pypiProject("pypi/onnx"), publishedFile(edit, since)).Assessment
	}
}

func publishedFile(edit func(f *FileFacts, since time.Time), since time.Time) FileFacts {
	f := attestedBy("1.22.0", release122, "")
	f.FirstSeen, f.UploadedAt = since, since
	f.Store = StoreFacts{State: StoreNone, Since: since, CheckedAt: since.Add(100 * time.Hour)}
	edit(&f, since)
	return f
}

// bundled is a bundle with verified SLSA provenance by a run, but for an edit.
func bundled(by run, edit func(at *AttestationFacts)) BundleFacts {
	b := BundleFacts{SHA256: "b0", FirstSeen: noon, LastSeen: noon, Listed: true,
		Attestation: AttestationFacts{Status: attest.Verified, PredicateType: attest.PredicateSLSA, Identity: by.identity()}}
	if edit != nil {
		edit(&b.Attestation)
	}
	return b
}

// aRepository is a judgement of what GitHub says of the repository of a policy whose ids are confirmed.
func aRepository(edit func(r *RepositoryFacts)) func(*Judge, time.Time) Assessment {
	return func(j *Judge, since time.Time) Assessment {
		confirmed := *j
		confirmed.Policy.Repository.IDsUnconfirmed = false
		r := confirmed.Policy.Repository
		confirmed.Repository = RepositoryFacts{Name: r.Name, Current: r.Name, ID: r.ID, OwnerID: r.OwnerID, Visibility: "public", Since: since, CheckedAt: since}
		edit(&confirmed.Repository)
		confirmed.First = true
		return confirmed.GitHub(pypiProject("pypi/onnx"), nil, otherIDs{})
	}
}

// aRun is a judgement of a certificate and of the workflow run that it names.
func aRun(edit func(f *RunFacts)) func(*Judge, time.Time) Assessment {
	return func(j *Judge, since time.Time) Assessment {
		id := release122.identity()
		id.RunInvocationURI, id.SourceRepositoryDigest = "https://github.com/onnx/onnx/actions/runs/42/attempts/1", "c0ffee"
		f := RunFacts{TBSSHA256: "tbs", Identity: id, NotBefore: since, URL: id.RunInvocationURI, CheckedAt: since,
			Run: github.Run{Repository: "onnx/onnx", HeadSHA: "c0ffee", Event: "workflow_dispatch", Path: ".github/workflows/create_release.yml"}}
		edit(&f)
		return j.Run(pypiProject("pypi/onnx"), f)
	}
}

// TestACertificateContradictsItsRunInEachPart changes one thing of the run at a time.
func TestACertificateContradictsItsRunInEachPart(t *testing.T) {
	for want, edit := range map[string]func(f *RunFacts){
		`commit: the run's is "0ddba11"`:                         func(f *RunFacts) { f.Run.HeadSHA = "0ddba11" },
		`event: the run's is "push"`:                             func(f *RunFacts) { f.Run.Event = "push" },
		`repository: the run's is "stranger/onnx"`:               func(f *RunFacts) { f.Run.Repository = "stranger/onnx" },
		`workflow: the run's is ".github/workflows/nightly.yml"`: func(f *RunFacts) { f.Run.Path = ".github/workflows/nightly.yml" },
		`names a workflow run that GitHub does not have`:         func(f *RunFacts) { f.Run, f.AbsentSince = github.Run{}, f.CheckedAt },
	} {
		a := aRun(edit)(presetJudge(t, noon), noon.Add(-2*time.Hour))
		if len(a.Findings) != 1 || a.Findings[0].Rule != RunMismatch || !strings.Contains(a.Findings[0].Summary, want) || a.Findings[0].Certificate != "tbs" {
			t.Errorf("%s: %+v", want, a.Findings)
		}
	}
}

func TestRunAddressesAreTakenApart(t *testing.T) {
	for address, want := range map[string]string{
		"https://github.com/onnx/onnx/actions/runs/42/attempts/3": "onnx/onnx 42 3",
		"https://github.com/onnx/onnx/actions/runs/42":            "onnx/onnx 42 0",
		"https://github.com/onnx/onnx/actions/runs/x":             "",
		"https://github.com/onnx/onnx/actions/runs/42/attempts/":  "",
		"https://github.com/onnx/onnx/actions/runs/-1":            "",
		"https://gitlab.com/onnx/onnx/actions/runs/42":            "",
		"": "",
	} {
		repository, id, attempt, err := parseRun(address)
		if got := fmt.Sprintf("%s %d %d", repository, id, attempt); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%s: %s, %v", address, got, err)
		}
	}
}

// TestStoreEvidenceIsJudgedTogetherWithTheIndex holds bundles of several signers against a file whose publish attestation is good.
func TestStoreEvidenceIsJudgedTogetherWithTheIndex(t *testing.T) {
	stranger := run{"nightly.yml", "refs/heads/main", "push", ""}
	contradicting := func(at *AttestationFacts) {
		at.Contradictions = []identity.Mismatch{{Field: "runDetails.builder.id", Got: "x", Want: "y"}}
	}
	bill := func(at *AttestationFacts) { at.PredicateType = "https://cyclonedx.org/bom" }
	failed := func(name string) func(at *AttestationFacts) {
		return func(at *AttestationFacts) {
			at.Status, at.Checks = attest.Failed, []attest.Check{{Name: name, Status: attest.Fail, Detail: "no good", Got: "sha256:00"}}
		}
	}
	releaseAttestation := func(status attest.Status) func(at *AttestationFacts) {
		return func(at *AttestationFacts) {
			*at = AttestationFacts{Status: status, Release: true, Unlogged: true, PredicateType: "https://in-toto.io/attestation/release/v0.2",
				Identity: &identity.Identity{SAN: "https://dotcom.releases.github.com", SANType: identity.SANTypeURI},
				Checks:   []attest.Check{{Name: attest.CheckSignature, Status: attest.CheckStatus(map[attest.Status]attest.CheckStatus{attest.Failed: attest.Fail, attest.Unsupported: attest.NotSupported, attest.Verified: attest.Pass}[status])}}}
		}
	}
	for name, c := range map[string]struct {
		bundles []BundleFacts
		want    []string
		state   FileState
	}{
		"none":                        {nil, []string{MissingSLSAProvenance}, FileWrong},
		"the release's":               {[]BundleFacts{bundled(release122, nil)}, nil, FileVerified},
		"a build's":                   {[]BundleFacts{bundled(build122, nil)}, []string{WrongGrade}, FileWrong},
		"a build's and the release's": {[]BundleFacts{bundled(build122, nil), bundled(release122, nil)}, nil, FileVerified},
		"a stranger's besides":        {[]BundleFacts{bundled(stranger, nil), bundled(release122, nil)}, []string{UnexpectedIdentity}, FileWrong},
		"a bill of materials alone":   {[]BundleFacts{bundled(release122, bill)}, []string{MissingSLSAProvenance}, FileWrong},
		"a build's bill of materials": {[]BundleFacts{bundled(build122, bill), bundled(release122, nil)}, nil, FileVerified},
		"one that contradicts itself": {[]BundleFacts{bundled(release122, contradicting)}, []string{PredicateMismatch}, FileWrong},
		"one with a bad signature":    {[]BundleFacts{bundled(release122, failed(attest.CheckSignature)), bundled(release122, nil)}, []string{InvalidAttestation}, FileWrong},
		"one about other bytes":       {[]BundleFacts{bundled(release122, failed(attest.CheckSubject)), bundled(release122, nil)}, []string{DigestMismatch}, FileWrong},
		"one in no log":               {[]BundleFacts{bundled(release122, failed(attest.CheckEntries)), bundled(release122, nil)}, []string{UnloggedAttestation}, FileWrong},
		"GitHub's own of a release": {[]BundleFacts{bundled(release122, releaseAttestation(attest.Verified)), bundled(release122, nil)},
			nil, FileVerified},
		"GitHub's own, not verifiable": {[]BundleFacts{bundled(release122, releaseAttestation(attest.Unsupported)), bundled(release122, nil)},
			nil, FileVerified},
		"GitHub's own, with a bad signature": {[]BundleFacts{bundled(release122, releaseAttestation(attest.Failed)), bundled(release122, nil)},
			[]string{InvalidAttestation}, FileWrong},
		"GitHub's own alone": {[]BundleFacts{bundled(release122, releaseAttestation(attest.Verified))}, []string{MissingSLSAProvenance}, FileWrong},
	} {
		v := presetJudge(t, noon).File(pypiProject("pypi/onnx"), publishedFile(func(f *FileFacts, _ time.Time) {
			if c.bundles != nil {
				f.Store.State, f.Store.Bundles = StoreServed, c.bundles
			}
		}, noon.Add(-24*time.Hour)))
		if diff := cmp.Diff(c.want, rules(v.Assessment)); diff != "" || v.State != c.state {
			t.Errorf("%s: the file is %s, rules (-want +got):\n%s", name, v.State, diff)
		}
	}
}

func TestWrongGradeSaysWhatGhWouldAccept(t *testing.T) {
	v := presetJudge(t, noon).File(pypiProject("pypi/onnx"), publishedFile(func(f *FileFacts, _ time.Time) {
		f.Store.State, f.Store.Bundles = StoreServed, []BundleFacts{bundled(build122, nil)}
	}, noon.Add(-24*time.Hour)))
	if len(v.Findings) != 1 || !strings.Contains(v.Findings[0].Summary, "`gh attestation verify --owner` accepts it") || !strings.Contains(v.Findings[0].Advice, "`gh attestation verify --owner`") {
		t.Errorf("%+v", v.Findings)
	}
}

// TestFileCoveredByABuildAlone has no attestation on the index, and a build's in the store: both are said at once.
func TestFileCoveredByABuildAlone(t *testing.T) {
	v := presetJudge(t, noon).File(pypiProject("pypi/onnx"), publishedFile(func(f *FileFacts, _ time.Time) {
		f.Provenance = ProvenanceFacts{State: ProvenanceNone}
		f.Store.State, f.Store.Bundles = StoreServed, []BundleFacts{bundled(build122, nil)}
	}, noon.Add(-3*time.Hour)))
	if diff := cmp.Diff([]string{NoProvenance, WrongGrade}, rules(v.Assessment)); diff != "" || v.State != FileUnsigned {
		t.Errorf("%s, %s", v.State, diff)
	}
}

// TestProvenanceThatGitHubNoLongerHas was listed for the file once.
func TestProvenanceThatGitHubNoLongerHas(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(b *BundleFacts)
		want []string
	}{
		"gone for an hour": {func(b *BundleFacts) { b.GoneAt = noon.Add(-time.Hour) }, []string{ProvenanceRemoved}},
		"gone just now":    {func(b *BundleFacts) { b.GoneAt = noon.Add(-time.Hour + time.Second) }, nil},
		"there":            {func(*BundleFacts) {}, nil},
		"never verified": {func(b *BundleFacts) {
			b.GoneAt, b.Attestation.Status = noon.Add(-time.Hour), attest.Unsupported
			b.Attestation.Checks = []attest.Check{{Name: attest.CheckCertificate, Status: attest.NotSupported}}
		}, []string{CoverageGap}},
	} {
		b := bundled(release122, nil)
		c.edit(&b)
		v := presetJudge(t, noon).File(pypiProject("pypi/onnx"), publishedFile(func(f *FileFacts, _ time.Time) { f.Store.Bundles = []BundleFacts{b} }, noon.Add(-24*time.Hour)))
		if diff := cmp.Diff(c.want, rules(v.Assessment)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestStoreThatIsNotReadIsUnreadAndOneThatIsIsUnknown(t *testing.T) {
	for _, read := range []bool{false, true} {
		j := presetJudge(t, noon)
		j.StoreRead = read
		v := j.File(pypiProject("pypi/onnx"), publishedFile(func(f *FileFacts, _ time.Time) { f.Store = StoreFacts{} }, noon.Add(-24*time.Hour)))
		i := slices.IndexFunc(v.Unknowns, func(u Unknown) bool { return u.Rule == MissingSLSAProvenance })
		if i < 0 || v.Unknowns[i].Unread == read || v.Unknowns[i].Reason == "" || len(v.Findings) != 0 || v.State != FileVerified {
			t.Errorf("read %t: %s, %+v", read, v.State, v.Assessment)
		}
	}
}
