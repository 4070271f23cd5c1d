package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
)

// findingsAnswer is the JSON of findings.
type findingsAnswer struct {
	Schema   string          `json:"schema"`
	Findings []audit.Finding `json:"findings"`
}

func (a *app) findingsCommand(g *globals) *cobra.Command {
	var severities, rules, projects []string
	var all bool
	c := &cobra.Command{
		Use:   "findings",
		Short: "List findings: open and acknowledged ones, most urgent first",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			filter := db.FindingFilter{Rules: rules, Projects: projects}
			if !all {
				filter.Statuses = []audit.Status{audit.Open, audit.Acknowledged}
			}
			for _, s := range severities {
				severity, err := audit.ParseSeverity(s)
				if err != nil {
					return usage("--severity: %w", err)
				}
				filter.Severities = append(filter.Severities, severity)
			}
			for _, r := range rules {
				if !audit.Known(r) {
					return usage("--rule %q: there is no such rule; docs/rules.md lists them", r)
				}
			}
			_, record, err := g.openRecord(c.Context())
			if err != nil {
				return err
			}
			defer record.Close()
			found, err := record.Findings(c.Context(), filter)
			if err != nil {
				return err
			}
			if g.json {
				if found == nil {
					found = []audit.Finding{}
				}
				return a.printJSON(findingsAnswer{"findings/1", found})
			}
			return a.printFindings(found)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "resolved findings too")
	c.Flags().StringSliceVar(&severities, "severity", nil, "only findings of these severities")
	c.Flags().StringSliceVar(&rules, "rule", nil, "only findings of these rules")
	c.Flags().StringSliceVar(&projects, "project", nil, "only findings of these projects of the configuration")
	return c
}

// printFindings prints a table of findings for people.
func (a *app) printFindings(found []audit.Finding) error {
	if len(found) == 0 {
		line(a.stdout, "no findings")
		return nil
	}
	var rows [][]string
	for _, f := range found {
		status := string(f.Status)
		if f.Ack != nil {
			status += " by " + f.Ack.By
		}
		rows = append(rows, []string{f.ID, string(f.Severity), f.Rule, status, when(f.OpenedAt), f.Summary})
	}
	if err := a.table([]string{"ID", "SEVERITY", "RULE", "STATUS", "OPENED", "SUMMARY"}, rows); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s; `monitor explain ID` shows the evidence\n", plural(len(found), "finding"))
	return nil
}

// plural writes "1 finding", "2 findings".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
