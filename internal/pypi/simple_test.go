package pypi

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/realdata"
)

const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var simplePage = &url.URL{Scheme: "https", Host: "pypi.org", Path: "/simple/onnx/"}

// onnxListing has the shape of PyPI's own answers (api-version 1.4).
const onnxListing = `{"meta":{"api-version":"1.4","_last-serial":31415926},"name":"onnx","project-status":{"status":"active"},
 "versions":["1.18.0","1.22.0"],
 "files":[
  {"filename":"onnx-1.22.0-cp312-abi3-manylinux_2_28_x86_64.whl","url":"https://files.pythonhosted.org/packages/aa/bb/onnx-1.22.0-cp312-abi3-manylinux_2_28_x86_64.whl",
   "hashes":{"sha256":"` + digest + `"},"requires-python":">=3.10","size":18012345,"upload-time":"2026-06-15T12:34:56.123456Z","yanked":false,
   "core-metadata":{"sha256":"` + digest + `"},"data-dist-info-metadata":{"sha256":"` + digest + `"},"provenance":"https://pypi.org/integrity/onnx/1.22.0/onnx-1.22.0-cp312-abi3-manylinux_2_28_x86_64.whl/provenance"},
  {"filename":"onnx-1.18.0.tar.gz","url":"../../packages/onnx-1.18.0.tar.gz","hashes":{"sha256":"` + digest + `"},"yanked":"broken <metadata>","provenance":null},
  {"filename":"onnx-1.18.0-final.tar.gz","url":"https://files.pythonhosted.org/x","hashes":{"sha256":"` + digest + `"},"size":0,"yanked":true}
 ],"alternate-locations":[]}`

func TestListingIsReadAsServed(t *testing.T) {
	got, err := decodeListing([]byte(onnxListing), "Onnx", simplePage)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got.Files {
		var whole struct{ Files []json.RawMessage }
		if err := json.Unmarshal([]byte(onnxListing), &whole); err != nil {
			t.Fatal(err)
		}
		if string(got.Files[i].Raw) != string(whole.Files[i]) {
			t.Errorf("file %d is kept as %s", i, got.Files[i].Raw)
		}
		got.Files[i].Raw = nil
	}
	want := &Listing{
		Name: "onnx", APIVersion: "1.4", Serial: 31415926, Status: "active", Versions: []string{"1.18.0", "1.22.0"},
		Files: []File{
			{Filename: "onnx-1.22.0-cp312-abi3-manylinux_2_28_x86_64.whl",
				URL:    "https://files.pythonhosted.org/packages/aa/bb/onnx-1.22.0-cp312-abi3-manylinux_2_28_x86_64.whl",
				SHA256: digest, Size: 18012345, UploadedAt: time.Date(2026, 6, 15, 12, 34, 56, 123456000, time.UTC),
				ProvenanceURL: "https://pypi.org/integrity/onnx/1.22.0/onnx-1.22.0-cp312-abi3-manylinux_2_28_x86_64.whl/provenance", ProvenanceTold: true,
				Version: "1.22.0"},
			{Filename: "onnx-1.18.0.tar.gz", URL: "https://pypi.org/packages/onnx-1.18.0.tar.gz", SHA256: digest, Size: -1,
				Yanked: true, YankedReason: "broken <metadata>", ProvenanceTold: true, Version: "1.18.0"},
			{Filename: "onnx-1.18.0-final.tar.gz", URL: "https://files.pythonhosted.org/x", SHA256: digest, Size: 0, Yanked: true,
				NameError: `filename "onnx-1.18.0-final.tar.gz": version "final": it is not a PEP 440 version`},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestListingToleratesWhatItDoesNotKnow(t *testing.T) {
	for _, c := range []struct {
		name, body, status, notes string
		serial                    int64
	}{
		{"PEP 691's first form", `{"meta":{"api-version":"1.0"},"name":"onnx","files":[]}`, "active", "", 0},
		{"later minor version", `{"meta":{"api-version":"1.17","new":{}},"name":"ONNX","files":[],"extra":[{"a":1}]}`, "active",
			"the index speaks version 1.17 of the Simple API, of which 1.4 is known", 0},
		{"quarantined", `{"meta":{"api-version":"1.4","_last-serial":7},"name":"onnx","project-status":{"status":"quarantined","reason":"malware"},"versions":[],"files":[]}`, "quarantined", "", 7},
		{"a status to come", `{"meta":{"api-version":"1.4"},"name":"onnx","project-status":{"status":"hibernating"},"files":[]}`, "hibernating", "", 0},
	} {
		l, err := decodeListing([]byte(c.body), "onnx", simplePage)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if l.Status != c.status || strings.Join(l.Notes, "\n") != c.notes || l.Serial != c.serial || len(l.Files) != 0 {
			t.Errorf("%s: %+v", c.name, l)
		}
	}
}

func TestListingIsRefusedWhereItLeavesADoubt(t *testing.T) {
	file := func(old, new string) string {
		const whole = `{"filename":"onnx-1.0.tar.gz","url":"https://files.example/x","hashes":{"sha256":"` + digest + `"},"size":1,"upload-time":"2026-06-15T12:34:56Z","yanked":false,"provenance":null}`
		changed := strings.Replace(whole, old, new, 1)
		if changed == whole && old != "" {
			panic("the case changes nothing: " + old)
		}
		return `{"meta":{"api-version":"1.4"},"name":"onnx","files":[` + changed + `]}`
	}
	for _, c := range []struct{ name, body, want string }{
		{"web page", "<!DOCTYPE html>\n<html><body>", "it is HTML or XML where JSON was asked for"},
		{"web page behind white space", "\n  <html>", "it is HTML or XML where JSON was asked for"},
		{"nothing", ``, "it is not a JSON object"},
		{"null", `null`, "it is not a JSON object"},
		{"array", `[]`, "it is not a JSON object"},
		{"zeros", strings.Repeat("\x00", 1000), "it is not a JSON object"},
		{"cut short", onnxListing[:len(onnxListing)/2], "unexpected EOF"},
		{"something behind it", onnxListing + `{}`, "after top-level value"},
		{"two files members", strings.Replace(onnxListing, `"versions":`, `"files":[],"versions":`, 1), "duplicate object member name \"files\""},
		{"no version", `{"name":"onnx","files":[]}`, `it speaks version "" of the Simple API`},
		{"version 2", `{"meta":{"api-version":"2.0"},"name":"onnx","files":[]}`, `it speaks version "2.0" of the Simple API`},
		{"version 1", `{"meta":{"api-version":"1"},"name":"onnx","files":[]}`, `it speaks version "1" of the Simple API`},
		{"version 1.-1", `{"meta":{"api-version":"1.-1"},"name":"onnx","files":[]}`, `it speaks version "1.-1" of the Simple API`},
		{"another project", strings.Replace(onnxListing, `"name":"onnx"`, `"name":"onnx-weekly"`, 1), `it is about project "onnx-weekly", not "onnx"`},
		{"no project", `{"meta":{"api-version":"1.4"},"files":[]}`, `it is about project "", not "onnx"`},
		{"negative serial", `{"meta":{"api-version":"1.4","_last-serial":-1},"name":"onnx","files":[]}`, "its serial is -1"},
		{"serial as text", `{"meta":{"api-version":"1.4","_last-serial":"1"},"name":"onnx","files":[]}`, "_last-serial"},
		{"no files", `{"meta":{"api-version":"1.4"},"name":"onnx"}`, "it has no files member"},
		{"null files", `{"meta":{"api-version":"1.4"},"name":"onnx","files":null}`, "it has no files member"},
		{"files as an object", `{"meta":{"api-version":"1.4"},"name":"onnx","files":{}}`, "it is not an array"},
		{"a file that is none", `{"meta":{"api-version":"1.4"},"name":"onnx","files":[null]}`, "its file 0: it is not a JSON object"},
		{"too many files", `{"meta":{"api-version":"1.4"},"name":"onnx","files":[` + strings.Repeat("1,", 100_001) + `1]}`, "it has more than 100000 elements"},
		{"too many versions", `{"meta":{"api-version":"1.4"},"name":"onnx","files":[],"versions":[` + strings.Repeat(`"",`, 100_001) + `""]}`, "it has more than 100000 elements"},
		{"too large", strings.Repeat(" ", 64<<20+1), "it has 67108865 bytes, more than 67108864"},
		{"nested without end", strings.Repeat(`{"a":`, 20_000), "depth"},
		{"invalid UTF-8", file("onnx-1.0", "onnx-\xff"), "invalid UTF-8"},

		{"file twice", `{"meta":{"api-version":"1.4"},"name":"onnx","files":[` + fmt.Sprintf(`%s,%s`, simpleFile("a-1.zip"), simpleFile("a-1.zip")) + `]}`, `it lists file "a-1.zip" twice`},
		{"no filename", file(`"filename"`, `"x"`), `its filename is ""`},
		{"filename with a slash", file("onnx-1.0.tar.gz", "../onnx-1.0.tar.gz"), "characters that no distribution's name has"},
		{"filename with a backslash", file("onnx-1.0.tar.gz", `..\\onnx-1.0.tar.gz`), "characters that no distribution's name has"},
		{"filename with a line break", file("onnx-1.0.tar.gz", `onnx\n.tar.gz`), "characters that no distribution's name has"},
		{"filename with an override", file("onnx-1.0.tar.gz", `onnx\u202e.tar.gz`), "characters that no distribution's name has"},
		{"filename of dots", file("onnx-1.0.tar.gz", `..`), `its filename is ".."`},
		{"filename without end", file("onnx-1.0.tar.gz", strings.Repeat("a", 513)), "its filename has 513 bytes"},
		{"no URL", file(`"url"`, `"x"`), "its URL: it is empty"},
		{"script", file("https://files.example/x", "javascript:alert(1)"), "is not a web address without a user"},
		{"local file", file("https://files.example/x", "file:///etc/passwd"), "is not a web address without a user"},
		{"URL with a password", file("https://files.example/x", "https://u:p@files.example/x"), "is not a web address without a user"},
		{"URL with a control character", file("https://files.example/x", `https://files.example/\u0000`), "does not parse"},
		{"no digest", file(`"sha256"`, `"md5"`), `hashes.sha256 is "", not 64 lower-case hex digits`},
		{"short digest", file(digest, digest[2:]), "not 64 lower-case hex digits"},
		{"long digest", file(digest, digest+"00"), "not 64 lower-case hex digits"},
		{"upper-case digest", file(digest, strings.ToUpper(digest)), "not 64 lower-case hex digits"},
		{"digest that is not hex", file(digest, "g"+digest[1:]), "not 64 lower-case hex digits"},
		{"digest as a number", file(`"`+digest+`"`, `1`), "hashes"},
		{"negative size", file(`"size":1`, `"size":-2`), "its size is -2"},
		{"fractional size", file(`"size":1`, `"size":1.5`), "size"},
		{"huge size", file(`"size":1`, `"size":99999999999999999999`), "size"},
		{"upload time in words", file("2026-06-15T12:34:56Z", "yesterday"), `its upload time "yesterday" is not in RFC 3339's form`},
		{"upload time without a zone", file("2026-06-15T12:34:56Z", "2026-06-15T12:34:56"), "is not in RFC 3339's form"},
		{"yanked as a number", file(`"yanked":false`, `"yanked":0`), "its yanked is neither a boolean nor a string"},
		{"yanked as null", file(`"yanked":false`, `"yanked":null`), "its yanked is neither a boolean nor a string"},
		{"provenance as true", file(`"provenance":null`, `"provenance":true`), "its provenance is neither a string nor null"},
		{"empty provenance", file(`"provenance":null`, `"provenance":""`), "its provenance URL: it is empty"},
		{"provenance elsewhere", file(`"provenance":null`, `"provenance":"ftp://x/y"`), "its provenance URL: "},
		{"two digests", file(`"sha256"`, `"sha256":"00","sha256"`), `duplicate object member name "sha256"`},
	} {
		l, err := decodeListing([]byte(c.body), "onnx", simplePage)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v and error %v, not %q", c.name, l, err, c.want)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", c.name, len(err.Error()))
		}
	}
}

// simpleFile is the least that a listing must say of a file.
func simpleFile(name string) string {
	return fmt.Sprintf(`{"filename":%q,"url":"https://files.example/%s","hashes":{"sha256":%q}}`, name, name, digest)
}

func TestListingDoesNotGuessVersions(t *testing.T) {
	for name, want := range map[string]string{
		"onnx-1.0.tar.gz":           "",
		"onnx-weekly-1.0.tar.gz":    `filename "onnx-weekly-1.0.tar.gz": it names project "onnx-weekly"`,
		"onnx-1.0-1.noarch.rpm":     `filename "onnx-1.0-1.noarch.rpm": its kind does not tell a version`,
		"something else":            `filename "something else": it is no distribution file's: it ends in none of their suffixes`,
		"onnx-1.0-py3-none.whl":     `filename "onnx-1.0-py3-none.whl": a wheel's name has 5 or 6 parts between hyphens, this one has 4`,
		"ONNX-1.0-py3-none-any.whl": "",
	} {
		l, err := decodeListing([]byte(`{"meta":{"api-version":"1.0"},"name":"onnx","files":[`+simpleFile(name)+`]}`), "onnx", simplePage)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f := l.Files[0]
		if f.NameError != want || (f.Version == "1.0") != (want == "") || f.ProvenanceTold || f.ProvenanceURL != "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// The real list of onnx's files, in PyPI's shape: names and digests as they are, made-up URLs where the list has none.
func TestRealONNXFileListIsReadInPyPIsShape(t *testing.T) {
	body, err := os.ReadFile(filepath.Join(realdata.Dir(t), "5-pypi", "onnx_files.json"))
	if err != nil {
		t.Fatal(err)
	}
	var real []struct {
		Project, Version, Filename, SHA256 string
		URL                                *string
		Size                               *int64
		UploadTime                         *string `json:"upload_time"`
	}
	if err := json.Unmarshal(body, &real); err != nil {
		t.Fatal(err)
	}
	var files []map[string]any
	for _, r := range real {
		if r.Project != "onnx" {
			continue
		}
		f := map[string]any{"filename": r.Filename, "url": "https://files.example/" + r.Filename, "hashes": map[string]string{"sha256": r.SHA256},
			"yanked": false, "provenance": nil}
		if r.URL != nil {
			f["url"] = *r.URL
		}
		if r.Size != nil {
			f["size"] = *r.Size
		}
		if r.UploadTime != nil {
			f["upload-time"] = *r.UploadTime
		}
		files = append(files, f)
	}
	page, err := json.Marshal(map[string]any{"meta": map[string]any{"api-version": "1.4", "_last-serial": 1}, "name": "onnx", "files": files})
	if err != nil {
		t.Fatal(err)
	}
	l, err := decodeListing(page, "onnx", simplePage)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Files) != 485 {
		t.Errorf("%d files", len(l.Files))
	}
	versions := map[string]bool{}
	for _, f := range l.Files {
		if f.NameError != "" {
			t.Errorf("%s: %s", f.Filename, f.NameError)
		}
		versions[f.Version] = true
	}
	if len(versions) != 19 {
		t.Errorf("%d versions", len(versions))
	}
}

func FuzzDecodeListing(f *testing.F) {
	f.Add([]byte(onnxListing))
	f.Add([]byte(`{"meta":{"api-version":"1.0"},"name":"onnx","files":[` + simpleFile("onnx-1.0.tar.gz") + `]}`))
	f.Add([]byte("<!DOCTYPE html>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		l, err := decodeListing(body, "onnx", simplePage)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, file := range l.Files {
			if seen[file.Filename] || len(file.SHA256) != 64 || file.Size < -1 || !json.Valid(file.Raw) || (file.Version == "") == (file.NameError == "") {
				t.Errorf("%+v", file)
			}
			seen[file.Filename] = true
			if u, err := url.Parse(file.URL); err != nil || u.Host == "" || u.User != nil {
				t.Errorf("URL %q", file.URL)
			}
		}
	})
}
