package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/pypi"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// clients are those whose signatures are verified here, as they sign: with a certificate of their own each, a log and, for
// Rekor v2, which tells no times, a timestamp authority.
type clients struct {
	fulcio  *fulcio
	claims  sandbox.Claims
	options sign.BundleOptions
}

func (f *fulcio) clients(t *testing.T, logURL string, version uint32, timestamps *tsa) *clients {
	t.Helper()
	c := &clients{fulcio: f, claims: sandbox.ReleaseClaims("1.23.0")}
	c.options = sign.BundleOptions{
		Context: t.Context(), CertificateProvider: f.provider,
		TransparencyLogs: []sign.Transparency{sign.NewRekor(&sign.RekorOptions{BaseURL: logURL, Version: version, Timeout: time.Minute})},
	}
	if timestamps != nil {
		c.options.TimestampAuthorities = []*sign.TimestampAuthority{sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: timestamps.url})}
	}
	return c
}

// sign makes a bundle.
func (c *clients) sign(t *testing.T, content sign.Content) (*protobundle.Bundle, []byte) {
	t.Helper()
	keypair, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := c.options
	o.CertificateProviderOptions = &sign.CertificateProviderOptions{IDToken: c.fulcio.issuer.token(t, gitHub, gitHubClaims(c.claims))}
	bundle, err := sign.Bundle(content, keypair, o)
	if err != nil {
		t.Fatalf("signing: %v", err)
	}
	raw, err := protojson.Marshal(bundle)
	if err != nil {
		t.Fatal(err)
	}
	return bundle, raw
}

// attest makes a bundle of a statement.
func (c *clients) attest(t *testing.T, s sandbox.Statement) (*protobundle.Bundle, []byte) {
	t.Helper()
	raw, err := s.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return c.sign(t, &sign.DSSEData{Data: raw, PayloadType: inTotoPayload})
}

// pep740 makes of a bundle what PyPI's client makes of it (PEP 740, "Attestation objects").
func pep740(t *testing.T, bundle []byte) []byte {
	t.Helper()
	var b struct {
		VerificationMaterial struct {
			Certificate struct{ RawBytes []byte }
			TlogEntries json.RawMessage
		}
		DSSEEnvelope struct {
			Payload    []byte
			Signatures []struct{ Sig []byte }
		}
	}
	if err := json.Unmarshal(bundle, &b); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{
		"version":               1,
		"verification_material": map[string]any{"certificate": b.VerificationMaterial.Certificate.RawBytes, "transparency_entries": b.VerificationMaterial.TlogEntries},
		"envelope":              map[string]any{"statement": b.DSSEEnvelope.Payload, "signature": b.DSSEEnvelope.Signatures[0].Sig},
	})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func newVerifier(t *testing.T, roots *trust.Set) *attest.Verifier {
	t.Helper()
	v, err := attest.NewVerifier(roots.Material(), attest.Options{Now: clock.Real().Now, SameName: pypi.SameDistribution})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// mustVerify demands that all checks passed, and that what was verified is what was signed.
func mustVerify(t *testing.T, r attest.Result, claims sandbox.Claims, kind string) {
	t.Helper()
	if r.Status != attest.Verified {
		t.Fatalf("%s: %+v", r.Status, r.Checks)
	}
	san := "https://github.com/onnx/onnx/.github/workflows/" + claims.Workflow + "@" + claims.Ref
	if got := r.Certificate.X509.URIs[0].String(); got != san {
		t.Errorf("signed by %s, want %s", got, san)
	}
	if len(r.Entries) != 1 || !r.Entries[0].InclusionProven || r.Entries[0].Kind+" "+r.Entries[0].APIVersion != kind {
		t.Errorf("entries %+v", r.Entries)
	}
	if age := clock.Real().Now().Sub(r.SignedAt); age < -time.Minute || age > 10*time.Minute {
		t.Errorf("signed at %s", r.SignedAt)
	}
}

const wheel = "onnx-1.23.0-cp312-abi3-manylinux_2_27_x86_64.whl"

// TestWhatSigstoresClientsSignIntoTheRealLogsVerifies signs as PyPI's and GitHub's actions do, with Sigstore's own library: into
// the real Rekor v1, which vouches for the time, and into the real Rekor v2 with the real timestamp authority.
func TestWhatSigstoresClientsSignIntoTheRealLogsVerifies(t *testing.T) {
	timestamps := startTSA(t)
	f := startFulcio(t)
	v1, v2 := startRekor1(t), startRekor2(t)
	trusted := trustFulcio(t, f)
	without := newVerifier(t, trusted.roots(t))
	trusted.rekor1(t, v1)
	trusted.rekor2(v2)
	trusted.timestamp(timestamps)
	verifier := newVerifier(t, trusted.roots(t))
	content := []byte("the bytes of a wheel")
	file := sandbox.Subject{Name: wheel, SHA256: digest(string(content))}
	artifact := attest.Artifact{Name: wheel, SHA256: file.SHA256}
	other := attest.Artifact{Name: wheel, SHA256: digest("other bytes")}

	for _, log := range []struct {
		name           string
		clients        *clients
		dsse, artifact string // the kinds of entries that it makes of the two
	}{
		{"Rekor v1", f.clients(t, v1.url, 1, nil), "dsse 0.0.1", "hashedrekord 0.0.1"},
		{"Rekor v2", f.clients(t, v2.write, 2, timestamps), "hashedrekord 0.0.2", "hashedrekord 0.0.2"},
	} {
		slsa, err := sandbox.SLSAStatement(log.clients.claims, file, sandbox.Subject{Name: "onnx-1.23.0.tar.gz", SHA256: digest("sdist")})
		if err != nil {
			t.Fatal(err)
		}
		for name, signed := range map[string]struct {
			kind string
			sign func() (*protobundle.Bundle, []byte)
		}{
			"a publish attestation": {log.dsse, func() (*protobundle.Bundle, []byte) { return log.clients.attest(t, sandbox.PublishStatement(file)) }},
			"SLSA provenance":       {log.dsse, func() (*protobundle.Bundle, []byte) { return log.clients.attest(t, slsa) }},
			"an artifact":           {log.artifact, func() (*protobundle.Bundle, []byte) { return log.clients.sign(t, &sign.PlainData{Data: content}) }},
		} {
			t.Run(name+" in "+log.name, func(t *testing.T) {
				bundle, raw := signed.sign()
				r := verifier.VerifyBundle(raw, artifact)
				mustVerify(t, r, log.clients.claims, signed.kind)
				if r := verifier.VerifyBundle(raw, other); r.Status != attest.Failed {
					t.Errorf("for another file: %s", r.Status)
				}
				if r := without.VerifyBundle(raw, artifact); r.Status != attest.Failed {
					t.Errorf("without the log in the trusted root: %s", r.Status)
				}
				// Of Rekor v2, PyPI's objects would lack the time: they have no place for it.
				if name == "a publish attestation" && log.name == "Rekor v1" {
					mustVerify(t, verifier.VerifyAttestation(pep740(t, raw), artifact), log.clients.claims, signed.kind)
				}
				if log.name == "Rekor v1" {
					compareWithLog(t, v1, bundle)
				} else if len(r.Timestamps) != 1 || r.Timestamps[0].Authority != "https://tsa.e2e.example" {
					t.Errorf("timestamps %+v", r.Timestamps)
				}
			})
		}
	}
}

// compareWithLog holds the entry that a bundle carries against the one that Rekor v1 has.
func compareWithLog(t *testing.T, v1 *rekor1, bundle *protobundle.Bundle) {
	t.Helper()
	entry := bundle.GetVerificationMaterial().GetTlogEntries()[0]
	e, err := v1.log(t).EntryAt(t.Context(), uint64(entry.GetLogIndex()))
	if err != nil {
		t.Fatal(err)
	}
	keys, err := rekor.NewV1Keys(rekor1Host, v1.keys()...)
	if err != nil {
		t.Fatal(err)
	}
	carried := rekor.V1Copy{
		Body: entry.GetCanonicalizedBody(), GlobalIndex: uint64(entry.GetLogIndex()), IntegratedTime: time.Unix(entry.GetIntegratedTime(), 0),
		LogID: hex.EncodeToString(entry.GetLogId().GetKeyId()), SET: entry.GetInclusionPromise().GetSignedEntryTimestamp(),
		Proof: true, TreeID: treeID(v1.trees[0]), Index: uint64(entry.GetInclusionProof().GetLogIndex()),
	}
	if d := keys.Compare(e, carried); len(d) != 0 {
		t.Errorf("the bundle's entry and the log's: %v", d)
	}
	if base64.StdEncoding.EncodeToString(carried.SET) == base64.StdEncoding.EncodeToString(e.SET) {
		t.Errorf("the log did not sign anew, as it is said to")
	}
	carried.IntegratedTime = carried.IntegratedTime.Add(-time.Hour)
	if d := keys.Compare(e, carried); len(d) != 2 {
		t.Errorf("a bundle with another time: %v", d)
	}
}
