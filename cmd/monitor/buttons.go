package main

import (
	"context"
	"log/slog"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/notify"
)

// slackButtons has the bots that have an app's token show buttons, and returns what hears of them.
func (a *app) slackButtons(with daemonConfig, record *db.DB, logger *slog.Logger) ([]*notify.SlackButtons, error) {
	bots := map[string]*notify.SlackBot{}
	for _, c := range with.channels {
		if bot, ok := c.(*notify.SlackBot); ok {
			bots[bot.Name()] = bot
		}
	}
	var all []*notify.SlackButtons
	for _, c := range with.cfg.Alerts.All() {
		if c.Slack == nil || c.Slack.AppToken == nil || bots[c.Name] == nil {
			continue
		}
		token, err := c.Slack.AppToken.Read()
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		b, err := bots[c.Name].WithButtons(token, c.Slack.Acknowledgers, decider{record, with.cfg}, a.clock, logger, alertClient())
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		all = append(all, b)
	}
	return all, nil
}

// decider records what was decided outside the program.
type decider struct {
	record *db.DB
	cfg    *config.Config
}

// Decide implements notify.Decider. What was resolved meanwhile needs no decision, and one that is there already is not made again.
func (d decider) Decide(ctx context.Context, id string, ack audit.Ack) error {
	f, err := d.record.Finding(ctx, id)
	switch {
	case err != nil:
		return err
	case f.Status == audit.Resolved || f.Ack != nil && f.Ack.At.Equal(ack.At) && f.Ack.By == ack.By:
		return nil
	}
	_, err = d.record.Acknowledge(ctx, id, ack, channelNames(d.cfg))
	return err
}
