package rekor

import (
	"bytes"
	"sync"
	"sync/atomic"

	"github.com/segmentio/asm/base64"
)

// Matcher knows what is watched. Both methods may be called from several goroutines, may answer true too often, and
// must never answer false for something watched.
type Matcher interface {
	// MatchDER reports whether a certificate's bytes, or any others, hold a watched name.
	MatchDER(der []byte) bool
	// MatchKey reports whether a SubjectPublicKeyInfo in DER, or a key in another form, is watched.
	MatchKey(spki []byte) bool
}

// Scanner picks the entries that are worth a closer look. It is safe for concurrent use.
type Scanner struct {
	m       Matcher
	pool    sync.Pool // of *scratch
	unknown atomic.Uint64
}

// NewScanner returns a scanner for what m watches.
func NewScanner(m Matcher) *Scanner {
	return &Scanner{m: m, pool: sync.Pool{New: func() any { return new(scratch) }}}
}

// Scan reports whether an entry's body has to do with something watched: a signer's certificate or key that matches, or,
// in an entry that cannot be decoded to the last member, a match anywhere in it. So an entry that was picked and that
// [Decode] refuses is one that mentions a watched name and is unreadable.
//
// Nearly all entries have one of a few canonical shapes, which are matched byte by byte, and their certificates are
// found and decoded without a JSON parser or an allocation. The match is of the whole body, so that it cannot be
// misled by what the JSON means elsewhere: anything else, down to a single escape or space, is decoded in full.
func (s *Scanner) Scan(body []byte) bool {
	b := s.pool.Get().(*scratch)
	matched, canonical := s.scanCanonical(body, b)
	s.pool.Put(b)
	if canonical {
		return matched
	}
	return s.scanDecoded(body)
}

// Unknown counts the entries scanned so far that this version cannot decode to the last member, and whose certificates and
// keys, as far as it can, are of nobody watched.
func (s *Scanner) Unknown() uint64 { return s.unknown.Load() }

// scanDecoded is the slow path, and the definition of what the fast one must find.
func (s *Scanner) scanDecoded(body []byte) bool {
	e, err := Decode(body)
	for _, der := range e.Certificates {
		if s.m.MatchDER(der) {
			return true
		}
	}
	for _, key := range e.Keys {
		if s.m.MatchKey(key) {
			return true
		}
	}
	if err == nil && e.UnknownMember == "" {
		return false
	}
	s.unknown.Add(1)
	return mentions(body, s.m)
}

const (
	// maxScratch bounds the buffers that the scanner keeps: longer texts are decoded in full.
	maxScratch = 64 << 10
	// slack is room for decoders that write whole vectors.
	slack = 64
)

// scratch are the buffers of one scan.
type scratch struct {
	out  [maxScratch + slack]byte
	text [maxScratch]byte
}

// scanCanonical matches the canonical shapes. canonical is false for any other body.
func (s *Scanner) scanCanonical(body []byte, b *scratch) (matched, canonical bool) {
	c := cursor{rest: body, b: b, m: s.m}
	switch {
	case c.literal(`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":`):
		c.tiledHash()
		c.expect(`,"signature":`)
		c.tiledSignature()
		c.expect(`}}}`)
	case c.literal(`{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{"payloadHash":`):
		c.tiledHash()
		c.expect(`,"signatures":[`)
		c.list(c.tiledSignature)
		c.expect(`]}}}`)
	case c.literal(`{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":`):
		c.hexHash()
		c.expect(`},"signature":{"content":"`)
		c.base64()
		c.expect(`,"publicKey":{"content":"`)
		c.pem()
		c.expect(`}}}}`)
	case c.literal(`{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":`):
		c.hexHash()
		c.expect(`,"payloadHash":`)
		c.hexHash()
		c.expect(`,"signatures":[`)
		c.list(c.dsseSignature)
		c.expect(`]}}`)
	case c.literal(`{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{"envelope":{"payloadType":"`):
		c.plain()
		c.expect(`,"signatures":[`)
		c.list(c.intotoSignature)
		c.expect(`]},"hash":`)
		c.hexHash()
		c.expect(`,"payloadHash":`)
		c.hexHash()
		c.expect(`}}}`)
	default:
		return false, false
	}
	if c.bad || len(c.rest) > 0 {
		return false, false
	}
	return c.matched, true
}

// cursor reads a body of a known shape. After the first difference it is bad and reads no more.
type cursor struct {
	rest    []byte
	b       *scratch
	m       Matcher
	matched bool
	bad     bool
}

// literal reads text if it comes next, and otherwise nothing.
func (c *cursor) literal(text string) bool {
	if c.bad || len(c.rest) < len(text) || string(c.rest[:len(text)]) != text {
		return false
	}
	c.rest = c.rest[len(text):]
	return true
}

// expect reads text, which must come next.
func (c *cursor) expect(text string) {
	if !c.literal(text) {
		c.bad = true
	}
}

// string reads up to the end of a JSON string, past the quote. The text it returns has no escapes if it is in an
// alphabet without the backslash, which is for the caller to see to; a string that ends in one is bad.
func (c *cursor) string() []byte {
	if c.bad {
		return nil
	}
	end := bytes.IndexByte(c.rest, '"')
	if end <= 0 {
		c.bad = true
		return nil
	}
	text := c.rest[:end]
	c.rest = c.rest[end+1:]
	return text
}

// base64 reads the rest of a string of base64 and returns its bytes, which are overwritten by the next call.
func (c *cursor) base64() []byte {
	text := c.string()
	if c.bad || len(text)%4 != 0 || base64.StdEncoding.DecodedLen(len(text)) > maxScratch {
		c.bad = true
		return nil
	}
	n, err := base64.StdEncoding.Decode(c.b.out[:], text)
	// The decoders pass over line breaks; a JSON string must not have them.
	if err != nil || n == 0 || n+padding(text) != len(text)/4*3 {
		c.bad = true
		return nil
	}
	return c.b.out[:n]
}

// padding counts the padding of a base64 text.
func padding(text []byte) int {
	n := 0
	for n < 2 && len(text) > n && text[len(text)-1-n] == '=' {
		n++
	}
	return n
}

// word reads the rest of a string of letters, digits, "_" and "-".
func (c *cursor) word() {
	for _, b := range c.string() {
		if !(b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '-') {
			c.bad = true
			return
		}
	}
}

// plain reads the rest of a string of printable ASCII without escapes.
func (c *cursor) plain() {
	for _, b := range c.string() {
		if b < ' ' || b > '~' || b == '\\' {
			c.bad = true
			return
		}
	}
}

func (c *cursor) hexHash() {
	c.expect(`{"algorithm":"`)
	c.word()
	c.expect(`,"value":"`)
	text := c.string()
	if len(text)%2 != 0 {
		c.bad = true
	}
	for _, b := range text {
		if !(b >= '0' && b <= '9' || b >= 'a' && b <= 'f') {
			c.bad = true
			return
		}
	}
	c.expect(`}`)
}

func (c *cursor) tiledHash() {
	c.expect(`{"algorithm":"`)
	c.word()
	c.expect(`,"digest":"`)
	c.base64()
	c.expect(`}`)
}

func (c *cursor) tiledSignature() {
	c.expect(`{"content":"`)
	c.base64()
	c.expect(`,"verifier":{"keyDetails":"`)
	c.word()
	if c.literal(`,"publicKey":{"rawBytes":"`) {
		if key := c.base64(); !c.bad && c.m.MatchKey(key) {
			c.matched = true
		}
	} else {
		c.expect(`,"x509Certificate":{"rawBytes":"`)
		if der := c.base64(); !c.bad && c.m.MatchDER(der) {
			c.matched = true
		}
	}
	c.expect(`}}}`)
}

func (c *cursor) dsseSignature() {
	c.expect(`{"signature":"`)
	c.base64()
	c.expect(`,"verifier":"`)
	c.pem()
	c.expect(`}`)
}

func (c *cursor) intotoSignature() {
	if c.literal(`{"keyid":"`) {
		c.plain()
		c.expect(`,"publicKey":"`)
	} else {
		c.expect(`{"publicKey":"`)
	}
	c.pem()
	c.expect(`,"sig":"`)
	c.base64()
	c.expect(`}`)
}

// list reads one or more items. The decoder's limit holds here as well.
func (c *cursor) list(item func()) {
	item()
	for n := 1; c.literal(`,`); n++ {
		if n == maxSignatures {
			c.bad = true
			return
		}
		item()
	}
}

const (
	pemLineLen      = 64
	certificateHead = "-----BEGIN CERTIFICATE-----\n"
	certificateTail = "-----END CERTIFICATE-----\n"
	publicKeyHead   = "-----BEGIN PUBLIC KEY-----\n"
	publicKeyTail   = "-----END PUBLIC KEY-----\n"
)

// pem reads the rest of a string that holds the base64 of one certificate or public key in PEM, of the form that
// encoding/pem writes, and matches it.
func (c *cursor) pem() {
	text := c.base64()
	if c.bad {
		return
	}
	if inner, ok := between(text, certificateHead, certificateTail); ok {
		if der := c.pemBody(inner); !c.bad && c.m.MatchDER(der) {
			c.matched = true
		}
		return
	}
	if inner, ok := between(text, publicKeyHead, publicKeyTail); ok {
		if key := c.pemBody(inner); !c.bad && c.m.MatchKey(key) {
			c.matched = true
		}
		return
	}
	c.bad = true
}

// pemBody decodes lines of 64 characters of base64, the last of them perhaps shorter.
func (c *cursor) pemBody(lines []byte) []byte {
	text := c.b.text[:0]
	for len(lines) > pemLineLen+1 {
		if lines[pemLineLen] != '\n' {
			c.bad = true
			return nil
		}
		text = append(text, lines[:pemLineLen]...)
		lines = lines[pemLineLen+1:]
	}
	if len(lines) < 2 || lines[len(lines)-1] != '\n' {
		c.bad = true
		return nil
	}
	text = append(text, lines[:len(lines)-1]...)
	n, err := base64.StdEncoding.Decode(c.b.out[:], text)
	if err != nil || n == 0 || len(text)%4 != 0 || n+padding(text) != len(text)/4*3 {
		c.bad = true
		return nil
	}
	return c.b.out[:n]
}

func between(text []byte, head, tail string) ([]byte, bool) {
	if len(text) < len(head)+len(tail) || string(text[:len(head)]) != head || string(text[len(text)-len(tail):]) != tail {
		return nil, false
	}
	return text[len(head) : len(text)-len(tail)], true
}
