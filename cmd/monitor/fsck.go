package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
)

// fsckAnswer is the JSON of fsck.
type fsckAnswer struct {
	Schema   string         `json:"schema"`
	Checked  map[string]int `json:"checked"`
	Problems []string       `json:"problems"`
}

func (a *app) fsckCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "fsck",
		Short: "Recompute everything that the record claims",
		Long: `fsck recomputes what the record claims from what it holds: digests of documents and certificates, leaf hashes of
entries, roots of what was proven of each log, gaps in coverage, findings and their evidence, and the database itself.

Exit codes: 0 in order; 1 something does not hold; 3 it could not be checked.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := g.loadConfig()
			if err != nil {
				return err
			}
			record, err := openRecord(c.Context(), cfg)
			if err != nil {
				return err
			}
			defer record.Close()
			answer := fsckAnswer{Schema: "fsck/1", Problems: []string{}}
			if answer.Checked, err = record.Fsck(c.Context(), func(p string) { answer.Problems = append(answer.Problems, p) }); err != nil {
				return err
			}
			if g.json {
				err = a.printJSON(answer)
			} else {
				for _, what := range slices.Sorted(maps.Keys(answer.Checked)) {
					line(a.stdout, "%d %s", answer.Checked[what], what)
				}
				for _, p := range answer.Problems {
					line(a.stdout, "WRONG: %s", p)
				}
				line(a.stdout, "%s", plural(len(answer.Problems), "problem"))
			}
			if err == nil && len(answer.Problems) > 0 {
				err = &exitError{exitFindings, fmt.Errorf("the record does not hold what it claims: restore it from a backup, or keep it as evidence")}
			}
			return err
		},
	}
}
