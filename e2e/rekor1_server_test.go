package e2e

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/rekor"
)

const rekor1Host = "rekor1.e2e.example"

// rekor1 is a real Rekor v1, with its search index in MariaDB.
type rekor1 struct {
	url   string
	key   *ecdsa.PrivateKey
	trees []string // ids, the active one last
	// entries are what it confirmed, by global index.
	entries []logged

	dir, address, keyFile, index string
	server                       *server
}

// logged is an entry as Rekor v1 confirmed it when it took it.
type logged struct {
	uuid       string
	index      uint64 // global
	integrated time.Time
	body       []byte
	signer     *signer
}

func startRekor1(t *testing.T) *rekor1 {
	t.Helper()
	r := &rekor1{key: newKey(t, elliptic.P256()), dir: t.TempDir()}
	r.keyFile = writePEM(t, r.dir, "rekor-key.pem", "PRIVATE KEY", pkcs8(t, r.key))
	var err error
	if r.address, err = freeAddress(); err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + r.address
	r.index = shared.trillian(t).createDatabase(t)
	r.rotate(t)
	return r
}

// rotate goes on with a new tree, and leaves those of before as they are.
func (r *rekor1) rotate(t *testing.T) {
	t.Helper()
	if r.server != nil {
		if err := r.server.stop(); err != nil {
			t.Fatal(err)
		}
	}
	storage := shared.trillian(t)
	host, port := storage.hostPort(t)
	_, ownPort, err := net.SplitHostPort(r.address)
	if err != nil {
		t.Fatal(err)
	}
	tree := storage.createTree(t)
	args := []string{
		"serve", "--host=127.0.0.1", "--port=" + ownPort, "--log_type=prod",
		"--trillian_log_server.address=" + host, "--trillian_log_server.port=" + port, "--trillian_log_server.tlog_id=" + tree,
		"--rekor_server.hostname=" + rekor1Host, "--rekor_server.signer=" + r.keyFile,
		"--search_index.storage_provider=mysql", "--search_index.mysql.dsn=" + r.index,
		"--enable_attestation_storage", "--attestation_storage_bucket=file://" + r.dir, // as the public instance
	}
	if len(r.trees) > 0 {
		var inactive []string
		for _, id := range r.trees {
			inactive = append(inactive, `{"treeID": `+id+`}`)
		}
		args = append(args, "--trillian_log_server.sharding_config="+writeFile(t, r.dir, "shards.json", []byte("["+strings.Join(inactive, ", ")+"]")))
	}
	r.trees = append(r.trees, tree)
	holdMetrics(t)
	r.server = launch(t, r.dir, "rekor-server", nil, answers(r.url+"/api/v1/log"), args...)
}

// holdMetrics takes the port on which rekor-server would show its metrics on every address of the machine, whatever it is told:
// it does without them where the port is taken.
func holdMetrics(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:2112")
	if err != nil {
		return // somebody has it already, another test perhaps
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// log is a client of it that has seen nothing yet.
func (r *rekor1) log(t *testing.T) *rekor.V1Log {
	t.Helper()
	log, err := rekor.NewV1Log(rekor.V1Options{URL: r.url, Host: rekor1Host, Keys: r.keys(), Fetch: newClient(t)})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// of are the entries of one of its trees, in order.
func (r *rekor1) of(tree string) []logged {
	prefix := fmt.Sprintf("%016x", treeID(tree))
	var entries []logged
	for _, e := range r.entries {
		if strings.HasPrefix(e.uuid, prefix) {
			entries = append(entries, e)
		}
	}
	return entries
}

// proposal is one thing to log: by whom, and the request that does so (rekor, openapi.yaml, "ProposedEntry").
type proposal struct {
	signer  *signer
	request any
}

// hashedRekord proposes the signature of an artifact, as `cosign sign-blob` makes it.
func hashedRekord(t *testing.T, s *signer, artifact []byte) proposal {
	t.Helper()
	return hashedRekordBy(t, s, s.pem(), artifact)
}

// hashedRekordBy is the same with what stands for the signer: the certificate, or the bare key.
func hashedRekordBy(t *testing.T, s *signer, verifier, artifact []byte) proposal {
	t.Helper()
	signature, digest, err := s.keypair.SignData(t.Context(), artifact)
	if err != nil {
		t.Fatal(err)
	}
	return proposal{s, map[string]any{"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": map[string]any{
		"data":      map[string]any{"hash": map[string]string{"algorithm": "sha256", "value": hex.EncodeToString(digest)}},
		"signature": map[string]any{"content": signature, "publicKey": map[string]any{"content": verifier}},
	}}}
}

const inTotoPayload = "application/vnd.in-toto+json"

// dsse proposes an attestation (DSSE v1.0.2, protocol.md and envelope.md).
func dsse(t *testing.T, s *signer, statement []byte) proposal {
	t.Helper()
	signature, _, err := s.keypair.SignData(t.Context(), fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(inTotoPayload), inTotoPayload, len(statement), statement))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := json.Marshal(map[string]any{"payloadType": inTotoPayload, "payload": statement, "signatures": []any{map[string][]byte{"sig": signature}}})
	if err != nil {
		t.Fatal(err)
	}
	return proposal{s, map[string]any{"apiVersion": "0.0.1", "kind": "dsse", "spec": map[string]any{
		"proposedContent": map[string]any{"envelope": string(envelope), "verifiers": [][]byte{s.pem()}},
	}}}
}

// pem is the certificate as clients send it.
func (s *signer) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.certificate.Raw})
}

// add logs proposals, several at once, and returns what they became, in their order.
func (r *rekor1) add(t *testing.T, proposals ...proposal) []logged {
	t.Helper()
	entries := make([]logged, len(proposals))
	errs := make([]error, len(proposals))
	next := make(chan int)
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for i := range next {
				entries[i], errs[i] = r.post(t.Context(), proposals[i])
			}
		})
	}
	for i := range proposals {
		next <- i
	}
	close(next)
	workers.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatalf("logging a signature: %v", err)
		}
	}
	r.entries = append(r.entries, entries...)
	slices.SortFunc(r.entries, func(a, b logged) int { return int(a.index) - int(b.index) })
	return entries
}

func (r *rekor1) post(ctx context.Context, p proposal) (logged, error) {
	body, err := json.Marshal(p.request)
	if err != nil {
		return logged{}, err
	}
	raw, err := ask(ctx, http.MethodPost, r.url+"/api/v1/log/entries", "application/json", body)
	if err != nil {
		return logged{}, err
	}
	var answer map[string]struct {
		Body           []byte
		IntegratedTime int64
		LogIndex       uint64
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return logged{}, err
	}
	for uuid, e := range answer {
		return logged{uuid, e.LogIndex, time.Unix(e.IntegratedTime, 0).UTC(), e.Body, p.signer}, nil
	}
	return logged{}, fmt.Errorf("it confirmed nothing: %s", raw)
}

// digest is the SHA-256 of some text in hex.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// keys are what its clients trust.
func (r *rekor1) keys() []crypto.PublicKey { return []crypto.PublicKey{r.key.Public()} }
