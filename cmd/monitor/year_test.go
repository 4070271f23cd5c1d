package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// TestAMonthOfHonestWorkAlertsNobody is the year of the benchmark in four weeks: everything that happens in a year happens.
func TestAMonthOfHonestWorkAlertsNobody(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("four weeks take seconds, and with the race detector minutes")
	}
	t.Parallel()
	y := newYear(t, 28)
	y.pass(t)
	y.live(t)
	y.check(t)
	t.Log(y)
}

// BenchmarkAYearOfAProject lives through a year of a project like ONNX at its real pace.
func BenchmarkAYearOfAProject(b *testing.B) {
	for b.Loop() {
		y := newYear(b, 364)
		y.pass(b)
		y.live(b)
		y.check(b)
		b.Log(y)
		b.ReportMetric(float64(y.passes), "passes/op")
		b.ReportMetric(float64(y.requests), "requests/op")
	}
}

// year is what happens to a project in a period, and a monitor that makes its passes meanwhile: at midnight, and within six hours of
// whatever happened.
type year struct {
	*scenario
	random *rand.Rand
	from   time.Time
	days   int

	passes   int
	requests int64
	// informed counts the findings that page nobody.
	informed map[string]int
	// books are what was signed, and log what the books say of each period.
	books books
	log   []string
}

func newYear(tb testing.TB, days int) *year {
	s := newTestScenario(tb, 2027)
	// The test index's environments had three names, and the policy has a grade for each.
	policy := &s.pass.cfg.Projects[0].Policy
	for _, g := range policy.Grades {
		if g.Name != "test-weekly" {
			continue
		}
		for _, name := range environments[:2] {
			g.Name, g.Environment = "test-"+name, name
			policy.Grades = append(policy.Grades, g)
		}
	}
	return &year{scenario: s, random: rand.New(rand.NewPCG(1, 2)), from: s.clock.Now(), days: days, informed: map[string]int{}, books: books{}}
}

// environments are those of the rehearsals, each for a third of the period.
var environments = []string{"testpypi", "testpypi_onnxweekly", "testpypi-weekly"}

// event is something that happens at a time.
type event struct {
	at time.Duration // since the beginning
	do func() error
}

const (
	day = 24 * time.Hour
	// weeklyFiles and releaseFiles are as many as ONNX publishes.
	filesOfABuild = 35
)

// calendar is what happens in the period, in its order. The world begins on a Monday, at nine.
func (y *year) calendar() []event {
	var all []event
	add := func(at time.Duration, do func() error) { all = append(all, event{at, do}) }
	hour := func() time.Duration { return time.Duration(y.random.IntN(14*60)) * time.Minute } // of work, from nine to eleven at night
	work := y.work
	releases := max(1, y.days*4/364)
	for d := range y.days {
		at := time.Duration(d) * day
		weekend := d%7 >= 5
		pushes, pulls := 3+y.random.IntN(3), 1
		if weekend {
			pushes, pulls = y.random.IntN(2), 0
		}
		for range pushes {
			when := hour()
			add(at+when, y.signed("ci", 1, 0, work.Push))
			add(at+when, y.signed("scorecard", 1, 0, func() error { return work.Scan("push") }))
		}
		for range pulls {
			number := 7000 + d
			add(at+hour(), y.signed("pr", 1, 0, func() error { return work.Pull(number) }))
		}
		switch d % 7 {
		case 2:
			add(at+hour(), y.signed("ci-dispatch", 1, 0, func() error { return work.Build(fmt.Sprintf("refs/heads/try-%d", d), "workflow_dispatch", 5) }))
		case 5:
			add(at+hour(), y.signed("scorecard", 1, 0, func() error { return work.Scan("schedule") }))
		case 6: // the night to Monday
			y.monday(d/7, at+15*time.Hour+40*time.Minute, add)
		}
		// Rehearsals are once in a fortnight, and every third of the period has one.
		if d%14 == 3 || d == y.days*2/3+1 {
			environment := environments[d*len(environments)/y.days]
			grade := map[string]string{"testpypi": "test-testpypi", "testpypi_onnxweekly": "test-testpypi_onnxweekly", "testpypi-weekly": "test-weekly"}[environment]
			add(at+hour(), y.signed(grade, filesOfABuild+1, 0, func() error { return work.Rehearse(environment, filesOfABuild) }))
		}
	}
	for i := range releases {
		at := time.Duration(y.days*(2*i+1)/(2*releases))*day + 4*time.Hour
		branch := fmt.Sprintf("refs/heads/rel-1.%d.0", 24+i)
		add(at-day, y.signed("ci", 1, 0, func() error { return work.Build(branch, "push", 5) }))
		add(at, y.signed("release", filesOfABuild+1, 0, y.published(filesOfABuild, func() error { return work.Release(filesOfABuild) })))
		add(at+2*day, func() error { return work.Purge(1) })
	}
	y.outages(add)
	slices.SortStableFunc(all, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	return all
}

// monday is a weekly build, now and then a push to the main branch cancels it, and somebody may run it again.
func (y *year) monday(week int, at time.Duration, add func(time.Duration, func() error)) {
	// A job makes one provenance of all files, and an attestation of each. What is for files that never arrived is open.
	cancelled := func(attested, uploaded, open int) {
		add(at, y.signed("weekly", attested+1, open, y.published(uploaded, func() error { return y.work.CancelledWeekly(filesOfABuild, attested, uploaded) })))
	}
	switch week % 13 {
	case 1: // before anything was attested file by file
		cancelled(0, 0, 1)
	case 2: // in the middle of the upload, and run again
		cancelled(filesOfABuild, 12, 0)
		add(at+3*time.Hour, y.signed("weekly", filesOfABuild+1, 0, y.published(filesOfABuild-12, func() error { return y.work.WeeklyAgain(filesOfABuild) })))
	case 7: // in the middle of the upload, for good
		cancelled(filesOfABuild, 20, filesOfABuild-20+1)
	case 9: // before it began
	default:
		add(at, y.signed("weekly", filesOfABuild+1, 0, y.published(filesOfABuild, func() error { return y.work.Weekly(filesOfABuild) })))
	}
}

// outages has every service fail for some hours once, and for a day once.
func (y *year) outages(add func(time.Duration, func() error)) {
	services := []*sandbox.Service{y.world.PyPI.Service, y.world.Rekor.Service, y.world.Rekor2.Service, y.world.CT.Service, y.world.StaticCT.Service, y.world.GitHub.Service}
	for i, length := range []time.Duration{4 * time.Hour, day} {
		for j, s := range services {
			at := time.Duration(y.days)*day*time.Duration(i*len(services)+j)/time.Duration(2*len(services)) + 5*time.Hour
			var mend func()
			add(at, func() error {
				mend = s.Break(sandbox.Fault{Status: 503, ContentType: "text/html", Body: []byte("<html>503 Service Unavailable</html>")})
				return nil
			})
			for look := time.Hour; look < length; look += 7 * time.Hour {
				add(at+look, func() error { return nil })
			}
			add(at+length, func() error { mend(); return nil })
		}
	}
}

// live lets everything happen.
func (y *year) live(tb testing.TB) {
	tb.Helper()
	events := y.calendar()
	for d := range y.days {
		midnight := time.Duration(d)*day + 15*time.Hour
		for len(events) > 0 && events[0].at < midnight {
			// What happens within six hours is seen by one pass: the real ones come every five minutes, and most of them see nothing.
			until := events[0].at + 6*time.Hour
			for len(events) > 0 && events[0].at < min(until, midnight) {
				y.advance(events[0].at)
				if err := events[0].do(); err != nil {
					tb.Fatal(err)
				}
				events = events[1:]
			}
			y.clock.Advance(3 * time.Minute)
			y.pass(tb)
		}
		y.advance(midnight)
		y.pass(tb)
	}
}

// advance lets time pass until so long after the beginning; what took longer is late.
func (y *year) advance(since time.Duration) {
	if at := y.from.Add(since); at.After(y.clock.Now()) {
		y.clock.AdvanceTo(at)
	}
}

// pass makes one pass of the monitor.
func (y *year) pass(tb testing.TB) {
	tb.Helper()
	if err := y.work.Others(); err != nil {
		tb.Fatal(err)
	}
	answer, err := y.scenario.pass.run(tb.Context(), "once")
	if err != nil {
		tb.Fatal(err)
	}
	y.passes++
	for _, n := range answer.Requests {
		y.requests += n
	}
	for _, service := range []*sandbox.Service{y.world.PyPI.Service, y.world.Rekor.Service, y.world.Rekor2.Service, y.world.CT.Service, y.world.StaticCT.Service, y.world.GitHub.Service, y.world.TUF.Service} {
		service.ForgetRequests()
	}
}

// check demands that nobody was told anything but that the services were down which were down for a day, and that the books
// balance.
func (y *year) check(tb testing.TB) {
	tb.Helper()
	record, err := db.OpenExisting(tb.Context(), y.scenario.pass.cfg.Database)
	if err != nil {
		tb.Fatal(err)
	}
	defer record.Close()
	all, err := record.Findings(tb.Context(), db.FindingFilter{})
	if err != nil {
		tb.Fatal(err)
	}
	told := map[string]int{}
	for _, f := range all {
		if f.Severity == audit.Info {
			y.informed[f.Rule]++
			continue
		}
		told[fmt.Sprintf("%s %s, %s, %s", f.Severity, f.Rule, f.Status, f.Subject)]++
	}
	want := map[string]int{}
	for _, source := range []string{"log " + y.world.Rekor2.Origin(), "log " + y.world.CT.Origin(), "log " + y.world.StaticCT.Origin(),
		"log rekor.sandbox.example", "onnx: project pypi/onnx", "onnx: project pypi/onnx-weekly"} {
		want["medium source-unreachable, resolved, "+source] = 1
	}
	if d := diff.Diff(want, told); d != "" {
		tb.Errorf("findings (-want +got):\n%s", d)
	}
	j := audit.Judge{Rules: audit.NewRuleSet(nil), Now: y.clock.Now(), Policy: identity.Policy{}}
	states := map[audit.CertificateState]int{}
	if err := record.OwnCertificates(tb.Context(), func(c audit.CertificateFacts) error {
		states[j.CertificateState(c)]++
		if j.CertificateState(c) != audit.CertificateAccounted {
			tb.Errorf("a certificate of %s is %s", c.Identity.Describe(), j.CertificateState(c))
		}
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
	if states[audit.CertificateAccounted] < y.days {
		tb.Errorf("certificates: %v", states)
	}
	y.balanced(tb, record)
	if _, err := record.Fsck(tb.Context(), func(problem string) { tb.Errorf("fsck: %s", problem) }); err != nil {
		tb.Fatal(err)
	}
}

// String says how much it was.
func (y *year) String() string {
	size := int64(0)
	if info, err := os.Stat(y.scenario.pass.cfg.Database); err == nil {
		size = info.Size()
	}
	return fmt.Sprintf("%d days: %d passes, %d requests; %d entries in Rekor v1, %d certificates in CT; a record of %d MB; informed of %v; %s", y.days, y.passes, y.requests,
		y.world.Rekor.Size(), y.world.CT.Size(), size>>20, y.informed, strings.Join(y.log, "; "))
}
