package rekor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/rekoncile/rekoncile/internal/fetch"
)

// signedWorld is a log with two entries of the watched subject, one of which is of an envelope, among others.
type signedWorld struct {
	*v1World
	record, envelope   V1ID
	recordDER, dsseDER []byte
}

const fileDigest = "1111111111111111111111111111111111111111111111111111111111111111"

func newSignedWorld(t *testing.T) *signedWorld {
	t.Helper()
	w := &signedWorld{v1World: newV1World(t, 7, 12)}
	w.signed(otherSAN)
	uuid, der := w.signed(watchedSAN)
	w.record, w.recordDER = v1ID(t, uuid), der
	w.dsseDER = certificate(t, watchedSAN)
	text := pemOf("CERTIFICATE", w.dsseDER)
	uuid = w.add(dsseBody(b64(text)))
	w.envelope = v1ID(t, uuid)
	sum := sha256.Sum256(text)
	w.file(uuid, "sha256:"+hex.EncodeToString(sum[:]), watchedSAN, "sha256:"+fileDigest, "sha256:"+strings.Repeat("ab", 32))
	return w
}

func v1ID(t *testing.T, uuid string) V1ID {
	t.Helper()
	id, err := ParseV1ID(uuid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestTheIndexFindsAndTheLogConfirms(t *testing.T) {
	w := newSignedWorld(t)
	// The collation of the index takes another case for the same; an old row has no tree; a row has no entry.
	sibling, _ := w.signed(strings.ToUpper(watchedSAN))
	absent := V1ID{TreeID: w.record.TreeID, LeafHash: [32]byte{0xff}}
	w.file(sibling, watchedSAN)
	w.file(w.record.String(), watchedSAN)
	w.file(absent.String(), watchedSAN)
	for name, c := range map[string]struct {
		query V1Query
		want  map[V1ID]V1Match
	}{
		"subject":             {V1Query{Subject: watchedSAN}, map[V1ID]V1Match{w.record: V1Confirmed, w.envelope: V1Confirmed, v1ID(t, sibling): V1Other, absent: ""}},
		"digest of a file":    {V1Query{SHA256: fileDigest}, map[V1ID]V1Match{w.envelope: V1Unconfirmed}},
		"digest of envelope":  {V1Query{SHA256: strings.Repeat("ab", 32)}, map[V1ID]V1Match{w.envelope: V1Confirmed}},
		"certificate, record": {V1Query{Certificate: w.recordDER}, map[V1ID]V1Match{w.record: V1Confirmed}},
		"certificate, dsse":   {V1Query{Certificate: w.dsseDER}, map[V1ID]V1Match{w.envelope: V1Confirmed}},
		"nobody's":            {V1Query{Subject: "https://nobody.example/"}, map[V1ID]V1Match{}},
	} {
		d, err := w.Discover(t.Context(), c.query, nil)
		if err != nil || d.Truncated || d.Known != 0 {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		got := map[V1ID]V1Match{}
		for _, h := range d.Hits {
			got[h.ID] = h.Match
			if _, twice := c.want[h.ID]; !twice || (h.Entry == nil) != (h.ID == absent) || (h.ID == absent) != errors.Is(h.Err, fs.ErrNotExist) {
				t.Errorf("%s: %+v", name, h)
			}
		}
		if len(d.Hits) != len(c.want) || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %d hits, %v; want %v", name, len(d.Hits), got, c.want)
		}
	}
	w.asks()
	d, err := w.Discover(t.Context(), V1Query{Subject: watchedSAN}, func(id V1ID) bool { return id == w.record || id == w.envelope })
	if err != nil || d.Known != 2 || len(d.Hits) != 2 {
		t.Errorf("with two that are known: %+v, %v", d, err)
	}
	if asked := w.asks(); len(asked) != 2 || strings.Contains(asked[1], w.record.String()) {
		t.Errorf("asked %q", asked)
	}
}

func TestSearchesAskAsTheIndexIsWritten(t *testing.T) {
	w := newSignedWorld(t)
	key := publicKey(t)
	sum := sha256.Sum256(pemOf("CERTIFICATE", w.recordDER))
	for _, c := range []struct {
		query V1Query
		want  []string
	}{
		{V1Query{SHA256: fileDigest}, []string{`{"hash":"sha256:` + fileDigest + `"}`}},
		{V1Query{Subject: watchedSAN}, []string{`{"subject":"` + watchedSAN + `"}`}},
		{V1Query{Certificate: w.recordDER}, []string{`"hash":"sha256:` + hex.EncodeToString(sum[:]) + `"`, `"publicKey":{"format":"x509","content":"` + b64(pemOf("CERTIFICATE", w.recordDER)) + `"}`, `"operator":"or"`}},
		{V1Query{PublicKey: key}, []string{`"publicKey":{"format":"x509","content":"` + b64(pemOf("PUBLIC KEY", key)) + `"}`, `"operator":"or"`}},
	} {
		w.asks()
		if _, _, err := w.Search(t.Context(), c.query); err != nil {
			t.Fatal(err)
		}
		asked := w.asks()
		for _, want := range c.want {
			if len(asked) != 1 || !strings.Contains(asked[0], want) {
				t.Errorf("asked %q, want %s", asked, want)
			}
		}
	}
	for name, q := range map[string]V1Query{
		"nothing": {}, "two things": {SHA256: fileDigest, Subject: watchedSAN}, "all things": {SHA256: fileDigest, Subject: watchedSAN, Certificate: w.recordDER, PublicKey: key}, "a short digest": {SHA256: "abcd"}, "upper case": {SHA256: strings.Repeat("AB", 32)},
		"a long subject": {Subject: strings.Repeat("é", 513)},
	} {
		if _, _, err := w.Search(t.Context(), q); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, _, err := w.Search(t.Context(), V1Query{Subject: strings.Repeat("é", 512)}); err != nil {
		t.Error(err)
	}
}

func TestHitsAreSortedAndCappedAndThereOnce(t *testing.T) {
	var uuids []string
	for i := range 30_000 {
		uuids = append(uuids, fmt.Sprintf(`"%016x%064x"`, 5, i%25_000))
	}
	slices.Reverse(uuids)
	w := newV1World(t, 1)
	w.raw = func(string) string { return "[" + strings.Join(uuids, ",") + "]" }
	ids, truncated, err := w.Search(t.Context(), V1Query{SHA256: fileDigest})
	if err != nil || !truncated || len(ids) != 20_000 {
		t.Fatalf("%d ids, %v, %v", len(ids), truncated, err)
	}
	for i, id := range ids {
		if id.String() != fmt.Sprintf("%016x%064x", 5, i) {
			t.Fatalf("id %d is %s", i, id)
		}
	}
}

func TestNoAnswerOfTheIndexIsNoAbsence(t *testing.T) {
	w := newSignedWorld(t)
	for name, raw := range map[string]string{
		"null": `null`, "an object": `{}`, "numbers": `[7]`, "no UUIDs": `["abc"]`, "cut off": `["` + w.record.String() + `"`, "followed": `[]x`,
		"huge": `["` + strings.Repeat("a", 9<<20) + `"]`,
	} {
		w.raw = func(string) string { return raw }
		if ids, _, err := w.Search(t.Context(), V1Query{Subject: watchedSAN}); err == nil || len(ids) > 0 {
			t.Errorf("%s: %d ids and no error", name, len(ids))
		}
	}
	w.raw = nil
	html := htmlFetcher{}
	w.o.Fetch = html
	if _, err := w.Discover(t.Context(), V1Query{Subject: watchedSAN}, nil); err == nil {
		t.Error("an error page was an answer")
	}
}

// htmlFetcher is what stands before a server that is down, as the client tells it.
type htmlFetcher struct{}

func (htmlFetcher) Do(_ context.Context, q fetch.Request) (*fetch.Response, error) {
	if !slices.Equal(q.ContentTypes, []string{"application/json"}) {
		return &fetch.Response{Status: 200, Body: []byte("[]")}, nil
	}
	return nil, &fetch.ContentTypeError{URL: q.URL, Got: "text/html", Want: q.ContentTypes}
}

func TestHalfADiscoveryIsKept(t *testing.T) {
	w := newV1World(t, 3)
	for range 12 {
		w.signed(watchedSAN)
	}
	n := 0
	w.status = func(path string) int {
		if path == "/log/entries/retrieve" {
			if n++; n == 2 {
				return http.StatusBadGateway
			}
		}
		return 0
	}
	d, err := w.Discover(t.Context(), V1Query{Subject: watchedSAN}, nil)
	if err == nil || len(d.Hits) != 10 || d.Hits[9].Match != V1Confirmed {
		t.Errorf("%d hits, %v; want ten and an error", len(d.Hits), err)
	}
}

func TestWhetherSubjectsAreKnownIsProbed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*signedWorld)
		want   V1Support
		why    string
	}{
		"a new server":                              {func(*signedWorld) {}, V1Supported, "nothing by a subject that nobody has"},
		"an old server":                             {func(w *signedWorld) { w.subjects = V1Ignored }, V1Ignored, "by its digest and by a subject that nobody has"},
		"a strict server":                           {func(w *signedWorld) { w.subjects = V1Refused }, V1Refused, "422"},
		"a gap, new server":                         {func(w *signedWorld) { delete(w.index, strings.ToLower(watchedSAN)) }, V1Supported, "the index has gaps"},
		"an empty index":                            {func(w *signedWorld) { clear(w.index) }, V1Unknown, "neither by its subject nor by its digest"},
		"an empty index, refused":                   {func(w *signedWorld) { clear(w.index); w.subjects = V1Refused }, V1Refused, "422"},
		"a server that has everything for everyone": {func(w *signedWorld) { w.raw = func(string) string { return `["` + w.envelope.String() + `"]` } }, V1Ignored, "nobody can have"},
		"an outage":                                 {func(w *signedWorld) { w.status = func(string) int { return http.StatusBadGateway } }, V1Unknown, "502"},
		"switched off":                              {func(w *signedWorld) { w.status = func(string) int { return http.StatusNotImplemented } }, V1Unknown, "501"},
		"refuses it all":                            {func(w *signedWorld) { w.status = func(string) int { return http.StatusBadRequest } }, V1Unknown, "400"},
		"an outage in between": {func(w *signedWorld) {
			n := 0
			w.status = func(string) int {
				if n++; n == 2 {
					return http.StatusInternalServerError
				}
				return 0
			}
		}, V1Unknown, "500"},
	} {
		w := newSignedWorld(t)
		e, err := w.Entry(t.Context(), w.envelope)
		if err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		c.change(w)
		w.mu.Unlock()
		w.asks()
		got, why, err := w.ProbeSubject(t.Context(), V1Specimen{Entry: e, Subject: watchedSAN, SHA256: fileDigest})
		if err != nil || got != c.want || !strings.Contains(why, c.why) {
			t.Errorf("%s: %s, %q, %v; want %s, %q", name, got, why, err, c.want, c.why)
		}
		if n := len(w.asks()); n > 4 {
			t.Errorf("%s took %d requests", name, n)
		}
	}
	w := newSignedWorld(t)
	e, err := w.Entry(t.Context(), w.envelope)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]V1Specimen{
		"another subject": {Entry: e, Subject: otherSAN, SHA256: fileDigest}, "no digest": {Entry: e, Subject: watchedSAN}, "no entry": {Subject: watchedSAN, SHA256: fileDigest},
	} {
		if _, _, err := w.ProbeSubject(t.Context(), s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if got, _, err := w.ProbeSubject(stopped, V1Specimen{Entry: e, Subject: watchedSAN, SHA256: fileDigest}); got != V1Unknown || !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %s, %v", got, err)
	}
}

// TestAMatchIsWhatTheEntryShows holds single entries against questions.
func TestAMatchIsWhatTheEntryShows(t *testing.T) {
	der := certificate(t, watchedSAN)
	signer := pem64("CERTIFICATE", der)
	twoNames, key := twoSANs(t), publicKey(t)
	for name, c := range map[string]struct {
		body  []byte
		query V1Query
		want  V1Match
	}{
		"the artifact":             {hashedRekordBody(signer), V1Query{SHA256: hexDigest}, V1Confirmed},
		"another artifact":         {hashedRekordBody(signer), V1Query{SHA256: fileDigest}, V1Other},
		"the payload":              {dsseBody(signer), V1Query{SHA256: hexDigest}, V1Confirmed},
		"perhaps of the statement": {dsseBody(signer), V1Query{SHA256: fileDigest}, V1Unconfirmed},
		"the subject":              {dsseBody(signer), V1Query{Subject: watchedSAN}, V1Confirmed},
		"the second signer":        {dsseBody(pem64("PUBLIC KEY", publicKey(t)), signer), V1Query{Subject: watchedSAN}, V1Confirmed},
		"part of the subject":      {dsseBody(signer), V1Query{Subject: watchedSAN[:20]}, V1Other},
		"another subject":          {dsseBody(signer), V1Query{Subject: otherSAN}, V1Other},
		"a key":                    {dsseBody(pem64("PUBLIC KEY", publicKey(t))), V1Query{Subject: watchedSAN}, V1Other},
		"two names":                {dsseBody(pem64("CERTIFICATE", twoNames)), V1Query{Subject: watchedSAN}, V1Unconfirmed},
		"a broken certificate":     {dsseBody(pem64("CERTIFICATE", der[:300])), V1Query{Subject: watchedSAN}, V1Unconfirmed},
		"the certificate":          {hashedRekordBody(signer), V1Query{Certificate: der}, V1Confirmed},
		"the key":                  {dsseBody(pem64("PUBLIC KEY", key)), V1Query{PublicKey: key}, V1Confirmed},
		"another key":              {dsseBody(pem64("PUBLIC KEY", key)), V1Query{PublicKey: publicKey(t)}, V1Other},
		"another certificate":      {hashedRekordBody(signer), V1Query{Certificate: certificate(t, watchedSAN)}, V1Other},
		"a kind to come":           {[]byte(`{"apiVersion":"0.0.1","kind":"future","spec":{}}`), V1Query{Subject: watchedSAN}, V1Unconfirmed},
		"a member to come":         {[]byte(strings.Replace(string(hashedRekordBody(signer)), `"spec":{`, `"spec":{"more":1,`, 1)), V1Query{SHA256: fileDigest}, V1Unconfirmed},
		"no question":              {hashedRekordBody(signer), V1Query{}, V1Other},
	} {
		if got := c.query.Match(&V1Entry{Body: c.body}); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestUUIDsNameAnEntryWithOrWithoutItsTree(t *testing.T) {
	leaf := "0004aaa6a89f41c3d07079c6be8ee0f6fc9ee3e23c159e101140f31036f014db"
	for uuid, tree := range map[string]uint64{"108e9186e8c5677a" + leaf: 1193050959916656506, leaf: 0, "0000000000000000" + leaf: 0, "0000000000000011" + leaf: 17} {
		id, err := ParseV1ID(uuid)
		if err != nil || id.TreeID != tree || hex.EncodeToString(id.LeafHash[:]) != leaf {
			t.Errorf("%s: %+v, %v", uuid, id, err)
		}
		want := uuid
		if tree == 0 {
			want = leaf
		}
		if id.String() != want {
			t.Errorf("%s is written %s", uuid, id)
		}
	}
	for _, bad := range []string{"", leaf[1:], leaf + "0", "108e9186e8c5677g" + leaf, "108e9186e8c5677a" + leaf[:63] + "g", "-08e9186e8c5677a" + leaf, "ffffffffffffffff" + leaf} {
		if id, err := ParseV1ID(bad); err == nil {
			t.Errorf("%q is %+v", bad, id)
		}
	}
}

func TestACopyInABundleIsTheLogsEntryOrDiffers(t *testing.T) {
	w := newV1World(t, 7, 30)
	e, err := w.EntryAt(t.Context(), 20)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.EntryAt(t.Context(), 20) // with a signature of its own
	if err != nil || string(again.SET) == string(e.SET) {
		t.Fatalf("the log signed the same twice: %v", err)
	}
	good := V1Copy{Body: e.Body, GlobalIndex: 20, IntegratedTime: e.IntegratedTime, LogID: e.LogID, SET: e.SET, Proof: true, TreeID: e.TreeID, Index: 13}
	if got := w.keys.Compare(again, good); len(got) != 0 {
		t.Errorf("the same entry differs: %v", got)
	}
	without := good
	without.SET, without.Proof, without.TreeID, without.Index = nil, false, 0, 0
	if got := w.keys.Compare(again, without); len(got) != 0 {
		t.Errorf("the same entry without proof and signature differs: %v", got)
	}
	other, err := w.EntryAt(t.Context(), 21)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(*V1Copy)
		want []V1Check
	}{
		"body":      {func(c *V1Copy) { c.Body = append([]byte(" "), c.Body...) }, []V1Check{V1CheckBody, V1CheckSET}},
		"time":      {func(c *V1Copy) { c.IntegratedTime = other.IntegratedTime }, []V1Check{V1CheckIntegratedTime, V1CheckSET}},
		"index":     {func(c *V1Copy) { c.GlobalIndex = 21 }, []V1Check{V1CheckLogIndex, V1CheckSET}},
		"log":       {func(c *V1Copy) { c.LogID = strings.Repeat("0", 64) }, []V1Check{V1CheckLogID}},
		"tree":      {func(c *V1Copy) { c.TreeID-- }, []V1Check{V1CheckTree}},
		"place":     {func(c *V1Copy) { c.Index-- }, []V1Check{V1CheckTree}},
		"signature": {func(c *V1Copy) { c.SET = other.SET }, []V1Check{V1CheckSET}},
		"all": {func(c *V1Copy) {
			*c = V1Copy{Body: other.Body, GlobalIndex: 21, IntegratedTime: other.IntegratedTime, LogID: e.LogID, SET: other.SET, Proof: true, TreeID: e.TreeID, Index: 14}
		}, []V1Check{V1CheckBody, V1CheckIntegratedTime, V1CheckLogIndex, V1CheckTree}},
	} {
		copied := good
		c.edit(&copied)
		var got []V1Check
		for _, d := range w.keys.Compare(again, copied) {
			got = append(got, d.Check)
			if d.Bundle == d.Log || !strings.Contains(d.String(), "the bundle has") {
				t.Errorf("%s: %s", name, d)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// twoSANs is a certificate with a name too many.
func twoSANs(t *testing.T) []byte {
	t.Helper()
	key := newV1Key(t)
	var uris []*url.URL
	for _, san := range []string{watchedSAN, otherSAN} {
		u, err := url.Parse(san)
		if err != nil {
			t.Fatal(err)
		}
		uris = append(uris, u)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), URIs: uris}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
