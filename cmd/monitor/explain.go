package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// explainAnswer is the JSON of explain.
type explainAnswer struct {
	Schema  string        `json:"schema"`
	Finding audit.Finding `json:"finding"`
	// Meaning is the rule in one sentence.
	Meaning      string              `json:"meaning"`
	History      []db.Event          `json:"history"`
	Examinations []audit.Examination `json:"examinations"`
	TrustedRoots []trustedRootStatus `json:"trusted_roots"`
	// Commands verify the evidence without this record, once it is exported.
	Commands []string `json:"commands,omitempty"`
}

func (a *app) explainCommand(g *globals) *cobra.Command {
	var export string
	c := &cobra.Command{
		Use:   "explain ID",
		Short: "Show a finding's evidence and history, verified again without a network",
		Long: `explain shows what a finding rests on. Attestations are verified again with the trusted roots of the record, without
any network, and compared with what the finding says. With --export, the evidence is written to a folder from which a
stranger can verify it without this record: the documents as served, the trusted roots, and the commands.`,
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := g.loadConfig()
			if err != nil {
				return err
			}
			record, err := openRecord(c.Context(), cfg)
			if err != nil {
				return err
			}
			defer record.Close()
			answer, roots, err := a.explain(c.Context(), cfg, record, args[0])
			var none *db.NoFindingError
			if errors.As(err, &none) {
				return &exitError{exitUsage, err}
			}
			if err != nil {
				return err
			}
			if export != "" {
				if err := exportEvidence(c.Context(), export, record, answer, roots); err != nil {
					return err
				}
			}
			if g.json {
				return a.printJSON(answer)
			}
			return a.printExplanation(answer, export)
		},
	}
	c.Flags().StringVar(&export, "export", "", "write the evidence into this new `FOLDER`")
	return c
}

// explain examines a finding's evidence again.
func (a *app) explain(ctx context.Context, cfg *config.Config, record *db.DB, id string) (*explainAnswer, []audit.TrustedRoot, error) {
	f, err := record.Finding(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	answer := &explainAnswer{Schema: "explain/1", Finding: f, Meaning: audit.NewRuleSet(nil)[f.Rule].Sentence, TrustedRoots: []trustedRootStatus{}}
	if answer.History, err = record.History(ctx, id); err != nil {
		return nil, nil, err
	}
	set, roots, err := recordedRoots(ctx, record)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range roots {
		answer.TrustedRoots = append(answer.TrustedRoots, trustedRootStatus{SHA256: r.SHA256, Source: r.Source})
	}
	verifier, err := a.attestVerifier(set)
	if err != nil {
		return nil, nil, err
	}
	known, err := a.knownLogs(cfg, set)
	if err != nil {
		return nil, nil, err
	}
	answer.Examinations, err = audit.Examine(f, audit.Archive{
		Verifier: audit.NewVerifier(verifier, set.Digest()),
		Document: func(sha256 string) ([]byte, error) { return record.Document(ctx, sha256) },
		Leaf:     func(hash string) ([]byte, error) { return record.Leaf(ctx, hash) },
		Checkpoint: func(origin string, raw []byte) (tlog.SignedCheckpoint, error) {
			return checkpointOf(ctx, known, origin, raw)
		},
	})
	return answer, roots, err
}

// exportEvidence writes everything that a finding rests on into a new folder.
func exportEvidence(ctx context.Context, folder string, record *db.DB, answer *explainAnswer, roots []audit.TrustedRoot) error {
	if err := os.Mkdir(folder, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return usage("--export %s: it exists already; name a new folder", folder)
		}
		return fmt.Errorf("exporting evidence: %w", err)
	}
	write := func(name string, body []byte) error {
		if err := os.WriteFile(filepath.Join(folder, name), body, 0o644); err != nil {
			return fmt.Errorf("exporting evidence: %w", err)
		}
		return nil
	}
	rootFlags := ""
	for i, r := range roots {
		name := fmt.Sprintf("trusted_root-%d.json", i+1)
		rootFlags += " --trusted-root " + name
		if err := write(name, r.Body); err != nil {
			return err
		}
	}
	written := map[string]bool{}
	for i, e := range answer.Finding.Evidence {
		if e.Data != nil {
			if err := write(fmt.Sprintf("evidence-%d-%s.json", i+1, e.Kind), e.Data); err != nil {
				return err
			}
		}
		if e.SHA256 == "" || e.Data != nil || written[e.SHA256] {
			continue
		}
		written[e.SHA256] = true
		body, err := record.Document(ctx, e.SHA256)
		if err != nil {
			return err
		}
		if body == nil {
			continue
		}
		name := "provenance-" + e.SHA256[:12] + ".json"
		if err := write(name, body); err != nil {
			return err
		}
		answer.Commands = append(answer.Commands, fmt.Sprintf("monitor verify sha256:%s --name %s --provenance %s%s",
			answer.Finding.SHA256, answer.Finding.File, name, rootFlags))
	}
	text, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		return err
	}
	return write("finding.json", append(text, '\n'))
}

// printExplanation prints a finding with its evidence for people.
func (a *app) printExplanation(x *explainAnswer, export string) error {
	f := x.Finding
	line(a.stdout, "%s  %s  %s  %s", f.ID, f.Severity, f.Rule, f.Status)
	line(a.stdout, "what:      %s", f.Summary)
	if f.Expected != "" {
		line(a.stdout, "expected:  %s", f.Expected)
	}
	line(a.stdout, "about:     %s", f.Subject)
	line(a.stdout, "meaning:   %s", x.Meaning)
	line(a.stdout, "what to do: %s", f.Advice)
	if f.Identity != nil {
		line(a.stdout, "signed by: %s", f.Identity.SAN)
		line(a.stdout, "           issuer %s, ref %s, trigger %s, run %s", f.Identity.Issuer, f.Identity.Ref, f.Identity.Trigger, f.Identity.Run)
	}
	if f.Log != nil {
		line(a.stdout, "logged:    %s, index %d (global %d)", f.Log.Origin, f.Log.Index, f.Log.GlobalIndex)
	}
	if f.Ack != nil {
		line(a.stdout, "acknowledged by %s: %s", f.Ack.By, f.Ack.Why)
	}
	for i, e := range x.Examinations {
		line(a.stdout, "")
		line(a.stdout, "evidence %d: %s, seen %s, %s", i+1, e.Evidence.Kind, when(e.Evidence.At), e.Evidence.URL)
		if e.Evidence.SHA256 != "" {
			line(a.stdout, "  sha256:%s", e.Evidence.SHA256)
		}
		if e.Evidence.Detail != "" {
			line(a.stdout, "  %s", e.Evidence.Detail)
		}
		if e.Evidence.Data != nil {
			line(a.stdout, "  as served: %s", shortened(e.Evidence.Data))
		}
		word := "looked at again"
		if e.Confirmed {
			word = "confirmed again"
		}
		line(a.stdout, "  %s: %s", word, e.Note)
		if e.Attestation != nil {
			a.printChecks(e.Attestation.Checks)
		}
	}
	line(a.stdout, "")
	for _, e := range x.History {
		by := ""
		if e.By != "" {
			by = " by " + e.By
		}
		line(a.stdout, "%s  %s%s%s", when(e.At), e.Transition, by, because(e.Why))
	}
	if export != "" {
		line(a.stdout, "")
		line(a.stdout, "exported to %s; there, without this record:", export)
		for _, c := range x.Commands {
			line(a.stdout, "  %s", c)
		}
	}
	return nil
}

// shortened is what of a document fits a terminal.
func shortened(document []byte) string {
	const most = 2000
	if len(document) <= most {
		return string(document)
	}
	return fmt.Sprintf("%s… (%d bytes, all of them with --json and --export)", bytes.ToValidUTF8(document[:most], nil), len(document))
}
