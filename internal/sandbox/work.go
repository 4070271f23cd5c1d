package sandbox

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"time"
)

// Work is what a project like ONNX does on its ordinary days. All of it is honest, and none of it may alert. Each job is a run
// of its own, with a certificate of its own, and has just ended when its method returns. It belongs to one goroutine.
type Work struct {
	world *World
	jobs  int
	// next is the version that the weekly builds lead to.
	next string
}

// NewWork has a project go on that [OnnxLike] began.
func NewWork(w *World) *Work { return &Work{world: w, next: "1.24.0"} }

// took is how long ago a job that has just ended got its certificate.
const took = 2 * time.Minute

// job are the claims of the next run of the release workflow.
func (k *Work) job(ref, trigger, environment string) Claims {
	k.jobs++
	return onnxClaims(ref, trigger, environment).of(fmt.Sprintf("work/%d", k.jobs))
}

// at is when a job got its certificate.
func (k *Work) at() CertificateOptions { return CertificateOptions{At: k.world.now().Add(-took)} }

// Build is a run that attests n files and publishes none: of a push to a branch, of a pull request, or by hand.
func (k *Work) Build(ref, trigger string, n int) error {
	c, o := k.job(ref, trigger, ""), k.at()
	var subjects []Subject
	for _, filename := range distributions("onnx", k.next+".dev"+c.RunID, n) {
		subjects = append(subjects, Subject{filename, digestOf(contentOf(c.RunID + filename))})
	}
	return k.attest(c, o, subjects)
}

// attest is a run that makes one SLSA provenance.
func (k *Work) attest(c Claims, o CertificateOptions, subjects []Subject) error {
	signer, err := k.world.Fulcio.NewSigner(c, o)
	if err != nil {
		return err
	}
	statement, err := SLSAStatement(c, subjects...)
	if err != nil {
		return err
	}
	a, err := k.world.Attest(signer, statement, o.At.Add(5*time.Second))
	if err != nil {
		return err
	}
	return k.world.storeBundle(a, digests(subjects)...)
}

// Push attests what a push to the main branch built, and Pull what a pull request's branch did.
func (k *Work) Push() error { return k.Build("refs/heads/main", "push", 5) }

// Pull is a run for a pull request with the label that has its builds attested.
func (k *Work) Pull(number int) error {
	return k.Build(fmt.Sprintf("refs/pull/%d/merge", number), "pull_request", 5)
}

// Scan is OpenSSF Scorecard, which signs its results.
func (k *Work) Scan(trigger string) error {
	c, o := k.job("refs/heads/main", trigger, ""), k.at()
	c.Workflow, c.WorkflowName = "scorecard.yml", "Scorecard supply-chain security"
	signer, err := k.world.Fulcio.NewSigner(c, o)
	if err != nil {
		return err
	}
	_, err = k.world.SignArtifact(signer, sha256.Sum256([]byte("scorecard/"+c.RunID)), o.At.Add(5*time.Second))
	return err
}

// Weekly publishes a weekly build of n files, on the day that it is.
func (k *Work) Weekly(n int) error { return k.weekly(n, 1, nil) }

// CancelledWeekly is one that was cancelled when so many files had an attestation, and so many of these were uploaded.
func (k *Work) CancelledWeekly(n, attested, uploaded int) error {
	return k.weekly(n, 1, &cancelled{attested, uploaded})
}

// WeeklyAgain runs the jobs of today's weekly build again: everything is attested anew, and what the index lacks is uploaded.
func (k *Work) WeeklyAgain(n int) error { return k.weekly(n, 2, nil) }

func (k *Work) weekly(n, attempt int, c *cancelled) error {
	version := k.next + ".dev" + k.world.now().Format("20060102")
	claims := onnxClaims("refs/heads/main", "schedule", "pypi-weekly").of("weekly/" + version)
	claims.Attempt = attempt
	if c != nil {
		if err := k.world.addRunThat(claims, "cancelled"); err != nil {
			return err
		}
	}
	return k.world.publish(publication{
		project: weeklyProject, files: distributions("onnx_weekly", version, n), claims: claims, options: k.at(), slsa: true, cancelled: c,
	})
}

// Release publishes the version that the weekly builds led to, in n files, and has them lead to the next.
func (k *Work) Release(n int) error {
	version := k.next
	var minor int
	if _, err := fmt.Sscanf(version, "1.%d.0", &minor); err != nil {
		return fmt.Errorf("reading the version %q: %w", version, err)
	}
	k.next = fmt.Sprintf("1.%d.0", minor+1)
	return k.world.publish(publication{
		project: onnxProject, files: distributions("onnx", version, n), options: k.at(), slsa: true,
		claims: k.job("refs/heads/rel-"+version, "workflow_dispatch", "pypi-release"),
	})
}

// Rehearse publishes n files to the test index, which nobody watches, from an environment of that name.
func (k *Work) Rehearse(environment string, n int) error {
	c, o := k.job("refs/heads/main", "workflow_dispatch", environment), k.at()
	return k.world.publish(publication{
		files: distributions("onnx_weekly", k.next+".dev"+c.RunID, n), claims: c, options: o, slsa: true,
		cancelled: &cancelled{n, 0},
	})
}

// Purge deletes all weekly builds but the latest few, as the project does after a release.
func (k *Work) Purge(keep int) error {
	state, _ := k.world.PyPI.state(weeklyProject)
	var versions []string
	for _, f := range state.files {
		if len(versions) == 0 || versions[len(versions)-1] != f.version {
			versions = append(versions, f.version)
		}
	}
	for _, version := range versions[:max(0, len(versions)-keep)] {
		if err := k.world.PyPI.RemoveRelease(weeklyProject, version); err != nil {
			return err
		}
	}
	return nil
}

// Others adds an entry of a stranger's to every log that takes any, so that none stands still.
func (k *Work) Others() error {
	w := k.world
	if err := w.Rekor.AddNoise(1, w.now()); err != nil {
		return err
	}
	for _, log := range []struct {
		*Ledger
		add func(uint64) error
		n   uint64
	}{{w.Rekor2.Ledger, w.Rekor2.AddBulk, w.crowd}, {w.CT.Ledger, w.CT.AddBulk, 1}, {w.StaticCT.Ledger, w.StaticCT.AddBulk, 1}} {
		if !log.frozen().IsZero() {
			continue
		}
		if err := log.add(log.n); err != nil {
			return err
		}
	}
	return nil
}

// Step is what happens beside a case while it happens: strangers' entries, builds and scans every time, and in turn a weekly
// build, a release, and the deletion of old weekly builds.
func (k *Work) Step(number int) error {
	steps := []func() error{
		func() error { return k.Scan("push") },
		k.Push,
		k.Others,
	}
	switch number {
	case 0:
		steps = append(steps, func() error { return k.Weekly(3) })
	case 1:
		steps = append(steps, func() error { return k.Release(3) }, func() error { return k.Pull(7700) })
	case 2:
		steps = append(steps, func() error { return k.Purge(1) }, func() error { return k.Rehearse("testpypi-weekly", 2) })
	}
	for _, do := range steps {
		if err := do(); err != nil {
			return fmt.Errorf("step %d of a project's ordinary work: %w", number, err)
		}
	}
	return nil
}

// distributions names the first n files of a release: a source distribution, and wheels of many kinds.
func distributions(name, version string, n int) []string {
	files := []string{name + "-" + version + ".tar.gz"}
	for _, python := range []string{"cp312-abi3", "cp310-cp310", "cp311-cp311", "cp313-cp313t", "cp314-cp314t"} {
		for _, platform := range []string{"manylinux_2_28_x86_64", "macosx_12_0_universal2", "win_amd64", "manylinux_2_28_aarch64", "win_arm64", "win32", "pyodide_2025_0_wasm32"} {
			files = append(files, strings.Join([]string{name, version, python, platform}, "-")+".whl")
		}
	}
	return files[:min(n, len(files))]
}
