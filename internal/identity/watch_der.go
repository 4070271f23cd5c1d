package identity

import (
	"bytes"
	"crypto/sha256"
	"unicode/utf16"
)

// The DER tags that certificates are made of.
const (
	derBoolean   = 0x01
	derInteger   = 0x02
	derBitString = 0x03
	derOctets    = 0x04
	derOID       = 0x06
	derUTF8      = 0x0c
	derBMP       = 0x1e
	derSequence  = 0x30
	derURI       = 0x86 // of a GeneralName
	derVersion   = 0xa0 // of a TBSCertificate
	derExts      = 0xa3

	derConstructed = 0x20
	derContext     = 0x80
)

// derFulcioOID and derSANOID are encoded object identifiers: 1.3.6.1.4.1.57264.1.N without its N, and 2.5.29.17.
const (
	derFulcioOID = "\x06\x0a\x2b\x06\x01\x04\x01\x83\xbf\x30\x01"
	derSANOID    = "\x06\x03\x55\x1d\x11"
)

var (
	gitHubPrefix = []byte(gitHubURL)
	gitHubIssuer = []byte(GitHubActionsIssuer)
)

// readDER reads the first value of in: its tag, its content, and what follows it. ok is false where DER's lengths are
// not of their shortest form, and for tags of more than a byte: X.509 has none.
func readDER(in []byte) (tag byte, content, rest []byte, ok bool) {
	if len(in) < 2 || in[0]&0x1f == 0x1f {
		return 0, nil, nil, false
	}
	length, header := int(in[1]), 2
	if length >= 0x80 {
		octets := length - 0x80
		if octets < 1 || octets > 3 || len(in) < 2+octets {
			return 0, nil, nil, false
		}
		length = 0
		for _, b := range in[2 : 2+octets] {
			length = length<<8 | int(b)
		}
		if length < 0x80 || octets > 1 && in[2] == 0 {
			return 0, nil, nil, false
		}
		header += octets
	}
	if len(in)-header < length {
		return 0, nil, nil, false
	}
	return in[0], in[header : header+length], in[header+length:], true
}

// readOnly reads a value of one tag that fills in.
func readOnly(in []byte, want byte) ([]byte, bool) {
	tag, content, rest, ok := readDER(in)
	return content, ok && tag == want && len(rest) == 0
}

// matchCanonical looks at a certificate, or a TBSCertificate, of exactly the shape that Fulcio gives those of GitHub
// Actions, in one walk over its values: the issuer is GitHub's, the one SAN and the source repository are below
// https://github.com/. In such a certificate nothing else decides what [WatchList.Classify] makes of it. canonical is
// false for any other shape, and then matched says nothing unless it is true.
func (w *WatchList) matchCanonical(der []byte) (matched, canonical bool) {
	body, ok := readOnly(der, derSequence)
	if !ok || len(body) == 0 {
		return false, false
	}
	tbs := body
	if body[0] == derSequence { // a Certificate: what is signed, how, and the signature
		var rest []byte
		if _, tbs, rest, ok = readDER(body); !ok {
			return false, false
		}
		if tag, _, signature, ok := readDER(rest); !ok || tag != derSequence || len(signature) == 0 || signature[0] != derBitString {
			return false, false
		}
	}
	var tag byte
	var content []byte
	// Version, serial number, signature algorithm, issuer, validity, subject.
	for i, want := range [...]byte{derVersion, derInteger, derSequence, derSequence, derSequence, derSequence} {
		const subject = 5
		tag, content, tbs, ok = readDER(tbs)
		if !ok || tag != want || i == subject && len(content) > 0 {
			return false, false
		}
	}
	key := tbs
	if tag, _, tbs, ok = readDER(tbs); !ok || tag != derSequence {
		return false, false
	}
	if w.MatchKey(key[:len(key)-len(tbs)]) {
		return true, true
	}
	exts, ok := readOnly(tbs, derExts)
	if !ok {
		return false, false
	}
	if exts, ok = readOnly(exts, derSequence); !ok {
		return false, false
	}
	return w.matchExtensions(exts)
}

// matchExtensions looks up what the extensions of a canonical certificate name. Of those that name nothing, only the number
// is read: this is where a scan spends its time.
func (w *WatchList) matchExtensions(exts []byte) (matched, canonical bool) {
	const san, issuers = 1 << 0, 1<<1 | 1<<8
	const looked = 1<<0 | 1<<1 | 1<<5 | 1<<8 | 1<<12 | 1<<15
	var seen uint64 // by number; 0 is the SAN
	for len(exts) > 0 {
		tag, ext, rest, ok := readDER(exts)
		if !ok || tag != derSequence {
			return false, false
		}
		exts = rest
		number := uint(0)
		switch {
		case len(ext) > len(derFulcioOID)+1 && string(ext[:len(derFulcioOID)]) == derFulcioOID && ext[len(derFulcioOID)] < 0x80:
			number, ext = uint(ext[len(derFulcioOID)]), ext[len(derFulcioOID)+1:]
			if number == 0 || number > 63 {
				continue
			}
		case len(ext) > len(derSANOID) && string(ext[:len(derSANOID)]) == derSANOID:
			ext = ext[len(derSANOID):]
		default:
			if tag, _, _, ok := readDER(ext); !ok || tag != derOID {
				return false, false
			}
			continue
		}
		if seen&(1<<number) != 0 {
			return false, false
		}
		seen |= 1 << number
		if looked&(1<<number) == 0 {
			continue
		}
		value, ok := extensionValue(ext)
		if ok && number > 6 { // of Fulcio's, .1 to .6 have no wrapper
			value, ok = readOnly(value, derUTF8)
		}
		if !ok {
			return false, false
		}
		switch number {
		case 0:
			if value, ok = readOnly(value, derSequence); ok {
				value, ok = readOnly(value, derURI)
			}
			if ok {
				value, ok = bytes.CutPrefix(value, gitHubPrefix)
				matched = matched || ok && w.hasName(repositoryPart(value))
			}
		case 1, 8:
			ok = bytes.Equal(value, gitHubIssuer)
		case 5:
			matched = matched || w.hasName(value)
		case 12:
			value, ok = bytes.CutPrefix(value, gitHubPrefix)
			matched = matched || ok && w.hasName(value)
		case 15:
			matched = matched || w.hasID(value)
		}
		if !ok {
			return matched, false
		}
	}
	return matched, seen&san != 0 && seen&issuers != 0
}

// extensionValue is what the OCTET STRING holds that follows an extension's identifier.
func extensionValue(ext []byte) ([]byte, bool) {
	if len(ext) > 0 && ext[0] == derBoolean {
		var ok bool
		if _, _, ext, ok = readDER(ext); !ok {
			return nil, false
		}
	}
	return readOnly(ext, derOctets)
}

// repositoryPart is the "owner/name" that the path of a URL begins with.
func repositoryPart(path []byte) []byte {
	owner := bytes.IndexByte(path, '/')
	if owner < 0 {
		return path
	}
	if name := bytes.IndexAny(path[owner+1:], "/@?#"); name >= 0 {
		return path[:owner+1+name]
	}
	return path
}

// hasName looks up a name and its owner, whatever their case, without allocating.
func (w *WatchList) hasName(name []byte) bool {
	var folded [maxName]byte
	if len(name) > len(folded) {
		return false
	}
	for i, c := range name {
		folded[i] = lowerByte(c)
	}
	_, ok := w.names[string(folded[:len(name)])]
	if ok || len(w.owners) == 0 {
		return ok
	}
	owner := bytes.IndexByte(name, '/')
	if owner < 0 {
		return false
	}
	_, ok = w.owners[string(folded[:owner])]
	return ok
}

// hasID looks up a repository's numeric id without allocating.
func (w *WatchList) hasID(id []byte) bool {
	_, ok := w.ids[string(id)]
	return ok
}

// maxNesting bounds how deep the walk over DER goes: a certificate's values lie less than ten deep.
const maxNesting = 16

// matchValues walks over all values in DER, and looks at each that may be text: strings of any type, the names in a SAN, and
// what is in OCTET STRINGs, which is text in some of Fulcio's extensions and DER in others.
func (w *WatchList) matchValues(der []byte, depth int) bool {
	for len(der) > 0 {
		tag, content, rest, ok := readDER(der)
		if !ok {
			return false
		}
		der = rest
		inner := tag&derConstructed != 0 || tag == derOctets
		if inner && depth > 0 && w.matchValues(content, depth-1) {
			return true
		}
		if tag&derConstructed != 0 {
			continue
		}
		switch {
		case tag == derBMP:
			if w.Mentions(fromUTF16(content)) {
				return true
			}
		case tag == derOctets || tag >= derUTF8 && tag < derSequence || tag&derContext != 0:
			if w.hasID(content) || w.mayMention(content) && w.Mentions(string(content)) {
				return true
			}
		}
	}
	return false
}

// fromUTF16 decodes the content of a BMPString.
func fromUTF16(content []byte) string {
	units := make([]uint16, len(content)/2)
	for i := range units {
		units[i] = uint16(content[2*i])<<8 | uint16(content[2*i+1])
	}
	return string(utf16.Decode(units))
}

// maxKey is the longest SubjectPublicKeyInfo that is looked for inside other bytes: twice the longest that is in use.
const maxKey = 8 << 10

// matchKeys looks for a watched SubjectPublicKeyInfo anywhere in bytes of no known shape.
func (w *WatchList) matchKeys(text []byte) bool {
	if len(w.keys) == 0 {
		return false
	}
	for i := 0; i < len(text); i++ {
		next := bytes.IndexByte(text[i:], derSequence)
		if next < 0 {
			return false
		}
		i += next
		_, content, rest, ok := readDER(text[i:])
		if !ok || len(content) > maxKey {
			continue
		}
		// An algorithm, which begins with its object identifier, and a BIT STRING.
		tag, algorithm, bits, ok := readDER(content)
		if !ok || tag != derSequence || len(algorithm) == 0 || algorithm[0] != derOID {
			continue
		}
		if _, ok := readOnly(bits, derBitString); !ok {
			continue
		}
		if _, ok := w.keys[sha256.Sum256(text[i:len(text)-len(rest)])]; ok {
			return true
		}
	}
	return false
}
