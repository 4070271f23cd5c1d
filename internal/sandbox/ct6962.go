package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
)

// defaultPageCap is how many entries an RFC 6962 log gives in one answer.
const defaultPageCap = 1000

// The forms that a CT log is read in.
type ctForm int

const (
	ctUnread  ctForm = iota // it makes promises and serves nothing
	ctRFC6962               // RFC 6962 §4
	ctStatic                // C2SP static-ct-api
)

// SetPageCap limits the number of entries in an answer of an RFC 6962 log.
func (l *CTLog) SetPageCap(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pageCap = n
}

// rfc6962Handler serves the read API of RFC 6962 §4.3 to §4.8.
func (l *CTLog) rfc6962Handler() http.Handler {
	mux := http.NewServeMux()
	for method, serve := range map[string]func(*http.Request) (any, int, error){
		"get-sth-consistency": l.getConsistency,
		"get-proof-by-hash":   l.getProofByHash,
		"get-entries":         l.getEntries,
		"get-entry-and-proof": l.getEntryAndProof,
		"get-roots":           l.getRoots,
	} {
		mux.HandleFunc("GET /ct/v1/"+method, func(w http.ResponseWriter, q *http.Request) {
			l.mu.RLock()
			answer, status, err := serve(q)
			l.mu.RUnlock()
			if err != nil {
				http.Error(w, err.Error(), status)
				return
			}
			writeJSON(w, http.StatusOK, "application/json", answer)
		})
	}
	mux.HandleFunc("GET /ct/v1/get-sth", func(w http.ResponseWriter, _ *http.Request) {
		head, err := l.Head()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeBytes(w, "application/json", head)
	})
	return mux
}

// signTreeHead signs a tree head (RFC 6962 §3.5) and returns the digitally-signed structure.
func (l *CTLog) signTreeHead(v view, at time.Time) (root, signature []byte, err error) {
	if root, err = v.tree.root(v.size); err != nil {
		return nil, nil, err
	}
	head := ct.SignedTreeHead{Version: ct.V1, TreeSize: v.size, Timestamp: uint64(at.UnixMilli()), SHA256RootHash: ct.SHA256Hash(root)}
	input, err := ct.SerializeSTHSignatureInput(head)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding what a tree head's signature covers: %w", err)
	}
	key := l.key
	if v.wrongKey {
		key = l.otherKey
	}
	raw, err := signSHA256(key, input)
	if err != nil {
		return nil, nil, fmt.Errorf("signing a tree head of size %d: %w", v.size, err)
	}
	signature, err = tls.Marshal(tls.DigitallySigned{
		Algorithm: tls.SignatureAndHashAlgorithm{Hash: tls.SHA256, Signature: tls.ECDSA}, Signature: raw,
	})
	return root, signature, err
}

func (l *CTLog) getConsistency(q *http.Request) (any, int, error) {
	v := l.viewLocked()
	first, err1 := queryInt(q, "first", -1)
	second, err2 := queryInt(q, "second", -1)
	if err1 != nil || err2 != nil || first < 0 || second < first || uint64(second) > v.tree.size() {
		return nil, http.StatusBadRequest, fmt.Errorf("no consistency proof from tree size %d to %d", first, second)
	}
	answer := ct.GetSTHConsistencyResponse{Consistency: [][]byte{}}
	if first == 0 || first == second {
		return answer, 0, nil // RFC 6962 §4.4: nothing to prove
	}
	hashes, err := v.tree.consistency(uint64(first), uint64(second))
	answer.Consistency = v.proof(hashes)
	return answer, http.StatusInternalServerError, err
}

func (l *CTLog) getProofByHash(q *http.Request) (any, int, error) {
	v := l.viewLocked()
	hash, err := base64.StdEncoding.DecodeString(q.URL.Query().Get("hash"))
	if err != nil || len(hash) != sha256.Size {
		return nil, http.StatusBadRequest, fmt.Errorf("hash in query is not the base64 of %d bytes", sha256.Size)
	}
	size, err := queryInt(q, "tree_size", -1)
	switch {
	case err != nil || size < 1:
		return nil, http.StatusBadRequest, fmt.Errorf("there is no tree of size %d", size)
	case uint64(size) > v.tree.size():
		// The real server lets its storage say so, and takes that for a fault of its own.
		return nil, http.StatusInternalServerError, fmt.Errorf("there is no tree of size %d yet", size)
	}
	index, ok := v.find([sha256.Size]byte(hash))
	if !ok || index >= uint64(size) {
		return nil, http.StatusNotFound, fmt.Errorf("no such leaf among the first %d", size)
	}
	path, err := v.tree.inclusion(index, uint64(size))
	return ct.GetProofByHashResponse{LeafIndex: int64(index), AuditPath: v.proof(path)}, http.StatusInternalServerError, err
}

// getEntries gives at most as many entries as the log likes, and none past the tree head.
func (l *CTLog) getEntries(q *http.Request) (any, int, error) {
	v := l.viewLocked()
	start, err1 := queryInt(q, "start", -1)
	end, err2 := queryInt(q, "end", -1)
	if err1 != nil || err2 != nil || start < 0 || end < start || uint64(start) >= v.size {
		return nil, http.StatusBadRequest, fmt.Errorf("there are no entries %d to %d in a tree of %d", start, end, v.size)
	}
	first, last := uint64(start), min(uint64(end)+1, v.size, uint64(start)+l.pageCap)
	if v.withheld != nil && last > first+1 {
		last -= v.withheld(first, last) // one entry at least: an empty answer is malformed
	}
	answer := ct.GetEntriesResponse{Entries: make([]ct.LeafEntry, 0, last-first)}
	for i := first; i < last; i++ {
		e := v.entry(i)
		answer.Entries = append(answer.Entries, ct.LeafEntry{LeafInput: e.leaf, ExtraData: e.extra})
	}
	return answer, 0, nil
}

func (l *CTLog) getEntryAndProof(q *http.Request) (any, int, error) {
	v := l.viewLocked()
	index, err1 := queryInt(q, "leaf_index", -1)
	size, err2 := queryInt(q, "tree_size", -1)
	if err1 != nil || err2 != nil || index < 0 || size <= index || uint64(size) > v.tree.size() {
		return nil, http.StatusBadRequest, fmt.Errorf("there is no entry %d in a tree of size %d", index, size)
	}
	e := v.entry(uint64(index))
	path, err := v.tree.inclusion(uint64(index), uint64(size))
	return ct.GetEntryAndProofResponse{LeafInput: e.leaf, ExtraData: e.extra, AuditPath: v.proof(path)}, http.StatusInternalServerError, err
}

func (l *CTLog) getRoots(*http.Request) (any, int, error) {
	answer := ct.GetRootsResponse{Certificates: []string{}}
	for _, der := range l.roots {
		answer.Certificates = append(answer.Certificates, base64.StdEncoding.EncodeToString(der))
	}
	return answer, 0, nil
}
