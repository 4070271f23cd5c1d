package config

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	pep440 "github.com/aquasecurity/go-pep440-version"

	"github.com/rekoncile/rekoncile/internal/identity"
)

type (
	workflowText    struct{ word }
	refText         struct{ word }
	triggerText     struct{ word }
	environmentText struct{ word }
	runnerText      struct{ word }
)

const workflowPattern = `^[^/\\]+\.ya?ml$`

const defaultRunner = "github-hosted"

func runners() []string { return []string{defaultRunner, "self-hosted", "any"} }

// triggers are the events that start a workflow, after GitHub's "Events that trigger workflows", and
// "dynamic", which GitHub's own workflows have.
func triggers() []string {
	return []string{
		"branch_protection_rule", "check_run", "check_suite", "create", "delete", "deployment", "deployment_status",
		"discussion", "discussion_comment", "dynamic", "fork", "gollum", "image_version", "issue_comment", "issues",
		"label", "merge_group", "milestone", "page_build", "project", "project_card", "project_column", "public",
		"pull_request", "pull_request_review", "pull_request_review_comment", "pull_request_target", "push",
		"registry_package", "release", "repository_dispatch", "schedule", "status", "watch", "workflow_dispatch",
		"workflow_run",
	}
}

func (r *resolver) grade(raw rawGrade) identity.Grade {
	g := identity.Grade{Workflow: raw.Workflow.text, Runner: defaultRunner}
	g.Name, _ = raw.Name.parse(r.reporter)
	if raw.Workflow.given() && !matches(workflowPattern, raw.Workflow.text) {
		r.report(raw.Workflow.position, "write the file name alone, such as release.yml", "%q is not a file below .github/workflows/", raw.Workflow.text)
	}
	for _, ref := range raw.Refs {
		if pattern := r.ref(ref); pattern != nil {
			g.Refs = append(g.Refs, pattern)
		}
	}
	for _, item := range raw.Publishes {
		published, ok := r.pypi(item)
		switch {
		case !ok:
		case slices.Contains(g.Publishes, published.String()):
			r.report(item.position, "remove it", "%s is listed twice", published)
		default:
			g.Publishes = append(g.Publishes, published.String())
		}
	}
	for _, trigger := range raw.Triggers {
		r.trigger(trigger, &g)
	}
	if env := raw.Environment; env.given() {
		g.Environment = env.text
		if strings.EqualFold(env.text, identity.NoEnvironment) || strings.EqualFold(env.text, identity.AnyEnvironment) {
			g.Environment = strings.ToLower(env.text)
		}
	}
	if runner := raw.Runner; runner.given() {
		g.Runner = runner.text
		if !slices.Contains(runners(), runner.text) {
			r.report(runner.position, suggest(runner.text, runners()), "%q is not a kind of runner", runner.text)
		}
	}
	g.PublishSince, g.SLSASince = r.since(raw.PublishSince), r.since(raw.SLSASince)
	g.Expect = r.expect(raw.Expect)
	r.checkDuties(raw, g)
	return g
}

func (r *resolver) trigger(v triggerText, g *identity.Grade) {
	switch {
	case !v.given():
		return
	case v.text == "workflow_call":
		r.report(v.position, "write the event that starts the calling workflow", "%q is in no certificate: a called workflow has its caller's event", v.text)
	case !slices.Contains(triggers(), v.text):
		advice := "see GitHub's list of events that trigger workflows"
		if near := nearest(v.text, triggers()); near != "" {
			advice = "did you mean \"" + near + "\"?"
		}
		r.report(v.position, advice, "%q is not an event of GitHub's", v.text)
	case slices.Contains(g.Triggers, v.text):
		r.report(v.position, "remove it", "%q is listed twice", v.text)
	case strings.HasPrefix(v.text, "pull_request") && len(g.Publishes) > 0:
		r.report(v.position, "remove the trigger, or make a grade of its own for it that publishes nothing",
			"%q must not publish: a pull request's author would decide what is in the files", v.text)
	}
	g.Triggers = append(g.Triggers, v.text)
}

// ref compiles a pattern and anchors it at both ends. It returns nil where there is none or it is wrong.
func (r *resolver) ref(v refText) *regexp.Regexp {
	if !v.given() {
		return nil
	}
	tree, err := syntax.Parse(v.text, syntax.Perl)
	if err != nil {
		r.report(v.position, "write an RE2 pattern such as refs/heads/main", "%q is not a pattern: %s", v.text, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return nil
	}
	if hasAnchor(tree) {
		r.report(v.position, "remove ^ and $: each pattern has to match the whole ref anyway", "%q has an anchor of its own", v.text)
		return nil
	}
	for _, name := range tree.CapNames() {
		if name != "" && name != "version" {
			r.report(v.position, "name it version, or write (…) for a group without meaning", "%q has a group named %q, which means nothing", v.text, name)
			return nil
		}
	}
	whole, err := regexp.Compile(anchored(v.text))
	if err != nil {
		r.report(v.position, "write a shorter pattern", "%q is not a pattern: %v", v.text, err)
		return nil
	}
	if whole.MatchString("") {
		r.report(v.position, "write refs/.+ for any ref", "%q matches the empty ref", v.text)
		return nil
	}
	if prefix, _ := regexp.MustCompile(ungrouped(tree).String()).LiteralPrefix(); !strings.HasPrefix(prefix, "refs/") {
		r.report(v.position, "write the whole ref, such as refs/heads/main", "%q does not begin with refs/", v.text)
		return nil
	}
	return whole
}

// hasAnchor tells whether a pattern says itself where the text begins or ends.
func hasAnchor(tree *syntax.Regexp) bool {
	switch tree.Op {
	case syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText:
		return true
	}
	return slices.ContainsFunc(tree.Sub, hasAnchor)
}

// ungrouped takes the capturing groups out of a pattern: the literal that it begins with would end there.
func ungrouped(tree *syntax.Regexp) *syntax.Regexp {
	for tree.Op == syntax.OpCapture {
		tree = tree.Sub[0]
	}
	for i, sub := range tree.Sub {
		tree.Sub[i] = ungrouped(sub)
	}
	return tree
}

func (r *resolver) since(raw *rawSince) *identity.Since {
	if raw == nil {
		return nil
	}
	var s identity.Since
	s.Version, _ = raw.Version.parse(r.reporter)
	s.Uploaded, _ = raw.Uploaded.parse(r.reporter)
	return &s
}

// checkDuties reports duties that contradict each other or that nothing can have.
func (r *resolver) checkDuties(raw rawGrade, g identity.Grade) {
	if len(raw.Publishes) == 0 {
		for key, since := range map[string]*rawSince{"publish_since": raw.PublishSince, "slsa_since": raw.SLSASince} {
			if since != nil && since.At.line > 0 {
				r.report(since.At, "add publishes, or remove "+key, "the grade publishes nothing")
			}
		}
		return
	}
	publish, slsa := g.PublishSince, g.SLSASince
	if publish == nil || slsa == nil || publish.Uploaded.IsZero() || slsa.Uploaded.IsZero() {
		return
	}
	if slsa.Uploaded.Before(publish.Uploaded) || isBelow(slsa.Version, publish.Version) {
		r.report(raw.SLSASince.At, "begin it with publish_since or after it", "begins before publish_since")
	}
}

// isBelow compares two versions; one that is not set or not valid is not below any.
func isBelow(a, b string) bool {
	x, errX := pep440.Parse(a)
	y, errY := pep440.Parse(b)
	return errX == nil && errY == nil && x.LessThan(y)
}

// compareGrades reports if the newest of the grades has the name or all conditions of an earlier
// one. raw are the earlier ones as they were written, newest the last one.
func (r *resolver) compareGrades(raw []rawGrade, grades []identity.Grade, newest rawGrade) {
	last := grades[len(grades)-1]
	for i, earlier := range raw {
		if last.Name != "" && last.Name == grades[i].Name {
			r.report(newest.Name.position, "give each grade its own name", "%q is the name of the grade on line %d", last.Name, earlier.Name.line)
		}
		if len(last.Refs) > 0 && sameConditions(last, grades[i]) {
			r.report(newest.At, "make one grade of them, or tell them apart by ref, trigger or environment",
				"has the same conditions as the grade %q", grades[i].Name)
		}
	}
}

func sameConditions(a, b identity.Grade) bool {
	return a.Workflow == b.Workflow && a.Environment == b.Environment && a.Runner == b.Runner &&
		slices.Equal(sortedRefs(a), sortedRefs(b)) &&
		slices.Equal(slices.Sorted(slices.Values(a.Triggers)), slices.Sorted(slices.Values(b.Triggers)))
}

func sortedRefs(g identity.Grade) []string {
	var refs []string
	for _, ref := range g.Refs {
		refs = append(refs, ref.String())
	}
	slices.Sort(refs)
	return refs
}
