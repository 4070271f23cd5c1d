package audit

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// TestHowUrgentAnUnaccountedCertificateIs goes through the grades, with every log read in full and with one that is not.
func TestHowUrgentAnUnaccountedCertificateIs(t *testing.T) {
	release := run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "pypi-release"}
	caller := release.identity()
	caller.SourceRepositoryURI, caller.SourceRepositoryID = "https://github.com/stranger/thing", "7"
	caller.BuildConfigURI = "https://github.com/stranger/thing/.github/workflows/x.yml@refs/heads/main"
	for name, c := range map[string]struct {
		id              *identity.Identity
		all, notAllRead Severity // "" is none
	}{
		"release":         {release.identity(), Medium, Medium},
		"weekly":          {run{"create_release.yml", "refs/heads/main", "schedule", "pypi-weekly"}.identity(), Medium, Medium},
		"no grade's":      {run{"evil.yml", "refs/heads/main", "push", ""}.identity(), Medium, Medium},
		"build":           {run{"create_release.yml", "refs/heads/main", "push", ""}.identity(), Low, ""},
		"pull request":    {run{"create_release.yml", "refs/pull/7/merge", "pull_request", ""}.identity(), Low, ""},
		"scan":            {run{"scorecard.yml", "refs/heads/main", "schedule", ""}.identity(), Low, ""},
		"foreign caller":  {caller, Low, ""},
		"of no identity":  {nil, "", ""},
		"release or test": {run{"create_release.yml", "refs/heads/rel-1.22.0", "workflow_dispatch", "?"}.identity(), Medium, Medium},
	} {
		for whole, want := range map[bool]Severity{true: c.all, false: c.notAllRead} {
			j := presetJudge(t, noon)
			a := aCertificate(func(f *CertificateFacts, logs []LogFacts) {
				f.Identity = c.id
				if whole {
					logs[1] = logs[0]
				}
			})(j, noon.Add(-24*time.Hour))
			var got Severity
			if len(a.Findings) == 1 && a.Findings[0].Rule == UnaccountedCertificate {
				got = a.Findings[0].Severity
			}
			if unknown := len(a.Unknowns) == 1; got != want || len(a.Findings) > 1 || unknown != (want == "" && c.id != nil) {
				t.Errorf("%s, all read: %t: %q, want %q: %+v", name, whole, got, want, a)
			}
		}
	}
}

// TestWhatWasLookedAtIsSaid compares what is said of logs with what was read of them.
func TestWhatWasLookedAtIsSaid(t *testing.T) {
	c := CertificateFacts{NotBefore: noon, NotAfter: noon.Add(10 * time.Minute)}
	full := LogFacts{Origin: "log.example", Kind: "rekor-v2", Known: true, CheckedAt: noon.Add(20 * time.Minute), Proven: 10, Latest: 10,
		Ranges: []ProvenRange{{To: 10, WatchList: "w"}}, LogStanding: LogStanding{WatchList: "w"}}
	const read = "read, and proven complete, from before the certificate was issued until after it expired"
	for _, x := range []struct {
		edit  func(l *LogFacts)
		want  string
		whole bool
	}{
		{func(*LogFacts) {}, read, true},
		{func(l *LogFacts) { l.Start, l.TakenUpAt = 5, noon }, read, true},
		{func(l *LogFacts) { l.WatchList = "" }, read, true},
		{func(l *LogFacts) { l.NotFollowed, l.Why = true, "switched off" }, "not looked at: switched off", false},
		{func(l *LogFacts) { l.NotFollowed, l.Why, l.EndedAt = true, "over", noon.Add(time.Second) }, "not looked at: over", false},
		{func(l *LogFacts) { l.Known = false }, "not looked at yet", false},
		{func(l *LogFacts) { l.WatchList = "x" }, "parts of it were read with another watch list", false},
		{func(l *LogFacts) { l.Start, l.TakenUpAt = 5, noon.Add(time.Second) }, "taken up after the certificate was issued: what lies before was not looked at", false},
		{func(l *LogFacts) { l.CheckedAt = noon.Add(19 * time.Minute) }, "not read yet up to when the certificate expired", false},
		{func(l *LogFacts) { l.Latest = 11 }, "not read yet up to when the certificate expired", false},
		{func(l *LogFacts) { l.Kind = "ct-static" }, "", true},
		{func(l *LogFacts) { l.EndedAt, l.NotFollowed = noon.Add(-time.Second), true }, "", true},
	} {
		l := full
		x.edit(&l)
		if text, whole, relevant := l.searched(c); text != x.want || whole != x.whole || relevant != (x.want != "") {
			t.Errorf("%q, %t, %t, want %q, %t", text, whole, relevant, x.want, x.whole)
		}
	}
}

func TestTheStateOfACertificateFollowsFromWhatIsKnown(t *testing.T) {
	j := presetJudge(t, noon)
	grace := j.Rules[UnaccountedCertificate].Grace
	var got []CertificateState
	for _, c := range []CertificateFacts{
		{FirstSeen: noon.Add(-grace), Entries: 1}, {FirstSeen: noon, Attestations: 2}, {FirstSeen: noon.Add(time.Second - grace)}, {FirstSeen: noon.Add(-grace)},
	} {
		got = append(got, j.CertificateState(c))
	}
	if diff := cmp.Diff([]CertificateState{CertificateAccounted, CertificateAccounted, CertificateSearched, CertificateUnaccounted}, got); diff != "" {
		t.Error(diff)
	}
}

// TestAConfiguredSeverityIsThatOfGradesThatPublish has the rule's severity set: what is less urgent is less urgent than that.
func TestAConfiguredSeverityIsThatOfGradesThatPublish(t *testing.T) {
	for set, less := range map[Severity]Severity{Critical: High, Low: Info, Info: Info} {
		j := presetJudge(t, noon)
		j.Rules = NewRuleSet(map[string]Setting{UnaccountedCertificate: {Severity: set}})
		var got []Severity
		for _, id := range []*identity.Identity{
			run{"create_release.yml", "refs/heads/main", "schedule", "pypi-weekly"}.identity(), run{"create_release.yml", "refs/heads/main", "push", ""}.identity(),
		} {
			a := aCertificate(func(f *CertificateFacts, logs []LogFacts) { f.Identity, logs[1] = id, logs[0] })(j, noon.Add(-24*time.Hour))
			got = append(got, a.Findings[0].Severity)
		}
		if !slices.Equal(got, []Severity{set, less}) {
			t.Errorf("%s: %v", set, got)
		}
	}
}
