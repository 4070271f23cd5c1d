package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// The media types of the Simple API (PEP 691) and the Integrity API (docs.pypi.org/api/integrity).
const (
	simpleJSON    = "application/vnd.pypi.simple.v1+json"
	integrityJSON = "application/vnd.pypi.integrity.v1+json"
)

// uploadTime is how PyPI writes times.
const uploadTime = "2006-01-02T15:04:05.000000Z"

func (p *PyPI) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /simple/{project}/{$}", p.serveSimple)
	mux.HandleFunc("GET /integrity/{project}/{version}/{filename}/provenance", p.serveProvenance)
	mux.HandleFunc("GET /pypi/{project}/json", p.serveProject)
	mux.HandleFunc("GET /files/{project}/{sha256}/{filename}", p.serveFile)
	return mux
}

// baseURL is the address by which the client reached the server.
func baseURL(q *http.Request) string { return "http://" + q.Host }

func (f *indexFile) url(base, project string) string {
	return fmt.Sprintf("%s/files/%s/%s/%s", base, project, f.sha256, f.filename)
}

func (f *indexFile) provenanceURL(base, project string) string {
	return base + provenancePath(project, f.version, f.filename)
}

func provenancePath(project, version, filename string) string {
	return fmt.Sprintf("/integrity/%s/%s/%s/provenance", project, version, filename)
}

// accepts reports whether an Accept header asks for a media type by name. Like PyPI's own negotiation it takes no
// wildcard for a request of JSON.
func accepts(q *http.Request, mediaTypes ...string) bool {
	for _, header := range q.Header.Values("Accept") {
		for part := range strings.SplitSeq(header, ",") {
			if mediaType, _, err := mime.ParseMediaType(strings.TrimSpace(part)); err == nil && slices.Contains(mediaTypes, mediaType) {
				return true
			}
		}
	}
	return false
}

// redirect sends a client that asks for a non-normalised name to the normalised one (PEP 503).
func redirect(w http.ResponseWriter, q *http.Request, path string) bool {
	name := q.PathValue("project")
	if name == normalize(name) {
		return false
	}
	http.Redirect(w, q, fmt.Sprintf(path, normalize(name)), http.StatusMovedPermanently)
	return true
}

// answer sends a body with its ETag, or 304 to a client that has it.
func answer(w http.ResponseWriter, q *http.Request, contentType string, body []byte) {
	sum := sha256.Sum256(body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	w.Header().Set("ETag", etag)
	w.Header().Set("Cache-Control", "max-age=600, public")
	w.Header().Set("Vary", "Accept")
	for candidate := range strings.SplitSeq(q.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(candidate), "W/") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

type simpleMeta struct {
	APIVersion string `json:"api-version"`
	LastSerial int64  `json:"_last-serial"`
}

type simpleStatus struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

type simpleFile struct {
	Filename             string            `json:"filename"`
	URL                  string            `json:"url"`
	Hashes               map[string]string `json:"hashes"`
	RequiresPython       *string           `json:"requires-python"`
	Size                 int               `json:"size"`
	UploadTime           string            `json:"upload-time"`
	Yanked               any               `json:"yanked"` // false, true or a reason
	CoreMetadata         bool              `json:"core-metadata"`
	DataDistInfoMetadata bool              `json:"data-dist-info-metadata"`
	Provenance           *string           `json:"provenance"`
}

type simpleProject struct {
	Meta          simpleMeta   `json:"meta"`
	Name          string       `json:"name"`
	ProjectStatus simpleStatus `json:"project-status"`
	Versions      []string     `json:"versions"`
	Files         []simpleFile `json:"files"`
}

func (p *PyPI) serveSimple(w http.ResponseWriter, q *http.Request) {
	if redirect(w, q, "/simple/%s/") {
		return
	}
	state, ok := p.listed(q.PathValue("project"))
	if !ok {
		http.Error(w, "404 Not Found", http.StatusNotFound)
		return
	}
	w.Header().Set("X-PyPI-Last-Serial", strconv.FormatInt(state.serial, 10))
	// A browser is shown a page, whatever it would also take.
	if !accepts(q, simpleJSON, "application/vnd.pypi.simple.latest+json") {
		answer(w, q, "text/html; charset=UTF-8", fmt.Appendf(nil,
			"<!DOCTYPE html>\n<html><head><meta name=\"pypi:repository-version\" content=\"1.4\"><title>Links for %[1]s</title></head><body><h1>Links for %[1]s</h1></body></html>\n",
			state.name))
		return
	}
	body, err := json.Marshal(state.simple(baseURL(q)), json.Deterministic(true))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, q, simpleJSON, body)
}

// simple is the project's page (PEP 691, PEP 700, PEP 740, PEP 792).
func (s projectState) simple(base string) simpleProject {
	page := simpleProject{
		Meta:          simpleMeta{APIVersion: "1.4", LastSerial: s.serial},
		Name:          s.name,
		ProjectStatus: simpleStatus{Status: s.status, Reason: s.statusReason},
		Versions:      []string{},
		Files:         []simpleFile{},
	}
	if s.status == "quarantined" {
		return page
	}
	for _, f := range s.files {
		if !slices.Contains(page.Versions, f.version) {
			page.Versions = append(page.Versions, f.version)
		}
		file := simpleFile{
			Filename:   f.filename,
			URL:        f.url(base, s.name),
			Hashes:     map[string]string{"sha256": f.sha256},
			Size:       len(f.content),
			UploadTime: f.uploaded.Format(uploadTime),
			Yanked:     f.yankedValue(),
		}
		if f.provenance != nil {
			url := f.provenanceURL(base, s.name)
			file.Provenance = &url
		}
		page.Files = append(page.Files, file)
	}
	return page
}

// yankedValue is false, true or a non-empty reason.
func (f *indexFile) yankedValue() any {
	if f.yanked && f.yankedReason != "" {
		return f.yankedReason
	}
	return f.yanked
}

func (p *PyPI) serveProvenance(w http.ResponseWriter, q *http.Request) {
	if !accepts(q, integrityJSON, "application/json", "*/*") && q.Header.Get("Accept") != "" {
		writeJSON(w, http.StatusNotAcceptable, "application/json", map[string]string{"message": "Request not acceptable"})
		return
	}
	project, version, filename := q.PathValue("project"), q.PathValue("version"), q.PathValue("filename")
	if redirect(w, q, "/integrity/%s/"+version+"/"+filename+"/provenance") {
		return
	}
	state, _ := p.state(project)
	file := p.file(project, filename)
	if file == nil || file.version != version || file.provenance == nil || state.status == "quarantined" {
		writeJSON(w, http.StatusNotFound, "application/json",
			map[string]string{"message": fmt.Sprintf("No provenance available for %s", filename)})
		return
	}
	answer(w, q, integrityJSON, file.provenance)
}

type jsonRole struct {
	Role string `json:"role"`
	User string `json:"user"`
}

type jsonOwnership struct {
	Organization *string    `json:"organization"`
	Roles        []jsonRole `json:"roles"`
}

type jsonFile struct {
	Filename          string            `json:"filename"`
	Digests           map[string]string `json:"digests"`
	HasSig            bool              `json:"has_sig"`
	PackageType       string            `json:"packagetype"`
	Size              int               `json:"size"`
	UploadTimeISO8601 string            `json:"upload_time_iso_8601"`
	URL               string            `json:"url"`
	Yanked            bool              `json:"yanked"`
	YankedReason      *string           `json:"yanked_reason"`
}

// serveProject is the JSON API's project form.
func (p *PyPI) serveProject(w http.ResponseWriter, q *http.Request) {
	if redirect(w, q, "/pypi/%s/json") {
		return
	}
	state, ok := p.state(q.PathValue("project"))
	if !ok || state.status == "quarantined" {
		writeJSON(w, http.StatusNotFound, "application/json", map[string]string{"message": "Not Found"})
		return
	}
	var page struct {
		Info struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"info"`
		LastSerial      int64                 `json:"last_serial"`
		Ownership       jsonOwnership         `json:"ownership"`
		Releases        map[string][]jsonFile `json:"releases"`
		URLs            []jsonFile            `json:"urls"`
		Vulnerabilities []struct{}            `json:"vulnerabilities"`
	}
	page.LastSerial = state.serial
	page.Info.Name = state.name
	page.Releases = map[string][]jsonFile{}
	page.URLs = []jsonFile{}
	page.Ownership.Roles = []jsonRole{}
	for _, user := range state.owners {
		page.Ownership.Roles = append(page.Ownership.Roles, jsonRole{"Owner", user})
	}
	for _, user := range state.maintainers {
		page.Ownership.Roles = append(page.Ownership.Roles, jsonRole{"Maintainer", user})
	}
	for _, f := range state.files {
		file := jsonFile{
			Filename: f.filename, Digests: map[string]string{"sha256": f.sha256}, PackageType: "bdist_wheel",
			Size: len(f.content), UploadTimeISO8601: f.uploaded.Format(uploadTime),
			URL: f.url(baseURL(q), state.name), Yanked: f.yanked,
		}
		if strings.HasSuffix(f.filename, ".tar.gz") {
			file.PackageType = "sdist"
		}
		if f.yankedReason != "" {
			file.YankedReason = &f.yankedReason
		}
		page.Releases[f.version] = append(page.Releases[f.version], file)
		page.Info.Version = f.version
	}
	page.URLs = append(page.URLs, page.Releases[page.Info.Version]...)
	body, err := json.Marshal(page, json.Deterministic(true))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("X-PyPI-Last-Serial", strconv.FormatInt(state.serial, 10))
	answer(w, q, "application/json", body)
}

func (p *PyPI) serveFile(w http.ResponseWriter, q *http.Request) {
	file := p.file(q.PathValue("project"), q.PathValue("filename"))
	if file == nil || file.sha256 != q.PathValue("sha256") {
		http.Error(w, "404 Not Found", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(file.served)))
	_, _ = io.Copy(w, bytes.NewReader(file.served))
}
