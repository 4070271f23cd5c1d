package notify_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/notify"
)

// postParcel sends a parcel and returns what Slack gets.
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
