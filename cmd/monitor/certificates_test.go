package main

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// TestPromisesAreLookedUpOnceHoweverOftenItIsKilled kills the program at every place at which it looks up what CT logs
// promised. What the record knows then is what it knows without disturbance, and no answer is asked for again.
func TestPromisesAreLookedUpOnceHoweverOftenItIsKilled(t *testing.T) {
	kills(t)
	world, err := sandbox.New(sandbox.Options{TrustLogs: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := world.Start(); err != nil {
		t.Fatal(err)
	}
	defer world.Close()
	for _, c := range sandbox.CertificateCases() {
		if err := c.Apply(world); err != nil {
			t.Fatal(err)
		}
	}
	newFolder := func() follower {
		f := follower{t.TempDir()}
		// The CT logs are taken up after all that was promised, so that each promise has to be asked for.
		text := append(logsConfig(world, "trusted_root: trusted_root.json"), "rules: {unlogged-certificate: {grace: 0s}}\n"...)
		for _, ct := range []*sandbox.CTLog{world.CT, world.StaticCT} {
			text = bytes.Replace(text, []byte(ct.Origin()+": {"), []byte(ct.Origin()+": {start: head, "), 1)
		}
		for name, body := range map[string][]byte{"trusted_root.json": world.TrustedRootJSON(), "config.yaml": text} {
			if err := os.WriteFile(filepath.Join(f.dir, name), body, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return f
	}
	undisturbed := newFolder()
	log := filepath.Join(undisturbed.dir, "passed")
	cmd := undisturbed.command("follow", "--once", "--log-level", "error")
	cmd.Env = append(os.Environ(), failpoint.EnvLog+"="+log)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := promisesOf(t, undisturbed)
	if len(want) < 6 {
		t.Fatalf("only %d promises: %q", len(want), want)
	}
	passed, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	var places []string
	for _, name := range strings.Fields(string(passed)) {
		switch name {
		case "audit/promises-read", "audit/promise-looked-up", "db/promises-uncommitted", "db/lookup-uncommitted":
			count[name]++
			places = append(places, fmt.Sprintf("%s:%d", name, count[name]))
		}
	}
	if len(count) != 4 {
		t.Fatalf("it came by %v", count)
	}
	for _, place := range places {
		f := newFolder()
		cmd := f.command("follow", "--once", "--log-level", "error")
		cmd.Env = append(os.Environ(), failpoint.EnvKill+"="+place)
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s: it was not killed: %v", place, err)
		}
		if out, err := f.command("follow", "--once", "--log-level", "error").CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", place, err, out)
		}
		if diff := cmp.Diff(want, promisesOf(t, f)); diff != "" {
			t.Errorf("%s: %s", place, diff)
		}
		if out, err := f.command("fsck").CombinedOutput(); err != nil {
			t.Errorf("%s: fsck: %v\n%s", place, err, out)
		}
	}
}

// promisesOf is what a record knows of promises, times apart.
func promisesOf(t *testing.T, f follower) []string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(f.dir, "monitor.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT c.tbs_sha256, x.log_id, x.leaf_hash, x.outcome, coalesce(x.tree_index, -1), hex(coalesce(x.proof, x'')), coalesce(k.size, -1), x.asked_at IS NOT NULL
		FROM ct_lookups x JOIN certificates c ON c.id = x.certificate_id LEFT JOIN checkpoints k ON k.id = x.checkpoint_id ORDER BY 1, 2`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var tbs, log, leaf, outcome, proof string
		var index, size int64
		var asked bool
		if err := rows.Scan(&tbs, &log, &leaf, &outcome, &index, &proof, &size, &asked); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(tbs, " ", log, " ", leaf, " ", outcome, " ", index, " ", proof, " ", size, " ", asked))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
