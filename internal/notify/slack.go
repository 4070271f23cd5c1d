package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/slack-go/slack"
)

// SlackName is the name of the Slack channel in the outbox.
const SlackName = "slack"

// Slack posts to an incoming webhook. The webhook's URL is a secret: it is in no error and no log.
type Slack struct {
	webhook string
	client  *http.Client
}

// NewSlack checks the webhook's URL: https, or http on loopback. client must not follow redirects to other hosts.
func NewSlack(webhook string, client *http.Client) (*Slack, error) {
	u, err := url.Parse(webhook)
	if err != nil || u.Host == "" {
		return nil, errors.New("alerts.slack: the webhook is not a URL: copy it from the Slack app's page \"Incoming Webhooks\"")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback) {
		return nil, fmt.Errorf("alerts.slack: the webhook's URL has scheme %q: use https", u.Scheme)
	}
	return &Slack{webhook: webhook, client: client}, nil
}

// Name implements Channel.
func (s *Slack) Name() string { return SlackName }

// Send implements Channel.
func (s *Slack) Send(ctx context.Context, m Message) error {
	err := slack.PostWebhookCustomHTTPContext(ctx, s.webhook, s.client, slackMessage(m))
	if err == nil {
		return nil
	}
	var limited *slack.RateLimitedError
	var garbled *strconv.NumError
	var status slack.StatusCodeError
	var dial *net.OpError
	switch {
	case errors.As(err, &limited):
		return &Error{Err: fmt.Errorf("slack asks to wait %s", limited.RetryAfter), NotTaken: true, RetryAfter: limited.RetryAfter}
	case errors.As(err, &garbled):
		// The library reads one number from an answer: the Retry-After of a 429.
		return &Error{Err: errors.New("slack asks to wait, and does not say in seconds how long"), NotTaken: true}
	case errors.As(err, &status):
		// A 4xx is Slack's refusal; after a 5xx the message may be in the channel all the same.
		return &Error{Err: fmt.Errorf("slack answered %s", status.Status), NotTaken: status.Code < 500}
	case errors.As(err, &dial) && dial.Op == "dial":
		return &Error{Err: errors.New("slack cannot be reached: " + s.redact(dial.Error())), NotTaken: true}
	}
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err // url.Error's text has the URL in it
	}
	return &Error{Err: errors.New("slack: " + s.redact(err.Error()))}
}

// redact keeps the webhook out of a text, whoever wrote it.
func (s *Slack) redact(text string) string {
	text = strings.ReplaceAll(text, s.webhook, "[webhook]")
	if u, err := url.Parse(s.webhook); err == nil && len(u.Path) > 1 {
		text = strings.ReplaceAll(text, u.Path, "/[webhook]")
	}
	return text
}

// Slack's limits: a section's text, a field's text, a header's text, in characters.
const (
	sectionLimit = 3000
	fieldLimit   = 2000
	headerLimit  = 150
)

// slackMessage renders a message in Block Kit. Whatever comes from outside (names, identities, reasons) is in
// plain_text objects, in which Slack interprets neither mentions nor links nor formatting; the fallback text escapes
// the three characters that could start one. Characters that reorder, hide or break a line are made visible in both.
func slackMessage(m Message) *slack.WebhookMessage {
	f := m.Finding
	plain := func(s string, limit int) *slack.TextBlockObject {
		return slack.NewTextBlockObject(slack.PlainTextType, cut(s, limit), false, false)
	}
	blocks := []slack.Block{
		slack.NewHeaderBlock(plain(m.Title(), headerLimit)),
		slack.NewSectionBlock(plain(visible(f.Summary), sectionLimit), nil, nil),
	}
	var fields []*slack.TextBlockObject
	add := func(name, value string) {
		if value != "" && len(fields) < 10 {
			fields = append(fields, plain(name+"\n"+visible(value), fieldLimit))
		}
	}
	add("Expected", f.Expected)
	add("Project", f.Project)
	add("Release", strings.TrimSpace(f.PyPIProject+" "+f.Release))
	add("File", f.File)
	add("SHA-256", f.SHA256)
	if f.Identity != nil {
		add("Signed by", f.Identity.SAN)
		add("Run", f.Identity.Run)
	}
	add("By", m.By)
	add("Why", m.Why)
	if f.Ack != nil && f.Ack.Until != nil {
		add("Until", f.Ack.Until.UTC().Format(time.RFC3339))
	}
	if len(fields) > 0 {
		blocks = append(blocks, slack.NewSectionBlock(nil, fields, nil))
	}
	if f.Status != "resolved" && f.Advice != "" {
		blocks = append(blocks, slack.NewSectionBlock(plain("What to do: "+visible(f.Advice), sectionLimit), nil, nil))
	}
	foot := fmt.Sprintf("%s at %s. Evidence: monitor explain %s", f.ID, m.At.UTC().Format(time.RFC3339), f.ID)
	if m.Repeat() {
		foot += " (sent again: an earlier attempt may have arrived)"
	}
	blocks = append(blocks, slack.NewContextBlock("", plain(foot, fieldLimit)))
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	return &slack.WebhookMessage{
		Text:        escape.Replace(cut(m.Title()+": "+visible(f.Summary), sectionLimit/2)),
		Blocks:      &slack.Blocks{BlockSet: blocks},
		UnfurlLinks: new(bool),
	}
}

// visible replaces control and formatting characters (newlines, escapes, bidirectional overrides, zero widths), with which
// a name could pass for another or for a line of the message.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// cut shortens a text to a number of characters.
func cut(s string, limit int) string {
	r := []rune(s)
	if len(r) <= limit {
		return s
	}
	return string(r[:limit-1]) + "…"
}
