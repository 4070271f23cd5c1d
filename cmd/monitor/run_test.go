package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/schedule"
)

// running is the program as a daemon, in a process of its own.
type running struct {
	t   *testing.T
	cmd *exec.Cmd
	// said are the lines of its log; closed when it has ended.
	said chan string
}

func runDaemon(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"run", "-c", "config.yaml", "--log-format", "json"}, args...)...)
	cmd.Args[0], cmd.Dir = "monitor", dir
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &running{t, cmd, make(chan string, 10_000)}
	go func() {
		defer close(r.said)
		for lines := bufio.NewScanner(errs); lines.Scan(); {
			r.said <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended, where the test went well
		_ = cmd.Wait()
	})
	return r
}

// hears waits for a line of the log.
func (r *running) hears(pattern string) string {
	r.t.Helper()
	ctx, cancel := clock.Real().WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	var before []string
	for {
		select {
		case line, ok := <-r.said:
			before = append(before, line)
			if regexp.MustCompile(pattern).MatchString(line) {
				return line
			}
			if !ok {
				r.t.Fatalf("it ended, and never said %q:\n%s", pattern, strings.Join(before, "\n"))
			}
		case <-ctx.Done():
			r.t.Fatalf("it does not say %q:\n%s", pattern, strings.Join(before, "\n"))
		}
	}
}

// ends waits for its end, and returns the exit code.
func (r *running) ends() int {
	r.t.Helper()
	for range r.said {
	}
	err := r.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return r.cmd.ProcessState.ExitCode()
}

// asks asks for its health.
func asks(t *testing.T, url string) (int, healthAnswer) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer healthAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return response.StatusCode, answer
}

// TestTheDaemonStartsReadsItsConfigurationAgainAndStops runs the real program in a world, and sends it signals.
func TestTheDaemonStartsReadsItsConfigurationAgainAndStops(t *testing.T) {
	e := newExplained(t, "unknown-workflow")
	path := filepath.Join(e.dir, "config.yaml")
	bare, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(more string) {
		t.Helper()
		if err := os.WriteFile(path, append(slices.Clone(bare), more...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := runDaemon(t, e.dir)
	r.hears("no channel is configured.*--no-alerts")
	if code := r.ends(); code != exitUsage {
		t.Errorf("without a channel: exit code %d", code)
	}

	const good = "listen: 127.0.0.1:0\nschedules: {follow: \"@every 10s\", audit: \"@every 10s\"}\nalerts: {channels: {file: {log: {file: alerts.jsonl}}}}\n"
	write(good)
	r = runDaemon(t, e.dir)
	url := regexp.MustCompile(`http://127.0.0.1:[0-9]+`).FindString(r.hears("answers for its health"))
	if code, answer := asks(t, url+"/healthz"); code != http.StatusOK || answer.Status != "ok" {
		t.Errorf("healthz: %d %+v", code, answer)
	}
	heard := r.hears("releases audited|logs followed") + r.hears("releases audited|logs followed")
	if !strings.Contains(heard, "releases audited") || !strings.Contains(heard, "logs followed") {
		heard += r.hears("logs followed|releases audited.*onnx-weekly")
	}
	r.hears("alerts delivered.*file")
	if code, answer := asks(t, url+"/readyz"); code != http.StatusOK || answer.Jobs[jobFollow].At.IsZero() || answer.Jobs[jobAudit].At.IsZero() {
		t.Errorf("readyz: %d %+v\n%s", code, answer, heard)
	}
	if response, err := http.Post(url+"/healthz", "text/plain", nil); err != nil || response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a POST: %v %v", response, err)
	}

	write(good + "nonsense: 1\n")
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.hears("configuration refused.*nonsense: unknown key")
	write(strings.ReplaceAll(good, "@every 10s", "@every 11s"))
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.hears("configuration read")
	r.hears("answers for its health")
	r.hears("logs followed")

	began := clock.Real().Now()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := r.ends(); code != exitOK {
		t.Errorf("told to stop, it ended with %d", code)
	}
	if took := clock.Real().Now().Sub(began); took > 20*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	alerts, err := os.ReadFile(filepath.Join(e.dir, "alerts.jsonl"))
	if err != nil || strings.Count(string(alerts), `"unexpected-identity"`) == 0 {
		t.Errorf("alerts: %v %s", err, alerts)
	}
	record, err := db.OpenExisting(t.Context(), filepath.Join(e.dir, "monitor.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close()
	if _, err := record.Fsck(t.Context(), func(problem string) { t.Errorf("fsck: %s", problem) }); err != nil {
		t.Fatal(err)
	}
}

// TestTheDaemonTellsSystemd reads what it says at the socket of a service manager.
func TestTheDaemonTellsSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	a := &app{}
	if err := a.tellSystemd("READY=1"); err != nil {
		t.Errorf("nobody listens: %v", err)
	}
	path := filepath.Join(t.TempDir(), "notify")
	conn := listenUnixgram(t, path)
	t.Setenv("NOTIFY_SOCKET", path)
	if err := a.tellSystemd("READY=1"); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 64)
	n, err := conn.Read(said)
	if err != nil || string(said[:n]) != "READY=1" {
		t.Errorf("it said %q, %v", said[:n], err)
	}
}

// TestADaemonsWeek runs the daemon for a week of simulated time, in which a file is published by an unknown workflow, the machine
// sleeps for half a day, and its clock is set back by an hour.
func TestADaemonsWeek(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("a week takes a minute, and with the race detector several")
	}
	t.Parallel()
	c := clock.NewSimulated(sandbox.Today())
	world, err := sandbox.New(sandbox.Options{Seed: 99, Now: c.Now, TrustLogs: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(world.Start(), sandbox.OnnxLike(world)); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, clock: c}
	p, err := a.scenarioPass(world, logger, c, t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	p.cfg.Listen = ""
	p.cfg.Schedules.Follow, p.cfg.Schedules.Audit = schedule.Must("0 */2 * * *"), schedule.Must("17 */3 * * *")
	for i := range p.cfg.Projects[0].Policy.Grades {
		p.cfg.Projects[0].Policy.Grades[i].Expect = nil // nobody builds in this week
	}
	record, done, err := a.takeRecord(t.Context(), p.cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := done(); err != nil {
			t.Error(err)
		}
	}()
	d, err := p.app.newDaemon(t.Context(), daemonConfig{p.cfg, p.channels}, record, logger)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()

	limit, cancel := clock.Real().WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	work := sandbox.NewWork(world)
	live := func(hours int) {
		t.Helper()
		for i := range hours * 30 {
			if err := c.WaitUntilBlocked(limit, 3); err != nil {
				t.Fatal(err)
			}
			if i%30 == 0 {
				if err := work.Others(); err != nil { // the logs grow
					t.Fatal(err)
				}
			}
			c.Advance(2 * time.Minute)
		}
	}
	live(30)
	if n := len(world.Slack.Messages()); n != 0 {
		t.Errorf("%d messages about an honest project: %s", n, world.Slack.Messages()[0].Body)
	}
	for _, one := range sandbox.Catalogue() {
		if one.Name == "unknown-workflow" {
			if err := one.Apply(world); err != nil {
				t.Fatal(err)
			}
		}
	}
	live(4)
	if told := slackAbout(world, "New finding: unexpected-identity"); told != 2 { // of the file, and of the entry that signed it
		t.Errorf("it was told %d times within four hours", told)
	}
	c.Advance(12 * time.Hour) // the machine sleeps
	live(24)
	c.AdvanceTo(c.Now().Add(-time.Hour))
	live(95)
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	findings, err := record.Findings(t.Context(), db.FindingFilter{})
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]int{}
	for _, f := range findings {
		rules[f.Rule]++
	}
	if d := diff.Diff(map[string]int{audit.UnexpectedIdentity: 2}, rules); d != "" {
		t.Errorf("findings (-want +got):\n%s", d)
	}
	changes := 0
	for _, f := range findings {
		history, err := record.History(t.Context(), f.ID)
		if err != nil {
			t.Fatal(err)
		}
		changes += len(history)
	}
	if messages := len(world.Slack.Messages()); messages != changes || slackAbout(world, "New finding") != 2 {
		t.Errorf("%d messages, of which %d are of new findings, tell %d changes", messages, slackAbout(world, "New finding"), changes)
	}
	diary := map[string]int{}
	rows, err := openSQL(t, p.cfg.Database).Query("SELECT job || ' ' || outcome, count(*) FROM runs GROUP BY 1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var what string
		var n int
		if err := rows.Scan(&what, &n); err != nil {
			t.Fatal(err)
		}
		diary[what] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	// At nine on Monday at once; until seven on Tuesday evening 17 and 12 times; once at seven on Wednesday for what was missed; until
	// seven on Thursday 12 and 8 times; and from six on again, until one on Monday, 47 and 32 times.
	if d := diff.Diff(map[string]int{"follow complete": 78, "audit complete": 54}, diary); d != "" {
		t.Errorf("the diary (-want +got):\n%s", d)
	}
}

// slackAbout counts messages that hold a text.
func slackAbout(world *sandbox.World, text string) (n int) {
	for _, m := range world.Slack.Messages() {
		if strings.Contains(string(m.Body), text) {
			n++
		}
	}
	return n
}

// listenUnixgram listens at a socket as a service manager does.
func listenUnixgram(t *testing.T, path string) net.Conn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func openSQL(t *testing.T, path string) *sql.DB {
	t.Helper()
	record, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := record.Close(); err != nil {
			t.Error(err)
		}
	})
	return record
}
