package rekor

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rekoncile/rekoncile/internal/realdata"
)

// v1Bodies are bodies of every kind of Rekor v1 that has a signer, as Rekor writes them, with a signer in base64 of PEM.
func v1Bodies(signer string) map[string][]byte {
	hash := `{"algorithm":"sha256","value":"` + hexDigest + `"}`
	body := func(version, kind, spec string) []byte {
		return fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"spec":%s}`, version, kind, spec)
	}
	return map[string][]byte{
		"hashedrekord":                  hashedRekordBody(signer),
		"dsse":                          dsseBody(signer),
		"intoto 0.0.1":                  body("0.0.1", "intoto", `{"content":{"hash":`+hash+`,"payloadHash":`+hash+`},"publicKey":"`+signer+`"}`),
		"intoto 0.0.2":                  body("0.0.2", "intoto", `{"content":{"envelope":{"payloadType":"application/vnd.in-toto+json","signatures":[{"publicKey":"`+signer+`","sig":"`+b64([]byte(b64Signature))+`"}]},"hash":`+hash+`,"payloadHash":`+hash+`}}`),
		"intoto 0.0.2 with a key id":    body("0.0.2", "intoto", `{"content":{"envelope":{"payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"ab:cd","publicKey":"`+signer+`","sig":"`+b64([]byte(b64Signature))+`"}]},"hash":`+hash+`,"payloadHash":`+hash+`}}`),
		"intoto 0.0.2 with its payload": body("0.0.2", "intoto", `{"content":{"envelope":{"payload":"e30=","payloadType":"application/vnd.in-toto+json","signatures":[{"publicKey":"`+signer+`","sig":"`+b64([]byte(b64Signature))+`"}]},"hash":`+hash+`,"payloadHash":`+hash+`}}`),
		"rekord":                        body("0.0.1", "rekord", `{"data":{"hash":`+hash+`},"signature":{"content":"`+b64Signature+`","format":"x509","publicKey":{"content":"`+signer+`"}}}`),
		"cose":                          body("0.0.1", "cose", `{"data":{"envelopeHash":`+hash+`,"payloadHash":`+hash+`},"publicKey":"`+signer+`"}`),
		"alpine":                        body("0.0.1", "alpine", `{"package":{"hash":`+hash+`,"pkginfo":{"pkgname":"x"}},"publicKey":{"content":"`+signer+`"}}`),
		"rpm":                           body("0.0.1", "rpm", `{"package":{"hash":`+hash+`,"headers":{"Name":"x"}},"publicKey":{"content":"`+signer+`"}}`),
		"helm":                          body("0.0.1", "helm", `{"chart":{"hash":`+hash+`,"provenance":{"signature":{"content":"`+b64Signature+`"}}},"publicKey":{"content":"`+signer+`"}}`),
		"jar":                           body("0.0.1", "jar", `{"archive":{"hash":`+hash+`},"signature":{"content":"`+b64Signature+`","publicKey":{"content":"`+signer+`"}}}`),
		"of a kind to come":             body("0.0.1", "sbom", `{"verifier":"`+signer+`"}`),
	}
}

// rewritings of JSON that mean the same to some parser.
var rewritings = map[string]func([]byte) []byte{
	"as it is": func(b []byte) []byte { return b },
	"indented": func(b []byte) []byte {
		var out bytes.Buffer
		if err := json.Indent(&out, b, "", "  "); err != nil {
			panic(err)
		}
		return out.Bytes()
	},
	"escaped slashes": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("/"), []byte(`\/`)) },
	"escaped letters": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("S"), []byte(`\u0053`)) },
	"escaped padding": func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("="), []byte(`\u003d`)) },
	"members in order": func(b []byte) []byte {
		return bytes.Replace(b, []byte(`{"apiVersion":"0.0.1",`), []byte(`{"apiVersion":"0.0.1" ,`), 1)
	},
	"followed by more": func(b []byte) []byte { return append(bytes.Clone(b), '\n') },
	"cut off":          func(b []byte) []byte { return b[:len(b)-1] },
}

// TestNoKindOfRekorV1HidesAWatchedSigner has a watched certificate and a watched key sign entries of every kind, written in every
// way, and strangers sign the same.
func TestNoKindOfRekorV1HidesAWatchedSigner(t *testing.T) {
	cert, other, key, otherKey := certificate(t, watchedSAN), certificate(t, otherSAN), publicKey(t), publicKey(t)
	chain := append(pemOf("CERTIFICATE", cert), pemOf("CERTIFICATE", other)...)
	s := NewScanner(watching(key))
	for signer, text := range map[string]string{"certificate": pem64("CERTIFICATE", cert), "key": pem64("PUBLIC KEY", key), "chain": b64(chain)} {
		for kind, body := range v1Bodies(text) {
			for how, rewrite := range rewritings {
				if body := rewrite(body); !s.Scan(body) {
					t.Errorf("%s, a %s, %s: not found", kind, signer, how)
				}
				sameAsDecoded(t, rewrite(body))
			}
		}
	}
	for signer, text := range map[string]string{"certificate": pem64("CERTIFICATE", other), "key": pem64("PUBLIC KEY", otherKey)} {
		for kind, body := range v1Bodies(text) {
			if s.Scan(body) {
				t.Errorf("%s, a %s: found, and it is not there", kind, signer)
			}
		}
	}
}

// exactly is a Matcher that watches one certificate or key, byte for byte.
type exactly []byte

func (e exactly) MatchDER(der []byte) bool  { return bytes.Contains(der, e) }
func (e exactly) MatchKey(spki []byte) bool { return bytes.Contains(spki, e) }

// TestTheScanFindsWhateverSignerRekorFinds watches each signer that Rekor's own code reads from a body, one at a time: of all the
// kinds whose packages are linked, and of real entries.
func TestTheScanFindsWhateverSignerRekorFinds(t *testing.T) {
	cert, key := pem64("CERTIFICATE", certificate(t, watchedSAN)), pem64("PUBLIC KEY", publicKey(t))
	bodies := []realBody{{"hashedrekord", signedHashedRekord(t)}, {"dsse of two", dsseBody(cert, key)}}
	for _, kind := range []string{"dsse", "intoto 0.0.1", "intoto 0.0.2", "intoto 0.0.2 with a key id"} {
		bodies = append(bodies, realBody{kind, v1Bodies(cert)[kind]}, realBody{kind + " of a key", v1Bodies(key)[kind]})
	}
	if _, ok := realdata.Find(t); ok {
		bodies = append(bodies, realV1(t)...)
	}
	watched := 0
	for _, b := range bodies {
		signers, _, err := rekorsView(b.raw)
		if err != nil {
			continue // Rekor's own code refuses some of what Rekor once logged
		}
		for i, signer := range signers {
			block, _ := pem.Decode(signer)
			if block == nil || !slices.Contains([]string{"CERTIFICATE", "PUBLIC KEY"}, block.Type) {
				continue
			}
			watched++
			if !NewScanner(exactly(block.Bytes)).Scan(b.raw) {
				t.Errorf("%s: signer %d is not found:\n%s", b.file, i, b.raw)
			}
		}
	}
	if watched < 10 {
		t.Errorf("only %d signers were watched", watched)
	}
	t.Logf("watched %d signers of %d bodies", watched, len(bodies))
}

// TestCanonicalIntotoTakesTheFastPath keeps a tenth of Rekor v1 from being decoded for nothing.
func TestCanonicalIntotoTakesTheFastPath(t *testing.T) {
	s := NewScanner(watching())
	for _, signer := range []string{pem64("CERTIFICATE", certificate(t, watchedSAN)), pem64("PUBLIC KEY", publicKey(t))} {
		for kind, body := range v1Bodies(signer) {
			want := slices.Contains([]string{"hashedrekord", "dsse", "intoto 0.0.2", "intoto 0.0.2 with a key id"}, kind)
			if _, canonical := s.scanCanonical(body, new(scratch)); canonical != want {
				t.Errorf("%s: canonical is %t", kind, canonical)
			}
			if kind == "intoto 0.0.2" {
				several := bytes.Replace(body, []byte(`"signatures":[`), []byte(`"signatures":[{"publicKey":"`+signer+`","sig":"`+b64([]byte(b64Signature))+`"},`), 1)
				sameAsDecoded(t, several)
				odd := []byte(strings.Replace(string(body), "vnd.in-toto", `vnd.\u0069n-toto`, 1))
				if _, canonical := s.scanCanonical(odd, new(scratch)); canonical {
					t.Error("an escape was passed over")
				}
			}
		}
	}
}
