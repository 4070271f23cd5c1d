package pypi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/fetch"
)

// index serves answers by path, as a package index on loopback, and records what it was asked.
type index struct {
	Index
	answers map[string]http.HandlerFunc
	asked   []*http.Request
}

func newIndex(t *testing.T, answers map[string]http.HandlerFunc) *index {
	t.Helper()
	ix := &index{answers: answers}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ix.asked = append(ix.asked, r)
		if answer := ix.answers[r.URL.Path]; answer != nil {
			answer(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	ix.URL = server.URL
	return ix
}

// newClient is a client that makes its requests as the monitor does.
func newClient(t *testing.T) *Client {
	t.Helper()
	f := fetch.New(fetch.Options{Clock: clock.Real(), UserAgent: "rekoncile-test", Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}}})
	t.Cleanup(f.Close)
	return NewClient(f)
}

// answer is one with a content type, headers as "Name: value", and a body.
func answer(contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Set(name, value)
		}
		if etag := w.Header().Get("ETag"); etag != "" && r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, body)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", code) }
}

// listingOf is a listing of project with a serial and no files.
func listingOf(project string, serial int64) string {
	return fmt.Sprintf(`{"meta":{"api-version":"1.4","_last-serial":%d},"name":%q,"files":[]}`, serial, project)
}

func TestListingAsksForTheNormalisedNameInJSON(t *testing.T) {
	ix := newIndex(t, map[string]http.HandlerFunc{
		"/simple/onnx-weekly/": answer(simpleJSON, listingOf("onnx-weekly", 7), `ETag: "a"`, "X-PyPI-Last-Serial: 7"),
	})
	for _, name := range []string{"onnx-weekly", "ONNX_weekly", "onnx.-weekly"} {
		l, err := newClient(t).Listing(t.Context(), ix.Index, name, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if l.Name != "onnx-weekly" || l.Serial != 7 || l.ETag != `"a"` || len(l.Notes) != 0 {
			t.Errorf("%s: %+v", name, l)
		}
	}
	for _, r := range ix.asked {
		if got := r.Header.Get("Accept"); got != "application/vnd.pypi.simple.v1+json" || r.Method != "GET" {
			t.Errorf("%s accepting %q", r.Method, got)
		}
	}
}

func TestListingThatDidNotChangeIsNotReadAgain(t *testing.T) {
	ix := newIndex(t, map[string]http.HandlerFunc{"/simple/onnx/": answer(simpleJSON, listingOf("onnx", 7), `ETag: "a"`)})
	if _, err := newClient(t).Listing(t.Context(), ix.Index, "onnx", `"a"`, 7); !errors.Is(err, ErrNotModified) {
		t.Errorf("error %v", err)
	}
	if _, err := newClient(t).Listing(t.Context(), ix.Index, "onnx", `"b"`, 7); err != nil {
		t.Errorf("with an older ETag: %v", err)
	}
}

func TestListingFromALaggingMirrorIsNotADeletion(t *testing.T) {
	ix := newIndex(t, map[string]http.HandlerFunc{"/simple/onnx/": answer(simpleJSON, listingOf("onnx", 7))})
	_, err := newClient(t).Listing(t.Context(), ix.Index, "onnx", "", 8)
	var stale *StaleError
	if !errors.As(err, &stale) || stale.Got != 7 || stale.Seen != 8 {
		t.Errorf("error %v", err)
	}
	if _, err := newClient(t).Listing(t.Context(), ix.Index, "onnx", "", 7); err != nil {
		t.Errorf("with the same serial: %v", err)
	}

	ix.answers["/simple/onnx/"] = answer(simpleJSON, `{"meta":{"api-version":"1.1"},"name":"onnx","files":[]}`)
	l, err := newClient(t).Listing(t.Context(), ix.Index, "onnx", "", 8)
	if err != nil || l.Serial != 0 || len(l.Notes) != 1 || !strings.Contains(l.Notes[0], "told serial 8 before and tells none now") {
		t.Errorf("without a serial: %+v, error %v", l, err)
	}
}

func TestListingTakesTheSerialFromTheHeaderAndHoldsItAgainstTheBody(t *testing.T) {
	for _, c := range []struct {
		body, header string
		serial       int64
		want         string
	}{
		{`{"meta":{"api-version":"1.0"},"name":"onnx","files":[]}`, "9", 9, ""},
		{listingOf("onnx", 9), "9", 9, ""},
		{listingOf("onnx", 9), "8", 0, "its header tells serial 8 and its body 9"},
		{listingOf("onnx", 9), "x", 0, `its header X-PyPI-Last-Serial is "x"`},
		{listingOf("onnx", 9), "-9", 0, `its header X-PyPI-Last-Serial is "-9"`},
	} {
		ix := newIndex(t, map[string]http.HandlerFunc{"/simple/onnx/": answer(simpleJSON, c.body, "X-PyPI-Last-Serial: "+c.header)})
		l, err := newClient(t).Listing(t.Context(), ix.Index, "onnx", "", 0)
		switch {
		case c.want == "" && (err != nil || l.Serial != c.serial):
			t.Errorf("header %s: %+v, error %v", c.header, l, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("header %s: error %v, not %q", c.header, err, c.want)
		}
	}
}

func TestListingErrorsSayWhatIsKnown(t *testing.T) {
	ix := newIndex(t, map[string]http.HandlerFunc{
		"/simple/html/":      answer("text/html; charset=utf-8", "<!DOCTYPE html><html></html>"),
		"/simple/html-json/": answer(simpleJSON, "<!DOCTYPE html><html></html>"),
		"/simple/gone/":      status(http.StatusNotFound),
		"/simple/teapot/":    status(http.StatusTeapot),
		"/simple/cut/":       answer(simpleJSON, listingOf("cut", 1)[:40]),
		"/simple/other/":     answer(simpleJSON, listingOf("onnx", 1)),
	})
	for _, c := range []struct {
		project  string
		notFound bool
		want     string
	}{
		{"html", false, "text/html"},
		{"html-json", false, "it is HTML or XML where JSON was asked for"},
		{"gone", true, "the index has no project gone"},
		{"teapot", false, "418"},
		{"cut", false, "unexpected EOF"},
		{"other", false, `it is about project "onnx", not "other"`},
		{"", false, `"" is not a project's name`},
		{"../onnx", false, `"../onnx" is not a project's name`},
		{"onnx/", false, `"onnx/" is not a project's name`},
		{"оnnx", false, "is not a project's name"},
	} {
		l, err := newClient(t).Listing(t.Context(), ix.Index, c.project, "", 0)
		var notFound *NotFoundError
		if err == nil || l != nil || errors.As(err, &notFound) != c.notFound || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, error %v, not %q", c.project, l, err, c.want)
		}
	}
	if len(ix.asked) != 6 {
		t.Errorf("%d requests", len(ix.asked))
	}
}

func TestListingResolvesURLsAgainstThePageItCameFrom(t *testing.T) {
	ix := newIndex(t, map[string]http.HandlerFunc{
		"/simple/onnx/": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/mirror/simple/onnx/", http.StatusMovedPermanently)
		},
		"/mirror/simple/onnx/": answer(simpleJSON, `{"meta":{"api-version":"1.0"},"name":"onnx","files":[{"filename":"onnx-1.0.zip","url":"../../files/onnx-1.0.zip","hashes":{"sha256":"`+digest+`"},"provenance":"/integrity/onnx/1.0/onnx-1.0.zip/provenance"}]}`),
	})
	l, err := newClient(t).Listing(t.Context(), ix.Index, "onnx", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := l.Files[0].URL, ix.URL+"/mirror/files/onnx-1.0.zip"; got != want {
		t.Errorf("file at %s, not %s", got, want)
	}
	if got, want := l.Files[0].ProvenanceURL, ix.URL+"/integrity/onnx/1.0/onnx-1.0.zip/provenance"; got != want {
		t.Errorf("provenance at %s, not %s", got, want)
	}
}

func TestProvenanceTellsAnswersFromErrors(t *testing.T) {
	const document = `{"version":1,"attestation_bundles":[]}`
	at := func(name string) string { return "/integrity/onnx/1.0/" + name + "/provenance" }
	ix := newIndex(t, map[string]http.HandlerFunc{
		at("served"):    answer(integrityJSON, document, `ETag: "p"`),
		at("plain"):     answer("application/json", document),
		at("not-found"): status(http.StatusNotFound),
		at("forbidden"): status(http.StatusForbidden),
		at("teapot"):    status(http.StatusTeapot),
		at("html"):      answer("text/html", "<html>"),
	})
	for _, c := range []struct {
		name, etag string
		state      ProvenanceState
		body       string
	}{
		{"served", "", ProvenanceServed, document},
		{"served", `"old"`, ProvenanceServed, document},
		{"served", `"p"`, ProvenanceNotModified, ""},
		{"plain", "", ProvenanceServed, document},
		{"not-found", "", ProvenanceNotFound, ""},
		{"forbidden", `"p"`, ProvenanceForbidden, ""},
		{"teapot", "", "", ""},
		{"html", "", "", ""},
	} {
		got, err := newClient(t).Provenance(t.Context(), ix.Index, ix.URL+at(c.name), c.etag)
		if got.State != c.state || string(got.Body) != c.body || (err == nil) != (c.state != "") {
			t.Errorf("%s: %+v, error %v", c.name, got, err)
		}
		if want := map[bool]string{true: `"p"`}[c.name == "served" && c.state == ProvenanceServed]; got.ETag != want {
			t.Errorf("%s: ETag %s, not %s", c.name, got.ETag, want)
		}
	}
	for _, r := range ix.asked {
		if got := r.Header.Get("Accept"); got != "application/vnd.pypi.integrity.v1+json" {
			t.Errorf("accepting %q", got)
		}
	}
}

func TestProvenanceIsAskedOfTheIndexAlone(t *testing.T) {
	ix := newIndex(t, nil)
	host := strings.TrimPrefix(ix.URL, "http://")
	for _, address := range []string{
		"", "/integrity/onnx/1.0/x/provenance", "https://" + host + "/integrity/x", "http://" + host + ".evil.example/integrity/x",
		"http://evil.example/integrity/x", "http://u@" + host + "/integrity/x", "http://localhost/integrity/x", ix.URL + "/integrity",
		ix.URL + "/integrity/", ix.URL + "/integrity/../admin", ix.URL + "/integrity/%2e%2e/admin", ix.URL + "/integrity/a%2F..%2F..%2Fadmin",
		ix.URL + "/integrity//x", ix.URL + "/simple/x", ix.URL + "/Integrity/x", ix.URL + "/integrity/x?next=http://evil.example", ix.URL + "/integrity/x#y",
		"file:///integrity/x", ix.URL + "/integrity/\x00",
	} {
		if got, err := newClient(t).Provenance(t.Context(), ix.Index, address, ""); err == nil {
			t.Errorf("%q: %+v", address, got)
		}
	}
	if len(ix.asked) != 0 {
		t.Errorf("%d requests were made", len(ix.asked))
	}

	behind := Index{URL: ix.URL + "/root/pypi/"}
	ix.answers = map[string]http.HandlerFunc{"/root/pypi/integrity/x": answer(integrityJSON, "{}")}
	if got, err := newClient(t).Provenance(t.Context(), behind, ix.URL+"/root/pypi/integrity/x", ""); err != nil || got.State != ProvenanceServed {
		t.Errorf("an index below a path: %+v, error %v", got, err)
	}
	if _, err := newClient(t).Provenance(t.Context(), behind, ix.URL+"/integrity/x", ""); err == nil {
		t.Error("another index on the same host is asked")
	}
}

func TestOwnershipAsksTheJSONAPI(t *testing.T) {
	ix := newIndex(t, map[string]http.HandlerFunc{
		"/pypi/onnx-weekly/json": answer("application/json", `{"info":{"name":"onnx-weekly"},"ownership":{"roles":[{"role":"Owner","user":"a"}],"organization":null}}`),
		"/pypi/html/json":        answer("text/html", "<html>"),
		"/pypi/teapot/json":      status(http.StatusTeapot),
	})
	o, err := newClient(t).Ownership(t.Context(), ix.Index, "ONNX_weekly")
	if err != nil || !o.Told || len(o.Roles) != 1 || o.Roles[0] != (Role{"Owner", "a"}) {
		t.Errorf("%+v, error %v", o, err)
	}
	var notFound *NotFoundError
	if o, err := newClient(t).Ownership(t.Context(), ix.Index, "gone"); !errors.As(err, &notFound) || o.Told {
		t.Errorf("%+v, error %v", o, err)
	}
	for _, project := range []string{"html", "teapot", "a/b"} {
		if o, err := newClient(t).Ownership(t.Context(), ix.Index, project); err == nil || errors.As(err, &notFound) || o.Told {
			t.Errorf("%s: %+v, error %v", project, o, err)
		}
	}
}

func TestDownloadHandsOverTheBytesAndNotWithoutEnd(t *testing.T) {
	const content = "the wheel's bytes"
	ix := newIndex(t, map[string]http.HandlerFunc{
		"/file": answer("application/octet-stream", content),
		"/endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
	})
	download := func(path string, size int64) (string, error) {
		var b bytes.Buffer
		err := newClient(t).Download(t.Context(), File{Filename: "x.whl", URL: ix.URL + path, Size: size}, func(r io.Reader) error {
			b.Reset()
			_, err := io.Copy(&b, r)
			return err
		})
		return b.String(), err
	}
	for _, size := range []int64{int64(len(content)), -1, 1000, int64(len(content)) - 1} {
		if got, err := download("/file", size); err != nil || got != content {
			t.Errorf("listed with %d bytes: %q, error %v", size, got, err)
		}
	}
	for path, size := range map[string]int64{"/file": 3, "/endless": 1 << 20, "/gone": -1} {
		if got, err := download(path, size); err == nil || !strings.HasPrefix(err.Error(), "downloading x.whl: ") || len(got) > 1<<20+1 {
			t.Errorf("%s: %d bytes, error %v", path, len(got), err)
		}
	}
}

func TestClientStopsWhenItsContextDoes(t *testing.T) {
	ix := newIndex(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newClient(t).Listing(ctx, ix.Index, "onnx", "", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("listing: %v", err)
	}
	if _, err := newClient(t).Provenance(ctx, ix.Index, ix.URL+"/integrity/x", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("provenance: %v", err)
	}
	if _, err := newClient(t).Ownership(ctx, ix.Index, "onnx"); !errors.Is(err, context.Canceled) {
		t.Errorf("ownership: %v", err)
	}
}
