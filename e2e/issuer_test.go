package e2e

import (
	"cmp"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// The identity providers that Fulcio trusts in production and that are played here, under their own names.
const (
	gitHub    = "https://token.actions.githubusercontent.com"
	google    = "https://accounts.google.com"
	codefresh = "https://oidc.codefresh.io"
)

// issuer is all of the identity providers in one: it signs whatever it is told to. Fulcio reaches them through a proxy on
// loopback that knows no other place, so that nothing leaves the machine.
type issuer struct {
	key   *rsa.PrivateKey
	proxy string // URL
	ca    string // the file with the certificate that the providers show
}

func startIssuer(t *testing.T, dir string) *issuer {
	t.Helper()
	i := new(issuer)
	var err error
	if i.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for _, provider := range []string{gitHub, google, codefresh} {
		hosts = append(hosts, strings.TrimPrefix(provider, "https://"))
	}
	key := newKey(t, elliptic.P256())
	certificate := certify(t, nil, key, &x509.Certificate{
		Subject: pkix.Name{CommonName: "identity providers"}, DNSNames: hosts, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	i.ca = writePEM(t, dir, "providers.pem", "CERTIFICATE", certificate.Raw)

	providers := httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	providers.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	providers.StartTLS()
	t.Cleanup(providers.Close)
	tunnel := &tunnel{hosts: hosts, to: providers.Listener.Addr().String()}
	proxy := httptest.NewServer(tunnel)
	t.Cleanup(func() {
		proxy.Close()
		providers.CloseClientConnections()
		tunnel.open.Wait()
	})
	i.proxy = proxy.URL
	return i
}

// serve answers what OpenID Connect Discovery 1.0 §4 asks a provider for, and where its key is.
func (i *issuer) serve(w http.ResponseWriter, q *http.Request) {
	provider := "https://" + q.Host
	w.Header().Set("Content-Type", "application/json")
	var answer any
	switch q.URL.Path {
	case "/.well-known/openid-configuration":
		answer = map[string]any{
			"issuer": provider, "jwks_uri": provider + "/jwks", "subject_types_supported": []string{"public"},
			"response_types_supported": []string{"id_token"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		}
	case "/jwks":
		answer = map[string]any{"keys": []any{map[string]string{
			"kty": "RSA", "kid": "e2e", "alg": "RS256", "use": "sig", "n": base64.RawURLEncoding.EncodeToString(i.key.N.Bytes()), "e": "AQAB",
		}}}
	default:
		http.NotFound(w, q)
		return
	}
	_ = json.NewEncoder(w).Encode(answer) // whoever asked went away
}

// token signs claims as a provider does (RFC 7519).
func (i *issuer) token(t *testing.T, provider string, claims map[string]any) string {
	t.Helper()
	now := clock.Real().Now().Unix()
	claims["iss"], claims["aud"] = provider, "sigstore"
	claims["iat"], claims["nbf"], claims["exp"] = now, now-5, now+300
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"RS256","kid":"e2e","typ":"JWT"}`)) + "." + encode(payload)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(nil, i.key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(signature)
}

// gitHubClaims are those of the token that GitHub gives a job with the sandbox's claims (GitHub Docs, "OpenID Connect
// reference").
func gitHubClaims(c sandbox.Claims) map[string]any {
	owner, _, _ := strings.Cut(c.Repository, "/")
	workflow := fmt.Sprintf("%s/.github/workflows/%s@%s", c.Repository, c.Workflow, c.Ref)
	claims := map[string]any{
		"sub": cmp.Or(c.SubjectOverride, "repo:"+c.Repository+":ref:"+c.Ref), "event_name": c.Trigger, "sha": c.SHA, "workflow": c.WorkflowName,
		"repository": c.Repository, "repository_id": c.RepositoryID, "repository_owner": owner, "repository_owner_id": c.OwnerID,
		"repository_visibility": cmp.Or(c.Visibility, "public"), "ref": c.Ref, "workflow_ref": workflow, "workflow_sha": c.SHA,
		"job_workflow_ref": cmp.Or(c.SignerWorkflow, workflow), "job_workflow_sha": cmp.Or(c.SignerDigest, c.SHA),
		"run_id": c.RunID, "run_attempt": fmt.Sprint(max(c.Attempt, 1)), "runner_environment": cmp.Or(c.Runner, "github-hosted"),
	}
	switch {
	case c.Environment != "":
		claims["environment"] = c.Environment
		claims["sub"] = cmp.Or(c.SubjectOverride, "repo:"+c.Repository+":environment:"+c.Environment)
	case c.Trigger == "pull_request":
		claims["sub"] = cmp.Or(c.SubjectOverride, "repo:"+c.Repository+":pull_request")
	}
	return claims
}

// tunnel is a proxy that connects whoever names one of its hosts with one address (RFC 9110 §9.3.6).
type tunnel struct {
	hosts []string
	to    string
	open  sync.WaitGroup
}

func (x *tunnel) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	host, port, err := net.SplitHostPort(q.Host)
	if q.Method != http.MethodConnect || err != nil || port != "443" || !slices.Contains(x.hosts, host) {
		http.Error(w, "there is no such place", http.StatusForbidden)
		return
	}
	far, err := net.Dial("tcp", x.to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	near, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		far.Close()
		return
	}
	fmt.Fprint(near, "HTTP/1.1 200 OK\r\n\r\n")
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		x.open.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // either side may hang up at any time
			near.Close()
			far.Close()
		})
	}
}
