package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// Observer looks at what an index serves of a project that nobody has a policy for: trust on first use.
//
// It promises that whatever it observed was verified, that it looks at no more than it was asked for and says what it left out,
// and that it writes nothing. It does not promise that what was signed should have been: that is for a person to say.
type Observer struct {
	PyPI     *pypi.Client
	Verifier *Verifier
	Progress Progress
}

// filesARelease is how many files of a release are looked at: those uploaded first and last, and two in between.
const filesARelease = 4

// Observation is what was observed of a project on an index.
type Observation struct {
	Index   config.Index
	Project string
	// Files counts those listed, Attested those of them that the index has provenance for.
	Files, Attested int
	// Releases are those with provenance, oldest first, and Looked which of them were looked at.
	Releases []ObservedRelease
	// First is the earliest attested file by its upload, LowestVersion the lowest attested version.
	First         pypi.File
	LowestVersion string
	// Unattested are the files that carry no provenance.
	Unattested []pypi.File
	// Signatures are the verified attestations that were looked at, in the order of their files' uploads.
	Signatures []ObservedSignature
	// Troubles are what was looked at and could not be used.
	Troubles []string
}

// ObservedRelease is a release with provenance.
type ObservedRelease struct {
	Version string
	Files   []pypi.File // those with provenance, in the order of their uploads
	Looked  int         // how many of them were looked at
}

// ObservedSignature is a verified attestation of a file.
type ObservedSignature struct {
	File pypi.File
	AttestationFacts
}

// Observe looks at a project: at the files of so many releases with provenance, half of them the newest and half the oldest. The
// error says that nothing is known, as [pypi.Client.Listing]'s does.
func (o *Observer) Observe(ctx context.Context, index config.Index, project string, releases int) (*Observation, error) {
	listing, err := o.PyPI.Listing(ctx, pypi.Index{URL: index.URL}, project, "", 0)
	if err != nil {
		return nil, err
	}
	x := observationOf(index, listing)
	chosen := x.choose(releases)
	var due int64
	for _, r := range chosen {
		due += int64(len(pick(r.Files)))
	}
	o.Progress.Start(index.Name+"/"+x.Project+": provenance", due)
	defer o.Progress.Done()
	for _, r := range chosen {
		for _, f := range pick(r.Files) {
			if err := o.file(ctx, x, f); err != nil {
				return nil, err
			}
			r.Looked++
			o.Progress.Step(1)
		}
	}
	slices.SortStableFunc(x.Signatures, func(a, b ObservedSignature) int { return a.File.UploadedAt.Compare(b.File.UploadedAt) })
	return x, nil
}

// observationOf is what a listing alone tells.
func observationOf(index config.Index, listing *pypi.Listing) *Observation {
	x := &Observation{Index: index, Project: listing.Name, Files: len(listing.Files)}
	byVersion := map[string]int{}
	files := slices.Clone(listing.Files)
	slices.SortStableFunc(files, func(a, b pypi.File) int {
		return cmp.Or(a.UploadedAt.Compare(b.UploadedAt), cmp.Compare(a.Filename, b.Filename))
	})
	for _, f := range files {
		if f.ProvenanceURL == "" {
			x.Unattested = append(x.Unattested, f)
			continue
		}
		if x.Attested == 0 {
			x.First, x.LowestVersion = f, f.Version
		}
		x.Attested++
		if olderThan(f.Version, x.LowestVersion) {
			x.LowestVersion = f.Version
		}
		i, ok := byVersion[f.Version]
		if !ok {
			i = len(x.Releases)
			byVersion[f.Version] = i
			x.Releases = append(x.Releases, ObservedRelease{Version: f.Version})
		}
		x.Releases[i].Files = append(x.Releases[i].Files, f)
	}
	return x
}

// choose picks releases to look at: the newest ones and the oldest ones.
func (x *Observation) choose(n int) []*ObservedRelease {
	var chosen []*ObservedRelease
	newest := (n + 1) / 2
	for i := range x.Releases {
		if i < n-newest || i >= len(x.Releases)-newest || len(x.Releases) <= n {
			chosen = append(chosen, &x.Releases[i])
		}
	}
	return chosen
}

// pick takes a few files of a release: the first, the last, and two in between.
func pick(files []pypi.File) []pypi.File {
	n := len(files)
	if n <= filesARelease {
		return files
	}
	return []pypi.File{files[0], files[n/3], files[2*n/3], files[n-1]}
}

// file looks at one file's provenance. The error is the context's.
func (o *Observer) file(ctx context.Context, x *Observation, f pypi.File) error {
	answer, err := o.PyPI.Provenance(ctx, pypi.Index{URL: x.Index.URL}, f.ProvenanceURL, "")
	switch {
	case err != nil && isContext(ctx, err):
		return err
	case err != nil:
		x.trouble(f, "its provenance cannot be read: %v", err)
		return nil
	case answer.State != pypi.ProvenanceServed:
		x.trouble(f, "the index lists provenance and does not serve it: %s", answer.State)
		return nil
	}
	verified := o.Verifier.Document(answer.Body, f.Filename, f.SHA256)
	if verified.Problem != "" {
		x.trouble(f, "its provenance cannot be read: %s", verified.Problem)
	}
	for _, a := range verified.Attestations {
		if a.Facts.Status != attest.Verified {
			c := a.Facts.Failed()
			x.trouble(f, "an attestation of it is not used: %s: %s", c.Name, describeCheck(*c))
			continue
		}
		x.Signatures = append(x.Signatures, ObservedSignature{f, a.Facts})
	}
	return nil
}

func (x *Observation) trouble(f pypi.File, format string, args ...any) {
	x.Troubles = append(x.Troubles, oneLine(f.Filename, 120)+": "+oneLine(fmt.Sprintf(format, args...), 300))
}

// Complete reports whether all that was looked at could be used.
func (x *Observation) Complete() bool { return len(x.Troubles) == 0 }

// since is when the files of the project began to carry attestations, as a policy says it: from the first such file's upload on, or
// else its signature. With a version, unless that would call a file unattested that is older than any attested one.
func (x *Observation) since() (version string, uploaded time.Time) {
	uploaded = x.First.UploadedAt
	if uploaded.IsZero() && len(x.Signatures) > 0 {
		uploaded = x.Signatures[0].SignedAt
	}
	if uploaded.IsZero() {
		return "", uploaded
	}
	day := uploaded.UTC().Truncate(24 * time.Hour)
	version = x.LowestVersion
	for _, f := range x.Unattested {
		if f.UploadedAt.Before(uploaded) && !f.UploadedAt.Before(day) {
			day = uploaded // it was on the same day
		}
		if f.UploadedAt.Before(uploaded) && !olderThan(f.Version, version) {
			version = ""
		}
	}
	return version, day
}

// Judge holds what was observed against a policy, as a pass would, and says of each file what it would find.
func (x *Observation) Judge(policy identity.Policy, now time.Time) []string {
	j := &Judge{Policy: policy, Rules: NewRuleSet(nil), Now: now}
	facts := ProjectFacts{Project: policy.Project, Index: x.Index.Name, Name: x.Project}
	documents := map[string]*DocumentFacts{}
	var found []string
	for _, s := range x.Signatures {
		d := documents[s.File.Filename]
		if d == nil {
			d = &DocumentFacts{}
			documents[s.File.Filename] = d
		}
		d.Attestations = append(d.Attestations, s.AttestationFacts)
	}
	for _, r := range x.Releases {
		for _, f := range r.Files {
			if d := documents[f.Filename]; d != nil {
				file := FileFacts{Filename: f.Filename, SHA256: f.SHA256, Version: f.Version, UploadedAt: f.UploadedAt, Provenance: ProvenanceFacts{State: ProvenanceServed, Document: d}}
				if verdict := j.Inspect(facts, file, true); verdict.Verdict != Good {
					found = append(found, fmt.Sprintf("%s: %s", oneLine(f.Filename, 120), verdict))
				}
			}
		}
	}
	return found
}

// late are the files without attestation that a policy with this beginning calls unsigned.
func (x *Observation) late() []pypi.File {
	version, uploaded := x.since()
	var late []pypi.File
	for _, f := range x.Unattested {
		exempt := f.UploadedAt.Before(uploaded) && !f.UploadedAt.IsZero() && (version == "" || olderThan(f.Version, version))
		if !exempt {
			late = append(late, f)
		}
	}
	return late
}
