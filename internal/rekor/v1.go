package rekor

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/rekoncile/rekoncile/internal/fetch"
	"github.com/rekoncile/rekoncile/internal/tlog/tiles"
)

// V1Options say which Rekor v1 log to read, and what it must prove.
type V1Options struct {
	// URL is the log's base URL, with or without "/api/v1".
	URL string
	// Host is the host in the origins of its checkpoints, "host - treeID". Empty takes what each checkpoint says: of
	// private instances it may be the name of a machine, and the key binds it in any case.
	Host string
	// Keys are the log's public keys, from the trusted roots: usually one for all shards.
	Keys []crypto.PublicKey
	// Earlier are the shards as they were last seen, from the record; may be nil. What the log says must go with them.
	Earlier *V1Shards
	Fetch   tiles.Fetcher
}

// V1Log is a Rekor v1 log: one or more trees, its shards, behind one API and one numbering. It is safe for concurrent use.
//
// Whatever it returns of an entry was proven: see [V1Entry]. What the search index says is not, and its silence means
// nothing: see [V1Log.Search].
type V1Log struct {
	o    V1Options
	base string
	keys *V1Keys

	mu     sync.Mutex
	shards *V1Shards // the most that was seen so far; nil before

	buffers v1Buffers // of pages that were released
}

// v1Path is where Rekor v1 has its API (rekor, openapi.yaml, "basePath").
const v1Path = "/api/v1"

// NewV1Log returns the log that the options describe.
func NewV1Log(o V1Options) (*V1Log, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("Rekor v1 log %q: its URL is not a plain http or https address", o.URL)
	case o.Fetch == nil:
		return nil, fmt.Errorf("Rekor v1 log %s: it needs a client", o.URL)
	}
	keys, err := NewV1Keys(o.Host, o.Keys...)
	if err != nil {
		return nil, fmt.Errorf("Rekor v1 log %s: %w", o.URL, err)
	}
	base := strings.TrimSuffix(strings.TrimRight(o.URL, "/"), v1Path) + v1Path
	return &V1Log{o: o, base: base, keys: keys, shards: o.Earlier}, nil
}

// mediaJSON is what the API speaks. Whatever stands before it may speak HTML, with any status.
const mediaJSON = "application/json"

// get makes a request that only reads. The error wraps [fs.ErrNotExist] where the log does not have what was asked for.
func (l *V1Log) get(ctx context.Context, path string, query url.Values, limit int64) ([]byte, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	resp, err := l.o.Fetch.Do(ctx, fetch.Request{
		URL: l.base + path, Accept: mediaJSON, ContentTypes: []string{mediaJSON}, MaxBytes: limit,
	})
	if status := new(fetch.StatusError); errors.As(err, &status) && status.Status == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// post asks a question that does not fit in an address. It changes nothing at the log either.
func (l *V1Log) post(ctx context.Context, path string, question any, limit int64) ([]byte, error) {
	return l.ask(ctx, path, question, limit, nil)
}

// ask is post with memory that the answer is read into, if it is large enough.
func (l *V1Log) ask(ctx context.Context, path string, question any, limit int64, buffer []byte) ([]byte, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	resp, err := l.o.Fetch.Do(ctx, fetch.Request{
		Method: http.MethodPost, URL: l.base + path, Body: body, Headers: map[string]string{"Content-Type": mediaJSON},
		Accept: mediaJSON, ContentTypes: []string{mediaJSON}, MaxBytes: limit, ReadOnly: true, Buffer: buffer,
	})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
