package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/sandbox"
)

var rekor1Questions = []question{
	{"GET", "/api/v1/log", ""},
	{"GET", "/api/v1/log?stable=true", ""},
	{"GET", "/api/v1/nothing", ""},
	{"GET", "/api/v1/log/publicKey", ""},
	{"GET", "/api/v1/log/publicKey?treeID={tree}", ""},
	{"GET", "/api/v1/log/publicKey?treeID=x", ""},

	{"GET", "/api/v1/log/proof?firstSize=1&lastSize={size}", ""},
	{"GET", "/api/v1/log/proof?firstSize=3&lastSize=7&treeID={tree}", ""},
	{"GET", "/api/v1/log/proof?lastSize=7", ""},
	{"GET", "/api/v1/log/proof?firstSize=7&lastSize=7", ""},
	{"GET", "/api/v1/log/proof?firstSize=0&lastSize=7", ""},
	{"GET", "/api/v1/log/proof?firstSize=-1&lastSize=7", ""},
	{"GET", "/api/v1/log/proof?firstSize=7&lastSize=3", ""},
	{"GET", "/api/v1/log/proof?firstSize=7&lastSize=999999", ""},
	{"GET", "/api/v1/log/proof?firstSize=7", ""},
	{"GET", "/api/v1/log/proof?firstSize=x&lastSize=7", ""},
	{"GET", "/api/v1/log/proof?firstSize=1&lastSize=99999999999999999999999", ""},
	{"GET", "/api/v1/log/proof?lastSize=7&treeID=17", ""},
	{"GET", "/api/v1/log/proof?lastSize=7&treeID=x", ""},
	{"GET", "/api/v1/log/proof?lastSize=7&treeID=99999999999999999999999", ""},

	{"GET", "/api/v1/log/entries?logIndex={index}", ""},
	{"GET", "/api/v1/log/entries?logIndex=0", ""},
	{"GET", "/api/v1/log/entries?logIndex={total}", ""},
	{"GET", "/api/v1/log/entries?logIndex=99999999999", ""},
	{"GET", "/api/v1/log/entries?logIndex=-1", ""},
	{"GET", "/api/v1/log/entries?logIndex=x", ""},
	{"GET", "/api/v1/log/entries", ""},
	{"GET", "/api/v1/log/entries/{uuid}", ""},
	{"GET", "/api/v1/log/entries/{leaf}", ""},
	{"GET", "/api/v1/log/entries/{treehex}0000000000000000000000000000000000000000000000000000000000000000", ""},
	{"GET", "/api/v1/log/entries/0000000000000000000000000000000000000000000000000000000000000000", ""},
	{"GET", "/api/v1/log/entries/0000000000000011{leaf}", ""},
	{"GET", "/api/v1/log/entries/xyz", ""},
	{"GET", "/api/v1/log/entries/{uuid}00", ""},

	{"POST", "/api/v1/log/entries/retrieve", `{"logIndexes":[{index}]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"logIndexes":[0,{index},1]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"logIndexes":[{index},{index}]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"logIndexes":[{total}]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"logIndexes":[0,99999999999]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"logIndexes":[0,-1]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"logIndexes":[0,1,2,0,1,2,0,1,2,0,1]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"logIndexes":["0"]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"logIndexes":[]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"entryUUIDs":["{uuid}"]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"entryUUIDs":["{leaf}"]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"entryUUIDs":["{uuid}"],"logIndexes":[0]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"entryUUIDs":["{treehex}0000000000000000000000000000000000000000000000000000000000000000"]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"entryUUIDs":["0000000000000000000000000000000000000000000000000000000000000000","{uuid}"]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"entryUUIDs":["0000000000000011{leaf}"]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"entryUUIDs":["xyz"]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{"unknown":[]}`},
	{"POST", "/api/v1/log/entries/retrieve", `{}`},
	{"POST", "/api/v1/log/entries/retrieve", `{`},
	{"POST", "/api/v1/log/entries/retrieve", `[]`},
	{"GET", "/api/v1/log/entries/retrieve", ""},

	{"POST", "/api/v1/index/retrieve", `{"hash":"sha256:{digest}"}`},
	{"POST", "/api/v1/index/retrieve", `{"hash":"{digest}"}`},
	{"POST", "/api/v1/index/retrieve", `{"hash":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}`},
	{"POST", "/api/v1/index/retrieve", `{"hash":"sha1:0000000000000000000000000000000000000000"}`},
	{"POST", "/api/v1/index/retrieve", `{"hash":"md5:0000"}`},
	{"POST", "/api/v1/index/retrieve", `{"subject":"{san}"}`},
	{"POST", "/api/v1/index/retrieve", `{"subject":"{san}x"}`},
	{"POST", "/api/v1/index/retrieve", `{"subject":"https://github.com/onnx/onnx"}`},
	{"POST", "/api/v1/index/retrieve", `{"subject":""}`},
	{"POST", "/api/v1/index/retrieve", `{"subject":"` + strings.Repeat("é", 513) + `"}`},
	{"POST", "/api/v1/index/retrieve", `{"email":"{san}"}`},
	{"POST", "/api/v1/index/retrieve", `{"email":"nobody@example.com"}`},
	{"POST", "/api/v1/index/retrieve", `{"hash":"sha256:{digest}","subject":"{san}","operator":"and"}`},
	{"POST", "/api/v1/index/retrieve", `{"hash":"sha256:{digest}","subject":"{san}x","operator":"and"}`},
	{"POST", "/api/v1/index/retrieve", `{"hash":"sha256:{digest}","subject":"{san}x"}`},
	{"POST", "/api/v1/index/retrieve", `{"hash":"sha256:{digest}","operator":"xor"}`},
	{"POST", "/api/v1/index/retrieve", `{"hash":"sha256:{certificate}"}`},
	{"POST", "/api/v1/index/retrieve", `{"publicKey":{"format":"x509","content":"{pem}"}}`},
	{"POST", "/api/v1/index/retrieve", `{"publicKey":{"format":"x509","content":"{pem}"},"hash":"sha256:{certificate}","operator":"or"}`},
	{"POST", "/api/v1/index/retrieve", `{"publicKey":{"format":"x509","content":"AAAA"}}`},
	{"POST", "/api/v1/index/retrieve", `{"publicKey":{"format":"x500","content":"{pem}"}}`},
	{"POST", "/api/v1/index/retrieve", `{"publicKey":{"content":"{pem}"}}`},
	{"POST", "/api/v1/index/retrieve", `{"unknown":"x"}`},
	{"POST", "/api/v1/index/retrieve", `{}`},
	{"POST", "/api/v1/index/retrieve", `{`},
}

// TestTheSandboxsRekorV1AnswersAsTheRealOneDoes puts the same questions, good and bad, to both, about an entry of each kind.
func TestTheSandboxsRekorV1AnswersAsTheRealOneDoes(t *testing.T) {
	for _, kind := range []string{sandbox.HashedRekord, sandbox.DSSE, sandbox.Intoto} {
		t.Run(kind, func(t *testing.T) { compareRekor1(t, kind) })
	}
}

func compareRekor1(t *testing.T, kind string) {
	t.Helper()
	r, w := startRekor1(t), newSandbox(t)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	signer, err := w.Fulcio.NewSigner(sandbox.ReleaseClaims("1.22.0"), sandbox.CertificateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	others := func(label string, n int) {
		for i := range n {
			a, err := w.SignArtifact(signer, sha256.Sum256(fmt.Appendf(nil, "%s %d %d", label, len(r.entries), i)), time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			r.add(t, proposal{request: proposalOf(t, sandbox.HashedRekord, a)})
		}
	}
	for range len(w.Rekor.Shards()) - 1 {
		others("before", 3)
		r.rotate(t)
	}
	others("after", 10)
	file := sandbox.Subject{Name: wheel, SHA256: digest("the bytes of a wheel")}
	first := w.Rekor.Active().Size()
	planted, err := w.PlantRekor(first+1, w.Now(), w.Now(), sandbox.RekorPlant{Kind: kind, Subject: file, Plant: sandbox.Plant{At: first, Claims: sandbox.ReleaseClaims("1.23.0")}})
	if err != nil {
		t.Fatal(err)
	}
	a := planted[0].Attestation
	logged := r.add(t, proposal{request: proposalOf(t, kind, a)})[0]
	verifier := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate})
	both := place{digest: file.SHA256, san: a.Signer.Certificate.URIs[0].String(), certificate: digest(string(verifier)), pem: base64.StdEncoding.EncodeToString(verifier)}
	real, played := both, both
	real.url, real.tree, real.uuid, real.index, real.size, real.total = r.url, r.trees[len(r.trees)-1], logged.uuid, fmt.Sprint(logged.index), "11", fmt.Sprint(logged.index+1)
	active := w.Rekor.Active()
	played.url, played.tree, played.uuid = w.Rekor.URL(), fmt.Sprint(active.TreeID()), planted[0].UUID
	played.index, played.size, played.total = fmt.Sprint(a.Entries[0].LogIndex), fmt.Sprint(active.Size()), fmt.Sprint(a.Entries[0].LogIndex+1)
	real.leaf, played.leaf = real.uuid[16:], played.uuid[16:]
	awaitIndexed(t, r, both.san)
	compareAnswers(t, rekor1Questions, real, played)
}

// awaitIndexed waits until the search index has an entry of a subject: the server writes its rows when it has answered.
func awaitIndexed(t *testing.T, r *rekor1, subject string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	log := r.log(t)
	if err := poll(ctx, func(ctx context.Context) error {
		ids, _, err := log.Search(ctx, rekor.V1Query{Subject: subject})
		if err == nil && len(ids) == 0 {
			err = errors.New("the index does not have the entry")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
