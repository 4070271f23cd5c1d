// Command monitor keeps the books of a software project's releases: see `monitor help` and README.md.
//
// This package is wiring: one file a verb, flags, output and exit codes. What the verbs do is in internal/.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // quiet hours are in a zone, which a bare image does not know

	"golang.org/x/term"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/fetch"
)

// Exit codes. Where several hold, the first of 4, 1, 3 is taken.
const (
	exitOK       = 0
	exitFindings = 1 // findings at or above --fail-on, or what was verified is bad
	exitUsage    = 2 // usage or configuration
	exitUnknown  = 3 // something stayed unknown, or the command could not go on
	exitLog      = 4 // a log misbehaved
)

// exitError ends the program with a code. Err may be nil where everything was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as the caller's.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// app is the program with everything that it takes from outside, so that a test runs the real one.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	clock          clock.Clock
	// terminal says whether standard output and standard error are terminals.
	outTerminal, errTerminal bool

	requests fetch.Counter // of every client
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, clock: clock.Real(),
		outTerminal: term.IsTerminal(int(os.Stdout.Fd())), errTerminal: term.IsTerminal(int(os.Stderr.Fd()))}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run runs one command and returns its exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		// Cobra's own errors are about flags and arguments; what commands return is an exitError, or could not go on.
		exit = &exitError{exitUnknown, err}
		if isUsage(err) {
			exit.code = exitUsage
		}
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(a.stderr, "monitor: interrupted; what was done is in the record, the next run goes on from there")
	case exit.err != nil:
		fmt.Fprintf(a.stderr, "monitor: %v\n", exit.err)
	}
	return exit.code
}
