package attest

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

var (
	oidSAN = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidSCT = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
)

// gitHubOrganization is the organization in the names of GitHub's own authorities.
const gitHubOrganization = "GitHub, Inc."

// signer is the key that must have signed, with its certificate unless it is a managed key.
type signer struct {
	key  crypto.PublicKey
	cert *x509.Certificate
}

// is tells whether a logged certificate or key, in DER, is the signer's.
func (s *signer) is(der []byte) bool {
	if s.cert != nil {
		return bytes.Equal(s.cert.Raw, der)
	}
	spki, err := x509.MarshalPKIXPublicKey(s.key)
	return err == nil && bytes.Equal(spki, der)
}

// checkSigner finds the key that the signature must verify with. It returns nil if there is none.
func (r *run) checkSigner(ev *evidence) *signer {
	r.res.KeyHint = ev.keyHint
	switch {
	case r.key == nil && ev.keyed:
		r.unsupported(CheckKey, "the bundle is signed with a managed key (hint %q), and no key was given", ev.keyHint)
		return nil
	case r.key != nil && !ev.keyed:
		r.fail(CheckKey, "a key was given, but the bundle is signed with a certificate")
		return nil
	case r.key != nil:
		s := &signer{key: r.key}
		if s.hashes() == nil {
			r.unsupported(CheckKey, "a key of type %T is not known here", r.key)
			return nil
		}
		r.pass(CheckKey, "a managed key, trusted by who gave it")
		return s
	}
	cert, err := x509.ParseCertificate(ev.certificate)
	if err != nil {
		r.fail(CheckCertificate, "the certificate does not parse: %v", err)
		return nil
	}
	c, err := newCertificate(cert)
	if err != nil {
		r.fail(CheckCertificate, "%v", err)
		return nil
	}
	r.res.Certificate = c
	s := &signer{key: cert.PublicKey, cert: cert}
	if s.hashes() == nil {
		r.unsupported(CheckCertificate, "a certificate for a %T is not known here", cert.PublicKey)
		return nil
	}
	// Who issued it decides what else is demanded. Whether it was valid when it signed is asked later, with a trusted time.
	for i := range r.v.instances {
		for _, ca := range r.v.instances[i].authorities {
			if _, err := ca.Verify(cert, cert.NotBefore); err == nil {
				r.issuer = &r.v.instances[i]
			}
		}
		if r.issuer != nil {
			break
		}
	}
	if r.issuer == nil && !ev.pep740 && slices.Contains(cert.Issuer.Organization, gitHubOrganization) {
		// Its bundles are in no log by design, and its authorities are not known here. Anyone can write that name: it makes the
		// signature no better, and it is not the lack of a log that is wrong with it.
		r.unsupported(CheckCertificate, "the certificate says that it is of GitHub's own Sigstore instance, which no trusted root has")
		r.foreign = true
		return s
	}
	r.pass(CheckCertificate, "serial %s, valid %s to %s", c.Serial, stamp(c.NotBefore), stamp(c.NotAfter))
	return s
}

// newCertificate describes a certificate, and refuses one whose identity would be ambiguous.
func newCertificate(cert *x509.Certificate) (*Certificate, error) {
	if cert.IsCA {
		return nil, errors.New("the certificate is an authority's, which signs nothing but certificates")
	}
	if n, err := countSANs(cert); err != nil {
		return nil, err
	} else if n != 1 {
		return nil, errors.New("the certificate does not have exactly one subject alternative name, so it is not clear who it names")
	}
	// Go does not know the OtherName form of SAN, in which Fulcio writes user names. It is decoded by who needs it.
	cert.UnhandledCriticalExtensions = slices.DeleteFunc(cert.UnhandledCriticalExtensions, oidSAN.Equal)

	tbs, err := TBSHash(cert)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(cert.Raw)
	return &Certificate{
		DER: cert.Raw, SHA256: hex.EncodeToString(sum[:]), TBSHash: tbs,
		Serial: cert.SerialNumber.Text(16), NotBefore: cert.NotBefore, NotAfter: cert.NotAfter, X509: cert,
	}, nil
}

// TBSHash is the hex SHA-256 over a certificate's TBSCertificate without its list of SCTs: see [Certificate.TBSHash].
func TBSHash(cert *x509.Certificate) (string, error) {
	tbs := cert.RawTBSCertificate
	if slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSCT) }) {
		var err error
		if tbs, err = ctx509.RemoveSCTList(tbs); err != nil {
			return "", errors.New("the certificate's SCT list cannot be told apart from the rest")
		}
	}
	sum := sha256.Sum256(tbs)
	return hex.EncodeToString(sum[:]), nil
}

// countSANs counts the general names of all kinds, also those that crypto/x509 does not know.
func countSANs(cert *x509.Certificate) (int, error) {
	n := 0
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(oidSAN) {
			continue
		}
		var names []asn1.RawValue
		if rest, err := asn1.Unmarshal(ext.Value, &names); err != nil || len(rest) > 0 {
			return 0, errors.New("the certificate's subject alternative names do not parse")
		}
		n += len(names)
	}
	return n, nil
}

// checkChain verifies the certificate path at every trusted signing time, as the Sigstore client specification demands,
// and then the SCT, whose signature covers the issuer.
func (r *run) checkChain() {
	if len(r.times) == 0 {
		r.skip(CheckChain, "without a trusted signing time")
		r.skip(CheckSCT, "without a verified chain")
		return
	}
	var chains [][]*x509.Certificate
	for _, t := range r.times {
		var err error
		if chains, err = verify.VerifyLeafCertificate(t, r.res.Certificate.X509, r.v.material); err != nil || len(chains[0]) < 2 {
			r.fail(CheckChain, "no trusted authority vouches for the certificate at %s", stamp(t))
			r.skip(CheckSCT, "without a verified chain")
			return
		}
	}
	issuer := chains[0][1]
	keyHash := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	r.res.Certificate.IssuerKeyHash = hex.EncodeToString(keyHash[:])
	r.pass(CheckChain, "issued by %s", issuer.Subject)

	if !r.needsSCT() {
		r.skip(CheckSCT, "the issuer's trusted root has no certificate transparency log")
		return
	}
	if err := verify.VerifySignedCertificateTimestamp(chains, 1, r.v.material); err != nil {
		r.fail(CheckSCT, "no trusted certificate transparency log vouches for the certificate: %v", err)
		return
	}
	r.pass(CheckSCT, "")
}

// needsEntries tells whether the signature must be logged. It need not only where the certificate's own issuer has no log.
func (r *run) needsEntries() bool { return r.issuer == nil || r.issuer.hasLogs }

func (r *run) needsSCT() bool { return r.issuer == nil || r.issuer.hasCTLogs }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
