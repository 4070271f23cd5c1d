// Package sandbox is a whole world in one process: a certificate authority with its CT logs, transparency logs of Rekor
// v1 and v2, a timestamping authority, an update repository, a package index, GitHub's attestation store and a chat service.
// `monitor demo` and the tests live in it.
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
	"sync"
	"time"
)

// epoch is when the world's authorities came to be.
var epoch = time.Date(2021, 1, 12, 0, 0, 0, 0, time.UTC)

// today is what the clock shows in a world that is given none.
var today = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// The log's name and place, of the size of those of Sigstore's own Rekor: the tree id is beyond 2^53.
const (
	rekorHost   = "rekor.sandbox.example"
	rekorURL    = "https://" + rekorHost
	rekorTreeID = 1193050959916656507
)

// Options configures a world. The zero value is usable.
type Options struct {
	// Seed determines all keys and signatures.
	Seed uint64
	// Now is the world's clock; it stands still at 2026-11-02 09:00 UTC by default.
	Now func() time.Time
	// TrustLogs has the trusted root name the first shard of Rekor v2 and the static CT log too. Without it, it names
	// Rekor v1 and the CT log whose promises certificates carry, which is all that verification asks for.
	TrustLogs bool
	// Logger takes what the HTTP servers complain about; nothing by default.
	Logger *slog.Logger
}

// World is everything outside of the monitor. All of it works without HTTP too; Start adds the servers.
type World struct {
	Fulcio   *Fulcio
	CT       *CTLog // in the form of RFC 6962
	StaticCT *CTLog // in that of static-ct-api, with the same precertificates in it
	Rekor    *Rekor
	Rekor2   *Rekor2 // the first shard
	TSA      *TSA
	TUF      *TUF
	PyPI     *PyPI
	GitHub   *GitHub
	Slack    *Slack

	entropy      entropy
	now          func() time.Time
	logger       *slog.Logger
	trustAll     bool
	foreignRekor *Rekor // a log that nobody trusts
	crowd        uint64 // strangers who come to the first shard of Rekor v2 whenever one comes to another log

	mu      sync.Mutex
	shards  []*shard
	trusted []byte
	started bool
}

// New makes a world. Its log has entries of strangers in it; its index is empty.
func New(o Options) (*World, error) {
	if o.Now == nil {
		o.Now = func() time.Time { return today }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	w := &World{entropy: entropy(o.Seed), now: o.Now, logger: o.Logger, trustAll: o.TrustLogs, crowd: 1}
	if err := w.build(); err != nil {
		return nil, fmt.Errorf("making a sandbox: %w", err)
	}
	return w, nil
}

func (w *World) build() error {
	logger := w.logger
	err := w.buildFulcio()
	if err != nil {
		return err
	}
	if w.Rekor, err = newRekor(w.entropy, w.now, logger, w.Fulcio, rekorHost, rekorTreeID, rekorPast()...); err != nil {
		return err
	}
	if err := w.Rekor.AddNoise(5, epoch); err != nil {
		return err
	}
	if w.foreignRekor, err = newRekor(w.entropy, w.now, logger, w.Fulcio, "rekor.foreign.example", rekorTreeID); err != nil {
		return err
	}
	if w.TSA, err = newTSA(w.entropy, w.now, "tsa"); err != nil {
		return err
	}
	if w.Rekor2, err = newRekor2(w.entropy, w.now, logger, rekor2Host, false, w.Fulcio); err != nil {
		return err
	}
	w.shards = []*shard{{w.Rekor2, w.trustAll}}
	if w.trusted, err = w.makeTrustedRootLocked(); err != nil {
		return err
	}
	if w.TUF, err = newTUF(w.entropy, w.now(), w.trusted); err != nil {
		return err
	}
	w.PyPI = newPyPI(w.now)
	if w.GitHub, err = newGitHub(w.entropy, w.now, logger); err != nil {
		return err
	}
	w.Fulcio.asked = w.addRun // nobody gets a certificate whose job does not run
	w.Slack = newSlack(w.entropy)
	w.TUF.Service = newService("tuf", logger, w.TUF.handler())
	w.PyPI.Service = newService("pypi", logger, w.PyPI.handler())
	w.Slack.Service = newService("slack", logger, w.Slack.handler())
	return nil
}

// buildFulcio makes the authority, its double, and the CT logs that they submit to.
func (w *World) buildFulcio() error {
	var logs ctLogs
	var err error
	if logs.embedded, err = newCTLog(w.entropy, w.now, w.logger, ctHost, "ctfe", ctRFC6962, nil); err != nil {
		return err
	}
	if logs.second, err = newCTLog(w.entropy, w.now, w.logger, staticCTHost, "static-ct", ctStatic, nil); err != nil {
		return err
	}
	if logs.foreign, err = newCTLog(w.entropy, w.now, w.logger, "foreign-ctfe.example", "foreign-ctfe", ctUnread, logs.embedded); err != nil {
		return err
	}
	if w.Fulcio, err = newFulcio(w.entropy, w.now, "fulcio", logs); err != nil {
		return err
	}
	if w.Fulcio.rogue, err = newFulcio(w.entropy, w.now, "rogue", logs); err != nil {
		return err
	}
	w.CT, w.StaticCT = logs.embedded, logs.second
	if w.CT.mold, err = newCTMold(w.Fulcio, "ct/stranger"); err != nil {
		return err
	}
	w.StaticCT.mold = w.CT.mold
	return nil
}

// Today is what the clock of a world shows that is given none.
func Today() time.Time { return today }

// Now is the world's time.
func (w *World) Now() time.Time { return w.now() }

// TrustedRootJSON is whom the world's clients trust, as a Sigstore trusted_root.json. Its URLs are names, not the
// addresses of the servers, so that it is the same in every run: see [World.Endpoints].
func (w *World) TrustedRootJSON() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.trusted)
}

func (w *World) servicesLocked() []*Service {
	all := []*Service{w.Rekor.Service, w.CT.Service, w.StaticCT.Service, w.TUF.Service, w.PyPI.Service, w.Slack.Service, w.GitHub.Service, w.GitHub.Blobs}
	for _, s := range w.shards {
		all = append(all, s.Service)
	}
	return all
}

// Start opens a port on 127.0.0.1 for every service, once in a world's life. Close the world whether or not Start
// succeeded.
func (w *World) Start() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.servicesLocked() {
		if err := s.start(); err != nil {
			return err
		}
	}
	w.started = true
	return nil
}

// Close ends all servers and waits for them; it may be called more than once.
func (w *World) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started = false
	var errs []error
	for _, s := range w.servicesLocked() {
		if err := s.close(); err != nil {
			errs = append(errs, fmt.Errorf("closing the sandbox's %s: %w", s.name, err))
		}
	}
	return errors.Join(errs...)
}
