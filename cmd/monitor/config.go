package main

import (
	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/config"
)

func (a *app) configCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check, show or begin a configuration"}
	c.AddCommand(
		a.configInitCommand(g),
		&cobra.Command{
			Use:   "check",
			Short: "Check the configuration; every error with its line, key and what to write instead",
			Args:  noArgs,
			RunE: func(*cobra.Command, []string) error {
				cfg, err := g.loadConfig()
				if err != nil {
					return err
				}
				if g.json {
					return a.printJSON(struct {
						Schema string `json:"schema"`
						Source string `json:"source"`
						Policy string `json:"policy_sha256"`
					}{"config-check/1", cfg.Source, cfg.Hash()})
				}
				line(a.stdout, "%s is in order: %d projects, policy sha256:%s", cfg.Source, len(cfg.Projects), cfg.Hash())
				return nil
			},
		},
		&cobra.Command{
			Use:   "show",
			Short: "Print the configuration in force, defaults filled in and secrets masked",
			Args:  noArgs,
			RunE: func(*cobra.Command, []string) error {
				cfg, err := g.loadConfig()
				if err != nil {
					return err
				}
				text, err := cfg.YAML()
				if err != nil {
					return err
				}
				_, err = a.stdout.Write(text)
				return err
			},
		},
		&cobra.Command{
			Use:   "schema",
			Short: "Print the JSON Schema of the configuration file",
			Args:  noArgs,
			RunE: func(*cobra.Command, []string) error {
				_, err := a.stdout.Write(config.Schema())
				return err
			},
		},
	)
	return c
}
