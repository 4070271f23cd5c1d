package e2e

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/sandbox"
)

func newSandbox(t *testing.T) *sandbox.World {
	t.Helper()
	w, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// certificateForm is what a certificate says, apart from its key, its number, its times and who signed it.
type certificateForm struct {
	Subject  string
	Usage    x509.KeyUsage
	Extended []x509.ExtKeyUsage
	Lifetime time.Duration
	CA       bool
	// Extensions are their values in hex by id, the critical ones marked; of those that differ from one certificate to the next,
	// only that they are there.
	Extensions map[string]string
}

func formOf(c *x509.Certificate) certificateForm {
	form := certificateForm{Subject: c.Subject.String(), Usage: c.KeyUsage, Extended: c.ExtKeyUsage, Lifetime: c.NotAfter.Sub(c.NotBefore), CA: c.IsCA,
		Extensions: map[string]string{}}
	for _, e := range c.Extensions {
		id, value := e.Id.String(), fmt.Sprintf("%x", e.Value)
		switch id {
		case "2.5.29.14", "2.5.29.35", "1.3.6.1.4.1.11129.2.4.2": // identifiers of the two keys, and the SCTs
			value = "its own"
		}
		if e.Critical {
			value = "critical " + value
		}
		form.Extensions[id] = value
	}
	return form
}

// TestTheSandboxsFulcioWritesCertificatesAsTheRealOneDoes has both certify the same claims.
func TestTheSandboxsFulcioWritesCertificatesAsTheRealOneDoes(t *testing.T) {
	f, w := startFulcio(t), newSandbox(t)
	release := func(edit func(*sandbox.Claims)) sandbox.Claims {
		c := sandbox.ReleaseClaims("1.23.0")
		edit(&c)
		return c
	}
	for name, c := range map[string]sandbox.Claims{
		"a release":      release(func(*sandbox.Claims) {}),
		"no environment": release(func(c *sandbox.Claims) { c.Environment = "" }),
		"a pull request": release(func(c *sandbox.Claims) { c.Environment, c.Ref, c.Trigger = "", "refs/pull/7/merge", "pull_request" }),
		"a reusable workflow": release(func(c *sandbox.Claims) {
			c.SignerWorkflow, c.SignerDigest = "attacker/ci/.github/workflows/build.yml@refs/tags/v1", "0123456789012345678901234567890123456789"
		}),
		"its own machine": release(func(c *sandbox.Claims) { c.Runner, c.Visibility, c.Attempt = "self-hosted", "private", 3 }),
		"an odd branch":   release(func(c *sandbox.Claims) { c.Ref = "refs/heads/é%41&x=1" }),
		"another subject": release(func(c *sandbox.Claims) { c.SubjectOverride = "repo:onnx/onnx:job_workflow_ref:x" }),
	} {
		t.Run(name, func(t *testing.T) {
			compareCertificates(t, w, c, f.job(t, c))
		})
	}
	t.Run("a person", func(t *testing.T) {
		c := sandbox.Claims{Issuer: google, Email: "maintainer@example.com", SubjectOverride: "1076"}
		claims := map[string]any{"sub": "1076", "email": "maintainer@example.com", "email_verified": true}
		compareCertificates(t, w, c, f.certify(t, f.issuer.token(t, google, claims)))
	})
}

func compareCertificates(t *testing.T, w *sandbox.World, c sandbox.Claims, real *signer) {
	t.Helper()
	s, err := w.Fulcio.NewSigner(c, sandbox.CertificateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(formOf(real.certificate), formOf(s.Certificate)); diff != "" {
		t.Errorf("the real one (-) and the sandbox's (+):\n%s", diff)
	}
}

// TestTheSandboxsRekorsWriteEntriesAsTheRealOnesDo logs the same signatures in both: the bodies, which the trees commit to, are
// the same bytes.
func TestTheSandboxsRekorsWriteEntriesAsTheRealOnesDo(t *testing.T) {
	v1, v2, w := startRekor1(t), startRekor2(t), newSandbox(t)
	kinds := []string{sandbox.HashedRekord, sandbox.DSSE, sandbox.Intoto}
	first := w.Rekor.Active().Size()
	var plants []sandbox.RekorPlant
	for i, kind := range kinds {
		plants = append(plants, sandbox.RekorPlant{Kind: kind, Plant: sandbox.Plant{At: first + uint64(i), Claims: sandbox.ReleaseClaims("1.23.0")}})
	}
	planted, err := w.PlantRekor(first+uint64(len(kinds)), w.Now(), w.Now(), plants...)
	if err != nil {
		t.Fatal(err)
	}
	for i, kind := range kinds {
		a := planted[i].Attestation
		compareBodies(t, "Rekor v1, "+kind, v1.add(t, proposal{request: proposalOf(t, kind, a)})[0].body, a.Entries[0].Body)
		if a.Artifact == nil {
			continue
		}
		entry, err := w.Rekor2.Log(a)
		if err != nil {
			t.Fatal(err)
		}
		body, err := v2.post(t.Context(), a.Artifact, a.Signature, a.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		compareBodies(t, "Rekor v2, "+kind, body, entry.Body)
	}
}

func compareBodies(t *testing.T, what string, real, sandboxed []byte) {
	t.Helper()
	if len(real) == 0 || !bytes.Equal(real, sandboxed) {
		t.Errorf("%s: the real one wrote\n%s\nand the sandbox\n%s", what, real, sandboxed)
	}
}

// proposalOf is the request that logs a signature of the sandbox in Rekor v1 (rekor, pkg/types).
func proposalOf(t *testing.T, kind string, a *sandbox.Attestation) any {
	t.Helper()
	verifier := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate})
	raw, err := a.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	var bundle struct{ DSSEEnvelope json.RawMessage }
	if err := json.Unmarshal(raw, &bundle); err != nil {
		t.Fatal(err)
	}
	propose := func(version string, spec map[string]any) any {
		return map[string]any{"apiVersion": version, "kind": kind, "spec": spec}
	}
	twice := func(b []byte) []byte { return base64.StdEncoding.AppendEncode(nil, b) } // JSON encodes it once more
	switch kind {
	case sandbox.HashedRekord:
		return propose("0.0.1", map[string]any{
			"data":      map[string]any{"hash": map[string]string{"algorithm": "sha256", "value": hex.EncodeToString(a.Artifact)}},
			"signature": map[string]any{"content": a.Signature, "publicKey": map[string]any{"content": verifier}},
		})
	case sandbox.DSSE:
		return propose("0.0.1", map[string]any{"proposedContent": map[string]any{"envelope": string(bundle.DSSEEnvelope), "verifiers": [][]byte{verifier}}})
	}
	return propose("0.0.2", map[string]any{"content": map[string]any{
		"envelope": map[string]any{
			"payloadType": inTotoPayload, "payload": twice(a.Statement),
			"signatures": []any{map[string]any{"sig": twice(a.Signature), "publicKey": verifier}},
		},
		"hash": map[string]string{"algorithm": "sha256", "value": digest(string(bundle.DSSEEnvelope))},
	}})
}
