package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"
)

// SlackBot posts by a bot's token: one thread a finding, whose first message shows how the finding stands now, and in which
// everything that becomes of it follows. The token is a secret: it is in no error and no log.
//
// It can tell what it took where the token has the scope channels:history (groups:history in a private channel) and the
// channel is given by its id.
type SlackBot struct {
	name, token, channel string
	address              string // of the API; "" for Slack's own
	api                  *slack.Client
	// buttons says that messages have buttons, which somebody hears of.
	buttons bool
}

// slackEvent is the type of the metadata in which a message carries its parcel's id.
const slackEvent = "rekoncile_alert"

// NewSlackBot makes the channel of a name over Slack's API, which is at https://slack.com/api where api is "".
func NewSlackBot(name, token, channel, api string, client *http.Client) (*SlackBot, error) {
	if !strings.HasPrefix(token, "xox") {
		return nil, fmt.Errorf("alerts.channels.%s.slack: the token is not a bot's: copy it from the Slack app's page \"OAuth & Permissions\" (xoxb-…)", name)
	}
	options := []slack.Option{slack.OptionHTTPClient(client)}
	if api != "" {
		api = strings.TrimRight(api, "/") + "/"
		options = append(options, slack.OptionAPIURL(api))
	}
	return &SlackBot{name: name, token: token, channel: channel, address: api, api: slack.New(token, options...)}, nil
}

// Name implements Channel.
func (s *SlackBot) Name() string { return s.name }

// Send implements Channel. The thread's first message is brought up to date before the reply is posted: doing that twice
// does no harm.
func (s *SlackBot) Send(ctx context.Context, p Parcel) (string, error) {
	at, ok := s.parseThread(p.Thread)
	if ok {
		_, _, _, err := s.api.UpdateMessageContext(ctx, at.channel, at.ts, s.content(p.Standing())...)
		switch {
		case slackSays(err, "message_not_found", "thread_not_found", "channel_not_found", "cant_update_message", "edit_window_closed"):
			at, ok = slackThread{}, false // somebody deleted it: a new one begins
		case err != nil:
			return "", s.known(err)
		}
	}
	options := append(s.content(p.Notice()), slack.MsgOptionMetadata(slack.SlackMetadata{EventType: slackEvent, EventPayload: map[string]any{"id": p.ID()}}))
	target := s.channel
	if ok {
		target = at.channel
		options = append(options, slack.MsgOptionTS(at.ts))
		if p.Loud() {
			options = append(options, slack.MsgOptionBroadcast())
		}
	}
	channel, ts, err := s.api.PostMessageContext(ctx, target, options...)
	if err != nil {
		return "", s.known(err)
	}
	if ok {
		return p.Thread, nil
	}
	return s.thread(p, channel, ts), nil
}

// thread names the thread that a message begins, "" where nothing is to follow it.
func (s *SlackBot) thread(p Parcel, channel, ts string) string {
	if p.Form == Digest || p.Form == Summary {
		return ""
	}
	return s.channel + " " + channel + "/" + ts
}

// slackThread is where a thread is: the channel's id, and the first message's timestamp.
type slackThread struct{ channel, ts string }

// parseThread reads a thread of this configuration: after the channel was changed, findings begin anew there.
func (s *SlackBot) parseThread(thread string) (slackThread, bool) {
	configured, place, ok := strings.Cut(thread, " ")
	channel, ts, cut := strings.Cut(place, "/")
	return slackThread{channel, ts}, ok && cut && configured == s.channel
}

// content is what a message shows.
func (s *SlackBot) content(n Notice) []slack.MsgOption {
	blocks := slackBlocks(n)
	if buttons := buttonsFor(n); s.buttons && buttons != nil {
		blocks = append(blocks, buttons)
	}
	return []slack.MsgOption{slack.MsgOptionText(slackText(n), false), slack.MsgOptionBlocks(blocks...),
		slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl()}
}

// Took implements Teller: messages carry their parcel's id in metadata, which the channel's history shows.
func (s *SlackBot) Took(ctx context.Context, p Parcel) (string, bool, error) {
	const pages, margin = 5, 5 * time.Minute // Slack's clock is not ours
	oldest := fmt.Sprintf("%d.000000", earliest(p).Add(-margin).Unix())
	at, replied := s.parseThread(p.Thread)
	cursor := ""
	for range pages {
		var messages []slack.Message
		var err error
		if replied {
			messages, _, cursor, err = s.api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
				ChannelID: at.channel, Timestamp: at.ts, Oldest: oldest, Cursor: cursor, Limit: 200, IncludeAllMetadata: true})
		} else {
			var history *slack.GetConversationHistoryResponse
			history, err = s.api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
				ChannelID: s.channel, Oldest: oldest, Cursor: cursor, Limit: 200, IncludeAllMetadata: true})
			if history != nil {
				messages, cursor = history.Messages, history.ResponseMetaData.NextCursor
			}
		}
		var said slack.SlackErrorResponse
		switch {
		case errors.As(err, &said) && !slackSays(err, slackPassing()...):
			return "", false, fmt.Errorf("%w: slack says %s", errCannotTell, s.redact(said.Err))
		case err != nil:
			return "", false, s.known(err)
		}
		for _, m := range messages {
			if m.Metadata.EventType != slackEvent || m.Metadata.EventPayload["id"] != p.ID() {
				continue
			}
			if replied {
				return p.Thread, true, nil
			}
			return s.thread(p, s.channel, m.Timestamp), true, nil
		}
		if cursor == "" {
			return "", false, nil
		}
	}
	return "", false, fmt.Errorf("%w: too much was posted since", errCannotTell)
}

// earliest is the first instant at which a parcel may have been taken.
func earliest(p Parcel) time.Time {
	var at time.Time
	for _, m := range p.Messages {
		if m.Repeat() && (at.IsZero() || m.AttemptedAt.Before(at)) {
			at = m.AttemptedAt
		}
	}
	return at
}

// slackPassing is what Slack says where it is in trouble itself.
func slackPassing() []string {
	return []string{"internal_error", "fatal_error", "service_unavailable", "request_timeout", "ratelimited", "rate_limited"}
}

// slackRefusal is what Slack says where it refuses a message for what it is.
func slackRefusal() []string {
	return []string{"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text", "metadata_too_large",
		"invalid_metadata_format", "invalid_arguments"}
}

// slackSays reports whether Slack answered with one of some errors.
func slackSays(err error, codes ...string) bool {
	var said slack.SlackErrorResponse
	return errors.As(err, &said) && slices.Contains(codes, said.Err)
}

// known says what is known about a failure.
func (s *SlackBot) known(err error) error {
	var limited *slack.RateLimitedError
	var said slack.SlackErrorResponse
	var status slack.StatusCodeError
	switch {
	case errors.As(err, &limited):
		return &Error{Err: fmt.Errorf("slack asks to wait %s", limited.RetryAfter), NotTaken: true, RetryAfter: limited.RetryAfter}
	case errors.As(err, &said):
		hint := ""
		switch said.Err {
		case "invalid_auth", "token_revoked", "token_expired", "account_inactive", "not_authed":
			hint = ": give the channel a new token"
		case "channel_not_found", "not_in_channel":
			hint = ": invite the bot to the channel, or name another"
		case "is_archived":
			hint = ": name another channel"
		case "missing_scope":
			hint = ": the token needs the scope chat:write"
		}
		return &Error{Err: fmt.Errorf("slack says %s%s", s.redact(said.Err), hint), NotTaken: !slackSays(err, slackPassing()...), OnlyThis: slackSays(err, slackRefusal()...)}
	case errors.As(err, &status):
		return &Error{Err: fmt.Errorf("slack answered %s", status.Status), NotTaken: status.Code < 500}
	}
	return unanswered("slack", err, s.token)
}

// redact keeps the token out of a text, whoever wrote it.
func (s *SlackBot) redact(text string) string { return redact(text, s.token) }

// secretsOf are the parts of a secret URL that must not be told: all but scheme and host.
func secretsOf(address string) []string {
	secrets := []string{address}
	u, err := url.Parse(address)
	if err != nil {
		return secrets
	}
	if password, ok := u.User.Password(); ok {
		secrets = append(secrets, password)
	}
	if name := u.User.Username(); name != "" {
		secrets = append(secrets, name)
	}
	secrets = append(secrets, u.RequestURI(), u.Path, u.EscapedPath(), u.RawQuery)
	secrets = append(secrets, strings.Split(u.Path, "/")...)
	for _, values := range u.Query() {
		secrets = append(secrets, values...)
	}
	return secrets
}

// redact keeps secrets out of a text, the longest first. What is shorter than four characters is in too many words.
func redact(text string, secrets ...string) string {
	secrets = slices.Clone(secrets)
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range secrets {
		if len(secret) >= 4 {
			text = strings.ReplaceAll(text, secret, "[secret]")
			text = strings.ReplaceAll(text, url.QueryEscape(secret), "[secret]")
		}
	}
	return text
}
