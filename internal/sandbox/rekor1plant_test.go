package sandbox

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"github.com/go-openapi/strfmt"
	"github.com/sigstore/rekor/pkg/generated/models"
)

func TestPlantsAreFoundWhereTheyWereHidden(t *testing.T) {
	w, planted := plantedWorld(t)
	r := newRekorReader(t, w.Rekor)
	if size := w.Rekor.Size(); size != 100 {
		t.Errorf("the shard has %d entries", size)
	}
	j := newJudge(t, w)
	from := signedAt.Add(-time.Hour)
	for i, at := range []uint64{20, 40, 60, 80} {
		p := planted[i]
		if p.Index != at || p.Origin != "rekor.sandbox.example - 1193050959916656507" {
			t.Errorf("plant %d is at %d of %s", i, p.Index, p.Origin)
		}
		e := p.Attestation.Entries[0]
		// Of the 95 new entries the first is of the one time and the last of the other.
		want := from.Add(time.Hour * time.Duration(at-5) / 94).Unix()
		if e.LogIndex != shardStart+int64(at) || e.IntegratedTime != want {
			t.Errorf("plant %d: entry %d, integrated at %d, want %d", i, e.LogIndex, e.IntegratedTime, want)
		}
		answer, err := r.retrieve(t.Context(), e.LogIndex)
		if err != nil {
			t.Fatal(err)
		}
		body, err := r.prove(t.Context(), answer[e.LogIndex], 1193050959916656507, shardStart)
		if err != nil || !bytes.Equal(body, p.Leaf) {
			t.Errorf("plant %d: %v", i, err)
		}
		served, ok := answer[e.LogIndex][p.UUID]
		if !ok {
			t.Errorf("plant %d is not named %s", i, p.UUID)
		}
		// Only what intoto entries are about is kept beside the log.
		if kept := served.Attestation != nil; kept != (i == 2) || kept && !bytes.Equal(served.Attestation.Data, p.Attestation.Statement) {
			t.Errorf("plant %d: attestation %v", i, served.Attestation)
		}
		if err := j.bundle(p.Attestation, plantedDigest(p)); err != nil {
			t.Errorf("plant %d as a bundle: %v", i, err)
		}
	}
	// Their certificates are in the CT log, and those of strangers are not.
	if n := w.CT.Size(); n != 4 {
		t.Errorf("the CT log has %d precertificates", n)
	}
	if _, err := w.PlantRekor(200, from, signedAt, RekorPlant{Plant: Plant{At: 99, Claims: ReleaseClaims("1.23.0")}}); err == nil {
		t.Error("a plant where there is an entry already")
	}
	if _, err := w.PlantRekor(50, from, signedAt); err == nil {
		t.Error("a log that shrinks")
	}
	if _, err := w.PlantRekor(200, from, signedAt, RekorPlant{Plant: Plant{At: 150, Claims: ReleaseClaims("1.23.0")}, Kind: "jar"}); err == nil {
		t.Error("a plant of a kind that is not planted")
	}
}

// plantedDigest is the SHA-256 of what a plant is about.
func plantedDigest(p RekorPlanted) string {
	if p.Attestation.Artifact != nil {
		return hex.EncodeToString(p.Attestation.Artifact)
	}
	if bytes.Contains(p.Attestation.Statement, []byte(wheel.SHA256)) {
		return wheel.SHA256
	}
	return hexSHA256(fmt.Appendf(nil, "planted-%d.tar.gz", p.Index))
}

func TestBulkOfRekorV1IsAsRekorCanonicalisesIt(t *testing.T) {
	w := newWorld(t)
	if err := w.Rekor.AddBulk(200, signedAt.Add(-time.Minute), signedAt); err != nil {
		t.Fatal(err)
	}
	kinds, serials := map[string]int{}, map[string]bool{}
	for i := range int64(200) {
		e, ok, err := w.Rekor.Get(shardStart + 5 + i)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		kinds[e.Kind+" "+e.Version]++
		verifier := rekorsShape(t, e)
		block, rest := pem.Decode(verifier)
		if block == nil || len(rest) > 0 || !bytes.Equal(verifier, pem.EncodeToMemory(block)) {
			t.Fatalf("entry %d has the verifier %q", i, verifier)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		serials[certificate.SerialNumber.String()] = true
		number := 64 + i
		if want := fmt.Sprintf("https://github.com/stranger%07d/project%07d/.github/workflows/release.yml@refs/tags/v1.4.2", number, number); certificate.URIs[0].String() != want {
			t.Errorf("entry %d is by %s, want %s", i, certificate.URIs[0], want)
		}
		if at := signedAt.Add(-time.Minute).Unix() + 60*i/199; e.IntegratedTime != at {
			t.Errorf("entry %d was integrated at %d, want %d", i, e.IntegratedTime, at)
		}
	}
	if fmt.Sprint(kinds) != "map[dsse 0.0.1:60 hashedrekord 0.0.1:120 intoto 0.0.2:20]" || len(serials) != 200 {
		t.Errorf("%v of %d signers", kinds, len(serials))
	}
}

// rekorsShape reads a body into Rekor's own model of its kind, writes it again as Rekor does, compares, and returns the verifier
// in it. Rekor's canonicalisation itself takes no entry whose signature does not verify.
func rekorsShape(t *testing.T, e Entry) []byte {
	t.Helper()
	var head struct{ Spec json.RawMessage }
	if err := json.Unmarshal(e.Body, &head); err != nil {
		t.Fatal(err)
	}
	read := func(into interface{ Validate(strfmt.Registry) error }) {
		t.Helper()
		if err := json.Unmarshal(head.Spec, into); err != nil {
			t.Fatal(err)
		}
		if err := into.Validate(strfmt.Default); err != nil {
			t.Errorf("%v: %s", err, e.Body)
		}
		again, err := json.Marshal(map[string]any{"apiVersion": e.Version, "kind": e.Kind, "spec": into})
		if err != nil {
			t.Fatal(err)
		}
		if canonical, err := jsoncanonicalizer.Transform(again); err != nil || !bytes.Equal(canonical, e.Body) {
			t.Errorf("the entry is\n%s\nRekor has\n%s, %v", e.Body, canonical, err)
		}
	}
	switch e.Kind {
	case "hashedrekord":
		var spec models.HashedrekordV001Schema
		read(&spec)
		return spec.Signature.PublicKey.Content
	case "dsse":
		var spec models.DSSEV001Schema
		read(&spec)
		return *spec.Signatures[0].Verifier
	default:
		var spec models.IntotoV002Schema
		read(&spec)
		return *spec.Content.Envelope.Signatures[0].PublicKey
	}
}

func TestNoiseOfRekorV1Verifies(t *testing.T) {
	w := newWorld(t)
	e, ok, err := w.Rekor.Get(shardStart)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	var body hashedRekordEntry
	if err := json.Unmarshal(e.Body, &body); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(body.Spec.Signature.PublicKey.Content)
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("noise 1"))
	if !ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), digest[:], body.Spec.Signature.Content) {
		t.Error("the signature does not verify")
	}
}

func TestBulkOfRekorV1IsTheSameWheneverItIsAskedFor(t *testing.T) {
	logs := [2]*Rekor{newWorld(t).Rekor, newWorld(t).Rekor}
	for i, parts := range [][]uint64{{1000}, {1, 300, 699}} {
		for _, n := range parts {
			if err := logs[i].AddBulk(n, signedAt, signedAt); err != nil {
				t.Fatal(err)
			}
		}
	}
	one, err := logs[0].Active().Root(1005)
	if err != nil {
		t.Fatal(err)
	}
	other, err := logs[1].Active().Root(1005)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, other) {
		t.Error("the same entries, added in other portions, have another root")
	}
}

func TestARepeatedTreeIsTheTreeOfItsLeaves(t *testing.T) {
	leaves := make([][]byte, 4)
	for i := range leaves {
		sum := sha256.Sum256([]byte{byte(i)})
		leaves[i] = sum[:]
	}
	for _, size := range []uint64{1, 3, 4, 5, 8, 15, 16, 17, 37} {
		repeated := repeatedTree(leaves, size)
		var plain merkleTree
		for i := range size {
			plain.append(leaves[i%4])
		}
		got, err := repeated.root(size)
		if err != nil {
			t.Fatal(err)
		}
		want, err := plain.root(size)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("size %d: root %x, want %x, %v", size, got, want, err)
		}
		for index := range size {
			got, err := repeated.inclusion(index, size)
			if err != nil {
				t.Fatal(err)
			}
			want, err := plain.inclusion(index, size)
			if err != nil || fmt.Sprintf("%x", got) != fmt.Sprintf("%x", want) {
				t.Errorf("leaf %d of %d: %x, want %x, %v", index, size, got, want, err)
			}
			got, err = repeated.consistency(index+1, size)
			if err != nil {
				t.Fatal(err)
			}
			want, err = plain.consistency(index+1, size)
			if err != nil || fmt.Sprintf("%x", got) != fmt.Sprintf("%x", want) {
				t.Errorf("from %d to %d: %x, want %x, %v", index+1, size, got, want, err)
			}
		}
	}
}

func TestRekorV1TakesWhatNobodyCanRead(t *testing.T) {
	w := startedWorld(t)
	r := newRekorReader(t, w.Rekor)
	const text = "https://github.com/onnx/onnx"
	unknown, err := w.Rekor.AddUnknownKind(text, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	malformed, err := w.Rekor.AddMalformedCertificate(text, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	garbage, err := w.Rekor.Add([]byte{0xff, '{'}, signedAt)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []Entry{unknown, malformed, garbage} {
		answer, err := r.retrieve(t.Context(), e.LogIndex)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := r.prove(t.Context(), answer[e.LogIndex], 1193050959916656507, shardStart); err != nil || !bytes.Equal(body, e.Body) {
			t.Errorf("%q: %v", e.Body, err)
		}
		if keys, err := indexKeys(e.Body, nil); err == nil {
			t.Errorf("%q has the keys %v", e.Body, keys)
		}
	}
	if unknown.Kind != "futurerekord" || garbage.Kind != "" || !bytes.Contains(unknown.Body, []byte(text)) {
		t.Errorf("kinds %q and %q", unknown.Kind, garbage.Kind)
	}
	var body hashedRekordEntry
	if err := json.Unmarshal(malformed.Body, &body); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(body.Spec.Signature.PublicKey.Content)
	if _, err := x509.ParseCertificate(block.Bytes); err == nil || !bytes.Contains(block.Bytes, []byte(text)) {
		t.Errorf("the malformed certificate: %v, %q", err, block.Bytes)
	}
}

func BenchmarkRekorV1(b *testing.B) {
	w, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("bulk", func(b *testing.B) {
		for b.Loop() {
			if err := w.Rekor.AddBulk(1, today, today); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("retrieve ten", func(b *testing.B) {
		if err := w.Rekor.AddBulk(10_000, today, today); err != nil {
			b.Fatal(err)
		}
		handler := w.Rekor.Handler()
		for i := int64(0); b.Loop(); i = (i + 10) % 10_000 {
			first := shardStart + i
			query := fmt.Sprintf(`{"logIndexes":[%d,%d,%d,%d,%d,%d,%d,%d,%d,%d]}`,
				first, first+1, first+2, first+3, first+4, first+5, first+6, first+7, first+8, first+9)
			request := httptest.NewRequest(http.MethodPost, "/api/v1/log/entries/retrieve", strings.NewReader(query))
			request.Header.Set("Content-Type", "application/json")
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, request)
			if recorder.Code != http.StatusOK {
				b.Fatal(recorder.Body)
			}
		}
	})
	b.Run("world", func(b *testing.B) {
		for b.Loop() {
			if _, err := New(Options{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
