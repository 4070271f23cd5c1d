package rekor

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sigstore/rekor/pkg/generated/models"
	"github.com/sigstore/rekor/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/rekoncile/rekoncile/internal/realdata"
	"github.com/rekoncile/rekoncile/internal/tlog"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// realV1Entry is an entry of Rekor v1 in the collection, in the form of the API: as it is there, or made of a bundle's.
type realV1Entry struct {
	file   string
	answer []byte
}

// realV1Entries finds every entry of Rekor v1 in the collection.
func realV1Entries(t testing.TB, dir string) []realV1Entry {
	t.Helper()
	var all []realV1Entry
	for _, folder := range []string{"2-pep740", "3-bundles", "4-rekor", "6-odd", "7-conformance"} {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, ".ctx.txt") { // a body's surroundings, not an entry
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			docs := [][]byte{raw}
			if !json.Valid(raw) {
				docs = bytes.Split(raw, []byte("\n"))
			}
			for _, doc := range docs {
				dec := json.NewDecoder(bytes.NewReader(doc))
				dec.UseNumber()
				var value any
				if dec.Decode(&value) == nil {
					all = append(all, v1EntriesIn(t, rel, value)...)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func v1EntriesIn(t testing.TB, file string, value any) []realV1Entry {
	var all []realV1Entry
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			all = append(all, v1EntriesIn(t, file, item)...)
		}
	case map[string]any:
		if _, ok := v["integratedTime"]; ok && (v["body"] != nil || v["canonicalizedBody"] != nil) {
			return []realV1Entry{{file, asAnswer(t, v)}}
		}
		if _, ok := v["integrated_time"]; ok {
			return []realV1Entry{{file, asAnswer(t, v)}}
		}
		for _, item := range v {
			all = append(all, v1EntriesIn(t, file, item)...)
		}
	}
	return all
}

// asAnswer writes an entry as the API does, whatever of the forms it has: the API's own, the JSON of the bundle's Protobuf,
// or that with the names of Python.
func asAnswer(t testing.TB, v map[string]any) []byte {
	t.Helper()
	get := func(from map[string]any, names ...string) any {
		for _, name := range names {
			if from[name] != nil {
				return from[name]
			}
		}
		return nil
	}
	object := func(from map[string]any, names ...string) map[string]any {
		o, _ := get(from, names...).(map[string]any)
		return o
	}
	text := func(v any) string { s, _ := v.(string); return s }
	number := func(v any) json.Number { // Protobuf writes 64-bit integers as strings, and leaves zero out
		if v == nil {
			return "0"
		}
		return json.Number(fmt.Sprint(v))
	}
	toHex := func(v any) string {
		raw, err := base64.StdEncoding.DecodeString(text(v))
		if err != nil {
			return "not base64"
		}
		return hex.EncodeToString(raw)
	}
	body := text(get(v, "body", "canonicalizedBody", "canonicalized_body"))
	answer := map[string]any{"body": body, "integratedTime": number(get(v, "integratedTime", "integrated_time")), "logIndex": number(get(v, "logIndex", "log_index"))}
	verification := object(v, "verification")
	if v["body"] != nil {
		answer["logID"], answer["verification"] = v["logID"], verification
	} else {
		answer["logID"] = toHex(get(object(v, "logId", "log_id"), "keyId", "key_id"))
		verification = map[string]any{"signedEntryTimestamp": text(get(object(v, "inclusionPromise", "inclusion_promise"), "signedEntryTimestamp", "signed_entry_timestamp"))}
		if p := object(v, "inclusionProof", "inclusion_proof"); p != nil {
			hashes := []string{}
			list, _ := p["hashes"].([]any)
			for _, h := range list {
				hashes = append(hashes, toHex(h))
			}
			checkpoint := object(p, "checkpoint")
			verification["inclusionProof"] = map[string]any{
				"checkpoint": text(checkpoint["envelope"]), "hashes": hashes, "logIndex": number(get(p, "logIndex", "log_index")),
				"rootHash": toHex(get(p, "rootHash", "root_hash")), "treeSize": number(get(p, "treeSize", "tree_size")),
			}
		}
		answer["verification"] = verification
	}
	// The collection does not have the UUIDs: they are those of the body in the checkpoint's tree.
	raw, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		return nil
	}
	leaf := tlog.LeafHash(raw)
	uuid := hex.EncodeToString(leaf[:])
	if c, err := tlog.ParseCheckpoint(text(object(verification, "inclusionProof")["checkpoint"])); err == nil {
		if _, tree, ok := c.RekorV1Tree(); ok {
			n, err := strconv.ParseUint(tree, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			uuid = fmt.Sprintf("%016x", n) + uuid
		}
	}
	out, err := json.Marshal(map[string]any{uuid: answer})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// realV1Keys are the keys of the public instances, good and staging.
func realV1Keys(t testing.TB, dir string) *V1Keys {
	t.Helper()
	var keys []crypto.PublicKey
	for _, name := range []string{"1-trust/root-signing/targets__trusted_root.json", "1-trust/root-signing-staging/targets__trusted_root.json"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		root, err := trust.FromJSON(name, raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range root.Material.RekorLogs() {
			keys = append(keys, l.PublicKey)
		}
	}
	k, err := NewV1Keys("", keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// brokenV1Entries are the entries in the collection that are broken on purpose, or are of a log that no root here knows, by
// the folder or file that they are in, with the check that must fail.
var brokenV1Entries = map[string]V1Check{
	"post-migrations-provenance-2.json":         V1CheckCheckpoint, // cut off by whoever extracted it
	"bundle-with-bad-checkpoint-signature":      V1CheckCheckpoint,
	"checkpoint-bad-keyhint_fail":               V1CheckCheckpoint,
	"bundle-invalid-base64-signature_fail":      V1CheckInclusion,
	"inclusion-proof-corrupted-hash_fail":       V1CheckInclusion,
	"othername.sigstore.json":                   V1CheckLogID,
	"intoto-set-outside-signing-cert-validity_": V1CheckLogID,
	"bundle-with-mismatched-set":                V1CheckSET,
	"bundle_v3_no_signed_time":                  V1CheckSET,
	"set-invalid-signature_fail":                V1CheckSET,
	"checkpoint-wrong-roothash_fail":            V1CheckTreeSize,
}

// brokenV1Promises are those without a proof whose signed entry timestamp does not verify.
var brokenV1Promises = []string{"invalid-set.intoto.sigstore", "invalid-dsse-sig.intoto.sigstore", "bundle-empty-certificate-chain_fail"}

// shardOffsets are those of the public instance.
var shardOffsets = map[uint64]uint64{3904496407287907110: 0, 2605736670972794746: 4_163_431, 1193050959916656506: 121_904_262}

// TestRealV1EntriesAreProvenOrFailTheCheckTheyDeserve has Rekor's own verifier as its second opinion.
func TestRealV1EntriesAreProvenOrFailTheCheckTheyDeserve(t *testing.T) {
	dir := realdata.Dir(t)
	k := realV1Keys(t, dir)
	kinds, met, promised := map[string]int{}, map[string]bool{}, 0
	for _, e := range realV1Entries(t, dir) {
		answer, err := parseV1Entry(e.answer)
		if err != nil {
			t.Errorf("%s: %v", e.file, err)
			continue
		}
		var want V1Check
		for name, check := range brokenV1Entries {
			if strings.Contains(e.file, name) {
				want, met[name] = check, true
			}
		}
		p := answer.entry.Verification.InclusionProof
		if want == "" && (p == nil || p.Checkpoint == "") {
			want = V1CheckProof
		}
		entry, err := k.prove(answer)
		var failed *V1CheckError
		switch {
		case want != "":
			if !errors.As(err, &failed) || failed.Check != want {
				t.Errorf("%s: %v, want it to fail the check %s", e.file, err, want)
			}
			if want == V1CheckProof {
				promised += checkPromise(t, k, e.file, answer.entry)
			}
			continue
		case err != nil:
			t.Errorf("%s: %v", e.file, err)
			continue
		}
		if err := entry.Verify(k); err != nil {
			t.Errorf("%s: it cannot be proven again: %v", e.file, err)
		}
		if offset, ok := shardOffsets[entry.TreeID]; ok && entry.GlobalIndex-entry.Index != offset {
			t.Errorf("%s: entry %d of tree %d has the global index %d", e.file, entry.Index, entry.TreeID, entry.GlobalIndex)
		}
		if err := rekorVerifies(k.keys[entry.LogID], e.answer); err != nil {
			t.Errorf("%s: Rekor's own verifier says: %v", e.file, err)
		}
		decoded, err := Decode(entry.Body)
		if err != nil {
			t.Errorf("%s: %v", e.file, err)
		}
		kinds[decoded.Kind+" "+decoded.APIVersion]++
	}
	for name := range brokenV1Entries {
		if !met[name] {
			t.Errorf("%s is not in the collection", name)
		}
	}
	for _, kind := range []string{"dsse 0.0.1", "hashedrekord 0.0.1", "intoto 0.0.2"} {
		if kinds[kind] == 0 {
			t.Errorf("no entry of kind %s was proven", kind)
		}
	}
	t.Logf("proven: %v; %d more have a good promise and no proof", kinds, promised)
}

// checkPromise counts 1 if the entry's signed entry timestamp verifies, as it must where it is not broken.
func checkPromise(t *testing.T, k *V1Keys, file string, w v1Wire) int {
	t.Helper()
	promise := tlog.Promise{Body: w.Body, IntegratedTime: w.IntegratedTime, LogID: w.LogID, LogIndex: int64(w.LogIndex)}
	broken := slices.ContainsFunc(brokenV1Promises, func(name string) bool { return strings.Contains(file, name) })
	err := promise.Verify(k.keys[w.LogID], w.Verification.SET)
	if (err != nil) != broken {
		t.Errorf("%s: %v", file, err)
	}
	if err != nil {
		return 0
	}
	return 1
}

// rekorVerifies asks Rekor's own client.
func rekorVerifies(key crypto.PublicKey, answer []byte) error {
	var entries map[string]models.LogEntryAnon
	if err := json.Unmarshal(answer, &entries); err != nil {
		return err
	}
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := verify.VerifyLogEntry(context.Background(), &e, verifier); err != nil {
			return err
		}
	}
	return nil
}

// TestAlteredRealV1EntriesFailTheCheckOfWhatWasAltered alters each entry that is good in each way.
func TestAlteredRealV1EntriesFailTheCheckOfWhatWasAltered(t *testing.T) {
	dir := realdata.Dir(t)
	k := realV1Keys(t, dir)
	alterations := map[string]struct {
		edit func(*v1Wire)
		want V1Check
	}{
		"body":       {func(w *v1Wire) { w.Body = append(slices.Clone(w.Body), ' ') }, V1CheckUUID},
		"log":        {func(w *v1Wire) { w.LogID = strings.Repeat("0", 64) }, V1CheckLogID},
		"time":       {func(w *v1Wire) { w.IntegratedTime-- }, V1CheckSET},
		"index":      {func(w *v1Wire) { w.LogIndex++ }, V1CheckSET},
		"SET":        {func(w *v1Wire) { w.Verification.SET = append(slices.Clone(w.Verification.SET), 0) }, V1CheckSET},
		"tree index": {func(w *v1Wire) { w.Verification.InclusionProof.LogIndex-- }, V1CheckInclusion},
		"tree size":  {func(w *v1Wire) { w.Verification.InclusionProof.TreeSize++ }, V1CheckTreeSize},
		"root":       {func(w *v1Wire) { w.Verification.InclusionProof.RootHash = strings.Repeat("0", 64) }, V1CheckRootHash},
		"hash": {func(w *v1Wire) {
			hashes := slices.Clone(w.Verification.InclusionProof.Hashes)
			hashes[len(hashes)/2] = make([]byte, 32)
			w.Verification.InclusionProof.Hashes = hashes
		}, V1CheckInclusion},
		"checkpoint": {func(w *v1Wire) {
			p := w.Verification.InclusionProof
			p.Checkpoint = strings.Replace(p.Checkpoint, fmt.Sprintf("\n%d\n", p.TreeSize), fmt.Sprintf("\n%d\n", p.TreeSize+1), 1)
		}, V1CheckCheckpoint},
	}
	altered := 0
	for _, e := range realV1Entries(t, dir) {
		for name, a := range alterations {
			answer, err := parseV1Entry(e.answer)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.prove(answer); err != nil {
				break
			}
			a.edit(&answer.entry)
			var failed *V1CheckError
			if _, err := k.prove(answer); !errors.As(err, &failed) || failed.Check != a.want {
				t.Errorf("%s, another %s: %v; want the check %s", e.file, name, err, a.want)
			}
			altered++
		}
	}
	if altered < 1000 {
		t.Errorf("only %d alterations were tried", altered)
	}
}

func TestRealV1CheckpointsVerify(t *testing.T) {
	dir := realdata.Dir(t)
	k := realV1Keys(t, dir)
	files, err := filepath.Glob(filepath.Join(dir, "4-rekor", "checkpoints", "*_-_*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	good := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cp, tree, err := k.checkpoint(string(raw))
		if name := filepath.Base(file); strings.HasPrefix(name, "rekor-00001-deployment") || strings.Contains(name, "23083062_0eb908f2c5") {
			if err == nil { // a private instance's, and one with a broken signature
				t.Errorf("%s verifies", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		good++
		if want := fmt.Sprintf("_-_%d_%d_", tree, cp.Size); !strings.Contains(file, want) {
			t.Errorf("%s is of tree %d, size %d", filepath.Base(file), tree, cp.Size)
		}
	}
	if good < 60 {
		t.Errorf("only %d of %d checkpoints verify", good, len(files))
	}
}
