package sandbox

import (
	"bytes"
	"crypto/elliptic"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Tamper is one way to make an honest attestation of a statement lie, all else being true: where a check other than the one aimed
// at would notice, the rest is signed and logged again, by a log that plays along.
type Tamper struct {
	Name  string
	About string
	Apply func(*World, *Attestation) error
}

// Tampers lists every way.
func Tampers() []Tamper {
	return []Tamper{
		{"bad-signature", "the envelope is signed with a key that is not the certificate's", badSignature},
		{"altered-statement", "the statement was changed after it was signed", alteredStatement},
		{"entry-of-another", "the log entry is that of another attestation by the same job", entryOfAnother},
		{"entry-payload", "the log entry is about another payload", entryPayload},
		{"entry-signature", "the log entry holds another signature", entrySignature},
		{"entry-certificate", "the log entry holds another certificate", entryCertificate},
		{"inclusion-proof", "one hash of the inclusion proof is wrong", wrongInclusionProof},
		{"no-inclusion-proof", "the log entry comes without an inclusion proof", noInclusionProof},
		{"checkpoint-key", "the checkpoint is signed by another key under the log's key hash", checkpointKey},
		{"checkpoint-hint", "the checkpoint is signed by another key under that key's hash", checkpointHint},
		{"checkpoint-root", "the checkpoint's root was altered after it was signed", checkpointRoot},
		{"checkpoint-of-another-tree", "the checkpoint is genuine, but not of the tree that the proof is about", checkpointOfAnotherTree},
		{"entry-timestamp", "the signed entry timestamp is that of another entry", entryTimestamp},
		{"no-entry-timestamp", "the log entry comes without a signed entry timestamp, so nothing says when it was signed", noEntryTimestamp},
		{"integrated-late", "the log saw the signature after the certificate had expired", integratedLate},
		{"integrated-early", "the log saw the signature before the certificate was issued", integratedEarly},
		{"unknown-log", "the entry is in a log that nobody trusts", unknownLog},
		{"no-entry", "there is no log entry at all", noEntry},
		{"duplicate-entry", "the log entry is given twice", duplicateEntry},
		{"second-entry-of-another", "of two log entries the second is that of another attestation", secondEntryOfAnother},
		{"second-entry-unproven", "of two log entries the second has a wrong inclusion proof", secondEntryUnproven},
	}
}

// TamperNamed returns one of Tampers.
func TamperNamed(name string) (Tamper, error) {
	for _, t := range Tampers() {
		if t.Name == name {
			return t, nil
		}
	}
	return Tamper{}, fmt.Errorf("no way of tampering is named %q", name)
}

// at is when the attestation was logged.
func (a *Attestation) at() time.Time { return time.Unix(a.Entries[0].IntegratedTime, 0) }

// relog replaces the entries by one for the attestation's present pieces, changed by edit where given.
func (w *World) relog(a *Attestation, edit func(*dsseEntry)) error {
	body, err := a.body()
	if err != nil {
		return err
	}
	if edit != nil {
		var entry dsseEntry
		if err := json.Unmarshal(body, &entry); err != nil {
			return fmt.Errorf("reading a log entry's body: %w", err)
		}
		edit(&entry)
		if body, err = json.Marshal(entry); err != nil {
			return fmt.Errorf("encoding a log entry's body: %w", err)
		}
	}
	entry, err := w.Rekor.AddStatement(body, a.Statement, a.at())
	if err != nil {
		return err
	}
	a.Entries = []Entry{entry}
	return nil
}

// other is an honest attestation by the same signer about something else.
func (w *World) other(a *Attestation) (*Attestation, error) {
	return w.Attest(a.Signer, PublishStatement(Subject{Name: "other-1.0.tar.gz", SHA256: strings.Repeat("0", 64)}), a.at())
}

func badSignature(w *World, a *Attestation) error {
	stranger, err := w.entropy.ecdsaKey(elliptic.P256(), "stranger")
	if err != nil {
		return err
	}
	if a.Signature, err = signSHA256(stranger, pae(a.Statement)); err != nil {
		return err
	}
	return w.relog(a, nil)
}

func alteredStatement(w *World, a *Attestation) error {
	// White space changes no meaning, and every hash.
	a.Statement = append(bytes.Clone(a.Statement), '\n')
	return w.relog(a, nil)
}

func entryOfAnother(w *World, a *Attestation) error {
	other, err := w.other(a)
	if err != nil {
		return err
	}
	a.Entries = other.Entries
	return nil
}

func entryPayload(w *World, a *Attestation) error {
	return w.relog(a, func(e *dsseEntry) { e.Spec.PayloadHash.Value = strings.Repeat("0", 64) })
}

func entrySignature(w *World, a *Attestation) error {
	other, err := w.other(a)
	if err != nil {
		return err
	}
	return w.relog(a, func(e *dsseEntry) { e.Spec.Signatures[0].Signature = other.Signature })
}

func entryCertificate(w *World, a *Attestation) error {
	other, err := w.Fulcio.NewSigner(a.Signer.Claims, CertificateOptions{At: a.Signer.Certificate.NotBefore})
	if err != nil {
		return err
	}
	verifier := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate.Raw})
	return w.relog(a, func(e *dsseEntry) { e.Spec.Signatures[0].Verifier = verifier })
}

func wrongInclusionProof(_ *World, a *Attestation) error {
	return spoilProof(&a.Entries[0])
}

// spoilProof flips a bit in the proof's last hash. An entry of a tree of one leaf has no proof to spoil.
func spoilProof(e *Entry) error {
	if len(e.Hashes) == 0 {
		return fmt.Errorf("entry %d has an empty inclusion proof", e.LogIndex)
	}
	last := len(e.Hashes) - 1
	e.Hashes = append([][]byte{}, e.Hashes...)
	e.Hashes[last] = bytes.Clone(e.Hashes[last])
	e.Hashes[last][0] ^= 1
	return nil
}

func noInclusionProof(_ *World, a *Attestation) error {
	a.Entries[0].Checkpoint = ""
	return nil
}

func checkpointHint(w *World, a *Attestation) error {
	e := &a.Entries[0]
	var err error
	e.Checkpoint, err = signCheckpoint(w.Rekor.noiseKey, w.Rekor.host, w.Rekor.Active().TreeID(), e.TreeSize, e.RootHash)
	return err
}

func checkpointKey(w *World, a *Attestation) error {
	e := &a.Entries[0]
	forged, err := signCheckpointAs(w.Rekor.noiseKey, w.Rekor.logID, w.Rekor.host, w.Rekor.Active().TreeID(), e.TreeSize, e.RootHash)
	if err != nil {
		return err
	}
	e.Checkpoint = forged
	return nil
}

func checkpointRoot(_ *World, a *Attestation) error {
	e := &a.Entries[0]
	lines := strings.SplitN(e.Checkpoint, "\n", 4)
	if len(lines) != 4 || lines[2] == "" {
		return fmt.Errorf("entry %d has no checkpoint to alter", e.LogIndex)
	}
	first := "A"
	if lines[2][:1] == first {
		first = "B"
	}
	lines[2] = first + lines[2][1:]
	e.Checkpoint = strings.Join(lines, "\n")
	return nil
}

func checkpointOfAnotherTree(w *World, a *Attestation) error {
	if err := w.Rekor.AddNoise(1, a.at()); err != nil {
		return err
	}
	var err error
	a.Entries[0].Checkpoint, err = w.Rekor.Checkpoint()
	return err
}

func entryTimestamp(w *World, a *Attestation) error {
	other, err := w.other(a)
	if err != nil {
		return err
	}
	a.Entries[0].SET = other.Entries[0].SET
	return nil
}

func noEntryTimestamp(_ *World, a *Attestation) error {
	a.Entries[0].SET = nil
	return nil
}

// integrate dates the entry otherwise; its timestamp is genuine.
func integrate(w *World, a *Attestation, at time.Time) error {
	e := &a.Entries[0]
	e.IntegratedTime = at.Unix()
	var err error
	e.SET, err = w.Rekor.signEntryTimestamp(*e)
	return err
}

func integratedLate(w *World, a *Attestation) error {
	return integrate(w, a, a.Signer.Certificate.NotAfter.Add(time.Minute))
}

func integratedEarly(w *World, a *Attestation) error {
	return integrate(w, a, a.Signer.Certificate.NotBefore.Add(-time.Minute))
}

func unknownLog(w *World, a *Attestation) error {
	if err := w.foreignRekor.AddNoise(1, a.at()); err != nil {
		return err
	}
	entry, err := w.foreignRekor.Add(a.Entries[0].Body, a.at())
	if err != nil {
		return err
	}
	a.Entries = []Entry{entry}
	return nil
}

func noEntry(_ *World, a *Attestation) error {
	a.Entries = nil
	return nil
}

func duplicateEntry(_ *World, a *Attestation) error {
	a.Entries = append(a.Entries, a.Entries[0])
	return nil
}

func secondEntryOfAnother(w *World, a *Attestation) error {
	other, err := w.other(a)
	if err != nil {
		return err
	}
	a.Entries = append(a.Entries, other.Entries[0])
	return nil
}

func secondEntryUnproven(w *World, a *Attestation) error {
	second, err := w.Rekor.Add(a.Entries[0].Body, a.at())
	if err != nil {
		return err
	}
	if err := spoilProof(&second); err != nil {
		return err
	}
	a.Entries = append(a.Entries, second)
	return nil
}
