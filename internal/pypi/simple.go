// Package pypi reads Python package indexes: the JSON form of the Simple API (PEP 503, 691, 700, 708, 714, 740, 792)
// as the list of a project's files, the Integrity API for the provenance served with them, and what PyPI's JSON API
// says about a project's owners. It knows project names, versions (PEP 440) and filenames.
//
// It promises that what it returns is what the index said to the question that was asked: malformed, contradictory,
// outdated and misdirected answers are errors, and every file keeps its entry as served, for evidence. It does
// not promise that the index is honest: it checks no attestation and no digest, and remembers nothing.
package pypi

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxListing caps a listing in bytes. PyPI's largest are below 30 MB.
const maxListing = 64 << 20

// knownMinor is the last minor version of the Simple API, in 1.x, that this package knows all fields of.
const knownMinor = 4

// Listing is a project's page of the Simple API.
type Listing struct {
	// Name is the project's normalised name.
	Name string
	// APIVersion is meta.api-version, "1.x".
	APIVersion string
	// Serial counts the project's changes on PyPI; 0 where the index does not tell.
	Serial int64
	// Status is PEP 792's status marker: "active" where the index does not tell, "archived", "quarantined",
	// "deprecated", or a later one.
	Status, StatusReason string
	// Versions are the versions that still have files, as the index writes them.
	Versions []string
	// Files are in the index's order, no filename twice.
	Files []File
	// ETag is the answer's validator, to ask the next time whether anything changed; "" for none.
	ETag string
	// Notes are remarks about the answer, in sentences for people.
	Notes []string
}

// File is one distribution file as a listing describes it.
type File struct {
	Filename string
	// URL is absolute.
	URL string
	// SHA256 is 64 lower-case hex digits.
	SHA256 string
	// Size is in bytes, -1 where the index does not tell.
	Size int64
	// UploadedAt is zero where the index does not tell.
	UploadedAt   time.Time
	Yanked       bool
	YankedReason string
	// ProvenanceURL is absolute; "" where the index says that there is none, or does not say.
	ProvenanceURL string
	// ProvenanceTold reports whether the index said either: an index without PEP 740 does not.
	ProvenanceTold bool
	// Raw is the file's object as served.
	Raw json.RawMessage
	// Version is the filename's, normalised (PEP 440). Where it cannot be told it is "", and NameError says why.
	Version   string
	NameError string
}

// listingJSON is the wire form of a Listing.
type listingJSON struct {
	Meta struct {
		APIVersion string `json:"api-version"`
		LastSerial *int64 `json:"_last-serial"`
	} `json:"meta"`
	Name          string `json:"name"`
	ProjectStatus struct {
		Status string `json:"status"`
		Reason string `json:"reason"`
	} `json:"project-status"`
	Versions capped[string]          `json:"versions"`
	Files    *capped[jsontext.Value] `json:"files"`
}

// fileJSON is the wire form of a File; pointers tell absent and null from empty.
type fileJSON struct {
	Filename   string            `json:"filename"`
	URL        string            `json:"url"`
	Hashes     map[string]string `json:"hashes"`
	Size       *int64            `json:"size"`
	UploadTime *string           `json:"upload-time"`
	Yanked     jsontext.Value    `json:"yanked"`
	Provenance jsontext.Value    `json:"provenance"`
}

// decodeListing decodes the page of project that was read from page, a URL that relative ones are resolved against. It
// fails on anything that would leave a doubt about which files there are: one malformed file refuses the page.
func decodeListing(body []byte, project string, page *url.URL) (*Listing, error) {
	if len(body) > maxListing {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(body), maxListing)
	}
	if err := expectObject(body); err != nil {
		return nil, err
	}
	var wire listingJSON
	if err := jsonv2.Unmarshal(body, &wire); err != nil {
		return nil, err
	}
	l := &Listing{APIVersion: wire.Meta.APIVersion, Status: wire.ProjectStatus.Status, StatusReason: wire.ProjectStatus.Reason,
		Versions: wire.Versions}
	minor, err := apiMinor(l.APIVersion)
	if err != nil {
		return nil, err
	}
	if minor > knownMinor {
		l.Notes = append(l.Notes, fmt.Sprintf("the index speaks version %s of the Simple API, of which 1.%d is known", l.APIVersion, knownMinor))
	}
	if l.Name = Normalize(wire.Name); l.Name != Normalize(project) {
		return nil, fmt.Errorf("it is about project %q, not %q", shorten(wire.Name), project)
	}
	if wire.Meta.LastSerial != nil {
		if l.Serial = *wire.Meta.LastSerial; l.Serial < 0 {
			return nil, fmt.Errorf("its serial is %d", l.Serial)
		}
	}
	if l.Status == "" {
		l.Status = "active" // PEP 792: the default
	}
	if wire.Files == nil {
		return nil, errors.New("it has no files member")
	}
	seen := make(map[string]bool, len(*wire.Files))
	l.Files = make([]File, 0, len(*wire.Files))
	for i, raw := range *wire.Files {
		f, err := decodeFile(raw, page)
		if err != nil {
			return nil, fmt.Errorf("its file %d: %w", i, err)
		}
		if seen[f.Filename] {
			return nil, fmt.Errorf("it lists file %q twice", shorten(f.Filename))
		}
		seen[f.Filename] = true
		f.Version, f.NameError = versionOf(f.Filename, l.Name)
		l.Files = append(l.Files, f)
	}
	return l, nil
}

// versionOf is the version that a filename tells, or why it tells none.
func versionOf(filename, project string) (version, problem string) {
	name, err := ParseFilename(filename)
	switch {
	case err != nil:
		return "", err.Error()
	case name.Version == "":
		return "", fmt.Sprintf("filename %q: its kind does not tell a version", shorten(filename))
	case name.Project != project:
		return "", fmt.Sprintf("filename %q: it names project %q", shorten(filename), name.Project)
	}
	return name.Version, ""
}

// decodeFile decodes one file's object.
func decodeFile(raw jsontext.Value, page *url.URL) (File, error) {
	if err := expectObject(raw); err != nil {
		return File{}, err
	}
	var wire fileJSON
	if err := jsonv2.Unmarshal(raw, &wire); err != nil {
		return File{}, err
	}
	f := File{Filename: wire.Filename, Size: -1, SHA256: wire.Hashes["sha256"], Raw: json.RawMessage(raw)}
	if err := checkFilename(f.Filename); err != nil {
		return File{}, err
	}
	fail := func(format string, args ...any) (File, error) {
		return File{}, fmt.Errorf("%q: "+format, append([]any{shorten(f.Filename)}, args...)...)
	}
	var err error
	if f.URL, err = absoluteURL(page, wire.URL); err != nil {
		return fail("its URL: %w", err)
	}
	if digest, err := hex.DecodeString(f.SHA256); err != nil || len(digest) != 32 || f.SHA256 != strings.ToLower(f.SHA256) {
		return fail("hashes.sha256 is %q, not 64 lower-case hex digits", shorten(f.SHA256))
	}
	if wire.Size != nil {
		if f.Size = *wire.Size; f.Size < 0 {
			return fail("its size is %d", f.Size)
		}
	}
	if wire.UploadTime != nil {
		if f.UploadedAt, err = time.Parse(time.RFC3339, *wire.UploadTime); err != nil {
			return fail("its upload time %q is not in RFC 3339's form", shorten(*wire.UploadTime))
		}
		f.UploadedAt = f.UploadedAt.UTC()
	}
	if f.Yanked, f.YankedReason, err = decodeYanked(wire.Yanked); err != nil {
		return fail("%w", err)
	}
	switch kind := wire.Provenance.Kind(); {
	case len(wire.Provenance) == 0:
	case kind == 'n':
		f.ProvenanceTold = true
	case kind == '"':
		f.ProvenanceTold = true
		var reference string
		if err := jsonv2.Unmarshal(wire.Provenance, &reference); err != nil {
			return fail("its provenance: %w", err)
		}
		if f.ProvenanceURL, err = absoluteURL(page, reference); err != nil {
			return fail("its provenance URL: %w", err)
		}
	default:
		return fail("its provenance is neither a string nor null")
	}
	return f, nil
}

// decodeYanked decodes PEP 691's yanked member: a boolean, or a string that is the reason; absent means false.
func decodeYanked(v jsontext.Value) (yanked bool, reason string, err error) {
	if len(v) == 0 {
		return false, "", nil
	}
	switch v.Kind() {
	case 't', 'f':
		return v.Kind() == 't', "", nil
	case '"':
		err = jsonv2.Unmarshal(v, &reason)
		return true, reason, err
	}
	return false, "", errors.New("its yanked is neither a boolean nor a string")
}

// checkFilename accepts what can be the last segment of a URL's path and a file's name on any system: whatever a file is
// called goes into logs, records and requests.
func checkFilename(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("its filename is %q", name)
	case len(name) > maxFilename:
		return fmt.Errorf("its filename has %d bytes, more than %d", len(name), maxFilename)
	case strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' || r == '/' || r == '\\' }):
		return fmt.Errorf("its filename %q has characters that no distribution's name has", shorten(name))
	}
	return nil
}

// absoluteURL resolves a reference as PEP 691 allows it, relative to the page.
func absoluteURL(page *url.URL, reference string) (string, error) {
	if reference == "" {
		return "", errors.New("it is empty")
	}
	u, err := page.Parse(reference)
	if err != nil {
		return "", fmt.Errorf("%q does not parse", shorten(reference))
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("%q is not a web address without a user", shorten(reference))
	}
	return u.String(), nil
}

// apiMinor is the x of a version "1.x"; other major versions may mean anything (PEP 629).
func apiMinor(version string) (int, error) {
	minor, ok := strings.CutPrefix(version, "1.")
	n, err := strconv.ParseUint(minor, 10, 16)
	if !ok || err != nil {
		return 0, fmt.Errorf("it speaks version %q of the Simple API, not 1.x", shorten(version))
	}
	return int(n), nil
}
