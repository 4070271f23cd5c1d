package ctlog

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyteasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SCT is a signed certificate timestamp (RFC 6962 §3.2): a log's promise to include a certificate within its merge delay.
type SCT struct {
	// LogID names the log: the SHA-256 of its key's SubjectPublicKeyInfo.
	LogID [sha256.Size]byte
	// Timestamp is when the promise was made, to the millisecond.
	Timestamp time.Time
	// Extensions are part of the leaf as they stand (static-ct-api has the leaf's index there).
	Extensions []byte
	// Signature is a digitally-signed structure (RFC 5246 §4.7).
	Signature []byte
}

// maxSCTs is how many promises a certificate may carry. Fulcio's have one, the web's two or three.
const maxSCTs = 16

// EmbeddedSCTs reads the promises that a final certificate carries (RFC 6962 §3.3), in their order; one without any has nil.
// Of an SCT of another version than v1, which this version cannot know, it is an error.
func EmbeddedSCTs(cert *x509.Certificate) ([]SCT, error) {
	for _, e := range cert.Extensions {
		if !e.Id.Equal(oidSCTList) {
			continue
		}
		scts, err := parseSCTList(e.Value)
		if err != nil {
			return nil, fmt.Errorf("the certificate's list of SCTs: %w", err)
		}
		return scts, nil
	}
	return nil, nil
}

// parseSCTList reads the value of the extension: an OCTET STRING with a SignedCertificateTimestampList in it.
func parseSCTList(value []byte) ([]SCT, error) {
	in := cryptobyte.String(value)
	var text, list cryptobyte.String
	if !in.ReadASN1(&text, cryptobyteasn1.OCTET_STRING) || !in.Empty() || !text.ReadUint16LengthPrefixed(&list) || !text.Empty() {
		return nil, errors.New("it is malformed")
	}
	var scts []SCT
	for !list.Empty() {
		if len(scts) == maxSCTs {
			return nil, fmt.Errorf("it has more than %d", maxSCTs)
		}
		var one cryptobyte.String
		if !list.ReadUint16LengthPrefixed(&one) {
			return nil, errors.New("it is cut off")
		}
		sct, err := parseSCT(one)
		if err != nil {
			return nil, fmt.Errorf("SCT %d: %w", len(scts), err)
		}
		scts = append(scts, sct)
	}
	return scts, nil
}

func parseSCT(in cryptobyte.String) (SCT, error) {
	var s SCT
	var version uint8
	var millis uint64
	var id []byte
	var extensions cryptobyte.String
	switch {
	case !in.ReadUint8(&version):
		return s, errors.New("it is empty")
	case version != 0:
		return s, fmt.Errorf("its version %d is not that of RFC 6962", version)
	case !in.ReadBytes(&id, sha256.Size) || !in.ReadUint64(&millis) || !in.ReadUint16LengthPrefixed(&extensions) || in.Empty():
		return s, errors.New("it is cut off")
	case millis > math.MaxInt64:
		return s, fmt.Errorf("its timestamp %d is beyond all times", millis)
	}
	copy(s.LogID[:], id)
	s.Timestamp, s.Extensions, s.Signature = time.UnixMilli(int64(millis)).UTC(), extensions, in
	return s, nil
}

// Leaf rebuilds the MerkleTreeLeaf (RFC 6962 §3.4) that the log promised to include: that of the precertificate from which
// a final certificate, in DER, was made. issuerKeyHash is the SHA-256 of its issuer's SubjectPublicKeyInfo. Whoever has not
// verified the chain, or the promise with [SCT.Verify], rebuilds a leaf that nobody may ever have promised.
func (s SCT) Leaf(certificate []byte, issuerKeyHash [sha256.Size]byte) ([]byte, error) {
	tbs, err := tbsOf(certificate)
	if err != nil {
		return nil, fmt.Errorf("rebuilding a certificate transparency leaf: %w", err)
	}
	if len(tbs) >= 1<<24 || len(s.Extensions) > math.MaxUint16 {
		return nil, errors.New("rebuilding a certificate transparency leaf: the certificate is larger than a leaf can hold")
	}
	leaf := make([]byte, 0, 2+8+2+sha256.Size+3+len(tbs)+2+len(s.Extensions))
	leaf = append(leaf, 0, 0) // v1, timestamped_entry
	leaf = binary.BigEndian.AppendUint64(leaf, uint64(s.Timestamp.UnixMilli()))
	leaf = binary.BigEndian.AppendUint16(leaf, uint16(Precert))
	leaf = append(leaf, issuerKeyHash[:]...)
	leaf = append(leaf, byte(len(tbs)>>16), byte(len(tbs)>>8), byte(len(tbs)))
	leaf = append(leaf, tbs...)
	leaf = binary.BigEndian.AppendUint16(leaf, uint16(len(s.Extensions)))
	return append(leaf, s.Extensions...), nil
}

// Verify checks that the log's key signed the promise of a leaf. What an SCT signs (RFC 6962 §3.2) is the leaf, byte for
// byte: its version and signature type have the codes of the leaf's version and type.
func (s SCT) Verify(key crypto.PublicKey, leaf []byte) error {
	id, err := logID(key)
	if err != nil {
		return fmt.Errorf("verifying an SCT: %w", err)
	}
	if id != s.LogID {
		return errors.New("verifying an SCT: it is another log's")
	}
	if err := verifySigned(key, leaf, s.Signature); err != nil {
		return fmt.Errorf("verifying an SCT: %w", err)
	}
	return nil
}

// leafIndexType is the SCT extension that says where the leaf is (static-ct-api, "SCT Extension").
const leafIndexType = 0

// LeafIndex is where the log says that the leaf is (static-ct-api); ok is false where the extensions do not tell, or are not
// of that form.
func (s SCT) LeafIndex() (index uint64, ok bool) {
	in := cryptobyte.String(s.Extensions)
	for !in.Empty() {
		var kind uint8
		var data cryptobyte.String
		if !in.ReadUint8(&kind) || !in.ReadUint16LengthPrefixed(&data) {
			return 0, false
		}
		if kind != leafIndexType {
			continue
		}
		if ok || len(data) != 5 {
			return 0, false // said twice, or not in 40 bits
		}
		for _, b := range data {
			index = index<<8 | uint64(b)
		}
		ok = true
	}
	return index, ok
}
