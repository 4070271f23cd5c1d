package main

import (
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
)

// findingAnswer is the JSON of ack and unack.
type findingAnswer struct {
	Schema  string        `json:"schema"`
	Finding audit.Finding `json:"finding"`
}

func (a *app) ackCommand(g *globals) *cobra.Command {
	var why, by, until string
	c := &cobra.Command{
		Use:   "ack ID --why REASON",
		Short: "Acknowledge a finding: somebody knows about it, and why it is acceptable",
		Long: `ack marks a finding as known. It stays in the record and in reports, but no longer counts as open until what was
acknowledged changes, or until the time given with --until.`,
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if strings.TrimSpace(why) == "" {
				return usage("ack needs --why: the reason goes into the record and the report")
			}
			ack := audit.Ack{Why: why, At: a.clock.Now().UTC()}
			if until != "" {
				t, err := parseUntil(until, ack.At)
				if err != nil {
					return err
				}
				ack.Until = &t
			}
			var err error
			if ack.By, err = person(by); err != nil {
				return err
			}
			return a.decide(c, g, "ack/1", func(record *db.DB, cfg *config.Config) (audit.Finding, error) {
				return record.Acknowledge(c.Context(), args[0], ack, channelNames(cfg))
			})
		},
	}
	c.Flags().StringVar(&why, "why", "", "the reason (required)")
	c.Flags().StringVar(&by, "by", "", "who acknowledges; the user's name by default")
	c.Flags().StringVar(&until, "until", "", "until when: a date (2026-12-31), a time (RFC 3339), or for how long (72h)")
	return c
}

func (a *app) unackCommand(g *globals) *cobra.Command {
	var why, by string
	c := &cobra.Command{
		Use:   "unack ID",
		Short: "Take an acknowledgement back",
		Args:  exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			who, err := person(by)
			if err != nil {
				return err
			}
			return a.decide(c, g, "unack/1", func(record *db.DB, cfg *config.Config) (audit.Finding, error) {
				return record.Unacknowledge(c.Context(), args[0], a.clock.Now().UTC(), who, why, channelNames(cfg))
			})
		},
	}
	c.Flags().StringVar(&why, "why", "", "the reason")
	c.Flags().StringVar(&by, "by", "", "who takes it back; the user's name by default")
	return c
}

// decide carries out a person's decision on a finding and prints what became of it.
func (a *app) decide(c *cobra.Command, g *globals, schema string, fn func(*db.DB, *config.Config) (audit.Finding, error)) error {
	cfg, record, err := g.openRecord(c.Context())
	if err != nil {
		return err
	}
	defer record.Close()
	f, err := fn(record, cfg)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if g.json {
		return a.printJSON(findingAnswer{schema, f})
	}
	line(a.stdout, "%s is %s: %s", f.ID, f.Status, f.Summary)
	return nil
}

// person is who decides: as given, or the user of this process.
func person(by string) (string, error) {
	if by != "" {
		return by, nil
	}
	u, err := user.Current()
	if err != nil || u.Username == "" {
		return "", usage("who decides is not known: say it with --by")
	}
	return u.Username, nil
}

// parseUntil reads a date, a time, or a duration from now.
func parseUntil(text string, now time.Time) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t, err = time.Parse(time.RFC3339, text)
	}
	if err != nil {
		var d time.Duration
		if d, err = time.ParseDuration(text); err == nil {
			t = now.Add(d)
		}
	}
	if err != nil {
		return t, usage("--until %q: write a date (2026-12-31), a time (RFC 3339), or how long (72h)", text)
	}
	if !t.After(now) {
		return t, usage("--until %q is in the past", text)
	}
	return t.UTC(), nil
}
