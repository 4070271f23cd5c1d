package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/sign"

	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// ctfe is a real CT log.
type ctfe struct {
	url string // what /ct/v1/get-sth follows
	key *ecdsa.PrivateKey
}

// startCTFE starts a CT log that takes what a root has issued.
func startCTFE(t *testing.T, dir string, root *authority) *ctfe {
	t.Helper()
	storage := shared.trillian(t)
	log := &ctfe{key: newKey(t, elliptic.P256())}
	const prefix = "e2e"
	roots := writePEM(t, dir, "ct-roots.pem", "CERTIFICATE", root.certificate.Raw)
	config := writeFile(t, dir, "ctfe.cfg", fmt.Appendf(nil, `config {
  log_id: %s
  prefix: "%s"
  roots_pem_file: "%s"
  ext_key_usages: "CodeSigning"
  private_key: { [type.googleapis.com/keyspb.PrivateKey] { der: "%s" } }
  public_key: { der: "%s" }
  max_merge_delay_sec: 60
  expected_merge_delay_sec: 1
}
`, storage.createTree(t), prefix, roots, textBytes(pkcs8(t, log.key)), textBytes(spki(t, log.key.Public()))))
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	log.url = "http://" + address + "/" + prefix
	launch(t, dir, "ct_server", nil, answers(log.url+"/ct/v1/get-sth"),
		"--log_config="+config, "--log_rpc_server="+storage.address, "--http_endpoint="+address, "--alsologtostderr")
	return log
}

// textBytes writes bytes as protobuf's text format does.
func textBytes(raw []byte) string {
	var text strings.Builder
	for _, b := range raw {
		fmt.Fprintf(&text, `\x%02x`, b)
	}
	return text.String()
}

// fulcio is a real Fulcio with the configuration of the public instance, and the CT log that it promises certificates to.
type fulcio struct {
	url                string
	root, intermediate *authority
	issuer             *issuer
	ct                 *ctfe
	provider           *sign.Fulcio
}

func startFulcio(t *testing.T) *fulcio {
	t.Helper()
	return startFulcioAt(t, func(log *ctfe) string { return log.url })
}

// startFulcioAt is startFulcio with another address that precertificates are submitted to, in the CT log's place.
func startFulcioAt(t *testing.T, submitTo func(*ctfe) string) *fulcio {
	t.Helper()
	dir := t.TempDir()
	f := new(fulcio)
	f.root, f.intermediate = newAuthority(t, "fulcio", x509.ExtKeyUsageCodeSigning)
	f.ct = startCTFE(t, dir, f.root)
	f.issuer = startIssuer(t, dir)
	config, err := moduleFile(t.Context(), "fulcio", "config/identity/config.yaml")
	need(t, err)
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + address
	chain := writePEM(t, dir, "fulcio-chain.pem", "CERTIFICATE", f.intermediate.certificate.Raw, f.root.certificate.Raw)
	key := writePEM(t, dir, "fulcio-key.pem", "PRIVATE KEY", pkcs8(t, f.intermediate.key))
	launch(t, dir, "fulcio", []string{"HTTPS_PROXY=" + f.issuer.proxy, "SSL_CERT_FILE=" + f.issuer.ca}, f.knowsItsProviders,
		"serve", "--log_type=prod", "--host=127.0.0.1", "--port="+port, "--grpc-host=127.0.0.1", "--grpc-port="+freePort(t), "--metrics-port="+freePort(t),
		"--legacy-unix-domain-socket="+filepath.Join(shared.trillian(t).dir, rand.Text()), "--config-path="+config, "--ct-log-url="+submitTo(f.ct),
		"--ca=fileca", "--fileca-cert="+chain, "--fileca-key="+key, "--fileca-key-passwd=none", "--fileca-watch=false")
	f.provider = sign.NewFulcio(&sign.FulcioOptions{BaseURL: f.url, Timeout: time.Minute})
	return f
}

// knowsItsProviders is Fulcio's readiness: it serves its chain, once it has asked the identity providers for their keys.
func (f *fulcio) knowsItsProviders(ctx context.Context) error {
	return answers(f.url + "/api/v2/trustBundle")(ctx)
}

// signer is a job with a key and the certificate that Fulcio issued for it.
type signer struct {
	keypair     sign.Keypair
	certificate *x509.Certificate
}

// ask asks Fulcio for a certificate for what a provider's token says.
func (f *fulcio) ask(ctx context.Context, token string) (*signer, error) {
	keypair, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, err
	}
	der, err := f.provider.GetCertificate(ctx, keypair, &sign.CertificateProviderOptions{IDToken: token})
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &signer{keypair, certificate}, err
}

// certify has Fulcio issue a certificate for what a provider's token says.
func (f *fulcio) certify(t *testing.T, token string) *signer {
	t.Helper()
	s, err := f.ask(t.Context(), token)
	if err != nil {
		t.Fatalf("asking Fulcio for a certificate: %v", err)
	}
	return s
}

// job has Fulcio issue a certificate to a job on GitHub.
func (f *fulcio) job(t *testing.T, c sandbox.Claims) *signer {
	t.Helper()
	return f.certify(t, f.issuer.token(t, gitHub, gitHubClaims(c)))
}

// serial is the certificate's serial number in hex.
func (s *signer) serial() string { return s.certificate.SerialNumber.Text(16) }

// treeSize is what the CT log's tree head says.
func (log *ctfe) treeSize(ctx context.Context) (uint64, error) {
	raw, err := ask(ctx, "GET", log.url+"/ct/v1/get-sth", "", nil)
	if err != nil {
		return 0, err
	}
	var head struct {
		TreeSize uint64 `json:"tree_size"`
	}
	err = json.Unmarshal(raw, &head)
	return head.TreeSize, err
}

// awaitSize waits until the CT log has taken so many certificates.
func (log *ctfe) awaitSize(t *testing.T, size uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	if err := poll(ctx, func(ctx context.Context) error {
		got, err := log.treeSize(ctx)
		if err == nil && got < size {
			err = fmt.Errorf("the log has %d entries, want %d", got, size)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
