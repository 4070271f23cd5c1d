package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// TestMain lets the scripts run the real program as the command monitor, in a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"monitor": main})
}

// TestScripts runs the scripts in testdata/script. Each has a world of its own; config.yaml is the embedded preset
// pointed at its index, logs.yaml at its logs, which are taken up at zero, and all.yaml at both.
//
//	plant LOG SIZE [WORKFLOW]           the log (rekor2, ct or static-ct) grows to a size; its last entry is signed by that
//	                                    workflow of the project's, on a release branch, create_release.yml by default;
//	                                    of rekor1, the active shard grows, by an entry a second
//	rotate                              Rekor v1 goes on in a new shard
//	sql STATEMENT                       changes the record behind the program's back
//	tell LOG LIE INDEX                  the log (rekor1 too) lies from now on; "mend" ends it
//	branch FILENAME [rekor2 SIZE]       Rekor v1 shows whoever publishes the file another tree, and goes on; or Rekor v2 does so
//	                                    too, of a tree with as many entries, and Rekor v1 is honest
//	case NAME [prepare|apply|confirm]   lets a case of the catalogue happen (apply by default)
//	alerts-config                       write alerts.yaml, with more channels, and nobody.yaml, with none
//	slack N [TEXT…]                     Slack got N messages so far, one of which holds each text
//	requests N PATH                     the index was asked N times for paths that begin so; then forgets them
//	fetch PATH FILE                     saves what the index serves
//	download PROJECT FILE               saves a distribution file
//	break PATH STATUS                   the index answers so from now on; "mend" ends it
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: false,
		RequireUniqueNames:  true,
		Setup:               setupWorld,
		Condition: func(name string) (bool, error) {
			if name != "race" {
				return false, fmt.Errorf("there is no condition %q", name)
			}
			return raceDetector, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"case": caseCmd, "slack": slackCmd, "alerts-config": alertsConfigCmd, "requests": requestsCmd, "fetch": fetchCmd, "download": downloadCmd, "break": breakCmd, "mend": mendCmd,
			"plant": plantCmd, "tell": tellCmd, "rotate": rotateCmd, "sql": sqlCmd, "branch": branchCmd,
		},
	})
}

type worldKey struct{}

type mendKey struct{}

func worldOf(ts *testscript.TestScript) *sandbox.World { return ts.Value(worldKey{}).(*sandbox.World) }

func setupWorld(env *testscript.Env) error {
	world, err := sandbox.New(sandbox.Options{TrustLogs: true})
	if err != nil {
		return err
	}
	if err := sandbox.OnnxLike(world); err != nil {
		return err
	}
	if err := world.Start(); err != nil {
		return err
	}
	env.Defer(func() {
		if err := world.Close(); err != nil {
			env.T().Log(err)
		}
	})
	env.Values[worldKey{}] = world
	env.Values[mendKey{}] = &[]func(){}
	env.Setenv("SLACK_WEBHOOK", world.Slack.WebhookURL())
	env.Setenv("INDEX", world.PyPI.URL())
	env.Setenv("HOME", env.WorkDir)
	if err := os.WriteFile(filepath.Join(env.WorkDir, "trusted_root.json"), world.TrustedRootJSON(), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(env.WorkDir, "logs.yaml"), logsConfig(world, "trusted_root: trusted_root.json"), 0o644); err != nil {
		return err
	}
	all := fmt.Appendf(logsConfig(world, "trusted_root: trusted_root.json"), "\nindexes: {pypi: {url: %q}}\n", world.PyPI.URL())
	if err := os.WriteFile(filepath.Join(env.WorkDir, "all.yaml"), all, 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(env.WorkDir, "config.yaml"), worldConfig(world), 0o644)
}

// logsConfig is the preset, pointed at a world's logs.
func logsConfig(world *sandbox.World, trust string) []byte {
	var each strings.Builder
	for name, address := range world.Endpoints() {
		kind := ""
		if name == "https://"+world.StaticCT.Origin() {
			kind = ", kind: ct-static"
		}
		fmt.Fprintf(&each, "    %s: {url: %q%s}\n", strings.TrimPrefix(name, "https://"), address, kind)
	}
	return fmt.Appendf(nil, "database: monitor.db\ntrust: [{%s}]\n%slogs:\n  start: zero\n  each:\n%s%s", trust, gitHubConfig(world), &each, calmPreset())
}

// calmPreset is the preset without what it expects from time to time: the weekly builds of a sandbox end in July 2026.
func calmPreset() string {
	return strings.Replace(string(config.Preset()), "expect: {every: 7d, within: 2d}", "", 1)
}

// worldConfig is the preset with its ids confirmed, pointed at a world.
func worldConfig(world *sandbox.World) []byte {
	text := strings.Replace(calmPreset(), "ids: unconfirmed", "ids: confirmed", 1)
	return []byte(fmt.Sprintf(`database: monitor.db
trust: [{trusted_root: trusted_root.json}]
indexes: {pypi: {url: %q}}
logs: {ct: off, rekor_v1: {mode: off}, rekor_v2: {mode: off}}
alerts: {slack: {webhook: "${SLACK_WEBHOOK}"}}
%s%s`, world.PyPI.URL(), gitHubConfig(world), text))
}

// gitHubConfig points the monitor at a world's GitHub.
func gitHubConfig(world *sandbox.World) string {
	return fmt.Sprintf("github: {api: %q, blobs: [127.0.0.1]}\n", world.GitHub.URL())
}

func caseCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: case NAME [prepare|apply|confirm]")
	}
	for _, c := range append(sandbox.Lies(), sandbox.CertificateCases()...) {
		if c.Name != args[0] {
			continue
		}
		do := c.Apply
		if len(args) == 2 {
			do = map[string]func(*sandbox.World) error{"prepare": c.Prepare, "apply": c.Apply, "confirm": c.Confirm}[args[1]]
		}
		ts.Check(do(worldOf(ts)))
		return
	}
	ts.Fatalf("there is no case %s", args[0])
}

func slackCmd(ts *testscript.TestScript, _ bool, args []string) {
	messages := worldOf(ts).Slack.Messages()
	var all []string
	for _, m := range messages {
		all = append(all, string(m.Body))
	}
	if fmt.Sprint(len(all)) != args[0] {
		ts.Fatalf("slack has %d messages:\n%s", len(all), strings.Join(all, "\n"))
	}
	for _, text := range args[1:] {
		if !strings.Contains(strings.Join(all, "\n"), text) {
			ts.Fatalf("no message holds %q:\n%s", text, strings.Join(all, "\n"))
		}
	}
}

// alertsConfigCmd writes alerts.yaml, which is config.yaml with more channels, and nobody.yaml, which has none.
func alertsConfigCmd(ts *testscript.TestScript, _ bool, _ []string) {
	const slack = `alerts: {slack: {webhook: "${SLACK_WEBHOOK}"}}`
	text := ts.ReadFile("config.yaml")
	more := slack[:len(slack)-1] + `, heartbeat: "${HEARTBEAT}", channels: {file: {log: {file: alerts.jsonl}},
  down: {webhook: {url: "${DOWN}", key: "${SIEM_KEY}"}, min_severity: critical}}}`
	ts.Check(os.WriteFile(ts.MkAbs("alerts.yaml"), []byte(strings.Replace(text, slack, more, 1)), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("nobody.yaml"), []byte(strings.Replace(text, slack+"\n", "", 1)), 0o644))
}

func requestsCmd(ts *testscript.TestScript, _ bool, args []string) {
	n := 0
	for _, q := range worldOf(ts).PyPI.Requests() {
		if strings.HasPrefix(q.Path, args[1]) {
			n++
		}
	}
	worldOf(ts).PyPI.ForgetRequests()
	if fmt.Sprint(n) != args[0] {
		ts.Fatalf("the index was asked %d times for %s", n, args[1])
	}
}

func downloadCmd(ts *testscript.TestScript, neg bool, args []string) {
	digest := worldOf(ts).PyPI.SHA256(args[0], args[1])
	fetchCmd(ts, neg, []string{"/files/" + args[0] + "/" + digest + "/" + args[1], args[1]})
}

func fetchCmd(ts *testscript.TestScript, _ bool, args []string) {
	resp, err := http.Get(worldOf(ts).PyPI.URL() + args[0])
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("%s: %s", args[0], resp.Status)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), body, 0o644))
}

func breakCmd(ts *testscript.TestScript, _ bool, args []string) {
	var status int
	if _, err := fmt.Sscan(args[1], &status); err != nil {
		ts.Fatalf("status %q: %v", args[1], err)
	}
	mends := ts.Value(mendKey{}).(*[]func())
	*mends = append(*mends, worldOf(ts).PyPI.Break(sandbox.Fault{Path: args[0], Status: status}))
}

func plantCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: plant LOG SIZE [WORKFLOW]")
	}
	var size uint64
	_, err := fmt.Sscan(args[1], &size)
	ts.Check(err)
	claims := sandbox.ReleaseClaims("1.23.0")
	if len(args) == 3 {
		claims.Workflow = args[2]
	}
	world, plant := worldOf(ts), sandbox.Plant{At: size - 1, Claims: claims}
	switch args[0] {
	case "rekor2":
		_, err = world.PlantRekor2(world.Rekor2, size, plant)
	case "ct":
		_, err = world.PlantCT(world.CT, size, plant)
	case "static-ct":
		_, err = world.PlantCT(world.StaticCT, size, plant)
	case "rekor1":
		at := func(index uint64) time.Time { return world.Now().Add(time.Duration(index) * time.Second) }
		_, err = world.PlantRekor(size, at(world.Rekor.Active().Size()), at(size), sandbox.RekorPlant{Plant: plant})
	default:
		ts.Fatalf("there is no log %s", args[0])
	}
	ts.Check(err)
}

func sqlCmd(ts *testscript.TestScript, _ bool, args []string) {
	record, err := sql.Open("sqlite", ts.MkAbs("monitor.db"))
	ts.Check(err)
	defer record.Close()
	_, err = record.Exec(strings.Join(args, " "))
	ts.Check(err)
}

func rotateCmd(ts *testscript.TestScript, _ bool, _ []string) {
	_, err := worldOf(ts).Rekor.Rotate(0)
	ts.Check(err)
}

func tellCmd(ts *testscript.TestScript, _ bool, args []string) {
	world := worldOf(ts)
	type liar interface {
		Tell(sandbox.Lie, uint64) (func(), error)
	}
	shards := world.Rekor.Shards()
	logs := map[string]liar{"rekor2": world.Rekor2, "ct": world.CT, "static-ct": world.StaticCT, "rekor1": shards[len(shards)-1], "rekor1-before": shards[len(shards)-2]}
	var index uint64
	_, err := fmt.Sscan(args[2], &index)
	ts.Check(err)
	mend, err := logs[args[0]].Tell(sandbox.Lie(args[1]), index)
	ts.Check(err)
	mends := ts.Value(mendKey{}).(*[]func())
	*mends = append(*mends, mend)
}

// branchCmd publishes a file of the project's whose bundle is of a tree that nobody else sees.
func branchCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 && len(args) != 3 {
		ts.Fatalf("usage: branch FILENAME [rekor2 SIZE]")
	}
	world, claims := worldOf(ts), sandbox.ReleaseClaims("1.23.0")
	relog := branchedRekor2(ts, args)
	if len(args) == 1 {
		branch, err := world.Rekor.Branch(uint64(world.Rekor.Size()))
		ts.Check(err)
		ts.Check(world.Rekor.AddNoise(3, world.Now()))
		relog = func(a *sandbox.Attestation) {
			e, err := branch.Log(a, time.Time{})
			ts.Check(err)
			a.Entries = []sandbox.Entry{e}
		}
	}
	signer, err := world.Fulcio.NewSigner(claims, sandbox.CertificateOptions{})
	ts.Check(err)
	content := []byte("content of " + args[0])
	sum := sha256.Sum256(content)
	a, err := world.Attest(signer, sandbox.PublishStatement(sandbox.Subject{Name: args[0], SHA256: hex.EncodeToString(sum[:])}), time.Time{})
	ts.Check(err)
	relog(a)
	document, err := sandbox.ProvenanceDocument(sandbox.Publisher{Kind: "GitHub", Repository: claims.Repository, Workflow: claims.Workflow, Environment: claims.Environment}, a)
	ts.Check(err)
	ts.Check(world.PyPI.Upload("onnx", sandbox.Upload{Filename: args[0], Content: content, Provenance: document}))
}

// branchedRekor2 logs an attestation in a tree of Rekor v2 that nobody sees, too.
func branchedRekor2(ts *testscript.TestScript, args []string) func(*sandbox.Attestation) {
	return func(a *sandbox.Attestation) {
		var n uint64
		_, err := fmt.Sscan(args[2], &n)
		ts.Check(err)
		branch, err := worldOf(ts).Rekor2.Branch(n)
		ts.Check(err)
		e, err := branch.Log(a)
		ts.Check(err)
		a.Entries = append(a.Entries, e)
	}
}

func mendCmd(ts *testscript.TestScript, _ bool, _ []string) {
	mends := ts.Value(mendKey{}).(*[]func())
	for _, mend := range *mends {
		mend()
	}
	*mends = nil
}

// TestInterruptEndsAPassWithinAMoment runs the program with a context that ends while the index stalls.
func TestInterruptEndsAPassWithinAMoment(t *testing.T) {
	world, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := sandbox.OnnxLike(world); err != nil {
		t.Fatal(err)
	}
	if err := world.Start(); err != nil {
		t.Fatal(err)
	}
	defer world.Close()
	world.PyPI.Break(sandbox.Fault{Path: "/integrity/*", Stall: sandbox.StallBeforeHeaders})
	dir := t.TempDir()
	t.Setenv("SLACK_WEBHOOK", world.Slack.WebhookURL())
	for name, body := range map[string][]byte{"trusted_root.json": world.TrustedRootJSON(), "config.yaml": worldConfig(world)} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var stderr strings.Builder
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: &stderr, clock: clock.Real()}
	done := make(chan int)
	go func() {
		done <- a.run(ctx, []string{"once", "-c", filepath.Join(dir, "config.yaml"), "--log-level", "error"})
	}()
	for asked := false; !asked; {
		for _, q := range world.PyPI.Requests() {
			asked = asked || strings.HasPrefix(q.Path, "/integrity/")
		}
	}
	cancel()
	if code := <-done; code != exitUnknown {
		t.Errorf("exit code %d, want %d", code, exitUnknown)
	}
	if want := "monitor: interrupted; what was done is in the record, the next run goes on from there\n"; stderr.String() != want {
		t.Errorf("it said %q", stderr.String())
	}
}
