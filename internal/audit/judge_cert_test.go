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

// TestWhatWindowsAndShardsLookedAtIsSaid compares what is said of a Rekor v1 with what was read of it.
func TestWhatWindowsAndShardsLookedAtIsSaid(t *testing.T) {
	c := CertificateFacts{NotBefore: noon, NotAfter: noon.Add(10 * time.Minute)}
	window := func(since, until time.Duration) WindowFacts {
		return WindowFacts{WatchList: "w", Window: Window{Since: noon.Add(since), Until: noon.Add(until), Margin: time.Minute, FinishedAt: noon.Add(time.Hour)}}
	}
	const (
		read   = "windows of it were read, and proven complete, from when the certificate was issued until it expired"
		byName = "searched by name: its entries were not read, and the silence of its index means nothing"
	)
	whole := LogFacts{Origin: "rekor.example", Kind: "rekor-v1", LogStanding: LogStanding{WatchList: "w"}}
	for name, x := range map[string]struct {
		edit  func(f *Rekor1Facts)
		want  string
		whole bool
	}{
		"nothing": {func(*Rekor1Facts) {}, byName, false},
		"all":     {func(f *Rekor1Facts) { f.Windows = []WindowFacts{window(0, 10*time.Minute)} }, read, true},
		"in two": {func(f *Rekor1Facts) {
			f.Windows = []WindowFacts{window(-time.Hour, 5*time.Minute), window(6*time.Minute, time.Hour)}
		}, read, true},
		"with a gap": {func(f *Rekor1Facts) {
			f.Windows = []WindowFacts{window(0, 2*time.Minute), window(6*time.Minute, 10*time.Minute)}
		}, byName, false},
		"a part":       {func(f *Rekor1Facts) { f.Windows = []WindowFacts{window(0, 9*time.Minute)} }, byName, false},
		"another time": {func(f *Rekor1Facts) { f.Windows = []WindowFacts{window(time.Hour, 2*time.Hour)} }, byName, false},
		"not finished": {func(f *Rekor1Facts) {
			f.Windows = []WindowFacts{window(0, 10*time.Minute), window(5*time.Minute, 6*time.Minute)}
			f.Windows[1].FinishedAt = time.Time{}
		}, byName, false},
		"another watch list": {func(f *Rekor1Facts) {
			f.Windows = []WindowFacts{window(0, 10*time.Minute)}
			f.Windows[0].WatchList = "x"
		}, byName, false},
		"steps back": {func(f *Rekor1Facts) {
			f.Windows = []WindowFacts{window(0, 10*time.Minute)}
			f.Windows[0].Backwards = 2 * time.Minute
		}, byName, false},
		"its shards": {func(f *Rekor1Facts) { f.Followed = true }, "", true},
	} {
		l := whole
		l.Rekor1 = &Rekor1Facts{}
		x.edit(l.Rekor1)
		if text, all, relevant := l.searched(c); text != x.want || all != x.whole || relevant != (x.want != "") {
			t.Errorf("%s: %q, %t, %t", name, text, all, relevant)
		}
	}
	shard := LogFacts{Origin: "rekor.example - 7", Kind: "rekor-v1", Known: true, Start: 9, TakenUpAt: noon.Add(time.Hour), Proven: 9, Latest: 9, CheckedAt: noon.Add(time.Hour),
		Shard: &ShardFacts{Log: "rekor.example", Frozen: true, EndedAt: noon.Add(-time.Second)}}
	if text, all, relevant := shard.searched(c); text != "" || !all || relevant {
		t.Errorf("a shard that ended before: %q, %t, %t", text, all, relevant)
	}
	shard.Shard.EndedAt = noon.Add(time.Second)
	if text, all, _ := shard.searched(c); text != "taken up after the certificate was issued: what lies before was not looked at" || all {
		t.Errorf("a shard that ended meanwhile: %q, %t", text, all)
	}
}
