package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/notify"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// childEnv holds a child's wiring, as JSON.
const childEnv = "REKONCILE_AUDIT_TEST_CHILD"

// TestChild is the process that the kill tests start and kill: one deep pass and one delivery, as `monitor once` makes
// them. Its clock stands still, so that who repeats it writes the same instants.
func TestChild(t *testing.T) {
	text := os.Getenv(childEnv)
	if text == "" {
		t.Skip("the kill tests run it in a process of its own")
	}
	var with wiring
	if err := json.Unmarshal([]byte(text), &with); err != nil {
		t.Fatal(err)
	}
	if err := childPass(t.Context(), with); err != nil {
		t.Fatal(err)
	}
}

func childPass(ctx context.Context, with wiring) (err error) {
	c := clock.NewSimulated(with.Now)
	lock, err := db.TakeLock(ctx, with.Database, c, 0, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	m, err := wire(ctx, with, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	if with.Rekor != "" {
		return childRekor1(ctx, m, with)
	}
	if _, err := m.projectsOnce(ctx, audit.Options{Deep: true}); err != nil {
		return err
	}
	slack, err := notify.NewSlack(with.Slack, &http.Client{Timeout: 30 * time.Second})
	if err != nil {
		return err
	}
	worker := &notify.Worker{Outbox: m.record, Channels: []notify.Channel{slack}, Clock: c, Logger: slog.New(slog.DiscardHandler)}
	deliveries, err := worker.Deliver(ctx)
	if err == nil && deliveries[0].Pending > 0 {
		err = fmt.Errorf("%d messages are still pending: %s", deliveries[0].Pending, deliveries[0].Problem)
	}
	return err
}

// child starts a pass in a process of its own, whose environment has env too.
func child(t *testing.T, with wiring, env ...string) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(with)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.v")
	// The race detector would have each child wait a second before it ends.
	cmd.Env = append(append(os.Environ(), childEnv+"="+string(text), "GORACE=atexit_sleep_ms=0"), env...)
	cmd.Stdout = new(strings.Builder)
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// ended waits for a child and reports whether it was killed. Any other failure is the test's.
func ended(t *testing.T, cmd *exec.Cmd) (killed bool) {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return false
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL:
		return true
	}
	t.Fatalf("the child: %v\n%s", err, cmd.Stdout)
	return false
}

// chapter is one pass in the story of the kill tests: what happens before it, and when it is.
type chapter struct {
	name  string
	now   time.Time
	event func(t *testing.T, w *sandbox.World)
	// root changes the trusted root, so that everything is verified again.
	root func([]byte) []byte
	// opens are the rules of the findings that the pass must open, in the order of their messages.
	opens []string
}

// plot is the story of the kill tests: a small project, of which the passes have to record something of every kind. No file
// is removed in it: a pass that is killed and made again looks at the listing twice, and so confirms a removal earlier.
func plot() []chapter {
	names := []string{"unsigned", "other-digest", "pr-build", "served-bytes", "late-file", "provenance-replaced", "file-replaced", "weekly-by-hand"}
	let := func(steps ...func(sandbox.Case) func(*sandbox.World) error) func(*testing.T, *sandbox.World) {
		return func(t *testing.T, w *sandbox.World) {
			s := story{world: w, cases: cases(t, names...), digests: map[string]string{}}
			for _, step := range steps {
				s.do(t, step)
			}
		}
	}
	first := func(c sandbox.Case) func(*sandbox.World) error {
		if c.Passes == 1 {
			return c.Apply
		}
		return c.Prepare
	}
	second := func(c sandbox.Case) func(*sandbox.World) error {
		if c.Passes == 1 {
			return nil
		}
		return c.Apply
	}
	same := func(root []byte) []byte { return root }
	return []chapter{
		{"first sight", start.Add(time.Hour), let(first), same, []string{"digest-mismatch", "digest-mismatch", "wrong-grade"}},
		{"changes", start.Add(5 * time.Hour), let(second), same, []string{"file-replaced", "no-provenance", "provenance-replaced"}},
		{"new trusted root", start.Add(6 * time.Hour), let(), func(root []byte) []byte { return append(root, '\n') }, nil},
	}
}

// places are the failpoints that the story must pass.
var places = []string{
	"audit/bundle-committed", "audit/collected", "audit/deep-check-committed", "audit/listing-committed", "audit/provenance-committed",
	"audit/repository-committed", "audit/run-committed", "audit/settled", "audit/store-committed", "audit/verification-committed",
	"db/attempt-uncommitted", "db/bundle-uncommitted", "db/delivery-uncommitted", "db/findings-uncommitted", "db/listing-uncommitted", "db/provenance-uncommitted", "db/repository-uncommitted", "db/run-uncommitted", "db/store-uncommitted",
	"notify/attempt-noted", "notify/delivery-noted", "notify/sent-not-noted",
}

// undisturbed is a pass that nothing disturbed: what it left, what it said, and which failpoints it passed.
type undisturbed struct {
	with     wiring // its Database is what the pass found; empty path for none
	record   []string
	messages []string
	passed   []string
}

// repeatable leaves out what a repeated pass may count differently.
func repeatable(table, column string) bool { return table == "outbox" && column == "attempts" }

// chapters runs the story without disturbance, and calls attack after each pass with what it left. The world stays as it is
// meanwhile.
func chapters(t *testing.T, seed uint64, attack func(t *testing.T, w *sandbox.World, u undisturbed)) {
	w, c := newWorld(t, seed, emptyProjects)
	dir := t.TempDir()
	before, passed := "", map[string]bool{}
	for i, ch := range plot() {
		c.AdvanceTo(ch.now.Add(-30 * time.Minute))
		ch.event(t, w)
		with := wiring{Index: w.PyPI.URL(), GitHub: w.GitHub.URL(), Runs: true, Slack: w.Slack.WebhookURL(), TrustedRoot: ch.root(w.TrustedRootJSON()), Now: ch.now}
		u := undisturbed{with: with}
		u.with.Database = before
		with.Database = filepath.Join(dir, fmt.Sprintf("undisturbed-%d.db", i))
		u.inherit(t, with.Database)
		log, heard := filepath.Join(dir, fmt.Sprintf("passed-%d", i)), len(w.Slack.Messages())
		if ended(t, child(t, with, failpoint.EnvLog+"="+log)) {
			t.Fatal("a pass that nobody wanted to kill was killed")
		}
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		u.passed = strings.Fields(string(text))
		for _, name := range u.passed {
			passed[name] = true
		}
		for _, m := range w.Slack.Messages()[heard:] {
			u.messages = append(u.messages, m.Text)
		}
		// What one rule finds in files of one release is one message.
		if !slices.EqualFunc(u.messages, slices.Compact(slices.Clone(ch.opens)), func(text, rule string) bool { return strings.HasPrefix(text, "New finding: "+rule+" (") }) {
			t.Fatalf("%s: messages %q, want one about each of %q", ch.name, u.messages, ch.opens)
		}
		u.record = dump(t, with.Database, repeatable)
		t.Run(ch.name, func(t *testing.T) { attack(t, w, u) })
		before = with.Database
	}
	for _, name := range places {
		if !passed[name] {
			t.Errorf("no pass came by the failpoint %s", name)
		}
	}
}

// inherit copies the record that the pass found, where there was one.
func (u undisturbed) inherit(t *testing.T, path string) {
	t.Helper()
	if u.with.Database != "" {
		copyRecord(t, u.with.Database, path)
	}
}

// survive makes the pass again on the record that it found: kill makes attempts that do not come to an end, then one more
// does. What is left and said must be what the undisturbed pass left and said. It returns how many messages came again.
func (u undisturbed) survive(t *testing.T, w *sandbox.World, kill func(with wiring)) (repeats int) {
	t.Helper()
	with := u.with
	with.Database = filepath.Join(t.TempDir(), "monitor.db")
	u.inherit(t, with.Database)
	heard := len(w.Slack.Messages())
	kill(with)
	if ended(t, child(t, with)) {
		t.Fatal("the last pass was killed")
	}
	sameRecord(t, "after a kill", dump(t, with.Database, repeatable), u.record)

	var messages []string
	for _, m := range w.Slack.Messages()[heard:] {
		if n := len(messages); n > 0 && messages[n-1] == m.Text {
			repeats++
			if !strings.Contains(string(m.Body), "sent again") {
				t.Errorf("a message came twice, and the second does not say that it may be a repeat: %s", m.Body)
			}
			continue
		}
		messages = append(messages, m.Text)
	}
	if diff := cmp.Diff(u.messages, messages); diff != "" {
		t.Errorf("messages (-undisturbed +killed):\n%s", diff)
	}
	return repeats
}

func TestKilledAtEveryFailpointEndsInTheSameRecord(t *testing.T) {
	kills(t)
	t.Parallel()
	chapters(t, 11, func(t *testing.T, w *sandbox.World, u undisturbed) {
		count := map[string]int{}
		for _, name := range u.passed {
			count[name]++
			place := fmt.Sprintf("%s:%d", name, count[name])
			t.Run(place, func(t *testing.T) {
				repeats := u.survive(t, w, func(with wiring) {
					if !ended(t, child(t, with, failpoint.EnvKill+"="+place)) {
						t.Error("it was not killed")
					}
				})
				want := 0
				if name == "notify/sent-not-noted" || name == "db/delivery-uncommitted" {
					want = 1
				}
				if repeats != want {
					t.Errorf("%d messages came twice, want %d", repeats, want)
				}
			})
		}
	})
}

func TestKilledAtRandomMomentsEndsInTheSameRecord(t *testing.T) {
	kills(t)
	t.Parallel()
	const kills = 10 // a chapter
	random := rand.New(rand.NewPCG(12, 12))
	killed := 0
	chapters(t, 12, func(t *testing.T, w *sandbox.World, u undisturbed) {
		began := clock.Real().Now()
		u.survive(t, w, func(wiring) {})
		whole := clock.Real().Now().Sub(began)
		u.survive(t, w, func(with wiring) {
			for range kills {
				cmd := child(t, with)
				// The moment is the point: there is nothing to wait for.
				if err := clock.Sleep(t.Context(), clock.Real(), time.Duration(random.Int64N(int64(whole)))); err != nil {
					t.Fatal(err)
				}
				if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Fatal(err)
				}
				if ended(t, cmd) {
					killed++
				}
			}
		})
	})
	if killed == 0 {
		t.Error("every process was faster than its killer")
	}
}

// kills marks a test that kills the program at many places. With the race detector it is left out: where a kill leaves the
// record is no matter of races, and each child takes ten times as long.
func kills(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("it kills many processes; it is run without the race detector")
	}
}
