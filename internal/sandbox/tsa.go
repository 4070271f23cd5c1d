package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"time"

	"github.com/digitorus/timestamp"
)

// TSA is a timestamping authority (RFC 3161) with a chain of its own. Its answers are the one thing in the world that
// a seed does not determine: the library draws serial numbers itself.
type TSA struct {
	now   func() time.Time
	key   *ecdsa.PrivateKey
	chain []*x509.Certificate // leaf, intermediate, root
}

// oidEKU and timestamping make an extended key usage that is critical, as RFC 3161 §2.3 demands and crypto/x509 does
// not write.
var (
	oidEKU          = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidTimestamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	oidTSAPolicy    = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}
)

func newTSA(e entropy, now func() time.Time, name string) (*TSA, error) {
	rootKey, err := e.ecdsaKey(elliptic.P384(), name+"/root")
	if err != nil {
		return nil, err
	}
	intermediateKey, err := e.ecdsaKey(elliptic.P384(), name+"/intermediate")
	if err != nil {
		return nil, err
	}
	t := &TSA{now: now}
	if t.key, err = e.ecdsaKey(elliptic.P256(), name+"/leaf"); err != nil {
		return nil, err
	}
	organization := []string{organizationOf(name)}
	root, err := makeAuthority(e, name, &x509.Certificate{
		Subject: pkix.Name{Organization: organization, CommonName: "sandbox-tsa-root"}, MaxPathLen: 1,
	}, nil, &rootKey.PublicKey, rootKey)
	if err != nil {
		return nil, fmt.Errorf("making the timestamping root: %w", err)
	}
	intermediate, err := makeAuthority(e, name, &x509.Certificate{
		Subject:        pkix.Name{Organization: organization, CommonName: "sandbox-tsa-intermediate"},
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
		MaxPathLenZero: true,
	}, root, &intermediateKey.PublicKey, rootKey)
	if err != nil {
		return nil, fmt.Errorf("making the timestamping intermediate: %w", err)
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{oidTimestamping})
	if err != nil {
		return nil, fmt.Errorf("encoding the timestamping key usage: %w", err)
	}
	der, err := x509.CreateCertificate(nil, &x509.Certificate{
		SerialNumber:    serial(e, name+"/leaf"),
		Subject:         pkix.Name{Organization: organization, CommonName: "sandbox-tsa"},
		NotBefore:       epoch,
		NotAfter:        epoch.AddDate(20, 0, 0),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		SubjectKeyId:    keyIdentifier(&t.key.PublicKey),
		ExtraExtensions: []pkix.Extension{{Id: oidEKU, Critical: true, Value: usage}},
	}, intermediate, &t.key.PublicKey, intermediateKey)
	if err != nil {
		return nil, fmt.Errorf("making the timestamping certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parsing the timestamping certificate: %w", err)
	}
	t.chain = []*x509.Certificate{leaf, intermediate, root}
	return t, nil
}

// Timestamp returns a TimeStampResp over a signature, as bundles carry it. The zero time stands for now.
func (t *TSA) Timestamp(signature []byte, at time.Time) ([]byte, error) {
	if at.IsZero() {
		at = t.now()
	}
	digest := sha256.Sum256(signature)
	response, err := (&timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256,
		HashedMessage: digest[:],
		Time:          at.UTC().Truncate(time.Second),
		Policy:        oidTSAPolicy,
	}).CreateResponseWithOpts(t.chain[0], t.key, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("timestamping a signature: %w", err)
	}
	return response, nil
}
