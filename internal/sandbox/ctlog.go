package sandbox

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/google/certificate-transparency-go/x509util"
)

// The extensions of RFC 6962 §3.1 and §3.3.
var (
	oidPoison  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
	oidSCTList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
)

// CTLog is a Certificate Transparency log as far as a certificate shows it: it promises to include
// precertificates, by SCTs (RFC 6962 §3.2).
type CTLog struct {
	key *ecdsa.PrivateKey
	// id names the log in its SCTs: the SHA-256 of its public key, unless it pretends to be another log.
	id [sha256.Size]byte
}

// newCTLog makes a log. With impersonate set, it signs under that log's id with a key of its own.
func newCTLog(e entropy, name string, impersonate *CTLog) (*CTLog, error) {
	key, err := e.ecdsaKey(elliptic.P256(), name)
	if err != nil {
		return nil, err
	}
	l := &CTLog{key: key}
	if impersonate != nil {
		l.id = impersonate.id
		return l, nil
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encoding the key of %s: %w", name, err)
	}
	l.id = sha256.Sum256(spki)
	return l, nil
}

// promise returns the value of an SCT list extension with one SCT for the precertificate, made at the given time.
func (l *CTLog) promise(precertificate []byte, issuer *x509.Certificate, at time.Time) ([]byte, error) {
	parsed, err := x509.ParseCertificate(precertificate)
	if err != nil {
		return nil, fmt.Errorf("parsing the precertificate: %w", err)
	}
	tbs, err := ctx509.RemoveCTPoison(parsed.RawTBSCertificate)
	if err != nil {
		return nil, fmt.Errorf("removing the poison: %w", err)
	}
	sct := ct.SignedCertificateTimestamp{
		SCTVersion: ct.V1,
		LogID:      ct.LogID{KeyID: l.id},
		Timestamp:  uint64(at.UnixMilli()),
	}
	input, err := ct.SerializeSCTSignatureInput(sct, ct.LogEntry{Leaf: ct.MerkleTreeLeaf{
		Version:  ct.V1,
		LeafType: ct.TimestampedEntryLeafType,
		TimestampedEntry: &ct.TimestampedEntry{
			Timestamp: sct.Timestamp,
			EntryType: ct.PrecertLogEntryType,
			PrecertEntry: &ct.PreCert{
				IssuerKeyHash:  sha256.Sum256(issuer.RawSubjectPublicKeyInfo),
				TBSCertificate: tbs,
			},
		},
	}})
	if err != nil {
		return nil, fmt.Errorf("encoding what an SCT covers: %w", err)
	}
	signature, err := signSHA256(l.key, input)
	if err != nil {
		return nil, fmt.Errorf("signing an SCT: %w", err)
	}
	sct.Signature = ct.DigitallySigned{
		Algorithm: tls.SignatureAndHashAlgorithm{Hash: tls.SHA256, Signature: tls.ECDSA},
		Signature: signature,
	}
	list, err := x509util.MarshalSCTsIntoSCTList([]*ct.SignedCertificateTimestamp{&sct})
	if err != nil {
		return nil, fmt.Errorf("encoding an SCT: %w", err)
	}
	raw, err := tls.Marshal(*list)
	if err != nil {
		return nil, fmt.Errorf("encoding an SCT list: %w", err)
	}
	return asn1.Marshal(raw)
}
