package audit

import (
	"context"
	"errors"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/github"
)

const (
	// repositoryEvery is how often a repository's ids are looked up.
	repositoryEvery = 24 * time.Hour
	// againAtLeast is how soon GitHub is asked again for what it did not have, or did not answer.
	againAtLeast = 10 * time.Minute
	// againAtMost is the longest time after which what failed is tried again.
	againAtMost = 6 * time.Hour
	// maxStoreFailures in a row end the questions of a pass: a service in trouble is not asked for everything else too.
	maxStoreFailures = 5
	// bundlePage is how many bundles are read from the record at once: one may be large.
	bundlePage = 8
)

// StoreSummary is what reading GitHub's store gave.
type StoreSummary struct {
	// Asked counts the files that it was asked for, Left those that are due and were not.
	Asked int `json:"asked"`
	Left  int `json:"left"`
	// Runs counts the workflow runs that were looked up.
	Runs int `json:"runs,omitempty"`
	// Again is when GitHub may be asked again, where its rate limit or budget is used up.
	Again time.Time `json:"again_at,omitzero"`
}

// store reads GitHub's attestation store as far as it is due, and as GitHub lets it: what is left is due the next time.
func (c *collector) store(ctx context.Context) error {
	if err := c.reverifyBundles(ctx); err != nil {
		return err
	}
	if c.GitHub == nil {
		return nil
	}
	c.summary.GitHub = &StoreSummary{}
	there, err := c.lookUpRepository(ctx)
	if err != nil {
		return err
	}
	if there {
		if err := c.askStore(ctx); err != nil {
			return err
		}
		// What was met with one file may be about others.
		if err := c.reverifyBundles(ctx); err != nil {
			return err
		}
		if c.Runs != nil {
			if err := c.runs(ctx); err != nil {
				return err
			}
		}
	}
	s := c.summary.GitHub
	if s.Left, err = c.Store.CountDueInStore(ctx, c.Clock.Now(), c.facts.ID, c.repository); err != nil {
		return err
	}
	switch {
	case s.Left == 0:
	case s.Again.IsZero():
		c.summary.trouble("GitHub's attestation store: %s are still to be asked for", count(s.Left, "file"))
	default:
		c.summary.trouble("GitHub's attestation store: %s are still to be asked for: it may be asked again at %s", count(s.Left, "file"), s.Again.UTC().Format(time.RFC3339))
	}
	return nil
}

// lookUpRepository asks for the repository's ids where that is due, and reports whether GitHub is known to have it: of one that it
// does not show it says "none" to every question.
func (c *collector) lookUpRepository(ctx context.Context) (bool, error) {
	known, err := c.Store.Repository(ctx, c.repository)
	if err != nil {
		return false, err
	}
	now := c.Clock.Now()
	if now.Before(known.DueAt) {
		return known.FailingSince.IsZero() && known.Current != "", nil
	}
	r, err := c.GitHub.Repository(ctx, c.repository)
	switch {
	case err == nil:
		err = c.Store.SaveRepository(ctx, now, c.repository, r, now.Add(repositoryEvery))
		failpoint.Hit("audit/repository-committed")
		return true, err
	case isContext(ctx, err):
		return false, err
	case c.rateLimited(err):
		return known.FailingSince.IsZero() && known.Current != "", nil
	}
	c.summary.trouble("GitHub: %v", err)
	return false, c.Store.RepositoryFailed(ctx, now, c.repository, err.Error(), now.Add(again(now.Sub(known.FailingSince), againAtMost)))
}

// rateLimited notes that GitHub may not be asked any more, and until when.
func (c *collector) rateLimited(err error) bool {
	var limit *github.RateLimitError
	if !errors.As(err, &limit) {
		return false
	}
	c.summary.GitHub.Again = limit.Until
	c.Logger.Info("GitHub is not asked any more", "until", limit.Until, "why", limit.Why)
	return true
}

// askStore asks for one file after the other until none is due, GitHub's rate limit is used up, or it is in trouble.
func (c *collector) askStore(ctx context.Context) error {
	due, err := c.Store.CountDueInStore(ctx, c.Clock.Now(), c.facts.ID, c.repository)
	if err != nil || due == 0 {
		return err
	}
	c.Progress.Start(c.facts.ref()+": GitHub's attestations", int64(due))
	defer c.Progress.Done()
	failures := 0
	for {
		files, err := c.Store.DueInStore(ctx, c.Clock.Now(), c.facts.ID, c.repository, page)
		if err != nil || len(files) == 0 {
			return err
		}
		for _, f := range files {
			answered, err := c.askStoreFor(ctx, f)
			switch {
			case err != nil:
				return err
			case !c.summary.GitHub.Again.IsZero():
				return nil
			case answered:
				failures = 0
			default:
				if failures++; failures == maxStoreFailures {
					return nil
				}
			}
			c.Progress.Step(1)
		}
	}
}

// askStoreFor asks for one file.
func (c *collector) askStoreFor(ctx context.Context, f FileFacts) (answered bool, err error) {
	all, err := c.GitHub.Attestations(ctx, c.repository, f.SHA256)
	now := c.Clock.Now()
	u := StoreUpdate{Repository: c.repository, State: StoreNone}
	if err != nil {
		if isContext(ctx, err) {
			return false, err
		}
		if c.rateLimited(err) {
			return false, nil
		}
		c.summary.trouble("%s: %v", f.Filename, err)
		since := f.Store.FailingSince
		if since.IsZero() {
			since = now
		}
		u.Due = now.Add(again(now.Sub(since), againAtMost))
		return false, c.Store.StoreFailed(ctx, now, f.ID, u, err.Error())
	}
	c.summary.GitHub.Asked++
	provenance := false
	for _, a := range all {
		v := c.Verifier.Bundle(a.Bundle, f.SHA256)
		b := StoreBundle{Body: a.Bundle, RepositoryID: a.RepositoryID, Verification: v}
		for _, one := range v.Attestations {
			b.Digests = one.Digests
			provenance = provenance || c.provenanceOf(one.Facts, f)
		}
		u.State, u.Bundles = StoreServed, append(u.Bundles, b)
	}
	// What the store had it goes on having, so that it is asked for seldom; what it did not have may still come, though the less
	// the older the file is.
	u.Due = now.Add(c.RecheckAfter)
	if !provenance {
		u.Due = now.Add(again(now.Sub(freshAt(f)), c.RecheckAfter))
	}
	if err := c.Store.SaveStored(ctx, now, f.ID, u); err != nil {
		return false, err
	}
	failpoint.Hit("audit/store-committed")
	return true, nil
}

// provenanceOf reports whether an attestation is SLSA provenance of a file by somebody who may publish it.
func (c *collector) provenanceOf(at AttestationFacts, f FileFacts) bool {
	if at.Status != attest.Verified || at.PredicateType != attest.PredicateSLSA || at.Identity == nil || len(at.Contradictions) > 0 || at.PredicateError != "" {
		return false
	}
	j := Judge{Policy: c.policy}
	for _, name := range c.policy.Judge(*at.Identity).Grades {
		if mayPublish(j.grade(name), c.facts.ref(), f.Version, at) == "" {
			return true
		}
	}
	return false
}

// freshAt is how old a file is at most: since when something about it may still be on its way.
func freshAt(f FileFacts) time.Time {
	if f.UploadedAt.IsZero() {
		return f.FirstSeen
	}
	return f.UploadedAt
}

// again is how long to wait until a question is asked again: for as long as it has been open.
func again(open, atMost time.Duration) time.Duration {
	return min(max(open, againAtLeast), max(atMost, againAtLeast))
}

// reverifyBundles verifies bundles of the record for the files that they are about: those that were met with another file, and
// those that were verified with other trusted roots. No request is made for it.
func (c *collector) reverifyBundles(ctx context.Context) error {
	for afterFile, afterBundle := int64(0), int64(0); ; {
		docs, err := c.Store.UnverifiedBundles(ctx, c.facts.ID, c.Verifier.Name, afterFile, afterBundle, bundlePage)
		if err != nil {
			return err
		}
		for _, d := range docs {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if err := c.Store.SaveBundleVerification(ctx, c.Clock.Now(), d, c.Verifier.Stored(d)); err != nil {
				return err
			}
			failpoint.Hit("audit/bundle-committed")
			c.summary.Reverified++
			afterFile, afterBundle = d.FileID, d.ID
		}
		if len(docs) < bundlePage {
			return nil
		}
	}
}
