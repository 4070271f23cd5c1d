package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-openapi/runtime"
	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/types"
	"github.com/sigstore/rekor/pkg/types/dsse"
	"github.com/sigstore/rekor/pkg/types/intoto"
)

// plantedWorld is a world with one entry of each kind in its log, ten minutes apart, about three artifacts.
func plantedWorld(t *testing.T) (*World, []RekorPlanted) {
	t.Helper()
	w := startedWorld(t)
	planted, err := w.PlantRekor(100, signedAt.Add(-time.Hour), signedAt,
		RekorPlant{Plant: Plant{At: 20, Claims: ReleaseClaims("1.23.0")}, Kind: HashedRekord, Subject: Subject{SHA256: strings.Repeat("11", 32)}},
		RekorPlant{Plant: Plant{At: 40, Claims: ReleaseClaims("1.23.0")}, Kind: DSSE, Subject: wheel},
		RekorPlant{Plant: Plant{At: 60, Claims: ReleaseClaims("1.23.0")}, Kind: Intoto, Subject: wheel},
		RekorPlant{Plant: Plant{At: 80, Claims: Claims{Email: "Maintainer@example.org"}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return w, planted
}

const releaseSAN = "https://github.com/onnx/onnx/.github/workflows/create_release.yml@refs/heads/rel-1.23.0"

func TestTheIndexFindsWhatRekorIndexes(t *testing.T) {
	w, planted := plantedWorld(t)
	r := newRekorReader(t, w.Rekor)
	hashed, attestation, kept, person := planted[0], planted[1], planted[2], planted[3]
	of := func(all ...RekorPlanted) []string {
		uuids := []string{}
		for _, p := range all {
			uuids = append(uuids, p.UUID)
		}
		return uuids
	}
	x509Key := func(p RekorPlanted) *models.SearchIndexPublicKey {
		format := "x509"
		return &models.SearchIndexPublicKey{Format: &format, Content: certificatePEM(p.Certificate)}
	}
	hash := func(b []byte) string { return hexSHA256(b) }
	for name, c := range map[string]struct {
		query models.SearchIndex
		want  []string
	}{
		"an artifact":           {models.SearchIndex{Hash: "sha256:" + wheel.SHA256}, of(attestation, kept)},
		"an artifact, bare":     {models.SearchIndex{Hash: strings.ToUpper(wheel.SHA256)}, of(attestation, kept)},
		"a hashedrekord's":      {models.SearchIndex{Hash: strings.Repeat("11", 32)}, of(hashed)},
		"a payload":             {models.SearchIndex{Hash: hash(attestation.Attestation.Statement)}, of(attestation, kept)},
		"a certificate of dsse": {models.SearchIndex{Hash: "sha256:" + hash(certificatePEM(attestation.Certificate))}, of(attestation)},
		// Trap: hashedrekord's rows have the bare hash, which a search for a hash never looks for; dsse's and intoto's have the
		// one with a prefix, which a search for a key never looks for.
		"a certificate of hashedrekord by its hash": {models.SearchIndex{Hash: hash(certificatePEM(hashed.Certificate))}, of()},
		"a key of hashedrekord":                     {models.SearchIndex{PublicKey: x509Key(hashed)}, of(hashed)},
		"a key of dsse":                             {models.SearchIndex{PublicKey: x509Key(attestation)}, of()},
		"a subject":                                 {models.SearchIndex{Subject: releaseSAN}, of(hashed, attestation, kept)},
		"a subject in another case":                 {models.SearchIndex{Subject: strings.ToUpper(releaseSAN)}, of(hashed, attestation, kept)},
		"a subject with accents":                    {models.SearchIndex{Subject: strings.Replace(releaseSAN, "onnx", "önnx", 1) + " "}, of(hashed, attestation, kept)},
		"the beginning of a subject":                {models.SearchIndex{Subject: releaseSAN[:60]}, of()},
		"an address":                                {models.SearchIndex{Email: "maintainer@EXAMPLE.org"}, of(person)},
		"an address as a subject":                   {models.SearchIndex{Subject: "maintainer@example.org"}, of(person)},
		"one or the other":                          {models.SearchIndex{Subject: releaseSAN, Email: "maintainer@example.org"}, of(hashed, attestation, kept, person)},
		"one and the other":                         {models.SearchIndex{Subject: releaseSAN, Hash: wheel.SHA256, Operator: "and"}, of(attestation, kept)},
		"one and none":                              {models.SearchIndex{Subject: releaseSAN, Hash: strings.Repeat("22", 32), Operator: "and"}, of()},
		"nothing":                                   {models.SearchIndex{}, of()},
	} {
		got, err := r.search(t.Context(), &c.query)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestTheIndexRefusesWhatTheRealOneRefuses(t *testing.T) {
	w, _ := plantedWorld(t)
	for query, want := range map[string]struct {
		status int
		body   string
	}{
		`{"hash":"sha256:12"}`: {422, `"code":605`},
		`{"email":"nobody"}`:   {422, `"code":601`},
		`{"operator":"xor"}`:   {422, `"code":606`},
		`{"publicKey":{}}`:     {422, `"code":602`},
		`{"subject":5}`:        {400, `"code":400`},
		`{"publicKey":{"format":"jwk","content":"e30="}}`:                              {422, `"code":606`},
		`{"publicKey":{"format":"x509","content":"e30="}}`:                             {400, `"message":"public key provided could not be parsed"`},
		`{"publicKey":{"format":"pgp","content":"e30="}}`:                              {400, `"message":"public key provided could not be parsed"`},
		`{"publicKey":{"format":"tuf","content":"e30="}}`:                              {200, `[]`},
		`{"publicKey":{"format":"ssh","content":"c3NoLWVkMjU1MTkgQUFBQQ=="}}`:          {200, `[]`},
		`{"publicKey":{"format":"minisign","content":"dW50cnVzdGVkIGNvbW1lbnQ6IGEK"}}`: {200, `[]`},
		`{"subject":"` + strings.Repeat("ä", 512) + `"}`:                               {200, `[]`},
		`{"subject":"` + strings.Repeat("ä", 513) + `"}`:                               {422, `"code":603`},
		`{"subject":"","nobody":"knows"}`:                                              {200, `[]`},
	} {
		status, body := post(t, w.Rekor.URL()+"/api/v1/index/retrieve", query)
		if status != want.status || !strings.Contains(string(body), want.body) {
			t.Errorf("%.60s: status %d, %s", query, status, body)
		}
	}
	response, err := http.Post(w.Rekor.URL()+"/api/v1/index/retrieve", "text/plain", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("plain text: %s", response.Status)
	}
}

func TestServersDifferInWhatTheyMakeOfASubject(t *testing.T) {
	w, _ := plantedWorld(t)
	const query = `{"subject":"` + releaseSAN + `","email":"maintainer@example.org"}`
	for support, want := range map[SubjectSupport]int{SubjectKnown: 4, SubjectIgnored: 1} {
		w.Rekor.Index.SetSubject(support)
		_, body := post(t, w.Rekor.URL()+"/api/v1/index/retrieve", query)
		var uuids []string
		if err := json.Unmarshal(body, &uuids); err != nil || len(uuids) != want {
			t.Errorf("support %d: %s, %v", support, body, err)
		}
	}
	w.Rekor.Index.SetSubject(SubjectRefused)
	if status, body := post(t, w.Rekor.URL()+"/api/v1/index/retrieve", query); status != 422 {
		t.Errorf("refused: status %d, %s", status, body)
	}
}

func TestTheIndexIsBehindTheLogAndHasGaps(t *testing.T) {
	at := today
	w, err := New(Options{Seed: 1, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	x := w.Rekor.Index
	x.SetDelay(time.Minute)
	a := attested(t, w)
	find := func() int { return len(x.lookup("sha256:" + wheel.SHA256)) }
	if n := find(); n != 0 {
		t.Errorf("%d entries at once", n)
	}
	at = at.Add(time.Minute)
	if n := find(); n != 1 {
		t.Errorf("%d entries after a minute", n)
	}
	x.SetDelay(0)
	x.Lose(3)
	for range 30 {
		body, err := a.body()
		if err != nil {
			t.Fatal(err)
		}
		// The same body again and again, in shards of its own: the index names each by another UUID.
		if _, err := w.Rekor.Rotate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Rekor.AddStatement(body, a.Statement, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := find(); n != 1+20 {
		t.Errorf("%d entries, want one and two thirds of thirty", n)
	}
}

func TestTheIndexLies(t *testing.T) {
	w, planted := plantedWorld(t)
	r := newRekorReader(t, w.Rekor)
	x := w.Rekor.Index
	const stranger = shardStart + 50
	foreign, err := w.Rekor.UUID(stranger)
	if err != nil {
		t.Fatal(err)
	}
	search := func() ([]string, error) {
		return r.search(t.Context(), &models.SearchIndex{Hash: wheel.SHA256})
	}
	for lie, c := range map[Lie]struct {
		n    uint64
		want []string
	}{
		HidingIndex:  {uint64(planted[1].Attestation.Entries[0].LogIndex), []string{planted[2].UUID}},
		ForeignIndex: {stranger, []string{planted[1].UUID, planted[2].UUID, foreign}},
		SilentIndex:  {0, []string{}},
	} {
		mend, err := x.Tell(lie, c.n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.Tell(lie, c.n); err == nil {
			t.Errorf("%s is told twice", lie)
		}
		if got, err := search(); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", lie, got, err, c.want)
		}
		mend()
		mend()
		if got, err := search(); err != nil || len(got) != 2 {
			t.Errorf("%s, mended: %v, %v", lie, got, err)
		}
	}
	for _, status := range []uint64{200, 502} {
		mend, err := x.Tell(IndexOutage, status)
		if err != nil {
			t.Fatal(err)
		}
		got, body := post(t, w.Rekor.URL()+"/api/v1/index/retrieve", `{}`)
		if got != int(status) || !bytes.HasPrefix(body, []byte("<html>")) {
			t.Errorf("an outage of status %d: %d, %s", status, got, body)
		}
		// The log itself is not out.
		if _, _, err := r.info(t.Context()); err != nil {
			t.Error(err)
		}
		mend()
	}
	if _, err := x.Tell(ForkedTree, 0); err == nil {
		t.Error("the index tells a lie about a tree")
	}
	if _, err := x.Tell(ForeignIndex, 1<<40); err == nil {
		t.Error("the index names what is not there")
	}
}

// TestIndexKeysAreThoseOfRekor has Rekor make entries of what its clients submit, and compares what it would index.
func TestIndexKeysAreThoseOfRekor(t *testing.T) {
	_, planted := plantedWorld(t)
	for _, p := range planted {
		a := p.Attestation
		entry := rekorsOwn(t, a, p.Leaf)
		want, err := entry.IndexKeys()
		if err != nil {
			t.Fatal(err)
		}
		got, err := indexKeys(p.Leaf, a.Statement)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("entry %d has the keys\n%v, want\n%v", p.Index, got, want)
		}
		canonical, err := types.CanonicalizeEntry(context.Background(), entry)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(canonical, p.Leaf) {
			t.Errorf("entry %d is\n%s\nRekor has\n%s", p.Index, p.Leaf, canonical)
		}
	}
}

// rekorsOwn is what Rekor makes of an attestation that is submitted to it.
func rekorsOwn(t *testing.T, a *Attestation, leaf []byte) types.EntryImpl {
	t.Helper()
	proposed, err := models.UnmarshalProposedEntry(bytes.NewReader(leaf), runtime.JSONConsumer())
	if err != nil {
		t.Fatal(err)
	}
	if a.Statement != nil {
		// The hash of an envelope is that of the bytes that were submitted.
		envelope := fmt.Appendf(nil, `{"payload":"%s","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"%s"}]}`,
			base64Of(a.Statement), base64Of(a.Signature))
		properties := types.ArtifactProperties{ArtifactBytes: envelope, PublicKeyBytes: [][]byte{certificatePEM(a.Certificate)}}
		kind := dsse.New()
		if _, ok := proposed.(*models.Intoto); ok {
			kind = intoto.New()
		}
		if proposed, err = kind.CreateProposedEntry(context.Background(), kind.DefaultVersion(), properties); err != nil {
			t.Fatal(err)
		}
	}
	entry, err := types.UnmarshalEntry(proposed)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}
