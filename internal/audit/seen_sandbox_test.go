package audit_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/pypi"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// seenWorld is a world whose Rekor v2 is followed, and in which it is kept what its entries say was signed.
type seenWorld struct {
	*promiseWorld
	serial int64
	files  []pypi.File
}

func newSeenWorld(t *testing.T, keep time.Duration) *seenWorld {
	t.Helper()
	w := &seenWorld{promiseWorld: newPromiseWorld(t, "zero")}
	w.targets = w.targets[:1]
	target := &w.targets[0]
	if target.KeepDigests = keep; keep > 0 {
		target.Digest = rekor.NewScanner(w.watch).DigestPrefix
		target.Foreign = (&audit.LeafInspector{Watch: w.watch, Roots: w.roots}).Foreign
	}
	return w
}

// sign has somebody sign what a file holds, in Rekor v2.
func (w *seenWorld) sign(t *testing.T, c sandbox.Claims, content string) {
	t.Helper()
	signer, err := w.Fulcio.NewSigner(c, sandbox.CertificateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := w.SignArtifact(signer, sha256.Sum256([]byte(content)), w.Now())
	if err == nil {
		_, err = w.Rekor2.Log(signed)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// publish has the index list one more file.
func (w *seenWorld) publish(t *testing.T, content string) {
	t.Helper()
	p, err := w.record.Project(t.Context(), "onnx", "pypi", "onnx")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(content))
	w.serial++
	w.files = append(w.files, pypi.File{Filename: content + "-1.0.whl", Version: "1.0", SHA256: hex.EncodeToString(sum[:]), UploadedAt: w.follower.clock.Now(), Raw: []byte(`{"name":"` + content + `"}`)})
	if _, err := w.record.SaveListing(t.Context(), w.follower.clock.Now(), audit.ListingUpdate{ProjectID: p.ID, Listing: &pypi.Listing{Serial: w.serial, Files: w.files}}); err != nil {
		t.Fatal(err)
	}
}

// again follows the log, and counts the entries that were read again.
func (w *seenWorld) again(t *testing.T) int {
	t.Helper()
	w.fill(t, rekorV2, w.Rekor2.Size()+1)
	s := w.follow(t, w.targets...)[0]
	if s.Trouble != "" || len(s.Misbehaviours) > 0 {
		t.Errorf("%+v", s)
	}
	return s.SeenAgain
}

// foreign are the open findings about other signers.
func (w *seenWorld) foreign(t *testing.T) []string {
	t.Helper()
	var got []string
	for _, f := range w.about(t, audit.ForeignSignature) {
		got = append(got, string(f.Severity)+" "+f.Summary)
	}
	return got
}

// TestAFileThatIsSignedBeforeItIsPublishedIsFound has a person sign what nobody has published yet, in Rekor v2: once it is published
// the entry is read again and proven, once.
func TestAFileThatIsSignedBeforeItIsPublishedIsFound(t *testing.T) {
	t.Parallel()
	person := sandbox.Claims{Email: "somebody@example.org"}
	const early = "medium somebody@example.org by https://github.com/login/oauth signed early-1.0.whl of the project's, in 1 log entry, 1 of them before it was published"
	w := newSeenWorld(t, 90*day)
	w.sign(t, person, "early")
	w.sign(t, person, "never")
	for range 2 {
		if n := w.again(t); n != 0 || w.foreign(t) != nil {
			t.Errorf("before it is published, %d were read again: %v", n, w.foreign(t))
		}
	}
	w.later(t, time.Hour)
	w.publish(t, "early")
	if n := w.again(t); n != 1 {
		t.Errorf("once it is published, %d were read again", n)
	}
	if diff := cmp.Diff([]string{early}, w.foreign(t)); diff != "" {
		t.Error(diff)
	}
	w.confirmed(t, w.about(t, audit.ForeignSignature))
	if n := w.again(t); n != 0 {
		t.Errorf("once it is known, %d were read again", n)
	}

	// What is published first is found when it is signed.
	w.publish(t, "late")
	w.later(t, time.Hour)
	w.sign(t, sandbox.Claims{Email: "else@example.org"}, "late")
	if n := w.again(t); n != 1 {
		t.Errorf("signed later, %d were read again", n)
	}
	if got := w.foreign(t); len(got) != 2 || !strings.HasPrefix(got[0]+got[1], "medium") && !strings.Contains(strings.Join(got, "\n"), "low else@example.org") {
		t.Errorf("%q", got)
	}
	since, err := w.record.SeenSince(t.Context())
	if err != nil || since[w.Rekor2.Origin()].From != 0 || since[w.Rekor2.Origin()].Bytes != 8*int64(w.Rekor2.Size()) {
		t.Errorf("%+v, %v", since, err)
	}
}

// TestWhatIsKeptOfDigestsIsForgotten has a file be published when what was kept is too old, and where nothing is kept.
func TestWhatIsKeptOfDigestsIsForgotten(t *testing.T) {
	t.Parallel()
	for name, keep := range map[string]time.Duration{"too old": 24 * time.Hour, "nothing is kept": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSeenWorld(t, keep)
			w.sign(t, sandbox.Claims{Email: "somebody@example.org"}, "early")
			w.again(t)
			w.later(t, 25*time.Hour)
			w.again(t)
			w.publish(t, "early")
			if n := w.again(t); n != 0 || w.foreign(t) != nil {
				t.Errorf("%d were read again: %v", n, w.foreign(t))
			}
		})
	}
}

// TestALogThatHasSomethingElseWhenItIsAskedAgainIsFound has a log serve another entry than it was proven with.
func TestALogThatHasSomethingElseWhenItIsAskedAgainIsFound(t *testing.T) {
	t.Parallel()
	w := newSeenWorld(t, 90*day)
	w.sign(t, sandbox.Claims{Email: "somebody@example.org"}, "early")
	index := w.Rekor2.Size() - 1
	w.again(t)
	mend, err := w.Rekor2.Tell(sandbox.SwappedLeaves, index-1)
	if err != nil {
		t.Fatal(err)
	}
	defer mend()
	w.publish(t, "early")
	w.fill(t, rekorV2, w.Rekor2.Size()+1)
	s := w.follow(t, w.targets...)[0]
	if s.SeenAgain != 1 || len(s.Misbehaviours) == 0 && s.Trouble == "" || w.foreign(t) != nil {
		t.Errorf("%+v: %v", s, w.foreign(t))
	}
}
