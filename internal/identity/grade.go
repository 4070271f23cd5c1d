package identity

import (
	"regexp"
	"slices"
	"strings"
)

// githubHosted is the runner environment that a grade asks for by default.
const (
	githubHosted = "github-hosted"
	anyRunner    = "any"
)

// RefVersion is what the group named "version" matches in ref, by the first of the grade's patterns that matches it
// all; ok is false where none does or the one that does has no such group.
func (g Grade) RefVersion(ref string) (version string, ok bool) {
	for _, re := range g.Refs {
		if !matchesAll(re, ref) {
			continue
		}
		i := re.SubexpIndex("version")
		if i < 0 {
			return "", false
		}
		return re.FindStringSubmatch(ref)[i], true
	}
	return "", false
}

// mismatches lists the conditions of the grade that id does not meet, and the fields of conditions that cannot be
// judged because the certificate does not tell.
func (g Grade) mismatches(id Identity) (mismatches []Mismatch, unknown []string) {
	differ := func(field, got, want string) {
		mismatches = append(mismatches, Mismatch{Field: field, Got: got, Want: want})
	}
	if got := id.Workflow(); got != g.Workflow {
		differ("workflow", got, g.Workflow)
	}
	if got := id.Ref(); !slices.ContainsFunc(g.Refs, func(re *regexp.Regexp) bool { return matchesAll(re, got) }) {
		differ("source_repository_ref", got, patterns(g.Refs))
	}
	if got := id.Trigger(); !slices.Contains(g.Triggers, got) {
		differ("build_trigger", got, strings.Join(g.Triggers, " or "))
	}
	if g.Environment != AnyEnvironment {
		want := g.Environment
		if want == NoEnvironment {
			want = ""
		}
		if got, known := id.Environment(); !known {
			unknown = append(unknown, "deployment_environment")
		} else if got != want {
			differ("deployment_environment", got, g.Environment)
		}
	}
	want := firstOf(g.Runner, githubHosted)
	switch got := id.RunnerEnvironment; {
	case want == anyRunner || got == want:
	case got == "":
		unknown = append(unknown, "runner_environment")
	default:
		differ("runner_environment", got, want)
	}
	return mismatches, unknown
}

// matchesAll holds whatever matches only a part of the text to be no match, so that a pattern that lost its anchors
// accepts too little rather than too much.
func matchesAll(re *regexp.Regexp, text string) bool {
	at := re.FindStringIndex(text)
	return at != nil && at[0] == 0 && at[1] == len(text)
}

// patterns writes patterns as a person did, without the anchors that config puts around them.
func patterns(res []*regexp.Regexp) string {
	var texts []string
	for _, re := range res {
		text := re.String()
		if inner, ok := strings.CutPrefix(text, "^(?:"); ok && strings.HasSuffix(inner, ")$") {
			text = strings.TrimSuffix(inner, ")$")
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, " or ")
}
