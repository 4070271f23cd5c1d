package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// presetJudge judges with the policy that the monitor has when it is given none.
func presetJudge(t *testing.T, now time.Time) *Judge {
	t.Helper()
	o := config.Options{Rules: RuleIDs()}
	for _, s := range Severities() {
		o.Severities = append(o.Severities, string(s))
	}
	cfg, err := config.Load("", o)
	if err != nil {
		t.Fatal(err)
	}
	return &Judge{Policy: cfg.Projects[0].Policy, Rules: NewRuleSet(nil), Now: now}
}

// run is what a certificate tells of a workflow run of onnx.
type run struct {
	workflow, ref, trigger string
	// environment is "?" where the certificate does not tell it: those of before 2025-11 have no extension .23.
	environment string
}

func (r run) identity() *identity.Identity {
	id := signed(r.ref)
	uri := "https://github.com/onnx/onnx/.github/workflows/" + r.workflow + "@" + r.ref
	id.SAN, id.BuildConfigURI, id.BuildSignerURI, id.BuildTrigger, id.SourceRepositoryVisibility = uri, uri, uri, r.trigger, "public"
	id.SourceRepositoryID, id.SourceRepositoryOwnerID = "102692863", "31675368"
	if r.environment != "?" {
		id.DeploymentEnvironment, id.TokenSubject = r.environment, "repo:onnx/onnx"
	}
	return id
}

// pypiProject is a project on an index.
func pypiProject(ref string) ProjectFacts {
	index, name, _ := strings.Cut(ref, "/")
	return ProjectFacts{Project: "onnx", Index: index, Name: name, URL: "https://" + index + ".example/simple/" + name + "/"}
}

// TestThePresetKnowsWhoMayPublishWhat has every run that onnx has sign a file of every project that onnx has.
func TestThePresetKnowsWhoMayPublishWhat(t *testing.T) {
	const workflow = "create_release.yml"
	release := run{workflow, "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}
	files := map[string]string{"pypi/onnx": "1.22.0", "pypi/onnx-weekly": "1.23.0.dev20260706", "testpypi/onnx": "1.22.0", "testpypi/onnx-weekly": "1.23.0.dev20260706"}
	for name, c := range map[string]struct {
		run       run
		publisher string            // the environment in the index's record
		covers    map[string]string // project: grade
		otherwise string            // the rule about every other project
	}{
		"a release":                {release, "pypi-release", map[string]string{"pypi/onnx": "release"}, WrongGrade},
		"a weekly build":           {run{workflow, "refs/heads/main", "schedule", "pypi-weekly"}, "pypi-weekly", map[string]string{"pypi/onnx-weekly": "weekly"}, WrongGrade},
		"a weekly build by hand":   {run{workflow, "refs/heads/main", "workflow_dispatch", "pypi-weekly"}, "pypi-weekly", map[string]string{"pypi/onnx-weekly": "weekly"}, WrongGrade},
		"a rehearsal":              {run{workflow, "refs/heads/rel-1.22.0", "workflow_dispatch", "testpypi-release"}, "testpypi-release", map[string]string{"testpypi/onnx": "test-release"}, WrongGrade},
		"a weekly rehearsal":       {run{workflow, "refs/heads/main", "workflow_dispatch", "testpypi-weekly"}, "testpypi-weekly", map[string]string{"testpypi/onnx-weekly": "test-weekly"}, WrongGrade},
		"a push":                   {run{workflow, "refs/heads/main", "push", ""}, "", nil, WrongGrade},
		"a dispatch, no target":    {run{workflow, "refs/heads/rel-1.22.0", "workflow_dispatch", ""}, "", nil, WrongGrade},
		"a pull request":           {run{workflow, "refs/pull/7/merge", "pull_request", ""}, "", nil, WrongGrade},
		"scorecard":                {run{"scorecard.yml", "refs/heads/main", "schedule", ""}, "", nil, WrongGrade},
		"another workflow":         {run{"evil.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}, "", nil, UnexpectedIdentity},
		"a tag":                    {run{workflow, "refs/tags/v1.22.0", "workflow_dispatch", "pypi-release"}, "pypi-release", nil, UnexpectedIdentity},
		"another trigger":          {run{workflow, "refs/heads/rel-1.22.0", "repository_dispatch", "pypi-release"}, "pypi-release", nil, UnexpectedIdentity},
		"another environment":      {run{workflow, "refs/heads/rel-1.22.0", "workflow_dispatch", "staging"}, "staging", nil, UnexpectedIdentity},
		"a branch that ends alike": {run{workflow, "refs/heads/x/rel-1.22.0", "workflow_dispatch", "pypi-release"}, "pypi-release", nil, UnexpectedIdentity},

		// Certificates without extension .23: every grade that differs in nothing else is possible, and the index's record narrows.
		"environment unknown, recorded":       {run{workflow, release.ref, release.trigger, "?"}, "pypi-release", map[string]string{"pypi/onnx": "release"}, WrongGrade},
		"environment unknown, rehearsal":      {run{workflow, release.ref, release.trigger, "?"}, "testpypi-release", map[string]string{"testpypi/onnx": "test-release"}, WrongGrade},
		"environment unknown, not recorded":   {run{workflow, release.ref, release.trigger, "?"}, "", map[string]string{"pypi/onnx": "release", "testpypi/onnx": "test-release", "testpypi/onnx-weekly": "test-weekly"}, WrongGrade},
		"environment unknown, another's":      {run{workflow, release.ref, release.trigger, "?"}, "staging", nil, WrongGrade},
		"environment unknown, weekly by cron": {run{workflow, "refs/heads/main", "schedule", "?"}, "pypi-weekly", map[string]string{"pypi/onnx-weekly": "weekly"}, WrongGrade},
	} {
		for project, version := range files {
			want, grade := []string{c.otherwise}, c.covers[project]
			if grade != "" {
				want = nil
			}
			got := presetJudge(t, noon).File(pypiProject(project), attestedBy(version, c.run, c.publisher))
			if diff := cmp.Diff(want, rules(got.Assessment)); diff != "" || got.Grade != grade {
				t.Errorf("%s signs %s: grade %q, want %q, rules (-want +got):\n%s", name, project, got.Grade, grade, diff)
			}
			if (got.State == FileVerified) != (grade != "") {
				t.Errorf("%s signs %s: it is %s", name, project, got.State)
			}
		}
	}
}

// attestedBy is a file with a publish attestation by a run. The publisher record agrees with the certificate where that tells.
func attestedBy(version string, r run, environment string) FileFacts {
	f := attested(version, r.identity(), environment)
	at := &f.Provenance.Document.Attestations[0]
	at.Publisher.Workflow = r.workflow
	if r.environment != "?" {
		at.Publisher.Environment = r.environment
	}
	return f
}

// TestARefsVersionIsTheFiles has the branch of one release sign files of several versions.
func TestARefsVersionIsTheFiles(t *testing.T) {
	for version, want := range map[string]bool{
		"1.22.0": true, "1.22": true, "1.22.0rc1": true, "1.22.0.post1": true, "1.22.0.dev3": true,
		"1.22.1": false, "1.21.0": false, "1.2.20": false, "2!1.22.0": false, "": false, "not a version": false,
	} {
		got := presetJudge(t, noon).File(pypiProject("pypi/onnx"), attestedBy(version, run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}, ""))
		if (got.Grade == "release") != want || (len(got.Findings) == 0) != want {
			t.Errorf("%q: grade %q, %v", version, got.Grade, rules(got.Assessment))
		}
		if !want && got.Findings[0].Evidence[0].Detail != fmt.Sprintf("grade release: its ref is for version 1.22.0, the file is of %s", version) {
			t.Errorf("%q: it says %q", version, got.Findings[0].Evidence[0].Detail)
		}
	}
}

// TestThePresetsDutiesBeginToTheSecond judges files around the instants from which a file must be signed.
func TestThePresetsDutiesBeginToTheSecond(t *testing.T) {
	day := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	signedRelease, signedWeekly := day(2025, 8, 1), day(2024, 11, 4)
	slsaRelease, slsaWeekly := day(2026, 6, 1), day(2026, 5, 11)
	for _, c := range []struct {
		project, version string
		uploaded         time.Time
		state            FileState // of an unsigned file
		slsa             bool      // of a signed one: SLSA provenance is due
	}{
		{"pypi/onnx", "1.18.0", signedRelease.Add(-time.Second), FileLegacy, false},
		{"pypi/onnx", "1.18.0", signedRelease, FileUnsigned, false},
		{"pypi/onnx", "1.19.0", signedRelease.Add(-time.Second), FileUnsigned, false},
		{"pypi/onnx", "1.18.1", noon.Add(-24 * time.Hour), FileUnsigned, true},
		{"pypi/onnx", "1.18.0", time.Time{}, FileUnsigned, true},
		{"pypi/onnx", "1.21.0", slsaRelease.Add(-time.Second), FileUnsigned, false},
		{"pypi/onnx", "1.21.0", slsaRelease, FileUnsigned, true},
		{"pypi/onnx", "1.22.0", slsaRelease.Add(-time.Second), FileUnsigned, true},
		{"pypi/onnx", "1.22.0rc1", slsaRelease.Add(-time.Second), FileUnsigned, false},
		{"pypi/onnx-weekly", "1.18.0.dev20241028", signedWeekly.Add(-time.Second), FileLegacy, false},
		{"pypi/onnx-weekly", "1.18.0.dev20241104", signedWeekly, FileUnsigned, false},
		{"pypi/onnx-weekly", "1.22.0.dev20260504", slsaWeekly.Add(-time.Second), FileUnsigned, false},
		{"pypi/onnx-weekly", "1.22.0.dev20260511", slsaWeekly, FileUnsigned, true},
		{"pypi/onnx-weekly", "", signedWeekly.Add(-time.Second), FileLegacy, false}, // the date alone decides
		{"pypi/stranger", "1.0", day(2020, 1, 1), FileUnsigned, false},              // no grade publishes it: nobody may
	} {
		name := fmt.Sprintf("%s %s of %s", c.project, c.version, c.uploaded.Format(time.RFC3339))
		p := pypiProject(c.project)
		unsigned := file(c.version, c.uploaded)
		unsigned.FirstSeen = noon.Add(-24 * time.Hour)
		got := presetJudge(t, noon).File(p, unsigned)
		if got.State != c.state {
			t.Errorf("%s: unsigned it is %s, want %s", name, got.State, c.state)
		}
		if (len(got.Findings) == 0) != (c.state == FileLegacy) {
			t.Errorf("%s: findings %v", name, rules(got.Assessment))
		}
		signed := attestedBy(c.version, run{"create_release.yml", "refs/heads/main", "schedule", "pypi-weekly"}, "")
		signed.UploadedAt = c.uploaded
		var due []Unknown
		for _, u := range presetJudge(t, noon).File(p, signed).Unknowns {
			if u.Rule == MissingSLSAProvenance {
				due = append(due, u)
			}
		}
		if (len(due) == 1) != c.slsa || c.slsa && !due[0].Unread {
			t.Errorf("%s: SLSA provenance is missed: %+v, want %t", name, due, c.slsa)
		}
	}
}

// TestSLSAProvenanceIsFoundWhereverItStands has a publish attestation before or after a good SLSA provenance, and a bad one
// around it.
func TestSLSAProvenanceIsFoundWhereverItStands(t *testing.T) {
	base := attestedBy("1.22.0", run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}, "").Provenance.Document.Attestations[0]
	slsa := base
	slsa.PredicateType = attest.PredicateSLSA
	bad := slsa
	bad.Contradictions = []identity.Mismatch{{Field: "source_repository_ref", Got: "refs/heads/evil", Want: "refs/heads/rel-1.22.0"}}
	for name, c := range map[string]struct {
		attestations []AttestationFacts
		missed       bool
		want         []string
	}{
		"none":             {[]AttestationFacts{base}, true, nil},
		"after":            {[]AttestationFacts{base, slsa}, false, nil},
		"before":           {[]AttestationFacts{slsa, base}, false, nil},
		"only a bad one":   {[]AttestationFacts{base, bad}, true, []string{PredicateMismatch}},
		"a bad one after":  {[]AttestationFacts{base, slsa, bad}, false, []string{PredicateMismatch}},
		"a bad one before": {[]AttestationFacts{base, bad, slsa}, false, []string{PredicateMismatch}},
		"only SLSA":        {[]AttestationFacts{slsa}, false, []string{NoProvenance}},
	} {
		f := attested("1.22.0", nil, "")
		f.Provenance.Document.Attestations = c.attestations
		f.FirstSeen = noon.Add(-24 * time.Hour)
		got := presetJudge(t, noon).File(pypiProject("pypi/onnx"), f)
		if diff := cmp.Diff(c.want, rules(got.Assessment)); diff != "" {
			t.Errorf("%s: rules (-want +got):\n%s", name, diff)
		}
		if missed := len(got.Unknowns) == 1 && got.Unknowns[0].Rule == MissingSLSAProvenance; missed != c.missed {
			t.Errorf("%s: unknown is %+v", name, got.Unknowns)
		}
	}
}

// TestUnconfirmedIDsInformAndConfirmedOnesPage judges a release by a repository of another number.
func TestUnconfirmedIDsInformAndConfirmedOnesPage(t *testing.T) {
	f := attestedBy("1.22.0", run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}, "")
	f.Provenance.Document.Attestations[0].Identity.SourceRepositoryID = "666"
	j := presetJudge(t, noon)
	if got := j.File(pypiProject("pypi/onnx"), f); len(got.Findings) != 0 {
		t.Errorf("unconfirmed: %v", rules(got.Assessment))
	}
	j.Policy.Repository.IDsUnconfirmed = false
	got := j.File(pypiProject("pypi/onnx"), f)
	if diff := cmp.Diff([]string{UnexpectedIdentity}, rules(got.Assessment)); diff != "" {
		t.Fatalf("confirmed: %s", diff)
	}
	if d := got.Findings[0].Evidence[0].Detail; d != `source_repository_id is "666", not "102692863"` {
		t.Errorf("it says %q", d)
	}
}
