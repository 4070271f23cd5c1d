package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// TestATrustedRootThatIsNotRenewedIsNoticedInTime has an update repository renew its metadata later than it should.
func TestATrustedRootThatIsNotRenewedIsNoticedInTime(t *testing.T) {
	world := startWorld(t)
	f := follower{t.TempDir()}
	for name, body := range map[string][]byte{"root.json": world.TUF.Root(), "config.yaml": logsConfig(world, "tuf: "+world.TUF.URL()+", root_file: root.json, cache: tuf")} {
		if err := os.WriteFile(filepath.Join(f.dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	now := clock.Real().Now()
	far := now.AddDate(1, 0, 0)
	for _, c := range []struct {
		name   string
		expiry time.Time
		want   []audit.Status
	}{
		{"a year", far, nil},
		{"a bit more than three days", now.Add(73 * time.Hour), nil},
		{"three days less the grace period", now.Add(47 * time.Hour), []audit.Status{audit.Open}},
		{"renewed", far, []audit.Status{audit.Resolved}},
	} {
		if err := world.TUF.SetExpiry(sandbox.TUFExpiry{Root: far, Targets: far, Snapshot: far, Timestamp: c.expiry}); err != nil {
			t.Fatal(err)
		}
		if out, err := f.command("follow", "--once").CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c.name, err, out)
		}
		out, err := f.command("findings", "--all", "--rule", audit.TrustRootExpiring, "--json").Output()
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Findings []audit.Finding `json:"findings"`
		}
		if err := json.Unmarshal(out, &answer); err != nil {
			t.Fatal(err)
		}
		if len(answer.Findings) != len(c.want) {
			t.Fatalf("%s: %+v", c.name, answer.Findings)
		}
		for i, got := range answer.Findings {
			if got.Status != c.want[i] || got.TrustedRoot != world.TUF.URL() || got.Severity != audit.Medium {
				t.Errorf("%s: %+v", c.name, got)
			}
		}
	}
}
