package attest

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Digest algorithms, as in-toto names them.
const (
	algSHA256 = "sha256"
	algSHA384 = "sha384"
	algSHA512 = "sha512"
)

// artifact computes an Artifact's digests when they are first asked for.
type artifact struct {
	name    string
	digests map[string]string
	open    func() (io.ReadCloser, error)
	err     error
}

func newArtifact(a Artifact) *artifact {
	known := &artifact{name: a.Name, open: a.Open, digests: map[string]string{}}
	for alg, digest := range map[string]string{algSHA256: a.SHA256, algSHA384: a.SHA384, algSHA512: a.SHA512} {
		if digest != "" {
			known.digests[alg] = strings.ToLower(digest)
		}
	}
	return known
}

var errNoDigest = errors.New("no artifact was given that has this digest")

// digest returns the artifact's digest in lower-case hex. It is [errNoDigest] if that was neither given nor can be
// computed.
func (a *artifact) digest(algorithm string) (string, error) {
	if d, ok := a.digests[algorithm]; ok {
		return d, nil
	}
	if a.open != nil {
		open := a.open
		a.open = nil
		a.err = a.read(open)
	}
	if a.err != nil {
		return "", a.err
	}
	if d, ok := a.digests[algorithm]; ok {
		return d, nil
	}
	return "", errNoDigest
}

// read computes all digests in one pass, and compares those that were given.
func (a *artifact) read(open func() (io.ReadCloser, error)) error {
	f, err := open()
	if err != nil {
		return fmt.Errorf("opening the artifact: %w", err)
	}
	defer f.Close()
	h256, h384, h512 := sha256.New(), sha512.New384(), sha512.New()
	if _, err := io.Copy(io.MultiWriter(h256, h384, h512), f); err != nil {
		return fmt.Errorf("reading the artifact: %w", err)
	}
	for alg, sum := range map[string][]byte{algSHA256: h256.Sum(nil), algSHA384: h384.Sum(nil), algSHA512: h512.Sum(nil)} {
		digest := hex.EncodeToString(sum)
		if given, ok := a.digests[alg]; ok && given != digest {
			return fmt.Errorf("the artifact's content has %s %s, not %s as said", alg, digest, given)
		}
		a.digests[alg] = digest
	}
	return nil
}
