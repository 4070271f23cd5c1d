package audit_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// BenchmarkFollowRekorV1 follows a shard of Rekor v1 in full over loopback HTTP, from fetching to the database: hashedrekord, dsse
// and intoto entries of strangers, ten an answer, with the proofs that the log sends along. Its baseline is what hashing the
// entries into the root takes, which are in memory then. Compared is the processor time of the process alone; the tasks take
// turns, and each figure is the median of its rounds.
func BenchmarkFollowRekorV1(b *testing.B) {
	const size, parallel, rounds = 40_960, 8, 5
	var log benchServer
	benchTask{Do: "serve-v1", Size: size}.start(b, &log)
	for b.Loop() {
		var hash, follow []float64
		var use benchUse
		for i := range rounds {
			run := func(do string) float64 {
				use = benchTask{Do: do, Log: log, Parallel: parallel, Watched: 1, Record: filepath.Join(b.TempDir(), "monitor.db")}.run(b)
				return use.CPU.Seconds()
			}
			hash, follow = append(hash, run("hash-v1")), append(follow, run("follow-v1"))
			b.Logf("round %d: CPU seconds: hash %.3f, follow %.3f", i+1, hash[i], follow[i])
		}
		b.ReportMetric(median(follow)/median(hash), "follow/hash")
		b.ReportMetric(size/median(hash), "hash-entries/cpu-s")
		b.ReportMetric(size/median(follow), "follow-entries/cpu-s")
		b.ReportMetric(float64(use.Bytes)/size, "bytes/entry")
		b.ReportMetric(float64(use.Requests), "requests")
	}
	b.ReportMetric(float64(log.Leaf), "leaf-bytes")
}

// serveV1 serves a world's Rekor v1, whose active shard has so many entries, until the input ends.
func (task benchTask) serveV1() error {
	w, err := sandbox.New(sandbox.Options{TrustLogs: true})
	if err != nil {
		return err
	}
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Close()
	shard := w.Rekor.Active()
	if err := w.Rekor.AddBulk(uint64(task.Size)-shard.Size(), w.Now(), w.Now().Add(time.Hour)); err != nil {
		return err
	}
	leaves := 0
	for i := range 1000 {
		leaf, err := shard.Leaf(uint64(i) + shard.Size() - 1000)
		if err != nil {
			return err
		}
		leaves += len(leaf)
	}
	server := httptest.NewServer(answeredOnce(w.Rekor.Handler()))
	defer server.Close()
	if err := json.NewEncoder(os.Stderr).Encode(benchServer{URL: server.URL, Size: uint64(task.Size), Leaf: leaves / 1000, Trusted: w.TrustedRootJSON()}); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// answeredOnce has a question answered once and from memory afterwards, so that the machine is not kept busy with the proofs and
// the signatures of a log that is asked the same again and again.
func answeredOnce(inner http.Handler) http.Handler {
	var known sync.Map // answers by question
	return http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		question := q.Method + q.URL.String() + string(body)
		answer, ok := known.Load(question)
		if !ok {
			recorded := httptest.NewRecorder()
			q.Body = io.NopCloser(bytes.NewReader(body))
			inner.ServeHTTP(recorded, q)
			answer = recorded
			known.Store(question, answer)
		}
		recorded := answer.(*httptest.ResponseRecorder)
		maps.Copy(rw.Header(), recorded.Header())
		rw.Header().Set("Content-Length", strconv.Itoa(recorded.Body.Len()))
		rw.WriteHeader(recorded.Code)
		_, _ = rw.Write(recorded.Body.Bytes()) // who is gone needs no answer
	})
}

// openV1 opens the log that a benchmark serves, with its shards.
func (task benchTask) openV1(ctx context.Context, client *fetch.Client, record *db.DB) (*audit.ShardList, *trust.Root, error) {
	root, err := trust.FromJSON("bench", task.Log.Trusted)
	if err != nil {
		return nil, nil, err
	}
	var keys []crypto.PublicKey
	for _, log := range root.Material.RekorLogs() {
		if log.BaseURL == "https://rekor.sandbox.example" {
			keys = append(keys, log.PublicKey)
		}
	}
	store, err := record.Rekor1(ctx, rekor1Name, task.Log.URL, []string{"c0ff"})
	if err != nil {
		return nil, nil, err
	}
	reader := &audit.Rekor1Reader{Clock: clock.Real(), Logger: slog.New(slog.DiscardHandler)}
	list, err := reader.ListShards(ctx, audit.Rekor1Target{Name: rekor1Name, URL: task.Log.URL, Keys: keys, Fetch: client, Store: store})
	return list, root, err
}

// hashV1 reads the entries, and measures what it takes to hash them into the root alone, often enough to be measured.
func (task benchTask) hashV1(use *benchUse) error {
	const times = 20
	ctx := context.Background()
	client := fetch.New(fetch.Options{Clock: clock.Real(), Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}}})
	defer client.Close()
	record, err := db.Open(ctx, task.Record)
	if err != nil {
		return err
	}
	defer record.Close()
	list, _, err := task.openV1(ctx, client, record)
	if err != nil {
		return err
	}
	active := list.Shards.Active()
	source := list.Source(active)
	var leaves [][]byte
	for at := uint64(0); at < task.Log.Size; {
		page, err := source.Page(ctx, at, task.Log.Size)
		if err != nil {
			return err
		}
		leaves, at = append(leaves, page.Leaves...), at+uint64(len(page.Leaves))
	}
	before, err := processorTime()
	if err != nil {
		return err
	}
	var root [sha256.Size]byte
	for range times {
		hashes := make([][sha256.Size]byte, len(leaves))
		hash := sha256.New()
		for i, leaf := range leaves {
			hash.Reset()
			hash.Write([]byte{0})
			hash.Write(leaf)
			hash.Sum(hashes[i][:0])
		}
		root = merkleRoot(hashes)
	}
	after, err := processorTime()
	if err != nil {
		return err
	}
	if root != active.Checkpoint.Root {
		return fmt.Errorf("the entries hash to %x, the log signed %x", root, active.Checkpoint.Root)
	}
	use.CPU = (after - before) / times
	return nil
}

// followV1 opens the record and follows the active shard from zero.
func (task benchTask) followV1(use *benchUse) error {
	ctx := context.Background()
	record, err := db.Open(ctx, task.Record)
	if err != nil {
		return err
	}
	defer record.Close()
	watch, err := identity.NewWatchList([]identity.Watched{{Project: "p", Repository: "watched0/repository-0"}})
	if err != nil {
		return err
	}
	client := fetch.New(fetch.Options{Clock: clock.Real(), Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}}})
	defer client.Close()
	list, root, err := task.openV1(ctx, client, record)
	if err != nil {
		return err
	}
	shard := list.Shards.Active()
	origin := shard.Checkpoint.Origin
	store, err := record.Log(ctx, db.LogName{Origin: origin, Kind: rekorV1, URL: task.Log.URL}, watch.Hash())
	if err != nil {
		return err
	}
	inspector := &audit.LeafInspector{Watch: watch, Roots: &trust.Set{Roots: []trust.Root{*root}}}
	follower := &audit.LogFollower{Clock: clock.Real(), Logger: slog.New(slog.DiscardHandler), Parallel: task.Parallel}
	got, err := follower.Follow(ctx, []audit.LogTarget{{Origin: origin, Source: list.Source(shard), Store: store, Scan: rekor.NewScanner(watch).Scan,
		Inspect: audit.GlobalEntries(inspector.Entry, shard), Start: fromZero, BatchEntries: 1000, ProveEntries: 10_000}})
	if err != nil || got[0].Proven != task.Log.Size || got[0].Trouble != "" {
		return fmt.Errorf("%+v, %w", got, err)
	}
	use.Bytes = got[0].Bytes
	for _, n := range client.Requests() {
		use.Requests += n
	}
	return nil
}
