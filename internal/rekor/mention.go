package rekor

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

const (
	// mentionDepth is how deep the search looks into base64 within base64: a certificate in PEM in base64 is two.
	mentionDepth = 3
	// mentionUnescapes is how often JSON strings are looked into for JSON.
	mentionUnescapes = 3
	// shortestRun is the shortest run of base64 that is decoded; what is watched is no shorter than six bytes.
	shortestRun = 8
)

// mentions reports whether anything watched can be found in a body that is not understood: in the text itself, in the
// text without JSON's escapes, and in whatever in it may be base64 in any alphabet, alignment or folding, PEM included.
// It finds too much rather than too little. What compresses or encrypts, it does not see.
func mentions(body []byte, m Matcher) bool {
	text := body
	for range mentionUnescapes {
		if mentionsText(text, m, mentionDepth) {
			return true
		}
		if bytes.IndexByte(text, '\\') < 0 {
			return false
		}
		text = unescape(text)
	}
	return mentionsText(text, m, mentionDepth)
}

func mentionsText(text []byte, m Matcher, depth int) bool {
	if m.MatchDER(text) {
		return true
	}
	if depth == 0 {
		return false
	}
	run := make([]byte, 0, len(text))
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	flush := func() bool {
		defer func() { run = run[:0] }()
		// Something of the alphabet may stand right before the base64 proper, so every alignment is tried.
		for shift := 0; shift < 4 && len(run)-shift >= shortestRun; shift++ {
			src := run[shift:]
			if len(src)%4 == 1 {
				src = src[:len(src)-1]
			}
			n, err := base64.RawStdEncoding.Decode(out, src)
			if err != nil {
				continue
			}
			if m.MatchKey(out[:n]) || mentionsText(out[:n], m, depth-1) {
				return true
			}
		}
		return false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case bytes.HasPrefix(text[i:], []byte("-----")): // the frame of PEM, though "-" is of the URL-safe alphabet
			if flush() {
				return true
			}
			i += len("-----") - 1
		case c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/':
			run = append(run, c)
		case c == '-':
			run = append(run, '+')
		case c == '_':
			run = append(run, '/')
		case c == '\n' || c == '\r' || c == '\t' || c == ' ': // folded base64; what stands before it costs an alignment
		default:
			if flush() {
				return true
			}
		}
	}
	return flush()
}

// unescape undoes JSON's escapes (RFC 8259 §7) wherever they stand, and leaves what is none.
func unescape(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out = append(out, text[i])
			continue
		}
		i++
		switch c := text[i]; c {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'u':
			if i+4 < len(text) {
				if r, err := strconv.ParseUint(string(text[i+1:i+5]), 16, 16); err == nil {
					out = utf8.AppendRune(out, rune(r))
					i += 4
					continue
				}
			}
			out = append(out, c)
		default: // \" \\ \/ and what is no escape
			out = append(out, c)
		}
	}
	return out
}
