package audit_test

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// The protocols that logs are followed by.
const (
	rekorV2   = "rekor-v2"
	ctRFC6962 = "ct-rfc6962"
	ctStatic  = "ct-static"
)

// neighbour is the form of the honest log beside one that lies.
var neighbour = map[string]string{rekorV2: ctRFC6962, ctRFC6962: ctStatic, ctStatic: rekorV2}

// logForms are the forms that each test goes through. With the race detector, under which all of them take minutes, it is
// one, whose neighbour is of another: the follower is the same for all.
func logForms() []string {
	if raceDetector {
		return []string{ctStatic}
	}
	return []string{rekorV2, ctRFC6962, ctStatic}
}

// logWorld is a sandbox with a log of each form, and what those who follow them know.
type logWorld struct {
	*sandbox.World
	watched identity.Watched
	policy  identity.Policy
	// clock is the world's and its followers', where it moves; nil where each follower has one of his own.
	clock *clock.Simulated
}

func newLogWorld(t *testing.T) *logWorld { return newLogWorldOf(t, sandbox.Options{TrustLogs: true}) }

func newLogWorldOf(t *testing.T, options sandbox.Options) *logWorld {
	t.Helper()
	w, err := sandbox.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	o := config.Options{Rules: audit.RuleIDs()}
	for _, s := range audit.Severities() {
		o.Severities = append(o.Severities, string(s))
	}
	cfg, err := config.Parse("monitor.yaml", config.Preset(), o)
	if err != nil {
		t.Fatal(err)
	}
	return &logWorld{World: w, watched: identity.Watched{Project: "onnx", Repository: "onnx/onnx"}, policy: cfg.Projects[0].Policy}
}

// ledger is the log of a form.
func (w *logWorld) ledger(form string) *sandbox.Ledger {
	switch form {
	case rekorV2:
		return w.Rekor2.Ledger
	case ctRFC6962:
		return w.CT.Ledger
	}
	return w.StaticCT.Ledger
}

// certify grows the log of a form by an entry with a certificate.
func (w *logWorld) certify(form string, p sandbox.Plant) error {
	p.At = w.ledger(form).Size()
	var err error
	switch form {
	case rekorV2:
		_, err = w.PlantRekor2(w.Rekor2, p.At+1, p)
	case ctRFC6962:
		_, err = w.PlantCT(w.CT, p.At+1, p)
	default:
		_, err = w.PlantCT(w.StaticCT, p.At+1, p)
	}
	return err
}

// fill grows the log of a form to a size, with strangers' entries.
func (w *logWorld) fill(t *testing.T, form string, size uint64) {
	t.Helper()
	bulk := map[string]func(uint64) error{rekorV2: w.Rekor2.AddBulk, ctRFC6962: w.CT.AddBulk, ctStatic: w.StaticCT.AddBulk}[form]
	if have := w.ledger(form).Size(); have > size {
		t.Fatalf("the log has %d entries already", have)
	} else if err := bulk(size - have); err != nil {
		t.Fatal(err)
	}
}

// leafHash is the hash of an entry as it truly is, in hex.
func (w *logWorld) leafHash(t *testing.T, form string, index uint64) string {
	t.Helper()
	leaf, err := w.ledger(form).Leaf(index)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(append([]byte{0}, leaf...))
	return hex.EncodeToString(sum[:])
}

// follower is a record of a world's logs and whoever keeps it, with a clock and a client of his own.
type follower struct {
	world  *logWorld
	clock  *clock.Simulated
	client *fetch.Client
	roots  *trust.Set
	watch  *identity.WatchList
	record *db.DB
	frozen map[string]time.Time // when logs ended, by origin
	unread []string             // origins of logs of Rekor v1, which nobody reads
}

// newFollower starts from a copy of a record, or with an empty one.
func (w *logWorld) newFollower(t *testing.T, record string) *follower {
	t.Helper()
	f := &follower{world: w, clock: w.clock, frozen: map[string]time.Time{}}
	if f.clock == nil {
		f.clock = clock.NewSimulated(w.Now())
	}
	path := filepath.Join(t.TempDir(), "monitor.db")
	if record != "" {
		copyRecord(t, record, path)
	}
	f.clock.AutoAdvance()
	f.client = newLogClient(f.clock)
	t.Cleanup(f.client.Close)
	f.trust(t)
	var err error
	if f.watch, err = identity.NewWatchList([]identity.Watched{w.watched}); err != nil {
		t.Fatal(err)
	}
	if f.record, err = db.Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.record.Close() })
	return f
}

// trust reads the world's trusted root.
func (f *follower) trust(t *testing.T) {
	t.Helper()
	root, err := trust.FromJSON("sandbox", f.world.TrustedRootJSON())
	if err != nil {
		t.Fatal(err)
	}
	f.roots = &trust.Set{Roots: []trust.Root{*root}}
}

func newLogClient(c *clock.Simulated) *fetch.Client {
	return fetch.New(fetch.Options{Clock: c, Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}}, MaxAttempts: 2, Timeout: 5 * time.Second})
}

// fromZero, fromHead and fromIndex say where a log is taken up.
func fromZero(context.Context, uint64) (uint64, error)        { return 0, nil }
func fromHead(_ context.Context, size uint64) (uint64, error) { return size, nil }

func fromIndex(i uint64) func(context.Context, uint64) (uint64, error) {
	return func(context.Context, uint64) (uint64, error) { return i, nil }
}

// target opens the log of a form.
func (f *follower) target(t *testing.T, form string, start func(context.Context, uint64) (uint64, error)) audit.LogTarget {
	t.Helper()
	return f.open(t, form, f.world.ledger(form), start)
}

// open opens any log of a form.
func (f *follower) open(t *testing.T, form string, ledger *sandbox.Ledger, start func(context.Context, uint64) (uint64, error)) audit.LogTarget {
	t.Helper()
	store, err := f.record.Log(t.Context(), db.LogName{Origin: ledger.Origin(), Kind: form, KeyID: f.keyID(ledger.Origin()), URL: ledger.URL()}, f.watch.Hash())
	if err != nil {
		t.Fatal(err)
	}
	source, err := f.source(form, ledger.Origin(), ledger.URL(), f.client)
	if err != nil {
		t.Fatal(err)
	}
	inspector := &audit.LeafInspector{Watch: f.watch, Roots: f.roots}
	target := audit.LogTarget{Origin: ledger.Origin(), Kind: form, URL: ledger.URL(), Source: source, Store: store, Start: start,
		Scan: ctlog.NewScanner(f.watch).Scan, Inspect: inspector.Certificate}
	if form == rekorV2 {
		target.Scan, target.Inspect = rekor.NewScanner(f.watch).Scan, inspector.Entry
	}
	return target
}

// keyID is what the trusted root calls a CT log, in hex; "" for other logs.
func (f *follower) keyID(origin string) string {
	for _, log := range f.roots.Roots[0].Material.CTLogs() {
		if log.BaseURL == "https://"+origin {
			return hex.EncodeToString(log.ID)
		}
	}
	return ""
}

// source reads a log whose key is in the trusted root.
func (f *follower) source(form, origin, url string, client tiles.Fetcher) (tlog.Source, error) {
	material := f.roots.Roots[0].Material
	logs := material.CTLogs()
	if form == rekorV2 {
		logs = material.RekorLogs()
	}
	var key crypto.PublicKey
	for _, log := range logs {
		if log.BaseURL == "https://"+origin {
			key = log.PublicKey
		}
	}
	switch form {
	case rekorV2:
		verifier, err := tlog.NewTiledVerifier(origin, key)
		if err != nil {
			return nil, err
		}
		return rekor.NewTileLog(rekor.Options{URL: url, Origin: origin, Verifier: verifier, Fetch: client})
	case ctRFC6962:
		return ctlog.NewRFC6962Log(ctlog.Options{URL: url, Origin: origin, Key: key, PageSize: 100, Fetch: client})
	default:
		return ctlog.NewStaticLog(ctlog.Options{URL: url, Origin: origin, Key: key, Fetch: client})
	}
}

// follow makes one run over logs and judges what came of it, a minute later.
func (f *follower) follow(t *testing.T, targets ...audit.LogTarget) []audit.LogSummary {
	t.Helper()
	run := &audit.LogFollower{Clock: f.clock, Logger: slog.New(slog.DiscardHandler), Parallel: 3}
	summaries, err := run.Follow(t.Context(), targets)
	if err != nil {
		t.Fatal(err)
	}
	f.clock.Advance(time.Minute)
	f.settle(t)
	return summaries
}

// settle judges what is in the record, and has the record checked.
func (f *follower) settle(t *testing.T) {
	t.Helper()
	standings := map[string]audit.LogStanding{}
	for origin := range f.frozen {
		standings[origin] = audit.LogStanding{Frozen: true}
	}
	for _, origin := range f.unread {
		standings[origin] = audit.LogStanding{NotFollowed: true, LogKind: "rekor-v1", Why: "it is not read"}
	}
	if _, err := audit.SettleLogs(t.Context(), f.record, audit.NewRuleSet(nil), map[string]identity.Policy{"onnx": f.world.policy}, standings, f.clock.Now(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.record.Fsck(t.Context(), func(problem string) { t.Errorf("fsck: %s", problem) }); err != nil {
		t.Fatal(err)
	}
}

// hits lists what the record holds of a log: kind, class and leaf hash by index. With unproven set, what no verified root
// commits to is among them.
func (f *follower) hits(t *testing.T, form string, unproven bool) map[uint64]string {
	t.Helper()
	got := map[uint64]string{}
	if err := f.record.Hits(t.Context(), db.HitFilter{Origins: []string{f.world.ledger(form).Origin()}, Unproven: unproven}, func(h audit.HitFacts) error {
		got[h.Index] = fmt.Sprintf("%s %q %s", h.Kind, h.Class, h.LeafHash)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// facts is what the record holds of a log.
func (f *follower) facts(t *testing.T, form string) audit.LogFacts {
	t.Helper()
	logs, err := f.record.Logs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(logs, func(l audit.LogFacts) bool { return l.Origin == f.world.ledger(form).Origin() })
	if i < 0 {
		t.Fatalf("the record does not know the log of the form %s", form)
	}
	return logs[i]
}

// findings are those that are open, in a fixed order.
func (f *follower) findings(t *testing.T) []audit.Finding {
	t.Helper()
	findings, err := f.record.Findings(t.Context(), db.FindingFilter{Statuses: []audit.Status{audit.Open}})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(findings, func(x, y audit.Finding) int {
		return cmp.Or(cmp.Compare(x.Rule, y.Rule), cmp.Compare(index(x), index(y)))
	})
	return findings
}

// index is the place of what a finding is about; 0 where that is no entry.
func index(f audit.Finding) int64 {
	if f.Log == nil {
		return 0
	}
	return f.Log.Index
}

// rules are those of findings.
func rules(findings []audit.Finding) []string {
	var all []string
	for _, f := range findings {
		all = append(all, f.Rule)
	}
	return all
}

// examined looks at the evidence of findings again, as explain does: the logs' own readers verify what they once served.
func (f *follower) examined(t *testing.T, findings []audit.Finding) []audit.Examination {
	t.Helper()
	var all []audit.Examination
	for _, finding := range findings {
		examinations, err := audit.Examine(finding, audit.Archive{
			Leaf: func(hash string) ([]byte, error) { return f.record.Leaf(t.Context(), hash) },
			Checkpoint: func(origin string, raw []byte) (tlog.SignedCheckpoint, error) {
				for form := range neighbour {
					if f.world.ledger(form).Origin() == origin {
						source, err := f.source(form, origin, "https://"+origin, replay(raw))
						if err != nil {
							return tlog.SignedCheckpoint{}, err
						}
						return source.Checkpoint(t.Context())
					}
				}
				return tlog.SignedCheckpoint{}, fmt.Errorf("there is no log %s", origin)
			},
			CTKey: func(id string) crypto.PublicKey {
				for _, log := range f.roots.Roots[0].Material.CTLogs() {
					if hex.EncodeToString(log.ID) == id {
						return log.PublicKey
					}
				}
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, examinations...)
	}
	return all
}

// confirmed demands that all evidence of findings is confirmed when it is looked at again.
func (f *follower) confirmed(t *testing.T, findings []audit.Finding) {
	t.Helper()
	examinations := f.examined(t, findings)
	if len(examinations) < len(findings) {
		t.Errorf("%d findings have %d pieces of evidence", len(findings), len(examinations))
	}
	for _, x := range examinations {
		if !x.Confirmed {
			t.Errorf("evidence %s %q is not confirmed: %s", x.Evidence.Kind, x.Evidence.Detail, x.Note)
		}
	}
}

// replay answers every request with what was kept.
type replay []byte

func (r replay) Do(_ context.Context, q fetch.Request) (*fetch.Response, error) {
	return &fetch.Response{Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: r, URL: q.URL}, nil
}

// learnt is what a record knows of logs: cursors and coverage, hits, entries and certificates. When it learnt it, in how
// many requests, and under which row numbers, is left out, and so are the checkpoints that it met on the way.
func (f *follower) learnt(t *testing.T) []string {
	t.Helper()
	skip := ignored(timeless).and("id", "log_id", "entry_id", "certificate_id", "checkpoint_id", "latest_id", "proven_at", "bytes", "failure")
	return slices.DeleteFunc(dump(t, f.record.Path(), skip), func(line string) bool {
		table, _, _ := strings.Cut(line, " ")
		return !slices.Contains([]string{"logs", "proven_ranges", "read_bytes", "hits", "entries", "certificates", "entry_certificates"}, table)
	})
}

// policies are those that a world's findings are judged by.
func (w *logWorld) policies() map[string]identity.Policy {
	return map[string]identity.Policy{"onnx": w.policy}
}
