package notify_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/notify"
)

// testCertificate is a certificate for 127.0.0.1, and who trusts it.
func testCertificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12}, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

// TestMailIsSentThroughTLSOrNotAtAll sends with TLS from the first byte, and to a server that offers none or an untrusted one.
func TestMailIsSentThroughTLSOrNotAtAll(t *testing.T) {
	serverTLS, clientTLS := testCertificate(t)
	for name, c := range map[string]struct {
		server, client     *tls.Config
		implicit, starttls bool
		want               string
	}{
		"from the first byte":  {serverTLS, clientTLS, true, false, ""},
		"STARTTLS":             {serverTLS, clientTLS, false, true, ""},
		"not trusted":          {serverTLS, nil, true, false, "certificate"},
		"not trusted STARTTLS": {serverTLS, nil, false, true, "certificate"},
		"STARTTLS not offered": {nil, clientTLS, false, false, "STARTTLS"},
	} {
		s := newMailServer(t)
		if c.implicit {
			s.wrap = func(conn net.Conn) net.Conn { return tls.Server(conn, c.server) }
		}
		if c.starttls {
			s.starttls = c.server
		}
		e, err := notify.NewEmail("mail", notify.EmailOptions{Server: s.listener.Addr().String(), Implicit: c.implicit, TLS: c.client, From: "monitor@example.org", To: []string{"security@example.org"},
			User: "monitor", Password: "topsecret", Timeout: 10 * time.Second, Clock: newBench(t, 0).clock})
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Send(context.Background(), single(notify.Message{At: start}))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if want := map[bool]int{true: 1}[c.want == ""]; len(s.mails()) != want {
			t.Errorf("%s: %d mails", name, len(s.mails()))
		}
	}
}
