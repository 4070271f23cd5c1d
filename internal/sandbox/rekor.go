package sandbox

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/transparency-dev/merkle/rfc6962"
)

// Rekor is a transparency log like Rekor v1 with one active shard. It keeps every entry in memory. Unlike the
// real one it admits whatever it is given: Add checks nothing, because lies must be loggable too.
type Rekor struct {
	*Service

	host    string // of the checkpoints' origin
	treeID  int64
	offset  int64 // global index of the shard's first leaf
	entropy entropy
	now     func() time.Time

	key      *ecdsa.PrivateKey
	spki     []byte // of key, DER
	logID    [sha256.Size]byte
	noiseKey *ecdsa.PrivateKey // of those who sign what is nobody's business here

	mu      sync.RWMutex
	tree    merkleTree
	entries []storedEntry
	byLeaf  map[string]int64 // hex leaf hash → tree index
	noises  int
}

// storedEntry is what the log keeps of an entry; its proof depends on the tree's size.
type storedEntry struct {
	body       []byte
	integrated int64 // Unix seconds
}

// Entry is a log entry with the proof that it had when it was made: what clients embed in bundles. Its fields may be
// changed to make it a lie.
type Entry struct {
	Kind, Version  string
	Body           []byte // canonical JSON
	LogID          []byte // SHA-256 of the log's public key
	LogIndex       int64  // global
	IntegratedTime int64  // Unix seconds
	SET            []byte // signed entry timestamp; nil for none
	TreeIndex      int64  // within the shard, like TreeSize
	TreeSize       int64
	RootHash       []byte
	Hashes         [][]byte // inclusion proof, from the leaf up
	Checkpoint     string   // signed note for TreeSize and RootHash
}

func newRekor(e entropy, now func() time.Time, host string, treeID, offset int64) (*Rekor, error) {
	r := &Rekor{host: host, treeID: treeID, offset: offset, entropy: e, now: now, byLeaf: map[string]int64{}}
	var err error
	if r.key, err = e.ecdsaKey(elliptic.P256(), "rekor/"+host); err != nil {
		return nil, err
	}
	if r.noiseKey, err = e.ecdsaKey(elliptic.P256(), "rekor/noise"); err != nil {
		return nil, err
	}
	if r.spki, err = x509.MarshalPKIXPublicKey(&r.key.PublicKey); err != nil {
		return nil, fmt.Errorf("encoding the log's key: %w", err)
	}
	r.logID = sha256.Sum256(r.spki)
	return r, nil
}

// PublicKeyPEM is the log's public key.
func (r *Rekor) PublicKeyPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: r.spki})
}

// Size is the number of entries in the shard.
func (r *Rekor) Size() int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return int64(len(r.entries))
}

// Add appends an entry and returns it as the log answers its submitter: proven in the tree that it completes.
// The zero time stands for now.
func (r *Rekor) Add(body []byte, at time.Time) (Entry, error) {
	if at.IsZero() {
		at = r.now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	index := r.appendLocked(body, at)
	return r.entryLocked(index, index+1)
}

func (r *Rekor) appendLocked(body []byte, at time.Time) int64 {
	index := int64(len(r.entries))
	leaf := rfc6962.DefaultHasher.HashLeaf(body)
	r.tree.append(leaf)
	r.entries = append(r.entries, storedEntry{body: bytes.Clone(body), integrated: at.Unix()})
	r.byLeaf[hex.EncodeToString(leaf)] = index
	return index
}

// AddNoise appends n entries of strangers: hashedrekords signed with a bare key.
func (r *Rekor) AddNoise(n int, at time.Time) error {
	if at.IsZero() {
		at = r.now()
	}
	spki, err := x509.MarshalPKIXPublicKey(&r.noiseKey.PublicKey)
	if err != nil {
		return fmt.Errorf("encoding a stranger's key: %w", err)
	}
	verifier := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})
	r.mu.Lock()
	defer r.mu.Unlock()
	for range n {
		r.noises++
		artifact := sha256.Sum256(fmt.Appendf(nil, "noise %d", r.noises))
		signature, err := r.noiseKey.Sign(nil, artifact[:], sha256Opts)
		if err != nil {
			return fmt.Errorf("signing a stranger's entry: %w", err)
		}
		body, err := hashedRekordBody(artifact, signature, verifier)
		if err != nil {
			return err
		}
		r.appendLocked(body, at)
	}
	return nil
}

// Get returns an entry by its global index, proven in the log's present tree.
func (r *Rekor) Get(globalIndex int64) (Entry, bool, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	index := globalIndex - r.offset
	if index < 0 || index >= int64(len(r.entries)) {
		return Entry{}, false, nil
	}
	e, err := r.entryLocked(index, int64(len(r.entries)))
	return e, err == nil, err
}

// entryLocked proves an entry in the tree of the given size.
func (r *Rekor) entryLocked(index, size int64) (Entry, error) {
	stored := r.entries[index]
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(stored.body, &head); err != nil {
		return Entry{}, fmt.Errorf("reading the body of entry %d: %w", index, err)
	}
	e := Entry{
		Kind: head.Kind, Version: head.APIVersion,
		Body:           bytes.Clone(stored.body),
		LogID:          bytes.Clone(r.logID[:]),
		LogIndex:       r.offset + index,
		IntegratedTime: stored.integrated,
		TreeIndex:      index,
		TreeSize:       size,
	}
	var err error
	if e.SET, err = r.signEntryTimestamp(e); err != nil {
		return Entry{}, err
	}
	if e.Hashes, err = r.tree.inclusion(uint64(index), uint64(size)); err != nil {
		return Entry{}, fmt.Errorf("proving entry %d in a tree of %d: %w", index, size, err)
	}
	if e.RootHash, err = r.tree.root(uint64(size)); err != nil {
		return Entry{}, err
	}
	e.Checkpoint, err = signCheckpoint(r.key, r.host, r.treeID, size, e.RootHash)
	return e, err
}

// uuidLocked is an entry's name: the tree id and the leaf hash in hex.
func (r *Rekor) uuidLocked(index int64) string {
	return fmt.Sprintf("%016x%x", r.treeID, r.tree.levels[0][index])
}

// signEntryTimestamp signs the four members that a SET covers, as canonical JSON (RFC 8785): they are in order, and
// nothing in them needs an escape.
func (r *Rekor) signEntryTimestamp(e Entry) ([]byte, error) {
	payload, err := json.Marshal(struct {
		Body           []byte `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogID          string `json:"logID"`
		LogIndex       int64  `json:"logIndex"`
	}{e.Body, e.IntegratedTime, hex.EncodeToString(e.LogID), e.LogIndex})
	if err != nil {
		return nil, fmt.Errorf("encoding what a signed entry timestamp covers: %w", err)
	}
	return signSHA256(r.key, payload)
}

// Checkpoint is the log's present signed tree head.
func (r *Rekor) Checkpoint() (string, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	root, err := r.tree.root(r.tree.size())
	if err != nil {
		return "", err
	}
	return signCheckpoint(r.key, r.host, r.treeID, int64(r.tree.size()), root)
}

// Consistency proves that the first tree is a prefix of the second, by their sizes: 1 ≤ first ≤ second ≤ Size.
func (r *Rekor) Consistency(first, second int64) ([][]byte, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if first < 1 || second < first {
		return nil, fmt.Errorf("no consistency proof from tree size %d to %d", first, second)
	}
	return r.tree.consistency(uint64(first), uint64(second))
}

// signCheckpoint signs a tree head in Rekor v1's form: a signed note whose key hash is the beginning of the
// SHA-256 of the public key's SPKI, not the one that golang.org/x/mod/sumdb/note computes.
func signCheckpoint(key *ecdsa.PrivateKey, host string, treeID, size int64, root []byte) (string, error) {
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return "", fmt.Errorf("encoding the log's key: %w", err)
	}
	return signCheckpointAs(key, sha256.Sum256(spki), host, treeID, size, root)
}

// signCheckpointAs is signCheckpoint under the key hash of any log.
func signCheckpointAs(key *ecdsa.PrivateKey, logID [sha256.Size]byte, host string, treeID, size int64, root []byte) (string, error) {
	text := fmt.Sprintf("%s - %d\n%d\n%s\n", host, treeID, size, base64.StdEncoding.EncodeToString(root))
	signature, err := signSHA256(key, []byte(text))
	if err != nil {
		return "", fmt.Errorf("signing a checkpoint of size %d: %w", size, err)
	}
	return fmt.Sprintf("%s\n\u2014 %s %s\n", text, host,
		base64.StdEncoding.EncodeToString(append(logID[:4:4], signature...))), nil
}
