package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/rekoncile/rekoncile/internal/strictjson"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

const (
	// maxEvidenceFiles, maxEvidenceBytes and maxFolderBytes bound what is read of a folder that a stranger made.
	maxEvidenceFiles = 5000
	maxEvidenceBytes = 32 << 20
	maxFolderBytes   = 256 << 20
)

// AlteredError says that a folder of evidence is not as it was written.
type AlteredError struct {
	File   string
	Reason string
}

func (e *AlteredError) Error() string { return fmt.Sprintf("%s: %s", oneLine(e.File, 120), e.Reason) }

// NoEvidenceError says that a folder holds no evidence in a form that this version knows.
type NoEvidenceError struct{ Reason string }

func (e *NoEvidenceError) Error() string { return e.Reason }

// WriteFolder writes the folder's files into a new folder. It returns the manifest's hex SHA-256, which names all of it.
func (f *Folder) WriteFolder(dir string) (digest string, err error) {
	files, err := f.Files()
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("exporting evidence: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeInto(dir, name, files[name]); err != nil {
			return "", fmt.Errorf("exporting evidence: %w", err)
		}
	}
	return digestOf(files[manifestName]), nil
}

// writeInto writes a file that must not be there yet, and nowhere but in the folder.
func writeInto(dir, name string, body []byte) (err error) {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	file, err := folder.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(body)
	return errors.Join(err, file.Close())
}

// ReadFolder reads a folder that WriteFolder wrote, wherever it has been since. The error is an [*AlteredError] where a file is
// not as it was written, and a [*NoEvidenceError] where the folder is of no known form. It follows no link and leaves the folder
// alone.
func ReadFolder(dir string) (*Folder, error) {
	files, err := readAll(dir)
	if err != nil {
		return nil, err
	}
	if err := checkManifest(files); err != nil {
		return nil, err
	}
	f, err := folderOf(files)
	if err != nil {
		return nil, err
	}
	// What follows from the rest is made again: a page that somebody rewrote together with the manifest is no evidence.
	again, err := f.Files()
	if err != nil {
		return nil, &AlteredError{dossierName, "what follows from it cannot be made again: " + err.Error()}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		want, ok := again[name]
		switch {
		case !ok:
			return nil, &AlteredError{name, "it does not follow from the evidence"}
		case !bytes.Equal(want, files[name]):
			return nil, &AlteredError{name, "it is not what follows from the evidence" + f.otherVersion()}
		}
	}
	for name := range again {
		if _, ok := files[name]; !ok {
			return nil, &AlteredError{name, "it is missing"}
		}
	}
	return f, nil
}

func (f *Folder) otherVersion() string {
	return fmt.Sprintf(" (the folder was made by version %s: another one may write it otherwise)", oneLine(f.MadeBy, 60))
}

var evidenceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$`)

// readAll reads every file of a folder, within limits.
func readAll(dir string) (_ map[string][]byte, err error) {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &NoEvidenceError{err.Error()}
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	entries, err := fs.ReadDir(folder.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("reading evidence: %w", err)
	}
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == manifestName }) {
		return nil, &NoEvidenceError{fmt.Sprintf("%s has no %s: it is no folder of evidence", oneLine(dir, 200), manifestName)}
	}
	if len(entries) > maxEvidenceFiles {
		return nil, &NoEvidenceError{fmt.Sprintf("%d files are more than the %d that a folder of evidence may have", len(entries), maxEvidenceFiles)}
	}
	files := map[string][]byte{}
	left := int64(maxFolderBytes)
	for _, e := range entries {
		if !evidenceName.MatchString(e.Name()) || !e.Type().IsRegular() {
			return nil, &AlteredError{e.Name(), "it is no file of a folder of evidence"}
		}
		body, err := readCapped(folder, e.Name(), min(left, maxEvidenceBytes))
		if err != nil {
			return nil, err
		}
		files[e.Name()], left = body, left-int64(len(body))
	}
	return files, nil
}

// readCapped reads a file of at most limit bytes.
func readCapped(folder *os.Root, name string, limit int64) (_ []byte, err error) {
	file, err := folder.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading evidence: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	body, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading evidence: %w", err)
	}
	if int64(len(body)) > limit {
		return nil, &AlteredError{name, fmt.Sprintf("it has more than %d bytes", limit)}
	}
	return body, nil
}

// checkManifest holds every file against its digest.
func checkManifest(files map[string][]byte) error {
	listed := map[string]string{}
	for line := range strings.Lines(string(files[manifestName])) {
		digest, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || len(digest) != 2*sha256.Size || !evidenceName.MatchString(name) {
			return &AlteredError{manifestName, fmt.Sprintf("%q is not a digest and a name", oneLine(line, 120))}
		}
		listed[name] = digest
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name == manifestName {
			continue
		}
		want, ok := listed[name]
		if !ok {
			return &AlteredError{name, "the " + manifestName + " does not list it"}
		}
		sum := sha256.Sum256(files[name])
		if got := hex.EncodeToString(sum[:]); got != want {
			return &AlteredError{name, fmt.Sprintf("it is sha256:%s, the %s says sha256:%s", got, manifestName, oneLine(want, 64))}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if _, ok := files[name]; !ok {
			return &AlteredError{name, "it is missing"}
		}
	}
	return nil
}

// folderOf makes the folder out of its primary files, each of which must be what names it.
func folderOf(files map[string][]byte) (*Folder, error) {
	var form dossierFile
	text, ok := files[dossierName]
	if !ok {
		return nil, &NoEvidenceError{"the folder has no " + dossierName}
	}
	if err := strictjson.Check(text, maxEvidenceBytes); err != nil {
		return nil, &AlteredError{dossierName, err.Error()}
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return nil, &AlteredError{dossierName, err.Error()}
	}
	if form.Schema != evidenceSchema {
		return nil, &NoEvidenceError{fmt.Sprintf("the folder is of the form %q, this version knows %s: it was made by version %s", oneLine(form.Schema, 60), evidenceSchema, oneLine(form.MadeBy, 60))}
	}
	f := &Folder{MadeBy: form.MadeBy, Dossier: form.Dossier, Policy: files[policyName], Explanation: files[explanationName],
		Documents: map[string][]byte{}, Leaves: map[string]KeptLeaf{}}
	for i, r := range form.Roots {
		body, err := named(files, rootName(i), r.SHA256, digestOf)
		if err != nil {
			return nil, err
		}
		f.Roots = append(f.Roots, TrustedRoot{SHA256: r.SHA256, Source: r.Source, Body: body})
	}
	for _, sha := range form.Documents {
		body, err := named(files, form.documentName(sha), sha, digestOf)
		if err != nil {
			return nil, err
		}
		f.Documents[sha] = body
	}
	for hash, proof := range form.Leaves {
		body, err := named(files, leafName(hash), hash, func(b []byte) string {
			h := tlog.LeafHash(b)
			return hex.EncodeToString(h[:])
		})
		if err != nil {
			return nil, err
		}
		f.Leaves[hash] = KeptLeaf{body, proof}
	}
	return f, nil
}

// named returns a file that is named by a digest, which it must have.
func named(files map[string][]byte, name, want string, digest func([]byte) string) ([]byte, error) {
	body, ok := files[name]
	if !ok {
		return nil, &AlteredError{name, "it is missing"}
	}
	if got := digest(body); got != want {
		return nil, &AlteredError{name, fmt.Sprintf("it is %s, the %s says %s", got, dossierName, oneLine(want, 64))}
	}
	return body, nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
