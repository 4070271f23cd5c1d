// Package trust obtains the trusted roots: the certificate authorities, transparency logs, CT logs and timestamp
// authorities that verification starts from. A root comes from a TUF repository, or from a trusted_root.json file.
//
// It promises that a root is complete and well formed, that it was authenticated where it came by TUF, and that its age,
// its expiry and its digest are known. A root that is partly malformed is refused as a whole: half a trust root verifies
// things that its author never meant. It does not refresh on its own (callers load again when they want a newer one), and
// it cannot tell whether a file is current: a file never expires, so its age is shown instead.
package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// maxRootBytes bounds a trusted_root.json. The public one has under 10 kB.
const maxRootBytes = 4 << 20

// Source says where one trusted root comes from: either TUF or TrustedRoot is set.
type Source struct {
	// TUF is the base URL of a TUF repository that has the target trusted_root.json.
	TUF string
	// RootFile is the initial TUF root metadata of that repository. Empty means the public-good instance's, which is
	// built in.
	RootFile string
	// Cache is the folder in which TUF metadata is kept between runs. Empty keeps nothing, so that every start needs
	// the network and has no protection against a rollback.
	Cache string
	// TrustedRoot is the path of a trusted_root.json file.
	TrustedRoot string
}

// Doer sends one HTTP request; *http.Client is one. It owns time limits, retries and redirects.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Options are what loading needs from outside.
type Options struct {
	// Now is the time that expiry is judged by; required.
	Now func() time.Time
	// Client fetches TUF metadata; required if a source names a TUF repository.
	Client Doer
	// Logger is told when a cached root stands in for an unreachable repository. Nil discards.
	Logger *slog.Logger
}

// Root is one trusted root.
type Root struct {
	// Material is the parsed root, as sigstore-go takes it.
	Material root.TrustedMaterial
	// JSON is the root as it was obtained, byte for byte.
	JSON []byte
	// SHA256 is the lower-case hex digest of JSON.
	SHA256 string
	// Source is the URL or the path that it came from.
	Source string
	// FetchedAt is when TUF last confirmed the root, which for a cached one lies in the past. Zero for a file.
	FetchedAt time.Time
	// ExpiresAt is the earliest expiry of the TUF metadata that vouches for the root. Zero for a file.
	ExpiresAt time.Time
	// ModTime is the file's modification time. Zero for a root from TUF.
	ModTime time.Time
	// Cached says that the repository could not be reached and the root is the last one that it served.
	Cached bool
}

// Set is all trusted roots of a configuration, in its order.
type Set struct {
	Roots []Root
}

// Material returns the union of the roots, in their order.
func (s *Set) Material() root.TrustedMaterialCollection {
	all := make(root.TrustedMaterialCollection, len(s.Roots))
	for i, r := range s.Roots {
		all[i] = r.Material
	}
	return all
}

// Digest names the whole set: the hex SHA-256 over the digests of its roots, one a line, in their order.
func (s *Set) Digest() string {
	h := sha256.New()
	for _, r := range s.Roots {
		fmt.Fprintln(h, r.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Load obtains every source, or fails: a monitor that lost one of its roots would call honest signatures unknown.
func Load(ctx context.Context, sources []Source, opts Options) (*Set, error) {
	if len(sources) == 0 {
		return nil, errors.New("no trusted root is configured: name a TUF repository or a trusted_root.json file")
	}
	if opts.Now == nil {
		return nil, errors.New("loading trusted roots needs a clock")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	set := new(Set)
	for i, src := range sources {
		var r *Root
		var err error
		switch {
		case src.TUF != "" && src.TrustedRoot != "":
			err = fmt.Errorf("trust source %d names both a TUF repository and a file: it takes one", i+1)
		case src.TUF != "":
			r, err = loadTUF(ctx, src, opts)
		case src.TrustedRoot != "":
			r, err = loadFile(src.TrustedRoot)
		default:
			err = fmt.Errorf("trust source %d names neither a TUF repository nor a file", i+1)
		}
		if err != nil {
			return nil, err
		}
		set.Roots = append(set.Roots, *r)
	}
	return set, nil
}

// FromJSON parses a trusted_root.json that is already at hand. The name stands for it in errors and in Root.Source.
func FromJSON(name string, raw []byte) (*Root, error) {
	if len(raw) > maxRootBytes {
		return nil, fmt.Errorf("trusted root %s has %d bytes, more than the %d allowed", name, len(raw), maxRootBytes)
	}
	if trimmed := strings.TrimSpace(string(raw[:min(len(raw), 512)])); !strings.HasPrefix(trimmed, "{") {
		return nil, fmt.Errorf("trusted root %s is not a JSON object: it should be a Sigstore trusted_root.json", name)
	}
	pb, err := root.NewTrustedRootProtobuf(raw)
	if err != nil {
		return nil, fmt.Errorf("trusted root %s: %w", name, err)
	}
	if got := pb.GetMediaType(); got != root.TrustedRootMediaType01 {
		return nil, fmt.Errorf("trusted root %s has media type %q, wants %q", name, got, root.TrustedRootMediaType01)
	}
	for i, l := range pb.GetTlogs() {
		// The start is required (protobuf-specs, TransparencyLogInstance). Without it a key would count as valid since
		// for ever, which is the opposite of what its author can have meant.
		if l.GetPublicKey().GetValidFor().GetStart() == nil {
			return nil, fmt.Errorf("trusted root %s: tlogs[%d] (%s) has no publicKey.validFor.start, so nothing says since when its key is valid",
				name, i, l.GetBaseUrl())
		}
	}
	material, err := root.NewTrustedRootFromProtobuf(pb)
	if err != nil {
		return nil, fmt.Errorf("trusted root %s: %w", name, err)
	}
	// Without an authority there is still use for managed keys. Without anything it is somebody's mistake.
	if len(material.FulcioCertificateAuthorities())+len(material.RekorLogs())+len(material.TimestampingAuthorities()) == 0 {
		return nil, fmt.Errorf("trusted root %s names no authority and no log, so it could verify nothing", name)
	}
	sum := sha256.Sum256(raw)
	return &Root{Material: material, JSON: raw, SHA256: hex.EncodeToString(sum[:]), Source: name}, nil
}

func loadFile(path string) (*Root, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening trusted root: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening trusted root: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxRootBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading trusted root: %w", err)
	}
	r, err := FromJSON(path, raw)
	if err != nil {
		return nil, err
	}
	r.ModTime = info.ModTime()
	return r, nil
}
