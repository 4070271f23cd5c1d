package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// watchedOutput is what a running program prints, for a test that waits for a line of it.
type watchedOutput struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{}
}

func newWatchedOutput() *watchedOutput { return &watchedOutput{written: make(chan struct{}, 1)} }

func (w *watchedOutput) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case w.written <- struct{}{}:
	default:
	}
	return w.text.Write(p)
}

// wait returns once a line matches, and forgets all that was printed until then.
func (w *watchedOutput) wait(t *testing.T, done <-chan int, pattern string) {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	ctx, cancel := clock.Real().WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		w.mu.Lock()
		text := w.text.String()
		found := re.MatchString(text)
		if found {
			w.text.Reset()
		}
		w.mu.Unlock()
		if found {
			return
		}
		select {
		case <-w.written:
		case <-ctx.Done():
			t.Fatalf("it does not print %s:\n%s", pattern, text)
		case code := <-done:
			t.Fatalf("it ended with %d and never printed %s:\n%s", code, pattern, text)
		}
	}
}

// startWorld is a world whose logs are all trusted.
func startWorld(t *testing.T) *sandbox.World {
	t.Helper()
	world, err := sandbox.New(sandbox.Options{TrustLogs: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := world.Start(); err != nil {
		t.Fatal(err)
	}
	return world
}

// TestNewShardsAreTakenUpWhileRunning has a log be opened, and another one end and grow all the same, while the program
// follows: it learns of both from the update repository.
func TestNewShardsAreTakenUpWhileRunning(t *testing.T) {
	world := startWorld(t)
	const host = "log2027-1.rekor.sandbox.example"
	var address sync.Map // the new shard's, once it has one
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		target, _ := address.Load(host)
		r.SetURL(target.(*url.URL))
	}})
	defer front.Close()
	plant := sandbox.Plant{At: 200, Claims: sandbox.ReleaseClaims("1.23.0")}
	if _, err := world.PlantRekor2(world.Rekor2, 300, plant); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := logsConfig(world, "tuf: "+world.TUF.URL()+", root_file: root.json, cache: tuf")
	text = bytes.Replace(text, []byte("  each:\n"), []byte("  each:\n    "+host+": {url: "+front.URL+", kind: rekor-v2}\n"), 1)
	for name, body := range map[string][]byte{"root.json": world.TUF.Root(), "config.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := newWatchedOutput()
	a := &app{stdin: strings.NewReader(""), stdout: out, stderr: io.Discard, clock: clock.Real()}
	done := make(chan int, 1)
	go func() {
		done <- a.run(ctx, []string{"follow", "-c", filepath.Join(dir, "config.yaml"), "--interval", "1s", "--refresh", "1s"})
	}()
	out.wait(t, done, `^log2026-1.rekor.sandbox.example \(rekor-v2\): 300 entries, read 0 to 300, proven to 300, 1 hit,`)

	shard, err := world.AddShard(sandbox.ShardOptions{Host: host, ECDSA: true})
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(shard.URL())
	if err != nil {
		t.Fatal(err)
	}
	address.Store(host, target)
	if _, err := world.PlantRekor2(shard, 400, plant); err != nil {
		t.Fatal(err)
	}
	out.wait(t, done, `^log2027-1.rekor.sandbox.example .*to 400, proven to 400,`)

	if err := world.Freeze(world.Rekor2.Ledger); err != nil {
		t.Fatal(err)
	}
	out.wait(t, done, `^log2026-1.rekor.sandbox.example .*proven to 300,`)
	if _, err := world.Rekor2.Tell(sandbox.GrowthAfterFreeze, 3); err != nil {
		t.Fatal(err)
	}
	out.wait(t, done, `^  MISBEHAVED: frozen-log-grew$`)
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// TestWitnessesWithConfiguredKeysAreRecorded has two witnesses, of which the configuration knows one.
func TestWitnessesWithConfiguredKeysAreRecorded(t *testing.T) {
	world := startWorld(t)
	known := world.Rekor2.AddWitness("witness.example.org")
	world.Rekor2.AddWitness("stranger.example.org")
	if _, err := world.PlantRekor2(world.Rekor2, 3); err != nil {
		t.Fatal(err)
	}
	f := follower{t.TempDir()}
	text := bytes.Replace(logsConfig(world, "trusted_root: trusted_root.json"), []byte("  each:\n"), []byte("  witnesses: ['"+known+"']\n  each:\n"), 1)
	for name, body := range map[string][]byte{"trusted_root.json": world.TrustedRootJSON(), "config.yaml": text} {
		if err := os.WriteFile(filepath.Join(f.dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := f.command("follow", "--once").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := f.command("status", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var answer statusAnswer
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	cosigners := map[string][]string{}
	for _, l := range answer.Logs {
		if len(l.Cosigners) > 0 {
			cosigners[l.Origin] = l.Cosigners
		}
	}
	want := map[string][]string{"log2026-1.rekor.sandbox.example": {"witness.example.org"}}
	if diff := cmp.Diff(want, cosigners); diff != "" {
		t.Error(diff)
	}
}

// TestTheWatchListHasAllThatTheConfigurationNames compares it with one that is made by hand.
func TestTheWatchListHasAllThatTheConfigurationNames(t *testing.T) {
	const key = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	cfg, err := config.Parse("monitor.yaml", []byte(`
projects:
  - name: widget
    pypi: [widget]
    repository: {name: example/widget, id: 77, owner_id: 78}
    also_watch: {emails: [release@example.org], owners: [example], key_fingerprints: [`+key+`]}
    grades: [{name: release, workflow: release.yml, refs: [refs/heads/main], triggers: [push], environment: pypi, publishes: widget}]
`), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := watchList(cfg)
	if err != nil {
		t.Fatal(err)
	}
	want, err := identity.NewWatchList([]identity.Watched{{Project: "widget", Repository: "example/widget", RepositoryID: "77",
		Owners: []string{"example"}, Emails: []string{"release@example.org"}, Keys: []string{key}}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Hash() != want.Hash() {
		t.Errorf("another watch list: %s, not %s", got.Hash(), want.Hash())
	}
}
