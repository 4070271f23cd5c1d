package e2e

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// faithless stands before a CT log. What it withholds it promises in the log's name and with the log's key, and never submits.
type faithless struct {
	log       *ctfe
	url       string
	withholds atomic.Bool
	withheld  atomic.Int64
}

func startFaithless(t *testing.T, log *ctfe) *faithless {
	t.Helper()
	target, err := url.Parse(log.url)
	if err != nil {
		t.Fatal(err)
	}
	f := &faithless{log: log}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !f.withholds.Load() || !strings.HasSuffix(q.URL.Path, "/ct/v1/add-pre-chain") {
			proxy.ServeHTTP(w, q)
			return
		}
		answer, err := f.promise(t, q)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.withheld.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	f.url = server.URL + target.Path
	return f
}

// promise is the SCT of a precertificate (RFC 6962 §3.2 and §4.2).
func (f *faithless) promise(t *testing.T, q *http.Request) (*ct.AddChainResponse, error) {
	var submitted ct.AddChainRequest
	if err := json.NewDecoder(q.Body).Decode(&submitted); err != nil {
		return nil, err
	}
	var chain []ct.ASN1Cert
	for _, der := range submitted.Chain {
		chain = append(chain, ct.ASN1Cert{Data: der})
	}
	sct := ct.SignedCertificateTimestamp{SCTVersion: ct.V1, LogID: ct.LogID{KeyID: sha256.Sum256(spki(t, f.log.key.Public()))}, Timestamp: uint64(clock.Real().Now().UnixMilli())}
	leaf, err := ct.MerkleTreeLeafFromRawChain(chain, ct.PrecertLogEntryType, sct.Timestamp)
	if err != nil {
		return nil, err
	}
	input, err := ct.SerializeSCTSignatureInput(sct, ct.LogEntry{Leaf: *leaf})
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(input)
	signature, err := ecdsa.SignASN1(rand.Reader, f.log.key, digest[:])
	if err != nil {
		return nil, err
	}
	signed, err := tls.Marshal(tls.DigitallySigned{Algorithm: tls.SignatureAndHashAlgorithm{Hash: tls.SHA256, Signature: tls.ECDSA}, Signature: signature})
	return &ct.AddChainResponse{SCTVersion: ct.V1, ID: sct.LogID.KeyID[:], Timestamp: sct.Timestamp, Signature: signed}, err
}

// TestACertificateThatTheRealCTLogDoesNotHaveIsFound has the real Fulcio issue a certificate with a good promise of the real CT log,
// which never got to see it, and somebody sign with it in the real Rekor v1: the program notices, and not of the one before, whose
// promise was kept.
func TestACertificateThatTheRealCTLogDoesNotHaveIsFound(t *testing.T) {
	var front *faithless
	f := startFulcioAt(t, func(log *ctfe) string {
		front = startFaithless(t, log)
		return front.url
	})
	log := startRekor1(t)
	trusted := trustFulcio(t, f)
	trusted.rekor1(t, log)
	kept := f.job(t, sandbox.ReleaseClaims("1.23.0"))
	front.withholds.Store(true)
	secret := f.job(t, sandbox.ReleaseClaims("1.23.1"))
	front.withholds.Store(false)
	after := f.job(t, sandbox.ReleaseClaims("1.23.2"))
	if n := front.withheld.Load(); n != 1 {
		t.Fatalf("%d precertificates were withheld", n)
	}
	log.add(t, dsse(t, kept, statement("kept.whl")), dsse(t, secret, statement("secret.whl")), dsse(t, after, statement("after.whl")))
	f.ct.awaitSize(t, 2)

	program, dir := monitor(t), t.TempDir()
	writeFile(t, dir, "trusted_root.json", trusted.json(t))
	writeFile(t, dir, "config.yaml", fmt.Appendf(nil,
		"database: monitor.db\ntrust: [{trusted_root: trusted_root.json}]\nrules: {unlogged-certificate: {grace: 0s}}\nlogs:\n  start: zero\n  rekor_v1: {mode: full}\n  each: {%s: {url: %q}}\n%s", rekor1Host, log.url, preset(t)))
	var got struct {
		Certificates struct{ Found, Missing int }
	}
	if code := run(t, &got, program, dir, "follow", "--once"); code != 0 || got.Certificates.Found != 2 || got.Certificates.Missing != 1 {
		t.Errorf("exit code %d, %+v", code, got)
	}
	type finding struct {
		ID, Rule, Summary string
		Identity          struct{ SAN string }
	}
	var findings struct{ Findings []finding }
	run(t, &findings, program, dir, "findings")
	unlogged := slices.DeleteFunc(findings.Findings, func(x finding) bool { return x.Rule != "unlogged-certificate" })
	if len(unlogged) != 1 || unlogged[0].Identity.SAN != secret.san() {
		t.Fatalf("findings: %+v", findings)
	}
	var x struct {
		Examinations []struct {
			Confirmed bool
			Note      string
		}
	}
	run(t, &x, program, dir, "explain", unlogged[0].ID)
	if !slices.ContainsFunc(x.Examinations, func(e struct {
		Confirmed bool
		Note      string
	}) bool {
		return e.Confirmed
	}) {
		t.Errorf("its evidence: %+v", x)
	}
	if code := run(t, nil, program, dir, "fsck"); code != 0 {
		t.Errorf("fsck: exit code %d", code)
	}
}
