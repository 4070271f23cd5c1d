package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"time"
)

// sha256Opts selects SHA-256 for crypto.Signer.
const sha256Opts = crypto.SHA256

// certificateLifetime is how long Fulcio's certificates live.
const certificateLifetime = 10 * time.Minute

// Fulcio is a certificate authority like Sigstore's: a P-384 root, a P-384 intermediate, and leaf certificates of ten
// minutes that carry the identity provider's claims and a promise of the CT log (fulcio docs/certificate-specification.md).
type Fulcio struct {
	name         string
	entropy      entropy
	now          func() time.Time
	root         *x509.Certificate
	intermediate *x509.Certificate
	key          *ecdsa.PrivateKey // the intermediate's

	logs  ctLogs
	rogue *Fulcio // nil for the rogue itself
	// asked is told who asks for a certificate; nil for nobody.
	asked func(Claims) error

	mu     sync.Mutex
	issued int
}

// ctLogs are those that Fulcio has to do with.
type ctLogs struct {
	embedded *CTLog // whose promise certificates carry
	second   *CTLog // that gets every precertificate too; nil for none
	foreign  *CTLog // that the trusted root does not know
}

// CertificateOptions makes a certificate other than an honest one. The zero value is honest.
type CertificateOptions struct {
	// At is when the certificate becomes valid and its SCT is made; the world's now by default.
	At time.Time
	// Omit leaves Fulcio extensions out, by their last number; Override replaces their text. Certificates made
	// before Fulcio knew the deployment environment lack 23 and 24.
	Omit     []int
	Override map[int]string
	// NoSCT leaves the CT log's promise out; ForeignSCT has it made by a log that the trusted root does not know,
	// under the true log's id.
	NoSCT, ForeignSCT bool
	// StaticSCT has the promise made by the static CT log, which the RFC 6962 log then does not get to see.
	StaticSCT bool
	// Rogue has it issued by an authority with the true one's names and other keys.
	Rogue bool
	// Unlogged keeps the precertificate out of every log: the promise is broken. The static log promises the place of its
	// first entry then.
	Unlogged bool
}

// newFulcio makes a certificate authority whose certificates are valid since the epoch of the world. Two authorities
// of different names have different keys and the same subjects.
func newFulcio(e entropy, now func() time.Time, name string, logs ctLogs) (*Fulcio, error) {
	f := &Fulcio{name: name, entropy: e, now: now, logs: logs}
	rootKey, err := e.ecdsaKey(elliptic.P384(), name+"/root")
	if err != nil {
		return nil, err
	}
	if f.key, err = e.ecdsaKey(elliptic.P384(), name+"/intermediate"); err != nil {
		return nil, err
	}
	organization := []string{organizationOf(name)}
	f.root, err = f.authority(&x509.Certificate{
		Subject:    pkix.Name{Organization: organization, CommonName: "sandbox"},
		MaxPathLen: 1,
	}, nil, &rootKey.PublicKey, rootKey)
	if err != nil {
		return nil, fmt.Errorf("making the root of %s: %w", name, err)
	}
	f.intermediate, err = f.authority(&x509.Certificate{
		Subject:     pkix.Name{Organization: organization, CommonName: "sandbox-intermediate"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		// Zero is a limit here: an intermediate that issues no further authorities.
		MaxPathLenZero: true,
	}, f.root, &f.key.PublicKey, rootKey)
	if err != nil {
		return nil, fmt.Errorf("making the intermediate of %s: %w", name, err)
	}
	return f, nil
}

// organizationOf is whose an authority is, by the authority's name.
func organizationOf(name string) string {
	if strings.HasPrefix(name, gitHubInstance) {
		return "GitHub, Inc."
	}
	return "sandbox.example"
}

// authority signs a CA certificate; parent nil makes it self-signed.
func (f *Fulcio) authority(template, parent *x509.Certificate, pub *ecdsa.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	return makeAuthority(f.entropy, f.name, template, parent, pub, key)
}

// makeAuthority fills a CA template in and signs it with key; parent nil makes it self-signed.
func makeAuthority(e entropy, name string, template, parent *x509.Certificate, pub *ecdsa.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	template.SerialNumber = serial(e, name+"/"+template.Subject.CommonName)
	template.NotBefore, template.NotAfter = epoch, epoch.AddDate(20, 0, 0)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.SubjectKeyId = keyIdentifier(pub)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(nil, template, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// serial derives a positive serial number of 159 bits, as long as Fulcio's.
func serial(e entropy, label string) *big.Int {
	b := e.bytes("serial/"+label, 20)
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// keyIdentifier is the SHA-1 of the key's bit string (RFC 5280 §4.2.1.2 method 1), as Fulcio writes it.
func keyIdentifier(pub *ecdsa.PublicKey) []byte {
	point, err := pub.Bytes()
	if err != nil {
		// A key that this package derived is on its curve.
		panic(fmt.Sprintf("encoding a public key: %v", err))
	}
	sum := sha1.Sum(point)
	return sum[:]
}

// Signer is a signing job as a certificate authority sees it: a fresh key and the certificate for it. One signer may
// make any number of signatures while its certificate is valid, as the publish action does for the files of a release.
type Signer struct {
	Claims      Claims
	Certificate *x509.Certificate
	// Precertificate is what the CT logs have.
	Precertificate []byte
	key            *ecdsa.PrivateKey
}

// NewSigner makes a key and has it certified for the claims.
func (f *Fulcio) NewSigner(c Claims, o CertificateOptions) (*Signer, error) {
	if o.Rogue && f.rogue != nil {
		return f.rogue.NewSigner(c, o)
	}
	if f.asked != nil {
		if err := f.asked(c); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	f.issued++
	label := fmt.Sprintf("%s/leaf/%d", f.name, f.issued)
	f.mu.Unlock()
	return f.newSigner(label, c, o)
}

// stranger makes a signer whom nobody watches. The CT logs do not have the certificate, so that a log's noise does not
// count among what Fulcio issued.
func (f *Fulcio) stranger(label string) (*Signer, error) {
	return f.newSigner(label, strangerClaims(), CertificateOptions{Unlogged: true})
}

// newSigner makes the signer whose key the label gives.
func (f *Fulcio) newSigner(label string, c Claims, o CertificateOptions) (*Signer, error) {
	if o.At.IsZero() {
		o.At = f.now()
	}
	key, err := f.entropy.ecdsaKey(elliptic.P256(), label)
	if err != nil {
		return nil, err
	}
	s := &Signer{Claims: c, key: key}
	if s.Certificate, s.Precertificate, err = f.issue(label, &key.PublicKey, c, o); err != nil {
		return nil, fmt.Errorf("issuing a certificate to %s: %w", claimant(c), err)
	}
	return s, nil
}

func claimant(c Claims) string {
	switch {
	case c.SAN != "":
		return c.SAN
	case c.Email != "":
		return c.Email
	default:
		return c.jobWorkflowRef()
	}
}

// issue makes the certificate and the precertificate. Both are signed over one template that differs in its last
// extension alone, so that what the SCT covers is what the final certificate says (RFC 6962 §3.2).
func (f *Fulcio) issue(label string, pub *ecdsa.PublicKey, c Claims, o CertificateOptions) (*x509.Certificate, []byte, error) {
	extensions, err := c.extensions(o.Omit, o.Override)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(f.entropy, label),
		NotBefore:    o.At.UTC().Truncate(time.Second),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		SubjectKeyId: keyIdentifier(pub),
	}
	template.NotAfter = template.NotBefore.Add(certificateLifetime)
	uri, err := c.uri()
	if err != nil {
		return nil, nil, err
	}
	// crypto/x509 marks the SAN critical because the subject is empty (RFC 5280 §4.2.1.6).
	if uri != nil {
		template.URIs = append(template.URIs, uri)
	} else {
		template.EmailAddresses = []string{c.Email}
	}

	sign := func(last ...pkix.Extension) ([]byte, error) {
		t := *template
		t.ExtraExtensions = append(append([]pkix.Extension{}, extensions...), last...)
		return x509.CreateCertificate(nil, &t, f.intermediate, pub, f.key)
	}
	precertificate, err := sign(pkix.Extension{Id: oidPoison, Critical: true, Value: asn1.NullBytes})
	if err != nil {
		return nil, nil, fmt.Errorf("signing the precertificate: %w", err)
	}
	var promise []pkix.Extension
	if !o.NoSCT {
		list, err := f.submit(precertificate, template.NotBefore, o)
		if err != nil {
			return nil, nil, fmt.Errorf("obtaining an SCT: %w", err)
		}
		promise = append(promise, pkix.Extension{Id: oidSCTList, Value: list})
	}
	der, err := sign(promise...)
	if err != nil {
		return nil, nil, fmt.Errorf("signing the certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("parsing what was issued: %w", err)
	}
	return certificate, precertificate, nil
}

// submit gives a precertificate to the CT logs, and returns the SCT list for the certificate.
func (f *Fulcio) submit(precertificate []byte, at time.Time, o CertificateOptions) ([]byte, error) {
	s, err := newSubmission(precertificate, at, f.intermediate, f.root)
	if err != nil {
		return nil, err
	}
	log := f.logs.embedded
	switch {
	case o.ForeignSCT:
		log = f.logs.foreign
	case o.StaticSCT:
		log = f.logs.second
	}
	if o.Unlogged {
		return log.promise(s, 0)
	}
	index, err := log.submit(s)
	if err != nil {
		return nil, err
	}
	if second := f.logs.second; second != nil && second != log && !o.ForeignSCT && second.frozen().IsZero() {
		if _, err := second.submit(s); err != nil {
			return nil, err
		}
	}
	return log.promise(s, index)
}
