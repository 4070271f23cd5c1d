// Package ctlog reads Certificate Transparency logs, Fulcio's above all, in both of their forms: RFC 6962 and static-ct-api.
//
// It promises that a tree head is the log's own, and that what it says of a certificate comes from the leaf alone, which
// is what the tree commits to; the chain that a log serves beside it is covered by nothing, and never read. What it finds of
// a log's promises is proven, and "not there" is never an answer that failed. It does not prove that the leaves that it reads
// are those of the tree, nor that a certificate chains to an authority or that the issuer key hash
// of a precertificate is that of one: its callers do.
package ctlog

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	ctx509 "github.com/google/certificate-transparency-go/x509"
	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// EntryType says what a leaf holds (RFC 6962 §3.1).
type EntryType uint16

const (
	X509    EntryType = 0 // a final certificate
	Precert EntryType = 1 // the TBSCertificate of a precertificate, and its issuer's key hash
)

func (t EntryType) String() string {
	switch t {
	case X509:
		return "x509"
	case Precert:
		return "precert"
	}
	return fmt.Sprintf("entry type %d", uint16(t))
}

// Leaf is what a leaf says. Its slices are views into the leaf's bytes, except that of a TBS that had an SCT list.
type Leaf struct {
	Timestamp time.Time // of the SCT; to the millisecond
	Type      EntryType
	// IssuerKeyHash is the SHA-256 of the issuer's SubjectPublicKeyInfo. A final certificate's leaf does not have it: it
	// is all zeros there, and becomes known when the chain is verified.
	IssuerKeyHash [sha256.Size]byte
	// TBS is the DER of the TBSCertificate without poison and without SCTs: the same bytes for a precertificate and its
	// certificate.
	TBS []byte
	// Certificate is the DER of a final certificate; nil for a precertificate.
	Certificate []byte
	// Extensions are those of the SCT, as they stand (static-ct-api has the leaf's index there).
	Extensions []byte
}

// maxLeafBytes is what get-entries may say of a leaf: two lengths of 24 and one of 16 bits. Fulcio's have about 2 kB.
const maxLeafBytes = 12 + sha256.Size + 3 + 1<<24 + 2 + math.MaxUint16

// ParseLeaf reads a MerkleTreeLeaf (RFC 6962 §3.4): the bytes under a leaf's hash. It demands that the certificate or
// TBSCertificate is one DER value, and looks no further into it.
func ParseLeaf(leaf []byte) (Leaf, error) {
	l, err := parseLeaf(leaf)
	if err != nil {
		return Leaf{}, fmt.Errorf("certificate transparency leaf: %w", err)
	}
	return l, nil
}

func parseLeaf(leaf []byte) (Leaf, error) {
	var (
		l                 Leaf
		version, leafType uint8
		millis            uint64
		kind              uint16
		issuer            []byte
		signed, extra     cryptobyte.String
	)
	in := cryptobyte.String(leaf)
	if !in.ReadUint8(&version) || !in.ReadUint8(&leafType) || !in.ReadUint64(&millis) || !in.ReadUint16(&kind) {
		return l, errors.New("it is cut off")
	}
	if version != 0 || leafType != 0 {
		return l, fmt.Errorf("its version %d and type %d are not those of RFC 6962", version, leafType)
	}
	if millis > math.MaxInt64 {
		return l, fmt.Errorf("its timestamp %d is beyond all times", millis)
	}
	l.Timestamp, l.Type = time.UnixMilli(int64(millis)).UTC(), EntryType(kind)
	switch l.Type {
	case X509:
	case Precert:
		if !in.ReadBytes(&issuer, sha256.Size) {
			return l, errors.New("it is cut off in its issuer's key hash")
		}
		copy(l.IssuerKeyHash[:], issuer)
	default:
		return l, fmt.Errorf("its %s is not known to this version", l.Type)
	}
	if !in.ReadUint24LengthPrefixed(&signed) || !in.ReadUint16LengthPrefixed(&extra) {
		return l, errors.New("it is cut off")
	}
	if !in.Empty() {
		return l, fmt.Errorf("%d bytes follow it", len(in))
	}
	l.Extensions = extra
	if l.Type == Precert {
		l.TBS = signed
	} else {
		l.Certificate = signed
		tbs, err := tbsOf(signed)
		if err != nil {
			return l, err
		}
		l.TBS = tbs
	}
	return l, checkDER(l.TBS)
}

// checkDER demands one DER SEQUENCE.
func checkDER(der []byte) error {
	in := cryptobyte.String(der)
	var body cryptobyte.String
	if !in.ReadASN1(&body, cryptobyteasn1.SEQUENCE) || !in.Empty() {
		return errors.New("its TBSCertificate is not one DER sequence")
	}
	return nil
}

var oidSCTList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}

// tbsOf returns a certificate's TBSCertificate without its list of SCTs.
func tbsOf(certificate []byte) ([]byte, error) {
	in := cryptobyte.String(certificate)
	var body, tbs cryptobyte.String
	if !in.ReadASN1(&body, cryptobyteasn1.SEQUENCE) || !in.Empty() || !body.ReadASN1Element(&tbs, cryptobyteasn1.SEQUENCE) {
		return nil, errors.New("its certificate is not one DER sequence")
	}
	if !holdsExtension(tbs, oidSCTList) {
		return tbs, nil
	}
	stripped, err := ctx509.RemoveSCTList(tbs)
	if err != nil {
		return nil, fmt.Errorf("its certificate's SCT list cannot be told from the rest: %w", err)
	}
	return stripped, nil
}

// holdsExtension reports whether a TBSCertificate has an extension, without parsing what else is in it.
func holdsExtension(tbs cryptobyte.String, oid asn1.ObjectIdentifier) bool {
	var body, extensions, extension cryptobyte.String
	if !tbs.ReadASN1(&body, cryptobyteasn1.SEQUENCE) {
		return false
	}
	wrapper := cryptobyteasn1.Tag(3).ContextSpecific().Constructed()
	for !body.Empty() && !body.PeekASN1Tag(wrapper) {
		var skipped cryptobyte.String
		var tag cryptobyteasn1.Tag
		if !body.ReadAnyASN1Element(&skipped, &tag) {
			return false
		}
	}
	if !body.ReadASN1(&extensions, wrapper) || !extensions.ReadASN1(&body, cryptobyteasn1.SEQUENCE) {
		return false
	}
	for body.ReadASN1(&extension, cryptobyteasn1.SEQUENCE) {
		var id asn1.ObjectIdentifier
		if extension.ReadASN1ObjectIdentifier(&id) && id.Equal(oid) {
			return true
		}
	}
	return false
}

// TBSSHA256 is the hex SHA-256 of the TBS, which with the issuer's key hash names the certificate.
func (l *Leaf) TBSSHA256() string {
	sum := sha256.Sum256(l.TBS)
	return hex.EncodeToString(sum[:])
}

// X509Certificate parses the certificate. That of a precertificate is one whose signature is empty, so that it verifies
// with nothing: its Raw is nobody's certificate, its RawTBSCertificate is the leaf's TBS.
func (l *Leaf) X509Certificate() (*x509.Certificate, error) {
	der := l.Certificate
	if l.Type == Precert {
		var err error
		if der, err = unsigned(l.TBS); err != nil {
			return nil, err
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing the certificate of a certificate transparency leaf: %w", err)
	}
	return cert, nil
}

// unsigned wraps a TBSCertificate into a certificate without a signature. RFC 5280 §4.1.1.2 wants the TBS's own
// signature algorithm beside it.
func unsigned(tbs []byte) ([]byte, error) {
	in := cryptobyte.String(tbs)
	var body, algorithm cryptobyte.String
	version := cryptobyteasn1.Tag(0).ContextSpecific().Constructed()
	if !in.ReadASN1(&body, cryptobyteasn1.SEQUENCE) || !body.SkipOptionalASN1(version) ||
		!body.SkipASN1(cryptobyteasn1.INTEGER) || !body.ReadASN1Element(&algorithm, cryptobyteasn1.SEQUENCE) {
		return nil, errors.New("the TBSCertificate of a certificate transparency leaf has no signature algorithm")
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+len(algorithm)+16))
	b.AddASN1(cryptobyteasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(algorithm)
		b.AddASN1BitString(nil)
	})
	return b.Bytes()
}
