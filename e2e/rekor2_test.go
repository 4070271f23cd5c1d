package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/sandbox"
)

const origin = "rekor2.e2e.example"

// rekor2 is a running Rekor v2: writes go to the server, reads to a static front over its storage, as in production.
type rekor2 struct {
	write, read string
	storage     string
	key         ed25519.PublicKey
}

func startRekor2(t *testing.T) *rekor2 {
	t.Helper()
	dir := t.TempDir()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := writePEM(t, dir, "key.pem", "PRIVATE KEY", pkcs8(t, private))
	storage, port := filepath.Join(dir, "log"), freePort(t)
	write := "http://127.0.0.1:" + port
	launch(t, dir, "rekor-tiles", nil, answers(write+"/healthz"),
		"serve", "--http-address=127.0.0.1", "--grpc-address=127.0.0.1", "--http-port="+port, "--grpc-port="+freePort(t),
		"--http-metrics-port="+freePort(t), "--hostname="+origin, "--storage-dir="+storage, "--signer-filepath="+keyFile,
		"--checkpoint-interval=1s", "--batch-max-age=100ms")
	files := http.FileServer(http.Dir(storage))
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		q.URL.Path = strings.TrimPrefix(q.URL.Path, "/api/v2")
		files.ServeHTTP(w, q)
	}))
	t.Cleanup(front.Close)
	r := &rekor2{write: write, read: front.URL, storage: storage, key: public}
	r.await(t, "a checkpoint", func() bool { return r.size() >= 0 })
	return r
}

// await polls for a condition.
func (r *rekor2) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	if err := poll(ctx, func(context.Context) error {
		if !done() {
			return fmt.Errorf("waiting for %s", what)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// size is what the log's checkpoint shows; -1 before there is one.
func (r *rekor2) size() int {
	resp, err := http.Get(r.read + "/api/v2/checkpoint")
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	var size int
	if lines := strings.Split(string(body), "\n"); err != nil || len(lines) < 3 || resp.StatusCode != http.StatusOK {
		return -1
	} else if _, err := fmt.Sscan(lines[1], &size); err != nil {
		return -1
	}
	return size
}

// add logs the signature of an artifact.
func (r *rekor2) add(a *sandbox.Attestation) error {
	_, err := r.post(context.Background(), a.Artifact, a.Signature, a.Certificate)
	return err
}

// sign has somebody whom Fulcio knows sign an artifact, and logs the signature.
func (r *rekor2) sign(t *testing.T, s *signer, artifact string) {
	t.Helper()
	signature, digest, err := s.keypair.SignData(t.Context(), []byte(artifact))
	if err == nil {
		_, err = r.post(t.Context(), digest, signature, s.certificate.Raw)
	}
	if err != nil {
		t.Fatalf("logging a signature: %v", err)
	}
}

// post logs a signature, and returns the entry's body (rekor-tiles, rekor_service.proto, "CreateEntryRequest").
func (r *rekor2) post(ctx context.Context, digest, signature, certificate []byte) ([]byte, error) {
	question, err := json.Marshal(map[string]any{"hashedRekordRequestV002": map[string]any{
		"digest": digest,
		"signature": map[string]any{"content": signature, "verifier": map[string]any{
			"keyDetails": "PKIX_ECDSA_P256_SHA_256", "x509Certificate": map[string]any{"rawBytes": certificate}}},
	}})
	if err != nil {
		return nil, err
	}
	raw, err := ask(ctx, http.MethodPost, r.write+"/api/v2/log/entries", "application/json", question)
	if err != nil {
		return nil, err
	}
	var answer struct{ CanonicalizedBody []byte }
	err = json.Unmarshal(raw, &answer)
	return answer.CanonicalizedBody, err
}

// addMany logs signatures of n artifacts, several at once.
func (r *rekor2) addMany(t *testing.T, w *sandbox.World, s *sandbox.Signer, label string, n int) {
	t.Helper()
	var wg sync.WaitGroup
	jobs := make(chan *sandbox.Attestation)
	for range 32 {
		wg.Go(func() {
			for a := range jobs {
				if err := r.add(a); err != nil {
					t.Errorf("adding an entry: %v", err)
				}
			}
		})
	}
	for i := range n {
		a, err := w.SignArtifact(s, sha256.Sum256(fmt.Appendf(nil, "%s %d", label, i)), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		jobs <- a
	}
	close(jobs)
	wg.Wait()
}

// keyID names the log in a trusted root: it is the long form of a note's key id (C2SP signed-note, "Signatures").
func (r *rekor2) keyID() []byte {
	id := sha256.Sum256(append([]byte(origin+"\n\x01"), r.key...))
	return id[:]
}

// trustedRoot is the sandbox's, with the log in it.
func (r *rekor2) trustedRoot(t *testing.T, w *sandbox.World) []byte {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(w.TrustedRootJSON(), &root); err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(r.key)
	if err != nil {
		t.Fatal(err)
	}
	root["tlogs"] = append(root["tlogs"].([]any), map[string]any{
		"baseUrl": "https://" + origin, "hashAlgorithm": "SHA2_256",
		"publicKey": map[string]any{"rawBytes": base64.StdEncoding.EncodeToString(spki), "keyDetails": "PKIX_ED25519", "validFor": map[string]any{"start": "2025-01-01T00:00:00Z"}},
		"logId":     map[string]any{"keyId": base64.StdEncoding.EncodeToString(r.keyID())},
	})
	text, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestFollowerReadsTheRealRekorV2 follows a log that the real server made: every entry is proven, every planted one
// found and nothing else, in one go, in steps while it grows and from the middle; and a byte that changes in storage is
// noticed.
func TestFollowerReadsTheRealRekorV2(t *testing.T) {
	r := startRekor2(t)
	w, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	signer := func(c sandbox.Claims) *sandbox.Signer {
		s, err := w.Fulcio.NewSigner(c, sandbox.CertificateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ours := sandbox.ReleaseClaims("1.23.0")
	stranger := ours
	stranger.Repository = "pypa/sampleproject"
	unknown := ours
	unknown.Workflow = "nightly.yml"

	r.addMany(t, w, signer(stranger), "first", 300)
	r.addMany(t, w, signer(ours), "release", 3)
	r.await(t, "303 entries", func() bool { return r.size() >= 303 })

	program, dir := monitor(t), t.TempDir()
	for name, text := range map[string]string{
		"trusted_root.json": string(r.trustedRoot(t, w)),
		"config.yaml": fmt.Sprintf("database: monitor.db\ntrust: [{trusted_root: trusted_root.json}]\nlogs:\n  start: zero\n  ct: off\n  rekor_v1: {mode: off}\n  each: {%s: {url: %q}}\n%s",
			origin, r.read, preset(t)),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got follow
	if code := run(t, &got, program, dir, "follow", "--once"); code != 0 || len(got.Logs) != 1 || got.Logs[0].Proven != 303 || got.Logs[0].Hits != 3 {
		t.Fatalf("exit code %d, %+v", code, got)
	}
	var findings struct {
		Findings []struct{ ID, Rule string } `json:"findings"`
	}
	// explained looks at the one finding's evidence again.
	explained := func() {
		t.Helper()
		var x struct {
			Examinations []struct {
				Confirmed bool
				Note      string
			} `json:"examinations"`
		}
		if run(t, &x, program, dir, "explain", findings.Findings[0].ID); len(x.Examinations) != 1 || !x.Examinations[0].Confirmed {
			t.Errorf("the evidence of %s: %+v", findings.Findings[0].Rule, x)
		}
	}
	if run(t, &findings, program, dir, "findings"); len(findings.Findings) != 0 {
		t.Errorf("a release's own signatures: %+v", findings)
	}

	// It grows while it is followed, past the end of a bundle and of a tile.
	for i := range 4 {
		r.addMany(t, w, signer(stranger), fmt.Sprintf("growth %d", i), 150)
		if i == 2 {
			r.addMany(t, w, signer(unknown), "unknown workflow", 1)
		}
		if code := run(t, &got, program, dir, "follow", "--once"); code != 0 || got.Logs[0].Proven != got.Logs[0].Size {
			t.Fatalf("exit code %d, %+v", code, got)
		}
	}
	r.await(t, "904 entries", func() bool { return r.size() >= 904 })
	if code := run(t, &got, program, dir, "follow", "--once"); code != 0 || got.Logs[0].Proven != 904 {
		t.Fatalf("exit code %d, %+v", code, got)
	}
	if run(t, &findings, program, dir, "findings"); len(findings.Findings) != 1 || findings.Findings[0].Rule != "unexpected-identity" {
		t.Errorf("an unknown workflow's signature: %+v", findings)
	} else {
		explained()
	}
	var entries struct {
		Entries []struct {
			Proven bool   `json:"proven"`
			Class  string `json:"class"`
		} `json:"entries"`
	}
	if run(t, &entries, program, dir, "entries"); len(entries.Entries) != 4 || !entries.Entries[3].Proven || entries.Entries[3].Class != "self" {
		t.Errorf("entries %+v", entries)
	}
	if code := run(t, nil, program, dir, "fsck"); code != 0 {
		t.Errorf("fsck: exit code %d", code)
	}

	// Another record, taken up in the middle.
	if err := os.Rename(filepath.Join(dir, "monitor.db"), filepath.Join(dir, "first.db")); err != nil {
		t.Fatal(err)
	}
	if code := run(t, &got, program, dir, "follow", "--once", "--from", "301"); code != 0 || got.Logs[0].From != 301 || got.Logs[0].Proven != 904 || got.Logs[0].Hits != 3 {
		t.Errorf("from the middle: exit code %d, %+v", code, got)
	}

	// A byte of a bundle that changes in storage: nothing beyond it is believed, and a person is told.
	bundle := filepath.Join(r.storage, "tile", "entries", "001")
	stored, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	stored[len(stored)/2] ^= 1
	if err := os.WriteFile(bundle, stored, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "monitor.db")); err != nil {
		t.Fatal(err)
	}
	if code := run(t, &got, program, dir, "follow", "--once"); code != 4 || got.Logs[0].Proven != 0 {
		t.Errorf("a changed byte: exit code %d, %+v", code, got)
	}
	if run(t, &findings, program, dir, "findings"); len(findings.Findings) != 1 || findings.Findings[0].Rule != "entries-mismatch" {
		t.Errorf("a changed byte: %+v", findings)
	} else {
		explained()
	}
	stored[len(stored)/2] ^= 1
	if err := os.WriteFile(bundle, stored, 0o644); err != nil {
		t.Fatal(err)
	}
	if code := run(t, &got, program, dir, "follow", "--once"); code != 0 || got.Logs[0].Proven != 904 || got.Logs[0].Hits != 4 {
		t.Errorf("once it tells the truth again: exit code %d, %+v", code, got)
	}
	if run(t, &findings, program, dir, "findings"); len(findings.Findings) != 1 || findings.Findings[0].Rule != "unexpected-identity" {
		t.Errorf("once it tells the truth again: %+v", findings)
	}
}
