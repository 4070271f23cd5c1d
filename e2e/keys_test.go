package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/clock"
)

// newKey makes a key.
func newKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pkcs8 and spki encode the two halves of a key.
func pkcs8(t *testing.T, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func spki(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// writeFile writes a file into a folder, and returns its path.
func writeFile(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// writePEM writes blocks of one type.
func writePEM(t *testing.T, dir, name, blockType string, ders ...[]byte) string {
	t.Helper()
	var text []byte
	for _, der := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})...)
	}
	return writeFile(t, dir, name, text)
}

// authority is who signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// certify makes a certificate for a key, signed by an authority, or by itself where there is none.
func certify(t *testing.T, by *authority, key *ecdsa.PrivateKey, template *x509.Certificate) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = serial
	now := clock.Real().Now()
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.AddDate(1, 0, 0)
	if by == nil {
		by = &authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.certificate, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// newAuthority makes a root and an intermediate below it, as Sigstore's authorities have them.
func newAuthority(t *testing.T, name string, usage x509.ExtKeyUsage) (root, intermediate *authority) {
	t.Helper()
	organization := []string{"e2e.example"}
	root = &authority{key: newKey(t, elliptic.P384())}
	root.certificate = certify(t, nil, root.key, &x509.Certificate{
		Subject: pkix.Name{Organization: organization, CommonName: name}, IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
	intermediate = &authority{key: newKey(t, elliptic.P384())}
	intermediate.certificate = certify(t, root, intermediate.key, &x509.Certificate{
		Subject: pkix.Name{Organization: organization, CommonName: name + "-intermediate"}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	})
	return root, intermediate
}

// timestamping is the extended key usage of a timestamp authority, critical as RFC 3161 §2.3 demands and crypto/x509 does
// not write.
func timestamping(t *testing.T) pkix.Extension {
	t.Helper()
	value, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: value}
}

// certificates are those of authorities.
func certificates(authorities ...*authority) []*x509.Certificate {
	var all []*x509.Certificate
	for _, a := range authorities {
		all = append(all, a.certificate)
	}
	return all
}
