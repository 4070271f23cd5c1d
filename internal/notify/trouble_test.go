package notify_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/notify"
)

// settleDelivery judges the channels, as a pass does.
func settleDelivery(t *testing.T, b *bench, deliveries []notify.Delivery) []audit.Change {
	t.Helper()
	now := b.clock.Now()
	changes, err := b.record.SettleDelivery(context.Background(), now, notify.Assess(deliveries, audit.NewRuleSet(nil), now), notify.Working(deliveries))
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func TestAChannelThatStaysDownIsAFindingOnTheOthers(t *testing.T) {
	revoked := make([]func(http.ResponseWriter) bool, 3*2*25)
	for i := range revoked {
		revoked[i] = answers(404, "", "", false)
	}
	down, up := newReceiver(t, revoked...), newReceiver(t)
	b := newBench(t, 2, slackTo(t, down.server.URL), slackTo(t, up.server.URL).Named("other"))
	began := b.clock.Now()
	for pass := range 25 { // an hour apart: a day
		d := deliver(t, b)
		changes := settleDelivery(t, b, d)
		if want := map[bool]int{true: 1, false: 0}[pass == 1]; len(changes) != want {
			t.Fatalf("pass %d: %d changes %+v", pass, len(changes), changes)
		}
		if d[0].Delivered != 0 || d[0].Pending != 2 || !d[0].FailingSince.Equal(began) {
			t.Fatalf("pass %d: %+v", pass, d[0])
		}
		if pass > 0 {
			deliver(t, b) // the others are told
		}
		b.clock.AdvanceTo(began.Add(time.Duration(pass+1) * time.Hour))
	}
	if len(up.took) != 3 || !strings.Contains(up.took[2], "channel slack has not taken an alert since 2026-11-02T09:00:0") {
		t.Errorf("the other channel got %v", up.took)
	}
	down.mu.Lock()
	down.answers = nil
	down.mu.Unlock()
	d := deliver(t, b)
	if d[0].Delivered != 2 || d[0].Pending != 0 || len(down.took) != 2 {
		t.Errorf("after it was mended: %+v, %v", d[0], down.took)
	}
	if changes := settleDelivery(t, b, d); len(changes) != 1 || changes[0].Transition != audit.Settled {
		t.Errorf("after it was mended: %+v", changes)
	}
	deliver(t, b)
	if len(up.took) != 4 || !strings.Contains(up.took[3], "Resolved: delivery-failing") {
		t.Errorf("the other channel got %v", up.took)
	}
	if text := b.log.String() + strings.Join(up.took, ""); strings.Contains(text, "topsecret") {
		t.Errorf("the webhook's address is in %s", text)
	}
}

func TestSettlingTheLogsLeavesTheChannelsAlone(t *testing.T) {
	b := newBench(t, 1)
	failing := []notify.Delivery{{Channel: "slack", Pending: 1, FailingSince: start.Add(-2 * time.Hour)}}
	if changes := settleDelivery(t, b, failing); len(changes) != 1 {
		t.Fatalf("changes %+v", changes)
	}
	changes, err := b.record.SettleLogs(context.Background(), start, audit.Assessment{}, nil)
	if err != nil || len(changes) != 0 {
		t.Errorf("changes %+v, %v", changes, err)
	}
	open, err := b.record.Findings(context.Background(), db.FindingFilter{Rules: []string{audit.DeliveryFailing}, Statuses: []audit.Status{audit.Open}})
	if err != nil || len(open) != 1 {
		t.Errorf("open %+v, %v", open, err)
	}
}

func TestAMessageThatIsRefusedHoldsUpOnlyItsOwnFinding(t *testing.T) {
	r := newReceiver(t, answers(400, "", "", false))
	b := newBench(t, 3, slackTo(t, r.server.URL))
	first := audit.FindingID(audit.Key("no-provenance", audit.Subject{Project: "onnx", Index: "pypi", PyPIProject: "onnx", File: "onnx-1.0.0.tar.gz", SHA256: strings.Repeat("a", 64)}))
	if _, err := b.record.Acknowledge(context.Background(), first, audit.Ack{By: "alice", Why: "known", At: start}, []string{"slack"}); err != nil {
		t.Fatal(err)
	}
	if d := deliver(t, b); d[0].Delivered != 2 || d[0].Pending != 2 || d[0].Problem != "slack answered 400 Bad Request" || !d[0].FailingSince.Equal(start) {
		t.Errorf("delivery %+v", d[0])
	}
	if got := fmt.Sprint(fileIn(r.took[0]), fileIn(r.took[1])); got != "onnx-1.1.0 onnx-1.2.0" && got != "onnx-1.1.0onnx-1.2.0" {
		t.Errorf("in the channel: %s", got)
	}
	if waited := b.clock.Now().Sub(start); waited != 0 {
		t.Errorf("the others waited %s", waited)
	}
	if d := deliver(t, b); d[0].Delivered != 2 || !d[0].FailingSince.IsZero() || fileIn(r.took[2]) != "onnx-1.0.0" || !strings.Contains(r.took[3], "Acknowledged") {
		t.Errorf("the next pass: %+v, %v", d[0], r.took)
	}
}

// TestAQuietTimeMendsNoChannel lets a channel fail, and a quiet time begin in which nothing is tried.
func TestAQuietTimeMendsNoChannel(t *testing.T) {
	r := newReceiver(t, slices.Repeat([]func(http.ResponseWriter) bool{answers(404, "", "", false)}, 6)...)
	b := newBench(t, 1, slackTo(t, r.server.URL))
	b.worker.Routes = map[string]notify.Route{"slack": {Quiet: &notify.Quiet{From: 12 * time.Hour, To: 18 * time.Hour, Zone: time.UTC}}}
	settleDelivery(t, b, deliver(t, b))
	b.clock.AdvanceTo(start.Add(2 * time.Hour))
	if changes := settleDelivery(t, b, deliver(t, b)); len(changes) != 1 || changes[0].Transition != audit.Opened {
		t.Fatalf("two hours later: %+v", changes)
	}
	b.clock.AdvanceTo(start.Add(4 * time.Hour))
	d := deliver(t, b)
	if changes := settleDelivery(t, b, d); len(changes) != 0 || d[0].Held != 1 || d[0].Problem != "slack answered 404 Not Found" {
		t.Errorf("in the quiet time: %+v, %+v", d, changes)
	}
	b.clock.AdvanceTo(start.Add(9 * time.Hour))
	if changes := settleDelivery(t, b, deliver(t, b)); len(changes) != 1 || changes[0].Transition != audit.Settled || len(r.took) != 1 {
		t.Errorf("after it: %+v, %d in the channel", changes, len(r.took))
	}
}

// settleRelease opens findings about as many files of one release.
func (b *bench) settleRelease(t *testing.T, n int, channels []string) {
	t.Helper()
	var a audit.Assessment
	for i := range n {
		s := audit.Subject{Project: "onnx", Index: "pypi", PyPIProject: "onnx", Release: "1.0", File: fmt.Sprintf("onnx-1.0-%d.whl", i), SHA256: strings.Repeat("a", 64)}
		a.Findings = append(a.Findings, audit.Finding{ID: audit.FindingID(audit.Key("no-provenance", s)), Rule: "no-provenance", Severity: audit.High, Subject: s,
			Summary: s.File + " is unsigned", Advice: "look at it"})
	}
	p, err := b.record.Project(context.Background(), "onnx", "pypi", "onnx")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.record.Settle(context.Background(), b.clock.Now(), audit.Settlement{Project: p, Assessment: a, Channels: channels}); err != nil {
		t.Fatal(err)
	}
}

// TestAGroupStaysAsItWasSent interrupts a group, and lets a file be added before it is sent again.
func TestAGroupStaysAsItWasSent(t *testing.T) {
	r := newReceiver(t, answers(500, "", "", true), answers(500, "", "", false), answers(500, "", "", false))
	b := newBench(t, 0, slackTo(t, r.server.URL))
	b.settleRelease(t, 34, []string{"slack"})
	if d := deliver(t, b); d[0].Pending != 34 {
		t.Errorf("delivery %+v", d[0])
	}
	b.settleRelease(t, 36, []string{"slack"})
	if d := deliver(t, b); d[0].Delivered != 36 || d[0].Pending != 0 {
		t.Errorf("delivery %+v", d[0])
	}
	if len(r.took) != 3 {
		t.Fatalf("%d messages: %v", len(r.took), r.took)
	}
	for i, want := range []string{"34 files", "34 files", "2 files"} {
		if m := readPosted(t, r.took[i]); !strings.Contains(m.Text, want) || len(m.problems()) > 0 {
			t.Errorf("message %d: %s %v", i, m.Text, m.problems())
		}
		if got := strings.Contains(r.took[i], "sent again"); got != (i == 1) {
			t.Errorf("message %d says that it may be a repeat: %t", i, got)
		}
	}
	if n := strings.Count(r.took[1], " is unsigned"); n != 34 {
		t.Errorf("%d files are listed", n)
	}
}

// allFindings is a filter that leaves nothing out.
var allFindings = db.FindingFilter{}
