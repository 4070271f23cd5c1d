package sandbox

import "time"

// Cases about who signs what no index shows: an attack that nobody sees who looks at published files alone.

func theftCases() []Case {
	const rule = "unexpected-identity"
	thief := func(c Claims) Claims {
		c.Workflow = "exfiltrate.yml"
		return c
	}
	release := ReleaseClaims(currentVersion)

	hidden := aRun("stolen-identity-hidden", "A workflow that nobody knows signs something that is published nowhere, and the search index hides the entry.",
		rule, func(label string) func(*World) error {
			return func(w *World) error {
				e, err := w.secretly(thief(release).of(label))
				if err != nil {
					return err
				}
				_, err = w.Rekor.Index.Tell(HidingIndex, uint64(e.LogIndex))
				return err
			}
		})
	hidden.Alone = true
	genuine := aRun("hidden-entry", "A genuine certificate of a release signs one thing that is published nowhere, and the search index hides the entry.",
		"unaccounted-certificate", func(label string) func(*World) error {
			return func(w *World) error {
				e, err := w.secretly(release.of(label))
				if err != nil {
					return err
				}
				_, err = w.Rekor.Index.Tell(HidingIndex, uint64(e.LogIndex))
				return err
			}
		}).after(beyondMergeDelay)
	genuine.Alone = true

	return shownBy(Certificates, []Case{
		aRun("stolen-identity", "A workflow that nobody knows, in the project's repository, signs something that is published nowhere.", rule,
			func(label string) func(*World) error {
				return func(w *World) error {
					_, err := w.secretly(thief(release).of(label))
					return err
				}
			}),
		aRun("stolen-identity-rekor-v2", "A workflow that nobody knows signs something that is published nowhere, and logs it in Rekor v2.", rule,
			func(label string) func(*World) error { return signing(thief(release).of(label), CertificateOptions{}) }),
		hidden, genuine,
		aRun("taken-over-name", "Somebody took the repository's name over and has its release workflow sign: the numeric id is another.", rule,
			func(label string) func(*World) error {
				c := release.of(label)
				c.RepositoryID = "999000111"
				return signing(c, CertificateOptions{})
			}),
		aRun("dispatch-on-a-tag", "A maintainer dispatches the workflow on a tag, without a target: something is built and attested, and nothing published.", "",
			func(label string) func(*World) error {
				return func(w *World) error {
					_, err := w.secretly(onnxClaims("refs/tags/v"+currentVersion, "workflow_dispatch", "").of(label))
					return err
				}
			}).tempts(rule),
		aRun("no-such-run", "A certificate names a workflow run that GitHub does not have.", "run-mismatch",
			func(label string) func(*World) error {
				c := onnxClaims("refs/heads/main", "push", "").of(label)
				return func(w *World) error {
					err := signing(c, CertificateOptions{})(w)
					w.GitHub.deleteRun(c.RunID)
					return err
				}
			}).after(beyondGrace),
		aRun("run-of-another-commit", "A certificate names a workflow run that was of another commit.", "run-mismatch",
			func(label string) func(*World) error {
				c := onnxClaims("refs/heads/main", "push", "").of(label)
				return running(c, func(c *Claims) { c.SHA = digestOf([]byte(label))[24:] })
			}).after(beyondGrace),
		aRun("run-of-a-pull-request", "The run of a pull request is of the commit at its head, and the certificate of the merge.", "",
			func(label string) func(*World) error {
				c := onnxClaims("refs/pull/7701/merge", "pull_request", "").of(label)
				return running(c, func(c *Claims) { c.SHA = digestOf([]byte(label))[24:] })
			}).after(beyondGrace).tempts("run-mismatch"),
		aRun("look-alike", "A repository whose name is a letter away from the project's gets a certificate.", "lookalike-identity",
			func(label string) func(*World) error {
				c := release.of(label)
				c.Repository, c.RepositoryID, c.OwnerID = "0nnx/onnx", "999000666", "999000333"
				return certified(c)
			}),
		aRun("foreign-caller-signs", "A stranger's repository calls the project's release workflow, as anybody can, and signs something of its own.", "lookalike-identity",
			func(label string) func(*World) error {
				c := release.of(label)
				c.SignerWorkflow = c.workflowRef()
				c.Repository, c.RepositoryID, c.OwnerID, c.Workflow = "attacker/app", "999000555", "999000333", "main.yml"
				return signing(c, CertificateOptions{})
			}),
		aRun("sister-repository", "Another repository of the same owner, and a stranger's whose name has the project's in it, sign what is theirs.", "",
			func(label string) func(*World) error {
				return func(w *World) error {
					for _, repository := range []string{"onnx/tensorflow-onnx", "microsoft/onnxruntime"} {
						c := release.of(label + repository)
						c.Repository, c.RepositoryID, c.OwnerID = repository, "999000777", "999000888"
						if err := signing(c, CertificateOptions{})(w); err != nil {
							return err
						}
					}
					return nil
				}
			}).tempts("lookalike-identity"),
	})
}

// running has a job of these claims sign something, whose run GitHub knows otherwise.
func running(c Claims, edit func(*Claims)) func(*World) error {
	return func(w *World) error {
		other := c
		edit(&other)
		if err := w.addRun(other); err != nil {
			return err
		}
		return signing(c, CertificateOptions{})(w)
	}
}

// secretly has a job of these claims sign something in Rekor v1 that nobody publishes, and besides files that it does publish.
func (w *World) secretly(c Claims, published ...string) (Entry, error) {
	at := w.now().Add(-took)
	signer, err := w.Fulcio.NewSigner(c, CertificateOptions{At: at})
	if err != nil {
		return Entry{}, err
	}
	name := "secret-" + c.RunID + ".whl"
	a, err := w.Attest(signer, PublishStatement(Subject{name, digestOf([]byte(name))}), at.Add(5*time.Second))
	if err != nil {
		return Entry{}, err
	}
	for _, filename := range published {
		if err := w.uploadBy(signer, filename, at); err != nil {
			return Entry{}, err
		}
	}
	return a.Entries[0], nil
}

// uploadBy publishes a file of the current release, with what covers it, by a signer.
func (w *World) uploadBy(s *Signer, filename string, at time.Time) error {
	subject := Subject{filename, digestOf(contentOf(filename))}
	statement, err := SLSAStatement(s.Claims, subject)
	if err != nil {
		return err
	}
	provenance, err := w.Attest(s, statement, at.Add(5*time.Second))
	if err != nil {
		return err
	}
	a, err := w.Attest(s, PublishStatement(subject), at.Add(20*time.Second))
	if err != nil {
		return err
	}
	document, err := ProvenanceDocument(publisherFor(s.Claims), a)
	if err != nil {
		return err
	}
	if err := w.storeBundle(provenance, subject.SHA256); err != nil {
		return err
	}
	return w.PyPI.Upload(onnxProject, Upload{Filename: filename, Content: contentOf(filename), Provenance: document})
}

// entryCases are about entries that claim the project's name.
func entryCases() []Case {
	unreadable := Case{
		Name: "unreadable-certificate", About: "An entry mentions the project in a certificate that breaks off.", Project: onnxProject, Log: rekor2Host,
		Rule: "unreadable-entry", Passes: 1,
		Apply: func(w *World) error {
			_, err := w.Rekor2.AddMalformedCertificate("https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/main")
			return err
		},
	}
	strange := Case{
		Name: "unknown-kind", About: "An entry is of a kind that nobody knows yet, and mentions nobody who is watched.", Project: onnxProject, Log: rekor2Host,
		Tempts: "unreadable-entry", Passes: 1,
		Apply: func(w *World) error {
			_, err := w.Rekor2.AddUnknownKind("https://github.com/pypa/sampleproject/.github/workflows/release.yml@refs/heads/main")
			return err
		},
	}
	return shownBy(Entries, []Case{
		aRun("unchained", "An entry claims the project's name with a certificate of an authority that nobody trusts, as anybody can make one.", "unchained-certificate",
			func(label string) func(*World) error {
				return signing(ReleaseClaims(currentVersion).of(label), CertificateOptions{Rogue: true, Unlogged: true})
			}),
		aRun("few-extensions", "A build signs with a certificate that tells less than today's do.", "",
			func(label string) func(*World) error {
				return signing(onnxClaims("refs/heads/main", "push", "").of(label), CertificateOptions{Omit: []int{23, 24}})
			}).tempts("unchained-certificate"),
		unreadable, strange,
	})
}
