package identity

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// spareBytes is how many bytes of a neighbouring DER value, its tag and its length, may pass for letters of a name.
const spareBytes = 2

// matchText looks at bytes of which nothing is known, for whatever in them may be text.
func (w *WatchList) matchText(text []byte) bool {
	if w.matchRuns(text) {
		return true
	}
	// UTF-16 has zeros between its letters.
	if bytes.Contains(text, []byte{0, '/', 0}) || bytes.Contains(text, []byte{0, '@', 0}) {
		return w.matchRuns(bytes.ReplaceAll(text, []byte{0}, nil))
	}
	return false
}

// matchRuns looks at each run of text.
func (w *WatchList) matchRuns(text []byte) bool {
	start := 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && text[i] > ' ' && text[i] != 0x7f {
			continue
		}
		if run := text[start:i]; w.mayMention(run) && w.Mentions(string(run)) {
			return true
		}
		start = i + 1
	}
	return false
}

// mayMention reports whether a text has what no watched name is without.
func (w *WatchList) mayMention(text []byte) bool {
	return len(text) > 2 && (bytes.IndexByte(text, '/') >= 0 || bytes.IndexByte(text, '%') >= 0 || bytes.IndexByte(text, '\\') >= 0 ||
		len(w.emails) > 0 && bytes.IndexByte(text, '@') >= 0)
}

// Mentions reports whether a text has a watched name, something that resembles one, a watched owner or address in it.
func (w *WatchList) Mentions(text string) bool {
	for _, form := range forms(text) {
		if _, ok := w.find(form, spareBytes); ok || w.findOwner(form) || w.findEmail(form) {
			return true
		}
	}
	return false
}

// forms are a text in lower case as it stands, and as a careless reader would take it.
func forms(text string) []string {
	plain := asciiLower(text)
	all := []string{plain}
	if !strings.ContainsAny(plain, `%\`) && !strings.Contains(plain, "//") && !strings.Contains(plain, "/./") && !strings.Contains(plain, "/../") && isASCII(plain) {
		return all
	}
	// Escapes may be escaped.
	folded := asciiLower(skeleton(unescapePercent(unescapePercent(plain))))
	folded = strings.ReplaceAll(folded, `\`, "/")
	for strings.Contains(folded, "//") {
		folded = strings.ReplaceAll(folded, "//", "/")
	}
	folded = strings.ReplaceAll(folded, "/./", "/")
	if folded != plain {
		all = append(all, folded)
	}
	if strings.Contains(folded, "/../") {
		all = append(all, resolved(folded))
	}
	return all
}

// unescapePercent decodes percent-encoding (RFC 3986 §2.1) and leaves what is none, unlike url.PathUnescape, which gives
// up on the whole text: one stray "%" must not hide the rest.
func unescapePercent(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			high, ok1 := hexDigit(s[i+1])
			low, ok2 := hexDigit(s[i+2])
			if ok1 && ok2 {
				b.WriteByte(high<<4 | low)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// resolved takes "/x/../" out of a path.
func resolved(path string) string {
	var kept []string
	for segment := range strings.SplitSeq(path, "/") {
		if segment == ".." && len(kept) > 0 {
			kept = kept[:len(kept)-1]
			continue
		}
		kept = append(kept, segment)
	}
	return strings.Join(kept, "/")
}

// find looks for "owner/name" around every slash of a lower-case text, without up to spare letters at its ends.
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
		if begin == i || end == i+1 || end-begin > maxName+len(".git")+2*spare {
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

// findOwner looks for a watched owner before every slash of a lower-case text.
func (w *WatchList) findOwner(text string) bool {
	if len(w.owners) == 0 {
		return false
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '/' {
			continue
		}
		begin := i
		for begin > 0 && i-begin < maxName && nameByte(text[begin-1]) {
			begin--
		}
		for left := 0; left <= spareBytes && begin+left < i; left++ {
			if _, ok := w.owners[text[begin+left:i]]; ok {
				return true
			}
		}
	}
	return false
}

// findEmail looks for a watched address around every "@" of a lower-case text.
func (w *WatchList) findEmail(text string) bool {
	if len(w.emails) == 0 {
		return false
	}
	if _, ok := w.emails[text]; ok {
		return true
	}
	const longest = 320 // RFC 3696, erratum 1690: 64 and 255 characters
	for i := 0; i < len(text); i++ {
		if text[i] != '@' {
			continue
		}
		begin, end := i, i+1
		for begin > 0 && i-begin < longest && addressByte(text[begin-1]) {
			begin--
		}
		for end < len(text) && end-i < longest && addressByte(text[end]) {
			end++
		}
		for left := 0; left <= spareBytes && begin+left < i; left++ {
			for right := 0; right <= spareBytes && end-right > i+1; right++ {
				if _, ok := w.emails[text[begin+left:end-right]]; ok {
					return true
				}
			}
		}
	}
	return false
}

// addressByte reports whether a byte may stand in an address without quotes (RFC 5322 §3.2.3, RFC 6532).
func addressByte(c byte) bool {
	return nameByte(c) || c >= utf8.RuneSelf || strings.IndexByte("!#$%&'*+/=?^`{|}~", c) >= 0
}

// confusables maps letters that look like ASCII's to these: the Cyrillic and Greek letters that browsers treat so (Unicode
// TR 39).
var confusables = strings.NewReplacer(
	"а", "a", "е", "e", "о", "o", "р", "p", "с", "c", "х", "x", "у", "y", "і", "i", "ј", "j", "ѕ", "s", "ԁ", "d", "һ", "h", "ո", "n",
	"ο", "o", "α", "a", "ν", "v", "ρ", "p", "τ", "t", "χ", "x", "К", "k", "Н", "h", "М", "m", "Т", "t", "В", "b", "Ο", "o", "О", "o", "Х", "x", "Χ", "x", "Ν", "n",
)

// skeleton replaces look-alike letters.
func skeleton(text string) string {
	if isASCII(text) {
		return text
	}
	return confusables.Replace(strings.ToValidUTF8(text, "?"))
}

// resembling are the names that a person may take for a repository's: digits for letters, one letter doubled, a line added or
// left out, one more character at the end of the owner or of the name.
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
func swapped(s string) string { return digits.Replace(s) }

var digits = strings.NewReplacer("o", "0", "l", "1", "i", "1")
