package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"

	"github.com/rekoncile/rekoncile/internal/realdata"
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
	w := watchOnnx(t, Watched{Project: "tensor", Repository: "onnx/onnx-tensorrt", RepositoryID: "77"})
	const codefresh, gitlab, google = "https://oidc.codefresh.io", "https://gitlab.com", "https://accounts.google.com"
	uri := func(san, issuer string) Identity { return Identity{SAN: san, SANType: SANTypeURI, Issuer: issuer} }
	person := func(san string) Identity { return Identity{SAN: san, SANType: SANTypeEmail, Issuer: google} }
	circle := func(source string) Identity {
		return Identity{SAN: "https://circleci.com/api/v2/projects/1", SANType: SANTypeURI, Issuer: "https://oidc.circleci.com", SourceRepositoryURI: source}
	}
	for name, c := range map[string]struct {
		id   Identity
		want WatchMatch
	}{
		"the repository":                  {releaseIdentity(), WatchMatch{WatchSelf, "", "onnx", "onnx/onnx"}},
		"in capitals":                     {moved("ONNX/Onnx"), WatchMatch{WatchSelf, "", "onnx", "onnx/onnx"}},
		"another watched one":             {moved("onnx/onnx-tensorrt"), WatchMatch{WatchSelf, "", "tensor", "onnx/onnx-tensorrt"}},
		"a stranger's":                    {moved("pypa/sampleproject"), WatchMatch{}},
		"a longer name":                   {moved("onnx/onnx.github.io"), WatchMatch{}},
		"a longer owner":                  {moved("onnxruntime/onnx"), WatchMatch{}},
		"a fork":                          {moved("someone/onnx"), WatchMatch{}},
		"under another name":              {moved("someone/renamed", func(id *Identity) { id.SourceRepositoryID = "77" }), WatchMatch{WatchRenamed, "", "tensor", "onnx/onnx-tensorrt"}},
		"a zero for the letter":           {moved("0nnx/0nnx"), WatchMatch{WatchLookalike, LookalikeName, "onnx", "onnx/onnx"}},
		"one letter more":                 {moved("onnxx/onnx"), WatchMatch{WatchLookalike, LookalikeName, "onnx", "onnx/onnx"}},
		"a line at the end":               {moved("onnx/onnx_"), WatchMatch{WatchLookalike, LookalikeName, "onnx", "onnx/onnx"}},
		"a line at the owner's":           {moved("onnx-/onnx"), WatchMatch{WatchLookalike, LookalikeName, "onnx", "onnx/onnx"}},
		"a foreign caller":                {moved("someone/thing", func(id *Identity) { id.SAN = releaseIdentity().SAN }), WatchMatch{WatchSigner, "", "onnx", "onnx/onnx"}},
		"a foreign workflow":              {moved("someone/thing", func(id *Identity) { id.SourceRepositoryURI = "https://github.com/onnx/onnx" }), WatchMatch{WatchSource, "", "onnx", "onnx/onnx"}},
		"its name in a branch":            {moved("someone/thing", func(id *Identity) { id.SourceRepositoryRef = "refs/heads/github.com/onnx/onnx" }), WatchMatch{}},
		"another CI's clone":              {moved("onnx/onnx", func(id *Identity) { id.Issuer, id.SAN = codefresh, "https://g.codefresh.io/x" }), WatchMatch{WatchThirdParty, "", "onnx", "onnx/onnx"}},
		"an enterprise's issuer":          {moved("onnx/onnx", func(id *Identity) { id.Issuer += "/some-enterprise" }), WatchMatch{WatchThirdParty, "", "onnx", "onnx/onnx"}},
		"a clone without a scheme":        {circle("github.com/ONNX/onnx"), WatchMatch{WatchThirdParty, "", "onnx", "onnx/onnx"}},
		"a clone over SSH":                {circle("git@github.com:onnx/onnx.git"), WatchMatch{WatchThirdParty, "", "onnx", "onnx/onnx"}},
		"of before 2023":                  {Identity{SAN: "https://github.com/other/builder/.github/workflows/x.yml@refs/heads/main", SANType: SANTypeURI, Issuer: GitHubActionsIssuer, GitHubWorkflowRepository: "onnx/onnx"}, WatchMatch{WatchSource, "", "onnx", "onnx/onnx"}},
		"a person":                        {person("release@onnx.example"), WatchMatch{WatchEmail, "", "onnx", ""}},
		"a person in capitals":            {person("Release@ONNX.example"), WatchMatch{WatchEmail, "", "onnx", ""}},
		"another person":                  {person("someone@onnx.example"), WatchMatch{}},
		"a longer person":                 {person("not-release@onnx.example"), WatchMatch{}},
		"a person who mentions GitHub":    {Identity{SAN: "release@onnx.example", SANType: SANTypeEmail, Issuer: google, GitHubWorkflowName: GitHubActionsIssuer}, WatchMatch{WatchEmail, "", "onnx", ""}},
		"a person whom GitHub names":      {Identity{SAN: "release@onnx.example", SANType: SANTypeEmail, Issuer: GitHubActionsIssuer}, WatchMatch{WatchEmail, "", "onnx", ""}},
		"a host that begins so":           {uri("https://github.com.evil.example/onnx/onnx/x", codefresh), WatchMatch{WatchLookalike, LookalikeHost, "onnx", "onnx/onnx"}},
		"a host in punycode":              {uri("https://xn--gthub-cta.com/onnx/onnx/x", codefresh), WatchMatch{WatchLookalike, LookalikeHost, "onnx", "onnx/onnx"}},
		"user information":                {uri("https://github.com@evil.example/onnx/onnx", codefresh), WatchMatch{WatchLookalike, LookalikeHost, "onnx", "onnx/onnx"}},
		"an escaped slash":                {uri("https://evil.example/onnx%2Fonnx", codefresh), WatchMatch{WatchLookalike, LookalikeSpelling, "onnx", "onnx/onnx"}},
		"an escape of DER's own making":   {uri("https://evil.example/x/onnx%2Fonnx/xy", codefresh), WatchMatch{WatchLookalike, LookalikeSpelling, "onnx", "onnx/onnx"}},
		"a stray percent":                 {circle("https://evil.example/100%/onnx%2fonnx"), WatchMatch{WatchLookalike, LookalikeSpelling, "onnx", "onnx/onnx"}},
		"a doubly escaped slash":          {uri("https://evil.example/onnx%252Fonnx", codefresh), WatchMatch{WatchLookalike, LookalikeSpelling, "onnx", "onnx/onnx"}},
		"two slashes":                     {uri("https://gitlab.com/onnx//onnx", gitlab), WatchMatch{WatchLookalike, LookalikeSpelling, "onnx", "onnx/onnx"}},
		"a backslash":                     {circle(`https://evil.example\onnx\onnx`), WatchMatch{WatchLookalike, LookalikeSpelling, "onnx", "onnx/onnx"}},
		"a way up":                        {uri("https://evil.example/onnx/x/../onnx", codefresh), WatchMatch{WatchLookalike, LookalikeSpelling, "onnx", "onnx/onnx"}},
		"another host's repository":       {uri("https://gitlab.com/onnx/onnx//.gitlab-ci.yml@refs/heads/main", gitlab), WatchMatch{WatchLookalike, LookalikeHost, "onnx", "onnx/onnx"}},
		"another host's, naming GitHub's": {uri("https://gitlab.com/onnx/onnx//.gitlab-ci.yml@refs/heads/token.actions.githubusercontent.com", gitlab), WatchMatch{WatchLookalike, LookalikeHost, "onnx", "onnx/onnx"}},
		"another host's, nearly":          {uri("https://gitlab.com/onnxx/onnx//.gitlab-ci.yml@refs/heads/main", gitlab), WatchMatch{WatchLookalike, LookalikeName, "onnx", "onnx/onnx"}},
		"Cyrillic letters":                {circle("https://evil.example/оnnх/onnx"), WatchMatch{WatchLookalike, LookalikeSpelling, "onnx", "onnx/onnx"}},
	} {
		cert := newCertificate(t, fulcioExtensions(t, c.id)...)
		parsed, err := FromCertificate(cert)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := w.Classify(parsed); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
		for _, der := range [][]byte{cert.Raw, cert.RawTBSCertificate} {
			// What only parsing can tell apart may be looked at for nothing.
			if matched := w.MatchDER(der); matched != (c.want.Class != WatchNothing) {
				t.Errorf("%s: its certificate matches: %t", name, matched)
			}
		}
	}
}

// TestCertificatesThatFulcioNeverIssuesAreLookedAt has names where Fulcio does not write them, or twice.
func TestCertificatesThatFulcioNeverIssuesAreLookedAt(t *testing.T) {
	w := watchOnnx(t)
	stranger := fulcioExtensions(t, moved("pypa/sampleproject"))
	const ours = "https://github.com/onnx/onnx/.github/workflows/x.yml@refs/heads/main"
	bmp := func(text string) string {
		var content []byte
		for _, c := range utf16.Encode([]rune(text)) {
			content = append(content, byte(c>>8), byte(c))
		}
		return string(der(t, asn1.RawValue{Tag: asn1.TagBMPString, Bytes: content}, ""))
	}
	for name, extensions := range map[string][]pkix.Extension{
		"two names":             append([]pkix.Extension{sanExtension(t, generalName(6, moved("a/b").SAN), generalName(6, ours))}, stranger[1:]...),
		"a name of no URL":      append([]pkix.Extension{sanExtension(t, generalName(2, "github.com/onnx/onnx"))}, stranger[1:]...),
		"raw text, where DER":   append(slices.Clone(stranger[:12]), raw(12, "https://github.com/onnx/onnx")),
		"UTF-16":                append(slices.Clone(stranger[:12]), raw(12, bmp("https://github.com/onnx/onnx"))),
		"two issuers":           append(slices.Clone(stranger[1:]), sanExtension(t, generalName(6, ours)), raw(1, GitHubActionsIssuer)),
		"a dot behind the host": append([]pkix.Extension{sanExtension(t, generalName(6, "https://github.com./onnx/onnx"))}, stranger[1:]...),
		"no issuer":             {sanExtension(t, generalName(6, ours))},
		"bytes after the text":  append(slices.Clone(stranger[:12]), raw(12, string(der(t, "https://github.com/a/b", "utf8"))+" onnx/onnx")),
	} {
		// crypto/x509 refuses to parse some of them; a log may hold them all the same.
		if certificate := signCertificate(t, extensions...); !w.MatchDER(certificate) {
			t.Errorf("%s: it is passed over", name)
		}
	}
	for _, text := range []string{"see https://github.com/ONNX/onnx.git for it", `{"uri":"git+https://github.com/onnx/onnx@refs"}`, "mail release@onnx.example now"} {
		if !w.MatchDER([]byte(text)) {
			t.Errorf("%q is passed over", text)
		}
	}
	if w.MatchDER([]byte("see https://github.com/onnx/other for it, or someone@onnx.example")) || w.MatchDER(nil) {
		t.Error("what nobody watches is found")
	}
}

func TestWatchedKeysAreFoundInsideCertificates(t *testing.T) {
	cert := newCertificate(t, fulcioExtensions(t, moved("pypa/sampleproject"))...)
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	w := watchOnnx(t, Watched{Project: "key", Repository: "some/thing", Keys: []string{hex.EncodeToString(sum[:])}})
	for name, der := range map[string][]byte{"certificate": cert.Raw, "TBSCertificate": cert.RawTBSCertificate, "key": cert.RawSubjectPublicKeyInfo,
		"broken certificate": cert.Raw[:len(cert.Raw)-1], "key among other bytes": slices.Concat([]byte("0000"), cert.RawSubjectPublicKeyInfo, []byte("0"))} {
		if !w.MatchKey(cert.RawSubjectPublicKeyInfo) || !w.MatchDER(der) {
			t.Errorf("a watched key is not found in a %s", name)
		}
	}
	if watchOnnx(t).MatchDER(cert.Raw) || w.MatchDER(newCertificate(t, fulcioExtensions(t, moved("pypa/sampleproject"))...).Raw) {
		t.Error("a key that nobody watches is found")
	}
}

func TestAllRepositoriesOfAWatchedOwnerAreFound(t *testing.T) {
	w, err := NewWatchList([]Watched{{Project: "onnx", Repository: "onnx/onnx", Owners: []string{"ONNX"}}})
	if err != nil {
		t.Fatal(err)
	}
	if w.Hash() == watchOnnx(t).Hash() {
		t.Error("with an owner the list has the same name")
	}
	for name, c := range map[string]struct {
		id   Identity
		want WatchMatch
	}{
		"the repository itself":      {releaseIdentity(), WatchMatch{WatchSelf, "", "onnx", "onnx/onnx"}},
		"another one":                {moved("onnx/tutorials"), WatchMatch{Class: WatchOwner, Project: "onnx"}},
		"in other letters":           {moved("Onnx/tutorials"), WatchMatch{Class: WatchOwner, Project: "onnx"}},
		"one that resembles it":      {moved("onnx/0nnx"), WatchMatch{Class: WatchOwner, Project: "onnx"}},
		"its workflow, called":       {moved("someone/thing", func(id *Identity) { id.SAN = strings.Replace(releaseIdentity().SAN, "onnx/onnx/", "onnx/actions/", 1) }), WatchMatch{Class: WatchOwner, Project: "onnx"}},
		"of a shape of its own":      {moved("onnx/tutorials", func(id *Identity) { id.SANType = SANTypeEmail }), WatchMatch{Class: WatchOwner, Project: "onnx"}},
		"an owner that begins so":    {moved("onnx-community/tutorials"), WatchMatch{}},
		"an owner that ends so":      {moved("my-onnx/tutorials"), WatchMatch{}},
		"its name as a repository's": {moved("someone/onnx"), WatchMatch{}},
	} {
		cert := newCertificate(t, fulcioExtensions(t, c.id)...)
		parsed, err := FromCertificate(cert)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := w.Classify(parsed); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
		if matched := w.MatchDER(cert.Raw); matched != (c.want.Class != WatchNothing) {
			t.Errorf("%s: its certificate matches: %t", name, matched)
		}
	}
}

func TestWatchListsAreNamedByWhatTheyWatch(t *testing.T) {
	a, b := watchOnnx(t, Watched{Project: "p", Repository: "A/b"}), watchOnnx(t, Watched{Project: "q", Repository: "a/B"})
	if a.Hash() != b.Hash() || a.Hash() == watchOnnx(t).Hash() || len(a.Hash()) != 64 {
		t.Errorf("hashes %s %s %s", a.Hash(), b.Hash(), watchOnnx(t).Hash())
	}
	for _, bad := range []Watched{{Repository: "onnx"}, {Repository: "a/b/c"}, {Repository: "/b"}, {Repository: "a/b", Keys: []string{"00"}},
		{Repository: "a/b", RepositoryID: "x1"}, {Repository: "a/b", Emails: []string{"nobody"}}, {Repository: "a/b", Owners: []string{"a/b"}}, {Repository: "a/b", Owners: []string{""}}} {
		if _, err := NewWatchList([]Watched{bad}); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// TestRealCertificatesMatchAsTheyParse holds the scan of real certificates against what parsing them says.
func TestRealCertificatesMatchAsTheyParse(t *testing.T) {
	certs := readCertificates(t, realdata.Dir(t))
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
		if _, canonical := w.matchCanonical(cert.Raw); err == nil && id.Issuer == GitHubActionsIssuer && strings.HasPrefix(id.SourceRepositoryURI, gitHubURL) && !canonical {
			t.Errorf("%s of GitHub's takes the slow path", name)
		}
	}
}

// concerns is the definition of what the scan must find, by comparing every field with every name.
func concerns(id Identity, repositories, ids, emails []string) bool {
	signer := ""
	if u, err := ParseWorkflowURI(id.SAN); err == nil {
		signer = u.Repository
	}
	for _, r := range repositories {
		if sameRepository(id.Repository(), r) || sameRepository(signer, r) || mentions(id.SourceRepositoryURI) == asciiLower(r) {
			return true
		}
	}
	return slices.Contains(ids, id.SourceRepositoryID) && id.Issuer == GitHubActionsIssuer ||
		slices.ContainsFunc(emails, func(e string) bool { return asciiLower(e) == asciiLower(id.SAN) })
}

// checkScan holds the scan of a certificate with these fields against what parsing it says.
func checkScan(t testing.TB, fail func(format string, args ...any), w *WatchList, san, issuer, source, deprecated, config, number string) {
	id := Identity{SAN: san, Issuer: issuer, SourceRepositoryURI: source, GitHubWorkflowRepository: deprecated, BuildConfigURI: config, SourceRepositoryID: number}
	extensions := fulcioExtensions(t, id)
	if strings.Contains(san, "@") && !strings.Contains(san, "/") {
		extensions[0] = sanExtension(t, generalName(1, san))
	}
	cert, err := x509.ParseCertificate(signCertificate(t, extensions...))
	if err != nil {
		return
	}
	parsed, err := FromCertificate(cert)
	if err != nil {
		return
	}
	class := w.Classify(parsed)
	if concerns(parsed, []string{"onnx/onnx"}, []string{"77"}, []string{"release@onnx.example"}) && (class.Class == WatchNothing || class.Class == WatchLookalike) {
		fail("%+v is %+v", parsed, class)
	}
	if class.Class != WatchNothing && (!w.MatchDER(cert.Raw) || !w.MatchDER(cert.RawTBSCertificate)) {
		fail("%+v is %+v, and the scan passes over it", parsed, class)
	}
}

// FuzzMatchDER holds the scan against parsing: what that makes something of, the scan must find.
func FuzzMatchDER(f *testing.F) {
	f.Add(releaseIdentity().SAN, GitHubActionsIssuer, "https://github.com/onnx/onnx", "onnx/onnx", releaseIdentity().BuildConfigURI, "77")
	f.Add("https://evil.example/x/onnx%2Fonnx/xy", "https://oidc.codefresh.io", "", "", "", "")
	f.Add("https://github.com/Widgets/one/.github/workflows/x.yml@refs/heads/main", GitHubActionsIssuer, "https://github.com/widgets/one", "widgets/one", "", "78")
	f.Add("release@onnx.example", "https://accounts.google.com", GitHubActionsIssuer, "", "", "")
	f.Add("https://gitlab.com/onnx/onnx//.gitlab-ci.yml@refs/heads/main", "https://gitlab.com", "https://gitlab.com/onnx/onnx", "", "", "12")
	w, err := NewWatchList([]Watched{{Project: "onnx", Repository: "onnx/onnx", RepositoryID: "77", Owners: []string{"widgets"}, Emails: []string{"release@onnx.example"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, san, issuer, source, deprecated, config, number string) {
		if len(san)+len(issuer)+len(source)+len(deprecated)+len(config)+len(number) < 4000 {
			checkScan(t, t.Fatalf, w, san, issuer, source, deprecated, config, number)
		}
	})
}

// TestScanFindsWhateverParsingFinds builds identities of parts that matter, in lengths that DER may confuse with letters.
func TestScanFindsWhateverParsingFinds(t *testing.T) {
	w, err := NewWatchList([]Watched{{Project: "onnx", Repository: "onnx/onnx", RepositoryID: "77", Owners: []string{"widgets"}, Emails: []string{"release@onnx.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	parts := []string{"https://", "github.com", "gitlab.com", "evil.example", "/", "//", "/../", "%2F", "%", "onnx", "ONNX", "onnx/onnx", "0nnx", "widgets/", "x", ".git", "-", "@",
		"release@onnx.example", "token.actions.githubusercontent.com", ".github/workflows/x.yml@refs/heads/main", "git@github.com:", "?", " "}
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 0, 9).Draw(t, "parts"), "") + strings.Repeat("x", rapid.IntRange(0, 3).Draw(t, "more"))
	})
	url := rapid.OneOf(text, rapid.SampledFrom([]string{releaseIdentity().SAN, "https://github.com/onnx/onnx", "https://github.com/a/b/.github/workflows/x.yml@refs/heads/main"}))
	rapid.Check(t, func(r *rapid.T) {
		checkScan(t, r.Fatalf, w, url.Draw(r, "san"), rapid.SampledFrom([]string{GitHubActionsIssuer, "https://gitlab.com"}).Draw(r, "issuer"), url.Draw(r, "source"),
			text.Draw(r, "deprecated"), text.Draw(r, "config"), rapid.SampledFrom([]string{"", "77", "78"}).Draw(r, "id"))
	})
}

func TestTheScanOfACertificateOfNobodyWatchedAllocatesNothing(t *testing.T) {
	w := watchOnnx(t, Watched{Project: "key", Repository: "some/thing", Keys: []string{strings.Repeat("0", 64)}})
	der := newCertificate(t, fulcioExtensions(t, moved("pypa/sampleproject"))...).Raw
	if n := testing.AllocsPerRun(100, func() {
		if w.MatchDER(der) {
			t.Fatal("it matches")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
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
