package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/attest"
)

// TestRealBundlesOfGitHubsOwnInstance has provenance that GitHub's instance signed for a private repository, and a release's
// attestation, with and without that instance's trusted root.
func TestRealBundlesOfGitHubsOwnInstance(t *testing.T) {
	read := realData(t)
	public, own := read("1-trust", "root-signing", "targets__trusted_root.json"), read("1-trust", "signer", "sigstore__roots__github.trusted_root.json")
	now := func() time.Time { return start }
	without, err := newVerifier(now, public)
	if err != nil {
		t.Fatal(err)
	}
	with, err := newVerifier(now, public, own)
	if err != nil {
		t.Fatal(err)
	}
	const folder = "pkg__cmd__attestation__test__data__github_provenance_demo-0.0.12-py3-none-any"
	sum := sha256.Sum256(read("3-bundles", "cli", folder+".whl"))
	wheel := hex.EncodeToString(sum[:])
	provenance := bytes.TrimSpace(read("3-bundles", "cli", folder+"-bundle.jsonl"))
	release := read("3-bundles", "signer", "bundle__testdata__github-release.sigstore.json")

	facts := without.Bundle(provenance, wheel).Attestations[0].Facts
	if facts.Status != attest.Unsupported || facts.Failed().Name != attest.CheckCertificate || facts.Release || facts.Identity == nil || facts.PredicateType != attest.PredicateSLSA {
		t.Errorf("provenance without the trusted root: %+v", facts)
	}
	verified := with.Bundle(provenance, wheel).Attestations[0]
	if verified.Facts.Status != attest.Verified || !verified.Facts.Unlogged || verified.Facts.Identity.SourceRepositoryVisibility != "private" || len(verified.Digests) == 0 {
		t.Errorf("provenance with it: %+v", verified.Facts)
	}
	for name, v := range map[string]bool{"without": false, "with": true} {
		verifier := without
		if v {
			verifier = with
		}
		if facts := verifier.Bundle(release, wheel).Attestations[0].Facts; !facts.Release || facts.Status == attest.Verified {
			t.Errorf("a release's attestation, which is not about this file, %s the trusted root: %+v", name, facts)
		}
	}
	// Whoever writes GitHub's name into a certificate of his own gets no further with a signature that is not even right.
	if facts := without.Bundle(provenance, hex.EncodeToString(bytes.Repeat([]byte{1}, 32))).Attestations[0].Facts; facts.Status != attest.Failed || facts.Failed().Name != attest.CheckSubject {
		t.Errorf("about another file: %+v", facts)
	}
}
