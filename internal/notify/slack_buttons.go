package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"
	"github.com/slack-go/slack/socketmode"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
)

// Decider records people's decisions. A decision that it has already changes nothing.
type Decider interface {
	Decide(ctx context.Context, findingID string, ack audit.Ack) error
}

// SlackButtons hears who presses *Acknowledge* or *Snooze 1 day* below a bot's messages, through Socket Mode: the connection is the
// program's own, so that nothing of it can be reached from outside. A press counts when the record has it, and is confirmed to Slack
// only then; the outbox tells of it like of any other decision. The app's token is a secret.
type SlackButtons struct {
	bot      *SlackBot
	appToken string
	// allowed are the ids of the users whose presses count; of everybody in the channel where it is empty.
	allowed []string
	decider Decider
	clock   clock.Clock
	logger  *slog.Logger
	client  *http.Client
}

const (
	buttonAck    = "rekoncile_acknowledge"
	buttonSnooze = "rekoncile_snooze"
	// snoozeFor is how long a snoozed finding is left in peace.
	snoozeFor = 24 * time.Hour
	// maxPressed is how many findings one button decides about; Slack allows its value 2,000 characters.
	maxPressed = 40
	// maxEnvelope bounds what Slack sends at once, in bytes: a press has the message with it.
	maxEnvelope = 512 << 10
	// reconnectAfter is how long to wait before the connection is made again.
	reconnectAfter = 30 * time.Second
)

var (
	pressedFinding = regexp.MustCompile(`^f-[0-9a-f]{12}$`)
	slackUser      = regexp.MustCompile(`^[UW][A-Z0-9]{2,30}$`)
)

// WithButtons has the bot show buttons, and returns what hears of them.
func (s *SlackBot) WithButtons(appToken string, allowed []string, decider Decider, c clock.Clock, logger *slog.Logger, client *http.Client) (*SlackButtons, error) {
	if !strings.HasPrefix(appToken, "xapp-") {
		return nil, fmt.Errorf("alerts.channels.%s.slack: the app_token is not an app's: make one with the scope connections:write on the Slack app's page \"Basic Information\" (xapp-…)", s.name)
	}
	s.buttons = true
	return &SlackButtons{s, appToken, allowed, decider, c, logger, client}, nil
}

// Run hears presses until the context ends, and connects again after trouble.
func (b *SlackButtons) Run(ctx context.Context) {
	for {
		err := b.connected(ctx)
		if ctx.Err() != nil {
			return
		}
		b.logger.Warn("Slack's buttons are not heard: connecting again", "channel", b.bot.name, "after", reconnectAfter, "error", redact(fmt.Sprint(err), b.appToken, b.bot.token))
		if clock.Sleep(ctx, b.clock, reconnectAfter) != nil {
			return
		}
	}
}

// connected hears presses for as long as the connection holds.
func (b *SlackButtons) connected(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	options := []slack.Option{slack.OptionHTTPClient(b.client), slack.OptionAppLevelToken(b.appToken)}
	if b.bot.address != "" {
		options = append(options, slack.OptionAPIURL(b.bot.address))
	}
	socket := socketmode.New(slack.New(b.bot.token, options...), socketmode.OptionReadLimit(maxEnvelope))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	ended := make(chan error, 1)
	wg.Go(func() { ended <- socket.RunContext(ctx) })
	for {
		select {
		case err := <-ended:
			return err
		case e := <-socket.Events:
			if err := b.hear(ctx, socket, e); err != nil {
				return err
			}
		}
	}
}

// hear takes an event. The error is the record's: Slack is told nothing then, and sends the event again.
func (b *SlackButtons) hear(ctx context.Context, socket *socketmode.Client, e socketmode.Event) error {
	if e.Type == socketmode.EventTypeConnected {
		b.logger.Info("Slack's buttons are heard", "channel", b.bot.name)
	}
	if e.Request == nil || e.Request.EnvelopeID == "" {
		return nil
	}
	if press, ok := e.Data.(slack.InteractionCallback); ok && e.Type == socketmode.EventTypeInteractive && press.Type == slack.InteractionTypeBlockActions {
		if err := b.press(ctx, press); err != nil {
			return err
		}
	}
	return socket.AckCtx(ctx, e.Request.EnvelopeID, nil)
}

// refusedPress is why a press does not count, for whoever pressed.
type refusedPress string

func (r refusedPress) Error() string { return string(r) }

// press records what somebody pressed, or tells them why it does not count.
func (b *SlackButtons) press(ctx context.Context, press slack.InteractionCallback) error {
	for _, action := range press.ActionCallback.BlockActions {
		if action == nil || action.ActionID != buttonAck && action.ActionID != buttonSnooze {
			continue
		}
		err := b.decide(ctx, press, *action)
		var refused refusedPress
		switch {
		case err == nil:
		case errors.As(err, &refused):
			b.logger.Warn("a button was pressed, and does not count", "channel", b.bot.name, "user", visible(cut(press.User.ID, 40)), "because", string(refused))
			b.tell(ctx, press, string(refused))
		default:
			b.tell(ctx, press, "it could not be recorded: press it again later")
			return err
		}
	}
	return nil
}

// decide records one press.
func (b *SlackButtons) decide(ctx context.Context, press slack.InteractionCallback, action slack.BlockAction) error {
	ids := strings.Fields(action.Value)
	switch {
	case press.Channel.ID != b.bot.channel && "#"+press.Channel.Name != b.bot.channel:
		return refusedPress("the button is of another channel than the configured one")
	case !slackUser.MatchString(press.User.ID):
		return refusedPress("Slack does not say who pressed it")
	case len(b.allowed) > 0 && !slices.Contains(b.allowed, press.User.ID):
		return refusedPress("you are not among those who may acknowledge findings here")
	case len(ids) == 0 || len(ids) > maxPressed || slices.ContainsFunc(ids, func(id string) bool { return !pressedFinding.MatchString(id) }):
		return refusedPress("the button does not say which finding it is about")
	}
	at := b.pressedAt(action.ActionTs)
	ack := audit.Ack{By: fmt.Sprintf("%s (%s on Slack)", visible(cut(press.User.Name, 60)), press.User.ID), Why: "acknowledged by a button", At: at}
	if action.ActionID == buttonSnooze {
		until := at.Add(snoozeFor)
		ack.Why, ack.Until = "snoozed for a day by a button", &until
	}
	for _, id := range ids {
		if err := b.decider.Decide(ctx, id, ack); err != nil {
			return err
		}
	}
	return nil
}

// pressedAt reads when a button was pressed, which is the same however often Slack says it. Of nonsense it is now.
func (b *SlackButtons) pressedAt(ts string) time.Time {
	now := b.clock.Now()
	seconds, fraction, _ := strings.Cut(ts, ".")
	s, err1 := strconv.ParseInt(seconds, 10, 64)
	us, err2 := strconv.ParseInt((fraction + "000000")[:6], 10, 64)
	at := time.Unix(s, us*1000).UTC()
	if err1 != nil || err2 != nil || at.Before(now.Add(-time.Hour)) || at.After(now.Add(time.Hour)) {
		return now
	}
	return at
}

// tell says something to the one who pressed, and to nobody else. That it does not arrive is no trouble.
func (b *SlackButtons) tell(ctx context.Context, press slack.InteractionCallback, what string) {
	if press.Channel.ID == "" || !slackUser.MatchString(press.User.ID) {
		return
	}
	if _, err := b.bot.api.PostEphemeralContext(ctx, press.Channel.ID, press.User.ID, slack.MsgOptionText("Nothing was changed: "+what+".", false)); err != nil {
		b.logger.Warn("whoever pressed a button on Slack could not be told", "error", b.bot.redact(err.Error()))
	}
}

// buttonsFor are the buttons below a message, nil where nothing is to be decided.
func buttonsFor(n Notice) slack.Block {
	if len(n.Decide) == 0 || len(n.Decide) > maxPressed {
		return nil
	}
	button := func(id, label string) *slack.ButtonBlockElement {
		return slack.NewButtonBlockElement(id, strings.Join(n.Decide, " "), slack.NewTextBlockObject(slack.PlainTextType, label, false, false))
	}
	return slack.NewActionBlock("rekoncile", button(buttonAck, "Acknowledge"), button(buttonSnooze, "Snooze 1 day"))
}
