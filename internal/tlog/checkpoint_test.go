package tlog

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

const root = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// signedBy appends a signature line with an arbitrary hint, as Rekor does.
func signedBy(text, name string, hint uint32, sig []byte) string {
	blob := binary.BigEndian.AppendUint32(nil, hint)
	return text + "\n— " + name + " " + base64.StdEncoding.EncodeToString(append(blob, sig...)) + "\n"
}

func TestRekorV1CheckpointVerifiesWithTheHintOfItsKey(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(der)
	text := "rekor.example - 1193050959916656506\n42\n" + root + "\n"
	digest := sha256.Sum256([]byte(text))
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCheckpoint(signedBy(text, "rekor.example", binary.BigEndian.Uint32(id[:4]), sig))
	if err != nil {
		t.Fatal(err)
	}
	host, tree, ok := c.RekorV1Tree()
	if host != "rekor.example" || tree != "1193050959916656506" || !ok {
		t.Errorf("RekorV1Tree() = %q, %q, %v", host, tree, ok)
	}
	if c.Size != 42 || c.Root[31] != 0x1f || c.Text != text {
		t.Errorf("parsed size %d, root %x, text %q", c.Size, c.Root, c.Text)
	}
	v, err := NewRekorV1Verifier("rekor.example", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(v); err != nil {
		t.Errorf("genuine checkpoint refused: %v", err)
	}

	other, err := NewRekorV1Verifier("other.example", key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(other); !errors.Is(err, ErrNotSigned) {
		t.Errorf("another name: %v, want ErrNotSigned", err)
	}
	c.Text = strings.Replace(c.Text, "42", "43", 1)
	if err := c.Verify(v); !errors.Is(err, ErrBadSignature) {
		t.Errorf("changed text: %v, want ErrBadSignature", err)
	}
}

func TestTiledCheckpointAgreesWithSumdbNote(t *testing.T) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "log.example")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: "log.example\n7\n" + root + "\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	// A cosigner's line before the log's own must not matter.
	text, sigs, _ := strings.Cut(string(signed), "\n\n")
	raw := text + "\n\n— witness.example/w1 AAAAAAAAAAA=\n" + sigs

	c, err := ParseCheckpoint(raw)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitN(vkey, "+", 3)
	key, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewTiledVerifier("log.example", ed25519.PublicKey(key[1:]))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Verify(v); err != nil {
		t.Errorf("checkpoint signed by sumdb/note refused: %v", err)
	}
	if _, _, ok := c.RekorV1Tree(); ok {
		t.Error("a tiled log's origin was taken for a Rekor v1 one")
	}
	if len(c.Signatures) != 2 || c.Signatures[0].Name != "witness.example/w1" {
		t.Errorf("signatures: %+v", c.Signatures)
	}
}

func TestParseCheckpointRefuses(t *testing.T) {
	const line = "— log.example AAAAAAAAAAA=\n"
	tests := map[string]struct{ raw, want string }{
		"nothing":           {"", "blank line"},
		"no signatures":     {"log.example\n7\n" + root + "\n\n", "newline"},
		"no blank line":     {"log.example\n7\n" + root + "\n" + line, "blank line"},
		"missing root":      {"log.example\n7\n\n" + line, "2 lines"},
		"empty origin":      {"\n7\n" + root + "\n\n" + line, "empty origin"},
		"leading zero":      {"log.example\n07\n" + root + "\n\n" + line, "plain decimal"},
		"signed size":       {"log.example\n+7\n" + root + "\n\n" + line, "plain decimal"},
		"size over 63 bits": {"log.example\n9223372036854775808\n" + root + "\n\n" + line, "plain decimal"},
		"short root":        {"log.example\n7\nAAEC\n\n" + line, "root hash"},
		"carriage return":   {"log.example\r\n7\n" + root + "\n\n" + line, "control characters"},
		"hyphen":            {"log.example\n7\n" + root + "\n\n- log.example AAAAAAAAAAA=\n", "em dash"},
		"no key name":       {"log.example\n7\n" + root + "\n\n— AAAAAAAAAAA=\n", "key name"},
		"short signature":   {"log.example\n7\n" + root + "\n\n— log.example AAAAAA==\n", "key hint"},
		"cut last line":     {"log.example\n7\n" + root + "\n\n" + strings.TrimSuffix(line, "\n"), "newline"},
		"too many lines":    {"log.example\n7\n" + root + "\n\n" + strings.Repeat(line, 65), "65 signature lines"},
		"too many extras":   {"log.example\n7\n" + root + "\n" + strings.Repeat("x\n", 17) + "\n" + line, "17 extension lines"},
		"too long":          {strings.Repeat("x", maxCheckpointBytes+1), "bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := ParseCheckpoint(tt.raw)
			if err == nil {
				t.Fatalf("accepted as %+v", c)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
		})
	}
}

func TestVerifierRefusesKeysAndNamesItCannotUse(t *testing.T) {
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "two words", "a+b"} {
		if _, err := NewTiledVerifier(name, pub); err == nil {
			t.Errorf("name %q accepted", name)
		}
	}
	if _, err := NewTiledVerifier("log.example", "not a key"); err == nil {
		t.Error("a string was accepted as a key")
	}
	if _, err := NewRekorV1Verifier("log.example", "not a key"); err == nil {
		t.Error("a string was accepted as a key")
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add("log.example\n7\n" + root + "\n\n— log.example AAAAAAAAAAA=\n")
	f.Add("rekor.example - 12\n0\n" + root + "\nTimestamp: 1\n\n— rekor.example AAAAAAAAAAA=\n— w AAAAAAAAAAA=\n")
	f.Add("\n\n\n\n")
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := ParseCheckpoint(raw)
		if err != nil {
			return
		}
		if !strings.HasPrefix(raw, c.Text+"\n") || len(c.Signatures) == 0 {
			t.Fatalf("accepted %q, but text %q and %d signatures do not make it up", raw, c.Text, len(c.Signatures))
		}
	})
}
