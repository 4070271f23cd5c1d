package pypi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	pep440 "github.com/aquasecurity/go-pep440-version"
)

// maxVersion caps a version's text in bytes; real ones have a tenth of it.
const maxVersion = 256

// Version is a PEP 440 version. The zero value is none and must not be compared.
type Version struct {
	parsed pep440.Version
}

// ParseVersion parses a version in any spelling that PEP 440 accepts, "v1.0-RC.1" included, surrounding white space
// excepted. Each of its numbers must fit 64 bits, which PEP 440 does not ask for.
func ParseVersion(text string) (Version, error) {
	v, err := parseVersion(text)
	if err != nil {
		return Version{}, fmt.Errorf("version %q: %w", shorten(text), err)
	}
	return v, nil
}

func parseVersion(text string) (Version, error) {
	if len(text) > maxVersion {
		return Version{}, fmt.Errorf("it has %d bytes, more than %d", len(text), maxVersion)
	}
	for _, r := range text {
		// The library ignores case as Unicode does, so that an ſ would pass for an s; and it trims white space.
		if r <= ' ' || r > '~' {
			return Version{}, errors.New("it is not a PEP 440 version")
		}
	}
	public, local, hasLocal := strings.Cut(text, "+")
	if hasLocal {
		// The library keeps the local part as it is spelled, and then compares what it kept.
		normalised, err := normaliseLocal(local)
		if err != nil {
			return Version{}, err
		}
		public += "+" + normalised
	}
	parsed, err := pep440.Parse(public)
	if err != nil {
		// The library's own words name its regular expression's groups; only overflow is worth telling apart.
		if strings.Contains(err.Error(), "out of range") {
			return Version{}, errors.New("one of its numbers does not fit 64 bits")
		}
		return Version{}, errors.New("it is not a PEP 440 version")
	}
	return Version{parsed}, nil
}

// normaliseLocal normalises a local version label (PEP 440, "Local version segments"): lower case, dots between its
// segments, no leading zeros in numeric ones.
func normaliseLocal(local string) (string, error) {
	segments := strings.Split(strings.NewReplacer("-", ".", "_", ".").Replace(strings.ToLower(local)), ".")
	for i, s := range segments {
		if s == "" || strings.Trim(s, "0123456789") != "" {
			continue
		}
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return "", errors.New("one of its numbers does not fit 64 bits")
		}
		segments[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(segments, "."), nil
}

// String is the version in PEP 440's normal form. Equal versions may have different ones: "1.0" and "1.0.0".
func (v Version) String() string { return v.parsed.String() }

// Base is epoch and release only: "1.22.0" of "1.22.0rc1", "1.23.0" of "1.23.0.dev20260511".
func (v Version) Base() string { return v.parsed.BaseVersion() }

// Compare is -1, 0 or 1 as v comes before, with or after w in PEP 440's order.
func (v Version) Compare(w Version) int { return v.parsed.Compare(w.parsed) }
