package e2e

import (
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/rekoncile/rekoncile/internal/trust"
)

// trusted makes a trusted root of what is passed, with the library that Sigstore's own is read with.
type trusted struct {
	authorities []root.CertificateAuthority
	ctLogs      map[string]*root.TransparencyLog
	rekorLogs   map[string]*root.TransparencyLog
	timestamps  []root.TimestampingAuthority
}

// trustStart is when what is trusted began to be valid.
var trustStart = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// trustFulcio makes a trusted root of a Fulcio and its CT log.
func trustFulcio(t *testing.T, f *fulcio) *trusted {
	t.Helper()
	x := &trusted{ctLogs: map[string]*root.TransparencyLog{}, rekorLogs: map[string]*root.TransparencyLog{}}
	x.authorities = append(x.authorities, &root.FulcioCertificateAuthority{
		Root: f.root.certificate, Intermediates: certificates(f.intermediate), ValidityPeriodStart: trustStart, URI: "https://fulcio.e2e.example",
	})
	x.add(x.ctLogs, f.ct.url, f.ct.key.Public(), keyID(t, f.ct.key.Public()))
	return x
}

// rekor1 adds a Rekor v1.
func (x *trusted) rekor1(t *testing.T, r *rekor1) {
	t.Helper()
	x.add(x.rekorLogs, "https://"+rekor1Host, r.key.Public(), keyID(t, r.key.Public()))
}

// rekor2 adds a Rekor v2.
func (x *trusted) rekor2(r *rekor2) {
	x.add(x.rekorLogs, "https://"+origin, r.key, r.keyID())
}

// timestamp adds a timestamp authority.
func (x *trusted) timestamp(a *tsa) {
	x.timestamps = append(x.timestamps, &root.SigstoreTimestampingAuthority{
		Leaf: a.certificate, Intermediates: certificates(a.intermediate), Root: a.root.certificate, ValidityPeriodStart: trustStart, URI: "https://tsa.e2e.example",
	})
}

func (x *trusted) add(logs map[string]*root.TransparencyLog, url string, key crypto.PublicKey, id []byte) {
	logs[hex.EncodeToString(id)] = &root.TransparencyLog{
		BaseURL: url, ID: id, ValidityPeriodStart: trustStart, HashFunc: crypto.SHA256, PublicKey: key, SignatureHashFunc: crypto.SHA256,
	}
}

// keyID is the SHA-256 of a key, which names logs of certificates and of Rekor v1.
func keyID(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	sum := sha256.Sum256(spki(t, key))
	return sum[:]
}

// json is the document.
func (x *trusted) json(t *testing.T) []byte {
	t.Helper()
	made, err := root.NewTrustedRoot(root.TrustedRootMediaType01, x.authorities, x.ctLogs, x.timestamps, x.rekorLogs)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := made.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// roots is the document as the monitor reads it.
func (x *trusted) roots(t *testing.T) *trust.Set {
	t.Helper()
	r, err := trust.FromJSON("e2e", x.json(t))
	if err != nil {
		t.Fatal(err)
	}
	return &trust.Set{Roots: []trust.Root{*r}}
}
