package rekor

import (
	"bytes"
	stdbase64 "encoding/base64"
	stdjson "encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/asm/base64"
)

func TestScanFindsWhatIsWatchedHoweverItIsWritten(t *testing.T) {
	cert, other, key, otherKey := certificate(t, watchedSAN), certificate(t, otherSAN), publicKey(t), publicKey(t)
	certPEM := pem64("CERTIFICATE", cert)
	tiled := string(tiledBody(tiledVerifier("x509Certificate", cert)))
	v1 := string(hashedRekordBody(certPEM))
	urlSafe := strings.NewReplacer("+", "-", "/", "_")
	folded := strings.ReplaceAll(string(pemOf("CERTIFICATE", cert)), "\n", "\r\n")
	s := NewScanner(watching(key))
	for name, body := range map[string]string{
		"v2":                       tiled,
		"v2 key":                   string(tiledBody(tiledVerifier("publicKey", key))),
		"v2 dsse, second signer":   string(tiledDSSEBody(tiledVerifier("x509Certificate", other), tiledVerifier("x509Certificate", cert))),
		"v2 dsse, key":             string(tiledDSSEBody(tiledVerifier("x509Certificate", other), tiledVerifier("publicKey", key))),
		"v1":                       v1,
		"v1 key":                   string(hashedRekordBody(pem64("PUBLIC KEY", key))),
		"v1 dsse, second signer":   string(dsseBody(pem64("CERTIFICATE", other), certPEM)),
		"v1 chain":                 string(hashedRekordBody(b64(append(pemOf("CERTIFICATE", cert), pemOf("CERTIFICATE", other)...)))),
		"v1 behind text":           string(hashedRekordBody(b64(append([]byte("hello\n"), pemOf("CERTIFICATE", cert)...)))),
		"v1 with CR LF":            string(hashedRekordBody(b64([]byte(folded)))),
		"intoto":                   `{"apiVersion":"0.0.1","kind":"intoto","spec":{"content":{"hash":{"algorithm":"sha256","value":"` + hexDigest + `"}},"publicKey":"` + certPEM + `"}}`,
		"white space":              strings.ReplaceAll(tiled, `":`, `": `),
		"members in another order": strings.Replace(tiled, `"apiVersion":"0.0.2","kind":"hashedrekord"`, `"kind":"hashedrekord","apiVersion":"0.0.2"`, 1),
		"URL-safe":                 urlSafe.Replace(tiled),
		"without padding":          strings.NewReplacer(`=="`, `"`, `="`, `"`).Replace(tiled),
		"escaped slashes":          strings.ReplaceAll(tiled, "/", `\/`),
		"escaped letters":          strings.ReplaceAll(tiled, "A", `\u0041`),
		"escaped name":             strings.Replace(tiled, `"rawBytes"`, `"r\u0061wBytes"`, 1),
		"v1 escaped":               strings.ReplaceAll(v1, "L", `\u004C`),
		// What cannot be decoded, and mentions a watched name.
		"unknown version":           strings.Replace(tiled, `"0.0.2"`, `"0.0.3"`, 1),
		"unknown kind, URL-safe":    urlSafe.Replace(strings.Replace(tiled, `hashedrekord"`, `identity"`, 1)),
		"unknown kind, PEM":         strings.Replace(v1, `hashedrekord"`, `new"`, 1),
		"unknown kind, bare text":   `{"apiVersion":"1","kind":"new","spec":{"san":"` + watchedSAN + `"}}`,
		"unknown kind, JSON text":   `{"apiVersion":"1","kind":"new","spec":"{\"san\":\"https:\\/\\/github.com\\/watched\\/project\\/\"}"}`,
		"unknown kind, key":         `{"apiVersion":"1","kind":"new","spec":"` + b64(key) + `"}`,
		"unknown kind, behind text": `{"apiVersion":"1","kind":"new","spec":"cert` + b64(cert) + `"}`,
		"unknown member":            strings.Replace(string(tiledBody(tiledVerifier("x509Certificate", other))), `,"verifier"`, `,"cosigner":"`+b64(cert)+`","verifier"`, 1),
		"name in upper case":        strings.Replace(tiled, `"signature"`, `"Signature"`, 1),
		"cut off":                   tiled[:len(tiled)-1],
		"followed":                  tiled + "{}",
		"a name twice":              strings.Replace(tiled, `"kind":`, `"kind":"x","kind":`, 1),
		"not JSON":                  "<p>" + watchedSAN,
		"raw DER":                   string(cert),
		"hash is not a hash":        strings.Replace(v1, hexDigest, "xyz", 1),
		"broken PEM, bare":          string(hashedRekordBody(b64([]byte("-----BEGIN CERTIFICATE-----\n" + b64(cert) + "*\n-----END CERTIFICATE-----\n")))),
	} {
		if !s.Scan([]byte(body)) {
			t.Errorf("%s: not found", name)
		}
	}
	for name, body := range map[string][]byte{
		"v2":                tiledBody(tiledVerifier("x509Certificate", other)),
		"v2 key":            tiledBody(tiledVerifier("publicKey", otherKey)),
		"v2 dsse":           tiledDSSEBody(tiledVerifier("x509Certificate", other), tiledVerifier("publicKey", otherKey)),
		"v1":                hashedRekordBody(pem64("CERTIFICATE", other)),
		"v1 dsse":           dsseBody(pem64("CERTIFICATE", other), pem64("PUBLIC KEY", otherKey)),
		"unknown kind":      []byte(`{"apiVersion":"1","kind":"new","spec":"` + b64(other) + `"}`),
		"not the signer":    hashedRekordBody(b64(append(pemOf("CERTIFICATE", other), pemOf("CERTIFICATE", cert)...))),
		"not the signature": []byte(strings.Replace(string(tiledBody(tiledVerifier("x509Certificate", other))), b64Signature, b64(cert), 1)),
		"empty":             nil,
	} {
		if s.Scan(body) {
			t.Errorf("%s: found, and it is not there", name)
		}
	}
}

// TestCanonicalBodiesTakeTheFastPath keeps the fast path from quietly becoming unused.
func TestEntriesThatCannotBeDecodedAreCounted(t *testing.T) {
	tiled := string(tiledBody(tiledVerifier("x509Certificate", []byte("somebody"))))
	s := NewScanner(watching())
	for _, body := range []string{
		tiled,
		strings.ReplaceAll(tiled, `":`, `": `), // decoded, in the slow path
		strings.Replace(tiled, `hashedrekord"`, `new"`, 1),
		strings.Replace(tiled, `"0.0.2"`, `"0.0.3"`, 1),
		tiled[:len(tiled)-1],
	} {
		if s.Scan([]byte(body)) {
			t.Errorf("it is picked: %s", body)
		}
	}
	if s.Unknown() != 3 {
		t.Errorf("%d cannot be decoded, not 3", s.Unknown())
	}
}

func TestCanonicalBodiesTakeTheFastPath(t *testing.T) {
	cert, key := certificate(t, watchedSAN), publicKey(t)
	s := NewScanner(watching())
	for name, body := range map[string][]byte{
		"v2":      tiledBody(tiledVerifier("x509Certificate", cert)),
		"v2 key":  tiledBody(tiledVerifier("publicKey", key)),
		"v2 dsse": tiledDSSEBody(tiledVerifier("x509Certificate", cert), tiledVerifier("publicKey", key)),
		"v1":      hashedRekordBody(pem64("CERTIFICATE", cert)),
		"v1 key":  hashedRekordBody(pem64("PUBLIC KEY", key)),
		"v1 dsse": dsseBody(pem64("CERTIFICATE", cert), pem64("PUBLIC KEY", key)),
	} {
		if _, canonical := s.scanCanonical(body, new(scratch)); !canonical {
			t.Errorf("%s took the slow path", name)
		}
	}
}

func TestRealEntriesMostlyTakeTheFastPath(t *testing.T) {
	s := NewScanner(recorder{})
	fast, all := map[string]int{}, map[string]int{}
	for _, b := range realBodies(t) {
		e, err := Decode(b.raw)
		if err != nil {
			continue
		}
		kind := e.Kind + " " + e.APIVersion
		all[kind]++
		if _, canonical := s.scanCanonical(b.raw, new(scratch)); canonical {
			fast[kind]++
		}
		sameAsDecoded(t, b.raw)
	}
	t.Logf("of %v, %v took the fast path", all, fast)
	for _, kind := range []string{"hashedrekord 0.0.1", "dsse 0.0.1", "hashedrekord 0.0.2", "dsse 0.0.2"} {
		if fast[kind]*10 < all[kind]*9 || all[kind] == 0 {
			t.Errorf("%s: only %d of %d", kind, fast[kind], all[kind])
		}
	}
}

// recorder is a Matcher that finds nothing and remembers what it was shown.
type recorder struct{ seen *[]string }

func (r recorder) MatchDER(der []byte) bool { return r.note("certificate", der) }
func (r recorder) MatchKey(key []byte) bool { return r.note("key", key) }

func (r recorder) note(kind string, b []byte) bool {
	if r.seen != nil {
		*r.seen = append(*r.seen, fmt.Sprintf("%s %x", kind, b))
	}
	return false
}

// sameAsDecoded demands that the fast path shows the matcher exactly the signers that decoding finds.
func sameAsDecoded(t *testing.T, body []byte) {
	t.Helper()
	var seen []string
	s := NewScanner(recorder{&seen})
	if _, canonical := s.scanCanonical(body, new(scratch)); !canonical {
		return
	}
	e, err := Decode(body)
	if err != nil || e.UnknownMember != "" {
		t.Fatalf("taken for canonical: %v, unknown member %q\n%s", err, e.UnknownMember, body)
	}
	var want []string
	for _, c := range e.Certificates {
		want = append(want, fmt.Sprintf("certificate %x", c))
	}
	for _, k := range e.Keys {
		want = append(want, fmt.Sprintf("key %x", k))
	}
	slices.Sort(want)
	slices.Sort(seen)
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Fatalf("decoded -, scanned +:\n%s\n%s", diff, body)
	}
}

// lenientSigners finds the signers as a parser would that forgives everything: names in any case or twice, unknown
// members, base64 of any alphabet.
func lenientSigners(body []byte) [][]byte {
	type verifier struct {
		X509Certificate, PublicKey struct{ RawBytes string }
	}
	type signature struct {
		Verifier verifier
	}
	var e struct {
		Spec struct {
			HashedRekordV002 struct{ Signature signature }
			DsseV002         struct{ Signatures []signature }
			Signature        struct{ PublicKey struct{ Content string } }
		}
	}
	if stdjson.Unmarshal(body, &e) != nil {
		return nil
	}
	var all [][]byte
	add := func(text string) {
		text = strings.TrimRight(text, "=")
		for _, enc := range []*stdbase64.Encoding{stdbase64.RawStdEncoding, stdbase64.RawURLEncoding} {
			if raw, err := enc.DecodeString(text); err == nil {
				all = append(all, raw)
			}
		}
	}
	for _, s := range append(e.Spec.DsseV002.Signatures, e.Spec.HashedRekordV002.Signature) {
		add(s.Verifier.X509Certificate.RawBytes)
	}
	if raw, err := stdbase64.StdEncoding.DecodeString(e.Spec.Signature.PublicKey.Content); err == nil {
		if block, _ := pem.Decode(raw); block != nil {
			all = append(all, block.Bytes)
		}
	}
	return all
}

func FuzzScan(f *testing.F) {
	w := watching()
	cert := certificate(f, watchedSAN)
	tiled, v1 := tiledBody(tiledVerifier("x509Certificate", cert)), hashedRekordBody(pem64("CERTIFICATE", cert))
	f.Add(tiled)
	f.Add(v1)
	f.Add(tiledBody(tiledVerifier("publicKey", publicKey(f))))
	f.Add(tiledDSSEBody(tiledVerifier("x509Certificate", cert), tiledVerifier("publicKey", publicKey(f))))
	f.Add(dsseBody(pem64("CERTIFICATE", cert), pem64("PUBLIC KEY", publicKey(f))))
	f.Add(bytes.ReplaceAll(tiled, []byte("/"), []byte(`\/`)))
	f.Add(bytes.Replace(tiled, []byte(`"kind"`), []byte(`"Kind":1,"kind"`), 1))
	f.Add(bytes.Replace(v1, []byte(`"content"`), []byte(`"content":"\"","content"`), 1))
	for _, body := range v1Bodies(pem64("CERTIFICATE", cert)) {
		f.Add(body)
	}
	addReal(f)
	s := NewScanner(w)
	f.Fuzz(func(t *testing.T, body []byte) {
		sameAsDecoded(t, body)
		found := s.Scan(body)
		if !found && s.scanDecoded(body) {
			t.Fatalf("the fast path misses what decoding finds:\n%s", body)
		}
		for _, der := range lenientSigners(body) {
			if !found && w.MatchDER(der) {
				t.Fatalf("a lenient parser finds a watched signer that the scan misses:\n%s", body)
			}
		}
	})
}

// FuzzBase64 compares the vectorised decoder with the standard library's.
func FuzzBase64(f *testing.F) {
	f.Add([]byte(b64(certificate(f, watchedSAN))))
	f.Add([]byte(strings.Repeat("A", 64) + "AA=="))
	f.Add([]byte(strings.Repeat("A", 63) + "\n" + "AAAA"))
	f.Add([]byte(strings.Repeat("A", 61) + "-_A"))
	f.Add([]byte(strings.Repeat("AAAA", 20) + "A=AA"))
	f.Fuzz(func(t *testing.T, text []byte) {
		want := make([]byte, stdbase64.StdEncoding.DecodedLen(len(text)))
		wantN, wantErr := stdbase64.StdEncoding.Decode(want, text)
		got := make([]byte, base64.StdEncoding.DecodedLen(len(text))+slack)
		for i := range got[len(got)-slack:] {
			got[len(got)-slack+i] = 0xa5
		}
		gotN, gotErr := base64.StdEncoding.Decode(got, text)
		if (wantErr == nil) != (gotErr == nil) || wantErr == nil && !bytes.Equal(want[:wantN], got[:gotN]) {
			t.Fatalf("%q: %x, %v; the standard library says %x, %v", text, got[:gotN], gotErr, want[:wantN], wantErr)
		}
	})
}

func TestScanDoesNotAllocate(t *testing.T) {
	s := NewScanner(watching())
	for name, body := range benchBodies(t) {
		if name == "unknown" || name == "whitespace" {
			continue
		}
		if n := testing.AllocsPerRun(100, func() { s.Scan(body) }); n >= 1 {
			t.Errorf("%s: %.0f allocations", name, n)
		}
	}
}

func benchBodies(t testing.TB) map[string][]byte {
	cert := certificate(t, otherSAN)
	tiled := tiledBody(tiledVerifier("x509Certificate", cert))
	return map[string][]byte{
		"v2":         tiled,
		"v2-key":     tiledBody(tiledVerifier("publicKey", publicKey(t))),
		"v2-dsse":    tiledDSSEBody(tiledVerifier("x509Certificate", cert)),
		"v1":         hashedRekordBody(pem64("CERTIFICATE", cert)),
		"v1-dsse":    dsseBody(pem64("CERTIFICATE", cert)),
		"whitespace": bytes.Replace(tiled, []byte(`":`), []byte(`": `), 1),
		"unknown":    bytes.Replace(tiled, []byte(`"0.0.2"`), []byte(`"0.0.9"`), 1),
	}
}

// BenchmarkScan has a matcher that costs next to nothing: the watch list has its own benchmark.
func BenchmarkScan(b *testing.B) {
	bodies := benchBodies(b)
	for _, name := range []string{"v2", "v2-key", "v2-dsse", "v1", "v1-dsse", "whitespace", "unknown"} {
		b.Run(name, func(b *testing.B) {
			s := NewScanner(recorder{})
			body := bodies[name]
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				s.Scan(body)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(float64(len(body))/1024), "ns/kB")
		})
	}
}
