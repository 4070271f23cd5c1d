package trust

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// tufRepo is a real TUF repository on loopback, with one key for every role.
type tufRepo struct {
	t       *testing.T
	key     ed25519.PrivateKey
	server  *httptest.Server
	initial string // path of the first root metadata

	mu     sync.Mutex
	files  map[string][]byte
	status int // answered to everything if not zero
}

func newTUFRepo(t *testing.T, target []byte) *tufRepo {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := &tufRepo{t: t, key: key, files: map[string][]byte{}}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.server.Close)

	root := r.root(1, now.AddDate(1, 0, 0))
	r.initial = filepath.Join(t.TempDir(), "1.root.json")
	if err := os.WriteFile(r.initial, root, 0o600); err != nil {
		t.Fatal(err)
	}
	r.publish(1, target, now.AddDate(0, 0, 7))
	return r
}

func (r *tufRepo) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, ok := r.files[strings.TrimPrefix(req.URL.Path, "/")]
	switch {
	case r.status != 0:
		w.WriteHeader(r.status)
	case !ok:
		http.NotFound(w, req)
	default:
		_, _ = w.Write(body)
	}
}

func (r *tufRepo) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *tufRepo) put(files map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(r.files, files)
}

func sign[T metadata.Roles](r *tufRepo, m *metadata.Metadata[T]) []byte {
	r.t.Helper()
	signer, err := signature.LoadSigner(r.key, crypto.Hash(0))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := m.Sign(signer); err != nil {
		r.t.Fatal(err)
	}
	raw, err := m.ToBytes(false)
	if err != nil {
		r.t.Fatal(err)
	}
	return raw
}

func (r *tufRepo) root(version int64, expires time.Time) []byte {
	r.t.Helper()
	m := metadata.Root(expires)
	m.Signed.Version = version
	m.Signed.ConsistentSnapshot = true
	key, err := metadata.KeyFromPublicKey(r.key.Public())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, role := range []string{metadata.ROOT, metadata.TIMESTAMP, metadata.SNAPSHOT, metadata.TARGETS} {
		if err := m.Signed.AddKey(key, role); err != nil {
			r.t.Fatal(err)
		}
	}
	return sign(r, m)
}

// publish makes a version of timestamp, snapshot and targets, with the timestamp expiring first.
func (r *tufRepo) publish(version int64, target []byte, expires time.Time) {
	r.t.Helper()
	targets := metadata.Targets(now.AddDate(0, 6, 0))
	targets.Signed.Version = version
	info, err := metadata.TargetFile().FromBytes(targetName, target, "sha256")
	if err != nil {
		r.t.Fatal(err)
	}
	targets.Signed.Targets[targetName] = info
	snapshot := metadata.Snapshot(now.AddDate(0, 6, 0))
	snapshot.Signed.Version = version
	snapshot.Signed.Meta["targets.json"] = metadata.MetaFile(version)
	timestamp := metadata.Timestamp(expires)
	timestamp.Signed.Version = version
	timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(version)

	sum := sha256.Sum256(target)
	v := string(rune('0' + version))
	r.put(map[string][]byte{
		v + ".targets.json":  sign(r, targets),
		v + ".snapshot.json": sign(r, snapshot),
		"timestamp.json":     sign(r, timestamp),
		"targets/" + hex.EncodeToString(sum[:]) + "." + targetName: target,
	})
}

func (r *tufRepo) load(cache string, at time.Time) (*Root, error) {
	r.t.Helper()
	set, err := Load(r.t.Context(), []Source{{TUF: r.server.URL, RootFile: r.initial, Cache: cache}},
		Options{Now: func() time.Time { return at }, Client: r.server.Client()})
	if err != nil {
		return nil, err
	}
	return &set.Roots[0], nil
}

func TestTUFRootIsFetchedVerifiedAndItsExpiryKnown(t *testing.T) {
	target := trustedRoot(t, nil)
	repo := newTUFRepo(t, target)
	for _, cache := range []string{"", t.TempDir()} {
		r, err := repo.load(cache, now)
		if err != nil {
			t.Fatal(err)
		}
		if string(r.JSON) != string(target) || r.Source != repo.server.URL || r.Cached {
			t.Errorf("cache %q: got %d bytes from %s, cached %v", cache, len(r.JSON), r.Source, r.Cached)
		}
		if !r.ExpiresAt.Equal(now.AddDate(0, 0, 7)) || !r.FetchedAt.Equal(now) {
			t.Errorf("cache %q: expires %v, fetched %v", cache, r.ExpiresAt, r.FetchedAt)
		}
	}
}

func TestTUFFollowsRootRotationAndNewTargets(t *testing.T) {
	repo := newTUFRepo(t, trustedRoot(t, nil))
	cache := t.TempDir()
	if _, err := repo.load(cache, now); err != nil {
		t.Fatal(err)
	}
	newer := trustedRoot(t, nil)
	repo.put(map[string][]byte{"2.root.json": repo.root(2, now.AddDate(2, 0, 0))})
	repo.publish(2, newer, now.AddDate(0, 0, 14))
	r, err := repo.load(cache, now.AddDate(0, 0, 8))
	if err != nil {
		t.Fatal(err)
	}
	if string(r.JSON) != string(newer) {
		t.Error("the old target was returned after a new one was published")
	}
	// The rotated root is kept: it verifies offline what the first one could not have known.
	repo.answer(http.StatusBadGateway)
	if r, err = repo.load(cache, now.AddDate(0, 0, 9)); err != nil || !r.Cached {
		t.Errorf("cached root after rotation: %+v, %v", r, err)
	}
}

func TestUnreachableRepositoryFallsBackToAnUnexpiredCache(t *testing.T) {
	target := trustedRoot(t, nil)
	repo := newTUFRepo(t, target)
	cache := t.TempDir()
	if _, err := repo.load(cache, now); err != nil {
		t.Fatal(err)
	}
	repo.answer(http.StatusServiceUnavailable)
	later := now.AddDate(0, 0, 3)
	r, err := repo.load(cache, later)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Cached || !r.FetchedAt.Equal(now) || string(r.JSON) != string(target) {
		t.Errorf("cached %v, fetched %v", r.Cached, r.FetchedAt)
	}

	_, err = repo.load(cache, now.AddDate(0, 0, 8))
	if err == nil {
		t.Fatal("metadata that expired yesterday was used")
	}
	for _, want := range []string{repo.server.URL, "503", "expired on 2026-12-01T12:00:00Z", "trusted_root.json file instead"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
	if _, err = repo.load("", later); err == nil || !strings.Contains(err.Error(), "no cache folder is configured") {
		t.Errorf("without a cache: %v", err)
	}
	if _, err = repo.load(t.TempDir(), later); err == nil || !strings.Contains(err.Error(), "the cache has nothing to use") {
		t.Errorf("with an empty cache: %v", err)
	}
}

func TestTUFMetadataThatDoesNotVerifyNeverFallsBackToTheCache(t *testing.T) {
	tests := map[string]struct {
		attack func(t *testing.T, r *tufRepo)
		want   string
	}{
		"signed by another key": {func(t *testing.T, r *tufRepo) {
			_, other, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			r.key = other
			r.publish(3, trustedRoot(t, nil), now.AddDate(0, 0, 7))
		}, "does not verify"},
		"rolled back": {func(t *testing.T, r *tufRepo) {
			r.publish(1, trustedRoot(t, nil), now.AddDate(0, 0, 7))
		}, "does not verify"},
		"changed target": {func(t *testing.T, r *tufRepo) {
			evil := trustedRoot(t, nil)
			r.publish(3, evil, now.AddDate(0, 0, 7))
			sum := sha256.Sum256(evil)
			r.put(map[string][]byte{"targets/" + hex.EncodeToString(sum[:]) + "." + targetName: trustedRoot(t, nil)})
		}, "does not verify"},
		"endless file": {func(t *testing.T, r *tufRepo) {
			r.put(map[string][]byte{"timestamp.json": make([]byte, 1<<20)})
		}, "bytes allowed"},
		"served expired": {func(t *testing.T, r *tufRepo) {
			r.publish(3, trustedRoot(t, nil), now.AddDate(0, 0, -1))
		}, "expired on 2026-11-23"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			repo := newTUFRepo(t, trustedRoot(t, nil))
			repo.publish(2, trustedRoot(t, nil), now.AddDate(0, 0, 7))
			cache := t.TempDir()
			if _, err := repo.load(cache, now); err != nil {
				t.Fatal(err)
			}
			tt.attack(t, repo)
			r, err := repo.load(cache, now)
			if err == nil {
				t.Fatalf("accepted: %+v", r)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
		})
	}
}

func TestAnotherInitialRootDoesNotInheritTheCache(t *testing.T) {
	repo := newTUFRepo(t, trustedRoot(t, nil))
	cache := t.TempDir()
	if _, err := repo.load(cache, now); err != nil {
		t.Fatal(err)
	}
	stranger := newTUFRepo(t, trustedRoot(t, nil))
	repo.initial = stranger.initial
	if _, err := repo.load(cache, now); err == nil || !strings.Contains(err.Error(), "does not verify") {
		t.Errorf("metadata of a root that is no longer pinned: %v", err)
	}
}

func TestRepositoryThatIsNotThereNamesTheURL(t *testing.T) {
	repo := newTUFRepo(t, trustedRoot(t, nil))
	repo.server.Close()
	_, err := repo.load(t.TempDir(), now)
	if err == nil {
		t.Fatal("loaded from a closed server")
	}
	for _, want := range []string{"fetching " + repo.server.URL + "/2.root.json", "connection refused", "trusted_root.json file instead"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}
