// Package attest turns a Sigstore bundle (v0.1 to v0.3), a PEP 740 attestation or a PEP 740 provenance document into
// verified facts: what was signed, with which certificate or key, when, and where it is logged.
//
// It promises that a [Result] with status [Verified] passed every check listed in it, that these are both our own, each
// with a name and the values compared, and the whole of sigstore-go's, which has the last word; that all transparency log
// entries and all timestamps in the input were verified and not just as many as needed; and that input of any shape and
// size gives a Result rather than a panic or an allocation without bound. What nobody here can check is [Unsupported],
// which is neither good nor bad.
//
// It does not judge who signed: that is policy, for which the Result has everything. It does not contact any log, so it
// cannot tell whether the tree behind a bundle's checkpoint is the one that others see.
package attest

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/sigstore/sigstore-go/pkg/root"
)

// Artifact is the file that a signature is said to be about. At least one digest, or Open, is needed.
type Artifact struct {
	// Name is a distribution's filename, with which a PEP 740 subject's name is compared. Empty does not compare.
	Name string
	// SHA256, SHA384 and SHA512 are hex digests. SHA-256 is enough for PEP 740; other bundles may use the others.
	SHA256, SHA384, SHA512 string
	// Open returns the content, from which whatever digest is missing is computed. It is called at most once.
	Open func() (io.ReadCloser, error)
}

// Options are what verification needs beside trusted roots.
type Options struct {
	// Now tells future times apart; required.
	Now func() time.Time
	// SameName tells whether two filenames denote the same distribution (PEP 740 wants parsed names compared); an error
	// means that one of them is no distribution's name. Nil compares bytes.
	SameName func(a, b string) (bool, error)
}

// Verifier verifies against one set of trusted roots. It is safe for concurrent use: each call parses its own copy of the
// input, since sigstore-go's bundles are not.
type Verifier struct {
	material  root.TrustedMaterialCollection
	logs      map[string]*root.TransparencyLog
	instances []instance
	opts      Options
}

// instance is one trusted root, seen as one deployment of Sigstore: its authorities, and what it demands of a signature.
type instance struct {
	authorities []root.CertificateAuthority
	hasLogs     bool
	hasCTLogs   bool
}

// NewVerifier makes a verifier. A [root.TrustedMaterialCollection] counts as several instances, which matters where one
// of them, as GitHub's for private repositories, has no logs: only what its own authorities issued may go unlogged.
func NewVerifier(material root.TrustedMaterial, opts Options) (*Verifier, error) {
	if material == nil {
		return nil, errors.New("attestation verifier needs trusted roots")
	}
	if opts.Now == nil {
		return nil, errors.New("attestation verifier needs a clock")
	}
	if opts.SameName == nil {
		opts.SameName = func(a, b string) (bool, error) { return a == b, nil }
	}
	v := &Verifier{opts: opts, material: flatten(material)}
	for _, m := range v.material {
		v.instances = append(v.instances, instance{
			authorities: m.FulcioCertificateAuthorities(),
			hasLogs:     len(m.RekorLogs()) > 0,
			hasCTLogs:   len(m.CTLogs()) > 0,
		})
	}
	v.logs = v.material.RekorLogs()
	return v, nil
}

func flatten(material root.TrustedMaterial) root.TrustedMaterialCollection {
	c, ok := material.(root.TrustedMaterialCollection)
	if !ok {
		return root.TrustedMaterialCollection{material}
	}
	var flat root.TrustedMaterialCollection
	for _, m := range c {
		flat = append(flat, flatten(m)...)
	}
	return flat
}

// VerifyBundle verifies a Sigstore bundle in JSON that was signed with a certificate. One signed by a managed key is
// [Unsupported], since its key is not known.
func (v *Verifier) VerifyBundle(raw []byte, a Artifact) Result {
	return v.verify(a, nil, func(r *run) *evidence { return r.parseBundle(raw) })
}

// VerifyBundleWithKey verifies a Sigstore bundle in JSON that was signed by a managed key, which is the caller's to trust.
func (v *Verifier) VerifyBundleWithKey(raw []byte, key crypto.PublicKey, a Artifact) Result {
	if key == nil {
		r := &run{v: v}
		r.fail(CheckKey, "no key was given")
		return r.result()
	}
	return v.verify(a, key, func(r *run) *evidence { return r.parseBundle(raw) })
}

// VerifyAttestation verifies one PEP 740 attestation object in JSON.
func (v *Verifier) VerifyAttestation(raw []byte, a Artifact) Result {
	return v.verify(a, nil, func(r *run) *evidence { return r.parseAttestation(raw) })
}

// run is one verification. Its methods add to the result and never take anything back.
type run struct {
	v        *Verifier
	res      Result
	artifact *artifact
	key      crypto.PublicKey // managed key; nil: certificates
	times    []time.Time      // trusted signing times
	issuer   *instance        // who issued the certificate; nil if unknown
	foreign  bool             // GitHub's own instance, which is not trusted: what it vouches for cannot be checked
	// matched is the algorithm and digest under which the artifact was recognised, for sigstore-go's benefit.
	matchedAlgorithm, matchedDigest string
	// signedDigest is the artifact's digest that a message signature must be over; nil if it is not known.
	signedDigest []byte
}

// verify makes the checks in their fixed order. The order is that of what tells an operator most: a broken signature
// before what the broken signature also breaks.
func (v *Verifier) verify(a Artifact, key crypto.PublicKey, parse func(*run) *evidence) Result {
	r := &run{v: v, key: key, artifact: newArtifact(a)}
	ev := parse(r)
	if ev == nil {
		return r.result()
	}
	signer := r.checkSigner(ev)
	if signer == nil {
		return r.result()
	}
	if ev.message != nil {
		r.checkMessage(ev, signer)
	} else {
		r.checkEnvelope(ev, signer)
	}
	if r.foreign {
		return r.result()
	}
	r.checkEntries(ev, signer)
	r.checkTimestamps(ev)
	r.checkTimes(ev)
	if r.res.Certificate != nil {
		r.checkChain()
	}
	r.checkSigstore(ev)
	return r.result()
}

func (r *run) result() Result {
	switch {
	case r.res.Failed() != nil:
		r.res.Status = Failed
	case r.res.Unsupported() != nil || len(r.res.Checks) == 0:
		r.res.Status = Unsupported
	default:
		r.res.Status = Verified
	}
	return r.res
}

func (r *run) add(c Check) {
	c.Detail = printable(c.Detail)
	r.res.Checks = append(r.res.Checks, c)
}

func (r *run) pass(name, format string, args ...any) {
	r.add(Check{Name: name, Status: Pass, Detail: fmt.Sprintf(format, args...)})
}

func (r *run) fail(name, format string, args ...any) {
	r.add(Check{Name: name, Status: Fail, Detail: fmt.Sprintf(format, args...)})
}

func (r *run) unsupported(name, format string, args ...any) {
	r.add(Check{Name: name, Status: NotSupported, Detail: fmt.Sprintf(format, args...)})
}

func (r *run) skip(name, format string, args ...any) {
	r.add(Check{Name: name, Status: Skipped, Detail: fmt.Sprintf(format, args...)})
}

// differ adds a failed comparison.
func (r *run) differ(name, got, want, format string, args ...any) {
	r.add(Check{Name: name, Status: Fail, Detail: fmt.Sprintf(format, args...), Got: printable(got), Want: printable(want)})
}

// printable makes text that may come from the input fit to be printed and stored: short, and without the characters that
// move a terminal's cursor.
func printable(s string) string {
	const limit = 400
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}
