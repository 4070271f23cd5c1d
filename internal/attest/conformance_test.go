package attest

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/realdata"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// The suite's cases come with a default artifact and a default trusted root; a case's own files replace them.
const (
	publicGoodRoot = "1-trust/root-signing/targets__trusted_root.json"
	stagingRoot    = "1-trust/root-signing-staging/targets__trusted_root.json"
	githubRoot     = "1-trust/signer/sigstore__roots__github.trusted_root.json"
)

// These stand in the table where not a check but loading refuses.
const (
	rootRefused = "(trusted root)"
	keyRefused  = "(key)"
)

// TestConformance has a verdict for each case of sigstore-conformance's bundle-verify suite, and for each failing one the
// check that must be the first to say so.
func TestConformance(t *testing.T) {
	dir := filepath.Join(realdata.Dir(t), "7-conformance")
	cases := map[string]struct {
		status Status
		check  string
		reason string
	}{
		"bundle-empty-certificate-chain_fail":                   {Failed, CheckCertificate, "a chain without certificates names no signer"},
		"bundle-invalid-base64-signature_fail":                  {Failed, CheckParse, "the signature is not base64"},
		"bundle-with-sct-with-extensions":                       {Verified, "", "static CT logs put the leaf index into the SCT's extensions"},
		"checkpoint-bad-keyhint_fail":                           {Failed, CheckCheckpoint, "no signature line has the log's key hint"},
		"checkpoint-wrong-roothash_fail":                        {Failed, CheckCheckpoint, "a genuine checkpoint of another tree size, so not the proof's"},
		"dsse-invalid-sig_fail":                                 {Failed, CheckSignature, "the envelope's signature is broken; that it is not the logged one follows"},
		"dsse-mismatch-envelope_fail":                           {Failed, CheckEntryBody, "a good envelope, but another one was logged"},
		"dsse-mismatch-sig_fail":                                {Failed, CheckEntryBody, "a good second signature of the same payload, but the first was logged"},
		"happy-path-intoto-in-dsse-v3":                          {Verified, "", ""},
		"happy-path-v0.1":                                       {Verified, "", ""},
		"happy-path-v0.2":                                       {Verified, "", ""},
		"happy-path-v0.3":                                       {Verified, "", ""},
		"happy-path-v0.3-new-mediaType":                         {Verified, "", ""},
		"inclusion-proof-corrupted-hash_fail":                   {Failed, CheckInclusionProof, "one bit of a proof hash leads to another root"},
		"integrated-time-in-future_fail":                        {Failed, CheckIntegratedTime, "logged six minutes after the certificate expired; the promise itself is genuine"},
		"intoto-set-outside-signing-cert-validity_fail":         {Failed, CheckIntegratedTime, "logged a day after the certificate expired"},
		"invalid-ct-key_fail":                                   {Failed, CheckSCT, "this root has another key for the CT log"},
		"invalid-inclusion-proof_fail":                          {Failed, CheckInclusionProof, "an old proof of another entry"},
		"managed-key-happy-path":                                {Verified, "", ""},
		"managed-key-wrong-key_fail":                            {Failed, keyRefused, "the key in key.pub is no point of its curve"},
		"message-digest-mismatch_fail":                          {Failed, CheckMessageDigest, "the bundle's hint is for another file, though the signature is over this one"},
		"rekor2-checkpoint-cosigned":                            {Verified, "", "an unknown witness's line is ignored"},
		"rekor2-checkpoint-missing-log-signature_fail":          {Failed, CheckCheckpoint, "no signature line at all"},
		"rekor2-checkpoint-missing-origin_fail":                 {Failed, CheckCheckpoint, "two lines instead of three"},
		"rekor2-checkpoint-missing-root-hash_fail":              {Failed, CheckCheckpoint, "two lines instead of three"},
		"rekor2-checkpoint-missing-size_fail":                   {Failed, CheckCheckpoint, "two lines instead of three"},
		"rekor2-checkpoint-multiple-cosigs":                     {Verified, "", "unknown witnesses' lines are ignored"},
		"rekor2-checkpoint-no-matching-signature_fail":          {Failed, CheckCheckpoint, "origin and signer are another host than the log's"},
		"rekor2-checkpoint-origin-not-first":                    {Verified, "", "the log's line is found behind a witness's"},
		"rekor2-checkpoint-two-sigs-from-origin":                {Verified, "", "the second line of the log's name has another key hint, so is another key's"},
		"rekor2-dsse-happy-path":                                {Verified, "", "an envelope logged as hashedrekord of its pre-authentication encoding"},
		"rekor2-dsse-invalid-sig_fail":                          {Failed, CheckSignature, "signed with another key"},
		"rekor2-dsse-mismatch-envelope_fail":                    {Failed, CheckEntryBody, "a good envelope, but another one was logged"},
		"rekor2-dsse-mismatch-sig_fail":                         {Failed, CheckEntryBody, "a good second signature, but the first was logged"},
		"rekor2-happy-path":                                     {Verified, "", ""},
		"rekor2-no-inclusion-proof_fail":                        {Failed, CheckInclusionProof, "Rekor v2 makes no promises, so without a proof there is nothing"},
		"rekor2-no-timestamp_fail":                              {Failed, CheckSigningTime, "Rekor v2 states no time"},
		"rekor2-timestamp-outside-trust-root-tsa-validity_fail": {Failed, CheckTimestamp, "after the root stopped trusting the authority"},
		"rekor2-timestamp-outside-tsa-cert-validity_fail":       {Failed, CheckTimestamp, "after the authority's certificate expired"},
		"rekor2-timestamp-with-embedded-cert":                   {Verified, "", ""},
		"rekor2-timestamp-with-expired-cert-chain":              {Verified, "", "expired since, but not when it stamped"},
		"rekor2-timestamp-without-embedded-cert":                {Verified, "", "the authority's certificate is in the root"},
		"set-invalid-signature_fail":                            {Failed, CheckSET, "the promise is not the log's"},
		"signature-mismatch_fail":                               {Failed, CheckSignature, "one bit of the signature"},
		"trust-root-tlog-missing-validity-start_fail":           {Failed, rootRefused, "a root that does not say since when a key counts is refused as a whole"},
		"trust-root-tlog-validity-end-inclusive":                {Verified, "", "logged in the last second of the key's validity"},
		"wrong-hashedrekord-artifact_fail":                      {Failed, CheckEntryBody, "another file was logged"},
		"wrong-hashedrekord-cert-and-sig_fail":                  {Failed, CheckEntryBody, "another signature by another certificate was logged"},
		"wrong-hashedrekord-entry_fail":                         {Failed, CheckEntryBody, "another file was logged"},
		"wrong-material_fail":                                   {Failed, CheckMessageDigest, "a good bundle for another file"},
	}

	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		found++
		want, ok := cases[e.Name()]
		if !ok {
			t.Errorf("case %s is not in the table", e.Name())
			continue
		}
		t.Run(e.Name(), func(t *testing.T) {
			status, check := conformanceVerdict(t, dir, e.Name())
			if status != want.status || check != want.check {
				t.Errorf("got %s %q, want %s %q: %s", status, check, want.status, want.check, want.reason)
			}
		})
	}
	if found != 50 || len(cases) != 50 {
		t.Errorf("%d cases in the folder, %d in the table, want 50", found, len(cases))
	}
}

func conformanceVerdict(t *testing.T, dir, name string) (Status, string) {
	t.Helper()
	own := func(file, otherwise string) string {
		if p := filepath.Join(dir, name, file); exists(p) {
			return p
		}
		return otherwise
	}
	rootPath := own("trusted_root.json", filepath.Join(dir, "..", publicGoodRoot))
	r, err := trust.FromJSON(rootPath, readFile(t, rootPath))
	if err != nil {
		return Failed, rootRefused
	}
	v, err := NewVerifier(r.Material, Options{Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	raw := readFile(t, dir, name, "bundle.sigstore.json")
	artifact := fileArtifact(own("artifact", filepath.Join(dir, "a.txt")))

	var res Result
	if keyPath := own("key.pub", ""); keyPath != "" {
		key, err := parseKey(readFile(t, keyPath))
		if err != nil {
			return Failed, keyRefused
		}
		res = v.VerifyBundleWithKey(raw, key, artifact)
	} else {
		res = v.VerifyBundle(raw, artifact)
	}
	return res.Status, decisive(&res)
}

// decisive is the name of the check that decided against a result; empty if it is verified.
func decisive(res *Result) string {
	if c := res.Failed(); c != nil {
		return c.Name
	}
	if c := res.Unsupported(); c != nil {
		return c.Name
	}
	return ""
}
