package pypi

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOwnershipIsToldOrUnknown(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       Ownership
	}{
		{"as PyPI tells", `{"info":{"name":"ONNX","x":1},"ownership":{"roles":[{"role":"Owner","user":"a"},{"role":"Maintainer","user":"b","x":1}],"organization":null},"releases":{}}`,
			Ownership{Told: true, Roles: []Role{{"Owner", "a"}, {"Maintainer", "b"}}}},
		{"an organisation's", `{"info":{"name":"onnx"},"ownership":{"roles":[],"organization":"onnx-org"}}`,
			Ownership{Told: true, Roles: []Role{}, Organization: "onnx-org"}},
		{"not told", `{"info":{"name":"onnx"},"urls":[]}`, Ownership{}},
		{"null", `{"info":{"name":"onnx"},"ownership":null}`, Ownership{}},
	} {
		got, err := decodeOwnership([]byte(c.body), "onnx")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got.Told && !strings.Contains(c.body, `"ownership":`+string(got.Raw)) {
			t.Errorf("%s: kept as %s", c.name, got.Raw)
		}
		got.Raw = nil
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestOwnershipThatIsMalformedIsAnError(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`<html>`, "it is HTML or XML"},
		{`{"info":{"name":"evil"},"ownership":{"roles":[]}}`, `it is about project "evil", not "onnx"`},
		{`{"ownership":{"roles":[]}}`, `it is about project "", not "onnx"`},
		{`{"info":{"name":"onnx"},"ownership":[]}`, "its ownership: it is not a JSON object"},
		{`{"info":{"name":"onnx"},"ownership":{}}`, "its ownership has no roles member"},
		{`{"info":{"name":"onnx"},"ownership":{"roles":null}}`, "its ownership has no roles member"},
		{`{"info":{"name":"onnx"},"ownership":{"roles":[{"role":"Owner"}]}}`, "role 0 lacks a role or a user"},
		{`{"info":{"name":"onnx"},"ownership":{"roles":[{"role":"Owner","user":7}]}}`, "user"},
		{`{"info":{"name":"onnx"},"ownership":{"roles":[` + strings.Repeat(`{"role":"Owner","user":"a"},`, 100_000) + `{"role":"Owner","user":"a"}]}}`, "more than 100000"},
		{`{"info":{"name":"onnx"},"ownership":{"roles":[]},"ownership":{"roles":[]}}`, "duplicate"},
		{strings.Repeat(" ", 64<<20+1), "more than 67108864"},
	} {
		if got, err := decodeOwnership([]byte(c.body), "onnx"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80s: %+v and error %v, not %q", c.body, got, err, c.want)
		}
	}
}

func FuzzDecodeOwnership(f *testing.F) {
	f.Add([]byte(`{"info":{"name":"onnx"},"ownership":{"roles":[{"role":"Owner","user":"a"}],"organization":"b"}}`))
	f.Add([]byte(`{"info":{"name":"onnx"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := decodeOwnership(body, "onnx")
		if err == nil && o.Told != (len(o.Raw) > 0) {
			t.Errorf("%+v", o)
		}
	})
}
