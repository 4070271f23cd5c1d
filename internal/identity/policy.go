package identity

import (
	"regexp"
	"time"
)

// GitHubActionsIssuer is the OIDC issuer of GitHub Actions on github.com, compared byte for byte:
// enterprise issuers extend it with a path and are not it.
const GitHubActionsIssuer = "https://token.actions.githubusercontent.com"

// Policy says who may sign in a project's name, and for what. It is plain data: config builds it,
// Judge reads it.
type Policy struct {
	// Project is the configured project's name, such as "onnx".
	Project string
	// Issuer is the exact OIDC issuer (extension .8); GitHubActionsIssuer by default.
	Issuer string
	// Repository is whose name it is.
	Repository Repository
	// Grades are the purposes that the repository signs for, in the configuration's order.
	Grades []Grade
	// Builders are workflows besides the repository's own top-level ones that may sign for it.
	Builders []Builder
	// Removals are those of the PyPI projects ("INDEX/NAME") whose files are removed on purpose.
	Removals []string
}

// Repository is a repository by name (for discovery) and by numeric id (for trust): names can be
// re-registered, ids cannot.
type Repository struct {
	// Name is "OWNER/NAME".
	Name string
	// ID and OwnerID are decimal strings as in extensions .15 and .17; "" where not configured.
	ID, OwnerID string
	// IDsUnconfirmed marks ids that nobody has confirmed yet: a mismatch informs, it does not page.
	IDsUnconfirmed bool
}

// Reserved values of Grade.Environment.
const (
	NoEnvironment  = "none" // the job must not run in a deployment environment
	AnyEnvironment = "any"  // the environment does not matter
)

// Grade is one purpose that the repository signs for.
type Grade struct {
	// Name is "release", "weekly", "ci" and so on.
	Name string
	// Workflow is the file name below .github/workflows/, such as "create_release.yml".
	Workflow string
	// Refs are patterns of the source ref, anchored at both ends. A group named "version" must equal
	// the base version of what is published.
	Refs []*regexp.Regexp
	// Triggers are the accepted build triggers (extension .20).
	Triggers []string
	// Environment is a deployment environment's name, NoEnvironment or AnyEnvironment.
	Environment string
	// Runner is the accepted runner environment (extension .11): "github-hosted" by default, "any" for all.
	Runner string
	// Publishes are the PyPI projects that the grade may sign for, as "INDEX/NAME" with normalised
	// names ("pypi/onnx"); empty for grades that publish nothing.
	Publishes []string
	// PublishSince and SLSASince say from when on files carry attestations; nil means from ever
	// (PublishSince) or never (SLSASince).
	PublishSince, SLSASince *Since
	// Expect says how often something of the grade happens; nil where nobody counts on it.
	Expect *Expect
}

// Expect is how often something happens: at the latest Every after the last time, give or take Within.
type Expect struct {
	Every, Within time.Duration
}

// Since is where a duty begins. A file is exempt only if its version is below Version (where set)
// and it was uploaded before Uploaded.
type Since struct {
	// Version is a PEP 440 version; "" where the date alone decides.
	Version string
	// Uploaded is the first instant at which the duty holds.
	Uploaded time.Time
}
