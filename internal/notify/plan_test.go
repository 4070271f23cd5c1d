package notify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rekoncile/rekoncile/internal/audit"
)

var monday = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// change is a message about a finding that is named by a letter; the letters' files are all of release 1.0 but for capitals.
func change(id int64, finding string, t audit.Transition, s audit.Severity) Message {
	f := audit.Finding{ID: finding, Rule: audit.NoProvenance, Severity: s, Status: audit.Open, Subject: audit.Subject{Project: "onnx", Index: "pypi", PyPIProject: "onnx", File: finding}}
	if finding == strings.ToLower(finding) {
		f.Release = "1.0"
	}
	return Message{ID: id, Finding: f, Transition: t, At: monday.Add(time.Duration(id) * time.Second)}
}

// shown writes a plan as "form:id,id form:id -unwanted,ids held n".
func shown(p plan) string {
	ids := func(messages []Message) string {
		var all []string
		for _, m := range messages {
			all = append(all, fmt.Sprint(m.ID))
		}
		return strings.Join(all, ",")
	}
	var words []string
	for _, parcel := range p.send {
		words = append(words, string(parcel.Form)+":"+ids(parcel.Messages))
	}
	if len(p.unwanted) > 0 {
		words = append(words, "-"+ids(p.unwanted))
	}
	if p.held > 0 {
		words = append(words, fmt.Sprintf("held %d", p.held))
	}
	return strings.Join(words, " ")
}

func TestWhatIsSentWhen(t *testing.T) {
	const high, critical, low = audit.High, audit.Critical, audit.Low
	opened := func(id int64, finding string) Message { return change(id, finding, audit.Opened, high) }
	again := func(m Message, lead int64, form Form) Message {
		m.Lead, m.Form = lead, form
		return m
	}
	told := func(m Message) Message {
		m.Told = true
		return m
	}
	history := func(messages ...Message) []Message {
		for i := range messages {
			messages[i].History = true
		}
		return messages
	}
	night := &Quiet{From: 22 * time.Hour, To: 7 * time.Hour, Zone: time.UTC}
	for name, c := range map[string]struct {
		pending []Message
		s       situation
		want    string
	}{
		"nothing":                   {nil, situation{}, ""},
		"files of one release":      {[]Message{opened(1, "a"), opened(2, "b"), opened(3, "c")}, situation{}, "group:1,2,3"},
		"other subjects":            {[]Message{opened(1, "A"), opened(2, "B")}, situation{}, "single:1 single:2"},
		"another severity":          {[]Message{opened(1, "a"), change(2, "b", audit.Opened, critical)}, situation{}, "single:1 single:2"},
		"another change":            {[]Message{opened(1, "a"), change(2, "a", audit.Settled, high), opened(3, "b")}, situation{}, "group:1,3 single:2"},
		"not before earlier change": {[]Message{change(1, "a", audit.Settled, high), change(2, "a", audit.Reopened, high), change(3, "a", audit.Settled, high)}, situation{}, "single:1 single:2 single:3"},
		"joins what comes later":    {[]Message{change(1, "a", audit.Settled, high), opened(2, "b"), change(3, "b", audit.Settled, high)}, situation{}, "single:1 single:2 single:3"},
		"sent again as it was": {[]Message{again(opened(1, "a"), 1, Group), again(opened(2, "b"), 1, Group), opened(3, "c"), again(opened(4, "D"), 4, Single)}, situation{},
			"group:1,2 single:4 single:3"},
		"minimum severity":                     {[]Message{opened(1, "A"), change(2, "B", audit.Opened, low)}, situation{route: Route{MinSeverity: high}}, "single:1 -2"},
		"escalated into it":                    {[]Message{change(1, "A", audit.Opened, low), change(2, "A", audit.Escalated, high), change(3, "A", audit.Settled, high)}, situation{route: Route{MinSeverity: high}}, "single:2 single:3 -1"},
		"the end of what was told":             {[]Message{told(change(1, "A", audit.Settled, low))}, situation{route: Route{MinSeverity: high}}, "single:1"},
		"the end of what was not":              {[]Message{change(1, "A", audit.Settled, high)}, situation{route: Route{MinSeverity: high}}, "-1"},
		"attempted before the change":          {[]Message{again(change(1, "A", audit.Opened, low), 1, Single)}, situation{route: Route{MinSeverity: high}}, "single:1"},
		"another project":                      {[]Message{opened(1, "A")}, situation{route: Route{Projects: []string{"skl"}}}, "-1"},
		"another rule":                         {[]Message{opened(1, "A")}, situation{route: Route{Rules: []string{audit.WrongGrade}}}, "-1"},
		"rule and project":                     {[]Message{opened(1, "A")}, situation{route: Route{Rules: []string{audit.NoProvenance}, Projects: []string{"onnx"}}}, "single:1"},
		"quiet":                                {[]Message{opened(1, "A"), change(2, "B", audit.Opened, critical)}, situation{route: Route{Quiet: night}, now: monday.Add(14 * time.Hour)}, "single:2 held 1"},
		"quiet before its end":                 {[]Message{opened(1, "A")}, situation{route: Route{Quiet: night}, now: monday.Add(22*time.Hour - time.Second)}, "held 1"},
		"quiet is over":                        {[]Message{opened(1, "A")}, situation{route: Route{Quiet: night}, now: monday.Add(22 * time.Hour)}, "single:1"},
		"quiet, became critical":               {[]Message{opened(1, "A"), change(2, "A", audit.Escalated, critical), change(3, "A", audit.Eased, high)}, situation{route: Route{Quiet: night}, now: monday.Add(14 * time.Hour)}, "single:1 single:2 held 1"},
		"quiet, attempted before":              {[]Message{again(opened(1, "A"), 1, Single)}, situation{route: Route{Quiet: night}, now: monday.Add(14 * time.Hour)}, "held 1"},
		"within the limit":                     {[]Message{opened(1, "A"), opened(2, "B")}, situation{route: Route{Hourly: 3}, sent: 1}, "single:1 single:2"},
		"beyond the limit":                     {[]Message{opened(1, "A"), opened(2, "B"), opened(3, "C")}, situation{route: Route{Hourly: 3}, sent: 1}, "single:1 digest:2,3"},
		"beyond it, urgent ones first":         {[]Message{opened(1, "A"), opened(2, "B"), change(3, "C", audit.Opened, critical)}, situation{route: Route{Hourly: 2}}, "single:3 digest:1,2"},
		"beyond it, not before its own":        {[]Message{change(1, "A", audit.Opened, low), change(2, "A", audit.Escalated, critical), opened(3, "B")}, situation{route: Route{Hourly: 2}}, "digest:1,2,3"},
		"the hour is full":                     {[]Message{opened(1, "A"), opened(2, "B")}, situation{route: Route{Hourly: 3}, sent: 3}, "held 2"},
		"the hour is full, and it is critical": {[]Message{opened(1, "A"), change(2, "B", audit.Opened, critical)}, situation{route: Route{Hourly: 3}, sent: 3}, "digest:1,2"},
		"first look":                           {history(opened(1, "A"), opened(2, "B"), opened(3, "C")), situation{route: Route{Summarize: 2}}, "summary:1,2,3"},
		"first look, and what is new":          {append(history(opened(1, "A"), opened(2, "B"), opened(3, "C")), opened(4, "D")), situation{route: Route{Summarize: 2}}, "summary:1,2,3 single:4"},
		"first look at little":                 {history(opened(1, "A"), opened(2, "B")), situation{route: Route{Summarize: 2}}, "single:1 single:2"},
		"first look at one release":            {history(opened(1, "a"), opened(2, "b"), opened(3, "c")), situation{route: Route{Summarize: 2}}, "group:1,2,3"},
		"no first look":                        {history(opened(1, "A"), opened(2, "B"), opened(3, "C")), situation{route: Route{Summarize: 2}, known: map[string]bool{"onnx": true}}, "single:1 single:2 single:3"},
	} {
		if c.s.now.IsZero() {
			c.s.now = monday
		}
		if got := shown(c.s.decide(c.pending)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestQuietTimeFollowsTheWallClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	q := &Quiet{From: 22 * time.Hour, To: 7 * time.Hour, Zone: berlin}
	for at, want := range map[string]bool{
		"2026-03-28T21:00:00Z": true, "2026-03-28T20:59:59Z": false, // winter: 22:00
		"2026-03-29T04:59:59Z": true, "2026-03-29T05:00:00Z": false, // summer has begun: 07:00
		"2026-10-25T05:59:59Z": true, "2026-10-25T06:00:00Z": false, // and has ended
	} {
		instant, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.holds(instant); got != want {
			t.Errorf("%s: %t", at, got)
		}
	}
}

// TestWhateverIsPendingIsSentHeldOrUnwantedAndInOrder draws outboxes and routes.
func TestWhateverIsPendingIsSentHeldOrUnwantedAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var pending []Message
		for id := range rapid.IntRange(0, 30).Draw(t, "messages") {
			m := change(int64(id+1), rapid.SampledFrom([]string{"a", "b", "c", "D", "E"}).Draw(t, "finding"),
				rapid.SampledFrom([]audit.Transition{audit.Opened, audit.Escalated, audit.Settled, audit.Reopened}).Draw(t, "transition"),
				rapid.SampledFrom(audit.Severities()).Draw(t, "severity"))
			m.History = m.Transition == audit.Opened && !slices.ContainsFunc(pending, func(before Message) bool { return before.Finding.ID == m.Finding.ID })
			pending = append(pending, m)
		}
		s := situation{now: monday.Add(time.Duration(rapid.IntRange(0, 23).Draw(t, "hour")) * time.Hour), sent: rapid.IntRange(0, 6).Draw(t, "sent"),
			route: Route{MinSeverity: rapid.SampledFrom(append(audit.Severities(), "")).Draw(t, "floor"), Hourly: rapid.IntRange(0, 6).Draw(t, "hourly"),
				Summarize: rapid.IntRange(0, 6).Draw(t, "summarize")}}
		if rapid.Bool().Draw(t, "quiet") {
			s.route.Quiet = &Quiet{From: 22 * time.Hour, To: 7 * time.Hour, Zone: time.UTC}
		}
		p := s.decide(slices.Clone(pending))
		seen, last := map[int64]int{}, map[string]int64{}
		for _, parcel := range p.send {
			for _, m := range parcel.Messages {
				seen[m.ID]++
				if m.ID < last[m.Finding.ID] {
					t.Fatalf("%d of %s comes after %d: %s", m.ID, m.Finding.ID, last[m.Finding.ID], shown(p))
				}
				last[m.Finding.ID] = m.ID
			}
		}
		for _, m := range p.unwanted {
			seen[m.ID]++
		}
		sent := 0
		for id, n := range seen {
			if sent += n; n != 1 {
				t.Fatalf("message %d is there %d times: %s", id, n, shown(p))
			}
		}
		if sent+p.held != len(pending) {
			t.Fatalf("%d of %d are accounted for: %s", sent+p.held, len(pending), shown(p))
		}
		// What is held does not let a later change of its finding pass.
		for _, m := range pending {
			if seen[m.ID] == 0 && m.ID < last[m.Finding.ID] {
				t.Fatalf("message %d of %s is held, and %d overtook it: %s", m.ID, m.Finding.ID, last[m.Finding.ID], shown(p))
			}
			if seen[m.ID] == 0 && m.Finding.Severity == audit.Critical {
				t.Fatalf("message %d is critical and held: %s", m.ID, shown(p))
			}
		}
		if limit := s.route.Hourly; limit > 0 && len(p.send) > max(limit-s.sent, 0)+1 && !slices.ContainsFunc(p.send, func(p Parcel) bool { return p.Form == Summary }) {
			t.Fatalf("%d parcels, %d of %d were sent: %s", len(p.send), s.sent, limit, shown(p))
		}
	})
}
