package audit

import (
	"cmp"
	"slices"
	"strings"

	"github.com/rekoncile/rekoncile/internal/pypi"
)

// baseVersion is a version without its pre-, post- and development parts and without trailing zeros, which PEP 440 ignores:
// "1.22" of "1.22.0rc1"; the text itself where it is no PEP 440 version.
func baseVersion(text string) string {
	v, err := pypi.ParseVersion(text)
	if err != nil {
		return text
	}
	base := v.Base()
	for strings.HasSuffix(base, ".0") {
		base = strings.TrimSuffix(base, ".0")
	}
	return base
}

// olderThan reports whether a version is below another; false where either is no PEP 440 version.
func olderThan(text, other string) bool {
	v, err1 := pypi.ParseVersion(text)
	w, err2 := pypi.ParseVersion(other)
	return err1 == nil && err2 == nil && v.Compare(w) < 0
}

// sortVersions puts versions in PEP 440's order; what is no version comes first, in the order of its bytes.
func sortVersions(versions []string) {
	type parsed struct {
		text string
		v    pypi.Version
		ok   bool
	}
	all := make([]parsed, len(versions))
	for i, text := range versions {
		v, err := pypi.ParseVersion(text)
		all[i] = parsed{text, v, err == nil}
	}
	slices.SortFunc(all, func(a, b parsed) int {
		switch {
		case a.ok && b.ok:
			return cmp.Or(a.v.Compare(b.v), cmp.Compare(a.text, b.text))
		case a.ok:
			return 1
		case b.ok:
			return -1
		}
		return cmp.Compare(a.text, b.text)
	})
	for i := range all {
		versions[i] = all[i].text
	}
}
