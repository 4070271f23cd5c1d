package sandbox

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// indexKeys are what Rekor writes into its index about an entry (rekor pkg/types/*/*/entry.go, IndexKeys). The statement is
// that of the envelope which was submitted, nil for none. A key that cannot be read leaves the entry out of the index.
// Kinds that the sandbox does not make have no keys here.
func indexKeys(body, statement []byte) ([]string, error) {
	kind, _ := entryKind(body)
	switch kind {
	case HashedRekord:
		return hashedRekordKeys(body)
	case DSSE:
		var e dsseEntry
		if err := json.Unmarshal(body, &e); err != nil {
			return nil, err
		}
		var keys []string
		for _, s := range e.Spec.Signatures {
			signer, err := signerKeys(s.Verifier)
			if err != nil {
				return nil, err
			}
			keys = append(keys, signer...)
		}
		return append(append(keys, e.Spec.PayloadHash.key(), e.Spec.EnvelopeHash.key()), statementKeys(statement)...), nil
	case Intoto:
		var e intotoEntry
		if err := json.Unmarshal(body, &e); err != nil {
			return nil, err
		}
		var keys []string
		for _, s := range e.Spec.Content.Envelope.Signatures {
			signer, err := signerKeys(s.PublicKey)
			if err != nil {
				return nil, err
			}
			keys = append(keys, signer...)
		}
		return append(append(keys, e.Spec.Content.PayloadHash.key()), statementKeys(statement)...), nil
	}
	return nil, fmt.Errorf("kind %q is not indexed", kind)
}

// hashedRekordKeys name the signer's key by the bare hash, unlike those of the other kinds.
func hashedRekordKeys(body []byte) ([]string, error) {
	var e hashedRekordEntry
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	content := e.Spec.Signature.PublicKey.Content
	key, err := parseSignerKey(content)
	if err != nil {
		return nil, err
	}
	return append(append([]string{hexSHA256(content)}, key.subjects...), e.Spec.Data.Hash.key()), nil
}

func (h algorithmHash) key() string { return strings.ToLower(h.Algorithm + ":" + h.Value) }

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// signerKeys name a signer in the form of dsse and intoto.
func signerKeys(verifier []byte) ([]string, error) {
	key, err := parseSignerKey(verifier)
	if err != nil {
		return nil, err
	}
	return append([]string{"sha256:" + hexSHA256(key.canonical)}, key.subjects...), nil
}

// signerKey is a key or certificate as Rekor reads it.
type signerKey struct {
	canonical []byte // PEM as pem.Encode writes it
	subjects  []string
}

// parseSignerKey reads a public key, a certificate or a chain, leaf first; PEM.
func parseSignerKey(text []byte) (signerKey, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return signerKey{}, errors.New("invalid public key: failure decoding PEM")
	}
	if block.Type == "PUBLIC KEY" {
		if _, err := x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			return signerKey{}, err
		}
		return signerKey{canonical: pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})}, nil
	}
	var key signerKey
	for first := true; block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return signerKey{}, fmt.Errorf("invalid public key: cannot handle type %s", block.Type)
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return signerKey{}, err
		}
		key.canonical = append(key.canonical, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
		if first {
			key.subjects = subjectsOf(certificate)
			first = false
		}
	}
	return key, nil
}

// subjectsOf are a certificate's alternative names in the order of sigstore's GetSubjectAlternateNames. Fulcio's otherName,
// which the sandbox does not issue, is not among them.
func subjectsOf(c *x509.Certificate) []string {
	names := append(append([]string{}, c.DNSNames...), c.EmailAddresses...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range c.URIs {
		names = append(names, uri.String())
	}
	return names
}

// statementKeys are the digests of a statement's subjects, and of the materials that SLSA provenance had before v1. A
// statement that cannot be read has none.
func statementKeys(statement []byte) []string {
	type digests []struct {
		Digest map[string]string `json:"digest"`
	}
	var s struct {
		Subject   digests        `json:"subject"`
		Predicate jsontext.Value `json:"predicate"`
	}
	if json.Unmarshal(statement, &s) != nil {
		return nil
	}
	var p struct {
		Materials digests `json:"materials"`
	}
	all := s.Subject
	if json.Unmarshal(s.Predicate, &p) == nil {
		all = append(all, p.Materials...)
	}
	var keys []string
	for _, one := range all {
		for algorithm, value := range one.Digest {
			keys = append(keys, algorithm+":"+value)
		}
	}
	return keys
}
