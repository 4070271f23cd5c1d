// Package sandbox is a whole world in one process: a certificate authority with a CT log's promises, a transparency
// log, a timestamping authority, an update repository, a package index and a chat service. `monitor demo` and the
// tests live in it.
//
// It promises real cryptography (what it makes verifies with Sigstore's own libraries, and each of its lies fails for
// the reason that it names), real HTTP on loopback addresses, and the same bytes for the same seed and clock, RFC 3161
// timestamps apart. Every service can be made to lie or to fail.
//
// It does not promise to be safe: its keys can be computed by anyone who knows the seed, it admits what real services
// refuse, and it keeps everything in memory. Nothing that it makes is trusted by anyone who does not ask for it.
package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// epoch is when the world's authorities came to be.
var epoch = time.Date(2021, 1, 12, 0, 0, 0, 0, time.UTC)

// today is what the clock shows in a world that is given none.
var today = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// The log's name and place, of the size of those of Sigstore's own Rekor: the tree id is beyond 2^53.
const (
	rekorHost   = "rekor.sandbox.example"
	rekorTreeID = 1193050959916656507
	rekorOffset = 121904262
)

// Options configures a world. The zero value is usable.
type Options struct {
	// Seed determines all keys and signatures.
	Seed uint64
	// Now is the world's clock; it stands still at 2026-11-02 09:00 UTC by default.
	Now func() time.Time
	// Logger takes what the HTTP servers complain about; nothing by default.
	Logger *slog.Logger
}

// World is everything outside of the monitor. All of it works without HTTP too; Start adds the servers.
type World struct {
	Fulcio *Fulcio
	Rekor  *Rekor
	TSA    *TSA
	TUF    *TUF
	PyPI   *PyPI
	Slack  *Slack

	entropy      entropy
	now          func() time.Time
	ct           *CTLog
	foreignRekor *Rekor // a log that nobody trusts
	trusted      []byte
}

// New makes a world. Its log has entries of strangers in it; its index is empty.
func New(o Options) (*World, error) {
	if o.Now == nil {
		o.Now = func() time.Time { return today }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w := &World{entropy: entropy(o.Seed), now: o.Now}
	if err := w.build(o.Logger); err != nil {
		return nil, fmt.Errorf("making a sandbox: %w", err)
	}
	return w, nil
}

func (w *World) build(logger *slog.Logger) error {
	var err error
	if w.ct, err = newCTLog(w.entropy, "ctfe", nil); err != nil {
		return err
	}
	foreignCT, err := newCTLog(w.entropy, "foreign-ctfe", w.ct)
	if err != nil {
		return err
	}
	if w.Fulcio, err = newFulcio(w.entropy, w.now, "fulcio", w.ct, foreignCT); err != nil {
		return err
	}
	if w.Fulcio.rogue, err = newFulcio(w.entropy, w.now, "rogue", w.ct, foreignCT); err != nil {
		return err
	}
	if w.Rekor, err = newRekor(w.entropy, w.now, rekorHost, rekorTreeID, rekorOffset); err != nil {
		return err
	}
	if err := w.Rekor.AddNoise(5, epoch); err != nil {
		return err
	}
	if w.foreignRekor, err = newRekor(w.entropy, w.now, "rekor.foreign.example", rekorTreeID, 0); err != nil {
		return err
	}
	if w.TSA, err = newTSA(w.entropy, w.now); err != nil {
		return err
	}
	if w.trusted, err = w.makeTrustedRoot(); err != nil {
		return err
	}
	if w.TUF, err = newTUF(w.entropy, w.now(), w.trusted); err != nil {
		return err
	}
	w.PyPI = newPyPI(w.now)
	w.Slack = newSlack(w.entropy)
	w.Rekor.Service = newService("rekor", logger, w.Rekor.handler())
	w.TUF.Service = newService("tuf", logger, w.TUF.handler())
	w.PyPI.Service = newService("pypi", logger, w.PyPI.handler())
	w.Slack.Service = newService("slack", logger, w.Slack.handler())
	return nil
}

// Now is the world's time.
func (w *World) Now() time.Time { return w.now() }

// TrustedRootJSON is whom the world's clients trust, as a Sigstore trusted_root.json. Its URLs are names, not the
// addresses of the servers, so that it is the same in every run.
func (w *World) TrustedRootJSON() []byte { return bytes.Clone(w.trusted) }

func (w *World) services() []*Service {
	return []*Service{w.Rekor.Service, w.TUF.Service, w.PyPI.Service, w.Slack.Service}
}

// Start opens a port on 127.0.0.1 for every service, once in a world's life. Close the world whether or not Start
// succeeded.
func (w *World) Start() error {
	for _, s := range w.services() {
		if err := s.start(); err != nil {
			return err
		}
	}
	return nil
}

// Close ends all servers and waits for them; it may be called more than once.
func (w *World) Close() error {
	var errs []error
	for _, s := range w.services() {
		if err := s.close(); err != nil {
			errs = append(errs, fmt.Errorf("closing the sandbox's %s: %w", s.name, err))
		}
	}
	return errors.Join(errs...)
}
