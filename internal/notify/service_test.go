package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/notify"
)

// serviceTo makes a service's channel over a receiver on loopback; %s in its URL is HOST:PORT.
func serviceTo(t *testing.T, form string, r *httptest.Server) *notify.Service {
	t.Helper()
	s, err := notify.NewService("phone", fmt.Sprintf(form, strings.TrimPrefix(r.URL, "http://")), 10*time.Second, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

// loopbackServices are the services that can be pointed at loopback, and how each is read.
func loopbackServices() map[string]struct {
	form string
	read func(q *http.Request, body string) string // the message, "" for other calls
	say  string
} {
	type service = struct {
		form string
		read func(q *http.Request, body string) string
		say  string
	}
	return map[string]service{
		"ntfy": {"ntfy://:tk_topsecret@%s/alerts?scheme=http", func(q *http.Request, body string) string {
			if q.URL.Path != "/alerts" {
				return ""
			}
			return body
		}, `{"id":"1"}`},
		"matrix": {"matrix://:topsecret@%s/?rooms=!room:loopback&disableTLS=yes", func(q *http.Request, body string) string {
			var m struct {
				Body string `json:"body"`
			}
			if !strings.Contains(q.URL.Path, "/send/m.room.message") || json.Unmarshal([]byte(body), &m) != nil {
				return ""
			}
			return m.Body
		}, `{"event_id":"$1","room_id":"!room:loopback","joined_rooms":["!room:loopback"]}`},
		"gotify": {"gotify://%s/Atopsecret12345?disabletls=yes", func(_ *http.Request, body string) string {
			var m struct {
				Message string `json:"message"`
			}
			if json.Unmarshal([]byte(body), &m) != nil {
				return ""
			}
			return m.Message
		}, `{"id":1}`},
	}
}

func TestServicesOnLoopbackTakeMessages(t *testing.T) {
	for name, service := range loopbackServices() {
		t.Run(name, func(t *testing.T) {
			var took []string
			fail := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				body, err := io.ReadAll(q.Body)
				if err != nil {
					return
				}
				w.Header().Set("Connection", "close")
				if m := service.read(q, string(body)); m != "" {
					took = append(took, m)
					if fail--; fail == 0 {
						w.WriteHeader(http.StatusInternalServerError)
						return
					}
				}
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, service.say)
			}))
			defer server.Close()
			b := newBench(t, 2, serviceTo(t, service.form, server))
			fail = 1
			d := deliver(t, b)[0]
			if d.Delivered != 2 || len(took) != 3 || d.Problem == "" {
				t.Fatalf("delivery %+v, %q", d, took)
			}
			for i, want := range []string{"file 0 is unsigned", "file 0 is unsigned", "file 1 is unsigned"} {
				if !strings.Contains(took[i], "New finding: no-provenance") || !strings.Contains(took[i], want) || strings.Contains(took[i], "sent again") != (i == 1) {
					t.Errorf("message %d: %s", i, took[i])
				}
			}
			if text := d.Problem + b.log.String(); strings.Contains(text, "topsecret") {
				t.Errorf("a secret is in %s", text)
			}
			took = nil
			for form, p := range hostileParcels() {
				if _, err := serviceTo(t, service.form, server).Send(context.Background(), p); err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				m := took[len(took)-1]
				if strings.ContainsAny(m, "@<>`[]*~|#\u202e\u200b\x1b\x00\r") || strings.Contains(m, "://evil") || strings.Contains(m, "javascript:alert(1)") && strings.Contains(m, "](") {
					t.Errorf("%s: %q", form, m)
				}
			}
			server.Close()
			if _, err := serviceTo(t, service.form, server).Send(context.Background(), single(notify.Message{At: start})); err == nil ||
				!strings.HasPrefix(err.Error(), "the service cannot be reached: dial tcp") || strings.Contains(err.Error(), "topsecret") {
				t.Errorf("down: %v", err)
			}
		})
	}
}

func TestOnlyServicesThatHaveNoChannelOfTheirOwnAreTaken(t *testing.T) {
	for _, address := range []string{"logger://", "generic+https://x.example/topsecret", "slack://topsecret", "smtp://u:topsecret@x.example", "topsecret", "https://x.example/topsecret", "teams://topsecret"} {
		if _, err := notify.NewService("phone", address, time.Second, clock.Real()); err == nil || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, scheme := range notify.ServiceSchemes() {
		if _, err := notify.NewService("phone", scheme+"://host/topsecret", time.Second, clock.Real()); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}
