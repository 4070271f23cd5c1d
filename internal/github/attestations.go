package github

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang/snappy"

	"github.com/rekoncile/rekoncile/internal/fetch"
)

const (
	perPage = 100
	// maxPages and maxPage cap an answer. A digest has a handful of attestations; the pages of one with bundles inside are
	// as large as those.
	maxPages = 5
	maxPage  = 64 << 20
	// maxBundle caps a bundle in bytes, as fetched and as decoded.
	maxBundle = 32 << 20
	// maxAddress caps the address of a bundle.
	maxAddress = 8 << 10
)

// snappyType is the media type of a bundle in Snappy's block format.
const snappyType = "application/x-snappy"

// Attestation is one attestation of the store.
type Attestation struct {
	// RepositoryID is the repository in whose store it is.
	RepositoryID int64
	// Bundle is a Sigstore bundle, in JSON as it is stored.
	Bundle []byte
}

// attestationsJSON is the wire form of a page.
type attestationsJSON struct {
	Attestations []struct {
		RepositoryID int64          `json:"repository_id"`
		Bundle       jsontext.Value `json:"bundle"`
		BundleURL    string         `json:"bundle_url"`
	} `json:"attestations"`
}

// Attestations returns all that a repository's store has of a digest (64 lower-case hex digits), release attestations and
// those of other predicates included; none where GitHub says that there are none, with 404 or with an empty list. An error
// means that nothing is known: what could be read of an answer in part is not returned.
func (c *Client) Attestations(ctx context.Context, repository, sha256 string) ([]Attestation, error) {
	if digest, err := hex.DecodeString(sha256); err != nil || len(digest) != 32 || sha256 != strings.ToLower(sha256) {
		return nil, fmt.Errorf("attestations: %q is not a SHA-256 in lower-case hex", shorten(sha256))
	}
	first, err := c.repositoryURL(repository, "attestations", "sha256:"+sha256)
	if err != nil {
		return nil, fmt.Errorf("attestations: %w", err)
	}
	all, err := c.pages(ctx, fmt.Sprintf("%s?per_page=%d", first, perPage))
	if err != nil {
		return nil, fmt.Errorf("attestations of %s for sha256:%s: %w", repository, sha256, err)
	}
	return all, nil
}

// pages reads a list page by page, and the bundles that it names.
func (c *Client) pages(ctx context.Context, address string) ([]Attestation, error) {
	var all []Attestation
	for page := 1; ; page++ {
		var answer attestationsJSON
		header, err := c.get(ctx, address, maxPage, true, &answer)
		switch {
		case notFound(err):
			if page == 1 {
				return nil, nil
			}
			return nil, fmt.Errorf("page %d is not there: %w", page, err)
		case err != nil:
			return nil, err
		case len(answer.Attestations) > perPage:
			return nil, fmt.Errorf("page %d has %d attestations, more than the %d asked for", page, len(answer.Attestations), perPage)
		}
		for i, a := range answer.Attestations {
			bundle, err := c.bundle(ctx, a.Bundle, a.BundleURL)
			if err != nil {
				return nil, fmt.Errorf("attestation %d of page %d: %w", i+1, page, err)
			}
			all = append(all, Attestation{RepositoryID: a.RepositoryID, Bundle: bundle})
		}
		next, err := c.next(header.Values("Link"))
		switch {
		case err != nil:
			return nil, fmt.Errorf("page %d: %w", page, err)
		case next == "":
			return all, nil
		case page == maxPages:
			return nil, fmt.Errorf("there are more than %d pages", maxPages)
		}
		address = next
	}
}

// next finds the next page's address among Link headers (RFC 8288); "" for none. It has to be the API's own.
func (c *Client) next(links []string) (string, error) {
	home, err := url.Parse(c.o.API)
	if err != nil {
		return "", errors.New("the API's own address does not parse")
	}
	for _, header := range links {
		for link := range strings.SplitSeq(header, ",") {
			target, parameters, ok := strings.Cut(strings.TrimSpace(link), ">")
			if !ok || !strings.HasPrefix(target, "<") || !isNext(parameters) {
				continue
			}
			u, err := url.Parse(target[1:])
			if err != nil || u.Scheme != home.Scheme || !strings.EqualFold(u.Host, home.Host) || u.User != nil {
				return "", errors.New("its next page is not on the API's own host")
			}
			return u.String(), nil
		}
	}
	return "", nil
}

// isNext reports whether a link's parameters say rel="next".
func isNext(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "rel") && strings.EqualFold(strings.Trim(value, `"`), "next") {
			return true
		}
	}
	return false
}

// bundle is the one in an answer, or the one that its address has.
func (c *Client) bundle(ctx context.Context, inline jsontext.Value, address string) ([]byte, error) {
	switch kind := inline.Kind(); {
	case len(inline) > 0 && kind == '{':
		return []byte(inline), nil
	case len(inline) > 0 && kind != 'n':
		return nil, errors.New("its bundle is not a JSON object")
	case address == "":
		return nil, errors.New("it has neither a bundle nor an address of one")
	case len(address) > maxAddress:
		return nil, fmt.Errorf("the address of its bundle has more than %d bytes", maxAddress)
	}
	resp, err := c.blobs.Do(ctx, fetch.Request{URL: address, MaxBytes: maxBundle, Secret: true})
	if err != nil {
		return nil, fmt.Errorf("fetching its bundle: %w", err)
	}
	if media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && (media == plainJSON || strings.HasSuffix(media, "+json")) {
		return resp.Body, nil
	}
	return decodeBlock(resp.Body)
}

// decodeBlock decodes Snappy's block format, which says first how long what it holds is.
func decodeBlock(block []byte) ([]byte, error) {
	size, err := snappy.DecodedLen(block)
	switch {
	case err != nil:
		return nil, fmt.Errorf("its bundle is not in Snappy's block format (%s): %w", snappyType, err)
	case size > maxBundle:
		return nil, fmt.Errorf("its bundle says that it has %d bytes decoded, more than the %d allowed", size, maxBundle)
	}
	bundle, err := snappy.Decode(nil, block)
	if err != nil {
		return nil, fmt.Errorf("its bundle is not in Snappy's block format (%s): %w", snappyType, err)
	}
	return bundle, nil
}
