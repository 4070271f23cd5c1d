package sandbox

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
)

// maxRetrieve is how many entries Rekor v1 gives in one answer.
const maxRetrieve = 10

// handler serves Rekor v1's read API (rekor openapi.yaml): the log, consistency proofs, the key and entries by index
// and by UUID. It does not take submissions, and retrieve does not look proposed entries up.
func (r *Rekor) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/log", r.serveLog)
	mux.HandleFunc("GET /api/v1/log/proof", r.serveProof)
	mux.HandleFunc("GET /api/v1/log/publicKey", r.servePublicKey)
	mux.HandleFunc("GET /api/v1/log/entries", r.serveEntryByIndex)
	mux.HandleFunc("GET /api/v1/log/entries/{uuid}", r.serveEntryByUUID)
	mux.HandleFunc("POST /api/v1/log/entries/retrieve", r.serveRetrieve)
	return mux
}

// rekorProof is the inclusion proof of an answer: its numbers are the shard's.
type rekorProof struct {
	Checkpoint string   `json:"checkpoint"`
	Hashes     []string `json:"hashes"` // hex
	LogIndex   int64    `json:"logIndex"`
	RootHash   string   `json:"rootHash"` // hex
	TreeSize   int64    `json:"treeSize"`
}

type rekorVerification struct {
	InclusionProof       rekorProof `json:"inclusionProof"`
	SignedEntryTimestamp []byte     `json:"signedEntryTimestamp"`
}

// rekorEntry is an entry of an answer: its logIndex is global.
type rekorEntry struct {
	Body           []byte            `json:"body"`
	IntegratedTime int64             `json:"integratedTime"`
	LogID          string            `json:"logID"`
	LogIndex       int64             `json:"logIndex"`
	Verification   rekorVerification `json:"verification"`
}

func (r *Rekor) serveLog(w http.ResponseWriter, _ *http.Request) {
	r.mu.RLock()
	size := r.tree.size()
	root, err := r.tree.root(size)
	r.mu.RUnlock()
	if err != nil {
		rekorFail(w, http.StatusInternalServerError, err.Error())
		return
	}
	head, err := signCheckpoint(r.key, r.host, r.treeID, int64(size), root)
	if err != nil {
		rekorFail(w, http.StatusInternalServerError, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		InactiveShards []struct{} `json:"inactiveShards"`
		RootHash       string     `json:"rootHash"`
		SignedTreeHead string     `json:"signedTreeHead"`
		TreeID         string     `json:"treeID"`
		TreeSize       uint64     `json:"treeSize"`
	}{nil, hex.EncodeToString(root), head, strconv.FormatInt(r.treeID, 10), size})
}

// serveProof answers with the root of the latest tree, whatever lastSize is: so does the real server.
func (r *Rekor) serveProof(w http.ResponseWriter, q *http.Request) {
	first, err := queryInt(q, "firstSize", 1)
	if err != nil {
		rekorFail(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	last, err := queryInt(q, "lastSize", 0)
	if err != nil {
		rekorFail(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	treeID, err := queryInt(q, "treeID", r.treeID)
	if err != nil || treeID != r.treeID {
		rekorFail(w, http.StatusBadRequest, "Invalid treeID")
		return
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	size := int64(r.tree.size())
	switch {
	case first < 1:
		rekorFail(w, http.StatusUnprocessableEntity, "firstSize in query should be greater than or equal to 1")
		return
	case last < 1:
		rekorFail(w, http.StatusUnprocessableEntity, "lastSize in query is required")
		return
	case first > last:
		rekorFail(w, http.StatusBadRequest, fmt.Sprintf("firstSize(%d) must be less than lastSize(%d)", first, last))
		return
	case last > size:
		rekorFail(w, http.StatusBadRequest, fmt.Sprintf("lastSize(%d) is beyond the current size %d", last, size))
		return
	}
	hashes, err := r.tree.consistency(uint64(first), uint64(last))
	if err != nil {
		rekorFail(w, http.StatusInternalServerError, err.Error())
		return
	}
	root, err := r.tree.root(uint64(size))
	if err != nil {
		rekorFail(w, http.StatusInternalServerError, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Hashes   []string `json:"hashes"`
		RootHash string   `json:"rootHash"`
	}{hexAll(hashes), hex.EncodeToString(root)})
}

func (r *Rekor) servePublicKey(w http.ResponseWriter, q *http.Request) {
	if treeID, err := queryInt(q, "treeID", r.treeID); err != nil || treeID != r.treeID {
		rekorFail(w, http.StatusNotFound, "unknown treeID")
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(r.PublicKeyPEM())
}

func (r *Rekor) serveEntryByIndex(w http.ResponseWriter, q *http.Request) {
	global, err := queryInt(q, "logIndex", -1)
	if err != nil || global < 0 {
		rekorFail(w, http.StatusUnprocessableEntity, "logIndex in query is required and must be a number from 0 on")
		return
	}
	r.serveEntry(w, global-r.offset)
}

func (r *Rekor) serveEntryByUUID(w http.ResponseWriter, q *http.Request) {
	index, ok := r.indexOf(q.PathValue("uuid"))
	if !ok {
		index = -1
	}
	r.serveEntry(w, index)
}

func (r *Rekor) serveEntry(w http.ResponseWriter, index int64) {
	answer, err := r.answer(index)
	switch {
	case err != nil:
		rekorFail(w, http.StatusInternalServerError, err.Error())
	case answer == nil:
		rekorFail(w, http.StatusNotFound, "entry not found")
	default:
		writeJSON(w, http.StatusOK, "application/json", answer)
	}
}

// indexOf finds an entry by its UUID: a leaf hash in hex, with or without the tree id before it.
func (r *Rekor) indexOf(uuid string) (int64, bool) {
	prefix := fmt.Sprintf("%016x", r.treeID)
	if len(uuid) == 80 {
		if uuid[:16] != prefix {
			return 0, false
		}
		uuid = uuid[16:]
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	index, ok := r.byLeaf[uuid]
	return index, ok
}

// answer is an entry as the API gives it, keyed by its UUID; nil where there is none.
func (r *Rekor) answer(index int64) (map[string]rekorEntry, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if index < 0 || index >= int64(len(r.entries)) {
		return nil, nil
	}
	e, err := r.entryLocked(index, int64(len(r.entries)))
	if err != nil {
		return nil, err
	}
	return map[string]rekorEntry{r.uuidLocked(index): {
		Body:           e.Body,
		IntegratedTime: e.IntegratedTime,
		LogID:          hex.EncodeToString(e.LogID),
		LogIndex:       e.LogIndex,
		Verification: rekorVerification{
			InclusionProof: rekorProof{
				Checkpoint: e.Checkpoint,
				Hashes:     hexAll(e.Hashes),
				LogIndex:   e.TreeIndex,
				RootHash:   hex.EncodeToString(e.RootHash),
				TreeSize:   e.TreeSize,
			},
			SignedEntryTimestamp: e.SET,
		},
	}}, nil
}

func (r *Rekor) serveRetrieve(w http.ResponseWriter, q *http.Request) {
	var request struct {
		EntryUUIDs []string `json:"entryUUIDs"`
		LogIndexes []int64  `json:"logIndexes"`
	}
	if err := json.UnmarshalRead(http.MaxBytesReader(w, q.Body, maxRequestBody), &request); err != nil {
		rekorFail(w, http.StatusBadRequest, "parsing the body: "+err.Error())
		return
	}
	n := len(request.EntryUUIDs) + len(request.LogIndexes)
	if n == 0 || n > maxRetrieve {
		rekorFail(w, http.StatusUnprocessableEntity, fmt.Sprintf("%d entries asked for; 1 to %d are given", n, maxRetrieve))
		return
	}
	indexes := make([]int64, 0, n)
	for _, uuid := range request.EntryUUIDs {
		if index, ok := r.indexOf(uuid); ok {
			indexes = append(indexes, index)
		}
	}
	for _, global := range request.LogIndexes {
		indexes = append(indexes, global-r.offset)
	}
	answers := []map[string]rekorEntry{} // missing entries are left out without a word, as the real server does
	for _, index := range indexes {
		answer, err := r.answer(index)
		if err != nil {
			rekorFail(w, http.StatusInternalServerError, err.Error())
			return
		}
		if answer != nil {
			answers = append(answers, answer)
		}
	}
	writeJSON(w, http.StatusOK, "application/json", answers)
}

// rekorFail answers with Rekor's error object.
func rekorFail(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, "application/json", struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{status, message})
}

func hexAll(hashes [][]byte) []string {
	out := make([]string, len(hashes))
	for i, h := range hashes {
		out[i] = hex.EncodeToString(h)
	}
	return out
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
