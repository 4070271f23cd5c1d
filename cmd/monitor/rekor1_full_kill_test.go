package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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

// fullWorld is a world whose Rekor v1 has 4,000 entries in its active shard, some of them in the project's name.
func fullWorld(t *testing.T) *sandbox.World {
	t.Helper()
	world := startWorld(t)
	var plants []sandbox.RekorPlant
	for i := uint64(100); i < 4000; i += 250 {
		claims := sandbox.ReleaseClaims("1.23.0")
		claims.Workflow = "evil.yml"
		plants = append(plants, sandbox.RekorPlant{Plant: sandbox.Plant{At: i, Claims: claims}})
	}
	if _, err := world.PlantRekor(4000, world.Now(), world.Now().Add(time.Hour), plants...); err != nil {
		t.Fatal(err)
	}
	return world
}

// newFullFolder is a folder in which the program reads all of that shard, and of those that follow it.
func newFullFolder(t *testing.T, world *sandbox.World) follower {
	t.Helper()
	f := follower{t.TempDir()}
	text := logsConfig(world, "trusted_root: trusted_root.json")
	text = bytes.Replace(text, []byte("  each:\n"), []byte("  ct: off\n  rekor_v1: {mode: full}\n  rekor_v2: {mode: off}\n  each:\n"), 1)
	text = bytes.Replace(text, []byte("  start: zero\n"), fmt.Appendf(nil, "  start: %d\n", world.Rekor.Active().Offset()), 1)
	for name, body := range map[string][]byte{"trusted_root.json": world.TrustedRootJSON(), "config.yaml": text} {
		if err := os.WriteFile(filepath.Join(f.dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// fullPoints are the failpoints at which following a shard is killed.
var fullPoints = []string{
	"audit/shards-kept", "audit/shards-kept:2", "db/shards-uncommitted", "tlog/begun", "tlog/begun:3", "db/batch-uncommitted", "tlog/batch-committed",
	"tlog/batch-committed:2", "db/batch-uncommitted:3", "db/proof-uncommitted", "tlog/proven", "tlog/proven:2", "tlog/misbehaviour-kept", "audit/logs-settled", "db/findings-uncommitted",
}

// TestAFullTailKilledAnywhereLosesNothing kills the program while it follows the shards of a Rekor v1 that grows and is rotated:
// at each failpoint that it passes, once while the log lies, and at random moments. Nothing may be lost, nothing be there twice,
// and the record must end as that of a run which nobody disturbed.
func TestAFullTailKilledAnywhereLosesNothing(t *testing.T) {
	kills(t)
	world := fullWorld(t)
	args := []string{"follow", "--once", "--log-level", "error"}
	for _, p := range pointsOfAFullTail(t, world, args) {
		if !slices.ContainsFunc(fullPoints, func(point string) bool { return strings.HasPrefix(point, p) }) {
			t.Errorf("it is not killed at %s, which it passes", p)
		}
	}
	f := newFullFolder(t, world)
	random := mathrand.New(mathrand.NewPCG(7, 8))
	rounds := 35
	if testing.Short() {
		rounds = len(fullPoints) + 5
	}
	killed := 0
	for i := range rounds {
		mend := func() {}
		cmd := f.command(args...)
		if i < len(fullPoints) {
			f = newFullFolder(t, world) // each point is passed by a run that has all of it before it
			cmd = f.command(args...)
			cmd.Env = append(os.Environ(), failpoint.EnvKill+"="+fullPoints[i])
			if fullPoints[i] == "tlog/misbehaviour-kept" {
				var err error
				if mend, err = world.Rekor.Active().Tell(sandbox.SwappedLeaves, 3200); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if i >= len(fullPoints) {
			if err := clock.Sleep(t.Context(), clock.Real(), time.Duration(random.IntN(300_000))*time.Microsecond); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Process.Kill() // it may have ended already
		}
		err := cmd.Wait()
		mend()
		var exit *exec.ExitError
		switch {
		case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
			killed++
		case i < len(fullPoints):
			t.Errorf("it was not killed at %s: %v", fullPoints[i], err)
		case err != nil:
			t.Fatalf("round %d: %v", i, err)
		}
		if i < len(fullPoints) {
			if out, err := f.command(args...).CombinedOutput(); err != nil {
				t.Fatalf("after %s: %v\n%s", fullPoints[i], err, out)
			}
			sameTail(t, "after "+fullPoints[i], world, f)
		}
		growFullTail(t, world, i-len(fullPoints), random)
	}
	if out, err := f.command(args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("killed %d times in %d rounds, %d shards", killed, rounds, len(world.Rekor.Shards()))
	if killed < len(fullPoints) {
		t.Errorf("only %d of %d rounds were killed", killed, rounds)
	}
	sameTail(t, "at the end", world, f)
	undisturbed := newFullFolder(t, world)
	if out, err := undisturbed.command(append(args, "--from", fmt.Sprint(world.Rekor.Shards()[2].Offset()))...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if diff := cmp.Diff(undisturbed.found(t), f.found(t)); diff != "" {
		t.Errorf("(- undisturbed, + killed)\n%s", diff)
	}
}

// growFullTail adds to the log after a round of random kills, and rotates it once.
func growFullTail(t *testing.T, world *sandbox.World, round int, random *mathrand.Rand) {
	t.Helper()
	if round < 0 {
		return
	}
	if round == 3 {
		if _, err := world.Rekor.Rotate(0); err != nil {
			t.Fatal(err)
		}
		claims := sandbox.ReleaseClaims("1.23.1")
		if _, err := world.PlantRekor(40, world.Now(), world.Now(), sandbox.RekorPlant{Plant: sandbox.Plant{At: 7, Claims: claims}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := world.Rekor.AddBulk(uint64(random.IntN(200)), world.Now(), world.Now()); err != nil {
		t.Fatal(err)
	}
}

// sameTail demands that the record has all of the shards, proven, and nothing that fsck takes offence at.
func sameTail(t *testing.T, when string, world *sandbox.World, f follower) {
	t.Helper()
	out, err := f.command("status", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var status statusAnswer
	if err := json.Unmarshal(out, &status); err != nil {
		t.Fatal(err)
	}
	hits := 0
	for _, shard := range world.Rekor.Shards()[2:] {
		i := slices.IndexFunc(status.Logs, func(l logStatus) bool { return l.Origin == shard.Origin() })
		if i < 0 || status.Logs[i].Proven != shard.Size() || status.Logs[i].Read != shard.Size() || len(status.Logs[i].Incidents) > 0 {
			t.Errorf("%s: of %s with %d entries the record has %+v", when, shard.Origin(), shard.Size(), status.Logs)
		}
		hits++
	}
	if got, want := len(f.found(t)), 15+hits; got != want { // 16 in the first shard, one in the second
		t.Errorf("%s: %d entries were found, want %d", when, got, want)
	}
	if out, err := f.command("fsck").CombinedOutput(); err != nil {
		t.Errorf("%s: fsck: %v\n%s", when, err, out)
	}
}

// pointsOfAFullTail are the failpoints of shards and their followers that a run passes which nobody disturbs.
func pointsOfAFullTail(t *testing.T, world *sandbox.World, args []string) []string {
	t.Helper()
	f := newFullFolder(t, world)
	cmd := f.command(args...)
	log := filepath.Join(f.dir, "failpoints")
	cmd.Env = append(os.Environ(), failpoint.EnvLog+"="+log)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	passed := strings.Fields(string(text))
	passed = slices.DeleteFunc(passed, func(name string) bool {
		return !strings.HasPrefix(name, "tlog/") && !strings.Contains(name, "shards") && !strings.HasPrefix(name, "db/batch") && !strings.HasPrefix(name, "db/proof")
	})
	slices.Sort(passed)
	return slices.Compact(passed)
}
