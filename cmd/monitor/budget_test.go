package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/fetch"
)

// TestAHostsBudgetIsTheConfigurationsOrADefault looks hosts up.
func TestAHostsBudgetIsTheConfigurationsOrADefault(t *testing.T) {
	cfg := &config.Config{Budgets: map[string]config.Budget{"rekor.example": {Requests: 90, Per: time.Minute}, "127.0.0.1:8080": {Requests: 1, Per: time.Second},
		publicRekor: {Requests: 1000, Per: time.Minute}}}
	for _, c := range []struct {
		address   string
		want      fetch.Budget
		pass, day int // of a Rekor v1 there, of a minute
	}{
		{"https://Rekor.Example/prefix", fetch.Budget{Requests: 90, Per: time.Minute}, 90, 129_600},
		{"https://other.example", fetch.Budget{Requests: 120, Per: time.Minute}, 120, 172_800},
		{"https://rekor.sigstore.dev", fetch.Budget{Requests: 1000, Per: time.Minute}, 480, 691_200}, // however much is said
		{"http://127.0.0.1:8080", fetch.Budget{Requests: 1, Per: time.Second}, 60, 86_400},
		{"http://127.0.0.1:9090", fetch.Budget{}, 0, 0},
		{"http://[::1]:9090", fetch.Budget{}, 0, 0},
	} {
		if got := budgetOf(cfg, hostOf(c.address)); got != c.want {
			t.Errorf("%s: %+v", c.address, got)
		}
		if got := rekor1Budget(cfg, c.address, time.Minute); got != (audit.Rekor1Budget{Pass: c.pass, Day: c.day}) {
			t.Errorf("%s: %+v", c.address, got)
		}
	}
}

// TestANewCertificateIsLookedUpBeforeWindowsAreRead has a stolen identity sign while windows wait to be read: what it signed is
// searched for first, and is known although the day's budget for windows is used up.
func TestANewCertificateIsLookedUpBeforeWindowsAreRead(t *testing.T) {
	t.Parallel()
	p := newPublicWorld(t, 2, 20*time.Minute)
	m := p.monitor(t, "window", 60)
	m.settled(t)
	p.sign("stolen", time.Minute, true, unknownJob)
	p.advance(t, 15*time.Minute) // its window is due
	p.Rekor.ForgetRequests()
	if answer := m.follow(t); len(answer.Windows) == 0 {
		t.Fatalf("no window was read: %+v", answer)
	}
	lists, searched, inBulk := 0, 0, 0
	for _, q := range p.Rekor.Requests() {
		switch path, _, _ := strings.Cut(q.Path, "?"); {
		case path == "/api/v1/log":
			lists++
		case path == "/api/v1/index/retrieve" && lists == 1:
			searched++
		case path == "/api/v1/index/retrieve":
			t.Errorf("a search after the windows began")
		case lists == 2:
			inBulk++
		}
	}
	if lists != 2 || searched == 0 || inBulk < 50 {
		t.Errorf("%d lists, %d searches before the windows, and %d requests for these", lists, searched, inBulk)
	}

	// Somebody used three quarters of the day up.
	execSQL(t, m.run.record.Path(), fmt.Sprintf(`UPDATE host_requests SET requests = 64801 WHERE host = '%s'`, hostOf(p.Rekor.URL())))
	p.sign("stolen-again", time.Minute, true, unknownJob)
	p.advance(t, 15*time.Minute)
	p.Rekor.ForgetRequests()
	answer := m.follow(t)
	_, found := m.known(t)
	if s := p.signed()[1]; !found[s.entry] || len(answer.Windows) != 0 || answer.WindowsWaiting == 0 || len(p.Rekor.Requests()) > 30 {
		t.Errorf("found %t, windows %+v, %d waiting, %d requests", found[s.entry], answer.Windows, answer.WindowsWaiting, len(p.Rekor.Requests()))
	}
	// On the next day there is room again.
	p.freeze()
	p.advance(t, 24*time.Hour)
	if answer := m.follow(t); len(answer.Windows) == 0 {
		t.Errorf("%+v", answer)
	}
}

// TestAFullTailStopsAtItsShareOfTheDay follows a shard in one run, as cron does, on a day whose share for what reads in bulk is used
// up: what is left unread is said, and that the run is not complete.
func TestAFullTailStopsAtItsShareOfTheDay(t *testing.T) {
	t.Parallel()
	p := newPublicWorld(t, 2, 20*time.Minute)
	p.quietCT = true
	m := p.monitor(t, "indexed", 60)
	m.settled(t)
	m.run.cfg.Logs.RekorV1, m.run.goesOn = config.RekorV1Full, false
	if answer := m.follow(t); answer.Unread || answer.Outcome != audit.Complete { // takes the shard up
		t.Fatalf("%+v", answer)
	}
	p.advance(t, time.Hour)
	execSQL(t, m.run.record.Path(), fmt.Sprintf(`UPDATE host_requests SET requests = 64801 WHERE host = '%s'`, hostOf(p.Rekor.URL())))
	answer := m.follow(t)
	if err := new(exitError); !answer.Unread || answer.Outcome != audit.Incomplete || !errors.As(answer.exit(), &err) || err.code != exitUnknown {
		t.Errorf("%+v", answer)
	}
	if l := m.status(t).logOf(t, p.Rekor.Active().Origin()); l.Proven != l.Start || l.Size < l.Start+2*3600 {
		t.Errorf("%+v", l)
	}
	// On the next day, all of it is read in one run.
	p.freeze()
	p.advance(t, 24*time.Hour)
	if answer := m.follow(t); answer.Unread || answer.Outcome != audit.Complete {
		t.Errorf("%+v", answer)
	}
	if l := m.status(t).logOf(t, p.Rekor.Active().Origin()); l.Proven != l.Size {
		t.Errorf("%+v", l)
	}
}

// TestRequestsAreCountedThoughTheProgramIsKilled kills the program while it reads a window: the record has all of its requests but
// for those of the step that it was in.
func TestRequestsAreCountedThoughTheProgramIsKilled(t *testing.T) {
	world, f := windowWorld(t)
	host := hostOf(world.Rekor.URL())
	for _, place := range []string{"audit/shards-kept", "audit/window-opened", "audit/window-advanced:4", "audit/window-proven", "db/window-uncommitted:9", ""} {
		cmd := f.command(windowArgs...)
		if place != "" {
			cmd.Env = append(os.Environ(), failpoint.EnvKill+"="+place)
		}
		err := cmd.Run()
		var exit *exec.ExitError
		if killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL; killed != (place != "") {
			t.Fatalf("%q: %v", place, err)
		}
		out, err := f.command("status", "--json").Output()
		if err != nil {
			t.Fatal(err)
		}
		var status statusAnswer
		if err := json.Unmarshal(out, &status); err != nil {
			t.Fatal(err)
		}
		asked, counted := int64(len(world.Rekor.Requests())), int64(0)
		for _, h := range status.Hosts {
			if h.Host == host {
				counted = h.Requests
			}
		}
		// A step is ten pages, and eight may be on their way; each run but the last was killed in one.
		const step = 10 + 8
		if lost := asked - counted; lost < 0 || lost > 5*step || place == "audit/shards-kept" && lost > step {
			t.Errorf("%q: %d requests were made, and %d are on record", place, asked, counted)
		}
	}
}
