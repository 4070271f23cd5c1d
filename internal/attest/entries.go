package attest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"time"

	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"github.com/rekoncile/rekoncile/internal/tlog"
)

// checkEntries checks every log entry. One good entry does not make up for a bad one: whoever added the bad one had a
// reason.
func (r *run) checkEntries(ev *evidence, s *signer) {
	switch {
	case len(ev.entries) > 0:
		r.pass(CheckEntries, "%d", len(ev.entries))
	case r.needsEntries():
		r.fail(CheckEntries, "the signature is in no transparency log")
		return
	default:
		r.skip(CheckEntries, "the issuer's trusted root has no transparency log")
		return
	}
	for _, e := range ev.entries {
		r.checkEntry(ev, s, e)
	}
	r.checkDuplicates()
}

func (r *run) checkEntry(ev *evidence, s *signer, e *protorekor.TransparencyLogEntry) {
	p := e.GetInclusionProof()
	leaf := rfc6962.DefaultHasher.HashLeaf(e.GetCanonicalizedBody())
	entry := Entry{
		LogID: hex.EncodeToString(e.GetLogId().GetKeyId()), LogIndex: e.GetLogIndex(), TreeIndex: p.GetLogIndex(),
		TreeSize: p.GetTreeSize(), RootHash: hex.EncodeToString(p.GetRootHash()), Checkpoint: p.GetCheckpoint().GetEnvelope(),
		Kind: e.GetKindVersion().GetKind(), APIVersion: e.GetKindVersion().GetVersion(),
		Body: e.GetCanonicalizedBody(), LeafHash: hex.EncodeToString(leaf),
		SETPresent: len(e.GetInclusionPromise().GetSignedEntryTimestamp()) > 0,
	}
	if t := e.GetIntegratedTime(); t != 0 {
		entry.IntegratedTime = time.Unix(t, 0).UTC()
	}
	log := r.v.logs[entry.LogID]
	if log == nil {
		r.fail(CheckLogKnown, "no trusted root has log %s: either it is another instance's, or the root is older than the log", entry.LogID)
	} else {
		r.pass(CheckLogKnown, "%s", log.BaseURL)
	}

	body := r.checkBody(ev, s, e)
	r.checkIndex(e, body)
	proven := r.checkInclusion(ev, e, leaf)
	entry.InclusionProven = r.checkCheckpoint(ev, &entry, p, log, body) && proven
	entry.SETVerified = r.checkSET(ev, &entry, e, log)
	if entry.SETVerified {
		r.times = append(r.times, entry.IntegratedTime)
	}
	r.res.Entries = append(r.res.Entries, entry)
}

// checkBody joins the entry with the bundle three ways: what was signed, the signature, and the signer. It returns nil
// if the body cannot be read.
func (r *run) checkBody(ev *evidence, s *signer, e *protorekor.TransparencyLogEntry) *entryBody {
	body, err := parseEntryBody(e.GetCanonicalizedBody())
	switch {
	case errors.Is(err, errUnknownKind):
		r.unsupported(CheckEntryBody, "%v", err)
		return nil
	case err != nil:
		r.fail(CheckEntryBody, "the logged entry cannot be read: %v", err)
		return nil
	}
	if got, want := e.GetKindVersion().GetKind()+" "+e.GetKindVersion().GetVersion(), body.kind+" "+body.version; got != want {
		r.differ(CheckEntryBody, got, want, "the bundle names another kind of entry than was logged")
		return body
	}
	want, ok := r.expectedDigest(ev, body)
	if !ok {
		r.fail(CheckEntryBody, "a logged %s %s cannot be an entry for this kind of signature", body.kind, body.version)
		return body
	}
	if !bytes.Equal(body.digest, want) {
		r.differ(CheckEntryBody, hex.EncodeToString(body.digest), hex.EncodeToString(want), "the log has another digest than what was signed")
		return body
	}
	sigs := [][]byte{ev.message.GetSignature()}
	if ev.envelope != nil {
		sigs = sigs[:0]
		for _, s := range ev.envelope.GetSignatures() {
			sigs = append(sigs, s.GetSig())
		}
	}
	if len(sigs) > 1 {
		r.skip(CheckEntryBody, "with several signatures there is no telling which one was logged")
		return body
	}
	if len(sigs) != len(body.signatures) {
		r.differ(CheckEntryBody, fmt.Sprint(len(body.signatures)), fmt.Sprint(len(sigs)), "the log has another number of signatures")
		return body
	}
	for i, logged := range body.signatures {
		if logged.sig != nil && !bytes.Equal(logged.sig, sigs[i]) {
			r.differ(CheckEntryBody, base64.StdEncoding.EncodeToString(logged.sig), base64.StdEncoding.EncodeToString(sigs[i]),
				"the log has another signature")
			return body
		}
		if !s.is(logged.der) {
			r.fail(CheckEntryBody, "the log has another signer's certificate or key")
			return body
		}
	}
	if body.beyond {
		r.unsupported(CheckEntryBody, "%s %s agrees, but sigstore-go does not know the kind", body.kind, body.version)
		return body
	}
	r.pass(CheckEntryBody, "%s %s", body.kind, body.version)
	return body
}

// expectedDigest is the digest that the log must have. It is false where the kind of entry does not fit the signature.
func (r *run) expectedDigest(ev *evidence, body *entryBody) ([]byte, bool) {
	if md := ev.message.GetMessageDigest(); ev.message != nil {
		digest := r.signedDigest
		if digest == nil {
			digest = md.GetDigest()
		}
		return digest, body.of == ofArtifact && messageAlgorithms[md.GetAlgorithm()].name == body.algorithm
	}
	message := ev.envelope.GetPayload()
	if body.of == ofArtifact {
		if !body.v2 {
			return nil, false
		}
		// Since 2026 Rekor v2 logs an envelope as the hash of its pre-authentication encoding.
		message = pae(ev.envelope.GetPayloadType(), message)
	}
	for _, alg := range messageAlgorithms {
		if alg.name == body.algorithm {
			h := alg.hash.New()
			h.Write(message)
			return h.Sum(nil), true
		}
	}
	return nil, false
}

// checkIndex: Rekor v2 has one tree a log, so its two indexes are one. Rekor v1's global index counts the leaves of
// earlier shards as well.
func (r *run) checkIndex(e *protorekor.TransparencyLogEntry, body *entryBody) {
	p := e.GetInclusionProof()
	switch {
	case e.GetLogIndex() < 0 || p.GetLogIndex() < 0 || p.GetTreeSize() < 0:
		r.fail(CheckLogIndex, "an index or a size is negative")
	case p != nil && p.GetLogIndex() >= p.GetTreeSize():
		r.differ(CheckLogIndex, fmt.Sprint(p.GetLogIndex()), fmt.Sprintf("under %d", p.GetTreeSize()), "the index is beyond the tree")
	case p != nil && body != nil && body.v2 && e.GetLogIndex() != p.GetLogIndex():
		r.differ(CheckLogIndex, fmt.Sprint(e.GetLogIndex()), fmt.Sprint(p.GetLogIndex()), "the entry's index is not the proof's")
	case p != nil && e.GetLogIndex() < p.GetLogIndex():
		r.differ(CheckLogIndex, fmt.Sprint(e.GetLogIndex()), fmt.Sprintf("at least %d", p.GetLogIndex()), "the global index is under the tree's")
	default:
		r.pass(CheckLogIndex, "%d", e.GetLogIndex())
	}
}

// checkDuplicates: an entry that is there twice counts for one, and pretends to be two.
func (r *run) checkDuplicates() {
	type place struct {
		tree  string
		index int64
	}
	seen := map[place]bool{}
	for _, e := range r.res.Entries {
		places := []place{{"log " + e.LogID, e.LogIndex}}
		if e.Origin != "" {
			places = append(places, place{"tree " + e.LogID + " " + e.Origin, e.TreeIndex})
		}
		for _, p := range places {
			if seen[p] {
				r.fail(CheckLogIndex, "entry %d of %s is there twice", p.index, p.tree)
				return
			}
			seen[p] = true
		}
	}
}

// checkInclusion verifies the proof against its own root hash (RFC 6962 §2.1.1). Whether the log signed that root is the
// next check.
func (r *run) checkInclusion(ev *evidence, e *protorekor.TransparencyLogEntry, leaf []byte) bool {
	p := e.GetInclusionProof()
	if p == nil {
		if ev.promiseOnly {
			r.skip(CheckInclusionProof, "bundle v0.1 may carry the log's promise instead")
		} else {
			r.fail(CheckInclusionProof, "the entry has no inclusion proof")
		}
		return false
	}
	if p.GetLogIndex() < 0 || p.GetTreeSize() <= 0 {
		r.fail(CheckInclusionProof, "index %d in a tree of %d is impossible", p.GetLogIndex(), p.GetTreeSize())
		return false
	}
	err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(p.GetLogIndex()), uint64(p.GetTreeSize()), leaf, p.GetHashes(), p.GetRootHash())
	var mismatch proof.RootMismatchError
	switch {
	case errors.As(err, &mismatch):
		r.differ(CheckInclusionProof, hex.EncodeToString(mismatch.CalculatedRoot), hex.EncodeToString(mismatch.ExpectedRoot),
			"the proof leads to another root hash")
	case err != nil:
		r.fail(CheckInclusionProof, "the proof is malformed: %v", err)
	default:
		r.pass(CheckInclusionProof, "index %d in a tree of %d", p.GetLogIndex(), p.GetTreeSize())
	}
	return err == nil
}

// checkCheckpoint verifies that the log signed the tree which the proof is in.
func (r *run) checkCheckpoint(ev *evidence, entry *Entry, p *protorekor.InclusionProof, log *root.TransparencyLog, body *entryBody) bool {
	if p == nil {
		r.skip(CheckCheckpoint, "without an inclusion proof")
		return false
	}
	if ev.promiseOnly && entry.SETPresent && entry.Checkpoint == "" {
		// As early clients wrote it. The promise is good without the proof, but sigstore-go refuses such a proof.
		r.unsupported(CheckCheckpoint, "the proof of this v0.1 bundle has no checkpoint, so nobody signed its root hash")
		return false
	}
	c, err := tlog.ParseCheckpoint(entry.Checkpoint)
	if err != nil {
		r.fail(CheckCheckpoint, "%v", err)
		return false
	}
	entry.Origin = c.Origin
	_, entry.TreeID, _ = c.RekorV1Tree()
	if c.Size != uint64(p.GetTreeSize()) {
		r.differ(CheckCheckpoint, fmt.Sprint(c.Size), fmt.Sprint(p.GetTreeSize()), "the checkpoint's tree size is not the proof's")
		return false
	}
	if !bytes.Equal(c.Root[:], p.GetRootHash()) {
		r.differ(CheckCheckpoint, hex.EncodeToString(c.Root[:]), hex.EncodeToString(p.GetRootHash()), "the checkpoint's root hash is not the proof's")
		return false
	}
	if log == nil {
		r.skip(CheckCheckpoint, "without the log's key")
		return false
	}
	v, err := checkpointVerifier(c, log, body)
	if err == nil {
		err = c.Verify(v)
	}
	if err != nil {
		r.fail(CheckCheckpoint, "%v", err)
		return false
	}
	r.pass(CheckCheckpoint, "%s, size %d", c.Origin, c.Size)
	return true
}

// checkpointVerifier chooses the form of signature by the checkpoint's origin, as sigstore-go does, and then demands that
// the entry is of the same generation. Rekor v1's origin host is not compared with the log's URL, which in private
// instances is another; the key's hint binds it. In Rekor v2 the host is the log's name.
func checkpointVerifier(c *tlog.Checkpoint, log *root.TransparencyLog, body *entryBody) (note.Verifier, error) {
	host, _, v1 := c.RekorV1Tree()
	if body != nil && v1 == body.v2 {
		return nil, fmt.Errorf("a checkpoint of origin %q does not go with a %s %s entry", c.Origin, body.kind, body.version)
	}
	if v1 {
		return tlog.NewRekorV1Verifier(host, log.PublicKey)
	}
	u, err := url.Parse(log.BaseURL)
	if err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("the trusted root's URL of the log, %q, has no host to name it by", log.BaseURL)
	}
	if c.Origin != u.Hostname() {
		return nil, fmt.Errorf("checkpoint has origin %q, the log's is %q", c.Origin, u.Hostname())
	}
	return tlog.NewTiledVerifier(u.Hostname(), log.PublicKey)
}

// checkSET verifies Rekor v1's signed entry timestamp, the only thing that vouches for the integrated time.
func (r *run) checkSET(ev *evidence, entry *Entry, e *protorekor.TransparencyLogEntry, log *root.TransparencyLog) bool {
	switch {
	case !entry.SETPresent && e.GetInclusionProof() == nil && ev.promiseOnly:
		r.fail(CheckSET, "the entry has neither an inclusion proof nor the log's promise")
		return false
	case !entry.SETPresent:
		r.skip(CheckSET, "the entry has none")
		return false
	case log == nil:
		r.skip(CheckSET, "without the log's key")
		return false
	}
	promise := tlog.Promise{Body: e.GetCanonicalizedBody(), IntegratedTime: e.GetIntegratedTime(), LogID: entry.LogID, LogIndex: e.GetLogIndex()}
	switch err := promise.Verify(log.PublicKey, e.GetInclusionPromise().GetSignedEntryTimestamp()); {
	case errors.Is(err, tlog.ErrNotPromised):
		r.fail(CheckSET, "the log's key did not sign this entry with index %d and time %s", entry.LogIndex, stamp(entry.IntegratedTime))
		return false
	case err != nil:
		r.fail(CheckSET, "%v", err)
		return false
	}
	r.pass(CheckSET, "%s", stamp(entry.IntegratedTime))
	return true
}
