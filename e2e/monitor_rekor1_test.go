package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// rekor1Run is the JSON of `monitor follow`, as far as a Rekor v1 is concerned.
type rekor1Run struct {
	Outcome string
	Logs    []struct {
		Origin       string
		Size, Proven uint64
		Trouble      string
	}
	Rekor1 []struct {
		Log                    string
		Shards, Size, Requests int
		Searches, Hits         int
		Subject                string
		Misbehaviours          []string
		Troubles               []string
	} `json:"rekor_v1"`
}

// rekor1Books is a real Rekor v1, and the configuration of who keeps its books.
type rekor1Books struct {
	*rekor1World
	program string
	trusted *trusted
	want    []string // what must be found where, as entriesAnswer writes it
}

func newRekor1Books(t *testing.T) *rekor1Books {
	t.Helper()
	b := &rekor1Books{rekor1World: newRekor1World(t), program: monitor(t)}
	b.trusted = trustFulcio(t, b.fulcio)
	b.trusted.rekor1(t, b.rekor1)
	b.fulcio.ct.awaitSize(t, 3)
	for _, s := range []*signer{b.ours, b.odd} {
		b.want = append(b.want, fmt.Sprintf("%s certificate self %s %s true true", strings.TrimPrefix(b.fulcio.ct.url, "http://"), s.san(), s.serial()))
	}
	for _, e := range b.planted {
		b.want = append(b.want, fmt.Sprintf("%s entry self %s %s true true", b.originOf(t, e), e.signer.san(), e.signer.serial()))
	}
	slices.Sort(b.want)
	return b
}

// originOf names the shard that has an entry.
func (b *rekor1Books) originOf(t *testing.T, e logged) string {
	t.Helper()
	i := slices.IndexFunc(b.trees, func(tree string) bool { return strings.HasPrefix(e.uuid, fmt.Sprintf("%016x", treeID(tree))) })
	if i < 0 {
		t.Fatalf("%s is in no tree", e.uuid)
	}
	return rekor1Host + " - " + b.trees[i]
}

// folder is where the program runs, with a way of reading Rekor v1.
func (b *rekor1Books) folder(t *testing.T, mode string) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, dir, "trusted_root.json", b.trusted.json(t))
	writeFile(t, dir, "config.yaml", fmt.Appendf(nil, "database: monitor.db\ntrust: [{trusted_root: trusted_root.json}]\nlogs:\n  start: zero\n  rekor_v1: {mode: %s}\n  each: {%s: {url: %q}}\n%s",
		mode, rekor1Host, b.url, preset(t)))
	return dir
}

// follow makes a run that must end in order.
func (b *rekor1Books) follow(t *testing.T, dir string) rekor1Run {
	t.Helper()
	var got rekor1Run
	if code := run(t, &got, b.program, dir, "follow", "--once"); code != 0 || got.Outcome != "complete" || len(got.Rekor1) != 1 {
		t.Fatalf("exit code %d, %+v", code, got)
	}
	if r := got.Rekor1[0]; r.Log != rekor1Host || r.Shards != 2 || r.Size != len(b.entries) || len(r.Misbehaviours)+len(r.Troubles) > 0 {
		t.Errorf("%+v", r)
	}
	return got
}

// checked demands that what was found is what was planted, judged, and true when it is looked at again.
func (b *rekor1Books) checked(t *testing.T, dir string) {
	t.Helper()
	var entries entriesAnswer
	run(t, &entries, b.program, dir, "entries")
	if lines := entries.lines(); !slices.Equal(lines, b.want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(b.want, "\n"))
	}
	var findings struct {
		Findings []struct{ ID, Rule string }
	}
	if run(t, &findings, b.program, dir, "findings"); len(findings.Findings) != 1 || findings.Findings[0].Rule != "unexpected-identity" {
		t.Fatalf("findings: %+v", findings)
	}
	var x struct {
		Examinations []struct {
			Confirmed bool
			Note      string
		}
	}
	if run(t, &x, b.program, dir, "explain", findings.Findings[0].ID); len(x.Examinations) != 1 || !x.Examinations[0].Confirmed {
		t.Errorf("its evidence: %+v", x)
	}
	if code := run(t, nil, b.program, dir, "fsck"); code != 0 {
		t.Errorf("fsck: exit code %d", code)
	}
}

// TestTheMonitorKeepsTheBooksOfTheRealRekorV1 runs the program over a real Rekor v1 of two shards, with certificates of a real
// Fulcio in a real CT log: by name, in full, and by a window. Each finds all that was signed in the project's name.
func TestTheMonitorKeepsTheBooksOfTheRealRekorV1(t *testing.T) {
	b := newRekor1Books(t)
	t.Run("by name", func(t *testing.T) {
		dir := b.folder(t, "indexed")
		first := b.follow(t, dir).Rekor1[0]
		// The subjects that the CT log shows are what its index is asked for. It knows them.
		if first.Subject != "supported" || first.Searches < 2 || first.Hits != len(b.planted) {
			t.Errorf("%+v", first)
		}
		b.checked(t, dir)
		if again := b.follow(t, dir).Rekor1[0]; again.Requests > 1 {
			t.Errorf("%d requests although nothing is due", again.Requests)
		}
		var status struct {
			LogCoverage []struct{ Log, Text string } `json:"log_coverage"`
			Hosts       []struct {
				Host     string
				Requests int
			}
		}
		run(t, &status, b.program, dir, "status")
		if !slices.ContainsFunc(status.LogCoverage, func(c struct{ Log, Text string }) bool {
			return c.Log == rekor1Host && strings.Contains(c.Text, "not read in full") && strings.Contains(c.Text, "exact subjects, 2 of 2 answered")
		}) {
			t.Errorf("coverage: %+v", status.LogCoverage)
		}
		for _, h := range status.Hosts {
			if h.Host == b.address && h.Requests != first.Requests+1 {
				t.Errorf("%d requests are on record, and %d were made", h.Requests, first.Requests+1)
			}
		}
	})
	t.Run("in full", func(t *testing.T) {
		dir := b.folder(t, "full")
		got := b.follow(t, dir)
		for _, tree := range b.trees {
			origin, size := rekor1Host+" - "+tree, uint64(len(b.of(tree)))
			i := slices.IndexFunc(got.Logs, func(l struct {
				Origin       string
				Size, Proven uint64
				Trouble      string
			}) bool {
				return l.Origin == origin
			})
			if i < 0 || got.Logs[i].Proven != size || got.Logs[i].Size != size {
				t.Errorf("%s of %d entries: %+v", origin, size, got.Logs)
			}
		}
		b.checked(t, dir)
	})
	t.Run("in a window", func(t *testing.T) {
		dir := b.folder(t, "window")
		active := b.of(b.trees[1])
		from, to := active[0].integrated, active[len(active)-1].integrated
		// Whoever asks for what is not over yet is told to come back.
		ctx, cancel := context.WithTimeout(t.Context(), startLimit+2*time.Minute)
		defer cancel()
		var got struct {
			Outcome string
			Windows []struct {
				Origin   string `json:"log_origin"`
				From, To uint64
				Hits     int
			}
		}
		if err := poll(ctx, func(context.Context) error {
			cmd := []string{"window", "--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339), "--yes"}
			if clock.Real().Now().Sub(to) < 2*time.Minute+time.Second {
				return errors.New("the period has not been over for long enough")
			}
			if code := run(t, &got, b.program, dir, cmd...); code != 0 {
				return fmt.Errorf("exit code %d, %+v", code, got)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		// A minute more is read at either end: the first shard is older than that, or not.
		hits := 0
		for _, w := range got.Windows {
			if w.Origin == rekor1Host+" - "+b.trees[1] && (w.From != 0 || w.To != uint64(len(active))) {
				t.Errorf("%+v, want all %d entries", w, len(active))
			}
			if w.Origin == rekor1Host+" - "+b.trees[1] {
				hits += w.Hits
			}
		}
		if got.Outcome != "proven" || hits != 3 {
			t.Errorf("%+v", got)
		}
		if code := run(t, nil, b.program, dir, "fsck"); code != 0 {
			t.Errorf("fsck: exit code %d", code)
		}
		// By name and in windows, all is found.
		b.follow(t, dir)
		b.checked(t, dir)
	})
	// Whoever answers in its place, with a key of his own, is not believed a word.
	t.Run("with another key", func(t *testing.T) {
		dir := b.folder(t, "indexed")
		trusted := trustFulcio(t, b.fulcio)
		trusted.add(trusted.rekorLogs, "https://"+rekor1Host, b.fulcio.ct.key.Public(), keyID(t, b.fulcio.ct.key.Public()))
		if err := os.WriteFile(filepath.Join(dir, "trusted_root.json"), trusted.json(t), 0o600); err != nil {
			t.Fatal(err)
		}
		var got rekor1Run
		if code := run(t, &got, b.program, dir, "follow", "--once"); code != 4 || len(got.Rekor1) != 1 || !slices.Equal(got.Rekor1[0].Misbehaviours, []string{"bad-checkpoint"}) {
			t.Errorf("exit code %d, %+v", code, got)
		}
	})
}
