package main

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/fetch"
)

// TestThePublicInstanceIsReadInFullOnlyWhenAskedForByName tries every mode with it, with a mirror of it and with another log.
func TestThePublicInstanceIsReadInFullOnlyWhenAskedForByName(t *testing.T) {
	public := knownLog{origin: "rekor.sigstore.dev", kind: kindRekorV1, url: "https://rekor.sigstore.dev"}
	mirror, private := public, public
	mirror.url = "https://mirror.example"
	private.origin, private.url = "rekor.example", "https://rekor.example"
	for _, c := range []struct {
		mode string
		log  knownLog
		said string // of logs.each
		want string // part of why it is not followed in full
	}{
		{"full", public, "", "keeping up takes 600 to 1380 requests a minute"},
		{"full", public, "{rekor.sigstore.dev: {url: 'https://rekor.sigstore.dev'}}", "keeping up takes"},
		{"full", public, "{rekor.sigstore.dev: {mode: follow}}", ""},
		{"full", mirror, "", ""},
		{"full", private, "", ""},
		{"window", public, "", ""},
		{"indexed", public, "", ""},
	} {
		text := "logs:\n  rekor_v1: {mode: " + c.mode + "}\n"
		if c.said != "" {
			text += "  each: " + c.said + "\n"
		}
		cfg, err := config.Parse("monitor.yaml", append([]byte(text), config.Preset()...), config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.log.said = cfg.Logs.Of(c.log.origin)
		if got := c.log.notFull(cfg); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s %s %s: %q", c.mode, c.log.url, c.said, got)
		}
	}
}

func TestTheWarningSaysWhatTheBudgetReads(t *testing.T) {
	for requests, want := range map[int]string{60: "60 a minute read 10 entries a second", 300: "300 a minute read 50 entries", 6000: "480 a minute read 80 entries"} {
		var out strings.Builder
		warnOfPublic(slog.New(slog.NewTextHandler(&out, nil)), &config.Config{Budgets: map[string]config.Budget{publicRekor: {Requests: requests, Per: time.Minute}}})
		if got := out.String(); !strings.Contains(got, "level=WARN") || !strings.Contains(got, want) || !strings.Contains(got, "it grows by 100 to 230 entries a second") {
			t.Errorf("%d requests: %s", requests, got)
		}
	}
}

// TestTheBudgetOfALogIsACeiling looks at what the client makes of the configuration's budgets.
func TestTheBudgetOfALogIsACeiling(t *testing.T) {
	for _, c := range []struct {
		host string
		said fetch.Budget
		want fetch.Budget
	}{
		{"rekor.sigstore.dev", fetch.Budget{Requests: 60, Per: time.Minute}, fetch.Budget{Requests: 60, Per: time.Minute, Adaptive: true}},
		{"rekor.sigstore.dev", fetch.Budget{Requests: 8, Per: time.Second}, fetch.Budget{Requests: 8, Per: time.Second, Adaptive: true}},
		{"rekor.sigstore.dev", fetch.Budget{Requests: 9, Per: time.Second}, fetch.Budget{Requests: 480, Per: time.Minute, Adaptive: true}},
		{"rekor.sigstore.dev", fetch.Budget{}, fetch.Budget{Requests: 480, Per: time.Minute, Adaptive: true}},
		{"rekor.example:8080", fetch.Budget{Requests: 100, Per: time.Second}, fetch.Budget{Requests: 100, Per: time.Second, Adaptive: true}},
	} {
		if got := logBudget(c.host, c.said); got != c.want {
			t.Errorf("%s, %+v: %+v", c.host, c.said, got)
		}
	}
}

// TestAShardIsTakenUpAtAGlobalIndex starts shards of 100 entries whose first has the global index 1000.
func TestAShardIsTakenUpAtAGlobalIndex(t *testing.T) {
	for _, c := range []struct {
		start config.LogStart
		want  uint64
	}{
		{config.LogStart{Head: true}, 100}, {config.LogStart{}, 0}, {config.LogStart{Index: 999}, 0}, {config.LogStart{Index: 1000}, 0},
		{config.LogStart{Index: 1050}, 50}, {config.LogStart{Index: 5000}, 100},
	} {
		if got, err := startShardAt(c.start, 1000)(context.Background(), 100); err != nil || got != c.want {
			t.Errorf("%s: %d, %v", c.start, got, err)
		}
	}
}
