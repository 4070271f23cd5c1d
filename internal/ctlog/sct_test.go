package ctlog

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"

	"github.com/rekoncile/rekoncile/internal/realdata"
	"github.com/rekoncile/rekoncile/internal/sandbox"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// parsed parses a certificate that is known to be one.
func parsed(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// rebuilt rebuilds the leaf of a certificate's only promise.
func rebuilt(t *testing.T, der []byte, issuer [sha256.Size]byte) (SCT, []byte) {
	t.Helper()
	scts, err := EmbeddedSCTs(parsed(t, der))
	if err != nil || len(scts) != 1 {
		t.Fatalf("%d SCTs, %v", len(scts), err)
	}
	leaf, err := scts[0].Leaf(der, issuer)
	if err != nil {
		t.Fatal(err)
	}
	return scts[0], leaf
}

// TestRealPromisesAreForTheRebuiltLeaf verifies the SCTs of real Fulcio certificates over the leaves that are rebuilt of them,
// which are also those that certificate-transparency-go rebuilds. With any byte changed, nobody promised them.
func TestRealPromisesAreForTheRebuiltLeaf(t *testing.T) {
	dir := realdata.Dir(t)
	der := pemFile(t, dir, "1-trust/root-signing/targets__fulcio_intermediate_v1.crt.pem")
	intermediate := parsed(t, der)
	theirs, err := ctx509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	issuer := sha256.Sum256(intermediate.RawSubjectPublicKeyInfo)
	key, err := x509.ParsePKIXPublicKey(pemFile(t, dir, "1-trust/root-signing/targets__ctfe_2022.pub"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := logID(key)
	if err != nil {
		t.Fatal(err)
	}
	verified := 0
	for _, der := range realCertificates(t, dir) {
		cert := parsed(t, der)
		scts, err := EmbeddedSCTs(cert)
		if err != nil {
			t.Errorf("serial %x: %v", cert.SerialNumber, err)
		}
		if !bytes.Equal(cert.AuthorityKeyId, intermediate.SubjectKeyId) {
			continue
		}
		for _, sct := range scts {
			if sct.LogID != id {
				continue
			}
			leaf, err := sct.Leaf(der, issuer)
			if err != nil {
				t.Fatal(err)
			}
			if err := sct.Verify(key, leaf); err != nil {
				t.Errorf("serial %x: %v", cert.SerialNumber, err)
			}
			final, err := ctx509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			other, err := ct.MerkleTreeLeafForEmbeddedSCT([]*ctx509.Certificate{final, theirs}, uint64(sct.Timestamp.UnixMilli()))
			if err != nil {
				t.Fatal(err)
			}
			if raw, err := tls.Marshal(*other); err != nil || !bytes.Equal(raw, leaf) {
				t.Errorf("serial %x: certificate-transparency-go rebuilds another leaf (%v)", cert.SerialNumber, err)
			}
			if verified == 0 {
				for i := range leaf {
					leaf[i] ^= 1
					if sct.Verify(key, leaf) == nil {
						t.Errorf("a leaf with byte %d changed verifies", i)
					}
					leaf[i] ^= 1
				}
			}
			verified++
		}
	}
	if verified < 50 {
		t.Errorf("only %d certificates were looked at", verified)
	}
	t.Logf("verified %d promises", verified)
}

// TestARealPromiseOfAStaticLogSaysWhereTheLeafIs has a certificate whose SCT TesseraCT made.
func TestARealPromiseOfAStaticLogSaysWhereTheLeafIs(t *testing.T) {
	dir := filepath.Join(realdata.Dir(t), "7-conformance", "bundle-with-sct-with-extensions")
	read := func(name string) []byte {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	var bundle struct {
		VerificationMaterial struct {
			Certificate struct{ RawBytes []byte }
		}
	}
	if err := json.Unmarshal(read("bundle.sigstore.json"), &bundle); err != nil {
		t.Fatal(err)
	}
	root, err := trust.FromJSON("conformance", read("trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	set := trust.Set{Roots: []trust.Root{*root}}
	der := bundle.VerificationMaterial.Certificate.RawBytes
	hash, err := set.Issuer(parsed(t, der))
	if err != nil {
		t.Fatal(err)
	}
	sct, leaf := rebuilt(t, der, unhex(t, hash))
	index, ok := sct.LeafIndex()
	if stamp := sct.Timestamp.Format("2006-01-02T15:04:05.000Z"); !ok || index != 112 || stamp != "2026-01-15T22:49:24.925Z" {
		t.Errorf("index %d, %t, made at %s", index, ok, stamp)
	}
	verified := 0
	for _, log := range root.Material.CTLogs() {
		if err := sct.Verify(log.PublicKey, leaf); err != nil {
			t.Error(err)
		}
		verified++
	}
	if verified != 1 {
		t.Errorf("%d logs", verified)
	}
}

func unhex(t *testing.T, text string) [sha256.Size]byte {
	t.Helper()
	digest, err := hex.DecodeString(text)
	if err != nil || len(digest) != sha256.Size {
		t.Fatalf("%q is not a digest: %v", text, err)
	}
	return [sha256.Size]byte(digest)
}

// certify issues a certificate in a sandbox. issuer is its issuer's key hash.
func certify(t *testing.T, w *sandbox.World, o sandbox.CertificateOptions) (der []byte, issuer [sha256.Size]byte) {
	t.Helper()
	signer, err := w.Fulcio.NewSigner(sandbox.ReleaseClaims("1.23.0"), o)
	if err != nil {
		t.Fatal(err)
	}
	root, err := trust.FromJSON("sandbox", w.TrustedRootJSON())
	if err != nil {
		t.Fatal(err)
	}
	set := trust.Set{Roots: []trust.Root{*root}}
	hash, err := set.Issuer(signer.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return signer.Certificate.Raw, unhex(t, hash)
}

// TestPromisesOfAnotherKeyOrForOtherBytesDoNotVerify changes what was promised, and who promised it.
func TestPromisesOfAnotherKeyOrForOtherBytesDoNotVerify(t *testing.T) {
	w := newWorld(t)
	key := logKey(t, w, w.CT.Origin())
	der, issuer := certify(t, w, sandbox.CertificateOptions{})
	sct, leaf := rebuilt(t, der, issuer)
	if err := sct.Verify(key, leaf); err != nil {
		t.Fatal(err)
	}
	if want, err := w.CT.Leaf(w.CT.Size() - 1); err != nil || !bytes.Equal(want, leaf) {
		t.Errorf("the log has another leaf (%v)", err)
	}
	bad := map[string]func(SCT, []byte) (SCT, []byte){
		"another issuer": func(s SCT, l []byte) (SCT, []byte) { l[12] ^= 1; return s, l },
		"another time":   func(s SCT, l []byte) (SCT, []byte) { l[9]++; return s, l },
		"another TBS":    func(s SCT, l []byte) (SCT, []byte) { l[len(l)-3] ^= 1; return s, l },
		"an extension":   func(s SCT, l []byte) (SCT, []byte) { return s, append(l[:len(l)-2], 0, 3, 9, 0, 0) },
		"no signature":   func(s SCT, l []byte) (SCT, []byte) { s.Signature = s.Signature[:3]; return s, l },
		"another log":    func(s SCT, l []byte) (SCT, []byte) { s.LogID[0] ^= 1; return s, l },
	}
	for name, change := range bad {
		if changed, l := change(sct, bytes.Clone(leaf)); changed.Verify(key, l) == nil {
			t.Errorf("%s: it verifies", name)
		}
	}
	if err := sct.Verify(logKey(t, w, w.StaticCT.Origin()), leaf); err == nil || !strings.Contains(err.Error(), "another log's") {
		t.Errorf("by another log's key: %v", err)
	}
	foreign, issuer := certify(t, w, sandbox.CertificateOptions{ForeignSCT: true})
	sct, leaf = rebuilt(t, foreign, issuer)
	if err := sct.Verify(key, leaf); err == nil || !strings.Contains(err.Error(), "did not sign") {
		t.Errorf("another key under the log's id: %v", err)
	}
	none, _ := certify(t, w, sandbox.CertificateOptions{NoSCT: true})
	if scts, err := EmbeddedSCTs(parsed(t, none)); scts != nil || err != nil {
		t.Errorf("without a promise: %v, %v", scts, err)
	}
}

func TestBadListsOfPromisesAreClearErrors(t *testing.T) {
	list := func(scts ...[]byte) []byte {
		var body []byte
		for _, s := range scts {
			body = append(append(body, byte(len(s)>>8), byte(len(s))), s...)
		}
		value, err := asn1.Marshal(append([]byte{byte(len(body) >> 8), byte(len(body))}, body...))
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	good := append(make([]byte, 1+sha256.Size+8+2), 4, 3, 0, 0)
	many := make([][]byte, maxSCTs+1)
	for i := range many {
		many[i] = good
	}
	if scts, err := parseSCTList(list(many[1:]...)); err != nil || len(scts) != maxSCTs {
		t.Errorf("%d SCTs: %v", len(scts), err)
	}
	late := bytes.Clone(good)
	late[1+sha256.Size] = 0x80
	for want, value := range map[string][]byte{
		"it has more than 16":                          list(many...),
		"SCT 1: its version 1 is not that of RFC 6962": list(good, append([]byte{1}, good[1:]...)),
		"SCT 0: it is cut off":                         list(good[:40]),
		"SCT 0: it is empty":                           list(nil),
		"SCT 0: its timestamp":                         list(late),
		"it is malformed":                              append(list(good), 0),
		"it is cut off":                                {4, 3, 0, 1, 0},
	} {
		if _, err := parseSCTList(value); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestTheIndexOfALeafIsSaidOnceAndInFull(t *testing.T) {
	for extensions, want := range map[string]int64{
		"\x00\x00\x05\x00\x00\x00\x01\x02":              258,
		"\x00\x00\x05\xff\xff\xff\xff\xff":              1<<40 - 1,
		"\x07\x00\x01x\x00\x00\x05\x00\x00\x00\x00\x09": 9,
		"":                             -1,
		"\x07\x00\x01x":                -1,
		"\x00\x00\x04\x00\x00\x00\x09": -1,
		"\x00\x00\x05\x00\x00\x00\x00": -1,
		"\x00\x00\x05\x00\x00\x00\x00\x09\x00\x00\x05\x00\x00\x00\x00\x09": -1,
		"\x00\x00\x05\x00\x00\x00\x00\x09\x01":                             -1,
	} {
		index, ok := SCT{Extensions: []byte(extensions)}.LeafIndex()
		if ok != (want >= 0) || ok && index != uint64(want) {
			t.Errorf("%q: %d, %t", extensions, index, ok)
		}
	}
}

// FuzzParseSCTList compares with the decoder of certificate-transparency-go.
func FuzzParseSCTList(f *testing.F) {
	for _, seed := range []string{"BAIAAA==", "BHoAeAB2AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAQDAAA="} {
		value, err := base64.StdEncoding.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		scts, err := parseSCTList(value)
		if err != nil || len(scts) == 0 {
			return
		}
		var raw []byte
		if rest, err := asn1.Unmarshal(value, &raw); err != nil || len(rest) > 0 {
			t.Fatalf("encoding/asn1 does not read it: %v", err)
		}
		var list ctx509.SignedCertificateTimestampList
		if rest, err := tls.Unmarshal(raw, &list); err != nil || len(rest) > 0 || len(list.SCTList) != len(scts) {
			t.Fatalf("certificate-transparency-go reads %d SCTs: %v", len(list.SCTList), err)
		}
		for i, s := range scts {
			if s.LeafIndex(); len(s.Signature) == 0 {
				t.Fatal("an SCT without a signature")
			}
			var theirs ct.SignedCertificateTimestamp
			if _, err := tls.Unmarshal(list.SCTList[i].Val, &theirs); err != nil {
				continue // its signature has another form, which verifying finds
			}
			if theirs.LogID.KeyID != s.LogID || theirs.Timestamp != uint64(s.Timestamp.UnixMilli()) || !bytes.Equal(theirs.Extensions, s.Extensions) {
				t.Fatalf("certificate-transparency-go reads %+v, not %+v", theirs, s)
			}
		}
	})
}
