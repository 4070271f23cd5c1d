package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// FileState is the one word that tables show for a file.
type FileState string

// The states of a file.
const (
	FileVerified FileState = "verified" // attested as the policy expects
	FileLegacy   FileState = "legacy"   // from before the project signed: counted, not alerted
	FileUnsigned FileState = "unsigned" // no attestation although one is due
	FileWrong    FileState = "wrong"    // attested, but not as it should be
	FileUnknown  FileState = "unknown"  // could not be judged
	FileGone     FileState = "gone"     // removed or replaced
)

// FileVerdict is a file's assessment, its state, and who published it by verified evidence.
type FileVerdict struct {
	Assessment
	State FileState
	// Source is the repository and workflow of the verified attestations, "" where there are none; "mixed" where
	// they differ. It makes the release's provenance state.
	Source string
	// Grade is the publishing grade that covers the file, "" where none does.
	Grade string
	// SLSA is what the evidence says of how the file was built; nil for one that is gone.
	SLSA *SLSAVerdict
}

// fileRules are the rules that need a file's provenance.
var fileRules = []string{NoProvenance, InvalidAttestation, DigestMismatch, UnexpectedIdentity, WrongGrade,
	PublisherMismatch, PredicateMismatch, MissingSLSAProvenance, UnloggedAttestation, ProvenanceRemoved, ProvenanceReplaced, CoverageGap}

// File judges one file.
func (j *Judge) File(p ProjectFacts, f FileFacts) FileVerdict {
	v := FileVerdict{}
	s := p.subject()
	s.Release, s.File, s.SHA256 = f.Version, f.Filename, f.SHA256
	listing := Evidence{Kind: "listing-entry", URL: p.URL, At: f.LastSeen, Data: f.Listing}

	if !f.ReplacedAt.IsZero() {
		v.State = FileGone
		v.wrong(j, FileReplaced, s, f.ReplacedAt, Finding{
			Summary:  fmt.Sprintf("%s now stands for other bytes: sha256:%s", f.Filename, f.ReplacedBy),
			Expected: "sha256:" + f.SHA256,
			Evidence: []Evidence{listing},
		})
		return v
	}
	if !f.RemovedAt.IsZero() {
		v.State = FileGone
		if !j.RemovalsExpected {
			v.wrong(j, FileRemoved, s, f.RemovedAt, Finding{
				Summary:  fmt.Sprintf("%s is gone from %s", f.Filename, p.Index),
				Expected: "a published file stays",
				Evidence: []Evidence{listing, {Kind: "missing", URL: p.URL, At: f.MissingSince, Detail: "first listing without the file"}},
			})
		}
		return v
	}
	if f.NameError != "" {
		v.wrong(j, CoverageGap, s, f.FirstSeen, Finding{
			Summary:  fmt.Sprintf("the version of %s cannot be told from its name: %s", oneLine(f.Filename, 120), oneLine(f.NameError, 200)),
			Evidence: []Evidence{listing},
		})
	}
	index := j.provenance(&v, p, f, s, listing)
	j.store(&v, p, f, s, index)
	if f.DeepSHA256 != "" && f.DeepSHA256 != f.SHA256 {
		v.State = FileWrong // whatever is attested, it is not what one gets
		v.wrong(j, DigestMismatch, s, f.DeepCheckedAt, Finding{
			Summary:  fmt.Sprintf("%s downloads as sha256:%s", f.Filename, f.DeepSHA256),
			Expected: "sha256:" + f.SHA256 + " as listed",
			Evidence: []Evidence{listing, {Kind: "download", URL: f.URL, At: f.DeepCheckedAt, Detail: "sha256:" + f.DeepSHA256}},
		})
	}
	slsa := j.SLSA(p, f)
	v.SLSA = &slsa
	return v
}

// provenance judges what the index says and serves about a file's provenance, sets the file's state, and says what it came to.
func (j *Judge) provenance(v *FileVerdict, p ProjectFacts, f FileFacts, s Subject, listing Evidence) indexEvidence {
	prov := f.Provenance
	legacy := j.legacy(p, f)
	switch prov.State {
	case ProvenanceUntold:
		v.State = FileUnknown
		v.unknown(s, "the index does not tell whether it has provenance (PEP 740)", fileRules...)
		return indexEvidence{}
	case ProvenancePending:
		reason := "its provenance has not been asked for yet"
		if prov.Failure != "" {
			reason = "its provenance cannot be read: " + oneLine(prov.Failure, 300)
		}
		v.State = FileUnknown
		v.unknown(s, reason, fileRules...)
		return indexEvidence{}
	case ProvenanceForbidden:
		v.State = FileUnknown
		v.unknown(s, "the index refuses to serve its provenance (403)", fileRules...)
		v.wrong(j, CoverageGap, s, prov.Since, Finding{
			Summary:  fmt.Sprintf("the index refuses to serve the provenance of %s (403)", f.Filename),
			Expected: "a provenance document, as the listing names one",
			Evidence: []Evidence{listing, {Kind: "error", URL: prov.URL, At: prov.CheckedAt, Detail: "403"}},
		})
		return indexEvidence{}
	case ProvenanceNone, ProvenanceNotFound:
		j.withoutProvenance(v, p, f, s, listing, legacy)
		return indexEvidence{known: true}
	}

	doc := prov.Document
	if prov.Previous != nil {
		v.wrong(j, ProvenanceReplaced, s, doc.FirstSeen, Finding{
			Summary:  fmt.Sprintf("the provenance of %s changed from sha256:%s to sha256:%s", f.Filename, prov.Previous.SHA256, doc.SHA256),
			Expected: "the provenance first served",
			Evidence: []Evidence{
				{Kind: "previous-provenance", URL: prov.URL, At: prov.Previous.LastSeen, SHA256: prov.Previous.SHA256},
				{Kind: "provenance", URL: prov.URL, At: doc.FirstSeen, SHA256: doc.SHA256}},
		})
	}
	document := Evidence{Kind: "provenance", URL: prov.URL, At: doc.LastSeen, SHA256: doc.SHA256}
	if doc.Problem != "" {
		v.State = FileWrong
		v.wrong(j, InvalidAttestation, s, doc.FirstSeen, Finding{
			Summary:  fmt.Sprintf("the provenance of %s cannot be read: %s", f.Filename, oneLine(doc.Problem, 300)),
			Expected: "a provenance document of PEP 740",
			Evidence: []Evidence{document},
		})
		return indexEvidence{}
	}
	return j.attestations(v, p, f, s, doc, document, legacy)
}

// withoutProvenance judges a file for which the index serves no provenance document.
func (j *Judge) withoutProvenance(v *FileVerdict, p ProjectFacts, f FileFacts, s Subject, listing Evidence, legacy bool) {
	prov := f.Provenance
	how := "the listing names no provenance for it"
	if prov.State == ProvenanceNotFound {
		how = "the index answers 404 for the provenance that the listing names"
	}
	if prov.Document != nil {
		v.State = FileUnsigned
		v.wrong(j, ProvenanceRemoved, s, prov.Since, Finding{
			Summary:  fmt.Sprintf("the provenance of %s is gone: %s", f.Filename, how),
			Expected: "the provenance served until " + prov.Document.LastSeen.UTC().Format("2006-01-02"),
			Evidence: []Evidence{listing, {Kind: "previous-provenance", URL: prov.URL, At: prov.Document.LastSeen, SHA256: prov.Document.SHA256}},
		})
		return
	}
	if legacy {
		v.State = FileLegacy
		return
	}
	v.State = FileUnsigned
	since := f.UploadedAt
	if since.IsZero() || since.Before(f.FirstSeen) && prov.State == ProvenanceNotFound {
		since = f.FirstSeen
	}
	v.wrong(j, NoProvenance, s, since, Finding{
		Summary:  fmt.Sprintf("%s is published without an attestation: %s", f.Filename, how),
		Expected: j.due(p),
		Evidence: []Evidence{listing},
	})
}

// attestations judges each attestation of a document that could be read.
func (j *Judge) attestations(v *FileVerdict, p ProjectFacts, f FileFacts, s Subject, doc *DocumentFacts, document Evidence, legacy bool) indexEvidence {
	index := indexEvidence{known: true, served: len(doc.Attestations) > 0}
	if len(doc.Attestations) == 0 {
		v.State = FileUnsigned
		v.wrong(j, NoProvenance, s, f.FirstSeen, Finding{
			Summary:  fmt.Sprintf("the provenance of %s holds no attestation", f.Filename),
			Expected: j.due(p),
			Evidence: []Evidence{document},
		})
		return index
	}
	found := newFindings()
	var published, unsupported bool
	sources := map[string]bool{}
	for _, at := range doc.Attestations {
		e := document
		e.Kind, e.Bundle, e.Attestation = "attestation", at.Bundle, at.Index
		if at.Status != attest.Verified {
			if at.Status == attest.Unsupported {
				unsupported = true
			}
			j.unverified(found, f, at, e)
			continue
		}
		grade := j.signer(found, p, f, at, e)
		j.publisher(found, f, at, e)
		j.unlogged(found, f, at, e)
		j.predicate(found, f, at, e)
		if at.Identity != nil {
			sources[at.Identity.Repository()+" "+at.Identity.Workflow()] = true
		}
		if grade != "" {
			v.Grade, index.covered = grade, true
			switch at.PredicateType {
			case attest.PredicatePublish:
				published = true
			case attest.PredicateSLSA:
				index.slsa = index.slsa || len(at.Contradictions) == 0 && at.PredicateError == ""
			}
		}
	}
	if len(found.byRule) == 0 && !published && !legacy {
		found.add(NoProvenance, document, Finding{
			Summary:  fmt.Sprintf("no attestation of %s is a publish attestation", f.Filename),
			Expected: j.due(p),
		})
	}
	found.into(v, j, s, f)
	switch {
	case len(found.byRule) > 0:
		v.State = FileWrong
	case unsupported:
		v.State = FileUnknown
	default:
		v.State = FileVerified
	}
	if unsupported && len(found.byRule) == 1 && found.byRule[CoverageGap] != nil {
		v.State = FileUnknown
		v.unknown(s, "an attestation is of a form that this version cannot verify", fileRules...)
	}
	switch len(sources) {
	case 0:
	case 1:
		for source := range sources {
			v.Source = source
		}
	default:
		v.Source = "mixed"
	}
	index.known = !unsupported
	return index
}

// unverified files an attestation that did not verify under the rule that its first failing check belongs to.
func (j *Judge) unverified(found *findings, f FileFacts, at AttestationFacts, e Evidence) {
	c := at.Failed()
	if c == nil {
		c = &attest.Check{Name: "verification", Detail: "no check says why"}
	}
	e.Check, e.Detail = c.Name, oneLine(describeCheck(*c), 500)
	if at.Status == attest.Unsupported {
		found.add(CoverageGap, e, Finding{
			Summary:  fmt.Sprintf("an attestation of %s is of a form that cannot be verified: %s", f.Filename, oneLine(c.Detail, 200)),
			Expected: "an attestation that can be verified",
		})
		return
	}
	rule := InvalidAttestation
	switch c.Name {
	case attest.CheckSubject:
		if strings.HasPrefix(c.Got, "sha256:") { // otherwise the statement is about no file, or about several
			rule = DigestMismatch
		}
	case attest.CheckEntries:
		rule = UnloggedAttestation
	case attest.CheckPredicateType, attest.CheckPredicate:
		rule = PredicateMismatch
	}
	summary := map[string]string{
		InvalidAttestation:  "an attestation of %s does not verify: %s: %s",
		DigestMismatch:      "an attestation served with %s is about other bytes: %s: %s",
		UnloggedAttestation: "an attestation of %s is in no transparency log: %s: %s",
		PredicateMismatch:   "an attestation of %s has a predicate that is not expected: %s: %s",
	}[rule]
	want := c.Want
	if rule == DigestMismatch {
		want = "sha256:" + f.SHA256
	}
	found.add(rule, e, Finding{
		Summary:  fmt.Sprintf(summary, f.Filename, c.Name, oneLine(c.Detail, 200)),
		Expected: oneLine(want, 200), Identity: identityRef(at.Identity),
	})
}

// signer files a verified attestation that somebody made who may not, and returns the publishing grade that it
// satisfies, "" for none.
func (j *Judge) signer(found *findings, p ProjectFacts, f FileFacts, at AttestationFacts, e Evidence) string {
	if at.Identity == nil {
		found.add(UnexpectedIdentity, e, Finding{
			Summary:  fmt.Sprintf("%s is signed by a certificate whose identity cannot be read: %s", f.Filename, oneLine(at.IdentityProblem, 200)),
			Expected: j.expected(p),
		})
		return ""
	}
	judged := j.Policy.Judge(*at.Identity)
	finding := Finding{Expected: j.expected(p), Identity: identityRef(at.Identity), Log: firstEntry(at)}
	who := oneLine(at.Identity.Describe(), 300)
	if len(judged.Grades) == 0 {
		e.Detail = oneLine(why(judged), 500)
		finding.Summary = fmt.Sprintf("%s is signed by %s", f.Filename, who)
		found.add(UnexpectedIdentity, e, finding)
		return ""
	}
	grade, problems := j.mayCover(judged, p, f.Version, at)
	if grade != "" {
		return grade
	}
	e.Detail = oneLine(strings.Join(problems, "; "), 500)
	finding.Summary = fmt.Sprintf("%s is signed by %s, which is of grade %s and may not publish it", f.Filename, who, strings.Join(judged.Grades, " or "))
	found.add(WrongGrade, e, finding)
	return ""
}

// why says what keeps an identity from being expected: what is wrong whatever the grade, or else what the closest
// grade misses.
func why(j identity.Judgement) string {
	var reasons []string
	for _, m := range j.Mismatches {
		reasons = append(reasons, m.String())
	}
	if len(reasons) == 0 && len(j.ByGrade) > 0 {
		closest := j.ByGrade[0]
		for _, m := range closest.Mismatches {
			reasons = append(reasons, m.String())
		}
		reasons = append(reasons, "closest grade: "+closest.Grade)
	}
	return strings.Join(append(reasons, j.Notes...), "; ")
}

// mayCover is the first grade of a judged identity that may publish a version of a PyPI project, "" where none may, and then why
// each of them may not.
func (j *Judge) mayCover(judged identity.Judgement, p ProjectFacts, version string, at AttestationFacts) (grade string, problems []string) {
	for _, name := range judged.Grades {
		problem := mayPublish(j.grade(name), p.ref(), version, at)
		if problem == "" {
			return name, nil
		}
		problems = append(problems, fmt.Sprintf("grade %s: %s", name, problem))
	}
	return "", problems
}

// mayPublish says why a grade does not cover a file of a PyPI project and version, "" where it does. Where the
// certificate does not tell its environment, the index's publisher record narrows the choice: it is unsigned, so it can
// only take grades away.
func mayPublish(g identity.Grade, ref, version string, at AttestationFacts) string {
	if len(g.Publishes) == 0 {
		return "publishes nothing"
	}
	if !slices.Contains(g.Publishes, ref) {
		return "publishes only " + strings.Join(g.Publishes, ", ")
	}
	if _, known := at.Identity.Environment(); !known && g.Environment != identity.AnyEnvironment {
		if at.Publisher.Environment != "" && at.Publisher.Environment != g.Environment {
			return fmt.Sprintf("runs in environment %s, the publisher record says %q", g.Environment, oneLine(at.Publisher.Environment, 100))
		}
	}
	if want, ok := g.RefVersion(at.Identity.Ref()); ok && baseVersion(want) != baseVersion(version) {
		return fmt.Sprintf("its ref is for version %s, the file is of %s", oneLine(want, 60), version)
	}
	return ""
}

// publisher compares the index's unsigned record of the publisher with the certificate.
func (j *Judge) publisher(found *findings, f FileFacts, at AttestationFacts, e Evidence) {
	if at.Identity == nil {
		return
	}
	var wrong []string
	differ := func(what, record, certificate string) {
		wrong = append(wrong, fmt.Sprintf("%s: the record says %q, the certificate %q", what, oneLine(record, 100), oneLine(certificate, 100)))
	}
	id, rec := at.Identity, at.Publisher
	switch rec.Kind {
	case "GitHub":
		if !strings.EqualFold(rec.Repository, id.Repository()) {
			differ("repository", rec.Repository, id.Repository())
		}
		if rec.Workflow != id.Workflow() {
			differ("workflow", rec.Workflow, id.Workflow())
		}
		if env, known := id.Environment(); known && rec.Environment != env {
			differ("environment", rec.Environment, env)
		}
	case "":
		return // an attestation by itself, without the document that would have a record
	case "GitLab", "Google":
		// Not a GitHub publisher: its certificate cannot be one of GitHub Actions.
		if id.Issuer == identity.GitHubActionsIssuer {
			differ("kind", rec.Kind, "GitHub Actions")
		}
	default:
		found.add(CoverageGap, e, Finding{
			Summary:  fmt.Sprintf("the publisher record of %s is of kind %q, which this version does not know", f.Filename, oneLine(rec.Kind, 60)),
			Expected: "a publisher of a known kind", Identity: identityRef(id),
		})
		return
	}
	if len(wrong) == 0 {
		return
	}
	e.Detail = strings.Join(wrong, "; ")
	found.add(PublisherMismatch, e, Finding{
		Summary:  fmt.Sprintf("the publisher record of %s disagrees with the certificate: %s", f.Filename, strings.Join(wrong, "; ")),
		Expected: oneLine(id.Describe(), 300), Identity: identityRef(id),
	})
}

// predicate files a verified SLSA predicate that contradicts the certificate that signed it.
func (j *Judge) predicate(found *findings, f FileFacts, at AttestationFacts, e Evidence) {
	if at.PredicateError == "" && len(at.Contradictions) == 0 {
		return
	}
	detail := at.PredicateError
	expected := "an SLSA provenance v1 predicate"
	if len(at.Contradictions) > 0 {
		m := at.Contradictions[0]
		detail = fmt.Sprintf("%s is %q", m.Field, oneLine(m.Got, 200))
		expected = fmt.Sprintf("%s %q, as the certificate says", m.Field, oneLine(m.Want, 200))
	}
	e.Detail = oneLine(detail, 500)
	found.add(PredicateMismatch, e, Finding{
		Summary:  fmt.Sprintf("the SLSA provenance of %s contradicts its certificate: %s", f.Filename, oneLine(detail, 300)),
		Expected: expected, Identity: identityRef(at.Identity), Log: firstEntry(at),
	})
}
