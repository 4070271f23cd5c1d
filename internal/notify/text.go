package notify

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"unicode"

	"github.com/rekoncile/rekoncile/internal/audit"
)

// visible replaces control and formatting characters (newlines, escapes, bidirectional overrides, zero widths), with which
// a name could pass for another or for a line of the message.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// cut shortens a text to a number of characters.
func cut(s string, limit int) string {
	r := []rune(s)
	if len(r) <= limit {
		return s
	}
	return string(r[:limit-1]) + "…"
}

// cutMiddle shortens a text to a number of characters and keeps both ends: a SAN ends with its ref, a filename with its
// platform, and neither is told by its beginning.
func cutMiddle(s string, limit int) string {
	r := []rune(s)
	if len(r) <= limit {
		return s
	}
	head := (limit - 1) / 2
	return string(r[:head]) + "…" + string(r[len(r)-(limit-1-head):])
}

// The forms that parts of a link must have. They are narrower than what the servers allow: what does not fit has no link.
const (
	runPattern        = `^https://github\.com/[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}/actions/runs/[0-9]{1,20}(/attempts/[0-9]{1,6})?$`
	repositoryPattern = `^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}$`
	commitPattern     = `^[0-9a-f]{40}$`
	projectPattern    = `^[A-Za-z0-9._-]{1,100}$`
	versionPattern    = `^[0-9A-Za-z][0-9A-Za-z.!+_-]{0,99}$`
	filePattern       = `^[A-Za-z0-9._+-]{1,255}$`
)

func matches(pattern, text string) bool { return regexp.MustCompile(pattern).MatchString(text) }

// links are the places at which a finding can be looked at. A certificate's names are its signer's choice, so nothing of
// them becomes a link that is not of a fixed form on a fixed host.
func links(f audit.Finding) []Link {
	var all []Link
	if base := indexPage(f.Index); base != "" && matches(projectPattern, f.PyPIProject) {
		page := base + f.PyPIProject + "/"
		label := "Project on PyPI"
		if matches(versionPattern, f.Release) {
			page, label = page+url.PathEscape(f.Release)+"/", "Release on PyPI"
			if matches(filePattern, f.File) {
				page, label = page+"#"+f.File, "File on PyPI"
			}
		}
		all = append(all, Link{label, page})
	}
	if f.Log != nil && isPublicRekorV1(f.Log.Origin) && f.Log.GlobalIndex > 0 {
		all = append(all, Link{"Log entry", fmt.Sprintf("https://search.sigstore.dev/?logIndex=%d", f.Log.GlobalIndex)})
	}
	if i := f.Identity; i != nil {
		if matches(runPattern, i.Run) {
			all = append(all, Link{"Workflow run", i.Run})
		}
		if matches(repositoryPattern, i.Repository) && matches(commitPattern, i.Commit) {
			all = append(all, Link{"Commit", "https://github.com/" + i.Repository + "/commit/" + i.Commit})
		}
	}
	return all
}

// indexPage is where people look at the projects of an index, "" where that is not known.
func indexPage(index string) string {
	switch index {
	case "pypi":
		return "https://pypi.org/project/"
	case "testpypi":
		return "https://test.pypi.org/project/"
	}
	return ""
}

// isPublicRekorV1 reports whether an origin is Sigstore's public Rekor v1, which has a page for its entries.
func isPublicRekorV1(origin string) bool {
	return origin == "rekor.sigstore.dev" || strings.HasPrefix(origin, "rekor.sigstore.dev - ")
}
