package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// certificatesAnswer is the JSON of entries --certificates.
type certificatesAnswer struct {
	Schema       string              `json:"schema"`
	Certificates []listedCertificate `json:"certificates"`
}

// listedCertificate is a certificate in a watched project's own name, and whether it is known what it signed.
type listedCertificate struct {
	TBSSHA256    string                 `json:"tbs_sha256"`
	Serial       string                 `json:"serial"`
	Project      string                 `json:"project"`
	Class        string                 `json:"class"`
	State        audit.CertificateState `json:"state"`
	Grades       []string               `json:"grades"`
	SAN          string                 `json:"san"`
	Identity     *identity.Identity     `json:"identity,omitempty"`
	NotBefore    time.Time              `json:"not_before"`
	NotAfter     time.Time              `json:"not_after"`
	Log          string                 `json:"log_origin"`
	Index        int64                  `json:"log_index"`
	LeafHash     string                 `json:"leaf_hash"`
	LoggedAt     time.Time              `json:"logged_at,omitzero"`
	FirstSeen    time.Time              `json:"first_seen_at"`
	Entries      int                    `json:"entry_count"`
	Attestations int                    `json:"attestation_count"`
}

// certificateFilter says which certificates to list; an empty field does not restrict.
type certificateFilter struct {
	db.HitFilter
	workflow, ref string
	states        []string
}

// passes reports whether a certificate is to be listed.
func (f certificateFilter) passes(c listedCertificate) bool {
	among := func(values []string, value string) bool { return len(values) == 0 || slices.Contains(values, value) }
	at := c.LoggedAt
	if at.IsZero() {
		at = c.FirstSeen
	}
	switch {
	case !among(f.Projects, c.Project), !among(f.Classes, c.Class), !among(f.Origins, c.Log), !among(f.states, string(c.State)),
		!strings.Contains(c.SAN, f.SAN), !f.Since.IsZero() && at.Before(f.Since), !f.Until.IsZero() && !at.Before(f.Until):
		return false
	case f.workflow == "" && f.ref == "":
		return true
	}
	return c.Identity != nil && (f.workflow == "" || c.Identity.Workflow() == f.workflow) && (f.ref == "" || c.Identity.Ref() == f.ref)
}

// certificateStates are what --state takes.
func certificateStates() []string {
	return []string{string(audit.CertificateAccounted), string(audit.CertificateSearched), string(audit.CertificateUnaccounted)}
}

// readCertificates calls fn for each certificate in a watched project's own name.
func (a *app) readCertificates(ctx context.Context, cfg *config.Config, record *db.DB, fn func(listedCertificate) error) error {
	judge := &audit.Judge{Rules: ruleSet(cfg), Now: a.clock.Now().UTC()}
	policies := map[string]identity.Policy{}
	for _, p := range cfg.Projects {
		policies[p.Name] = p.Policy
	}
	return record.OwnCertificates(ctx, func(c audit.CertificateFacts) error {
		l := listedCertificate{TBSSHA256: c.TBSSHA256, Serial: c.Serial, Project: c.Project, Class: c.Class, State: judge.CertificateState(c), Grades: []string{},
			Identity: c.Identity, NotBefore: c.NotBefore, NotAfter: c.NotAfter, Log: c.Log.Origin, Index: c.Log.Index, LeafHash: c.LeafHash,
			LoggedAt: c.LoggedAt, FirstSeen: c.FirstSeen, Entries: c.Entries, Attestations: c.Attestations}
		if c.Identity != nil {
			l.SAN = c.Identity.SAN
			if policy, ok := policies[c.Project]; ok {
				l.Grades = append(l.Grades, policy.Judge(*c.Identity).Grades...)
			}
		}
		return fn(l)
	})
}

// listCertificates prints the certificates that pass the filter.
func (a *app) listCertificates(ctx context.Context, g *globals, cfg *config.Config, record *db.DB, filter certificateFilter, asCSV bool) error {
	for _, state := range filter.states {
		if !slices.Contains(certificateStates(), state) {
			return usage("--state %q: use %s", state, strings.Join(certificateStates(), ", "))
		}
	}
	all := []listedCertificate{}
	if err := a.readCertificates(ctx, cfg, record, func(c listedCertificate) error {
		if filter.passes(c) {
			all = append(all, c)
		}
		return nil
	}); err != nil {
		return err
	}
	if g.json && !asCSV {
		return a.printJSON(certificatesAnswer{"certificates/1", all})
	}
	var rows [][]string
	for _, c := range all {
		grades := strings.Join(c.Grades, " or ")
		if grades == "" {
			grades = "none"
		}
		rows = append(rows, []string{c.NotBefore.Format(time.RFC3339), string(c.State), grades, fmt.Sprint(c.Entries), fmt.Sprint(c.Attestations), c.Project, c.SAN, c.TBSSHA256})
	}
	if asCSV {
		return a.printCSV([]string{"not_before", "state", "grades", "entry_count", "attestation_count", "project", "san", "tbs_sha256"}, rows)
	}
	for i := range rows {
		rows[i] = rows[i][:7]
	}
	if err := a.table([]string{"ISSUED", "STATE", "GRADE", "ENTRIES", "ATTESTATIONS", "PROJECT", "IDENTITY"}, rows); err != nil {
		return err
	}
	line(a.stdout, "%s in all", plural(len(all), "certificate"))
	return nil
}

// certificatesStatus counts certificates for status: by state, and by what became of the promises of CT logs.
type certificatesStatus struct {
	States   map[audit.CertificateState]int `json:"states"`
	Promises map[audit.LookupOutcome]int    `json:"promises"`
}

func (a *app) certificatesStatus(ctx context.Context, cfg *config.Config, record *db.DB) (certificatesStatus, error) {
	s := certificatesStatus{States: map[audit.CertificateState]int{}}
	if err := a.readCertificates(ctx, cfg, record, func(c listedCertificate) error { s.States[c.State]++; return nil }); err != nil {
		return s, err
	}
	var err error
	s.Promises, err = record.Promises(ctx)
	return s, err
}

// coverage says in words which certificates were not held against the logs that promised them.
func (s certificatesStatus) coverage() []string {
	var texts []string
	if n := s.Promises[audit.LookupUnknown]; n > 0 {
		texts = append(texts, fmt.Sprintf("certificates: %s that signed, not looked up yet in the CT log that made the promise", plural(n, "certificate")))
	}
	if n := s.Promises[audit.LookupNotAsked] + s.Promises[audit.LookupNoSuchLog]; n > 0 {
		texts = append(texts, fmt.Sprintf("certificates: %s that signed, not looked up: the CT log that made the promise is switched off, or unknown", plural(n, "certificate")))
	}
	return texts
}

// print prints the counts, those that are there.
func (s certificatesStatus) print(a *app) {
	var parts []string
	for _, state := range certificateStates() {
		if n := s.States[audit.CertificateState(state)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(parts) > 0 {
		line(a.stdout, "certificates in the projects' own names: %s", strings.Join(parts, ", "))
	}
	parts = nil
	for _, outcome := range []audit.LookupOutcome{audit.LookupFound, audit.LookupMissing, audit.LookupUnpromised, audit.LookupUnknown, audit.LookupNotAsked, audit.LookupNoSuchLog, audit.LookupUnneeded} {
		if n := s.Promises[outcome]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, outcome))
		}
	}
	if len(parts) > 0 {
		line(a.stdout, "certificates that signed, in the logs that promised them: %s", strings.Join(parts, ", "))
	}
}
