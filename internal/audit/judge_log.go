package audit

import (
	"cmp"
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// LogFacts is what the record holds of one log.
type LogFacts struct {
	Origin, Kind, URL string
	// Incidents are contradictions that the log has not taken back.
	Incidents []Incident
	// GrewAt is when the latest checkpoint was first seen; CheckedAt when the log last answered, and TakenUpAt when it first
	// showed a tree that has all before Start.
	GrewAt, CheckedAt, TakenUpAt time.Time
	FailingSince                 time.Time
	Failure                      string
	// Unanswered counts the promises of a CT log that it was asked for and did not answer, since when, and why not.
	Unanswered      int
	UnansweredSince time.Time
	UnansweredWhy   string
	// Unrelated counts the checkpoints of bundles of which it could not be found out whether they are of the tree of a log that
	// is followed, since when, and why not. Of a Rekor v1, Rekor1 has them.
	Unrelated      int
	UnrelatedSince time.Time
	UnrelatedWhy   string
	LogStanding
	// Coverage of the log.
	Start, Read, Proven, Latest uint64
	Known                       bool
	// Cosigners are the witnesses whose cosignatures of the latest checkpoint were verified.
	Cosigners []string
	// GrowthPerSecond is how many entries a second the log grew by in the day before the latest checkpoint; 0 where the record
	// has no two checkpoints of it.
	GrowthPerSecond float64
	Ranges          []ProvenRange
	// ProvenAt is when the leaves below Proven were proven, BehindSince when the log first showed a leaf that is not; zero where there
	// is none. LevelAt is when all that it showed was last proven, and LevelIndex how much that was.
	ProvenAt, BehindSince, LevelAt time.Time
	LevelIndex                     uint64
	// Shard says whose shard the log is, Rekor1 what is known of a Rekor v1 as a whole; nil where it is neither.
	Shard  *ShardFacts
	Rekor1 *Rekor1Facts
}

// ProvenRange is a run of leaves that was proven complete, and the watch list that it was read with.
type ProvenRange struct {
	From      uint64    `json:"from"`
	To        uint64    `json:"to"`
	WatchList string    `json:"watch_list"`
	ProvenAt  time.Time `json:"proven_at"`
	Bytes     int64     `json:"bytes"`
}

// Incident is a log's misbehaviour with its evidence. There is one for each contradiction.
type Incident struct {
	Kind      string // a rule about logs
	FirstSeen time.Time
	Detail    string
	Evidence  []byte // JSON
	// Unkept counts how often the log was met in further contradictions of the kind, of which no evidence is kept.
	Unkept int
}

// HitFacts is a proven hit.
type HitFacts struct {
	Origin    string
	Index     uint64
	LeafHash  string
	FirstSeen time.Time
	Proven    bool
	LogHit
}

// Log judges one log.
func (j *Judge) Log(l LogFacts) Assessment {
	var a Assessment
	s := Subject{LogOrigin: l.Origin}
	for _, i := range l.Incidents {
		a.wrong(j, i.Kind, s, i.FirstSeen, Finding{
			Summary:  fmt.Sprintf("log %s: %s%s", l.Origin, oneLine(i.Detail, 400), l.besides(i.Kind)),
			Expected: "a log that only ever grows, and whose entries hash to the roots that it signs",
			Evidence: []Evidence{{Kind: "log-incident", URL: l.URL, At: i.FirstSeen, Detail: i.Kind, Data: i.Evidence}},
		})
	}
	if !l.FailingSince.IsZero() && !l.NotFollowed {
		a.wrong(j, SourceUnreachable, s, l.FailingSince, Finding{
			Summary:  fmt.Sprintf("log %s cannot be read", l.Origin),
			Expected: "an answer from the log",
			Evidence: []Evidence{{Kind: "error", URL: l.URL, At: l.FailingSince, Detail: oneLine(l.Failure, 500)}},
		})
	}
	if l.Unanswered > 0 && !l.NotFollowed {
		a.wrong(j, SourceUnreachable, s, l.UnansweredSince, Finding{
			Summary:  fmt.Sprintf("log %s cannot be asked whether it kept its promises", l.Origin),
			Expected: "an answer from the log",
			Evidence: []Evidence{{Kind: "error", URL: l.URL, At: l.UnansweredSince, Detail: fmt.Sprintf("%s; %s", count(l.Unanswered, "certificate"), oneLine(l.UnansweredWhy, 500))}},
		})
	}
	if l.Unrelated > 0 && !l.NotFollowed {
		a.wrong(j, SourceUnreachable, s, l.UnrelatedSince, Finding{
			Summary:  fmt.Sprintf("log %s gives no proof that what it signed for others is of its tree", l.Origin),
			Expected: "a proof that fits the checkpoint of a bundle and the log's own",
			Evidence: []Evidence{{Kind: "error", URL: l.URL, At: l.UnrelatedSince, Detail: fmt.Sprintf("%s; %s", count(l.Unrelated, "checkpoint"), oneLine(l.UnrelatedWhy, 500))}},
		})
	}
	j.rekor1(&a, l, s)
	j.backlog(&a, l, s)
	// What the log showed when it was last asked counts: one that nobody has asked since is unknown.
	silent, grace := l.CheckedAt.Sub(l.GrewAt), j.Rules[StaleLog].Grace
	switch {
	case l.Frozen, !l.Known && l.Shard == nil, l.GrewAt.IsZero(), silent <= 0: // it grew when it was last asked
	case silent < grace && j.Now.Sub(l.GrewAt) >= grace:
		a.unknown(s, "the log was last asked at "+l.CheckedAt.UTC().Format(time.RFC3339), StaleLog)
	default:
		a.wrong(j, StaleLog, s, l.GrewAt, Finding{
			Summary:  fmt.Sprintf("log %s still shows the tree of size %d", l.Origin, l.Latest),
			Expected: "a growing log",
			Evidence: []Evidence{{Kind: "checkpoint", URL: l.URL, At: l.GrewAt, Detail: fmt.Sprintf("size %d", l.Latest)}},
		})
	}
	return a
}

// besides says how many contradictions of a kind there are where it is more than one: the first of them tells what.
func (l *LogFacts) besides(kind string) string {
	n, more := 0, ""
	for _, i := range l.Incidents {
		if i.Kind != kind {
			continue
		}
		n++
		if i.Unkept > 0 {
			more = ", and more of which no evidence is kept"
		}
	}
	if n == 1 && more == "" {
		return ""
	}
	return fmt.Sprintf(" (%d contradictions%s)", n, more)
}

// Hit judges a leaf that concerns a watched name. policies are by project; what a grade expects is fine.
func (j *Judge) Hit(h HitFacts, policies map[string]identity.Policy) Assessment {
	var a Assessment
	entry := Subject{Project: h.Project, LogOrigin: h.Origin, LogIndex: h.Index, LeafHash: h.LeafHash}
	leaf := Evidence{Kind: "log-entry", URL: h.Origin, At: h.FirstSeen, SHA256: h.LeafHash, Detail: fmt.Sprintf("index %d, %s", h.Index, h.Class)}
	ref := &LogRef{Origin: h.Origin, Index: int64(h.Index), GlobalIndex: int64(cmp.Or(h.GlobalIndex, h.Index))}
	if h.Kind == HitUnreadable {
		a.wrong(j, UnreadableEntry, entry, h.FirstSeen, Finding{Log: ref, Evidence: []Evidence{leaf},
			Summary:  fmt.Sprintf("entry %d of log %s mentions a watched name and cannot be decoded: %s", h.Index, h.Origin, oneLine(h.Problem, 300)),
			Expected: "an entry that can be decoded"})
		return a
	}
	for _, c := range h.Certificates {
		j.hitCertificate(&a, h, c, policies, entry, leaf, ref)
	}
	return a
}

// hitCertificate judges one certificate of a hit. Where it was met stands in the evidence and not in the summary: the same
// certificate in another log is the same finding.
func (j *Judge) hitCertificate(a *Assessment, h HitFacts, c HitCert, policies map[string]identity.Policy, entry Subject, leaf Evidence, ref *LogRef) {
	who := "a certificate whose identity cannot be read"
	if c.Identity != nil {
		who = oneLine(c.Identity.Describe(), 300)
	}
	where := fmt.Sprintf("entry %d of log %s", h.Index, h.Origin)
	if !c.Chained {
		a.wrong(j, UnchainedCertificate, entry, h.FirstSeen, Finding{Log: ref, Identity: identityRef(c.Identity), Evidence: []Evidence{leaf},
			Summary: fmt.Sprintf("%s claims %s, and its certificate chains to nothing: %s", where, who, oneLine(c.Problem, 200)), Expected: "a certificate by a trusted authority"})
		return
	}
	if c.Identity == nil {
		a.wrong(j, UnreadableEntry, entry, h.FirstSeen, Finding{Log: ref, Evidence: []Evidence{leaf},
			Summary:  fmt.Sprintf("%s has a trusted authority's certificate that mentions a watched name, and whose identity cannot be read: %s", where, oneLine(c.Problem, 200)),
			Expected: "a certificate whose identity can be read"})
		return
	}
	switch c.Match.Class {
	case identity.WatchEmail, identity.WatchKey, identity.WatchOwner:
		return // watched besides the project's own name: what they sign is recorded, and judged where it is on a file
	}
	policy, ok := policies[c.Match.Project]
	s := Subject{Project: c.Match.Project, Certificate: c.TBSSHA256}
	switch {
	case !ok:
		a.wrong(j, LookalikeIdentity, s, h.FirstSeen, Finding{Log: ref, Identity: identityRef(c.Identity), Evidence: []Evidence{leaf},
			Summary: fmt.Sprintf("a certificate was issued to %s", who), Expected: "no identity that resembles a watched name"})
	default:
		judged := policy.Judge(*c.Identity)
		if len(judged.Grades) > 0 {
			return
		}
		// Anyone can have another service build a clone of the repository, or call one of its reusable workflows from a
		// repository of his own: what anyone can make at will is no alarm. Of a published file it would be.
		if judged.Class == identity.ClassOther || judged.Class == identity.ClassThirdPartyCI || judged.Class == identity.ClassForeignCaller {
			a.wrong(j, LookalikeIdentity, s, h.FirstSeen, Finding{Log: ref, Identity: identityRef(c.Identity), Evidence: []Evidence{leaf},
				Summary: fmt.Sprintf("a certificate was issued to %s, which %s", who, resembles(c.Match.Lookalike, policy.Repository.Name)), Expected: "no identity that resembles a watched name"})
			return
		}
		leaf.Detail += "; " + oneLine(why(judged), 400)
		a.wrong(j, UnexpectedIdentity, s, h.FirstSeen, Finding{Log: ref, Identity: identityRef(c.Identity), Evidence: []Evidence{leaf},
			Summary: fmt.Sprintf("a certificate was issued to %s", who), Expected: "an identity of one of the grades of " + policy.Repository.Name})
	}
}

// resembles says in which way an identity is not a repository.
func resembles(how identity.Lookalike, repository string) string {
	switch how {
	case identity.LookalikeName:
		return "resembles the name " + repository
	case identity.LookalikeHost:
		return "has the name " + repository + " at another place than github.com"
	case identity.LookalikeSpelling:
		return "spells the name " + repository + " in another way"
	}
	return "is not " + repository
}
