package notify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nicholas-fedor/shoutrrr"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// Service sends short text to a service by URL, through the library shoutrrr, which knows each service's API. The whole URL
// is a secret. The library tells no status and takes no context: a failure may have taken effect unless no connection was
// made, and what takes longer than the time limit is left to end by itself.
//
// The services interpret text in ways of their own, so what comes from outside is defanged: nothing in it is a mention,
// a link or markup on any of them.
type Service struct {
	name, address string
	limit         time.Duration
	clock         clock.Clock
}

// ServiceSchemes are the services that may be used, by the schemes of their URLs. The library knows more: what this program
// has a channel of its own for is not among them.
func ServiceSchemes() []string {
	return []string{"discord", "googlechat", "gotify", "lark", "matrix", "mattermost", "ntfy", "opsgenie", "pagerduty", "pushbullet", "pushover",
		"rocketchat", "signal", "telegram", "wecom", "zulip"}
}

// NewService makes the channel. Nothing is sent, and nobody is asked.
func NewService(name, address string, limit time.Duration, c clock.Clock) (*Service, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" {
		return nil, fmt.Errorf("alerts.channels.%s.service: it is not a URL", name)
	}
	if !slices.Contains(ServiceSchemes(), u.Scheme) {
		return nil, fmt.Errorf("alerts.channels.%s.service: its scheme is not one of %s", name, strings.Join(ServiceSchemes(), ", "))
	}
	return &Service{name: name, address: address, limit: limit, clock: c}, nil
}

// Name implements Channel.
func (s *Service) Name() string { return s.name }

// Send implements Channel.
func (s *Service) Send(ctx context.Context, p Parcel) (string, error) {
	const value = 180 // so that all of it fits into the shortest message that a service takes
	n := p.Notice()
	if len(n.Items) > 8 {
		n.More += len(n.Items) - 8
		n.Items = n.Items[:8]
	}
	message := defanged(n.Title) + "\n" + n.text(value, defanged)
	ctx, cancel := s.clock.WithTimeout(ctx, s.limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.send(message) }()
	select {
	case err := <-done:
		if err != nil {
			return "", unanswered("the service", err, secretsOf(s.address)...)
		}
		return "", nil
	case <-ctx.Done():
		return "", &Error{Err: fmt.Errorf("the service: %w", context.Cause(ctx))}
	}
}

// send sends, and waits for as long as that takes. A panic of a service's code is its failure, not the program's.
func (s *Service) send(message string) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the library that sends to it panicked")
		}
	}()
	router, err := shoutrrr.CreateSender()
	if err != nil {
		return err
	}
	service, err := router.Locate(s.address) // which logs in, on some
	if err != nil {
		return err
	}
	return service.Send(message, nil)
}

// defanged takes from a text what any service gives a meaning to: mentions, links and markup.
func defanged(s string) string {
	return strings.NewReplacer("://", ":\u2215\u2215", "@", "\uff20", "<", "\u2039", ">", "\u203a", "`", "\u02cb", "[", "\uff3b", "]", "\uff3d",
		"*", "\u2217", "_", "\uff3f", "~", "\u223c", "|", "\u2223", "#", "\uff03", "&", "\uff06", "\\", "\u2216").Replace(s)
}
