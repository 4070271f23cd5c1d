package pypi

import (
	"errors"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxElements caps each array of an answer. PyPI's largest projects have some 20,000 files.
const maxElements = 100_000

// capped is an array of at most maxElements elements; the next one ends the decoding, so that a body of tiny elements
// cannot become many times its size in memory.
type capped[T any] []T

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (c *capped[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() != '[' {
		return errors.New("it is not an array")
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	*c = capped[T]{}
	for dec.PeekKind() != ']' {
		if len(*c) == maxElements {
			return fmt.Errorf("it has more than %d elements", maxElements)
		}
		var element T
		if err := jsonv2.UnmarshalDecode(dec, &element); err != nil {
			return err
		}
		*c = append(*c, element)
	}
	_, err := dec.ReadToken()
	return err
}

// expectObject tells the commonest wrong answer, a web page, from malformed JSON.
func expectObject(text []byte) error {
	v := jsontext.Value(text)
	switch {
	case v.Kind() == '{':
		return nil
	case strings.HasPrefix(strings.TrimSpace(string(text[:min(len(text), 64)])), "<"):
		return errors.New("it is HTML or XML where JSON was asked for")
	}
	return errors.New("it is not a JSON object")
}

// shorten cuts text from outside for an error message.
func shorten(s string) string {
	const limit = 120
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
