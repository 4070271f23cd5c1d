package audit

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

var weeklyRun = run{"create_release.yml", "refs/heads/main", "schedule", "pypi-weekly"}

// aCanary is a judgement of onnx-weekly, of which a build is expected every week within two days: the last one was published
// such that it is missed since an instant.
func aCanary(edit func(p *ProjectFacts, files *[]FileFacts, since time.Time)) func(*Judge, time.Time) Assessment {
	return func(j *Judge, since time.Time) Assessment {
		p := pypiProject("pypi/onnx-weekly")
		p.CheckedAt = j.Now
		f := attestedBy("1.23.0.dev20261026", weeklyRun, "")
		f.UploadedAt = since.Add(-9 * 24 * time.Hour)
		files := []FileFacts{f}
		edit(&p, &files, since)
		c := j.Canary(p)
		c.See(ReleaseFacts{Version: f.Version, Files: files})
		return c.Judge()
	}
}

// aRoot is a judgement of a trusted root.
func aRoot(t *testing.T, edit func(r *TrustedRoot, since time.Time)) func(*Judge, time.Time) Assessment {
	w, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	body := w.TrustedRootJSON()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return func(j *Judge, since time.Time) Assessment {
		r := TrustedRoot{SHA256: "ab", Source: "https://tuf.example", Body: body}
		edit(&r, since)
		return j.TrustRoot(r)
	}
}

// ending replaces what a trusted root has of a kind by as many as there are ends.
func ending(t *testing.T, kind string, body []byte, ends ...time.Time) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	var all []any
	for i, end := range ends {
		var one map[string]any
		text, err := json.Marshal(doc[kind].([]any)[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &one); err != nil {
			t.Fatal(err)
		}
		validity := map[string]any{"start": "2021-01-12T00:00:00Z"}
		if !end.IsZero() {
			validity["end"] = end.Format(time.RFC3339)
		}
		if key, ok := one["publicKey"].(map[string]any); ok {
			key["validFor"] = validity
			one["logId"] = map[string]any{"keyId": []byte{byte(i), 1, 2, 3}}
		} else {
			one["validFor"] = validity
		}
		all = append(all, one)
	}
	doc[kind] = all
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// monitorRuleCases are those of the rules about the monitor itself.
func monitorRuleCases(t *testing.T) []ruleCase {
	type neighbours = map[string]func(*Judge, time.Time) Assessment
	behind := func(edit func(l *LogFacts, since time.Time)) func(*Judge, time.Time) Assessment {
		return aLog(func(l *LogFacts, since time.Time) {
			l.Proven, l.Read, l.BehindSince = 4, 7, since
			edit(l, since)
		})
	}
	waiting := func(edit func(l *LogFacts, w *WindowFacts)) func(*Judge, time.Time) Assessment {
		return aLog(func(l *LogFacts, since time.Time) {
			w := WindowFacts{WatchList: "list", Window: Window{Origin: "shard", From: 10, To: 1000, Priority: WindowUnexpected, RequestedAt: since}}
			l.Known, l.Windowed, l.WatchList = false, true, "list"
			edit(l, &w)
			l.Rekor1 = &Rekor1Facts{Windows: []WindowFacts{w}}
		})
	}
	return []ruleCase{
		{rule: Backlog, wrong: behind(func(*LogFacts, time.Time) {}),
			fine: neighbours{
				"proven up to its end": behind(func(l *LogFacts, _ time.Time) { l.Proven, l.BehindSince = l.Latest, time.Time{} }),
				"not followed":         behind(func(l *LogFacts, _ time.Time) { l.NotFollowed = true }),
				"failing":              behind(func(l *LogFacts, since time.Time) { l.FailingSince = since }),
				"contradicting itself": behind(func(l *LogFacts, since time.Time) {
					l.Incidents = []Incident{{Kind: EntriesMismatch, FirstSeen: since}}
				}),
				"read by name": behind(func(l *LogFacts, _ time.Time) { l.Known = false }),
				"soon read to its end": behind(func(l *LogFacts, since time.Time) {
					l.Proven, l.BehindSince, l.LevelAt, l.ProvenAt = 9, noon, since.Add(-24*time.Hour), noon
				}),
				"nobody asked since": behind(func(l *LogFacts, since time.Time) {
					l.Proven, l.BehindSince, l.CheckedAt, l.LevelAt = l.Latest, time.Time{}, since, since.Add(time.Minute)
				}),
			}},
		{rule: Backlog, wrong: aLog(func(l *LogFacts, since time.Time) { // what it showed was proven hours later
			l.Proven, l.CheckedAt, l.GrewAt, l.LevelAt = l.Latest, since, since, since.Add(9*time.Hour)
		}), fine: neighbours{"in a minute": aLog(func(l *LogFacts, since time.Time) {
			l.Proven, l.CheckedAt, l.GrewAt, l.LevelAt = l.Latest, since, since, since.Add(time.Minute)
		})}},
		{rule: Backlog, wrong: waiting(func(*LogFacts, *WindowFacts) {}),
			fine: neighbours{
				"read":                        waiting(func(_ *LogFacts, w *WindowFacts) { w.FinishedAt = noon }),
				"asked for by a person":       waiting(func(_ *LogFacts, w *WindowFacts) { w.Priority = WindowAsked }),
				"of another watch list":       waiting(func(_ *LogFacts, w *WindowFacts) { w.WatchList = "before" }),
				"of a log read by name alone": waiting(func(l *LogFacts, _ *WindowFacts) { l.Windowed = false }),
			}},
		{rule: MissedCanary, wrong: aCanary(func(*ProjectFacts, *[]FileFacts, time.Time) {}),
			fine: neighbours{
				"published since": aCanary(func(_ *ProjectFacts, files *[]FileFacts, since time.Time) {
					(*files)[0].UploadedAt = since.Add(-time.Hour)
				}),
				"published and deleted since": aCanary(func(_ *ProjectFacts, files *[]FileFacts, since time.Time) {
					f := attestedBy("1.23.0.dev20261102", weeklyRun, "")
					f.UploadedAt, f.RemovedAt = since.Add(-time.Hour), since
					*files = append(*files, f)
				}),
				"an index that was not read since": aCanary(func(p *ProjectFacts, _ *[]FileFacts, since time.Time) { p.CheckedAt = since.Add(-time.Second) }),
				"a quarantined project":            aCanary(func(p *ProjectFacts, _ *[]FileFacts, _ time.Time) { p.Status = StatusQuarantined }),
				"a file whose attestations are not known": aCanary(func(_ *ProjectFacts, files *[]FileFacts, since time.Time) {
					f := file("1.23.0.dev20261102", since)
					f.Provenance.State = ProvenancePending
					*files = append(*files, f)
				}),
				"an attestation of another form": aCanary(func(_ *ProjectFacts, files *[]FileFacts, since time.Time) {
					f := attestedBy("1.23.0.dev20261102", weeklyRun, "")
					f.UploadedAt, f.Provenance.Document.Attestations[0].Status = since, attest.Unsupported
					*files = append(*files, f)
				}),
				"nothing ever published": aCanary(func(_ *ProjectFacts, files *[]FileFacts, _ time.Time) { *files = nil }),
				"a project of which nothing is expected": func(j *Judge, since time.Time) Assessment {
					c := j.Canary(pypiProject("pypi/onnx"))
					c.See(ReleaseFacts{Files: []FileFacts{attestedBy("1.22.0", releaseRun, "")}})
					return c.Judge()
				},
			}},
		{rule: TrustRootExpiring, wrong: aRoot(t, func(r *TrustedRoot, since time.Time) { r.ExpiresAt = since.Add(metadataEnds) }),
			fine: neighbours{
				"a file":           aRoot(t, func(*TrustedRoot, time.Time) {}),
				"four days before": aRoot(t, func(r *TrustedRoot, since time.Time) { r.ExpiresAt = noon.Add(4 * 24 * time.Hour) }),
				"one that cannot be read": aRoot(t, func(r *TrustedRoot, since time.Time) {
					r.Body = []byte("{}")
				}),
			}},
		{rule: TrustRootExpiring, wrong: aRoot(t, func(r *TrustedRoot, since time.Time) {
			r.Body = ending(t, "ctlogs", r.Body, since.AddDate(-1, 0, 0), since.Add(materialEnds))
		}),
			fine: neighbours{
				"a successor without an end": aRoot(t, func(r *TrustedRoot, since time.Time) {
					r.Body = ending(t, "ctlogs", r.Body, since.Add(materialEnds), time.Time{})
				}),
				"a successor that lasts": aRoot(t, func(r *TrustedRoot, since time.Time) {
					r.Body = ending(t, "ctlogs", r.Body, since.Add(materialEnds), since.AddDate(2, 0, 0))
				}),
			}},
		{rule: TrustRootExpiring, wrong: aRoot(t, func(r *TrustedRoot, since time.Time) {
			r.Body = ending(t, "certificateAuthorities", r.Body, since.Add(materialEnds))
		}), fine: neighbours{"an end in a year": aRoot(t, func(r *TrustedRoot, since time.Time) {
			r.Body = ending(t, "certificateAuthorities", r.Body, since.AddDate(1, 0, 0))
		})}},
	}
}

// TestATrustedRootWithTimeLeftIsFine has nothing wait that would keep a finding open.
func TestATrustedRootWithTimeLeftIsFine(t *testing.T) {
	for name, edit := range map[string]func(r *TrustedRoot, since time.Time){
		"metadata": func(r *TrustedRoot, _ time.Time) { r.ExpiresAt = noon.Add(metadataEnds + time.Second) },
		"authorities": func(r *TrustedRoot, _ time.Time) {
			r.Body = ending(t, "certificateAuthorities", r.Body, noon.Add(materialEnds+time.Second))
		},
		"logs": func(r *TrustedRoot, _ time.Time) {
			r.Body = ending(t, "tlogs", r.Body, noon, noon.Add(materialEnds+time.Second))
		},
		"timestamps": func(r *TrustedRoot, _ time.Time) {
			r.Body = ending(t, "timestampAuthorities", r.Body, noon.Add(materialEnds+time.Second))
		},
	} {
		if a := aRoot(t, edit)(onnxJudge(noon), noon); !cmp.Equal(a, Assessment{}) {
			t.Errorf("%s: %+v", name, a)
		}
		if a := aRoot(t, edit)(onnxJudge(noon.Add(24*time.Hour+time.Second)), noon); len(a.Findings) != 1 {
			t.Errorf("%s, a day later: %+v", name, a)
		}
	}
}

// TestWhatIsMissedIsUnknownWhereNobodyLooked has the neighbours of a missed build that are not fine either.
func TestWhatIsMissedIsUnknownWhereNobodyLooked(t *testing.T) {
	for _, c := range monitorRuleCases(t) {
		if c.rule != MissedCanary {
			continue
		}
		for name, want := range map[string]string{
			"an index that was not read since":        "the index was not read since 2026-11-02T12:00:00Z, until when it could be published",
			"a quarantined project":                   "the index was not read since 2026-11-02T12:00:00Z, until when it could be published",
			"a file whose attestations are not known": "a file that came since then has attestations that are not known",
			"an attestation of another form":          "a file that came since then has attestations that are not known",
			"nothing ever published":                  "no publication of the grade is known, so nothing says when the next is due",
		} {
			a := c.fine[name](presetJudge(t, noon), noon)
			want := []Unknown{{Rule: MissedCanary, Reason: want, Subject: Subject{Project: "onnx", Index: "pypi", PyPIProject: "onnx-weekly", Grade: "weekly"}}}
			if diff := cmp.Diff(Assessment{Unknowns: want}, a); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}

// TestALogThatIsNeverReadToItsEndIsABacklogAtOnce has a log grow faster than it is read, and as fast as it does half of that.
func TestALogThatIsNeverReadToItsEndIsABacklogAtOnce(t *testing.T) {
	behind := func(growth float64) LogFacts { // 36,000 entries in ten hours, with 72,000 to go
		return LogFacts{Origin: "log.example", Known: true, GrewAt: noon, CheckedAt: noon, Latest: 108_000, Read: 36_000, Proven: 36_000, GrowthPerSecond: growth,
			BehindSince: noon.Add(-time.Minute), TakenUpAt: noon.Add(-10 * time.Hour), ProvenAt: noon}
	}
	for _, c := range []struct {
		growth float64
		edit   func(l *LogFacts)
		want   string // of the evidence; "" for no finding yet
	}{
		{2, func(*LogFacts) {}, "about 70000 entries are not proven yet; at the present pace it is never read to its end"},
		{1, func(*LogFacts) {}, "about 70000 entries are not proven yet; at the present pace it is never read to its end"},
		{0.9, func(*LogFacts) {}, "about 70000 entries are not proven yet; at the present pace it takes about 8 days more"},
		{0, func(*LogFacts) {}, "about 70000 entries are not proven yet; at the present pace it takes about 18h more"},
		{0, func(l *LogFacts) { l.Latest = 40_000 }, ""},
		{2, func(l *LogFacts) { l.TakenUpAt = noon.Add(-59 * time.Minute) }, ""}, // too short to tell
		{2, func(l *LogFacts) { l.Frozen, l.Latest = true, 40_000 }, ""},         // it grows no more
		{2, func(l *LogFacts) { l.LevelIndex, l.LevelAt = 30_000, noon.Add(-time.Hour) }, "about 70000 entries are not proven yet; at the present pace it is never read to its end"},
		{1, func(l *LogFacts) { l.LevelIndex, l.LevelAt, l.Latest = 10_000, noon.Add(-time.Hour), 40_000 }, ""},
	} {
		l := behind(c.growth)
		c.edit(&l)
		a := onnxJudge(noon).Log(l)
		got := ""
		if len(a.Findings) == 1 && a.Findings[0].Rule == Backlog {
			got = a.Findings[0].Evidence[0].Detail
		}
		if got != c.want || len(a.Findings) > 1 || got == "" && len(a.Waiting) != 1 {
			t.Errorf("growth %g: %q, want %q; %+v", c.growth, got, c.want, a)
		}
	}
}

// TestMissedSignaturesAreToldByTheCTLogs has a scan that signs each week, and publishes nothing.
func TestMissedSignaturesAreToldByTheCTLogs(t *testing.T) {
	j := presetJudge(t, noon)
	for i := range j.Policy.Grades {
		if j.Policy.Grades[i].Name == "scorecard" {
			j.Policy.Grades[i].Expect = &identity.Expect{Every: 7 * 24 * time.Hour, Within: 24 * time.Hour}
		}
	}
	policies := map[string]identity.Policy{"onnx": j.Policy}
	scan := func(issued time.Time) HitFacts {
		return HitFacts{LogHit: LogHit{Kind: HitCertificate, Certificates: []HitCert{{Chained: true, NotBefore: issued, Match: identity.WatchMatch{Project: "onnx"},
			Identity: run{"scorecard.yml", "refs/heads/main", "schedule", ""}.identity()}}}}
	}
	missed := noon.Add(-8 * 24 * time.Hour)
	ct := LogFacts{Origin: "ct.example", Kind: "ct-static", Known: true, CheckedAt: noon, Proven: 9, Latest: 9}
	subject := Subject{Project: "onnx", Grade: "scorecard"}
	for name, c := range map[string]struct {
		hits    []HitFacts
		logs    func(ct *LogFacts) []LogFacts
		finding bool
		waiting bool
		unknown string
	}{
		"missed":                {[]HitFacts{scan(missed.AddDate(0, -1, 0)), scan(missed)}, nil, true, false, ""},
		"a day ago":             {[]HitFacts{scan(missed), scan(noon.Add(-24 * time.Hour))}, nil, false, false, ""},
		"in its time":           {[]HitFacts{scan(missed.Add(time.Second))}, nil, false, true, ""},
		"never seen":            {nil, nil, false, false, "no certificate of the grade is known, so nothing says when the next is due"},
		"a push's":              {[]HitFacts{scan(missed), {LogHit: LogHit{Certificates: []HitCert{{Chained: true, NotBefore: noon, Match: identity.WatchMatch{Project: "onnx"}, Identity: run{"create_release.yml", "refs/heads/main", "push", ""}.identity()}}}}}, nil, true, false, ""},
		"a claim":               {[]HitFacts{scan(missed), func() HitFacts { h := scan(noon); h.Certificates[0].Chained = false; return h }()}, nil, true, false, ""},
		"no CT log":             {[]HitFacts{scan(missed)}, func(*LogFacts) []LogFacts { return nil }, false, false, "no CT log is followed"},
		"a CT log switched off": {[]HitFacts{scan(missed)}, func(ct *LogFacts) []LogFacts { ct.NotFollowed, ct.Why = true, "off"; return []LogFacts{*ct} }, false, false, "CT log ct.example is not followed: off"},
		"a CT log read before": {[]HitFacts{scan(missed)}, func(ct *LogFacts) []LogFacts { ct.CheckedAt = noon.Add(-time.Second); return []LogFacts{*ct} }, false, false,
			"CT log ct.example was not read from 2026-10-25T12:00:00Z until 2026-11-02T12:00:00Z"},
		"a CT log not proven": {[]HitFacts{scan(missed)}, func(ct *LogFacts) []LogFacts { ct.Proven = 8; return []LogFacts{*ct} }, false, false,
			"CT log ct.example was not read from 2026-10-25T12:00:00Z until 2026-11-02T12:00:00Z"},
		"a CT log that ended before": {[]HitFacts{scan(missed)}, func(ct *LogFacts) []LogFacts {
			return []LogFacts{*ct, {Origin: "old.example", Kind: "ct-rfc6962", LogStanding: LogStanding{EndedAt: missed.Add(-time.Hour)}}}
		}, true, false, ""},
		"read with another list": {[]HitFacts{scan(missed)}, func(ct *LogFacts) []LogFacts {
			ct.WatchList, ct.Ranges = "new", []ProvenRange{{From: 0, To: 9, WatchList: "old"}}
			return []LogFacts{*ct}
		}, false, false, "parts of CT log ct.example were read with another watch list"},
	} {
		canary := newCertificateCanary(policies)
		for _, h := range c.hits {
			canary.see(h)
		}
		ct := ct
		logs := []LogFacts{ct}
		if c.logs != nil {
			logs = c.logs(&ct)
		}
		a := canary.judge(j, logs)
		var unknown []Unknown
		if c.unknown != "" {
			unknown = []Unknown{{Rule: MissedCanary, Subject: subject, Reason: c.unknown}}
		}
		if (len(a.Findings) == 1) != c.finding || (len(a.Waiting) == 1) != c.waiting || !cmp.Equal(unknown, a.Unknowns) {
			t.Errorf("%s: %+v", name, a)
		}
		if c.finding && (a.Findings[0].Subject != subject || a.Findings[0].Severity != Info) {
			t.Errorf("%s: %+v", name, a.Findings[0])
		}
	}
}
