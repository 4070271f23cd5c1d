package ctlog

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
)

// Matcher knows what is watched. It may be called from several goroutines, may answer true too often, and must never
// answer false for something watched.
type Matcher interface {
	// MatchDER reports whether the bytes of a certificate, of a TBSCertificate or any others hold a watched name or key.
	MatchDER(der []byte) bool
}

// Scanner picks the leaves that are worth a closer look. It is safe for concurrent use.
type Scanner struct {
	m       Matcher
	unknown atomic.Uint64
}

// NewScanner returns a scanner for what m watches.
func NewScanner(m Matcher) *Scanner { return &Scanner{m: m} }

// Scan reports whether a leaf has to do with something watched: a certificate or TBSCertificate that matches, or, in a
// leaf of any other shape, a match anywhere in it. So a leaf that was picked and that [ParseLeaf] refuses is one that
// mentions a watched name and is unreadable.
func (s *Scanner) Scan(leaf []byte) bool {
	// A mention in the SCT's extensions would be no certificate's.
	if der, ok := signedEntry(leaf); ok {
		return s.m.MatchDER(der)
	}
	s.unknown.Add(1)
	return s.m.MatchDER(leaf)
}

// Unknown counts the leaves scanned so far that are of another shape.
func (s *Scanner) Unknown() uint64 { return s.unknown.Load() }

// signedEntry finds the certificate or TBSCertificate in a leaf of exactly the shape that RFC 6962 §3.4 gives it.
func signedEntry(leaf []byte) ([]byte, bool) {
	const header = 1 + 1 + 8 // version, leaf type, timestamp
	if len(leaf) < header+2+3 || leaf[0] != 0 || leaf[1] != 0 {
		return nil, false
	}
	rest := leaf[header+2:]
	switch EntryType(binary.BigEndian.Uint16(leaf[header:])) {
	case X509:
	case Precert:
		if len(rest) < sha256.Size+3 {
			return nil, false
		}
		rest = rest[sha256.Size:]
	default:
		return nil, false
	}
	n := int(rest[0])<<16 | int(rest[1])<<8 | int(rest[2])
	rest = rest[3:]
	if len(rest) < n+2 || len(rest) != n+2+int(binary.BigEndian.Uint16(rest[n:])) {
		return nil, false
	}
	return rest[:n], true
}
