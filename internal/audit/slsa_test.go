package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/identity"
)

const (
	listedBuilder  = "https://github.com/example/builder/.github/workflows/build.yml@refs/tags/v2"
	releaseProblem = "verified SLSA provenance, signed by a builder that may build it"
	ownWorkflow    = "a builder that isolates the signing from the build's steps, pinned and listed under builders: here both are in the project's own workflow"
)

var releaseRun = run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}

// slsaBy is verified SLSA provenance by an identity, that agrees with its certificate.
func slsaBy(id *identity.Identity) AttestationFacts {
	return AttestationFacts{Status: attest.Verified, PredicateType: attest.PredicateSLSA, Identity: id, Entries: []LogRef{{Origin: "log.example", Index: 7}},
		SLSA: &identity.SLSAProvenance{Builder: id.SAN, Dependencies: 1}}
}

// edited is a copy of a release's provenance with one thing changed.
func edited(edit func(at *AttestationFacts)) AttestationFacts {
	at := slsaBy(releaseRun.identity())
	edit(&at)
	return at
}

// builtWith is provenance by another workflow that the release calls.
func builtWith(signer string) AttestationFacts {
	return edited(func(at *AttestationFacts) { at.Identity.SAN, at.Identity.BuildSignerURI = signer, signer })
}

func publishAttestation() AttestationFacts {
	return AttestationFacts{Status: attest.Verified, PredicateType: attest.PredicatePublish, Identity: releaseRun.identity()}
}

// TestSLSALevelIsTheTablesAndNotThePredicates weighs attestations in an index and a store that were both read.
func TestSLSALevelIsTheTablesAndNotThePredicates(t *testing.T) {
	who := func(grade string) string {
		return "SLSA provenance v1, verified, that agrees with its certificate, signed by workflow create_release.yml of onnx/onnx at refs/heads/rel-1.22.0, triggered by workflow_dispatch in environment pypi-release" + grade
	}
	const fromStore = "it is served by store"
	uncounted := func(why string) []string { return []string{"SLSA provenance of store does not count: " + why} }
	for name, c := range map[string]struct {
		attestations []AttestationFacts
		build        BuildLevel
		reasons      []string
		missing      string
	}{
		"nothing": {nil, BuildL0, nil, releaseProblem},
		"a publish attestation": {[]AttestationFacts{publishAttestation()}, BuildL0,
			[]string{"a publish attestation says who uploaded it, and nothing of how it was built"}, releaseProblem},
		"provenance by the release job": {[]AttestationFacts{publishAttestation(), slsaBy(releaseRun.identity())}, BuildL2,
			[]string{who(" (grade release)"), "it was built on a hosted runner, and signed there", fromStore}, ownWorkflow},
		"provenance that no log has": {[]AttestationFacts{edited(func(at *AttestationFacts) { at.Entries = nil })}, BuildL2,
			[]string{who(" (grade release)"), "no transparency log has it", "it was built on a hosted runner, and signed there", fromStore}, ownWorkflow},
		"on an untold runner": {[]AttestationFacts{edited(func(at *AttestationFacts) { at.Identity.RunnerEnvironment = "" })}, BuildL1,
			[]string{who(" (grade release)"), "its certificate does not say what it was built on", fromStore}, "a certificate that says that it was built on a hosted runner"},
		"by the listed builder": {[]AttestationFacts{builtWith(listedBuilder)}, BuildL3,
			[]string{who(", signed as " + listedBuilder + " (grade release)"), "it was built and signed by a workflow that the configuration lists at L3", fromStore}, ""},
		"by another version of it": {[]AttestationFacts{builtWith(strings.Replace(listedBuilder, "v2", "v3", 1))}, BuildL0,
			uncounted("nobody knows its signer: workflow create_release.yml of onnx/onnx at refs/heads/rel-1.22.0, triggered by workflow_dispatch in environment pypi-release, signed as " + strings.Replace(listedBuilder, "v2", "v3", 1)), releaseProblem},
		"by a builder at a lower level": {[]AttestationFacts{builtWith(strings.Replace(listedBuilder, "build.yml", "hosted.yml", 1))}, BuildL2,
			[]string{who(", signed as " + strings.Replace(listedBuilder, "build.yml", "hosted.yml", 1) + " (grade release)"), "it was built and signed by a workflow that the configuration lists at L2", fromStore},
			"a builder that the configuration lists at a higher level"},
		"by the best of several": {[]AttestationFacts{slsaBy(releaseRun.identity()), builtWith(listedBuilder), slsaBy(releaseRun.identity())}, BuildL3,
			[]string{who(", signed as " + listedBuilder + " (grade release)"), "it was built and signed by a workflow that the configuration lists at L3", fromStore}, ""},
		"that does not verify": {[]AttestationFacts{edited(func(at *AttestationFacts) {
			at.Status, at.Checks = attest.Failed, []attest.Check{{Name: attest.CheckSignature, Status: attest.Fail}}
		})}, BuildL0, uncounted("it does not verify: signature"), releaseProblem},
		"that contradicts its certificate": {[]AttestationFacts{edited(func(at *AttestationFacts) {
			at.Contradictions = []identity.Mismatch{{Field: "runDetails.builder.id", Got: listedBuilder, Want: "x"}}
		})}, BuildL0, uncounted("it contradicts its certificate: runDetails.builder.id"), releaseProblem},
		"with a parameter that nothing knows": {[]AttestationFacts{edited(func(at *AttestationFacts) {
			at.SLSA.UnknownParameters, at.Contradictions = []string{"inputs"}, []identity.Mismatch{{Field: "buildDefinition.externalParameters.inputs"}}
		})}, BuildL0, uncounted("it has external parameters that nothing here knows: inputs"), releaseProblem},
		"that cannot be read": {[]AttestationFacts{edited(func(at *AttestationFacts) { at.PredicateError, at.SLSA = "not an object", nil })}, BuildL0,
			uncounted("its predicate cannot be read"), releaseProblem},
		"whose signer cannot be read": {[]AttestationFacts{edited(func(at *AttestationFacts) { at.Identity = nil })}, BuildL0, uncounted("its signer cannot be read"), releaseProblem},
		"by a pull request": {[]AttestationFacts{slsaBy(run{"create_release.yml", "refs/pull/7/merge", "pull_request", ""}.identity())}, BuildL0,
			uncounted("its signer may not publish the file: grade pr: publishes nothing"), releaseProblem},
		"by a stranger": {[]AttestationFacts{edited(func(at *AttestationFacts) { at.Identity.SourceRepositoryURI = "https://github.com/evil/onnx" })}, BuildL0,
			uncounted("nobody knows its signer: workflow create_release.yml of evil/onnx at refs/heads/rel-1.22.0, triggered by workflow_dispatch in environment pypi-release, signed as https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/rel-1.22.0"), releaseProblem},
		"by the release of another version": {[]AttestationFacts{slsaBy(run{"create_release.yml", "refs/heads/rel-1.21.0", "workflow_dispatch", "pypi-release"}.identity())}, BuildL0,
			uncounted("its signer may not publish the file: grade release: its ref is for version 1.21.0, the file is of 1.22.0"), releaseProblem},
		"good, beside one that does not verify": {[]AttestationFacts{edited(func(at *AttestationFacts) { at.Status = attest.Failed }), slsaBy(releaseRun.identity())}, BuildL2,
			[]string{who(" (grade release)"), "it was built on a hosted runner, and signed there", fromStore, "SLSA provenance of store does not count: it does not verify"}, ownWorkflow},
		"an attestation about something else": {[]AttestationFacts{edited(func(at *AttestationFacts) { at.PredicateType = "https://cyclonedx.org/bom" })}, BuildL0, nil, releaseProblem},
	} {
		j := presetJudge(t, noon)
		j.Policy.Builders = []identity.Builder{{ID: listedBuilder, Level: 3}, {ID: strings.Replace(listedBuilder, "build.yml", "hosted.yml", 1), Level: 2}}
		got := j.weighSLSA(pypiProject("pypi/onnx"), file("1.22.0", noon), []provenanceSource{{name: "pypi"}, {name: "store", attestations: c.attestations}})
		want := SLSAVerdict{Build: c.build, Reasons: c.reasons}
		if c.missing != "" {
			want.Missing = []string{c.missing}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAHostedLevelNeedsAHostedRunner has the policy allow any runner: that decides who may sign, and not what is believed of it.
func TestAHostedLevelNeedsAHostedRunner(t *testing.T) {
	j := presetJudge(t, noon)
	j.Policy.Grades[0].Runner = "any"
	j.Policy.Builders = []identity.Builder{{ID: listedBuilder, Level: 3}}
	for _, at := range []AttestationFacts{slsaBy(releaseRun.identity()), builtWith(listedBuilder)} {
		at.Identity.RunnerEnvironment = "self-hosted"
		got := j.weighSLSA(pypiProject("pypi/onnx"), file("1.22.0", noon), []provenanceSource{{name: "pypi", attestations: []AttestationFacts{at}}})
		if got.Build != BuildL1 || !cmp.Equal(got.Missing, []string{"a hosted runner"}) {
			t.Errorf("%s: %+v", at.Identity.SAN, got)
		}
	}
}

// TestTheTopLevelWorkflowIsNotL3 has a configuration list the project's own release workflow as isolated.
func TestTheTopLevelWorkflowIsNotL3(t *testing.T) {
	j := presetJudge(t, noon)
	id := releaseRun.identity()
	j.Policy.Builders = []identity.Builder{{ID: id.SAN, Level: 3}}
	got := j.weighSLSA(pypiProject("pypi/onnx"), file("1.22.0", noon), []provenanceSource{{name: "pypi", attestations: []AttestationFacts{slsaBy(id)}}})
	if got.Build != BuildL2 || len(got.Missing) != 1 || !strings.Contains(got.Reasons[1], "top-level workflow") {
		t.Errorf("%+v", got)
	}
}

// TestASourceThatWasNotReadIsNotL0 has each way in which a source can stay unread.
func TestASourceThatWasNotReadIsNotL0(t *testing.T) {
	j := presetJudge(t, noon)
	const store = "GitHub's attestation store: it is not read"
	for name, c := range map[string]struct {
		edit   func(f *FileFacts)
		build  BuildLevel
		unread []string
	}{
		"no provenance":                 {func(f *FileFacts) { f.Provenance = ProvenanceFacts{State: ProvenanceNone} }, BuildUnevaluated, []string{store}},
		"an index that does not tell":   {func(f *FileFacts) { f.Provenance = ProvenanceFacts{State: ProvenanceUntold} }, BuildUnevaluated, []string{"pypi: it does not tell whether there is any (PEP 740)", store}},
		"an index that refuses":         {func(f *FileFacts) { f.Provenance = ProvenanceFacts{State: ProvenanceForbidden} }, BuildUnevaluated, []string{"pypi: it refuses to serve it (403)", store}},
		"an index that was not asked":   {func(f *FileFacts) { f.Provenance = ProvenanceFacts{State: ProvenancePending} }, BuildUnevaluated, []string{"pypi: it has not been asked yet", store}},
		"an index that does not answer": {func(f *FileFacts) { f.Provenance = ProvenanceFacts{State: ProvenancePending, Failure: "status 502"} }, BuildUnevaluated, []string{"pypi: status 502", store}},
		"an attestation of another form": {func(f *FileFacts) {
			f.Provenance.Document.Attestations[0] = edited(func(at *AttestationFacts) { at.Status = attest.Unsupported })
		}, BuildUnevaluated, []string{"pypi: an attestation is of a form that this version cannot verify", store}},
		"provenance": {func(f *FileFacts) { f.Provenance.Document.Attestations[0] = slsaBy(releaseRun.identity()) }, BuildL2, []string{store}},
		"a file that downloads as other bytes": {func(f *FileFacts) {
			f.Provenance.Document.Attestations[0], f.DeepSHA256 = slsaBy(releaseRun.identity()), "ff"
		}, BuildL0, nil},
	} {
		f := attestedBy("1.22.0", releaseRun, "")
		c.edit(&f)
		got := j.File(pypiProject("pypi/onnx"), f).SLSA
		if got.Build != c.build || !cmp.Equal(got.Unread, c.unread) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	f := attestedBy("1.22.0", releaseRun, "")
	f.RemovedAt = noon
	if got := j.File(pypiProject("pypi/onnx"), f).SLSA; got != nil {
		t.Errorf("a file that is gone: %+v", got)
	}
}

// TestProvenanceThatIsServedNoLongerDoesNotCount has an index take back what it served.
func TestProvenanceThatIsServedNoLongerDoesNotCount(t *testing.T) {
	f := attestedBy("1.22.0", releaseRun, "")
	f.Provenance.Document.Attestations[0] = slsaBy(releaseRun.identity())
	f.Provenance.State = ProvenanceNotFound
	got := presetJudge(t, noon).SLSA(pypiProject("pypi/onnx"), f)
	if got.Build != BuildUnevaluated || !cmp.Equal(got.Reasons, []string{"pypi served attestations for it and no longer does"}) {
		t.Errorf("%+v", got)
	}
}

func TestAReleaseIsNoBetterThanItsWorstFile(t *testing.T) {
	for _, c := range []struct {
		files string
		want  BuildLevel
	}{
		{"L2 L2", BuildL2}, {"L3 L2 L3", BuildL2}, {"L2 L1", BuildL1}, {"L3", BuildL3}, {"L2 L0", BuildL0},
		{"L2 unevaluated", BuildUnevaluated}, {"unevaluated L1", BuildUnevaluated}, {"unevaluated L0 L2", BuildL0},
	} {
		var verdicts []SLSAVerdict
		counts := map[BuildLevel]int{}
		for _, word := range strings.Fields(c.files) {
			verdicts = append(verdicts, SLSAVerdict{Build: BuildLevel(word)})
			counts[BuildLevel(word)]++
		}
		if diff := cmp.Diff(&ReleaseSLSA{Build: c.want, Files: counts}, releaseSLSA(verdicts)); diff != "" {
			t.Errorf("%s: %s", c.files, diff)
		}
	}
	if got := releaseSLSA(nil); got != nil {
		t.Errorf("no file: %+v", got)
	}
}

// heldFile is a file of a claim with a verdict; unread says that a source of provenance was not read.
func heldFile(release string, build BuildLevel, unread bool) ClaimedFile {
	v := &SLSAVerdict{Build: build, Reasons: []string{"reason"}}
	if unread {
		v.Unread = []string{"store: down"}
	}
	return ClaimedFile{Release: release, File: "widget-" + release + ".tar.gz", SHA256: "ab", UploadedAt: noon, SLSA: v}
}

func TestClaimsAreHeldAgainstTheEvidence(t *testing.T) {
	since := &identity.Since{Version: "1.22.0", Uploaded: noon.Add(time.Hour)}
	unjudged := heldFile("1.22.0", "", false)
	unjudged.SLSA = nil
	for name, c := range map[string]struct {
		level int
		since *identity.Since
		files []ClaimedFile
		want  ClaimState
		text  string // behind the state
		first string // the first file that decides
	}{
		"every file": {2, nil, []ClaimedFile{heldFile("1.22.0", BuildL2, true), heldFile("1.22.0", BuildL3, false)}, ClaimSupported,
			": the evidence on 2 files is consistent with it", ""},
		"a file less": {2, nil, []ClaimedFile{heldFile("1.22.0", BuildL2, true), heldFile("1.21.0", BuildL1, false)}, ClaimNotSupported,
			": the evidence on 1 file is not consistent with it, on 1 it is, on 0 it was not evaluated", "widget-1.21.0.tar.gz"},
		"a file of which it is not known": {2, nil, []ClaimedFile{heldFile("1.22.0", BuildL2, true), heldFile("1.21.0", BuildUnevaluated, true)}, ClaimUndetermined,
			": the evidence on 1 file was not evaluated, on 1 it is consistent with it", "widget-1.21.0.tar.gz"},
		"a level less, and a source unread": {3, nil, []ClaimedFile{heldFile("1.22.0", BuildL2, true)}, ClaimUndetermined,
			": the evidence on 1 file was not evaluated, on 0 it is consistent with it", "widget-1.22.0.tar.gz"},
		"a level less": {3, nil, []ClaimedFile{heldFile("1.22.0", BuildL2, false)}, ClaimNotSupported,
			": the evidence on 1 file is not consistent with it, on 0 it is, on 0 it was not evaluated", "widget-1.22.0.tar.gz"},
		"one that fails decides over what is not known": {2, nil, []ClaimedFile{heldFile("1.21.0", BuildUnevaluated, true), heldFile("1.20.0", BuildL0, false)}, ClaimNotSupported,
			": the evidence on 1 file is not consistent with it, on 0 it is, on 1 it was not evaluated", "widget-1.20.0.tar.gz"},
		"what it is not about": {2, since, []ClaimedFile{heldFile("1.22.0", BuildL2, false), heldFile("1.21.0", BuildL0, false)}, ClaimSupported,
			": the evidence on 1 file is consistent with it", ""},
		"no file":             {2, nil, nil, ClaimUndetermined, ": there is no file that it would be about", ""},
		"a file never judged": {2, nil, []ClaimedFile{unjudged}, ClaimUndetermined, ": the evidence on 1 file was not evaluated, on 0 it is consistent with it", "widget-1.22.0.tar.gz"},
	} {
		claim := config.Claim{On: config.PyPIProject{Index: "pypi", Name: "widget"}, SLSABuild: c.level, Since: c.since, Source: "SECURITY.md"}
		got, err := HoldClaim("widget", claim, func(fn func(ClaimedFile) error) error {
			for _, f := range c.files {
				if err := fn(f); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		from := ""
		if c.since != nil {
			from = " since 1.22.0"
		}
		text := "SECURITY.md says that pypi/widget meets SLSA Build L" + string('0'+rune(c.level)) + from + ": " + string(c.want) + c.text
		if got.State != c.want || got.String() != text {
			t.Errorf("%s: %s: %s\nwant %s", name, got.State, got, text)
		}
		first := ""
		if len(got.Deciding) > 0 {
			first = got.Deciding[0].File
		}
		if first != c.first {
			t.Errorf("%s: decided by %q, want %q", name, first, c.first)
		}
	}
}

// TestDecidingFilesAreTheFirstOfThem has more files than are listed.
func TestDecidingFilesAreTheFirstOfThem(t *testing.T) {
	got, err := HoldClaim("widget", config.Claim{SLSABuild: 1}, func(fn func(ClaimedFile) error) error {
		for range 50 {
			if err := fn(heldFile("1.0", BuildL0, false)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(got.Deciding) != 20 || got.Files[SLSANotMet] != 50 {
		t.Errorf("%d files, %v, error %v", len(got.Deciding), got.Files, err)
	}
}

// TestAVerdictIsWhatItWasAfterItWasStored goes through JSON.
func TestAVerdictIsWhatItWasAfterItWasStored(t *testing.T) {
	for _, want := range []SLSAVerdict{{Build: BuildUnevaluated, Unread: []string{"a"}}, {Build: BuildL2, Reasons: []string{"b"}, Missing: []string{"c"}}} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got SLSAVerdict
		if err := json.Unmarshal(text, &got); err != nil || !cmp.Equal(want, got) {
			t.Errorf("%s: %+v, error %v", text, got, err)
		}
	}
}
