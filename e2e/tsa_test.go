package e2e

import (
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"testing"
)

// tsa is a real timestamp authority.
type tsa struct {
	url                string // for requests (RFC 3161 §3.4)
	certificate        *x509.Certificate
	root, intermediate *authority
}

// metricsAddress is where the timestamp authority and Rekor v1 show their metrics, whatever they are told. The former does not
// run without it: it is to be started first.
const metricsAddress = ":2112"

func startTSA(t *testing.T) *tsa {
	t.Helper()
	l, err := net.Listen("tcp", metricsAddress)
	if err != nil {
		need(t, &missingError{what: "the timestamp authority", err: err})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	a := new(tsa)
	a.root, a.intermediate = newAuthority(t, "tsa", x509.ExtKeyUsageTimeStamping)
	key := newKey(t, elliptic.P256())
	a.certificate = certify(t, a.intermediate, key, &x509.Certificate{
		Subject: pkix.Name{Organization: []string{"e2e.example"}, CommonName: "tsa"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{timestamping(t)},
	})
	port := freePort(t)
	a.url = "http://127.0.0.1:" + port + "/api/v1/timestamp"
	launch(t, dir, "timestamp-server", nil, answers("http://127.0.0.1:"+port+"/ping"),
		"serve", "--host=127.0.0.1", "--port="+port, "--scheme=http", "--disable-ntp-monitoring", "--cleanup-timeout=1s",
		"--timestamp-signer=file", "--file-signer-passwd=none", "--file-signer-key-path="+writePEM(t, dir, "tsa-key.pem", "PRIVATE KEY", pkcs8(t, key)),
		"--certificate-chain-path="+writePEM(t, dir, "tsa-chain.pem", "CERTIFICATE", a.certificate.Raw, a.intermediate.certificate.Raw, a.root.certificate.Raw))
	return a
}
