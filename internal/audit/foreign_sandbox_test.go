package audit_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// TestWhoeverElseSignsAFileIsTold has strangers sign what the project published: one finding each, however many files, and no more
// urgent than that unless they had the file before it was published. What cannot be shown to be about a file is told by nobody.
func TestWhoeverElseSignsAFileIsTold(t *testing.T) {
	t.Parallel()
	files := []string{wheel("1.23.0", 1), wheel("1.23.0", 2)}
	person := sandbox.Claims{Email: "somebody@example.org"}
	fork := sandbox.ReleaseClaims("1.23.0")
	fork.Repository, fork.RepositoryID, fork.OwnerID = "somebody/onnx", "7", "8"
	artifact := func(b *books, s signing, name string) {
		if _, err := b.world.SignArtifact(s.Signer, sha256.Sum256([]byte("content of "+name)), s.at); err != nil {
			b.t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		happens func(b *books)
		want    []string
	}{
		"nobody": {func(*books) {}, nil},
		"a person signs two files": {func(b *books) {
			s := b.sign(b.t, person, b.ago(day/2))
			artifact(b, s, files[0])
			artifact(b, s, files[1])
		}, []string{"low somebody@example.org by https://github.com/login/oauth signed files of the project's, such as " + files[0] + ", in 2 log entries"}},
		"a person signs a file before it is published": {func(b *books) { artifact(b, b.sign(b.t, person, b.ago(2*day)), files[0]) },
			[]string{"medium somebody@example.org by https://github.com/login/oauth signed " + files[0] + " of the project's, in 1 log entry, 1 of them before it was published"}},
		"a fork signs the project's statement": {func(b *books) { b.attest(b.t, b.sign(b.t, fork, b.ago(day/2)), files[0]) },
			[]string{"low https://github.com/somebody/onnx/.github/workflows/create_release.yml@refs/heads/rel-1.23.0 by https://token.actions.githubusercontent.com signed " + files[0] + " of the project's, in 1 log entry"}},
		"a certificate of nobody's": {func(b *books) {
			s, err := b.world.Fulcio.NewSigner(person, sandbox.CertificateOptions{At: b.ago(2 * day), Rogue: true})
			if err != nil {
				b.t.Fatal(err)
			}
			artifact(b, signing{s, person, b.ago(2 * day)}, files[0])
		}, []string{"low certificates that chain to nothing signed " + files[0] + " of the project's, in 1 log entry"}},
		"a fork says something else of a file": {func(b *books) {
			s := b.sign(b.t, fork, b.ago(day/2))
			b.provenance(s, files[0], "another.whl")
		}, nil},
		"the project itself": {func(b *books) { artifact(b, b.sign(b.t, sandbox.ReleaseClaims("1.23.0"), b.ago(day/2)), files[0]) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &books{newRekor1World(t), t}
			b.publish(b.sign(t, sandbox.ReleaseClaims("1.23.0"), b.ago(day)), "onnx", files...)
			b.everything() // the statements are known before they are looked for
			c.happens(b)
			b.clock.Advance(40 * day)
			b.everything()
			b.clock.Advance(40 * day)
			b.everything()
			var got []string
			for _, f := range b.open(t) {
				if f.Rule == audit.ForeignSignature {
					got = append(got, string(f.Severity)+" "+f.Summary)
					b.confirmed(t, []audit.Finding{f})
				} else if !strings.HasPrefix(f.Rule, "stale-log") {
					t.Errorf("%s: %s", f.Rule, f.Summary)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
