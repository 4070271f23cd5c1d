package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
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
	for i, cases := range sandbox.Worlds(sandbox.Lies()) {
		if !g.json && i == 0 {
			line(a.stdout, "A project like ONNX publishes three years of releases, honestly. Then %d things happen.", len(sandbox.Lies()))
		}
		if err := a.demoWorld(ctx, g, seed+uint64(i), cases, answer); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

// demoWorld makes a world, lets the cases happen in it, and adds what the monitor made of them.
func (a *app) demoWorld(ctx context.Context, g *globals, seed uint64, cases []sandbox.Case, answer *demoAnswer) (err error) {
	dir, err := os.MkdirTemp("", "monitor-demo-")
	if err != nil {
		return fmt.Errorf("the demo needs a temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	logger := slog.New(slog.DiscardHandler)
	if g.logLevel != "" {
		if logger, err = a.logger(g); err != nil {
			return err
		}
	}
	run, err := a.newScenario(logger, seed, dir, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, run.world.Close()) }()
	made, err := run.play(ctx, cases)
	if err != nil {
		return err
	}
	last := made[len(made)-1].answer
	for _, c := range cases {
		answer.Cases = append(answer.Cases, judgeCase(c, last.Findings))
	}
	answer.Open = append(answer.Open, last.Findings...)
	for _, m := range run.world.Slack.Messages() {
		answer.Alerts = append(answer.Alerts, m.Text)
	}
	return nil
}

// judgeCase looks for what a case must have led to.
func judgeCase(c sandbox.Case, findings []audit.Finding) demoCase {
	d := demoCase{Name: c.Name, About: c.About, Expected: c.Rule, Found: []string{}, AsItIs: c.Rule == ""}
	allowed := append([]string{c.Rule}, c.Also...)
	for _, f := range findings {
		if !isAbout(f, c) {
			continue
		}
		d.Found = append(d.Found, f.Rule)
		if f.Rule == c.Rule {
			d.Severity, d.AsItIs = string(f.Severity), true
		}
	}
	for _, rule := range d.Found {
		d.AsItIs = d.AsItIs && slices.Contains(allowed, rule)
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
