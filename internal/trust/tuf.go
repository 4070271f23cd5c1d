package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

// targetName is the target that holds the trusted root in every Sigstore TUF repository.
const targetName = "trusted_root.json"

// maxRootMetadataBytes bounds the initial root metadata; go-tuf's own limit for later ones.
const maxRootMetadataBytes = 512_000

// repository is one TUF repository with its cache. It is go-tuf's updater rather than sigstore-go's client: that one
// reads the wall clock, hides when metadata expires, and goes online in every mode.
type repository struct {
	url     string
	initial []byte // initial root metadata
	dir     string // this repository's cache folder; empty: no cache
	now     time.Time
	fetcher *fetcher
}

// state is what the cache holds beside go-tuf's files.
type state struct {
	// RefreshedAt is when the repository last confirmed the metadata.
	RefreshedAt time.Time `json:"refreshed_at"`
	// Root is the newest root metadata that was verified, the start of the next update (TUF specification §5.2).
	// go-tuf overwrites its own copy with the initial one at each start.
	Root []byte `json:"root"`
}

func loadTUF(ctx context.Context, src Source, opts Options) (*Root, error) {
	if opts.Client == nil {
		return nil, fmt.Errorf("trusted root from %s: no HTTP client was given", src.TUF)
	}
	if u, err := url.Parse(src.TUF); err != nil || u.Host == "" {
		return nil, fmt.Errorf("trusted root: %q is not the URL of a TUF repository", src.TUF)
	}
	initial := tuf.DefaultRoot()
	if src.RootFile != "" {
		var err error
		if initial, err = readCapped(src.RootFile, maxRootMetadataBytes); err != nil {
			return nil, fmt.Errorf("reading the initial TUF root of %s: %w", src.TUF, err)
		}
	}
	repo := &repository{
		url: strings.TrimSuffix(src.TUF, "/"), initial: initial, now: opts.Now().UTC(),
		fetcher: &fetcher{ctx: ctx, client: opts.Client},
	}
	if src.Cache != "" {
		// The initial root is part of the name: pinning another one must not inherit what the first one trusted.
		pin := sha256.Sum256(initial)
		repo.dir = filepath.Join(src.Cache, tuf.URLToPath(repo.url)+"-"+hex.EncodeToString(pin[:6]))
	}

	r, err := repo.online()
	if err == nil {
		return r, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("trusted root from %s: %w", repo.url, context.Cause(ctx))
	}
	// Only what could not be fetched falls back to the cache. What was fetched and did not verify is an attack or a
	// broken repository, and must be seen.
	if !unreachable(err) {
		return nil, fmt.Errorf("trusted root from %s: its TUF metadata does not verify: %w", repo.url, err)
	}
	r, cacheErr := repo.cached()
	if cacheErr != nil {
		return nil, fmt.Errorf("trusted root from %s: %w; and %w. To work offline, give a trusted_root.json file instead",
			repo.url, err, cacheErr)
	}
	opts.Logger.Warn("TUF repository unreachable: using the cached trusted root",
		"url", repo.url, "refreshed_at", r.FetchedAt, "expires_at", r.ExpiresAt, "error", err)
	return r, nil
}

// online updates from the repository, through the cache.
func (r *repository) online() (*Root, error) {
	start := r.initial
	if st, err := r.readState(); err == nil {
		start = st.Root
	}
	up, err := r.updater(start, false)
	if err != nil {
		return nil, err
	}
	if err := up.Refresh(); err != nil {
		return nil, r.explainExpiry(up, err)
	}
	raw, err := r.target(up)
	if err != nil {
		return nil, err
	}
	root, err := FromJSON(r.url, raw)
	if err != nil {
		return nil, err
	}
	if err := r.writeState(); err != nil {
		return nil, err
	}
	root.FetchedAt, root.ExpiresAt = r.now, expiry(up)
	return root, nil
}

// cached verifies what the cache holds, without network.
func (r *repository) cached() (*Root, error) {
	if r.dir == "" {
		return nil, errors.New("no cache folder is configured")
	}
	st, err := r.readState()
	if err != nil {
		return nil, fmt.Errorf("the cache has nothing to use: %w", err)
	}
	up, err := r.updater(st.Root, true)
	if err != nil {
		return nil, fmt.Errorf("reading the cache %s: %w", r.dir, err)
	}
	if err := up.Refresh(); err != nil {
		return nil, fmt.Errorf("the cached metadata of %s cannot be used: %w",
			st.RefreshedAt.Format(time.RFC3339), r.explainExpiry(up, err))
	}
	raw, err := r.target(up)
	if err != nil {
		return nil, fmt.Errorf("reading the cache %s: %w", r.dir, err)
	}
	root, err := FromJSON(r.url, raw)
	if err != nil {
		return nil, err
	}
	root.FetchedAt, root.ExpiresAt, root.Cached = st.RefreshedAt, expiry(up), true
	return root, nil
}

func (r *repository) updater(start []byte, local bool) (*updater.Updater, error) {
	cfg, err := config.New(r.url, start)
	if err != nil {
		return nil, err
	}
	cfg.Fetcher = r.fetcher
	cfg.LocalMetadataDir = r.dir
	cfg.LocalTargetsDir = filepath.Join(r.dir, "targets")
	cfg.DisableLocalCache = r.dir == ""
	cfg.UnsafeLocalMode = local
	up, err := updater.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("starting from the root metadata: %w", err)
	}
	// go-tuf calls this unsafe because it moves time. Here time has one source, and this is how it gets there.
	up.UnsafeSetRefTime(r.now)
	return up, nil
}

// target returns the trusted root, from the cache if its hash still fits.
func (r *repository) target(up *updater.Updater) ([]byte, error) {
	info, err := up.GetTargetInfo(targetName)
	if err != nil {
		return nil, fmt.Errorf("repository has no target %s: %w", targetName, err)
	}
	if info.Length > maxRootBytes {
		return nil, fmt.Errorf("target %s has %d bytes, more than the %d allowed", targetName, info.Length, maxRootBytes)
	}
	if path, raw, err := up.FindCachedTarget(info, ""); err == nil && path != "" {
		return raw, nil
	}
	_, raw, err := up.DownloadTarget(info, "", "")
	if err != nil {
		return nil, fmt.Errorf("fetching target %s: %w", targetName, err)
	}
	return raw, nil
}

// explainExpiry adds the times to go-tuf's "is expired".
func (r *repository) explainExpiry(up *updater.Updater, err error) error {
	if !errors.Is(err, &metadata.ErrExpiredMetadata{}) {
		return err
	}
	return fmt.Errorf("metadata expired on %s, and it is %s: %w",
		expiry(up).Format(time.RFC3339), r.now.Format(time.RFC3339), err)
}

// expiry is the earliest expiry of the metadata that was loaded.
func expiry(up *updater.Updater) time.Time {
	set := up.GetTrustedMetadataSet()
	first := set.Root.Signed.Expires
	earlier := func(t time.Time) {
		if t.Before(first) {
			first = t
		}
	}
	if set.Timestamp != nil {
		earlier(set.Timestamp.Signed.Expires)
	}
	if set.Snapshot != nil {
		earlier(set.Snapshot.Signed.Expires)
	}
	for _, t := range set.Targets {
		earlier(t.Signed.Expires)
	}
	return first
}

func (r *repository) statePath() string { return filepath.Join(r.dir, "state.json") }

func (r *repository) readState() (*state, error) {
	if r.dir == "" {
		return nil, errors.New("no cache folder is configured")
	}
	raw, err := readCapped(r.statePath(), 2*maxRootMetadataBytes)
	if err != nil {
		return nil, err
	}
	st := new(state)
	if err := json.Unmarshal(raw, st); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", r.statePath(), err)
	}
	return st, nil
}

// writeState replaces the state in one step, so that a kill leaves the old one or the new one.
func (r *repository) writeState() error {
	if r.dir == "" {
		return nil
	}
	// The updater has just written the newest verified root there.
	rootJSON, err := readCapped(filepath.Join(r.dir, metadata.ROOT+".json"), maxRootMetadataBytes)
	if err != nil {
		return fmt.Errorf("reading the TUF cache: %w", err)
	}
	raw, err := json.Marshal(state{RefreshedAt: r.now, Root: rootJSON})
	if err != nil {
		return fmt.Errorf("encoding the TUF state of %s: %w", r.url, err)
	}
	tmp, err := os.CreateTemp(r.dir, "state-*.tmp")
	if err != nil {
		return fmt.Errorf("writing the TUF cache: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // fails after the rename, as it should
	_, err = tmp.Write(raw)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("writing the TUF cache: %w", err)
	}
	if err := os.Rename(tmp.Name(), r.statePath()); err != nil {
		return fmt.Errorf("writing the TUF cache: %w", err)
	}
	return nil
}

// fetchError says that a file could not be had, as opposed to: it was had and is wrong.
type fetchError struct {
	url string
	err error
}

func (e *fetchError) Error() string { return fmt.Sprintf("fetching %s: %v", e.url, e.err) }
func (e *fetchError) Unwrap() error { return e.err }

func unreachable(err error) bool {
	var fetch *fetchError
	var status *metadata.ErrDownloadHTTP
	return errors.As(err, &fetch) || errors.As(err, &status)
}

// fetcher is go-tuf's way to the network. It lives for one load, which is why it may hold the context.
type fetcher struct {
	ctx    context.Context
	client Doer
}

// DownloadFile fetches one file of at most limit bytes. A status other than 200 is the error type by which go-tuf tells
// "no newer root" (404) from trouble. The time limit is the client's and the context's.
func (f *fetcher) DownloadFile(file string, limit int64, _ time.Duration) ([]byte, error) {
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, file, nil)
	if err != nil {
		return nil, &fetchError{file, err}
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, &fetchError{file, err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &metadata.ErrDownloadHTTP{StatusCode: resp.StatusCode, URL: file}
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, &fetchError{file, err}
	}
	if int64(len(raw)) > limit {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: fmt.Sprintf("%s has more than the %d bytes allowed", file, limit)}
	}
	return raw, nil
}

// readCapped reads a file of at most limit bytes.
func readCapped(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) > limit {
		return nil, fmt.Errorf("%s has more than the %d bytes allowed", path, limit)
	}
	return raw, nil
}
