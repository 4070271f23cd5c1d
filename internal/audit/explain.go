package audit

import (
	"crypto"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/rekor"
	"github.com/rekoncile/rekoncile/internal/tlog"
)

// Examination is one piece of a finding's evidence, looked at again without any network.
type Examination struct {
	Evidence Evidence `json:"evidence"`
	// Confirmed says that looking at it again gave what the finding says. Where nothing can be computed again (an
	// unsigned claim, an error message) it is false, and Note says what the evidence is.
	Confirmed bool   `json:"confirmed"`
	Note      string `json:"note"`
	// Attestation is what verifying it again gave.
	Attestation *AttestationFacts `json:"attestation,omitempty"`
	// open says that there is nothing at hand to compute again: that it is not confirmed speaks against nobody.
	open bool
}

// String says in one line what became of the evidence.
func (x Examination) String() string { return x.Evidence.Kind + ": " + x.Note }

// Archive is what looking at evidence again needs of the record, and of the trusted roots.
type Archive struct {
	Verifier *Verifier
	// Document returns a document by its digest, Leaf a log's leaf by its hash; nil for none.
	Document func(sha256 string) ([]byte, error)
	Leaf     func(leafHash string) ([]byte, error)
	// Checkpoint verifies a checkpoint of a log, as it was served, and reads it.
	Checkpoint func(origin string, raw []byte) (tlog.SignedCheckpoint, error)
	// CTKey is the key of a certificate transparency log that a trusted root names, by its hex id; nil for none.
	CTKey func(logID string) crypto.PublicKey
	// Proof returns the proof of a leaf that was found by name; nil for none.
	Proof func(leafHash string) (*EntryProof, error)
	// Rekor1 returns the keys of the Rekor v1 log that a shard's origin names.
	Rekor1 func(origin string) (*rekor.V1Keys, error)
}

// Examine looks at a finding's evidence again, without any network.
func Examine(f Finding, archive Archive) ([]Examination, error) {
	v, document := archive.Verifier, archive.Document
	var all []Examination
	for _, e := range f.Evidence {
		x := Examination{Evidence: e}
		switch e.Kind {
		case "attestation", "bundle":
			body, err := document(e.SHA256)
			if err != nil {
				return nil, err
			}
			x.attestation(f, v, body)
		case "provenance", "previous-provenance":
			body, err := document(e.SHA256)
			if err != nil {
				return nil, err
			}
			x.Confirmed = body != nil
			x.Note = fmt.Sprintf("the document is in the record, %d bytes; nobody signed it as a whole", len(body))
			if body == nil {
				x.Note, x.open = "the document is not in the record", true
			}
		case "listing-entry":
			x.listingEntry(f)
		case "log-entry":
			leaf, err := archive.Leaf(e.SHA256)
			if err != nil {
				return nil, err
			}
			x.leaf(leaf)
			if err := x.proof(leaf, archive); err != nil {
				return nil, err
			}
		case "log-incident":
			x.incident(f, archive)
		case "ct-lookup":
			x.promise(f, archive)
		case "entry-check":
			x.entry(archive)
		case "canary", "backlog", "trusted-root":
			x.Note = "what the record says of the monitor's own reading; nobody else signed it"
		case "store-answer", "repository", "workflow-run":
			x.Note = "what GitHub said at that time; nobody signed it, so it cannot be verified again"
		default:
			x.Note, x.open = "what the index said at that time; nobody signed it, so it cannot be verified again", true
		}
		all = append(all, x)
	}
	return all, nil
}

// leaf recomputes the hash of a log's leaf.
func (x *Examination) leaf(leaf []byte) {
	if leaf == nil {
		x.Note, x.open = "the leaf is not in the record", true
		return
	}
	hash := tlog.LeafHash(leaf)
	x.Confirmed = hex.EncodeToString(hash[:]) == x.Evidence.SHA256
	x.Note = fmt.Sprintf("the leaf is in the record, %d bytes, and has the hash that a verified root commits to", len(leaf))
	if !x.Confirmed {
		x.Note = fmt.Sprintf("the leaf in the record has the hash %x", hash)
	}
}

// incident verifies a log's misbehaviour again: signatures, and that what was signed contradicts itself.
func (x *Examination) incident(f Finding, archive Archive) {
	x.Confirmed, x.Note = recheckIncident(x.Evidence.Data, func(raw []byte) (tlog.SignedCheckpoint, error) { return archive.Checkpoint(f.LogOrigin, raw) })
}

// attestation verifies an attestation again and compares the outcome with the finding's.
func (x *Examination) attestation(f Finding, v *Verifier, body []byte) {
	if body == nil {
		x.Note, x.open = "the document is not in the record", true
		return
	}
	verified := v.Stored(StoredDocument{Bundle: x.Evidence.Kind == "bundle", Filename: f.File, SHA256: f.SHA256, Body: body})
	if verified.Problem != "" {
		x.Note = "the document cannot be read: " + verified.Problem
		return
	}
	for _, a := range verified.Attestations {
		if a.Facts.Bundle != x.Evidence.Bundle || a.Facts.Index != x.Evidence.Attestation {
			continue
		}
		facts := a.Facts
		x.Attestation = &facts
		failed := ""
		if c := facts.Failed(); c != nil {
			failed = c.Name
		}
		x.Confirmed = failed == x.Evidence.Check
		switch {
		case !x.Confirmed && failed == "":
			x.Note = fmt.Sprintf("it verifies now: check %q no longer fails", x.Evidence.Check)
		case !x.Confirmed:
			x.Note = fmt.Sprintf("check %q fails now, check %q did when the finding was made", failed, x.Evidence.Check)
		case failed == "":
			x.Note = "it verifies: the signature, the certificate and the log entry are genuine"
		case facts.Status == attest.Unsupported:
			x.Note = fmt.Sprintf("check %q meets a form that is not supported, again", failed)
		default:
			x.Note = fmt.Sprintf("check %q fails, again", failed)
		}
		return
	}
	x.Note = "the document holds no such attestation"
}

// listingEntry compares a listing's entry, kept as served, with the finding's subject.
func (x *Examination) listingEntry(f Finding) {
	var entry struct {
		Filename string            `json:"filename"`
		Hashes   map[string]string `json:"hashes"`
	}
	if err := json.Unmarshal(x.Evidence.Data, &entry); err != nil {
		x.Note = "the entry cannot be read: " + err.Error()
		return
	}
	if f.File != "" && (entry.Filename != f.File || entry.Hashes["sha256"] != f.SHA256) {
		x.Note = fmt.Sprintf("the entry is about %s sha256:%s", entry.Filename, entry.Hashes["sha256"])
		return
	}
	x.Confirmed, x.Note = true, "the entry of the index's listing, kept as served; the index does not sign it"
}
