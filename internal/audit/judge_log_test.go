package audit

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/identity"
)

func TestLogRules(t *testing.T) {
	honest := LogFacts{Origin: "log.example", Kind: "rekor-v2", Known: true, GrewAt: noon.Add(-time.Hour), CheckedAt: noon, Latest: 100, Proven: 100}
	for name, c := range map[string]struct {
		edit func(*LogFacts)
		want []string
	}{
		"honest":                    {func(*LogFacts) {}, nil},
		"a bad checkpoint":          {func(l *LogFacts) { l.Incidents = []Incident{{Kind: BadCheckpoint}} }, []string{BadCheckpoint}},
		"a rollback":                {func(l *LogFacts) { l.Incidents = []Incident{{Kind: LogRollback}} }, []string{LogRollback}},
		"a fork and other entries":  {func(l *LogFacts) { l.Incidents = []Incident{{Kind: LogFork}, {Kind: EntriesMismatch}} }, []string{LogFork, EntriesMismatch}},
		"grown after its end":       {func(l *LogFacts) { l.Incidents = []Incident{{Kind: FrozenLogGrew}} }, []string{FrozenLogGrew}},
		"silent for a day":          {func(l *LogFacts) { l.GrewAt = noon.Add(-24 * time.Hour) }, []string{StaleLog}},
		"silent for a second less":  {func(l *LogFacts) { l.GrewAt = noon.Add(-24*time.Hour + time.Second) }, nil},
		"not asked for a day":       {func(l *LogFacts) { l.GrewAt, l.CheckedAt = noon.Add(-48*time.Hour), noon.Add(-25*time.Hour) }, nil},
		"frozen and silent":         {func(l *LogFacts) { l.GrewAt, l.Frozen = noon.Add(-24*365*time.Hour), true }, nil},
		"unreachable for six hours": {func(l *LogFacts) { l.FailingSince, l.Failure = noon.Add(-6*time.Hour), "503" }, []string{SourceUnreachable}},
		"unreachable and switched off": {func(l *LogFacts) {
			l.FailingSince, l.Failure, l.NotFollowed = noon.Add(-6*time.Hour), "503", true
		}, nil},
		"unreachable for a bit":        {func(l *LogFacts) { l.FailingSince, l.Failure = noon.Add(-time.Hour), "503" }, nil},
		"never reached, so not silent": {func(l *LogFacts) { l.Known, l.GrewAt = false, noon.Add(-100*time.Hour) }, nil},
	} {
		l := honest
		c.edit(&l)
		a := onnxJudge(noon).Log(l)
		if diff := cmp.Diff(c.want, rules(a)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for _, f := range a.Findings {
			if f.Subject != (Subject{LogOrigin: "log.example"}) || f.Summary == "" || f.Advice == "" || len(f.Evidence) == 0 {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
}

// TestALogThatNobodyAsksIsNotStaleButUnknown asks a log for the last time an hour after it grew.
func TestALogThatNobodyAsksIsNotStaleButUnknown(t *testing.T) {
	a := onnxJudge(noon).Log(LogFacts{Origin: "log.example", Known: true, GrewAt: noon.Add(-48 * time.Hour), CheckedAt: noon.Add(-47 * time.Hour)})
	want := Assessment{Unknowns: []Unknown{{Rule: StaleLog, Subject: Subject{LogOrigin: "log.example"}, Reason: "the log was last asked at 2026-10-31T13:00:00Z"}}}
	if diff := cmp.Diff(want, a); diff != "" {
		t.Error(diff)
	}
}

func TestHitRules(t *testing.T) {
	policies := map[string]identity.Policy{"onnx": onnxJudge(noon).Policy}
	match := func(class identity.WatchClass) identity.WatchMatch {
		return identity.WatchMatch{Class: class, Project: "onnx", Repository: "onnx/onnx"}
	}
	chained := func(class identity.WatchClass, id *identity.Identity) []HitCert {
		return []HitCert{{Match: match(class), TBSSHA256: "tbs", Identity: id, Chained: true}}
	}
	foreign := func(edit func(*identity.Identity)) *identity.Identity {
		id := signed("refs/heads/rel-1.22.0")
		edit(id)
		return id
	}
	for name, c := range map[string]struct {
		hit  LogHit
		want []string
	}{
		"a release's":         {LogHit{Kind: HitEntry, Project: "onnx", Class: "self", Certificates: chained("self", signed("refs/heads/rel-1.22.0"))}, nil},
		"an unknown branch's": {LogHit{Kind: HitEntry, Project: "onnx", Class: "self", Certificates: chained("self", signed("refs/heads/evil"))}, []string{UnexpectedIdentity}},
		"in CT":               {LogHit{Kind: HitCertificate, Project: "onnx", Class: "self", Certificates: chained("self", signed("refs/tags/v1"))}, []string{UnexpectedIdentity}},
		"a claim that chains to nothing": {LogHit{Kind: HitEntry, Project: "onnx", Class: "self",
			Certificates: []HitCert{{Match: match("self"), TBSSHA256: "tbs", Identity: signed("refs/heads/evil")}}}, []string{UnchainedCertificate}},
		"an identity that cannot be read": {LogHit{Kind: HitCertificate, Class: "look-alike",
			Certificates: []HitCert{{TBSSHA256: "tbs", Chained: true, Problem: "two issuers"}}}, []string{UnreadableEntry}},
		"unreadable": {LogHit{Kind: HitUnreadable, Problem: "unknown kind"}, []string{UnreadableEntry}},
		"another CI's": {LogHit{Kind: HitEntry, Project: "onnx", Class: "third-party-ci",
			Certificates: chained("third-party-ci", foreign(func(id *identity.Identity) {
				id.Issuer, id.SAN = "https://oidc.codefresh.io", "https://g.codefresh.io/x"
			}))}, []string{LookalikeIdentity}},
		"a stranger who calls our workflow": {LogHit{Kind: HitEntry, Project: "onnx", Class: "signer",
			Certificates: chained("signer", foreign(func(id *identity.Identity) { id.SourceRepositoryURI = "https://github.com/stranger/thing" }))}, []string{LookalikeIdentity}},
		"a maintainer's":     {LogHit{Kind: HitCertificate, Project: "onnx", Class: "e-mail", Certificates: chained("e-mail", &identity.Identity{SAN: "a@onnx.example", SANType: identity.SANTypeEmail})}, nil},
		"a watched key's":    {LogHit{Kind: HitEntry, Project: "onnx", Class: "key", Keys: []string{"00"}}, nil},
		"a sister project's": {LogHit{Kind: HitEntry, Project: "onnx", Class: "owner", Certificates: chained("owner", signed("refs/heads/evil"))}, nil},
		"a sister project's, which chains to nothing": {LogHit{Kind: HitEntry, Project: "onnx", Class: "owner",
			Certificates: []HitCert{{Match: match("owner"), TBSSHA256: "tbs", Identity: signed("refs/heads/evil")}}}, []string{UnchainedCertificate}},
		"a sister project's, beside an unknown branch's": {LogHit{Kind: HitEntry, Project: "onnx", Class: "owner",
			Certificates: append(chained("owner", signed("refs/heads/main")), chained("self", signed("refs/heads/evil"))...)}, []string{UnexpectedIdentity}},
		"a look-alike": {LogHit{Kind: HitCertificate, Project: "onnx", Class: "look-alike",
			Certificates: chained("look-alike", &identity.Identity{SAN: "https://evil.example/onnx/onnx", SANType: identity.SANTypeURI, Issuer: "https://evil.example"})}, []string{LookalikeIdentity}},
	} {
		a := onnxJudge(noon).Hit(HitFacts{Origin: "log.example", Index: 7, LeafHash: "aa", FirstSeen: noon, LogHit: c.hit}, policies)
		if diff := cmp.Diff(c.want, rules(a)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for _, f := range a.Findings {
			anyone := f.Rule == UnchainedCertificate || f.Rule == LookalikeIdentity
			if anyone && f.Severity.AtLeast(Medium) {
				t.Errorf("%s: what anyone can make at will is %s", name, f.Severity)
			}
		}
	}
}

func TestOneCertificateInTwoLogsIsOneFinding(t *testing.T) {
	policies := map[string]identity.Policy{"onnx": onnxJudge(noon).Policy}
	hit := LogHit{Kind: HitCertificate, Project: "onnx", Class: "self",
		Certificates: []HitCert{{Match: identity.WatchMatch{Class: "self", Project: "onnx"}, TBSSHA256: "tbs", Identity: signed("refs/heads/evil"), Chained: true}}}
	ct := onnxJudge(noon).Hit(HitFacts{Origin: "ct.example", Index: 1, LogHit: hit}, policies)
	hit.Kind = HitEntry
	entry := onnxJudge(noon).Hit(HitFacts{Origin: "rekor.example", Index: 2, LogHit: hit}, policies)
	if ct.Findings[0].ID != entry.Findings[0].ID {
		t.Errorf("two findings: %s and %s", ct.Findings[0].Subject, entry.Findings[0].Subject)
	}
}
