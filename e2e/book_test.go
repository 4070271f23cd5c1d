package e2e

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// newClient is an HTTP client as the monitor has it, for servers on loopback.
func newClient(t *testing.T) *fetch.Client {
	t.Helper()
	client := fetch.New(fetch.Options{Clock: clock.Real(), Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}}, MaxAttempts: 2, Timeout: 30 * time.Second})
	t.Cleanup(client.Close)
	return client
}

// trusted makes a trusted root of what is passed, with the library that Sigstore's own is read with.
type trusted struct {
	authorities []root.CertificateAuthority
	ctLogs      map[string]*root.TransparencyLog
	rekorLogs   map[string]*root.TransparencyLog
	timestamps  []root.TimestampingAuthority
}

// trustStart is when what is trusted began to be valid.
var trustStart = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// trustFulcio makes a trusted root of a Fulcio and its CT log.
func trustFulcio(t *testing.T, f *fulcio) *trusted {
	t.Helper()
	x := &trusted{ctLogs: map[string]*root.TransparencyLog{}, rekorLogs: map[string]*root.TransparencyLog{}}
	x.authorities = append(x.authorities, &root.FulcioCertificateAuthority{
		Root: f.root.certificate, Intermediates: certificates(f.intermediate), ValidityPeriodStart: trustStart, URI: "https://fulcio.e2e.example",
	})
	x.add(x.ctLogs, f.ct.url, f.ct.key.Public(), keyID(t, f.ct.key.Public()))
	return x
}

// rekor1 adds a Rekor v1.
func (x *trusted) rekor1(t *testing.T, r *rekor1) {
	t.Helper()
	x.add(x.rekorLogs, "https://"+rekor1Host, r.key.Public(), keyID(t, r.key.Public()))
}

func (x *trusted) add(logs map[string]*root.TransparencyLog, url string, key crypto.PublicKey, id []byte) {
	logs[hex.EncodeToString(id)] = &root.TransparencyLog{
		BaseURL: url, ID: id, ValidityPeriodStart: trustStart, HashFunc: crypto.SHA256, PublicKey: key, SignatureHashFunc: crypto.SHA256,
	}
}

// keyID is the SHA-256 of a key, which names logs of certificates and of Rekor v1.
func keyID(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	sum := sha256.Sum256(spki(t, key))
	return sum[:]
}

// json is the document.
func (x *trusted) json(t *testing.T) []byte {
	t.Helper()
	made, err := root.NewTrustedRoot(root.TrustedRootMediaType01, x.authorities, x.ctLogs, x.timestamps, x.rekorLogs)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := made.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// roots is the document as the monitor reads it.
func (x *trusted) roots(t *testing.T) *trust.Set {
	t.Helper()
	r, err := trust.FromJSON("e2e", x.json(t))
	if err != nil {
		t.Fatal(err)
	}
	return &trust.Set{Roots: []trust.Root{*r}}
}

// book is a record, and whoever keeps it for one project.
type book struct {
	record *db.DB
	watch  *identity.WatchList
	roots  *trust.Set
}

func newBook(t *testing.T, roots *trust.Set, watched identity.Watched) *book {
	t.Helper()
	b := &book{roots: roots}
	var err error
	if b.watch, err = identity.NewWatchList([]identity.Watched{watched}); err != nil {
		t.Fatal(err)
	}
	if b.record, err = db.Open(t.Context(), filepath.Join(t.TempDir(), "monitor.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.record.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// target opens a log, to be taken up at an index.
func (b *book) target(t *testing.T, origin, kind, url string, source tlog.Source, start uint64) audit.LogTarget {
	t.Helper()
	store, err := b.record.Log(t.Context(), db.LogName{Origin: origin, Kind: kind, URL: url}, b.watch.Hash())
	if err != nil {
		t.Fatal(err)
	}
	inspector := &audit.LeafInspector{Watch: b.watch, Roots: b.roots}
	target := audit.LogTarget{Origin: origin, Kind: kind, URL: url, Source: source, Store: store,
		Start: func(context.Context, uint64) (uint64, error) { return start, nil },
		Scan:  ctlog.NewScanner(b.watch).Scan, Inspect: inspector.Certificate}
	if kind == "rekor-v1" {
		target.Scan, target.Inspect = rekor.NewScanner(b.watch).Scan, inspector.Entry
	}
	return target
}

// follow makes one run over a log, which must end in order.
func (b *book) follow(t *testing.T, target audit.LogTarget) audit.LogSummary {
	t.Helper()
	follower := &audit.LogFollower{Clock: clock.Real(), Logger: slog.New(slog.DiscardHandler)}
	summaries, err := follower.Follow(t.Context(), []audit.LogTarget{target})
	if err != nil {
		t.Fatal(err)
	}
	if s := summaries[0]; s.Trouble != "" || len(s.Misbehaviours) > 0 || s.Proven != s.Size {
		t.Fatalf("following %s: %+v", target.Origin, s)
	}
	return summaries[0]
}

// hits are what the record has of a log and is proven, by index.
func (b *book) hits(t *testing.T, origin string) map[uint64]audit.HitFacts {
	t.Helper()
	hits := map[uint64]audit.HitFacts{}
	if err := b.record.Hits(t.Context(), db.HitFilter{Origins: []string{origin}}, func(h audit.HitFacts) error {
		if !h.Proven {
			t.Errorf("entry %d of %s is not proven", h.Index, origin)
		}
		hits[h.Index] = h
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return hits
}
