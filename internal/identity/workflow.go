package identity

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// gitHubURL is how every canonical URL of a repository begins. GitHub Enterprise servers have others.
const gitHubURL = "https://github.com/"

const workflowFolder = ".github/workflows/"

// WorkflowURI is a GitHub workflow at a ref, as SAN, Build Signer URI and Build Config URI name one.
type WorkflowURI struct {
	// Repository is "OWNER/NAME" with the case that the URI has.
	Repository string
	// Path is the file's path in the repository, ".github/workflows/release.yml", and File its last part.
	Path, File string
	// Ref is what follows the "@": a full ref, or for reusable workflows a commit.
	Ref string
}

// ParseWorkflowURI parses https://github.com/OWNER/NAME/.github/workflows/FILE@REF, and nothing that merely resembles
// it: the host is exactly github.com, there is no user, port, query or fragment, no empty or dot segment and no escaped
// slash. File and ref are split at the first "@" behind the folder, for refs may contain one; their other escapes are
// decoded, for Fulcio writes a SAN with them and Build Config URI without.
func ParseWorkflowURI(uri string) (WorkflowURI, error) {
	w, err := parseWorkflowURI(uri)
	if err != nil {
		return WorkflowURI{}, fmt.Errorf("workflow URI %q: %w", uri, err)
	}
	return w, nil
}

func parseWorkflowURI(uri string) (WorkflowURI, error) {
	rest, ok := strings.CutPrefix(uri, gitHubURL)
	if !ok {
		return WorkflowURI{}, errors.New("it does not begin with " + gitHubURL)
	}
	if u, err := url.Parse(uri); err != nil {
		return WorkflowURI{}, err
	} else if u.Host != "github.com" || u.User != nil {
		return WorkflowURI{}, errors.New("its host is not github.com")
	}
	if strings.ContainsAny(rest, `?#\`) {
		return WorkflowURI{}, errors.New("it has a query, a fragment or a backslash")
	}
	if strings.Contains(strings.ToLower(rest), "%2f") {
		return WorkflowURI{}, errors.New("it has an escaped slash")
	}
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) < 3 || !isRepositoryName(parts[0]+"/"+parts[1]) {
		return WorkflowURI{}, errors.New("it names no repository")
	}
	behind, ok := strings.CutPrefix(parts[2], workflowFolder)
	if !ok {
		return WorkflowURI{}, errors.New("it names no file in " + workflowFolder)
	}
	escapedFile, escapedRef, ok := strings.Cut(behind, "@")
	if !ok {
		return WorkflowURI{}, errors.New("it names no ref")
	}
	file, err := url.PathUnescape(escapedFile)
	if err != nil {
		return WorkflowURI{}, err
	}
	ref, err := url.PathUnescape(escapedRef)
	if err != nil {
		return WorkflowURI{}, err
	}
	if strings.ContainsFunc(file+ref, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) {
		return WorkflowURI{}, errors.New("it has an escaped control character or backslash")
	}
	if strings.Contains(file, "/") || !isSegment(file) {
		return WorkflowURI{}, errors.New("it names no file in " + workflowFolder)
	}
	for segment := range strings.SplitSeq(ref, "/") {
		if !isSegment(segment) {
			return WorkflowURI{}, errors.New("its ref has an empty or dot segment")
		}
	}
	return WorkflowURI{Repository: parts[0] + "/" + parts[1], Path: workflowFolder + file, File: file, Ref: ref}, nil
}

// repositoryOfURI is "OWNER/NAME" of https://github.com/OWNER/NAME, or "" for anything else.
func repositoryOfURI(uri string) string {
	if name, ok := strings.CutPrefix(uri, gitHubURL); ok && isRepositoryName(name) {
		return name
	}
	return ""
}

// isRepositoryName reports whether s is "OWNER/NAME" in GitHub's alphabet, which is ASCII: a name with any other
// letter is not a repository of github.com. Underscores in owners are those of enterprise-managed users.
func isRepositoryName(s string) bool {
	owner, name, ok := strings.Cut(s, "/")
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	return ok && len(owner) <= 100 && len(name) <= 100 && isSegment(name) &&
		owner != "" && strings.Trim(owner, alphabet) == "" && strings.Trim(name, alphabet+".") == ""
}

// isSegment refuses the path segments that a reader may collapse.
func isSegment(s string) bool {
	return s != "" && s != "." && s != ".."
}

// sameRepository compares two "OWNER/NAME" as GitHub does, without regard to ASCII case. Unlike strings.EqualFold it
// does not take the Kelvin sign for a k.
func sameRepository(a, b string) bool {
	return len(a) == len(b) && asciiLower(a) == asciiLower(b)
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
