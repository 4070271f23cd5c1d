package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang/snappy"
)

// gitHubJSON is the content type of the API's answers.
const gitHubJSON = "application/json; charset=utf-8"

func (g *GitHub) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /repos/{owner}/{name}", g.serveRepository)
	mux.HandleFunc("GET /repos/{owner}/{name}/attestations/{digest}", g.serveAttestations)
	mux.HandleFunc("GET /repos/{owner}/{name}/actions/runs/{run}", g.serveRun)
	mux.HandleFunc("GET /repos/{owner}/{name}/actions/runs/{run}/attempts/{attempt}", g.serveRun)
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("User-Agent") == "" {
			refuse(w, http.StatusForbidden, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header")
			return
		}
		if g.exhausted(w) {
			refuse(w, http.StatusForbidden, "API rate limit exceeded")
			return
		}
		mux.ServeHTTP(w, q)
	})
}

// refuse answers as the API does where something is wrong.
func refuse(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, gitHubJSON, map[string]string{"message": message, "documentation_url": "https://docs.github.com/rest"})
}

// exhausted counts a request against the rate limit, and says what is left.
func (g *GitHub) exhausted(w http.ResponseWriter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limited && !g.now().Before(g.reset) {
		g.limited = false
	}
	if !g.limited {
		return false
	}
	over := g.left == 0
	if !over {
		g.left--
	}
	w.Header().Set("X-RateLimit-Limit", "60")
	w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(g.left))
	w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(g.reset.Unix(), 10))
	return over
}

func (g *GitHub) repository(q *http.Request) (GitHubRepository, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, ok := g.repositories[strings.ToLower(q.PathValue("owner")+"/"+q.PathValue("name"))]
	return r, ok
}

func (g *GitHub) serveRepository(w http.ResponseWriter, q *http.Request) {
	r, ok := g.repository(q)
	if !ok {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	var page struct {
		ID         int64  `json:"id"`
		FullName   string `json:"full_name"`
		Private    bool   `json:"private"`
		Visibility string `json:"visibility"`
		Owner      struct {
			Login string `json:"login"`
			ID    int64  `json:"id"`
		} `json:"owner"`
	}
	page.ID, page.FullName, page.Private, page.Visibility, page.Owner.ID = r.ID, r.Name, r.Visibility != "public", r.Visibility, r.OwnerID
	page.Owner.Login, _, _ = strings.Cut(r.Name, "/")
	writeJSON(w, http.StatusOK, gitHubJSON, page)
}

type gitHubAttestation struct {
	RepositoryID int64          `json:"repository_id"`
	Bundle       jsontext.Value `json:"bundle"`
	BundleURL    string         `json:"bundle_url"`
	Initiator    string         `json:"initiator"`
}

func (g *GitHub) serveAttestations(w http.ResponseWriter, q *http.Request) {
	r, ok := g.repository(q)
	digest, isSHA256 := strings.CutPrefix(q.PathValue("digest"), "sha256:")
	if sum, err := hex.DecodeString(digest); !isSHA256 || err != nil || len(sum) != sha256.Size {
		refuse(w, http.StatusUnprocessableEntity, "Invalid subject digest")
		return
	}
	g.mu.Lock()
	stored := g.store[storeKey(r.Name, digest)]
	size, inline := g.pageSize, g.inline
	g.mu.Unlock()
	if !ok || len(stored) == 0 {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	if n, err := strconv.Atoi(q.URL.Query().Get("per_page")); err == nil && n > 0 {
		size = min(size, n)
	}
	after, _ := strconv.Atoi(q.URL.Query().Get("after"))
	from, to := min(max(after, 0), len(stored)), min(max(after, 0)+size, len(stored))
	if to < len(stored) {
		// GitHub's own links name the repository by its id, so that they outlive its name; this one need not.
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?per_page=%d&after=%d>; rel="next"`, baseURL(q), q.URL.Path, size, to))
	}
	page := map[string][]gitHubAttestation{"attestations": {}}
	for _, s := range stored[from:to] {
		a := gitHubAttestation{RepositoryID: s.repositoryID, Bundle: jsontext.Value("null"), Initiator: "user"}
		if inline {
			g.mu.Lock()
			a.Bundle = jsontext.Value(g.bundles[s.bundle])
			g.mu.Unlock()
		} else {
			a.BundleURL = g.bundleURL(s)
		}
		page["attestations"] = append(page["attestations"], a)
	}
	writeJSON(w, http.StatusOK, gitHubJSON, page)
}

// bundleURL is the pre-signed address of a bundle: whoever has it may read the bundle, for an hour.
func (g *GitHub) bundleURL(s storedBundle) string {
	path := fmt.Sprintf("/attestations/%d/%s.json.sn", s.repositoryID, s.bundle)
	return fmt.Sprintf("%s%s?se=%d&sig=%s", g.Blobs.URL(), path, g.now().Unix()+3600, g.signature(path))
}

func (g *GitHub) signature(path string) string {
	mac := hmac.New(sha256.New, g.secret)
	mac.Write([]byte(path))
	return hex.EncodeToString(mac.Sum(nil))
}

// blobHandler serves bundles in Snappy's block format to who has a signed address, and to nobody who shows a token: the
// store that GitHub uses takes it for its own and refuses, saying what it was asked.
func (g *GitHub) blobHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /attestations/{repository}/{file}", func(w http.ResponseWriter, q *http.Request) {
		g.mu.Lock()
		bundle, ok := g.bundles[strings.TrimSuffix(q.PathValue("file"), ".json.sn")]
		g.mu.Unlock()
		if q.Header.Get("Authorization") != "" || q.URL.Query().Get("sig") != g.signature(q.URL.Path) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprintf(w, "<Error><Code>AuthenticationFailed</Code><AuthenticationErrorDetail>%s</AuthenticationErrorDetail></Error>", q.URL.RawQuery)
			return
		}
		if !ok {
			http.NotFound(w, q)
			return
		}
		w.Header().Set("Content-Type", "application/x-snappy")
		_, _ = w.Write(snappy.Encode(nil, bundle))
	})
	return mux
}

func (g *GitHub) serveRun(w http.ResponseWriter, q *http.Request) {
	repository := strings.ToLower(q.PathValue("owner") + "/" + q.PathValue("name"))
	attempt := q.PathValue("attempt")
	if attempt == "" {
		attempt = "1"
	}
	g.mu.Lock()
	run, ok := g.runs[repository+"/"+q.PathValue("run")+"/"+attempt]
	g.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	var page struct {
		ID         int64  `json:"id"`
		RunAttempt int64  `json:"run_attempt"`
		HeadSHA    string `json:"head_sha"`
		Event      string `json:"event"`
		Path       string `json:"path"`
		Status     string `json:"status"`
		Conclusion string `json:"conclusion"`
		Repository struct {
			FullName string `json:"full_name"`
		} `json:"repository"`
	}
	page.ID, page.RunAttempt, page.HeadSHA, page.Event, page.Path = run.ID, run.Attempt, run.HeadSHA, run.Event, run.Path
	page.Status, page.Conclusion, page.Repository.FullName = "completed", run.Conclusion, run.Repository
	writeJSON(w, http.StatusOK, gitHubJSON, page)
}
