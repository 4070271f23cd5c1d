package main

import (
	"context"
	"crypto"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// archive is what verifying again, without a network, needs of the record and of its trusted roots.
func (a *app) archive(ctx context.Context, cfg *config.Config, record *db.DB, set *trust.Set) (audit.Archive, error) {
	archive, err := a.trusting(ctx, cfg, set)
	archive.Document = func(sha256 string) ([]byte, error) { return record.Document(ctx, sha256) }
	archive.Leaf = func(hash string) ([]byte, error) { return record.Leaf(ctx, hash) }
	archive.Proof = func(hash string) (*audit.EntryProof, error) { return record.Proof(ctx, hash) }
	return archive, err
}

// trusting is the part of an archive that trusted roots make.
func (a *app) trusting(ctx context.Context, cfg *config.Config, set *trust.Set) (audit.Archive, error) {
	verifier, err := a.attestVerifier(set)
	if err != nil {
		return audit.Archive{}, err
	}
	known, err := a.knownLogs(cfg, set)
	if err != nil {
		return audit.Archive{}, err
	}
	return audit.Archive{
		Verifier: audit.NewVerifier(verifier, set.Digest()),
		Checkpoint: func(origin string, raw []byte) (tlog.SignedCheckpoint, error) {
			return recordedCheckpoint(ctx, known, origin, raw)
		},
		Rekor1: func(origin string) (*rekor.V1Keys, error) { return rekor1Keys(known, origin) },
		CTKey: func(logID string) crypto.PublicKey {
			for _, k := range known {
				if k.isCT() && hex.EncodeToString(k.log.ID) == logID {
					return k.log.PublicKey
				}
			}
			return nil
		},
	}, nil
}

// explainer judges by a configuration's policies.
func explainer(cfg *config.Config, set *trust.Set, archive audit.Archive) *audit.Explainer {
	x := &audit.Explainer{Archive: archive, Roots: set, Policies: map[string]identity.Policy{}, Projects: map[string]string{}}
	for _, p := range cfg.Projects {
		x.Policies[p.Name] = p.Policy
		for _, on := range p.PyPI {
			x.Projects[on.String()] = p.Name
		}
	}
	return x
}

// evidencePolicy is the part of the configuration that an explanation depends on: the projects that it concerns, and of which kind
// the logs are. Where servers are, and whom alerts go to, is nobody's business.
func evidencePolicy(cfg *config.Config, kept *audit.Folder) ([]byte, error) {
	part := &config.Config{Source: cfg.Source, Database: "monitor.db", RecheckAfter: cfg.RecheckAfter, Rules: cfg.Rules, Budgets: map[string]config.Budget{},
		Logs: config.Logs{Start: config.LogStart{Head: true}, CT: true, RekorV2: true, RekorV1: config.RekorV1Indexed}}
	for i := range kept.Roots {
		part.Trust = append(part.Trust, config.TrustSource{TrustedRoot: audit.TrustedRootFile(i)})
	}
	for _, l := range cfg.Logs.Each {
		if l.Kind != "" {
			part.Logs.Each = append(part.Logs.Each, config.Log{Origin: l.Origin, Kind: l.Kind})
		}
	}
	concerned := kept.Dossier.Projects()
	for _, p := range cfg.Projects {
		if concerned[p.Name] || slices.ContainsFunc(p.PyPI, func(on config.PyPIProject) bool { return concerned[on.String()] }) {
			part.Projects = append(part.Projects, p)
		}
	}
	if len(part.Projects) == 0 {
		part.Projects = cfg.Projects
	}
	for _, p := range part.Projects {
		for _, on := range p.PyPI {
			index, ok := cfg.Index(on.Index)
			if ok && !slices.ContainsFunc(part.Indexes, func(x config.Index) bool { return x.Name == index.Name }) {
				part.Indexes = append(part.Indexes, index)
			}
		}
	}
	text, err := part.YAML()
	if err != nil {
		return nil, fmt.Errorf("writing the policy: %w", err)
	}
	return text, nil
}
