package sandbox

import (
	"slices"
	"strconv"
	"time"
)

// evidence is one attestation of a file in the store of the project's repository. Where nothing is set it is SLSA provenance by
// the release job.
type evidence struct {
	claims  *Claims
	options CertificateOptions
	// statement says what is attested; SLSA provenance by the claims where it is nil.
	statement func(Subject, Claims) (Statement, error)
	// tamper changes the attestation.
	tamper func(*World, *Attestation) error
	// unlogged has GitHub's own instance sign it, as for a private repository.
	unlogged bool
	// release makes it GitHub's own attestation of a release.
	release bool
}

// signer are the claims of the job that attests to a file.
func (e evidence) signer(filename string) Claims {
	claims := ReleaseClaims(currentVersion)
	if e.claims != nil {
		claims = *e.claims
	}
	return claims.forFile(filename)
}

// store puts evidence about a file into the store of the project's repository. Where at is zero it was made a quarter of an hour
// ago, as what is shipped.
func (w *World) store(e evidence, subject Subject) error {
	claims := e.signer(subject.Name)
	if e.options.At.IsZero() {
		e.options.At = w.now().Add(-15 * time.Minute)
	}
	if err := w.addRun(claims); err != nil {
		return err
	}
	a, err := w.evidence(e, claims, subject)
	if err != nil {
		return err
	}
	if e.tamper != nil {
		if err := e.tamper(w, a); err != nil {
			return err
		}
	}
	return w.storeBundle(a, subject.SHA256)
}

func (w *World) evidence(e evidence, claims Claims, subject Subject) (*Attestation, error) {
	if e.release {
		return w.GitHub.AttestRelease(e.options.At, onnxRepository, "v"+currentVersion, subject)
	}
	state := e.statement
	if state == nil {
		state = func(s Subject, c Claims) (Statement, error) { return SLSAStatement(c, s) }
	}
	statement, err := state(subject, claims)
	if err != nil {
		return nil, err
	}
	if e.unlogged {
		return w.GitHub.AttestUnlogged(claims, e.options, statement)
	}
	signer, err := w.Fulcio.NewSigner(claims, e.options)
	if err != nil {
		return nil, err
	}
	return w.Attest(signer, statement, e.options.At.Add(30*time.Second))
}

// storeBundle puts an attestation into the store of the project's repository, which is there from its first bundle on.
func (w *World) storeBundle(a *Attestation, digests ...string) error {
	bundle, err := a.Bundle()
	if err != nil {
		return err
	}
	if err := w.ensureOnnxRepository(); err != nil {
		return err
	}
	return w.GitHub.Publish(onnxRepository, bundle, digests...)
}

// ensureOnnxRepository makes the project's repository where GitHub has none of its name.
func (w *World) ensureOnnxRepository() error {
	if w.GitHub.knows(onnxRepository) {
		return nil
	}
	id, err := strconv.ParseInt(onnxRepositoryID, 10, 64)
	if err != nil {
		return err
	}
	owner, err := strconv.ParseInt(onnxOwnerID, 10, 64)
	if err != nil {
		return err
	}
	w.GitHub.SetRepository(GitHubRepository{Name: onnxRepository, ID: id, OwnerID: owner})
	return nil
}

// addRun makes the workflow run of a job with these claims, where there is none of its number yet.
func (w *World) addRun(c Claims) error { return w.addRunThat(c, "") }

// addRunThat is addRun of a run with a conclusion.
func (w *World) addRunThat(c Claims, conclusion string) error {
	if c.RunID == "" {
		return nil
	}
	id, err := strconv.ParseInt(c.RunID, 10, 64)
	if err != nil {
		return err
	}
	w.GitHub.ensureRun(GitHubRun{Repository: c.Repository, ID: id, Attempt: int64(c.Attempt), HeadSHA: c.SHA, Event: c.Trigger,
		Path: ".github/workflows/" + c.Workflow, Conclusion: conclusion})
	return nil
}

// digests are those of subjects.
func digests(subjects []Subject) []string {
	var all []string
	for _, s := range subjects {
		all = append(all, s.SHA256)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
