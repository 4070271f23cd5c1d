package pypi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/rekoncile/rekoncile/internal/fetch"
)

// Media types of the index's answers.
const (
	simpleJSON    = "application/vnd.pypi.simple.v1+json"
	integrityJSON = "application/vnd.pypi.integrity.v1+json"
	plainJSON     = "application/json"
)

// maxProvenance caps a provenance document in bytes. One attestation has some 10 kB.
const maxProvenance = 16 << 20

// maxDownload caps a file whose size the index does not tell, in bytes.
const maxDownload = 4 << 30

// ErrNotModified says that a listing is still the one whose ETag was sent.
var ErrNotModified = errors.New("not modified")

// StaleError says that a listing is older than one already seen: it comes from a cache or mirror that lags, and
// what it lacks was not removed.
type StaleError struct {
	URL       string
	Got, Seen int64 // serials
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("listing %s has serial %d, older than %d, which was seen before: a cache or mirror lags behind", e.URL, e.Got, e.Seen)
}

// NotFoundError says that the index answers that it has no such project: it never had, or has no longer.
type NotFoundError struct {
	URL     string
	Project string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("the index has no project %s (404 at %s)", e.Project, e.URL)
}

// Fetcher is what the client needs of internal/fetch's Client.
type Fetcher interface {
	Do(context.Context, fetch.Request) (*fetch.Response, error)
	Stream(context.Context, fetch.Request, func(io.Reader) error) (*fetch.Response, error)
}

// Index is a package index.
type Index struct {
	// URL is what stands before /simple/, /integrity/ and /pypi/: "https://pypi.org".
	URL string
}

// endpoint is the URL of one of the index's pages; segments are escaped.
func (i Index) endpoint(segments ...string) string {
	u := strings.TrimRight(i.URL, "/")
	for _, s := range segments {
		u += "/" + url.PathEscape(s)
	}
	return u
}

// Client asks package indexes. It keeps no state and may be used by several goroutines if its Fetcher may.
type Client struct {
	fetcher Fetcher
}

// NewClient returns a client that makes its requests through fetcher, which owns budgets, retries and allowed hosts.
func NewClient(fetcher Fetcher) *Client {
	return &Client{fetcher: fetcher}
}

// Listing fetches a project's page of the Simple API. etag and serial are those of the last listing seen, "" and 0 for
// none. The error is ErrNotModified if nothing changed, a *StaleError if the answer is older than serial, and a
// *NotFoundError if the index has no such project; any other means that nothing is known.
func (c *Client) Listing(ctx context.Context, index Index, project, etag string, serial int64) (*Listing, error) {
	if !projectName.MatchString(project) {
		return nil, fmt.Errorf("%q is not a project's name", shorten(project))
	}
	address := index.endpoint("simple", Normalize(project)) + "/"
	resp, err := c.fetcher.Do(ctx, fetch.Request{
		URL: address, Accept: simpleJSON, ContentTypes: []string{simpleJSON}, ETag: etag, MaxBytes: maxListing,
	})
	if err != nil {
		if statusOf(err) == http.StatusNotFound {
			return nil, &NotFoundError{URL: address, Project: project}
		}
		return nil, fmt.Errorf("listing the files of %s: %w", project, err)
	}
	if resp.NotModified {
		return nil, ErrNotModified
	}
	l, err := readListing(resp, address, project)
	if err != nil {
		return nil, fmt.Errorf("reading the listing %s: %w", address, err)
	}
	if serial > 0 {
		switch {
		case l.Serial == 0:
			l.Notes = append(l.Notes, fmt.Sprintf("the index told serial %d before and tells none now: whether the answer is the latest is unknown", serial))
		case l.Serial < serial:
			return nil, &StaleError{URL: address, Got: l.Serial, Seen: serial}
		}
	}
	return l, nil
}

// readListing decodes a listing and joins what its headers say with what its body says.
func readListing(resp *fetch.Response, address, project string) (*Listing, error) {
	if resp.URL != "" {
		address = resp.URL // after redirects: what relative URLs are relative to
	}
	page, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	l, err := decodeListing(resp.Body, project, page)
	if err != nil {
		return nil, err
	}
	l.ETag = resp.Header.Get("ETag")
	if header := resp.Header.Get("X-PyPI-Last-Serial"); header != "" {
		serial, err := strconv.ParseInt(header, 10, 64)
		switch {
		case err != nil || serial < 0:
			return nil, fmt.Errorf("its header X-PyPI-Last-Serial is %q", shorten(header))
		case l.Serial == 0:
			l.Serial = serial
		case l.Serial != serial:
			return nil, fmt.Errorf("its header tells serial %d and its body %d", serial, l.Serial)
		}
	}
	return l, nil
}

// ProvenanceState is what the index answers when asked for a file's provenance.
type ProvenanceState string

// The states of a provenance answer.
const (
	ProvenanceServed      ProvenanceState = "served"
	ProvenanceNotFound    ProvenanceState = "not-found"    // no such file, or no provenance for it
	ProvenanceForbidden   ProvenanceState = "forbidden"    // the index's administrators switched the feature off
	ProvenanceNotModified ProvenanceState = "not-modified" // still the document whose ETag was sent
)

// ProvenanceAnswer is the index's answer when asked for a file's provenance. Body, the document as served, and ETag belong
// to ProvenanceServed alone.
type ProvenanceAnswer struct {
	State ProvenanceState
	Body  []byte
	ETag  string
}

// Provenance fetches a file's provenance document (Integrity API) from the URL that the listing names; etag is that of the
// document already held, "" for none. Only the index's own pages below /integrity/ are asked: a listing must
// not be able to send the monitor elsewhere. An error means that nothing is known.
func (c *Client) Provenance(ctx context.Context, index Index, provenanceURL, etag string) (ProvenanceAnswer, error) {
	if err := index.ownsProvenance(provenanceURL); err != nil {
		return ProvenanceAnswer{}, fmt.Errorf("provenance URL %q: %w", shorten(provenanceURL), err)
	}
	resp, err := c.fetcher.Do(ctx, fetch.Request{
		URL: provenanceURL, Accept: integrityJSON, ContentTypes: []string{integrityJSON, plainJSON}, ETag: etag, MaxBytes: maxProvenance,
	})
	if err != nil {
		switch statusOf(err) {
		case http.StatusNotFound:
			return ProvenanceAnswer{State: ProvenanceNotFound}, nil
		case http.StatusForbidden:
			return ProvenanceAnswer{State: ProvenanceForbidden}, nil
		}
		return ProvenanceAnswer{}, fmt.Errorf("fetching provenance: %w", err)
	}
	if resp.NotModified {
		return ProvenanceAnswer{State: ProvenanceNotModified}, nil
	}
	return ProvenanceAnswer{State: ProvenanceServed, Body: resp.Body, ETag: resp.Header.Get("ETag")}, nil
}

// ownsProvenance reports why an address is not one of the index's own below /integrity/.
func (i Index) ownsProvenance(address string) error {
	home, err := url.Parse(i.URL)
	if err != nil {
		return fmt.Errorf("the index's own URL: %w", err)
	}
	u, err := url.Parse(address)
	if err != nil {
		return errors.New("it does not parse")
	}
	if u.Scheme != home.Scheme || u.Host != home.Host || u.User != nil {
		return fmt.Errorf("it is not on the index's own host, %s", home.Host)
	}
	folder := strings.TrimRight(home.Path, "/") + "/integrity/"
	if !strings.HasPrefix(u.Path, folder) || path.Clean(u.Path) != u.Path || strings.Contains(strings.ToLower(u.RawPath), "%2f") {
		return fmt.Errorf("it is not below %s", folder)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return errors.New("it has a query or a fragment")
	}
	return nil
}

// Ownership asks PyPI's JSON API who may publish a project. The error is a *NotFoundError if the index has no such
// project; an index that does not tell gives an Ownership that says so.
func (c *Client) Ownership(ctx context.Context, index Index, project string) (Ownership, error) {
	if !projectName.MatchString(project) {
		return Ownership{}, fmt.Errorf("%q is not a project's name", shorten(project))
	}
	address := index.endpoint("pypi", Normalize(project), "json")
	resp, err := c.fetcher.Do(ctx, fetch.Request{
		URL: address, Accept: plainJSON, ContentTypes: []string{plainJSON}, MaxBytes: maxProject,
	})
	if err != nil {
		if statusOf(err) == http.StatusNotFound {
			return Ownership{}, &NotFoundError{URL: address, Project: project}
		}
		return Ownership{}, fmt.Errorf("asking who owns %s: %w", project, err)
	}
	o, err := decodeOwnership(resp.Body, project)
	if err != nil {
		return Ownership{}, fmt.Errorf("reading who owns %s at %s: %w", project, address, err)
	}
	return o, nil
}

// Download hands a file's bytes to read, at most one more than the listing says there are, so that a reader that
// hashes what it gets notices a longer file. read is called once for each attempt and must begin anew each time.
func (c *Client) Download(ctx context.Context, f File, read func(io.Reader) error) error {
	limit := int64(maxDownload)
	if f.Size >= 0 && f.Size < math.MaxInt64 {
		limit = f.Size + 1
	}
	if _, err := c.fetcher.Stream(ctx, fetch.Request{URL: f.URL, MaxBytes: limit}, read); err != nil {
		return fmt.Errorf("downloading %s: %w", f.Filename, err)
	}
	return nil
}

// statusOf is the HTTP status that an error of the Fetcher stands for, 0 for none.
func statusOf(err error) int {
	var status *fetch.StatusError
	if errors.As(err, &status) {
		return status.Status
	}
	return 0
}
