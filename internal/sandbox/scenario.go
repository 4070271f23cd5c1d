package sandbox

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The project that OnnxLike makes has the names and numbers of the embedded preset, so that the preset's policy judges it.
const (
	onnxRepository   = "onnx/onnx"
	onnxRepositoryID = "102692863"
	onnxOwnerID      = "31675368"
	onnxWorkflow     = "create_release.yml"
	onnxProject      = "onnx"
	weeklyProject    = "onnx-weekly"
)

// currentVersion is the latest release of the project: two days old, still open for late files.
const currentVersion = "1.23.0"

// OnnxLike fills the index, GitHub's store and the log with a project shaped like ONNX, all of it honest:
//
//   - onnx 1.18.0, from before the project attested anything;
//   - onnx 1.19.0 and 1.21.0, with publish attestations by certificates that do not tell all that later ones do;
//   - onnx 1.22.0 and 1.23.0, whose files SLSA provenance covers too, one for all files of a release in GitHub's store:
//     1.23.0 was published two days before now;
//   - onnx-weekly, with three weekly builds of 1.23.0.
//
// The other dates are fixed, the latest is in July 2026: the world's clock should show a later one.
func OnnxLike(w *World) error {
	if err := onnxLike(w); err != nil {
		return fmt.Errorf("making a project like onnx: %w", err)
	}
	return nil
}

func onnxLike(w *World) error {
	for _, name := range []string{onnxProject, weeklyProject} {
		if err := w.PyPI.AddProject(name, "onnx-maintainer"); err != nil {
			return err
		}
	}
	if err := w.ensureOnnxRepository(); err != nil {
		return err
	}
	legacy := time.Date(2025, 5, 12, 14, 0, 0, 0, time.UTC)
	for _, filename := range releaseFiles("1.18.0") {
		if err := w.PyPI.Upload(onnxProject, Upload{Filename: filename, Content: contentOf(filename), Uploaded: legacy}); err != nil {
			return err
		}
	}
	releases := []struct {
		version string
		at      time.Time
		omit    []int // extensions that Fulcio did not know then
		slsa    bool
	}{
		{"1.19.0", time.Date(2025, 8, 27, 18, 0, 0, 0, time.UTC), []int{23, 24}, false},
		{"1.21.0", time.Date(2026, 3, 27, 16, 30, 0, 0, time.UTC), []int{24}, false},
		{"1.22.0", time.Date(2026, 6, 15, 12, 30, 0, 0, time.UTC), nil, true},
		{currentVersion, w.now().Add(-48 * time.Hour), nil, true},
	}
	for _, r := range releases {
		err := w.publish(publication{
			project: onnxProject, files: releaseFiles(r.version), claims: ReleaseClaims(r.version),
			options: CertificateOptions{At: r.at, Omit: r.omit}, slsa: r.slsa,
		})
		if err != nil {
			return fmt.Errorf("publishing %s: %w", r.version, err)
		}
		if r.version != "1.22.0" {
			continue
		}
		// The weekly builds come between the last two releases.
		for _, monday := range []time.Time{
			time.Date(2026, 6, 22, 0, 40, 0, 0, time.UTC),
			time.Date(2026, 6, 29, 0, 40, 0, 0, time.UTC),
			time.Date(2026, 7, 6, 0, 40, 0, 0, time.UTC),
		} {
			err := w.publish(publication{
				project: weeklyProject, files: weeklyFiles(weeklyVersion(monday)), claims: weeklyClaims(),
				options: CertificateOptions{At: monday}, slsa: true,
			})
			if err != nil {
				return fmt.Errorf("publishing the weekly build of %s: %w", monday.Format(time.DateOnly), err)
			}
		}
	}
	return nil
}

func releaseFiles(version string) []string {
	return []string{
		"onnx-" + version + ".tar.gz",
		"onnx-" + version + "-cp312-abi3-manylinux_2_28_x86_64.whl",
		"onnx-" + version + "-cp312-abi3-macosx_12_0_universal2.whl",
		"onnx-" + version + "-cp312-abi3-win_amd64.whl",
	}
}

func weeklyVersion(monday time.Time) string {
	return currentVersion + ".dev" + monday.Format("20060102")
}

func weeklyFiles(version string) []string {
	return []string{
		"onnx_weekly-" + version + ".tar.gz",
		"onnx_weekly-" + version + "-cp312-abi3-manylinux_2_28_x86_64.whl",
	}
}

// contentOf is what a file holds: something that differs from every other file.
func contentOf(filename string) []byte {
	return fmt.Appendf(nil, "This stands for %s in a sandbox.\n", filename)
}

// ReleaseClaims are those of the job that publishes a release to PyPI.
func ReleaseClaims(version string) Claims {
	return onnxClaims("refs/heads/rel-"+version, "workflow_dispatch", "pypi-release")
}

// weeklyClaims are those of the job that publishes the weekly builds.
func weeklyClaims() Claims { return onnxClaims("refs/heads/main", "schedule", "pypi-weekly") }

// onnxClaims are those of a job of the project's release workflow. Commit and run follow from the rest.
func onnxClaims(ref, trigger, environment string) Claims {
	return Claims{
		Repository: onnxRepository, RepositoryID: onnxRepositoryID, OwnerID: onnxOwnerID,
		Workflow: onnxWorkflow, WorkflowName: "Create Releases",
		Ref: ref, Trigger: trigger, Environment: environment, Attempt: 1,
	}.of(strings.Join([]string{ref, trigger, environment}, "\n"))
}

// of are the same claims in another run, of another commit: both follow from a label.
func (c Claims) of(label string) Claims {
	digest := digestOf([]byte(label))
	run, err := strconv.ParseUint(digest[40:48], 16, 64)
	if err != nil {
		panic(fmt.Sprintf("parsing hex digits of a digest: %v", err))
	}
	c.SHA, c.RunID = digest[:40], strconv.FormatUint(20_000_000_000+run, 10)
	return c
}

// publisherFor is PyPI's record of a trusted publisher with these claims.
func publisherFor(c Claims) Publisher {
	return Publisher{Kind: "GitHub", Repository: c.Repository, Workflow: c.Workflow, Environment: c.Environment}
}

// publication is a job that publishes files: one certificate, an attestation for each file and, since the project
// does so, one SLSA provenance for all of them, which goes to the log and to GitHub's store, but not to PyPI.
type publication struct {
	project string
	files   []string
	claims  Claims
	options CertificateOptions
	slsa    bool
	// cancelled says how far a job came that was cancelled; nil for one that ended.
	cancelled *cancelled
}

// cancelled is how many of a job's files got an attestation, and how many of these were uploaded.
type cancelled struct{ attested, uploaded int }

func (w *World) publish(p publication) error {
	if p.options.At.IsZero() {
		p.options.At = w.now()
	}
	at := p.options.At
	signer, err := w.Fulcio.NewSigner(p.claims, p.options)
	if err != nil {
		return err
	}
	if p.slsa {
		var subjects []Subject
		for _, filename := range p.files {
			subjects = append(subjects, Subject{filename, digestOf(contentOf(filename))})
		}
		statement, err := SLSAStatement(p.claims, subjects...)
		if err != nil {
			return err
		}
		provenance, err := w.Attest(signer, statement, at.Add(5*time.Second))
		if err != nil {
			return err
		}
		if err := w.storeBundle(provenance, digests(subjects)...); err != nil {
			return err
		}
	}
	end := cancelled{len(p.files), len(p.files)}
	if p.cancelled != nil {
		end = *p.cancelled
	}
	for i, filename := range p.files[:end.attested] {
		content := contentOf(filename)
		attestation, err := w.Attest(signer, PublishStatement(Subject{filename, digestOf(content)}), at.Add(20*time.Second))
		if err != nil {
			return err
		}
		if i >= end.uploaded || w.PyPI.file(p.project, filename) != nil { // the index takes a file that it has for one that arrived
			continue
		}
		document, err := ProvenanceDocument(publisherFor(p.claims), attestation)
		if err != nil {
			return err
		}
		err = w.PyPI.Upload(p.project, Upload{
			Filename: filename, Content: content, Uploaded: at.Add(time.Minute), Provenance: document,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// shipment is one file on its way to PyPI, honest where nothing is set. Cases change one thing each.
type shipment struct {
	project  string // onnx by default
	filename string
	claims   *Claims // of the release job by default
	options  CertificateOptions
	// statements says what is attested; a publish statement by default.
	statements func(Subject, Claims) ([]Statement, error)
	// raw replaces the statements.
	raw []byte
	// tamper changes each attestation.
	tamper func(*World, *Attestation) error
	// publisher is PyPI's record; the claims' by default.
	publisher *Publisher
	// document replaces the provenance document; unsigned leaves it out.
	document []byte
	unsigned bool
	// evidence is what GitHub's store has of the file: SLSA provenance by the job that may publish it, where it is nil.
	evidence []evidence
}

// signer are the claims of the job that signs the shipment's file.
func (s shipment) signer() Claims {
	claims := ReleaseClaims(currentVersion)
	if s.claims != nil {
		claims = *s.claims
	}
	return claims.forFile(s.filename)
}

// provenance makes the document for the shipment's file with the given content.
func (w *World) provenance(s shipment, content []byte) ([]byte, error) {
	if s.unsigned {
		return nil, nil
	}
	if err := w.storeAll(s, Subject{s.filename, digestOf(content)}); err != nil {
		return nil, err
	}
	if s.document != nil {
		return s.document, nil
	}
	claims := s.signer()
	// Long enough ago for the certificate to have expired: a signature logged later than that is late, and not in
	// the future.
	if s.options.At.IsZero() {
		s.options.At = w.now().Add(-15 * time.Minute)
	}
	signer, err := w.Fulcio.NewSigner(claims, s.options)
	if err != nil {
		return nil, err
	}
	attestations, err := w.attestAll(s, signer, Subject{s.filename, digestOf(content)}, s.options.At.Add(time.Minute))
	if err != nil {
		return nil, err
	}
	publisher := publisherFor(claims)
	if s.publisher != nil {
		publisher = *s.publisher
	}
	return ProvenanceDocument(publisher, attestations...)
}

// storeAll puts the shipment's evidence into GitHub's store.
func (w *World) storeAll(s shipment, subject Subject) error {
	all := s.evidence
	if all == nil {
		all = []evidence{{}}
		if s.project == weeklyProject {
			all[0].claims = new(weeklyClaims())
		}
	}
	for _, e := range all {
		if err := w.store(e, subject); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) attestAll(s shipment, signer *Signer, subject Subject, at time.Time) ([]*Attestation, error) {
	var encoded [][]byte
	switch {
	case s.raw != nil:
		encoded = [][]byte{s.raw}
	default:
		statements := []Statement{PublishStatement(subject)}
		if s.statements != nil {
			var err error
			if statements, err = s.statements(subject, signer.Claims); err != nil {
				return nil, err
			}
		}
		for _, statement := range statements {
			raw, err := statement.JSON()
			if err != nil {
				return nil, err
			}
			encoded = append(encoded, raw)
		}
	}
	var attestations []*Attestation
	for _, raw := range encoded {
		attestation, err := w.AttestRaw(signer, raw, at)
		if err != nil {
			return nil, err
		}
		if s.tamper != nil {
			if err := s.tamper(w, attestation); err != nil {
				return nil, err
			}
		}
		attestations = append(attestations, attestation)
	}
	return attestations, nil
}

// ship uploads the file.
func (w *World) ship(s shipment) error {
	content := contentOf(s.filename)
	document, err := w.provenance(s, content)
	if err != nil {
		return fmt.Errorf("making provenance for %s: %w", s.filename, err)
	}
	err = w.PyPI.Upload(cmp.Or(s.project, onnxProject), Upload{Filename: s.filename, Content: content, Provenance: document})
	if err != nil {
		return fmt.Errorf("uploading %s: %w", s.filename, err)
	}
	return nil
}
