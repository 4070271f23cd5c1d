package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/notify"
)

// teamsWorkflow is a workflow that takes requests, or answers with a status.
type teamsWorkflow struct {
	server *httptest.Server
	status int
	took   []string
}

func newTeamsWorkflow(t *testing.T, status int) *teamsWorkflow {
	w := &teamsWorkflow{status: status}
	w.server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil || q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v", q.Method, q.Header.Get("Content-Type"), err)
		}
		out.Header().Set("Retry-After", "7")
		out.WriteHeader(w.status)
		w.took = append(w.took, string(body))
	}))
	t.Cleanup(w.server.Close)
	return w
}

func (w *teamsWorkflow) channel(t *testing.T) *notify.Teams {
	t.Helper()
	c, err := notify.NewTeams("team", w.server.URL+"/workflows/topsecret/triggers?sig=alsosecret", &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHostileTextIsHarmlessOnTeams(t *testing.T) {
	for name, p := range hostileParcels() {
		w := newTeamsWorkflow(t, http.StatusAccepted)
		if _, err := w.channel(t).Send(context.Background(), p); err != nil {
			t.Fatal(err)
		}
		if len(w.took[0]) > 28*1024 {
			t.Errorf("%s: %d bytes", name, len(w.took[0]))
		}
		var m struct {
			Attachments []struct {
				ContentType string
				Content     struct {
					Body []struct {
						Type    string
						Inlines []struct{ Type, Text string }
					}
					Actions []struct{ Type, URL string }
					MSTeams any
				}
			}
		}
		if err := json.Unmarshal([]byte(w.took[0]), &m); err != nil || len(m.Attachments) != 1 || m.Attachments[0].ContentType != "application/vnd.microsoft.card.adaptive" {
			t.Fatalf("%s: %v: %.300s", name, err, w.took[0])
		}
		card := m.Attachments[0].Content
		if card.MSTeams != nil {
			t.Errorf("%s: it has entities, which may be mentions", name)
		}
		for _, b := range card.Body {
			if b.Type != "RichTextBlock" {
				t.Errorf("%s: a %s interprets its text", name, b.Type)
			}
			for _, run := range b.Inlines {
				if run.Type != "TextRun" || strings.ContainsAny(run.Text, "\u202e\u200b\u2066\x1b\x00") {
					t.Errorf("%s: %q", name, run.Text)
				}
			}
		}
		for _, a := range card.Actions {
			if a.Type != "Action.OpenUrl" || !strings.HasPrefix(a.URL, "https://pypi.org/") && !strings.HasPrefix(a.URL, "https://github.com/") && !strings.HasPrefix(a.URL, "https://search.sigstore.dev/") {
				t.Errorf("%s: it leads to %s", name, a.URL)
			}
		}
	}
}

func TestTeamsSaysWhatItTook(t *testing.T) {
	for status, want := range map[int]struct {
		notTaken, onlyThis bool
		wait               time.Duration
	}{
		http.StatusTooManyRequests:       {true, false, 7 * time.Second},
		http.StatusBadRequest:            {true, true, 7 * time.Second},
		http.StatusUnauthorized:          {true, false, 7 * time.Second},
		http.StatusBadGateway:            {false, false, 7 * time.Second},
		http.StatusRequestEntityTooLarge: {true, true, 7 * time.Second},
	} {
		w := newTeamsWorkflow(t, status)
		_, err := w.channel(t).Send(context.Background(), transitions()["opened"])
		var e *notify.Error
		if !errors.As(err, &e) || e.NotTaken != want.notTaken || e.OnlyThis != want.onlyThis || e.RetryAfter != want.wait || strings.Contains(err.Error(), "secret") {
			t.Errorf("%d: %v %+v", status, err, e)
		}
	}
	w := newTeamsWorkflow(t, http.StatusAccepted)
	w.server.Close()
	_, err := w.channel(t).Send(context.Background(), transitions()["opened"])
	var e *notify.Error
	if !errors.As(err, &e) || !e.NotTaken || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody is there: %v", err)
	}
	for _, address := range []string{"", "teams", "http://teams.example/x"} {
		if _, err := notify.NewTeams("team", address, http.DefaultClient); err == nil {
			t.Errorf("%q is taken for a webhook", address)
		}
	}
}
