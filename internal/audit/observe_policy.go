package audit

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// observedGrade is one purpose that a repository was seen to sign for.
type observedGrade struct {
	name, workflow, environment, runner string
	triggers, refs                      []string
	signatures                          []ObservedSignature
	// told says that certificates tell the environment; where they do not, it is the index's record, or any.
	told bool
}

// observedPolicy is what was observed, as a policy would say it.
type observedPolicy struct {
	repository, id, ownerID string
	// otherIDs are those that certificates in the repository's name told before.
	otherIDs  []string
	grades    []*observedGrade
	slsaSince time.Time
	// left are the signatures that the policy does not cover, and why.
	left []string
}

// untold stands for an environment that neither certificate nor record tells.
const untold = ""

// policy generalises what was observed, no further than it shows. It is nil where nothing was signed by a GitHub workflow.
func (x *Observation) policy() *observedPolicy {
	p := &observedPolicy{repository: x.repository()}
	if p.repository == "" {
		return nil
	}
	var own []ObservedSignature
	for _, s := range x.Signatures {
		id := s.identity()
		if problem := s.problem(p.repository); problem != "" {
			p.left = append(p.left, fmt.Sprintf("%s: %s: %s", oneLine(s.File.Filename, 120), problem, oneLine(id.Describe(), 300)))
			continue
		}
		own = append(own, s)
		if before := p.id + " of " + p.ownerID; p.id != "" && (id.SourceRepositoryID != p.id || id.SourceRepositoryOwnerID != p.ownerID) && !slices.Contains(p.otherIDs, before) {
			p.otherIDs = append(p.otherIDs, before)
		}
		p.id, p.ownerID = cmp.Or(id.SourceRepositoryID, p.id), cmp.Or(id.SourceRepositoryOwnerID, p.ownerID)
	}
	p.group(own)
	for _, g := range p.grades {
		g.generalise()
	}
	p.name()
	p.slsa(own)
	return p
}

// repository is the one that signed most of the files, of two that signed as many the later one; "" where none did. The latest alone
// could be anybody who once had the project's credentials.
func (x *Observation) repository() string {
	type signed struct{ repository, file string }
	seen, files, best := map[signed]bool{}, map[string]int{}, ""
	for _, s := range x.Signatures {
		one := signed{s.identity().Repository(), s.File.Filename}
		if one.repository == "" || s.identity().Issuer != identity.GitHubActionsIssuer || seen[one] {
			continue
		}
		seen[one] = true
		if files[one.repository]++; files[one.repository] >= files[best] {
			best = one.repository
		}
	}
	return best
}

// identity is who signed; the zero identity where the certificate could not be read.
func (s ObservedSignature) identity() identity.Identity {
	if s.Identity == nil {
		return identity.Identity{}
	}
	return *s.Identity
}

// problem says why a signature cannot be what a policy for a repository expects, "" where it can.
func (s ObservedSignature) problem(repository string) string {
	id := s.identity()
	for _, text := range []string{id.Workflow(), id.Ref(), id.Trigger(), id.DeploymentEnvironment, id.RunnerEnvironment, s.Publisher.Environment} {
		if oneLine(text, 250) != text {
			return "it has characters that no policy should have"
		}
	}
	switch {
	case s.Identity == nil:
		return "its identity cannot be read"
	case id.Issuer != identity.GitHubActionsIssuer:
		return "it is not by GitHub Actions, and this version writes no policy for others"
	case id.Repository() != repository:
		return "it is by another repository, and a policy has one"
	case strings.HasPrefix(id.Trigger(), "pull_request"):
		return "it is by a pull request, whose author decides what is in the files: no policy lets that publish"
	case strings.EqualFold(id.DeploymentEnvironment, identity.NoEnvironment), strings.EqualFold(id.DeploymentEnvironment, identity.AnyEnvironment):
		return "its environment has a name that means something else in a policy"
	case !slices.Contains([]string{"", "github-hosted", "self-hosted"}, id.RunnerEnvironment):
		return "it ran on a kind of runner that this version does not know"
	case id.Workflow() == "" || id.Trigger() == "" || !strings.HasPrefix(id.Ref(), "refs/"):
		return "its workflow, trigger or ref is not told"
	}
	return ""
}

// group makes a grade of each workflow, environment and kind of runner. Signatures whose environment nobody tells go to the grade
// of their workflow, if there is one alone.
func (p *observedPolicy) group(own []ObservedSignature) {
	place := func(s ObservedSignature, environment string, told bool) {
		id := s.identity()
		runner := cmp.Or(id.RunnerEnvironment, "github-hosted")
		i := slices.IndexFunc(p.grades, func(g *observedGrade) bool {
			return g.workflow == id.Workflow() && g.environment == environment && g.runner == runner
		})
		if i < 0 {
			i = len(p.grades)
			p.grades = append(p.grades, &observedGrade{workflow: id.Workflow(), environment: environment, runner: runner})
		}
		g := p.grades[i]
		g.told = g.told || told
		g.signatures = append(g.signatures, s)
	}
	var silent []ObservedSignature
	for _, s := range own {
		switch name, told := s.identity().Environment(); {
		case told:
			place(s, cmp.Or(name, identity.NoEnvironment), true)
		case s.Publisher.Environment != "" && !strings.EqualFold(s.Publisher.Environment, identity.NoEnvironment) && !strings.EqualFold(s.Publisher.Environment, identity.AnyEnvironment):
			place(s, s.Publisher.Environment, false)
		default:
			silent = append(silent, s)
		}
	}
	for _, s := range silent {
		environment := untold
		for _, g := range p.grades {
			if g.workflow == s.identity().Workflow() && environment == untold {
				environment = g.environment
			}
		}
		place(s, cmp.Or(environment, identity.AnyEnvironment), false)
	}
}

// maxRefs is how many refs of one grade are listed one by one.
const maxRefs = 30

// generalise finds the triggers and the refs that cover what a grade signed.
func (g *observedGrade) generalise() {
	add := func(list *[]string, text string) {
		if !slices.Contains(*list, text) {
			*list = append(*list, text)
		}
	}
	whole := true
	shapes := map[versionShape]bool{}
	for _, s := range g.signatures {
		add(&g.triggers, s.identity().Trigger())
		_, shape, ok := versionIn(s.identity().Ref(), s.File.Version)
		whole = whole && ok
		shapes[shape] = true
	}
	version := versionPattern(shapes)
	// What follows is anchored at both ends by whoever reads it.
	for _, s := range g.signatures {
		ref := s.identity().Ref()
		at, _, _ := versionIn(ref, s.File.Version)
		switch {
		case whole:
			add(&g.refs, regexp.QuoteMeta(ref[:at[0]])+"(?P<version>"+version+")"+regexp.QuoteMeta(ref[at[1]:]))
		case len(g.refs) < maxRefs:
			add(&g.refs, regexp.QuoteMeta(ref))
		}
	}
	slices.SortStableFunc(g.signatures, func(a, b ObservedSignature) int { return a.File.UploadedAt.Compare(b.File.UploadedAt) })
}

var versionText = regexp.MustCompile(`[0-9]+(?:\.[0-9]+)*(?:[-_.]?(?:a|b|rc|alpha|beta|post|dev)[-_.]?[0-9]+)*`)

// versionShape is the form of a version's text: how many dots are between its numbers, and whether a pre-, post- or development part
// follows.
type versionShape struct {
	dots   int
	suffix bool
}

// versionIn finds where a ref names the version of what was signed, and in which shape. ok is false where it does not, or not
// clearly.
func versionIn(ref, version string) (at [2]int, shape versionShape, ok bool) {
	found := 0
	for _, i := range versionText.FindAllStringIndex(ref, -1) {
		text := ref[i[0]:i[1]]
		if baseVersion(text) != baseVersion(version) || version == "" {
			continue
		}
		found++
		at = [2]int{i[0], i[1]}
		numbers := text
		if j := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); j >= 0 {
			numbers = strings.TrimRight(text[:j], ".")
		}
		shape = versionShape{strings.Count(numbers, "."), numbers != text}
	}
	return at, shape, found == 1
}

// versionPattern matches versions of the shapes that were seen.
func versionPattern(shapes map[versionShape]bool) string {
	dots := map[int]bool{}
	suffix := false
	for shape := range shapes {
		dots[shape.dots] = true
		suffix = suffix || shape.suffix
	}
	pattern := `\d+(?:\.\d+)*`
	if len(dots) == 1 {
		for n := range dots {
			pattern = `\d+` + strings.Repeat(`\.\d+`, n)
		}
	}
	if suffix {
		pattern += `(?:[-_.]?(?:a|b|rc|alpha|beta|post|dev)[-_.]?\d+)*`
	}
	return pattern
}

var noName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// name gives each grade a name of its own, after its environment, or else its workflow.
func (p *observedPolicy) name() {
	taken := map[string]bool{}
	for _, g := range p.grades {
		stem := strings.TrimSuffix(strings.TrimSuffix(g.workflow, ".yml"), ".yaml")
		if g.environment != identity.NoEnvironment && g.environment != identity.AnyEnvironment {
			stem = g.environment
		}
		stem = strings.TrimLeft(noName.ReplaceAllString(stem, "-"), "._-")
		stem = cmp.Or(stem, "grade")
		g.name = stem
		for i := 2; taken[g.name]; i++ {
			g.name = fmt.Sprintf("%s-%d", stem, i)
		}
		taken[g.name] = true
	}
}

// slsa finds since when every file that was looked at has SLSA provenance on the index; never, where the last one has none.
func (p *observedPolicy) slsa(own []ObservedSignature) {
	has, order := map[string]bool{}, []ObservedSignature{}
	for _, s := range own {
		if _, seen := has[s.File.Filename]; !seen {
			order = append(order, s)
		}
		has[s.File.Filename] = has[s.File.Filename] || s.PredicateType == attest.PredicateSLSA
	}
	for i := len(order) - 1; i >= 0 && has[order[i].File.Filename]; i-- {
		at := order[i].File.UploadedAt
		if at.IsZero() {
			return
		}
		p.slsaSince = at.UTC()
	}
}
