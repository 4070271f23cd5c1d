// Package audit is the reconciliation: facts and policy become findings.
//
// It promises that judging is pure (the same facts, policy and time give the same findings, in the same order), that
// what could not be looked at stays unknown and neither opens nor resolves anything, and that each step of a pass is
// one transaction, so that a pass which is killed goes on where it stopped. It does not promise to have seen a ledger
// that it does not read: what it did not look at is in its Assessment's Unknowns.
//
// The pipeline of a pass:
//
//	index ──listing──▶ files ──provenance due──▶ documents ──verify──▶ attestations ──judge──▶ findings ──▶ outbox
//	        (1 request)  │    (1 request a file)             (offline)      ▲        (pure)     (one transaction)
//	                     └──GitHub's store due──▶ bundles ────verify────────┘
package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// PyPI is what the audit asks of package indexes; *pypi.Client is one.
type PyPI interface {
	Listing(ctx context.Context, index pypi.Index, project, etag string, serial int64) (*pypi.Listing, error)
	Provenance(ctx context.Context, index pypi.Index, url, etag string) (pypi.ProvenanceAnswer, error)
	Ownership(ctx context.Context, index pypi.Index, project string) (pypi.Ownership, error)
	Download(ctx context.Context, f pypi.File, read func(io.Reader) error) error
}

// Auditor makes passes over PyPI projects.
type Auditor struct {
	Store Store
	PyPI  PyPI
	// GitHub is whose attestation stores are read; nil reads none, and what only they could tell stays unknown.
	GitHub GitHub
	// Runs is where the workflow runs that certificates name are looked up; nil looks none up. It needs GitHub. Of a job that signed
	// what nothing accounts for it is asked in any case, and of all others where AllRuns is set.
	Runs     WorkflowRuns
	AllRuns  bool
	Verifier *Verifier
	Rules    RuleSet
	Clock    clock.Clock
	Logger   *slog.Logger
	Progress Progress
	// Channels are told of every announced change of a finding.
	Channels []string
	// RecheckAfter is how old an answer about provenance, or of the store, may get before it is asked for again.
	RecheckAfter time.Duration
}

// Options narrow a pass.
type Options struct {
	// Deep downloads every file and hashes it.
	Deep bool
	// Since leaves out of the report, and of the deep check, files uploaded before it. All files are recorded and
	// judged all the same: a part of the record would be a gap in it.
	Since time.Time
}

// Summary is what a pass over one PyPI project found.
type Summary struct {
	Project     string            `json:"project"`
	Index       string            `json:"index"`
	PyPIProject string            `json:"pypi_project"`
	Files       map[FileState]int `json:"files"`
	Releases    int               `json:"releases"`
	Fetched     int               `json:"provenance_fetched"`
	Reverified  int               `json:"verified_again"`
	Downloaded  int               `json:"downloaded"`
	Opened      int               `json:"opened"`
	Resolved    int               `json:"resolved"`
	Waiting     int               `json:"waiting"`
	// Troubles are what kept something unknown that this version does read; empty for a complete pass.
	Troubles []string `json:"troubles,omitempty"`
	// GitHub is what reading GitHub's attestation store gave; nil where it is not read.
	GitHub *StoreSummary `json:"github,omitempty"`
	// Unread are rules that only a ledger could judge which is not read, with how many files each is about.
	Unread map[string]int `json:"unread,omitempty"`
}

// Complete reports whether everything that this version reads was read.
func (s Summary) Complete() bool { return len(s.Troubles) == 0 }

func (s *Summary) trouble(format string, args ...any) {
	const most = 50
	if len(s.Troubles) < most {
		s.Troubles = append(s.Troubles, oneLine(fmt.Sprintf(format, args...), 400))
	}
}

// Project audits one PyPI project: collects what the index says, verifies it, and settles the findings. The error is
// the record's or the context's; trouble with the index is in the Summary.
func (a *Auditor) Project(ctx context.Context, project config.Project, on config.PyPIProject, index config.Index, o Options) (Summary, error) {
	s := Summary{Project: project.Name, Index: on.Index, PyPIProject: on.Name, Files: map[FileState]int{}, Unread: map[string]int{}}
	c := collector{Auditor: a, index: pypi.Index{URL: index.URL}, summary: &s, options: o, policy: project.Policy, repository: project.Policy.Repository.Name}
	var err error
	if c.facts, err = a.Store.Project(ctx, project.Name, on.Index, on.Name); err != nil {
		return s, err
	}
	c.facts.URL = index.URL + "/simple/" + on.Name + "/"
	if err := c.collect(ctx); err != nil {
		return s, err
	}
	failpoint.Hit("audit/collected")
	if c.facts, err = a.Store.Project(ctx, project.Name, on.Index, on.Name); err != nil {
		return s, err
	}
	c.facts.URL = index.URL + "/simple/" + on.Name + "/"
	// The record keeps microseconds: what is judged must be what is read back.
	judge := &Judge{Policy: project.Policy, Rules: a.Rules, Now: a.Clock.Now().UTC().Truncate(time.Microsecond),
		RemovalsExpected: slices.Contains(project.ExpectRemovals, on), StoreRead: a.GitHub != nil}
	if judge.Repository, err = a.Store.Repository(ctx, c.repository); err != nil {
		return s, err
	}
	// A project's repository is one, however many projects on an index it has.
	judge.First = len(project.PyPI) > 0 && project.PyPI[0] == on
	err = c.settle(ctx, judge)
	return s, err
}

// settle judges everything that the record holds of a project, and writes what came of it.
func (c *collector) settle(ctx context.Context, j *Judge) error {
	settlement := Settlement{Project: c.facts, Channels: c.Channels}
	var done bool
	var err error
	if settlement.JudgedBy, done, err = c.settled(ctx, j); err != nil || done {
		return err
	}
	versions, err := c.Store.Versions(ctx, c.facts.ID)
	if err != nil {
		return err
	}
	sortVersions(versions)
	canary := j.Canary(c.facts)
	var lineage Lineage
	var failing, failingStore []FileFacts
	var others otherIDs
	untold := 0
	for _, version := range versions {
		r, err := c.Store.Release(ctx, c.facts.ID, version)
		if err != nil {
			return err
		}
		var v ReleaseVerdict
		v, lineage = j.Release(c.facts, r, lineage)
		settlement.Assessment.merge(v.Assessment)
		canary.See(r)
		rj := ReleaseJudgement{Version: version, States: v.State(), SLSA: v.SLSA}
		for i, f := range r.Files {
			rj.Files = append(rj.Files, FileJudgement{ID: f.ID, State: v.Files[i].State, Grade: v.Files[i].Grade, SLSA: v.Files[i].SLSA})
			if !f.Gone() && !f.Provenance.FailingSince.IsZero() {
				failing = append(failing, f)
			}
			if !f.Gone() && !f.Store.FailingSince.IsZero() {
				failingStore = append(failingStore, f)
			}
			others.add(j, f)
			if !f.Gone() && f.Provenance.State == ProvenanceUntold {
				untold++
			}
			if f.UploadedAt.IsZero() || !f.UploadedAt.Before(c.options.Since) {
				c.summary.Files[v.Files[i].State]++
			}
		}
		settlement.Releases = append(settlement.Releases, rj)
	}
	c.summary.Releases = len(versions)
	if untold > 0 {
		c.summary.trouble("%s: the index does not tell whether %s have provenance (PEP 740)", c.facts.ref(), count(untold, "file"))
	}
	settlement.Assessment.merge(j.Project(c.facts, failing))
	settlement.Assessment.merge(j.GitHub(c.facts, failingStore, others))
	settlement.Assessment.merge(canary.Judge())
	if j.First {
		if err := c.Store.Runs(ctx, c.repository, func(f RunFacts) error {
			settlement.Assessment.merge(j.Run(c.facts, f))
			return nil
		}); err != nil {
			return err
		}
	}
	if !c.facts.FailingSince.IsZero() {
		c.summary.trouble("%s: %s", c.facts.ref(), c.facts.Failure)
	}
	for _, u := range settlement.Assessment.Unknowns {
		if u.Unread {
			c.summary.Unread[u.Rule]++
		}
	}
	c.summary.Waiting = len(settlement.Assessment.Waiting)
	settlement.JudgedBy.keep(j, settlement.Assessment, c.summary, c.options.Since.IsZero())
	changes, err := c.Store.Settle(ctx, j.Now, settlement)
	if err != nil {
		return err
	}
	failpoint.Hit("audit/settled")
	for _, ch := range changes {
		switch ch.Transition {
		case Opened, Reopened:
			c.summary.Opened++
		case Settled:
			c.summary.Resolved++
		}
		c.Logger.Info("finding "+string(ch.Transition), "id", ch.Finding.ID, "rule", ch.Finding.Rule, "severity", ch.Finding.Severity, "summary", ch.Finding.Summary)
	}
	return nil
}

// Progress is told how far long work has come. Its methods may be called from one goroutine at a time.
type Progress interface {
	// Start begins a piece of work of a number of steps (0: not known).
	Start(what string, steps int64)
	Step(n int64)
	Done()
}

// isContext reports whether an error is the context's end.
func isContext(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)))
}
