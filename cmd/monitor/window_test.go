package main

import (
	"bytes"
	"encoding/json"
	"errors"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// windowWorld is a world whose Rekor v1 has 3,000 entries, an hour's, some of them in the project's name, and a folder in which
// the program reads windows of it.
func windowWorld(t *testing.T) (world *sandbox.World, f follower) {
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
	var plants []sandbox.RekorPlant
	for i := uint64(100); i < 3000; i += 250 {
		claims := sandbox.ReleaseClaims("1.23.0")
		claims.Workflow = "evil.yml"
		plants = append(plants, sandbox.RekorPlant{Plant: sandbox.Plant{At: i, Claims: claims}})
	}
	if _, err := world.PlantRekor(3000, world.Now(), world.Now().Add(time.Hour), plants...); err != nil {
		t.Fatal(err)
	}
	return world, newWindowFolder(t, world)
}

func newWindowFolder(t *testing.T, world *sandbox.World) follower {
	t.Helper()
	f := follower{t.TempDir()}
	text := bytes.Replace(logsConfig(world, "trusted_root: trusted_root.json"), []byte("  each:\n"), []byte("  rekor_v1: {mode: window}\n  rekor_v2: {mode: off}\n  each:\n"), 1)
	for name, body := range map[string][]byte{"trusted_root.json": world.TrustedRootJSON(), "config.yaml": text} {
		if err := os.WriteFile(filepath.Join(f.dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// windowArgs ask for most of the hour.
var windowArgs = []string{"window", "--from", "2026-11-02T09:05:00Z", "--to", "2026-11-02T09:50:00Z", "--yes", "--log-level", "error"}

// TestAWindowKilledAnywhereLosesNothing kills the program at each failpoint that reading a window passes, and at random moments,
// has a log that lies among them, and compares with a run that nobody disturbed.
func TestAWindowKilledAnywhereLosesNothing(t *testing.T) {
	kills(t)
	world, undisturbed := windowWorld(t)
	if out, err := undisturbed.command(windowArgs...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := undisturbed.found(t)
	if len(want) < 9 {
		t.Fatalf("only %d entries were found", len(want))
	}
	f := newWindowFolder(t, world)
	shard := world.Rekor.Active()
	random := mathrand.New(mathrand.NewPCG(5, 6))
	points := []string{"audit/shards-kept", "db/shards-uncommitted", "audit/windows-queued", "db/windows-uncommitted", "audit/window-opened", "audit/window-advanced",
		"audit/window-advanced:3", "db/window-uncommitted", "audit/window-proven", "db/window-proof-uncommitted", "db/window-void-uncommitted", "audit/window-voided"}
	passed := pointsPassed(t, world)
	for _, p := range passed {
		if !slices.ContainsFunc(points, func(point string) bool { return strings.HasPrefix(point, p) }) {
			t.Errorf("it is not killed at %s, which it passes", p)
		}
	}
	rounds := 60
	if testing.Short() {
		rounds = 20
	}
	killed := 0
	for i := range rounds {
		cmd := f.command(windowArgs...)
		mend := func() {}
		if i < len(points) {
			cmd.Env = append(os.Environ(), failpoint.EnvKill+"="+points[i])
			switch points[i] {
			case "db/shards-uncommitted", "db/windows-uncommitted": // passed by a record's first run alone
				f = newWindowFolder(t, world)
				cmd.Dir = f.dir
			case "db/window-void-uncommitted", "audit/window-voided":
				f = newWindowFolder(t, world) // in the one before, the window is proven by now
				cmd.Dir = f.dir
				var err error
				if mend, err = shard.Tell(sandbox.SwappedLeaves, 2200); err != nil {
					t.Fatal(err)
				}
			}
		} else if random.IntN(3) == 0 {
			f = newWindowFolder(t, world)
			cmd.Dir = f.dir
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if i >= len(points) {
			if err := clock.Sleep(t.Context(), clock.Real(), time.Duration(random.IntN(150_000))*time.Microsecond); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Process.Kill() // it may have ended already
		}
		err := cmd.Wait()
		mend()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
			killed++
		} else if i < len(points) {
			t.Errorf("it was not killed at %s: %v", points[i], err)
		} else if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if out, err := f.command("fsck").CombinedOutput(); err != nil {
			if _, statErr := os.Stat(filepath.Join(f.dir, "monitor.db")); statErr == nil {
				t.Fatalf("round %d: fsck: %v\n%s", i, err, out)
			}
		}
		if i%10 == 9 || i == len(points)-1 {
			if out, err := f.command(windowArgs...).CombinedOutput(); err != nil {
				t.Fatalf("round %d: %v\n%s", i, err, out)
			}
			if diff := cmp.Diff(want, f.found(t)); diff != "" {
				t.Fatalf("round %d (- wanted, + got):\n%s", i, diff)
			}
		}
	}
	t.Logf("killed %d times in %d rounds", killed, rounds)
	if killed < rounds/3 {
		t.Errorf("only %d of %d rounds were killed", killed, rounds)
	}
}

// pointsPassed are the failpoints of windows and shards that a run passes which nobody disturbs.
func pointsPassed(t *testing.T, world *sandbox.World) []string {
	t.Helper()
	f := newWindowFolder(t, world)
	cmd := f.command(windowArgs...)
	log := filepath.Join(f.dir, "failpoints")
	cmd.Env = append(os.Environ(), failpoint.EnvLog+"="+log)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var passed []string
	for _, name := range strings.Fields(string(text)) {
		if strings.Contains(name, "window") || strings.Contains(name, "shards") {
			passed = append(passed, name)
		}
	}
	slices.Sort(passed)
	return slices.Compact(passed)
}

// TestAWindowThatIsInterruptedKeepsWhatItRead stops the program with SIGINT in the middle of a window.
func TestAWindowThatIsInterruptedKeepsWhatItRead(t *testing.T) {
	world, f := windowWorld(t)
	mend := world.Rekor.Break(sandbox.Fault{Path: "/api/v1/log/entries/retrieve", Stall: sandbox.StallBeforeHeaders})
	asked := len(world.Rekor.Requests())
	cmd := f.command(windowArgs...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := clock.Real().WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(world.Rekor.Requests()) == asked {
		if err := clock.Sleep(ctx, clock.Real(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its exit code tells
	if got := cmd.ProcessState.ExitCode(); got != exitUnknown {
		t.Errorf("it ends with %d", got)
	}
	mend()
	out, err := f.command(append(windowArgs, "--json")...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var answer windowAnswer
	if err := json.Unmarshal(out, &answer); err != nil || answer.Outcome != windowProven || len(answer.Windows) != 1 {
		t.Errorf("%v: %s", err, out)
	}
}

// TestAWindowBeginsOnceSomebodyAgreed answers the question that a terminal shows.
func TestAWindowBeginsOnceSomebodyAgreed(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, "n\n": false, "\n": false, "": false, "yesterday\n": false} {
		var asked strings.Builder
		a := &app{stdin: strings.NewReader(answer), stderr: &asked, errTerminal: true}
		estimate := windowEstimate{Entries: 136_000, Requests: 13_900, PerMinute: 60, Hours: 3.86}
		if got := a.agreed("reading it takes " + estimate.String()); got != want {
			t.Errorf("%q: %t", answer, got)
		}
		if want := "reading it takes 136000 entries, about 13900 requests: 3.9 hours at 60 a minute. Begin? [y/N] "; asked.String() != want {
			t.Errorf("it asked %q", asked.String())
		}
	}
}
