package sandbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// rekorBulk makes entries of strangers by the million, of the kinds that Rekor v1 is full of: the same ones for the same seed
// and numbers. Digests, signature, serial number and names differ from one to the next; no signature in them verifies (see
// mold).
type rekorBulk struct {
	seed      entropy
	mold      mold
	signature []byte
	// forms are the bodies; of ten entries in a row six are of the first, three of the second, one of the last.
	forms [3]bulkForm
}

// bulkForm is a body without what varies. Between two parts is a slot.
type bulkForm struct {
	parts [][]byte
	slots []func(bulkValues) []byte
}

// bulkValues are what varies.
type bulkValues struct {
	artifact, envelope [sha256.Size]byte
	signature          []byte
	verifier           []byte // PEM
}

func slotArtifact(v bulkValues) []byte { return hex.AppendEncode(nil, v.artifact[:]) }
func slotEnvelope(v bulkValues) []byte { return hex.AppendEncode(nil, v.envelope[:]) }
func slotVerifier(v bulkValues) []byte { return base64.StdEncoding.AppendEncode(nil, v.verifier) }
func slotSignature(v bulkValues) []byte {
	return base64.StdEncoding.AppendEncode(nil, v.signature)
}
func slotSignatureTwice(v bulkValues) []byte {
	return base64.StdEncoding.AppendEncode(nil, slotSignature(v))
}

// newRekorBulk takes the forms of entries from those that marshalling makes.
func newRekorBulk(e entropy, f *Fulcio) (*rekorBulk, error) {
	s, err := f.stranger("rekor/stranger")
	if err != nil {
		return nil, err
	}
	b := &rekorBulk{seed: entropy(binary.BigEndian.Uint64(e.bytes("rekor/bulk", 8)))}
	if b.mold, err = newMold(s.Certificate.Raw, s.Certificate.SerialNumber); err != nil {
		return nil, err
	}
	payload, envelope := []byte("bulk"), []byte("bulk envelope")
	v := bulkValues{artifact: sha256.Sum256(payload), envelope: sha256.Sum256(envelope), verifier: certificatePEM(s.Certificate.Raw)}
	if v.signature, err = s.key.Sign(nil, v.artifact[:], sha256Opts); err != nil {
		return nil, fmt.Errorf("signing a stranger's entry: %w", err)
	}
	b.signature = v.signature
	for i, make := range []func() ([]byte, error){
		func() ([]byte, error) { return hashedRekordBody(v.artifact, v.signature, v.verifier) },
		func() ([]byte, error) { return dsseBody(envelope, payload, v.signature, v.verifier) },
		func() ([]byte, error) { return intotoBody(envelope, payload, v.signature, v.verifier) },
	} {
		body, err := make()
		if err != nil {
			return nil, err
		}
		slots := [][]func(bulkValues) []byte{
			{slotArtifact, slotSignature, slotVerifier},
			{slotEnvelope, slotArtifact, slotSignature, slotVerifier},
			{slotVerifier, slotSignatureTwice, slotEnvelope, slotArtifact},
		}[i]
		if b.forms[i], err = newBulkForm(body, v, slots); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func newBulkForm(body []byte, v bulkValues, slots []func(bulkValues) []byte) (bulkForm, error) {
	f := bulkForm{slots: slots}
	for _, slot := range slots {
		before, after, ok := bytes.Cut(body, slot(v))
		if !ok {
			return bulkForm{}, errors.New("the parts of an entry are not where they should be")
		}
		f.parts, body = append(f.parts, before), after
	}
	f.parts = append(f.parts, body)
	return f, nil
}

// entry makes the body of a number.
func (b *rekorBulk) entry(n uint64) []byte {
	var label [16]byte
	binary.BigEndian.PutUint64(label[:], uint64(b.seed))
	binary.BigEndian.PutUint64(label[8:], n)
	v := bulkValues{artifact: sha256.Sum256(label[:]), signature: bytes.Clone(b.signature), verifier: certificatePEM(b.mold.cast(n))}
	v.envelope = sha256.Sum256(v.artifact[:])
	copy(v.signature[len(v.signature)-24:], v.artifact[:]) // the end of s

	form := &b.forms[0]
	switch n % 10 {
	case 3, 5, 8:
		form = &b.forms[1]
	case 9:
		form = &b.forms[2]
	}
	body := make([]byte, 0, 4096)
	for i, slot := range form.slots {
		body = append(append(body, form.parts[i]...), slot(v)...)
	}
	return append(body, form.parts[len(form.slots)]...)
}

func certificatePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// AddBulk appends n entries of strangers to the active shard, each with a certificate of its own, and of which no signature
// verifies: it makes tens of thousands a second, and keeps no more of them than their hashes. The index does not know them.
// The first is integrated at from and the last at to.
func (r *Rekor) AddBulk(n uint64, from, to time.Time) error {
	return r.addBulk(n, func(number uint64) time.Time { return between(from, to, number, n) })
}

// addBulk appends entries; when says when each is integrated, by its number among them.
func (r *Rekor) addBulk(n uint64, when func(number uint64) time.Time) error {
	bulk, err := r.strangers()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	number := pastPeriod + r.bulks // the shards of the past have those before
	err = r.activeLocked().appendMade(n, func(uint64) func(uint64) logEntry {
		return func(i uint64) logEntry { return logEntry{leaf: bulk.entry(number + i), added: when(i)} }
	})
	if err == nil {
		r.bulks += n
	}
	return err
}
