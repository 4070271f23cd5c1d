package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// get asks without following redirects.
func get(t *testing.T, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

const acceptSimple = "application/vnd.pypi.simple.v1+json"

// smallIndex has a project with one attested file and one without.
func smallIndex(t *testing.T) *World {
	t.Helper()
	w := startedWorld(t)
	if err := w.PyPI.AddProject("Some.Project", "alice"); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 6, 15, 12, 34, 56, 123456000, time.UTC)
	for _, u := range []Upload{
		{Filename: "some_project-1.0.tar.gz", Content: []byte("source"), Uploaded: at},
		{Filename: "some_project-1.1-py3-none-any.whl", Content: []byte("wheel"), Uploaded: at, Provenance: []byte(`{"version":1}`)},
	} {
		if err := w.PyPI.Upload("some-project", u); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func TestSimpleAPIHasPyPIsShape(t *testing.T) {
	w := smallIndex(t)
	response, body := get(t, w.PyPI.URL()+"/simple/some-project/", "Accept", acceptSimple)
	if got := response.Header.Get("Content-Type"); got != acceptSimple {
		t.Errorf("content type %q", got)
	}
	if got := response.Header.Get("X-PyPI-Last-Serial"); got != "31000003" {
		t.Errorf("serial %q in the header", got)
	}
	var got any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	// The digests are those of `printf source | sha256sum` and `printf wheel | sha256sum`.
	const (
		source = "41cf6794ba4200b839c53531555f0f3998df4cbb01a4d5cb0b94e3ca5e23947d"
		binary = "ba59926159d2aa256eb8739b8da7e2b574b960e1202c6d624cbe981cef996c91"
	)
	base := w.PyPI.URL()
	want := map[string]any{
		"meta":           map[string]any{"api-version": "1.4", "_last-serial": 31000003.0},
		"name":           "some-project",
		"project-status": map[string]any{"status": "active"},
		"versions":       []any{"1.0", "1.1"},
		"files": []any{
			map[string]any{
				"filename": "some_project-1.0.tar.gz", "url": base + "/files/some-project/" + source + "/some_project-1.0.tar.gz",
				"hashes": map[string]any{"sha256": source}, "requires-python": nil, "size": 6.0,
				"upload-time": "2026-06-15T12:34:56.123456Z", "yanked": false, "core-metadata": false,
				"data-dist-info-metadata": false, "provenance": nil,
			},
			map[string]any{
				"filename": "some_project-1.1-py3-none-any.whl", "url": base + "/files/some-project/" + binary + "/some_project-1.1-py3-none-any.whl",
				"hashes": map[string]any{"sha256": binary}, "requires-python": nil, "size": 5.0,
				"upload-time": "2026-06-15T12:34:56.123456Z", "yanked": false, "core-metadata": false,
				"data-dist-info-metadata": false,
				"provenance":              base + "/integrity/some-project/1.1/some_project-1.1-py3-none-any.whl/provenance",
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	if _, content := get(t, base+"/files/some-project/"+binary+"/some_project-1.1-py3-none-any.whl"); content != "wheel" {
		t.Errorf("the file is %q", content)
	}
}

func TestIndexNegotiatesAndRedirectsAsPyPIDoes(t *testing.T) {
	w := smallIndex(t)
	provenance := "/integrity/some-project/1.1/some_project-1.1-py3-none-any.whl/provenance"
	for _, c := range []struct {
		path, accept string
		status       int
		contentType  string
	}{
		{"/simple/some-project/", "", 200, "text/html; charset=UTF-8"},
		{"/simple/some-project/", "*/*", 200, "text/html; charset=UTF-8"},
		{"/simple/some-project/", "text/html, application/vnd.pypi.simple.v1+json;q=0.9", 200, acceptSimple},
		{"/simple/Some_Project/", acceptSimple, 301, ""},
		{"/simple/unknown/", acceptSimple, 404, "text/plain; charset=utf-8"},
		{provenance, "application/vnd.pypi.integrity.v1+json", 200, "application/vnd.pypi.integrity.v1+json"},
		{provenance, "application/json", 200, "application/vnd.pypi.integrity.v1+json"},
		{provenance, "", 200, "application/vnd.pypi.integrity.v1+json"},
		{provenance, "text/html", 406, "application/json"},
		{"/integrity/some-project/1.0/some_project-1.0.tar.gz/provenance", "", 404, "application/json"},
		{"/integrity/some-project/9.9/some_project-1.1-py3-none-any.whl/provenance", "", 404, "application/json"},
		{"/pypi/some-project/json", "", 200, "application/json"},
		{"/pypi/unknown/json", "", 404, "application/json"},
	} {
		var headers []string
		if c.accept != "" {
			headers = []string{"Accept", c.accept}
		}
		response, _ := get(t, w.PyPI.URL()+c.path, headers...)
		if response.StatusCode != c.status || c.contentType != "" && response.Header.Get("Content-Type") != c.contentType {
			t.Errorf("%s for %q: %d %q, want %d %q", c.path, c.accept, response.StatusCode, response.Header.Get("Content-Type"), c.status, c.contentType)
		}
		if c.status == 301 && response.Header.Get("Location") != "/simple/some-project/" {
			t.Errorf("redirected to %q", response.Header.Get("Location"))
		}
	}
}

func TestUnchangedPagesAreNotSentAgain(t *testing.T) {
	w := smallIndex(t)
	url := w.PyPI.URL() + "/simple/some-project/"
	first, _ := get(t, url, "Accept", acceptSimple)
	etag := first.Header.Get("ETag")
	second, body := get(t, url, "Accept", acceptSimple, "If-None-Match", etag)
	if second.StatusCode != http.StatusNotModified || body != "" || second.Header.Get("X-PyPI-Last-Serial") != "31000003" {
		t.Errorf("status %d, %d bytes, serial %q", second.StatusCode, len(body), second.Header.Get("X-PyPI-Last-Serial"))
	}
	if err := w.PyPI.Touch("some-project"); err != nil {
		t.Fatal(err)
	}
	if third, _ := get(t, url, "Accept", acceptSimple, "If-None-Match", etag); third.StatusCode != http.StatusOK {
		t.Errorf("after a change: status %d", third.StatusCode)
	}
	var log []string
	for _, r := range w.PyPI.Requests() {
		log = append(log, fmt.Sprintf("%s %s %d", r.Method, r.Path, r.Status))
	}
	want := []string{"GET /simple/some-project/ 200", "GET /simple/some-project/ 304", "GET /simple/some-project/ 200"}
	if diff := cmp.Diff(want, log); diff != "" {
		t.Errorf("requests written down, want (-), got (+):\n%s", diff)
	}
	w.PyPI.ForgetRequests()
	if n := len(w.PyPI.Requests()); n != 0 {
		t.Errorf("%d requests left", n)
	}
}

func TestEveryChangeShowsAndRaisesTheSerial(t *testing.T) {
	const name, file = "some-project", "some_project-1.1-py3-none-any.whl"
	type page struct {
		Meta struct {
			Serial int64 `json:"_last-serial"`
		} `json:"meta"`
		Status struct {
			Status string `json:"status"`
		} `json:"project-status"`
		Files []struct {
			Filename   string            `json:"filename"`
			Hashes     map[string]string `json:"hashes"`
			Yanked     any               `json:"yanked"`
			Provenance *string           `json:"provenance"`
		} `json:"files"`
	}
	for _, c := range []struct {
		what  string
		do    func(*PyPI) error
		shown func(page) bool
	}{
		{"yank", func(p *PyPI) error { return p.Yank(name, "1.1", "broken") }, func(g page) bool { return g.Files[1].Yanked == "broken" }},
		{"yank without a reason", func(p *PyPI) error { return p.Yank(name, "1.1", "") }, func(g page) bool { return g.Files[1].Yanked == true }},
		{"unyank", func(p *PyPI) error { return p.Unyank(name, "1.1") }, func(g page) bool { return g.Files[1].Yanked == false }},
		{"remove a file", func(p *PyPI) error { return p.RemoveFile(name, file) }, func(g page) bool { return len(g.Files) == 1 }},
		{"remove a release", func(p *PyPI) error { return p.RemoveRelease(name, "1.0") },
			func(g page) bool { return len(g.Files) == 1 && g.Files[0].Filename == file }},
		// printf other | sha256sum
		{"replace a file", func(p *PyPI) error { return p.ReplaceFile(name, file, []byte("other"), nil) },
			func(g page) bool {
				return g.Files[1].Hashes["sha256"] == "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa" && g.Files[1].Provenance == nil
			}},
		{"remove provenance", func(p *PyPI) error { return p.RemoveProvenance(name, file) }, func(g page) bool { return g.Files[1].Provenance == nil }},
		{"quarantine", func(p *PyPI) error { return p.SetStatus(name, "quarantined", "") },
			func(g page) bool { return len(g.Files) == 0 && g.Status.Status == "quarantined" }},
		{"change owners", func(p *PyPI) error { return p.SetOwnership(name, []string{"mallory"}, nil) }, func(g page) bool { return len(g.Files) == 2 }},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := smallIndex(t)
			if err := c.do(w.PyPI); err != nil {
				t.Fatal(err)
			}
			_, body := get(t, w.PyPI.URL()+"/simple/some-project/", "Accept", acceptSimple)
			var g page
			if err := json.Unmarshal([]byte(body), &g); err != nil {
				t.Fatal(err)
			}
			if g.Meta.Serial != 31000004 || !c.shown(g) {
				t.Errorf("shows %s", body)
			}
		})
	}
}

func TestOwnershipIsServed(t *testing.T) {
	w := smallIndex(t)
	if err := w.PyPI.SetOwnership("some-project", []string{"alice", "mallory"}, []string{"bob"}); err != nil {
		t.Fatal(err)
	}
	_, body := get(t, w.PyPI.URL()+"/pypi/some-project/json")
	var got struct {
		LastSerial int64 `json:"last_serial"`
		Ownership  any   `json:"ownership"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"organization": nil, "roles": []any{
		map[string]any{"role": "Owner", "user": "alice"}, map[string]any{"role": "Owner", "user": "mallory"},
		map[string]any{"role": "Maintainer", "user": "bob"},
	}}
	if diff := cmp.Diff(any(want), got.Ownership); diff != "" || got.LastSerial != 31000004 {
		t.Errorf("serial %d; want (-), got (+):\n%s", got.LastSerial, diff)
	}
}

func TestStaleMirrorShowsThePast(t *testing.T) {
	w := smallIndex(t)
	url := w.PyPI.URL() + "/simple/some-project/"
	_, present := get(t, url, "Accept", acceptSimple)
	if err := w.PyPI.RemoveFile("some-project", "some_project-1.0.tar.gz"); err != nil {
		t.Fatal(err)
	}
	if err := w.PyPI.ServeStale("some-project", 1); err != nil {
		t.Fatal(err)
	}
	if _, body := get(t, url, "Accept", acceptSimple); body != present {
		t.Errorf("stale: %s", body)
	}
	if err := w.PyPI.ServeStale("some-project", 0); err != nil {
		t.Fatal(err)
	}
	if response, body := get(t, url, "Accept", acceptSimple); body == present || response.Header.Get("X-PyPI-Last-Serial") != "31000004" {
		t.Errorf("present: %s", body)
	}
}

func TestFilenamesAreNeverUsedTwice(t *testing.T) {
	w := smallIndex(t)
	if err := w.PyPI.RemoveFile("some-project", "some_project-1.0.tar.gz"); err != nil {
		t.Fatal(err)
	}
	if err := w.PyPI.Upload("some-project", Upload{Filename: "some_project-1.0.tar.gz"}); err == nil {
		t.Error("a deleted file's name was taken again")
	}
	if err := w.PyPI.Upload("some-project", Upload{Filename: "readme.txt"}); err == nil {
		t.Error("took a file that is no distribution")
	}
}
