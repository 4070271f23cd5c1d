package sandbox

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// trustedRootTarget is the target that Sigstore clients ask for.
const trustedRootTarget = "trusted_root.json"

// TUFExpiry is when the metadata of each role expires.
type TUFExpiry struct {
	Root, Targets, Snapshot, Timestamp time.Time
}

// TUF is an update repository (The Update Framework, consistent snapshots) with one target: the trusted root. One
// Ed25519 key a role signs it.
type TUF struct {
	*Service
	entropy entropy

	mu      sync.RWMutex
	expiry  TUFExpiry
	target  []byte
	version int64 // of targets, snapshot and timestamp
	roots   [][]byte
	files   map[string][]byte // by path, without the slash in front
}

// tufLifetime is how long metadata lives unless the expiry is set: clients compare it with their own clock, which may
// be years ahead of a world that plays in the past.
const tufLifetime = 10

func newTUF(e entropy, now time.Time, target []byte) (*TUF, error) {
	far := now.AddDate(tufLifetime, 0, 0)
	t := &TUF{entropy: e, target: target, expiry: TUFExpiry{far, far, far, far}, files: map[string][]byte{}}
	if err := t.publishRootLocked(); err != nil {
		return nil, err
	}
	return t, t.publishLocked()
}

// Root is the first root metadata: what clients start from.
func (t *TUF) Root() []byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.roots[0]
}

// SetExpiry publishes everything anew with other expiry times, the root as a new version of itself.
func (t *TUF) SetExpiry(expiry TUFExpiry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expiry = expiry
	if err := t.publishRootLocked(); err != nil {
		return err
	}
	return t.publishLocked()
}

// SetTarget publishes another trusted root.
func (t *TUF) SetTarget(target []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.target = target
	return t.publishLocked()
}

func (t *TUF) signer(role string) (signature.Signer, *metadata.Key, error) {
	private := t.entropy.ed25519Key("tuf/" + role)
	signer, err := signature.LoadSigner(private, crypto.Hash(0))
	if err != nil {
		return nil, nil, fmt.Errorf("loading the key of the %s role: %w", role, err)
	}
	key, err := metadata.KeyFromPublicKey(private.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the key of the %s role: %w", role, err)
	}
	return signer, key, nil
}

// signMetadata signs with the role's key and renders.
func signMetadata[T metadata.Roles](t *TUF, role string, m *metadata.Metadata[T]) ([]byte, error) {
	signer, _, err := t.signer(role)
	if err != nil {
		return nil, err
	}
	if _, err := m.Sign(signer); err != nil {
		return nil, fmt.Errorf("signing the %s metadata: %w", role, err)
	}
	return m.ToBytes(false)
}

// publishRootLocked adds the next version of the root. The keys stay the same.
func (t *TUF) publishRootLocked() error {
	root := metadata.Root(t.expiry.Root)
	root.Signed.Version = int64(len(t.roots)) + 1
	for _, role := range []string{metadata.ROOT, metadata.TARGETS, metadata.SNAPSHOT, metadata.TIMESTAMP} {
		_, key, err := t.signer(role)
		if err != nil {
			return err
		}
		if err := root.Signed.AddKey(key, role); err != nil {
			return fmt.Errorf("adding the key of the %s role: %w", role, err)
		}
	}
	raw, err := signMetadata(t, metadata.ROOT, root)
	if err != nil {
		return err
	}
	t.roots = append(t.roots, raw)
	t.files[strconv.Itoa(len(t.roots))+".root.json"] = raw
	return nil
}

// publishLocked adds the next version of the other metadata.
func (t *TUF) publishLocked() error {
	t.version++
	targets := metadata.Targets(t.expiry.Targets)
	targets.Signed.Version = t.version
	info, err := metadata.TargetFile().FromBytes(trustedRootTarget, t.target, "sha256")
	if err != nil {
		return fmt.Errorf("describing %s: %w", trustedRootTarget, err)
	}
	targets.Signed.Targets[trustedRootTarget] = info
	targetsJSON, err := signMetadata(t, metadata.TARGETS, targets)
	if err != nil {
		return err
	}

	snapshot := metadata.Snapshot(t.expiry.Snapshot)
	snapshot.Signed.Version = t.version
	snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(t.version)
	snapshotJSON, err := signMetadata(t, metadata.SNAPSHOT, snapshot)
	if err != nil {
		return err
	}

	timestamp := metadata.Timestamp(t.expiry.Timestamp)
	timestamp.Signed.Version = t.version
	timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(t.version)
	timestampJSON, err := signMetadata(t, metadata.TIMESTAMP, timestamp)
	if err != nil {
		return err
	}

	sum := sha256.Sum256(t.target)
	t.files["targets/"+hex.EncodeToString(sum[:])+"."+trustedRootTarget] = t.target
	t.files[fmt.Sprintf("%d.targets.json", t.version)] = targetsJSON
	t.files[fmt.Sprintf("%d.snapshot.json", t.version)] = snapshotJSON
	t.files["timestamp.json"] = timestampJSON
	return nil
}

// handler serves the repository as plain files.
func (t *TUF) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		t.mu.RLock()
		body, ok := t.files[strings.TrimPrefix(q.URL.Path, "/")]
		t.mu.RUnlock()
		if !ok || q.Method != http.MethodGet {
			http.NotFound(w, q)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})
}
