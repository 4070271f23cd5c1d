package attest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/rekoncile/rekoncile/internal/strictjson"
)

const oneAttestation = `{"version":1,"verification_material":{"certificate":"","transparency_entries":[]},"envelope":{"statement":"","signature":""}}`

func provenance(publisher, attestations string) []byte {
	return fmt.Appendf(nil, `{"version":1,"attestation_bundles":[{"publisher":%s,"attestations":%s}]}`, publisher, attestations)
}

func TestParseProvenanceKeepsWhatTheIndexSaid(t *testing.T) {
	tests := map[string]struct {
		publisher string
		want      Publisher
	}{
		"GitHub": {`{"kind":"GitHub","repository":"acme/demo","workflow":"release.yml","environment":"pypi","claims":null}`,
			Publisher{Kind: "GitHub", Repository: "acme/demo", Workflow: "release.yml", Environment: "pypi", EnvironmentPresent: true}},
		"environment null": {`{"kind":"GitHub","repository":"acme/demo","workflow":"release.yml","environment":null}`,
			Publisher{Kind: "GitHub", Repository: "acme/demo", Workflow: "release.yml", EnvironmentPresent: true}},
		"no environment": {`{"kind":"GitHub","repository":"acme/demo","workflow":"release.yml"}`,
			Publisher{Kind: "GitHub", Repository: "acme/demo", Workflow: "release.yml"}},
		"GitLab": {`{"kind":"GitLab","repository":"acme/demo","workflow_filepath":".gitlab-ci.yml","environment":""}`,
			Publisher{Kind: "GitLab", Repository: "acme/demo", Workflow: ".gitlab-ci.yml", EnvironmentPresent: true}},
		"Google":    {`{"kind":"Google","email":"robot@example.com"}`, Publisher{Kind: "Google", Email: "robot@example.com"}},
		"later one": {`{"kind":"Later","repository":{"id":7}}`, Publisher{Kind: "Later"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := ParseProvenance(provenance(tt.publisher, `[`+oneAttestation+`]`))
			if err != nil {
				t.Fatal(err)
			}
			got := p.Bundles[0].Publisher
			if string(got.Raw) != tt.publisher {
				t.Errorf("raw: %s", got.Raw)
			}
			got.Raw = nil
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if a := p.Bundles[0].Attestations; len(a) != 1 || string(a[0]) != oneAttestation {
				t.Errorf("attestations: %s", a)
			}
		})
	}
}

func TestParseProvenanceRefusesAndSaysWhere(t *testing.T) {
	const gh = `{"kind":"GitHub"}`
	tests := map[string]struct {
		raw  []byte
		want string
	}{
		"HTML":                  {[]byte("<html>"), "not a JSON object"},
		"nothing":               {nil, "not a JSON object"},
		"array":                 {[]byte("[]"), "not a JSON object"},
		"cut off":               {provenance(gh, "[]")[:40], "not valid JSON"},
		"something behind":      {append(provenance(gh, "["+oneAttestation+"]"), "{}"...), "behind its JSON object"},
		"no version":            {[]byte(`{"attestation_bundles":[]}`), "/version is 0"},
		"version 2":             {[]byte(`{"version":2,"attestation_bundles":[]}`), "/version is 2"},
		"version is text":       {[]byte(`{"version":"1","attestation_bundles":[]}`), "/version"},
		"no bundles":            {[]byte(`{"version":1,"attestation_bundles":[]}`), "/attestation_bundles is missing or empty"},
		"bundles null":          {[]byte(`{"version":1,"attestation_bundles":null}`), "/attestation_bundles is missing or empty"},
		"bundle is a number":    {[]byte(`{"version":1,"attestation_bundles":[7]}`), "/attestation_bundles/0"},
		"no attestations":       {provenance(gh, "[]"), "/attestation_bundles/0/attestations is missing or empty"},
		"attestation is text":   {provenance(gh, `["x"]`), "/attestation_bundles/0/attestations/0 is not an object"},
		"no publisher":          {provenance("null", "["+oneAttestation+"]"), "/attestation_bundles/0/publisher is missing"},
		"publisher of nobody":   {provenance("{}", "["+oneAttestation+"]"), "/attestation_bundles/0/publisher/kind"},
		"duplicate name":        {[]byte(`{"version":1,"version":1}`), "duplicate"},
		"duplicate deep down":   {provenance(gh, `[{"a":{"b":1,"b":2}}]`), "duplicate"},
		"not UTF-8":             {[]byte("{\"version\":1,\"x\":\"\xff\"}"), "UTF-8"},
		"too deep":              {provenance(gh, `[{"a":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`}]`), "nests deeper"},
		"too many values":       {provenance(gh, `[{"a":[`+strings.Repeat("0,", strictjson.MaxValues)+`0]}]`), "more than 100000 values"},
		"too many bundles":      {[]byte(`{"version":1,"attestation_bundles":[` + strings.Repeat("{},", 32) + `{}]}`), "33 items"},
		"too many attestations": {provenance(gh, "["+strings.Repeat("{},", 32)+"{}]"), "33 items"},
		"too long":              {make([]byte, maxProvenanceBytes+1), "more than the 16777216 allowed"},
		"a lot of zeros":        {make([]byte, 100<<20), "more than the 16777216 allowed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := ParseProvenance(tt.raw)
			if err == nil {
				t.Fatalf("accepted as %+v", p)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
		})
	}
}

func TestSniff(t *testing.T) {
	tests := map[string]struct{ raw, kind, err string }{
		"provenance":  {`{"version":1,"attestation_bundles":[]}`, KindProvenance, ""},
		"attestation": {oneAttestation, KindAttestation, ""},
		"bundle":      {`{"mediaType":"x","verificationMaterial":{}}`, KindBundle, ""},
		"a mixture":   {`{"mediaType":"x","attestation_bundles":[]}`, "", "mixes the members of provenance and bundle"},
		"neither":     {`{"a":{"mediaType":"x"}}`, "", "neither"},
		"no JSON":     {`PK`, "", "not a JSON object"},
		"empty":       {``, "", "not a JSON object"},
	}
	for name, tt := range tests {
		kind, err := Sniff([]byte(tt.raw))
		if kind != tt.kind || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %q, %v; want %q, %q", name, kind, err, tt.kind, tt.err)
		}
	}
}

// TestHostileSizesAreRefusedBeforeDecoding: each of these would decode into far more memory than it has bytes, or recurse.
func TestHostileSizesAreRefusedBeforeDecoding(t *testing.T) {
	v := newWorld(t).verifier(nil)
	entries := `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"certificate":{"rawBytes":"AAAA"},"tlogEntries":[` +
		strings.Repeat("{},", 200_000) + `{}]},"messageSignature":{}}`
	for name, raw := range map[string][]byte{
		"entries": []byte(entries),
		"nesting": []byte(strings.Repeat(`{"a":`, 1_000_000)),
		"zeros":   make([]byte, maxBundleBytes+1),
	} {
		if res := v.VerifyBundle(raw, Artifact{}); decisive(&res) != CheckParse {
			t.Errorf("%s as a bundle: %+v", name, res.Checks)
		}
		if res := v.VerifyAttestation(raw, Artifact{}); decisive(&res) != CheckParse {
			t.Errorf("%s as an attestation: %+v", name, res.Checks)
		}
	}
	if _, err := parseStatement([]byte(`{"subject":[` + strings.Repeat(`{},`, maxSubjects) + `{}]}`)); err == nil {
		t.Error("a statement of 1,025 subjects was accepted")
	}
	if _, err := parseStatement([]byte(`{"subject":[{"digest":{` + manyDigests(maxDigests+1) + `}}]}`)); err == nil {
		t.Error("a subject of 33 digests was accepted")
	}
}

func manyDigests(n int) string {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `,"a%d":"00"`, i)
	}
	return b.String()[1:]
}

func TestPrintableKeepsHostileTextFromTheTerminal(t *testing.T) {
	got := printable("a\x1b[2Jb\r\nc\xff" + strings.Repeat("ü", 400))
	if strings.ContainsAny(got, "\x1b\r\n\xff") || len(got) > 420 || !strings.HasPrefix(got, "a?[2Jb??c?ü") {
		t.Errorf("%q", got)
	}
}
