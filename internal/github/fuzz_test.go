package github

import (
	"bytes"
	"context"
	"net/http"
	"testing"

	"github.com/golang/snappy"

	"github.com/rekoncile/rekoncile/internal/clock"
	"github.com/rekoncile/rekoncile/internal/fetch"
)

// fixed answers every question alike.
type fixed struct {
	body []byte
	link string
}

func (f fixed) Do(context.Context, fetch.Request) (*fetch.Response, error) {
	return &fetch.Response{Status: 200, Header: http.Header{"Link": {f.link}}, Body: f.body}, nil
}

// FuzzAttestations reads whatever an API and a store may answer.
func FuzzAttestations(f *testing.F) {
	f.Add([]byte(`{"attestations":[{"repository_id":1,"bundle":null,"bundle_url":"https://x.example/y?z"}]}`), snappy.Encode(nil, []byte(`{}`)), `<https://api.github.com/next>; rel="next"`)
	f.Add([]byte(`{"attestations":[{"repository_id":1,"bundle":{"a":1}}]}`), []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, "")
	f.Add([]byte(`{"attestations":null}`), []byte{}, `<>;rel=next, <:>; rel="next"`)
	f.Fuzz(func(t *testing.T, answer, block []byte, link string) {
		c := NewClient(fixed{answer, link}, fixed{block, ""}, Options{API: DefaultAPI, Clock: clock.Real()})
		all, err := c.Attestations(t.Context(), "example/widget", "00000000000000000000000000000000000000000000000000000000000000aa")
		if err != nil && all != nil {
			t.Errorf("an error, and %d attestations", len(all))
		}
		for _, a := range all {
			if len(a.Bundle) > maxBundle {
				t.Errorf("a bundle of %d bytes", len(a.Bundle))
			}
		}
	})
}

func TestABlockIsDecodedOnlyWithinTheLimit(t *testing.T) {
	large := bytes.Repeat([]byte{'x'}, maxBundle)
	if got, err := decodeBlock(snappy.Encode(nil, large)); err != nil || len(got) != maxBundle {
		t.Errorf("as large as is allowed: %d bytes, %v", len(got), err)
	}
	if _, err := decodeBlock(snappy.Encode(nil, append(large, 'x'))); err == nil {
		t.Error("one byte more was decoded")
	}
}
