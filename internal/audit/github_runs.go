package audit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/github"
	"github.com/rekoncile/rekoncile/internal/identity"
)

const (
	// runsKept is for how long a run is expected to be there: GitHub deletes what is older, where a repository has it so.
	runsKept = 90 * 24 * time.Hour
	// runAgain is when a run is looked up again that had not ended.
	runAgain = time.Hour
)

// WorkflowRuns is what corroborating certificates asks of GitHub; *github.Client is one.
type WorkflowRuns interface {
	Run(ctx context.Context, repository string, id, attempt int64) (github.Run, error)
}

// RunFacts is a certificate that names a workflow run of a repository, and what GitHub says of that run.
type RunFacts struct {
	// TBSSHA256 names the certificate.
	TBSSHA256 string
	Identity  *identity.Identity
	NotBefore time.Time
	// URL is the certificate's; Run what GitHub shows, zero where it shows none.
	URL string
	Run github.Run
	// AbsentSince is since when GitHub says that there is no such run; CheckedAt when it last answered.
	AbsentSince, CheckedAt time.Time
	FailingSince           time.Time
	Failure                string
}

// RunStore is the record as corroborating certificates uses it.
type RunStore interface {
	// DueRuns lists the runs that certificates of a repository name and that are due to be looked up, the newest first: all of them,
	// or those of jobs of which some entry is not accounted for.
	DueRuns(ctx context.Context, now time.Time, repository string, all bool, limit int) ([]RunFacts, error)
	// SaveRun stores what GitHub shows of a run, nil where it says that there is none. A zero due is never again.
	SaveRun(ctx context.Context, now time.Time, url string, r *github.Run, due time.Time) error
	// RunFailed notes that GitHub did not answer.
	RunFailed(ctx context.Context, now time.Time, url, problem string, due time.Time) error
	// Runs calls fn for each certificate of a repository whose run was looked up, in the order of the certificates' names.
	Runs(ctx context.Context, repository string, fn func(RunFacts) error) error
}

// runs looks up the workflow runs that certificates name, as far as they are due, and as GitHub lets it.
func (c *collector) runs(ctx context.Context) error {
	for failures := 0; failures < maxStoreFailures && c.summary.GitHub.Again.IsZero(); {
		due, err := c.Store.DueRuns(ctx, c.Clock.Now(), c.repository, c.AllRuns, page)
		if err != nil || len(due) == 0 {
			return err
		}
		for _, r := range due {
			failed, err := c.lookUpRun(ctx, r)
			if err != nil {
				return err
			}
			if failed {
				failures++
			}
			if failures == maxStoreFailures || !c.summary.GitHub.Again.IsZero() {
				break
			}
		}
	}
	return nil
}

// lookUpRun looks up one run.
func (c *collector) lookUpRun(ctx context.Context, f RunFacts) (failed bool, err error) {
	now := c.Clock.Now()
	repository, id, attempt, err := parseRun(f.URL)
	if err != nil {
		return false, c.Store.RunFailed(ctx, now, f.URL, err.Error(), now.Add(runsKept))
	}
	r, err := c.Runs.Run(ctx, repository, id, attempt)
	var none *github.NotFoundError
	switch {
	case err == nil:
		var due time.Time
		if r.Conclusion == "" {
			due = now.Add(runAgain)
		}
		err = c.Store.SaveRun(ctx, now, f.URL, &r, due)
	case errors.As(err, &none):
		// It may have been deleted. One that never was does not come either, so that it is asked for ever more seldom.
		var due time.Time
		if age := now.Sub(f.NotBefore); age < runsKept {
			due = now.Add(again(age, againAtMost))
		}
		err = c.Store.SaveRun(ctx, now, f.URL, nil, due)
	case isContext(ctx, err):
		return false, err
	case c.rateLimited(err):
		return false, nil
	default:
		c.summary.trouble("run %s: %v", f.URL, err)
		return true, c.Store.RunFailed(ctx, now, f.URL, err.Error(), now.Add(again(now.Sub(f.NotBefore), againAtMost)))
	}
	c.summary.GitHub.Runs++
	failpoint.Hit("audit/run-committed")
	return false, err
}

// parseRun takes a run's address apart: https://github.com/OWNER/NAME/actions/runs/ID, and /attempts/N or nothing.
func parseRun(address string) (repository string, id, attempt int64, err error) {
	rest, ok := strings.CutPrefix(address, "https://github.com/")
	repository, run, found := strings.Cut(rest, "/actions/runs/")
	number, nth, again := strings.Cut(run, "/attempts/")
	id, err1 := strconv.ParseInt(number, 10, 64)
	if again {
		attempt, err = strconv.ParseInt(nth, 10, 64)
	}
	if !ok || !found || err1 != nil || err != nil || id <= 0 || attempt < 0 {
		return "", 0, 0, fmt.Errorf("%q is not the address of a workflow run", oneLine(address, 200))
	}
	return repository, id, attempt, nil
}

// Run holds what a certificate says of its workflow run against what GitHub says of it. A run that is no longer there because it
// is old tells nothing. The ref is not compared: GitHub tells branches by their short names.
func (j *Judge) Run(p ProjectFacts, f RunFacts) Assessment {
	var a Assessment
	s := p.subject()
	s.Certificate = f.TBSSHA256
	e := Evidence{Kind: "workflow-run", URL: f.URL, At: f.CheckedAt}
	who := oneLine(f.Identity.Describe(), 300)
	switch {
	case f.CheckedAt.IsZero():
		a.unknown(s, "its workflow run could not be looked up: "+oneLine(f.Failure, 300), RunMismatch)
	case f.Run.Repository == "" && !f.AbsentSince.Before(f.NotBefore.Add(runsKept)):
		a.unknown(s, "its workflow run is older than GitHub keeps runs", RunMismatch)
	case f.Run.Repository == "":
		e.Detail = "404"
		a.wrong(j, RunMismatch, s, f.AbsentSince, Finding{
			Summary:  fmt.Sprintf("a certificate of %s names a workflow run that GitHub does not have", who),
			Expected: "the run " + oneLine(f.URL, 200), Identity: identityRef(f.Identity), Evidence: []Evidence{e},
		})
	default:
		if wrong := contradictions(f); len(wrong) > 0 {
			e.Detail = oneLine(strings.Join(wrong, "; "), 500)
			a.wrong(j, RunMismatch, s, f.CheckedAt, Finding{
				Summary:  fmt.Sprintf("a certificate of %s contradicts its workflow run: %s", who, e.Detail),
				Expected: "a run as the certificate describes it", Identity: identityRef(f.Identity), Evidence: []Evidence{e},
			})
		}
	}
	return a
}

// contradictions lists what a certificate says of its run and GitHub otherwise. The commit of a pull request's run is that of its
// head, and the certificate's that of the merge.
func contradictions(f RunFacts) []string {
	var wrong []string
	differ := func(what, run, certificate string) {
		wrong = append(wrong, fmt.Sprintf("%s: the run's is %q, the certificate says %q", what, oneLine(run, 100), oneLine(certificate, 100)))
	}
	if !strings.EqualFold(f.Run.Repository, f.Identity.Repository()) {
		differ("repository", f.Run.Repository, f.Identity.Repository())
	}
	if trigger := f.Identity.Trigger(); f.Run.Event != trigger {
		differ("event", f.Run.Event, trigger)
	}
	if commit := f.Identity.Commit(); f.Run.HeadSHA != commit && !strings.HasPrefix(f.Run.Event, "pull_request") {
		differ("commit", f.Run.HeadSHA, commit)
	}
	if w, err := identity.ParseWorkflowURI(f.Identity.BuildConfigURI); err == nil && f.Run.Path != "" && f.Run.Path != w.Path {
		differ("workflow", f.Run.Path, w.Path)
	}
	return wrong
}
