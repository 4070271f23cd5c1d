package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/notify"
)

// alertTimeout is how long a channel is waited for.
const alertTimeout = 30 * time.Second

// alertClient makes the HTTP client of the channels. It follows no redirect: a secret goes to the host that was configured.
func alertClient() *http.Client {
	return &http.Client{Timeout: alertTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// channels makes the configured channels. Their secrets are read, and nothing is sent.
func (a *app) channels(cfg *config.Config) ([]notify.Channel, error) {
	var all []notify.Channel
	client := alertClient()
	for _, c := range cfg.Alerts.All() {
		channel, err := a.channel(c, client)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("channel %s: %w", c.Name, err)}
		}
		all = append(all, channel)
	}
	return all, nil
}

// channel makes one channel.
func (a *app) channel(c config.Channel, client *http.Client) (notify.Channel, error) {
	switch {
	case c.Slack != nil && c.Slack.Channel == "":
		webhook, err := c.Slack.Webhook.Read()
		if err != nil {
			return nil, err
		}
		slack, err := notify.NewSlack(webhook, client)
		if err != nil {
			return nil, err
		}
		return slack.Named(c.Name), nil
	case c.Slack != nil:
		token, err := c.Slack.Token.Read()
		if err != nil {
			return nil, err
		}
		return notify.NewSlackBot(c.Name, token, c.Slack.Channel, c.Slack.API, client)
	case c.Webhook != nil:
		address, err := c.Webhook.URL.Read()
		if err != nil {
			return nil, err
		}
		key, err := c.Webhook.Key.Read()
		if err != nil {
			return nil, err
		}
		return notify.NewWebhook(c.Name, address, key, client, a.clock)
	case c.Email != nil:
		return a.email(c)
	case c.GitHub != nil:
		token, err := c.GitHub.Token.Read()
		if err != nil {
			return nil, err
		}
		return notify.NewIssues(c.Name, c.GitHub.Repository, token, c.GitHub.API, client), nil
	case c.Teams != nil:
		address, err := c.Teams.URL.Read()
		if err != nil {
			return nil, err
		}
		return notify.NewTeams(c.Name, address, client)
	case c.Service != nil:
		address, err := c.Service.URL.Read()
		if err != nil {
			return nil, err
		}
		return notify.NewService(c.Name, address, alertTimeout, a.clock)
	case c.Log.Path == "":
		return notify.NewStream(c.Name, a.stderr), nil
	}
	return notify.NewLogFile(c.Name, c.Log.Path), nil
}

// email makes a channel over an SMTP server.
func (a *app) email(c config.Channel) (notify.Channel, error) {
	e := c.Email
	o := notify.EmailOptions{Server: e.Server, Implicit: e.TLS == config.TLSImplicit, Plain: e.TLS == config.TLSNone, From: e.From, To: e.To,
		User: e.User, Timeout: alertTimeout, Clock: a.clock}
	if e.Password != nil {
		var err error
		if o.Password, err = e.Password.Read(); err != nil {
			return nil, err
		}
	}
	return notify.NewEmail(c.Name, o)
}

// channelNames are the names under which the outbox knows the configured channels.
func channelNames(cfg *config.Config) []string {
	var names []string
	for _, c := range cfg.Alerts.All() {
		names = append(names, c.Name)
	}
	return names
}

// routes are what the configuration says that each channel is told.
func routes(cfg *config.Config) map[string]notify.Route {
	all := map[string]notify.Route{}
	for _, c := range cfg.Alerts.All() {
		r := notify.Route{MinSeverity: audit.Severity(c.MinSeverity), Projects: c.Projects, Rules: c.Rules, Hourly: c.Hourly, Summarize: c.FirstLook}
		if q := c.Quiet; q != nil {
			r.Quiet = &notify.Quiet{From: q.From, To: q.To, Zone: q.Zone}
		}
		all[c.Name] = r
	}
	return all
}

// deliverOutbox makes a pass over the outbox, reminds people of what is open, and tells the channels that work of those that
// do not.
func (p *pass) deliverOutbox(ctx context.Context, record *db.DB, answer *passAnswer) error {
	now := p.app.clock.Now()
	reminded, err := record.Remind(ctx, now, channelNames(p.cfg))
	if err != nil {
		return err
	}
	for _, c := range reminded {
		p.logger.Info("finding "+string(c.Transition), "id", c.Finding.ID, "rule", c.Finding.Rule, "why", c.Why)
	}
	worker := &notify.Worker{Outbox: record, Channels: p.channels, Routes: routes(p.cfg), Clock: p.app.clock, Logger: p.logger}
	if answer.Deliveries, err = worker.Deliver(ctx); err != nil {
		return err
	}
	now = p.app.clock.Now()
	working := notify.Working(answer.Deliveries)
	changes, err := record.SettleDelivery(ctx, now, notify.Assess(answer.Deliveries, ruleSet(p.cfg), now), working)
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		if err := p.deliverAgain(ctx, worker, working, answer); err != nil {
			return err
		}
	}
	for _, d := range answer.Deliveries {
		if d.Pending > d.Held {
			answer.Outcome = audit.Incomplete
		}
	}
	return nil
}

// deliverAgain tells the channels that work what was found out about the others.
func (p *pass) deliverAgain(ctx context.Context, worker *notify.Worker, working []string, answer *passAnswer) error {
	inOrder := map[string]int{}
	for i, d := range answer.Deliveries {
		inOrder[d.Channel] = i
	}
	worker.Channels = nil
	for _, c := range p.channels {
		for _, name := range working {
			if c.Name() == name {
				worker.Channels = append(worker.Channels, c)
			}
		}
	}
	deliveries, err := worker.Deliver(ctx)
	for _, d := range deliveries {
		first := &answer.Deliveries[inOrder[d.Channel]]
		d.Delivered += first.Delivered
		if d.Problem == "" {
			d.Problem = first.Problem
		}
		*first = d
	}
	return err
}

// beat calls the heartbeat URL after a pass that was proven: whoever waits for it hears of a monitor that has stopped, or that
// cannot see.
func (p *pass) beat(ctx context.Context, answer *passAnswer) error {
	if p.cfg.Alerts.Heartbeat == nil {
		return nil
	}
	if answer.Outcome != audit.Complete {
		answer.Heartbeat = "not called: the pass was not proven"
		return nil
	}
	address, err := p.cfg.Alerts.Heartbeat.Read()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if err := notify.Beat(ctx, alertClient(), address); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		answer.Heartbeat, answer.Outcome = err.Error(), audit.Incomplete
		p.logger.Warn("heartbeat not taken", "error", err)
		return nil
	}
	answer.Heartbeat = "called"
	return nil
}

// errNoChannel says that there is nobody to tell.
var errNoChannel = errors.New("no channel is configured: nobody would be told; add one under alerts")
