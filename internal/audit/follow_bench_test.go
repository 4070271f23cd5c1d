package audit_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/db"
	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/trust"
)

const benchOrigin = "bench.example"

// benchServer is what the server process tells about itself on its first line.
type benchServer struct {
	URL     string
	Key     []byte
	Size    uint64
	Leaf    int // bytes, on average
	Trusted []byte
}

// TestServeBenchLog is the server process of BenchmarkFollowRekorV2: it makes a log of as many entries as the environment
// says, with real certificates, and serves it until its input ends.
func TestServeBenchLog(t *testing.T) {
	var size, delay int
	if _, err := fmt.Sscan(os.Getenv("BENCH_LOG"), &size, &delay); err != nil {
		t.Skip("skipped: it is for the benchmark")
	}
	w, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var certs []string
	for i := range 64 {
		c := sandbox.ReleaseClaims("1.23.0")
		c.Repository = fmt.Sprintf("organization%d/project-%d", i, i)
		s, err := w.Fulcio.NewSigner(c, sandbox.CertificateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, base64.StdEncoding.EncodeToString(s.Certificate.Raw))
	}
	files := map[string][]byte{}
	hashes, bytes := make([][]byte, 0, size), 0
	var bundle []byte
	for i := range size {
		digest := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		leaf := fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"%s"},"signature":{"content":"%s","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{"rawBytes":"%s"}}}}}}`,
			base64.StdEncoding.EncodeToString(digest[:]), base64.StdEncoding.EncodeToString(append(digest[:], digest[:]...)), certs[i%len(certs)])
		h := tlog.LeafHash(leaf)
		hashes, bytes = append(hashes, h[:]), bytes+len(leaf)
		bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(leaf))), leaf...)
		if i%256 == 255 || i == size-1 {
			path := tilePath("entries", i/256)
			if i%256 != 255 {
				path += fmt.Sprintf(".p/%d", i%256+1)
			}
			files[path], bundle = bundle, nil
		}
	}
	secret, public, err := note.GenerateKey(rand.Reader, benchOrigin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	root := merkleRoot(hashes)
	checkpoint, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", benchOrigin, size, base64.StdEncoding.EncodeToString(root))}, signer)
	if err != nil {
		t.Fatal(err)
	}
	files["checkpoint"] = checkpoint
	key, err := base64.StdEncoding.DecodeString(strings.SplitN(public, "+", 3)[2])
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if delay > 0 {
			_ = clock.Sleep(q.Context(), clock.Real(), time.Duration(delay)*time.Millisecond)
		}
		body, ok := files[strings.TrimPrefix(q.URL.Path, "/api/v2/")]
		if !ok {
			http.NotFound(w, q)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = w.Write(body)
	})}
	go server.Serve(l)
	if err := json.NewEncoder(os.Stderr).Encode(benchServer{"http://" + l.Addr().String(), key[1:], uint64(size), bytes / size, w.TrustedRootJSON()}); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	server.Close()
}

func tilePath(name string, i int) string {
	if i >= 1000 {
		return fmt.Sprintf("tile/%s/x%03d/%03d", name, i/1000, i%1000)
	}
	return fmt.Sprintf("tile/%s/%03d", name, i)
}

// merkleRoot is RFC 6962's definition, level by level.
func merkleRoot(hashes [][]byte) []byte {
	if len(hashes) == 1 {
		return hashes[0]
	}
	k := 1
	for k*2 < len(hashes) {
		k *= 2
	}
	sum := sha256.Sum256(append(append([]byte{1}, merkleRoot(hashes[:k])...), merkleRoot(hashes[k:])...))
	return sum[:]
}

// startBenchServer starts the server process.
func startBenchServer(b *testing.B, size, delay int) benchServer {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServeBenchLog$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("BENCH_LOG=%d %d", size, delay))
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
	b.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // its work is done
	})
	var s benchServer
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&s); err != nil {
		b.Fatal(err)
	}
	return s
}

// cpu is the processor time that this process used so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fetchAndHash is the baseline: the same bundles by net/http, hashed into the root.
func (s benchServer) fetchAndHash(b *testing.B, parallel int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: parallel, DisableCompression: true}}
	defer client.CloseIdleConnections()
	hashes := make([][sha256.Size]byte, s.Size)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			hash := sha256.New()
			for {
				n := int(next.Add(1)) - 1
				if uint64(n)*256 >= s.Size {
					return
				}
				path := tilePath("entries", n)
				if rest := s.Size - uint64(n)*256; rest < 256 {
					path += fmt.Sprintf(".p/%d", rest)
				}
				resp, err := client.Get(s.URL + "/api/v2/" + path)
				if err != nil {
					b.Error(err)
					return
				}
				body := make([]byte, resp.ContentLength)
				_, err = io.ReadFull(resp.Body, body)
				resp.Body.Close()
				if err != nil {
					b.Error(err)
					return
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
}

// follow follows the log from zero into a new record, watching so many repositories.
func (s benchServer) follow(b *testing.B, parallel, watched int) audit.LogSummary {
	ctx := context.Background()
	record, err := db.Open(ctx, filepath.Join(b.TempDir(), "monitor.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer record.Close()
	var names []identity.Watched
	for i := range watched {
		names = append(names, identity.Watched{Project: "p", Repository: fmt.Sprintf("watched%d/repository-%d", i, i)})
	}
	watch, err := identity.NewWatchList(names)
	if err != nil {
		b.Fatal(err)
	}
	root, err := trust.FromJSON("bench", s.Trusted)
	if err != nil {
		b.Fatal(err)
	}
	verifier, err := tlog.NewTiledVerifier(benchOrigin, ed25519.PublicKey(s.Key))
	if err != nil {
		b.Fatal(err)
	}
	client := fetch.New(fetch.Options{Clock: clock.Real(), Allow: fetch.Allow{Hosts: []string{"127.0.0.1"}}})
	defer client.Close()
	source, err := rekor.NewTileLog(rekor.Options{URL: s.URL, Origin: benchOrigin, Verifier: verifier, Fetch: client})
	if err != nil {
		b.Fatal(err)
	}
	store, err := record.Log(ctx, db.LogName{Origin: benchOrigin, Kind: "rekor-v2", URL: s.URL}, watch.Hash())
	if err != nil {
		b.Fatal(err)
	}
	inspector := &audit.LeafInspector{Watch: watch, Roots: &trust.Set{Roots: []trust.Root{*root}}}
	follower := &audit.LogFollower{Clock: clock.Real(), Logger: slog.New(slog.DiscardHandler), Parallel: parallel}
	got, err := follower.Follow(ctx, []audit.LogTarget{{Origin: benchOrigin, Source: source, Store: store, Scan: rekor.NewScanner(watch).Scan,
		Inspect: inspector.Entry, Start: func(context.Context, uint64) (uint64, error) { return 0, nil }}})
	if err != nil || got[0].Proven != s.Size || got[0].Hits != 0 {
		b.Fatalf("%+v, %v", got, err)
	}
	return got[0]
}

// BenchmarkFollowRekorV2 follows 262,144 entries over loopback HTTP, fetch to database, in one run with its baseline:
// fetching the same bundles and hashing them into the root. The ratio is of processor time.
func BenchmarkFollowRekorV2(b *testing.B) {
	const size, parallel = 262_144, 8
	s := startBenchServer(b, size, 0)
	s.fetchAndHash(b, parallel) // warm
	for b.Loop() {
		t0 := cpu(b)
		s.fetchAndHash(b, parallel)
		t1 := cpu(b)
		one := s.follow(b, parallel, 1)
		t2 := cpu(b)
		s.follow(b, parallel, 10_000)
		t3 := cpu(b)
		base, follow, many := t1-t0, t2-t1, t3-t2
		b.ReportMetric(float64(size)/base.Seconds(), "baseline-entries/cpu-s")
		b.ReportMetric(float64(size)/follow.Seconds(), "follow-entries/cpu-s")
		b.ReportMetric(follow.Seconds()/base.Seconds(), "follow/baseline")
		b.ReportMetric(many.Seconds()/follow.Seconds(), "10000-watched/one")
		b.ReportMetric(float64(one.Bytes)/float64(size), "bytes/entry")
	}
	b.ReportMetric(float64(s.Leaf), "leaf-bytes")
}

// BenchmarkFollowWithLatency follows with 200 ms a request and 32 in flight: the ratio is of what that allows.
func BenchmarkFollowWithLatency(b *testing.B) {
	const size, parallel = 32 * 256 * 20, 32
	s := startBenchServer(b, size, 200)
	for b.Loop() {
		start := clock.Real().Now()
		s.follow(b, parallel, 1)
		took := clock.Real().Now().Sub(start)
		ideal := time.Duration(size/256/parallel) * 200 * time.Millisecond
		b.ReportMetric(ideal.Seconds()/took.Seconds(), "of-what-latency-allows")
	}
}

// BenchmarkFollowMemory measures the largest heap while following logs of two sizes.
func BenchmarkFollowMemory(b *testing.B) {
	for _, size := range []int{262_144, 1_048_576} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := startBenchServer(b, size, 0)
			for b.Loop() {
				done := make(chan struct{})
				var most uint64
				var wg sync.WaitGroup
				wg.Go(func() {
					var m runtime.MemStats
					for {
						runtime.ReadMemStats(&m)
						most = max(most, m.Sys-m.HeapReleased)
						select {
						case <-done:
							return
						default:
						}
						_ = clock.Sleep(context.Background(), clock.Real(), 20*time.Millisecond)
					}
				})
				s.follow(b, 8, 1)
				close(done)
				wg.Wait()
				b.ReportMetric(float64(most)/(1<<20), "MiB-peak")
			}
		})
	}
}
