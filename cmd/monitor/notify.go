package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/notify"
)

// notifyAnswer is the JSON of notify test.
type notifyAnswer struct {
	Schema   string         `json:"schema"`
	Channels []testedResult `json:"channels"`
}

// testedResult is what became of the test finding on one channel.
type testedResult struct {
	Channel string `json:"channel"`
	// Sent says that the channel took it. Maybe says that it may have, although Problem is what it reported.
	Sent    bool   `json:"sent"`
	Maybe   bool   `json:"maybe,omitempty"`
	Problem string `json:"problem,omitempty"`
}

func (a *app) notifyCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "notify", Short: "Try the channels that findings are sent through", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(&cobra.Command{
		Use:   "test",
		Short: "Send a test finding through every channel, and say what happened",
		Long: `test sends one finding that says that it is a test to every configured channel, whatever its route, its quiet hours and its
limits are, and its resolution after it. The record is not touched. Nothing is sent to the heartbeat.

Exit codes: 0 every channel took it; 2 usage or configuration; 3 a channel did not take it.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.runNotifyTest(c.Context(), g) },
	})
	return c
}

// runNotifyTest sends the test finding.
func (a *app) runNotifyTest(ctx context.Context, g *globals) error {
	cfg, err := g.loadConfig()
	if err != nil {
		return err
	}
	channels, err := a.channels(cfg)
	if err != nil {
		return err
	}
	if len(channels) == 0 {
		return &exitError{exitUsage, errNoChannel}
	}
	answer := &notifyAnswer{Schema: "notify-test/1", Channels: []testedResult{}}
	failed := false
	for _, c := range channels {
		r := a.sendTest(ctx, c)
		failed = failed || !r.Sent
		answer.Channels = append(answer.Channels, r)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if g.json {
		err = a.printJSON(answer)
	} else {
		for _, r := range answer.Channels {
			line(a.stdout, "%s: %s", r.Channel, r.text())
		}
	}
	if err == nil && failed {
		return &exitError{code: exitUnknown}
	}
	return err
}

// text is a result in words.
func (r testedResult) text() string {
	switch {
	case r.Sent:
		return "took it"
	case r.Maybe:
		return "may have taken it: " + r.Problem
	}
	return "did not take it: " + r.Problem
}

// sendTest sends a finding and its resolution to one channel.
func (a *app) sendTest(ctx context.Context, c notify.Channel) testedResult {
	r := testedResult{Channel: c.Name()}
	now := a.clock.Now().UTC()
	f := audit.Finding{ID: audit.FindingID(fmt.Sprint("test|", now.UnixMicro())), Rule: "notify-test", Severity: audit.Info, Status: audit.Open, OpenedAt: now, LastSeenAt: now,
		Subject: audit.Subject{Channel: c.Name()}, Summary: "this is a test of the channel " + c.Name() + ": nothing is wrong", Advice: "Nothing. Whoever reads this would have been told."}
	send := func(t audit.Transition, thread string) (string, error) {
		m := notify.Message{ID: 1, Finding: f, Transition: t, At: now}
		return c.Send(ctx, notify.Parcel{Form: notify.Single, Messages: []notify.Message{m}, Thread: thread, Root: []notify.Message{m}})
	}
	thread, err := send(audit.Opened, "")
	if err == nil {
		f.Status, f.ResolvedAt, f.Advice = audit.Resolved, &now, ""
		_, err = send(audit.Settled, thread)
	}
	var known *notify.Error
	if r.Sent = err == nil; !r.Sent {
		r.Problem, r.Maybe = err.Error(), !errors.As(err, &known) || !known.NotTaken
	}
	return r
}
