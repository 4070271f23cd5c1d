package audit_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// rekor1Name is the sandbox's Rekor v1 as a whole, and rekor1Active its active shard.
const (
	rekor1Name   = "rekor.sandbox.example"
	rekor1Active = rekor1Name + " - 1193050959916656507"
)

// rekor1Monitor is a monitor that reads Rekor v1 by name, after its passes over PyPI.
type rekor1Monitor struct {
	*monitor
	world  *sandbox.World
	roots  *trust.Set
	watch  *identity.WatchList
	policy identity.Policy
	budget audit.Rekor1Budget
	frozen time.Time
	// requests counts those to the log, for the record.
	requests fetch.Counter
	// standings are said when it settles.
	standings map[string]audit.LogStanding
}

// newRekor1World is a sandbox with a project of two files, of which 1.23.0's is attested, and whoever watches it.
func newRekor1World(t *testing.T, fill ...func(*sandbox.World) error) *rekor1Monitor {
	t.Helper()
	w, c := newWorld(t, 7, append([]func(*sandbox.World) error{emptyProjects}, fill...)...)
	return watchRekor1(t, w, c)
}

func watchRekor1(t *testing.T, w *sandbox.World, c *clock.Simulated, edit ...func(*wiring)) *rekor1Monitor {
	t.Helper()
	return newRekor1Monitor(t, w, watch(t, w, c, edit...))
}

func newRekor1Monitor(t *testing.T, w *sandbox.World, m *monitor) *rekor1Monitor {
	t.Helper()
	root, err := trust.FromJSON("sandbox", w.TrustedRootJSON())
	if err != nil {
		t.Fatal(err)
	}
	r := &rekor1Monitor{monitor: m, world: w, roots: &trust.Set{Roots: []trust.Root{*root}}, policy: m.projects[0].Policy}
	if r.watch, err = identity.NewWatchList([]identity.Watched{{Project: "onnx", Repository: "onnx/onnx"}}); err != nil {
		t.Fatal(err)
	}
	r.record.CountRequests(&r.requests)
	return r
}

// keys are those of the log in the trusted root.
func (r *rekor1Monitor) keys() (keys []crypto.PublicKey, ids []string) { return rekor1Keys(r.roots) }

func rekor1Keys(roots *trust.Set) (keys []crypto.PublicKey, ids []string) {
	for _, log := range roots.Roots[0].Material.RekorLogs() {
		if log.BaseURL == "https://"+rekor1Name {
			keys, ids = append(keys, log.PublicKey), append(ids, hex.EncodeToString(log.ID))
		}
	}
	return keys, ids
}

// target opens the log.
func (r *rekor1Monitor) target(t *testing.T) audit.Rekor1Target {
	t.Helper()
	keys, ids := r.keys()
	store, err := r.record.Rekor1(t.Context(), rekor1Name, r.world.Rekor.URL(), ids)
	if err != nil {
		t.Fatal(err)
	}
	client := fetch.New(fetch.Options{Clock: r.clock, Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}}, MaxAttempts: 1, Timeout: 10 * time.Second, Counter: &r.requests})
	t.Cleanup(client.Close)
	return audit.Rekor1Target{Name: rekor1Name, URL: r.world.Rekor.URL(), Keys: keys, Fetch: client, Store: store,
		Inspector: &audit.LeafInspector{Watch: r.watch, Roots: r.roots}, Budget: r.budget, FrozenAt: r.frozen}
}

// read makes one pass over the log, and judges what came of it.
func (r *rekor1Monitor) read(t *testing.T) audit.Rekor1Summary {
	t.Helper()
	reader := &audit.Rekor1Reader{Clock: r.clock, Logger: slog.New(slog.DiscardHandler)}
	s, err := reader.Read(t.Context(), r.target(t))
	if err != nil {
		t.Fatal(err)
	}
	r.settle(t)
	return s
}

func (r *rekor1Monitor) settle(t *testing.T) {
	t.Helper()
	if _, err := audit.SettleLogs(t.Context(), r.record, audit.NewRuleSet(nil), map[string]identity.Policy{"onnx": r.policy}, r.standings, r.clock.Now(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.record.Fsck(t.Context(), func(problem string) { t.Errorf("fsck: %s", problem) }); err != nil {
		t.Fatal(err)
	}
}

// all makes a pass over PyPI and one over the log.
func (r *rekor1Monitor) all(t *testing.T) audit.Rekor1Summary {
	t.Helper()
	r.pass(t)
	return r.read(t)
}

// complete makes a pass that must leave nothing unknown.
func (r *rekor1Monitor) complete(t *testing.T) audit.Rekor1Summary {
	t.Helper()
	s := r.all(t)
	if !s.Complete() || len(s.Misbehaviours) > 0 {
		t.Errorf("not complete: %+v", s)
	}
	return s
}

// followCT follows the CT log that certificates carry the promise of, from its beginning.
func (r *rekor1Monitor) followCT(t *testing.T) {
	t.Helper()
	ct := r.world.CT
	store, err := r.record.Log(t.Context(), db.LogName{Origin: ct.Origin(), Kind: ctRFC6962, URL: ct.URL()}, r.watch.Hash())
	if err != nil {
		t.Fatal(err)
	}
	var key crypto.PublicKey
	for _, log := range r.roots.Roots[0].Material.CTLogs() {
		key = log.PublicKey
	}
	source, err := ctlog.NewRFC6962Log(ctlog.Options{URL: ct.URL(), Origin: ct.Origin(), Key: key, PageSize: 100, Fetch: r.client})
	if err != nil {
		t.Fatal(err)
	}
	inspector := &audit.LeafInspector{Watch: r.watch, Roots: r.roots}
	run := &audit.LogFollower{Clock: r.clock, Logger: slog.New(slog.DiscardHandler)}
	summaries, err := run.Follow(t.Context(), []audit.LogTarget{{Origin: ct.Origin(), Kind: ctRFC6962, URL: ct.URL(), Source: source, Store: store, Start: fromZero,
		Scan: ctlog.NewScanner(r.watch).Scan, Inspect: inspector.Certificate}})
	if err != nil || summaries[0].Trouble != "" {
		t.Fatal(err, summaries)
	}
}

// open are the open findings about logs, entries and certificates.
func (r *rekor1Monitor) open(t *testing.T) []audit.Finding {
	t.Helper()
	all, err := r.record.Findings(t.Context(), db.FindingFilter{Statuses: []audit.Status{audit.Open}})
	if err != nil {
		t.Fatal(err)
	}
	var about []audit.Finding
	for _, f := range all {
		if f.Index == "" {
			about = append(about, f)
		}
	}
	return about
}

// confirmed demands that the evidence of findings is confirmed when it is looked at again.
func (r *rekor1Monitor) confirmed(t *testing.T, findings []audit.Finding) {
	t.Helper()
	material, _ := r.keys()
	keys, err := rekor.NewV1Keys("", material...)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		examinations, err := audit.Examine(f, audit.Archive{
			Leaf:       func(hash string) ([]byte, error) { return r.record.Leaf(t.Context(), hash) },
			Checkpoint: func(_ string, raw []byte) (tlog.SignedCheckpoint, error) { return keys.Checkpoint(raw) },
			Proof:      func(hash string) (*audit.EntryProof, error) { return r.record.Proof(t.Context(), hash) },
			Rekor1:     func(string) (*rekor.V1Keys, error) { return keys, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(examinations) == 0 {
			t.Errorf("%s has no evidence", f.Rule)
		}
		for _, x := range examinations {
			if !x.Confirmed {
				t.Errorf("%s: evidence %s %q is not confirmed: %s", f.Rule, x.Evidence.Kind, x.Evidence.Detail, x.Note)
			}
		}
	}
}

// hits are the proven hits of Rekor v1, by their global index.
func (r *rekor1Monitor) hits(t *testing.T) map[uint64]string {
	t.Helper()
	got := map[uint64]string{}
	if err := r.record.Hits(t.Context(), db.HitFilter{}, func(h audit.HitFacts) error {
		if strings.HasPrefix(h.Origin, rekor1Name) {
			got[h.GlobalIndex] = h.SAN()
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// facts are those of a log in the record.
func (r *rekor1Monitor) facts(t *testing.T, origin string) audit.LogFacts {
	t.Helper()
	logs, err := r.record.Logs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range logs {
		if l.Origin == origin {
			return l
		}
	}
	t.Fatalf("the record does not know the log %s", origin)
	return audit.LogFacts{}
}

// asked counts the requests to the log since they were last forgotten, by path, and forgets them.
func (r *rekor1Monitor) asked() map[string]int {
	got := map[string]int{}
	for _, q := range r.world.Rekor.Requests() {
		path := strings.TrimPrefix(q.Path, "/api/v1")
		if !strings.HasPrefix(path, "/log/entries") || strings.HasSuffix(path, "/retrieve") {
			got[path]++
		} else {
			got["/log/entries"]++
		}
	}
	r.world.Rekor.ForgetRequests()
	return got
}

// signing is a job of the project's that signs what its caller wants.
type signing struct {
	*sandbox.Signer
	claims sandbox.Claims
	at     time.Time
}

// sign starts a job at a moment.
func (r *rekor1Monitor) sign(t *testing.T, c sandbox.Claims, at time.Time) signing {
	t.Helper()
	s, err := r.world.Fulcio.NewSigner(c, sandbox.CertificateOptions{At: at})
	if err != nil {
		t.Fatal(err)
	}
	return signing{s, c, at}
}

// attest has a job attest a file, a minute after it began.
func (r *rekor1Monitor) attest(t *testing.T, s signing, filename string) *sandbox.Attestation {
	t.Helper()
	sum := sha256.Sum256([]byte("content of " + filename))
	a, err := r.world.Attest(s.Signer, sandbox.PublishStatement(sandbox.Subject{Name: filename, SHA256: hex.EncodeToString(sum[:])}), s.at.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// upload publishes a file with its attestation.
func (r *rekor1Monitor) upload(t *testing.T, s signing, filename string, a *sandbox.Attestation) {
	t.Helper()
	document, err := sandbox.ProvenanceDocument(sandbox.Publisher{Kind: "GitHub", Repository: s.claims.Repository, Workflow: s.claims.Workflow, Environment: s.claims.Environment}, a)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.world.PyPI.Upload("onnx", sandbox.Upload{Filename: filename, Content: []byte("content of " + filename), Uploaded: s.at.Add(2 * time.Minute), Provenance: document}); err != nil {
		t.Fatal(err)
	}
}

// release publishes one file of a release, attested by its job.
func (r *rekor1Monitor) release(t *testing.T, version string, at time.Time) (signing, *sandbox.Attestation) {
	t.Helper()
	s := r.sign(t, sandbox.ReleaseClaims(version), at)
	filename := "onnx-" + version + "-cp312-abi3-win_amd64.whl"
	a := r.attest(t, s, filename)
	r.upload(t, s, filename, a)
	return s, a
}

// ago is an instant before the world's now.
func (r *rekor1Monitor) ago(d time.Duration) time.Time { return r.world.Now().Add(-d) }
