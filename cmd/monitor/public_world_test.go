package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// What the public instance is like: a request takes so long, so many are taken in a minute, and so many entries come in a
// second, of each of which the CT log has a certificate.
const (
	publicLatency  = 220 * time.Millisecond
	publicRequests = 500
	publicPace     = 227
)

// publicWorld is a sandbox that behaves like the public instance, in simulated time: both logs are as large whenever they are
// asked as the clock says, and each request takes its time by that clock.
type publicWorld struct {
	*sandbox.World
	clock *clock.Simulated
	pace  float64 // new entries a second
	began time.Time
	ct    string // the CT log's address, latency included
	// quietCT leaves strangers' certificates out of the CT log.
	quietCT bool

	mu    sync.Mutex
	grown uint64
	due   []signing // in the order of their times
	done  []signing
}

// signing is a certificate that is issued at a moment, and what is signed with it right away, if anything is.
type signing struct {
	name   string
	at     time.Time
	claims sandbox.Claims
	signs  bool
	// entry is the global index of what was signed, and serial the certificate's serial number in hex.
	entry  int64
	serial string
}

// newPublicWorld opens one in which so much time has passed already.
func newPublicWorld(tb testing.TB, pace float64, past time.Duration) *publicWorld {
	tb.Helper()
	start := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	c := clock.NewSimulated(start)
	c.AutoAdvance()
	world, err := sandbox.New(sandbox.Options{TrustLogs: true, Now: c.Now})
	if err != nil {
		tb.Fatal(err)
	}
	if err := sandbox.OnnxLike(world); err != nil {
		tb.Fatal(err)
	}
	p := &publicWorld{World: world, clock: c, pace: pace, began: start}
	tb.Cleanup(func() {
		if err := world.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := world.Start(); err != nil {
		tb.Fatal(err)
	}
	world.Rekor.SetBudget(publicRequests, "60")
	world.Rekor.SetLatency(func(context.Context) error { return p.answer() })
	handler := world.CT.Handler()
	ct := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if err := p.answer(); err != nil {
			panic(http.ErrAbortHandler)
		}
		handler.ServeHTTP(w, q)
	}))
	tb.Cleanup(ct.Close)
	p.ct = ct.URL
	p.advance(tb, past)
	return p
}

// sign has a job be given a certificate, so long from now, and sign something or nothing.
func (p *publicWorld) sign(name string, in time.Duration, signs bool, edit func(*sandbox.Claims)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	claims := sandbox.ReleaseClaims("1.23.0")
	edit(&claims)
	p.due = append(p.due, signing{name: name, at: p.clock.Now().Add(in), claims: claims, signs: signs})
	slices.SortStableFunc(p.due, func(a, b signing) int { return a.at.Compare(b.at) })
}

// signed are those that were issued so far.
func (p *publicWorld) signed() []signing {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.done)
}

// advance lets time pass while nobody asks anything.
func (p *publicWorld) advance(tb testing.TB, d time.Duration) {
	tb.Helper()
	if err := p.until(p.clock.Now().Add(d)); err != nil {
		tb.Fatal(err)
	}
}

// freeze has strangers add nothing from now on.
func (p *publicWorld) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace = 0
}

// answer takes the time of a request. Those that are made at once take it together.
func (p *publicWorld) answer() error { return p.until(p.clock.Now().Add(publicLatency)) }

// until lets time pass up to a moment, in which the logs grow and jobs sign.
func (p *publicWorld) until(end time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !end.After(p.clock.Now()) {
		return nil
	}
	for len(p.due) > 0 && !p.due[0].at.After(end) {
		s := p.due[0]
		p.due = p.due[1:]
		if err := errors.Join(p.growLocked(s.at), p.issueLocked(&s)); err != nil {
			return err
		}
		p.done = append(p.done, s)
	}
	if err := p.growLocked(end); err != nil {
		return err
	}
	p.clock.AdvanceTo(end)
	return nil
}

// growLocked brings both logs to where they are at a moment.
func (p *publicWorld) growLocked(at time.Time) error {
	due := uint64(p.pace * at.Sub(p.began).Seconds())
	if due <= p.grown {
		return nil
	}
	when := func(n uint64) time.Time {
		return p.began.Add(time.Duration(float64(n) / p.pace * float64(time.Second)))
	}
	err := p.Rekor.AddBulk(due-p.grown, when(p.grown), when(due))
	if !p.quietCT && err == nil {
		err = p.CT.AddBulk(due - p.grown)
	}
	p.grown = due
	return err
}

// issueLocked has a job be given its certificate, and sign.
func (p *publicWorld) issueLocked(s *signing) error {
	signer, err := p.Fulcio.NewSigner(s.claims, sandbox.CertificateOptions{At: s.at})
	if err != nil {
		return err
	}
	s.serial, s.entry = signer.Certificate.SerialNumber.Text(16), -1
	if !s.signs {
		return nil
	}
	a, err := p.Attest(signer, sandbox.PublishStatement(sandbox.Subject{Name: s.name + ".whl", SHA256: fmt.Sprintf("%064x", s.at.UnixNano())}), s.at)
	if err == nil {
		s.entry = a.Entries[0].LogIndex
	}
	return err
}

// publicMonitor is the program in such a world, in the same process for the sake of its clock.
type publicMonitor struct {
	*publicWorld
	run *followRun
}

// monitor starts one with a way of reading Rekor v1, and so many requests a minute for each host.
func (p *publicWorld) monitor(tb testing.TB, mode string, perMinute int) *publicMonitor {
	tb.Helper()
	dir := tb.TempDir()
	each := fmt.Sprintf("    %s: {url: %q}\n    %s: {url: %q}\n    %s: {mode: off}\n", strings.TrimPrefix(publicRekorName, "https://"), p.Rekor.URL(), p.CT.Origin(), p.ct, p.StaticCT.Origin())
	text := fmt.Appendf(nil, "database: %s\ntrust: [{trusted_root: trusted_root.json}]\nbudgets: {%q: %d/min, %q: %d/min}\nindexes: {pypi: {url: %q}}\ngithub: {attestations: off}\nlogs:\n  start: head\n  rekor_v1: {mode: %s}\n  rekor_v2: {mode: off}\n  each:\n%s%s",
		filepath.Join(dir, "monitor.db"), hostOf(p.Rekor.URL()), perMinute, hostOf(p.ct), perMinute, p.PyPI.URL(), mode, each, config.Preset())
	path := filepath.Join(dir, "config.yaml")
	for name, body := range map[string][]byte{"trusted_root.json": p.TrustedRootJSON(), "config.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), body, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard, clock: p.clock}
	// What was published before is known, and its bundles have been compared with the log.
	if code := a.run(tb.Context(), []string{"audit", "-c", path, "--fail-on", "none"}); code != exitOK {
		tb.Fatalf("audit: exit code %d", code)
	}
	cfg, err := (&globals{config: path}).loadConfig()
	if err != nil {
		tb.Fatal(err)
	}
	record, err := db.Open(tb.Context(), cfg.Database)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { record.Close() })
	record.CountRequests(&a.requests)
	m := &publicMonitor{p, &followRun{app: a, cfg: cfg, logger: slog.New(slog.DiscardHandler), record: record, refresh: time.Hour, goesOn: true,
		// One request at a time: the clock jumps to where a wait ends, which for those on their way would look like a slow answer.
		parallel: 1}}
	tb.Cleanup(m.run.close)
	return m
}

// settled makes runs until nothing is due any more of what was published before.
func (m *publicMonitor) settled(tb testing.TB) {
	tb.Helper()
	for range 20 {
		if answer := m.follow(tb); !answer.Rekor1[0].Spent {
			return
		}
		m.advance(tb, time.Minute)
	}
	tb.Fatal("there is always something due")
}

// publicRekorName is what the trusted root calls the log.
const publicRekorName = "https://rekor.sandbox.example"

// follow makes one run, as `monitor follow` does in turn.
func (m *publicMonitor) follow(tb testing.TB) *followAnswer {
	tb.Helper()
	answer, err := m.run.once(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	for _, l := range answer.Logs {
		if l.Trouble != "" || len(l.Misbehaviours) > 0 {
			tb.Fatalf("%+v", l)
		}
	}
	for _, s := range answer.Rekor1 {
		if len(s.Troubles)+len(s.Misbehaviours) > 0 {
			tb.Fatalf("%+v", s)
		}
	}
	return answer
}

// status is what `monitor status` says.
func (m *publicMonitor) status(tb testing.TB) *statusAnswer {
	tb.Helper()
	watch, err := watchList(m.run.cfg)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := m.run.app.readStatus(tb.Context(), m.run.cfg, m.run.record, watch.Hash(), audit.Span{})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// known are the certificates and the entries that the record has proven: certificates by serial number, entries by global index.
func (m *publicMonitor) known(tb testing.TB) (certificates map[string]bool, entries map[int64]bool) {
	tb.Helper()
	certificates, entries = map[string]bool{}, map[int64]bool{}
	if err := m.run.record.Hits(tb.Context(), db.HitFilter{}, func(h audit.HitFacts) error {
		if h.Kind == audit.HitEntry {
			entries[int64(h.GlobalIndex)] = true
			return nil
		}
		for _, c := range h.Certificates {
			certificates[c.Serial] = true
		}
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
	return certificates, entries
}

// logOf is where a log of the record stands.
func (s *statusAnswer) logOf(tb testing.TB, origin string) logStatus {
	tb.Helper()
	i := slices.IndexFunc(s.Logs, func(l logStatus) bool { return l.Origin == origin })
	if i < 0 {
		tb.Fatalf("status does not know %s", origin)
	}
	return s.Logs[i]
}

// lags is how long it took until a certificate, and what it signed, was known; and how far behind the CT log the record was.
type lags struct{ certificate, entry, behind time.Duration }

// watch runs the program for a while, in turn and with a minute in between, as `monitor follow` does, and notes the longest lags.
// Every certificate must become known, and every entry where entries says so.
func (m *publicMonitor) watch(tb testing.TB, d time.Duration, entries bool) (worst lags, runs int) {
	tb.Helper()
	knownCertificates, knownEntries := map[string]bool{}, map[int64]bool{}
	for end := m.clock.Now().Add(d); m.clock.Now().Before(end); runs++ {
		m.follow(tb)
		now := m.clock.Now()
		certificates, found := m.known(tb)
		for _, s := range m.signed() {
			if certificates[s.serial] && !knownCertificates[s.serial] {
				knownCertificates[s.serial], worst.certificate = true, max(worst.certificate, now.Sub(s.at))
			}
			if found[s.entry] && !knownEntries[s.entry] {
				knownEntries[s.entry], worst.entry = true, max(worst.entry, now.Sub(s.at))
			}
		}
		ct := m.status(tb).logOf(tb, m.CT.Origin())
		worst.behind = max(worst.behind, time.Duration(float64(m.CT.Size()-ct.Proven)/m.pace*float64(time.Second)))
		m.advance(tb, time.Minute) // as `monitor follow` waits by itself
	}
	for _, s := range m.signed() {
		if m.clock.Now().Sub(s.at) < 3*time.Minute {
			continue
		}
		if !knownCertificates[s.serial] || entries && s.signs && !knownEntries[s.entry] {
			tb.Errorf("%s of %s is not known: its certificate %t, its entry %t", s.name, s.at, knownCertificates[s.serial], knownEntries[s.entry])
		}
	}
	return worst, runs
}
