package identity

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/realdata"
)

// releasePredicate is what actions/attest writes in the job of releaseIdentity.
const releasePredicate = `{
 "buildDefinition": {
  "buildType": "https://actions.github.io/buildtypes/workflow/v1",
  "externalParameters": {"workflow": {"ref": "refs/heads/rel-1.22.0", "repository": "https://github.com/onnx/onnx", "path": ".github/workflows/create_release.yml"}},
  "internalParameters": {"github": {"event_name": "workflow_dispatch", "repository_id": "102692863", "repository_owner_id": "31675368", "runner_environment": "github-hosted"}},
  "resolvedDependencies": [{"uri": "git+https://github.com/onnx/onnx@refs/heads/rel-1.22.0", "digest": {"gitCommit": "f75469120f75469120f75469120f75469120aaaa"}}]
 },
 "runDetails": {
  "builder": {"id": "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/rel-1.22.0"},
  "metadata": {"invocationId": "https://github.com/onnx/onnx/actions/runs/12345678/attempts/1"}
 }
}`

func TestSLSAPredicateMustSayWhatTheCertificateSays(t *testing.T) {
	const def, workflow = "buildDefinition.", "buildDefinition.externalParameters.workflow"
	for _, c := range []struct {
		name, old, new string
		fields         string // of the mismatches, joined by commas
	}{
		{"as GitHub writes it", "", "", ""},
		{"other build type", "workflow/v1", "workflow/v2", def + "buildType"},
		{"no build type", `"buildType"`, `"x"`, def + "buildType"},
		{"other repository", `"repository": "https://github.com/onnx/onnx"`, `"repository": "https://github.com/evil/onnx"`, workflow + ".repository," + workflow},
		{"repository in another case", `"repository": "https://github.com/onnx/onnx"`, `"repository": "https://github.com/ONNX/onnx"`, workflow + ".repository," + workflow},
		{"other ref", `"ref": "refs/heads/rel-1.22.0"`, `"ref": "refs/heads/main"`, workflow + ".ref," + workflow},
		{"other path", `"path": ".github/workflows/create_release.yml"`, `"path": ".github/workflows/evil.yml"`, workflow},
		{"no path", `"path"`, `"paths"`, workflow + ".paths," + workflow},
		{"path of another type", `"path": ".github/workflows/create_release.yml"`, `"path": 7`, workflow},
		{"parameter beside the workflow", `{"workflow": {`, `{"inputs": {"skip": "tests"}, "workflow": {`, def + "externalParameters.inputs"},
		{"parameter in the workflow", `{"ref":`, `{"inputs": null, "ref":`, workflow + ".inputs"},
		{"no parameters", `"externalParameters"`, `"x"`, workflow + ".repository," + workflow + ".ref," + workflow},
		{"other event", `"workflow_dispatch"`, `"push"`, def + "internalParameters.github.event_name"},
		{"other repository id", `"102692863"`, `"1"`, def + "internalParameters.github.repository_id"},
		{"other owner id", `"31675368"`, `"1"`, def + "internalParameters.github.repository_owner_id"},
		{"other runner", `"github-hosted"`, `"self-hosted"`, def + "internalParameters.github.runner_environment"},
		{"empty runner", `"github-hosted"`, `""`, def + "internalParameters.github.runner_environment"},
		{"no runner, as older toolkits", `, "runner_environment": "github-hosted"`, ``, ""},
		{"no internal parameters", `"internalParameters"`, `"x"`, ""},
		{"further internal parameter", `"event_name"`, `"x": 1, "event_name"`, ""},
		{"other commit", `"f7546912`, `"f7546913`, def + "resolvedDependencies[0].digest.gitCommit"},
		{"commit as another digest", `"gitCommit"`, `"sha1"`, def + "resolvedDependencies[0].digest.gitCommit"},
		{"other source", `"git+https://github.com/onnx/onnx@`, `"git+https://github.com/evil/onnx@`, def + "resolvedDependencies[0].uri"},
		{"no dependencies", `"resolvedDependencies"`, `"x"`, def + "resolvedDependencies[0].uri," + def + "resolvedDependencies[0].digest.gitCommit"},
		{"other builder", `{"id": "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/rel-1.22.0"}`, `{"id": "https://github.com/actions/runner"}`, "runDetails.builder.id"},
		{"no builder", `"builder"`, `"x"`, "runDetails.builder.id"},
		{"other run", `runs/12345678`, `runs/1`, "runDetails.metadata.invocationId"},
		{"no metadata", `"metadata"`, `"x"`, "runDetails.metadata.invocationId"},
	} {
		t.Run(c.name, func(t *testing.T) {
			predicate := strings.Replace(releasePredicate, c.old, c.new, 1)
			if c.old != "" && predicate == releasePredicate {
				t.Fatal("the case changes nothing")
			}
			mismatches, err := CheckSLSAPredicate([]byte(predicate), releaseIdentity())
			if err != nil {
				t.Fatal(err)
			}
			var fields []string
			for _, m := range mismatches {
				fields = append(fields, m.Field)
			}
			if got := strings.Join(fields, ","); got != c.fields {
				t.Errorf("mismatches in %s\nnot in          %s", got, c.fields)
			}
		})
	}
}

func TestSLSAPredicateTellsBothValues(t *testing.T) {
	predicate := strings.Replace(releasePredicate, "runs/12345678", "runs/1", 1)
	got, err := CheckSLSAPredicate([]byte(predicate), releaseIdentity())
	if err != nil {
		t.Fatal(err)
	}
	want := []Mismatch{{
		Field: "runDetails.metadata.invocationId",
		Got:   "https://github.com/onnx/onnx/actions/runs/1/attempts/1",
		Want:  "https://github.com/onnx/onnx/actions/runs/12345678/attempts/1",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSLSAPredicateOfAnEmptyCertificateNeverAgrees(t *testing.T) {
	for _, predicate := range []string{`{}`, releasePredicate} {
		got, err := CheckSLSAPredicate([]byte(predicate), Identity{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < 7 {
			t.Errorf("only %v", got)
		}
	}
}

func TestSLSAPredicateThatCannotBeReadIsAnError(t *testing.T) {
	for _, c := range []struct{ predicate, want string }{
		{``, "it is not a JSON object"},
		{`null`, "it is not a JSON object"},
		{`[]`, "it is not a JSON object"},
		{`{"buildDefinition": {}, "buildDefinition": {}}`, "duplicate"},
		{strings.Replace(releasePredicate, `{"ref":`, `{"ref": "x", "ref":`, 1), "duplicate"},
		{`{"buildDefinition": {"externalParameters": {"workflow": []}}}`, "externalParameters.workflow: it is not a JSON object"},
		{`{"buildDefinition": {"buildType": 7}}`, "buildType"},
		{`{"buildDefinition": {"buildType": "` + "\xff" + `"}}`, "invalid UTF-8"},
		{`{} {}`, "after top-level value"},
		{`{"x": "` + strings.Repeat("x", 8<<20) + `"}`, "more than 8388608"},
		{strings.Repeat(`{"x":`, 100_000), "depth"},
	} {
		got, err := CheckSLSAPredicate([]byte(c.predicate), releaseIdentity())
		if err == nil || !strings.Contains(err.Error(), c.want) || got != nil {
			t.Errorf("%.60s: %v and error %v, not %q", c.predicate, got, err, c.want)
		}
	}
}

func TestSLSAPredicateCannotFloodTheAnswer(t *testing.T) {
	parameters := map[string]string{}
	for i := range 1000 {
		parameters[strings.Repeat("k", i)] = strings.Repeat("v", i)
	}
	predicate, err := json.Marshal(map[string]any{"buildDefinition": map[string]any{"externalParameters": parameters}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := CheckSLSAPredicate(predicate, releaseIdentity())
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, m := range got {
		size += len(m.Field) + len(m.Got) + len(m.Want)
	}
	if len(got) != 24 || size > 32<<10 {
		t.Errorf("%d mismatches of %d bytes", len(got), size)
	}
}

func FuzzCheckSLSAPredicate(f *testing.F) {
	f.Add([]byte(releasePredicate))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"buildDefinition":{"externalParameters":{"workflow":null}}}`))
	f.Fuzz(func(t *testing.T, predicate []byte) {
		got, err := CheckSLSAPredicate(predicate, releaseIdentity())
		if err != nil {
			return
		}
		for _, m := range got {
			if len(m.Field) > 1024 || len(m.Got) > 1024 || m.Got == m.Want {
				t.Errorf("%+v", m)
			}
		}
	})
}

// attestation is what these tests need of a PEP 740 attestation.
type attestation struct {
	Material struct {
		Certificate string `json:"certificate"`
	} `json:"verification_material"`
	Envelope struct {
		Statement string `json:"statement"`
	} `json:"envelope"`
}

func TestRealSLSAPredicateAgreesWithItsCertificateAndWithNoOther(t *testing.T) {
	body, err := os.ReadFile(filepath.Join(realdata.Dir(t), "2-pep740", "pypi-attestations", "test__assets__pypi_attestations-0.0.19.tar.gz.slsa.attestation"))
	if err != nil {
		t.Fatal(err)
	}
	var a attestation
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatal(err)
	}
	decode := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var statement struct {
		Predicate json.RawMessage `json:"predicate"`
	}
	if err := json.Unmarshal(decode(a.Envelope.Statement), &statement); err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(decode(a.Material.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	id, err := FromCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := CheckSLSAPredicate(statement.Predicate, id); err != nil || len(got) != 0 {
		t.Errorf("its own certificate: %v, error %v", got, err)
	}
	if got, err := CheckSLSAPredicate(statement.Predicate, releaseIdentity()); err != nil || len(got) < 10 {
		t.Errorf("another certificate: %v, error %v", got, err)
	}
	const want = "workflow release.yml of trailofbits/pypi-attestations at refs/tags/v0.0.19, triggered by release"
	if got := id.Describe(); got != want {
		t.Errorf("it is %s", got)
	}
}
