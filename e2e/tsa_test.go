package e2e

import (
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	tsaserver "github.com/sigstore/timestamp-authority/v2/pkg/server"
	"github.com/spf13/viper"
)

const (
	timestampAuthority = "github.com/sigstore/timestamp-authority/v2"
	// timestampPolicy is the policy of Sigstore's own authority.
	timestampPolicy = "1.3.6.1.4.1.57264.2"
)

// tsa is a real timestamp authority.
type tsa struct {
	url                string // for requests (RFC 3161 §3.4)
	certificate        *x509.Certificate
	root, intermediate *authority
}

// startTSA runs the authority inside of the test: its own program shows its metrics on every address of the machine, and does
// not run without that.
func startTSA(t *testing.T) *tsa {
	t.Helper()
	dir := t.TempDir()
	a := new(tsa)
	a.root, a.intermediate = newAuthority(t, "tsa", x509.ExtKeyUsageTimeStamping)
	key := newKey(t, elliptic.P256())
	a.certificate = certify(t, a.intermediate, key, &x509.Certificate{
		Subject: pkix.Name{Organization: []string{"e2e.example"}, CommonName: "tsa"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{timestamping(t)},
	})
	for name, value := range map[string]any{
		"timestamp-signer": "file", "timestamp-signer-hash": "sha256", "file-signer-passwd": "none", "disable-ntp-monitoring": true,
		"file-signer-key-path": writePEM(t, dir, "tsa-key.pem", "PRIVATE KEY", pkcs8(t, key)),
		"certificate-chain-path": writePEM(t, dir, "tsa-chain.pem", "CERTIFICATE",
			a.certificate.Raw, a.intermediate.certificate.Raw, a.root.certificate.Raw),
		"include-chain-in-response": false, "max-request-body-size": 1 << 20, "enforce-intermediate-eku": true,
		"default-policy-oid": timestampPolicy, "accepted-policy-oids": []string{timestampPolicy},
	} {
		viper.Set(name, value)
	}
	front := httptest.NewServer(tsaserver.NewRestAPIServer("127.0.0.1", 0, []string{"http"}, false, time.Minute, time.Minute).GetHandler())
	t.Cleanup(front.Close)
	a.url = front.URL + "/api/v1/timestamp"
	shared.used(timestampAuthority + "@" + moduleVersion(t, timestampAuthority))
	return a
}

// moduleVersion is the version of a module that the tests are built with.
func moduleVersion(t *testing.T, module string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", module).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
