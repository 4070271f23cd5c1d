package identity

import (
	"fmt"
	"strconv"
	"strings"
)

// maxDescribed caps each text of a description, in bytes.
const maxDescribed = 200

// Describe says in one line who the identity is, for people: text that is not plain ASCII is quoted and escaped, and
// text that is too long is cut.
func (id Identity) Describe() string {
	var b strings.Builder
	repository, workflow := id.Repository(), id.Workflow()
	if repository == "" || workflow == "" {
		fmt.Fprintf(&b, "%s, authenticated by %s", plain(id.SAN), plain(id.Issuer))
		if id.SourceRepositoryURI != "" {
			fmt.Fprintf(&b, ", building %s", plain(id.SourceRepositoryURI))
		}
		return b.String()
	}
	fmt.Fprintf(&b, "workflow %s of %s at %s", plain(workflow), plain(repository), plain(id.Ref()))
	fmt.Fprintf(&b, ", triggered by %s", plain(id.Trigger()))
	switch environment, known := id.Environment(); {
	case environment != "":
		fmt.Fprintf(&b, " in environment %s", plain(environment))
	case known:
		b.WriteString(" in no environment")
	}
	if id.RunnerEnvironment != "" && id.RunnerEnvironment != githubHosted {
		fmt.Fprintf(&b, " on a %s runner", plain(id.RunnerEnvironment))
	}
	if signer, err := ParseWorkflowURI(id.SAN); err != nil || !sameRepository(signer.Repository, repository) {
		fmt.Fprintf(&b, ", signed as %s", plain(id.SAN))
	}
	if id.Issuer != GitHubActionsIssuer {
		fmt.Fprintf(&b, ", authenticated by %s", plain(id.Issuer))
	}
	return b.String()
}

// plain makes text from outside safe to print within a line: Describe's callers send it to terminals and chats.
func plain(s string) string {
	if s == "" {
		return "(nothing)"
	}
	if len(s) > maxDescribed {
		s = strings.ToValidUTF8(s[:maxDescribed], "") + "…"
	}
	for _, r := range s {
		if (r <= ' ' || r >= 0x7f) && r != '…' {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}
