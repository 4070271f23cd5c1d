package attest

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// checkSigstore asks the reference implementation, once nothing else is in the way: two implementations that agree are
// worth more than one. It is not asked about what it is known not to support, so that a refusal is a contradiction.
func (r *run) checkSigstore(ev *evidence) {
	if c := r.res.Failed(); c != nil {
		r.skip(CheckSigstore, "not asked, since %s failed", c.Name)
		return
	}
	if c := r.res.Unsupported(); c != nil {
		r.skip(CheckSigstore, "not asked, since %s is unsupported", c.Name)
		return
	}
	if err := r.sigstore(ev); err != nil {
		r.fail(CheckSigstore, "sigstore-go disagrees: %v", err)
		return
	}
	r.pass(CheckSigstore, "")
}

func (r *run) sigstore(ev *evidence) error {
	b, err := bundle.NewBundle(ev.bundle)
	if err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	material := r.v.material
	policy := verify.WithoutIdentitiesUnsafe() // identities are policy, judged elsewhere
	if r.key != nil {
		key, err := keyMaterial(r, ev)
		if err != nil {
			return err
		}
		material, policy = append(material[:len(material):len(material)], key), verify.WithKey()
	}
	// The predicate is not needed, and may be large.
	opts := []verify.VerifierOption{verify.WithoutStatementPredicate()}
	if r.needsEntries() {
		opts = append(opts, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	} else {
		opts = append(opts, verify.WithSignedTimestamps(1))
	}
	if r.key == nil && r.needsSCT() {
		opts = append(opts, verify.WithSignedCertificateTimestamps(1))
	}
	v, err := verify.NewVerifier(material, opts...)
	if err != nil {
		return err
	}
	digest, err := hex.DecodeString(r.matchedDigest)
	if err != nil {
		return fmt.Errorf("decoding the artifact's digest: %w", err)
	}
	_, err = v.Verify(b, verify.NewPolicy(verify.WithArtifactDigest(r.matchedAlgorithm, digest), policy))
	return err
}

// keyMaterial makes the managed key known under whatever hint the bundle gives.
func keyMaterial(r *run, ev *evidence) (root.TrustedMaterial, error) {
	var opts []signature.LoadOption
	if ev.message != nil {
		opts = append(opts, options.WithED25519ph())
	}
	sv, err := signature.LoadDefaultVerifier(r.key, opts...)
	if err != nil {
		return nil, fmt.Errorf("loading the key: %w", err)
	}
	key := root.NewExpiringKey(sv, time.Time{}, time.Time{})
	return root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return key, nil }), nil
}
