package rekor

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rekoncile/rekoncile/internal/realdata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	watchedSAN = "https://github.com/watched/project/.github/workflows/release.yml@refs/heads/main"
	otherSAN   = "https://github.com/somebody/else/.github/workflows/build.yml@refs/heads/main"
	hexDigest  = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	b64Digest  = "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="
	// b64Signature stands for a signature: nothing here verifies it.
	b64Signature = "MEUCIQCwIfnA0lWUqYL7HjQWzLmEyGKy4U4GsQlUWHrLd2bmNgIgZPpqkqkkVmOkPZJyJ0ALwxkrf1vmKCDsuA7ZJbCPExo="
)

// certificate makes a certificate like Fulcio's for a SAN, of about their length.
func certificate(t testing.TB, san string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(san)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(4711), URIs: []*url.URL{u},
		NotBefore: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC), NotAfter: time.Date(2026, 11, 2, 9, 10, 0, 0, time.UTC),
	}
	for n := 8; n <= 22; n++ {
		value, err := asn1.MarshalWithParams(fmt.Sprintf("value of extension %d, %s", n, strings.Repeat("x", 20)), "utf8")
		if err != nil {
			t.Fatal(err)
		}
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}, Value: value})
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func publicKey(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

func pemOf(blockType string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der})
}

func pem64(blockType string, der []byte) string { return b64(pemOf(blockType, der)) }

// The canonical bodies that are common enough to have a fast path.

func hashedRekordBody(signer string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%s"}},"signature":{"content":"%s","publicKey":{"content":"%s"}}}}`,
		hexDigest, b64Signature, signer)
}

func dsseBody(signers ...string) []byte {
	var sigs []string
	for _, s := range signers {
		sigs = append(sigs, fmt.Sprintf(`{"signature":"%s","verifier":"%s"}`, b64Signature, s))
	}
	return fmt.Appendf(nil, `{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":{"algorithm":"sha256","value":"%s"},"payloadHash":{"algorithm":"sha256","value":"%s"},"signatures":[%s]}}`,
		strings.Repeat("ab", 32), hexDigest, strings.Join(sigs, ","))
}

// tiledVerifier is the verifier of Rekor v2: member is x509Certificate or publicKey.
func tiledVerifier(member string, raw []byte) string {
	return fmt.Sprintf(`{"content":"%s","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","%s":{"rawBytes":"%s"}}}`, b64Signature, member, b64(raw))
}

func tiledBody(verifier string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"%s"},"signature":%s}}}`,
		b64Digest, verifier)
}

func tiledDSSEBody(verifiers ...string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"0.0.2","kind":"dsse","spec":{"dsseV002":{"payloadHash":{"algorithm":"SHA2_256","digest":"%s"},"signatures":[%s]}}}`,
		b64Digest, strings.Join(verifiers, ","))
}

// watch is a Matcher for one name and some keys, in the simplest way there is.
type watch struct {
	name []byte
	keys map[[sha256.Size]byte]bool
}

func (w watch) MatchDER(der []byte) bool { return bytes.Contains(der, w.name) }
func (w watch) MatchKey(key []byte) bool { return w.keys[sha256.Sum256(key)] }

func watching(keys ...[]byte) watch {
	w := watch{name: []byte("https://github.com/watched/project/"), keys: map[[sha256.Size]byte]bool{}}
	for _, k := range keys {
		w.keys[sha256.Sum256(k)] = true
	}
	return w
}

// realBody is the body of an entry in some log of the world.
type realBody struct {
	file string
	raw  []byte
}

// realBodies finds every entry body in the collection: files of their own, and the base64 in bundles, in attestations and
// in Rekor's answers.
func realBodies(t testing.TB) []realBody {
	t.Helper()
	dir := realdata.Dir(t)
	var all []realBody
	for _, folder := range []string{"2-pep740", "3-bundles", "4-rekor", "6-odd", "7-conformance"} {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			if strings.HasPrefix(d.Name(), "body-") && strings.HasSuffix(d.Name(), ".json") {
				all = append(all, realBody{rel, bytes.TrimSuffix(raw, []byte("\n"))})
				return nil
			}
			docs := [][]byte{raw}
			if !json.Valid(raw) {
				docs = bytes.Split(raw, []byte("\n"))
			}
			for _, doc := range docs {
				var value any
				if json.Unmarshal(doc, &value) == nil {
					all = append(all, bodiesIn(rel, value)...)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func bodiesIn(file string, value any) []realBody {
	var all []realBody
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			all = append(all, bodiesIn(file, item)...)
		}
	case map[string]any:
		for key, item := range v {
			text, isText := item.(string)
			if isText && (key == "body" || key == "canonicalizedBody" || key == "canonicalized_body") {
				if raw, err := base64.StdEncoding.DecodeString(text); err == nil && json.Valid(raw) {
					all = append(all, realBody{file, raw})
				}
			}
			all = append(all, bodiesIn(file, item)...)
		}
	}
	return all
}
