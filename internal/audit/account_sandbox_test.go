package audit_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

// books is a world in which a project signs and publishes, and whoever keeps its books.
type books struct {
	*rekor1Monitor
	t *testing.T
}

// file is a distribution file of the world: what it holds is its name.
func fileOf(name string) sandbox.Subject {
	sum := sha256.Sum256([]byte("content of " + name))
	return sandbox.Subject{Name: name, SHA256: hex.EncodeToString(sum[:])}
}

func wheel(version string, n int) string {
	return fmt.Sprintf("onnx-%s-cp31%d-cp31%d-win_amd64.whl", version, n, n)
}

// claimsOf are those of the project's jobs.
func claimsOf(ref, trigger, environment string) sandbox.Claims {
	c := sandbox.ReleaseClaims("1.23.0")
	c.Ref, c.Trigger, c.Environment = ref, trigger, environment
	return c
}

// publish has a job attest files and upload them.
func (b *books) publish(s signing, project string, names ...string) {
	b.t.Helper()
	for _, name := range names {
		document, err := sandbox.ProvenanceDocument(sandbox.Publisher{Kind: "GitHub", Repository: s.claims.Repository, Workflow: s.claims.Workflow, Environment: s.claims.Environment}, b.attest(b.t, s, name))
		if err != nil {
			b.t.Fatal(err)
		}
		if err := b.world.PyPI.Upload(project, sandbox.Upload{Filename: name, Content: []byte("content of " + name), Uploaded: s.at.Add(2 * time.Minute), Provenance: document}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// provenance has a job sign SLSA provenance of files, which goes to the log and to no index.
func (b *books) provenance(s signing, names ...string) []byte {
	b.t.Helper()
	var subjects []sandbox.Subject
	for _, name := range names {
		subjects = append(subjects, fileOf(name))
	}
	statement, err := sandbox.SLSAStatement(s.claims, subjects...)
	if err != nil {
		b.t.Fatal(err)
	}
	a, err := b.world.Attest(s.Signer, statement, s.at.Add(time.Minute))
	if err != nil {
		b.t.Fatal(err)
	}
	return a.Statement
}

// store tells what a store of provenance has of files: a statement, or nothing.
func (b *books) store(statement []byte, predicate string, names ...string) {
	b.t.Helper()
	known := audit.KnownStatement{SHA256: digest(statement), PAESHA256: digest([]byte("PAE " + string(statement))), PredicateType: predicate}
	for _, name := range names {
		known.Subjects = append(known.Subjects, fileOf(name).SHA256)
	}
	for _, name := range names {
		var all []audit.KnownStatement
		if statement != nil {
			all = append(all, known)
		}
		if err := b.record.SaveStatements(b.t.Context(), b.clock.Now(), fileOf(name).SHA256, all); err != nil {
			b.t.Fatal(err)
		}
	}
}

// pass makes a pass over everything.
func (b *books) everything() {
	b.t.Helper()
	b.followCT(b.t)
	b.complete(b.t)
}

// unaccounted are the open findings about entries.
func (b *books) unaccounted() []audit.Finding {
	b.t.Helper()
	var all []audit.Finding
	for _, f := range b.open(b.t) {
		if f.Rule == audit.UnaccountedEntry {
			all = append(all, f)
		}
	}
	return all
}

// balance states the books.
func (b *books) balance() audit.Balance {
	b.t.Helper()
	books := audit.Books{Record: b.record, Rules: audit.NewRuleSet(nil), Policies: map[string]identity.Policy{"onnx": b.policy}, Now: b.clock.Now()}
	all, err := books.Balance(b.t.Context(), time.Time{}, time.Time{})
	if err != nil || len(all) != 1 {
		b.t.Fatal(err, all)
	}
	return all[0]
}

// TestTheBooksBalance tells stories of what a project signs and publishes: what must be found is, once and a day later, and of
// what has an honest reason nothing is said. What each entry is accounted for by stands in the balance.
func TestTheBooksBalance(t *testing.T) {
	t.Parallel()
	files := []string{wheel("1.23.0", 1), wheel("1.23.0", 2), wheel("1.23.0", 3)}
	release := sandbox.ReleaseClaims("1.23.0")
	for name, c := range map[string]struct {
		happens func(b *books)
		// finds is how severe the finding is; "" for none.
		finds audit.Severity
		says  string
		books string
	}{
		"a release": {func(b *books) { b.publish(b.sign(b.t, release, b.ago(day)), "onnx", files...) },
			"", "", "3 = 3 attestation (release), none open"},
		"a release with provenance that nobody looked for": {func(b *books) {
			s := b.sign(b.t, release, b.ago(day))
			b.provenance(s, files...)
			b.publish(s, "onnx", files...)
		}, "", "", "4 = 3 attestation (release) + open: 1 unknown (release)"},
		"a release with provenance by another certificate": {func(b *books) {
			b.provenance(b.sign(b.t, release, b.ago(day)), files...)
			b.publish(b.sign(b.t, release, b.ago(day)), "onnx", files...)
		}, "", "", "4 = 3 attestation (release) + open: 1 unknown (release)"},
		"a release with provenance": {func(b *books) {
			s := b.sign(b.t, release, b.ago(day))
			b.store(b.provenance(s, files...), sandbox.SLSAPredicate, files...)
			b.publish(s, "onnx", files...)
		}, "", "", "4 = 3 attestation (release) + 1 provenance (release), none open"},
		"a certificate signs more than was published": {func(b *books) {
			s := b.sign(b.t, release, b.ago(day))
			b.provenance(s, files...)
			b.publish(s, "onnx", files...)
			b.attest(b.t, s, "nobody-published-this.whl")
		}, audit.High, "signed 2 log entries that nothing published accounts for, besides what was published; at most 1 of them could be accounted for by what was not looked at",
			"5 = 3 attestation (release) + open: 1 unaccounted (release) + 1 unknown (release)"},
		"a certificate signs more than was published, and provenance is known": {func(b *books) {
			s := b.sign(b.t, release, b.ago(day))
			b.store(b.provenance(s, files...), sandbox.SLSAPredicate, files...)
			b.publish(s, "onnx", files...)
			b.attest(b.t, s, "nobody-published-this.whl")
		}, audit.High, "signed 1 log entry that nothing published accounts for, besides what was published",
			"5 = 3 attestation (release) + 1 provenance (release) + open: 1 unaccounted (release)"},
		"provenance of a file that nobody published besides": {func(b *books) {
			s := b.sign(b.t, release, b.ago(day))
			b.store(nil, "", files...)
			b.store(b.provenance(s, append(files, "secret.whl")...), sandbox.SLSAPredicate, append(files, "secret.whl")...)
			b.publish(s, "onnx", files...)
		}, audit.High, "signed 1 log entry that nothing published accounts for, besides what was published",
			"4 = 3 attestation (release) + open: 1 unaccounted (release)"},
		"a stolen job signs what is published nowhere": {func(b *books) { b.attest(b.t, b.sign(b.t, release, b.ago(day)), "evil.whl") },
			audit.Medium, "signed 1 log entry that nothing published accounts for, and nothing that was published", "1 = open: 1 unaccounted (release)"},
		"a run is repeated": {func(b *books) {
			b.publish(b.sign(b.t, release, b.ago(day)), "onnx", files...)
			again := release
			again.Attempt = 2
			s := b.sign(b.t, again, b.ago(day-time.Hour))
			for _, name := range files {
				b.attest(b.t, s, name)
			}
		}, "", "", "6 = 3 attestation (release) + 3 statement (release), none open"},
		"a run is repeated, with provenance": {func(b *books) {
			b.publish(b.sign(b.t, release, b.ago(day)), "onnx", files...)
			again := release
			again.Attempt = 2
			s := b.sign(b.t, again, b.ago(day-time.Hour))
			b.provenance(s, files...)
			for _, name := range files {
				b.attest(b.t, s, name)
			}
		}, "", "", "7 = 3 attestation (release) + 3 statement (release) + open: 1 unknown (release)"},
		"an upload is cancelled": {func(b *books) {
			s := b.sign(b.t, release, b.ago(day))
			b.provenance(s, files...)
			for _, name := range files {
				b.attest(b.t, s, name)
			}
		}, audit.Medium, "signed 4 log entries that nothing published accounts for, and nothing that was published", "4 = open: 4 unaccounted (release)"},
		"a published file is signed by itself": {func(b *books) {
			s := b.sign(b.t, release, b.ago(day))
			b.publish(s, "onnx", files...)
			if _, err := b.world.SignArtifact(s.Signer, sha256.Sum256([]byte("content of "+files[0])), s.at.Add(time.Minute)); err != nil {
				b.t.Fatal(err)
			}
		}, "", "", "4 = 3 attestation (release) + 1 file (release), none open"},
		"builds, pull requests and scans": {func(b *books) {
			scan := claimsOf("refs/heads/main", "schedule", "")
			scan.Workflow = "scorecard.yml"
			for i, c := range []sandbox.Claims{claimsOf("refs/heads/main", "push", ""), claimsOf("refs/pull/7/merge", "pull_request", ""), scan} {
				b.attest(b.t, b.sign(b.t, c, b.ago(day)), fmt.Sprintf("build-%d.whl", i))
			}
		}, "", "", "3 = 1 publishes-nothing (ci) + 1 publishes-nothing (pr) + 1 publishes-nothing (scorecard), none open"},
		"a rehearsal": {func(b *books) {
			b.attest(b.t, b.sign(b.t, claimsOf("refs/heads/rel-1.23.0", "workflow_dispatch", "testpypi-release"), b.ago(day)), "rehearsal.whl")
		}, "", "", "1 = 1 publishes-elsewhere (test-release), none open"},
		"a weekly build is deleted": {func(b *books) {
			weekly := []string{"onnx_weekly-1.24.0.dev20261019-cp312-cp312-win_amd64.whl"}
			b.publish(b.sign(b.t, claimsOf("refs/heads/main", "schedule", "pypi-weekly"), b.ago(14*day)), "onnx-weekly", weekly...)
			b.everything()
			if err := b.world.PyPI.RemoveFile("onnx-weekly", weekly[0]); err != nil {
				b.t.Fatal(err)
			}
			b.clock.Advance(time.Hour)
			b.everything()
		}, "", "", "1 = 1 attestation (weekly), none open"},
		"a weekly build was deleted before anybody looked": {func(b *books) {
			b.publish(b.sign(b.t, claimsOf("refs/heads/main", "schedule", "pypi-weekly"), b.ago(day)), "onnx-weekly", "onnx_weekly-1.24.0.dev20261101-cp312-cp312-win_amd64.whl")
			b.attest(b.t, b.sign(b.t, claimsOf("refs/heads/main", "schedule", "pypi-weekly"), b.ago(14*day)), "onnx_weekly-1.24.0.dev20261019-cp312-cp312-win_amd64.whl")
		}, "", "", "2 = 1 attestation (weekly) + open: 1 unknown (weekly)"},
		"a file's provenance is refused": {func(b *books) {
			s := b.sign(b.t, release, b.ago(day))
			b.store(nil, "", files...)
			b.publish(s, "onnx", files[:2]...)
			b.world.PyPI.Break(sandbox.Fault{Path: "/integrity/onnx/1.23.0/" + files[2] + "/provenance", Status: 403, ContentType: "application/json", Body: []byte(`{"message":"disabled"}`)})
			b.publish(s, "onnx", files[2])
		}, "", "", "3 = 2 attestation (release) + open: 1 unknown (release)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &books{newRekor1World(t), t}
			c.happens(b)
			b.followCT(t)
			b.all(t)
			if early := b.unaccounted(); len(early) > 0 {
				t.Errorf("at once: %+v", early)
			}
			for range 2 {
				b.clock.Advance(25 * time.Hour)
				if err := b.world.Rekor.AddNoise(2, b.clock.Now()); err != nil {
					t.Fatal(err)
				}
				b.followCT(t)
				b.all(t)
			}
			found := b.unaccounted()
			if (len(found) == 1) != (c.finds != "") || len(found) > 1 || len(found) == 1 && (found[0].Severity != c.finds || !strings.HasSuffix(found[0].Summary, c.says)) {
				t.Errorf("found %+v", found)
			}
			for _, f := range found {
				if history, err := b.record.History(t.Context(), f.ID); err != nil || len(history) != 1 {
					t.Errorf("its history is %+v, %v", history, err)
				}
			}
			balance := b.balance()
			if diff := cmp.Diff("onnx: entries signed with them: "+c.books, balance.Text[1]); diff != "" {
				t.Error(diff)
			}
			sum := 0
			for _, line := range append(balance.Entries.Accounted, balance.Entries.Open...) {
				sum += line.Count
			}
			if sum != balance.Entries.Total || sum != len(b.hits(t)) {
				t.Errorf("the lines add up to %d, the total is %d, and there are %d entries", sum, balance.Entries.Total, len(b.hits(t)))
			}
		})
	}
}
