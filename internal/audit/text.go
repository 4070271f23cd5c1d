package audit

import (
	"fmt"
	"strings"
	"unicode"
)

// oneLine keeps text from outside in one readable line: control and formatting characters (newlines, escapes,
// bidirectional overrides) are written as their code points, and what is too long is cut with a mark.
func oneLine(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > limit {
			b.WriteString("…")
			break
		}
		if r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == 0xfffd || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) {
			fmt.Fprintf(&b, "\\u{%x}", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
