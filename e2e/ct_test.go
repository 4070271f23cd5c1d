package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/ctlog"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// planted is a token that somebody gets a certificate for, and what the certificate must be found as.
type plantedToken struct {
	name, provider string
	claims         map[string]any
	class          identity.WatchClass // nothing for whom nobody watches
	san            string              // the whole of it
}

// watchedByCT is whom the CT log is read for.
var watchedByCT = identity.Watched{Project: "onnx", Repository: "onnx/onnx", RepositoryID: "102692863", Emails: []string{"maintainer@example.com"}}

// tokens are certificates of every class, and some that resemble them and are of none.
func tokens() []plantedToken {
	release := func(edit func(*sandbox.Claims)) map[string]any {
		c := sandbox.ReleaseClaims("1.23.0")
		edit(&c)
		return gitHubClaims(c)
	}
	const (
		workflow = "/.github/workflows/create_release.yml@refs/heads/rel-1.23.0"
		ours     = "https://github.com/onnx/onnx" + workflow
	)
	return []plantedToken{
		{"a release", gitHub, release(func(*sandbox.Claims) {}), identity.WatchSelf, ours},
		{"in another case", gitHub, release(func(c *sandbox.Claims) { c.Repository = "ONNX/Onnx" }), identity.WatchSelf, "https://github.com/ONNX/Onnx" + workflow},
		{"a workflow that nobody knows", gitHub, release(func(c *sandbox.Claims) { c.Workflow = "nightly.yml" }), identity.WatchSelf,
			"https://github.com/onnx/onnx/.github/workflows/nightly.yml@refs/heads/rel-1.23.0"},
		{"a pull request", gitHub, release(func(c *sandbox.Claims) { c.Ref, c.Trigger = "refs/pull/7/merge", "pull_request" }), identity.WatchSelf,
			"https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/pull/7/merge"},
		{"an odd branch", gitHub, release(func(c *sandbox.Claims) { c.Ref = "refs/heads/é%41&x=1" }), identity.WatchSelf, ""},
		{"a stranger's reusable workflow", gitHub, release(func(c *sandbox.Claims) { c.SignerWorkflow = "attacker/ci/.github/workflows/build.yml@refs/heads/main" }), identity.WatchSource,
			"https://github.com/attacker/ci/.github/workflows/build.yml@refs/heads/main"},
		{"a stranger who calls ours", gitHub, release(func(c *sandbox.Claims) {
			c.Repository, c.RepositoryID, c.OwnerID, c.SignerWorkflow = "attacker/app", "999000555", "999000333", "onnx/onnx"+workflow
		}), identity.WatchSigner, ours},
		{"the repository under another name", gitHub, release(func(c *sandbox.Claims) { c.Repository = "lfai/onnx" }), identity.WatchRenamed, "https://github.com/lfai/onnx" + workflow},
		{"a look-alike", gitHub, release(func(c *sandbox.Claims) { c.Repository, c.RepositoryID = "0nnx/onnx", "999000666" }), identity.WatchLookalike, "https://github.com/0nnx/onnx" + workflow},
		{"a longer name", gitHub, release(func(c *sandbox.Claims) { c.Repository, c.RepositoryID = "onnx/onnx-tensorrt", "999000444" }), identity.WatchNothing,
			"https://github.com/onnx/onnx-tensorrt" + workflow},
		{"a stranger", gitHub, release(func(c *sandbox.Claims) { c.Repository, c.RepositoryID = "pypa/sampleproject", "147" }), identity.WatchNothing,
			"https://github.com/pypa/sampleproject" + workflow},
		{"a maintainer by hand", google, map[string]any{"sub": "1076", "email": "maintainer@example.com", "email_verified": true}, identity.WatchEmail, "maintainer@example.com"},
		{"somebody else by hand", google, map[string]any{"sub": "1077", "email": "other@example.com", "email_verified": true}, identity.WatchNothing, "other@example.com"},
		{"another service that clones ours", codefresh, codefreshClaims("https://github.com/onnx/onnx"), identity.WatchThirdParty, "https://g.codefresh.io/attacker/build:62/60"},
		{"another service that clones a stranger's", codefresh, codefreshClaims("https://github.com/pypa/sampleproject"), identity.WatchNothing, "https://g.codefresh.io/attacker/build:62/60"},
	}
}

// codefreshClaims are those of the token that Codefresh gives a pipeline.
func codefreshClaims(clones string) map[string]any {
	return map[string]any{
		"sub": "account:62:pipeline:60", "account_id": "62", "account_name": "attacker", "pipeline_id": "60", "pipeline_name": "build", "workflow_id": "61",
		"scm_repo_url": clones, "scm_ref": "main", "runner_environment": "hybrid", "platform_url": "https://g.codefresh.io",
	}
}

// san is the certificate's one subject alternative name.
func (s *signer) san() string {
	names := slices.Clone(s.certificate.EmailAddresses)
	for _, u := range s.certificate.URIs {
		names = append(names, u.String())
	}
	return strings.Join(names, " ")
}

// ctBook follows a real CT log.
type ctBook struct {
	*book
	target audit.LogTarget
}

func newCTBook(t *testing.T, f *fulcio, start, pageSize uint64) *ctBook {
	t.Helper()
	b := newBook(t, trustFulcio(t, f).roots(t), watchedByCT)
	log, err := ctlog.NewRFC6962Log(ctlog.Options{URL: f.ct.url, Key: f.ct.key.Public(), PageSize: pageSize, Fetch: newClient(t)})
	if err != nil {
		t.Fatal(err)
	}
	return &ctBook{b, b.target(t, strings.TrimPrefix(f.ct.url, "http://"), "ct-rfc6962", f.ct.url, log, start)}
}

// found are the classes of what the book has of the log, by serial number.
func (b *ctBook) found(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for index, h := range b.hits(t, b.target.Origin) {
		if len(h.Certificates) != 1 || h.Problem != "" || h.EntryKind != "precert" || !h.Certificates[0].Chained || h.LoggedAt.IsZero() {
			t.Errorf("entry %d: %+v", index, h)
			continue
		}
		found[h.Certificates[0].Serial] = h.Class
	}
	return found
}

// TestTheFollowerFindsWhatFulcioIssuesInTheRealCTLog has the real Fulcio issue certificates of every class into the real CT
// log: each is found, nothing else is, and all is proven; from zero, from every place in the middle, and while the log grows.
func TestTheFollowerFindsWhatFulcioIssuesInTheRealCTLog(t *testing.T) {
	f := startFulcio(t)
	// In the order of the log: one is taken before the next is asked for.
	var issued []*signer
	classes := map[string]identity.WatchClass{}
	expected := func(from int) map[string]string {
		want := map[string]string{}
		for _, s := range issued[from:] {
			if class := classes[s.serial()]; class != identity.WatchNothing {
				want[s.serial()] = string(class)
			}
		}
		return want
	}
	for _, token := range tokens() {
		s := f.certify(t, f.issuer.token(t, token.provider, token.claims))
		if token.san != "" && s.san() != token.san {
			t.Errorf("%s: the certificate is of %q, want %q", token.name, s.san(), token.san)
		}
		classes[s.serial()] = token.class
		issued = append(issued, s)
		f.ct.awaitSize(t, uint64(len(issued)))
	}
	whole := newCTBook(t, f, 0, 0)
	whole.follow(t, whole.target)
	if got, want := whole.found(t), expected(0); fmt.Sprint(got) != fmt.Sprint(want) || len(want) != 11 {
		t.Errorf("from zero: found %v, want %v", got, want)
	}
	for start := 1; start <= len(issued); start++ {
		b := newCTBook(t, f, uint64(start), 4)
		b.follow(t, b.target)
		if got, want := b.found(t), expected(start); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("from %d: found %v, want %v", start, got, want)
		}
	}

	// Several jobs are given certificates at a time, while the log is followed.
	const jobs, each = 4, 12
	var mu sync.Mutex
	var workers sync.WaitGroup
	for job := range jobs {
		var tokens []string
		for i := range each {
			c := sandbox.ReleaseClaims(fmt.Sprintf("1.%d.%d", 30+job, i))
			if i%3 != 0 {
				c.Repository, c.RepositoryID = "pypa/sampleproject", "147"
			}
			tokens = append(tokens, f.issuer.token(t, gitHub, gitHubClaims(c)))
		}
		workers.Go(func() {
			for i, token := range tokens {
				s, err := f.ask(t.Context(), token)
				if err != nil {
					t.Errorf("asking Fulcio for a certificate: %v", err)
					return
				}
				mu.Lock()
				issued = append(issued, s)
				if i%3 == 0 {
					classes[s.serial()] = identity.WatchSelf
				}
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		workers.Wait()
		close(done)
	}()
	growing := newCTBook(t, f, 0, 0)
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		growing.follow(t, growing.target)
		whole.follow(t, whole.target)
	}
	f.ct.awaitSize(t, uint64(len(issued)))
	for name, b := range map[string]*ctBook{"a new book": growing, "the first book": whole} {
		s := b.follow(t, b.target)
		if got, want := b.found(t), expected(0); s.Proven != uint64(len(tokens())+jobs*each) || fmt.Sprint(got) != fmt.Sprint(want) || len(want) != 11+jobs*4 {
			t.Errorf("%s: proven up to %d, found %d, want %d", name, s.Proven, len(got), len(want))
		}
	}
}
