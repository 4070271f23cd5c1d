package e2e

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

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
