package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/notify"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// demoAnswer is the JSON of demo.
type demoAnswer struct {
	Schema string          `json:"schema"`
	Seed   uint64          `json:"seed"`
	Cases  []demoCase      `json:"cases"`
	Alerts []string        `json:"alerts"` // as Slack shows them, in order
	Open   []audit.Finding `json:"findings"`
}

// demoCase is one thing that happened, and what was made of it.
type demoCase struct {
	Name     string   `json:"name"`
	About    string   `json:"about"`
	Expected string   `json:"expected,omitempty"` // a rule; "" for no alert
	Found    []string `json:"found"`              // rules
	Severity string   `json:"severity,omitempty"`
	AsItIs   bool     `json:"as_expected"`
}

func (a *app) demoCommand(g *globals) *cobra.Command {
	var seed uint64
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job in a world of its own: no network, no configuration, no leftovers",
		Long: `demo makes a world in this process (a certificate authority, a transparency log, a package index, Slack, all with real
cryptography and HTTP on loopback), lets a project shaped like ONNX publish in it, honestly and not, and runs the real audit
over it. It ends with exit code 0 if everything was found that should be, and nothing else.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			answer, err := a.demo(c.Context(), g, seed)
			if err != nil {
				return err
			}
			if g.json {
				err = a.printJSON(answer)
			} else {
				a.printDemo(answer)
			}
			for _, d := range answer.Cases {
				if !d.AsItIs {
					return errors.Join(err, &exitError{exitFindings, fmt.Errorf("case %s was not judged as it should be", d.Name)})
				}
			}
			return err
		},
	}
	c.Flags().Uint64Var(&seed, "seed", 1, "number that all keys and signatures come from")
	return c
}

// demo runs the catalogue: all cases that can share a world in one, the others each in its own.
func (a *app) demo(ctx context.Context, g *globals, seed uint64) (*demoAnswer, error) {
	answer := &demoAnswer{Schema: "demo/1", Seed: seed, Cases: []demoCase{}, Alerts: []string{}, Open: []audit.Finding{}}
	groups := [][]sandbox.Case{nil}
	for _, c := range sandbox.Lies() {
		if c.Alone {
			groups = append(groups, []sandbox.Case{c})
		} else {
			groups[0] = append(groups[0], c)
		}
	}
	for i, cases := range groups {
		if !g.json && i == 0 {
			line(a.stdout, "A project like ONNX publishes three years of releases, honestly. Then %d things happen.", len(sandbox.Lies()))
		}
		if err := a.demoWorld(ctx, g, seed+uint64(i), cases, answer); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// demoRun is one world with the monitor in it.
type demoRun struct {
	world *sandbox.World
	clock *clock.Simulated
	pass  *pass
}

// demoWorld makes a world, lets the cases happen in it, and adds what the monitor made of them.
func (a *app) demoWorld(ctx context.Context, g *globals, seed uint64, cases []sandbox.Case, answer *demoAnswer) (err error) {
	dir, err := os.MkdirTemp("", "monitor-demo-")
	if err != nil {
		return fmt.Errorf("the demo needs a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	run, err := a.newDemoRun(g, seed, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.world.Close()) }()
	if err := sandbox.OnnxLike(run.world); err != nil {
		return err
	}
	last, err := run.play(ctx, cases)
	if err != nil {
		return err
	}
	for _, c := range cases {
		answer.Cases = append(answer.Cases, judgeCase(c, last.Findings))
	}
	answer.Open = append(answer.Open, last.Findings...)
	for _, m := range run.world.Slack.Messages() {
		answer.Alerts = append(answer.Alerts, m.Text)
	}
	return nil
}

// newDemoRun starts a world, and wires the monitor to it as a configuration would.
func (a *app) newDemoRun(g *globals, seed uint64, dir string) (*demoRun, error) {
	logger := slog.New(slog.DiscardHandler)
	if g.logLevel != "" {
		var err error
		if logger, err = a.logger(g); err != nil {
			return nil, err
		}
	}
	world, err := sandbox.New(sandbox.Options{Seed: seed})
	if err != nil {
		return nil, err
	}
	c := clock.NewSimulated(world.Now())
	c.AutoAdvance()
	if world, err = sandbox.New(sandbox.Options{Seed: seed, Now: c.Now, Logger: logger}); err != nil {
		return nil, err
	}
	if err := world.Start(); err != nil {
		return nil, err
	}
	cfg, err := demoConfig(world, dir)
	if err != nil {
		return nil, errors.Join(err, world.Close())
	}
	slack, err := notify.NewSlack(world.Slack.WebhookURL(), &http.Client{Timeout: 10 * time.Second})
	if err != nil {
		return nil, errors.Join(err, world.Close())
	}
	inner := &app{stdin: a.stdin, stdout: io.Discard, stderr: io.Discard, clock: c}
	return &demoRun{world, c, &pass{app: inner, cfg: cfg, logger: logger, deliver: true, channels: []notify.Channel{slack}}}, nil
}

// demoConfig is the embedded preset, pointed at the sandbox.
func demoConfig(world *sandbox.World, dir string) (*config.Config, error) {
	cfg, err := (&globals{}).loadConfig()
	if err != nil {
		return nil, err
	}
	root := filepath.Join(dir, "trusted_root.json")
	if err := os.WriteFile(root, world.TrustedRootJSON(), 0o600); err != nil {
		return nil, err
	}
	gitHubRoot, err := world.GitHub.TrustedRootJSON()
	if err != nil {
		return nil, err
	}
	own := filepath.Join(dir, "github_root.json")
	if err := os.WriteFile(own, gitHubRoot, 0o600); err != nil {
		return nil, err
	}
	cfg.Database = filepath.Join(dir, "monitor.db")
	cfg.Trust = []config.TrustSource{{TrustedRoot: root}, {TrustedRoot: own}}
	cfg.GitHub = config.GitHub{API: world.GitHub.URL(), Blobs: []string{"127.0.0.1"}, Attestations: true}
	cfg.Logs.CT = false // this root names the sandbox's CT log by a host that does not exist
	cfg.Indexes = []config.Index{{Name: "pypi", URL: world.PyPI.URL()}}
	for i := range cfg.Projects {
		cfg.Projects[i].Policy.Repository.IDsUnconfirmed = false
		for k := range cfg.Projects[i].Policy.Grades {
			cfg.Projects[i].Policy.Grades[k].Expect = nil // this world has no more weekly builds
		}
	}
	cfg.Alerts.Slack = &config.Slack{} // makes outbox rows; the channel itself is handed in
	return cfg, nil
}

// play lets the cases happen between passes: what must be there before, then what happens, then what confirms it, and
// at last the passing of every grace period.
func (r *demoRun) play(ctx context.Context, cases []sandbox.Case) (*passAnswer, error) {
	var wait time.Duration
	for _, c := range cases {
		wait = max(wait, c.Wait)
		r.pass.flags.deep = r.pass.flags.deep || c.Deep
	}
	steps := []func(sandbox.Case) func(*sandbox.World) error{
		func(c sandbox.Case) func(*sandbox.World) error { return c.Prepare },
		func(c sandbox.Case) func(*sandbox.World) error { return c.Apply },
		func(c sandbox.Case) func(*sandbox.World) error { return c.Confirm },
	}
	var answer *passAnswer
	for _, step := range steps {
		for _, c := range cases {
			if do := step(c); do != nil {
				if err := do(r.world); err != nil {
					return nil, fmt.Errorf("case %s: %w", c.Name, err)
				}
			}
		}
		r.clock.Advance(20 * time.Minute) // people do not act at the instant at which the monitor looks
		var err error
		if answer, err = r.pass.run(ctx, "demo"); err != nil {
			return nil, err
		}
	}
	if wait > 0 {
		r.clock.Advance(wait)
		return r.pass.run(ctx, "demo")
	}
	return answer, nil
}

// judgeCase looks for what a case must have led to.
func judgeCase(c sandbox.Case, findings []audit.Finding) demoCase {
	d := demoCase{Name: c.Name, About: c.About, Expected: c.Rule, Found: []string{}, AsItIs: c.Rule == ""}
	allowed := append([]string{c.Rule}, c.Also...)
	for _, f := range findings {
		if f.PyPIProject != c.Project || f.File != c.File || c.File == "" && f.Release != c.Version {
			continue
		}
		d.Found = append(d.Found, f.Rule)
		if f.Rule == c.Rule {
			d.Severity, d.AsItIs = string(f.Severity), true
		}
	}
	for _, rule := range d.Found {
		expected := false
		for _, ok := range allowed {
			expected = expected || rule == ok
		}
		d.AsItIs = d.AsItIs && expected
	}
	return d
}

// printDemo prints what happened and what was made of it.
func (a *app) printDemo(x *demoAnswer) {
	alerts, quiet := 0, 0
	for _, c := range x.Cases {
		line(a.stdout, "")
		line(a.stdout, "%s", c.About)
		switch {
		case !c.AsItIs:
			line(a.stdout, "  WRONG: found %v, expected %q", c.Found, c.Expected)
		case c.Expected == "":
			quiet++
			line(a.stdout, "  no alert, as it should be")
		default:
			alerts++
			line(a.stdout, "  %s: %s", c.Severity, c.Expected)
		}
	}
	line(a.stdout, "")
	line(a.stdout, "On Slack:")
	for _, m := range x.Alerts {
		line(a.stdout, "  %s", m)
	}
	line(a.stdout, "")
	line(a.stdout, "%d cases: %s alerted, %d honest ones quiet. Nothing of this world is left.", len(x.Cases), plural(alerts, "case"), quiet)
}
