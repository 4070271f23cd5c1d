package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/notify"
)

// runFlags are the flags of run.
type runFlags struct {
	wait     time.Duration
	noAlerts bool
}

func (a *app) runCommand(g *globals) *cobra.Command {
	flags := runFlags{}
	c := &cobra.Command{
		Use:   "run",
		Short: "Run as a daemon: follow the logs, audit, and deliver alerts, each on its schedule",
		Long: `run does what once does, until it is told to stop: it follows the logs and audits the releases on the configuration's schedules,
beside each other, and delivers alerts as they come up. What was missed while it was stopped is caught up once. It logs a line for
each pass.

SIGTERM and SIGINT end it within seconds; the next run goes on from there. SIGHUP has it read the configuration again; one with a
mistake is refused, and it goes on with the one that it has. Under systemd it says when it is ready (Type=notify).

Without a channel for alerts it refuses to start, unless --no-alerts is said. Exit codes: 0 it was told to stop; 2 usage or
configuration; 3 it could not go on.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.runDaemon(c.Context(), g, flags) },
	}
	c.Flags().DurationVar(&flags.wait, "wait", 10*time.Minute, "how long to wait for another monitor that works on the same record")
	c.Flags().BoolVar(&flags.noAlerts, "no-alerts", false, "run although no channel for alerts is configured")
	return c
}

// daemonConfig is what a daemon is made of, checked as far as that can be done without a network.
type daemonConfig struct {
	cfg      *config.Config
	channels []notify.Channel
}

// daemonConfig reads the configuration, and what it names.
func (a *app) daemonConfig(g *globals, flags runFlags) (daemonConfig, error) {
	cfg, err := g.loadConfig()
	if err != nil {
		return daemonConfig{}, err
	}
	channels, err := a.channels(cfg)
	switch {
	case err != nil:
		return daemonConfig{}, err
	case len(channels) == 0 && !flags.noAlerts:
		return daemonConfig{}, usage("%w, or say --no-alerts", errNoChannel)
	}
	return daemonConfig{cfg, channels}, nil
}

// runDaemon runs until it is told to stop, and begins anew with each configuration that it is told to read.
func (a *app) runDaemon(ctx context.Context, g *globals, flags runFlags) (err error) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	with, err := a.daemonConfig(g, flags)
	if err != nil {
		return err
	}
	logger, err := a.logger(g)
	if err != nil {
		return err
	}
	record, done, err := a.takeRecord(ctx, with.cfg, flags.wait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	version := buildVersion().Version
	logger.Info("monitor runs", "version", version, "record", with.cfg.Database, "follow", with.cfg.Schedules.Follow, "audit", with.cfg.Schedules.Audit, "channels", channelNames(with.cfg))
	for {
		d, err := a.newDaemon(ctx, with, record, logger)
		if err != nil {
			return err
		}
		next, err := a.serve(ctx, d, hangups, func() (daemonConfig, error) { return a.reload(g, flags, with, logger) })
		if err != nil {
			return err
		}
		if next == nil {
			logger.Info("monitor stops: it was told to")
			return &exitError{code: exitOK}
		}
		with = *next
	}
}

// reload reads the configuration again.
func (a *app) reload(g *globals, flags runFlags, old daemonConfig, logger *slog.Logger) (daemonConfig, error) {
	with, err := a.daemonConfig(g, flags)
	if err == nil && with.cfg.Database != old.cfg.Database {
		err = usage("database: %s is in use until the next start, and not %s", old.cfg.Database, with.cfg.Database)
	}
	if err != nil {
		logger.Error("configuration refused: going on with the one before", "config", g.config, "error", err)
		return daemonConfig{}, err
	}
	logger.Info("configuration read", "config", g.config, "policy_sha256", with.cfg.Hash(), "channels", channelNames(with.cfg))
	return with, nil
}

// serve runs a daemon until it is told to stop, and then returns nil, or to go on with another configuration.
func (a *app) serve(ctx context.Context, d *daemon, hangups <-chan os.Signal, reload func() (daemonConfig, error)) (*daemonConfig, error) {
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- d.run(running) }()
	defer stop()
	if err := a.tellSystemd("READY=1"); err != nil {
		d.logger.Warn("systemd cannot be told", "error", err)
	}
	for {
		select {
		case err := <-ended:
			return nil, err // only where it cannot listen: jobs go on
		case <-ctx.Done():
			_ = a.tellSystemd("STOPPING=1") // it is going to notice
			stop()
			return nil, <-ended
		case <-hangups:
			next, err := reload()
			if err != nil {
				continue
			}
			stop()
			return &next, <-ended
		}
	}
}

// finished keeps a line of the diary about a job that is none of a pass.
func finished(ctx context.Context, record *db.DB, id int64, at time.Time, outcome audit.Outcome, summary any) error {
	text, err := json.Marshal(summary)
	if err != nil {
		return err
	}
	return record.FinishRun(context.WithoutCancel(ctx), at, id, outcome, text)
}
