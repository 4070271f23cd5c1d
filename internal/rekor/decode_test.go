package rekor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryKindAndVersionIsDecoded(t *testing.T) {
	cert, second, key := certificate(t, watchedSAN), certificate(t, otherSAN), publicKey(t)
	certPEM, keyPEM := pem64("CERTIFICATE", cert), pem64("PUBLIC KEY", key)
	pgp := "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQENBGDX7rcBCACdHDAoYc4Z\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
	hash := fmt.Sprintf(`{"algorithm":"sha256","value":"%s"}`, hexDigest)
	other := fmt.Sprintf(`{"algorithm":"SHA512","value":"%s"}`, strings.Repeat("AB", 64))
	want256, want512 := []Hash{{"sha256", hexDigest}}, []Hash{{"sha512", strings.Repeat("ab", 64)}}
	tufRoot := fmt.Sprintf(`{"signed":{"keys":{"b":{"keyval":{"public":%q}},"a":{"keyval":{"public":"00ff"}}}}}`, pemOf("PUBLIC KEY", key))

	for name, c := range map[string]struct {
		kind, version, spec string
		want                Entry
	}{
		"hashedrekord": {"hashedrekord", "0.0.1",
			`{"data":{"hash":` + hash + `},"signature":{"content":"c2ln","publicKey":{"content":"` + certPEM + `"}}}`,
			Entry{Certificates: [][]byte{cert}, ArtifactHashes: want256}},
		"hashedrekord of a key": {"hashedrekord", "0.0.1",
			`{"data":{"hash":` + other + `},"signature":{"content":"c2ln","publicKey":{"content":"` + keyPEM + `"}}}`,
			Entry{Keys: [][]byte{key}, ArtifactHashes: want512}},
		"hashedrekord of a chain": {"hashedrekord", "0.0.1",
			`{"data":{"hash":` + hash + `},"signature":{"content":"c2ln","publicKey":{"content":"` + b64(append(pemOf("CERTIFICATE", cert), pemOf("CERTIFICATE", second)...)) + `"}}}`,
			Entry{Certificates: [][]byte{cert}, ArtifactHashes: want256}},
		"dsse": {"dsse", "0.0.1",
			`{"envelopeHash":` + other + `,"payloadHash":` + hash + `,"signatures":[{"signature":"c2ln","verifier":"` + certPEM + `"},{"signature":"c2ln","verifier":"` + keyPEM + `"}]}`,
			Entry{Certificates: [][]byte{cert}, Keys: [][]byte{key}, PayloadHashes: want256, EnvelopeHashes: want512}},
		"intoto 0.0.1": {"intoto", "0.0.1",
			`{"content":{"hash":` + other + `,"payloadHash":` + hash + `},"publicKey":"` + certPEM + `"}`,
			Entry{Certificates: [][]byte{cert}, PayloadHashes: want256, EnvelopeHashes: want512}},
		"intoto 0.0.1 of 2021": {"intoto", "0.0.1",
			`{"content":{"hash":` + hash + `},"publicKey":"` + certPEM + `"}`,
			Entry{Certificates: [][]byte{cert}, EnvelopeHashes: want256}},
		"intoto 0.0.2": {"intoto", "0.0.2",
			`{"content":{"envelope":{"payloadType":"x","signatures":[{"keyid":"","publicKey":"` + certPEM + `","sig":"YzJsbg=="}]},"hash":` + other + `,"payloadHash":` + hash + `}}`,
			Entry{Certificates: [][]byte{cert}, PayloadHashes: want256, EnvelopeHashes: want512}},
		"rekord": {"rekord", "0.0.1",
			`{"data":{"hash":` + hash + `},"signature":{"content":"c2ln","format":"x509","publicKey":{"content":"` + certPEM + `"}}}`,
			Entry{Certificates: [][]byte{cert}, ArtifactHashes: want256}},
		"rekord in OpenPGP": {"rekord", "0.0.1",
			`{"data":{"hash":` + hash + `},"signature":{"content":"c2ln","format":"pgp","publicKey":{"content":"` + b64([]byte(pgp)) + `"}}}`,
			Entry{Keys: [][]byte{[]byte(pgp)}, ArtifactHashes: want256}},
		"rekord in OpenSSH": {"rekord", "0.0.1",
			`{"data":{"hash":` + hash + `},"signature":{"content":"c2ln","format":"ssh","publicKey":{"content":"` + b64([]byte("ssh-ed25519 AAAA x@y\n")) + `"}}}`,
			Entry{Keys: [][]byte{[]byte("ssh-ed25519 AAAA x@y\n")}, ArtifactHashes: want256}},
		"cose": {"cose", "0.0.1",
			`{"data":{"envelopeHash":` + other + `,"payloadHash":` + hash + `},"publicKey":"` + certPEM + `"}`,
			Entry{Certificates: [][]byte{cert}, PayloadHashes: want256, EnvelopeHashes: want512}},
		"alpine": {"alpine", "0.0.1",
			`{"package":{"hash":` + hash + `,"pkginfo":{"pkgname":"x"}},"publicKey":{"content":"` + keyPEM + `"}}`,
			Entry{Keys: [][]byte{key}, ArtifactHashes: want256}},
		"rpm": {"rpm", "0.0.1",
			`{"package":{"hash":` + hash + `,"headers":{"Name":"x"}},"publicKey":{"content":"` + b64([]byte(pgp)) + `"}}`,
			Entry{Keys: [][]byte{[]byte(pgp)}, ArtifactHashes: want256}},
		"helm": {"helm", "0.0.1",
			`{"chart":{"hash":` + hash + `,"provenance":{"signature":{"content":"c2ln"}}},"publicKey":{"content":"` + b64([]byte(pgp)) + `"}}`,
			Entry{Keys: [][]byte{[]byte(pgp)}, ArtifactHashes: want256}},
		"jar": {"jar", "0.0.1",
			`{"archive":{"hash":` + hash + `},"signature":{"content":"c2ln","publicKey":{"content":"` + certPEM + `"}}}`,
			Entry{Certificates: [][]byte{cert}, ArtifactHashes: want256}},
		"tuf in base64": {"tuf", "0.0.1",
			`{"metadata":{"content":"` + b64([]byte("test")) + `"},"root":{"content":"` + b64([]byte(tufRoot)) + `"},"spec_version":"1.0"}`,
			Entry{Keys: [][]byte{[]byte("00ff"), key}, ArtifactHashes: want256}},
		"tuf in JSON": {"tuf", "0.0.1",
			`{"metadata":{"content":"` + b64([]byte("test")) + `"},"root":{"content":` + tufRoot + `}}`,
			Entry{Keys: [][]byte{[]byte("00ff"), key}, ArtifactHashes: want256}},
		"rfc3161": {"rfc3161", "0.0.1", `{"tsr":{"content":"` + b64([]byte("test")) + `"}}`, Entry{ArtifactHashes: want256}},
		"Rekor v2": {"hashedrekord", "0.0.2",
			`{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"` + b64Digest + `"},"signature":` + tiledVerifier("x509Certificate", cert) + `}}`,
			Entry{Certificates: [][]byte{cert}, ArtifactHashes: want256}},
		"Rekor v2 of a key": {"hashedrekord", "0.0.2",
			`{"hashedRekordV002":{"data":{"algorithm":"SHA2_512","digest":"` + b64([]byte("0123")) + `"},"signature":` + tiledVerifier("publicKey", key) + `}}`,
			Entry{Keys: [][]byte{key}, ArtifactHashes: []Hash{{"sha512", "30313233"}}}},
		"Rekor v2 of an algorithm to come": {"hashedrekord", "0.0.2",
			`{"hashedRekordV002":{"data":{"algorithm":"SHA9","digest":"` + b64Digest + `"},"signature":` + tiledVerifier("publicKey", key) + `}}`,
			Entry{Keys: [][]byte{key}, ArtifactHashes: []Hash{{"sha9", hexDigest}}}},
		"Rekor v2 dsse": {"dsse", "0.0.2",
			`{"dsseV002":{"payloadHash":{"algorithm":"SHA2_256","digest":"` + b64Digest + `"},"signatures":[` + tiledVerifier("x509Certificate", cert) + `,` + tiledVerifier("publicKey", key) + `]}}`,
			Entry{Certificates: [][]byte{cert}, Keys: [][]byte{key}, PayloadHashes: want256}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Kind, c.want.APIVersion = c.kind, c.version
			got, err := Decode(fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"spec":%s}`, c.version, c.kind, c.spec))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

func TestBase64OfEveryKindIsRead(t *testing.T) {
	cert := certificate(t, watchedSAN)
	std := string(tiledBody(tiledVerifier("x509Certificate", cert)))
	for name, body := range map[string]string{
		"without padding":   strings.NewReplacer(`="`, `"`, `=="`, `"`).Replace(std),
		"URL-safe":          strings.NewReplacer("+", "-", "/", "_").Replace(std),
		"with JSON escapes": strings.ReplaceAll(std, "/", `\/`),
		"with \\u escapes":  strings.ReplaceAll(std, "M", `\u004d`),
		"with white space":  strings.ReplaceAll(std, ":", " :\n\t"),
	} {
		e, err := Decode([]byte(body))
		if err != nil || len(e.Certificates) != 1 || string(e.Certificates[0]) != string(cert) {
			t.Errorf("%s: %d certificates, %v", name, len(e.Certificates), err)
		}
	}
}

func TestUnknownKindsAreToldByTheirNames(t *testing.T) {
	for _, kv := range [][2]string{{"identity", "0.0.1"}, {"hashedrekord", "0.0.3"}, {"dsse", ""}, {"", ""}} {
		e, err := Decode(fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"spec":{}}`, kv[1], kv[0]))
		var unknown *UnknownKindError
		if !errors.As(err, &unknown) || *unknown != (UnknownKindError{kv[0], kv[1]}) || e.Kind != kv[0] || e.APIVersion != kv[1] {
			t.Errorf("%q: %v, entry %+v", kv, err, e)
		}
	}
}

func TestUnknownMembersAreToldAndTheRestIsDecoded(t *testing.T) {
	cert := certificate(t, watchedSAN)
	body := string(tiledBody(tiledVerifier("x509Certificate", cert)))
	for member, edited := range map[string]string{
		"/extra":                            strings.Replace(body, `{"apiVersion"`, `{"extra":{"a":1},"apiVersion"`, 1),
		"/hashedRekordV002/data/new":        strings.Replace(body, `{"algorithm"`, `{"new":[],"algorithm"`, 1),
		"/hashedRekordV002/signature/witty": strings.Replace(body, `,"verifier"`, `,"witty":null,"verifier"`, 1),
	} {
		e, err := Decode([]byte(edited))
		if err != nil || e.UnknownMember != member || len(e.Certificates) != 1 || len(e.ArtifactHashes) != 1 {
			t.Errorf("%s: %+v, %v", member, e, err)
		}
	}
}

func TestBadBodiesAreClearErrors(t *testing.T) {
	cert := pem64("CERTIFICATE", certificate(t, watchedSAN))
	good := string(hashedRekordBody(cert))
	edit := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the body", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for name, c := range map[string]struct{ body, want string }{
		"empty":              {"", "not a JSON object"},
		"HTML":               {"<html>", "not a JSON object"},
		"cut off":            {good[:len(good)-1], "not valid JSON"},
		"followed":           {good + "x", "something behind"},
		"a name twice":       {edit(`"kind":`, `"kind":"x","kind":`), "not valid JSON"},
		"not UTF-8":          {edit("sha256", "sha\xff256"), "not valid JSON"},
		"deep":               {strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), "nests deeper than 32"},
		"wide":               {`{"a":[` + strings.Repeat("0,", 100_001) + `0]}`, "more than 100000 values"},
		"large":              {`{"a":"` + strings.Repeat("x", 4<<20) + `"}`, "more than the 4194304 allowed"},
		"without spec":       {`{"apiVersion":"0.0.1","kind":"dsse"}`, "no spec"},
		"spec is text":       {`{"apiVersion":"0.0.1","kind":"dsse","spec":"x"}`, "dsse 0.0.1"},
		"without hash":       {`{"apiVersion":"0.0.1","kind":"dsse","spec":{}}`, "no hash"},
		"hash is not hex":    {edit(hexDigest, "xyz"), "not hex"},
		"without signer":     {edit(cert, ""), "neither a certificate nor a key"},
		"signer not base64":  {edit(cert, "*"), "not base64"},
		"broken certificate": {edit(cert, b64([]byte("-----BEGIN CERTIFICATE-----\nMIIB*\n-----END CERTIFICATE-----\n"))), "not readable PEM"},
		"no signatures":      {string(dsseBody()), "no signature"},
		"number for text":    {edit(`"`+hexDigest+`"`, "7"), "hashedrekord 0.0.1"},
		"v2 without signer":  {string(tiledBody(`{"content":"c2ln","verifier":{"keyDetails":"X"}}`)), "neither a certificate nor a key"},
		"v2 without digest":  {`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{}}}`, "no hash"},
	} {
		if _, err := Decode([]byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestEntryDoesNotKeepTheBody(t *testing.T) {
	cert := certificate(t, watchedSAN)
	body := tiledBody(tiledVerifier("x509Certificate", cert))
	e, err := Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	clear(body)
	if string(e.Certificates[0]) != string(cert) || e.Kind != "hashedrekord" {
		t.Error("the entry changed with the body that it was decoded from")
	}
}

// TestEveryRealEntryIsDecoded reads every body of the collection, of which three were broken by those who test with them.
func TestEveryRealEntryIsDecoded(t *testing.T) {
	broken := map[string]string{
		"4-rekor/rekor/body-hashedrekord_0.0.1-b94a843c5bd69d11.json":             `no hash`, // it says "has" for "hash"
		"7-conformance/bundle-empty-certificate-chain_fail/bundle.sigstore.json":  `no spec`,
		"7-conformance/bundle-invalid-base64-signature_fail/bundle.sigstore.json": `not readable PEM`,
	}
	count := map[string]int{}
	for _, b := range realBodies(t) {
		e, err := Decode(b.raw)
		if want, ok := broken[b.file]; ok {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", b.file, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", b.file, err)
			continue
		}
		if e.UnknownMember != "" {
			t.Errorf("%s: unknown member %s", b.file, e.UnknownMember)
		}
		if len(e.Certificates)+len(e.Keys) == 0 {
			t.Errorf("%s: no signer", b.file)
		}
		count[e.Kind+" "+e.APIVersion]++
	}
	// The collection has at least these; counted by their text.
	for kind, atLeast := range map[string]int{
		"dsse 0.0.1": 49, "dsse 0.0.2": 2, "hashedrekord 0.0.1": 62, "hashedrekord 0.0.2": 30, "intoto 0.0.1": 1, "intoto 0.0.2": 75, "rekord 0.0.1": 3,
	} {
		if count[kind] < atLeast {
			t.Errorf("%d entries of %s were decoded, want at least %d", count[kind], kind, atLeast)
		}
	}
	t.Logf("decoded: %v", count)
}

func FuzzDecode(f *testing.F) {
	cert, key := certificate(f, watchedSAN), publicKey(f)
	f.Add(hashedRekordBody(pem64("CERTIFICATE", cert)))
	f.Add(dsseBody(pem64("PUBLIC KEY", key)))
	f.Add(tiledBody(tiledVerifier("x509Certificate", cert)))
	f.Add(tiledDSSEBody(tiledVerifier("publicKey", key)))
	f.Add([]byte(`{"apiVersion":"0.0.1","kind":"tuf","spec":{"metadata":{"content":"dGVzdA=="},"root":{"content":{"signed":{"keys":{}}}}}}`))
	addReal(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := Decode(body)
		if err == nil && !json.Valid(body) {
			t.Fatal("decoded what is not JSON")
		}
		if err == nil && e.Kind != "rfc3161" && e.Kind != "tuf" && len(e.Certificates)+len(e.Keys) == 0 {
			t.Fatalf("an entry without a signer: %+v", e)
		}
		if err == nil && len(e.ArtifactHashes)+len(e.PayloadHashes)+len(e.EnvelopeHashes) == 0 {
			t.Fatalf("an entry without a hash: %+v", e)
		}
	})
}

// addReal seeds a fuzz test with real bodies, where they are at hand.
func addReal(f *testing.F) {
	if os.Getenv("REKONCILE_DATA") == "" { // fuzzing's many processes do not look for it themselves
		return
	}
	for _, b := range realBodies(f) {
		if len(b.raw) < 16<<10 {
			f.Add(b.raw)
		}
	}
}
