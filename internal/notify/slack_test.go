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
func post(t *testing.T, m notify.Message) string {
	t.Helper()
	r := newReceiver(t)
	if err := slackTo(t, r.server.URL).Send(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	return r.took[0]
}

// TestWhatPeopleReadOnSlack compares messages with golden files.
func TestWhatPeopleReadOnSlack(t *testing.T) {
	finding := audit.Finding{ID: "f-0123456789ab", Rule: audit.WrongGrade, Severity: audit.Critical, Status: audit.Open,
		Subject: audit.Subject{Project: "onnx", Index: "pypi", PyPIProject: "onnx", Release: "1.22.0", File: "onnx-1.22.0.tar.gz", SHA256: strings.Repeat("ab", 32)},
		Identity: &audit.IdentityRef{SAN: "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/pull/1/merge", Issuer: "https://token.actions.githubusercontent.com",
			Run: "https://github.com/onnx/onnx/actions/runs/1/attempts/1"},
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
		if err := json.Indent(&got, []byte(post(t, m)), "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteByte('\n')
		golden := filepath.Join("testdata", name+".json")
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

// block is a block of a message as Slack reads it.
type block struct {
	Type     string `json:"type"`
	Text     *text  `json:"text"`
	Fields   []text `json:"fields"`
	Elements []text `json:"elements"`
}

type text struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// TestHostileTextIsHarmlessOnSlack fills every field with what could notify people, lead them elsewhere or deceive them.
func TestHostileTextIsHarmlessOnSlack(t *testing.T) {
	hostile := "<!channel> <@U123> <https://evil.example|click> *bold* `code` &amp; \u202egnp.exe \u200b\u2066\x1b[31m\x00\r\n:rotating_light: \xff " + strings.Repeat("A", 10_000)
	finding := audit.Finding{ID: "f-1", Rule: audit.UnexpectedIdentity, Severity: audit.Critical, Status: audit.Open, Summary: hostile, Expected: hostile, Advice: hostile,
		Subject:  audit.Subject{Project: hostile, PyPIProject: hostile, Release: hostile, File: hostile, SHA256: hostile},
		Identity: &audit.IdentityRef{SAN: hostile, Run: hostile}}
	var m struct {
		Text   string  `json:"text"`
		Unfurl *bool   `json:"unfurl_links"`
		Blocks []block `json:"blocks"`
	}
	if err := json.Unmarshal([]byte(post(t, notify.Message{Finding: finding, Transition: audit.Opened, At: start, By: hostile, Why: hostile})), &m); err != nil {
		t.Fatal(err)
	}
	deceives := func(s string) bool {
		return strings.ContainsAny(s, "\u202e\u200b\u2066\x1b\x00\r")
	}
	if strings.ContainsAny(m.Text, "<>") || deceives(m.Text) || strings.Contains(m.Text, "\n") || len([]rune(m.Text)) > 3000 {
		t.Errorf("the fallback text can carry a mention, deceives or is too long: %.200q", m.Text)
	}
	if m.Unfurl == nil || *m.Unfurl {
		t.Error("Slack fetches the links in it")
	}
	if len(m.Blocks) == 0 || len(m.Blocks) > 50 {
		t.Errorf("%d blocks", len(m.Blocks))
	}
	check := func(what string, x text, limit, lines int) {
		if n := len([]rune(x.Text)); x.Type != "plain_text" || n == 0 || n > limit || deceives(x.Text) || strings.Count(x.Text, "\n") > lines {
			t.Errorf("%s: %s of %d characters (at most %d): %.100q", what, x.Type, n, limit, x.Text)
		}
	}
	for _, b := range m.Blocks {
		limit := map[string]int{"header": 150, "section": 3000}[b.Type]
		if b.Text != nil {
			check(b.Type, *b.Text, limit, 0)
		}
		if len(b.Fields) > 10 {
			t.Errorf("%d fields", len(b.Fields))
		}
		for _, f := range b.Fields {
			check("field", f, 2000, 1) // its name stands above it
		}
		for _, e := range b.Elements {
			check("context", e, 2000, 0)
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
		err = s.Send(context.Background(), notify.Message{Transition: audit.Opened, At: start})
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %q", err, err, err), "topsecret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
