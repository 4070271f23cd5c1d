package audit

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

func held(status Status, severity Severity, summary string, ack *Ack) Finding {
	s := Subject{Project: "onnx", Index: "pypi", PyPIProject: "onnx", File: "a.whl", SHA256: "00"}
	return Finding{ID: FindingID(Key(NoProvenance, s)), Rule: NoProvenance, Severity: severity, Status: status, Subject: s, Summary: summary,
		OpenedAt: noon.Add(-time.Hour), LastSeenAt: noon.Add(-time.Minute), Ack: ack}
}

// wrongNow is the same problem as seen now.
func wrongNow(severity Severity, summary string) Finding {
	f := held("", severity, summary, nil)
	f.OpenedAt, f.LastSeenAt = time.Time{}, time.Time{}
	return f
}

func TestReconcileTable(t *testing.T) {
	until := noon
	forever := &Ack{By: "alice", Why: "known", At: noon.Add(-time.Hour)}
	expiring := &Ack{By: "alice", Why: "known", At: noon.Add(-time.Hour), Until: &until}
	later := noon.Add(time.Second)
	lasting := &Ack{By: "alice", Why: "known", At: noon.Add(-time.Hour), Until: &later}
	unknown := Assessment{Unknowns: []Unknown{{Rule: NoProvenance, Subject: held("", High, "", nil).Subject}}}
	waiting := Assessment{Waiting: []Waiting{{Rule: NoProvenance, Subject: held("", High, "", nil).Subject}}}
	wrong := func(severity Severity, summary string) Assessment {
		return Assessment{Findings: []Finding{wrongNow(severity, summary)}}
	}
	for name, c := range map[string]struct {
		held   []Finding
		now    Assessment
		want   Transition // "" for no change
		status Status
	}{
		"new":                          {nil, wrong(High, "s"), Opened, Open},
		"back":                         {[]Finding{held(Resolved, High, "s", nil)}, wrong(High, "s"), Reopened, Open},
		"still there":                  {[]Finding{held(Open, High, "s", nil)}, wrong(High, "s"), "", ""},
		"other facts":                  {[]Finding{held(Open, High, "s", nil)}, wrong(High, "t"), Updated, Open},
		"worse":                        {[]Finding{held(Open, High, "s", nil)}, wrong(Critical, "s"), Escalated, Open},
		"less bad":                     {[]Finding{held(Open, High, "s", nil)}, wrong(Low, "s"), Eased, Open},
		"gone":                         {[]Finding{held(Open, High, "s", nil)}, Assessment{}, Settled, Resolved},
		"unknown":                      {[]Finding{held(Open, High, "s", nil)}, unknown, "", ""},
		"within its grace period":      {[]Finding{held(Open, High, "s", nil)}, waiting, "", ""},
		"resolved and fine":            {[]Finding{held(Resolved, High, "s", nil)}, Assessment{}, "", ""},
		"resolved and unknown":         {[]Finding{held(Resolved, High, "s", nil)}, unknown, "", ""},
		"acknowledged, still there":    {[]Finding{held(Acknowledged, High, "s", forever)}, wrong(High, "s"), "", ""},
		"acknowledged, not expired":    {[]Finding{held(Acknowledged, High, "s", lasting)}, wrong(High, "s"), "", ""},
		"acknowledged, expired":        {[]Finding{held(Acknowledged, High, "s", expiring)}, wrong(High, "s"), AckWithdrawn, Open},
		"acknowledged, something else": {[]Finding{held(Acknowledged, High, "s", forever)}, wrong(High, "t"), AckWithdrawn, Open},
		"acknowledged, worse":          {[]Finding{held(Acknowledged, High, "s", forever)}, wrong(Critical, "s"), AckWithdrawn, Open},
		"acknowledged, less bad":       {[]Finding{held(Acknowledged, High, "s", forever)}, wrong(Low, "s"), Eased, Acknowledged},
		"acknowledged, gone":           {[]Finding{held(Acknowledged, High, "s", forever)}, Assessment{}, Settled, Resolved},
		"acknowledged, unknown":        {[]Finding{held(Acknowledged, High, "s", forever)}, unknown, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			changes := Reconcile(c.held, c.now, noon)
			if c.want == "" {
				if len(changes) != 0 {
					t.Fatalf("changes %+v", changes)
				}
				return
			}
			if len(changes) != 1 || changes[0].Transition != c.want || changes[0].Finding.Status != c.status {
				t.Fatalf("changes %+v, want %s to %s", changes, c.want, c.status)
			}
			f := changes[0].Finding
			if (f.Status == Resolved) != (f.ResolvedAt != nil) || f.Status != Acknowledged && f.Ack != nil {
				t.Errorf("the finding after it: %+v", f)
			}
			opened := noon
			if c.want != Opened && c.want != Reopened {
				opened = noon.Add(-time.Hour)
			}
			if !f.OpenedAt.Equal(opened) {
				t.Errorf("opened at %s, want %s", f.OpenedAt, opened)
			}
		})
	}
}

// randomAssessment draws findings, unknowns and waiting conditions over a few subjects.
func randomAssessment(t *rapid.T, label string) Assessment {
	var a Assessment
	for i := range 6 {
		s := Subject{Project: "onnx", Index: "pypi", PyPIProject: "onnx", File: fmt.Sprintf("f%d.whl", i), SHA256: "00"}
		switch rapid.IntRange(0, 4).Draw(t, fmt.Sprintf("%s%d", label, i)) {
		case 0, 1:
			severity := rapid.SampledFrom(Severities()).Draw(t, "severity")
			a.Findings = append(a.Findings, Finding{ID: FindingID(Key(WrongGrade, s)), Rule: WrongGrade, Severity: severity, Subject: s,
				Summary: rapid.SampledFrom([]string{"one", "two"}).Draw(t, "summary")})
		case 2:
			a.unknown(s, "no answer", WrongGrade)
		case 3:
			a.Waiting = append(a.Waiting, Waiting{Rule: WrongGrade, Subject: s})
		}
	}
	return a
}

// apply brings findings held up to date with changes, as the record does.
func apply(findings []Finding, changes []Change) []Finding {
	byID := map[string]Finding{}
	for _, f := range findings {
		byID[f.ID] = f
	}
	for _, c := range changes {
		byID[c.Finding.ID] = c.Finding
	}
	var all []Finding
	for _, f := range byID {
		all = append(all, f)
	}
	return all
}

func TestReconcilingAgainChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var findings []Finding
		for i := range rapid.IntRange(1, 4).Draw(t, "passes") {
			a := randomAssessment(t, fmt.Sprintf("pass%d-", i))
			now := noon.Add(time.Duration(i) * time.Hour)
			findings = apply(findings, Reconcile(findings, a, now))
			if again := Reconcile(findings, a, now.Add(time.Minute)); len(again) != 0 {
				t.Fatalf("the same assessment again gives %+v", again)
			}
		}
	})
}

func TestReconcileDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		findings := apply(nil, Reconcile(nil, randomAssessment(t, "before"), noon))
		a := randomAssessment(t, "now")
		render := func() string {
			text, err := json.Marshal(Reconcile(findings, a, noon.Add(time.Hour)))
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		want := render()
		r := rand.New(rand.NewPCG(1, 2))
		r.Shuffle(len(findings), func(i, j int) { findings[i], findings[j] = findings[j], findings[i] })
		r.Shuffle(len(a.Findings), func(i, j int) { a.Findings[i], a.Findings[j] = a.Findings[j], a.Findings[i] })
		if got := render(); got != want {
			t.Fatalf("shuffled input gives\n%s\nnot\n%s", got, want)
		}
	})
}

func TestVersionsAreInOrder(t *testing.T) {
	versions := []string{"1.10.0", "1.9.0", "1.22.0rc1", "not a version", "1.22.0", "1.22.0.dev20260511", "", "1.22.0.post1"}
	sortVersions(versions)
	want := []string{"", "not a version", "1.9.0", "1.10.0", "1.22.0.dev20260511", "1.22.0rc1", "1.22.0", "1.22.0.post1"}
	if diff := cmp.Diff(want, versions); diff != "" {
		t.Error(diff)
	}
}

func TestTextFromOutsideStaysInOneReadableLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                       "plain",
		"two\nlines":                  `two\u{a}lines`,
		"red \x1b[31m":                `red \u{1b}[31m`,
		"bidi \u202egnp":              `bidi \u{202e}gnp`,
		"zero\u200bwidth":             `zero\u{200b}width`,
		"invalid \xff":                `invalid \u{fffd}`,
		"a long text that is cut off": "a long text that is…",
	} {
		if got := oneLine(in, 19); got != want && oneLine(in, 100) != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestSettingsReplaceTheRulesDefaults(t *testing.T) {
	hour := time.Hour
	set := NewRuleSet(map[string]Setting{ReleaseYanked: {Severity: High}, NoProvenance: {Grace: &hour}})
	if set[ReleaseYanked].Severity != High || set[NoProvenance].Grace != time.Hour || set[NoProvenance].Severity != High || set[WrongGrade].Severity != Critical {
		t.Errorf("rules %+v %+v", set[ReleaseYanked], set[NoProvenance])
	}
	for _, r := range Rules() {
		if r.Sentence == "" || r.Advice == "" || r.About == "" || !slices.Contains(Severities(), r.Severity) {
			t.Errorf("rule %s is incomplete: %+v", r.ID, r)
		}
	}
	if !Critical.AtLeast(High) || Low.AtLeast(High) || !High.AtLeast(High) || Severity("new").Rank() != 0 {
		t.Error("severities are out of order")
	}
}
