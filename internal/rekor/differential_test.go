package rekor

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-openapi/runtime"
	tilespb "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"google.golang.org/protobuf/encoding/protojson"

	// The kinds register themselves. The packages of the others bring in parsers for OpenPGP, RPM and the like.
	_ "github.com/sigstore/rekor/pkg/types/dsse/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/hashedrekord/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.1"
	_ "github.com/sigstore/rekor/pkg/types/intoto/v0.0.2"

	"github.com/rekoncile/rekoncile/internal/realdata"
)

// rekorsView is what Rekor's own code reads from a body: the signers' keys or certificates in PEM, and the hash that it
// indexes the entry by.
func rekorsView(body []byte) (signers [][]byte, artifact string, err error) {
	proposed, err := models.UnmarshalProposedEntry(bytes.NewReader(body), runtime.JSONConsumer())
	if err != nil {
		return nil, "", err
	}
	impl, err := types.UnmarshalEntry(proposed)
	if err != nil {
		return nil, "", err
	}
	verifiers, err := impl.Verifiers()
	if err != nil {
		return nil, "", err
	}
	for _, v := range verifiers {
		value, err := v.CanonicalValue()
		if err != nil {
			return nil, "", err
		}
		signers = append(signers, value)
	}
	artifact, err = impl.ArtifactHash()
	return signers, artifact, err
}

// ourView brings our own answer into the same form.
func ourView(body []byte) (signers [][]byte, artifact string, err error) {
	e, err := Decode(body)
	if err != nil {
		return nil, "", err
	}
	for _, der := range e.Certificates {
		signers = append(signers, pemOf("CERTIFICATE", der))
	}
	for _, key := range e.Keys {
		signers = append(signers, pemOf("PUBLIC KEY", key))
	}
	hashes := slices.Concat(e.ArtifactHashes, e.PayloadHashes)
	if len(hashes) == 0 {
		return signers, "", nil
	}
	return signers, hashes[0].Algorithm + ":" + hashes[0].Hex, nil
}

func TestRekorsOwnTypesReadTheSame(t *testing.T) {
	cert, key := pem64("CERTIFICATE", certificate(t, watchedSAN)), pem64("PUBLIC KEY", publicKey(t))
	hash := `{"algorithm":"sha256","value":"` + hexDigest + `"}`
	bodies := []realBody{
		{"hashedrekord", signedHashedRekord(t)},
		{"dsse", dsseBody(cert)},
		{"dsse of two", dsseBody(cert, key)},
		{"intoto", []byte(`{"apiVersion":"0.0.1","kind":"intoto","spec":{"content":{"hash":` + hash + `,"payloadHash":` + hash + `},"publicKey":"` + cert + `"}}`)},
	}
	if _, ok := realdata.Find(t); ok {
		bodies = append(bodies, realV1(t)...)
	}
	compared := 0
	for _, b := range bodies {
		signers, artifact, err := rekorsView(b.raw)
		if err != nil {
			continue // Rekor's own code refuses some of what Rekor once logged
		}
		gotSigners, gotArtifact, err := ourView(b.raw)
		if err != nil {
			t.Errorf("%s: Rekor reads it, and we do not: %v", b.file, err)
			continue
		}
		compared++
		if gotArtifact != artifact {
			t.Errorf("%s: hash %s, Rekor says %s", b.file, gotArtifact, artifact)
		}
		if len(signers) != len(gotSigners) {
			t.Errorf("%s: %d signers, Rekor says %d", b.file, len(gotSigners), len(signers))
			continue
		}
		for i := range signers {
			// Of a chain Rekor returns all, the signer's first.
			if !sameKey(signers[i], gotSigners[i]) {
				t.Errorf("%s: signer %d is\n%s, Rekor says\n%s", b.file, i, gotSigners[i], signers[i])
			}
		}
	}
	if compared < 4 {
		t.Errorf("only %d of %d bodies were compared", compared, len(bodies))
	}
	t.Logf("compared %d bodies of %d", compared, len(bodies))
}

// signedHashedRekord is a body with a genuine signature: of this kind Rekor's own code verifies it when it decodes.
func signedHashedRekord(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := hex.DecodeString(hexDigest)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(hashedRekordBody(pem64("PUBLIC KEY", spki)), []byte(b64Signature), []byte(b64(sig)), 1)
}

// realV1 are the real bodies of Rekor v1.
func realV1(t *testing.T) []realBody {
	return slices.DeleteFunc(realBodies(t), func(b realBody) bool {
		return bytes.Contains(b.raw, []byte(`V002"`))
	})
}

// sameKey compares what is in PEM; keys in other forms are compared by their canonical text, which Rekor may write anew.
func sameKey(rekors, ours []byte) bool {
	a, _ := pem.Decode(rekors)
	b, _ := pem.Decode(ours)
	return a == nil || b != nil && bytes.Equal(a.Bytes, b.Bytes) || a.Type != "CERTIFICATE" && a.Type != "PUBLIC KEY"
}

// TestRekorsSchemasReadTheSame covers the kinds whose packages are not linked: Rekor's generated models know where the
// key and the hash are.
func TestRekorsSchemasReadTheSame(t *testing.T) {
	key := publicKey(t)
	text := pem64("PUBLIC KEY", key)
	hash := `{"algorithm":"sha256","value":"` + hexDigest + `"}`
	for _, body := range []string{
		`{"apiVersion":"0.0.1","kind":"alpine","spec":{"package":{"hash":` + hash + `,"pkginfo":{"pkgname":"x"}},"publicKey":{"content":"` + text + `"}}}`,
		`{"apiVersion":"0.0.1","kind":"rpm","spec":{"package":{"hash":` + hash + `,"headers":{"Name":"x"}},"publicKey":{"content":"` + text + `"}}}`,
		`{"apiVersion":"0.0.1","kind":"jar","spec":{"archive":{"hash":` + hash + `},"signature":{"content":"c2ln","publicKey":{"content":"` + text + `"}}}}`,
		`{"apiVersion":"0.0.1","kind":"rekord","spec":{"data":{"hash":` + hash + `},"signature":{"content":"c2ln","format":"x509","publicKey":{"content":"` + text + `"}}}}`,
		`{"apiVersion":"0.0.1","kind":"helm","spec":{"chart":{"hash":` + hash + `,"provenance":{"signature":{"content":"c2ln"}}},"publicKey":{"content":"` + text + `"}}}`,
		`{"apiVersion":"0.0.1","kind":"cose","spec":{"data":{"envelopeHash":` + hash + `,"payloadHash":` + hash + `},"publicKey":"` + text + `"}}`,
	} {
		proposed, err := models.UnmarshalProposedEntry(strings.NewReader(body), runtime.JSONConsumer())
		if err != nil {
			t.Fatal(err)
		}
		var algorithm, value string
		var content []byte
		switch p := proposed.(type) {
		case *models.Alpine:
			spec := respec[models.AlpineV001Schema](t, p.Spec)
			algorithm, value, content = *spec.Package.Hash.Algorithm, *spec.Package.Hash.Value, *spec.PublicKey.Content
		case *models.Rpm:
			spec := respec[models.RpmV001Schema](t, p.Spec)
			algorithm, value, content = *spec.Package.Hash.Algorithm, *spec.Package.Hash.Value, *spec.PublicKey.Content
		case *models.Jar:
			spec := respec[models.JarV001Schema](t, p.Spec)
			algorithm, value, content = *spec.Archive.Hash.Algorithm, *spec.Archive.Hash.Value, *spec.Signature.PublicKey.Content
		case *models.Rekord:
			spec := respec[models.RekordV001Schema](t, p.Spec)
			algorithm, value, content = *spec.Data.Hash.Algorithm, *spec.Data.Hash.Value, *spec.Signature.PublicKey.Content
		case *models.Helm:
			spec := respec[models.HelmV001Schema](t, p.Spec)
			algorithm, value, content = *spec.Chart.Hash.Algorithm, *spec.Chart.Hash.Value, *spec.PublicKey.Content
		case *models.Cose:
			spec := respec[models.CoseV001Schema](t, p.Spec)
			algorithm, value, content = *spec.Data.PayloadHash.Algorithm, *spec.Data.PayloadHash.Value, *spec.PublicKey
		default:
			t.Fatalf("Rekor reads a %T", p)
		}
		block, _ := pem.Decode(content)
		e, err := Decode([]byte(body))
		if err != nil || e.UnknownMember != "" {
			t.Fatalf("%s: %v, unknown member %q", body, err, e.UnknownMember)
		}
		hashes := slices.Concat(e.ArtifactHashes, e.PayloadHashes)
		if len(e.Keys) != 1 || !bytes.Equal(e.Keys[0], block.Bytes) || hashes[0] != (Hash{algorithm, value}) {
			t.Errorf("%s: keys %x, hashes %v", e.Kind, e.Keys, hashes)
		}
	}
}

func respec[T any](t *testing.T, spec any) *T {
	t.Helper()
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	out := new(T)
	if err := json.Unmarshal(raw, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// tilesView is what rekor-tiles' generated code reads from a body, in one line a signer and one for the digest.
func tilesView(body []byte) ([]string, error) {
	var entry tilespb.Entry
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, &entry); err != nil {
		return nil, err
	}
	var view []string
	line := func(cert, key []byte) {
		if len(cert) > 0 {
			view = append(view, "certificate "+base64.StdEncoding.EncodeToString(cert))
		}
		if len(key) > 0 {
			view = append(view, "key "+base64.StdEncoding.EncodeToString(key))
		}
	}
	if r := entry.GetSpec().GetHashedRekordV002(); r != nil {
		view = append(view, hex.EncodeToString(r.GetData().GetDigest()))
		line(r.GetSignature().GetVerifier().GetX509Certificate().GetRawBytes(), r.GetSignature().GetVerifier().GetPublicKey().GetRawBytes())
	}
	//nolint:staticcheck // Deprecated for new entries; those that are logged stay.
	if d := entry.GetSpec().GetDsseV002(); d != nil {
		view = append(view, hex.EncodeToString(d.GetPayloadHash().GetDigest()))
		for _, s := range d.GetSignatures() {
			line(s.GetVerifier().GetX509Certificate().GetRawBytes(), s.GetVerifier().GetPublicKey().GetRawBytes())
		}
	}
	slices.Sort(view)
	return view, nil
}

func ourTiledView(body []byte) ([]string, error) {
	e, err := Decode(body)
	if err != nil {
		return nil, err
	}
	var view []string
	for _, h := range slices.Concat(e.ArtifactHashes, e.PayloadHashes) {
		view = append(view, h.Hex)
	}
	for _, c := range e.Certificates {
		view = append(view, "certificate "+base64.StdEncoding.EncodeToString(c))
	}
	for _, k := range e.Keys {
		view = append(view, "key "+base64.StdEncoding.EncodeToString(k))
	}
	slices.Sort(view)
	return view, nil
}

func TestRekorTilesOwnTypesReadTheSame(t *testing.T) {
	cert, key := certificate(t, watchedSAN), publicKey(t)
	bodies := []realBody{
		{"hashedrekord", tiledBody(tiledVerifier("x509Certificate", cert))},
		{"hashedrekord of a key", tiledBody(tiledVerifier("publicKey", key))},
		{"dsse", tiledDSSEBody(tiledVerifier("x509Certificate", cert), tiledVerifier("publicKey", key))},
		{"URL-safe", []byte(strings.NewReplacer("+", "-", "/", "_").Replace(string(tiledBody(tiledVerifier("x509Certificate", cert)))))},
	}
	if _, ok := realdata.Find(t); ok {
		for _, b := range realBodies(t) {
			if bytes.Contains(b.raw, []byte(`V002"`)) {
				bodies = append(bodies, b)
			}
		}
	}
	for _, b := range bodies {
		want, err := tilesView(b.raw)
		if err != nil {
			t.Fatalf("%s: rekor-tiles does not read it: %v", b.file, err)
		}
		got, err := ourTiledView(b.raw)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v\n%v, rekor-tiles says\n%v", b.file, err, got, want)
		}
	}
	t.Logf("compared %d bodies", len(bodies))
}
