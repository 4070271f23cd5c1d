package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
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
With the trusted roots of the record it verifies again, without a network, attestations with their proofs, the signatures
of checkpoints, the chains of certificates in logs, and the evidence against logs.

Exit codes: 0 in order; 1 something does not hold; 3 it could not be checked.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, record, err := g.openRecord(c.Context())
			if err != nil {
				return err
			}
			defer record.Close()
			answer, err := a.fsck(c.Context(), cfg, record)
			if err != nil {
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

// fsck has the record check itself, and verifies again what it says was verified.
func (a *app) fsck(ctx context.Context, cfg *config.Config, record *db.DB) (*fsckAnswer, error) {
	answer := &fsckAnswer{Schema: "fsck/1", Problems: []string{}}
	problem := func(p string) { answer.Problems = append(answer.Problems, p) }
	var err error
	if answer.Checked, err = record.Fsck(ctx, problem); err != nil {
		return nil, err
	}
	set, _, err := recordedRoots(ctx, record)
	if err != nil {
		return nil, err
	}
	archive, err := a.archive(ctx, cfg, record, set)
	if err != nil {
		return nil, err
	}
	checked, err := audit.Recheck(ctx, record, archive, set, problem)
	if err != nil {
		return nil, err
	}
	maps.Copy(answer.Checked, checked)
	return answer, nil
}
