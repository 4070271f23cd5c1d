package attest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

// TestIntotoV1IsJoinedButNeverVerified: this kind logs no signature and sigstore-go does not know it, so that agreement is
// not enough, while a contradiction is.
func TestIntotoV1IsJoinedButNeverVerified(t *testing.T) {
	w := newWorld(t)
	id := w.issue(san)
	statement := publishStatement(wheel, wheelSHA256, "null")
	body := func(payload []byte) []byte {
		return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"intoto","spec":{"content":{"hash":{"algorithm":"sha256","value":"%064x"},"payloadHash":{"algorithm":"sha256","value":"%x"}},"publicKey":%q}}`,
			0, sha256.Sum256(payload), b64(id.pem()))
	}
	for payload, want := range map[string]Status{string(statement): Unsupported, "another": Failed} {
		a := w.attestation(id, statement)
		set(a, []any{w.logV1("intoto", "0.0.1", body([]byte(payload)), signedAt)}, "verification_material", "transparency_entries")
		res := w.verifier(nil).VerifyAttestation(encode(t, a), Artifact{SHA256: wheelSHA256})
		if got := decisive(&res); res.Status != want || got != CheckEntryBody {
			t.Errorf("got %s %q, want %s %q", res.Status, got, want, CheckEntryBody)
		}
	}
}

// TestSigstoreGoHasTheLastWord: the logged key details are none of our checks, but they are in sigstore-go's.
func TestSigstoreGoHasTheLastWord(t *testing.T) {
	w := newWorld(t)
	b := w.tiledBundle(w.issue(san), []byte("aaa"))
	body := unb64(at(b, "verificationMaterial", "tlogEntries", 0, "canonicalizedBody"))
	body = bytes.Replace(body, []byte("PKIX_ECDSA_P256_SHA_256"), []byte("PKIX_ECDSA_P384_SHA_384"), 1)
	set(b, []any{w.sealV2(body)}, "verificationMaterial", "tlogEntries")
	res := w.verifier(nil).VerifyBundle(encode(t, b), Artifact{SHA256: wheelSHA256})
	if got := decisive(&res); res.Status != Failed || got != CheckSigstore {
		t.Errorf("got %s %q: %+v", res.Status, got, res.Checks)
	}
}

func TestPromiseAloneIsForV01Only(t *testing.T) {
	w := newWorld(t)
	id := w.issue(san)
	artifact := []byte("aaa")
	digest := sha256.Sum256(artifact)
	sig := id.sign(t, artifact)
	body := fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},"signature":{"content":%q,"publicKey":{"content":%q}}}}`,
		digest, b64(sig), b64(id.pem()))
	bundle := func(version string, change func(e map[string]any)) []byte {
		e := w.logV1("hashedrekord", "0.0.1", body, signedAt)
		change(e)
		return encode(t, map[string]any{
			"mediaType": "application/vnd.dev.sigstore.bundle+json;version=" + version,
			"verificationMaterial": map[string]any{
				"x509CertificateChain": map[string]any{"certificates": []any{map[string]any{"rawBytes": b64(id.cert.Raw)}}},
				"tlogEntries":          []any{e},
			},
			"messageSignature": map[string]any{"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": b64(digest[:])}, "signature": b64(sig)},
		})
	}
	noProof := func(e map[string]any) { delete(e, "inclusionProof") }
	tests := map[string]struct {
		raw    []byte
		status Status
		check  string
	}{
		"v0.1, promise only":    {bundle("0.1", noProof), Verified, ""},
		"v0.2, promise only":    {bundle("0.2", noProof), Failed, CheckInclusionProof},
		"v0.1, neither":         {bundle("0.1", func(e map[string]any) { noProof(e); delete(e, "inclusionPromise") }), Failed, CheckSET},
		"v0.1, bare proof":      {bundle("0.1", func(e map[string]any) { delete(e["inclusionProof"].(map[string]any), "checkpoint") }), Unsupported, CheckCheckpoint},
		"v0.2, bare proof":      {bundle("0.2", func(e map[string]any) { delete(e["inclusionProof"].(map[string]any), "checkpoint") }), Failed, CheckCheckpoint},
		"v0.2, promise of none": {bundle("0.2", func(e map[string]any) { set(e, "AAAA", "inclusionPromise", "signedEntryTimestamp") }), Failed, CheckSET},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res := w.verifier(nil).VerifyBundle(tt.raw, Artifact{SHA256: wheelSHA256})
			if got := decisive(&res); res.Status != tt.status || got != tt.check {
				t.Errorf("got %s %q, want %s %q\n%+v", res.Status, got, tt.status, tt.check, res.Checks)
			}
			if res.Status == Verified && (res.Entries[0].InclusionProven || !res.Entries[0].SETVerified) {
				t.Errorf("a promise was reported as a proof: %+v", res.Entries[0])
			}
		})
	}
}

func TestParseEntryBodyRefuses(t *testing.T) {
	const v1, v2 = `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":`, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":`
	for name, tt := range map[string]struct{ raw, want string }{
		"no spec":           {v1 + `null}`, "not hex"},
		"hash not hex":      {v1 + `{"data":{"hash":{"algorithm":"sha256","value":"zz"}}}}`, "not hex"},
		"signer not PEM":    {v1 + `{"data":{"hash":{"algorithm":"sha256","value":"00"}},"signature":{"publicKey":{"content":"AAAA"}}}}`, "neither a certificate nor a key"},
		"wrong type":        {v1 + `{"data":7}}`, "data"},
		"v2 without digest": {v2 + `{"hashedRekordV002":{}}}`, "digest is missing"},
		"v2 without signer": {v2 + `{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"AAAA"}}}}`, "neither a certificate nor a key"},
		"v2 later hash":     {v2 + `{"hashedRekordV002":{"data":{"algorithm":"SHA3_256","digest":"AAAA"}}}}`, errUnknownKind.Error()},
		"duplicate":         {`{"kind":"dsse","kind":"intoto"}`, "duplicate"},
	} {
		if _, err := parseEntryBody([]byte(tt.raw)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v does not say %q", name, err, tt.want)
		}
	}
}
