package audit

import (
	"crypto/x509"
	"encoding/json"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/attest"
)

// promise looks at a promise again: that the certificate carries it, that the log signed it, and that the tree head under
// which the leaf was looked for is the log's and young enough. That the leaf is not in that tree is what the log said when it
// was asked; a log cannot sign what it lacks.
func (x *Examination) promise(f Finding, archive Archive) {
	var e ctEvidence
	if err := json.Unmarshal(x.Evidence.Data, &e); err != nil {
		x.Note = "the evidence cannot be read: " + err.Error()
		return
	}
	c := ShownCertificate{IssuerKeyHash: e.IssuerKeyHash, DER: e.Certificate}
	if cert, err := x509.ParseCertificate(c.DER); err != nil {
		x.Note = "the certificate in the evidence cannot be parsed: " + err.Error()
		return
	} else if tbs, err := attest.TBSHash(cert); err != nil || tbs != f.Certificate {
		x.Note = "the certificate in the evidence is not the finding's"
		return
	}
	if e.LogID == "" {
		scts, _, err := embedded(c)
		x.Confirmed = err != nil || len(scts) == 0
		x.Note = fmt.Sprintf("the certificate carries %d signed certificate timestamps", len(scts))
		return
	}
	sct, leaf, err := DuePromise{ShownCertificate: c, Promise: Promise{LogID: e.LogID, LeafHash: e.LeafHash}}.rebuild()
	if err != nil {
		x.Note = err.Error()
		return
	}
	key := archive.CTKey(e.LogID)
	if key == nil {
		x.Note, x.open = "no trusted root names log "+e.LogID, true
		return
	}
	signed := sct.Verify(key, leaf)
	if e.TreeHead == nil {
		x.Confirmed = signed != nil
		x.Note = "the log's key signed the promise"
		if signed != nil {
			x.Note = signed.Error()
		}
		return
	}
	cp, err := archive.Checkpoint(e.Origin, e.TreeHead)
	switch {
	case signed != nil:
		x.Note = signed.Error()
	case err != nil:
		x.Note = "the tree head does not verify: " + err.Error()
	case cp.Timestamp.Before(sct.Timestamp):
		x.Note = fmt.Sprintf("the tree head of %s is older than the promise of %s", stamp(cp.Timestamp), stamp(sct.Timestamp))
	default:
		x.Confirmed = true
		x.Note = fmt.Sprintf("the log promised leaf %s at %s, and signed a tree of size %d at %s; that it is not in there, the log said when it was asked",
			e.LeafHash, stamp(sct.Timestamp), cp.Size, stamp(cp.Timestamp))
	}
}
