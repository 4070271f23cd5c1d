package sandbox

import (
	"encoding/hex"
	"errors"
	"mime"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
)

// maxRetrieve is how many entries Rekor v1 gives in one answer.
const maxRetrieve = 10

// uuidForm is what Rekor takes for the name of an entry: a leaf hash, with or without the tree id before it.
const uuidForm = `^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$`

// The length of a UUID, and of its last part.
const (
	uuidLength     = 80
	leafHashLength = 64
)

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

type rekorAttestation struct {
	Data []byte `json:"data"`
}

// rekorEntry is an entry of an answer: its logIndex is global.
type rekorEntry struct {
	Attestation    *rekorAttestation `json:"attestation,omitempty"`
	Body           []byte            `json:"body"`
	IntegratedTime int64             `json:"integratedTime"`
	LogID          string            `json:"logID"`
	LogIndex       int64             `json:"logIndex"`
	Verification   rekorVerification `json:"verification"`
}

// answer is an entry as the API gives it, keyed by its UUID.
func (s *sight) answer(index uint64) (map[string]rekorEntry, error) {
	e, ok, err := s.entryAt(index)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errNotFound
	}
	one := rekorEntry{
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
	}
	if e.kept != nil {
		one.Attestation = &rekorAttestation{e.kept}
	}
	return map[string]rekorEntry{s.uuid(e.Body): one}, nil
}

func serveEntryByIndex(a *audience, q *http.Request) (rendered, error) {
	global, err := queryParameter(q, "logIndex", 0, -1)
	if err != nil {
		return nil, err
	}
	s, index := a.at(uint64(global))
	answer, err := s.answer(index)
	return asJSON(answer), err
}

func serveEntryByUUID(a *audience, q *http.Request) (rendered, error) {
	uuid := q.PathValue("uuid")
	if !isUUID(uuid) {
		return nil, refused(codePattern, "entryUUID in path should match '%s'", uuidForm)
	}
	found, err := a.named(uuid)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errNotFound
	}
	answer, err := found[0].answer()
	return asJSON(answer), err
}

// isUUID reports whether a text has uuidForm.
func isUUID(text string) bool {
	_, err := hex.DecodeString(text)
	return err == nil && (len(text) == uuidLength || len(text) == leafHashLength)
}

// place is an entry of a shard.
type place struct {
	*sight
	index uint64
}

func (p place) answer() (map[string]rekorEntry, error) { return p.sight.answer(p.index) }

// named finds entries by a UUID: in one shard, or in all where it does not say which, the active one first.
func (a *audience) named(uuid string) ([]place, error) {
	hash, err := hex.DecodeString(uuid[len(uuid)-leafHashLength:])
	if err != nil {
		return nil, err
	}
	shards := append([]*sight{a.active()}, a.sights[:len(a.sights)-1]...)
	if len(uuid) == uuidLength {
		id, err := strconv.ParseInt(uuid[:uuidLength-leafHashLength], 16, 64)
		switch {
		case err != nil:
			return nil, refused(http.StatusBadRequest, "validation error: %s is not a valid TreeID", uuid[:uuidLength-leafHashLength])
		case id == 0:
			// The real server trips over a tree id of zero.
			return nil, refused(http.StatusInternalServerError, "unexpected error communicating with transparency log")
		}
		s, ok := a.tree(id)
		if !ok {
			return nil, nil
		}
		shards = []*sight{s}
	}
	var found []place
	for _, s := range shards {
		if index, ok := s.find([32]byte(hash)); ok && index < s.size {
			found = append(found, place{s, index})
		}
	}
	return found, nil
}

// retrieval is the request of retrieve.
type retrieval struct {
	EntryUUIDs []string `json:"entryUUIDs"`
	LogIndexes []int64  `json:"logIndexes"`
	Entries    []any    `json:"entries"`
}

// check refuses what the real server refuses, in its words.
func (r retrieval) check(limit int) error {
	for name, n := range map[string]int{"entryUUIDs": lengthOf(r.EntryUUIDs), "logIndexes": lengthOf(r.LogIndexes), "entries": lengthOf(r.Entries)} {
		switch {
		case n == 0:
			return refused(codeMinItems, "%s in body should have at least 1 items", name)
		case n > limit:
			return refused(codeMaxItems, "%s in body should have at most %d items", name, limit)
		}
	}
	for i, uuid := range r.EntryUUIDs {
		if !isUUID(uuid) {
			return refused(codePattern, "entryUUIDs.%d in body should match '%s'", i, uuidForm)
		}
	}
	for i, index := range r.LogIndexes {
		if index < 0 {
			return refused(codeMinimum, "logIndexes.%d in body should be greater than or equal to 0", i)
		}
	}
	if len(r.EntryUUIDs)+len(r.LogIndexes)+len(r.Entries) > limit {
		return refused(http.StatusUnprocessableEntity, "more than max allowed %d entries in request", limit)
	}
	if len(r.Entries) > 0 {
		return refused(http.StatusNotImplemented, "this Rekor instance does not look proposed entries up")
	}
	return nil
}

// lengthOf is the length of an array, -1 where there is none.
func lengthOf[T any](array []T) int {
	if array == nil {
		return -1
	}
	return len(array)
}

// serveRetrieve answers in the real server's order: UUIDs with a tree id, bare ones, indices. What is missing is left out
// without a word.
func serveRetrieve(a *audience, q *http.Request) (rendered, error) {
	var request retrieval
	if err := readRequest(q, "entry", &request); err != nil {
		return nil, err
	}
	if err := request.check(a.pageLimit); err != nil {
		return nil, err
	}
	var full, bare []place
	for _, uuid := range request.EntryUUIDs {
		found, err := a.named(uuid)
		if err != nil {
			return nil, err
		}
		if len(uuid) == uuidLength {
			full = append(full, found...)
		} else {
			bare = append(bare, found...)
		}
	}
	places := append(full, bare...)
	for _, global := range request.LogIndexes {
		s, index := a.at(uint64(global))
		places = append(places, place{s, index})
	}
	answers := []map[string]rekorEntry{}
	short := false
	for _, p := range places {
		answer, err := p.answer()
		switch {
		case errors.Is(err, errNotFound):
			continue
		case err != nil:
			return nil, err
		}
		answers = append(answers, answer)
		short = short || p.withheld != nil && p.withheld(p.index, p.index+1) > 0
	}
	if short {
		answers = answers[:len(answers)-1]
	}
	return asJSON(answers), nil
}

// readRequest reads the JSON of a POST. The name is what the real server calls it.
func readRequest(q *http.Request, name string, into any) error {
	if kind, _, err := mime.ParseMediaType(q.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refused(http.StatusUnsupportedMediaType, "unsupported media type %q, only [application/json] are allowed", q.Header.Get("Content-Type"))
	}
	if err := json.UnmarshalRead(http.MaxBytesReader(nil, q.Body, maxRequestBody), into); err != nil {
		return refused(http.StatusBadRequest, "parsing %s body from \"\" failed, because %s", name, err)
	}
	return nil
}
