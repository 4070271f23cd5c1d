package config

import (
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
)

type (
	builderText struct{ word }
	levelText   struct{ word }
	sourceText  struct{ word }
)

const (
	levelPattern   = `^[1-3]$`
	builderPattern = `^https://github\.com/[^/]+/[^/]+/\.github/workflows/[^/@]+@.+$`
	// maxSource bounds where a claim is said to stand, in bytes.
	maxSource = 200
	// minEvery is how often something may be expected at most: what happens more often has no day on which it is missed.
	minEvery = time.Hour
)

// Claim is what a project says of its releases, which the evidence is held against.
type Claim struct {
	// On is the index project that it is about.
	On PyPIProject
	// SLSABuild is the level of SLSA's Build track that is claimed, 1 to 3.
	SLSABuild int
	// Since says from when on; nil for every release.
	Since *identity.Since
	// Source is where it stands, such as "SECURITY.md".
	Source string
}

func (r *resolver) claims(raw []rawClaim, shipped []PyPIProject) []Claim {
	var claims []Claim
	for _, item := range raw {
		c := Claim{SLSABuild: r.level(item.SLSABuild), Since: r.since(item.Since), Source: item.Source.text}
		on, ok := r.pypi(item.Publishes)
		if c.On = on; ok && !slices.Contains(shipped, on) {
			r.report(item.Publishes.position, "list it there too", "%s is not in the project's pypi list", on)
		}
		if len(c.Source) > maxSource {
			r.report(item.Source.position, "name the document", "is longer than %d bytes", maxSource)
		}
		if ok && slices.ContainsFunc(claims, func(x Claim) bool { return x.On == c.On && x.SLSABuild == c.SLSABuild && x.Source == c.Source }) {
			r.report(item.At, "remove it", "is claimed twice in %q", c.Source)
		}
		claims = append(claims, c)
	}
	return claims
}

func (r *resolver) level(v levelText) int {
	if !v.given() {
		return 0
	}
	if !matches(levelPattern, v.text) {
		r.report(v.position, "write 1, 2 or 3", "%q is not a level of SLSA's Build track", v.text)
		return 0
	}
	return int(v.text[0] - '0')
}

func (r *resolver) builders(raw []rawBuilder) []identity.Builder {
	var builders []identity.Builder
	for _, item := range raw {
		b := identity.Builder{ID: item.ID.text, Level: r.level(item.Level)}
		builders = append(builders, b)
		if !item.ID.given() {
			continue
		}
		const advice = "write it as builder.id has it: https://github.com/OWNER/NAME/.github/workflows/FILE@refs/tags/TAG, or with a commit behind the @"
		w, err := identity.ParseWorkflowURI(b.ID)
		switch {
		case err != nil:
			r.report(item.ID.position, advice, "%q is not a workflow at a ref", b.ID)
		case strings.HasPrefix(w.Ref, "refs/heads/"), strings.HasPrefix(w.Ref, "refs/pull/"):
			r.report(item.ID.position, advice, "%q is not pinned: a branch is another one tomorrow", b.ID)
		case slices.ContainsFunc(builders[:len(builders)-1], func(x identity.Builder) bool { return x.ID == b.ID }):
			r.report(item.ID.position, "keep one of them", "%q is listed twice", b.ID)
		}
	}
	return builders
}

func (r *resolver) expect(raw *rawExpect) *identity.Expect {
	if raw == nil {
		return nil
	}
	var e identity.Expect
	var everyOK, withinOK bool
	e.Every, everyOK = raw.Every.parse(r.reporter)
	e.Within, withinOK = raw.Within.parse(r.reporter)
	switch {
	case everyOK && e.Every < minEvery:
		r.report(raw.Every.position, "write a duration such as 7d", "is shorter than %s", durationString(minEvery))
	case everyOK && withinOK && e.Within > e.Every:
		r.report(raw.Within.position, "write a shorter one", "is longer than every: the next one would be due before this one is missed")
	}
	return &e
}

// checkExpected reports grades that are expected to publish what nobody looks at.
func (r *resolver) checkExpected(raw rawProject, p Project) {
	for i, g := range p.Policy.Grades {
		at := raw.Grades[i].Expect
		if at == nil || at.At.line == 0 || len(g.Publishes) == 0 {
			continue
		}
		if !slices.ContainsFunc(p.PyPI, func(on PyPIProject) bool { return slices.Contains(g.Publishes, on.String()) }) {
			r.report(at.At, "list what it publishes there, or remove expect", "nothing that the grade publishes is in the project's pypi list")
		}
	}
}

// The forms of these values for writing.

type shownBuilder struct {
	ID    string `yaml:"id"`
	Level int    `yaml:"level"`
}

type shownClaim struct {
	Publishes string      `yaml:"publishes"`
	SLSABuild int         `yaml:"slsa_build"`
	Since     *shownSince `yaml:"since,omitempty"`
	Source    string      `yaml:"source"`
}

type shownExpect struct {
	Every  string `yaml:"every"`
	Within string `yaml:"within"`
}

func showBuilders(builders []identity.Builder) []shownBuilder {
	var shown []shownBuilder
	for _, b := range builders {
		shown = append(shown, shownBuilder(b))
	}
	return shown
}

func showClaims(claims []Claim) []shownClaim {
	var shown []shownClaim
	for _, c := range claims {
		shown = append(shown, shownClaim{Publishes: c.On.String(), SLSABuild: c.SLSABuild, Since: showSince(c.Since), Source: c.Source})
	}
	return shown
}

func showExpect(e *identity.Expect) *shownExpect {
	if e == nil {
		return nil
	}
	return &shownExpect{Every: durationString(e.Every), Within: durationString(e.Within)}
}
