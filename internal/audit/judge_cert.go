package audit

import (
	"fmt"
	"maps"
	"slices"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// CertificateState says whether it is known what a certificate in a project's own name signed.
func (j *Judge) CertificateState(c CertificateFacts) CertificateState {
	switch {
	case c.Entries+c.Attestations > 0:
		return CertificateAccounted
	case j.Now.Before(c.FirstSeen.Add(j.Rules[UnaccountedCertificate].Grace)):
		return CertificateSearched
	}
	return CertificateUnaccounted
}

// Certificate judges a certificate in a project's own name: a key that may sign for the project was certified, and what it
// signed must be known. logs are those of entries, which say what was looked at.
//
// Of a grade that publishes, and of an identity that the policy does not know, it is a finding although there are logs that
// were not looked at; these are in the evidence. Builds, pull requests and scans sign several times a day, and publish
// nothing, and anybody can call a workflow of the project's: with a log of entries unread that is neither good nor bad, and it
// is a finding, a less urgent one, only where all was looked at.
func (j *Judge) Certificate(c CertificateFacts, logs []LogFacts, policies map[string]identity.Policy) Assessment {
	var a Assessment
	policy, ok := policies[c.Project]
	if !ok || c.Identity == nil || j.CertificateState(c) == CertificateAccounted {
		return a // a certificate whose identity cannot be read is unreadable-entry
	}
	s := Subject{Project: c.Project, Certificate: c.TBSSHA256}
	judged := policy.Judge(*c.Identity)
	f := Finding{Identity: identityRef(c.Identity), Log: &c.Log,
		Summary:  fmt.Sprintf("a certificate was issued to %s, and nothing is known that it signed", oneLine(c.Identity.Describe(), 300)),
		Expected: "a log entry, or an attestation, of every certificate in the name of " + policy.Repository.Name,
		Evidence: []Evidence{{Kind: "log-entry", URL: c.Log.Origin, At: c.FirstSeen, SHA256: c.LeafHash, Detail: fmt.Sprintf("index %d, %s", c.Log.Index, c.Class)}},
	}
	whole := true
	for _, l := range logs {
		text, all, relevant := l.searched(c)
		if relevant {
			f.Evidence = append(f.Evidence, Evidence{Kind: "search", URL: l.Origin, Detail: text})
		}
		whole = whole && all
	}
	if !weighty(judged, policy) {
		f.Severity = j.Rules[UnaccountedCertificate].Severity.lower()
		if !whole && j.CertificateState(c) == CertificateUnaccounted {
			a.unknown(s, "whether anything was signed with it: not every log of entries was looked at", UnaccountedCertificate)
			return a
		}
	}
	a.wrong(j, UnaccountedCertificate, s, c.FirstSeen, f)
	return a
}

// searchedWhole reports whether every log of entries was looked at for what a certificate signed.
func searchedWhole(logs []LogFacts, c CertificateFacts) bool {
	return !slices.ContainsFunc(logs, func(l LogFacts) bool {
		_, all, _ := l.searched(c)
		return !all
	})
}

// weighty reports whether a certificate's use matters at once: it may publish, or no grade knows it although it is nothing
// that anybody can have made.
func weighty(judged identity.Judgement, policy identity.Policy) bool {
	if len(judged.Grades) == 0 {
		return judged.Class != identity.ClassForeignCaller
	}
	return slices.ContainsFunc(policy.Grades, func(g identity.Grade) bool {
		return len(g.Publishes) > 0 && slices.Contains(judged.Grades, g.Name)
	})
}

// lower is the next less urgent severity; that of the least urgent one is itself.
func (s Severity) lower() Severity {
	all := Severities()
	return all[min(s.Rank()+1, len(all)-1)]
}

// standing gives each log of the record its standing, and adds those that the record does not know.
func standing(logs []LogFacts, standings map[string]LogStanding) []LogFacts {
	for i := range logs {
		logs[i].LogStanding = standingOf(logs[i], standings)
	}
	for _, origin := range slices.Sorted(maps.Keys(standings)) {
		if !slices.ContainsFunc(logs, func(l LogFacts) bool { return l.Origin == origin }) {
			logs = append(logs, LogFacts{Origin: origin, Kind: standings[origin].LogKind, LogStanding: standings[origin]})
		}
	}
	return logs
}
