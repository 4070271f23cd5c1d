package ctlog

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"math/big"
	"net/url"
	"testing"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	watchedSAN = "https://github.com/watched/project/.github/workflows/release.yml@refs/heads/main"
	otherSAN   = "https://github.com/somebody/else/.github/workflows/build.yml@refs/heads/main"
)

var notBefore = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

// authority issues certificates with their precertificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: notBefore, NotAfter: notBefore.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issued is a precertificate and its certificate.
type issued struct {
	precert, cert []byte
	tbs           []byte // without poison and SCTs
	keyHash       [sha256.Size]byte
}

func (a *authority) issue(t testing.TB, san string) issued {
	t.Helper()
	u, err := url.Parse(san)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	make := func(extension ...pkix.Extension) []byte {
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: serial, URIs: []*url.URL{u}, NotBefore: notBefore, NotAfter: notBefore.Add(10 * time.Minute), ExtraExtensions: extension,
		}, a.cert, &key.PublicKey, a.key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	bare, err := x509.ParseCertificate(make())
	if err != nil {
		t.Fatal(err)
	}
	return issued{
		precert: make(pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}, Critical: true, Value: asn1.NullBytes}),
		cert:    make(pkix.Extension{Id: oidSCTList, Value: []byte{4, 4, 0, 2, 0, 0}}),
		tbs:     bare.RawTBSCertificate, keyHash: sha256.Sum256(a.cert.RawSubjectPublicKeyInfo),
	}
}

const millis = 1_793_610_000_123

// precertLeaf and x509Leaf encode leaves with the code of certificate-transparency-go.
func precertLeaf(t testing.TB, c issued) []byte {
	t.Helper()
	tbs, err := ctx509.RemoveCTPoison(rawTBS(t, c.precert))
	if err != nil {
		t.Fatal(err)
	}
	return encodeLeaf(t, ct.TimestampedEntry{
		EntryType: ct.PrecertLogEntryType, PrecertEntry: &ct.PreCert{IssuerKeyHash: c.keyHash, TBSCertificate: tbs},
	})
}

func x509Leaf(t testing.TB, c issued) []byte {
	t.Helper()
	return encodeLeaf(t, ct.TimestampedEntry{EntryType: ct.X509LogEntryType, X509Entry: &ct.ASN1Cert{Data: c.cert}})
}

func encodeLeaf(t testing.TB, e ct.TimestampedEntry) []byte {
	t.Helper()
	e.Timestamp, e.Extensions = millis, ct.CTExtensions{0, 0, 5, 0, 0, 0, 0, 9}
	leaf, err := tls.Marshal(ct.MerkleTreeLeaf{Version: ct.V1, LeafType: ct.TimestampedEntryLeafType, TimestampedEntry: &e})
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func rawTBS(t testing.TB, der []byte) []byte {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert.RawTBSCertificate
}

// sign makes a digitally-signed structure.
func sign(t testing.TB, key *ecdsa.PrivateKey, message []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16([]byte{4, 3}, uint16(len(sig))), sig...)
}

// signTreeHead signs a tree head with the encoding of certificate-transparency-go.
func signTreeHead(t testing.TB, key *ecdsa.PrivateKey, size uint64, root [sha256.Size]byte) []byte {
	t.Helper()
	message, err := tls.Marshal(ct.TreeHeadSignature{
		Version: ct.V1, SignatureType: ct.TreeHashSignatureType, Timestamp: millis, TreeSize: size, SHA256RootHash: root,
	})
	if err != nil {
		t.Fatal(err)
	}
	return sign(t, key, message)
}

// watch is a Matcher for one name, in the simplest way there is.
type watch []byte

func (w watch) MatchDER(der []byte) bool { return bytes.Contains(der, w) }

var watched = watch("https://github.com/watched/project/")
