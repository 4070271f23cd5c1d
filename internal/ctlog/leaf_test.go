package ctlog

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/tls"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/google/certificate-transparency-go/x509util"

	"github.com/rekoncile/rekoncile/internal/realdata"
)

func TestPrecertificateAndCertificateHaveOneName(t *testing.T) {
	c := newAuthority(t).issue(t, watchedSAN)
	pre, err := ParseLeaf(precertLeaf(t, c))
	if err != nil {
		t.Fatal(err)
	}
	final, err := ParseLeaf(x509Leaf(t, c))
	if err != nil {
		t.Fatal(err)
	}
	if pre.Type != Precert || final.Type != X509 || pre.IssuerKeyHash != c.keyHash || final.IssuerKeyHash != [32]byte{} {
		t.Errorf("types %s and %s, issuers %x and %x", pre.Type, final.Type, pre.IssuerKeyHash, final.IssuerKeyHash)
	}
	if !bytes.Equal(pre.TBS, c.tbs) || !bytes.Equal(final.TBS, c.tbs) {
		t.Errorf("TBS\n%x and\n%x, want\n%x", pre.TBS, final.TBS, c.tbs)
	}
	sum := sha256.Sum256(c.tbs)
	if want := hex.EncodeToString(sum[:]); pre.TBSSHA256() != want || final.TBSSHA256() != want {
		t.Errorf("%s and %s, want %s", pre.TBSSHA256(), final.TBSSHA256(), want)
	}
	at := time.Date(2026, 11, 2, 9, 0, 0, 123e6, time.UTC)
	if !pre.Timestamp.Equal(at) || pre.Certificate != nil || !bytes.Equal(final.Certificate, c.cert) || len(pre.Extensions) != 8 {
		t.Errorf("at %s, certificates %x and %x, extensions %x", pre.Timestamp, pre.Certificate, final.Certificate, pre.Extensions)
	}
	for _, l := range []Leaf{pre, final} {
		cert, err := l.X509Certificate()
		if err != nil {
			t.Fatal(err)
		}
		if len(cert.URIs) != 1 || cert.URIs[0].String() != watchedSAN {
			t.Errorf("%s: URIs %v", l.Type, cert.URIs)
		}
	}
	cert, err := pre.X509Certificate()
	if err != nil || !bytes.Equal(cert.RawTBSCertificate, c.tbs) || len(cert.Signature) > 0 {
		t.Errorf("the precertificate's certificate has another TBS or a signature: %v", err)
	}
}

func TestCertificateWithoutSCTsIsNamedByItsTBS(t *testing.T) {
	c := newAuthority(t).issue(t, watchedSAN)
	c.cert = c.precert // an odd log might take a precertificate for a certificate: its bytes are its name
	l, err := ParseLeaf(x509Leaf(t, c))
	if err != nil || !bytes.Equal(l.TBS, rawTBS(t, c.precert)) {
		t.Errorf("%v, TBS %x", err, l.TBS)
	}
}

func TestBadLeavesAreClearErrors(t *testing.T) {
	c := newAuthority(t).issue(t, watchedSAN)
	good := precertLeaf(t, c)
	edit := func(at int, b ...byte) []byte {
		leaf := bytes.Clone(good)
		copy(leaf[at:], b)
		return leaf
	}
	notDER := encodeLeaf(t, ct.TimestampedEntry{EntryType: ct.PrecertLogEntryType, PrecertEntry: &ct.PreCert{TBSCertificate: []byte("text")}})
	notACert := encodeLeaf(t, ct.TimestampedEntry{EntryType: ct.X509LogEntryType, X509Entry: &ct.ASN1Cert{Data: []byte{0x30, 0}}})
	for name, tt := range map[string]struct {
		leaf []byte
		want string
	}{
		"empty":              {nil, "cut off"},
		"only a header":      {good[:12], "issuer's key hash"},
		"cut off":            {good[:len(good)-1], "cut off"},
		"followed":           {append(bytes.Clone(good), 0), "1 bytes follow"},
		"version":            {edit(0, 1), "not those of RFC 6962"},
		"leaf type":          {edit(1, 1), "not those of RFC 6962"},
		"timestamp":          {edit(2, 0xff), "beyond all times"},
		"entry type":         {edit(10, 0x80, 0), "entry type 32768 is not known"},
		"not DER":            {notDER, "not one DER sequence"},
		"not a certificate":  {notACert, "not one DER sequence"},
		"length beyond leaf": {edit(12+32, 0xff, 0xff, 0xff), "cut off"},
	} {
		if _, err := ParseLeaf(tt.leaf); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	l := Leaf{Type: Precert, TBS: []byte{0x30, 0}}
	if _, err := l.X509Certificate(); err == nil {
		t.Error("an empty TBS became a certificate")
	}
}

func TestScanReadsTheLeafAndNothingElse(t *testing.T) {
	a := newAuthority(t)
	mine, other := a.issue(t, watchedSAN), a.issue(t, otherSAN)
	s := NewScanner(watched)
	shifted := append([]byte{0}, precertLeaf(t, mine)...)
	newType := precertLeaf(t, mine)
	newType[11] = 7
	cutOff := x509Leaf(t, mine)
	cutOff = cutOff[:len(cutOff)-3]
	for name, leaf := range map[string][]byte{
		"precertificate": precertLeaf(t, mine), "certificate": x509Leaf(t, mine),
		"shifted": shifted, "new entry type": newType, "cut off": cutOff, "only the name": watched,
	} {
		if !s.Scan(leaf) {
			t.Errorf("%s: not found", name)
		}
	}
	mentioned := encodeLeaf(t, ct.TimestampedEntry{EntryType: ct.X509LogEntryType, X509Entry: &ct.ASN1Cert{Data: other.cert}})
	mentioned = append(mentioned[:len(mentioned)-10], 0, byte(len(watched)))
	mentioned = append(mentioned, watched...)
	for name, leaf := range map[string][]byte{
		"precertificate": precertLeaf(t, other), "certificate": x509Leaf(t, other), "empty": nil, "mentioned by the log": mentioned,
	} {
		if s.Scan(leaf) {
			t.Errorf("%s: found, and it is not there", name)
		}
	}
	if n := testing.AllocsPerRun(100, func() { s.Scan(precertLeafBytes) }); n > 0 {
		t.Errorf("a scan makes %.0f allocations", n)
	}
}

var precertLeafBytes = append(append(append([]byte{0, 0}, make([]byte, 8)...), 0, 0, 0, 0, 4, 0x30, 2, 5, 0), 0, 0)

// TestRealCertificatesAreNamedAsTheirSCTsSay rebuilds the leaf of real Fulcio certificates. That the log signed an SCT for
// exactly those bytes proves that TBS and issuer key hash are what the log has.
func TestRealCertificatesAreNamedAsTheirSCTsSay(t *testing.T) {
	dir := realdata.Dir(t)
	issuer := pemFile(t, dir, "1-trust/root-signing/targets__fulcio_intermediate_v1.crt.pem")
	intermediate, err := ctx509.ParseCertificate(issuer)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKIXPublicKey(pemFile(t, dir, "1-trust/root-signing/targets__ctfe_2022.pub"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := logID(key)
	if err != nil {
		t.Fatal(err)
	}
	if got := base64.StdEncoding.EncodeToString(id[:]); got != "3T0wasbHETJjGR4cmWc3AqJKXrjePK3/h4pygC8p7o4=" {
		t.Errorf("the log's id is %s", got)
	}
	verified := 0
	for _, der := range realCertificates(t, dir) {
		cert, err := ctx509.ParseCertificate(der)
		if err != nil || len(cert.SCTList.SCTList) == 0 || !bytes.Equal(cert.AuthorityKeyId, intermediate.SubjectKeyId) {
			continue
		}
		scts, err := x509util.ParseSCTsFromSCTList(&cert.SCTList)
		if err != nil {
			t.Fatal(err)
		}
		for _, sct := range scts {
			if sct.LogID.KeyID != id {
				continue
			}
			leaf, err := ct.MerkleTreeLeafForEmbeddedSCT([]*ctx509.Certificate{cert, intermediate}, sct.Timestamp)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := tls.Marshal(*leaf)
			if err != nil {
				t.Fatal(err)
			}
			l, err := ParseLeaf(raw)
			if err != nil {
				t.Fatal(err)
			}
			// What an SCT signs (RFC 6962 §3.2) begins with version and signature type, both zero as the leaf's are.
			input := binary.BigEndian.AppendUint64([]byte{0, 0}, uint64(l.Timestamp.UnixMilli()))
			input = append(append(input, 0, 1), l.IssuerKeyHash[:]...)
			input = append(input, byte(len(l.TBS)>>16), byte(len(l.TBS)>>8), byte(len(l.TBS)))
			input = append(append(append(input, l.TBS...), byte(len(l.Extensions)>>8), byte(len(l.Extensions))), l.Extensions...)
			digest := sha256.Sum256(input)
			if !ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), digest[:], sct.Signature.Signature) {
				t.Errorf("serial %x: the SCT is for other bytes", cert.SerialNumber)
			}
			final, err := ParseLeaf(encodeLeaf(t, ct.TimestampedEntry{EntryType: ct.X509LogEntryType, X509Entry: &ct.ASN1Cert{Data: der}}))
			if err != nil || final.TBSSHA256() != l.TBSSHA256() {
				t.Errorf("serial %x: certificate and precertificate have different names: %v", cert.SerialNumber, err)
			}
			verified++
		}
	}
	if verified < 50 {
		t.Errorf("only %d certificates were compared", verified)
	}
	t.Logf("compared %d certificates", verified)
}

func pemFile(t *testing.T, path ...string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		t.Fatalf("%s is not PEM", filepath.Join(path...))
	}
	return block.Bytes
}

// realCertificates finds whatever in the collection's bundles and attestations is the base64 of a certificate, once each.
func realCertificates(t *testing.T, dir string) [][]byte {
	t.Helper()
	seen := map[string]bool{}
	var all [][]byte
	var walk func(any)
	walk = func(value any) {
		switch v := value.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			for _, item := range v {
				walk(item)
			}
		case string:
			der, err := base64.StdEncoding.DecodeString(v)
			if err != nil || seen[v] {
				return
			}
			seen[v] = true
			if _, err := x509.ParseCertificate(der); err == nil {
				all = append(all, der)
			}
		}
	}
	for _, folder := range []string{"2-pep740", "3-bundles", "7-conformance"} {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			var value any
			if json.Unmarshal(raw, &value) == nil {
				walk(value)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func FuzzParseLeaf(f *testing.F) {
	c := newAuthority(f).issue(f, watchedSAN)
	f.Add(precertLeaf(f, c))
	f.Add(x509Leaf(f, c))
	f.Add(precertLeafBytes)
	s := NewScanner(watched)
	f.Fuzz(func(t *testing.T, leaf []byte) {
		l, err := ParseLeaf(leaf)
		if err == nil {
			// A stranger's decoder must agree.
			var theirs ct.MerkleTreeLeaf
			if rest, err := tls.Unmarshal(leaf, &theirs); err != nil || len(rest) > 0 {
				t.Fatalf("certificate-transparency-go does not read it: %v", err)
			}
			e := theirs.TimestampedEntry
			if e.Timestamp != uint64(l.Timestamp.UnixMilli()) || !bytes.Equal(e.Extensions, l.Extensions) {
				t.Fatalf("timestamp %d, extensions %x; ours %s, %x", e.Timestamp, e.Extensions, l.Timestamp, l.Extensions)
			}
			if l.Type == Precert && (e.PrecertEntry.IssuerKeyHash != l.IssuerKeyHash || !bytes.Equal(e.PrecertEntry.TBSCertificate, l.TBS)) {
				t.Fatal("certificate-transparency-go reads another precertificate")
			}
			if l.Type == X509 && !bytes.Equal(e.X509Entry.Data, l.Certificate) {
				t.Fatal("certificate-transparency-go reads another certificate")
			}
			if _, err := l.X509Certificate(); err == nil && watched.MatchDER(l.TBS) && !s.Scan(leaf) {
				t.Fatal("a watched certificate was not found")
			}
		}
		if err != nil && watched.MatchDER(leaf) && !s.Scan(leaf) {
			// Only what stands in the SCT's extensions of a well-formed leaf is not looked at.
			if der, ok := signedEntry(leaf); !ok || watched.MatchDER(der) {
				t.Fatal("an unreadable leaf that mentions a watched name was not found")
			}
		}
	})
}

func BenchmarkScan(b *testing.B) {
	leaf := precertLeaf(b, newAuthority(b).issue(b, otherSAN))
	s := NewScanner(watched)
	b.SetBytes(int64(len(leaf)))
	b.ReportAllocs()
	for b.Loop() {
		s.Scan(leaf)
	}
}
