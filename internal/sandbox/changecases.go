package sandbox

import "time"

// Cases about what changes on the index between two passes.

func changeCases() []Case {
	removed := changed("file-removed", "A file of a release disappears from the index.", "file-removed",
		func(w *World, filename string) error { return w.PyPI.RemoveFile(onnxProject, filename) })
	removed.Passes = 3
	removed.Confirm = func(w *World) error { return w.PyPI.Touch(onnxProject) }

	weekly := weeklyVersion(time.Date(2026, 6, 22, 0, 0, 0, 0, time.UTC))
	stale := changed("stale-mirror", "A lagging mirror shows the index as it was before a file came.", "",
		func(w *World, _ string) error { return w.PyPI.ServeStale(onnxProject, 1) }).tempts("file-removed")
	stale.Alone = true

	return []Case{
		changed("provenance-removed", "The index stops serving provenance for a file that stays.", "provenance-removed",
			func(w *World, filename string) error { return w.PyPI.RemoveProvenance(onnxProject, filename) }).after(beyondGrace),
		changed("provenance-replaced", "The index serves another provenance document for a file, valid as the first was.",
			"provenance-replaced", func(w *World, filename string) error {
				document, err := w.provenance(as(func(c *Claims) { c.Attempt = 2 }).of(filename), contentOf(filename))
				if err != nil {
					return err
				}
				return w.PyPI.ReplaceProvenance(onnxProject, filename, document)
			}),
		changed("file-replaced", "Other bytes appear under a filename, validly attested.", "file-replaced",
			func(w *World, filename string) error {
				content := []byte("other bytes\n")
				document, err := w.provenance(shipment{filename: filename}, content)
				if err != nil {
					return err
				}
				return w.PyPI.ReplaceFile(onnxProject, filename, content, document)
			}),
		removed,
		changed("unchanged", "Nothing happens to a file.", "",
			func(*World, string) error { return nil }).tempts("file-replaced"),
		changed("touched", "The project gets a new serial for something that is not about the file.", "",
			func(w *World, _ string) error { return w.PyPI.Touch(onnxProject) }).tempts("provenance-replaced"),
		stale,
		{
			Name: "weekly-deleted", About: "An old weekly build is deleted, as the project does on purpose.",
			Project: weeklyProject, Version: weekly, File: weeklyFiles(weekly)[0], Tempts: "file-removed", Passes: 3,
			Apply:   func(w *World) error { return w.PyPI.RemoveRelease(weeklyProject, weekly) },
			Confirm: func(w *World) error { return w.PyPI.Touch(weeklyProject) },
		},
		changed("provenance-outage", "The index no longer answers for a file's provenance.", "",
			func(w *World, filename string) error {
				w.PyPI.Break(Fault{Path: provenancePath(onnxProject, currentVersion, filename), Status: 503})
				return nil
			}).tempts("provenance-removed"),
		{
			Name: "listing-outage", About: "The index does not answer for the project.",
			Project: onnxProject, Version: "1.22.0", File: releaseFiles("1.22.0")[0], Tempts: "file-removed", Passes: 2,
			Alone: true,
			Apply: func(w *World) error {
				w.PyPI.Break(Fault{Path: "/simple/" + onnxProject + "/", Status: 503, Body: []byte("unavailable")})
				return nil
			},
		},
		yanking("release-yanked", "1.22.1", "A release is yanked.", "release-yanked",
			func(w *World, version string) error {
				return w.PyPI.Yank(onnxProject, version, "broken on Windows")
			}),
		yanking("yanked-and-back", "1.22.2", "A release is yanked and the yank taken back before anyone looked.", "",
			func(w *World, version string) error {
				if err := w.PyPI.Yank(onnxProject, version, "wrong button"); err != nil {
					return err
				}
				return w.PyPI.Unyank(onnxProject, version)
			}).tempts("release-yanked"),
	}
}

// of names the file of a shipment.
func (s shipment) of(filename string) shipment {
	s.filename = filename
	return s
}

// yanking is a case about a release of its own.
func yanking(name, version, about, rule string, apply func(w *World, version string) error) Case {
	return Case{
		Name: name, About: about, Project: onnxProject, Version: version, Rule: rule, Passes: 2,
		Prepare: func(w *World) error {
			return w.publish(publication{project: onnxProject, files: releaseFiles(version)[:2], claims: ReleaseClaims(version),
				options: CertificateOptions{At: w.now().Add(-2 * time.Minute)}, slsa: true})
		},
		Apply: func(w *World) error { return apply(w, version) },
	}
}

func projectCases() []Case {
	return []Case{
		{
			Name: "quarantined", About: "The index's administrators quarantine the project: its files are hidden, not gone.",
			Project: onnxProject, Rule: "project-quarantined", Passes: 2, Alone: true,
			Apply: func(w *World) error { return w.PyPI.SetStatus(onnxProject, "quarantined", "") },
		},
		{
			Name: "archived", About: "The project's owners archive it.",
			Project: weeklyProject, Tempts: "project-quarantined", Passes: 2,
			Apply: func(w *World) error { return w.PyPI.SetStatus(weeklyProject, "archived", "") },
		},
		{
			Name: "new-owner", About: "Somebody becomes an owner of the project on the index.",
			Project: onnxProject, Rule: "ownership-changed", Passes: 2,
			Apply: func(w *World) error {
				return w.PyPI.SetOwnership(onnxProject, []string{"onnx-maintainer", "helpful-stranger"}, nil)
			},
		},
		{
			Name: "same-owner", About: "The project gets a new serial; its owners stay.",
			Project: weeklyProject, Tempts: "ownership-changed", Passes: 2,
			Apply: func(w *World) error { return w.PyPI.Touch(weeklyProject) },
		},
	}
}
