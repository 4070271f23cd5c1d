package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// BuildLevel is a level of SLSA's Build track (SLSA v1.2) that evidence is consistent with.
type BuildLevel string

// The levels. What could not be looked at is not L0: it is unevaluated.
const (
	BuildUnevaluated BuildLevel = "unevaluated"
	BuildL0          BuildLevel = "L0" // no provenance
	BuildL1          BuildLevel = "L1" // provenance that describes the build
	BuildL2          BuildLevel = "L2" // made and signed by a hosted platform
	BuildL3          BuildLevel = "L3" // which the build's own steps cannot forge
)

// number is the level as a number; that of what was not evaluated is 0, for nothing is shown.
func (l BuildLevel) number() int { return max(0, slices.Index(buildLevels(), l)) }

func buildLevels() []BuildLevel { return []BuildLevel{BuildL0, BuildL1, BuildL2, BuildL3} }

// SLSAVerdict is what the evidence on one file says of how it was built. It is stored as JSON.
type SLSAVerdict struct {
	// Build is the highest level that the evidence is consistent with.
	Build BuildLevel `json:"build"`
	// Unread says which sources of provenance were not read, and why: any of them may show more.
	Unread []string `json:"unread,omitempty"`
	// Reasons are the evidence for the level, and why other attestations say nothing of a build.
	Reasons []string `json:"reasons,omitempty"`
	// Missing is what the next level would need.
	Missing []string `json:"missing,omitempty"`
}

// SLSAAnswer says whether evidence meets a level.
type SLSAAnswer string

// The answers. An outage is neither of the first two.
const (
	SLSAMet          SLSAAnswer = "pass"
	SLSANotMet       SLSAAnswer = "fail"
	SLSANotEvaluated SLSAAnswer = "not-evaluated"
)

// Meets says whether the evidence is consistent with a level or a higher one.
func (v SLSAVerdict) Meets(level int) SLSAAnswer {
	switch {
	case v.Build.number() >= level:
		return SLSAMet
	case len(v.Unread) > 0 || v.Build == BuildUnevaluated:
		return SLSANotEvaluated
	}
	return SLSANotMet
}

// SLSALimits are what attestations alone never show, whatever they say.
func SLSALimits() []string {
	return []string{
		"L1: that every release is built by the same process; only that this one was described",
		"L2: that the job which signed compiled the file: it may sign any bytes that it was given",
		"L3: that builds are isolated from each other and from the signing key: that is the word of whoever listed the builder",
		"which dependencies went into the build: provenance names some, and nothing says that these are all",
	}
}

// provenanceSource is a place that may have a file's provenance.
type provenanceSource struct {
	name string
	// unread says why it was not read, "" where it was. attestations are what was read, perhaps at an earlier time.
	unread       string
	attestations []AttestationFacts
}

// provenanceSources are the places that may have a file's provenance, and what the record has of them.
func (j *Judge) provenanceSources(p ProjectFacts, f FileFacts) []provenanceSource {
	index := provenanceSource{name: p.Index}
	switch prov := f.Provenance; prov.State {
	case ProvenanceServed:
		index.attestations = prov.Document.Attestations
	case ProvenanceUntold:
		index.unread = "it does not tell whether there is any (PEP 740)"
	case ProvenanceForbidden:
		index.unread = "it refuses to serve it (403)"
	case ProvenancePending:
		index.unread = "it has not been asked yet"
		if prov.Failure != "" {
			index.unread = oneLine(prov.Failure, 200)
		}
	}
	sources := []provenanceSource{index}
	if cmp.Or(j.Policy.Issuer, identity.GitHubActionsIssuer) == identity.GitHubActionsIssuer {
		sources = append(sources, j.storeSource(f.Store))
	}
	return sources
}

// storeSource is GitHub's store as a place that may have a file's provenance. What GitHub says of a release is none.
func (j *Judge) storeSource(s StoreFacts) provenanceSource {
	source := provenanceSource{name: "GitHub's attestation store"}
	switch {
	case s.State != "":
	case !j.StoreRead:
		source.unread = "it is not read"
	case s.Failure != "":
		source.unread = oneLine(s.Failure, 200)
	default:
		source.unread = "it has not been asked yet"
	}
	for _, b := range s.Bundles {
		if b.GoneAt.IsZero() && !b.Attestation.Release {
			source.attestations = append(source.attestations, b.Attestation)
		}
	}
	return source
}

// SLSA says which level of SLSA's Build track the evidence on a file is consistent with (SLSA v1.2, "Verifying artifacts"): the
// highest that any verified provenance has by the policy's expectations and by the root-of-trust table. A publish attestation is
// no provenance: it says who uploaded a file, and nothing of how it was built.
func (j *Judge) SLSA(p ProjectFacts, f FileFacts) SLSAVerdict {
	return j.weighSLSA(p, f, j.provenanceSources(p, f))
}

// weighSLSA is SLSA over given sources.
func (j *Judge) weighSLSA(p ProjectFacts, f FileFacts, sources []provenanceSource) SLSAVerdict {
	w := weighing{judge: j, project: p, file: f}
	if f.DeepSHA256 != "" && f.DeepSHA256 != f.SHA256 {
		w.add(&w.against, "it downloads as other bytes, which nothing is attested of: sha256:"+f.DeepSHA256)
		return w.verdict()
	}
	for _, s := range sources {
		if s.unread != "" {
			w.add(&w.unread, s.name+": "+s.unread)
		}
		for _, at := range s.attestations {
			w.weigh(s.name, at)
		}
	}
	if prov := f.Provenance; prov.State == ProvenanceServed && prov.Document.Problem != "" {
		w.add(&w.against, "what "+p.Index+" serves as its provenance cannot be read")
	} else if prov.Document != nil && (prov.State == ProvenanceNone || prov.State == ProvenanceNotFound) {
		w.add(&w.against, p.Index+" served attestations for it and no longer does")
	}
	return w.verdict()
}

// weighing weighs the attestations of one file.
type weighing struct {
	judge   *Judge
	project ProjectFacts
	file    FileFacts

	level            int
	reasons, missing []string // of the best provenance
	published        bool
	against, unread  []string
}

// add appends a text once: forty attestations for one reason are one reason.
func (w *weighing) add(to *[]string, text string) {
	if !slices.Contains(*to, text) {
		*to = append(*to, text)
	}
}

// weigh takes one attestation of a source into account.
func (w *weighing) weigh(source string, at AttestationFacts) {
	switch {
	case at.PredicateType == attest.PredicatePublish:
		w.published = w.published || at.Status == attest.Verified
		return
	case at.Status == attest.Unsupported:
		w.add(&w.unread, source+": an attestation is of a form that this version cannot verify")
		return
	case at.PredicateType != attest.PredicateSLSA:
		return // about something else than the build, or nothing that can be read: a finding, if at all
	}
	level, reasons, missing, flaw := w.provenance(at)
	switch {
	case flaw != "":
		w.add(&w.against, "SLSA provenance of "+source+" does not count: "+flaw)
	case level > w.level:
		w.level, w.reasons, w.missing = level, append(reasons, "it is served by "+source), missing
	}
}

// provenance weighs one SLSA provenance: flaw says why it does not count, and the level is what the root-of-trust table has for
// whoever signed it.
func (w *weighing) provenance(at AttestationFacts) (level int, reasons, missing []string, flaw string) {
	switch {
	case at.Status != attest.Verified:
		flaw = "it does not verify"
		if c := at.Failed(); c != nil {
			flaw += ": " + c.Name
		}
	case at.Identity == nil:
		flaw = "its signer cannot be read"
	case at.PredicateError != "":
		flaw = "its predicate cannot be read"
	case at.SLSA != nil && len(at.SLSA.UnknownParameters) > 0:
		flaw = "it has external parameters that nothing here knows: " + oneLine(strings.Join(at.SLSA.UnknownParameters, ", "), 200)
	case len(at.Contradictions) > 0:
		flaw = "it contradicts its certificate: " + oneLine(at.Contradictions[0].Field, 200)
	}
	if flaw != "" {
		return 0, nil, nil, flaw
	}
	judged := w.judge.Policy.Judge(*at.Identity)
	if len(judged.Grades) == 0 {
		return 0, nil, nil, "nobody knows its signer: " + oneLine(at.Identity.Describe(), 300)
	}
	grade, problems := w.judge.mayCover(judged, w.project, w.file.Version, at)
	if grade == "" {
		return 0, nil, nil, "its signer may not publish the file: " + oneLine(strings.Join(problems, "; "), 300)
	}
	reasons = []string{"SLSA provenance v1, verified, that agrees with its certificate, signed by " + oneLine(at.Identity.Describe(), 300) + " (grade " + grade + ")"}
	if len(at.Entries) == 0 {
		reasons = append(reasons, "no transparency log has it")
	}
	level, why, missing := w.judge.rootOfTrust(*at.Identity)
	return level, append(reasons, why), missing, ""
}

// rootOfTrust is the table that says what a builder is believed to be, whose provenance meets all expectations: the highest level,
// why it is that, and what the next one would need. A level is never taken from a predicate.
func (j *Judge) rootOfTrust(id identity.Identity) (level int, why string, missing []string) {
	builder, pinned := j.Policy.Builder(id)
	switch {
	case id.RunnerEnvironment == "":
		return 1, "its certificate does not say what it was built on", []string{"a certificate that says that it was built on a hosted runner"}
	case id.RunnerEnvironment != hostedRunner:
		return 1, "it was built on a runner that is not hosted: " + oneLine(id.RunnerEnvironment, 60), []string{"a hosted runner"}
	case pinned && builder.Level == 3 && !id.Reused():
		return 2, "the listed builder is the run's own top-level workflow, which signs what it builds itself",
			[]string{"a builder that the run calls: of its own steps, any can reach what signs"}
	case pinned && builder.Level == 3:
		return 3, "it was built and signed by a workflow that the configuration lists at L3", nil
	case pinned:
		return builder.Level, fmt.Sprintf("it was built and signed by a workflow that the configuration lists at L%d", builder.Level),
			[]string{"a builder that the configuration lists at a higher level"}
	}
	return 2, "it was built on a hosted runner, and signed there", []string{
		"a builder that isolates the signing from the build's steps, pinned and listed under builders: here both are in the project's own workflow"}
}

// hostedRunner is what Fulcio's certificates call a runner of GitHub's own (extension .11).
const hostedRunner = "github-hosted"

// verdict concludes.
func (w *weighing) verdict() SLSAVerdict {
	v := SLSAVerdict{Build: buildLevels()[w.level], Unread: w.unread, Reasons: w.reasons, Missing: w.missing}
	if w.level == 0 {
		if w.published {
			v.Reasons = append(v.Reasons, "a publish attestation says who uploaded it, and nothing of how it was built")
		}
		v.Missing = []string{"verified SLSA provenance, signed by a builder that may build it"}
		if len(w.unread) > 0 {
			v.Build = BuildUnevaluated
		}
	}
	v.Reasons = append(v.Reasons, w.against...)
	return v
}

// ReleaseSLSA is what the evidence on a release's files says of all of them.
type ReleaseSLSA struct {
	// Build is the lowest of its files': a release is no better than its worst file.
	Build BuildLevel `json:"build"`
	// Files counts its live files by level.
	Files map[BuildLevel]int `json:"files"`
}

// releaseSLSA is the verdict on a release with files of these verdicts; nil where it has none.
func releaseSLSA(files []SLSAVerdict) *ReleaseSLSA {
	if len(files) == 0 {
		return nil
	}
	r := &ReleaseSLSA{Build: BuildL3, Files: map[BuildLevel]int{}}
	for _, v := range files {
		r.Files[v.Build]++
		if v.Build.number() < r.Build.number() {
			r.Build = v.Build
		}
	}
	if r.Files[BuildL0] > 0 {
		r.Build = BuildL0 // a file that is known to have nothing decides, whatever is not known of the others
	}
	return r
}
