package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"

	"github.com/rekoncile/rekoncile/internal/realdata"
)

// A name of a subject alternative name, as a context-specific tag and its content.
func generalName(tag int, content string) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(content)}
}

func sanExtension(t testing.TB, names ...asn1.RawValue) pkix.Extension {
	t.Helper()
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: der(t, names, "")}
}

func otherName(t testing.TB, typeID asn1.ObjectIdentifier, value string) asn1.RawValue {
	t.Helper()
	return asn1.RawValue{FullBytes: der(t, struct {
		ID    asn1.ObjectIdentifier
		Value string `asn1:"utf8,explicit,tag:0"`
	}{typeID, value}, "tag:0")}
}

func der(t testing.TB, v any, params string) []byte {
	t.Helper()
	b, err := asn1.MarshalWithParams(v, params)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// raw is an extension of Fulcio's arc with a value as it is, and text one with a DER UTF8String.
func raw(n int, value string) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}, Value: []byte(value)}
}

func text8(t testing.TB, n int, value string) pkix.Extension {
	t.Helper()
	return raw(n, string(der(t, value, "utf8")))
}

// newCertificate makes and re-reads a real self-signed certificate.
func newCertificate(t testing.TB, extensions ...pkix.Extension) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(signCertificate(t, extensions...))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// signCertificate makes a real self-signed certificate, which crypto/x509 may refuse to parse.
func signCertificate(t testing.TB, extensions ...pkix.Extension) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), ExtraExtensions: extensions},
		&x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// fulcioExtensions are all of id's, as Fulcio encodes them.
func fulcioExtensions(t testing.TB, id Identity) []pkix.Extension {
	return []pkix.Extension{
		sanExtension(t, generalName(6, id.SAN)),
		raw(1, id.Issuer), raw(2, id.GitHubWorkflowTrigger), raw(3, id.GitHubWorkflowSHA), raw(4, id.GitHubWorkflowName),
		raw(5, id.GitHubWorkflowRepository), raw(6, id.GitHubWorkflowRef),
		text8(t, 8, id.Issuer), text8(t, 9, id.BuildSignerURI), text8(t, 10, id.BuildSignerDigest), text8(t, 11, id.RunnerEnvironment),
		text8(t, 12, id.SourceRepositoryURI), text8(t, 13, id.SourceRepositoryDigest), text8(t, 14, id.SourceRepositoryRef),
		text8(t, 15, id.SourceRepositoryID), text8(t, 16, id.SourceRepositoryOwnerURI), text8(t, 17, id.SourceRepositoryOwnerID),
		text8(t, 18, id.BuildConfigURI), text8(t, 19, id.BuildConfigDigest), text8(t, 20, id.BuildTrigger), text8(t, 21, id.RunInvocationURI),
		text8(t, 22, id.SourceRepositoryVisibility), text8(t, 23, id.DeploymentEnvironment), text8(t, 24, id.TokenSubject),
	}
}

func TestFromCertificateReadsEveryExtension(t *testing.T) {
	want := releaseIdentity()
	want.GitHubWorkflowName = strings.Repeat("long display name ", 20) // a two-byte DER length would show in .8 and up
	want.TokenSubject = strings.Repeat("repo:onnx/onnx:", 40)
	got, err := FromCertificate(newCertificate(t, fulcioExtensions(t, want)...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFromCertificateReadsEachKindOfName(t *testing.T) {
	for _, c := range []struct {
		name     asn1.RawValue
		san, typ string
	}{
		{generalName(6, "https://gitlab.com/o/p//.gitlab-ci.yml@refs/heads/main"), "https://gitlab.com/o/p//.gitlab-ci.yml@refs/heads/main", "uri"},
		{generalName(1, "someone@example.com"), "someone@example.com", "email"},
		{otherName(t, oidOtherName, "foo!oidc.local"), "foo!oidc.local", "other-name"},
		{otherName(t, oidOtherName, "é!oidc.local"), "é!oidc.local", "other-name"},
	} {
		id, err := FromCertificate(newCertificate(t, sanExtension(t, c.name), raw(1, "https://issuer.example")))
		if err != nil {
			t.Errorf("%s: %v", c.san, err)
			continue
		}
		if diff := cmp.Diff(Identity{SAN: c.san, SANType: c.typ, Issuer: "https://issuer.example"}, id); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.san, diff)
		}
	}
}

func TestFromCertificateKeepsUnknownExtensions(t *testing.T) {
	arc := func(n ...int) asn1.ObjectIdentifier {
		return append(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1}, n...)
	}
	id, err := FromCertificate(newCertificate(t, sanExtension(t, generalName(1, "a@b")),
		raw(25, "\x0c\x01x"), raw(7, "seven"),
		pkix.Extension{Id: arc(12, 3), Value: []byte("deeper")},
		pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, Value: []byte("another arc")}))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"25": []byte("\x0c\x01x"), "7": []byte("seven"), "12.3": []byte("deeper")}
	if diff := cmp.Diff(want, id.UnknownExtensions); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFromCertificateRefusesWhatFulcioNeverIssues(t *testing.T) {
	san := sanExtension(t, generalName(6, "https://github.com/o/n/.github/workflows/w.yml@refs/heads/main"))
	var many []pkix.Extension
	for n := 100; n <= 164; n++ {
		many = append(many, raw(n, "x"))
	}
	for _, c := range []struct {
		name       string
		extensions []pkix.Extension
		want       string
	}{
		{"no SAN", nil, "it has no subject alternative name"},
		{"no name", []pkix.Extension{sanExtension(t)}, "it holds 0 names"},
		{"two URIs", []pkix.Extension{sanExtension(t, generalName(6, "https://a/b"), generalName(6, "https://c/d"))}, "it holds 2 names"},
		{"URI and e-mail", []pkix.Extension{sanExtension(t, generalName(6, "https://a/b"), generalName(1, "a@b"))}, "it holds 2 names"},
		{"URI and other name", []pkix.Extension{sanExtension(t, generalName(6, "https://a/b"), otherName(t, oidOtherName, "x"))}, "it holds 2 names"},
		{"URI and a kind that crypto/x509 skips", []pkix.Extension{sanExtension(t, generalName(6, "https://a/b"), generalName(8, "\x2a"))}, "it holds 2 names"},
		{"URI and address", []pkix.Extension{sanExtension(t, generalName(6, "https://a/b"), generalName(7, "\x7f\x00\x00\x01"))}, "it holds 2 names"},
		{"URI and host", []pkix.Extension{sanExtension(t, generalName(2, "github.com"), generalName(6, "https://a/b"))}, "it holds 2 names"},
		{"host", []pkix.Extension{sanExtension(t, generalName(2, "github.com"))}, "of a kind (tag 0x82)"},
		{"address", []pkix.Extension{sanExtension(t, generalName(7, "\x7f\x00\x00\x01"))}, "of a kind (tag 0x87)"},
		{"registered id", []pkix.Extension{sanExtension(t, generalName(8, "\x2a"))}, "of a kind (tag 0x88)"},
		{"foreign other name", []pkix.Extension{sanExtension(t, otherName(t, asn1.ObjectIdentifier{1, 2, 3}, "x"))}, "of type 1.2.3"},
		{"other name without content", []pkix.Extension{sanExtension(t, asn1.RawValue{Class: 2, Tag: 0, IsCompound: true})}, "has no type"},
		{"empty e-mail", []pkix.Extension{sanExtension(t, generalName(1, ""))}, "it is empty"},
		{"e-mail with a newline", []pkix.Extension{sanExtension(t, generalName(1, "a@b\nevil"))}, "control characters"},
		{"URI that changes when written again", []pkix.Extension{sanExtension(t, generalName(6, "HTTPS://github.com/o/n"))}, "when written again"},
		{"URI with an empty fragment", []pkix.Extension{sanExtension(t, generalName(6, "https://github.com/o/n#"))}, "when written again"},
		{"unknown extensions without end", append([]pkix.Extension{san}, many...), "more than 64 unknown extensions"},
		{"trailing bytes", []pkix.Extension{san, raw(8, "\x0c\x01xy")}, "extension .8: bytes follow its UTF8String"},
		{"raw text where DER belongs", []pkix.Extension{san, raw(12, "https://github.com/o/n")}, "extension .12: its value is not a DER UTF8String"},
		{"PrintableString", []pkix.Extension{san, raw(14, "\x13\x01x")}, "extension .14: its value is not a DER UTF8String"},
		{"length that is not minimal", []pkix.Extension{san, raw(14, "\x0c\x81\x01x")}, "extension .14: its value is not a DER UTF8String"},
		{"length beyond the end", []pkix.Extension{san, raw(14, "\x0c\x7fx")}, "extension .14: its value is not a DER UTF8String"},
		{"nothing at all", []pkix.Extension{san, raw(23, "")}, "extension .23: its value is not a DER UTF8String"},
		{"invalid UTF-8 in DER", []pkix.Extension{san, raw(24, "\x0c\x01\xff")}, "extension .24: its text is not valid UTF-8"},
		{"invalid UTF-8 in raw text", []pkix.Extension{san, raw(4, "\xff")}, "extension .4: its text is not valid UTF-8"},
		{"two issuers", []pkix.Extension{san, raw(1, "https://a"), text8(t, 8, "https://b")}, `it names two issuers, "https://b" in extension .8 and "https://a" in .1`},
		{"an issuer and an empty one", []pkix.Extension{san, raw(1, "https://a"), text8(t, 8, "")}, "it names two issuers"},
		{"huge extension", []pkix.Extension{san, raw(4, strings.Repeat("x", 16<<10+1))}, "extension .4 has 16385 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := FromCertificate(newCertificate(t, c.extensions...))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, not %q", err, c.want)
			}
			if diff := cmp.Diff(Identity{}, id); diff != "" {
				t.Errorf("an identity beside the error:\n%s", diff)
			}
		})
	}
	// crypto/x509 refuses duplicate extensions; a certificate that came another way must not slip through.
	for _, extension := range []pkix.Extension{san, raw(4, "x"), raw(25, "x")} {
		cert := &x509.Certificate{Extensions: []pkix.Extension{san, raw(4, "x"), raw(25, "x"), extension}}
		if _, err := FromCertificate(cert); err == nil || !strings.Contains(err.Error(), "tw") {
			t.Errorf("extension %s twice: error %v", extension.Id, err)
		}
	}
}

// compareWithSigstoreGo holds what FromCertificate reads against what sigstore-go reads in the same certificate.
func compareWithSigstoreGo(t *testing.T, cert *x509.Certificate, id Identity) {
	t.Helper()
	s, err := certificate.SummarizeCertificate(cert)
	if err != nil {
		t.Errorf("sigstore-go refuses a certificate that we read as %+v: %v", id, err)
		return
	}
	want := Identity{
		SAN: s.SubjectAlternativeName, SANType: id.SANType, Issuer: s.Issuer,
		BuildSignerURI: s.BuildSignerURI, BuildSignerDigest: s.BuildSignerDigest, RunnerEnvironment: s.RunnerEnvironment,
		SourceRepositoryURI: s.SourceRepositoryURI, SourceRepositoryDigest: s.SourceRepositoryDigest, SourceRepositoryRef: s.SourceRepositoryRef,
		SourceRepositoryID: s.SourceRepositoryIdentifier, SourceRepositoryOwnerURI: s.SourceRepositoryOwnerURI,
		SourceRepositoryOwnerID: s.SourceRepositoryOwnerIdentifier, BuildConfigURI: s.BuildConfigURI, BuildConfigDigest: s.BuildConfigDigest,
		BuildTrigger: s.BuildTrigger, RunInvocationURI: s.RunInvocationURI, SourceRepositoryVisibility: s.SourceRepositoryVisibilityAtSigning,
		DeploymentEnvironment: id.DeploymentEnvironment, TokenSubject: id.TokenSubject, // which sigstore-go does not know
		GitHubWorkflowTrigger: s.GithubWorkflowTrigger, GitHubWorkflowSHA: s.GithubWorkflowSHA, GitHubWorkflowName: s.GithubWorkflowName,
		GitHubWorkflowRepository: s.GithubWorkflowRepository, GitHubWorkflowRef: s.GithubWorkflowRef,
		UnknownExtensions: id.UnknownExtensions,
	}
	if diff := cmp.Diff(want, id); diff != "" {
		t.Errorf("sigstore-go reads it differently (-sigstore-go +ours):\n%s", diff)
	}
}

func FuzzFromCertificate(f *testing.F) {
	f.Add(newCertificate(f, fulcioExtensions(f, releaseIdentity())...).Raw)
	f.Add(newCertificate(f, sanExtension(f, generalName(1, "a@b")), raw(1, "https://issuer.example")).Raw)
	f.Add(newCertificate(f, sanExtension(f, otherName(f, oidOtherName, "foo!oidc.local")), raw(25, "x")).Raw)
	if data, ok := realdata.Find(f); ok {
		for _, cert := range readCertificates(f, filepath.Join(data, "6-odd")) {
			f.Add(cert.Raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			return
		}
		id, err := FromCertificate(cert)
		if err != nil {
			return
		}
		compareWithSigstoreGo(t, cert, id)
		id.Describe()
		onnxPolicy().Judge(id)
	})
}

// readCertificates reads each PEM certificate below folder, by its path from there.
func readCertificates(t testing.TB, folder string) map[string]*x509.Certificate {
	t.Helper()
	certs := map[string]*x509.Certificate{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		block, _ := pem.Decode(text)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		certs[filepath.ToSlash(name)] = cert
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return certs
}

func TestRealCertificatesReadAsSigstoreGoReadsThem(t *testing.T) {
	refused := map[string]string{ // web servers' certificates
		"cli/cert-d752397aa137.pem":                       "it holds 3 names where Fulcio writes exactly one",
		"model-validation-operator/cert-0a40efc7298f.pem": "it holds 4 names where Fulcio writes exactly one",
	}
	certs := readCertificates(t, filepath.Join(realdata.Dir(t), "6-odd"))
	if len(certs) < 50 {
		t.Errorf("only %d certificates were found", len(certs))
	}
	for name, cert := range certs {
		id, err := FromCertificate(cert)
		if want, ok := refused[name]; ok {
			if err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s: error %v, not %q", name, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		compareWithSigstoreGo(t, cert, id)
	}
}

// Bundles, attestations and provenance documents carry certificates as base64, of DER or of PEM.
var base64Run = regexp.MustCompile(`(?:MII|LS0tLS1CRUdJTiBDRVJU)[A-Za-z0-9+/]{400,}={0,2}`)

func TestRealBundlesCertificatesReadAsSigstoreGoReadsThem(t *testing.T) {
	leaves := map[string]bool{} // by their DER
	for _, folder := range []string{"2-pep740", "3-bundles"} {
		err := filepath.WalkDir(filepath.Join(realdata.Dir(t), folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			body, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, run := range base64Run.FindAll(body, -1) {
				der, err := base64.StdEncoding.DecodeString(string(run))
				if err != nil {
					continue
				}
				if block, _ := pem.Decode(der); block != nil {
					der = block.Bytes
				}
				cert, err := x509.ParseCertificate(der)
				if err != nil || !slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSubjectAltName) }) {
					continue // other base64, or an authority's
				}
				leaves[string(der)] = true
				id, err := FromCertificate(cert)
				if err != nil {
					t.Errorf("%s: %v", path, err)
					continue
				}
				compareWithSigstoreGo(t, cert, id)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(leaves) < 80 {
		t.Errorf("only %d certificates were found", len(leaves))
	}
}

func TestRealCertificatesAreJudged(t *testing.T) {
	certs := readCertificates(t, filepath.Join(realdata.Dir(t), "6-odd"))
	for _, c := range []struct {
		file, repository, issuer string // issuer "": GitHub Actions
		class                    Class
		describe                 string
	}{
		{"cli/cert-c07179933908.pem", "too-legit/attest", "", ClassSelf, // an enterprise's own issuer
			"workflow integration.yml of too-legit/attest at refs/heads/main, triggered by workflow_dispatch, authenticated by https://token.actions.githubusercontent.com/hammer-time"},
		{"sigstore-rust/cert-6e77828b8e93.pem", "onnx/onnx", "", ClassOther, "foo!oidc.local, authenticated by http://oidc.local:8080"},
		{"warehouse/cert-5cc768f88fb6.pem", "pep740-example/sampleproject", "", ClassOther,
			"https://gitlab.com/pep740-example/sampleproject//.gitlab-ci.yml@refs/heads/main, authenticated by https://gitlab.com, building https://gitlab.com/pep740-example/sampleproject"},
		{"slsa-verifier/cert-e443d6aabd39.pem", "bazel-contrib/publish-to-bcr", "", ClassForeignCaller, ""},
	} {
		cert := certs[c.file]
		if cert == nil {
			t.Errorf("%s is not there", c.file)
			continue
		}
		id, err := FromCertificate(cert)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		j := Policy{Repository: Repository{Name: c.repository}, Issuer: c.issuer}.Judge(id)
		if j.Class != c.class || j.Match != Unexpected {
			t.Errorf("%s: class %s, %s", c.file, j.Class, j.Match)
		}
		if got := id.Describe(); c.describe != "" && got != c.describe {
			t.Errorf("%s:\ngot  %s\nwant %s", c.file, got, c.describe)
		}
	}
}
