package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// unknownJob, weeklyJob, ciJob and prJob are workflows of the project's: one that no grade knows, one that publishes, and two
// that do not.
func unknownJob(c *sandbox.Claims) { c.Workflow = "evil.yml" }

func weeklyJob(c *sandbox.Claims) {
	c.Ref, c.Trigger, c.Environment = "refs/heads/main", "schedule", "pypi-weekly"
}

func ciJob(c *sandbox.Claims) { c.Ref, c.Trigger, c.Environment = "refs/heads/main", "push", "" }

func prJob(c *sandbox.Claims) {
	c.Ref, c.Trigger, c.Environment = "refs/pull/7/merge", "pull_request", ""
}

// TestIdentitiesAreKnownWithinTwoIntervalsAtThePaceOfThePublicInstance follows the logs at their true pace: a certificate that
// nobody announced is known within two intervals of its issue, and what it signed too, at a fiftieth of the requests that the
// instance takes.
func TestIdentitiesAreKnownWithinTwoIntervalsAtThePaceOfThePublicInstance(t *testing.T) {
	if raceDetector || testing.Short() {
		t.Skip("hundreds of thousands of entries")
	}
	t.Parallel()
	p := newPublicWorld(t, publicPace, time.Minute)
	m := p.monitor(t, "indexed", 60)
	m.settled(t)
	p.Rekor.ForgetRequests()
	p.sign("stolen", 61*time.Second, true, unknownJob)
	p.sign("weekly", 90*time.Second, true, weeklyJob)
	p.sign("pull-request", 133*time.Second, true, prJob)
	p.sign("unused", 150*time.Second, false, unknownJob)
	const minutes = 5
	worst, runs := m.watch(t, minutes*time.Minute, true)
	const interval = time.Minute
	if worst.certificate > 2*interval || worst.entry > 2*interval || worst.behind > 2*interval || worst.certificate == 0 || worst.entry == 0 {
		t.Errorf("%+v", worst)
	}
	if runs < minutes/2 {
		t.Errorf("only %d runs in %d minutes", runs, minutes)
	}
	perMinute := float64(len(p.Rekor.Requests())) / minutes
	if limit := 0.02 * publicRequests; perMinute >= limit {
		t.Errorf("%.1f requests a minute, at most %.0f", perMinute, limit)
	}
	t.Logf("certificates %s, entries %s, CT %s behind at the most; %d runs, %.1f requests a minute", worst.certificate, worst.entry, worst.behind, runs, perMinute)
	status := m.status(t)
	if status.OpenFindings[audit.Critical] == 0 {
		t.Errorf("findings: %v", status.OpenFindings)
	}
}

// TestTheBacklogOfWindowsIsWhatIsUnread has an index that does not know subjects, and a budget that is not enough for the windows
// of the certificates in one run: what status says of each is what the log was truly asked for.
func TestTheBacklogOfWindowsIsWhatIsUnread(t *testing.T) {
	if raceDetector {
		t.Skip("a minute of one goroutine after the other: tens of thousands of entries, and no matter of races")
	}
	t.Parallel()
	const pace = 5
	p := newPublicWorld(t, pace, 20*time.Minute)
	p.Rekor.Index.SetSubject(sandbox.SubjectIgnored)
	m := p.monitor(t, "window", 60)
	m.settled(t) // takes the CT log up
	p.sign("stolen", time.Minute, true, unknownJob)
	p.sign("weekly", 31*time.Minute, true, weeklyJob)
	p.sign("ci", 61*time.Minute, true, ciJob)
	p.advance(t, 90*time.Minute)
	shard, host := p.Rekor.Active(), hostOf(p.Rekor.URL())
	var requests, byName, first int64
	for runs := 1; ; runs++ {
		p.Rekor.ForgetRequests()
		answer := m.follow(t)
		requests += int64(len(p.Rekor.Requests()))
		byName += int64(answer.Rekor1[0].Requests)
		status := m.status(t)
		var entries, read, proven uint64
		unfinished := 0
		left, spent := int64(0), int64(0)
		for _, w := range status.Windows {
			if w.Origin != shard.Origin() || w.Priority == "asked" {
				t.Errorf("%+v", w)
			}
			// Ten minutes, and a margin of one at either end.
			if n := w.To - w.From; n < 12*60*pace-20 || n > 12*60*pace+20 {
				t.Errorf("a window of %d entries", n)
			}
			entries, read, proven, left = entries+w.To-w.From, read+w.Read-w.From, proven+w.Proven-w.From, left+w.Estimate
			spent += w.Requests
			if w.FinishedAt.IsZero() {
				unfinished++
			}
		}
		// What the log was asked: by name, for the windows, and in each run for its shards, whose growth takes a proof.
		if list := requests - byName - spent; list < int64(runs) || list > 2*int64(runs) {
			t.Errorf("%d requests: %d by name, and the windows are said to have taken %d in %d runs", requests, byName, spent, runs)
		}
		if spent < int64(read)/10 {
			t.Errorf("%d entries were read in %d requests", read, spent)
		}
		if first == 0 {
			first = spent + left
		}
		if runs == 1 {
			if len(status.Windows) == 0 || status.Windows[0].Priority != "unexpected-identity" || unfinished == 0 {
				t.Fatalf("windows after the first run: %+v", status.Windows)
			}
		}
		text := strings.Join(status.Coverage, "\n")
		if proven > 0 && !strings.Contains(text, fmt.Sprintf("log %s: %d entries proven complete in windows", shard.Origin(), proven)) {
			t.Errorf("%d entries are proven: %s", proven, text)
		}
		if unread := entries - read; unfinished > 0 && !strings.Contains(text, fmt.Sprintf("log rekor.sandbox.example: %s not finished: %d entries, about ", plural(unfinished, "window"), unread)) {
			t.Errorf("%d windows of %d unread entries: %s", unfinished, unread, text)
		}
		i := -1
		for j, h := range status.Hosts {
			if h.Host == host {
				i = j
			}
		}
		if i < 0 || status.Hosts[i].Budget != 86_400 || status.Hosts[i].Left != 86_400-status.Hosts[i].Requests {
			t.Errorf("hosts: %+v", status.Hosts)
		}
		_, found := m.known(t)
		for _, s := range p.signed() {
			covered := false
			for _, w := range status.Windows {
				covered = covered || uint64(s.entry) >= w.From+uint64(shard.Offset()) && uint64(s.entry) < w.Proven+uint64(shard.Offset())
			}
			if found[s.entry] != covered {
				t.Errorf("%s: found %t, in a proven window %t", s.name, found[s.entry], covered)
			}
		}
		if unfinished == 0 {
			if answer.WindowsWaiting != 0 || len(status.Windows) != 2 {
				t.Errorf("%d waiting, %+v", answer.WindowsWaiting, status.Windows)
			}
			break
		}
		if answer.WindowsWaiting == 0 || runs > 10 {
			t.Fatalf("run %d: %d waiting, %+v", runs, answer.WindowsWaiting, status.Windows)
		}
	}
}

// TestAFullTailThatFallsBehindSaysByHowMuch follows everything with a third of the requests that this takes: status says how many
// entries are unread, to the entry, and that it becomes more.
func TestAFullTailThatFallsBehindSaysByHowMuch(t *testing.T) {
	if raceDetector {
		t.Skip("a minute of one goroutine after the other: tens of thousands of entries, and no matter of races")
	}
	t.Parallel()
	p := newPublicWorld(t, 30, time.Minute)
	p.quietCT = true
	m := p.monitor(t, "indexed", 60)
	m.settled(t)
	m.run.cfg.Logs.RekorV1 = config.RekorV1Full
	shard := p.Rekor.Active()
	m.follow(t) // takes the shard up
	behind, pages := uint64(0), uint64(0)
	for range 2 {
		p.advance(t, 20*time.Minute)
		p.Rekor.ForgetRequests()
		answer := m.follow(t)
		if !answer.Unread {
			t.Errorf("%+v", answer.Logs)
		}
		for _, q := range p.Rekor.Requests() {
			if strings.HasSuffix(q.Path, "/entries/retrieve") && q.Status == 200 {
				pages++
			}
		}
		l := m.status(t).logOf(t, shard.Origin())
		if read := l.Read - l.Start; l.Read != l.Proven || read == 0 || read > pages*10 || read+40 < pages*10 { // the ends are no full pages
			t.Errorf("%d pages were read, and %+v", pages, l)
		}
		if l.Size > shard.Size() || l.Size-l.Proven <= behind {
			t.Errorf("%d of %d entries, %d behind before", l.Proven, l.Size, behind)
		}
		behind = l.Size - l.Proven
		text := strings.Join(m.status(t).Coverage, "\n")
		if !strings.Contains(text, fmt.Sprintf("log %s: entries %d to %d proven complete, %d behind", shard.Origin(), l.Start, l.Proven-1, behind)) {
			t.Errorf("%d behind: %s", behind, text)
		}
	}
}
