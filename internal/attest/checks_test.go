package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

const san = "https://github.com/acme/demo/.github/workflows/release.yml@refs/heads/main"

// at walks into nested maps and lists.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

func set(v any, value any, path ...any) {
	last := len(path) - 1
	at(v, path[:last]...).(map[string]any)[path[last].(string)] = value
}

func unb64(s any) []byte {
	raw, err := base64.StdEncoding.DecodeString(s.(string))
	if err != nil {
		panic(err)
	}
	return raw
}

// flip changes the last byte of a base64 member.
func flip(v any, path ...any) {
	raw := unb64(at(v, path...))
	raw[len(raw)-1] ^= 1
	set(v, b64(raw), path...)
}

func entry(v map[string]any) map[string]any {
	return at(v, "verification_material", "transparency_entries", 0).(map[string]any)
}

func TestHonestAttestationIsVerified(t *testing.T) {
	w := newWorld(t)
	id := w.issue(san)
	res := w.verifier(nil).VerifyAttestation(encode(t, w.attestation(id, publishStatement(wheel, wheelSHA256, "null"))),
		Artifact{Name: wheel, SHA256: wheelSHA256})
	if res.Status != Verified {
		t.Fatalf("%s: %+v %+v", res.Status, res.Failed(), res.Unsupported())
	}
	keyHash := sha256.Sum256(w.ca.RawSubjectPublicKeyInfo)
	if res.Certificate.IssuerKeyHash != hex.EncodeToString(keyHash[:]) {
		t.Errorf("issuer key hash: %s", res.Certificate.IssuerKeyHash)
	}
	if !res.SignedAt.Equal(signedAt) || res.Entries[0].LogIndex != 1001 || res.Entries[0].TreeIndex != 1 || res.Entries[0].Origin != v1Origin {
		t.Errorf("signed %v, entry %+v", res.SignedAt, res.Entries[0])
	}
}

func TestHonestTiledBundleIsVerified(t *testing.T) {
	w := newWorld(t)
	artifact := []byte("aaa")
	raw := encode(t, w.tiledBundle(w.issue(san), artifact))
	opened := 0
	res := w.verifier(nil).VerifyBundle(raw, Artifact{Open: func() (io.ReadCloser, error) {
		opened++
		return io.NopCloser(bytes.NewReader(artifact)), nil
	}})
	if res.Status != Verified || opened != 1 {
		t.Fatalf("%s, opened %d times: %+v %+v", res.Status, opened, res.Failed(), res.Unsupported())
	}
	if len(res.Timestamps) != 1 || !res.Timestamps[0].Time.Equal(signedAt) || res.Timestamps[0].Authority != "https://tsa.example" {
		t.Errorf("timestamps: %+v", res.Timestamps)
	}
	if e := res.Entries[0]; e.SETPresent || !e.InclusionProven || e.TreeID != "" || e.Origin != v2Origin {
		t.Errorf("entry: %+v", e)
	}
}

// TestTBSHashIsThatOfThePrecertificate: a certificate and its precertificate, which differ in poison, SCTs and signature, have one
// name.
func TestTBSHashIsThatOfThePrecertificate(t *testing.T) {
	w := newWorld(t)
	id := w.issue(san)
	c, err := newCertificate(id.cert)
	must(t, err)
	tmpl := *id.cert
	tmpl.ExtraExtensions = nil
	for _, e := range id.cert.Extensions {
		if e.Id.String() == "1.3.6.1.4.1.57264.1.1" {
			tmpl.ExtraExtensions = append(tmpl.ExtraExtensions, e)
		}
	}
	without := w.certificate(&tmpl, w.ca, id.key.Public(), w.caKey)
	want := sha256.Sum256(without.RawTBSCertificate)
	if c.TBSHash != hex.EncodeToString(want[:]) {
		t.Errorf("TBS hash %s, want that of the certificate without SCTs, %x", c.TBSHash, want)
	}
}

// TestEachCheckFailsOnItsOwnLie makes one lie at a time, and expects the check that is there for it to be the first to say so.
func TestEachCheckFailsOnItsOwnLie(t *testing.T) {
	w := newWorld(t)
	id := w.issue(san)
	statement := publishStatement(wheel, wheelSHA256, "null")
	proofPath := func(member string) []any {
		return []any{"verification_material", "transparency_entries", 0, "inclusionProof", member}
	}
	// resealed logs the changed body again, so that nothing but its content is wrong.
	resealed := func(a map[string]any, body []byte) {
		set(a, []any{w.logV1("dsse", "0.0.1", body, signedAt)}, "verification_material", "transparency_entries")
	}
	tests := map[string]struct {
		statement []byte
		id        *identity
		lie       func(a map[string]any)
		root      func(*parts)
		artifact  Artifact
		status    Status
		check     string
	}{
		"unknown version":    {lie: func(a map[string]any) { a["version"] = 2 }, status: Unsupported, check: CheckMediaType},
		"no version":         {lie: func(a map[string]any) { delete(a, "version") }, check: CheckParse},
		"broken certificate": {lie: func(a map[string]any) { set(a, "AAAA", "verification_material", "certificate") }, check: CheckCertificate},
		"no certificate":     {lie: func(a map[string]any) { set(a, "", "verification_material", "certificate") }, check: CheckCertificate},
		"two names":          {id: w.issue(san, san+"2"), check: CheckCertificate},
		"no name":            {id: w.issue(), check: CheckCertificate},
		"authority signs":    {id: &identity{key: w.caKey, cert: w.ca}, check: CheckCertificate},
		"broken signature":   {lie: func(a map[string]any) { flip(a, "envelope", "signature") }, check: CheckSignature},
		"changed statement": {lie: func(a map[string]any) {
			set(a, b64(publishStatement(wheel, wheelSHA256, "{}")), "envelope", "statement")
		}, check: CheckSignature},
		"statement not JSON":  {statement: []byte("hello"), check: CheckStatement},
		"statement twice":     {statement: append(bytes.Clone(statement), statement...), check: CheckStatement},
		"duplicate member":    {statement: bytes.Replace(statement, []byte(`{"_type"`), []byte(`{"predicateType":"x","_type"`), 1), check: CheckStatement},
		"old statement type":  {statement: bytes.Replace(statement, []byte("Statement/v1"), []byte("Statement/v0.1"), 1), check: CheckStatement},
		"unknown predicate":   {statement: bytes.Replace(statement, []byte("publish/v1"), []byte("publish/v2"), 1), check: CheckPredicateType},
		"filled predicate":    {statement: publishStatement(wheel, wheelSHA256, `{"a":1}`), check: CheckPredicate},
		"other digest":        {statement: publishStatement(wheel, strings.Repeat("0", 64), "null"), check: CheckSubject},
		"no digest":           {statement: bytes.Replace(statement, []byte(`"sha256"`), []byte(`"sha512"`), 1), check: CheckSubject},
		"no subject":          {statement: []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"` + PredicatePublish + `"}`), check: CheckSubject},
		"two subjects":        {statement: bytes.Replace(statement, []byte(`"subject":[`), []byte(`"subject":[{"name":"x","digest":{"sha256":"00"}},`), 1), check: CheckSubject},
		"other name":          {statement: publishStatement("other-1.0-py3-none-any.whl", wheelSHA256, "null"), check: CheckSubjectName},
		"artifact unreadable": {artifact: Artifact{Open: func() (io.ReadCloser, error) { return nil, errors.New("gone") }}, check: CheckSubject},
		"no artifact":         {artifact: Artifact{Name: wheel}, check: CheckSubject},
		"not logged":          {lie: func(a map[string]any) { set(a, []any{}, "verification_material", "transparency_entries") }, check: CheckEntries},
		"unknown log":         {root: func(p *parts) { p.rekor = nil }, check: CheckLogKnown},
		"index under tree's":  {lie: func(a map[string]any) { entry(a)["logIndex"] = "0" }, check: CheckLogIndex},
		"index beyond tree":   {lie: func(a map[string]any) { set(a, "2", proofPath("logIndex")...) }, check: CheckLogIndex},
		"negative index":      {lie: func(a map[string]any) { set(a, "-1", proofPath("logIndex")...) }, check: CheckLogIndex},
		"body is not JSON":    {lie: func(a map[string]any) { resealed(a, []byte("{")) }, check: CheckEntryBody},
		"unknown kind":        {lie: func(a map[string]any) { resealed(a, []byte(`{"apiVersion":"0.0.9","kind":"later","spec":{}}`)) }, status: Unsupported, check: CheckEntryBody},
		"kind misnamed":       {lie: func(a map[string]any) { set(entry(a), "intoto", "kindVersion", "kind") }, check: CheckEntryBody},
		"other payload logged": {lie: func(a map[string]any) {
			resealed(a, dsseBody([]byte("another"), unb64(at(a, "envelope", "signature")), id.pem()))
		}, check: CheckEntryBody},
		"other signature logged": {lie: func(a map[string]any) {
			resealed(a, dsseBody(statement, id.sign(t, pae(payloadTypeInToto, statement)), id.pem()))
		}, check: CheckEntryBody},
		"other signer logged": {lie: func(a map[string]any) {
			resealed(a, dsseBody(statement, unb64(at(a, "envelope", "signature")), w.issue(san).pem()))
		}, check: CheckEntryBody},
		"no proof":     {lie: func(a map[string]any) { delete(entry(a), "inclusionProof") }, check: CheckInclusionProof},
		"broken proof": {lie: func(a map[string]any) { set(a, []any{b64(make([]byte, 32))}, proofPath("hashes")...) }, check: CheckInclusionProof},
		"long proof": {lie: func(a map[string]any) {
			set(a, []any{b64(make([]byte, 32)), b64(make([]byte, 32))}, proofPath("hashes")...)
		}, check: CheckInclusionProof},
		"empty checkpoint": {lie: func(a map[string]any) { set(a, map[string]any{"envelope": ""}, proofPath("checkpoint")...) }, check: CheckCheckpoint},
		"unsigned root": {lie: func(a map[string]any) {
			other := w.logV1("dsse", "0.0.1", []byte("{}"), signedAt)
			set(a, at(other, "inclusionProof", "checkpoint"), proofPath("checkpoint")...)
		}, check: CheckCheckpoint},
		"forged checkpoint": {lie: func(a map[string]any) {
			forger := newWorld(t)
			forger.rekorID = w.rekorID
			set(a, map[string]any{"envelope": forger.checkpointV1(v1Origin, 2, unb64(at(a, proofPath("rootHash")...)))}, proofPath("checkpoint")...)
		}, check: CheckCheckpoint},
		"tiled checkpoint on a v1 entry": {lie: func(a map[string]any) {
			set(a, map[string]any{"envelope": w.checkpointV1("rekor.example", 2, unb64(at(a, proofPath("rootHash")...)))}, proofPath("checkpoint")...)
		}, check: CheckCheckpoint},
		"broken promise": {lie: func(a map[string]any) {
			flip(a, "verification_material", "transparency_entries", 0, "inclusionPromise", "signedEntryTimestamp")
		}, check: CheckSET},
		"moved time":        {lie: func(a map[string]any) { entry(a)["integratedTime"] = fmt.Sprint(signedAt.Unix() + 1) }, check: CheckSET},
		"moved index":       {lie: func(a map[string]any) { entry(a)["logIndex"] = "1002" }, check: CheckSET},
		"no time at all":    {lie: func(a map[string]any) { delete(entry(a), "inclusionPromise") }, check: CheckSigningTime},
		"logged too late":   {lie: func(a map[string]any) { relog(w, a, signedAt.Add(time.Hour)) }, check: CheckIntegratedTime},
		"logged tomorrow":   {lie: func(a map[string]any) { relog(w, a, testNow.AddDate(0, 0, 1)) }, check: CheckIntegratedTime},
		"log key retired":   {root: func(p *parts) { p.rekor.ValidityPeriodEnd = signedAt.Add(-time.Second) }, check: CheckLogValidity},
		"log key too new":   {root: func(p *parts) { p.rekor.ValidityPeriodStart = signedAt.Add(time.Second) }, check: CheckLogValidity},
		"log key not dated": {root: func(p *parts) { p.rekor.ValidityPeriodStart = time.Time{} }, check: CheckLogValidity},
		"other authority":   {root: func(p *parts) { p.ca.Root = newWorld(t).ca }, check: CheckChain},
		"retired authority": {root: func(p *parts) { p.ca.ValidityPeriodEnd = signedAt.Add(-time.Hour) }, check: CheckChain},
		"unknown CT log":    {root: func(p *parts) { p.ct.ID = w.rekorID }, check: CheckSCT},
		"same entry twice": {lie: func(a map[string]any) {
			set(a, []any{entry(a), entry(a)}, "verification_material", "transparency_entries")
		}, check: CheckLogIndex},
		"a bad entry beside a good one": {lie: func(a map[string]any) {
			bad := w.logV1("dsse", "0.0.1", dsseBody([]byte("another"), []byte("sig"), id.pem()), signedAt)
			set(a, []any{entry(a), bad}, "verification_material", "transparency_entries")
		}, check: CheckEntryBody},
		"too many entries": {lie: func(a map[string]any) {
			set(a, make([]any, maxEntries+1), "verification_material", "transparency_entries")
		}, check: CheckParse},
		"too many hashes": {lie: func(a map[string]any) {
			many := make([]any, maxProofHashes+1)
			for i := range many {
				many[i] = "AAAA"
			}
			set(a, many, proofPath("hashes")...)
		}, check: CheckParse},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.id == nil {
				tt.id = id
			}
			if tt.statement == nil {
				tt.statement = statement
			}
			if tt.status == "" {
				tt.status = Failed
			}
			if tt.artifact.Name == "" && tt.artifact.Open == nil {
				tt.artifact = Artifact{Name: wheel, SHA256: wheelSHA256}
			}
			a := w.attestation(tt.id, tt.statement)
			if tt.lie != nil {
				tt.lie(a)
			}
			res := w.verifier(tt.root).VerifyAttestation(encode(t, a), tt.artifact)
			if got := decisive(&res); res.Status != tt.status || got != tt.check {
				t.Errorf("got %s %q, want %s %q\n%+v", res.Status, got, tt.status, tt.check, res.Checks)
			}
		})
	}
}

// relog logs the attestation's entry again at another time.
func relog(w *world, a map[string]any, t time.Time) {
	body := unb64(entry(a)["canonicalizedBody"])
	set(a, []any{w.logV1("dsse", "0.0.1", body, t)}, "verification_material", "transparency_entries")
}

func TestSubjectNamesAreComparedByTheGivenFunction(t *testing.T) {
	w := newWorld(t)
	raw := encode(t, w.attestation(w.issue(san), publishStatement("Demo-1.0-py3-none-any.whl", wheelSHA256, "null")))
	for _, tt := range []struct {
		same func(a, b string) (bool, error)
		want string
	}{
		{func(a, b string) (bool, error) { return strings.EqualFold(a, b), nil }, ""},
		{func(string, string) (bool, error) { return false, nil }, CheckSubjectName},
		{func(string, string) (bool, error) { return true, errors.New("not a wheel") }, CheckSubjectName},
		{nil, CheckSubjectName},
	} {
		v, err := NewVerifier(w.material(nil), Options{Now: func() time.Time { return testNow }, SameName: tt.same})
		must(t, err)
		res := v.VerifyAttestation(raw, Artifact{Name: wheel, SHA256: wheelSHA256})
		if got := decisive(&res); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// TestNoByteMayChange flips each byte of everything that an attestation carries.
func TestNoByteMayChange(t *testing.T) {
	w := newWorld(t)
	v := w.verifier(nil)
	a := w.attestation(w.issue(san), publishStatement(wheel, wheelSHA256, "null"))
	artifact := Artifact{Name: wheel, SHA256: wheelSHA256}
	check := func(what string, i int) {
		t.Helper()
		if res := v.VerifyAttestation(encode(t, a), artifact); res.Status == Verified {
			t.Errorf("verified with byte %d of the %s changed", i, what)
		}
	}
	for what, path := range map[string][]any{
		"certificate": {"verification_material", "certificate"},
		"statement":   {"envelope", "statement"},
		"signature":   {"envelope", "signature"},
		"log id":      {"verification_material", "transparency_entries", 0, "logId", "keyId"},
		"body":        {"verification_material", "transparency_entries", 0, "canonicalizedBody"},
		"promise":     {"verification_material", "transparency_entries", 0, "inclusionPromise", "signedEntryTimestamp"},
		"root hash":   {"verification_material", "transparency_entries", 0, "inclusionProof", "rootHash"},
	} {
		good := at(a, path...)
		raw := unb64(good)
		for i := range raw {
			raw[i] ^= 0x20
			set(a, b64(raw), path...)
			check(what, i)
			raw[i] ^= 0x20
		}
		set(a, good, path...)
	}
	path := []any{"verification_material", "transparency_entries", 0, "inclusionProof", "checkpoint", "envelope"}
	good := at(a, path...).(string)
	for i := range good {
		set(a, good[:i]+"x"+good[i+1:], path...)
		if good[i] != 'x' {
			check("checkpoint", i)
		}
	}
	set(a, good, path...)
	if res := v.VerifyAttestation(encode(t, a), artifact); res.Status != Verified {
		t.Fatalf("the unchanged attestation: %+v", res.Failed())
	}
}

func TestNewVerifierWantsRootsAndAClock(t *testing.T) {
	if _, err := NewVerifier(nil, Options{Now: func() time.Time { return testNow }}); err == nil {
		t.Error("no roots accepted")
	}
	if _, err := NewVerifier(newWorld(t).material(nil), Options{}); err == nil {
		t.Error("no clock accepted")
	}
}
