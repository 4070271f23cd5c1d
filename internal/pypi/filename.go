package pypi

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Kind is the kind of a distribution file.
type Kind string

// The kinds of distribution files.
const (
	KindWheel Kind = "wheel" // PEP 427
	KindSdist Kind = "sdist" // PEP 625 and its looser forerunners, .tar.gz and .zip
	KindOther Kind = "other" // what PyPI no longer accepts: eggs, Windows installers, other archives
)

// Caps on what one filename may cost.
const (
	maxFilename = 512
	// maxTags is how many tags the compressed tag sets of a wheel may stand for; real ones stay below 20.
	maxTags = 1000
)

// Filename is what a distribution file's name says.
type Filename struct {
	Kind Kind
	// Project is the normalised project name, Version the normalised PEP 440 version. Both may be "" for KindOther.
	Project string
	Version string
	// Build is a wheel's build tag, without leading zeros; "" for none.
	Build string
	// Tags are a wheel's tags "python-abi-platform", in lower case, expanded from the compressed sets (PEP 425),
	// sorted, each once.
	Tags []string
}

var (
	// wheelName is PEP 427's escaped distribution name; it has no "__", which would be an escaped empty part.
	wheelName = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._]*[A-Za-z0-9])?$`)
	buildTag  = regexp.MustCompile(`^0*([0-9]+[A-Za-z0-9_.]*)$`)
	tagPart   = regexp.MustCompile(`^[a-z0-9_]+$`)
	// projectName is the name of a project in any spelling (core metadata, "Name").
	projectName = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$`)
	// installer is what bdist_wininst and bdist_msi write: name-version.platform[-pyX.Y].
	installer = regexp.MustCompile(`^(.+)-([^-]+?)\.(?:win32|win-amd64|win-ia64|win-arm32|win-arm64)(?:-py[0-9]+\.[0-9]+)?$`)
)

// Normalize is PEP 503's normal form of a project name: lower case, runs of "-", "_" and "." as one "-".
func Normalize(name string) string {
	var b strings.Builder
	pending := false
	for _, r := range name {
		switch {
		case r == '-' || r == '_' || r == '.':
			pending = true
			continue
		case 'A' <= r && r <= 'Z':
			r += 'a' - 'A'
		}
		if pending {
			b.WriteByte('-')
			pending = false
		}
		b.WriteRune(r)
	}
	if pending {
		b.WriteByte('-')
	}
	return b.String()
}

// ParseFilename parses the name of a wheel or a source distribution. Of the kinds that PyPI no longer accepts it says no more
// than that it is one, and project and version where they can be told. The suffix is lower case, as pip wants it.
func ParseFilename(name string) (Filename, error) {
	f, err := parseFilename(name)
	if err != nil {
		return Filename{}, fmt.Errorf("filename %q: %w", shorten(name), err)
	}
	return f, nil
}

func parseFilename(name string) (Filename, error) {
	if len(name) > maxFilename {
		return Filename{}, fmt.Errorf("it has %d bytes, more than %d", len(name), maxFilename)
	}
	if stem, ok := strings.CutSuffix(name, ".whl"); ok {
		return parseWheel(stem)
	}
	for _, suffix := range []string{".tar.gz", ".zip"} {
		if stem, ok := strings.CutSuffix(name, suffix); ok {
			return parseSdist(stem)
		}
	}
	if f, ok := parseOther(name); ok {
		return f, nil
	}
	return Filename{}, errors.New("it is no distribution file's: it ends in none of their suffixes")
}

// parseWheel parses NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM (PEP 427, "File name convention").
func parseWheel(stem string) (Filename, error) {
	parts := strings.Split(stem, "-")
	if len(parts) != 5 && len(parts) != 6 {
		return Filename{}, fmt.Errorf("a wheel's name has 5 or 6 parts between hyphens, this one has %d", len(parts))
	}
	if !wheelName.MatchString(parts[0]) || strings.Contains(parts[0], "__") {
		return Filename{}, fmt.Errorf("%q is not a wheel's project name", shorten(parts[0]))
	}
	version, err := ParseVersion(parts[1])
	if err != nil {
		return Filename{}, err
	}
	f := Filename{Kind: KindWheel, Project: Normalize(parts[0]), Version: version.String()}
	if len(parts) == 6 {
		m := buildTag.FindStringSubmatch(parts[2])
		if m == nil {
			return Filename{}, fmt.Errorf("%q is not a build tag, which begins with a digit", shorten(parts[2]))
		}
		f.Build = m[1]
	}
	f.Tags, err = expandTags(parts[len(parts)-3:])
	return f, err
}

// expandTags expands the compressed tag sets of PEP 425: each of three parts is a list with dots between.
func expandTags(parts []string) ([]string, error) {
	sets := make([][]string, len(parts))
	count := 1
	for i, part := range parts {
		sets[i] = strings.Split(strings.ToLower(part), ".")
		for _, tag := range sets[i] {
			if !tagPart.MatchString(tag) {
				return nil, fmt.Errorf("%q is not a compatibility tag", shorten(tag))
			}
		}
		if count *= len(sets[i]); count > maxTags {
			return nil, fmt.Errorf("its compatibility tags stand for more than %d", maxTags)
		}
	}
	tags := make([]string, 0, count)
	for _, python := range sets[0] {
		for _, abi := range sets[1] {
			for _, platform := range sets[2] {
				tags = append(tags, python+"-"+abi+"-"+platform)
			}
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags), nil
}

// parseSdist parses NAME-VERSION. Older names have hyphens in the name, so the version is what follows the last one.
func parseSdist(stem string) (Filename, error) {
	i := strings.LastIndexByte(stem, '-')
	if i < 0 {
		return Filename{}, errors.New("a source distribution's name has a hyphen before the version")
	}
	if !projectName.MatchString(stem[:i]) {
		return Filename{}, fmt.Errorf("%q is not a project name", shorten(stem[:i]))
	}
	version, err := ParseVersion(stem[i+1:])
	if err != nil {
		return Filename{}, err
	}
	return Filename{Kind: KindSdist, Project: Normalize(stem[:i]), Version: version.String()}, nil
}

// parseOther tells what it can of the names that old releases have.
func parseOther(name string) (Filename, bool) {
	f := Filename{Kind: KindOther}
	// tell fills project and version in where both are well-formed, and leaves both empty otherwise.
	tell := func(project, version string) {
		if v, err := ParseVersion(version); err == nil && projectName.MatchString(project) {
			f.Project, f.Version = Normalize(project), v.String()
		}
	}
	for _, suffix := range []string{".tar.bz2", ".tar.xz", ".tar.Z", ".tgz", ".tar"} {
		if stem, ok := strings.CutSuffix(name, suffix); ok {
			if i := strings.LastIndexByte(stem, '-'); i > 0 {
				tell(stem[:i], stem[i+1:])
			}
			return f, true
		}
	}
	if stem, ok := strings.CutSuffix(name, ".egg"); ok {
		// NAME-VERSION[-PYTHON[-PLATFORM]], with escaped hyphens inside each part.
		if parts := strings.Split(stem, "-"); len(parts) >= 2 {
			tell(parts[0], strings.ReplaceAll(parts[1], "_", "-"))
		}
		return f, true
	}
	for _, suffix := range []string{".exe", ".msi"} {
		if stem, ok := strings.CutSuffix(name, suffix); ok {
			if m := installer.FindStringSubmatch(stem); m != nil {
				tell(m[1], m[2])
			}
			return f, true
		}
	}
	for _, suffix := range []string{".rpm", ".deb", ".dmg"} {
		if strings.HasSuffix(name, suffix) {
			return f, true
		}
	}
	return Filename{}, false
}

// SameDistribution reports whether two filenames denote the same distribution: project, version, build tag and tag set
// are equal once parsed, however they are spelled (PEP 740, "Attestation objects"). Names of KindOther are the same only if
// they are equal byte for byte.
func SameDistribution(a, b string) (bool, error) {
	f, err := ParseFilename(a)
	if err != nil {
		return false, err
	}
	g, err := ParseFilename(b)
	if err != nil {
		return false, err
	}
	if f.Kind != g.Kind {
		return false, nil
	}
	if f.Kind == KindOther {
		return a == b, nil
	}
	if f.Project != g.Project || f.Build != g.Build || !slices.Equal(f.Tags, g.Tags) {
		return false, nil
	}
	// Versions are compared as such: "1.0" and "1.0.0" are one.
	v, err := ParseVersion(f.Version)
	if err != nil {
		return false, err
	}
	w, err := ParseVersion(g.Version)
	if err != nil {
		return false, err
	}
	return v.Compare(w) == 0, nil
}
