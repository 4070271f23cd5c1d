package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/slack-go/slack/slacktest"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/notify"
)

// workspace is a Slack channel behind the library's test server, with the calls that the server lacks.
type workspace struct {
	server *slacktest.Server

	mu       sync.Mutex
	messages []*slackMessage
	updates  int
	answers  []func(http.ResponseWriter) bool // one a call; true carries the call out
	history  string                           // an error that reading the channel gives
	raw      []string                         // the blocks of each message, as posted
}

type slackMessage struct {
	ts, thread, id string
	broadcast      bool
	posted
}

func newWorkspace(t *testing.T) *workspace {
	t.Helper()
	w := &workspace{}
	w.server = slacktest.NewTestServer(func(c slacktest.Customize) {
		c.Handle("/chat.postMessage", w.call(w.post))
		c.Handle("/chat.update", w.call(w.update))
		c.Handle("/conversations.history", w.read)
		c.Handle("/conversations.replies", w.read)
	})
	w.server.Start()
	t.Cleanup(w.server.Stop)
	return w
}

func (w *workspace) bot(t *testing.T) *notify.SlackBot {
	t.Helper()
	b, err := notify.NewSlackBot("security", "xoxb-topsecret", "C012345678", w.server.GetAPIURL(), &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// call answers as it is told, and else carries the call out.
func (w *workspace) call(do func(url.Values) map[string]any) http.HandlerFunc {
	return func(rw http.ResponseWriter, q *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if err := q.ParseForm(); err != nil {
			return
		}
		if q.Form.Get("token") != "xoxb-topsecret" {
			reply(rw, map[string]any{"ok": false, "error": "invalid_auth"})
			return
		}
		if len(w.answers) > 0 {
			answer := w.answers[0]
			w.answers = w.answers[1:]
			if answer != nil {
				if answer(rw) {
					do(q.Form)
				}
				return
			}
		}
		reply(rw, do(q.Form))
	}
}

func reply(w http.ResponseWriter, answer map[string]any) {
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// says is an answer of Slack's that is an error.
func says(code string, carriedOut bool) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		reply(w, map[string]any{"ok": false, "error": code})
		return carriedOut
	}
}

func (w *workspace) post(f url.Values) map[string]any {
	m := &slackMessage{ts: fmt.Sprintf("1793610000.%06d", len(w.messages)+1), thread: f.Get("thread_ts"), broadcast: f.Get("reply_broadcast") == "true"}
	var metadata struct {
		Payload map[string]string `json:"event_payload"`
	}
	if err := json.Unmarshal([]byte(f.Get("metadata")), &metadata); err != nil {
		return map[string]any{"ok": false, "error": "invalid_metadata_format"}
	}
	m.id = metadata.Payload["id"]
	w.raw = append(w.raw, f.Get("blocks"))
	if !m.show(f) {
		return map[string]any{"ok": false, "error": "invalid_blocks"}
	}
	w.messages = append(w.messages, m)
	return map[string]any{"ok": true, "channel": f.Get("channel"), "ts": m.ts}
}

func (w *workspace) update(f url.Values) map[string]any {
	for _, m := range w.messages {
		if m.ts == f.Get("ts") {
			w.updates++
			m.show(f)
			return map[string]any{"ok": true, "channel": f.Get("channel"), "ts": m.ts}
		}
	}
	return map[string]any{"ok": false, "error": "message_not_found"}
}

// show takes what a message shows, if Slack would.
func (m *slackMessage) show(f url.Values) bool {
	m.Text = f.Get("text")
	m.Blocks = nil
	blocks, ok := withoutButtons([]byte(f.Get("blocks")))
	if !ok || json.Unmarshal(blocks, &m.Blocks) != nil {
		return false
	}
	return len(m.problems()) == 0
}

func (w *workspace) read(rw http.ResponseWriter, q *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.history != "" {
		reply(rw, map[string]any{"ok": false, "error": w.history})
		return
	}
	var all []map[string]any
	for _, m := range w.messages {
		if m.thread == q.FormValue("ts") || m.ts == q.FormValue("ts") {
			all = append(all, map[string]any{"ts": m.ts, "text": m.Text, "metadata": map[string]any{"event_type": "rekoncile_alert", "event_payload": map[string]any{"id": m.id}}})
		}
	}
	reply(rw, map[string]any{"ok": true, "messages": all})
}

// shown is the channel as "ts<thread title", one message each.
func (w *workspace) shown() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, m := range w.messages {
		line := m.ts[len(m.ts)-1:]
		if m.thread != "" {
			line += "<" + m.thread[len(m.thread)-1:]
		}
		if m.broadcast {
			line += "!"
		}
		title, _, _ := strings.Cut(m.Text, " (")
		all = append(all, line+" "+title)
	}
	return strings.Join(all, "\n")
}

func same(t *testing.T, what, got string, want ...string) {
	t.Helper()
	if got != strings.Join(want, "\n") {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, strings.Join(want, "\n"))
	}
}

func TestAFindingIsOneThread(t *testing.T) {
	w := newWorkspace(t)
	b := newBench(t, 2, w.bot(t))
	deliver(t, b)
	same(t, "two findings", w.shown(), "1 New finding: no-provenance", "2 New finding: no-provenance")
	open, err := b.record.Findings(context.Background(), allFindings)
	if err != nil {
		t.Fatal(err)
	}
	first := open[slices.IndexFunc(open, func(f audit.Finding) bool { return f.File == "onnx-1.0.0.tar.gz" })]
	if _, err := b.record.Acknowledge(context.Background(), first.ID, audit.Ack{By: "alice", Why: "known", At: start}, []string{"security"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.record.Unacknowledge(context.Background(), first.ID, start, "bob", "it is not", []string{"security"}); err != nil {
		t.Fatal(err)
	}
	deliver(t, b)
	same(t, "acknowledged and not", w.shown(), "1 No longer acknowledged: no-provenance", "2 New finding: no-provenance", "3<1 Acknowledged: no-provenance", "4<1! No longer acknowledged: no-provenance")
	b.settle(t, 0, []string{"security"})
	deliver(t, b)
	same(t, "resolved", w.shown(), "1 Resolved: no-provenance", "2 Resolved: no-provenance", "3<1 Acknowledged: no-provenance", "4<1! No longer acknowledged: no-provenance",
		"5<1 Resolved: no-provenance", "6<2 Resolved: no-provenance")
	if w.updates != 4 {
		t.Errorf("%d updates", w.updates)
	}
	b.settle(t, 1, []string{"security"})
	deliver(t, b)
	if got := w.shown(); !strings.HasPrefix(got, "1 Finding is back") || !strings.HasSuffix(got, "7<1! Finding is back: no-provenance") {
		t.Errorf("it is back:\n%s", got)
	}
}

func TestADeletedThreadBeginsAnew(t *testing.T) {
	w := newWorkspace(t)
	b := newBench(t, 1, w.bot(t))
	deliver(t, b)
	w.messages = nil
	b.settle(t, 0, []string{"security"})
	deliver(t, b)
	same(t, "after it was deleted", w.shown(), "1 Resolved: no-provenance")
}

// TestNothingIsTwiceWhereSlackCanTell lets every call of a reply fail, and lets it take effect and report an error.
func TestNothingIsTwiceWhereSlackCanTell(t *testing.T) {
	abort := func(http.ResponseWriter) bool { return true } // an empty answer, after it took effect
	for name, answer := range map[string]func(http.ResponseWriter) bool{
		"server error":                  answers(500, "", "", false),
		"server error that took effect": answers(500, "", "", true),
		"Slack's own trouble":           says("internal_error", false),
		"its trouble, in effect":        says("fatal_error", true),
		"asked to wait":                 answers(429, "Retry-After", "30", false),
		"no answer, in effect":          abort,
	} {
		for call, at := range map[string]int{"first message": 0, "update": 1, "reply": 2} {
			t.Run(name+", "+call, func(t *testing.T) {
				w := newWorkspace(t)
				b := newBench(t, 1, w.bot(t))
				w.answers = append(make([]func(http.ResponseWriter) bool, at), answer)
				deliver(t, b)
				b.settle(t, 0, []string{"security"})
				if d := deliver(t, b); d[0].Pending != 0 {
					t.Fatalf("delivery %+v", d[0])
				}
				same(t, "in the channel", w.shown(), "1 Resolved: no-provenance", "2<1 Resolved: no-provenance")
				for _, m := range w.messages {
					if strings.Contains(fmt.Sprint(m.Blocks), "sent again") {
						t.Error("it says that it may be there twice")
					}
				}
			})
		}
	}
}

func TestWhereSlackCannotTellARepeatSaysSo(t *testing.T) {
	w := newWorkspace(t)
	w.history = "missing_scope"
	b := newBench(t, 1, w.bot(t))
	w.answers = []func(http.ResponseWriter) bool{answers(500, "", "", true)}
	if d := deliver(t, b); d[0].Delivered != 1 || len(w.messages) != 2 {
		t.Fatalf("delivery %+v, %d messages", d[0], len(w.messages))
	}
	for i, m := range w.messages {
		foot := m.Blocks[len(m.Blocks)-1].Elements[0].Text
		if got := strings.Contains(foot, "sent again"); got != (i == 1) {
			t.Errorf("message %d: %s", i, foot)
		}
	}
	// Where it cannot be asked just now, it is asked again before anything is sent.
	w = newWorkspace(t)
	w.history = "internal_error"
	b = newBench(t, 1, w.bot(t))
	w.answers = []func(http.ResponseWriter) bool{answers(500, "", "", true)}
	if d := deliver(t, b); d[0].Delivered != 0 || len(w.messages) != 1 {
		t.Fatalf("delivery %+v, %d messages", d[0], len(w.messages))
	}
	w.history = ""
	if d := deliver(t, b); d[0].Delivered != 1 || len(w.messages) != 1 {
		t.Fatalf("delivery %+v, %d messages", d[0], len(w.messages))
	}
}

func TestSlacksErrorsSayWhatToDoAndNoSecret(t *testing.T) {
	for code, want := range map[string]string{
		"token_revoked":     "slack says token_revoked: give the channel a new token",
		"channel_not_found": "slack says channel_not_found: invite the bot to the channel, or name another",
		"is_archived":       "slack says is_archived: name another channel",
		"missing_scope":     "slack says missing_scope: the token needs the scope chat:write",
		"xoxb-topsecret":    "slack says [secret]",
	} {
		w := newWorkspace(t)
		b := newBench(t, 1, w.bot(t))
		w.answers = []func(http.ResponseWriter) bool{says(code, false), says(code, false), says(code, false)}
		if d := deliver(t, b); d[0].Problem != want || d[0].Pending != 1 {
			t.Errorf("%s: %+v", code, d[0])
		}
		if strings.Contains(b.log.String(), "topsecret") {
			t.Errorf("the token is in %s", &b.log)
		}
		if d := deliver(t, b); d[0].Delivered != 1 {
			t.Errorf("%s, mended: %+v", code, d[0])
		}
	}
	// What it refuses for what it is holds nothing else up.
	w := newWorkspace(t)
	b := newBench(t, 2, w.bot(t))
	w.answers = []func(http.ResponseWriter) bool{says("invalid_blocks", false)}
	if d := deliver(t, b); d[0].Delivered != 1 || d[0].Pending != 1 {
		t.Errorf("refused: %+v", d[0])
	}
	w.server.Stop()
	if d := deliver(t, b); !strings.HasPrefix(d[0].Problem, "slack cannot be reached: dial tcp") {
		t.Errorf("down: %+v", d[0])
	}
}

func TestAGroupIsOneThreadThatCountsWhatIsOpen(t *testing.T) {
	w := newWorkspace(t)
	b := newBench(t, 0, w.bot(t))
	b.settleRelease(t, 35, []string{"security"})
	deliver(t, b)
	same(t, "35 files", w.shown(), "1 New finding: no-provenance")
	b.settleRelease(t, 30, []string{"security"})
	deliver(t, b)
	same(t, "five are signed", w.shown(), "1 no-provenance", "2<1 Resolved: no-provenance")
	if title := w.messages[0].Blocks[0].Text.Text; title != "no-provenance (high): 30 of 35 open" {
		t.Errorf("title %q", title)
	}
	b.settleRelease(t, 0, []string{"security"})
	deliver(t, b)
	if title := w.messages[0].Blocks[0].Text.Text; title != "no-provenance (high): 0 of 35 open" || strings.Contains(fmt.Sprint(w.messages[0].Blocks), "What to do") {
		t.Errorf("title %q", title)
	}
}

func TestHostileTextIsHarmlessInAThread(t *testing.T) {
	for name, p := range hostileParcels() {
		w := newWorkspace(t) // it refuses what has problems
		thread, err := w.bot(t).Send(context.Background(), p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		p.Thread, p.Root = thread, p.Messages
		if _, err := w.bot(t).Send(context.Background(), p); err != nil || len(w.messages) != 2 {
			t.Errorf("%s, again: %v", name, err)
		}
		for _, m := range w.messages {
			for _, problem := range m.problems() {
				t.Errorf("%s: %s", name, problem)
			}
		}
	}
}
