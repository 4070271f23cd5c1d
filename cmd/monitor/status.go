package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
)

// statusAnswer is the JSON of status.
type statusAnswer struct {
	Schema string `json:"schema"`
	Record string `json:"record"`
	// Policy names the expectations that are held against the record; the runs have those that they judged by.
	Policy       string                 `json:"policy_sha256"`
	Projects     []db.ProjectStatus     `json:"projects"`
	OpenFindings map[audit.Severity]int `json:"open_findings"`
	TrustedRoots []trustedRootStatus    `json:"trusted_roots"`
	Outbox       []db.OutboxDepth       `json:"outbox"`
	LastRuns     []db.Run               `json:"last_runs"`
	// Coverage says in words what was looked at and what was not.
	Coverage []string `json:"coverage"`
	// LogCoverage says the same of each log in numbers.
	LogCoverage []audit.Coverage `json:"log_coverage"`
	Logs        []logStatus      `json:"logs"`
	// Windows are those of Rekor v1, finished or not.
	Windows []audit.WindowSummary `json:"windows,omitempty"`
	// NotFollowed are the logs of the trusted roots that are not read.
	NotFollowed []skippedLog `json:"not_followed"`
	// Hosts are those that were asked today, with what of their budget is left.
	Hosts []hostStatus `json:"hosts"`
	// Certificates counts those in the projects' own names, and the promises of CT logs.
	Certificates certificatesStatus `json:"certificates"`
	// Claims are what the projects say of their releases, held against the evidence, and SLSALimits what no attestation shows.
	Claims     []audit.ClaimVerdict `json:"claims"`
	SLSALimits []string             `json:"slsa_limits"`
	// Balances are the projects' books: what accounts for certificates, entries and files, and what is open.
	Balances []audit.Balance `json:"balances"`
}

// logStatus is where one log stands.
type logStatus struct {
	Origin string `json:"origin"`
	Kind   string `json:"kind"`
	Size   uint64 `json:"size"`
	Start  uint64 `json:"start"`
	Read   uint64 `json:"read"`
	Proven uint64 `json:"proven"`
	// GrowthPerSecond is how many entries a second it grew by of late.
	GrowthPerSecond float64 `json:"growth_per_second,omitempty"`
	// Cosigners are the witnesses that signed its latest checkpoint too.
	Cosigners    []string            `json:"cosigners,omitempty"`
	CheckedAt    time.Time           `json:"checked_at,omitzero"`
	FailingSince time.Time           `json:"failing_since,omitzero"`
	Failure      string              `json:"failure,omitempty"`
	Incidents    []string            `json:"incidents,omitempty"`
	Proofs       []audit.ProvenRange `json:"proven_ranges"`
	// ByName says that single entries are looked for, and nothing is read in full; see LogCoverage.
	ByName bool `json:"by_name,omitempty"`
	// Reopened counts the entries that were proven, but read with another watch list than today's.
	Reopened uint64 `json:"reopened"`
}

type trustedRootStatus struct {
	SHA256    string `json:"sha256"`
	Source    string `json:"source"`
	ExpiresAt string `json:"expires_at,omitempty"`
}

// coverage is what this version looks at, in words. A report never says more than that.
var coverage = []string{
	"releases: every file that PyPI lists, each attestation served with it, verified against the trusted roots",
}

// gitHubCoverage says what is looked at in GitHub's attestation store.
func gitHubCoverage(cfg *config.Config, projects []db.ProjectStatus) string {
	if !cfg.GitHub.Attestations {
		return "GitHub's attestation store is switched off in the configuration: whether a file has SLSA provenance there is unknown"
	}
	unanswered := 0
	for _, p := range projects {
		unanswered += p.Unanswered
	}
	return fmt.Sprintf("GitHub's attestation store: asked for the digest of every file that PyPI lists, of which %d have no answer yet; attestations of anything else in it are not seen", unanswered)
}

func (a *app) statusCommand(g *globals) *cobra.Command {
	var since, until string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show where the record stands: projects, findings, outbox, last runs, coverage",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var period audit.Span
			var err error
			if period.Since, err = parseDay("--since", since); err != nil {
				return err
			}
			if period.Until, err = parseDay("--until", until); err != nil {
				return err
			}
			cfg, record, err := g.openRecord(c.Context())
			if err != nil {
				return err
			}
			defer record.Close()
			watch, err := watchList(cfg)
			if err != nil {
				return err
			}
			s, err := a.readStatus(c.Context(), cfg, record, watch.Hash(), period)
			if err != nil {
				return err
			}
			if g.json {
				return a.printJSON(s)
			}
			return a.printStatus(s)
		},
	}
	c.Flags().StringVar(&since, "since", "", "say what is covered of the entries that the logs first showed since this `DATE`, and state the books since then")
	c.Flags().StringVar(&until, "until", "", "say what is covered of the entries that the logs first showed before this `DATE`, and state the books until then")
	return c
}

// readStatus gathers the answer from the record. Only what is said of coverage and the books are of a period.
func (a *app) readStatus(ctx context.Context, cfg *config.Config, record *db.DB, watchList string, period audit.Span) (*statusAnswer, error) {
	s := &statusAnswer{Schema: "status/1", Record: record.Path(), Policy: cfg.Hash(), OpenFindings: map[audit.Severity]int{}, TrustedRoots: []trustedRootStatus{}, Coverage: slices.Clone(coverage), LogCoverage: []audit.Coverage{},
		Logs: []logStatus{}, NotFollowed: []skippedLog{}}
	var err error
	if s.Projects, err = record.Projects(ctx); err != nil {
		return nil, err
	}
	s.Coverage = append(s.Coverage, gitHubCoverage(cfg, s.Projects))
	if s.Outbox, err = record.OutboxDepths(ctx); err != nil {
		return nil, err
	}
	if s.LastRuns, err = record.LastRuns(ctx); err != nil {
		return nil, err
	}
	open, err := record.Findings(ctx, db.FindingFilter{Statuses: []audit.Status{audit.Open}})
	if err != nil {
		return nil, err
	}
	for _, f := range open {
		s.OpenFindings[f.Severity]++
	}
	logs, err := record.Logs(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range logs {
		s.Logs = append(s.Logs, statusOf(l, watchList))
		span, err := record.LogSpan(ctx, l.Origin, period.Since, period.Until)
		if err != nil {
			return nil, err
		}
		covered := audit.CoverageOf(l, watchList, span)
		s.Coverage, s.LogCoverage = append(s.Coverage, covered.Text), append(s.LogCoverage, covered)
	}
	if s.Hosts, err = a.hostsStatus(ctx, cfg, record); err != nil {
		return nil, err
	}
	if s.Certificates, err = a.certificatesStatus(ctx, cfg, record); err != nil {
		return nil, err
	}
	s.Coverage = append(s.Coverage, s.Certificates.coverage()...)
	if s.Claims, err = heldClaims(ctx, cfg, record); err != nil {
		return nil, err
	}
	s.SLSALimits = audit.SLSALimits()
	set, roots, err := recordedRoots(ctx, record)
	if err != nil {
		return nil, err
	}
	known, err := a.knownLogs(cfg, set)
	if err := s.addNotFollowed(cfg, known, err); err != nil {
		return nil, err
	}
	if s.Balances, err = a.balances(ctx, cfg, record, known, watchList, period); err != nil {
		return nil, err
	}
	if err := s.addForeign(ctx, record, logs); err != nil {
		return nil, err
	}
	windows, covered := a.windowStatus(cfg, known, logs, watchList)
	s.Windows, s.Coverage = windows, append(s.Coverage, covered...)
	for _, r := range roots {
		t := trustedRootStatus{SHA256: r.SHA256, Source: r.Source}
		if !r.ExpiresAt.IsZero() {
			t.ExpiresAt = r.ExpiresAt.UTC().Format("2006-01-02T15:04:05Z")
		}
		s.TrustedRoots = append(s.TrustedRoots, t)
	}
	return s, nil
}

// addNotFollowed lists the logs that are not read, and those that will be taken up with the next run.
func (s *statusAnswer) addNotFollowed(cfg *config.Config, known []knownLog, err error) error {
	for _, k := range known {
		inRecord := slices.ContainsFunc(s.Logs, func(l logStatus) bool { return l.Origin == k.origin || k.hasShard(l.Origin) })
		switch {
		case k.skipped != "":
			s.NotFollowed = append(s.NotFollowed, skippedLog{k.origin, k.kind, k.skipped})
			s.Coverage = append(s.Coverage, fmt.Sprintf("log %s: not followed: %s", k.origin, k.skipped))
		case k.notFull(cfg) != "":
			s.NotFollowed = append(s.NotFollowed, skippedLog{k.origin, k.kind, k.notFull(cfg)})
			s.Coverage = append(s.Coverage, fmt.Sprintf("log %s: %s", k.origin, k.notFull(cfg)))
		case !inRecord:
			s.Coverage = append(s.Coverage, fmt.Sprintf("log %s: not looked at yet", k.origin))
		}
	}
	return err
}

// statusOf says where a log stands.
func statusOf(l audit.LogFacts, watchList string) logStatus {
	s := logStatus{Origin: l.Origin, Kind: l.Kind, Size: l.Latest, Start: l.Start, Read: l.Read, Proven: l.Proven, CheckedAt: l.CheckedAt,
		FailingSince: l.FailingSince, Failure: l.Failure, Proofs: l.Ranges, GrowthPerSecond: l.GrowthPerSecond, Cosigners: l.Cosigners}
	s.ByName = l.Rekor1 != nil || l.Shard != nil && !l.Known
	if l.Rekor1 != nil {
		s.Size = l.Rekor1.Size
	}
	for _, i := range l.Incidents {
		if !slices.Contains(s.Incidents, i.Kind) { // once, in however many ways the log contradicts itself
			s.Incidents = append(s.Incidents, i.Kind)
		}
	}
	for _, r := range l.Ranges {
		if r.WatchList != watchList {
			s.Reopened += r.To - r.From
		}
	}
	return s
}

// growth says how fast a log grows, and how long what is behind would take to come in.
func growth(l logStatus) string {
	if l.GrowthPerSecond == 0 {
		return "-"
	}
	text := fmt.Sprintf("%.3g/s", l.GrowthPerSecond)
	if behind := l.Size - min(l.Proven, l.Size); behind > 0 && !l.ByName {
		text += fmt.Sprintf(", %s behind", time.Duration(float64(behind)/l.GrowthPerSecond*float64(time.Second)).Round(time.Second))
	}
	return text
}

func (a *app) printStatus(s *statusAnswer) error {
	var rows [][]string
	for _, p := range s.Projects {
		var states []string
		for _, state := range slices.Sorted(maps.Keys(p.Files)) {
			states = append(states, fmt.Sprintf("%d %s", p.Files[state], state))
		}
		trouble := "-"
		if p.Failure != "" {
			trouble = "failing since " + when(p.FailingSince) + ": " + p.Failure
		}
		rows = append(rows, []string{p.Index + "/" + p.Name, p.Status, fmt.Sprint(p.Serial), when(p.CheckedAt), strings.Join(states, ", "), trouble})
	}
	if err := a.table([]string{"PROJECT", "STATUS", "SERIAL", "CHECKED", "FILES", "TROUBLE"}, rows); err != nil {
		return err
	}
	rows = nil
	for _, l := range s.Logs {
		trouble := strings.Join(l.Incidents, ", ")
		if l.Failure != "" {
			trouble = strings.TrimPrefix(trouble+"; failing since "+when(l.FailingSince)+": "+l.Failure, "; ")
		}
		proven, behind := fmt.Sprint(l.Proven), fmt.Sprint(l.Size-min(l.Proven, l.Size))
		if l.ByName {
			proven, behind = "by name", "-"
		}
		rows = append(rows, []string{l.Origin, l.Kind, fmt.Sprint(l.Size), proven, behind, growth(l), when(l.CheckedAt), trouble})
	}
	if len(rows) > 0 {
		if err := a.table([]string{"LOG", "KIND", "SIZE", "PROVEN", "BEHIND", "GROWTH", "CHECKED", "TROUBLE"}, rows); err != nil {
			return err
		}
	}
	s.Certificates.print(a)
	a.printHosts(s.Hosts)
	a.printBalances(s.Balances)
	var open []string
	for _, severity := range audit.Severities() {
		if n := s.OpenFindings[severity]; n > 0 {
			open = append(open, fmt.Sprintf("%d %s", n, severity))
		}
	}
	if len(open) == 0 {
		open = []string{"none"}
	}
	line(a.stdout, "open findings: %s", strings.Join(open, ", "))
	line(a.stdout, "policy: sha256:%s", s.Policy)
	a.printClaims(s.Claims, s.SLSALimits)
	for _, r := range s.TrustedRoots {
		expires := "does not expire"
		if r.ExpiresAt != "" {
			expires = "expires " + r.ExpiresAt
		}
		line(a.stdout, "trusted root: %s, sha256:%s, %s", r.Source, r.SHA256, expires)
	}
	for _, d := range s.Outbox {
		line(a.stdout, "outbox %s: %d pending, %d delivered%s", d.Channel, d.Pending, d.Delivered, because(d.LastError))
	}
	for _, r := range s.LastRuns {
		end := "has not ended: still running, or killed"
		if !r.FinishedAt.IsZero() {
			end = string(r.Outcome) + " at " + when(r.FinishedAt)
		}
		line(a.stdout, "last %s: started %s, %s", r.Job, when(r.StartedAt), end)
	}
	for _, text := range s.Coverage {
		line(a.stdout, "coverage: %s", text)
	}
	return nil
}
