package sandbox

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"testing"
	"time"

	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
)

// claimsOfTheTest are literal, so that the expectations below are.
var claimsOfTheTest = Claims{
	Repository: "onnx/onnx", RepositoryID: "102692863", OwnerID: "31675368",
	Workflow: "create_release.yml", WorkflowName: "Create Releases", Ref: "refs/heads/rel-1.23.0",
	SHA: "0123456789abcdef0123456789abcdef01234567", Trigger: "workflow_dispatch", Environment: "pypi-release",
	RunID: "123456", Attempt: 2,
}

// extension finds a Fulcio extension's value.
func extension(c *x509.Certificate, n int) ([]byte, bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}) {
			return e.Value, true
		}
	}
	return nil, false
}

func TestCertificatesHaveFulciosShape(t *testing.T) {
	c := newSigner(t, newWorld(t), claimsOfTheTest, CertificateOptions{}).Certificate
	if got := c.Subject.String(); got != "" {
		t.Errorf("subject %q, want none", got)
	}
	if got := c.NotAfter.Sub(c.NotBefore); got != 10*time.Minute {
		t.Errorf("valid for %v, want 10 minutes", got)
	}
	if !c.NotBefore.Equal(signedAt) {
		t.Errorf("valid from %v, want %v", c.NotBefore, signedAt)
	}
	if c.SignatureAlgorithm != x509.ECDSAWithSHA384 {
		t.Errorf("signed with %v, want ECDSA with SHA-384", c.SignatureAlgorithm)
	}
	if c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageCodeSigning {
		t.Errorf("key usage %v, extended %v", c.KeyUsage, c.ExtKeyUsage)
	}
	if c.IsCA || len(c.SubjectKeyId) != 20 || len(c.AuthorityKeyId) != 20 {
		t.Errorf("CA %v, key ids %x and %x", c.IsCA, c.SubjectKeyId, c.AuthorityKeyId)
	}
	for _, e := range c.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) && !e.Critical {
			t.Error("the SAN is not critical although the subject is empty")
		}
	}
	const san = "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/rel-1.23.0"
	if len(c.URIs) != 1 || c.URIs[0].String() != san {
		t.Errorf("SAN %v, want %s", c.URIs, san)
	}
}

func TestExtensionsHaveBothOfFulciosEncodings(t *testing.T) {
	c := newSigner(t, newWorld(t), claimsOfTheTest, CertificateOptions{}).Certificate
	const (
		workflow = "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/rel-1.23.0"
		commit   = "0123456789abcdef0123456789abcdef01234567"
		issuer   = "https://token.actions.githubusercontent.com"
	)
	raw := map[int]string{
		1: issuer, 2: "workflow_dispatch", 3: commit, 4: "Create Releases", 5: "onnx/onnx", 6: "refs/heads/rel-1.23.0",
	}
	encoded := map[int]string{
		8: issuer, 9: workflow, 10: commit, 11: "github-hosted", 12: "https://github.com/onnx/onnx", 13: commit,
		14: "refs/heads/rel-1.23.0", 15: "102692863", 16: "https://github.com/onnx", 17: "31675368", 18: workflow,
		19: commit, 20: "workflow_dispatch", 21: "https://github.com/onnx/onnx/actions/runs/123456/attempts/2", 22: "public",
		23: "pypi-release", 24: "repo:onnx/onnx:environment:pypi-release",
	}
	for n, want := range raw {
		if got, _ := extension(c, n); string(got) != want {
			t.Errorf(".%d is %q, want %q without a wrapper", n, got, want)
		}
	}
	for n, want := range encoded {
		// UTF8String: tag 0x0c, a length, which is of the long form from 128 on, the text.
		der := append([]byte{0x0c, byte(len(want))}, want...)
		if got, _ := extension(c, n); !bytes.Equal(got, der) {
			t.Errorf(".%d is %q, want the DER of %q", n, got, want)
		}
	}
	if _, ok := extension(c, 7); ok {
		t.Error(".7 belongs into a SAN")
	}
	summary, err := certificate.SummarizeCertificate(c)
	if err != nil {
		t.Fatal(err)
	}
	if summary.SourceRepositoryIdentifier != "102692863" || summary.BuildConfigURI != workflow || summary.Issuer != issuer {
		t.Errorf("sigstore-go reads %+v", summary)
	}
}

func TestExtensionsCanBeLeftOutAndReplaced(t *testing.T) {
	c := newSigner(t, newWorld(t), claimsOfTheTest, CertificateOptions{Omit: []int{15, 23, 24}, Override: map[int]string{12: "https://example.com/x"}}).Certificate
	for _, n := range []int{15, 23, 24} {
		if _, ok := extension(c, n); ok {
			t.Errorf(".%d is there", n)
		}
	}
	if got, _ := extension(c, 12); string(got) != "\x0c\x15https://example.com/x" {
		t.Errorf(".12 is %q", got)
	}
	if _, ok := extension(newSigner(t, newWorld(t), weeklyClaimsWithout(t), CertificateOptions{}).Certificate, 23); ok {
		t.Error(".23 is there for a job without an environment")
	}
}

func weeklyClaimsWithout(t *testing.T) Claims {
	t.Helper()
	c := weeklyClaims()
	c.Environment = ""
	return c
}

func TestReusableWorkflowsAreTheSignerAndTheCallerIsTheSource(t *testing.T) {
	claims := claimsOfTheTest
	claims.SignerWorkflow = "builders/ci/.github/workflows/build.yml@refs/tags/v1"
	claims.SignerDigest = "fedcba9876543210fedcba9876543210fedcba98"
	summary, err := certificate.SummarizeCertificate(newSigner(t, newWorld(t), claims, CertificateOptions{}).Certificate)
	if err != nil {
		t.Fatal(err)
	}
	const signer = "https://github.com/builders/ci/.github/workflows/build.yml@refs/tags/v1"
	if summary.SubjectAlternativeName != signer || summary.BuildSignerURI != signer || summary.BuildSignerDigest != claims.SignerDigest {
		t.Errorf("signer: SAN %s, .9 %s, .10 %s", summary.SubjectAlternativeName, summary.BuildSignerURI, summary.BuildSignerDigest)
	}
	if summary.SourceRepositoryURI != "https://github.com/onnx/onnx" ||
		summary.BuildConfigURI != "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/rel-1.23.0" {
		t.Errorf("source: .12 %s, .18 %s", summary.SourceRepositoryURI, summary.BuildConfigURI)
	}
}

// The CT log commits to the precertificate's TBS; a monitor must find the same bytes in the final certificate.
func TestPrecertificateAndCertificateAreOne(t *testing.T) {
	s := newSigner(t, newWorld(t), claimsOfTheTest, CertificateOptions{})
	precertificate, err := ctx509.ParseCertificate(s.Precertificate)
	if ctx509.IsFatal(err) {
		t.Fatal(err)
	}
	if !precertificate.IsPrecertificate() {
		t.Error("the precertificate is not poisoned")
	}
	before, err := ctx509.RemoveCTPoison(precertificate.RawTBSCertificate)
	if err != nil {
		t.Fatal(err)
	}
	after, err := ctx509.RemoveSCTList(s.Certificate.RawTBSCertificate)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the TBS without poison differs from the TBS without SCTs")
	}
}
