package identity

import (
	"bytes"
	"net/url"
	"strings"
	"unicode/utf8"
)

// matchText is the slow path: all text in a certificate, whatever its encoding, looked at for watched names, for what
// resembles them, and for watched addresses.
func (w *WatchList) matchText(der []byte) bool {
	if w.matchRuns(der) {
		return true
	}
	// UTF-16 text (BMPString) has zeros between its letters.
	if bytes.Contains(der, []byte{0, '/', 0}) || bytes.Contains(der, []byte{0, '@', 0}) {
		return w.matchRuns(bytes.ReplaceAll(der, []byte{0}, nil))
	}
	return false
}

// matchRuns looks at each run of text.
func (w *WatchList) matchRuns(der []byte) bool {
	start := 0
	for i := 0; i <= len(der); i++ {
		if i < len(der) && der[i] > ' ' && der[i] != 0x7f {
			continue
		}
		if run := der[start:i]; len(run) > 3 && (bytes.IndexByte(run, '/') >= 0 || bytes.IndexByte(run, '@') >= 0 || bytes.IndexByte(run, '%') >= 0) {
			if w.Mentions(string(run)) {
				return true
			}
		}
		start = i + 1
	}
	return false
}

// Mentions reports whether a text has a watched name, something that resembles one, or a watched address in it.
func (w *WatchList) Mentions(text string) bool {
	for _, form := range forms(text) {
		if _, ok := w.find(form, 2); ok {
			return true
		}
	}
	return w.mentionsEmail(text)
}

// forms are a text as it stands and as a careless reader would take it.
func forms(text string) []string {
	all := []string{lowerASCII(text)}
	folded := all[0]
	for range 2 { // escapes may be escaped
		if decoded, err := url.PathUnescape(folded); err == nil {
			folded = decoded
		}
	}
	folded = skeleton(folded)
	for strings.Contains(folded, "//") {
		folded = strings.ReplaceAll(folded, "//", "/")
	}
	folded = strings.ReplaceAll(folded, "/./", "/")
	if folded != all[0] {
		all = append(all, folded)
	}
	if strings.Contains(folded, "/../") {
		all = append(all, resolved(folded))
	}
	return all
}

// resolved takes "/x/../" out of a path.
func resolved(path string) string {
	var kept []string
	for _, segment := range strings.Split(path, "/") {
		if segment == ".." && len(kept) > 0 {
			kept = kept[:len(kept)-1]
			continue
		}
		kept = append(kept, segment)
	}
	return strings.Join(kept, "/")
}

// find looks for "owner/name" around every slash of a lower-case text. In a run of raw bytes, the tag and the length of a
// neighbouring DER value may pass for letters: spare says how many to try without.
func (w *WatchList) find(text string, spare int) (watchedName, bool) {
	for i := 0; i < len(text); i++ {
		if text[i] != '/' {
			continue
		}
		begin, end := i, i+1
		for begin > 0 && nameByte(text[begin-1]) {
			begin--
		}
		for end < len(text) && nameByte(text[end]) {
			end++
		}
		if begin == i || end == i+1 || end-begin > maxName {
			continue
		}
		for left := 0; left <= spare && begin+left < i; left++ {
			for right := 0; right <= spare && end-right > i+1; right++ {
				name := strings.TrimSuffix(text[begin+left:end-right], ".git")
				if found, ok := w.names[name]; ok {
					return found, true
				}
			}
		}
	}
	return watchedName{}, false
}

// mentionsEmail looks for watched addresses.
func (w *WatchList) mentionsEmail(text string) bool {
	if len(w.emails) == 0 || !strings.Contains(text, "@") {
		return false
	}
	text = lowerASCII(text)
	for address := range w.emails {
		if strings.Contains(text, address) {
			return true
		}
	}
	return false
}

// confusables maps letters that look like ASCII's to these: digits, and the Cyrillic and Greek letters that browsers
// treat so (Unicode TR 39).
var confusables = strings.NewReplacer(
	"а", "a", "е", "e", "о", "o", "р", "p", "с", "c", "х", "x", "у", "y", "і", "i", "ј", "j", "ѕ", "s", "ԁ", "d", "һ", "h", "ո", "n",
	"ο", "o", "α", "a", "ν", "v", "ρ", "p", "τ", "t", "χ", "x", "К", "k", "Н", "h", "М", "m", "Т", "t", "В", "b",
)

// skeleton replaces look-alike letters.
func skeleton(text string) string {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "?")
	}
	return confusables.Replace(text)
}

// resembling are the names that a person may take for a repository's: a letter for a digit, one doubled, one more at the
// end of the owner or of the name.
func resembling(repository string) []string {
	owner, name, _ := strings.Cut(repository, "/")
	var all []string
	for _, o := range append(variants(owner), owner) {
		for _, n := range append(variants(name), name) {
			if o != owner && n != name && o+"/"+n != swapped(owner)+"/"+swapped(name) {
				continue // one change at a time, or the same swap in both
			}
			if len(o)+1+len(n) <= maxName {
				all = append(all, o+"/"+n)
			}
		}
	}
	return all
}

// variants changes one thing about a name.
func variants(s string) []string {
	all := []string{swapped(s), s + "-", s + "_", s + ".", s + s[len(s)-1:], strings.ReplaceAll(s, "-", "_"), strings.ReplaceAll(s, "_", "-"), strings.ReplaceAll(s, "-", "")}
	kept := all[:0]
	for _, v := range all {
		if v != s && v != "" {
			kept = append(kept, v)
		}
	}
	return kept
}

// swapped writes digits for the letters that they look like.
func swapped(s string) string { return strings.NewReplacer("o", "0", "l", "1", "i", "1").Replace(s) }

// WatchMatch is what an identity has to do with the watch list.
type WatchMatch struct {
	Class      WatchClass `json:"class"`
	Project    string     `json:"project,omitempty"`
	Repository string     `json:"repository,omitempty"` // the watched one
}

// Classify says what a parsed identity has to do with the watch list.
func (w *WatchList) Classify(id Identity) WatchMatch {
	source := id.Repository()
	signer := ""
	if u, err := ParseWorkflowURI(id.SAN); err == nil {
		signer = u.Repository
	}
	from, sourceOurs := w.exact(source)
	by, signerOurs := w.exact(signer)
	github := id.Issuer == GitHubActionsIssuer
	switch {
	case !github && (sourceOurs || signerOurs):
		if !sourceOurs {
			from = by
		}
		return WatchMatch{WatchThirdParty, from.project, from.repository}
	case sourceOurs && signerOurs && from.repository == by.repository:
		return WatchMatch{WatchSelf, from.project, from.repository}
	case signerOurs:
		return WatchMatch{WatchSigner, by.project, by.repository}
	case sourceOurs:
		return WatchMatch{WatchSource, from.project, from.repository}
	}
	if project, ok := w.emails[lowerASCII(id.SAN)]; ok {
		return WatchMatch{Class: WatchEmail, Project: project}
	}
	if github {
		// GitHub writes names in one way, and what else stands in its certificates (branches, files) is anybody's to choose.
		for _, name := range []string{source, signer} {
			if found, ok := w.names[lowerASCII(name)]; ok {
				return WatchMatch{WatchLookalike, found.project, found.repository}
			}
		}
		return WatchMatch{}
	}
	for _, text := range []string{id.SAN, id.SourceRepositoryURI, id.BuildConfigURI, id.BuildSignerURI} {
		for _, form := range forms(text) {
			if found, ok := w.find(form, 0); ok {
				// The name itself at another place than GitHub is as much a look-alike as another name at GitHub.
				return WatchMatch{WatchLookalike, found.project, found.repository}
			}
		}
	}
	return WatchMatch{}
}

// exact finds a repository by its own name.
func (w *WatchList) exact(repository string) (watchedName, bool) {
	found, ok := w.names[lowerASCII(repository)]
	return found, ok && !found.lookalike
}
