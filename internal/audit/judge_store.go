package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// indexEvidence is what the attestations that the index serves with a file came to.
type indexEvidence struct {
	// known says that the index told what it has, served that it has attestations.
	known, served bool
	// covered says that some grade which may publish the file signed one of them, slsa that it signed SLSA provenance.
	covered, slsa bool
}

// storeBundles is the judgement of the bundles that GitHub's store has of a file, in the making.
type storeBundles struct {
	found *findings
	// slsa says that somebody who may publish the file made SLSA provenance of it, unsupported that some bundle could not be
	// verified, and spoilt that there is some which is no good, and a finding of its own.
	slsa, unsupported, spoilt bool
	// others are SLSA provenance by grades that may not publish the file.
	others []BundleFacts
	grades []string
}

// store judges what GitHub's store has of a file, and whether the file has SLSA provenance at all, there or on the index.
//
// Evidence by a grade that publishes nothing is no evidence against a file which has better besides: a CI build may give the
// same bytes. Alone it is.
func (j *Judge) store(v *FileVerdict, p ProjectFacts, f FileFacts, s Subject, index indexEvidence) {
	b := storeBundles{found: newFindings()}
	for _, x := range f.Store.Bundles {
		j.bundle(&b, p, f, x)
	}
	legacy := j.legacy(p, f)
	due := j.slsaDue(p, f)
	slsa := b.slsa || index.slsa
	wrongGrade := !slsa && len(b.others) > 0 && index.known && !legacy && (due || !index.covered)
	if wrongGrade {
		j.otherGrade(b, p, f, index)
	}
	before := len(v.Findings)
	b.found.into(v, j, s, f)
	if due && !slsa && !b.spoilt && !wrongGrade && index.known && index.served {
		j.missingSLSA(v, f, s, b)
	}
	problem := slices.ContainsFunc(v.Findings[before:], func(f Finding) bool { return f.Rule != CoverageGap })
	if problem && v.State != FileUnsigned {
		v.State = FileWrong
	}
}

// bundle judges one bundle.
func (j *Judge) bundle(b *storeBundles, p ProjectFacts, f FileFacts, x BundleFacts) {
	at := x.Attestation
	e := Evidence{Kind: "bundle", URL: storeURL(j.Policy.Repository.Name), At: x.FirstSeen, SHA256: x.SHA256}
	if !x.GoneAt.IsZero() && at.Status == attest.Verified && !at.Release {
		b.found.addSince(ProvenanceRemoved, x.GoneAt, e, Finding{
			Summary:  fmt.Sprintf("GitHub's store no longer has an attestation of %s that it had", f.Filename),
			Expected: "the attestation that it listed until " + x.LastSeen.UTC().Format(time.DateOnly), Identity: identityRef(at.Identity), Log: firstEntry(at),
		})
	}
	switch {
	case at.Release && at.Status != attest.Failed:
		return // GitHub's word on what a release holds: neither provenance nor a stranger
	case at.Status == attest.Unsupported:
		b.unsupported = true
		j.unverified(b.found, f, at, e)
		return
	case at.Status != attest.Verified:
		b.spoilt = b.spoilt || at.PredicateType == attest.PredicateSLSA || at.PredicateType == ""
		j.unverified(b.found, f, at, e)
		return
	}
	j.unlogged(b.found, f, at, e)
	j.predicate(b.found, f, at, e)
	good := at.PredicateType == attest.PredicateSLSA && len(at.Contradictions) == 0 && at.PredicateError == ""
	b.spoilt = b.spoilt || at.PredicateType == attest.PredicateSLSA && !good
	if at.Identity == nil || len(j.Policy.Judge(*at.Identity).Grades) == 0 {
		j.signer(b.found, p, f, at, e)
		return
	}
	for _, name := range j.Policy.Judge(*at.Identity).Grades {
		if mayPublish(j.grade(name), p.ref(), f.Version, at) == "" {
			b.slsa = b.slsa || good
			return
		}
	}
	if at.PredicateType == attest.PredicateSLSA {
		b.others = append(b.others, x)
		b.grades = append(b.grades, j.Policy.Judge(*at.Identity).Grades...)
	}
}

// storeURL is the store of a repository.
func storeURL(repository string) string {
	return "https://github.com/" + repository + "/attestations"
}

// unlogged files an attestation of a public repository that GitHub's own instance signed: no log has it.
func (j *Judge) unlogged(found *findings, f FileFacts, at AttestationFacts, e Evidence) {
	if !at.Unlogged || at.Identity == nil {
		return
	}
	visibility := at.Identity.SourceRepositoryVisibility
	if visibility == "" {
		visibility = j.Repository.Visibility
	}
	if visibility != "public" {
		return
	}
	e.Detail = "the certificate's authority submits to no log, and the bundle names no entry"
	found.add(NotInPublicLog, e, Finding{
		Summary:  fmt.Sprintf("an attestation of %s is in no public log, although the repository is public", f.Filename),
		Expected: "a certificate of Sigstore's public instance and an entry in its log", Identity: identityRef(at.Identity),
	})
}

// otherGrade files a file whose only SLSA provenance is by a grade that may not publish it. Where the index serves a good
// attestation, the provenance that is missing may still come within its grace period.
func (j *Judge) otherGrade(b storeBundles, p ProjectFacts, f FileFacts, index indexEvidence) {
	since := f.FirstSeen
	if index.covered {
		since = freshAt(f).Add(j.Rules[MissingSLSAProvenance].Grace)
	}
	slices.Sort(b.grades)
	grades := strings.Join(slices.Compact(b.grades), " or ")
	for _, x := range b.others {
		at := x.Attestation
		e := Evidence{Kind: "bundle", URL: storeURL(j.Policy.Repository.Name), At: x.FirstSeen, SHA256: x.SHA256, Detail: oneLine(at.Identity.Describe(), 300)}
		b.found.addSince(WrongGrade, since, e, Finding{
			Summary: fmt.Sprintf("the only SLSA provenance of %s is by %s, which is of grade %s and may not publish it; `gh attestation verify --owner` accepts it",
				f.Filename, oneLine(at.Identity.Describe(), 300), grades),
			Expected: j.expected(p), Identity: identityRef(at.Identity), Log: firstEntry(at),
		})
	}
}

// missingSLSA judges a file that must have SLSA provenance, and that has none on the index nor, as far as is known, in the store.
func (j *Judge) missingSLSA(v *FileVerdict, f FileFacts, s Subject, b storeBundles) {
	since := freshAt(f)
	counts := since.Add(j.Rules[MissingSLSAProvenance].Grace) // what the store said before may have changed within the grace period
	reason := ""
	switch {
	case !j.StoreRead && f.Store.State == "":
		v.Unknowns = append(v.Unknowns, Unknown{Rule: MissingSLSAProvenance, Subject: s, Unread: true,
			Reason: "the index serves no SLSA provenance for it, and GitHub's attestation store is not read"})
		return
	case b.unsupported:
		reason = "GitHub's store has an attestation of it that cannot be verified"
	case f.Store.State == "" && f.Store.Failure != "":
		reason = "GitHub's store does not answer: " + oneLine(f.Store.Failure, 300)
	case f.Store.State == "":
		reason = "GitHub's store has not been asked for it yet"
	case f.Store.CheckedAt.Before(counts) && !j.Now.Before(counts):
		reason = "GitHub's store has not been asked for it since the grace period ended"
	}
	if reason != "" {
		v.unknown(s, reason, MissingSLSAProvenance)
		return
	}
	had := "GitHub's store has none"
	if f.Store.State == StoreServed {
		had = "GitHub's store has only others"
	}
	v.wrong(j, MissingSLSAProvenance, s, since, Finding{
		Summary:  fmt.Sprintf("%s has no SLSA provenance: the index serves none, and %s", f.Filename, had),
		Expected: "SLSA provenance by the workflow run that published it",
		Evidence: []Evidence{{Kind: "store-answer", URL: storeURL(j.Policy.Repository.Name), At: f.Store.CheckedAt, Detail: string(f.Store.State)}},
	})
}

// GitHub judges what GitHub says of the repository, the ids in certificates, and that it does not answer for files. failing are
// the files that it did not answer for, others the certificates with other ids.
func (j *Judge) GitHub(p ProjectFacts, failing []FileFacts, others otherIDs) Assessment {
	var a Assessment
	j.repositoryIDs(&a, p, others)
	const shown = 20
	var since time.Time
	var evidence []Evidence
	add := func(at time.Time, url, failure string) {
		if since.IsZero() || at.Before(since) {
			since = at
		}
		if len(evidence) < shown {
			evidence = append(evidence, Evidence{Kind: "error", URL: url, At: at, Detail: oneLine(failure, 500)})
		}
	}
	if r := j.Repository; j.First && j.StoreRead && !r.FailingSince.IsZero() {
		add(r.FailingSince, "https://github.com/"+r.Name, r.Failure)
	}
	for _, f := range failing {
		if j.StoreRead {
			add(f.Store.FailingSince, storeURL(j.Policy.Repository.Name), f.Store.Failure)
		}
	}
	if len(evidence) > 0 {
		a.wrong(j, SourceUnreachable, p.subject(), since, Finding{
			Summary:  fmt.Sprintf("%s: GitHub does not answer for %s", p.ref(), j.Policy.Repository.Name),
			Expected: "an answer from GitHub",
			Evidence: evidence,
		})
	}
	return a
}

// otherIDs are certificates in the repository's name with other numeric ids than the policy's, of which nobody confirmed that
// they are right: confirmed ones make an unexpected identity of it.
type otherIDs struct {
	files    int
	evidence []Evidence
	identity *identity.Identity
}

// add looks at the verified attestations of a file.
func (o *otherIDs) add(j *Judge, f FileFacts) {
	const shown = 5
	r := j.Policy.Repository
	if f.Gone() || !r.IDsUnconfirmed {
		return
	}
	var all []AttestationFacts
	if d := f.Provenance.Document; d != nil {
		all = append(all, d.Attestations...)
	}
	for _, b := range f.Store.Bundles {
		all = append(all, b.Attestation)
	}
	for _, at := range all {
		if at.Status != attest.Verified || at.Identity == nil {
			continue
		}
		judged := j.Policy.Judge(*at.Identity)
		if judged.Class != identity.ClassSelf || judged.IDs != identity.IDsMismatch {
			continue
		}
		if o.files++; o.identity == nil {
			o.identity = at.Identity
		}
		if len(o.evidence) < shown {
			o.evidence = append(o.evidence, Evidence{Kind: "certificate-ids", At: at.SignedAt,
				Detail: fmt.Sprintf("%s: %s", f.Filename, ids(at.Identity.SourceRepositoryID, at.Identity.SourceRepositoryOwnerID))})
		}
		return
	}
}

func ids(repository, owner string) string {
	return fmt.Sprintf("repository %s of owner %s", oneLine(repository, 40), oneLine(owner, 40))
}

// repositoryIDs compares the policy's numeric ids with those that GitHub tells today, and with those in certificates.
func (j *Judge) repositoryIDs(a *Assessment, p ProjectFacts, others otherIDs) {
	want, got := j.Policy.Repository, j.Repository
	severity := j.Rules[RepositoryIDMismatch].Severity
	if want.IDsUnconfirmed && severity.AtLeast(Low) {
		severity = Low
	}
	differs := func(want, got string) bool { return want != "" && want != got }
	expected := ids(want.ID, want.OwnerID) + ", as configured"
	if j.First && got.Current != "" && (differs(want.ID, got.ID) || differs(want.OwnerID, got.OwnerID)) {
		detail := fmt.Sprintf("%s is %s", oneLine(got.Current, 120), ids(got.ID, got.OwnerID))
		a.wrong(j, RepositoryIDMismatch, p.subject(), got.Since, Finding{Severity: severity, Expected: expected,
			Summary:  fmt.Sprintf("GitHub says that %s", detail),
			Evidence: []Evidence{{Kind: "repository", URL: "https://github.com/" + got.Name, At: got.CheckedAt, Detail: detail}},
		})
	}
	if others.files > 0 {
		a.wrong(j, RepositoryIDMismatch, p.subject(), others.evidence[0].At, Finding{Severity: severity, Expected: expected, Identity: identityRef(others.identity),
			Summary: fmt.Sprintf("certificates of %s in the name of %s have other ids: %s", count(others.files, "file"), want.Name,
				ids(others.identity.SourceRepositoryID, others.identity.SourceRepositoryOwnerID)),
			Evidence: others.evidence,
		})
	}
}
