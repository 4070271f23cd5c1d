package identity

import (
	"fmt"
	"slices"
	"strings"
)

// Match is the answer to the policy's question.
type Match string

// The answers of Judge.
const (
	Expected   Match = "expected"   // at least one grade may explain the identity
	Unexpected Match = "unexpected" // none does
)

// Class says what an identity has to do with the policy's repository, before any grade is asked. The signer is the
// repository whose workflow the SAN names, the source is the one that was built: they differ where a workflow is reused.
type Class string

// The classes of identities.
const (
	// ClassSelf: signer and source are the repository, whatever the issuer.
	ClassSelf Class = "self"
	// ClassReusableWorkflow: the repository was built by somebody else's reusable workflow.
	ClassReusableWorkflow Class = "reusable-workflow"
	// ClassForeignCaller: a workflow of the repository, called by a foreign (or untold) repository.
	ClassForeignCaller Class = "foreign-caller"
	// ClassThirdPartyCI: another issuer's certificate names the repository as its source. Whoever builds a clone of
	// the repository at such a service gets one: neither ours nor an attack by itself.
	ClassThirdPartyCI Class = "third-party-ci"
	// ClassRenamed: the issuer and the repository's numeric id are ours, its name is not: it was renamed or transferred.
	ClassRenamed Class = "renamed"
	// ClassOther: nothing of the kind. People who sign with an e-mail address are in it, and look-alikes.
	ClassOther Class = "other"
)

// IDState says how the numeric ids of repository and owner compare with the policy's.
type IDState string

// The states of ids.
const (
	IDsMatch       IDState = "match"
	IDsMismatch    IDState = "mismatch"
	IDsUnavailable IDState = "unavailable" // the certificate or the policy lacks one
)

// Mismatch is a field that is not as it should be.
type Mismatch struct {
	Field string `json:"field"` // Identity's JSON name, or "workflow"
	Got   string `json:"got"`
	Want  string `json:"want"`
}

func (m Mismatch) String() string {
	return fmt.Sprintf("%s is %q, not %q", m.Field, m.Got, m.Want)
}

// GradeMismatches says why a grade does not hold; without Mismatches it would hold, were it not for the identity's own.
type GradeMismatches struct {
	Grade      string     `json:"grade"`
	Mismatches []Mismatch `json:"mismatches,omitempty"`
}

// Judgement is what a policy says about an identity.
type Judgement struct {
	Match Match `json:"match"`
	Class Class `json:"class"`
	// Grades are those whose every condition that can be judged holds, in the policy's order: more than one where
	// the certificate does not tell its environment, or where the policy's grades overlap.
	Grades []string `json:"grades,omitempty"`
	// Mismatches are the identity's own, whatever the grade: with any of them no grade holds.
	Mismatches []Mismatch `json:"mismatches,omitempty"`
	// ByGrade says why the other grades do not hold, the closest first. It is empty where neither signer nor
	// source are the policy's repository.
	ByGrade []GradeMismatches `json:"by_grade,omitempty"`
	// IDs compares numeric ids, apart from names. IDsUnconfirmed repeats that nobody has confirmed the policy's: then
	// a mismatch informs and is not among Mismatches.
	IDs            IDState `json:"ids"`
	IDsUnconfirmed bool    `json:"ids_unconfirmed,omitempty"`
	// Unknown are fields that a condition needs and the certificate does not tell.
	Unknown []string `json:"unknown,omitempty"`
	// Notes are further facts, in sentences for people.
	Notes []string `json:"notes,omitempty"`
}

// Judge holds an identity against the policy. An identity is expected if it is wholly the repository's own (issuer,
// signer, source, confirmed ids, visibility, no contradiction between its extensions; the signer may be one of the policy's
// builders instead) and at least one grade's every condition holds, as far as the certificate tells; what it does not tell is in Unknown, for the caller to weigh.
func (p Policy) Judge(id Identity) Judgement {
	j := judging{policy: p, id: id}
	j.names()
	j.ids()
	j.classify()
	j.workflow()
	j.visibility()
	j.deprecated()
	j.grades()
	return j.Judgement
}

// judging is one judgement in the making; its methods run in the order that Judge calls them in.
type judging struct {
	Judgement
	policy                 Policy
	id                     Identity
	signer                 WorkflowURI // of the SAN; zero where that is no workflow
	signerOurs, sourceOurs bool
	issuerOurs             bool
	pinned                 bool // the signer is one of the policy's builders
}

func (j *judging) differ(field, got, want string) {
	j.Mismatches = append(j.Mismatches, Mismatch{Field: field, Got: got, Want: want})
}

func (j *judging) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(j.Notes, text) {
		j.Notes = append(j.Notes, text)
	}
}

// isOurs compares a repository's name with the policy's and notes a different case: GitHub ignores it, but does not
// change it from one certificate to the next.
func (j *judging) isOurs(repository string) bool {
	name := j.policy.Repository.Name
	if repository == "" || !sameRepository(repository, name) {
		return false
	}
	if repository != name {
		j.note("the certificate spells the repository %q, the policy %q", repository, name)
	}
	return true
}

// names judges who issued the certificate, whose workflow signed, and what was built.
func (j *judging) names() {
	issuer := firstOf(j.policy.Issuer, GitHubActionsIssuer)
	if j.issuerOurs = j.id.Issuer == issuer; !j.issuerOurs {
		j.differ("issuer", j.id.Issuer, issuer)
	}
	ours := gitHubURL + j.policy.Repository.Name
	if j.id.SANType == SANTypeURI {
		// The zero WorkflowURI of what does not parse names no repository.
		j.signer, _ = ParseWorkflowURI(j.id.SAN)
	}
	_, j.pinned = j.policy.Builder(j.id)
	if j.signerOurs = j.isOurs(j.signer.Repository); !j.signerOurs && !j.pinned {
		j.differ("san", j.id.SAN, ours+"/"+workflowFolder+"…")
	}
	if j.sourceOurs = j.isOurs(j.id.Repository()); !j.sourceOurs {
		j.differ("source_repository_uri", firstOf(j.id.SourceRepositoryURI, j.id.GitHubWorkflowRepository), ours)
	}
	owner, _, _ := strings.Cut(j.policy.Repository.Name, "/")
	if got := j.id.SourceRepositoryOwnerURI; got != "" && asciiLower(got) != gitHubURL+asciiLower(owner) {
		j.differ("source_repository_owner_uri", got, gitHubURL+owner)
	}
}

// ids judges numeric ids on their own: they neither stand in for a name nor excuse one.
func (j *judging) ids() {
	r := j.policy.Repository
	j.IDs, j.IDsUnconfirmed = IDsUnavailable, r.IDsUnconfirmed && (r.ID != "" || r.OwnerID != "")
	complete := r.ID != ""
	var wrong []Mismatch
	for _, c := range []Mismatch{
		{"source_repository_id", j.id.SourceRepositoryID, r.ID},
		{"source_repository_owner_id", j.id.SourceRepositoryOwnerID, r.OwnerID},
	} {
		switch {
		case c.Want == "":
		case c.Got == "":
			complete = false
			j.Unknown = append(j.Unknown, c.Field)
		case c.Got != c.Want:
			wrong = append(wrong, c)
		}
	}
	switch {
	case len(wrong) > 0:
		j.IDs = IDsMismatch
		for _, m := range wrong {
			if j.IDsUnconfirmed {
				j.note("%s; the policy's ids are not confirmed", m)
			} else {
				j.Mismatches = append(j.Mismatches, m)
			}
		}
	case complete:
		j.IDs = IDsMatch
	}
}

func (j *judging) classify() {
	sameID := j.policy.Repository.ID != "" && j.id.SourceRepositoryID == j.policy.Repository.ID
	mentioned := mentions(j.id.SourceRepositoryURI)
	switch {
	case j.signerOurs && j.sourceOurs:
		j.Class = ClassSelf
	case j.signerOurs:
		j.Class = ClassForeignCaller
	case j.sourceOurs && j.issuerOurs:
		j.Class = ClassReusableWorkflow
	case !j.issuerOurs && (j.sourceOurs || mentioned != "" && mentioned == asciiLower(j.policy.Repository.Name)):
		j.Class = ClassThirdPartyCI
	case j.issuerOurs && sameID:
		j.Class = ClassRenamed
		j.note("repository id %s is the policy's, but its name is %q: it was renamed or transferred", j.id.SourceRepositoryID, j.id.Repository())
	default:
		j.Class = ClassOther
	}
}

// workflow judges whether everything that names a workflow names the same one: PyPI looks at Build Config URI, most
// verifiers at the SAN. With a foreign signer it is only the former that must be the source's.
func (j *judging) workflow() {
	ref := j.id.Ref()
	if uri := j.id.BuildConfigURI; uri != "" {
		config, err := ParseWorkflowURI(uri)
		if err != nil || !j.isOurs(config.Repository) || config.Ref != ref {
			j.differ("build_config_uri", uri, gitHubURL+j.policy.Repository.Name+"/"+workflowFolder+"…@"+ref)
		}
		if j.signerOurs && !j.pinned && (j.signer.Path != config.Path || j.signer.Ref != config.Ref) {
			j.differ("san", j.id.SAN, uri)
		}
	} else if j.signerOurs && !j.pinned && j.signer.Ref != ref {
		j.differ("san", j.id.SAN, gitHubURL+j.policy.Repository.Name+"/"+j.signer.Path+"@"+ref)
	}
	if uri := j.id.BuildSignerURI; uri != "" && uri != j.id.SAN {
		// Only the escapes may differ, which parsing undoes.
		if signer, err := ParseWorkflowURI(uri); err != nil || signer != j.signer {
			j.differ("build_signer_uri", uri, j.id.SAN)
		}
	}
}

func (j *judging) visibility() {
	switch got := j.id.SourceRepositoryVisibility; got {
	case "public":
	case "":
		j.Unknown = append(j.Unknown, "source_repository_visibility")
	default:
		j.differ("source_repository_visibility", got, "public")
	}
}

// deprecated judges whether the deprecated extensions say what their successors say, where both are there.
func (j *judging) deprecated() {
	source := strings.TrimPrefix(j.id.SourceRepositoryURI, gitHubURL)
	for _, c := range []Mismatch{
		{"github_workflow_trigger", j.id.GitHubWorkflowTrigger, j.id.BuildTrigger},
		{"github_workflow_sha", j.id.GitHubWorkflowSHA, j.id.SourceRepositoryDigest},
		{"github_workflow_repository", j.id.GitHubWorkflowRepository, source},
		{"github_workflow_ref", j.id.GitHubWorkflowRef, j.id.SourceRepositoryRef},
	} {
		if c.Got != "" && c.Want != "" && c.Got != c.Want {
			j.Mismatches = append(j.Mismatches, c)
		}
	}
}

// grades asks each grade, and concludes.
func (j *judging) grades() {
	j.Match = Unexpected
	if j.Class == ClassOther || j.Class == ClassThirdPartyCI {
		return
	}
	var unknown []string
	for _, g := range j.policy.Grades {
		mismatches, gradeUnknown := g.mismatches(j.id)
		if len(mismatches) == 0 {
			unknown = append(unknown, gradeUnknown...)
		}
		if len(mismatches) == 0 && len(j.Mismatches) == 0 {
			j.Grades = append(j.Grades, g.Name)
		} else {
			j.ByGrade = append(j.ByGrade, GradeMismatches{Grade: g.Name, Mismatches: mismatches})
		}
	}
	slices.SortStableFunc(j.ByGrade, func(a, b GradeMismatches) int { return len(a.Mismatches) - len(b.Mismatches) })
	slices.Sort(unknown)
	j.Unknown = append(j.Unknown, slices.Compact(unknown)...)
	if len(j.Grades) > 0 {
		j.Match = Expected
	}
}
