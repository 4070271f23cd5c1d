package notify_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/notify"
)

// posted is a message as Slack reads it.
type posted struct {
	Text   string  `json:"text"`
	Unfurl *bool   `json:"unfurl_links"`
	Blocks []block `json:"blocks"`
}

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

// readPosted reads what was posted.
func readPosted(t *testing.T, body string) posted {
	t.Helper()
	var m posted
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// problems are what Slack would refuse of a message (docs.slack.dev, "Block Kit"), and what could deceive or lead people
// elsewhere: text in which something is interpreted may only be links to hosts that we chose.
func (m posted) problems() []string {
	var all []string
	report := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	deceives := func(s string) bool { return strings.ContainsAny(s, "\u202e\u200b\u2066\x1b\x00\r\x7f\u2028") }
	if strings.ContainsAny(m.Text, "<>\n") || deceives(m.Text) || len([]rune(m.Text)) > 3000 || m.Text == "" {
		report("the fallback text can carry a mention, deceives, is empty or too long: %.200q", m.Text)
	}
	if m.Unfurl != nil && *m.Unfurl {
		report("Slack fetches the links in it")
	}
	if len(m.Blocks) == 0 || len(m.Blocks) > 50 {
		report("%d blocks", len(m.Blocks))
	}
	total := 0
	check := func(what string, x text, limit int) {
		n := len([]rune(x.Text))
		total += n
		switch {
		case n == 0 || n > limit:
			report("%s of %d characters, at most %d", what, n, limit)
		case deceives(x.Text):
			report("%s deceives: %.100q", what, x.Text)
		case x.Type == "mrkdwn":
			for _, link := range strings.Split(x.Text, "  ·  ") {
				match := regexp.MustCompile(`^<(https://[!-;=?-{}~]+)\|[A-Za-z ]+>$`).FindStringSubmatch(link)
				if match == nil {
					report("%s is more than a link: %q", what, link)
					continue
				}
				u, err := url.Parse(match[1])
				if err != nil || u.User != nil || !slices.Contains([]string{"github.com", "pypi.org", "test.pypi.org", "search.sigstore.dev"}, u.Host) {
					report("%s leads to %q", what, match[1])
				}
			}
		case x.Type != "plain_text":
			report("%s is %s", what, x.Type)
		}
	}
	for i, b := range m.Blocks {
		limit, known := map[string]int{"header": 150, "section": 3000, "context": 0}[b.Type]
		if !known {
			report("block %d is a %s", i, b.Type)
		}
		if b.Text != nil {
			check(b.Type, *b.Text, limit)
		}
		if len(b.Fields) > 10 || len(b.Elements) > 10 {
			report("%d fields, %d elements", len(b.Fields), len(b.Elements))
		}
		if b.Type == "section" && b.Text == nil && len(b.Fields) == 0 {
			report("an empty section")
		}
		for _, f := range b.Fields {
			check("field", f, 2000)
		}
		for _, e := range b.Elements {
			check("context", e, 2000)
		}
	}
	if total > 13_000 {
		report("%d characters in all", total)
	}
	return all
}

// hostile is what could notify people, lead them elsewhere, deceive them, or not fit.
var hostile = "<!channel> <@U123> @everyone <https://evil.example|click> https://evil.example [x](javascript:alert(1)) *bold* `code` ```fence``` &amp; \u202egnp.exe \u200b\u2066\x1b[31m\x00\r\n:rotating_light: \xff " + strings.Repeat("A", 10_000) + "END"

// hostileMessages fill every field with it, one finding and many.
func hostileParcels() map[string]notify.Parcel {
	message := func(i int) notify.Message {
		f := audit.Finding{ID: fmt.Sprintf("f-%012d", i), Rule: audit.UnexpectedIdentity, Severity: audit.Critical, Status: audit.Open, Summary: hostile, Expected: hostile, Advice: hostile,
			Subject:  audit.Subject{Project: hostile, Index: "pypi", PyPIProject: hostile, Release: hostile, File: hostile, SHA256: hostile},
			Identity: &audit.IdentityRef{SAN: hostile, Run: "https://github.com/a/b/actions/runs/1|<!channel>" + hostile, Repository: "a/b" + hostile, Commit: hostile},
			Log:      &audit.LogRef{Origin: "rekor.sigstore.dev" + hostile, Index: 1, GlobalIndex: 2}}
		return notify.Message{ID: int64(i), Finding: f, Transition: audit.Opened, At: start, By: hostile, Why: hostile}
	}
	var many []notify.Message
	for i := range 300 {
		many = append(many, message(i))
	}
	return map[string]notify.Parcel{
		"single": single(message(1)), "group": {Form: notify.Group, Messages: many},
		"digest": {Form: notify.Digest, Messages: many}, "summary": {Form: notify.Summary, Messages: many},
	}
}

func TestHostileTextIsHarmlessOnSlack(t *testing.T) {
	for name, p := range hostileParcels() {
		m := readPosted(t, postParcel(t, p))
		for _, problem := range m.problems() {
			t.Errorf("%s: %s", name, problem)
		}
		if name == "single" && !strings.Contains(fmt.Sprint(m.Blocks), "END") {
			t.Error("what was cut lost its end")
		}
		if m.Unfurl == nil {
			t.Errorf("%s: Slack fetches the links in it", name)
		}
	}
}

// TestTheCheckOfSlacksLimitsFindsWhatIsWrong shows that the check can fail.
func TestTheCheckOfSlacksLimitsFindsWhatIsWrong(t *testing.T) {
	plain := func(s string) *text { return &text{"plain_text", s} }
	good := func() posted {
		return posted{Text: "x", Blocks: []block{{Type: "header", Text: plain("x")}, {Type: "section", Text: &text{"mrkdwn", "<https://pypi.org/project/onnx/|Project on PyPI>"}}}}
	}
	if problems := good().problems(); len(problems) != 0 {
		t.Fatalf("a good one: %v", problems)
	}
	for name, edit := range map[string]func(*posted){
		"mention in the text":  func(m *posted) { m.Text = "<!channel>" },
		"long header":          func(m *posted) { m.Blocks[0].Text = plain(strings.Repeat("x", 151)) },
		"long section":         func(m *posted) { m.Blocks[1].Text = plain(strings.Repeat("x", 3001)) },
		"empty section":        func(m *posted) { m.Blocks[1].Text = nil },
		"eleven fields":        func(m *posted) { m.Blocks[1].Fields = slices.Repeat([]text{*plain("x")}, 11) },
		"long field":           func(m *posted) { m.Blocks[1].Fields = []text{*plain(strings.Repeat("x", 2001))} },
		"mrkdwn":               func(m *posted) { m.Blocks[1].Text = &text{"mrkdwn", "*x*"} },
		"foreign link":         func(m *posted) { m.Blocks[1].Text = &text{"mrkdwn", "<https://evil.example/|Commit>"} },
		"user name in a link":  func(m *posted) { m.Blocks[1].Text = &text{"mrkdwn", "<https://pypi.org@evil.example/|Commit>"} },
		"too many blocks":      func(m *posted) { m.Blocks = slices.Repeat(m.Blocks, 26) },
		"unknown block":        func(m *posted) { m.Blocks[0].Type = "image" },
		"overridden direction": func(m *posted) { m.Blocks[0].Text = plain("a\u202eb") },
		"too long in all": func(m *posted) {
			m.Blocks = slices.Repeat([]block{{Type: "section", Text: plain(strings.Repeat("x", 3000))}}, 5)
		},
		"links that are fetched": func(m *posted) { m.Unfurl = new(true) },
	} {
		m := good()
		if edit(&m); len(m.problems()) == 0 {
			t.Errorf("%s passes", name)
		}
	}
}
