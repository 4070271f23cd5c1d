package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/websocket"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/notify"
)

// socketMode is Slack's side of Socket Mode: it hands out addresses of sockets, and sends what is in its queue until that is
// acknowledged.
type socketMode struct {
	t      *testing.T
	server *httptest.Server
	socks  sync.WaitGroup

	mu        sync.Mutex
	queue     []map[string]any // envelopes, by envelope_id
	acked     []string
	told      []string // to single users
	opened    int
	refuse    string // the error that opening a connection gives
	progress  chan struct{}
	decisions []string
	fail      int // so many decisions cannot be recorded
}

func newSocketMode(t *testing.T, envelopes ...map[string]any) *socketMode {
	t.Helper()
	s := &socketMode{t: t, queue: envelopes, progress: make(chan struct{}, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("/apps.connections.open", func(w http.ResponseWriter, q *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.opened++
		switch {
		case q.Header.Get("Authorization") != "Bearer xapp-topsecret":
			reply(w, map[string]any{"ok": false, "error": "invalid_auth"})
		case s.refuse != "":
			reply(w, map[string]any{"ok": false, "error": s.refuse})
			s.refuse = ""
		default:
			reply(w, map[string]any{"ok": true, "url": "ws" + strings.TrimPrefix(s.server.URL, "http") + "/socket"})
		}
	})
	mux.HandleFunc("/socket", s.socket)
	mux.HandleFunc("/chat.postEphemeral", func(w http.ResponseWriter, q *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told = append(s.told, q.FormValue("user")+": "+q.FormValue("text"))
		reply(w, map[string]any{"ok": true, "message_ts": "1.2"})
	})
	s.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		s.server.Close()
		s.socks.Wait()
	})
	return s
}

// socket says hello, sends what is in the queue, one after the other, and takes what is acknowledged out of it.
func (s *socketMode) socket(w http.ResponseWriter, q *http.Request) {
	s.socks.Add(1)
	defer s.socks.Done()
	conn, err := (&websocket.Upgrader{CheckOrigin: func(q *http.Request) bool { return q.Header.Get("Origin") == "https://api.slack.com" }}).Upgrade(w, q, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	if conn.WriteJSON(map[string]any{"type": "hello", "num_connections": 1, "connection_info": map[string]any{"app_id": "A1"}}) != nil {
		return
	}
	for {
		s.mu.Lock()
		var next map[string]any
		if len(s.queue) > 0 {
			next = s.queue[0]
		}
		if next["type"] == "disconnect" {
			s.queue = s.queue[1:]
		}
		s.mu.Unlock()
		if next == nil {
			_, _, _ = conn.ReadMessage() // until the other side leaves
			return
		}
		if conn.WriteJSON(next) != nil {
			return
		}
		var ack struct {
			EnvelopeID string `json:"envelope_id"`
		}
		if conn.ReadJSON(&ack) != nil {
			return
		}
		s.mu.Lock()
		s.acked = append(s.acked, ack.EnvelopeID)
		s.queue = s.queue[1:]
		s.mu.Unlock()
		s.progress <- struct{}{}
	}
}

// Decide implements notify.Decider.
func (s *socketMode) Decide(_ context.Context, id string, ack audit.Ack) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail > 0 {
		s.fail--
		return errors.New("the disk is full")
	}
	until := ""
	if ack.Until != nil {
		until = " until " + ack.Until.Format(time.DateTime)
	}
	if len(s.acked) > len(s.decisions) {
		s.t.Error("Slack was told before the record")
	}
	s.decisions = append(s.decisions, id+" by "+ack.By+" at "+ack.At.Format(time.DateTime)+until)
	return nil
}

// press is the envelope of a pressed button.
func press(envelope, action, value string, edit func(payload map[string]any)) map[string]any {
	payload := map[string]any{"type": "block_actions", "user": map[string]any{"id": "U012345678", "name": "alice", "username": "alice"}, "channel": map[string]any{"id": "C012345678", "name": "security"},
		"actions": []map[string]any{{"type": "button", "block_id": "rekoncile", "action_id": action, "value": value, "action_ts": "1793610060.250000"}}}
	if edit != nil {
		edit(payload)
	}
	return map[string]any{"type": "interactive", "envelope_id": envelope, "accepts_response_payload": false, "payload": payload}
}

// hears runs the buttons until so many envelopes were acknowledged, and returns the log.
func (s *socketMode) hears(n int, allowed ...string) string {
	s.t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	bot, err := notify.NewSlackBot("security", "xoxb-topsecret", "C012345678", s.server.URL, client)
	if err != nil {
		s.t.Fatal(err)
	}
	c := clock.NewSimulated(start)
	c.AutoAdvance()
	var log bytes.Buffer
	b, err := bot.WithButtons("xapp-topsecret", allowed, s, c, slog.New(slog.NewTextHandler(&log, nil)), client)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := clock.Real().WithTimeout(s.t.Context(), 30*time.Second)
	defer stop()
	running, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Run(running)
	}()
	for range n {
		select {
		case <-s.progress:
		case <-ctx.Done():
			s.t.Errorf("acknowledged: %v", s.acked)
		}
	}
	cancel()
	<-done
	if strings.Contains(log.String(), "topsecret") {
		s.t.Errorf("the log has a secret: %s", log.String())
	}
	return log.String()
}

func TestAPressedButtonIsRecordedAndThenConfirmed(t *testing.T) {
	s := newSocketMode(t, press("e1", "rekoncile_acknowledge", "f-0123456789ab", nil), press("e2", "rekoncile_snooze", "f-0123456789ab f-ba9876543210", nil),
		press("e3", "something_else", "x", nil))
	s.hears(3)
	want := []string{"f-0123456789ab by alice (U012345678 on Slack) at 2026-11-02 09:01:00",
		"f-0123456789ab by alice (U012345678 on Slack) at 2026-11-02 09:01:00 until 2026-11-03 09:01:00",
		"f-ba9876543210 by alice (U012345678 on Slack) at 2026-11-02 09:01:00 until 2026-11-03 09:01:00"}
	if diff := cmp.Diff(want, s.decisions); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"e1", "e2", "e3"}, s.acked); diff != "" {
		t.Errorf("confirmed (-want +got):\n%s", diff)
	}
}

func TestAPressThatDoesNotCountChangesNothingAndIsAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		edit    func(map[string]any)
		value   string
		allowed []string
		want    string
	}{
		"somebody else":   {nil, "f-0123456789ab", []string{"U999999999"}, "U012345678: Nothing was changed: you are not among those who may acknowledge findings here."},
		"another channel": {func(p map[string]any) { p["channel"] = map[string]any{"id": "C999999999", "name": "x"} }, "f-0123456789ab", nil, "U012345678: Nothing was changed: the button is of another channel than the configured one."},
		"no finding":      {nil, "f-xyz", nil, "U012345678: Nothing was changed: the button does not say which finding it is about."},
		"too many":        {nil, strings.Repeat("f-0123456789ab ", 41), nil, "U012345678: Nothing was changed: the button does not say which finding it is about."},
		"nobody":          {func(p map[string]any) { p["user"] = map[string]any{"id": "<!channel>"} }, "f-0123456789ab", nil, ""},
		"no press":        {func(p map[string]any) { p["type"] = "view_submission" }, "f-0123456789ab", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSocketMode(t, press("e1", "rekoncile_acknowledge", c.value, c.edit))
			s.hears(1, c.allowed...)
			if len(s.decisions) > 0 {
				t.Errorf("it was recorded: %v", s.decisions)
			}
			if got := strings.Join(s.told, "\n"); got != c.want {
				t.Errorf("told %q, want %q", got, c.want)
			}
		})
	}
}

func TestAPressThatCannotBeRecordedComesAgain(t *testing.T) {
	s := newSocketMode(t, press("e1", "rekoncile_acknowledge", "f-0123456789ab", nil))
	s.fail = 1
	log := s.hears(1)
	if len(s.decisions) != 1 || s.opened != 2 || !strings.Contains(log, "the disk is full") || len(s.told) != 1 || !strings.Contains(s.told[0], "press it again later") {
		t.Errorf("%d connections, decisions %v, told %v\n%s", s.opened, s.decisions, s.told, log)
	}
}

func TestTheConnectionOfButtonsIsMadeAgain(t *testing.T) {
	s := newSocketMode(t, map[string]any{"type": "disconnect", "reason": "refresh_requested"}, press("e1", "rekoncile_acknowledge", "f-0123456789ab", nil))
	s.refuse = "internal_error"
	s.hears(1)
	if len(s.decisions) != 1 || s.opened < 3 {
		t.Errorf("%d connections, decisions %v", s.opened, s.decisions)
	}
}

// TestAMessageHasButtonsWhereSomethingIsToBeDecided posts with buttons.
func TestAMessageHasButtonsWhereSomethingIsToBeDecided(t *testing.T) {
	for name, want := range map[string]string{"opened": "f-0123456789ab", "resolved": "", "acknowledged": "", "group": "f-000000000001 f-000000000002 f-000000000003", "digest": "", "summary": ""} {
		w := newWorkspace(t)
		bot := w.bot(t)
		if _, err := bot.WithButtons("xapp-topsecret", nil, nil, clock.Real(), slog.New(slog.DiscardHandler), http.DefaultClient); err != nil {
			t.Fatal(err)
		}
		if _, err := bot.Send(context.Background(), transitions()[name]); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(w.raw)
		if err != nil {
			t.Fatal(err)
		}
		has := strings.Contains(string(text), "rekoncile_acknowledge")
		if has != (want != "") || has && !strings.Contains(string(text), want) {
			t.Errorf("%s: %s", name, text)
		}
	}
	if _, err := newWorkspace(t).bot(t).WithButtons("xoxb-1", nil, nil, clock.Real(), nil, nil); err == nil {
		t.Error("a bot's token is taken for an app's")
	}
}

// withoutButtons takes the buttons out of a message's blocks, and reports whether they are within Slack's limits: 25 elements, labels
// of 75 characters, values of 2,000.
func withoutButtons(text []byte) ([]byte, bool) {
	var blocks, rest []json.RawMessage
	if json.Unmarshal(text, &blocks) != nil {
		return nil, false
	}
	for _, raw := range blocks {
		var b struct {
			Type     string
			Elements json.RawMessage
		}
		if json.Unmarshal(raw, &b) != nil {
			return nil, false
		}
		if b.Type != "actions" {
			rest = append(rest, raw)
			continue
		}
		var buttons []struct {
			Type, Value string
			ActionID    string `json:"action_id"`
			Text        struct{ Type, Text string }
		}
		if json.Unmarshal(b.Elements, &buttons) != nil || len(buttons) == 0 || len(buttons) > 25 {
			return nil, false
		}
		for _, x := range buttons {
			if x.Type != "button" || x.ActionID == "" || len(x.Value) > 2000 || x.Text.Type != "plain_text" || x.Text.Text == "" || len(x.Text.Text) > 75 {
				return nil, false
			}
		}
	}
	kept, err := json.Marshal(rest)
	return kept, err == nil
}
