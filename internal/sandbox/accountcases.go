package sandbox

import (
	"crypto/sha256"
	"time"
)

// accountCases are about what was signed and what was published of it.
func accountCases() []Case {
	return shownBy(Entries, []Case{
		moreThanPublished(), cancelledUpload(), runAgain(),
		foreign("foreign-signature", "A stranger signs a file that the project has just published, as anybody can.", "foreign-signature", contentOf),
		foreign("foreign-namesake", "A stranger signs other bytes than those of a file that the project has just published.", "",
			func(filename string) []byte { return []byte("not " + filename) }).tempts("foreign-signature"),
	})
}

// moreThanPublished is a case of a release whose certificate signs one thing besides the file that is published.
func moreThanPublished() Case {
	return aRun("more-than-published", "A genuine certificate of a release signs one thing more than is published.", "unaccounted-entry",
		func(label string) func(*World) error {
			return func(w *World) error {
				_, err := w.secretly(ReleaseClaims(currentVersion).of(label), caseFile("more-than-published"))
				return err
			}
		}).after(beyondMergeDelay)
}

// cancelledUpload is a case of a weekly build of which one file of two was uploaded when it was cancelled.
func cancelledUpload() Case {
	c := aRun("cancelled-upload", "A weekly build is cancelled after it signed its files, and before it uploaded all of them.", "unaccounted-entry",
		func(label string) func(*World) error {
			claims := weeklyClaims().of(label)
			return func(w *World) error {
				if err := w.addRunThat(claims, "cancelled"); err != nil {
					return err
				}
				return w.publish(publication{project: weeklyProject, files: weeklyFiles(currentVersion + ".dev20261103"), claims: claims,
					slsa: true, cancelled: &cancelled{2, 1}})
			}
		}).after(beyondMergeDelay)
	c.Severity = "info"
	return c
}

// runAgain is a case of a weekly build whose jobs ran twice.
func runAgain() Case {
	return aRun("run-again", "A weekly build is cancelled between signing and uploading, and run again: everything is signed twice, and published once.", "",
		func(label string) func(*World) error {
			claims := weeklyClaims().of(label)
			return func(w *World) error {
				for attempt, end := range []*cancelled{{2, 1}, nil} {
					claims.Attempt = attempt + 1
					if err := w.publish(publication{project: weeklyProject, files: weeklyFiles(currentVersion + ".dev20261104"), claims: claims,
						slsa: true, cancelled: end}); err != nil {
						return err
					}
				}
				return nil
			}
		}).after(beyondMergeDelay).tempts("unaccounted-entry")
}

// foreign is a case of a file, and of a stranger's repository that signs bytes.
func foreign(name, about, rule string, signed func(filename string) []byte) Case {
	return aRun(name, about, rule, func(label string) func(*World) error {
		c := strangerClaims().of(label)
		c.Repository = "mirror-" + c.RunID + "/wheels"
		filename := caseFile(name)
		return func(w *World) error {
			if err := w.ship(shipment{filename: filename}); err != nil {
				return err
			}
			signer, err := w.Fulcio.NewSigner(c, CertificateOptions{})
			if err != nil {
				return err
			}
			_, err = w.SignArtifact(signer, sha256.Sum256(signed(filename)), w.now().Add(5*time.Second))
			return err
		}
	})
}
