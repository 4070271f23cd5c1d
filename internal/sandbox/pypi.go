package sandbox

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// PyPI is a package index like PyPI: projects with files, the Simple API in its JSON form, the Integrity API, the
// JSON API and the files themselves. It takes whatever it is given: it does not verify attestations.
//
// Everything that changes a project gives it a new serial, higher than any before on this index.
type PyPI struct {
	*Service
	now func() time.Time

	mu       sync.RWMutex
	serial   int64
	projects map[string]*project // by normalised name
}

// project is an index project with its past: the state after each of its events.
type project struct {
	states []projectState // the last is the present one
	stale  int64          // the serial whose state the Simple API shows; 0 for the present
}

// projectState is a project after one event. States share files; neither changes once made.
type projectState struct {
	name         string
	serial       int64
	status       string // PEP 792
	statusReason string
	owners       []string
	maintainers  []string
	files        []*indexFile // in order of upload
}

// indexFile is a distribution file.
type indexFile struct {
	filename     string
	version      string
	content      []byte
	served       []byte // what a download gives
	sha256       string
	uploaded     time.Time
	yanked       bool
	yankedReason string
	provenance   []byte // the document; nil for none
}

// Upload is a file on its way to the index.
type Upload struct {
	Filename string
	Version  string // the one in the filename by default
	Content  []byte
	Uploaded time.Time // now by default
	// Provenance is the document to serve; nil for none.
	Provenance []byte
}

func newPyPI(now func() time.Time) *PyPI {
	// A serial of the size of PyPI's own.
	return &PyPI{now: now, serial: 31_000_000, projects: map[string]*project{}}
}

// nameRuns are what PEP 503 collapses.
var nameRuns = regexp.MustCompile(`[-_.]+`)

// normalize is PEP 503's normalisation of a project's name.
func normalize(name string) string { return nameRuns.ReplaceAllString(strings.ToLower(name), "-") }

// versionOf finds the version in a distribution filename: the second part of a wheel's, the last of a source
// distribution's.
func versionOf(filename string) (string, error) {
	if stem, ok := strings.CutSuffix(filename, ".whl"); ok {
		if parts := strings.Split(stem, "-"); len(parts) == 5 || len(parts) == 6 {
			return parts[1], nil
		}
	}
	if stem, ok := strings.CutSuffix(filename, ".tar.gz"); ok {
		if i := strings.LastIndex(stem, "-"); i > 0 {
			return stem[i+1:], nil
		}
	}
	return "", fmt.Errorf("%q is not the name of a wheel or a source distribution", filename)
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// AddProject creates a project with one owner.
func (p *PyPI) AddProject(name, owner string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := normalize(name)
	if p.projects[key] != nil {
		return fmt.Errorf("the project %q exists", key)
	}
	p.serial++
	p.projects[key] = &project{states: []projectState{{name: key, serial: p.serial, status: "active", owners: []string{owner}}}}
	return nil
}

// change makes the next state of a project. edit gets a copy whose file list is its own.
func (p *PyPI) change(name string, edit func(*projectState) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.projects[normalize(name)]
	if one == nil {
		return fmt.Errorf("no project %q", normalize(name))
	}
	next := one.states[len(one.states)-1]
	next.files = slices.Clone(next.files)
	if err := edit(&next); err != nil {
		return fmt.Errorf("changing the project %q: %w", next.name, err)
	}
	p.serial++
	next.serial = p.serial
	one.states = append(one.states, next)
	return nil
}

// changeFile replaces a file by an edited copy.
func (p *PyPI) changeFile(name, filename string, edit func(*indexFile)) error {
	return p.change(name, func(s *projectState) error {
		i := slices.IndexFunc(s.files, func(f *indexFile) bool { return f.filename == filename })
		if i < 0 {
			return fmt.Errorf("no file %q", filename)
		}
		edited := *s.files[i]
		edit(&edited)
		s.files[i] = &edited
		return nil
	})
}

// Upload adds a file. Names that were ever used are refused, as PyPI does; ReplaceFile breaks that promise.
func (p *PyPI) Upload(name string, u Upload) error {
	if u.Version == "" {
		version, err := versionOf(u.Filename)
		if err != nil {
			return err
		}
		u.Version = version
	}
	if u.Uploaded.IsZero() {
		u.Uploaded = p.now()
	}
	file := &indexFile{
		filename: u.Filename, version: u.Version, content: u.Content, served: u.Content, sha256: digestOf(u.Content),
		uploaded: u.Uploaded.UTC(), provenance: u.Provenance,
	}
	p.mu.RLock()
	used := false
	if one := p.projects[normalize(name)]; one != nil {
		used = slices.ContainsFunc(one.states, func(s projectState) bool {
			return slices.ContainsFunc(s.files, func(f *indexFile) bool { return f.filename == u.Filename })
		})
	}
	p.mu.RUnlock()
	if used {
		return fmt.Errorf("the filename %q has been used before", u.Filename)
	}
	return p.change(name, func(s *projectState) error {
		s.files = append(s.files, file)
		return nil
	})
}

// Touch gives a project a new serial and changes nothing, as events do that are not about files.
func (p *PyPI) Touch(name string) error {
	return p.change(name, func(*projectState) error { return nil })
}

// Yank yanks a release (PEP 592). The reason may be empty.
func (p *PyPI) Yank(name, version, reason string) error { return p.yank(name, version, true, reason) }

// Unyank takes a yank back.
func (p *PyPI) Unyank(name, version string) error { return p.yank(name, version, false, "") }

func (p *PyPI) yank(name, version string, yanked bool, reason string) error {
	return p.change(name, func(s *projectState) error {
		found := false
		for i, f := range s.files {
			if f.version != version {
				continue
			}
			found = true
			edited := *f
			edited.yanked, edited.yankedReason = yanked, reason
			s.files[i] = &edited
		}
		if !found {
			return fmt.Errorf("no release %q", version)
		}
		return nil
	})
}

// RemoveFile deletes a file and its provenance.
func (p *PyPI) RemoveFile(name, filename string) error {
	return p.remove(name, func(f *indexFile) bool { return f.filename == filename }, "no file "+filename)
}

// RemoveRelease deletes all the files of a release.
func (p *PyPI) RemoveRelease(name, version string) error {
	return p.remove(name, func(f *indexFile) bool { return f.version == version }, "no release "+version)
}

func (p *PyPI) remove(name string, gone func(*indexFile) bool, otherwise string) error {
	return p.change(name, func(s *projectState) error {
		before := len(s.files)
		s.files = slices.DeleteFunc(s.files, gone)
		if len(s.files) == before {
			return fmt.Errorf("%s", otherwise)
		}
		return nil
	})
}

// ReplaceFile puts other bytes under a filename, with the provenance given.
func (p *PyPI) ReplaceFile(name, filename string, content, provenance []byte) error {
	return p.changeFile(name, filename, func(f *indexFile) {
		f.content, f.served, f.sha256, f.provenance = content, content, digestOf(content), provenance
	})
}

// ServeOtherBytes has downloads of a file give other bytes than those whose digest is listed.
func (p *PyPI) ServeOtherBytes(name, filename string, served []byte) error {
	return p.changeFile(name, filename, func(f *indexFile) { f.served = served })
}

// ReplaceProvenance serves another provenance document for a file.
func (p *PyPI) ReplaceProvenance(name, filename string, provenance []byte) error {
	return p.changeFile(name, filename, func(f *indexFile) { f.provenance = provenance })
}

// RemoveProvenance serves none for a file any more.
func (p *PyPI) RemoveProvenance(name, filename string) error {
	return p.ReplaceProvenance(name, filename, nil)
}

// SetStatus sets the project's status marker (PEP 792). The files of a quarantined project are hidden, not gone.
func (p *PyPI) SetStatus(name, status, reason string) error {
	return p.change(name, func(s *projectState) error {
		s.status, s.statusReason = status, reason
		return nil
	})
}

// SetOwnership replaces a project's owners and maintainers.
func (p *PyPI) SetOwnership(name string, owners, maintainers []string) error {
	return p.change(name, func(s *projectState) error {
		s.owners, s.maintainers = slices.Clone(owners), slices.Clone(maintainers)
		return nil
	})
}

// ServeStale has the Simple API show the project as it was at its event back events ago, as a mirror that lags
// does; 0 shows the present again.
func (p *PyPI) ServeStale(name string, back int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.projects[normalize(name)]
	if one == nil {
		return fmt.Errorf("no project %q", normalize(name))
	}
	if back < 0 || back >= len(one.states) {
		return fmt.Errorf("the project %q has no state %d events ago", normalize(name), back)
	}
	one.stale = 0
	if back > 0 {
		one.stale = one.states[len(one.states)-1-back].serial
	}
	return nil
}

// Serial is the project's serial: that of its latest event.
func (p *PyPI) Serial(name string) int64 {
	state, ok := p.state(name)
	if !ok {
		return 0
	}
	return state.serial
}

// Provenance is the document served for a file; nil for none.
func (p *PyPI) Provenance(name, filename string) []byte {
	file := p.file(name, filename)
	if file == nil {
		return nil
	}
	return slices.Clone(file.provenance)
}

// SHA256 is the digest listed for a file, in hex; "" where there is no such file.
func (p *PyPI) SHA256(name, filename string) string {
	file := p.file(name, filename)
	if file == nil {
		return ""
	}
	return file.sha256
}

// Filenames lists a release's files; all of the project's where version is "".
func (p *PyPI) Filenames(name, version string) []string {
	state, _ := p.state(name)
	var names []string
	for _, f := range state.files {
		if f.version == cmp.Or(version, f.version) {
			names = append(names, f.filename)
		}
	}
	return names
}

func (p *PyPI) file(name, filename string) *indexFile {
	state, _ := p.state(name)
	for _, f := range state.files {
		if f.filename == filename {
			return f
		}
	}
	return nil
}

// state is the project's present state.
func (p *PyPI) state(name string) (projectState, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	one := p.projects[normalize(name)]
	if one == nil {
		return projectState{}, false
	}
	return one.states[len(one.states)-1], true
}

// listed is the state that the Simple API shows.
func (p *PyPI) listed(name string) (projectState, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	one := p.projects[normalize(name)]
	if one == nil {
		return projectState{}, false
	}
	for _, s := range one.states {
		if s.serial == one.stale {
			return s, true
		}
	}
	return one.states[len(one.states)-1], true
}
