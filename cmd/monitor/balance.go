package main

import (
	"context"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// balances states the books of every configured project for a period.
func (a *app) balances(ctx context.Context, cfg *config.Config, record *db.DB, known []knownLog, watchList string, period audit.Span) ([]audit.Balance, error) {
	books := audit.Books{Record: record, Rules: ruleSet(cfg), Policies: map[string]identity.Policy{}, Standings: map[string]audit.LogStanding{}, Now: a.clock.Now().UTC()}
	for _, p := range cfg.Projects {
		books.Policies[p.Name] = p.Policy
	}
	for _, k := range known {
		books.Standings[k.origin] = k.standing(watchList)
	}
	return books.Balance(ctx, period.Since, period.Until)
}

// printBalances prints the books for people.
func (a *app) printBalances(all []audit.Balance) {
	for _, b := range all {
		for _, text := range b.Text {
			line(a.stdout, "balance of %s", text)
		}
	}
}
