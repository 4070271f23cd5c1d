package db

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// What the large record holds: releases of 35 files each, whose job signs provenance besides, and builds that sign ten entries
// with one certificate.
const (
	scaleFiles, scaleEntries = 100_000, 1_000_000
	filesOfARelease          = 35
	entriesOfABuild          = 10
)

// scalePolicy has a grade that publishes and one that does not.
func scalePolicy() identity.Policy {
	return identity.Policy{Project: "onnx", Issuer: identity.GitHubActionsIssuer, Repository: identity.Repository{Name: "onnx/onnx"}, Grades: []identity.Grade{
		{Name: "release", Workflow: "release.yml", Refs: []*regexp.Regexp{regexp.MustCompile(`^(?:refs/heads/main)$`)}, Triggers: []string{"workflow_dispatch"},
			Environment: "pypi", Publishes: []string{"pypi/onnx"}, SLSASince: &identity.Since{}},
		{Name: "ci", Workflow: "ci.yml", Refs: []*regexp.Regexp{regexp.MustCompile(`^(?:refs/heads/main)$`)}, Triggers: []string{"push"}, Environment: identity.NoEnvironment},
	}}
}

// scaleIdentity is that of a job; its run is the placeholder RUN.
func scaleIdentity(workflow, trigger, environment string) identity.Identity {
	san := "https://github.com/onnx/onnx/.github/workflows/" + workflow + "@refs/heads/main"
	return identity.Identity{SAN: san, SANType: identity.SANTypeURI, Issuer: identity.GitHubActionsIssuer, BuildSignerURI: san, RunnerEnvironment: "github-hosted",
		SourceRepositoryURI: "https://github.com/onnx/onnx", SourceRepositoryRef: "refs/heads/main", SourceRepositoryOwnerURI: "https://github.com/onnx", BuildConfigURI: san,
		BuildTrigger: trigger, RunInvocationURI: "https://github.com/onnx/onnx/actions/runs/RUN/attempts/1", SourceRepositoryVisibility: "public",
		DeploymentEnvironment: environment, TokenSubject: "repo:onnx/onnx"}
}

// makeScale makes the large record with SQL alone. Its digests are numbers, and what was verified is said to have been.
func makeScale(tb testing.TB, path string, files, entries int) {
	tb.Helper()
	db, err := Open(context.Background(), path)
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	release, build := scaleIdentity("release.yml", "workflow_dispatch", "pypi"), scaleIdentity("ci.yml", "push", "")
	facts := audit.AttestationFacts{Publisher: attest.Publisher{Kind: "GitHub", Repository: "onnx/onnx", Workflow: "release.yml", Environment: "pypi"},
		Status: attest.Verified, PredicateType: attest.PredicatePublish, StatementSHA256: "STATEMENT", Identity: &release, Entries: []audit.LogRef{{Origin: "log.example"}}}
	for _, name := range []string{attest.CheckSignature, attest.CheckSubject, attest.CheckInclusionProof, attest.CheckChain, attest.CheckSCT, attest.CheckSigstore} {
		facts.Checks = append(facts.Checks, attest.Check{Name: name, Status: attest.Pass, Detail: "as it should be"})
	}
	text := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			tb.Fatal(err)
		}
		return string(raw)
	}
	body := func(id identity.Identity) string {
		return text(audit.LogHit{Kind: audit.HitEntry, Class: "self", Project: "onnx", EntryKind: "hashedrekord", APIVersion: "0.0.2", Certificates: []audit.HitCert{
			{Match: identity.WatchMatch{Class: identity.WatchSelf, Project: "onnx"}, IssuerKeyHash: "ca", TBSSHA256: "TBS", Chained: true, Identity: &id}}})
	}
	// Jobs 1 to r are releases', whose entries come first: a file's has the file's number, and its provenance follows these. Then
	// come builds.
	r := (files + filesOfARelease - 1) / filesOfARelease
	builds := (entries - files - r) / entriesOfABuild
	const count = `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `
	entry := `CAST('{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"' || printf('%08d', i) || 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},"signature":{"content":"AA==","verifier":{"keyDetails":"x","x509Certificate":{"rawBytes":"AA=="}}}}}}' AS BLOB)`
	owner := fmt.Sprintf(`CASE WHEN i <= %d THEN (i - 1) / %d + 1 WHEN i <= %d THEN i - %d ELSE %d + (i - %d - 1) / %d + 1 END`, files, filesOfARelease, files+r, files, r, files+r, entriesOfABuild)
	total := files + r + builds*entriesOfABuild
	for _, step := range []struct {
		query string
		args  []any
	}{
		{`INSERT INTO pypi_projects (index_name, name, status, serial, etag, checked_at, changed_at) VALUES ('pypi', 'onnx', 'active', 1, 'e', ?1, ?1)`, []any{micros(hour(0))}},
		{`INSERT INTO logs (origin, kind, key_id, url, start_index, read_index, proven_index, read_range, proven_range) VALUES ('log.example', 'rekor-v2', '1d', 'https://log.example', 0, ?1, ?1, x'', x''),
			('ct.example', 'ct-static', 'c7', 'https://ct.example', 0, ?1, ?1, x'', x'')`, []any{total}},
		{fmt.Sprintf(count, r) + `INSERT INTO releases (pypi_project_id, version, first_seen, states) SELECT 1, i || '.0', ?1, 'full-provenance' FROM n`, []any{micros(hour(0))}},
		{fmt.Sprintf(count, r+builds) + `INSERT INTO certificates (issuer_key_hash, tbs_sha256, sha256, serial, not_before, not_after, san, issuer, identity, der, first_seen, promises_read)
			SELECT 'ca', 'tbs' || i, 'c' || i, i, ?1 + i, ?1 + i + 600000000, 's', 'x', replace(CASE WHEN i <= ?2 THEN ?3 ELSE ?4 END, 'RUN', i), x'00', ?1, 1 FROM n`,
			[]any{micros(hour(0)), r, text(release), text(build)}},
		{fmt.Sprintf(count, total) + `INSERT INTO entries (log_id, origin, tree_index, global_index, leaf_hash, kind, api_version, body, first_seen)
			SELECT '1d', 'log.example', i - 1, i - 1, 'leaf' || i, 'hashedrekord', '0.0.2', ` + entry + `, ?1 FROM n`, []any{micros(hour(0))}},
		{fmt.Sprintf(count, total) + `INSERT INTO entry_certificates (entry_id, certificate_id) SELECT i, ` + owner + ` FROM n`, nil},
		{fmt.Sprintf(count, total) + `INSERT INTO hits (log_id, tree_index, leaf_hash, leaf, kind, class, project, san, chained, entry_id, certificate_id, body, first_seen)
			SELECT 1, i - 1, 'leaf' || i, ` + entry + `, 'entry', 'self', 'onnx', 's', 1, i, ` + owner + `, replace(CASE WHEN i <= ?2 THEN ?3 ELSE ?4 END, 'RUN', ` + owner + `), ?1 FROM n`,
			[]any{micros(hour(0)), files + r, body(release), body(build)}},
		{fmt.Sprintf(count, r+builds) + `INSERT INTO hits (log_id, tree_index, leaf_hash, leaf, kind, class, project, san, chained, certificate_id, body, logged_at, first_seen)
			SELECT 2, i - 1, 'ct' || i, x'00', 'certificate', 'self', 'onnx', 's', 1, i, '{}', ?1, ?1 FROM n`, []any{micros(hour(0))}},
		{fmt.Sprintf(count, files) + `INSERT INTO provenances (file_id, sha256, body, verified_with, first_seen, last_seen) SELECT i, 'p' || i, x'00', 'v', ?1, ?1 FROM n`, []any{micros(hour(0))}},
		{fmt.Sprintf(count, files) + fmt.Sprintf(`INSERT INTO files (pypi_project_id, version, filename, sha256, size, url, uploaded_at, yanked, yanked_reason, name_error, listing, first_seen, last_seen,
			provenance_url, provenance_etag, provenance_state, provenance_since, provenance_checked_at, provenance_due, provenance_id)
			SELECT 1, ((i - 1) / %d + 1) || '.0', 'onnx-' || i || '.whl', 'f' || i, 1, 'u', ?1, 0, '', '', '{}', ?1, ?1, 'u', '', 'served', ?1, ?1, 0, i FROM n`, filesOfARelease), []any{micros(hour(0))}},
		{fmt.Sprintf(count, files) + fmt.Sprintf(`INSERT INTO attestations (provenance_id, bundle, position, status, predicate_type, certificate_id, facts)
			SELECT i, 0, 0, 'verified', 'p', (i - 1) / %d + 1, replace(?1, 'RUN', i) FROM n`, filesOfARelease), []any{text(facts)}},
		{fmt.Sprintf(count, files) + `INSERT INTO attestation_entries (attestation_id, entry_id, global_index) SELECT i, i, i - 1 FROM n`, nil},
	} {
		if step.query[0:4] == "WITH" && step.args == nil {
			step.args = []any{}
		}
		if _, err := db.w.Exec("PRAGMA foreign_keys = OFF"); err != nil { // files and documents name each other
			tb.Fatal(err)
		}
		if _, err := db.w.Exec(step.query, step.args...); err != nil {
			tb.Fatalf("%v\n%s", err, step.query)
		}
	}
	if _, err := db.w.Exec("PRAGMA foreign_keys = ON; PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		tb.Fatal(err)
	}
}

// unchangedIndex is an index of which nothing is new.
type unchangedIndex struct{ audit.PyPI }

func (unchangedIndex) Listing(context.Context, pypi.Index, string, string, int64) (*pypi.Listing, error) {
	return nil, pypi.ErrNotModified
}

// scaleMonitor passes over the large record.
type scaleMonitor struct {
	db    *DB
	clock *clock.Simulated
}

// logs judges the logs' part, releases the index's.
func (m scaleMonitor) logs(tb testing.TB) {
	tb.Helper()
	changes, err := audit.SettleLogs(context.Background(), m.db, audit.NewRuleSet(nil), map[string]identity.Policy{"onnx": scalePolicy()}, nil, m.clock.Now(), nil)
	if err != nil || len(changes) > 0 {
		tb.Fatal(err, len(changes))
	}
}

func (m scaleMonitor) releases(tb testing.TB, files int) {
	tb.Helper()
	a := &audit.Auditor{Store: m.db, PyPI: unchangedIndex{}, Verifier: &audit.Verifier{Name: "v"}, Rules: audit.NewRuleSet(nil), Clock: m.clock,
		Logger: slog.New(slog.DiscardHandler), RecheckAfter: 1000 * time.Hour}
	on := config.PyPIProject{Index: "pypi", Name: "onnx"}
	s, err := a.Project(context.Background(), config.Project{Name: "onnx", Policy: scalePolicy(), PyPI: []config.PyPIProject{on}}, on, config.Index{Name: "pypi", URL: "https://pypi.example"}, audit.Options{})
	if err != nil || s.Files[audit.FileVerified] != files || s.Opened > 0 {
		tb.Fatalf("%v: %+v", err, s)
	}
}

// peakHeap runs fn, and says how much memory the heap took at most.
func peakHeap(fn func()) uint64 {
	runtime.GC()
	ctx, stop := context.WithCancel(context.Background())
	peak := uint64(0)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			if clock.Sleep(ctx, clock.Real(), 5*time.Millisecond) != nil {
				return
			}
		}
	})
	fn()
	stop()
	wg.Wait()
	return peak
}

// BenchmarkReconcile judges a record of 100,000 files and 1,000,000 entries: for the first time, and when nothing has changed.
func BenchmarkReconcile(b *testing.B) {
	scaleFiles, scaleEntries := scaleFiles, scaleEntries
	if os.Getenv("SMALL") != "" {
		scaleFiles, scaleEntries = 10_000, 100_000
	}
	path := filepath.Join(b.TempDir(), "monitor.db")
	makeScale(b, path, scaleFiles, scaleEntries)
	if info, err := os.Stat(path); err == nil {
		b.Logf("the record is %d MB", info.Size()>>20)
	}
	db, err := Open(context.Background(), path)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	m := scaleMonitor{db, clock.NewSimulated(hour(1))}
	wall := clock.Real()
	for b.Loop() {
		for _, pass := range []string{"first", "unchanged"} {
			m.clock.Advance(time.Hour)
			for part, do := range map[string]func(){"logs": func() { m.logs(b) }, "releases": func() { m.releases(b, scaleFiles) }} {
				began := wall.Now()
				peak := peakHeap(do)
				b.ReportMetric(wall.Now().Sub(began).Seconds(), pass+"-"+part+"-s")
				b.ReportMetric(float64(peak)/(1<<20), pass+"-"+part+"-peak-MiB")
			}
		}
	}
}
