package identity

import "strings"

// WatchClass says what an identity has to do with a watched name.
type WatchClass string

// The classes of watched identities.
const (
	WatchSelf       WatchClass = "self"           // signer and source are the repository
	WatchSigner     WatchClass = "signer"         // a workflow of the repository, another source
	WatchSource     WatchClass = "source"         // the repository's source, another's workflow
	WatchRenamed    WatchClass = "renamed"        // the repository's numeric id under another name
	WatchOwner      WatchClass = "owner"          // another repository of a watched owner
	WatchThirdParty WatchClass = "third-party-ci" // another issuer's certificate, or one in another form, mentions the repository
	WatchLookalike  WatchClass = "look-alike"     // resembles the name and is not it
	WatchEmail      WatchClass = "e-mail"         // a watched address
	WatchKey        WatchClass = "key"            // a watched key
	WatchNothing    WatchClass = ""               // nothing
)

// Lookalike says how a name resembles a watched one.
type Lookalike string

// The kinds of look-alikes.
const (
	LookalikeName     Lookalike = "name"     // another name, a letter or a line away
	LookalikeHost     Lookalike = "host"     // the very name, at another place than github.com
	LookalikeSpelling Lookalike = "spelling" // the name in escapes, foreign letters, doubled slashes or ways up
)

// WatchMatch is what an identity has to do with the watch list.
type WatchMatch struct {
	Class      WatchClass `json:"class"`
	Lookalike  Lookalike  `json:"lookalike,omitempty"` // where that is the class
	Project    string     `json:"project,omitempty"`
	Repository string     `json:"repository,omitempty"` // the watched one
}

// Classify says what a parsed identity has to do with the watch list. It judges by names, as a claim: whether the
// certificate chains to anything is not its question.
func (w *WatchList) Classify(id Identity) WatchMatch {
	if id.Issuer == GitHubActionsIssuer {
		return w.classifyGitHub(id)
	}
	if project, ok := w.emails[asciiLower(id.SAN)]; ok {
		return WatchMatch{Class: WatchEmail, Project: project}
	}
	// Other services write a repository in other ways: it is meant all the same.
	for _, name := range []string{mentions(id.SourceRepositoryURI), id.Repository(), signerRepository(id)} {
		if found, ok := w.exact(name); ok {
			return WatchMatch{Class: WatchThirdParty, Project: found.project, Repository: found.repository}
		}
	}
	for _, text := range []string{id.SAN, id.SourceRepositoryURI, id.BuildConfigURI, id.BuildSignerURI, id.GitHubWorkflowRepository} {
		for i, form := range forms(text) {
			found, ok := w.find(form, 0)
			if !ok {
				continue
			}
			kind := LookalikeHost
			switch {
			case i > 0:
				kind = LookalikeSpelling
			case found.lookalike:
				kind = LookalikeName
			}
			return WatchMatch{WatchLookalike, kind, found.project, found.repository}
		}
	}
	return WatchMatch{}
}

// classifyGitHub classifies what GitHub Actions vouches for. GitHub writes names in one way, and what else stands in its
// certificates (branches, files) is anybody's to choose.
func (w *WatchList) classifyGitHub(id Identity) WatchMatch {
	source, signer := id.Repository(), signerRepository(id)
	from, sourceOurs := w.exact(source)
	by, signerOurs := w.exact(signer)
	switch {
	case sourceOurs && signerOurs && from.repository == by.repository:
		return WatchMatch{Class: WatchSelf, Project: from.project, Repository: from.repository}
	case signerOurs:
		return WatchMatch{Class: WatchSigner, Project: by.project, Repository: by.repository}
	case sourceOurs:
		return WatchMatch{Class: WatchSource, Project: from.project, Repository: from.repository}
	}
	if found, ok := w.ids[id.SourceRepositoryID]; ok {
		return WatchMatch{Class: WatchRenamed, Project: found.project, Repository: found.repository}
	}
	if project, ok := w.emails[asciiLower(id.SAN)]; ok {
		return WatchMatch{Class: WatchEmail, Project: project}
	}
	// A source in another form than GitHub's says nothing for certain, and is looked at all the same.
	if found, ok := w.exact(mentions(id.SourceRepositoryURI)); ok {
		return WatchMatch{Class: WatchThirdParty, Project: found.project, Repository: found.repository}
	}
	for _, name := range []string{source, signer} {
		if project, ok := w.owner(name); ok {
			return WatchMatch{Class: WatchOwner, Project: project}
		}
	}
	for _, name := range []string{source, signer} {
		if found, ok := w.names[asciiLower(name)]; ok {
			return WatchMatch{WatchLookalike, LookalikeName, found.project, found.repository}
		}
	}
	return WatchMatch{}
}

// signerRepository is the repository of the workflow that the SAN names, "" for none.
func signerRepository(id Identity) string {
	u, err := ParseWorkflowURI(id.SAN)
	if err != nil {
		return ""
	}
	return u.Repository
}

// owner finds the project that watches a repository's owner.
func (w *WatchList) owner(repository string) (project string, ok bool) {
	owner, _, found := strings.Cut(repository, "/")
	if !found {
		return "", false
	}
	project, ok = w.owners[asciiLower(owner)]
	return project, ok
}

// exact finds a repository by its own name.
func (w *WatchList) exact(repository string) (watchedName, bool) {
	found, ok := w.names[asciiLower(repository)]
	return found, ok && !found.lookalike
}
