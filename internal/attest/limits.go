package attest

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits on input, checked before anything is decoded or as soon as it can be counted. All are far above what is seen:
// a large real bundle has 30 kB, two log entries and proofs of 32 hashes.
const (
	maxBundleBytes     = 32 << 20
	maxProvenanceBytes = 16 << 20
	maxStatementBytes  = 16 << 20
	maxEntryBodyBytes  = 4 << 20
	maxTimestampBytes  = 32 << 10
	// A certificate as long as allowed has an RSA key whose verification takes tens of milliseconds, not seconds.
	maxCertBytes      = 16 << 10
	maxSignatureBytes = 16 << 10

	maxEntries     = 32 // also sigstore-go's
	maxTimestamps  = 32 // also sigstore-go's
	maxProofHashes = 64
	maxSignatures  = 16
	maxSubjects    = 1024 // also sigstore-go's
	maxDigests     = 32   // of one subject; also sigstore-go's

	maxProvenanceBundles = 32
	maxAttestations      = 32 // of one publisher

	maxDepth = 32
	// maxValues bounds the JSON tokens of a document, so that it cannot decode into much more memory than it has bytes.
	maxValues = 100_000
)

// checkJSON reads raw as one JSON object without building anything from it: strictly (RFC 8259, no duplicate names, valid
// UTF-8, nothing behind it), and within the limits on depth and number of values. Errors give the place.
func checkJSON(raw []byte, maxBytes int) error {
	if len(raw) > maxBytes {
		return fmt.Errorf("has %d bytes, more than the %d allowed", len(raw), maxBytes)
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if kind := dec.PeekKind(); kind != '{' {
		return errors.New("is not a JSON object")
	}
	for n := 0; ; n++ {
		if _, err := dec.ReadToken(); err != nil {
			return fmt.Errorf("is not valid JSON: %w", err)
		}
		switch depth := dec.StackDepth(); {
		case depth == 0:
			if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
				return errors.New("has something behind its JSON object")
			}
			return nil
		case depth > maxDepth:
			return fmt.Errorf("nests deeper than %d levels at %q", maxDepth, dec.StackPointer())
		case n > maxValues:
			return fmt.Errorf("has more than %d values", maxValues)
		}
	}
}
