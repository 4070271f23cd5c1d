package attest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	ct "github.com/google/certificate-transparency-go"
	cttls "github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/transparency-dev/merkle/rfc6962"
)

var (
	worldStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	signedAt   = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	b64        = base64.StdEncoding.EncodeToString
)

const (
	v1Origin = "rekor.example - 1193050959916656506"
	v2Origin = "log.example"
)

// world is a small deployment of Sigstore with keys of its own: an authority, a CT log, both generations of Rekor, and a
// timestamp authority.
type world struct {
	t                      testing.TB
	caKey, tsaKey          *ecdsa.PrivateKey
	ca, tsa, tsaRoot       *x509.Certificate
	ctKey, rekorKey        *ecdsa.PrivateKey
	tiledKey               ed25519.PrivateKey
	ctID, rekorID, tiledID []byte
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, caKey: newKey(t), tsaKey: newKey(t), ctKey: newKey(t), rekorKey: newKey(t)}
	var err error
	_, w.tiledKey, err = ed25519.GenerateKey(rand.Reader)
	must(t, err)
	w.ca = w.certificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: worldStart, NotAfter: worldStart.AddDate(10, 0, 0),
	}, nil, w.caKey.Public(), w.caKey)
	rootKey := newKey(t)
	w.tsaRoot = w.certificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: "timestamp root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: worldStart, NotAfter: worldStart.AddDate(10, 0, 0),
	}, nil, rootKey.Public(), rootKey)
	// RFC 3161 §2.3 wants the key usage critical, which x509.Certificate cannot say.
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	must(t, err)
	w.tsa = w.certificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: "timestamp authority"}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: worldStart, NotAfter: worldStart.AddDate(5, 0, 0),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku}},
	}, w.tsaRoot, w.tsaKey.Public(), rootKey)

	w.ctID, w.rekorID = spkiHash(t, w.ctKey.Public()), spkiHash(t, w.rekorKey.Public())
	sum := sha256.Sum256(append([]byte(v2Origin+"\n\x01"), w.tiledKey.Public().(ed25519.PublicKey)...))
	w.tiledID = sum[:]
	return w
}

// material is the trusted root of the world; mutate may change its parts first.
func (w *world) material(mutate func(*parts)) root.TrustedMaterial {
	w.t.Helper()
	p := &parts{
		ca:    &root.FulcioCertificateAuthority{Root: w.ca, ValidityPeriodStart: worldStart, URI: "https://fulcio.example"},
		tsa:   &root.SigstoreTimestampingAuthority{Root: w.tsaRoot, Leaf: w.tsa, ValidityPeriodStart: worldStart, URI: "https://tsa.example"},
		rekor: &root.TransparencyLog{BaseURL: "https://rekor.example", ID: w.rekorID, PublicKey: w.rekorKey.Public()},
		tiled: &root.TransparencyLog{BaseURL: "https://log.example", ID: w.tiledID, PublicKey: w.tiledKey.Public()},
		ct:    &root.TransparencyLog{BaseURL: "https://ct.example", ID: w.ctID, PublicKey: w.ctKey.Public()},
	}
	for _, l := range []*root.TransparencyLog{p.rekor, p.tiled, p.ct} {
		l.HashFunc, l.SignatureHashFunc, l.ValidityPeriodStart = crypto.SHA256, crypto.SHA256, worldStart
	}
	if mutate != nil {
		mutate(p)
	}
	logs, cts := map[string]*root.TransparencyLog{}, map[string]*root.TransparencyLog{}
	for _, l := range []*root.TransparencyLog{p.rekor, p.tiled} {
		if l != nil {
			logs[hex.EncodeToString(l.ID)] = l
		}
	}
	if p.ct != nil {
		cts[hex.EncodeToString(p.ct.ID)] = p.ct
	}
	m, err := root.NewTrustedRoot(root.TrustedRootMediaType01, []root.CertificateAuthority{p.ca}, cts,
		[]root.TimestampingAuthority{p.tsa}, logs)
	must(w.t, err)
	return m
}

// parts are what a trusted root is made of; a nil log is left out.
type parts struct {
	ca           *root.FulcioCertificateAuthority
	tsa          *root.SigstoreTimestampingAuthority
	rekor, tiled *root.TransparencyLog
	ct           *root.TransparencyLog
}

func (w *world) verifier(mutate func(*parts)) *Verifier {
	w.t.Helper()
	v, err := NewVerifier(w.material(mutate), Options{Now: func() time.Time { return testNow }})
	must(w.t, err)
	return v
}

// identity is a short-lived certificate with its key.
type identity struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// issue makes a certificate as Fulcio does: ten minutes, one critical SAN, an embedded SCT.
func (w *world) issue(sans ...string) *identity {
	w.t.Helper()
	key := newKey(w.t)
	tmpl := &x509.Certificate{
		NotBefore: signedAt.Add(-time.Minute), NotAfter: signedAt.Add(9 * time.Minute), SerialNumber: serial(w.t),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	for _, san := range sans {
		u, err := url.Parse(san)
		must(w.t, err)
		tmpl.URIs = append(tmpl.URIs, u)
	}
	issuer := []byte("https://token.actions.githubusercontent.com")
	tmpl.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: issuer}}
	// The SCT is over what the certificate is without it, which is what a certificate without it is.
	pre := w.certificate(tmpl, w.ca, key.Public(), w.caKey)
	tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, pkix.Extension{Id: oidSCT, Value: w.sctList(pre.RawTBSCertificate)})
	return &identity{key: key, cert: w.certificate(tmpl, w.ca, key.Public(), w.caKey)}
}

func (w *world) sctList(tbs []byte) []byte {
	w.t.Helper()
	sct := ct.SignedCertificateTimestamp{SCTVersion: ct.V1, Timestamp: uint64(signedAt.UnixMilli())}
	copy(sct.LogID.KeyID[:], w.ctID)
	entry := ct.LogEntry{Leaf: ct.MerkleTreeLeaf{TimestampedEntry: &ct.TimestampedEntry{
		EntryType: ct.PrecertLogEntryType, Timestamp: sct.Timestamp,
		PrecertEntry: &ct.PreCert{IssuerKeyHash: sha256.Sum256(w.ca.RawSubjectPublicKeyInfo), TBSCertificate: tbs},
	}}}
	input, err := ct.SerializeSCTSignatureInput(sct, entry)
	must(w.t, err)
	digest := sha256.Sum256(input)
	sig, err := ecdsa.SignASN1(rand.Reader, w.ctKey, digest[:])
	must(w.t, err)
	sct.Signature = ct.DigitallySigned{
		Algorithm: cttls.SignatureAndHashAlgorithm{Hash: cttls.SHA256, Signature: cttls.ECDSA}, Signature: sig,
	}
	one, err := cttls.Marshal(sct)
	must(w.t, err)
	list, err := cttls.Marshal(ctx509.SignedCertificateTimestampList{SCTList: []ctx509.SerializedSCT{{Val: one}}})
	must(w.t, err)
	octets, err := asn1.Marshal(list)
	must(w.t, err)
	return octets
}

func (w *world) certificate(tmpl, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	w.t.Helper()
	if tmpl.SerialNumber == nil {
		tmpl.SerialNumber = serial(w.t)
	}
	if parent == nil {
		parent = tmpl
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, signer)
	must(w.t, err)
	cert, err := x509.ParseCertificate(der)
	must(w.t, err)
	return cert
}

// logged makes the second of two leaves of a tree, in the form of a bundle's log entry. seal signs the tree's text.
func logged(kind, version string, body []byte, logID []byte, text func(root []byte) string) map[string]any {
	other := rfc6962.DefaultHasher.HashLeaf([]byte("somebody else's"))
	treeRoot := rfc6962.DefaultHasher.HashChildren(other, rfc6962.DefaultHasher.HashLeaf(body))
	return map[string]any{
		"logIndex": "1", "logId": map[string]any{"keyId": b64(logID)},
		"kindVersion":       map[string]any{"kind": kind, "version": version},
		"canonicalizedBody": b64(body),
		"inclusionProof": map[string]any{
			"logIndex": "1", "treeSize": "2", "rootHash": b64(treeRoot), "hashes": []any{b64(other)},
			"checkpoint": map[string]any{"envelope": text(treeRoot)},
		},
	}
}

// logV1 logs a body in Rekor v1, behind 1,000 leaves of an earlier shard.
func (w *world) logV1(kind, version string, body []byte, at time.Time) map[string]any {
	w.t.Helper()
	e := logged(kind, version, body, w.rekorID, func(root []byte) string {
		return w.checkpointV1(v1Origin, 2, root)
	})
	e["logIndex"], e["integratedTime"] = "1001", fmt.Sprint(at.Unix())
	e["inclusionPromise"] = map[string]any{"signedEntryTimestamp": b64(w.set(body, at, 1001))}
	return e
}

func (w *world) checkpointV1(origin string, size int, root []byte) string {
	text := fmt.Sprintf("%s\n%d\n%s\n", origin, size, b64(root))
	return signedNote(text, "rekor.example", w.rekorID, w.signRekor([]byte(text)))
}

func (w *world) set(body []byte, at time.Time, index int) []byte {
	return w.signRekor(fmt.Appendf(nil, `{"body":%q,"integratedTime":%d,"logID":%q,"logIndex":%d}`,
		b64(body), at.Unix(), hex.EncodeToString(w.rekorID), index))
}

func (w *world) signRekor(message []byte) []byte {
	w.t.Helper()
	digest := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, w.rekorKey, digest[:])
	must(w.t, err)
	return sig
}

// logV2 logs a digest in Rekor v2.
func (w *world) logV2(digest, sig []byte, id *identity) map[string]any {
	body := fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":%q},"signature":{"content":%q,"verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{"rawBytes":%q}}}}}}`,
		b64(digest), b64(sig), b64(id.cert.Raw))
	return w.sealV2(body)
}

// sealV2 puts a body into the tiled log.
func (w *world) sealV2(body []byte) map[string]any {
	return logged("hashedrekord", "0.0.2", body, w.tiledID, func(root []byte) string {
		text := fmt.Sprintf("%s\n2\n%s\n", v2Origin, b64(root))
		return signedNote(text, v2Origin, w.tiledID, ed25519.Sign(w.tiledKey, []byte(text)))
	})
}

func signedNote(text, name string, keyID, sig []byte) string {
	return text + "\n— " + name + " " + b64(append(bytes.Clone(keyID[:4]), sig...)) + "\n"
}

// stamp has the timestamp authority sign over a signature.
func (w *world) stamp(sig []byte, at time.Time) string {
	w.t.Helper()
	digest := sha256.Sum256(sig)
	ts := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: digest[:], Time: at, SerialNumber: serial(w.t),
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, AddTSACertificate: true,
	}
	raw, err := ts.CreateResponseWithOpts(w.tsa, w.tsaKey, crypto.SHA256)
	must(w.t, err)
	return b64(raw)
}

func dsseBody(payload, sig []byte, pemText []byte) []byte {
	hash := sha256.Sum256(payload)
	return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":{"algorithm":"sha256","value":"%064x"},"payloadHash":{"algorithm":"sha256","value":"%x"},"signatures":[{"signature":%q,"verifier":%q}]}}`,
		0, hash, b64(sig), b64(pemText))
}

func (id *identity) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.cert.Raw})
}

func (id *identity) sign(t testing.TB, message []byte) []byte {
	t.Helper()
	digest := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, id.key, digest[:])
	must(t, err)
	return sig
}

const (
	wheel       = "demo-1.0-py3-none-any.whl"
	wheelSHA256 = "9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0" // of "aaa"
)

func publishStatement(name, digest, predicate string) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":%q,"digest":{"sha256":%q}}],"predicateType":"https://docs.pypi.org/attestations/publish/v1","predicate":%s}`,
		name, digest, predicate)
}

// attestation signs a statement and logs it in Rekor v1, as PyPI's publishing does. The result may be changed before it
// is encoded.
func (w *world) attestation(id *identity, statement []byte) map[string]any {
	w.t.Helper()
	sig := id.sign(w.t, pae(payloadTypeInToto, statement))
	return map[string]any{
		"version": 1,
		"verification_material": map[string]any{
			"certificate":          b64(id.cert.Raw),
			"transparency_entries": []any{w.logV1("dsse", "0.0.1", dsseBody(statement, sig, id.pem()), signedAt)},
		},
		"envelope": map[string]any{"statement": b64(statement), "signature": b64(sig)},
	}
}

// tiledBundle signs the artifact itself and logs it in Rekor v2, with a timestamp.
func (w *world) tiledBundle(id *identity, artifact []byte) map[string]any {
	w.t.Helper()
	digest := sha256.Sum256(artifact)
	sig := id.sign(w.t, artifact)
	return map[string]any{
		"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": map[string]any{
			"certificate":               map[string]any{"rawBytes": b64(id.cert.Raw)},
			"tlogEntries":               []any{w.logV2(digest[:], sig, id)},
			"timestampVerificationData": map[string]any{"rfc3161Timestamps": []any{map[string]any{"signedTimestamp": w.stamp(sig, signedAt)}}},
		},
		"messageSignature": map[string]any{
			"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": b64(digest[:])}, "signature": b64(sig),
		},
	}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	must(t, err)
	return raw
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	b := make([]byte, 8)
	_, err := rand.Read(b)
	must(t, err)
	return new(big.Int).SetUint64(binary.BigEndian.Uint64(b) >> 1)
}

func spkiHash(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	must(t, err)
	sum := sha256.Sum256(der)
	return sum[:]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
