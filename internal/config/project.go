package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/rekoncile/rekoncile/internal/identity"
)

type (
	repositoryText struct{ word }
	numberText     struct{ word }
	idStateText    struct{ word }
)

const (
	repositoryPattern = `^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?/[A-Za-z0-9._-]+$`
	numberPattern     = `^[1-9][0-9]{0,18}$`
)

// Whether somebody has checked a repository's numeric ids.
const (
	idsConfirmed   = "confirmed"
	idsUnconfirmed = "unconfirmed"
)

func (r *resolver) project(raw rawProject) Project {
	name, ok := raw.Name.parse(r.reporter)
	if first, twice := r.projects[name]; ok && twice {
		r.report(raw.Name.position, "give each project its own name", "%q is the name of the project on line %d", name, first)
	}
	r.projects[name] = raw.Name.line
	p := Project{Name: name, Policy: identity.Policy{
		Project:    name,
		Issuer:     identity.GitHubActionsIssuer,
		Repository: r.repository(raw.Repository),
	}}
	p.AlsoWatch = r.alsoWatch(raw.AlsoWatch)
	if issuer, ok := raw.Issuer.parse(r.reporter); ok {
		p.Policy.Issuer = issuer
	}
	for _, item := range raw.PyPI {
		shipped, ok := r.pypi(item)
		if !ok {
			continue
		}
		if first, twice := r.shipped[shipped.String()]; twice {
			r.report(item.position, "keep one of them", "%s is listed twice, first on line %d", shipped, first)
			continue
		}
		r.shipped[shipped.String()] = item.line
		p.PyPI = append(p.PyPI, shipped)
	}
	for _, item := range raw.ExpectRemovals {
		removed, ok := r.pypi(item)
		switch {
		case !ok:
		case !slices.Contains(p.PyPI, removed):
			r.report(item.position, "list it there too", "%s is not in the project's pypi list", removed)
		case slices.Contains(p.ExpectRemovals, removed):
			r.report(item.position, "remove it", "%s is listed twice", removed)
		default:
			p.ExpectRemovals = append(p.ExpectRemovals, removed)
			p.Policy.Removals = append(p.Policy.Removals, removed.String())
		}
	}
	for i, grade := range raw.Grades {
		p.Policy.Grades = append(p.Policy.Grades, r.grade(grade))
		r.compareGrades(raw.Grades[:i], p.Policy.Grades, grade)
	}
	p.Policy.Builders = r.builders(raw.Builders)
	p.Claims = r.claims(raw.Claims, p.PyPI)
	r.checkPublished(raw, p)
	r.checkExpected(raw, p)
	return p
}

// checkPublished reports each index project that no grade may sign for. It says nothing where what
// the grades publish is wrong in itself.
func (r *resolver) checkPublished(raw rawProject, p Project) {
	published := make(map[string]bool)
	for i, grade := range p.Policy.Grades {
		if len(grade.Publishes) != len(raw.Grades[i].Publishes) {
			return
		}
		for _, name := range grade.Publishes {
			published[name] = true
		}
	}
	if len(raw.Grades) == 0 {
		return
	}
	for _, item := range raw.PyPI {
		shipped, ok := parsePyPI(item.text)
		if ok && !published[shipped.String()] && slices.Contains(p.PyPI, shipped) {
			r.report(item.position, "add it to the publishes of a grade, or remove it here",
				"no grade publishes %s: every file of it would be wrong", shipped)
		}
	}
}

// pypi resolves "NAME" or "INDEX/NAME".
func (r *resolver) pypi(v pypiText) (PyPIProject, bool) {
	if !v.given() {
		return PyPIProject{}, false
	}
	p, ok := parsePyPI(v.text)
	if !ok {
		r.report(v.position, "write NAME or INDEX/NAME", "%q is not an index project", v.text)
		return PyPIProject{}, false
	}
	if !slices.Contains(r.indexes, p.Index) {
		r.report(v.position, suggest(p.Index, r.indexes), "%q is not a known index", p.Index)
		return PyPIProject{}, false
	}
	return p, true
}

func parsePyPI(text string) (PyPIProject, bool) {
	if !matches(pypiPattern, text) {
		return PyPIProject{}, false
	}
	index, name, found := strings.Cut(text, "/")
	if !found {
		index, name = "pypi", text
	}
	// PEP 503, "Normalized Names".
	name = strings.ToLower(regexp.MustCompile(`[-_.]+`).ReplaceAllString(name, "-"))
	return PyPIProject{Index: index, Name: name}, true
}

func (r *resolver) repository(raw rawRepository) identity.Repository {
	repository := identity.Repository{ID: r.number(raw.ID), OwnerID: r.number(raw.OwnerID)}
	if name := raw.Name; name.given() {
		repository.Name = name.text
		if !matches(repositoryPattern, name.text) {
			advice := "write OWNER/NAME"
			if short := strings.TrimSuffix(strings.TrimPrefix(name.text, "https://github.com/"), ".git"); matches(repositoryPattern, short) {
				advice = "write " + short
			}
			r.report(name.position, advice, "%q is not a repository's name", name.text)
		}
	}
	missing := !raw.ID.present() && !raw.OwnerID.present()
	switch {
	case !raw.IDs.given():
	case raw.IDs.text != idsConfirmed && raw.IDs.text != idsUnconfirmed:
		r.report(raw.IDs.position, "write confirmed or unconfirmed", "%q is neither", raw.IDs.text)
	case missing:
		r.report(raw.IDs.position, "give id and owner_id, or remove ids", "there are no ids that this could be about")
	}
	repository.IDsUnconfirmed = raw.IDs.text == idsUnconfirmed
	return repository
}

func (r *resolver) number(v numberText) string {
	if v.given() && !matches(numberPattern, v.text) {
		r.report(v.position, "write the number that https://api.github.com/repos/OWNER/NAME shows", "%q is not a decimal id", v.text)
	}
	return v.text
}
