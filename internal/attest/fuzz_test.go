package attest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// fuzzVerifier trusts a world made for the run, and real roots as well where they are at hand, so that inputs get far.
func fuzzVerifier(f *testing.F, w *world) *Verifier {
	f.Helper()
	material := root.TrustedMaterialCollection{w.material(nil)}
	if dir := os.Getenv("REKONCILE_DATA"); dir != "" {
		for _, path := range []string{publicGoodRoot, stagingRoot, githubRoot} {
			r, err := root.NewTrustedRootFromPath(filepath.Join(dir, path))
			if err != nil {
				f.Fatal(err)
			}
			material = append(material, r)
		}
	}
	v, err := NewVerifier(material, Options{Now: func() time.Time { return testNow }})
	if err != nil {
		f.Fatal(err)
	}
	return v
}

// seeds adds the real specimens of a kind where they are at hand.
func seeds(f *testing.F, kind string) {
	f.Helper()
	dir := os.Getenv("REKONCILE_DATA")
	if dir == "" {
		return
	}
	for _, folder := range []string{"2-pep740", "3-bundles", "7-conformance"} {
		for _, s := range specimens(f, dir, folder) {
			if s.kind == kind && len(s.raw) < 64<<10 {
				f.Add(s.raw)
			}
		}
	}
}

// checkSane is what must hold for any result whatsoever.
func checkSane(t *testing.T, res *Result) {
	t.Helper()
	if len(res.Checks) == 0 {
		t.Fatal("a result without checks")
	}
	if (res.Status == Failed) != (res.Failed() != nil) {
		t.Fatalf("%s, but first failed check %+v", res.Status, res.Failed())
	}
	if res.Status == Verified && (res.Unsupported() != nil || res.SignedAt.IsZero()) {
		t.Fatalf("verified, but %+v, signed at %v", res.Unsupported(), res.SignedAt)
	}
}

func FuzzVerifyBundle(f *testing.F) {
	w := newWorld(f)
	id := w.issue(san)
	f.Add(encode(f, w.tiledBundle(id, []byte("aaa"))))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"x"}},"dsseEnvelope":{}}`))
	seeds(f, KindBundle)
	v := fuzzVerifier(f, w)
	key := id.key.Public()
	f.Fuzz(func(t *testing.T, raw []byte) {
		res := v.VerifyBundle(raw, Artifact{SHA256: wheelSHA256})
		checkSane(t, &res)
		res = v.VerifyBundleWithKey(raw, key, Artifact{SHA256: wheelSHA256})
		checkSane(t, &res)
	})
}

func FuzzVerifyAttestation(f *testing.F) {
	w := newWorld(f)
	f.Add(encode(f, w.attestation(w.issue(san), publishStatement(wheel, wheelSHA256, "null"))))
	f.Add([]byte(oneAttestation))
	seeds(f, KindAttestation)
	v := fuzzVerifier(f, w)
	f.Fuzz(func(t *testing.T, raw []byte) {
		res := v.VerifyAttestation(raw, Artifact{Name: wheel, SHA256: wheelSHA256})
		checkSane(t, &res)
	})
}

// FuzzEntry varies what is inside the base64, which the mutation of JSON text seldom reaches.
func FuzzEntry(f *testing.F) {
	w := newWorld(f)
	id := w.issue(san)
	statement := publishStatement(wheel, wheelSHA256, "null")
	good := w.attestation(id, statement)
	e := entry(good)
	f.Add(unb64(e["canonicalizedBody"]), id.cert.Raw, statement, at(e, "inclusionProof", "checkpoint", "envelope").(string), unb64(w.stamp(nil, signedAt)))
	v := fuzzVerifier(f, w)
	f.Fuzz(func(t *testing.T, body, cert, statement []byte, checkpoint string, stamp []byte) {
		b := map[string]any{
			"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
			"verificationMaterial": map[string]any{
				"certificate":               map[string]any{"rawBytes": b64(cert)},
				"timestampVerificationData": map[string]any{"rfc3161Timestamps": []any{map[string]any{"signedTimestamp": b64(stamp)}}},
				"tlogEntries": []any{map[string]any{
					"logIndex": "1001", "logId": e["logId"], "kindVersion": e["kindVersion"], "canonicalizedBody": b64(body),
					"inclusionProof": map[string]any{
						"logIndex": "1", "treeSize": "2", "hashes": at(e, "inclusionProof", "hashes"), "rootHash": at(e, "inclusionProof", "rootHash"),
						"checkpoint": map[string]any{"envelope": checkpoint},
					},
				}},
			},
			"dsseEnvelope": map[string]any{"payload": b64(statement), "payloadType": payloadTypeInToto, "signatures": []any{map[string]any{"sig": at(good, "envelope", "signature")}}},
		}
		res := v.VerifyBundle(encode(t, b), Artifact{SHA256: wheelSHA256})
		checkSane(t, &res)
	})
}

func FuzzParseProvenance(f *testing.F) {
	f.Add(provenance(`{"kind":"GitHub","repository":"acme/demo","environment":null}`, "["+oneAttestation+"]"))
	if dir := os.Getenv("REKONCILE_DATA"); dir != "" {
		files, err := filepath.Glob(filepath.Join(dir, "2-pep740", "*", "*provenance*"))
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			f.Add(readFile(f, path))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		kind, _ := Sniff(raw)
		p, err := ParseProvenance(raw)
		if err != nil {
			return
		}
		if len(p.Bundles) == 0 || len(p.Bundles[0].Attestations) == 0 || p.Bundles[0].Publisher.Kind == "" {
			t.Fatalf("accepted a document that attests to nothing: %s", raw)
		}
		if kind == KindBundle || kind == KindAttestation {
			t.Fatalf("a provenance document was taken for a %s", kind)
		}
	})
}

func BenchmarkVerifyAttestation(b *testing.B) {
	w := newWorld(b)
	v := w.verifier(nil)
	raw := encode(b, w.attestation(w.issue(san), publishStatement(wheel, wheelSHA256, "null")))
	b.ReportAllocs()
	for b.Loop() {
		if res := v.VerifyAttestation(raw, Artifact{Name: wheel, SHA256: wheelSHA256}); res.Status != Verified {
			b.Fatal(res.Failed())
		}
	}
}
