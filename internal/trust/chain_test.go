package trust

import (
	"crypto/x509"
	"encoding/base64"
	"testing"
)

// TestWhatAnAuthorityIssuesIsPromisedWhereItsOwnRootHasACTLog has two trusted roots, of which one names a CT log: the other's
// authority owes it nothing.
func TestWhatAnAuthorityIssuesIsPromisedWhereItsOwnRootHasACTLog(t *testing.T) {
	var set Set
	var issuers []string
	for _, promising := range []bool{true, false} {
		raw := trustedRoot(t, func(root map[string]any) {
			if promising {
				root["ctlogs"] = root["tlogs"]
			}
			chain := root["certificateAuthorities"].([]any)[0].(map[string]any)["certChain"].(map[string]any)["certificates"].([]any)
			der, err := base64.StdEncoding.DecodeString(chain[0].(map[string]any)["rawBytes"].(string))
			if err != nil {
				t.Fatal(err)
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			issuers = append(issuers, keyHash(cert))
		})
		r, err := FromJSON("test", raw)
		if err != nil {
			t.Fatal(err)
		}
		set.Roots = append(set.Roots, *r)
	}
	for i, want := range []bool{true, false} {
		if !set.IssuesWith(issuers[i]) || set.HasCTLog(issuers[i]) != want {
			t.Errorf("root %d: issues %t, has a CT log %t, want %t", i, set.IssuesWith(issuers[i]), set.HasCTLog(issuers[i]), want)
		}
	}
	if set.IssuesWith("ca") || set.HasCTLog("ca") {
		t.Error("a stranger is an authority")
	}
}
