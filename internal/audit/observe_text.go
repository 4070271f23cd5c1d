package audit

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// NothingObservedError says that there is nothing that a policy could be made of.
type NothingObservedError struct{ Reason string }

func (e *NothingObservedError) Error() string { return e.Reason }

// PolicyText is a configuration that expects what was observed and says so, for a person to confirm. left are signatures that it does
// not cover. The error is a [*NothingObservedError] where nothing was observed: nothing is invented.
func (x *Observation) PolicyText(now time.Time, defaultURL string) (text []byte, left []string, err error) {
	switch {
	case x.Attested == 0:
		return nil, nil, &NothingObservedError{fmt.Sprintf("%s/%s has %s and provenance for none: there is nothing that a policy could be made of", x.Index.Name, x.Project, count(x.Files, "file"))}
	case len(x.Signatures) == 0:
		return nil, nil, &NothingObservedError{fmt.Sprintf("of the provenance of %s/%s that was looked at, nothing verifies", x.Index.Name, x.Project)}
	}
	p := x.policy()
	if p == nil || len(p.grades) == 0 {
		return nil, nil, &NothingObservedError{fmt.Sprintf("%s/%s is signed by nobody that this version can write a policy for, last by %s", x.Index.Name, x.Project,
			oneLine(x.Signatures[len(x.Signatures)-1].identity().Describe(), 300))}
	}
	w := &policyWriter{}
	w.head(x, p, now)
	if x.Index.URL != defaultURL {
		w.line(`indexes: {%s: {url: %s}}`, x.Index.Name, quoted(x.Index.URL))
		w.line("")
	}
	w.project(x, p)
	return []byte(w.b.String()), p.left, nil
}

// policyWriter writes the lines of a configuration.
type policyWriter struct{ b strings.Builder }

func (w *policyWriter) line(format string, args ...any) { fmt.Fprintf(&w.b, format+"\n", args...) }

// comment writes a line that says something. Text from outside cannot end it.
func (w *policyWriter) comment(indent, format string, args ...any) {
	w.line("%s# %s", indent, oneLine(fmt.Sprintf(format, args...), 1000))
}

// head says what was looked at, and what was not.
func (w *policyWriter) head(x *Observation, p *observedPolicy, now time.Time) {
	w.comment("", "What was observed of %s on %s at %s: trust on first use.", x.Project, x.Index.Name, stamp(now))
	w.comment("", "")
	w.comment("", "It says what was signed, not what should have been: nobody has confirmed any of it. Read it, change what is wrong, compare the ids")
	w.comment("", "with https://api.github.com/repos/%s (id and owner.id) and then write `ids: confirmed`.", p.repository)
	w.comment("", "")
	looked, files, skipped := 0, 0, []string{}
	for _, r := range x.Releases {
		if files += r.Looked; r.Looked > 0 {
			looked++
			continue
		}
		skipped = append(skipped, r.Version)
	}
	w.comment("", "%d of %d files carry attestations, in %s. Looked at: %s of %s.", x.Attested, x.Files, count(len(x.Releases), "release"), count(files, "file"), count(looked, "release"))
	if len(skipped) > 0 {
		w.comment("", "Not looked at: %s, from %s to %s; --releases looks at more.", count(len(skipped), "release"), skipped[0], skipped[len(skipped)-1])
	}
	if n := x.Attested - files; n > 0 {
		w.comment("", "Not looked at: %s; of a release no more than %d are.", count(n, "attested file"), filesARelease)
	}
	w.list("Not used:", x.Troubles)
	w.list("Not covered, because no policy could say it. It will be found:", p.left)
	var late []string
	for _, f := range x.late() {
		late = append(late, fmt.Sprintf("%s, uploaded %s", oneLine(f.Filename, 120), uploadDay(f)))
	}
	w.list("Without an attestation although others before them have one. They will be found:", late)
	w.line("")
}

// list writes a few of many things.
func (w *policyWriter) list(title string, items []string) {
	const most = 12
	if len(items) == 0 {
		return
	}
	w.comment("", "%s", title)
	for _, item := range items[:min(len(items), most)] {
		w.comment("", "  - %s", item)
	}
	if len(items) > most {
		w.comment("", "  and %d more", len(items)-most)
	}
}

func (w *policyWriter) project(x *Observation, p *observedPolicy) {
	ref := x.Index.Name + "/" + x.Project
	w.line("projects:")
	w.line("  - name: %s", quoted(x.Project))
	w.line("    pypi: [%s]", quoted(ref))
	w.line("")
	if p.id != "" || p.ownerID != "" {
		w.comment("    ", "The ids are those of the latest certificates.")
		if len(p.otherIDs) > 0 {
			w.comment("    ", "Earlier ones told others: %s. Somebody may have taken the name over.", strings.Join(p.otherIDs, ", "))
		}
		fields := "name: " + quoted(p.repository)
		if p.id != "" {
			fields += ", id: " + p.id
		}
		if p.ownerID != "" {
			fields += ", owner_id: " + p.ownerID
		}
		w.line("    repository: {%s, ids: unconfirmed}", fields)
	} else {
		w.comment("    ", "The certificates tell no ids. A name can be registered again: add id and owner_id.")
		w.line("    repository: {name: %s}", quoted(p.repository))
	}
	w.line("")
	w.line("    grades:")
	for _, g := range p.grades {
		w.grade(x, p, g, ref)
	}
}

func (w *policyWriter) grade(x *Observation, p *observedPolicy, g *observedGrade, ref string) {
	first, last := g.signatures[0], g.signatures[len(g.signatures)-1]
	w.comment("      ", "%s, from %s (%s) to %s (%s); the last at %s, commit %s.", count(len(g.signatures), "attestation"),
		first.File.Version, uploadDay(first.File), last.File.Version, uploadDay(last.File), last.identity().Ref(), last.identity().Commit())
	w.line("      - name: %s", quoted(g.name))
	w.line("        workflow: %s", quoted(g.workflow))
	w.line("        refs: [%s]", joined(g.refs))
	w.line("        triggers: [%s]", joined(g.triggers))
	if !g.told {
		if g.environment == identity.AnyEnvironment {
			w.comment("        ", "The certificates are too old to tell an environment: narrow it, if the job runs in one.")
		} else {
			w.comment("        ", "The environment is the index's record: the certificates are too old to tell.")
		}
	}
	w.line("        environment: %s", quoted(g.environment))
	if g.runner != "github-hosted" {
		w.line("        runner: %s", quoted(g.runner))
	}
	w.line("        publishes: %s", quoted(ref))
	if version, uploaded := x.since(); !uploaded.IsZero() {
		w.comment("        ", "The first file with provenance is %s, uploaded %s.", x.First.Filename, uploadDay(x.First))
		w.line("        publish_since: {%s}", since(version, uploaded))
	}
	if !p.slsaSince.IsZero() {
		w.comment("        ", "Since then every file that was looked at has SLSA provenance on the index.")
		w.line("        slsa_since: {%s}", since("", p.slsaSince))
	}
	w.line("")
}

// since writes the beginning of a duty.
func since(version string, uploaded time.Time) string {
	at := uploaded.UTC().Format(time.RFC3339Nano)
	if uploaded.Equal(uploaded.Truncate(24 * time.Hour)) {
		at = uploaded.UTC().Format(time.DateOnly)
	}
	if version == "" {
		return "uploaded: " + at
	}
	return "version: " + quoted(version) + ", uploaded: " + at
}

func uploadDay(f pypi.File) string {
	if f.UploadedAt.IsZero() {
		return "at a time that the index does not tell"
	}
	return f.UploadedAt.UTC().Format(time.DateOnly)
}

func joined(texts []string) string {
	var all []string
	for _, t := range texts {
		all = append(all, quoted(t))
	}
	return strings.Join(all, ", ")
}

var plainScalar = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*$`)

// quoted writes text as one scalar of YAML.
func quoted(text string) string {
	words := []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
	if plainScalar.MatchString(text) && !slices.Contains(words, strings.ToLower(text)) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}
