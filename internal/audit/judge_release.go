package audit

import (
	"fmt"
	"slices"
	"strings"
)

// ReleaseState is what PyPI's own words call a release's provenance.
type ReleaseState string

// The states of a release. The first three exclude each other; the others are added to them.
const (
	NoProvenanceState      ReleaseState = "no-provenance"           // no file has any
	PartialProvenance      ReleaseState = "partial-provenance"      // some files have
	FullProvenance         ReleaseState = "full-provenance"         // every file has
	InconsistentProvenance ReleaseState = "inconsistent-provenance" // its files come from different sources
	LostProvenance         ReleaseState = "lost-provenance"         // the release before it had provenance, it has none
	ChangedProvenance      ReleaseState = "changed-provenance"      // its source is not that of the release before it
)

// Lineage carries from one release to the next what the next is compared with. The zero value precedes the first.
type Lineage struct {
	Known         bool
	HadProvenance bool
	Source        string
}

// ReleaseVerdict is a release's assessment and provenance states.
type ReleaseVerdict struct {
	Assessment
	States []ReleaseState
	Files  []FileVerdict // in the order of ReleaseFacts.Files
	// SLSA is that of its live files; nil where there are none.
	SLSA *ReleaseSLSA
}

// State joins the states for a table.
func (v ReleaseVerdict) State() string {
	var words []string
	for _, s := range v.States {
		words = append(words, string(s))
	}
	return strings.Join(words, ",")
}

// Release judges one release with its files. previous is the lineage up to the release before it in version order;
// the lineage up to this one is returned.
func (j *Judge) Release(p ProjectFacts, r ReleaseFacts, previous Lineage) (ReleaseVerdict, Lineage) {
	var v ReleaseVerdict
	live, with := 0, 0
	sources := map[string]bool{}
	var yanked []FileFacts
	var slsa []SLSAVerdict
	for _, f := range r.Files {
		fv := j.File(p, f)
		v.Files = append(v.Files, fv)
		v.merge(fv.Assessment)
		if f.Gone() {
			continue
		}
		live++
		slsa = append(slsa, *fv.SLSA)
		if f.Yanked {
			yanked = append(yanked, f)
		}
		if f.Provenance.State == ProvenanceServed {
			with++
		}
		if fv.Source != "" {
			sources[fv.Source] = true
		}
	}
	v.SLSA = releaseSLSA(slsa)
	if len(yanked) > 0 {
		s := p.subject()
		s.Release = r.Version
		v.wrong(j, ReleaseYanked, s, yanked[0].FirstSeen, Finding{
			Summary:  fmt.Sprintf("%s %s is yanked (%d of %s)%s", p.ref(), r.Version, len(yanked), count(live, "file"), because(yanked[0].YankedReason)),
			Expected: "a release that installers choose",
			Evidence: []Evidence{{Kind: "listing-entry", URL: p.URL, At: yanked[0].LastSeen, Data: yanked[0].Listing}},
		})
	}
	if live == 0 {
		return v, previous
	}
	next := Lineage{Known: true, HadProvenance: with > 0, Source: only(sources)}
	switch {
	case with == 0:
		v.States = append(v.States, NoProvenanceState)
	case with < live:
		v.States = append(v.States, PartialProvenance)
	default:
		v.States = append(v.States, FullProvenance)
	}
	if next.Source == "mixed" {
		v.States = append(v.States, InconsistentProvenance)
	}
	switch {
	case !previous.Known:
	case previous.HadProvenance && with == 0:
		v.States = append(v.States, LostProvenance)
	case previous.Source != "" && next.Source != "" && previous.Source != next.Source:
		v.States = append(v.States, ChangedProvenance)
	}
	return v, next
}

// only is the one source of a release, "" for none, "mixed" for several.
func only(sources map[string]bool) string {
	switch len(sources) {
	case 0:
		return ""
	case 1:
		for s := range sources {
			return s
		}
	}
	return "mixed"
}

// orderFindings puts findings in the order in which people and machines get them: most urgent first, then by key.
func orderFindings(fs []Finding) {
	slices.SortFunc(fs, func(a, b Finding) int {
		if d := a.Severity.Rank() - b.Severity.Rank(); d != 0 {
			return d
		}
		return strings.Compare(Key(a.Rule, a.Subject), Key(b.Rule, b.Subject))
	})
}
