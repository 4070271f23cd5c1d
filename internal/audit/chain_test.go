package audit

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/identity"
)

// TestWhatOthersWouldAcceptIsSaidWithTheirCommand goes through what `gh attestation verify --owner` looks at.
func TestWhatOthersWouldAcceptIsSaidWithTheirCommand(t *testing.T) {
	build := func(edit func(*identity.Identity)) identity.Identity {
		id := identity.Identity{SAN: "https://github.com/Acme/widget/.github/workflows/ci.yml@refs/pull/7/merge", Issuer: identity.GitHubActionsIssuer,
			SourceRepositoryURI: "https://github.com/Acme/widget", SourceRepositoryOwnerURI: "https://github.com/Acme"}
		if edit != nil {
			edit(&id)
		}
		return id
	}
	for name, c := range map[string]struct {
		edit            func(*identity.Identity)
		predicate, file string
		want            []string
	}{
		"a build":            {nil, attest.PredicateSLSA, "widget-1.0.tar.gz", []string{"gh attestation verify widget-1.0.tar.gz --owner Acme"}},
		"of another sort":    {nil, attest.PredicatePublish, "widget-1.0.tar.gz", []string{"gh attestation verify widget-1.0.tar.gz --owner Acme --predicate-type https://docs.pypi.org/attestations/publish/v1"}},
		"a hostile name":     {nil, attest.PredicateSLSA, "a'b; rm -rf ~", []string{`gh attestation verify 'a'\''b; rm -rf ~' --owner Acme`}},
		"a name like a flag": {nil, attest.PredicateSLSA, "--help", []string{"gh attestation verify './--help' --owner Acme"}},
		"another spelling":   {func(id *identity.Identity) { id.SourceRepositoryOwnerURI = "https://github.com/acme" }, attest.PredicateSLSA, "w", []string{"gh attestation verify w --owner Acme"}},
		"another issuer":     {func(id *identity.Identity) { id.Issuer += "/acme" }, attest.PredicateSLSA, "w", nil},
		"a foreign workflow": {func(id *identity.Identity) {
			id.SAN = "https://github.com/evil/ci/.github/workflows/x.yml@refs/heads/main"
		}, attest.PredicateSLSA, "w", nil},
		"a longer owner": {func(id *identity.Identity) {
			id.SAN = "https://github.com/Acme-evil/x/.github/workflows/x.yml@refs/heads/main"
		}, attest.PredicateSLSA, "w", nil},
		"an owner not told": {func(id *identity.Identity) { id.SourceRepositoryOwnerURI = "" }, attest.PredicateSLSA, "w", nil},
		"a source not told": {func(id *identity.Identity) { id.SourceRepositoryURI = "" }, attest.PredicateSLSA, "w", nil},
	} {
		if got := gitHubAccepts(build(c.edit), c.predicate, c.file); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestEachCheckIsOfTheLinkThatItIsAbout deals out the checks of an attestation with two entries, of which the first is of a log that
// nobody knows.
func TestEachCheckIsOfTheLinkThatItIsAbout(t *testing.T) {
	var checks []attest.Check
	add := func(status attest.CheckStatus, names ...string) {
		for _, name := range names {
			checks = append(checks, attest.Check{Name: name, Status: status})
		}
	}
	add(attest.Pass, attest.CheckParse, attest.CheckCertificate, attest.CheckSignature, attest.CheckEntries)
	add(attest.Fail, attest.CheckLogKnown)
	add(attest.Pass, attest.CheckEntryBody, attest.CheckLogIndex, attest.CheckInclusionProof)
	add(attest.Skipped, attest.CheckCheckpoint, attest.CheckSET)
	add(attest.Pass, attest.CheckLogKnown, attest.CheckEntryBody, attest.CheckLogIndex, attest.CheckInclusionProof, attest.CheckCheckpoint, attest.CheckSET)
	add(attest.Skipped, attest.CheckTimestamp)
	add(attest.Pass, attest.CheckSigningTime)
	add(attest.Skipped, attest.CheckIntegratedTime)
	add(attest.Pass, attest.CheckIntegratedTime)
	add(attest.Skipped, attest.CheckLogValidity)
	add(attest.Fail, attest.CheckLogValidity)
	add(attest.NotSupported, attest.CheckChain)
	add(attest.Pass, attest.CheckSCT, attest.CheckSigstore)
	own, entries, certificate := splitChecks(checks)
	brief := func(all []LinkCheck) (texts []string) {
		for _, c := range all {
			texts = append(texts, string(c.Status)+" "+c.Name)
		}
		return texts
	}
	if diff := cmp.Diff([]string{"ok parse", "ok signature", "ok transparency-entries", "skipped timestamp", "ok signing-time", "ok sigstore-go"}, brief(own)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"ok certificate", "unknown certificate-chain", "ok certificate-sct"}, brief(certificate)); diff != "" {
		t.Error(diff)
	}
	want := [][]string{
		{"failed log-known", "ok log-entry-body", "ok log-index", "ok inclusion-proof", "skipped checkpoint", "skipped signed-entry-timestamp", "skipped integrated-time", "skipped log-validity"},
		{"ok log-known", "ok log-entry-body", "ok log-index", "ok inclusion-proof", "ok checkpoint", "ok signed-entry-timestamp", "ok integrated-time", "failed log-validity"},
	}
	for i := range want {
		if diff := cmp.Diff(want[i], brief(entries[i])); diff != "" {
			t.Error(diff)
		}
	}
}

// TestALinkIsAsGoodAsItsWorstCheck goes from the best to the worst.
func TestALinkIsAsGoodAsItsWorstCheck(t *testing.T) {
	l := Link{Kind: LinkEntry}
	for _, step := range []struct{ add, want LinkStatus }{{LinkSkipped, LinkOK}, {LinkOK, LinkOK}, {LinkUnknown, LinkUnknown}, {LinkOK, LinkUnknown}, {LinkFailed, LinkFailed}, {LinkUnknown, LinkFailed}} {
		l.check("x", step.add, "")
		if l.conclude(); l.Status != step.want {
			t.Errorf("with %s it is %s, want %s", step.add, l.Status, step.want)
		}
	}
	// What the record does not know yet takes nothing from what was verified; what it knows to be wrong does.
	above := Link{Kind: LinkAttestation}
	entry := Link{Kind: LinkEntry}
	entry.recorded("log-asked", LinkUnknown, "")
	above.hang(entry)
	if above.holds() != LinkOK {
		t.Errorf("it is %s", above.holds())
	}
	entry.recorded("same-tree", LinkFailed, "")
	above.hang(entry)
	if above.holds() != LinkFailed {
		t.Errorf("it is %s", above.holds())
	}
}
