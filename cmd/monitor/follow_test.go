package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/failpoint"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles/tilestest"
)

// tiledOrigin is the name of the test's log.
const tiledOrigin = "rekor2.test.example"

// tiledLog is a Rekor v2 on loopback that grows when it is told to. Every 97th entry is in the project's name.
type tiledLog struct {
	server         *tilestest.Server
	leaves         [][]byte
	ours, stranger string // base64 of certificates
	signer         note.Signer
	trusted        []byte
}

func newTiledLog(t *testing.T) *tiledLog {
	t.Helper()
	w, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	certificate := func(c sandbox.Claims) string {
		s, err := w.Fulcio.NewSigner(c, sandbox.CertificateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(s.Certificate.Raw)
	}
	claims := sandbox.ReleaseClaims("1.23.0")
	l := &tiledLog{server: tilestest.Serve(t, "/api/v2"), ours: certificate(claims)}
	claims.Repository = "pypa/sampleproject"
	l.stranger = certificate(claims)
	secret, public, err := note.GenerateKey(rand.Reader, tiledOrigin)
	if err != nil {
		t.Fatal(err)
	}
	if l.signer, err = note.NewSigner(secret); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.SplitN(public, "+", 3)[2])
	if err != nil {
		t.Fatal(err)
	}
	l.trusted = withLog(t, w.TrustedRootJSON(), ed25519.PublicKey(raw[1:]))
	return l
}

// withLog adds a log to a trusted root.
func withLog(t *testing.T, trusted []byte, key ed25519.PublicKey) []byte {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(trusted, &root); err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(append([]byte(tiledOrigin+"\n\x01"), key...))
	root["tlogs"] = append(root["tlogs"].([]any), map[string]any{"baseUrl": "https://" + tiledOrigin, "hashAlgorithm": "SHA2_256",
		"publicKey": map[string]any{"rawBytes": base64.StdEncoding.EncodeToString(spki), "keyDetails": "PKIX_ED25519", "validFor": map[string]any{"start": "2025-01-01T00:00:00Z"}},
		"logId":     map[string]any{"keyId": base64.StdEncoding.EncodeToString(id[:])}})
	text, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// grow appends entries and shows them.
func (l *tiledLog) grow(t *testing.T, n int) {
	t.Helper()
	for range n {
		i := len(l.leaves)
		cert := l.stranger
		if i%97 == 5 {
			cert = l.ours
		}
		digest := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		l.leaves = append(l.leaves, fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"%s"},"signature":{"content":"MEUCIQDx","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{"rawBytes":"%s"}}}}}}`,
			base64.StdEncoding.EncodeToString(digest[:]), cert))
	}
	tree := tilestest.NewTree(l.leaves)
	size := uint64(len(l.leaves))
	files := tree.Tiles(size)
	tilestest.Cut(files, "entries", len(l.leaves), func(from, to int) []byte {
		var bundle bytes.Buffer
		for _, leaf := range l.leaves[from:to] {
			bundle.Write(binary.BigEndian.AppendUint16(nil, uint16(len(leaf))))
			bundle.Write(leaf)
		}
		return bundle.Bytes()
	})
	root := tree.Root(size)
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", tiledOrigin, size, base64.StdEncoding.EncodeToString(root[:]))}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	files["checkpoint"] = signed
	l.server.Put(files)
}

// planted are the entries that must be found.
func (l *tiledLog) planted() map[uint64]string {
	want := map[uint64]string{}
	for i, leaf := range l.leaves {
		if i%97 == 5 {
			sum := sha256.Sum256(append([]byte{0}, leaf...))
			want[uint64(i)] = hex.EncodeToString(sum[:])
		}
	}
	return want
}

// follower is a folder with a configuration in which the program runs, each time as a process of its own.
type follower struct{ dir string }

func newFollower(t *testing.T, l *tiledLog) follower {
	t.Helper()
	f := follower{t.TempDir()}
	text := fmt.Sprintf("database: monitor.db\ntrust: [{trusted_root: trusted_root.json}]\nlogs: {start: zero, ct: off, rekor_v1: {mode: off}, each: {%s: {url: %q}}}\n%s", tiledOrigin, l.server.URL, config.Preset())
	for name, body := range map[string][]byte{"trusted_root.json": l.trusted, "config.yaml": []byte(text)} {
		if err := os.WriteFile(filepath.Join(f.dir, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f follower) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append(args, "-c", "config.yaml")...)
	cmd.Args[0] = "monitor" // what TestMain runs the program for
	cmd.Dir = f.dir
	return cmd
}

// found is what the record says was found.
func (f follower) found(t *testing.T) map[uint64]string {
	t.Helper()
	out, err := f.command("entries", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var answer entriesAnswer
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	got := map[uint64]string{}
	for _, e := range answer.Entries {
		if _, twice := got[e.Index]; twice || !e.Proven || e.Class != "self" || !e.Chained() {
			t.Errorf("entry %+v", e)
		}
		got[e.Index] = e.LeafHash
	}
	return got
}

// TestFollowerKilledAnywhereLosesNothing kills the program while it follows a growing log: at every failpoint, and at
// random moments. Nothing may be lost, nothing be there twice, and the record must hold what it claims.
func TestFollowerKilledAnywhereLosesNothing(t *testing.T) {
	kills(t)
	l := newTiledLog(t)
	l.grow(t, 20_000)
	f := newFollower(t, l)
	random := mathrand.New(mathrand.NewPCG(1, 2))
	killed := 0
	points := []string{"tlog/begun", "tlog/batch-committed", "tlog/batch-committed:2", "tlog/proven", "db/batch-uncommitted", "db/batch-uncommitted:2", "db/proof-uncommitted",
		"db/findings-uncommitted", "audit/logs-settled"}
	rounds := 240
	if testing.Short() {
		rounds = 30
	}
	for i := range rounds {
		cmd := f.command("follow", "--once", "--log-level", "error")
		if i < len(points) {
			cmd.Env = append(os.Environ(), failpoint.EnvKill+"="+points[i])
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if i >= len(points) {
			if err := clock.Sleep(t.Context(), clock.Real(), time.Duration(random.IntN(60_000))*time.Microsecond); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Process.Kill() // it may have ended already
		}
		err := cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
			killed++
		} else if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if random.IntN(2) == 0 {
			l.grow(t, random.IntN(300))
		}
	}
	if out, err := f.command("follow", "--once").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("killed %d times in %d rounds, %d entries", killed, rounds, len(l.leaves))
	if killed < rounds/3 {
		t.Errorf("only %d of %d rounds were killed", killed, rounds)
	}
	if diff := cmp.Diff(l.planted(), f.found(t)); diff != "" {
		t.Error(diff)
	}
	if out, err := f.command("fsck").CombinedOutput(); err != nil {
		t.Errorf("fsck: %v\n%s", err, out)
	}
	undisturbed := newFollower(t, l)
	if out, err := undisturbed.command("follow", "--once").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if diff := cmp.Diff(undisturbed.found(t), f.found(t)); diff != "" {
		t.Error(diff)
	}
}

// TestFsckFindsWhatWasChanged changes one thing at a time in a record.
func TestFsckFindsWhatWasChanged(t *testing.T) {
	l := newTiledLog(t)
	l.grow(t, 600)
	f := newFollower(t, l)
	if out, err := f.command("follow", "--once").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	whole, err := os.ReadFile(filepath.Join(f.dir, "monitor.db"))
	if err != nil {
		t.Fatal(err)
	}
	for statement, want := range map[string]string{
		"UPDATE hits SET leaf = x'00' WHERE tree_index = 5":                                          "has the leaf hash",
		"UPDATE entries SET body = x'00' WHERE tree_index = 5":                                       "has the leaf hash",
		"UPDATE certificates SET der = x'00'":                                                        "not the sha256",
		"UPDATE logs SET proven_range = zeroblob(length(proven_range))":                              "hash to root",
		"UPDATE logs SET proven_index = 599":                                                         "its compact range has",
		"UPDATE proven_ranges SET from_index = 1":                                                    "a proven range goes from 1",
		"UPDATE hits SET tree_index = 10000 WHERE tree_index = 5":                                    "is outside of what was read",
		"UPDATE checkpoints SET raw = x'00'":                                                         "checkpoint of log rekor2.test.example, size 600: ",
		"UPDATE hits SET body = replace(body, '\"issuer_key_hash\":\"', '\"issuer_key_hash\":\"00')": "has the issuer",
		"DELETE FROM checkpoints":                                                                    "names a row of checkpoints that is not there",
	} {
		path := filepath.Join(f.dir, "monitor.db")
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"-wal", "-shm"} {
			_ = os.Remove(path + suffix) // there may be none
		}
		execSQL(t, path, statement)
		out, err := f.command("fsck").CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitFindings || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", statement, err, out)
		}
	}
}

// TestFrozenLogThatIsNotFollowedIsNotStale switches a log off after its end: nobody asks it any more, and it owes no growth.
func TestFrozenLogThatIsNotFollowedIsNotStale(t *testing.T) {
	l := newTiledLog(t)
	l.grow(t, 10)
	const open = `"validFor":{"start":"2025-01-01T00:00:00Z"}`
	if bytes.Count(l.trusted, []byte(open)) != 1 {
		t.Fatalf("the trusted root has %d logs with %s", bytes.Count(l.trusted, []byte(open)), open)
	}
	l.trusted = bytes.Replace(l.trusted, []byte(open), []byte(`"validFor":{"end":"2026-01-01T00:00:00Z","start":"2025-01-01T00:00:00Z"}`), 1)
	f := newFollower(t, l)
	if out, err := f.command("follow", "--once").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	execSQL(t, filepath.Join(f.dir, "monitor.db"), "UPDATE checkpoints SET first_seen = first_seen - 48 * 3600 * 1000000")
	path := filepath.Join(f.dir, "config.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	off := bytes.Replace(text, []byte(tiledOrigin+": {"), []byte(tiledOrigin+": {mode: off, "), 1)
	if err := os.WriteFile(path, off, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := f.command("follow", "--once").CombinedOutput(); err != nil || !bytes.Contains(out, []byte("not followed: switched off")) {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := f.command("findings", "--json").Output()
	if err != nil || bytes.Contains(out, []byte("stale-log")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestFollowEndsInOrderWhenItIsToldTo interrupts the program in the middle of a request.
func TestFollowEndsInOrderWhenItIsToldTo(t *testing.T) {
	asked := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-r.Context().Done()
	}))
	defer server.Close()
	l := newTiledLog(t)
	for args, want := range map[string]int{"follow": exitOK, "follow --once": exitUnknown} {
		f := newFollower(t, l)
		path := filepath.Join(f.dir, "config.yaml")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Replace(text, []byte(l.server.URL), []byte(server.URL), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := f.command(strings.Fields(args)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-asked
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // its exit code tells
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s ends with %d, wants %d", args, got, want)
		}
	}
}

// TestStaleLogIsStaleUntilItGrows has a log show the same tree for two days, and then a newer one.
func TestStaleLogIsStaleUntilItGrows(t *testing.T) {
	l := newTiledLog(t)
	l.grow(t, 10)
	f := newFollower(t, l)
	run := func() string {
		t.Helper()
		if out, err := f.command("follow", "--once").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err := f.command("findings", "--json").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	run()
	execSQL(t, filepath.Join(f.dir, "monitor.db"), "UPDATE checkpoints SET first_seen = first_seen - 48 * 3600 * 1000000")
	if out := run(); !strings.Contains(out, `"rule": "stale-log"`) {
		t.Errorf("after two days without growth: %s", out)
	}
	l.grow(t, 10)
	if out := run(); strings.Contains(out, "stale-log") {
		t.Errorf("after it grew: %s", out)
	}
}

// kills marks a test that kills the program at many places. With the race detector it is left out: where a kill leaves the
// record is no matter of races, and each child takes ten times as long.
func kills(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("it kills many processes; it is run without the race detector")
	}
}
