// Package strictjson looks at JSON from outside before anything is built from it.
//
// It promises that what passes is one JSON object in valid UTF-8 (RFC 8259), in which no name stands twice and behind
// which nothing stands, within limits on its size, its depth and the number of its values: that two parsers cannot read it
// in two ways, and that it does not decode into much more memory than it has bytes. It knows no shape.
package strictjson

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxDepth = 32
	// MaxValues is how many JSON tokens a document may have.
	MaxValues = 100_000
)

// Check looks at a document of at most maxBytes. Its errors are predicates, for the caller to say of what: "has 9 bytes,
// more than the 8 allowed".
func Check(raw []byte, maxBytes int) error {
	if len(raw) > maxBytes {
		return fmt.Errorf("has %d bytes, more than the %d allowed", len(raw), maxBytes)
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw))
	if dec.PeekKind() != '{' {
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
		case n > MaxValues:
			return fmt.Errorf("has more than %d values", MaxValues)
		}
	}
}
