package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/slack-go/slack"
)

// SlackName is the name in the outbox of the channel that alerts.slack configures.
const SlackName = "slack"

// Slack posts to an incoming webhook. The webhook's URL is a secret: it is in no error and no log.
type Slack struct {
	name    string
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
	return &Slack{name: SlackName, webhook: webhook, client: client}, nil
}

// Named returns the channel under another name.
func (s *Slack) Named(name string) *Slack {
	return &Slack{name: name, webhook: s.webhook, client: s.client}
}

// Name implements Channel.
func (s *Slack) Name() string { return s.name }

// Send implements Channel. A webhook has no threads: every parcel is a message of its own.
func (s *Slack) Send(ctx context.Context, p Parcel) (string, error) {
	n := p.Notice()
	m := &slack.WebhookMessage{Text: slackText(n), Blocks: &slack.Blocks{BlockSet: slackBlocks(n)}, UnfurlLinks: new(bool)}
	return "", s.known(slack.PostWebhookCustomHTTPContext(ctx, s.webhook, s.client, m))
}

// known says what is known about a failure.
func (s *Slack) known(err error) error {
	if err == nil {
		return nil
	}
	var limited *slack.RateLimitedError
	var garbled *strconv.NumError
	var status slack.StatusCodeError
	switch {
	case errors.As(err, &limited):
		return &Error{Err: fmt.Errorf("slack asks to wait %s", limited.RetryAfter), NotTaken: true, RetryAfter: limited.RetryAfter}
	case errors.As(err, &garbled):
		// The library reads one number from an answer: the Retry-After of a 429.
		return &Error{Err: errors.New("slack asks to wait, and does not say in seconds how long"), NotTaken: true}
	case errors.As(err, &status):
		// A 4xx is Slack's refusal; after a 5xx the message may be in the channel all the same. 400 and 413 are about the message,
		// the others about the webhook.
		return &Error{Err: fmt.Errorf("slack answered %s", status.Status), NotTaken: status.Code < 500,
			OnlyThis: status.Code == http.StatusBadRequest || status.Code == http.StatusRequestEntityTooLarge}
	}
	return unanswered("slack", err, secretsOf(s.webhook)...)
}
