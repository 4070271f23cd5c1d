package sandbox

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"io"
	"net/http"
	"testing"

	ct "github.com/google/certificate-transparency-go"
	ctx509 "github.com/google/certificate-transparency-go/x509"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/ctonly"
)

// The promise that a certificate carries is kept: the leaf that its SCT stands for is in the log, where the log says.
func TestPromisedPrecertificatesAreInTheLog(t *testing.T) {
	w := logWorld(t, nil)
	fill(t, w, 10)
	s := newSigner(t, w, claimsOfTheTest, CertificateOptions{})
	fill(t, w, 20)
	chain := make([]*ctx509.Certificate, 2)
	for i, c := range []*x509.Certificate{s.Certificate, w.Fulcio.intermediate} {
		parsed, err := ctx509.ParseCertificate(c.Raw)
		if ctx509.IsFatal(err) {
			t.Fatal(err)
		}
		chain[i] = parsed
	}
	leaf, err := ct.MerkleTreeLeafForEmbeddedSCT(chain, uint64(signedAt.UnixMilli()))
	if err != nil {
		t.Fatal(err)
	}
	hash, err := ct.LeafHashForLeaf(leaf)
	if err != nil {
		t.Fatal(err)
	}
	c := ctClient(t, w.CT)
	sth, err := c.GetSTH(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.GetProofByHash(t.Context(), hash[:], sth.TreeSize)
	if err != nil {
		t.Fatal(err)
	}
	if p.LeafIndex != 10 {
		t.Errorf("it is entry %d, want 10", p.LeafIndex)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, 10, sth.TreeSize, hash[:], p.AuditPath, sth.SHA256RootHash[:]); err != nil {
		t.Error(err)
	}

	// The second log has it too, with its index in the leaf.
	static, err := w.StaticCT.Leaf(10)
	if err != nil {
		t.Fatal(err)
	}
	entry := ctonly.Entry{
		Timestamp: uint64(signedAt.UnixMilli()), IsPrecert: true,
		Certificate: leaf.TimestampedEntry.PrecertEntry.TBSCertificate, Precertificate: s.Precertificate,
		IssuerKeyHash:     leaf.TimestampedEntry.PrecertEntry.IssuerKeyHash[:],
		FingerprintsChain: [][32]byte{sha256.Sum256(w.Fulcio.intermediate.Raw), sha256.Sum256(w.Fulcio.root.Raw)},
	}
	if !bytes.Equal(static, entry.MerkleTreeLeaf(10)) {
		t.Error("the static log's leaf is not as tessera encodes it")
	}
	w.StaticCT.mu.RLock()
	tile := dataTile(nil, w.StaticCT.entries.at(10))
	w.StaticCT.mu.RUnlock()
	if !bytes.Equal(tile, entry.LeafData(10)) {
		t.Error("the static log's tile is not as tessera encodes it")
	}
}

func TestCTClientReadsEntriesWithTheirChains(t *testing.T) {
	w := logWorld(t, nil)
	s := newSigner(t, w, claimsOfTheTest, CertificateOptions{})
	fill(t, w, 5)
	c := ctClient(t, w.CT)
	entries, err := c.GetEntries(t.Context(), 0, 4)
	if err != nil || len(entries) != 5 {
		t.Fatalf("%d entries: %v", len(entries), err)
	}
	if !bytes.Equal(entries[0].Precert.Submitted.Data, s.Precertificate) {
		t.Error("entry 0 is not the precertificate")
	}
	for i, e := range entries {
		if len(e.Chain) != 2 || !bytes.Equal(e.Chain[0].Data, w.Fulcio.intermediate.Raw) || !bytes.Equal(e.Chain[1].Data, w.Fulcio.root.Raw) {
			t.Errorf("entry %d has a chain of %d", i, len(e.Chain))
		}
	}
	one, err := c.GetEntryAndProof(t.Context(), 3, 5)
	if err != nil {
		t.Fatal(err)
	}
	root, err := w.CT.Root(5)
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, 3, 5, rfc6962.DefaultHasher.HashLeaf(one.LeafInput), one.AuditPath, root); err != nil {
		t.Error(err)
	}
	roots, err := c.GetAcceptedRoots(t.Context())
	if err != nil || len(roots) != 1 || !bytes.Equal(roots[0].Data, w.Fulcio.root.Raw) {
		t.Errorf("%d roots: %v", len(roots), err)
	}
}

func TestOnlyWhatALogPromisedIsInIt(t *testing.T) {
	w := newWorld(t)
	newSigner(t, w, claimsOfTheTest, CertificateOptions{NoSCT: true})
	newSigner(t, w, claimsOfTheTest, CertificateOptions{ForeignSCT: true})
	if w.CT.Size() != 0 || w.StaticCT.Size() != 0 {
		t.Errorf("%d and %d entries", w.CT.Size(), w.StaticCT.Size())
	}
	newSigner(t, w, claimsOfTheTest, CertificateOptions{Rogue: true})
	newSigner(t, w, claimsOfTheTest, CertificateOptions{})
	if w.CT.Size() != 2 || w.StaticCT.Size() != 2 {
		t.Errorf("%d and %d entries", w.CT.Size(), w.StaticCT.Size())
	}
}

func TestIssuersAreServedByTheirFingerprint(t *testing.T) {
	w := logWorld(t, nil)
	fill(t, w, 1)
	for _, c := range []*x509.Certificate{w.Fulcio.intermediate, w.Fulcio.root} {
		sum := sha256.Sum256(c.Raw)
		status, _, body, err := ask(t.Context(), w.StaticCT.URL()+"/issuer/"+hex.EncodeToString(sum[:]), 1<<20)
		if err != nil || status != http.StatusOK || body != string(c.Raw) {
			t.Errorf("status %d, %d bytes, %v", status, len(body), err)
		}
	}
	status, _, _, err := ask(t.Context(), w.StaticCT.URL()+"/issuer/"+hex.EncodeToString(make([]byte, 32)), 1<<20)
	if err != nil || status != http.StatusNotFound {
		t.Errorf("an unknown issuer: status %d, %v", status, err)
	}
}

func TestUnreadableLeavesAreInTheTree(t *testing.T) {
	w := logWorld(t, nil)
	const name = "https://github.com/onnx/onnx"
	malformed, err := w.CT.AddMalformedCertificate(name)
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := w.CT.AddUnknownType(name)
	if err != nil {
		t.Fatal(err)
	}
	c := ctClient(t, w.CT)
	raw, err := c.GetRawEntries(t.Context(), 0, 1)
	if err != nil || len(raw.Entries) != 2 {
		t.Fatal(err)
	}
	for _, i := range []uint64{malformed, unknown} {
		if _, err := ct.LogEntryFromLeaf(int64(i), &raw.Entries[i]); !ctx509.IsFatal(err) || err == nil {
			t.Errorf("entry %d can be read: %v", i, err)
		}
		if !bytes.Contains(raw.Entries[i].LeafInput, []byte(name)) {
			t.Errorf("entry %d does not mention the name", i)
		}
	}
	if _, err := w.StaticCT.AddUnknownType(name); err != nil {
		t.Fatal(err)
	}
	if _, err := dataTileHasher(w.StaticCT.entries.at(0).leaf[2:]); err == nil {
		t.Error("an unknown type can be read from a tile")
	}
}

func TestCTLogRefusesWhatTheRealOneRefuses(t *testing.T) {
	w := logWorld(t, nil)
	fill(t, w, 10)
	leaf, err := w.CT.Leaf(7)
	if err != nil {
		t.Fatal(err)
	}
	hash := bytes.ReplaceAll(bytes.ReplaceAll(base64Of(rfc6962.DefaultHasher.HashLeaf(leaf)), []byte("+"), []byte("%2B")), []byte("/"), []byte("%2F"))
	for path, want := range map[string]int{
		"get-entries?start=0&end=9": 200, "get-entries?start=9&end=100": 200, "get-entries?start=10&end=11": 400, "get-entries?start=5&end=4": 400,
		"get-entries?start=-1&end=4": 400, "get-entries?start=x&end=4": 400, "get-entries": 400,
		"get-sth-consistency?first=0&second=10": 200, "get-sth-consistency?first=3&second=3": 200, "get-sth-consistency?first=3&second=11": 400,
		"get-sth-consistency?first=4&second=3": 400, "get-sth-consistency": 400,
		"get-proof-by-hash?tree_size=10&hash=" + string(hash): 200, "get-proof-by-hash?tree_size=7&hash=" + string(hash): 404,
		"get-proof-by-hash?tree_size=11&hash=" + string(hash): 500, "get-proof-by-hash?tree_size=10&hash=AAAA": 400, "get-proof-by-hash": 400,
		"get-entry-and-proof?leaf_index=7&tree_size=10": 200, "get-entry-and-proof?leaf_index=7&tree_size=7": 400, "get-entry-and-proof": 400,
		"get-sth": 200, "get-roots": 200, "add-chain": 404,
	} {
		status, _, _, err := ask(t.Context(), w.CT.URL()+"/ct/v1/"+path, 1<<20)
		if err != nil || status != want {
			t.Errorf("%s: status %d, want %d: %v", path, status, want, err)
		}
	}
	response, err := http.Post(w.CT.URL()+"/ct/v1/get-sth", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a submission: status %d", response.StatusCode)
	}
}
