package audit_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/github"
	"github.com/rekoncile/rekoncile/internal/notify"
	"github.com/rekoncile/rekoncile/internal/pypi"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// start is when the clocks of the tests begin.
var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// wiring is what a monitor is made of. It goes to a child process as JSON.
type wiring struct {
	Database    string
	Index       string // URL
	TrustedRoot []byte
	// GitHub is the URL of the API whose store is read, "" for none; GitHubRoot, where there is one, is the trusted root of its
	// own instance.
	GitHub     string
	GitHubRoot []byte
	// Runs looks up all workflow runs there too.
	Runs bool
	Now  time.Time
	// Unconfirmed leaves the policy's repository ids as the preset has them.
	Unconfirmed bool
	// Config replaces the preset; its index "pypi" is still Index.
	Config []byte
	// Expecting leaves what the policy expects from time to time: the weekly builds of OnnxLike end in July.
	Expecting bool
	// Slack is the webhook that a child process delivers to.
	Slack string
	// Rekor is the URL of a Rekor v1 that a child process reads by name, instead of delivering; "" for none.
	Rekor string
}

// monitor is the audit as the commands wire it, on a simulated clock.
type monitor struct {
	clock    *clock.Simulated
	projects []config.Project
	index    config.Index
	record   *db.DB
	client   *fetch.Client
	auditor  *audit.Auditor
}

// wire makes a monitor; c is its clock.
func wire(ctx context.Context, w wiring, c *clock.Simulated) (*monitor, error) {
	o := config.Options{Rules: audit.RuleIDs()}
	for _, s := range audit.Severities() {
		o.Severities = append(o.Severities, string(s))
	}
	text := w.Config
	if text == nil {
		text = config.Preset()
	}
	cfg, err := config.Parse("monitor.yaml", text, o)
	if err != nil {
		return nil, err
	}
	if !w.Unconfirmed {
		for i := range cfg.Projects {
			cfg.Projects[i].Policy.Repository.IDsUnconfirmed = false
		}
	}
	if !w.Expecting {
		for _, p := range cfg.Projects {
			for i := range p.Policy.Grades {
				p.Policy.Grades[i].Expect = nil
			}
		}
	}
	verifier, err := newVerifier(c.Now, w.TrustedRoot, w.GitHubRoot)
	if err != nil {
		return nil, err
	}
	record, err := db.Open(ctx, w.Database)
	if err != nil {
		return nil, err
	}
	c.AutoAdvance()
	client := fetch.New(fetch.Options{Clock: c, UserAgent: "rekoncile/test", Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}},
		Rand: func() float64 { return 0 }}) // retries follow at once, so that a pass takes no simulated time
	m := &monitor{
		clock: c, projects: cfg.Projects, index: config.Index{Name: "pypi", URL: w.Index}, record: record, client: client,
		auditor: &audit.Auditor{
			Store: record, PyPI: pypi.NewClient(client), Verifier: verifier, Rules: audit.NewRuleSet(nil), Clock: c,
			Logger: slog.New(slog.DiscardHandler), Progress: noProgress{}, Channels: []string{notify.SlackName},
			RecheckAfter: cfg.RecheckAfter,
		},
	}
	if w.GitHub != "" {
		client := github.NewClient(client, client, github.Options{API: w.GitHub, Clock: c})
		m.auditor.GitHub, m.auditor.Runs, m.auditor.AllRuns = client, client, w.Runs
	}
	return m, nil
}

// newVerifier trusts some trusted_root.json; nil ones do not count.
func newVerifier(now func() time.Time, trustedRoots ...[]byte) (*audit.Verifier, error) {
	var set trust.Set
	for _, text := range trustedRoots {
		if text == nil {
			continue
		}
		root, err := trust.FromJSON("the test's trusted root", text)
		if err != nil {
			return nil, err
		}
		set.Roots = append(set.Roots, *root)
	}
	v, err := attest.NewVerifier(set.Material(), attest.Options{Now: now, SameName: pypi.SameDistribution})
	if err != nil {
		return nil, err
	}
	return audit.NewVerifier(v, set.Digest()), nil
}

// projectsOnce audits every PyPI project once.
func (m *monitor) projectsOnce(ctx context.Context, o audit.Options) ([]audit.Summary, error) {
	var all []audit.Summary
	for _, p := range m.projects {
		for _, on := range p.PyPI {
			s, err := m.auditor.Project(ctx, p, on, m.index, o)
			if err != nil {
				return all, err
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// close gives up what the monitor holds open.
func (m *monitor) close() error {
	m.client.Close()
	return m.record.Close()
}

type noProgress struct{}

func (noProgress) Start(string, int64) {}
func (noProgress) Step(int64)          {}
func (noProgress) Done()               {}

// newWorld is a started sandbox on a clock of its own; fill makes what is in it.
func newWorld(tb testing.TB, seed uint64, fill ...func(*sandbox.World) error) (*sandbox.World, *clock.Simulated) {
	tb.Helper()
	c := clock.NewSimulated(start)
	w, err := sandbox.New(sandbox.Options{Seed: seed, Now: c.Now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := w.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := w.Start(); err != nil {
		tb.Fatal(err)
	}
	for _, f := range fill {
		if err := f(w); err != nil {
			tb.Fatal(err)
		}
	}
	return w, c
}

// emptyProjects are the preset's two projects without a file.
func emptyProjects(w *sandbox.World) error {
	for _, name := range []string{"onnx", "onnx-weekly"} {
		if err := w.PyPI.AddProject(name, "onnx-maintainer"); err != nil {
			return err
		}
	}
	return nil
}

// watch starts a monitor of a world.
func watch(tb testing.TB, w *sandbox.World, c *clock.Simulated, edit ...func(*wiring)) *monitor {
	tb.Helper()
	own, err := w.GitHub.TrustedRootJSON()
	if err != nil {
		tb.Fatal(err)
	}
	with := wiring{Database: filepath.Join(tb.TempDir(), "monitor.db"), Index: w.PyPI.URL(), TrustedRoot: w.TrustedRootJSON(), GitHub: w.GitHub.URL(), GitHubRoot: own}
	for _, e := range edit {
		e(&with)
	}
	return watchWith(tb, with, c)
}

func watchWith(tb testing.TB, with wiring, c *clock.Simulated) *monitor {
	tb.Helper()
	m, err := wire(tb.Context(), with, c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := m.close(); err != nil {
			tb.Error(err)
		}
	})
	return m
}

// pass makes one pass over all PyPI projects, in the configuration's order.
func (m *monitor) pass(tb testing.TB, o ...audit.Options) []audit.Summary {
	tb.Helper()
	all, err := m.projectsOnce(tb.Context(), append(o, audit.Options{})[0])
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// cases picks cases of the catalogue by name.
func cases(tb testing.TB, names ...string) []sandbox.Case {
	tb.Helper()
	var all []sandbox.Case
	for _, name := range names {
		found := false
		for _, c := range sandbox.Lies() {
			if c.Name == name {
				all, found = append(all, c), true
			}
		}
		if !found {
			tb.Fatalf("the catalogue has no case %q", name)
		}
	}
	return all
}

// beyondEveryGrace is longer than any rule's grace period.
const beyondEveryGrace = 7 * time.Hour
