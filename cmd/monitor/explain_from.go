package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// explainFolder explains a folder of evidence again, with nothing but the folder.
func (a *app) explainFolder(ctx context.Context, g *globals, flags explainFlags) error {
	folder, err := audit.ReadFolder(flags.from)
	var none *audit.NoEvidenceError
	var altered *audit.AlteredError
	switch {
	case errors.As(err, &none):
		return usage("--from %s: %w", flags.from, err)
	case errors.As(err, &altered):
		return &exitError{exitFindings, fmt.Errorf("%s was altered: %w", flags.from, err)}
	case err != nil:
		return err
	}
	roots, set, err := folderRoots(folder, flags.trustedRoots)
	if err != nil {
		return err
	}
	cfg, err := g.parseConfig("policy.yaml", folder.Policy)
	if err != nil {
		return &exitError{exitFindings, fmt.Errorf("%s: policy.yaml: %w", flags.from, err)}
	}
	archive, err := a.trusting(ctx, cfg, set)
	if err != nil {
		return err
	}
	explanation, err := explainer(cfg, set, folder.Archive(archive)).Explain(folder.Dossier)
	if err != nil {
		return err
	}
	answer := &explainAnswer{Schema: "explain/1", Policy: cfg.Hash()}
	if err := json.Unmarshal(folder.Explanation, answer); err != nil {
		return &exitError{exitFindings, fmt.Errorf("%s was altered: explanation.json: %w", flags.from, err)}
	}
	said, err := marshalAnswer(answer)
	if err != nil {
		return err
	}
	answer.explains(explanation, roots)
	answer.Policy = cfg.Hash()
	if g.json {
		err = a.printJSON(answer)
	} else {
		a.printExplanation(answer)
	}
	if err != nil {
		return err
	}
	again, err := marshalAnswer(answer)
	if err != nil {
		return err
	}
	if len(flags.trustedRoots) == 0 && !bytes.Equal(said, again) {
		return &exitError{exitFindings, fmt.Errorf("%s does not show what its explanation.json says: compare it with the above", flags.from)}
	}
	return a.confirmed(explanation)
}

// confirmed is the exit code of an explanation made again, and says why where it is not 0.
func (a *app) confirmed(e audit.Explanation) error {
	status, reasons := e.Confirmed()
	for _, r := range reasons {
		fmt.Fprintf(a.stderr, "monitor: %s: %s\n", status, safe(r))
	}
	switch status {
	case audit.LinkFailed:
		return &exitError{code: exitFindings}
	case audit.LinkUnknown:
		return &exitError{code: exitUnknown}
	}
	return nil
}

// folderRoots are the trusted roots to judge a folder by: its own, or files of the caller's.
func folderRoots(folder *audit.Folder, files []string) ([]audit.TrustedRoot, *trust.Set, error) {
	roots := folder.Roots
	if len(files) > 0 {
		roots = nil
	}
	for _, path := range files {
		body, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, &exitError{exitUsage, fmt.Errorf("--trusted-root: %w", err)}
		}
		roots = append(roots, audit.TrustedRoot{Source: filepath.Base(path), Body: body})
	}
	set := &trust.Set{}
	for i := range roots {
		parsed, err := trust.FromJSON(roots[i].Source, roots[i].Body)
		if err != nil {
			return nil, nil, &exitError{exitFindings, fmt.Errorf("trusted root %s: %w", roots[i].Source, err)}
		}
		roots[i].SHA256 = parsed.SHA256
		set.Roots = append(set.Roots, *parsed)
	}
	return roots, set, nil
}

// parseConfig checks the text of a configuration.
func (g *globals) parseConfig(name string, text []byte) (*config.Config, error) {
	return config.Parse(name, text, configOptions())
}
