package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
)

// globals are the flags that every command has.
type globals struct {
	config    string
	database  string
	json      bool
	logLevel  string
	logFormat string
}

// flagError marks cobra's complaints about flags and arguments.
type flagError struct{ error }

func (e flagError) Unwrap() error { return e.error }

// isUsage reports whether an error is about how the program was called.
func isUsage(err error) bool {
	var flag flagError
	return errors.As(err, &flag) || strings.HasPrefix(err.Error(), "unknown command ")
}

// command builds the command tree.
func (a *app) command() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:   "monitor",
		Short: "Keeps the books of a software project's releases",
		Long: `monitor checks every file that a project published on PyPI against what was signed and logged in its name,
keeps the result in a local record, and says what does not add up.

Without a configuration file it watches ONNX. Exit codes: 0 in order; 1 findings, or bad; 2 usage or configuration;
3 something stayed unknown; 4 a log misbehaved.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetIn(a.stdin)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return flagError{errors.New(err.Error() + "; see `" + c.CommandPath() + " --help`")}
	})
	f := root.PersistentFlags()
	f.StringVarP(&g.config, "config", "c", "", "configuration `FILE`; none is the embedded preset for ONNX")
	f.StringVar(&g.database, "database", "", "record `FILE`, instead of the configuration's")
	f.BoolVar(&g.json, "json", false, "print JSON (its shapes are in docs/json.md)")
	f.StringVar(&g.logLevel, "log-level", "", "debug, info, warn or error; info by default, warn on a terminal")
	f.StringVar(&g.logFormat, "log-format", "", "text or json; text on a terminal by default, json elsewhere")
	root.AddCommand(a.runCommand(g), a.onceCommand(g), a.auditCommand(g), a.followCommand(g), a.windowCommand(g), a.entriesCommand(g), a.fsckCommand(g), a.backupCommand(g), a.restoreCommand(g), a.findingsCommand(g), a.explainCommand(g), a.ackCommand(g), a.unackCommand(g), a.notifyCommand(g),
		a.filesCommand(g), a.verifyCommand(g), a.statusCommand(g), a.configCommand(g), a.demoCommand(g), a.versionCommand(g))
	return root
}

// noArgs and exactArgs are cobra's, with an error that counts as usage.
func noArgs(c *cobra.Command, args []string) error { return asFlagError(cobra.NoArgs(c, args)) }

func exactArgs(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error { return asFlagError(cobra.ExactArgs(n)(c, args)) }
}

func asFlagError(err error) error {
	if err == nil {
		return nil
	}
	return flagError{err}
}

// configOptions are what the configuration may name.
func configOptions() config.Options {
	o := config.Options{Rules: audit.RuleIDs(), RuleSeverities: map[string]string{}}
	for _, r := range audit.Rules() {
		o.RuleSeverities[r.ID] = string(r.Severity)
	}
	for _, s := range audit.Severities() {
		o.Severities = append(o.Severities, string(s))
	}
	return o
}

// loadConfig reads the configuration.
func (g *globals) loadConfig() (*config.Config, error) {
	cfg, err := config.Load(g.config, configOptions())
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	if g.database != "" {
		cfg.Database = g.database
	}
	return cfg, nil
}
