package audit_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// servedFile is a distribution file of a plainIndex.
type servedFile struct {
	filename, version string
	sha256            string
	size              int64
	uploaded          time.Time
	provenance        []byte // nil for none
}

// plainIndex serves lists of files that it is given, in PyPI's own shape; unlike the sandbox's index it needs no content
// for a digest.
type plainIndex struct {
	*httptest.Server
	projects map[string][]servedFile // by normalised name

	mu    sync.Mutex
	asked []string
}

func newPlainIndex(tb testing.TB, projects map[string][]servedFile) *plainIndex {
	x := &plainIndex{projects: projects}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /simple/{project}/{$}", x.listing)
	mux.HandleFunc("GET /integrity/{project}/{version}/{filename}/provenance", x.provenance)
	mux.HandleFunc("GET /pypi/{project}/json", func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"info":{"name":%q},"ownership":{"roles":[{"role":"Owner","user":"someone"}],"organization":null}}`, q.PathValue("project"))
	})
	x.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		x.mu.Lock()
		x.asked = append(x.asked, q.URL.Path)
		x.mu.Unlock()
		mux.ServeHTTP(w, q)
	}))
	tb.Cleanup(x.Close)
	return x
}

// requests lists the paths asked for since the last call.
func (x *plainIndex) requests() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	asked := x.asked
	x.asked = nil
	return asked
}

func (x *plainIndex) listing(w http.ResponseWriter, q *http.Request) {
	name := q.PathValue("project")
	files, ok := x.projects[name]
	if !ok {
		http.NotFound(w, q)
		return
	}
	listed := make([]map[string]any, len(files))
	for i, f := range files {
		listed[i] = map[string]any{
			"filename": f.filename, "url": x.URL + "/files/" + f.filename, "hashes": map[string]string{"sha256": f.sha256}, "size": f.size,
			"upload-time": f.uploaded.UTC().Format("2006-01-02T15:04:05.000000Z"), "yanked": false, "requires-python": nil, "provenance": nil,
		}
		if f.provenance != nil {
			listed[i]["provenance"] = strings.Join([]string{x.URL, "integrity", name, f.version, f.filename, "provenance"}, "/")
		}
	}
	body, err := json.Marshal(map[string]any{
		"meta": map[string]any{"api-version": "1.4", "_last-serial": 31000000 + len(files)}, "name": name,
		"project-status": map[string]string{"status": "active"}, "versions": []string{}, "files": listed,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	etag := `"` + digest(body) + `"`
	w.Header().Set("ETag", etag)
	if q.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
	_, _ = w.Write(body)
}

func (x *plainIndex) provenance(w http.ResponseWriter, q *http.Request) {
	for _, f := range x.projects[q.PathValue("project")] {
		if f.filename == q.PathValue("filename") && f.version == q.PathValue("version") && f.provenance != nil {
			w.Header().Set("Content-Type", "application/vnd.pypi.integrity.v1+json")
			_, _ = w.Write(f.provenance)
			return
		}
	}
	http.NotFound(w, q)
}

// digest is the hex SHA-256 of some bytes.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
