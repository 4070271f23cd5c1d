package sandbox

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	rekortiles "github.com/sigstore/rekor-tiles/v2/pkg/generated/protobuf"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/transparency-dev/formats/log"
	formatsnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
)

func base64Of(b []byte) []byte { return base64.StdEncoding.AppendEncode(nil, b) }

// decode is rekor-tiles' reading of an entry.
func decode(t *testing.T, body []byte) *rekortiles.Entry {
	t.Helper()
	var e rekortiles.Entry
	if err := protojson.Unmarshal(body, &e); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	canonical, err := jsoncanonicalizer.Transform(body)
	if err != nil || !bytes.Equal(canonical, body) {
		t.Fatalf("the body is not canonical: %v\n%s", err, body)
	}
	return &e
}

func TestNoiseVerifiesAndIsOfTheSizeOfRealEntries(t *testing.T) {
	w := newWorld(t)
	if err := w.Rekor2.AddNoise(20); err != nil {
		t.Fatal(err)
	}
	if err := w.Rekor2.AddBulk(500); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range uint64(520) {
		body, err := w.Rekor2.Leaf(i)
		if err != nil {
			t.Fatal(err)
		}
		if len(body) < 2400 || len(body) > 3100 {
			t.Fatalf("entry %d has %d bytes", i, len(body))
		}
		e := decode(t, body).GetSpec().GetHashedRekordV002()
		certificate, err := x509.ParseCertificate(e.GetSignature().GetVerifier().GetX509Certificate().GetRawBytes())
		if err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		good := ecdsa.VerifyASN1(certificate.PublicKey.(*ecdsa.PublicKey), e.GetData().GetDigest(), e.GetSignature().GetContent())
		chained := certificate.CheckSignatureFrom(w.Fulcio.intermediate) == nil
		if real := i < 20; good != real || chained != (real || i == 20) {
			t.Errorf("entry %d: signature %v, chain %v", i, good, chained)
		}
		if i < 20 {
			continue
		}
		key := certificate.SerialNumber.String()
		if seen[key] {
			t.Errorf("entry %d has the serial number of another", i)
		}
		seen[key] = true
		if want := fmt.Sprintf("https://github.com/stranger%07d/project%07d/.github/workflows/release.yml@refs/tags/v1.4.2", i-20, i-20); certificate.URIs[0].String() != want {
			t.Errorf("entry %d is by %s, want %s", i, certificate.URIs[0], want)
		}
	}
}

func TestBulkIsTheSameWheneverItIsAskedFor(t *testing.T) {
	logs := [2]*Rekor2{newWorld(t).Rekor2, newWorld(t).Rekor2}
	for i, parts := range [][]uint64{{1000}, {1, 300, 699}} {
		for _, n := range parts {
			if err := logs[i].AddBulk(n); err != nil {
				t.Fatal(err)
			}
		}
	}
	one, err := logs[0].Root(1000)
	if err != nil {
		t.Fatal(err)
	}
	other, err := logs[1].Root(1000)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, other) {
		t.Error("the same entries, added in other portions, have another root")
	}
}

func TestAttestationsInRekorV2AreAcceptedBySigstoreGo(t *testing.T) {
	w := logWorld(t, nil)
	a := attested(t, w)
	stamp, err := w.TSA.Timestamp(a.Signature, signedAt.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	a.Timestamps = [][]byte{stamp}
	if err := w.Rekor2.AddNoise(5); err != nil {
		t.Fatal(err)
	}
	entry, err := w.Rekor2.Log(a)
	if err != nil {
		t.Fatal(err)
	}
	a.Entries = []Entry{entry}
	j := newJudge(t, w, verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithSignedTimestamps(1))
	if err := j.bundle(a, wheel.SHA256); err != nil {
		t.Errorf("an honest bundle: %v", err)
	}
	a.Entries[0].RootHash = flipped(a.Entries[0].RootHash)
	a.Entries[0].Hashes[0] = flipped(a.Entries[0].Hashes[0])
	if err := j.bundle(a, wheel.SHA256); err == nil {
		t.Error("a bundle with another proof is accepted")
	}
}

func TestEveryKindOfEntryIsAsRekorTilesReadsIt(t *testing.T) {
	w := newWorld(t)
	a := attested(t, w)
	if _, err := w.Rekor2.LogDSSE(a); err != nil {
		t.Fatal(err)
	}
	_, spki, err := w.Rekor2.AddKeySigned("some key")
	if err != nil {
		t.Fatal(err)
	}
	body := func(i uint64) []byte {
		body, err := w.Rekor2.Leaf(i)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	payload := sha256.Sum256(a.Statement)
	//nolint:staticcheck // Deprecated for new entries; those that are logged stay.
	if e := decode(t, body(0)).GetSpec().GetDsseV002(); !bytes.Equal(e.GetPayloadHash().GetDigest(), payload[:]) ||
		!bytes.Equal(e.GetSignatures()[0].GetVerifier().GetX509Certificate().GetRawBytes(), a.Certificate) {
		t.Errorf("dsse: %v", e)
	}
	if e := decode(t, body(1)).GetSpec().GetHashedRekordV002(); !bytes.Equal(e.GetSignature().GetVerifier().GetPublicKey().GetRawBytes(), spki) {
		t.Errorf("hashedrekord by a key: %v", e)
	}

	unknown, err := w.Rekor2.AddUnknownKind("https://github.com/onnx/onnx")
	if err != nil {
		t.Fatal(err)
	}
	var e rekortiles.Entry
	if err := protojson.Unmarshal(body(unknown), &e); err == nil {
		t.Error("the unknown kind is known")
	}
	malformed, err := w.Rekor2.AddMalformedCertificate("https://github.com/onnx/onnx")
	if err != nil {
		t.Fatal(err)
	}
	der := decode(t, body(malformed)).GetSpec().GetHashedRekordV002().GetSignature().GetVerifier().GetX509Certificate().GetRawBytes()
	if _, err := x509.ParseCertificate(der); err == nil || !bytes.Contains(der, []byte("https://github.com/onnx/onnx")) {
		t.Errorf("the malformed certificate: %v, %q", err, der)
	}
	if _, err := w.Rekor2.Add(make([]byte, 1<<16)); err == nil {
		t.Error("an entry that does not fit into a bundle")
	}
}

func TestWitnessesCosignInAnyOrder(t *testing.T) {
	w := newWorld(t)
	var witnesses []note.Verifier
	for _, name := range []string{"witness.example/w1", "witness.example/w2", "witness.example/w3"} {
		v, err := formatsnote.NewVerifierForCosignatureV1(w.Rekor2.AddWitness(name))
		if err != nil {
			t.Fatal(err)
		}
		witnesses = append(witnesses, v)
	}
	raw, err := w.Rekor2.Head()
	if err != nil {
		t.Fatal(err)
	}
	cp, _, n, err := log.ParseCheckpoint(raw, w.Rekor2.Origin(), rekor2Verifier(t, w.Rekor2), witnesses...)
	if err != nil {
		t.Fatal(err)
	}
	if cp.Size != 0 || len(n.Sigs) != 4 || len(n.UnverifiedSigs) != 0 {
		t.Errorf("size %d, %d good signatures, %d others", cp.Size, len(n.Sigs), len(n.UnverifiedSigs))
	}
	if first := bytes.Split(raw, []byte("\u2014 "))[1]; bytes.HasPrefix(first, []byte(w.Rekor2.Origin())) {
		t.Error("the log's line is the first: a reader that takes no other would not be noticed")
	}
	at, err := formatsnote.CoSigV1Timestamp(n.Sigs[0])
	if err != nil || !at.Equal(today) {
		t.Errorf("cosigned at %v: %v", at, err)
	}
}

func BenchmarkBulk(b *testing.B) {
	w, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("rekor2", func(b *testing.B) {
		for b.Loop() {
			if err := w.Rekor2.AddBulk(1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("rekor2-rendered", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			w.Rekor2.bulk.entry(uint64(i))
		}
	})
	b.Run("ct", func(b *testing.B) {
		for b.Loop() {
			if err := w.CT.AddBulk(1); err != nil {
				b.Fatal(err)
			}
		}
	})
}
