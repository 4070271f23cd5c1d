package notify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/notify"
)

const webhookKey = "whsec_dG9wc2VjcmV0dG9wc2VjcmV0dG9wc2VjcmV0" // topsecret, three times

func webhookTo(t *testing.T, address string) *notify.Webhook {
	t.Helper()
	w, err := notify.NewWebhook("siem", address, webhookKey, &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}, clock.NewSimulated(start))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// signedReceiver verifies signatures as the specification says, and drops repeats.
type signedReceiver struct {
	*receiver
	t    *testing.T
	ids  map[string]int
	last http.Header
}

func newSignedReceiver(t *testing.T, answers ...func(http.ResponseWriter) bool) *signedReceiver {
	s := &signedReceiver{receiver: &receiver{answers: answers}, t: t, ids: map[string]int{}}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

func (s *signedReceiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	mac := hmac.New(sha256.New, []byte("topsecrettopsecrettopsecret"))
	mac.Write([]byte(q.Header.Get("webhook-id") + "." + q.Header.Get("webhook-timestamp") + "." + string(body)))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); q.Header.Get("webhook-signature") != want {
		s.t.Errorf("signature %s, want %s", q.Header.Get("webhook-signature"), want)
	}
	s.mu.Lock()
	s.ids[q.Header.Get("webhook-id")]++
	s.last = q.Header
	s.mu.Unlock()
	q.Body = io.NopCloser(strings.NewReader(string(body)))
	s.receiver.ServeHTTP(w, q)
}

func TestWebhooksAreSignedAndCanBeToldFromRepeats(t *testing.T) {
	r := newSignedReceiver(t, answers(500, "", "", true), answers(202, "", "", true))
	b := newBench(t, 2, webhookTo(t, r.server.URL+"/hooks/topsecret"))
	if d := deliver(t, b); d[0].Delivered != 2 {
		t.Fatalf("delivery %+v", d[0])
	}
	if len(r.took) != 3 || len(r.ids) != 2 {
		t.Errorf("%d messages of ids %v", len(r.took), r.ids)
	}
	var body struct {
		Type string
		Data struct {
			ID     string
			Repeat bool
		}
	}
	for i, repeat := range []bool{false, true, false} {
		if err := json.Unmarshal([]byte(r.took[i]), &body); err != nil {
			t.Fatal(err)
		}
		if body.Type != "finding.opened" || body.Data.Repeat != repeat || r.ids[body.Data.ID] == 0 {
			t.Errorf("message %d: %+v", i, body)
		}
	}
	if got := r.last.Get("webhook-timestamp"); got != fmt.Sprint(start.Unix()) {
		t.Errorf("timestamp %s", got)
	}
}

func TestTroubleWithWebhooks(t *testing.T) {
	for name, c := range map[string]struct {
		answer  func(http.ResponseWriter) bool
		waited  time.Duration
		problem string
	}{
		"asked to wait":        {answers(429, "Retry-After", "30", false), 30 * time.Second, "the webhook's receiver asks to wait 30s"},
		"asked to wait, until": {answers(503, "Retry-After", "Thu, 01 Jan 1970 00:00:30 GMT", false), time.Second, "the webhook's receiver answered 503 Service Unavailable"},
		"revoked":              {answers(410, "", "", false), time.Second, "the webhook's receiver answered 410 Gone"},
		"redirected":           {answers(302, "Location", "/hooks/topsecret2", false), time.Second, "the webhook's receiver answered 302 Found"},
		"cut off":              {func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }, time.Second, "the webhook's receiver: EOF"},
	} {
		r := newSignedReceiver(t, c.answer)
		w, err := notify.NewWebhook("siem", r.server.URL+"/hooks/topsecret", webhookKey, &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, clock.NewSimulated(start))
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t, 1, w)
		if d := deliver(t, b); d[0].Delivered != 1 || d[0].Problem != c.problem || b.clock.Now().Sub(start) != c.waited {
			t.Errorf("%s: %+v after %s", name, d[0], b.clock.Now().Sub(start))
		}
		if strings.Contains(b.log.String(), "topsecret") {
			t.Errorf("%s: a secret is in %s", name, &b.log)
		}
	}
}

func TestBadWebhooksAreRefused(t *testing.T) {
	for _, c := range [][2]string{
		{"http://siem.example/", webhookKey}, {"siem.example", webhookKey}, {"https://siem.example/", "topsecret"}, {"https://siem.example/", "whsec_dG9wc2VjcmV0"}, {"https://siem.example/", "whsec_???"},
	} {
		if _, err := notify.NewWebhook("siem", c[0], c[1], http.DefaultClient, clock.NewSimulated(start)); err == nil || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: %v", c[0], err)
		}
	}
}

func TestALogFileHasEachAlertOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alerts.jsonl")
	b := newBench(t, 3, notify.NewLogFile("file", path))
	if d := deliver(t, b); d[0].Delivered != 3 {
		t.Fatalf("delivery %+v", d[0])
	}
	lines := readLines(t, path)
	if len(lines) != 3 {
		t.Fatalf("%d lines", len(lines))
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// A crash left part of a line; and a message that is there already is not written again.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(lines[0][:100]); err != nil {
		t.Fatal(err)
	}
	f.Close()
	b.settle(t, 2, []string{"file"})
	deliver(t, b)
	again := readLines(t, path)
	if len(again) != 5 || again[3] != lines[0][:100] || !json.Valid([]byte(again[4])) {
		t.Errorf("lines %q", again)
	}
	var m notify.Message
	m.AttemptedAt = start
	p := single(m)
	if _, took, err := notify.NewLogFile("file", path).Took(context.Background(), p); took || err != nil {
		t.Errorf("took what it did not: %v", err)
	}
	if _, err := notify.NewLogFile("file", path).Send(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	if _, took, err := notify.NewLogFile("file", path).Took(context.Background(), p); !took || err != nil {
		t.Errorf("did not take what it did: %v", err)
	}
}

func TestAFullDiskLosesNoAlert(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	b := newBench(t, 1, notify.NewLogFile("file", "/dev/full"))
	if d := deliver(t, b); d[0].Pending != 1 || !strings.Contains(d[0].Problem, "no space left on device") {
		t.Errorf("delivery %+v", d[0])
	}
	path := filepath.Join(t.TempDir(), "alerts.jsonl")
	b.worker.Channels = []notify.Channel{notify.NewLogFile("file", path)}
	if d := deliver(t, b); d[0].Delivered != 1 || len(readLines(t, path)) != 1 {
		t.Errorf("after there was room: %+v", d[0])
	}
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}
