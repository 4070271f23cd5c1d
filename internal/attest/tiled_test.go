package attest

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"sync"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

func TestTiledBundleLies(t *testing.T) {
	w := newWorld(t)
	id := w.issue(san)
	artifact := []byte("aaa")
	vm := func(b map[string]any) map[string]any { return b["verificationMaterial"].(map[string]any) }
	stamps := func(b map[string]any, all ...string) {
		list := []any{}
		for _, s := range all {
			list = append(list, map[string]any{"signedTimestamp": s})
		}
		set(b, list, "verificationMaterial", "timestampVerificationData", "rfc3161Timestamps")
	}
	sig := func(b map[string]any) []byte { return unb64(at(b, "messageSignature", "signature")) }
	tests := map[string]struct {
		lie    func(b map[string]any)
		root   func(*parts)
		status Status
		check  string
	}{
		"later media type": {lie: func(b map[string]any) { b["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.4+json" }, status: Unsupported, check: CheckMediaType},
		"no media type":    {lie: func(b map[string]any) { delete(b, "mediaType") }, check: CheckMediaType},
		"unknown member":   {lie: func(b map[string]any) { b["later"] = 1 }, status: Unsupported, check: CheckParse},
		"no content":       {lie: func(b map[string]any) { delete(b, "messageSignature") }, check: CheckParse},
		"no material":      {lie: func(b map[string]any) { delete(b, "verificationMaterial") }, check: CheckParse},
		"private PKI": {lie: func(b map[string]any) {
			delete(vm(b), "certificate")
			vm(b)["x509CertificateChain"] = map[string]any{"certificates": []any{map[string]any{"rawBytes": b64(id.cert.Raw)}}}
		}, status: Unsupported, check: CheckCertificate},
		"key without a key":    {lie: func(b map[string]any) { delete(vm(b), "certificate"); vm(b)["publicKey"] = map[string]any{"hint": "x"} }, status: Unsupported, check: CheckKey},
		"no digest":            {lie: func(b map[string]any) { delete(b["messageSignature"].(map[string]any), "messageDigest") }, check: CheckMessageDigest},
		"other digest":         {lie: func(b map[string]any) { flip(b, "messageSignature", "messageDigest", "digest") }, check: CheckMessageDigest},
		"unknown algorithm":    {lie: func(b map[string]any) { set(b, "SHA3_256", "messageSignature", "messageDigest", "algorithm") }, status: Failed, check: CheckEntryBody},
		"no proof":             {lie: func(b map[string]any) { delete(at(vm(b), "tlogEntries", 0).(map[string]any), "inclusionProof") }, check: CheckInclusionProof},
		"two indexes":          {lie: func(b map[string]any) { set(vm(b), "7", "tlogEntries", 0, "logIndex") }, check: CheckLogIndex},
		"log of another host":  {root: func(p *parts) { p.tiled.BaseURL = "https://other.example" }, check: CheckCheckpoint},
		"no timestamp":         {lie: func(b map[string]any) { stamps(b) }, check: CheckSigningTime},
		"other's timestamp":    {lie: func(b map[string]any) { stamps(b, w.stamp([]byte("another"), signedAt)) }, check: CheckTimestamp},
		"timestamp is garbage": {lie: func(b map[string]any) { stamps(b, "AAAA") }, check: CheckTimestamp},
		"bad beside good":      {lie: func(b map[string]any) { stamps(b, w.stamp(sig(b), signedAt), "AAAA") }, check: CheckTimestamp},
		"foreign beside good":  {lie: func(b map[string]any) { stamps(b, w.stamp(sig(b), signedAt), newWorld(t).stamp(sig(b), signedAt)) }, status: Unsupported, check: CheckTimestamp},
		"authority retired":    {root: func(p *parts) { p.tsa.ValidityPeriodEnd = signedAt.Add(-time.Second) }, check: CheckTimestamp},
		"stamped too late":     {lie: func(b map[string]any) { stamps(b, w.stamp(sig(b), signedAt.Add(time.Hour))) }, check: CheckChain},
		"one of two too late":  {lie: func(b map[string]any) { stamps(b, w.stamp(sig(b), signedAt), w.stamp(sig(b), signedAt.Add(time.Hour))) }, check: CheckChain},
		"log key retired":      {root: func(p *parts) { p.tiled.ValidityPeriodEnd = signedAt.Add(-time.Second) }, check: CheckLogValidity},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.status == "" {
				tt.status = Failed
			}
			b := w.tiledBundle(id, artifact)
			if tt.lie != nil {
				tt.lie(b)
			}
			res := w.verifier(tt.root).VerifyBundle(encode(t, b), Artifact{SHA256: wheelSHA256})
			if got := decisive(&res); res.Status != tt.status || got != tt.check {
				t.Errorf("got %s %q, want %s %q\n%+v", res.Status, got, tt.status, tt.check, res.Checks)
			}
		})
	}
	res := w.verifier(nil).VerifyBundle(encode(t, w.tiledBundle(id, []byte("bbb"))), Artifact{SHA256: wheelSHA256})
	if got := decisive(&res); got != CheckMessageDigest {
		t.Errorf("a bundle for another file failed %q", got)
	}
}

// TestEnvelopeInRekorV2 logs an envelope as Rekor v2 does: as the hash of its pre-authentication encoding.
func TestEnvelopeInRekorV2(t *testing.T) {
	w := newWorld(t)
	id := w.issue(san)
	statement := publishStatement(wheel, wheelSHA256, "null")
	message := pae(payloadTypeInToto, statement)
	sig := id.sign(t, message)
	digest := sha256.Sum256(message)
	b := w.tiledBundle(id, []byte("aaa"))
	delete(b, "messageSignature")
	b["dsseEnvelope"] = map[string]any{"payload": b64(statement), "payloadType": payloadTypeInToto, "signatures": []any{map[string]any{"sig": b64(sig)}}}
	set(b, []any{w.logV2(digest[:], sig, id)}, "verificationMaterial", "tlogEntries")
	set(b, []any{map[string]any{"signedTimestamp": w.stamp(sig, signedAt)}}, "verificationMaterial", "timestampVerificationData", "rfc3161Timestamps")
	res := w.verifier(nil).VerifyBundle(encode(t, b), Artifact{SHA256: wheelSHA256})
	if res.Status != Verified {
		t.Errorf("%s: %+v", res.Status, res.Checks)
	}
}

// TestOnlyAnInstanceWithoutLogsMaySignUnlogged: with two roots trusted, a certificate of the one that has logs gets no
// benefit from the other, which has none.
func TestOnlyAnInstanceWithoutLogsMaySignUnlogged(t *testing.T) {
	public, private := newWorld(t), newWorld(t)
	v, err := NewVerifier(root.TrustedMaterialCollection{
		public.material(nil),
		private.material(func(p *parts) { p.rekor, p.tiled, p.ct = nil, nil, nil }),
	}, Options{Now: func() time.Time { return testNow }})
	must(t, err)
	unlogged := func(w *world) Result {
		b := w.tiledBundle(w.issue(san), []byte("aaa"))
		set(b, []any{}, "verificationMaterial", "tlogEntries")
		return v.VerifyBundle(encode(t, b), Artifact{SHA256: wheelSHA256})
	}
	if res := unlogged(private); res.Status != Verified || len(res.Entries) != 0 {
		t.Errorf("private instance: %s, %+v", res.Status, res.Failed())
	}
	if res := unlogged(public); res.Status != Failed || res.Failed().Name != CheckEntries {
		t.Errorf("public instance: %s, %+v", res.Status, res.Failed())
	}
}

func TestManagedKey(t *testing.T) {
	w := newWorld(t)
	id := w.issue(san)
	statement := publishStatement(wheel, wheelSHA256, "null")
	sig := id.sign(t, pae(payloadTypeInToto, statement))
	der, err := x509.MarshalPKIXPublicKey(id.key.Public())
	must(t, err)
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	raw := encode(t, map[string]any{
		"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
		"verificationMaterial": map[string]any{
			"publicKey":   map[string]any{"hint": "mine"},
			"tlogEntries": []any{w.logV1("dsse", "0.0.1", dsseBody(statement, sig, keyPEM), signedAt)},
		},
		"dsseEnvelope": map[string]any{"payload": b64(statement), "payloadType": payloadTypeInToto, "signatures": []any{map[string]any{"sig": b64(sig)}}},
	})
	v, a := w.verifier(nil), Artifact{SHA256: wheelSHA256}
	if res := v.VerifyBundleWithKey(raw, id.key.Public(), a); res.Status != Verified || res.KeyHint != "mine" || res.Certificate != nil {
		t.Errorf("right key: %s, %+v", res.Status, res.Failed())
	}
	if res := v.VerifyBundleWithKey(raw, newKey(t).Public(), a); decisive(&res) != CheckSignature {
		t.Errorf("wrong key: %s, %+v", res.Status, res.Failed())
	}
	if res := v.VerifyBundleWithKey(raw, "no key", a); res.Status != Unsupported || decisive(&res) != CheckKey {
		t.Errorf("a string for a key: %s, %+v", res.Status, res.Failed())
	}
	if res := v.VerifyBundleWithKey(raw, nil, a); decisive(&res) != CheckKey {
		t.Errorf("no key: %s, %+v", res.Status, res.Failed())
	}
	certified := encode(t, w.tiledBundle(id, []byte("aaa")))
	if res := v.VerifyBundleWithKey(certified, id.key.Public(), a); decisive(&res) != CheckKey {
		t.Errorf("key for a certificate's bundle: %s, %+v", res.Status, res.Failed())
	}
}

// TestOneVerifierServesManyGoroutines is for the race detector: sigstore-go's bundles must not be shared, and are not.
func TestOneVerifierServesManyGoroutines(t *testing.T) {
	w := newWorld(t)
	v := w.verifier(nil)
	raw := encode(t, w.tiledBundle(w.issue(san), []byte("aaa")))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if res := v.VerifyBundle(raw, Artifact{SHA256: wheelSHA256}); res.Status != Verified {
				t.Errorf("%s: %+v", res.Status, res.Failed())
			}
		})
	}
	wg.Wait()
}
