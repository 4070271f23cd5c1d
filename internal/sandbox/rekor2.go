package sandbox

import (
	"bytes"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// rekor2Host is the name of the world's first Rekor v2 shard.
const rekor2Host = "log2026-1.rekor.sandbox.example"

// rekor2Path is what the paths of Rekor v2 begin with.
const rekor2Path = "/api/v2/"

// Rekor2 is a shard of a transparency log like Rekor v2: tiles over HTTP (C2SP tlog-tiles), no search and no time. It
// takes no submissions over HTTP, and admits whatever it is given, because lies must be loggable too.
type Rekor2 struct {
	*Ledger
	key, otherKey noteKey
	entropy       entropy
	stranded      *Signer // whose entries are nobody's business here
	bulk          *bulk

	witnessing sync.RWMutex
	witnesses  []witness

	counting sync.Mutex
	noises   uint64
	bulks    uint64
}

// newRekor2 makes an empty shard. Its strangers have one certificate.
func newRekor2(e entropy, now func() time.Time, logger *slog.Logger, host string, onCurve bool, f *Fulcio) (*Rekor2, error) {
	r := &Rekor2{entropy: e}
	var err error
	if r.key, err = newNoteKey(e, host, "rekor2/"+host, onCurve); err != nil {
		return nil, err
	}
	if r.otherKey, err = newNoteKey(e, host, "rekor2/other/"+host, onCurve); err != nil {
		return nil, err
	}
	if r.stranded, err = f.stranger("rekor2/stranger/" + host); err != nil {
		return nil, err
	}
	if r.bulk, err = newBulk(entropy(binary.BigEndian.Uint64(e.bytes("rekor2/bulk/"+host, 8))), r.stranded); err != nil {
		return nil, err
	}
	r.Ledger = &Ledger{origin: host, now: now, protocol: r}
	r.Service = newService(host, logger, r.handler())
	return r, nil
}

func (r *Rekor2) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+rekor2Path, func(w http.ResponseWriter, q *http.Request) {
		r.serveTiles(w, q, strings.TrimPrefix(q.URL.Path, rekor2Path), "entries", bundled)
	})
	return mux
}

// bundled adds an entry to an entry bundle (C2SP tlog-tiles, "Log Entries").
func bundled(bundle []byte, e logEntry) []byte {
	return append(binary.BigEndian.AppendUint16(bundle, uint16(len(e.leaf))), e.leaf...)
}

func (r *Rekor2) lies() []Lie   { return tiledLies() }
func (r *Rekor2) pages() string { return rekor2Path + "tile/entries/*" }

func (r *Rekor2) seal(v view, at time.Time) ([]byte, error) {
	root, err := v.tree.root(v.size)
	if err != nil {
		return nil, err
	}
	text := noteText(v.origin, v.size, root)
	key := r.key
	if v.wrongKey {
		key = r.otherKey
	}
	signature, err := key.sign([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint of size %d: %w", v.size, err)
	}
	// Under the hint of the log's key, whoever signed.
	lines := noteLine(r.origin, r.key.id, signature)
	r.witnessing.RLock()
	defer r.witnessing.RUnlock()
	for i, w := range r.witnesses {
		if i%2 == 0 {
			lines += w.line(text, at)
		} else {
			lines = w.line(text, at) + lines // their order means nothing
		}
	}
	return []byte(text + "\n" + lines), nil
}

// AddWitness has a witness cosign every checkpoint from now on, and returns its verifier key.
func (r *Rekor2) AddWitness(name string) (verifierKey string) {
	r.witnessing.Lock()
	defer r.witnessing.Unlock()
	w := witness{name, r.entropy.ed25519Key("witness/" + name)}
	r.witnesses = append(r.witnesses, w)
	return w.verifierKey()
}

// Add appends an entry and returns its index.
func (r *Rekor2) Add(body []byte) (index uint64, err error) {
	if len(body) > math.MaxUint16 {
		return 0, fmt.Errorf("log %s: an entry of %d bytes does not fit into a bundle", r.origin, len(body))
	}
	return r.append(logEntry{leaf: bytes.Clone(body), added: r.now()})
}

// AddNoise appends n entries of strangers: hashedrekords of about 2.7 kB that verify.
func (r *Rekor2) AddNoise(n int) error {
	for range n {
		r.counting.Lock()
		r.noises++
		label := fmt.Sprintf("noise %d", r.noises)
		r.counting.Unlock()
		e, err := r.stranger(label, 0)
		if err != nil {
			return err
		}
		if _, err := r.append(e); err != nil {
			return err
		}
	}
	return nil
}

// AddBulk appends n entries that look like AddNoise's, each with a certificate of its own, and of which no signature
// verifies: it makes hundreds of thousands a second, and keeps no more of them than their hashes.
func (r *Rekor2) AddBulk(n uint64) error {
	r.counting.Lock()
	defer r.counting.Unlock()
	number, added := r.bulks, r.now()
	err := r.appendMade(n, func(uint64) func(uint64) logEntry {
		return func(i uint64) logEntry { return logEntry{leaf: r.bulk.entry(number + i), added: added} }
	})
	if err == nil {
		r.bulks += n
	}
	return err
}

func (r *Rekor2) stranger(label string, _ uint64) (logEntry, error) {
	digest := sha256.Sum256([]byte(label))
	signature, err := r.stranded.key.Sign(nil, digest[:], sha256Opts)
	if err != nil {
		return logEntry{}, fmt.Errorf("signing a stranger's entry: %w", err)
	}
	body, err := tiledHashedRekordBody(digest, byCertificate(signature, r.stranded.Certificate.Raw))
	return logEntry{leaf: body, added: r.now()}, err
}

// Log logs an attestation as today's clients do, as a hashedrekord: for an envelope the digest is that of what was
// signed. The entry is proven in the tree that it completes.
func (r *Rekor2) Log(a *Attestation) (Entry, error) {
	digest := sha256.Sum256(pae(a.Statement))
	if a.Statement == nil {
		digest = [sha256.Size]byte(a.Artifact)
	}
	body, err := tiledHashedRekordBody(digest, byCertificate(a.Signature, a.Certificate))
	if err != nil {
		return Entry{}, err
	}
	return r.logBody(body)
}

// LogDSSE logs an attestation as a dsse entry, as clients did until June 2026.
func (r *Rekor2) LogDSSE(a *Attestation) (Entry, error) {
	body, err := tiledDSSEBody(a.Statement, byCertificate(a.Signature, a.Certificate))
	if err != nil {
		return Entry{}, err
	}
	return r.logBody(body)
}

func (r *Rekor2) logBody(body []byte) (Entry, error) {
	index, err := r.Add(body)
	if err != nil {
		return Entry{}, err
	}
	return r.Get(index)
}

// Get returns an entry, proven in the tree that it completes. It has no time and no promise.
func (r *Rekor2) Get(index uint64) (Entry, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if index >= r.entries.size {
		return Entry{}, fmt.Errorf("log %s has no entry %d", r.origin, index)
	}
	body, size := r.entries.at(index).leaf, index+1
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return Entry{}, fmt.Errorf("reading the body of entry %d: %w", index, err)
	}
	e := Entry{
		Kind: head.Kind, Version: head.APIVersion, Body: bytes.Clone(body), LogID: bytes.Clone(r.key.id[:]),
		LogIndex: int64(index), TreeIndex: int64(index), TreeSize: int64(size),
	}
	var err error
	if e.Hashes, err = r.tree.inclusion(index, size); err != nil {
		return Entry{}, fmt.Errorf("proving entry %d in a tree of %d: %w", index, size, err)
	}
	if e.RootHash, err = r.tree.root(size); err != nil {
		return Entry{}, err
	}
	checkpoint, err := r.seal(view{size: size, tree: &r.tree, origin: r.origin}, r.now())
	e.Checkpoint = string(checkpoint)
	return e, err
}

// AddKeySigned appends an entry that a bare key signed, and returns the key: SPKI, DER.
func (r *Rekor2) AddKeySigned(label string) (index uint64, spki []byte, err error) {
	key, err := r.entropy.ecdsaKey(elliptic.P256(), "rekor2/key/"+label)
	if err != nil {
		return 0, nil, err
	}
	if spki, err = x509.MarshalPKIXPublicKey(&key.PublicKey); err != nil {
		return 0, nil, fmt.Errorf("encoding the key %q: %w", label, err)
	}
	digest := sha256.Sum256([]byte(label))
	signature, err := key.Sign(nil, digest[:], sha256Opts)
	if err != nil {
		return 0, nil, fmt.Errorf("signing an entry: %w", err)
	}
	body, err := tiledHashedRekordBody(digest, byKey(signature, spki))
	if err != nil {
		return 0, nil, err
	}
	index, err = r.Add(body)
	return index, spki, err
}

// AddUnknownKind appends an entry of a kind that nobody knows yet, with a text in it.
func (r *Rekor2) AddUnknownKind(text string) (index uint64, err error) {
	body, err := json.Marshal(map[string]any{
		"apiVersion": "0.0.9", "kind": "futurerekord", "spec": map[string]any{"futureRekordV009": map[string]any{"subject": text}},
	}, json.Deterministic(true))
	if err != nil {
		return 0, fmt.Errorf("encoding an entry of an unknown kind: %w", err)
	}
	return r.Add(body)
}

// AddMalformedCertificate appends a hashedrekord whose certificate is none: DER that breaks off after a text.
func (r *Rekor2) AddMalformedCertificate(text string) (index uint64, err error) {
	digest := sha256.Sum256([]byte(text))
	body, err := tiledHashedRekordBody(digest, byCertificate(r.bulk.signature, malformedCertificate(text)))
	if err != nil {
		return 0, err
	}
	return r.Add(body)
}

// malformedCertificate announces more than it has.
func malformedCertificate(text string) []byte {
	return append([]byte{0x30, 0x82, 0x07, 0xd0, 0x30, 0x82, 0x07, 0x00, 0x86, byte(min(len(text), 127))}, text...)
}
