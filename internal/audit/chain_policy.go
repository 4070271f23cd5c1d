package audit

import (
	"fmt"
	"strings"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// chainPolicy is what a chain's last links are made with. Without a policy they say so.
type chainPolicy struct {
	policy identity.Policy
	known  bool
}

// file judges who signed an attestation of a file, by the same rules as a pass: it is the link at the end of the chain.
func (p chainPolicy) file(f ExplainedFile, at AttestationFacts) Link {
	l := Link{Kind: LinkPolicy, Name: p.name()}
	if !p.identity(&l, at.Identity, at.IdentityProblem) {
		return l.conclude()
	}
	j := &Judge{Policy: p.policy}
	judged := p.policy.Judge(*at.Identity)
	ref := f.Index + "/" + f.PyPIProject
	covered := false
	var problems []string
	for _, name := range judged.Grades {
		problem := mayPublish(j.grade(name), ref, f.Release, at)
		if problem == "" {
			covered = true
			l.check("publishes", LinkOK, "grade %s publishes %s", name, ref)
			continue
		}
		problems = append(problems, fmt.Sprintf("grade %s: %s", name, problem))
	}
	if !covered && len(judged.Grades) > 0 {
		l.add(LinkCheck{Name: "publishes", Status: LinkFailed, Detail: "it was signed by the project itself, for another purpose than publishing this file",
			Got: strings.Join(problems, "; "), Want: "a grade that publishes " + ref})
	}
	if !covered && at.Status == attest.Verified {
		l.WouldAccept = gitHubAccepts(*at.Identity, at.PredicateType, f.File)
	}
	return l.conclude()
}

// signer judges an identity that signed no file that is known.
func (p chainPolicy) signer(id *identity.Identity, problem string) Link {
	l := Link{Kind: LinkPolicy, Name: p.name()}
	p.identity(&l, id, problem)
	return l.conclude()
}

func (p chainPolicy) name() string {
	if !p.known {
		return "no policy"
	}
	return fmt.Sprintf("policy of %s for %s", p.policy.Project, p.policy.Repository.Name)
}

// identity checks an identity field by field. It returns whether there is anything to go on with.
func (p chainPolicy) identity(l *Link, id *identity.Identity, problem string) bool {
	switch {
	case !p.known:
		l.check("policy", LinkUnknown, "the configuration has no project that this belongs to: nobody judged the identity")
		return false
	case id == nil:
		l.check("identity", LinkFailed, "the certificate's identity cannot be read: %s", problem)
		return false
	}
	judged := p.policy.Judge(*id)
	for _, m := range judged.Mismatches {
		l.add(LinkCheck{Name: m.Field, Status: LinkFailed, Got: m.Got, Want: m.Want})
	}
	if len(judged.Mismatches) == 0 {
		l.add(LinkCheck{Name: "repository", Status: LinkOK, Detail: "issuer, signer and source are the project's", Got: id.Repository(), Want: p.policy.Repository.Name})
	}
	p.ids(l, *id, judged)
	if len(judged.Grades) > 0 {
		l.check("grade", LinkOK, "%s", strings.Join(judged.Grades, " or "))
	} else if len(judged.ByGrade) > 0 {
		closest := judged.ByGrade[0]
		l.check("grade", LinkFailed, "none fits; the closest is %s", closest.Grade)
		for _, m := range closest.Mismatches {
			l.add(LinkCheck{Name: "grade " + closest.Grade + " " + m.Field, Status: LinkFailed, Got: m.Got, Want: m.Want})
		}
	} else {
		l.check("grade", LinkFailed, "it is not the project's identity at all: no grade is asked")
	}
	for _, field := range judged.Unknown {
		l.check(field, LinkSkipped, "the certificate does not tell it")
	}
	for _, note := range judged.Notes {
		l.check("note", LinkSkipped, "%s", note)
	}
	return true
}

// ids says how the numeric ids compare; a mismatch of confirmed ones is among the mismatches already.
func (p chainPolicy) ids(l *Link, id identity.Identity, judged identity.Judgement) {
	got, want := id.SourceRepositoryID+" of "+id.SourceRepositoryOwnerID, p.policy.Repository.ID+" of "+p.policy.Repository.OwnerID
	switch {
	case judged.IDs == identity.IDsMatch && judged.IDsUnconfirmed:
		l.add(LinkCheck{Name: "repository-ids", Status: LinkOK, Detail: "as in the policy, where nobody has confirmed them", Got: got, Want: want})
	case judged.IDs == identity.IDsMatch:
		l.add(LinkCheck{Name: "repository-ids", Status: LinkOK, Got: got, Want: want})
	case judged.IDs == identity.IDsMismatch && judged.IDsUnconfirmed:
		l.add(LinkCheck{Name: "repository-ids", Status: LinkUnknown, Detail: "nobody has confirmed the policy's", Got: got, Want: want})
	case judged.IDs == identity.IDsUnavailable:
		l.check("repository-ids", LinkSkipped, "the certificate or the policy does not tell them")
	}
}

// gitHubAccepts is the command of GitHub's client that accepts an attestation which verifies, whatever workflow, branch or trigger
// it is from; nil where it would not. `--owner` looks at the issuer, at how the SAN begins and at the owner of the source.
func gitHubAccepts(id identity.Identity, predicateType, file string) []string {
	owner, _, ok := strings.Cut(id.Repository(), "/")
	if !ok || id.Issuer != identity.GitHubActionsIssuer || !strings.EqualFold(id.SourceRepositoryOwnerURI, "https://github.com/"+owner) ||
		!strings.HasPrefix(strings.ToLower(id.SAN), "https://github.com/"+strings.ToLower(owner)+"/") {
		return nil
	}
	command := "gh attestation verify " + shellWord(file) + " --owner " + owner
	if predicateType != attest.PredicateSLSA { // what it asks for unless it is told otherwise
		command += " --predicate-type " + shellWord(predicateType)
	}
	return []string{command}
}

// shellWord is text as one word of a POSIX shell, whoever chose it.
func shellWord(text string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+=,"
	if text != "" && strings.Trim(text, plain) == "" && text[0] != '-' {
		return text
	}
	if strings.HasPrefix(text, "-") {
		text = "./" + text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
