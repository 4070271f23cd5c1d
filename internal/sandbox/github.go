package sandbox

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// gitHubInstance begins the names of the authorities of GitHub's own Sigstore instance.
const gitHubInstance = "github"

// GitHub is GitHub's REST API, as far as it is about attestations: the store of each repository, its numeric ids and its
// workflow runs. Bundles are served from a host of their own under pre-signed addresses. It takes whatever it is given.
//
// It has an instance of Sigstore of its own, as GitHub has for private repositories and for what it signs itself: an
// authority that submits to no log, and a timestamping authority. Nobody trusts it who does not ask for its trusted root.
type GitHub struct {
	*Service // the API
	// Blobs is where bundles are.
	Blobs *Service

	fulcio *Fulcio
	tsa    *TSA
	now    func() time.Time
	secret []byte // that signs addresses

	mu           sync.Mutex
	repositories map[string]GitHubRepository
	store        map[string][]storedBundle // by repository and digest
	bundles      map[string][]byte         // by digest of their own
	runs         map[string]GitHubRun      // by path
	pageSize     int
	inline       bool
	limited      bool
	left         int // requests until the rate limit, where limited
	reset        time.Time
}

// GitHubRepository is what the API says of a repository.
type GitHubRepository struct {
	Name       string // OWNER/NAME
	ID         int64
	OwnerID    int64
	Visibility string // "public" by default
}

// GitHubRun is one attempt of a workflow run.
type GitHubRun struct {
	Repository  string
	ID, Attempt int64
	HeadSHA     string
	Event, Path string
	Conclusion  string // "success" by default
}

// storedBundle is a place in the store.
type storedBundle struct {
	repositoryID int64
	bundle       string // digest
}

func newGitHub(e entropy, now func() time.Time, logger *slog.Logger) (*GitHub, error) {
	g := &GitHub{now: now, secret: e.bytes("github/blobs", 32), repositories: map[string]GitHubRepository{}, store: map[string][]storedBundle{},
		bundles: map[string][]byte{}, runs: map[string]GitHubRun{}, pageSize: 100}
	var err error
	if g.fulcio, err = newFulcio(e, now, gitHubInstance+"-fulcio", ctLogs{}); err != nil {
		return nil, err
	}
	if g.tsa, err = newTSA(e, now, gitHubInstance+"-tsa"); err != nil {
		return nil, err
	}
	g.Service = newService("github", logger, g.handler())
	g.Blobs = newService("github-blobs", logger, g.blobHandler())
	return g, nil
}

// SetRepository makes a repository, or changes it.
func (g *GitHub) SetRepository(r GitHubRepository) {
	r.Visibility = cmp.Or(r.Visibility, "public")
	g.mu.Lock()
	defer g.mu.Unlock()
	g.repositories[strings.ToLower(r.Name)] = r
}

// named is the repository of a name.
func (g *GitHub) named(repository string) GitHubRepository {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.repositories[strings.ToLower(repository)]
}

// knows reports whether there is a repository of that name.
func (g *GitHub) knows(repository string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.repositories[strings.ToLower(repository)]
	return ok
}

// Publish puts a bundle into a repository's store, under each of the digests (SHA-256 in hex) that it is about.
func (g *GitHub) Publish(repository string, bundle []byte, digests ...string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, ok := g.repositories[strings.ToLower(repository)]
	if !ok {
		return fmt.Errorf("GitHub has no repository %q", repository)
	}
	sum := digestOf(bundle)
	g.bundles[sum] = slices.Clone(bundle)
	for _, digest := range digests {
		key := storeKey(repository, digest)
		g.store[key] = append(g.store[key], storedBundle{r.ID, sum})
	}
	return nil
}

// Withdraw takes all attestations of a digest out of a repository's store, as its administrators may.
func (g *GitHub) Withdraw(repository, digest string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.store, storeKey(repository, digest))
}

// Has counts the attestations of a digest in a repository's store.
func (g *GitHub) Has(repository, digest string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.store[storeKey(repository, digest)])
}

func storeKey(repository, digest string) string { return strings.ToLower(repository) + " " + digest }

// AddRun makes a workflow run, or another one of it.
func (g *GitHub) AddRun(r GitHubRun) {
	r.Conclusion, r.Attempt = cmp.Or(r.Conclusion, "success"), max(r.Attempt, 1)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.runs[r.key()] = r
}

// ensureRun is AddRun where there is no such run.
func (g *GitHub) ensureRun(r GitHubRun) {
	r.Attempt = max(r.Attempt, 1)
	g.mu.Lock()
	_, known := g.runs[r.key()]
	g.mu.Unlock()
	if !known {
		g.AddRun(r)
	}
}

func (r GitHubRun) key() string {
	return fmt.Sprintf("%s/%d/%d", strings.ToLower(r.Repository), r.ID, r.Attempt)
}

// Runs lists the workflow runs, in no particular order.
func (g *GitHub) Runs() []GitHubRun {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Values(g.runs))
}

// deleteRun makes the API forget the runs of a number.
func (g *GitHub) deleteRun(number string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.runs, func(_ string, r GitHubRun) bool { return fmt.Sprint(r.ID) == number })
}

// DeleteRuns makes the API forget every run.
func (g *GitHub) DeleteRuns() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.runs)
}

// PageBy has lists come in pages of at most n.
func (g *GitHub) PageBy(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pageSize = n
}

// Inline has bundles come in the list itself, as before July 2026 and from servers of one's own.
func (g *GitHub) Inline() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inline = true
}

// Limit has the API answer n more requests, and refuse every further one until an instant.
func (g *GitHub) Limit(n int, reset time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limited, g.left, g.reset = true, n, reset
}

// TrustedRootJSON is the trusted root of GitHub's own instance: an authority and a timestamping authority, and no log.
func (g *GitHub) TrustedRootJSON() ([]byte, error) {
	document, err := json.Marshal(trustedRoot{
		MediaType:              trustedRootMediaType,
		Tlogs:                  []trustedLog{},
		CertificateAuthorities: []trustedAuthority{newTrustedAuthority("https://fulcio.githubapp.example", g.fulcio.intermediate, g.fulcio.root)},
		Ctlogs:                 []trustedLog{},
		TimestampAuthorities:   []trustedAuthority{newTrustedAuthority("https://timestamp.githubapp.example", g.tsa.chain...)},
	}, jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("encoding GitHub's trusted root: %w", err)
	}
	return append(document, '\n'), nil
}

// AttestUnlogged signs a statement with a certificate of GitHub's own instance: a timestamp says when, and no log has it.
func (g *GitHub) AttestUnlogged(c Claims, o CertificateOptions, statement Statement) (*Attestation, error) {
	o.NoSCT = true
	signer, err := g.fulcio.NewSigner(c, o)
	if err != nil {
		return nil, err
	}
	raw, err := statement.JSON()
	if err != nil {
		return nil, err
	}
	signature, err := signSHA256(signer.key, pae(raw))
	if err != nil {
		return nil, fmt.Errorf("signing a statement: %w", err)
	}
	stamp, err := g.tsa.Timestamp(signature, signer.Certificate.NotBefore.Add(time.Minute))
	if err != nil {
		return nil, err
	}
	return &Attestation{Signer: signer, Certificate: signer.Certificate.Raw, Statement: raw, Signature: signature, Timestamps: [][]byte{stamp}}, nil
}

// AttestRelease is what GitHub itself signs of the assets of an immutable release. Its certificate tells a name and nothing else.
func (g *GitHub) AttestRelease(at time.Time, repository, tag string, assets ...Subject) (*Attestation, error) {
	var all []int
	for n := 1; n <= 24; n++ {
		all = append(all, n)
	}
	predicate, err := json.Marshal(map[string]string{"ownerId": onnxOwnerID, "purl": "pkg:github/" + repository + "@" + tag, "repository": repository, "tag": tag},
		json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encoding a release's predicate: %w", err)
	}
	return g.AttestUnlogged(Claims{SAN: "https://dotcom.releases.github.com"}, CertificateOptions{At: at, Omit: all},
		Statement{Subjects: assets, PredicateType: "https://in-toto.io/attestation/release/v0.2", Predicate: predicate})
}
