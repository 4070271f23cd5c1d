package rekor

import (
	"encoding/binary"
	"encoding/hex"
)

// Prefix is the first eight bytes of a digest in hex, as a number; 0 of what is none.
func Prefix(digest string) uint64 {
	var first [8]byte
	if len(digest) < 2*len(first) {
		return 0
	}
	if _, err := hex.Decode(first[:], []byte(digest[:2*len(first)])); err != nil {
		return 0
	}
	return binary.BigEndian.Uint64(first[:])
}

// DigestPrefix is the prefix of the first digest that an entry's body says was signed: of an artifact, or else of an envelope's
// payload. It is 0 where there is none. Nothing is verified, and what it is compared with has to be looked at again.
//
// Of the shapes that nearly all entries have, the digest stands near the beginning, and nothing else is read.
func (s *Scanner) DigestPrefix(body []byte) uint64 {
	b := s.pool.Get().(*scratch)
	prefix, canonical := digestPrefix(body, b)
	s.pool.Put(b)
	if canonical {
		return prefix
	}
	e, _ := Decode(body) // of one that cannot be decoded in full, what can
	if hashes := append(e.ArtifactHashes, e.PayloadHashes...); len(hashes) > 0 {
		return Prefix(hashes[0].Hex)
	}
	return 0
}

// digestPrefix reads the digest of the canonical shapes; canonical is false for any other body.
func digestPrefix(body []byte, b *scratch) (prefix uint64, canonical bool) {
	c := cursor{rest: body, b: b}
	switch {
	case c.literal(`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":`),
		c.literal(`{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{"payloadHash":`):
		c.expect(`{"algorithm":"`)
		c.word()
		c.expect(`,"digest":"`)
		if raw := c.base64(); !c.bad && len(raw) >= 8 {
			return binary.BigEndian.Uint64(raw), true
		}
		return 0, false
	case c.literal(`{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":`):
	case c.literal(`{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":`):
		c.hexHash()
		c.expect(`,"payloadHash":`)
	default:
		return 0, false
	}
	c.expect(`{"algorithm":"`)
	c.word()
	c.expect(`,"value":"`)
	text := c.string()
	if c.bad {
		return 0, false
	}
	return Prefix(string(text)), true
}
