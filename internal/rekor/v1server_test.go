package rekor

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/util"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/rekoncile/rekoncile/internal/tlog/tiles/tilestest"
)

const (
	v1Host = "rekor.example"
	// v1Epoch is the integrated time of the first entry; each one after it is a second later.
	v1Epoch = 1_730_000_000
)

// v1World is a Rekor v1 log on loopback and a client of it. Its answers are made with the types, the signed notes and the
// canonical JSON of Rekor's own code.
type v1World struct {
	*V1Log
	t      testing.TB
	url    string
	key    *ecdsa.PrivateKey
	signer signature.Signer
	logID  string
	trees  []*v1TestTree

	mu sync.Mutex
	// subjects says what the search index does with a question for a subject: supported, ignored or refused.
	subjects V1Support
	index    map[string][]string // UUIDs by lower-case key
	// edit changes an answer before it is sent; status replaces the 200.
	edit   func(path string, answer any) any
	status func(path string) int
	raw    func(path string) string // an answer in place of the true one
	asked  []string
}

// v1TestTree is a shard, in the tree that the merkle library tests its own proofs with.
type v1TestTree struct {
	id     int64
	bodies [][]byte
	times  []int64
	tree   *testonly.Tree
	shown  uint64
}

// newV1World makes a log whose shards have these sizes.
func newV1World(t testing.TB, sizes ...int) *v1World {
	t.Helper()
	w := &v1World{t: t, subjects: V1Supported, index: map[string][]string{}}
	w.key = newV1Key(t)
	var err error
	if w.signer, err = signature.LoadECDSASigner(w.key, crypto.SHA256); err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&w.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	w.logID = hex.EncodeToString(sum[:])
	for i, size := range sizes {
		w.addTree(1193050959916656506+int64(i), size)
	}
	h := httptest.NewServer(w)
	t.Cleanup(h.Close)
	w.url = h.URL
	w.V1Log = w.client(nil)
	return w
}

func newV1Key(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// client is a client of the log that has seen nothing but the earlier shards.
func (w *v1World) client(earlier *V1Shards) *V1Log {
	w.t.Helper()
	l, err := NewV1Log(V1Options{URL: w.url, Host: v1Host, Keys: v1Keys(&w.key.PublicKey), Earlier: earlier, Fetch: tilestest.Client(w.t)})
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (w *v1World) addTree(id int64, size int) *v1TestTree {
	tree := &v1TestTree{id: id, tree: testonly.New(rfc6962.DefaultHasher)}
	w.trees = append(w.trees, tree)
	for i := range size {
		w.add(fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","n":"%d of %d"}`, i, id))
	}
	return tree
}

// add logs an entry in the active shard.
func (w *v1World) add(body []byte) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	tree := w.trees[len(w.trees)-1]
	tree.bodies = append(tree.bodies, body)
	total := int64(0)
	for _, other := range w.trees {
		total += int64(len(other.bodies))
	}
	tree.times = append(tree.times, v1Epoch+total-1)
	tree.tree.AppendData(body)
	tree.shown = uint64(len(tree.bodies))
	return tree.uuid(body)
}

func (tree *v1TestTree) uuid(body []byte) string {
	return fmt.Sprintf("%016x%x", tree.id, rfc6962.DefaultHasher.HashLeaf(body))
}

func (w *v1World) checkpoint(tree *v1TestTree, size uint64) string {
	signed, err := util.CreateAndSignCheckpoint(context.Background(), v1Host, tree.id, size, tree.tree.HashAt(size), w.signer)
	if err != nil {
		panic(err)
	}
	return string(signed)
}

// log is the answer to /log.
func (w *v1World) log() *models.LogInfo {
	info := &models.LogInfo{}
	for i, tree := range w.trees {
		id, root, size, head := fmt.Sprint(tree.id), hex.EncodeToString(tree.tree.HashAt(tree.shown)), int64(tree.shown), w.checkpoint(tree, tree.shown)
		if i < len(w.trees)-1 {
			info.InactiveShards = append(info.InactiveShards, &models.InactiveShardLogInfo{RootHash: &root, TreeSize: &size, TreeID: &id, SignedTreeHead: &head})
			continue
		}
		info.RootHash, info.TreeSize, info.TreeID, info.SignedTreeHead = &root, &size, &id, &head
	}
	return info
}

// entry is one entry under its UUID; nil where there is none.
func (w *v1World) entry(global uint64) models.LogEntry {
	index := global
	for i, tree := range w.trees {
		if i < len(w.trees)-1 && index >= uint64(len(tree.bodies)) {
			index -= uint64(len(tree.bodies))
			continue
		}
		if index >= tree.shown {
			return nil
		}
		virtual, local, size := int64(global), int64(index), int64(tree.shown)
		when, logID := tree.times[index], w.logID
		e := models.LogEntryAnon{Body: tree.bodies[index], IntegratedTime: &when, LogID: &logID, LogIndex: &virtual}
		payload, err := e.MarshalBinary()
		if err != nil {
			panic(err)
		}
		canonical, err := jsoncanonicalizer.Transform(payload)
		if err != nil {
			panic(err)
		}
		set, err := w.signer.SignMessage(strings.NewReader(string(canonical)))
		if err != nil {
			panic(err)
		}
		path, err := tree.tree.InclusionProof(index, tree.shown)
		if err != nil {
			panic(err)
		}
		root, head := hex.EncodeToString(tree.tree.HashAt(tree.shown)), w.checkpoint(tree, tree.shown)
		e.Verification = &models.LogEntryAnonVerification{SignedEntryTimestamp: set, InclusionProof: &models.InclusionProof{
			Checkpoint: &head, Hashes: hexAll(path), LogIndex: &local, RootHash: &root, TreeSize: &size,
		}}
		return models.LogEntry{tree.uuid(tree.bodies[index]): e}
	}
	return nil
}

func hexAll(hashes [][]byte) []string {
	all := []string{}
	for _, h := range hashes {
		all = append(all, hex.EncodeToString(h))
	}
	return all
}

// find are the global indices of a UUID's entries, of either length.
func (w *v1World) find(uuid string) []uint64 {
	var all []uint64
	offset := uint64(0)
	for _, tree := range w.trees {
		for i, body := range tree.bodies {
			if id := tree.uuid(body); id == uuid || id[16:] == uuid {
				all = append(all, offset+uint64(i))
			}
		}
		offset += uint64(len(tree.bodies))
	}
	return all
}

func (w *v1World) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/api/v1")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	w.asked = append(w.asked, path+" "+r.URL.RawQuery+string(body))
	if w.status != nil {
		if status := w.status(path); status != 0 {
			http.Error(rw, `{"code":0,"message":"as the test wants"}`, status)
			return
		}
	}
	rw.Header().Set("Content-Type", "application/json")
	if w.raw != nil && w.raw(path) != "" {
		io.WriteString(rw, w.raw(path))
		return
	}
	answer, status := w.answer(path, r, body)
	if w.edit != nil {
		answer = w.edit(path, answer)
	}
	rw.WriteHeader(status)
	if status == http.StatusOK {
		json.NewEncoder(rw).Encode(answer)
	}
}

func (w *v1World) answer(path string, r *http.Request, body []byte) (any, int) {
	switch {
	case path == "/log":
		return w.log(), http.StatusOK
	case path == "/log/proof":
		return w.proof(r)
	case path == "/log/entries":
		n, err := strconv.ParseUint(r.FormValue("logIndex"), 10, 64)
		if e := w.entry(n); err == nil && e != nil {
			return e, http.StatusOK
		}
	case strings.HasPrefix(path, "/log/entries/") && r.Method == http.MethodGet:
		if found := w.find(strings.TrimPrefix(path, "/log/entries/")); len(found) > 0 {
			return w.entry(found[0]), http.StatusOK
		}
	case path == "/log/entries/retrieve":
		var q models.SearchLogQuery
		if err := json.Unmarshal(body, &q); err != nil || len(q.EntryUUIDs)+len(q.LogIndexes) > 10 {
			return nil, http.StatusUnprocessableEntity
		}
		answer := []models.LogEntry{}
		for _, uuid := range q.EntryUUIDs {
			for _, n := range w.find(uuid) {
				answer = append(answer, w.entry(n))
			}
		}
		for _, n := range slices.Backward(q.LogIndexes) { // an order of its own
			if e := w.entry(uint64(*n)); e != nil {
				answer = append(answer, e)
			}
		}
		return answer, http.StatusOK
	case path == "/index/retrieve":
		return w.search(body)
	}
	return nil, http.StatusNotFound
}

func (w *v1World) proof(r *http.Request) (any, int) {
	for _, tree := range w.trees {
		if fmt.Sprint(tree.id) != r.FormValue("treeID") {
			continue
		}
		from, err1 := strconv.ParseUint(r.FormValue("firstSize"), 10, 64)
		to, err2 := strconv.ParseUint(r.FormValue("lastSize"), 10, 64)
		if err1 != nil || err2 != nil || from > to || to > tree.shown {
			break
		}
		hashes, err := tree.tree.ConsistencyProof(from, to)
		if err != nil {
			panic(err)
		}
		latest := hex.EncodeToString(tree.tree.Hash()) // not that of size to
		return &models.ConsistencyProof{Hashes: hexAll(hashes), RootHash: &latest}, http.StatusOK
	}
	return nil, http.StatusBadRequest
}

// search answers as rekor does: the keys of a question are united, or intersected.
func (w *v1World) search(body []byte) (any, int) {
	var q struct {
		Hash, Subject, Operator string
		PublicKey               *struct{ Content []byte }
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, http.StatusBadRequest
	}
	var sets [][]string
	if q.Hash != "" {
		sets = append(sets, w.index[strings.ToLower(q.Hash)])
	}
	if q.PublicKey != nil {
		sum := sha256.Sum256(q.PublicKey.Content)
		sets = append(sets, w.index[hex.EncodeToString(sum[:])])
	}
	if q.Subject != "" {
		switch w.subjects {
		case V1Supported:
			sets = append(sets, w.index[strings.ToLower(q.Subject)])
		case V1Refused:
			return nil, http.StatusUnprocessableEntity
		}
	}
	found := map[string]int{}
	for _, set := range sets {
		for _, uuid := range set {
			found[uuid]++
		}
	}
	if q.Operator == "and" {
		maps.DeleteFunc(found, func(_ string, n int) bool { return n < len(sets) })
	}
	return slices.AppendSeq([]string{}, maps.Keys(found)), http.StatusOK
}

// signed logs a hashedrekord of a certificate and puts it into the index as rekor does.
func (w *v1World) signed(san string) (uuid string, der []byte) {
	w.t.Helper()
	der = certificate(w.t, san)
	uuid = w.add(hashedRekordBody(pem64("CERTIFICATE", der)))
	sum := sha256.Sum256(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	w.file(uuid, hex.EncodeToString(sum[:]), san, "sha256:"+hexDigest)
	return uuid, der
}

// file puts an entry under some keys of the index.
func (w *v1World) file(uuid string, keys ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range keys {
		w.index[strings.ToLower(key)] = append(w.index[strings.ToLower(key)], uuid)
	}
}

// asks forgets what was asked and returns it.
func (w *v1World) asks() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

// lies sets how an answer is changed.
func (w *v1World) lies(edit func(path string, answer any) any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.edit = edit
}

func v1Keys(keys ...*ecdsa.PublicKey) []crypto.PublicKey {
	var all []crypto.PublicKey
	for _, k := range keys {
		all = append(all, k)
	}
	return all
}

// rebuilt is the tree of some bodies.
func rebuilt(bodies [][]byte) *testonly.Tree {
	tree := testonly.New(rfc6962.DefaultHasher)
	tree.AppendData(bodies...)
	return tree
}
