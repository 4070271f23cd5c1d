package audit_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// benchTask is what a process of the benchmarks has to do. Each task has a process of its own, so that none pays for the
// garbage of another, and its memory is its own.
type benchTask struct {
	Do string // "serve", "fetch", "fetch-reusing" or "follow"; of Rekor v1 "serve-v1", "hash-v1" or "follow-v1"

	Size  int           // of the log to serve
	Delay time.Duration // of each answer

	Log      benchServer // to read
	Parallel int
	Watched  int    // repositories
	Digests  bool   // are kept
	Record   string // file
}

// benchServer is a log that is served.
type benchServer struct {
	URL     string
	Size    uint64
	Leaf    int // bytes of an entry, on average
	Key     []byte
	Trusted []byte
}

// benchUse is what a task took.
type benchUse struct {
	CPU, Wall   time.Duration // of the task alone, without the start of its process
	Bytes       int64         // of entries, on the wire
	Requests    int64
	PeakRuntime uint64 // bytes: what the runtime held of the system's memory at most
	PeakRSS     int64  // bytes: the process's largest resident set
}

const benchVariable = "REKONCILE_BENCH"

// TestBenchProcess is the other processes of the benchmarks.
func TestBenchProcess(t *testing.T) {
	var task benchTask
	if text := os.Getenv(benchVariable); text == "" {
		t.Skip("skipped: it is for the benchmarks")
	} else if err := json.Unmarshal([]byte(text), &task); err != nil {
		t.Fatal(err)
	}
	var err error
	switch task.Do {
	case "serve":
		err = task.serve()
	case "fetch", "fetch-reusing":
		err = task.measure(func(use *benchUse) error { return task.fetch(task.Do == "fetch-reusing") })
	case "follow":
		err = task.measure(task.follow)
	case "serve-v1":
		err = task.serveV1()
	case "hash-v1":
		err = task.measure(task.hashV1)
	case "follow-v1":
		err = task.measure(task.followV1)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// start starts the task's process. Its input ends with the benchmark, its first line goes into answer.
func (task benchTask) start(b *testing.B, answer any) (wait func() error) {
	b.Helper()
	text, err := json.Marshal(task)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestBenchProcess$")
	cmd.Env = append(os.Environ(), benchVariable+"="+string(text))
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	decodeErr := json.NewDecoder(bufio.NewReader(out)).Decode(answer)
	wait = sync.OnceValue(func() error {
		in.Close()
		return cmd.Wait()
	})
	b.Cleanup(func() { _ = wait() })
	if decodeErr != nil {
		b.Fatalf("%s: %v: %v\n%s", task.Do, decodeErr, wait(), stdout.String())
	}
	return wait
}

// run runs the task to its end.
func (task benchTask) run(b *testing.B) benchUse {
	b.Helper()
	var use benchUse
	if err := task.start(b, &use)(); err != nil {
		b.Fatalf("%s: %v", task.Do, err)
	}
	return use
}

// serveBenchLog serves a log until the benchmark ends.
func serveBenchLog(b *testing.B, size int, delay time.Duration) benchServer {
	b.Helper()
	var s benchServer
	benchTask{Do: "serve", Size: size, Delay: delay}.start(b, &s)
	return s
}

// serve serves a log until the input ends.
func (task benchTask) serve() error {
	l, err := newBenchLog(task.Size)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: l.handler(task.Delay)}
	var serving sync.WaitGroup
	serving.Go(func() { err = server.Serve(listener) })
	if err := json.NewEncoder(os.Stderr).Encode(benchServer{URL: "http://" + listener.Addr().String(), Size: uint64(task.Size),
		Leaf: len(l.bundle(0, 256))/256 - 2, Key: l.key, Trusted: l.trusted}); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	server.Close()
	serving.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// measure does something and writes down what it took.
func (task benchTask) measure(do func(*benchUse) error) error {
	var use benchUse
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		held := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		for {
			metrics.Read(held)
			use.PeakRuntime = max(use.PeakRuntime, held[0].Value.Uint64()-held[1].Value.Uint64())
			select {
			case <-stop:
				return
			case <-clock.Real().NewTimer(10 * time.Millisecond).C():
			}
		}
	})
	began := clock.Real().Now()
	before, errBefore := processorTime()
	err := do(&use)
	after, errAfter := processorTime()
	if use.CPU == 0 { // unless what it measured is a part of it
		use.CPU = after - before
	}
	use.Wall = clock.Real().Now().Sub(began)
	close(stop)
	watching.Wait()
	if err := errors.Join(err, errBefore, errAfter); err != nil {
		return err
	}
	use.PeakRSS = peakRSS()
	return json.NewEncoder(os.Stderr).Encode(use)
}

// processorTime is what this process used so far, in user mode and in the kernel.
func processorTime() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}

// peakRSS reads this process's largest resident set, 0 where the system does not tell. What getrusage tells counts
// the process that this one was forked from.
func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kib int64
	if _, err := fmt.Fscan(bytes.NewReader(rest), &kib); err != nil {
		return 0
	}
	return kib << 10
}

// fetch is the baseline: the same bundles by net/http, hashed into the root. Each body has memory of its own, as io.ReadAll
// would give it but of the right size at once; reusing reads all those of a goroutine into one buffer.
func (task benchTask) fetch(reusing bool) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: task.Parallel, DisableCompression: true}}
	defer client.CloseIdleConnections()
	size := int(task.Log.Size)
	hashes := make([][sha256.Size]byte, size)
	errs := make([]error, task.Parallel)
	var next atomic.Int64
	var wg sync.WaitGroup
	for worker := range task.Parallel {
		wg.Go(func() {
			hash := sha256.New()
			var buffer []byte
			for {
				n := int(next.Add(1)) - 1
				if n*256 >= size {
					return
				}
				body, err := getBundle(client, task.Log.URL, n, min(size-n*256, 256), buffer)
				if err != nil {
					errs[worker] = err
					return
				}
				if reusing {
					buffer = body
				}
				for i := n * 256; len(body) > 0; i++ {
					length := int(binary.BigEndian.Uint16(body))
					hash.Reset()
					hash.Write([]byte{0})
					hash.Write(body[2 : 2+length])
					hash.Sum(hashes[i][:0])
					body = body[2+length:]
				}
			}
		})
	}
	wg.Wait()
	for level := hashes; len(level) > 1; level = level[:(len(level)+1)/2] {
		var node [1 + 2*sha256.Size]byte
		node[0] = 1
		for i := range len(level) / 2 {
			copy(node[1:], level[2*i][:])
			copy(node[1+sha256.Size:], level[2*i+1][:])
			level[i] = sha256.Sum256(node[:])
		}
		if len(level)%2 == 1 {
			level[len(level)/2] = level[len(level)-1]
		}
	}
	return errors.Join(errs...)
}

func getBundle(client *http.Client, url string, index, width int, buffer []byte) ([]byte, error) {
	path := fmt.Sprintf("%03d", index%1000)
	if index >= 1000 {
		path = fmt.Sprintf("x%03d/%s", index/1000, path)
	}
	if width < 256 {
		path += fmt.Sprintf(".p/%d", width)
	}
	resp, err := client.Get(url + "/api/v2/tile/entries/" + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength < 0 {
		return nil, fmt.Errorf("bundle %s: status %d, %d bytes", path, resp.StatusCode, resp.ContentLength)
	}
	if int64(cap(buffer)) < resp.ContentLength {
		buffer = make([]byte, resp.ContentLength)
	}
	buffer = buffer[:resp.ContentLength]
	_, err = io.ReadFull(resp.Body, buffer)
	return buffer, err
}

// follow opens the record and follows the log to its end, from zero where the record does not know it.
func (task benchTask) follow(use *benchUse) error {
	ctx := context.Background()
	record, err := db.Open(ctx, task.Record)
	if err != nil {
		return err
	}
	defer record.Close()
	var names []identity.Watched
	for i := range task.Watched {
		names = append(names, identity.Watched{Project: "p", Repository: fmt.Sprintf("watched%d/repository-%d", i, i)})
	}
	watch, err := identity.NewWatchList(names)
	if err != nil {
		return err
	}
	root, err := trust.FromJSON("bench", task.Log.Trusted)
	if err != nil {
		return err
	}
	verifier, err := tlog.NewTiledVerifier(benchOrigin, ed25519.PublicKey(task.Log.Key))
	if err != nil {
		return err
	}
	client := fetch.New(fetch.Options{Clock: clock.Real(), Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}}})
	defer client.Close()
	source, err := rekor.NewTileLog(rekor.Options{URL: task.Log.URL, Origin: benchOrigin, Verifier: verifier, Fetch: client})
	if err != nil {
		return err
	}
	store, err := record.Log(ctx, db.LogName{Origin: benchOrigin, Kind: "rekor-v2", URL: task.Log.URL}, watch.Hash())
	if err != nil {
		return err
	}
	inspector := &audit.LeafInspector{Watch: watch, Roots: &trust.Set{Roots: []trust.Root{*root}}}
	follower := &audit.LogFollower{Clock: clock.Real(), Logger: slog.New(slog.DiscardHandler), Parallel: task.Parallel}
	scanner := rekor.NewScanner(watch)
	target := audit.LogTarget{Origin: benchOrigin, Source: source, Store: store, Scan: scanner.Scan,
		Inspect: inspector.Entry, Start: func(context.Context, uint64) (uint64, error) { return 0, nil }}
	if task.Digests {
		target.Digest, target.KeepDigests, target.Foreign = scanner.DigestPrefix, 24*time.Hour, inspector.Foreign
	}
	got, err := follower.Follow(ctx, []audit.LogTarget{target})
	if err != nil || got[0].Proven != task.Log.Size || got[0].Hits != 0 || got[0].Trouble != "" {
		return fmt.Errorf("%+v, %w", got, err)
	}
	use.Bytes = got[0].Bytes
	for _, n := range client.Requests() {
		use.Requests += n
	}
	return nil
}
