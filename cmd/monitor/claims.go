package main

import (
	"context"
	"strings"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
)

// heldClaims holds what the projects say of their releases against the verdicts in the record.
func heldClaims(ctx context.Context, cfg *config.Config, record *db.DB) ([]audit.ClaimVerdict, error) {
	verdicts := []audit.ClaimVerdict{}
	for _, p := range cfg.Projects {
		for _, c := range p.Claims {
			v, err := audit.HoldClaim(p.Name, c, func(fn func(audit.ClaimedFile) error) error {
				return record.Files(ctx, db.FileFilter{PyPIProject: c.On.String()}, func(f db.ListedFile) error {
					if !f.RemovedAt.IsZero() || !f.ReplacedAt.IsZero() {
						return nil
					}
					return fn(audit.ClaimedFile{Release: f.Release, File: f.File, SHA256: f.SHA256, UploadedAt: f.UploadedAt, SLSA: f.SLSA})
				})
			})
			if err != nil {
				return nil, err
			}
			verdicts = append(verdicts, v)
		}
	}
	return verdicts, nil
}

// printClaims prints how the claims stand, and what no attestation says of them.
func (a *app) printClaims(claims []audit.ClaimVerdict, limits []string) {
	const shown = 3
	for _, v := range claims {
		line(a.stdout, "claim: %s", v)
		for i, d := range v.Deciding {
			if i == shown {
				break
			}
			line(a.stdout, "  %s: %s: %s", d.File, d.Build, d.Why)
		}
	}
	if len(claims) > 0 {
		line(a.stdout, "claim: no attestation shows %s", strings.Join(limits, "; "))
	}
}
