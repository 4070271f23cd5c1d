package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// initFlags are the flags of config init.
type initFlags struct {
	index    string
	releases int
	output   string
	force    bool
}

func (a *app) configInitCommand(g *globals) *cobra.Command {
	flags := initFlags{}
	c := &cobra.Command{
		Use:   "init PROJECT",
		Short: "Write a policy that expects what a project on an index was signed by so far",
		Long: `init reads the provenance that an index serves of a project, verifies it, and writes a configuration that expects what it
observed: repository, workflows, refs, triggers, environments and ids, and since when files carry attestations. It says what it
looked at and what not. Trust on first use: a person has to confirm it, and nothing in it is invented.

Exit codes: 0 written; 2 usage, or no such project; 3 there is nothing that a policy could be made of, or not all of what was
looked at could be used or is covered by the policy (which is written then, and says so).`,
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.configInit(c.Context(), g, flags, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&flags.index, "index", "pypi", "`NAME` of the index that the project is on")
	f.IntVar(&flags.releases, "releases", 10, "look at so many releases, half of them the newest and half the oldest with provenance")
	f.StringVar(&flags.output, "output", "", "write into this new `FILE` instead of standard output")
	f.BoolVar(&flags.force, "force", false, "replace the output file where it exists")
	return c
}

var projectArgument = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// configInit carries the command out.
func (a *app) configInit(ctx context.Context, g *globals, flags initFlags, project string) error {
	switch {
	case g.json:
		return usage("config init writes YAML, whatever is asked")
	case !projectArgument.MatchString(project):
		return usage("%q is not a project's name", project)
	case flags.releases < 1:
		return usage("--releases %d: look at one at least", flags.releases)
	}
	if _, err := os.Lstat(flags.output); flags.output != "" && err == nil && !flags.force {
		return usage("--output %s: it exists already; name another file, or replace it with --force", flags.output)
	}
	cfg, err := g.loadConfig()
	if err != nil {
		return err
	}
	index, ok := cfg.Index(flags.index)
	if !ok {
		return usage("--index %q: the configuration has no such index", flags.index)
	}
	observation, err := a.observe(ctx, g, cfg, index, project, flags.releases)
	var missing *pypi.NotFoundError
	if errors.As(err, &missing) {
		return &exitError{exitUsage, err}
	}
	if err != nil {
		return err
	}
	text, left, err := observation.PolicyText(a.clock.Now(), standardIndex(index.Name))
	var nothing *audit.NothingObservedError
	if errors.As(err, &nothing) {
		return &exitError{exitUnknown, err}
	}
	if err != nil {
		return err
	}
	policy, err := g.parseConfig("what was observed", text)
	if err != nil {
		return fmt.Errorf("what was observed makes no policy: %w", err)
	}
	if err := a.writeNew(flags, text); err != nil {
		return err
	}
	wrong := observation.Judge(policy.Projects[0].Policy, a.clock.Now())
	for _, text := range wrong {
		fmt.Fprintf(a.stderr, "monitor: the policy does not cover %s\n", safe(text))
	}
	if len(left)+len(wrong) > 0 || !observation.Complete() {
		return &exitError{exitUnknown, fmt.Errorf("not all of what was looked at could be used or is covered: the comments of the policy say what")}
	}
	return nil
}

// observe looks at a project on an index.
func (a *app) observe(ctx context.Context, g *globals, cfg *config.Config, index config.Index, project string, releases int) (*audit.Observation, error) {
	logger, err := a.logger(g)
	if err != nil {
		return nil, err
	}
	client := a.client(cfg, logger)
	defer client.Close()
	set, err := a.roots(ctx, cfg, client, logger)
	if err != nil {
		return nil, err
	}
	verifier, err := a.attestVerifier(set)
	if err != nil {
		return nil, err
	}
	observer := &audit.Observer{PyPI: pypi.NewClient(client), Verifier: audit.NewVerifier(verifier, set.Digest()), Progress: a.progress(logger)}
	return observer.Observe(ctx, index, project, releases)
}

// standardIndex is the URL that an index has where no configuration says another; "" where it needs one.
func standardIndex(name string) string {
	preset, err := config.Load("", configOptions())
	if err != nil {
		return ""
	}
	index, _ := preset.Index(name)
	return index.URL
}

// writeNew writes to standard output, or to a file that is there in whole or not at all.
func (a *app) writeNew(flags initFlags, text []byte) (err error) {
	if flags.output == "" {
		_, err := a.stdout.Write(text)
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(flags.output), ".monitor-*")
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("--output: %w", err)}
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Chmod(file.Name(), 0o644)
	}
	switch {
	case err != nil:
	case flags.force:
		err = os.Rename(file.Name(), flags.output)
	default:
		err = os.Link(file.Name(), flags.output) // it fails where somebody made the file meanwhile
	}
	if !flags.force || err != nil {
		err = errors.Join(err, os.Remove(file.Name()))
	}
	if err != nil {
		return fmt.Errorf("--output %s: %w", flags.output, err)
	}
	return nil
}
