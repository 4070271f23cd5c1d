package sandbox

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/transparency-dev/merkle/rfc6962"
)

// RekorShard is a shard of a Rekor v1 log: a tree of its own, with a place among the global indices.
type RekorShard struct {
	*Ledger
	log    *Rekor
	treeID int64
	offset uint64 // global index of its first leaf
	past   bool   // its tree is a repetition
	rumour *rumour
}

func (r *Rekor) newShard(treeID int64, offset uint64) *RekorShard {
	s := &RekorShard{log: r, treeID: treeID, offset: offset}
	s.Ledger = &Ledger{
		Service: r.Service, origin: rekorOrigin(r.host, treeID), now: r.now, protocol: s, byHash: map[[sha256.Size]byte]uint64{},
	}
	return s
}

// TreeID names the shard.
func (s *RekorShard) TreeID() int64 { return s.treeID }

// Offset is the global index of the shard's first entry.
func (s *RekorShard) Offset() int64 { return int64(s.offset) }

// uuid is the name that an entry of this body has in the shard.
func (s *RekorShard) uuid(body []byte) string {
	return fmt.Sprintf("%016x%x", s.treeID, rfc6962.DefaultHasher.HashLeaf(body))
}

// Add appends an entry to this shard and returns it, proven in the tree that it completes. The index does not learn of it:
// see [Rekor.Add]. The zero time stands for now.
func (s *RekorShard) Add(body []byte, at time.Time) (Entry, error) { return s.add(body, nil, at) }

// Log logs an attestation in this shard, as a log does that shows its submitter another tree.
func (s *RekorShard) Log(a *Attestation, at time.Time) (Entry, error) {
	body, err := a.body()
	if err != nil {
		return Entry{}, err
	}
	return s.Add(body, at)
}

func (s *RekorShard) add(body, statement []byte, at time.Time) (Entry, error) {
	if at.IsZero() {
		at = s.log.now()
	}
	e := logEntry{leaf: bytes.Clone(body), added: at}
	if kind, _ := entryKind(body); kind == Intoto {
		e.extra = bytes.Clone(statement) // Rekor's attestation storage
	}
	index, err := s.append(e)
	if err != nil {
		return Entry{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entryLocked(index, index+1)
}

// entryLocked is the truth about an entry, proven in the tree of a size.
func (s *RekorShard) entryLocked(index, size uint64) (Entry, error) {
	v := view{size: size, tree: &s.tree, entry: s.entries.at, origin: s.origin}
	note, err := s.seal(v, time.Time{})
	if err != nil {
		return Entry{}, err
	}
	e, err := s.prove(v, index, nil)
	if err != nil {
		return Entry{}, err
	}
	e.Checkpoint = string(note)
	e.Body = bytes.Clone(e.Body)
	e.Kind, e.Version = entryKind(e.Body)
	return e, nil
}

// entryKind reads what a body says that it is; nothing where it is no JSON.
func entryKind(body []byte) (kind, version string) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if json.Unmarshal(body, &head) != nil {
		return "", ""
	}
	return head.Kind, head.APIVersion
}

// prove makes the entry of an index, in the tree of the view's size, without its checkpoint. What is said of it may be a
// rumour.
func (s *RekorShard) prove(v view, index uint64, told *rumour) (Entry, error) {
	stored := v.entry(index)
	e := Entry{
		Body:           stored.leaf,
		LogID:          bytes.Clone(s.log.logID[:]),
		LogIndex:       int64(s.offset + index),
		IntegratedTime: stored.added.Unix(),
		TreeIndex:      int64(index),
		TreeSize:       int64(v.size),
		kept:           stored.extra,
	}
	if told != nil && told.before != nil {
		told.before(&e)
	}
	var err error
	if e.SET, err = s.log.signEntryTimestamp(e); err != nil {
		return Entry{}, err
	}
	if told != nil && told.after != nil {
		if err := told.after(&e); err != nil {
			return Entry{}, err
		}
	}
	hashes, err := v.tree.inclusion(index, v.size)
	if err != nil {
		return Entry{}, fmt.Errorf("proving entry %d in a tree of %d: %w", index, v.size, err)
	}
	e.Hashes = v.proof(hashes)
	e.RootHash, err = v.tree.root(v.size)
	return e, err
}

// seal signs the checkpoint of a view.
func (s *RekorShard) seal(v view, _ time.Time) ([]byte, error) { return s.sealAgain(v, false) }

// sealAgain is seal, with the other signature where it is done again.
func (s *RekorShard) sealAgain(v view, again bool) ([]byte, error) {
	root, err := v.tree.root(v.size)
	if err != nil {
		return nil, err
	}
	text := noteText(v.origin, v.size, root)
	key := s.log.key
	if v.wrongKey {
		key = s.log.otherKey
	}
	signature, err := signSHA256(key, []byte(text))
	if err == nil && again {
		signature, err = twin(signature)
	}
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint of size %d: %w", v.size, err)
	}
	// Under the hint of the log's key, whoever signed.
	return []byte(text + "\n" + noteLine(s.log.host, s.log.logID, signature)), nil
}

// pages is the path of what has entries in it, whichever way they are asked for.
func (s *RekorShard) pages() string { return entriesPath + "*" }

func (s *RekorShard) stranger(label string, _ uint64) (logEntry, error) {
	body, err := s.log.noise(label)
	return logEntry{leaf: body, added: s.now()}, err
}
