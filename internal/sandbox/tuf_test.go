package sandbox

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
)

func fetchTrustedRoot(t *testing.T, w *World, cache string) ([]byte, error) {
	t.Helper()
	c, err := tuf.New(tuf.DefaultOptions().WithRoot(w.TUF.Root()).WithRepositoryBaseURL(w.TUF.URL()).WithCachePath(cache))
	if err != nil {
		return nil, err
	}
	return c.GetTarget("trusted_root.json")
}

func TestSigstoresUpdateClientFindsTheTrustedRoot(t *testing.T) {
	w := startedWorld(t)
	cache := t.TempDir()
	got, err := fetchTrustedRoot(t, w, cache)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, w.TrustedRootJSON()) {
		t.Error("the target is not the world's trusted root")
	}
	if _, err := root.NewTrustedRootFromJSON(got); err != nil {
		t.Errorf("the target is not a trusted root: %v", err)
	}

	// What is published later is found by those who already have the first.
	if err := w.TUF.SetTarget([]byte("{}")); err != nil {
		t.Fatal(err)
	}
	if got, err = fetchTrustedRoot(t, w, cache); err != nil || string(got) != "{}" {
		t.Errorf("after an update: %q, %v", got, err)
	}
}

func TestExpiredMetadataIsRefused(t *testing.T) {
	far := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	past := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
	for role, expiry := range map[string]TUFExpiry{
		"root.json":      {past, far, far, far},
		"new targets":    {far, past, far, far}, // go-tuf names a delegation, not a file
		"snapshot.json":  {far, far, past, far},
		"timestamp.json": {far, far, far, past},
	} {
		t.Run(role, func(t *testing.T) {
			w := startedWorld(t)
			if err := w.TUF.SetExpiry(expiry); err != nil {
				t.Fatal(err)
			}
			_, err := fetchTrustedRoot(t, w, t.TempDir())
			if err == nil || !strings.Contains(err.Error(), role+" is expired") {
				t.Errorf("got %v, want %s is expired", err, role)
			}
		})
	}
}
