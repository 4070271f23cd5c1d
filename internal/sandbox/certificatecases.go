package sandbox

import (
	"crypto/sha256"
	"time"
)

// CertificateCases lists what may happen between certificates, the CT logs that promise them, and what they sign: cases that
// must alert once the logs had a day, and their honest neighbours that must not. They need [Options.TrustLogs], and nothing
// of the index.
func CertificateCases() []Case {
	unlogged, unaccounted := "unlogged-certificate", "unaccounted-certificate"
	one := func(name, about, rule string, apply func(label string) func(*World) error, also ...string) Case {
		c := aRun(name, about, rule, apply)
		c.Also = also
		return c.after(beyondMergeDelay)
	}
	signing := func(c Claims, o CertificateOptions) func(string) func(*World) error {
		return func(label string) func(*World) error { return signing(c.of(label), o) }
	}
	certified := func(c Claims) func(string) func(*World) error {
		return func(label string) func(*World) error { return certified(c.of(label)) }
	}
	build := onnxClaims("refs/heads/main", "push", "") // which publishes nothing
	return shownBy(Certificates, []Case{
		one("broken-promise", "A certificate signs a log entry, and the CT log that promised it does not have it.", unlogged,
			signing(build, CertificateOptions{Unlogged: true})),
		one("broken-static-promise", "A certificate signs a log entry, and at the index that a static CT log promised for it there is another.", unlogged,
			signing(build, CertificateOptions{Unlogged: true, StaticSCT: true})),
		one("no-promise", "A certificate of the true authority signs a log entry, and carries no promise of any CT log.", unlogged,
			signing(build, CertificateOptions{NoSCT: true})),
		one("false-promise", "A certificate of the true authority signs a log entry, and the CT log's key did not sign the promise that it carries.", unlogged,
			signing(build, CertificateOptions{ForeignSCT: true})),
		one("kept-promise", "A certificate signs a log entry, and is in the CT log that promised it.", "",
			signing(build, CertificateOptions{})).tempts(unlogged),
		one("kept-static-promise", "A certificate signs a log entry, and is where a static CT log promised it.", "",
			signing(build, CertificateOptions{StaticSCT: true})).tempts(unlogged),

		one("unused-certificate", "A certificate is issued to a release, and nothing is signed with it.", unaccounted,
			certified(ReleaseClaims("1.23.0"))),
		one("unused-strange-certificate", "A certificate is issued to a workflow of the repository that no grade knows, and nothing is signed with it.", unaccounted,
			certified(strangeClaims()), "unexpected-identity"),
		one("used-certificate", "A certificate is issued to a release, and signs a file of it, in Rekor v2 too.", "", signingFile).tempts(unaccounted),
		one("unused-build-certificate", "A certificate is issued to a build, which publishes nothing, and there are logs of entries that nobody read.", "",
			certified(build)).tempts(unaccounted),
	})
}

// beyondMergeDelay is longer than a CT log may take to include what it promised.
const beyondMergeDelay = 25 * time.Hour

// aRun is a case of one pass about what a run of its own signs, or is certified for: the claims that follow from its name.
func aRun(name, about, rule string, apply func(label string) func(*World) error) Case {
	label := "case/" + name
	return Case{Name: name, About: about, Project: onnxProject, Runs: []string{Claims{}.of(label).RunID}, Rule: rule, Passes: 1, Apply: apply(label)}
}

// signing has a certificate issued now sign an entry of Rekor v2.
func signing(c Claims, o CertificateOptions) func(*World) error {
	return func(w *World) error {
		at := w.Rekor2.Size()
		_, err := w.PlantRekor2(w.Rekor2, at+1, Plant{At: at, Claims: c, Options: o})
		return err
	}
}

// signingFile has a release sign a file that is published.
func signingFile(label string) func(*World) error {
	return func(w *World) error {
		signer, err := w.Fulcio.NewSigner(ReleaseClaims(currentVersion).of(label), CertificateOptions{})
		if err != nil {
			return err
		}
		a, err := w.SignArtifact(signer, sha256.Sum256(contentOf(releaseFiles(currentVersion)[0])), w.now())
		if err != nil {
			return err
		}
		_, err = w.Rekor2.Log(a)
		return err
	}
}

// certified has a certificate issued that signs nothing.
func certified(c Claims) func(*World) error {
	return func(w *World) error {
		_, err := w.Fulcio.NewSigner(c, CertificateOptions{})
		return err
	}
}

// strangeClaims are those of a workflow that nobody expects.
func strangeClaims() Claims {
	c := ReleaseClaims("1.23.0")
	c.Workflow = "exfiltrate.yml"
	return c
}
