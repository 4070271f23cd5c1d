package trust

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// Issuer verifies that a certificate chains to a trusted authority at the time of its issue, and returns the hex SHA-256
// of its issuer's SubjectPublicKeyInfo. A log entry proves no later time at which the certificate was used.
func (s *Set) Issuer(cert *x509.Certificate) (string, error) {
	// Go does not know the OtherName form of SAN, in which Fulcio writes user names; it is read by who needs it.
	known := *cert
	known.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(cert.UnhandledCriticalExtensions), oidSAN.Equal)
	chains, err := verify.VerifyLeafCertificate(cert.NotBefore.Add(time.Second), &known, s.Material())
	if err != nil {
		return "", err
	}
	if len(chains) == 0 || len(chains[0]) < 2 {
		return "", errors.New("the certificate is an authority's own")
	}
	return keyHash(chains[0][1]), nil
}

var oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}

// IssuesWith reports whether a key, by its hex SHA-256, is that of a trusted authority: what a precertificate names its
// issuer by (RFC 6962 §3.2).
func (s *Set) IssuesWith(hash string) bool {
	for _, r := range s.Roots {
		if issuesWith(r.Material, hash) {
			return true
		}
	}
	return false
}

// HasCTLog reports whether a trusted root that has the authority with a key, by its hex SHA-256, names CT logs too: then
// what the authority issues must be promised to one.
func (s *Set) HasCTLog(hash string) bool {
	for _, r := range s.Roots {
		if len(r.Material.CTLogs()) > 0 && issuesWith(r.Material, hash) {
			return true
		}
	}
	return false
}

func issuesWith(material root.TrustedMaterial, hash string) bool {
	for _, authority := range material.FulcioCertificateAuthorities() {
		ca, ok := authority.(*root.FulcioCertificateAuthority)
		if !ok {
			continue
		}
		if keyHash(ca.Root) == hash {
			return true
		}
		for _, intermediate := range ca.Intermediates {
			if keyHash(intermediate) == hash {
				return true
			}
		}
	}
	return false
}

func keyHash(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}
