// Package rekor reads the transparency logs of signatures: the tiled log of Rekor v2, the sharded one of Rekor v1 with its
// search index, and the entries of both.
//
// It promises that every entry is decoded from the very bytes that the tree commits to; that an entry of a kind, a
// version or a shape it does not know is reported and never fatal; that a scan never passes over an entry whose signer
// is watched, however its JSON or its base64 is written; and that nothing is read or built without a limit. It verifies
// the signatures of checkpoints, and proves each entry of Rekor v1 that it is asked for by name or by index; of the leaves
// of a page it verifies nothing: that these are the tree's is for [tlog.Follower] to prove, or for a [V1Window]. That a
// certificate chains to a trusted authority is for who judges the entry, and what a search index does not find is not said
// not to be there.
package rekor

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Entry is what a log entry says about its signers and about what they signed, in one shape for all kinds.
type Entry struct {
	Kind, APIVersion string
	// Certificates are the signers' certificates in DER, in the order of the signatures. Of a chain only the first
	// certificate is the signer's, the others are not here.
	Certificates [][]byte
	// Keys are the keys of signers without a certificate: the DER of what was in PEM (a SubjectPublicKeyInfo for
	// "PUBLIC KEY"), and otherwise the key as the entry has it, such as an OpenPGP block or a line of OpenSSH.
	Keys [][]byte
	// ArtifactHashes are of the signed artifact. In Rekor v2 that may be the pre-authentication encoding of a DSSE
	// envelope: the entry does not tell.
	ArtifactHashes []Hash
	// PayloadHashes are of the payload of an envelope (DSSE, COSE), EnvelopeHashes of the envelope as it was uploaded.
	PayloadHashes, EnvelopeHashes []Hash
	// UnknownMember is the JSON pointer of a member that this version does not know, if the entry has one. What the
	// entry says beyond it is decoded.
	UnknownMember string
}

// Hash is a digest.
type Hash struct {
	Algorithm string // "sha256"; in lower case
	Hex       string // in lower case
}

// UnknownKindError is an entry of a kind or of a version that this package does not decode: kinds were added before and
// will be again.
type UnknownKindError struct{ Kind, APIVersion string }

func (e *UnknownKindError) Error() string {
	return fmt.Sprintf("log entries of kind %q, version %q are not known to this version", clip(e.Kind), clip(e.APIVersion))
}

// maxPEMBlocks bounds the walk over a signer's PEM: real chains have three certificates.
const maxPEMBlocks = 16

// addSigner adds the signer whose certificate or key an entry of Rekor v1 holds in content.
func (e *Entry) addSigner(content []byte) error {
	if len(content) == 0 {
		return errors.New("a signer has neither a certificate nor a key")
	}
	rest := content
	for i := range maxPEMBlocks {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil && bytes.Contains(rest, []byte("-----BEGIN CERTIFICATE")):
			return errors.New("a signer's certificate is not readable PEM")
		case block == nil && i == 0:
			// OpenPGP, minisign, OpenSSH: their armour is not PEM, and their keys name nobody.
			e.Keys = append(e.Keys, content)
			return nil
		case block == nil:
			return nil
		case block.Type == "CERTIFICATE":
			e.Certificates = append(e.Certificates, block.Bytes)
			return nil
		case i == 0:
			e.Keys = append(e.Keys, block.Bytes)
		}
	}
	return nil
}

// hexHash makes a hash of Rekor v1's form.
func hexHash(algorithm, value string) (Hash, error) {
	if raw, err := hex.DecodeString(value); err != nil || len(raw) == 0 {
		return Hash{}, fmt.Errorf("its hash %q is not hex", clip(value))
	}
	return Hash{Algorithm: strings.ToLower(algorithm), Hex: strings.ToLower(value)}, nil
}

// clip keeps hostile text short enough for an error message.
func clip(s string) string {
	const limit = 80
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
