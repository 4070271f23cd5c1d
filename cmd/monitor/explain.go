package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
)

// explainFlags are the flags of explain.
type explainFlags struct {
	export       string
	from         string
	trustedRoots []string
}

// explainAnswer is the JSON of explain.
type explainAnswer struct {
	Schema string `json:"schema"`
	// Finding, Meaning and History are left out where a file is explained. Meaning is the rule in one sentence.
	Finding *audit.Finding `json:"finding,omitempty"`
	Meaning string         `json:"meaning,omitempty"`
	History []db.Event     `json:"history,omitempty"`
	// Examinations are the finding's evidence, looked at again.
	Examinations []audit.Examination `json:"examinations,omitempty"`
	// Chains are what each file, entry or certificate rests on, link by link.
	Chains []audit.Link `json:"chains,omitempty"`
	// More says that more leaves show the certificate than are explained.
	More         bool                `json:"more_leaves,omitempty"`
	TrustedRoots []trustedRootStatus `json:"trusted_roots"`
	Policy       string              `json:"policy_sha256"`
}

func (a *app) explainCommand(g *globals) *cobra.Command {
	flags := explainFlags{}
	c := &cobra.Command{
		Use:   "explain ID|FILENAME|SHA256",
		Short: "Show what a finding or a file rests on, link by link, verified again without a network",
		Long: `explain shows what a finding, by its id, or a file, by its name or digest, rests on: the chain from the file to its
attestations, their log entries and certificates, and the policy, each link with its checks. All that can be is verified
again, with the trusted roots of the record and without any network; what the record once asked servers is marked so.

With --export, the evidence is written to a new folder for strangers, with the commands of other people's tools to check
it. --from explains such a folder again, without a network and without a record, and refuses it where a byte was changed.
--trusted-root has it judged by trusted roots of one's own instead of the folder's.

Exit codes: 0 in order; 2 usage; 3 it could not be explained. With --from: 0 everything is as it was written, and gives what it
says; 1 it was altered, or gives something else; 2 there is no such evidence; 3 a part of it cannot be computed again.`,
		Args: func(c *cobra.Command, args []string) error {
			if flags.from != "" {
				return noArgs(c, args)
			}
			return exactArgs(1)(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case flags.from != "" && flags.export != "":
				return usage("--from and --export: one folder at a time")
			case flags.from != "":
				return a.explainFolder(c.Context(), g, flags)
			case len(flags.trustedRoots) > 0:
				return usage("--trusted-root goes with --from")
			}
			return a.explainRecord(c.Context(), g, flags, args[0])
		},
	}
	c.Flags().StringVar(&flags.export, "export", "", "write the evidence into this new `FOLDER`")
	c.Flags().StringVar(&flags.from, "from", "", "explain the evidence in this `FOLDER`, which --export wrote")
	c.Flags().StringArrayVar(&flags.trustedRoots, "trusted-root", nil, "trusted_root.json `FILE` to judge a folder by, instead of its own; may be repeated")
	return c
}

// explainRecord explains a finding or a file of the record.
func (a *app) explainRecord(ctx context.Context, g *globals, flags explainFlags, what string) error {
	cfg, record, err := g.openRecord(ctx)
	if err != nil {
		return err
	}
	defer record.Close()
	answer := &explainAnswer{Schema: "explain/1", Policy: cfg.Hash()}
	dossier, err := a.dossier(ctx, record, what)
	if err != nil {
		return err
	}
	set, roots, err := recordedRoots(ctx, record)
	if err != nil {
		return err
	}
	archive, err := a.archive(ctx, cfg, record, set)
	if err != nil {
		return err
	}
	kept := &audit.Folder{MadeBy: buildVersion().Version, Dossier: *dossier, Roots: roots}
	explanation, err := explainer(cfg, set, kept.Keep(archive)).Explain(*dossier)
	if err != nil {
		return err
	}
	if f := dossier.Finding; f != nil {
		answer.Meaning = audit.NewRuleSet(nil)[f.Rule].Sentence
		if answer.History, err = record.History(ctx, f.ID); err != nil {
			return err
		}
	}
	answer.explains(explanation, roots)
	digest := ""
	if flags.export != "" {
		if digest, err = exportEvidence(flags.export, cfg, kept, answer); err != nil {
			return err
		}
	}
	if g.json {
		return a.printJSON(answer)
	}
	a.printExplanation(answer)
	if flags.export != "" {
		line(a.stdout, "")
		line(a.stdout, "exported to %s, MANIFEST sha256:%s; without this record: monitor explain --from %s", flags.export, digest, flags.export)
	}
	return nil
}

// explains takes an explanation over.
func (x *explainAnswer) explains(e audit.Explanation, roots []audit.TrustedRoot) {
	x.Finding, x.Examinations, x.Chains, x.More, x.TrustedRoots = e.Finding, e.Examinations, e.Chains, e.More, []trustedRootStatus{}
	for _, r := range roots {
		x.TrustedRoots = append(x.TrustedRoots, trustedRootStatus{SHA256: r.SHA256, Source: r.Source})
	}
}

var (
	findingArgument = regexp.MustCompile(`^f-[0-9a-f]{12}$`)
	fileDigest      = regexp.MustCompile(`^(?:sha256:)?([0-9a-f]{64})$`)
)

// dossier gathers what the record holds of a finding or a file.
func (a *app) dossier(ctx context.Context, record *db.DB, what string) (*audit.Dossier, error) {
	if findingArgument.MatchString(what) {
		return findingDossier(ctx, record, what)
	}
	want := db.ExplainedFile{Filename: what}
	if m := fileDigest.FindStringSubmatch(what); m != nil {
		want = db.ExplainedFile{SHA256: m[1]}
	}
	files, err := record.ExplainedFiles(ctx, want)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, usage("the record has no finding and no file %q; `monitor findings` and `monitor files` list them", what)
	}
	return &audit.Dossier{Files: files}, nil
}

// findingDossier gathers what a finding is about.
func findingDossier(ctx context.Context, record *db.DB, id string) (*audit.Dossier, error) {
	f, err := record.Finding(ctx, id)
	var none *db.NoFindingError
	if errors.As(err, &none) {
		return nil, &exitError{exitUsage, err}
	}
	if err != nil {
		return nil, err
	}
	d := &audit.Dossier{Finding: &f}
	switch {
	case f.File != "":
		d.Files, err = record.ExplainedFiles(ctx, db.ExplainedFile{Index: f.Index, PyPIProject: f.PyPIProject, Filename: f.File, SHA256: f.SHA256})
	case f.Certificate != "":
		if d.Leaves, d.More, err = record.ExplainedLeaves(ctx, f.Certificate); err == nil && len(d.Leaves) == 0 {
			d.Files, err = record.CertificateFiles(ctx, f.Certificate) // no log showed it: it is known from what it attested
		}
	case f.LeafHash != "":
		d.Leaves, err = record.ExplainedLeaf(ctx, f.LogOrigin, f.LeafHash)
	}
	return d, err
}

// exportEvidence writes everything that an explanation rests on into a new folder.
func exportEvidence(dir string, cfg *config.Config, kept *audit.Folder, answer *explainAnswer) (digest string, err error) {
	if kept.Policy, err = evidencePolicy(cfg, kept); err != nil {
		return "", err
	}
	if kept.Explanation, err = marshalAnswer(answer); err != nil {
		return "", err
	}
	digest, err = kept.WriteFolder(dir)
	if errors.Is(err, fs.ErrExist) {
		return "", usage("--export %s: it exists already; name a new folder", dir)
	}
	return digest, err
}

// marshalAnswer writes an answer as printJSON does.
func marshalAnswer(answer *explainAnswer) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(answer); err != nil {
		return nil, fmt.Errorf("writing an explanation: %w", err)
	}
	return out.Bytes(), nil
}
