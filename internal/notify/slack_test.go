package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/notify"
)

var update = flag.Bool("update", false, "write the golden files anew")

// post sends a message and returns what Slack gets.
func post(t *testing.T, m notify.Message) string { return postParcel(t, single(m)) }

func postParcel(t *testing.T, p notify.Parcel) string {
	t.Helper()
	r := newReceiver(t)
	if _, err := slackTo(t, r.server.URL).Send(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	return r.took[0]
}

// single is a message by itself.
func single(m notify.Message) notify.Parcel {
	return notify.Parcel{Form: notify.Single, Messages: []notify.Message{m}}
}

// TestWhatPeopleReadOnSlack compares messages with golden files.
func TestWhatPeopleReadOnSlack(t *testing.T) {
	finding := audit.Finding{ID: "f-0123456789ab", Rule: audit.WrongGrade, Severity: audit.Critical, Status: audit.Open,
		Subject: audit.Subject{Project: "onnx", Index: "pypi", PyPIProject: "onnx", Release: "1.22.0", File: "onnx-1.22.0.tar.gz", SHA256: strings.Repeat("ab", 32)},
		Identity: &audit.IdentityRef{SAN: "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/pull/1/merge", Issuer: "https://token.actions.githubusercontent.com",
			Repository: "onnx/onnx", Run: "https://github.com/onnx/onnx/actions/runs/1/attempts/1", Commit: strings.Repeat("c0", 20)},
		Log:      &audit.LogRef{Origin: "rekor.sigstore.dev - 1193050959916656506", Index: 17, GlobalIndex: 121904385},
		Summary:  "onnx-1.22.0.tar.gz is signed by a pull request's build, which may not publish it",
		Expected: "onnx/onnx create_release.yml at refs/heads/rel-1.22.0 by workflow_dispatch in environment pypi-release (grade release)",
		Advice:   "Find out how it came to be uploaded, yank it, and publish it again from the release job."}
	until := start.Add(24 * time.Hour)
	for name, edit := range map[string]func(*notify.Message){
		"opened":    func(m *notify.Message) { m.Transition = audit.Opened },
		"reopened":  func(m *notify.Message) { m.Transition = audit.Reopened },
		"escalated": func(m *notify.Message) { m.Transition, m.Finding.Identity = audit.Escalated, nil },
		"resolved": func(m *notify.Message) {
			m.Transition, m.Finding.Status, m.Finding.ResolvedAt = audit.Settled, audit.Resolved, &start
		},
		"acknowledged": func(m *notify.Message) {
			m.Transition, m.By, m.Why = audit.AckGiven, "alice", "a rehearsal that was uploaded by mistake"
			m.Finding.Status, m.Finding.Ack = audit.Acknowledged, &audit.Ack{By: m.By, Why: m.Why, At: start, Until: &until}
		},
		"reminded": func(m *notify.Message) {
			m.Transition, m.Why = audit.Reminded, "open since 2026-11-01T09:00:00Z, and nobody acknowledged it"
		},
		"unacknowledged": func(m *notify.Message) { m.Transition, m.Why = audit.AckWithdrawn, "the acknowledgement expired" },
		"repeat":         func(m *notify.Message) { m.Transition, m.AttemptedAt = audit.Opened, start },
		"log": func(m *notify.Message) {
			m.Transition = audit.Opened
			m.Finding = audit.Finding{ID: "f-ba9876543210", Rule: audit.LogFork, Severity: audit.Critical, Status: audit.Open, Subject: audit.Subject{LogOrigin: "log.example"},
				Summary: "log log.example: two signed trees contradict each other", Advice: "Keep the record."}
		},
	} {
		m := notify.Message{Finding: finding, At: start}
		edit(&m)
		var got bytes.Buffer
		body := post(t, m)
		for _, problem := range readPosted(t, body).problems() {
			t.Errorf("%s: %s", name, problem)
		}
		if err := json.Indent(&got, []byte(body), "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
		golden := filepath.Join("testdata", "slack", name+".json")
		if *update {
			if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s (-want +got; -update writes it anew):\n%s", name, diff)
		}
	}
}

func TestOnlySecureWebhooksAreAccepted(t *testing.T) {
	for address, want := range map[string]string{
		"https://hooks.slack.com/services/x":         "",
		"http://127.0.0.1:8080/services/x":           "",
		"http://[::1]:8080/services/x":               "",
		"http://localhost/services/x":                "",
		"http://hooks.slack.com/services/x":          `alerts.slack: the webhook's URL has scheme "http": use https`,
		"http://127.0.0.1.evil.example/services/x":   `alerts.slack: the webhook's URL has scheme "http": use https`,
		"http://127.0.0.1@evil.example/services/x":   `alerts.slack: the webhook's URL has scheme "http": use https`,
		"ftp://hooks.slack.com/services/secret":      `alerts.slack: the webhook's URL has scheme "ftp": use https`,
		"topsecret":                                  `alerts.slack: the webhook is not a URL: copy it from the Slack app's page "Incoming Webhooks"`,
		"https://hooks.slack.com:topsecret/services": `alerts.slack: the webhook is not a URL: copy it from the Slack app's page "Incoming Webhooks"`,
	} {
		_, err := notify.NewSlack(address, http.DefaultClient)
		if got := fmt.Sprint(err); want == "" && err != nil || want != "" && got != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestTheWebhookIsASecret provokes every kind of failure and looks for the webhook's path in what is said about it.
func TestTheWebhookIsASecret(t *testing.T) {
	closed := newReceiver(t)
	closed.server.Close()
	redirects := newReceiver(t, answers(302, "Location", "/services/T0/B0/topsecret", false))
	for name, address := range map[string]string{
		"refused connection": closed.server.URL,
		"no such host":       "https://slack.invalid",
		"not HTTPS":          strings.Replace(newReceiver(t).server.URL, "http://", "https://", 1),
		"redirect loop":      redirects.server.URL,
		"status":             newReceiver(t, answers(500, "", "", false)).server.URL,
		"rate limit":         newReceiver(t, answers(429, "Retry-After", "topsecret", false)).server.URL,
		"cut off":            newReceiver(t, func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }).server.URL,
	} {
		s, err := notify.NewSlack(address+"/services/T0/B0/topsecret", &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return fmt.Errorf("to /services/T0/B0/topsecret again") }})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Send(context.Background(), single(notify.Message{Transition: audit.Opened, At: start}))
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %q", err, err, err), "topsecret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
