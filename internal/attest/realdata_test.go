package attest

import (
	"crypto"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rekoncile/rekoncile/internal/realdata"
)

type verdict struct {
	status   Status
	check    string // the first check that failed, or that met an unknown form
	root     string // in the collection; empty: the public-good instance's
	key      keyName
	artifact string // in the collection; empty: what the specimen states
	why      string
}

// keyName names a managed key that signed a specimen.
type keyName int

const (
	noKey  keyName = iota
	npmKey         // the npm registry's, with which it signs publish attestations; public at /-/npm/v1/keys
	omsKey         // of the model signing test vectors
)

const npmPublicKey = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE1Olb3zMAFFxXKHiIkQO5cJ3Yhl5i6UPp+IhuteBJbuHcA5UogKo0EWtlWwW6KSaKoTNEYL7JlCQiVnkhBktUgg=="

func (k keyName) load(t *testing.T, dir string) crypto.PublicKey {
	t.Helper()
	text := []byte("-----BEGIN PUBLIC KEY-----\n" + npmPublicKey + "\n-----END PUBLIC KEY-----\n")
	if k == omsKey {
		text = readFile(t, dir, "3-bundles/oms/keys/certificate/signing-key-pub.pem")
	}
	key, err := parseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRealDataGetsTheVerdictItDeserves also fails if a specimen in the collection is missing from the table, or the other
// way round.
func TestRealDataGetsTheVerdictItDeserves(t *testing.T) {
	dir := realdata.Dir(t)
	verifiers := map[string]*Verifier{}
	seen := map[string]bool{}
	for _, folder := range []string{"2-pep740", "3-bundles", "4-rekor", "5-pypi", "6-odd"} {
		for _, s := range specimens(t, dir, folder) {
			seen[s.name] = true
			want, ok := verdicts[s.name]
			if !ok {
				t.Errorf("specimen %s (%s) is not in the table", s.name, s.kind)
				continue
			}
			if want.root == "" {
				want.root = publicGoodRoot
			}
			if verifiers[want.root] == nil {
				verifiers[want.root] = verifierFor(t, filepath.Join(dir, want.root))
			}
			t.Run(s.name, func(t *testing.T) {
				res := s.verify(t, dir, verifiers[want.root], want)
				if got := decisive(&res); res.Status != want.status || got != want.check {
					t.Errorf("got %s %q, want %s %q: %s", res.Status, got, want.status, want.check, want.why)
				}
				if res.Status == Verified {
					checkFacts(t, &res)
				}
			})
		}
	}
	for name := range verdicts {
		if !seen[name] {
			t.Errorf("the table has %s, the collection does not", name)
		}
	}
}

func (s specimen) verify(t *testing.T, dir string, v *Verifier, want verdict) Result {
	t.Helper()
	a := s.stated()
	if want.artifact != "" {
		a = fileArtifact(filepath.Join(dir, want.artifact))
		_, a.Name, _ = strings.Cut(filepath.Base(want.artifact), "test__assets__")
	}
	switch {
	case s.kind == KindAttestation:
		return v.VerifyAttestation(s.raw, a)
	case want.key != noKey:
		return v.VerifyBundleWithKey(s.raw, want.key.load(t, dir), a)
	}
	return v.VerifyBundle(s.raw, a)
}

// checkFacts: what every verified result must tell, whatever was verified.
func checkFacts(t *testing.T, res *Result) {
	t.Helper()
	if res.SignedAt.IsZero() || res.Format == "" {
		t.Errorf("signed at %v, format %q", res.SignedAt, res.Format)
	}
	if (res.Certificate == nil) == (res.KeyHint == "") {
		t.Error("a verified signature has a certificate or a managed key, and not both")
	}
	if c := res.Certificate; c != nil && (len(c.IssuerKeyHash) != 64 || len(c.TBSHash) != 64 || len(c.SHA256) != 64 || c.Serial == "") {
		t.Errorf("certificate is not identified: %+v", c)
	}
	for _, e := range res.Entries {
		if !e.InclusionProven && !e.SETVerified {
			t.Errorf("entry %d is neither proven nor promised", e.LogIndex)
		}
		if e.InclusionProven && (e.Origin == "" || len(e.RootHash) != 64 || e.TreeSize <= e.TreeIndex) {
			t.Errorf("proven entry lacks its place: %+v", e)
		}
	}
	if last := res.Checks[len(res.Checks)-1]; last.Name != CheckSigstore || last.Status != Pass {
		t.Errorf("verified without sigstore-go's word: %+v", last)
	}
}

// TestSampleprojectIsReportedInFull compares a result with values known from elsewhere: the guide to Rekor v1 gives this
// entry's UUID, and PyPI the digest.
func TestSampleprojectIsReportedInFull(t *testing.T) {
	dir := realdata.Dir(t)
	p, err := ParseProvenance(readFile(t, dir, "2-pep740/warehouse/tests___fixtures__sampleproject-4.0.0.tar.gz.provenance"))
	if err != nil {
		t.Fatal(err)
	}
	pub := p.Bundles[0].Publisher
	if pub.Kind != "GitHub" || pub.Repository != "pypa/sampleproject" || pub.Workflow != "release.yml" || pub.Environment != "" || !pub.EnvironmentPresent {
		t.Errorf("publisher: %+v", pub)
	}
	v := verifierFor(t, filepath.Join(dir, publicGoodRoot))
	res := v.VerifyAttestation(p.Bundles[0].Attestations[0], Artifact{
		Name:   "sampleproject-4.0.0.tar.gz",
		SHA256: "0ace7980f82c5815ede4cd7bf9f6693684cec2ae47b9b7ade9add533b8627c6b",
	})
	if res.Status != Verified {
		t.Fatalf("%s: %+v", res.Status, res.Failed())
	}
	if got := res.SignedAt.Format("2006-01-02 15:04:05"); got != "2024-11-06 22:37:07" {
		t.Errorf("signed at %s", got)
	}
	if res.Statement.PredicateType != PredicatePublish || len(res.Statement.Subjects) != 1 || res.Format != "pep740" {
		t.Errorf("statement: %+v", res.Statement)
	}
	e := res.Entries[0]
	const uuid = "108e9186e8c5677a" + "0004aaa6a89f41c3d07079c6be8ee0f6fc9ee3e23c159e101140f31036f014db"
	if e.LogIndex != 147137139 || e.TreeIndex != 25232877 || e.TreeSize != 25232879 || e.LeafHash != uuid[16:] ||
		e.TreeID != "1193050959916656506" || e.Kind != "dsse" || e.APIVersion != "0.0.1" || !e.SETVerified || !e.InclusionProven {
		t.Errorf("entry: %+v", e)
	}
	if e.LogID != "c0d23d6ad406973f9559f3ba2d1ca01f84147d8ffc5b8445c224f98b9591801d" {
		t.Errorf("log id: %s", e.LogID)
	}
	if got := res.Certificate.X509.URIs[0].String(); got != "https://github.com/pypa/sampleproject/.github/workflows/release.yml@refs/heads/main" {
		t.Errorf("SAN: %s", got)
	}
}
