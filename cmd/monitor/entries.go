package main

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
)

// entriesAnswer is the JSON of entries.
type entriesAnswer struct {
	Schema  string        `json:"schema"`
	Entries []listedEntry `json:"entries"`
}

// listedEntry is a leaf that concerns a watched name.
type listedEntry struct {
	Log   string `json:"log_origin"`
	Index uint64 `json:"log_index"`
	// GlobalIndex counts the entries of earlier shards too.
	GlobalIndex uint64 `json:"global_index"`
	LeafHash    string `json:"leaf_hash"`
	Proven      bool   `json:"proven"`
	audit.LogHit
	SAN       string    `json:"san,omitempty"`
	FirstSeen time.Time `json:"first_seen_at"`
}

func (a *app) entriesCommand(g *globals) *cobra.Command {
	var filter db.HitFilter
	var workflow, ref, since, until string
	var asCSV, certificates bool
	var states []string
	c := &cobra.Command{
		Use:   "entries",
		Short: "List the log entries and certificates that concern a watched name",
		Long: `entries lists the leaves of logs that concern a watched name. With --certificates it lists the certificates that a CT log
shows in a project's own name instead, each once, and whether it is known what they signed: entries-known, being-searched,
none-found.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if filter.Since, err = parseDay("--since", since); err != nil {
				return err
			}
			if filter.Until, err = parseDay("--until", until); err != nil {
				return err
			}
			cfg, record, err := g.openRecord(c.Context())
			if err != nil {
				return err
			}
			defer record.Close()
			if certificates || len(states) > 0 {
				return a.listCertificates(c.Context(), g, cfg, record, certificateFilter{filter, workflow, ref, states}, asCSV)
			}
			entries := []listedEntry{}
			if err := record.Hits(c.Context(), filter, func(h audit.HitFacts) error {
				e := listedEntry{Log: h.Origin, Index: h.Index, GlobalIndex: cmp.Or(h.GlobalIndex, h.Index), LeafHash: h.LeafHash, Proven: h.Proven, LogHit: h.LogHit, SAN: h.SAN(), FirstSeen: h.FirstSeen}
				if e.about(workflow, ref) {
					entries = append(entries, e)
				}
				return nil
			}); err != nil {
				return err
			}
			switch {
			case asCSV:
				return a.entriesCSV(entries)
			case g.json:
				return a.printJSON(entriesAnswer{"entries/1", entries})
			}
			var rows [][]string
			for _, e := range entries {
				rows = append(rows, e.row())
			}
			if err := a.table([]string{"LOG", "INDEX", "KIND", "CLASS", "CHAINED", "PROJECT", "IDENTITY"}, rows); err != nil {
				return err
			}
			line(a.stdout, "%d in all", len(entries))
			return nil
		},
	}
	f := c.Flags()
	f.StringSliceVar(&filter.Projects, "project", nil, "only those of this project of the configuration")
	f.StringSliceVar(&filter.Classes, "class", nil, "only those of this class: self, signer, source, third-party-ci, owner, look-alike, e-mail, key")
	f.StringSliceVar(&filter.Origins, "log", nil, "only those of the log of this `ORIGIN`")
	f.StringVar(&filter.SAN, "identity", "", "only those whose SAN holds this `TEXT`")
	f.StringVar(&workflow, "workflow", "", "only those of this workflow `FILE`")
	f.StringVar(&ref, "ref", "", "only those of this source `REF`")
	f.StringVar(&since, "since", "", "only those since this `DATE`")
	f.StringVar(&until, "until", "", "only those before this `DATE`")
	f.BoolVar(&filter.Unproven, "unproven", false, "also those that no verified root commits to yet")
	f.BoolVar(&asCSV, "csv", false, "print CSV")
	f.BoolVar(&certificates, "certificates", false, "list the certificates in a project's own name, and whether it is known what they signed")
	f.StringSliceVar(&states, "state", nil, "only certificates in this `STATE`: entries-known, being-searched, none-found; implies --certificates")
	return c
}

// parseDay reads a date flag; "" is the zero time.
func parseDay(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return t, usage("%s %q: write a date as 2026-11-01", flag, text)
	}
	return t, nil
}

// about reports whether a certificate of the entry is of a workflow and a ref; empty ones do not restrict.
func (e listedEntry) about(workflow, ref string) bool {
	if workflow == "" && ref == "" {
		return true
	}
	for _, c := range e.Certificates {
		if c.Identity != nil && (workflow == "" || c.Identity.Workflow() == workflow) && (ref == "" || c.Identity.Ref() == ref) {
			return true
		}
	}
	return false
}

func (e listedEntry) row() []string {
	return []string{e.Log, fmt.Sprint(e.Index), string(e.Kind), e.Class, fmt.Sprint(e.Chained()), e.Project, e.SAN}
}

// entriesCSV prints entries as CSV.
func (a *app) entriesCSV(entries []listedEntry) error {
	var rows [][]string
	for _, e := range entries {
		rows = append(rows, append(e.row(), e.LeafHash, e.FirstSeen.Format(time.RFC3339)))
	}
	return a.printCSV([]string{"log_origin", "log_index", "kind", "class", "chained", "project", "san", "leaf_hash", "first_seen_at"}, rows)
}

// printCSV prints CSV. A cell that a spreadsheet would take for a formula gets a quote before it.
func (a *app) printCSV(head []string, rows [][]string) error {
	w := csv.NewWriter(a.stdout)
	if err := w.Write(head); err != nil {
		return err
	}
	for _, row := range rows {
		for i, cell := range row {
			if strings.ContainsAny(cell[:min(1, len(cell))], "=+-@\t\r") {
				row[i] = "'" + cell
			}
		}
		if err := w.Write(row); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
