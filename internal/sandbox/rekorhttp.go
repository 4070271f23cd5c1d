package sandbox

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// entriesPath is what the paths of entries begin with.
const entriesPath = "/api/v1/log/entries"

// handler serves Rekor v1's API for readers (rekor v1.5.4, openapi.yaml). It takes no submissions, and retrieve does not look
// proposed entries up.
func (r *Rekor) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/log", r.seen(serveLog))
	mux.HandleFunc("GET /api/v1/log/proof", r.seen(serveProof))
	mux.HandleFunc("GET /api/v1/log/publicKey", r.seen(r.servePublicKey))
	mux.HandleFunc("GET "+entriesPath, r.seen(serveEntryByIndex))
	mux.HandleFunc("GET "+entriesPath+"/{uuid}", r.seen(serveEntryByUUID))
	mux.HandleFunc("POST "+entriesPath+"/retrieve", r.seen(serveRetrieve))
	mux.HandleFunc("POST "+indexPath, r.Index.serve)
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		rekorFail(w, refused(http.StatusNotFound, "path %s was not found", q.URL.Path))
	})
	return r.conducted(mux)
}

// seen has a handler answer from one sight of the log.
func (r *Rekor) seen(serve func(a *audience, q *http.Request) (rendered, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		a := r.receive(q)
		answer, err := serve(a, q)
		a.dismiss()
		if err != nil {
			rekorFail(w, err)
			return
		}
		answer(w)
	}
}

// rendered writes an answer.
type rendered func(w http.ResponseWriter)

func asJSON(v any) rendered {
	return func(w http.ResponseWriter) { writeJSON(w, http.StatusOK, "application/json", v) }
}

// rekorError is a refusal. Its code is the status, or one of go-openapi's for a request that does not validate, which has
// the status 422.
type rekorError struct {
	code    int
	message string
}

// The codes of go-openapi/errors for requests that do not validate.
const (
	codeType     = 601
	codeRequired = 602
	codeTooLong  = 603
	codePattern  = 605
	codeEnum     = 606
	codeMinimum  = 609
	codeMaxItems = 611
	codeMinItems = 612
	codeUnknown  = 616
)

func (e rekorError) Error() string { return e.message }

func refused(code int, format string, args ...any) error {
	return rekorError{code, fmt.Sprintf(format, args...)}
}

// errNotFound is the refusal that has no body.
var errNotFound = refused(http.StatusNotFound, "")

// rekorFail answers with Rekor's error object.
func rekorFail(w http.ResponseWriter, err error) {
	if errors.Is(err, errNotFound) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	refusal := rekorError{http.StatusInternalServerError, err.Error()}
	errors.As(err, &refusal)
	status := refusal.code
	if status >= 600 {
		status = http.StatusUnprocessableEntity
	}
	writeJSON(w, status, "application/json", struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{refusal.code, refusal.message})
}

// treeHead is a shard as the API describes it. Of a frozen one these members are all; see serveLog for the active one.
type treeHead struct {
	RootHash       string         `json:"rootHash"` // hex
	SignedTreeHead string         `json:"signedTreeHead"`
	TreeID         string         `json:"treeID"` // decimal: it may be beyond 2^53
	TreeSize       jsontext.Value `json:"treeSize"`
}

func (s *sight) treeHead() (treeHead, error) {
	note, err := s.headNote()
	if err != nil {
		return treeHead{}, err
	}
	size, root := noteHead(note)
	hash, err := base64.StdEncoding.DecodeString(root)
	if err != nil {
		return treeHead{}, fmt.Errorf("reading the root off a checkpoint: %w", err)
	}
	return treeHead{hex.EncodeToString(hash), note, strconv.FormatInt(s.treeID, 10), jsontext.Value(size)}, nil
}

func serveLog(a *audience, _ *http.Request) (rendered, error) {
	answer := struct {
		InactiveShards []treeHead `json:"inactiveShards"`
		treeHead
	}{}
	for _, s := range a.sights {
		head, err := s.treeHead()
		if err != nil {
			return nil, err
		}
		if s == a.active() {
			answer.treeHead = head
		} else {
			answer.InactiveShards = append(answer.InactiveShards, head)
		}
	}
	return asJSON(answer), nil
}

// serveProof answers with the root of the latest tree, whatever lastSize is: so does the real server.
func serveProof(a *audience, q *http.Request) (rendered, error) {
	first, err := queryParameter(q, "firstSize", 1, 1)
	if err != nil {
		return nil, err
	}
	last, err := queryParameter(q, "lastSize", 1, -1)
	if err != nil {
		return nil, err
	}
	id, err := queryTreeID(a, q)
	if err != nil {
		return nil, err
	}
	if first > last {
		return nil, refused(http.StatusBadRequest, "firstSize(%d) must be less than lastSize(%d)", first, last)
	}
	s, ok := a.tree(id)
	if !ok {
		return nil, refused(http.StatusBadRequest, "no log range found for tree ID %d", id)
	}
	if uint64(last) > s.size {
		return nil, refused(http.StatusBadRequest, "the tree size requested(%d) was greater than what is currently observable(%d)", last, s.size)
	}
	hashes, err := s.view.tree.consistency(uint64(first), uint64(last))
	if err != nil {
		return nil, err
	}
	root, err := s.view.tree.root(s.size)
	if err != nil {
		return nil, err
	}
	return asJSON(struct {
		Hashes   []string `json:"hashes"`
		RootHash string   `json:"rootHash"`
	}{hexAll(s.proof(hashes)), hex.EncodeToString(root)}), nil
}

func (r *Rekor) servePublicKey(a *audience, q *http.Request) (rendered, error) {
	id, err := queryTreeID(a, q)
	if err != nil {
		return nil, err
	}
	if _, ok := a.tree(id); !ok {
		return nil, refused(http.StatusBadRequest, "Bad Request")
	}
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(r.PublicKeyPEM())
	}, nil
}

func hexAll(hashes [][]byte) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = hex.EncodeToString(h)
	}
	return out
}

// queryTreeID reads the tree id, that of the active shard where there is none.
func queryTreeID(a *audience, q *http.Request) (int64, error) {
	text := q.URL.Query().Get("treeID")
	if text == "" {
		return a.active().treeID, nil
	}
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			return 0, refused(codePattern, "treeID in query should match '^[0-9]+$'")
		}
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, refused(http.StatusBadRequest, "invalid tree ID specified: %s", text)
	}
	return id, nil
}

// queryParameter reads a decimal parameter that has a minimum. Absent is what stands for its absence; it is required where
// that is negative.
func queryParameter(q *http.Request, name string, minimum, absent int64) (int64, error) {
	if q.URL.Query().Get(name) == "" {
		if absent < 0 {
			return 0, refused(codeRequired, "%s in query is required", name)
		}
		return absent, nil
	}
	n, err := queryInt(q, name, absent)
	if err != nil {
		return 0, refused(codeType, "%s in query must be of type int64: %q", name, q.URL.Query().Get(name))
	}
	if n < minimum {
		return 0, refused(codeMinimum, "%s in query should be greater than or equal to %d", name, minimum)
	}
	return n, nil
}

// queryInt reads a decimal parameter; fallback stands for its absence.
func queryInt(q *http.Request, name string, fallback int64) (int64, error) {
	text := q.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s in query must be of type int64: %q", name, text)
	}
	return n, nil
}
