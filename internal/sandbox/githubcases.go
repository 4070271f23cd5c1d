package sandbox

import (
	"strings"
	"time"
)

// storeCases are about what GitHub's store has of a file, beside an honest publish attestation on the index: those that must
// alert, and their honest neighbours that must not.
func storeCases() []Case {
	const missing = "missing-slsa-provenance"
	by := func(ref, trigger, environment string) evidence {
		return evidence{claims: new(onnxClaims(ref, trigger, environment))}
	}
	branch := "refs/heads/rel-" + currentVersion
	honest := evidence{}
	stored := func(name, about, rule string, all ...evidence) Case {
		return shipped(name, about, rule, shipment{evidence: append([]evidence{}, all...)})
	}
	edited := func(edit func(*Claims)) func(Subject, Claims) (Statement, error) {
		return func(s Subject, c Claims) (Statement, error) {
			edit(&c)
			return SLSAStatement(c, s)
		}
	}
	onPyPI := shipped("slsa-on-the-index", "SLSA provenance is served by the index beside the publish attestation, and GitHub's store has none.", "",
		shipment{evidence: []evidence{}, statements: func(s Subject, c Claims) ([]Statement, error) {
			provenance, err := SLSAStatement(c, s)
			return []Statement{PublishStatement(s), provenance}, err
		}}).tempts(missing)
	stranger := evidence{claims: new(ReleaseClaims(currentVersion))}
	stranger.claims.Workflow = "nightly.yml"
	rerun := evidence{claims: new(ReleaseClaims(currentVersion))}
	rerun.claims.Attempt = 2
	tampered := func(name string) evidence {
		return evidence{tamper: func(w *World, a *Attestation) error {
			t, err := TamperNamed(name)
			if err != nil {
				return err
			}
			return t.Apply(w, a)
		}}
	}
	bill := evidence{statement: func(s Subject, _ Claims) (Statement, error) {
		return Statement{Subjects: []Subject{s}, PredicateType: "https://cyclonedx.org/bom", Predicate: []byte(`{"bomFormat":"CycloneDX"}`)}, nil
	}}
	outage := func(c Case, f Fault) Case {
		ship := c.Apply
		c.Apply = func(w *World) error {
			if err := ship(w); err != nil {
				return err
			}
			f.Path = "/repos/" + onnxRepository + "/attestations/sha256:" + w.PyPI.SHA256(c.Project, c.File)
			w.GitHub.Break(f)
			return nil
		}
		return c
	}
	const aDay = 25 * time.Hour // after which ids are looked up again
	taken := Case{
		Name: "repository-taken-over", About: "GitHub says that the repository of the project's name has another id and another owner.",
		Project: onnxProject, Rule: "repository-id-mismatch", Passes: 1, Alone: true, ConfirmedIDs: true, Wait: aDay,
		Apply: func(w *World) error {
			w.GitHub.SetRepository(GitHubRepository{Name: onnxRepository, ID: 999000111, OwnerID: 999000333})
			return nil
		},
	}
	moved := Case{
		Name: "repository-respelled", About: "GitHub spells the repository's name another way than before: its ids are the same.",
		Project: onnxProject, Tempts: "repository-id-mismatch", Passes: 1, Alone: true, Wait: aDay,
		Apply: func(w *World) error {
			if err := w.ensureOnnxRepository(); err != nil {
				return err
			}
			r := w.GitHub.named(onnxRepository)
			r.Name = "ONNX/onnx"
			w.GitHub.SetRepository(r)
			return nil
		},
	}
	return []Case{
		stored("slsa-missing", "A file is published with a publish attestation, and neither the index nor GitHub has SLSA provenance for it.", missing).after(beyondGrace),
		stored("slsa-by-ci", "The only SLSA provenance of a file is by a CI build for a push.", "wrong-grade", by(branch, "push", "")).after(beyondGrace),
		stored("slsa-by-pr", "The only SLSA provenance of a file is by the build of a pull request.", "wrong-grade", by("refs/pull/7712/merge", "pull_request", "")).after(beyondGrace),
		stored("slsa-by-stranger", "GitHub's store has SLSA provenance of a file by a workflow that nobody knows.", "unexpected-identity", honest, stranger).besides("unexpected-identity"),
		stored("slsa-contradicts", "SLSA provenance in GitHub's store names another commit than the certificate that signed it.", "predicate-mismatch",
			honest, evidence{statement: edited(func(c *Claims) { c.SHA = strings.Repeat("1", 40) })}),
		stored("slsa-tampered", "SLSA provenance in GitHub's store is signed with another key than its certificate's.", "invalid-attestation", honest, tampered("bad-signature")),
		stored("slsa-unlogged", "SLSA provenance in GitHub's store is in no log, although its certificate is of the public instance.", "unlogged-attestation",
			honest, tampered("no-entry")),
		stored("slsa-not-public", "SLSA provenance of a public repository was signed by GitHub's own instance, which has no log.", "not-in-public-log",
			honest, evidence{unlogged: true}),
		taken,

		moved,
		onPyPI,
		stored("slsa-by-ci-too", "A CI build gave the same bytes as the release: its SLSA provenance is beside the release's.", "",
			by(branch, "push", ""), honest).tempts("wrong-grade"),
		stored("slsa-twice", "The release job was run again: there are two SLSA provenances of a file.", "", honest, rerun).tempts("unexpected-identity"),
		stored("bill-of-materials", "GitHub's store has a bill of materials beside the SLSA provenance.", "", honest, bill).tempts("predicate-mismatch"),
		stored("release-attestation", "GitHub itself attests to the assets of an immutable release.", "", honest, evidence{release: true}).tempts("not-in-public-log"),
		outage(stored("store-outage", "GitHub does not answer for the attestations of a file.", "", honest), Fault{Status: 503}).tempts(missing),
		outage(stored("store-refuses", "GitHub refuses to say which attestations a file has.", "", honest), Fault{Status: 403}).tempts(missing),
	}
}

// HostileAttestations are wrong answers of GitHub's store, which must not be taken for "none".
func HostileAttestations() []HostileAnswer {
	return append(hostileAnswers(gitHubJSON),
		HostileAnswer{"no permission", Fault{Status: 403, ContentType: "application/json", Body: []byte(`{"message":"Resource not accessible"}`)}},
		HostileAnswer{"bad credentials", Fault{Status: 401, ContentType: "application/json", Body: []byte(`{"message":"Bad credentials"}`)}},
		HostileAnswer{"version gone", Fault{Status: 410, ContentType: "application/json", Body: []byte(`{"message":"Gone"}`)}},
		HostileAnswer{"not understood", Fault{Status: 422, ContentType: "application/json", Body: []byte(`{"message":"Invalid"}`)}},
		HostileAnswer{"bundle that is no object", Fault{ContentType: "application/json", Body: []byte(`{"attestations":[{"repository_id":1,"bundle":"x"}]}`)}},
		HostileAnswer{"neither bundle nor address", Fault{ContentType: "application/json", Body: []byte(`{"attestations":[{"repository_id":1,"bundle":null}]}`)}},
		HostileAnswer{"bundle on a foreign host", Fault{ContentType: "application/json",
			Body: []byte(`{"attestations":[{"repository_id":1,"bundle":null,"bundle_url":"https://blobs.attacker.example/x?sig=hush"}]}`)}},
		HostileAnswer{"bundle in plain http", Fault{ContentType: "application/json",
			Body: []byte(`{"attestations":[{"repository_id":1,"bundle":null,"bundle_url":"http://x.blob.core.windows.net/x?sig=hush"}]}`)}},
		HostileAnswer{"bundle in a file", Fault{ContentType: "application/json",
			Body: []byte(`{"attestations":[{"repository_id":1,"bundle":null,"bundle_url":"file:///etc/passwd"}]}`)}},
	)
}

// HostileBundles are wrong answers of the store that has the bundles.
func HostileBundles() []HostileAnswer {
	return []HostileAnswer{
		{"corrupt block", Fault{Rewrite: func(b []byte) []byte { return append([]byte{b[0], b[1]}, make([]byte, len(b))...) }}},
		{"half a block", Fault{Rewrite: func(b []byte) []byte { return b[:len(b)/2] }}},
		// Says that it holds 4 GB.
		{"bomb", Fault{Rewrite: func([]byte) []byte { return []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0} }}},
		{"truncated body", Fault{Truncate: true}},
		{"zeros without end", Fault{Endless: true}},
		{"refusal", Fault{Status: 403, ContentType: "application/xml", Body: []byte("<Error>sig=hush</Error>")}},
		{"gone", Fault{Status: 404}},
		{"trouble", Fault{Status: 500}},
	}
}
