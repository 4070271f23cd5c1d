package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/notify"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// scenario is a world with the monitor in it, on one simulated clock: each pass is one of `monitor once`.
type scenario struct {
	world *sandbox.World
	// work is what the project does besides; nil for nothing.
	work  *sandbox.Work
	clock *clock.Simulated
	pass  *pass
	steps int
}

// newScenario starts a world with a project like ONNX in it, and wires the monitor to it as a configuration would. A whole one has
// logs that are read, and a project that goes on with its work; otherwise there is the index alone. The folder is the monitor's;
// the caller closes the world.
func (a *app) newScenario(logger *slog.Logger, seed uint64, dir string, whole bool) (*scenario, error) {
	c := clock.NewSimulated(sandbox.Today())
	c.AutoAdvance()
	world, err := sandbox.New(sandbox.Options{Seed: seed, Now: c.Now, TrustLogs: whole, Logger: logger})
	if err != nil {
		return nil, err
	}
	s := &scenario{world: world, clock: c}
	if whole {
		s.work = sandbox.NewWork(world)
	}
	if err = world.Start(); err == nil {
		err = sandbox.OnnxLike(world)
	}
	if err == nil {
		s.pass, err = a.scenarioPass(world, logger, c, dir, whole)
	}
	if err != nil {
		return nil, errors.Join(err, world.Close())
	}
	return s, nil
}

// scenarioPass makes the passes of a scenario.
func (a *app) scenarioPass(world *sandbox.World, logger *slog.Logger, c clock.Clock, dir string, whole bool) (*pass, error) {
	cfg, err := scenarioConfig(world, dir, whole)
	if err != nil {
		return nil, err
	}
	slack, err := notify.NewSlack(world.Slack.WebhookURL(), &http.Client{Timeout: 10 * time.Second})
	if err != nil {
		return nil, err
	}
	inner := &app{stdin: a.stdin, stdout: io.Discard, stderr: io.Discard, clock: c}
	return &pass{app: inner, cfg: cfg, logger: logger, deliver: true, channels: []notify.Channel{slack}}, nil
}

// scenarioConfig is the embedded preset with its ids confirmed, pointed at the sandbox.
func scenarioConfig(world *sandbox.World, dir string, whole bool) (*config.Config, error) {
	cfg, err := (&globals{}).loadConfig()
	if err != nil {
		return nil, err
	}
	gitHubRoot, err := world.GitHub.TrustedRootJSON()
	if err != nil {
		return nil, err
	}
	root, own := filepath.Join(dir, "root.json"), filepath.Join(dir, "github_root.json")
	if err := errors.Join(os.WriteFile(root, world.TUF.Root(), 0o600), os.WriteFile(own, gitHubRoot, 0o600)); err != nil {
		return nil, err
	}
	cfg.Database = filepath.Join(dir, "monitor.db")
	cfg.Trust = []config.TrustSource{{TUF: world.TUF.URL(), RootFile: root, Cache: filepath.Join(dir, "tuf")}, {TrustedRoot: own}}
	cfg.GitHub = config.GitHub{API: world.GitHub.URL(), Blobs: []string{"127.0.0.1"}, Attestations: true, Runs: whole}
	cfg.Indexes = []config.Index{{Name: "pypi", URL: world.PyPI.URL()}}
	cfg.Logs = config.Logs{RekorV1: config.RekorV1Off}
	if whole {
		cfg.Logs = scenarioLogs(world)
	}
	for i := range cfg.Projects {
		cfg.Projects[i].Policy.Repository.IDsUnconfirmed = false
		for k := range cfg.Projects[i].Policy.Grades {
			if !whole {
				cfg.Projects[i].Policy.Grades[k].Expect = nil // there are no more weekly builds
			}
		}
	}
	cfg.Alerts.Slack = &config.Slack{} // makes outbox rows; the channel itself is handed in
	return cfg, nil
}

// scenarioLogs are all of a world's, from their beginnings.
func scenarioLogs(world *sandbox.World) config.Logs {
	logs := config.Logs{CT: true, RekorV1: config.RekorV1Indexed, RekorV2: true}
	endpoints := world.Endpoints()
	for _, name := range slices.Sorted(maps.Keys(endpoints)) {
		log := config.Log{Origin: strings.TrimPrefix(name, "https://"), URL: endpoints[name]}
		if log.Origin == world.StaticCT.Origin() {
			log.Kind = kindCTStatic
		}
		logs.Each = append(logs.Each, log)
	}
	return logs
}

// peopleAct is how long things take that happen between two passes.
const peopleAct = 20 * time.Minute

// act lets things happen, the project's own work beside them, and makes a pass a while later.
func (s *scenario) act(ctx context.Context, things ...func(*sandbox.World) error) (*passAnswer, error) {
	for _, do := range things {
		if do == nil {
			continue
		}
		if err := do(s.world); err != nil {
			return nil, err
		}
	}
	if s.work != nil {
		if err := s.work.Step(s.steps); err != nil {
			return nil, err
		}
	}
	s.steps++
	s.clock.Advance(peopleAct)
	return s.pass.run(ctx, "scenario")
}

// madePass is a pass that was made, and how long after the last thing that happened.
type madePass struct {
	answer *passAnswer
	after  time.Duration
}

// play lets cases happen between passes: what must be there before, then what happens, then what confirms it, and then the
// passing of what each has to hold for.
func (s *scenario) play(ctx context.Context, cases []sandbox.Case) ([]madePass, error) {
	steps := make([][]func(*sandbox.World) error, 3)
	waits := map[time.Duration]bool{}
	for _, c := range cases {
		s.pass.flags.deep = s.pass.flags.deep || c.Deep
		if c.Wait > 0 {
			waits[c.Wait] = true
		}
		if c.Hourly > 0 {
			s.limit(c.Log, c.Hourly)
		}
		for i, do := range []func(*sandbox.World) error{c.Prepare, c.Apply, c.Confirm} {
			if do != nil {
				steps[i] = append(steps[i], func(w *sandbox.World) error {
					if err := do(w); err != nil {
						return fmt.Errorf("case %s: %w", c.Name, err)
					}
					return nil
				})
			}
		}
	}
	var made []madePass
	for _, things := range steps {
		answer, err := s.act(ctx, things...)
		if err != nil {
			return made, err
		}
		made = append(made, madePass{answer, 0})
	}
	since := s.clock.Now()
	for _, wait := range slices.Sorted(maps.Keys(waits)) {
		if at := since.Add(wait - peopleAct); at.After(s.clock.Now()) { // passes may take hours
			s.clock.AdvanceTo(at)
		}
		answer, err := s.act(ctx)
		if err != nil {
			return made, err
		}
		made = append(made, madePass{answer, wait})
	}
	return made, nil
}

// limit has the configuration allow the host of a log so many requests an hour. Whoever waits there lets the one clock run that
// all have, so that other logs would seem to be slow too: the CT logs are left alone.
func (s *scenario) limit(origin string, hourly int) {
	host := strings.TrimPrefix(s.pass.cfg.Logs.Of(origin).URL, "http://")
	s.pass.cfg.Budgets = map[string]config.Budget{host: {Requests: hourly, Per: time.Hour}}
	s.pass.cfg.Logs.CT = false
}

// isAbout reports whether a finding is about what a case is about.
func isAbout(f audit.Finding, c sandbox.Case) bool {
	if f.Identity != nil && slices.ContainsFunc(c.Runs, func(run string) bool { return strings.Contains(f.Identity.Run+f.Identity.SAN, run) }) {
		return true
	}
	expected := slices.Contains(append([]string{c.Rule}, append(c.Also, c.Besides...)...), f.Rule)
	if expected && (f.LogOrigin != "" && f.LogOrigin == c.Log || f.TrustedRoot != "") {
		return true
	}
	if f.Job != "" && f.Identity == nil { // all whose certificates chain to nothing
		return slices.Contains(c.Besides, f.Rule)
	}
	if c.File != "" {
		return f.File == c.File && (f.PyPIProject == c.Project || f.LogOrigin != "")
	}
	return c.Runs == nil && c.Log == "" && f.Certificate == "" && f.PyPIProject == c.Project && f.File == "" && f.Release == c.Version
}
