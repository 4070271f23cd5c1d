package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
)

// Rekor is a transparency log like Rekor v1: shards under one key, of which the last takes entries, one global index over
// all of them, and a search index. Unlike the real one it takes no submissions over HTTP and admits whatever it is given:
// Add checks nothing, because lies must be loggable too.
type Rekor struct {
	*Service
	// Index is what index/retrieve searches.
	Index *RekorIndex

	host      string // of the checkpoints' origins
	entropy   entropy
	now       func() time.Time
	strangers func() (*rekorBulk, error)

	key, otherKey *ecdsa.PrivateKey
	spki          []byte // of key, DER
	logID         [sha256.Size]byte
	noiseKey      *ecdsa.PrivateKey // of those who sign what is nobody's business here

	mu      sync.RWMutex
	shards  []*RekorShard // oldest first
	showing []showing
	conduct conduct
	noises  int
	bulks   uint64

	answers atomic.Uint64
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
	kept           []byte   // the statement that the log keeps beside it; nil for none
}

// newRekor makes a log with an empty active shard after those of the past.
func newRekor(e entropy, now func() time.Time, logger *slog.Logger, f *Fulcio, host string, treeID int64, past ...pastShard) (*Rekor, error) {
	r := &Rekor{host: host, entropy: e, now: now}
	var err error
	if r.key, err = e.ecdsaKey(elliptic.P256(), "rekor/"+host); err != nil {
		return nil, err
	}
	if r.otherKey, err = e.ecdsaKey(elliptic.P256(), "rekor/other/"+host); err != nil {
		return nil, err
	}
	if r.noiseKey, err = e.ecdsaKey(elliptic.P256(), "rekor/noise"); err != nil {
		return nil, err
	}
	if r.spki, err = x509.MarshalPKIXPublicKey(&r.key.PublicKey); err != nil {
		return nil, fmt.Errorf("encoding the log's key: %w", err)
	}
	r.logID = sha256.Sum256(r.spki)
	r.strangers = sync.OnceValues(func() (*rekorBulk, error) { return newRekorBulk(e, f) })
	r.Index = newRekorIndex(r)
	r.conduct.pageLimit = maxRetrieve
	r.Service = newService("rekor", logger, r.handler())
	if err := r.addPast(past); err != nil {
		return nil, fmt.Errorf("making the shards of the past: %w", err)
	}
	r.shards = append(r.shards, r.newShard(treeID, r.endLocked()))
	return r, nil
}

// PublicKeyPEM is the log's public key.
func (r *Rekor) PublicKeyPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: r.spki})
}

// Shards are the log's shards, oldest first; the last one is active.
func (r *Rekor) Shards() []*RekorShard {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.shards)
}

// Active is the shard that takes entries.
func (r *Rekor) Active() *RekorShard {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.activeLocked()
}

func (r *Rekor) activeLocked() *RekorShard { return r.shards[len(r.shards)-1] }

// endLocked is the global index that follows all entries.
func (r *Rekor) endLocked() uint64 {
	if len(r.shards) == 0 {
		return 0
	}
	last := r.activeLocked()
	return last.offset + last.Size()
}

// Rotate freezes the active shard and opens an empty one after it, in a running world too. A tree id of zero stands for
// one that is derived.
func (r *Rekor) Rotate(treeID int64) (*RekorShard, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if treeID == 0 {
		label := fmt.Sprintf("rekor/tree/%d", len(r.shards))
		treeID = new(big.Int).SetBytes(r.entropy.bytes(label, 7)).Int64() + 1
	}
	for _, s := range r.shards {
		if s.treeID == treeID || treeID < 0 {
			return nil, fmt.Errorf("rotating %s: %d cannot be the tree's id", r.host, treeID)
		}
	}
	r.activeLocked().freeze()
	next := r.newShard(treeID, r.endLocked())
	r.shards = append(r.shards, next)
	return next, nil
}

// Size is the number of entries in the active shard.
func (r *Rekor) Size() int64 { return int64(r.Active().Size()) }

// Add appends an entry and returns it as the log answers its submitter: proven in the tree that it completes.
// The zero time stands for now.
func (r *Rekor) Add(body []byte, at time.Time) (Entry, error) { return r.AddStatement(body, nil, at) }

// AddStatement is Add for an entry whose envelope carries a statement. The log does not keep it, but for intoto entries;
// the index has its subjects.
func (r *Rekor) AddStatement(body, statement []byte, at time.Time) (Entry, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	s := r.activeLocked()
	e, err := s.add(body, statement, at)
	if err == nil {
		r.Index.write(s, uint64(e.TreeIndex), statement)
	}
	return e, err
}

// AddNoise appends n entries of strangers: hashedrekords signed with a bare key.
func (r *Rekor) AddNoise(n int, at time.Time) error {
	if at.IsZero() {
		at = r.now()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.activeLocked()
	for range n {
		r.noises++
		body, err := r.noise(fmt.Sprintf("noise %d", r.noises))
		if err != nil {
			return err
		}
		index, err := s.append(logEntry{leaf: body, added: at})
		if err != nil {
			return err
		}
		r.Index.write(s, index, nil)
	}
	return nil
}

// noise is the body of a stranger's entry.
func (r *Rekor) noise(label string) ([]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(&r.noiseKey.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encoding a stranger's key: %w", err)
	}
	artifact := sha256.Sum256([]byte(label))
	signature, err := r.noiseKey.Sign(nil, artifact[:], sha256Opts)
	if err != nil {
		return nil, fmt.Errorf("signing a stranger's entry: %w", err)
	}
	return hashedRekordBody(artifact, signature, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
}

// shardLocked finds the shard of a global index, and the index in it: one past all shards is the active one's, as the
// real server has it.
func (r *Rekor) shardLocked(global uint64) (*RekorShard, uint64) {
	i := len(r.shards) - 1
	for r.shards[i].offset > global {
		i-- // the first shard begins at zero
	}
	return r.shards[i], global - r.shards[i].offset
}

// Get returns an entry by its global index, proven in its shard's present tree, whatever lies are told about it.
func (r *Rekor) Get(globalIndex int64) (Entry, bool, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if globalIndex < 0 {
		return Entry{}, false, nil
	}
	s, index := r.shardLocked(uint64(globalIndex))
	s.mu.RLock()
	defer s.mu.RUnlock()
	size := s.visibleLocked()
	if index >= size {
		return Entry{}, false, nil
	}
	e, err := s.entryLocked(index, size)
	return e, err == nil, err
}

// UUID is the name of an entry, by its global index: the tree id and the leaf hash in hex.
func (r *Rekor) UUID(globalIndex int64) (string, error) {
	e, ok, err := r.Get(globalIndex)
	if err == nil && !ok {
		err = errors.New("there is none")
	}
	if err != nil {
		return "", fmt.Errorf("naming entry %d: %w", globalIndex, err)
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	s, _ := r.shardLocked(uint64(globalIndex))
	return s.uuid(e.Body), nil
}

// Checkpoint is the active shard's signed tree head, as it is served now.
func (r *Rekor) Checkpoint() (string, error) {
	head, err := r.Active().Head()
	return string(head), err
}

// signEntryTimestamp signs the four members that a SET covers, as canonical JSON (RFC 8785): they are in order, and
// nothing in them needs an escape.
func (r *Rekor) signEntryTimestamp(e Entry) ([]byte, error) { return signTimestamp(r.key, e) }

func signTimestamp(key *ecdsa.PrivateKey, e Entry) ([]byte, error) {
	payload, err := json.Marshal(struct {
		Body           []byte `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogID          string `json:"logID"`
		LogIndex       int64  `json:"logIndex"`
	}{e.Body, e.IntegratedTime, hex.EncodeToString(e.LogID), e.LogIndex})
	if err != nil {
		return nil, fmt.Errorf("encoding what a signed entry timestamp covers: %w", err)
	}
	return signSHA256(key, payload)
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
	text := noteText(rekorOrigin(host, treeID), uint64(size), root)
	signature, err := signSHA256(key, []byte(text))
	if err != nil {
		return "", fmt.Errorf("signing a checkpoint of size %d: %w", size, err)
	}
	return text + "\n" + noteLine(host, logID, signature), nil
}

// rekorOrigin is the first line of a shard's checkpoints.
func rekorOrigin(host string, treeID int64) string { return fmt.Sprintf("%s - %d", host, treeID) }

// twin is the other signature that an ECDSA signature implies: with (r, s), (r, -s) verifies too. Rekor signs anew
// whenever it is asked, and so no two answers need to have the same bytes; this has them differ, and is the same in every
// run.
func twin(signature []byte) ([]byte, error) {
	var rs struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(signature, &rs); err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("reading a signature of %d bytes: %w", len(signature), errors.Join(err, errTrailing(rest)))
	}
	rs.S.Sub(elliptic.P256().Params().N, rs.S)
	return asn1.Marshal(rs)
}

func errTrailing(rest []byte) error {
	if len(rest) == 0 {
		return nil
	}
	return fmt.Errorf("%d bytes follow", len(rest))
}
