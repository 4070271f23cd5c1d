package main

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// BenchmarkIdentitiesOfThePublicInstance runs the program against a world at the pace of the public instance, in simulated time,
// and measures how old what it knows is, and what it asks the log for. The hours are of the logs' time.
func BenchmarkIdentitiesOfThePublicInstance(b *testing.B) {
	for _, c := range []struct {
		name   string
		pace   float64
		hours  int
		every  time.Duration // between two signatures of the project's
		offset time.Duration
	}{
		// Everything at its true pace; the project signs more often than once in a quarter of an hour.
		{"an-hour-at-its-pace", publicPace, 1, 13 * time.Minute, 3*time.Minute + 7*time.Second},
		// What is asked for by name does not depend on the pace at which others sign: so a whole day is simulated at less.
		{"a-day-of-ten-signatures", 0.1, 24, 144 * time.Minute, 17*time.Minute + 13*time.Second},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				p := newPublicWorld(b, c.pace, time.Minute)
				m := p.monitor(b, "indexed", 60)
				m.settled(b)
				p.Rekor.ForgetRequests()
				jobs := []func(*sandbox.Claims){unknownJob, weeklyJob, ciJob, prJob}
				span := time.Duration(c.hours) * time.Hour
				signed := 0
				for at := c.offset; at < span; at += c.every {
					p.sign(fmt.Sprintf("file-%d", signed), at, true, jobs[signed%len(jobs)])
					signed++
				}
				began, size := p.clock.Now(), p.Rekor.Size()
				worst, runs := m.watch(b, span, true)
				minutes := p.clock.Now().Sub(began).Minutes()
				perMinute := float64(len(p.Rekor.Requests())) / minutes
				b.ReportMetric(worst.certificate.Seconds(), "s-to-certificate")
				b.ReportMetric(worst.entry.Seconds(), "s-to-entry")
				b.ReportMetric(worst.behind.Seconds(), "s-behind-ct")
				b.ReportMetric(perMinute, "requests/min")
				b.ReportMetric(100*perMinute/publicRequests, "%-of-500/min")
				b.ReportMetric(float64(signed), "signatures")
				b.ReportMetric(float64(p.Rekor.Size()-size), "entries")
				b.ReportMetric(float64(runs), "runs")
			}
		})
	}
}

// windowCost is what windows of some certificates take.
type windowCost struct {
	what             string
	windows          int
	entries          uint64
	finding, reading int64 // requests: where they lie, and what is in them
}

// BenchmarkWindowsOfThePublicInstance has ten certificates issued in two and a half hours of the public instance, as a project
// does in a day, to a search index that does not know subjects, and tells what their windows take by kind, next to what reading
// all of the log would. The one that comes first is read.
func BenchmarkWindowsOfThePublicInstance(b *testing.B) {
	// One that no grade knows, two that publish, and seven of builds and scans; further apart than a window is long, as they
	// are in a day.
	jobs := []func(*sandbox.Claims){ciJob, prJob, unknownJob, ciJob, weeklyJob, prJob, ciJob, func(*sandbox.Claims) {}, prJob, ciJob}
	const apart = 15 * time.Minute
	for b.Loop() {
		p := newPublicWorld(b, publicPace, 0)
		p.quietCT = true // what following that costs is no matter here
		p.Rekor.Index.SetSubject(sandbox.SubjectIgnored)
		m := p.monitor(b, "indexed", 480)
		m.settled(b)
		for i, job := range jobs {
			p.sign(fmt.Sprintf("file-%d", i), time.Duration(i)*apart+time.Minute, true, job)
		}
		p.advance(b, time.Duration(len(jobs))*apart)
		m.follow(b) // the certificates
		costs := m.windowCosts(b)
		var table strings.Builder
		w := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "windows of\twindows\tentries\trequests\tat 60/min\tat 480/min\t")
		for _, c := range costs {
			requests := c.finding + c.reading
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.1f h\t%.2f h\t\n", c.what, c.windows, c.entries, requests, float64(requests)/60/60, float64(requests)/480/60)
			b.ReportMetric(float64(requests), strings.ReplaceAll(c.what, " ", "-")+"-requests")
		}
		perDay := publicPace * 24 * 60 * 60 / float64(rekorPage)
		fmt.Fprintf(w, "all of the log, each day\t\t%.0f\t%.0f\t%.0f h\t%.0f h\t\n", perDay*rekorPage, perDay, perDay/60/60, perDay/480/60)
		_ = w.Flush()
		b.Logf("\n%s", table.String())

		// One is read, to hold the estimate against, while nothing is added.
		p.freeze()
		one := m.readOne(b)
		b.ReportMetric(float64(one.Requests), "requests-of-the-one-read")
		b.ReportMetric(float64(one.To-one.From), "entries-of-the-one-read")
	}
}

// readOne reads the first of the windows of unexpected identities to its end, and returns where it stands then.
func (m *publicMonitor) readOne(b *testing.B) audit.WindowSummary {
	b.Helper()
	open, requests := m.openWindows(b)
	windows, err := open.run.Planner.Cover(b.Context(), requests[0])
	if err != nil {
		b.Fatal(err)
	}
	read, err := open.run.Read(b.Context(), windows)
	if err != nil || len(read) != 1 || read[0].FinishedAt.IsZero() || read[0].Hits != 1 {
		b.Fatalf("%+v, %v", read, err)
	}
	return read[0]
}

// openWindows opens the log for reading windows, and returns the requests for them in the order of their priority.
func (m *publicMonitor) openWindows(b *testing.B) (*openWindows, []audit.WindowRequest) {
	b.Helper()
	known, err := m.run.app.knownLogs(m.run.cfg, m.run.set)
	if err != nil {
		b.Fatal(err)
	}
	open, err := m.run.windowRun(b.Context(), rekor1Logs(m.run.cfg, known)[0], m.run.logClient(known))
	if err != nil {
		b.Fatal(err)
	}
	policies := map[string]identity.Policy{m.run.cfg.Projects[0].Name: m.run.cfg.Projects[0].Policy}
	requests, err := audit.CertificateRequests(b.Context(), m.run.record, policies)
	if err != nil {
		b.Fatal(err)
	}
	return open, requests
}

// windowCosts plans the windows of unexpected identities, of those and of publishing grades, and of all certificates of the
// project's.
func (m *publicMonitor) windowCosts(b *testing.B) []windowCost {
	b.Helper()
	ctx := b.Context()
	open, ranked := m.openWindows(b)
	var unexpected, all []audit.WindowRequest
	for _, q := range ranked {
		if q.Priority == audit.WindowUnexpected {
			unexpected = append(unexpected, q)
		}
	}
	if err := m.run.record.OwnCertificates(ctx, func(c audit.CertificateFacts) error {
		all = append(all, audit.WindowRequest{Since: c.NotBefore, Until: c.NotAfter, Why: "of the project's"})
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	var costs []windowCost
	for _, c := range []struct {
		what     string
		requests []audit.WindowRequest
	}{{"unexpected identities", unexpected}, {"these and publishing grades", ranked}, {"all certificates", all}} {
		cost := windowCost{what: c.what}
		before := open.run.Planner.Spent()
		for _, q := range c.requests {
			windows, _, err := open.run.Planner.Plan(ctx, q)
			if err != nil {
				b.Fatal(err)
			}
			for i := range windows {
				cost.windows++
				cost.entries += windows[i].To - windows[i].From
				cost.reading += windows[i].Estimate()
			}
		}
		cost.finding = open.run.Planner.Spent() - before
		costs = append(costs, cost)
	}
	return costs
}
