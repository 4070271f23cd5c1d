package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// page is how many due files or documents are read from the record at once.
const page = 100

// collector brings the record of one PyPI project up to date.
type collector struct {
	*Auditor
	index   pypi.Index
	facts   ProjectFacts
	summary *Summary
	options Options
	// policy is the project's, repository the name of its repository.
	policy     identity.Policy
	repository string
}

// collect asks the index for whatever may have changed, and verifies it.
func (c *collector) collect(ctx context.Context) error {
	if err := c.listing(ctx); err != nil {
		return err
	}
	if err := c.reverify(ctx); err != nil {
		return err
	}
	if err := c.provenance(ctx); err != nil {
		return err
	}
	if err := c.store(ctx); err != nil {
		return err
	}
	if c.options.Deep {
		return c.deep(ctx)
	}
	return nil
}

// listing asks for the project's files.
func (c *collector) listing(ctx context.Context) error {
	p := c.facts
	etag := p.ETag
	if p.MissingFiles > 0 {
		// "Not modified" would say no more than the last answer did: a whole second one is wanted.
		etag = ""
	}
	l, err := c.PyPI.Listing(ctx, c.index, p.Name, etag, p.Serial)
	var stale *pypi.StaleError
	switch {
	case err == nil:
	case isContext(ctx, err):
		return err
	case errors.Is(err, pypi.ErrNotModified):
		return c.Store.ListingUnchanged(ctx, c.Clock.Now(), p.ID)
	case errors.As(err, &stale):
		// An old answer tells nothing, not even that the index is in trouble.
		c.Logger.Info("a stale listing was ignored", "project", p.ref(), "error", err)
		return nil
	default:
		return c.Store.ListingFailed(ctx, c.Clock.Now(), p.ID, err.Error())
	}
	for _, note := range l.Notes {
		c.Logger.Warn("listing", "project", p.ref(), "note", note)
	}
	u := ListingUpdate{ProjectID: p.ID, Listing: l}
	if owners, err := c.PyPI.Ownership(ctx, c.index, p.Name); err == nil {
		if u.Ownership, err = ownershipBody(owners); err != nil {
			return err
		}
	} else if isContext(ctx, err) {
		return err
	} else {
		c.summary.trouble("%s: the owners are not known: %v", p.ref(), err)
	}
	change, err := c.Store.SaveListing(ctx, c.Clock.Now(), u)
	if err != nil {
		return err
	}
	failpoint.Hit("audit/listing-committed")
	c.Logger.Info("listing changed", "project", p.ref(), "serial", l.Serial, "files", len(l.Files), "added", change.Added,
		"changed", change.Changed, "missing", change.Missing, "removed", change.Removed, "replaced", change.Replaced)
	return nil
}

// reverify verifies again what was verified with other trusted roots: no request is made for it.
func (c *collector) reverify(ctx context.Context) error {
	for after := int64(0); ; {
		docs, err := c.Store.Unverified(ctx, c.facts.ID, c.Verifier.Name, after, page)
		if err != nil {
			return err
		}
		for _, d := range docs {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			v := c.Verifier.Document(d.Body, d.Filename, d.SHA256)
			if err := c.Store.SaveVerification(ctx, c.Clock.Now(), d.ID, v); err != nil {
				return err
			}
			failpoint.Hit("audit/verification-committed")
			c.summary.Reverified++
			after = d.ID
		}
		if len(docs) < page {
			return nil
		}
	}
}

// provenance asks for every provenance document that is due.
func (c *collector) provenance(ctx context.Context) error {
	due, err := c.Store.MarkStaleProvenance(ctx, c.facts.ID, c.Clock.Now().Add(-c.RecheckAfter))
	if err != nil || due == 0 {
		return err
	}
	c.Progress.Start(c.facts.ref()+": provenance", int64(due))
	defer c.Progress.Done()
	for after := int64(0); ; {
		files, err := c.Store.DueProvenance(ctx, c.facts.ID, after, page)
		if err != nil {
			return err
		}
		for _, f := range files {
			after = f.ID
			if err := c.fileProvenance(ctx, f); err != nil {
				return err
			}
			c.Progress.Step(1)
		}
		if len(files) < page {
			return nil
		}
	}
}

// fileProvenance asks for one file's provenance document.
func (c *collector) fileProvenance(ctx context.Context, f FileFacts) error {
	answer, err := c.PyPI.Provenance(ctx, c.index, f.Provenance.URL, f.Provenance.ETag)
	if err != nil {
		if isContext(ctx, err) {
			return err
		}
		c.summary.trouble("%s: %v", f.Filename, err)
		return c.Store.ProvenanceFailed(ctx, c.Clock.Now(), f.ID, err.Error())
	}
	c.summary.Fetched++
	u := ProvenanceUpdate{ETag: answer.ETag}
	switch answer.State {
	case pypi.ProvenanceNotFound:
		u.State = ProvenanceNotFound
	case pypi.ProvenanceForbidden:
		u.State = ProvenanceForbidden
		c.summary.trouble("%s: the index refuses to serve its provenance (403)", f.Filename)
	case pypi.ProvenanceNotModified:
		u.State, u.Unchanged, u.ETag = ProvenanceServed, true, f.Provenance.ETag
	case pypi.ProvenanceServed:
		u.State, u.Body = ProvenanceServed, answer.Body
		u.Verification = c.Verifier.Document(answer.Body, f.Filename, f.SHA256)
		if u.Problem != "" {
			// What cannot be read at all is no document: a broken proxy must neither replace the one that the record
			// holds nor accuse the project. It stays unknown, and after its grace period that is a finding.
			problem := f.Provenance.URL + ": " + u.Problem
			c.summary.trouble("%s", problem)
			return c.Store.ProvenanceFailed(ctx, c.Clock.Now(), f.ID, problem)
		}
	}
	if err := c.Store.SaveProvenance(ctx, c.Clock.Now(), f.ID, u); err != nil {
		return err
	}
	failpoint.Hit("audit/provenance-committed")
	return nil
}

// deep downloads every file that is on the index and hashes it: the listing's digest is only the index's word for what
// it hands out.
func (c *collector) deep(ctx context.Context) error {
	versions, err := c.Store.Versions(ctx, c.facts.ID)
	if err != nil {
		return err
	}
	sortVersions(versions)
	var files []FileFacts
	var bytes int64
	for _, v := range versions {
		r, err := c.Store.Release(ctx, c.facts.ID, v)
		if err != nil {
			return err
		}
		for _, f := range r.Files {
			if f.Gone() || !f.UploadedAt.IsZero() && f.UploadedAt.Before(c.options.Since) {
				continue
			}
			f.Listing, f.Provenance = nil, ProvenanceFacts{} // many files: keep what is needed
			files = append(files, f)
			bytes += max(f.Size, 0)
		}
	}
	c.Progress.Start(c.facts.ref()+": download", bytes)
	defer c.Progress.Done()
	for _, f := range files {
		digest, err := c.download(ctx, f)
		switch {
		case err == nil:
		case isContext(ctx, err):
			return err
		default:
			c.summary.trouble("%s: %v", f.Filename, err)
			continue
		}
		c.summary.Downloaded++
		if err := c.Store.SaveDeepCheck(ctx, c.Clock.Now(), f.ID, digest); err != nil {
			return err
		}
		failpoint.Hit("audit/deep-check-committed")
	}
	return nil
}

// download fetches a file and returns the hex SHA-256 of its bytes.
func (c *collector) download(ctx context.Context, f FileFacts) (string, error) {
	var digest string
	err := c.PyPI.Download(ctx, pypi.File{Filename: f.Filename, URL: f.URL, Size: f.Size}, func(r io.Reader) error {
		h := sha256.New()
		buf := make([]byte, 256<<10)
		for {
			n, err := r.Read(buf)
			h.Write(buf[:n])
			c.Progress.Step(int64(n))
			if errors.Is(err, io.EOF) {
				digest = hex.EncodeToString(h.Sum(nil))
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	return digest, err
}
