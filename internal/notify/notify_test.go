package notify_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/notify"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("database/sql.(*DB).connectionOpener"))
}

var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// receiver is a webhook that answers as it is told and remembers what it took.
type receiver struct {
	mu      sync.Mutex
	answers []func(http.ResponseWriter) bool // one a request; true takes the message; then all are taken
	took    []string
	server  *httptest.Server
}

func newReceiver(t *testing.T, answers ...func(http.ResponseWriter) bool) *receiver {
	r := &receiver{answers: answers}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := takes
	if len(r.answers) > 0 {
		answer, r.answers = r.answers[0], r.answers[1:]
	}
	if answer(w) {
		r.took = append(r.took, string(body))
	}
}

func takes(w http.ResponseWriter) bool {
	io.WriteString(w, "ok")
	return true
}

// answers refuses with a status; took says that the message is in the channel all the same.
func answers(status int, header, value string, took bool) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		if header != "" {
			w.Header().Set(header, value)
		}
		w.WriteHeader(status)
		return took
	}
}

// bench is a record with findings to announce, and a worker over it.
type bench struct {
	record *db.DB
	clock  *clock.Simulated
	log    bytes.Buffer
	worker *notify.Worker
}

func newBench(t *testing.T, findings int, channels ...notify.Channel) *bench {
	t.Helper()
	b := &bench{clock: clock.NewSimulated(start)}
	b.clock.AutoAdvance()
	var err error
	if b.record, err = db.Open(context.Background(), filepath.Join(t.TempDir(), "monitor.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.record.Close() })
	var names []string
	for _, c := range channels {
		names = append(names, c.Name())
	}
	b.worker = &notify.Worker{Outbox: b.record, Channels: channels, Clock: b.clock, Logger: slog.New(slog.NewTextHandler(&b.log, nil))}
	b.settle(t, findings, names)
	return b
}

// settle opens findings about as many files.
func (b *bench) settle(t *testing.T, n int, channels []string) {
	t.Helper()
	var a audit.Assessment
	for i := range n {
		s := audit.Subject{Project: "onnx", Index: "pypi", PyPIProject: "onnx", File: fmt.Sprintf("onnx-1.%d.0.tar.gz", i), SHA256: strings.Repeat("a", 64)}
		a.Findings = append(a.Findings, audit.Finding{ID: audit.FindingID(audit.Key("no-provenance", s)), Rule: "no-provenance", Severity: audit.High,
			Subject: s, Summary: fmt.Sprintf("file %d is unsigned", i), Advice: "look at it"})
	}
	p, err := b.record.Project(context.Background(), "onnx", "pypi", "onnx")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.record.Settle(context.Background(), b.clock.Now(), audit.Settlement{Project: p, Assessment: a, Channels: channels}); err != nil {
		t.Fatal(err)
	}
}

func slackTo(t *testing.T, address string) *notify.Slack {
	t.Helper()
	s, err := notify.NewSlack(address+"/services/T0/B0/topsecret", &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func deliver(t *testing.T, b *bench) []notify.Delivery {
	t.Helper()
	d, err := b.worker.Deliver(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestMessagesArriveOnceAndInOrder(t *testing.T) {
	r := newReceiver(t)
	b := newBench(t, 120, slackTo(t, r.server.URL))
	if d := deliver(t, b); d[0].Delivered != 120 || d[0].Pending != 0 {
		t.Errorf("delivery %+v", d[0])
	}
	for i, m := range r.took {
		// Findings are announced by severity, then by key: the key's file names order as text.
		if !strings.Contains(m, "is unsigned") || strings.Contains(m, "sent again") {
			t.Errorf("message %d: %s", i, m)
		}
		if i > 0 && fileIn(m) < fileIn(r.took[i-1]) {
			t.Errorf("message %d about %s came after %s", i, fileIn(m), fileIn(r.took[i-1]))
		}
	}
	if d := deliver(t, b); d[0].Delivered != 0 || len(r.took) != 120 {
		t.Errorf("a second pass delivered %d, %d in all", d[0].Delivered, len(r.took))
	}
}

func fileIn(message string) string {
	i := strings.Index(message, "onnx-1.")
	return message[i:strings.Index(message, ".tar.gz")]
}

func TestTroubleIsWaitedForAndNothingIsLost(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter) bool
		waited time.Duration
		repeat bool // the second message says that the first may have arrived
		times  int  // it is in the channel
	}{
		"asked to wait":                     {answers(429, "Retry-After", "30", false), 30 * time.Second, false, 1},
		"asked to wait, not for how long":   {answers(429, "", "", false), time.Second, false, 1},
		"asked to wait for what is no time": {answers(429, "Retry-After", "Mon, 02 Nov 2026 09:00:30 GMT", false), time.Second, false, 1},
		"server error":                      {answers(500, "", "", false), time.Second, true, 1},
		"server error that took effect":     {answers(502, "", "", true), time.Second, true, 2},
		"refused":                           {answers(403, "", "", false), time.Second, false, 1},
		"answer lost after it took effect":  {func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }, time.Second, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, c.answer)
			b := newBench(t, 1, slackTo(t, r.server.URL))
			if d := deliver(t, b); d[0].Delivered != 1 {
				t.Fatalf("delivery %+v", d[0])
			}
			if got := b.clock.Now().Sub(start); got != c.waited {
				t.Errorf("waited %s, want %s", got, c.waited)
			}
			if len(r.took) != c.times {
				t.Errorf("it is in the channel %d times, want %d", len(r.took), c.times)
			}
			if last := r.took[len(r.took)-1]; strings.Contains(last, "sent again") != c.repeat {
				t.Errorf("the message: %s", last)
			}
		})
	}
}

func TestAChannelThatStaysDownKeepsItsMessagesAndHoldsNobodyUp(t *testing.T) {
	down := newReceiver(t)
	down.server.Close()
	up := newReceiver(t)
	b := newBench(t, 3, slackTo(t, down.server.URL), other{slackTo(t, up.server.URL)})
	d := deliver(t, b)
	if d[0].Delivered != 0 || d[0].Pending != 3 || !strings.Contains(d[0].Problem, "cannot be reached") {
		t.Errorf("the one that is down: %+v", d[0])
	}
	if d[1].Delivered != 3 || len(up.took) != 3 {
		t.Errorf("the other: %+v", d[1])
	}
	depths, err := b.record.OutboxDepths(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if depths[1].Channel != "slack" || depths[1].Pending != 3 || depths[1].LastError == "" {
		t.Errorf("the outbox: %+v", depths)
	}
	if text := b.log.String() + fmt.Sprint(d) + fmt.Sprint(depths); strings.Contains(text, "topsecret") {
		t.Errorf("the webhook's address is in %s", text)
	}
}

// other is a second channel.
type other struct{ *notify.Slack }

func (other) Name() string { return "other" }

func TestAnEarlierMessageIsNotOvertaken(t *testing.T) {
	refuse := answers(403, "", "", false)
	r := newReceiver(t, refuse, refuse, refuse)
	b := newBench(t, 2, slackTo(t, r.server.URL))
	if d := deliver(t, b); d[0].Delivered != 0 || d[0].Pending != 2 {
		t.Errorf("delivery %+v", d[0])
	}
	if waited := b.clock.Now().Sub(start); waited != 3*time.Second { // 1 and 2, between three attempts
		t.Errorf("waited %s", waited)
	}
	if d := deliver(t, b); d[0].Delivered != 2 || fileIn(r.took[0]) != "onnx-1.0.0" {
		t.Errorf("after the trouble: %+v, %v", d[0], r.took)
	}
	if waited := b.clock.Now().Sub(start); waited != 7*time.Second { // 4 more, although a new pass began
		t.Errorf("waited %s", waited)
	}
}

func TestAChannelThatAsksForALongRestIsLeftAlone(t *testing.T) {
	r := newReceiver(t, answers(429, "Retry-After", "600", false))
	b := newBench(t, 120, slackTo(t, r.server.URL))
	want := notify.Delivery{Channel: "slack", Pending: 120, Problem: "slack asks to wait 10m0s", FailingSince: start}
	if d := deliver(t, b); d[0] != want {
		t.Errorf("delivery %+v", d[0])
	}
	b.clock.Advance(539 * time.Second)
	want.Problem = "to be left alone until 2026-11-02T09:10:00Z"
	if d := deliver(t, b); d[0] != want || len(r.took) != 0 {
		t.Errorf("too early: %+v, %d in the channel", d[0], len(r.took))
	}
	b.clock.Advance(time.Second)
	if d := deliver(t, b); d[0].Delivered != 120 || b.clock.Now() != start.Add(10*time.Minute) {
		t.Errorf("in time: %+v at %s", d[0], b.clock.Now())
	}
}

func TestNoAnswerSilencesAChannelForGood(t *testing.T) {
	for _, seconds := range []string{"9223372036854775807", "99999999", "-5"} {
		r := newReceiver(t, answers(429, "Retry-After", seconds, false))
		b := newBench(t, 1, slackTo(t, r.server.URL))
		deliver(t, b)
		b.clock.Advance(time.Hour)
		if d := deliver(t, b); len(r.took) != 1 {
			t.Errorf("Retry-After %s: an hour later %+v", seconds, d[0])
		}
	}
	r := newReceiver(t, answers(429, "Retry-After", "7200", false))
	b := newBench(t, 1, slackTo(t, r.server.URL))
	deliver(t, b)
	b.clock.Advance(30 * time.Minute)
	if d := deliver(t, b); len(r.took) != 0 || d[0].Problem != "to be left alone until 2026-11-02T10:00:00Z" {
		t.Errorf("half an hour after it asked for two: %+v", d[0])
	}
	// Neither does a clock that is set back.
	r = newReceiver(t, answers(429, "Retry-After", "600", false))
	b = newBench(t, 1, slackTo(t, r.server.URL))
	deliver(t, b)
	b.clock.AdvanceTo(start.Add(-24 * time.Hour))
	if d := deliver(t, b); d[0].Delivered != 1 {
		t.Errorf("after the clock was set back: %+v", d[0])
	}
}

func TestATimeOutMayHaveTakenEffect(t *testing.T) {
	r := newReceiver(t)
	released := make(chan struct{})
	var answering atomic.Bool
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if answering.Swap(true) {
			r.ServeHTTP(w, q)
			return
		}
		r.ServeHTTP(httptest.NewRecorder(), q) // it is in the channel
		<-released                             // but the answer never comes
	}))
	defer slow.Close()
	defer close(released)
	s, err := notify.NewSlack(slow.URL+"/services/T0/B0/topsecret", &http.Client{Timeout: 200 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, 1, s)
	if d := deliver(t, b); d[0].Delivered != 1 || !strings.HasPrefix(d[0].Problem, "slack: ") {
		t.Errorf("delivery %+v", d[0])
	}
	if len(r.took) != 2 || strings.Contains(r.took[0], "sent again") || !strings.Contains(r.took[1], "sent again") {
		t.Errorf("in the channel: %v", r.took)
	}
	if strings.Contains(b.log.String(), "topsecret") {
		t.Errorf("the webhook's address is in %s", &b.log)
	}
}

func TestARestartDeliversWhatIsPendingAndNothingTwice(t *testing.T) {
	refuse := answers(403, "", "", false)
	r := newReceiver(t, takes, takes, refuse, refuse, refuse)
	b := newBench(t, 5, slackTo(t, r.server.URL))
	if d := deliver(t, b); d[0].Delivered != 2 || d[0].Pending != 3 {
		t.Errorf("before: %+v", d[0])
	}
	if err := b.record.Close(); err != nil {
		t.Fatal(err)
	}
	record, err := db.OpenExisting(context.Background(), b.record.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close()
	b.record, b.worker.Outbox = record, record
	b.clock.Advance(time.Hour)
	if d := deliver(t, b); d[0].Delivered != 3 || d[0].Problem != "" {
		t.Errorf("after: %+v", d[0])
	}
	var files []string
	for _, m := range r.took {
		if strings.Contains(m, "sent again") {
			t.Errorf("what was refused is no repeat: %s", m)
		}
		files = append(files, fileIn(m))
	}
	if got := strings.Join(files, " "); got != "onnx-1.0.0 onnx-1.1.0 onnx-1.2.0 onnx-1.3.0 onnx-1.4.0" {
		t.Errorf("in the channel: %s", got)
	}
}

func TestWhatMayHaveArrivedStaysARepeatWhateverFollows(t *testing.T) {
	refuse := answers(403, "", "", false)
	r := newReceiver(t, answers(500, "", "", true), refuse, refuse)
	b := newBench(t, 1, slackTo(t, r.server.URL))
	if d := deliver(t, b); d[0].Pending != 1 {
		t.Errorf("delivery %+v", d[0])
	}
	if deliver(t, b); len(r.took) != 2 || strings.Contains(r.took[0], "sent again") || !strings.Contains(r.took[1], "sent again") {
		t.Errorf("in the channel: %v", r.took)
	}
}

func TestShutdownLeavesTheMessageForTheNextPass(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r := newReceiver(t, func(http.ResponseWriter) bool {
		cancel()
		panic(http.ErrAbortHandler)
	})
	b := newBench(t, 1, slackTo(t, r.server.URL))
	if _, err := b.worker.Deliver(ctx); err == nil {
		t.Error("an interrupted pass reports nothing")
	}
	if d := deliver(t, b); d[0].Delivered != 1 || !strings.Contains(r.took[0], "sent again") {
		t.Errorf("the next pass: %+v, %v", d[0], r.took)
	}
}

// cancelling is a channel during whose answer the monitor is shut down.
type cancelling struct {
	notify.Channel
	cancel func()
}

func (c cancelling) Send(ctx context.Context, p notify.Parcel) (string, error) {
	thread, err := c.Channel.Send(context.WithoutCancel(ctx), p)
	c.cancel()
	return thread, err
}

func TestWhatIsKnownOfAnAttemptIsNotLostToAShutdown(t *testing.T) {
	for name, c := range map[string]struct {
		first func(http.ResponseWriter) bool
		took  int // by the next pass
	}{
		"taken":   {takes, 0},
		"refused": {answers(403, "", "", false), 1},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		r := newReceiver(t, c.first)
		slack := slackTo(t, r.server.URL)
		b := newBench(t, 1, cancelling{slack, cancel})
		_, err := b.worker.Deliver(ctx)
		if (err != nil) != (name == "refused") {
			t.Errorf("%s: %v", name, err)
		}
		before := len(r.took)
		b.worker.Channels = []notify.Channel{slack}
		deliver(t, b)
		if got := r.took[before:]; len(got) != c.took || c.took == 1 && strings.Contains(got[0], "sent again") {
			t.Errorf("%s: the next pass sent %v", name, got)
		}
	}
}
