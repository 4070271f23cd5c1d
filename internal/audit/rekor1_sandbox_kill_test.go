package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// childRekor1 makes one pass over PyPI and one over Rekor v1, as `monitor once` does.
func childRekor1(ctx context.Context, m *monitor, with wiring) error {
	if _, err := m.projectsOnce(ctx, audit.Options{}); err != nil {
		return err
	}
	root, err := trust.FromJSON("sandbox", with.TrustedRoot)
	if err != nil {
		return err
	}
	roots := &trust.Set{Roots: []trust.Root{*root}}
	list, err := identity.NewWatchList([]identity.Watched{{Project: "onnx", Repository: "onnx/onnx"}})
	if err != nil {
		return err
	}
	keys, ids := rekor1Keys(roots)
	store, err := m.record.Rekor1(ctx, rekor1Name, with.Rekor, ids)
	if err != nil {
		return err
	}
	reader := &audit.Rekor1Reader{Clock: m.clock, Logger: slog.New(slog.DiscardHandler)}
	if _, err := reader.Read(ctx, audit.Rekor1Target{Name: rekor1Name, URL: with.Rekor, Keys: keys, Fetch: m.client, Store: store,
		Inspector: &audit.LeafInspector{Watch: list, Roots: roots}}); err != nil {
		return err
	}
	_, err = audit.SettleLogs(ctx, m.record, audit.NewRuleSet(nil), map[string]identity.Policy{"onnx": m.projects[0].Policy}, nil, m.clock.Now(), nil)
	return err
}

// rekor1Places are the failpoints that the story of this test must pass.
var rekor1Places = []string{
	"audit/contradiction-kept", "audit/entries-checked", "audit/entries-found", "audit/gossip-related", "audit/index-probed", "audit/logs-settled",
	"audit/misbehaviour-kept", "audit/search-answered", "audit/searches-planned", "audit/shards-kept",
	"db/checks-uncommitted", "db/found-uncommitted", "db/gossip-uncommitted", "db/plan-uncommitted", "db/shards-uncommitted",
}

// signedAnew leaves out what a log signs anew whenever it is asked.
func signedAnew(table, column string) bool {
	return column == "proof" || column == "raw" && table == "checkpoints" || table == "log_incidents" && column == "evidence" ||
		strings.HasPrefix(table, "finding") && column == "body"
}

// TestKilledWhileReadingRekor1EndsInTheSameRecord tells a story in four passes, kills each of them at every failpoint that it
// comes by, and makes it again.
func TestKilledWhileReadingRekor1EndsInTheSameRecord(t *testing.T) {
	kills(t)
	t.Parallel()
	w, c := newWorld(t, 13, emptyProjects)
	m := watchRekor1(t, w, c) // signs and publishes; what it records is nobody's business here
	story := []struct {
		name   string
		happen func(t *testing.T)
	}{
		{"a release, and an entry that nobody published", func(t *testing.T) {
			s, _ := m.release(t, "1.22.0", m.ago(90*day))
			m.attest(t, s, "secret.whl")
		}},
		{"a file of another tree, and a stolen identity", func(t *testing.T) {
			branch, err := w.Rekor.Branch(uint64(w.Rekor.Size()) - 1)
			if err != nil {
				t.Fatal(err)
			}
			s := m.sign(t, sandbox.ReleaseClaims("1.23.0"), m.ago(day))
			a := m.attest(t, s, "onnx-1.23.0-cp312-abi3-win_amd64.whl")
			e, err := branch.Log(a, m.ago(day).Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			a.Entries = []sandbox.Entry{e}
			m.upload(t, s, "onnx-1.23.0-cp312-abi3-win_amd64.whl", a)
			claims := sandbox.ReleaseClaims("1.22.0")
			claims.Workflow = "evil.yml"
			m.attest(t, m.sign(t, claims, m.ago(day)), "onnx-1.22.0-cp312-abi3-win_amd64.whl")
		}},
		{"another history", func(t *testing.T) {
			mend, err := w.Rekor.Active().Tell(sandbox.ForkedTree, 1)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(mend)
		}},
		{"a shard is left out", func(t *testing.T) {
			t.Cleanup(w.Rekor.Break(sandbox.Fault{Path: "/api/v1/log", Rewrite: withoutAShard(t)}))
		}},
	}
	dir, before, passed := t.TempDir(), "", map[string]bool{}
	for i, chapter := range story {
		c.Advance(40 * day)
		with := wiring{Index: w.PyPI.URL(), Rekor: w.Rekor.URL(), TrustedRoot: w.TrustedRootJSON(), Now: c.Now()}
		t.Run(chapter.name, func(t *testing.T) {
			chapter.happen(t)
			undisturbed := filepath.Join(dir, fmt.Sprintf("undisturbed-%d.db", i))
			log := filepath.Join(dir, fmt.Sprintf("passed-%d", i))
			pass := func(path string, env ...string) bool {
				with := with
				with.Database = path
				return ended(t, child(t, with, env...))
			}
			from := before
			copyTo := func(path string) string {
				if from != "" {
					copyRecord(t, from, path)
				}
				return path
			}
			if pass(copyTo(undisturbed), failpoint.EnvLog+"="+log) {
				t.Fatal("a pass that nobody wanted to kill was killed")
			}
			before = undisturbed
			want := dump(t, undisturbed, signedAnew)
			text, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			count := map[string]int{}
			for _, name := range strings.Fields(string(text)) {
				count[name]++
				passed[name] = true
				if !slices.Contains(rekor1Places, name) {
					continue
				}
				place := fmt.Sprintf("%s:%d", name, count[name])
				t.Run(place, func(t *testing.T) {
					path := copyTo(filepath.Join(t.TempDir(), "monitor.db"))
					if !pass(path, failpoint.EnvKill+"="+place) {
						t.Error("it was not killed")
					}
					if pass(path) {
						t.Fatal("it was killed again")
					}
					sameRecord(t, "after a kill", dump(t, path, signedAnew), want)
				})
			}
		})
	}
	for _, name := range rekor1Places {
		if !passed[name] {
			t.Errorf("no pass came by the failpoint %s", name)
		}
	}
}
