package main

import (
	"log/slog"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
)

// progress shows how far long work has come: a bar on a terminal, a log line every ten seconds elsewhere.
func (a *app) progress(logger *slog.Logger) audit.Progress {
	if a.errTerminal {
		return &barProgress{app: a}
	}
	return &logProgress{logger: logger, clock: a.clock}
}

type barProgress struct {
	app *app
	bar *progressbar.ProgressBar
}

func (p *barProgress) Start(what string, steps int64) {
	p.bar = progressbar.NewOptions64(steps, progressbar.OptionSetWriter(p.app.stderr), progressbar.OptionSetDescription(safe(what)),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
}

func (p *barProgress) Step(n int64) { _ = p.bar.Add64(n) } // a bar that cannot be drawn stops no audit

func (p *barProgress) Done() { _ = p.bar.Finish() }

type logProgress struct {
	logger      *slog.Logger
	clock       clock.Clock
	what        string
	steps, done int64
	last        time.Time
}

func (p *logProgress) Start(what string, steps int64) {
	p.what, p.steps, p.done, p.last = what, steps, 0, p.clock.Now()
}

func (p *logProgress) Step(n int64) {
	const every = 10 * time.Second
	p.done += n
	if now := p.clock.Now(); now.Sub(p.last) >= every {
		p.last = now
		p.logger.Info("progress", "work", p.what, "done", p.done, "of", p.steps)
	}
}

func (p *logProgress) Done() {}
