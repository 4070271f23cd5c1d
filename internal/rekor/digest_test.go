package rekor

import (
	"bytes"
	"testing"
)

// decodedPrefix is what decoding a body in full gives; ok is false for one that cannot be decoded.
func decodedPrefix(body []byte) (prefix uint64, ok bool) {
	e, err := Decode(body)
	if err != nil {
		return 0, false
	}
	switch {
	case len(e.ArtifactHashes) > 0:
		return Prefix(e.ArtifactHashes[0].Hex), true
	case len(e.PayloadHashes) > 0:
		return Prefix(e.PayloadHashes[0].Hex), true
	}
	return 0, true
}

// TestTheBeginningOfADigestIsThatOfTheDecodedEntry reads digests of every shape in the fast way and in full.
func TestTheBeginningOfADigestIsThatOfTheDecodedEntry(t *testing.T) {
	s := NewScanner(&recorder{})
	cert, key := certificate(t, watchedSAN), publicKey(t)
	for i, body := range [][]byte{
		hashedRekordBody(pem64("CERTIFICATE", cert)), dsseBody(pem64("PUBLIC KEY", key)), tiledBody(tiledVerifier("x509Certificate", cert)),
		tiledDSSEBody(tiledVerifier("publicKey", key)), bytes.ReplaceAll(tiledBody(tiledVerifier("publicKey", key)), []byte("/"), []byte(`\/`)),
	} {
		want, ok := decodedPrefix(body)
		if got := s.DigestPrefix(body); !ok || want == 0 || got != want {
			t.Errorf("body %d: %x, want %x (decoded: %t)", i, got, want, ok)
		}
	}
	for body, want := range map[string]uint64{"": 0, "{}": 0, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"AAA`: 0} {
		if got := s.DigestPrefix([]byte(body)); got != want {
			t.Errorf("%q: %x", body, got)
		}
	}
	for digest, want := range map[string]uint64{"": 0, "0102030405060708": 0x0102030405060708, "ff02030405060708aa": 0xff02030405060708, "01020304050607": 0, "zz02030405060708": 0} {
		if got := Prefix(digest); got != want {
			t.Errorf("Prefix(%q) = %x, want %x", digest, got, want)
		}
	}
}

func FuzzDigestPrefix(f *testing.F) {
	s := NewScanner(&recorder{})
	cert, key := certificate(f, watchedSAN), publicKey(f)
	f.Add(hashedRekordBody(pem64("CERTIFICATE", cert)))
	f.Add(dsseBody(pem64("PUBLIC KEY", key)))
	f.Add(tiledBody(tiledVerifier("x509Certificate", cert)))
	f.Add(tiledDSSEBody(tiledVerifier("publicKey", key)))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := s.DigestPrefix(body)
		if want, ok := decodedPrefix(body); ok && got != want {
			t.Errorf("%x, decoded it is %x: %q", got, want, body)
		}
	})
}
