package sandbox

import (
	"fmt"
	"strings"
	"time"
)

// Case is one thing that may happen to the project that OnnxLike makes, and what a monitor must make of it. Most
// cases have a file or a run of their own, so that all that are not Alone can happen in one world. It is for one world: its
// steps may remember what they did.
type Case struct {
	// Name is unique. About says what happens, in one sentence.
	Name, About string
	// Book is where it shows.
	Book Book
	// Project and File name what the finding is about; File is "" where it is a release (Version) or a project.
	Project, Version, File string
	// Runs are the numbers of the runs of which the finding's identity names one, and Log is the origin of the log that it is about,
	// where it is about a certificate, an entry or a log.
	Runs []string
	Log  string
	// Rule is the finding that must follow; "" where none may. Then Tempts is the one that a careless reading
	// would give.
	Rule, Tempts string
	// Severity is the finding's, where it is not what its rule has by default.
	Severity string
	// Also lists further findings that the same cause brings along, and Besides those that come to them where the logs are read
	// as well as the index.
	Also, Besides []string
	// Passes is how many passes the monitor makes until the finding must be there: with 1, Apply happens before
	// it; with 2, Prepare before the first and Apply before the second; with 3, Confirm before the third.
	Passes                  int
	Prepare, Apply, Confirm func(*World) error
	// Wait is how long the condition has to hold until it counts: a further pass is due after it.
	Wait time.Duration
	// Alone needs a world without other cases.
	Alone bool
	// Deep is found only by downloading the file.
	Deep bool
	// Hourly is how many requests an hour the log's host bears, where that is configured; 0 for any number.
	Hourly int
	// ConfirmedIDs needs a policy whose repository ids are confirmed.
	ConfirmedIDs bool
}

// Book is one of the three ledgers, or what is known beside them.
type Book string

// The books.
const (
	Releases     Book = "releases"
	Certificates Book = "certificates"
	Entries      Book = "entries"
	Logs         Book = "logs' own signatures"
	Sources      Book = "what answers"
)

// Catalogue lists every case. Those of Lies need the index and GitHub alone; all others need [Options.TrustLogs], and a monitor that reads
// the logs, from their beginnings.
func Catalogue() []Case {
	all := Lies()
	for _, family := range [][]Case{CertificateCases(), theftCases(), entryCases(), accountCases(), rekorCases(), logCases(), sourceCases(), monitorCases()} {
		all = append(all, family...)
	}
	return all
}

// Worlds shares cases out to as few worlds as there can be: those that are not Alone are together with all that have to hold for
// as long.
func Worlds(cases []Case) [][]Case {
	var worlds [][]Case
	shared := map[time.Duration]int{}
	for _, c := range cases {
		wait := max(c.Wait, beyondGrace)
		i, ok := shared[wait]
		switch {
		case c.Alone:
			worlds = append(worlds, []Case{c})
		case ok:
			worlds[i] = append(worlds[i], c)
		default:
			shared[wait] = len(worlds)
			worlds = append(worlds, []Case{c})
		}
	}
	return worlds
}

// Lies lists the cases for every rule that the index and GitHub's store can answer: those that must alert, and their honest
// neighbours that must not.
func Lies() []Case {
	var cases []Case
	for _, family := range [][]Case{
		provenanceCases(), invalidCases(), certificateCases(), statementCases(), identityCases(), gradeCases(),
		publisherCases(), changeCases(), projectCases(), storeCases(),
	} {
		cases = append(cases, family...)
	}
	return shownBy(Releases, cases)
}

// shownBy says where cases show.
func shownBy(b Book, cases []Case) []Case {
	for i := range cases {
		cases[i].Book = b
	}
	return cases
}

// caseFile is the wheel of the current release that belongs to a case: its build tag is the case's name.
func caseFile(name string) string {
	return fmt.Sprintf("onnx-%s-1%s-cp312-abi3-manylinux_2_28_x86_64.whl", currentVersion, strings.ReplaceAll(name, "-", "_"))
}

// forFile are the claims of a run that signs a file on its own: the same for the same job.
func (c Claims) forFile(filename string) Claims {
	return c.of(strings.Join([]string{"file", filename, c.Repository, c.Workflow, c.Ref, c.Trigger, c.Environment}, "/"))
}

// runs are the numbers of the runs that sign the shipment's file, and attest to it in GitHub's store.
func (s shipment) runs() []string {
	all := []string{s.signer().RunID}
	for _, e := range s.evidence {
		all = append(all, e.signer(s.filename).RunID)
	}
	return all
}

// shipped is a case of one pass about one file of the current release.
func shipped(name, about, rule string, s shipment) Case {
	if s.filename == "" {
		s.filename = caseFile(name)
	}
	return Case{
		Name: name, About: about, Project: onnxProject, Version: currentVersion, File: s.filename, Runs: s.runs(), Rule: rule, Passes: 1,
		Apply: func(w *World) error { return w.ship(s) },
	}
}

// besides adds what the logs say of a case of the index.
func (c Case) besides(rules ...string) Case {
	c.Besides = rules
	return c
}

// tempts marks a case that must not alert.
func (c Case) tempts(rule string) Case {
	c.Tempts = rule
	return c
}

// after sets how long the condition has to hold.
func (c Case) after(wait time.Duration) Case {
	c.Wait = wait
	return c
}

// changed is a case of two passes about a file that is honest in the first.
func changed(name, about, rule string, apply func(w *World, filename string) error) Case {
	filename := caseFile(name)
	return Case{
		Name: name, About: about, Project: onnxProject, Version: currentVersion, File: filename, Runs: shipment{filename: filename}.runs(), Rule: rule, Passes: 2,
		Prepare: func(w *World) error { return w.ship(shipment{filename: filename}) },
		Apply:   func(w *World) error { return apply(w, filename) },
	}
}

// beyondGrace is longer than any rule's grace period by default.
const beyondGrace = 3 * time.Hour

func provenanceCases() []Case {
	unsigned := "onnx-1.18.1-cp312-abi3-manylinux_2_28_x86_64.whl"
	oldUnsigned := shipped("unsigned-old-version",
		"A file of a version below the first attested one is uploaded today without an attestation.",
		"no-provenance", shipment{filename: unsigned, unsigned: true}).after(beyondGrace)
	oldUnsigned.Version = "1.18.1"

	refused := func(name, about, rule string, status int, body string) Case {
		c := shipped(name, about, rule, shipment{})
		ship := c.Apply
		c.Apply = func(w *World) error {
			w.PyPI.Break(Fault{
				Path: provenancePath(c.Project, c.Version, c.File), Status: status, ContentType: "application/json", Body: []byte(body),
			})
			return ship(w)
		}
		return c
	}
	return []Case{
		shipped("unsigned", "A wheel is uploaded to an attested release without an attestation, as with a stolen token.",
			"no-provenance", shipment{unsigned: true}).after(beyondGrace),
		oldUnsigned,
		shipped("no-bundles", "The provenance document of a file is there and has no bundle in it.", "no-provenance",
			shipment{document: []byte(`{"version":1,"attestation_bundles":[]}`)}).after(beyondGrace),
		shipped("no-attestations", "The provenance document of a file has a bundle without attestations.", "no-provenance",
			shipment{document: []byte(`{"version":1,"attestation_bundles":[{"publisher":{"kind":"GitHub","repository":"onnx/onnx","workflow":"create_release.yml","environment":"pypi-release"},"attestations":[]}]}`)}).
			after(beyondGrace),
		refused("listed-404", "The listing names provenance for a file, and the index answers 404 for it.",
			"no-provenance", 404, `{"message":"No provenance available"}`).after(beyondGrace),
		refused("listed-403", "The index's administrators switched provenance off: nothing is known.",
			"", 403, `{"message":"Attestations temporarily disabled"}`).tempts("no-provenance"),
		refused("listed-500", "The index fails to serve provenance: nothing is known.",
			"", 500, `{"message":"Internal Server Error"}`).tempts("no-provenance"),
		{
			Name: "legacy", About: "A release from before the project attested anything has no attestations.",
			Project: onnxProject, Version: "1.18.0", File: "onnx-1.18.0.tar.gz", Tempts: "no-provenance", Passes: 1,
			Apply: nothing,
		},
	}
}

// nothing happens.
func nothing(*World) error { return nil }

// invalidCases are the ways of tampering, and honest attestations that look unusual.
func invalidCases() []Case {
	var cases []Case
	for _, t := range Tampers() {
		rule := "invalid-attestation"
		if t.Name == "no-entry" {
			rule = "unlogged-attestation"
		}
		cases = append(cases, shipped(t.Name, "An attestation is served in which "+t.About+".", rule, shipment{tamper: t.Apply}))
	}
	return append(cases,
		shipped("two-entries", "An attestation is logged twice, both times honestly.", "", shipment{
			tamper: func(w *World, a *Attestation) error {
				second, err := w.Rekor.Add(a.Entries[0].Body, a.at())
				a.Entries = append(a.Entries, second)
				return err
			},
		}).tempts("unlogged-attestation"),
		shipped("old-certificate", "A certificate lacks the extensions that Fulcio did not write before 2025-11.", "",
			shipment{options: CertificateOptions{Omit: []int{23, 24}}}).tempts("invalid-attestation"),
	)
}

func certificateCases() []Case {
	const rule = "invalid-attestation"
	return []Case{
		shipped("no-sct", "The certificate carries no promise of a CT log.", rule, shipment{options: CertificateOptions{NoSCT: true}}),
		shipped("foreign-sct", "The certificate's CT promise is signed by another key than the log's.", rule,
			shipment{options: CertificateOptions{ForeignSCT: true}}),
		shipped("rogue-authority", "The certificate comes from an authority with Fulcio's names and other keys.", rule,
			shipment{options: CertificateOptions{Rogue: true, Unlogged: true}}).besides("unchained-certificate", "foreign-signature"),
	}
}

func statementCases() []Case {
	one := func(edit func(*Statement)) func(Subject, Claims) ([]Statement, error) {
		return func(s Subject, _ Claims) ([]Statement, error) {
			statement := PublishStatement(s)
			edit(&statement)
			return []Statement{statement}, nil
		}
	}
	// slsa adds SLSA provenance by claims that edit has changed since the certificate was issued.
	slsa := func(edit func(*Claims)) func(Subject, Claims) ([]Statement, error) {
		return func(s Subject, c Claims) ([]Statement, error) {
			edit(&c)
			provenance, err := SLSAStatement(c, s)
			return []Statement{PublishStatement(s), provenance}, err
		}
	}
	spelled := fmt.Sprintf("onnx-%s-1spelling-cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", currentVersion)
	served := changedBytes("served-bytes", "The index hands out other bytes for a file than it lists.")
	return []Case{
		shipped("other-digest", "The attestation is about other bytes than the file.", "digest-mismatch",
			shipment{statements: one(func(s *Statement) { s.Subjects[0].SHA256 = strings.Repeat("0", 64) })}),
		served,
		shipped("other-name", "The attestation is about the same bytes under the name of another version.", "invalid-attestation",
			shipment{statements: one(func(s *Statement) { s.Subjects[0].Name = "onnx-1.22.0-cp312-abi3-manylinux_2_28_x86_64.whl" })}),
		shipped("two-subjects", "The attestation is about the file and about another one.", "invalid-attestation",
			shipment{statements: one(func(s *Statement) {
				s.Subjects = append(s.Subjects, Subject{"other-1.0.tar.gz", strings.Repeat("0", 64)})
			})}),
		shipped("no-subject", "The attestation is about nothing.", "invalid-attestation",
			shipment{statements: one(func(s *Statement) { s.Subjects = nil })}),
		shipped("no-statement", "What was signed is not a statement.", "invalid-attestation",
			shipment{raw: []byte("onnx is fine")}),
		shipped("unknown-predicate", "The attestation's predicate is of a type that PyPI does not know.", "predicate-mismatch",
			shipment{statements: one(func(s *Statement) { s.PredicateType = "https://example.com/looks-good/v1" })}),
		shipped("publish-predicate", "A publish attestation carries claims, of which it has none by its specification.", "predicate-mismatch",
			shipment{statements: one(func(s *Statement) { s.Predicate = []byte(`{"approved":true}`) })}),
		shipped("slsa-commit", "SLSA provenance names another commit than the certificate that signed it.", "predicate-mismatch",
			shipment{statements: slsa(func(c *Claims) { c.SHA = strings.Repeat("1", 40) })}),
		shipped("slsa-repository", "SLSA provenance names another repository than the certificate that signed it.", "predicate-mismatch",
			shipment{statements: slsa(func(c *Claims) { c.Repository = "onnx/onnxmltools" })}),

		shipped("spelling", "The attestation's subject is another spelling of the file's name.", "", shipment{
			filename: spelled,
			statements: one(func(s *Statement) {
				s.Subjects[0].Name = fmt.Sprintf("ONNX-%s-1spelling-cp312-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", currentVersion)
			}),
		}).tempts("digest-mismatch"),
		shipped("empty-predicate", "A publish attestation's predicate is an empty object instead of null.", "",
			shipment{statements: one(func(s *Statement) { s.Predicate = []byte(`{}`) })}).tempts("predicate-mismatch"),
		shipped("publish-and-slsa", "A file has a publish attestation and SLSA provenance by the same job.", "",
			shipment{statements: slsa(func(*Claims) {})}).tempts("predicate-mismatch"),
	}
}

// changedBytes is a case about a file whose download differs from its digest.
func changedBytes(name, about string) Case {
	c := shipped(name, about, "digest-mismatch", shipment{})
	ship := c.Apply
	c.Deep = true
	c.Apply = func(w *World) error {
		if err := ship(w); err != nil {
			return err
		}
		return w.PyPI.ServeOtherBytes(c.Project, c.File, []byte("something else\n"))
	}
	return c
}
