package main

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/db"
)

// backupAnswer is the JSON of backup and restore.
type backupAnswer struct {
	Schema string `json:"schema"`
	Record string `json:"record"`
	Backup string `json:"backup"`
	// Aside is where restore has moved the record that was there.
	Aside string `json:"aside,omitempty"`
}

func (a *app) backupCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a consistent copy of the record, while it is in use",
		Long: `backup writes a copy of the record into a new file, checks it, and gives it its name only then. Monitors may work on the record
meanwhile. The copy is a record: every command takes it with --database.`,
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := g.loadConfig()
			if err != nil {
				return err
			}
			switch err := db.Backup(c.Context(), cfg.Database, args[0]); {
			case errors.Is(err, fs.ErrExist):
				return usage("%s is there already: name a new file", args[0])
			case err != nil:
				return err
			}
			if g.json {
				return a.printJSON(backupAnswer{Schema: "backup/1", Record: cfg.Database, Backup: args[0]})
			}
			line(a.stdout, "%s is a checked copy of %s", args[0], cfg.Database)
			return nil
		},
	}
}

func (a *app) restoreCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the record",
		Long: `restore checks a backup and puts a copy of it in the place of the record, which is moved aside. It refuses while a monitor works
on the record. What the record had found out since the backup is found out again, as far as logs and indexes still tell; run
` + "`monitor fsck`" + ` afterwards to have everything in it recomputed.`,
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.restore(c.Context(), g, args[0]) },
	}
}

func (a *app) restore(ctx context.Context, g *globals, from string) (err error) {
	cfg, err := g.loadConfig()
	if err != nil {
		return err
	}
	lock, err := db.TakeLock(ctx, cfg.Database, a.clock, time.Second, func(*db.LockedError) {})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	aside, err := db.Restore(ctx, from, cfg.Database)
	if err != nil {
		return err
	}
	if g.json {
		return a.printJSON(backupAnswer{Schema: "restore/1", Record: cfg.Database, Backup: from, Aside: aside})
	}
	line(a.stdout, "%s is restored from %s", cfg.Database, from)
	if aside != "" {
		line(a.stdout, "the record that was there is %s", aside)
	}
	return nil
}
