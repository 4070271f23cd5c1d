package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func watchOnnx(t testing.TB, more ...Watched) *WatchList {
	t.Helper()
	w, err := NewWatchList(append([]Watched{{Project: "onnx", Repository: "onnx/onnx", Emails: []string{"release@onnx.example"}}}, more...))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// moved is the release identity under other names.
func moved(repository string, edit ...func(*Identity)) Identity {
	id := releaseIdentity()
	replace := func(s string) string { return strings.ReplaceAll(s, "github.com/onnx/onnx", "github.com/"+repository) }
	id.SAN, id.BuildSignerURI, id.SourceRepositoryURI, id.BuildConfigURI, id.RunInvocationURI =
		replace(id.SAN), replace(id.BuildSignerURI), replace(id.SourceRepositoryURI), replace(id.BuildConfigURI), replace(id.RunInvocationURI)
	id.GitHubWorkflowRepository = repository
	owner, _, _ := strings.Cut(repository, "/")
	id.SourceRepositoryOwnerURI = "https://github.com/" + owner
	id.TokenSubject = "repo:" + repository + ":environment:pypi-release"
	for _, e := range edit {
		e(&id)
	}
	return id
}

func TestWatchedIdentitiesMatchAndAreClassified(t *testing.T) {
	w := watchOnnx(t, Watched{Project: "tensor", Repository: "onnx/onnx-tensorrt"})
	const codefresh = "https://oidc.codefresh.io"
	for name, c := range map[string]struct {
		id    Identity
		class WatchClass
		repo  string
	}{
		"the repository":            {releaseIdentity(), WatchSelf, "onnx/onnx"},
		"in capitals":               {moved("ONNX/Onnx"), WatchSelf, "onnx/onnx"},
		"another watched one":       {moved("onnx/onnx-tensorrt"), WatchSelf, "onnx/onnx-tensorrt"},
		"a stranger's":              {moved("pypa/sampleproject"), WatchNothing, ""},
		"a longer name":             {moved("onnx/onnx.github.io"), WatchNothing, ""},
		"a longer owner":            {moved("onnxruntime/onnx"), WatchNothing, ""},
		"a fork":                    {moved("someone/onnx"), WatchNothing, ""},
		"a zero for the letter":     {moved("0nnx/0nnx"), WatchLookalike, "onnx/onnx"},
		"one letter more":           {moved("onnxx/onnx"), WatchLookalike, "onnx/onnx"},
		"a line at the end":         {moved("onnx/onnx_"), WatchLookalike, "onnx/onnx"},
		"a foreign caller":          {moved("someone/thing", func(id *Identity) { id.SAN, id.BuildSignerURI = releaseIdentity().SAN, releaseIdentity().SAN }), WatchSigner, "onnx/onnx"},
		"a foreign workflow":        {moved("someone/thing", func(id *Identity) { id.SourceRepositoryURI = "https://github.com/onnx/onnx" }), WatchSource, "onnx/onnx"},
		"another CI's clone":        {moved("onnx/onnx", func(id *Identity) { id.Issuer, id.SAN = codefresh, "https://g.codefresh.io/x" }), WatchThirdParty, "onnx/onnx"},
		"of before 2023":            {Identity{SAN: "https://github.com/other/builder/.github/workflows/x.yml@refs/heads/main", SANType: SANTypeURI, Issuer: GitHubActionsIssuer, GitHubWorkflowRepository: "onnx/onnx"}, WatchSource, "onnx/onnx"},
		"a person":                  {Identity{SAN: "release@onnx.example", SANType: SANTypeEmail, Issuer: "https://accounts.google.com"}, WatchEmail, ""},
		"a person in capitals":      {Identity{SAN: "Release@ONNX.example", SANType: SANTypeEmail, Issuer: "https://accounts.google.com"}, WatchEmail, ""},
		"another person":            {Identity{SAN: "someone@onnx.example", SANType: SANTypeEmail, Issuer: "https://accounts.google.com"}, WatchNothing, ""},
		"a host that begins so":     {Identity{SAN: "https://github.com.evil.example/onnx/onnx/x", SANType: SANTypeURI, Issuer: codefresh}, WatchLookalike, "onnx/onnx"},
		"user information":          {Identity{SAN: "https://github.com@evil.example/onnx/onnx", SANType: SANTypeURI, Issuer: codefresh}, WatchLookalike, "onnx/onnx"},
		"an escaped slash":          {Identity{SAN: "https://evil.example/onnx%2Fonnx", SANType: SANTypeURI, Issuer: codefresh}, WatchLookalike, "onnx/onnx"},
		"a doubly escaped slash":    {Identity{SAN: "https://evil.example/onnx%252Fonnx", SANType: SANTypeURI, Issuer: codefresh}, WatchLookalike, "onnx/onnx"},
		"two slashes":               {Identity{SAN: "https://gitlab.com/onnx//onnx", SANType: SANTypeURI, Issuer: "https://gitlab.com"}, WatchLookalike, "onnx/onnx"},
		"a way up":                  {Identity{SAN: "https://evil.example/onnx/x/../onnx", SANType: SANTypeURI, Issuer: codefresh}, WatchLookalike, "onnx/onnx"},
		"another host's repository": {Identity{SAN: "https://gitlab.com/onnx/onnx//.gitlab-ci.yml@refs/heads/main", SANType: SANTypeURI, Issuer: "https://gitlab.com"}, WatchLookalike, "onnx/onnx"},
		"Cyrillic letters":          {Identity{SAN: "https://evil.example/оnnх/onnx", SANType: SANTypeURI, Issuer: codefresh}, WatchLookalike, "onnx/onnx"},
	} {
		got := w.Classify(c.id)
		if got.Class != c.class || got.Repository != c.repo {
			t.Errorf("%s: %+v", name, got)
		}
		if strings.Contains(c.id.SAN, "х") || c.id.Issuer == "" {
			continue // not to be had in a certificate of crypto/x509's making
		}
		der := newCertificate(t, fulcioExtensions(t, c.id)...).Raw
		if matched := w.MatchDER(der); matched != (c.class != WatchNothing) {
			t.Errorf("%s: its certificate matches: %t", name, matched)
		}
	}
}

func TestWatchedKeysAreFoundInsideCertificates(t *testing.T) {
	cert := newCertificate(t, fulcioExtensions(t, moved("pypa/sampleproject"))...)
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	w := watchOnnx(t, Watched{Project: "key", Repository: "some/thing", Keys: []string{hex.EncodeToString(sum[:])}})
	if !w.MatchKey(cert.RawSubjectPublicKeyInfo) || !w.MatchDER(cert.Raw) || !w.MatchDER(cert.RawTBSCertificate) {
		t.Error("a watched key is not found")
	}
	if watchOnnx(t).MatchDER(cert.Raw) || w.MatchDER(newCertificate(t, fulcioExtensions(t, moved("pypa/sampleproject"))...).Raw) {
		t.Error("a key that nobody watches is found")
	}
}

func TestWatchListsAreNamedByWhatTheyWatch(t *testing.T) {
	a, b := watchOnnx(t, Watched{Project: "p", Repository: "A/b"}), watchOnnx(t, Watched{Project: "q", Repository: "a/B"})
	if a.Hash() != b.Hash() || a.Hash() == watchOnnx(t).Hash() || len(a.Hash()) != 64 {
		t.Errorf("hashes %s %s %s", a.Hash(), b.Hash(), watchOnnx(t).Hash())
	}
	for _, bad := range []Watched{{Repository: "onnx"}, {Repository: "a/b/c"}, {Repository: "/b"}, {Repository: "a/b", Keys: []string{"00"}}} {
		if _, err := NewWatchList([]Watched{bad}); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// TestRealCertificatesMatchAsTheyParse holds the scan of real certificates against what parsing them says.
func TestRealCertificatesMatchAsTheyParse(t *testing.T) {
	certs := readCertificates(t, realData(t))
	if len(certs) == 0 {
		t.Skip("skipped: no certificates here")
	}
	var watched []Watched
	for name, cert := range certs {
		if id, err := FromCertificate(cert); err == nil && id.Repository() != "" {
			watched = append(watched, Watched{Project: name, Repository: id.Repository()})
		}
	}
	w, err := NewWatchList(watched)
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range certs {
		id, err := FromCertificate(cert)
		if err == nil && id.Repository() != "" && (!w.MatchDER(cert.Raw) || !w.MatchDER(cert.RawTBSCertificate) || w.Classify(id).Class == WatchNothing) {
			t.Errorf("%s of %s is not found", name, id.Repository())
		}
	}
}

// FuzzMatchDER plants a watched name into a certificate and looks for it: parsing must never find what the scan passes over.
func FuzzMatchDER(f *testing.F) {
	f.Add("onnx/onnx", "0", "release@onnx.example")
	f.Add("ONNX/onnx", "refs/heads/main", "x")
	f.Add("onnx/onnx.git", "", "")
	w := watchOnnx(f)
	f.Fuzz(func(t *testing.T, repository, ref, workflow string) {
		id := moved("pypa/sampleproject", func(id *Identity) {
			id.SourceRepositoryURI, id.SourceRepositoryRef, id.GitHubWorkflowName = "https://github.com/"+repository, ref, workflow
		})
		if len(repository)+len(ref)+len(workflow) > 2000 {
			return
		}
		cert, err := x509.ParseCertificate(newCertificate(t, fulcioExtensions(t, id)...).Raw)
		if err != nil {
			return
		}
		parsed, err := FromCertificate(cert)
		if err == nil && w.Classify(parsed).Class != WatchNothing && !w.MatchDER(cert.Raw) {
			t.Errorf("%q is %s, and the scan passes over it", repository, w.Classify(parsed).Class)
		}
	})
}

func BenchmarkMatchDER(b *testing.B) {
	der := newCertificate(b, fulcioExtensions(b, moved("pypa/sampleproject"))...).Raw
	email := newCertificate(b, fulcioExtensions(b, Identity{SAN: "someone@example.org", SANType: SANTypeEmail, Issuer: "https://accounts.google.com"})...).Raw
	for _, n := range []int{1, 10_000} {
		watched := []Watched{{Project: "onnx", Repository: "onnx/onnx"}}
		for i := 1; i < n; i++ {
			watched = append(watched, Watched{Project: "p", Repository: fmt.Sprintf("owner%d/repository-%d", i, i)})
		}
		w, err := NewWatchList(watched)
		if err != nil {
			b.Fatal(err)
		}
		for name, der := range map[string][]byte{"github": der, "email": email} {
			b.Run(fmt.Sprintf("%s/watched=%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(der)))
				for b.Loop() {
					if w.MatchDER(der) {
						b.Fatal("it matches")
					}
				}
			})
		}
	}
}
